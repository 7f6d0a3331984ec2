#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two kinds of machine: $DIPACO_OTHER_BUILD is a build folder of the other kind, whose programs run
# here too (scripts/check-arm64.sh). A worker of each trains one elastic experiment, with versions,
# deltas and states in few bits; then a coordinator of the other kind computes the versions again.
. "$(dirname "$0")/lib.sh"

other=${DIPACO_OTHER_BUILD:-}
[ -x "$other/dipaco-worker" ] || skip 'there are no programs of another kind of machine'

make_corpus
make_experiment mixed.yaml 's/mode: strict/mode: elastic/' 's/rounds: 3/rounds: 6, quorum: 1.0/' \
    's/steps: 20,/steps: 60,/' \
    's/upload: fp32, download: fp32/upload: nf4, download: int8, moments: nf4, path_state: ship/'
mkdir -p store/workers
"$other/dipaco-worker" --dir there --generate-key >/dev/null || give_up 'no key of the other kind'
cp there/worker.key.pub store/workers/there.pub
start_coordinator mixed.yaml
start_worker
"$other/dipaco-worker" --dir there --connect "$(control)" --server-key store/coordinator.key.pub \
    --threads 1 --battery yes --name there >/dev/null 2>there.err &
worker="$worker $!"
wait_for 600 'the end' finished

accepted() { # LOG
    grep -c 'lease ends verdict=accepted kind=train' "$1"
}
check "the worker of this kind trained $(accepted "$log") leases" [ "$(accepted "$log")" -gt 0 ]
check "the other one $(accepted there.err)" [ "$(accepted there.err)" -gt 0 ]
for process in $worker $supervisor; do
    kill "$process"
    wait "$process"
done
worker=
supervisor=

PATH=$other:$PATH
start_coordinator mixed.yaml
run_to_end replay "$build/dipacoctl" --admin "$admin" replay
check 'a coordinator of the other kind computes the same versions' [ "$status" = 0 ]
grep -E '^[0-9]+ ok$' replay.out || fail 'none was computed'
kill "$supervisor"
end_run

finish
