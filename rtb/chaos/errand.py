"""The work of a unit in a chaos run: writes down itself that it ran, outside of rtb.

Run as a file, with the standard library only. The first argument is the file to write to; what the
unit does is in its payload. Each line is ``unit attempt pid start|end result``.
"""

from __future__ import annotations

import json
import os
import sys
import time

#: Exit codes by result; 65 tells the agent that trying again is of no use.
CODES = {"success": 0, "failed": 1, "error": 65}


def _write_down(word: str, result: str) -> None:
    line = f"{os.environ['RTB_UNIT']} {os.environ['RTB_ATTEMPT']} {os.getpid()} {word} {result}\n"
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
    os.write(file, line.encode())
    os.fsync(file)


def _main() -> int:
    wish = json.loads(sys.stdin.readline())["payload"]
    attempt = int(os.environ["RTB_ATTEMPT"])
    _write_down("start", "-")
    time.sleep(wish["seconds"])
    result = wish["end"]
    if result == "flaky":
        result = "failed" if attempt % 2 else "success"
    _write_down("end", result)
    sys.stdout.write(json.dumps({"attempt": attempt}) + "\n")
    return CODES[result]


if __name__ == "__main__":
    sys.exit(_main())
