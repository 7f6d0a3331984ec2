#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How long the coordinator's loop keeps others waiting while gigabytes go in and out: a run whose path
# states are 400 MB and whose deltas are 100 MB, and the time that `dipacoctl status` takes, asked every
# 20 ms from its first answer on. Prints JSON: answers, and milliseconds. Needs 8 GiB of disk and a few
# minutes.
#
#     bench/bench_bulk.sh CORPUS [FOLDER WITH THE PROGRAMS]
set -eu

corpus=$(realpath "${1:?a corpus of dipaco data import}")
[ $# -lt 2 ] || PATH=$(realpath "$2"):$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-bulk.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/wide.yaml" <<END
experiment: wide
data: {corpus: $corpus, router: 0.2}
model: {dim: 1024, heads: 16, ffn: 2752, context: 64}
levels:
  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2}
  - {name: upper, parts: [{blocks: 2}, head], modules: 1}
routing: {prefix: 32, features: ngrams}
inner: {lr: 1e-4, warmup: 2, batch: 1, steps: 3}
outer: {rounds: 4}
warm_start: {steps: 3}
baseline: {dense: false}
evaluation: {windows: 1}
END

dipaco run "$work/wide.yaml" --dir "$work/run" >"$work/out" 2>"$work/err" &
run=$!
: >"$work/times"
while kill -0 "$run" 2>/dev/null; do
    begun=$(date +%s%N)
    if dipacoctl --dir "$work/run" status --json >"$work/status" 2>&1; then
        echo "$((($(date +%s%N) - begun) / 1000))" >>"$work/times"
    fi
    sleep 0.02
done
wait "$run" || { cat "$work/err" >&2; exit 1; }
sort -n "$work/times" | awk '
    { us[NR] = $1 }
    function at(share) { return us[int(share * (NR - 1)) + 1] / 1000 }
    END { printf "{\"answers\": %d, \"median_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}\n",
          NR, at(0.5), at(0.99), us[NR] / 1000 }'
