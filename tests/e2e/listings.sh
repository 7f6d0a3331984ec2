#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every listing of dipacoctl, from a run that goes on, behind a path too long for a socket's name.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 2000,/'
long=$work/$(printf 'a-folder-with-a-long-name/%.0s' 1 2 3 4 5)run
start_run long dipaco run tiny.yaml --dir "$long"
wait_for 60 'the train phase' in_phase "$long" train

for listing in status workers paths modules versions ledger; do
    run_to_end "$listing" dipacoctl --dir "$long" "$listing"
    check "$listing" [ "$status" = 0 ]
    run_to_end "$listing.json" dipacoctl "$listing" --json --dir "$long"
    check "$listing --json" [ "$status" = 0 ]
done
check 'status names the phase' grep -qE '^(warm_start|train)' status.out
check 'workers have names' grep -q '^worker-2' workers.out
check 'the dense path is listed' grep -q '^dense' paths.out
check 'JSON of paths' grep -q '"path": "0-1"' paths.json.out

run_to_end versions dipacoctl --dir "$long" versions dense.lower
check 'versions of one module' [ "$status" = 0 ]
check 'only of that module' [ "$(sed 1d versions.out | grep -cv '^dense.lower')" = 0 ]
run_to_end none dipacoctl --dir "$long" versions no.such
check 'versions of no module' [ "$status" = 1 ]

wait_for 60 'three outer steps' sh -c "[ \"\$(dipacoctl --dir '$long' ledger | wc -l)\" -gt 3 ]"
first=$(dipacoctl --dir "$long" ledger --json | value_of sequence)
run_to_end later dipacoctl --dir "$long" ledger --after "$((first + 1))" --json
check 'ledger --after leaves out what comes before' [ "$(value_of sequence <later.out)" = "$((first + 2))" ]

kill -TERM "$supervisor"
end_run
check 'SIGTERM stops it cleanly' [ "$status" = 143 ]

run_to_end gone dipacoctl --dir "$long" status
check 'nobody answers: exit code 3' [ "$status" = 3 ]
check 'and it says so' grep -q 'no coordinator answered' gone.err
run_to_end gone env DIPACO_ADMIN="ipc://$work/no.sock" dipacoctl status
check 'the variable names the socket' grep -q "$work/no.sock" gone.err
run_to_end wrong dipacoctl sttus
check 'a misspelled subcommand: exit code 2' [ "$status" = 2 ]
check 'and the nearest is named' grep -q '"status"' wrong.err

finish
