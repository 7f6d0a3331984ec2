#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a slow line costs one worker of one thread: the time of a small experiment from the worker's
# start to its end, and the share of it in which the line up was in use, at the rate that its owner
# allows (KiB a second; 0: no limit). Prints JSON. At the rate at which handing in takes as long as
# computing, a worker that did one after the other would need twice the time that it needs without a
# limit.
#
#     bench/bench_line.sh CORPUS KIB_A_SECOND [FOLDER WITH THE PROGRAMS]
set -eu
unset OPENBLAS_CORETYPE

corpus=$(realpath "${1:?a corpus of dipaco data import}")
rate=${2:?KiB a second}
[ $# -lt 3 ] || PATH=$(realpath "$3"):$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-line.XXXXXX")
processes=
trap 'kill $processes 2>/dev/null || :; wait; rm -rf "$work"' EXIT
cd "$work"
cat >line.yaml <<END
experiment: line
data: {corpus: $corpus, router: 0.2}
model: {dim: 64, heads: 2, ffn: 172, context: 128}
levels:
  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2}
  - {name: upper, parts: [{blocks: 2}, head], modules: 2}
routing: {prefix: 32, features: ngrams}
inner: {lr: 1e-3, warmup: 20, batch: 8, steps: 100}
outer: {rounds: 4}
warm_start: {steps: 100}
baseline: {dense: false}
evaluation: {windows: 1}
END

dipaco-worker --dir worker --generate-key >/dev/null
mkdir -p store/workers
cp worker/worker.key.pub store/workers/w.pub
admin=ipc://$work/admin.sock
dipaco-coordinator --dir store --experiment line.yaml --listen 'tcp://127.0.0.1:*' \
    --bulk 'tcp://127.0.0.1:*' --admin "$admin" >coordinator.out 2>&1 &
processes=$!
control=
while [ -z "$control" ]; do
    sleep 0.1
    control=$(sed -n 's/.* control=\([^ ]*\).*/\1/p' coordinator.out | head -n 1)
    kill -0 "$processes" 2>/dev/null || { cat coordinator.out >&2; exit 1; }
done
limit=
[ "$rate" = 0 ] || limit="--rate-up $rate"
begun=$(date +%s%N)
# shellcheck disable=SC2086
dipaco-worker --dir worker --connect "$control" --server-key store/coordinator.key.pub --threads 1 \
    --battery yes $limit >/dev/null 2>worker.err &
processes="$processes $!"
until dipacoctl --admin "$admin" status --json 2>/dev/null | grep -q '"phase": "finished"'; do
    for process in $processes; do
        kill -0 "$process" 2>/dev/null || { cat coordinator.out worker.err >&2; exit 1; }
    done
    sleep 0.1
done
ended=$(date +%s%N)
up=$(dipacoctl --admin "$admin" status --json | sed -n 's/.*"bytes_up": \([0-9]*\).*/\1/p')
awk -v ns=$((ended - begun)) -v up="$up" -v rate="$rate" 'BEGIN {
    printf "{\"kib_a_second\": %d, \"seconds\": %.1f, \"mib_up\": %.1f, \"line_share\": %.2f}\n",
           rate, ns / 1e9, up / 2^20, rate ? up / (rate * 1024 * ns / 1e9) : 0 }'
