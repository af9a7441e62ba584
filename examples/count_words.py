#!/usr/bin/env python3
"""A command: count the words of the unit's payload, {"text": "..."}.

The unit comes as JSON on standard input; the last line of standard output is the result.
"""

import json
import sys

EX_DATAERR = 65

unit = json.load(sys.stdin)
text = unit["payload"].get("text")
if not isinstance(text, str):
    print(f"unit {unit['id']} has no text", file=sys.stderr)
    # This unit is wrong and stays so: 65 says that trying again is of no use.
    sys.exit(EX_DATAERR)

print(f"counting the words of {unit['name']}", file=sys.stderr)
print(json.dumps({"words": len(text.split())}))
