#!/usr/bin/env bash
# Runs the scenarios of faults one after the other, and writes the table of docs/BENCHMARKS.md out of
# the rows that they leave: `scripts/faults.sh` runs all, `scripts/faults.sh nodes:: wires::` those
# whose names contain one of these, beside the rows of earlier runs.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=$PWD/target/faults
document=docs/BENCHMARKS.md

[ $# -gt 0 ] || rm -rf "$rows"
mkdir -p "$rows"
THROUGHLINE_FAULTS_ROWS=$rows cargo test --test faults -- \
  --include-ignored --test-threads 1 --nocapture "$@"

table=$(mktemp)
trap 'rm -f "$table"' EXIT
{
  echo
  echo '| fault | published | delivered | lost | repeated | gaps told | lost by Redis | wrong leaves | 99 % healed, s | all healed, s | publishers saw | besides |'
  echo '|---|---|---|---|---|---|---|---|---|---|---|---|'
  cat "$rows"/* | LC_ALL=C sort -V
  echo
} | tee "$table"
sed -i -e '/^<!-- faults: begin -->$/,/^<!-- faults: end -->$/{//!d}' \
  -e "/^<!-- faults: begin -->\$/r $table" "$document"
