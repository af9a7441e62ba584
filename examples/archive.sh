#!/bin/sh
# A command: write the unit to a file that no other attempt of it writes.
set -eu

directory="${TMPDIR:-/tmp}/rtb-archive"
mkdir -p "$directory"
path="$directory/$RTB_ORDER-$RTB_UNIT.$RTB_ATTEMPT.json"

cat > "$path.part"
mv "$path.part" "$path"

# The path is the result. Whoever reads it from the ledger reads the attempt that counted.
echo "$path"
