#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the owner of a machine may ask of a worker: how it stands.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 12000,/' 's/rounds: 3/rounds: 1/'
start_coordinator tiny.yaml

stands() { # KEY VALUE: of --status --json
    [ "$(dipaco-worker --dir home --status --json | value_of "$1")" = "$2" ]
}

# --- Nobody has worked here yet.
run_to_end never dipaco-worker --dir home --status
check 'no worker yet: 3' [ "$status" = 3 ]
check 'and it says so' grep -q 'no worker has run in folder "home"' never.err

# --- At work.
start_worker
wait_for 30 'a worker that stands' stands running true
wait_for 30 'contact' stands connected true
wait_for 60 'a step' sh -c 'dipaco-worker --dir home --status | grep -q "^work *running: train path .*, [1-9][0-9]* of [0-9]*, [1-9]"'
run_to_end running dipaco-worker --dir home --status
check 'it runs: 0' [ "$status" = 0 ]
check 'who and since when' grep -q '^worker *w, runs since .*; figures [0-9] s old$' running.out
ok "$(grep '^work ' running.out)"
end_worker KILL
run_to_end killed dipaco-worker --dir home --status
check 'killed: 3' [ "$status" = 3 ]
check 'and when' grep -q '^worker *w does not run: it was killed after ' killed.out
start_worker
wait_for 30 'a worker that stands' stands running true
end_worker TERM
run_to_end ended dipaco-worker --dir home --status
check 'ended: 3' [ "$status" = 3 ]
check 'and when' grep -q '^worker *w does not run: it ended ' ended.out
kill "$supervisor"
end_run

finish
