#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Modules get the content of older versions back in the middle of a run, one and then all, and the run
# goes on to its end.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/rounds: 3/rounds: 12/; s/steps: 20,/steps: 60,/' '$ a keep_rounds: 2'

start_run run dipaco run tiny.yaml --dir run
ctl() {
    dipacoctl --dir run "$@"
}
trained() { # ROUNDS
    [ "$(ctl status --json | value_of rounds_done_min)" -ge "$1" ]
}
wait_for 30 'the coordinator' ctl status
run_to_end early dipacoctl --dir run rollback lower.0 --to 0
check 'before training it is refused' [ "$status" = 4 ]
check 'with the way out' grep -q 'wait for phase train' early.err

wait_for 60 'two rounds' trained 2
hold_in_training run
newest() { # MODULE: the number of its newest version
    ctl versions "$1" --json | sed -n 's/^ *"version": *\([0-9]*\).*/\1/p' | tail -n 1
}
old=$(($(newest lower.0) - 1))
run_to_end one dipacoctl --dir run rollback lower.0 --to "$old"
check 'one module goes back' [ "$status" = 0 ]
check 'as it says' grep -q "^lower.0: version .* has the content of version $old\$" one.out
check 'it says how many leases that voided' grep -q '^[0-2] leases were voided' one.out
now=$(sed -n 's/^lower.0: version \([0-9]*\) .*/\1/p' one.out)
ctl versions lower.0 >versions.out
check 'the cause is listed' grep -qE "lower.0 +$now +rollback +$old " versions.out
check 'the ledger has a row for it' sh -c "dipacoctl --dir run ledger | grep -qE 'lower.0 +$now +[0-9a-f]+ +- '"
run_to_end again dipacoctl --dir run rollback lower.0 --to "$old"
check 'asked again there is nothing to do' grep -q "has the content of version $old already" again.out

round=$(ctl status --json | value_of rounds_done_min)
run_to_end all dipacoctl --dir run rollback --round "$((round - 1))" --json
check 'all modules go back' [ "$(grep -c '"parent"' all.out)" = 4 ]
run_to_end future dipacoctl --dir run rollback --round 7
check 'to a round that is still to come none goes' grep -q 'has not reached round 7' future.err
run_to_end unknown dipacoctl --dir run rollback lower.9 --to 1
check 'a module that there is not' grep -q 'there is no module "lower.9"' unknown.err
run_to_end usage dipacoctl --dir run rollback lower.0
check 'half a question is a wrong command line' [ "$status" = 2 ]

release_workers run
wait_for 60 'nine rounds' trained 9
run_to_end old dipacoctl --dir run rollback upper.1 --to 1
check 'what is not kept is refused' [ "$status" = 4 ]
check 'and the oldest possible is named' grep -qE 'the oldest possible after it is [2-9]' old.err
run_to_end oldround dipacoctl --dir run rollback --round 1
check 'so it is for a round' grep -qE 'the oldest possible after it is [2-9]' oldround.err
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'the run ends with a report' [ -s run/report/report.json ]

finish
