#!/usr/bin/env bash
# Runs the scenarios of faults one after the other, and writes the table of docs/BENCHMARKS.md out of
# the rows that they leave: `scripts/faults.sh` runs all, `scripts/faults.sh nodes:: wires::` those
# whose names contain one of these, and leaves the other rows of the table as they are. So it does with
# all that are not made anew where a scenario fails; its exit code says so.
set -euo pipefail
cd "$(dirname "$0")/.."
document=docs/BENCHMARKS.md
rows=$(mktemp -d)
table=$(mktemp)
trap 'rm -rf "$rows" "$table"' EXIT

code=0
THROUGHLINE_FAULTS_ROWS=$rows cargo test --test faults -- \
  --include-ignored --test-threads 1 --nocapture "$@" || code=$?

# The rows of a table that was made before.
earlier() {
  sed -n '/^<!-- faults: begin -->$/,/^<!-- faults: end -->$/p' "$document" | grep '^| ' | grep -v '^| fault |'
}

{
  echo
  echo '| fault | published | delivered | lost | repeated | gaps told | lost by Redis | wrong leaves | 99 % healed, s | all healed, s | publishers saw | besides |'
  echo '|---|---|---|---|---|---|---|---|---|---|---|---|'
  { cat "$rows"/*; [ $# -eq 0 ] && [ $code -eq 0 ] || earlier; } | awk -F '|' '!seen[$2]++' | LC_ALL=C sort -V
  echo
} | tee "$table"
sed -i -e '/^<!-- faults: begin -->$/,/^<!-- faults: end -->$/{//!d}' \
  -e "/^<!-- faults: begin -->\$/r $table" "$document"
exit $code
