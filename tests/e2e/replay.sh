#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the middle of a run every version is computed again from the ledger and the contributions, and
# comes out as it is, in elastic mode, too. With one byte of a contribution flipped it is told which
# version cannot.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files.
make_experiment tiny.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 8/' \
    's/steps: 20,/steps: 60,/' '$ a keep_rounds: 1000'

start_run run dipaco run tiny.yaml --dir run
ctl() {
    dipacoctl --dir run "$@"
}
three_rounds() {
    [ "$(ctl status --json | value_of rounds_done_min)" -ge 3 ]
}
wait_for 60 'three rounds' three_rounds
run_to_end all dipacoctl --dir run replay
check 'while training goes on all versions come out as they are' [ "$status" = 0 ]
check 'a line a version' [ "$(grep -c '^upper.1 version [0-9]* (outer_step): ok$' all.out)" -ge 3 ]
check 'where it all begins' grep -q '^dense.lower version 0 (initial): the beginning' all.out
check 'and how many of each sort' grep -qE '^[0-9]+ ok$' all.out

hold_in_training run
run_to_end one dipacoctl --dir run rollback lower.0 --to 1
run_to_end module dipacoctl --dir run replay lower.0
check 'a rollback is what its parent is' grep -qE '^lower.0 version [0-9]+ \(rollback of version 1\): ok$' module.out
check 'only that module' [ "$(grep -c '^upper' module.out)" = 0 ]
run_to_end version dipacoctl --dir run replay lower.0 2 --json
check 'one version' [ "$(grep -c '"verdict"' version.out)" = 1 ]
check 'as JSON' [ "$(value_of ok <version.out)" = 1 ]
run_to_end none dipacoctl --dir run replay lower.0 99
check 'a version that there is not' grep -q 'there is no version 99' none.err
run_to_end none dipacoctl --dir run replay lower.9
check 'a module that there is not' grep -q 'there is no module "lower.9"' none.err

# The first contribution to version 2 of lower.0, whose entry stands behind that of its number.
delta=$(ctl ledger --json | awk '
    /"module"/ { module = $2 } /"version"/ { version = $2 }
    /"delta"/ && module ~ /"lower.0"/ && version ~ /^2,?$/ { gsub(/[",]/, "", $2); print $2; exit }')
file=$(find run/coordinator/blobs -type f -name "${delta:-none}")
[ -n "$file" ] || give_up 'the contribution has no file'
flip_bit "$file" 1000
run_to_end bad dipacoctl --dir run replay
check 'damage fails it' [ "$status" = 1 ]
check 'with the version and the blob' grep -q "^lower.0 version 2 (outer_step): DAMAGED: .*$delta" bad.out
check 'one version is damaged' grep -q '^1 DAMAGED$' bad.out
release_workers run
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"

# In elastic mode versions hang on who came when; the ledger knows.
make_experiment elastic.yaml 's/mode: strict/mode: elastic/' 's/steps: 20,/steps: 60,/' \
    's/rounds: 3/rounds: 12, quorum: 0.5, grace: 0.1/' '$ a keep_rounds: 3'
start_run elastic dipaco run elastic.yaml --dir elastic
elastic_rounds() {
    [ "$(dipacoctl --dir elastic status --json | value_of rounds_done_min)" -ge 4 ]
}
wait_for 60 'four rounds of elastic mode' elastic_rounds
run_to_end loose dipacoctl --dir elastic replay
check 'in elastic mode all versions come out, too' [ "$status" = 0 ]
check 'as they are' [ "$(grep -c '(outer_step): ok$' loose.out)" -ge 8 ]
round=$(($(dipacoctl --dir elastic status --json | value_of rounds_done_min) - 1))
run_to_end out dipacoctl --dir elastic revoke worker-1 --since "$round"
check 'a worker is revoked there' [ "$status" = 0 ]
run_to_end again dipacoctl --dir elastic replay
check 'and what was folded again comes out' [ "$status" = 0 ]
end_run
[ "$status" = 0 ] || give_up "the elastic run ended with $status"

finish
