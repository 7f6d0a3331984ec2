#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the middle of a run a worker is revoked: modules are folded again without what it handed in, or
# go back to where the round began, and it gets no more work until it is admitted. All versions can be
# computed again.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/rounds: 3/rounds: 80/; s/steps: 20,/steps: 60,/' '$ a keep_rounds: 3'

start_run run dipaco run tiny.yaml --dir run
ctl() {
    dipacoctl --dir run "$@"
}
trained() { # ROUNDS
    [ "$(ctl status --json | value_of rounds_done_min)" -ge "$1" ]
}
wait_for 30 'the coordinator' ctl status
run_to_end early dipacoctl --dir run revoke worker-2 --since 0
check "before training it is refused" [ "$status" != 0 ]
run_to_end usage dipacoctl --dir run revoke worker-2
check 'half a question is a wrong command line' [ "$status" = 2 ]
wait_for 60 'three rounds' trained 3

# In all ledger entries from the one that is given on: contributions of the worker that count.
counted() { # WORKER FROM
    ctl ledger --after "$2" --json | awk -v worker="\"$1\"" '
        /"worker":/ { own = index($0, worker) > 0 }
        /"scale":/ && own { gsub(/[^0-9.]/, "", $2); count += $2 != 0 }
        END { print count + 0 }'
}
run_to_end unknown dipacoctl --dir run revoke worker-9 --since 1
check 'a worker that there is not' grep -q 'there is no worker "worker-9"' unknown.err
nobody='rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
run_to_end stranger dipacoctl --dir run revoke "$nobody" --since 1
check 'a key of nobody that handed anything in' grep -q 'nor anything that it has handed in' stranger.err
round=$(($(ctl status --json | value_of rounds_done_min) - 1))
run_to_end refold dipacoctl --dir run revoke worker-2 --since "$round"
check 'what it handed in is taken out while training goes on' [ "$status" = 0 ]
check 'module by module' grep -qE '^(lower|upper|dense)[^ ]*: version [0-9]+ is version [0-9]+ without [1-9]' refold.out
check 'it says that this is approximate' grep -q 'this is approximate' refold.out
check 'the worker is listed as barred' sh -c "dipacoctl --dir run workers | grep -qE '^worker-2 +revoked'"
check 'and counted' sh -c "dipacoctl --dir run status | grep -q '1 barred'"
last=$(ctl ledger --json | sed -n 's/^ *"sequence": *\([0-9]*\).*/\1/p' | tail -n 1)
ctl versions >versions.out
check 'the cause is listed' grep -qE ' revoke ' versions.out
ctl ledger >ledger.out
check 'what was left out has a scale of 0 in the ledger' awk '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    $column["worker"] == "worker-2" { out += $column["scale"] == 0 }
    END { exit out == 0 }' ledger.out
run_to_end again dipacoctl --dir run revoke worker-2 --since "$round"
check 'asked again there is nothing to do' grep -q '^no version holds anything of it' again.out
run_to_end replay dipacoctl --dir run replay
check 'every version that is kept comes out again' [ "$status" = 0 ]
check 'those without it, too' grep -qE '\(revoke of version [0-9]+\): ok$' replay.out

goal=$(($(ctl status --json | value_of rounds_done_min) + 6))
wait_for 60 'six rounds without it' trained "$goal"
check 'it had been' [ "$(counted worker-2 0)" -gt 0 ]
check 'nothing of it is merged any more' [ "$(counted worker-2 "$((last + 1))")" = 0 ]
check 'it is told why' grep -q 'the operator has revoked' run/logs/worker-2.log
run_to_end old dipacoctl --dir run revoke worker-1 --since 0
check 'what is not kept is refused' [ "$status" = 4 ]
check 'and the oldest possible is named' grep -qE 'the oldest round possible is [1-9]' old.err
check 'and nothing has changed' [ "$(ctl workers | grep -c revoked)" = 1 ]

run_to_end admit dipacoctl --dir run admit worker-2
check 'it is taken in again' grep -q '^worker-2 may work again; it was revoked$' admit.out
connected() {
    ctl workers | grep -qE "^worker-2 +(- +)?yes"
}
wait_for 60 'it to be back' connected
hold_in_training run
round=$(ctl status --json | value_of rounds_done_min)
run_to_end retrain dipacoctl --dir run revoke worker-1 --since "$((round - 1))" --retrain
check 'with --retrain modules go back' [ "$status" = 0 ]
check 'to where the round began' grep -qE '^(lower|upper).[01]: version [0-9]+ has the content of version [0-9]+$' retrain.out
run_to_end json dipacoctl --dir run revoke worker-1 --since "$((round - 1))" --retrain --json
check 'asked again there is nothing to do, as JSON' [ "$(grep -c '"left_out"' json.out)" = 0 ]
release_workers run
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'the run ends with a report' [ -s run/report/report.json ]

finish
