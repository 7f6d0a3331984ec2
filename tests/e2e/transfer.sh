#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Deltas, versions and path states in fewer bytes: a strict run is a function of its file as any
# other, through the ends of workers and coordinator; versions are computed again to the same hash,
# and can be gone back to; and it is fewer bytes.
. "$(dirname "$0")/lib.sh"

make_corpus
wider='s/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 6/; s/steps: 20,/steps: 60,/'
forms='s/upload: fp32/upload: int8, moments: fp8/; s/download: fp32/download: nf4/'
make_experiment plain.yaml "$wider"
make_experiment coded.yaml "$wider" "$forms"
make_experiment tiny.yaml "$wider" "$forms" 's/rounds: 6/rounds: 12/' '$ a keep_rounds: 1000'

bytes() { # DIR up|down
    value_of "bytes_$2" <"$1/report/report.json"
}
for name in plain coded; do
    run_to_end $name dipaco run $name.yaml --dir $name
    [ "$status" = 0 ] || give_up "the $name run ended with $status"
done
# The dense path's deltas, and what is no delta or version, are as before.
check "fewer bytes go up: $(bytes plain up), $(bytes coded up)" \
    [ "$(bytes coded up)" -lt $(($(bytes plain up) * 5 / 10)) ]
check "and down: $(bytes plain down), $(bytes coded down)" \
    [ "$(bytes coded down)" -lt $(($(bytes plain down) * 9 / 10)) ]

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"
start_run run dipaco run tiny.yaml --dir run
hold_in_training run
kill -9 "$(pid_of run worker-1)"
kill -9 "$(pid_of run coordinator)"
release_workers run 2>/dev/null
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'after the end of worker and coordinator the versions are the same' same_versions calm run
run_to_end again dipaco run tiny.yaml --dir again
check 'and so they are of another run' same_versions calm again

# --- All versions come out again; a module goes back, and its path is trained on from there.
start_run back dipaco run tiny.yaml --dir back
wait_for 60 'two rounds' grep -q 'outer step module=lower.0 version=2' back/logs/coordinator.log
hold_in_training back
run_to_end rollback dipacoctl --dir back rollback lower.0 --to 0
check "a module goes back: $(cat rollback.err)" [ "$status" = 0 ]
run_to_end replay dipacoctl --dir back replay
check 'all versions come out as they are' [ "$status" = 0 ]
check 'of all of them' grep -q '^lower.1 version 0 (initial): ok$' replay.out
release_workers back
end_run
[ "$status" = 0 ] || give_up "the run that went back ended with $status"
run_to_end text dipaco generate back --prompt 'ab' --tokens 4
check 'what came of it generates' [ "$status" = 0 ]

# --- The way down is no part of what a fork may change, the way up is.
make_experiment other.yaml "$wider" "$forms" 's/rounds: 6/rounds: 14/; s/upload: int8/upload: nf4/' \
    '$ a keep_rounds: 1000'
run_to_end fork dipaco run other.yaml --dir fork --from calm@6
[ "$status" = 0 ] || give_up "the fork ended with $status"
sed -i 's/moments: fp8/moments: nf4/; s/rounds: 14/rounds: 16/' other.yaml
run_to_end again dipaco run other.yaml --dir fork-2 --from fork@6
[ "$status" = 0 ] || give_up "the fork of the fork ended with $status"
sed -i 's/download: nf4/download: int8/' other.yaml
run_to_end refused dipaco run other.yaml --dir refused --from calm@6
check "another form of versions is refused: $status" [ "$status" = 4 ]
check 'by name' grep -q 'transfer.download' refused.err

finish
