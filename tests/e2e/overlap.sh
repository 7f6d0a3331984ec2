#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One worker behind a slow line hands in what it has trained while it trains on. Killed in the middle
# of both it takes both up again, and the versions are those of an undisturbed run.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 20000,/' 's/rounds: 3/rounds: 1/'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

start_coordinator tiny.yaml
start_worker --rate-up 24

both() {
    dipaco-worker --dir home --status 2>/dev/null | tr -s ' ' >status.txt
    grep -q '^work running: train path' status.txt && grep -q '^handing in train path' status.txt
}
wait_for 120 'one lease that is handed in while another is trained' both
ok "$(grep -E '^(work|handing in) ' status.txt | tr '\n' ';')"
run_to_end workers dipacoctl --admin "$admin" workers --json
check "the coordinator says so, too" grep -q '"handing_in_path": *"' workers.out
run_to_end why dipacoctl --admin "$admin" why w
check 'and why' [ "$(grep -c '^ *lease ' why.out)" = 2 ]

# A spill is due for the one in training within a second or so of its begin.
kept() {
    both && [ -s home/spill ] && [ -s home/spill.handing-in ]
}
wait_for 120 'both on disk' kept
end_worker KILL
start_worker --rate-up 24
taken_up() {
    [ "$(grep -c 'last run.s lease is taken up' "$log")" = 2 ]
}
wait_for 20 'both taken up' taken_up
check 'the finished one' grep -q 'taken up path=[0-9]* round=[0-9]* finished=1' "$log"
check 'and the other one' grep -q 'taken up path=[0-9]* round=[0-9]* steps_done=[1-9]' "$log"
wait_for 240 'the end' finished
end_worker TERM
check 'ended as asked' [ "$status" = 0 ]
check 'nothing was trained twice, or given back' \
    sh -c '! grep -qE "lease given back|verdict=(superseded|stale|refused)" worker-*.err'
wait_for 10 'the report' [ -s store/report/report.json ]
kill "$supervisor"
end_run
check 'the versions are those of the undisturbed run' same_versions calm store

finish
