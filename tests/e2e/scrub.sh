#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One flipped bit. In a blob that training does not need any more: the scrubber tells it, the run ends
# with the versions of an undisturbed one. In one that it needs: the coordinator refuses to use it and
# names the file. Once the file is mended the run goes on.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files beside those in the database.
make_experiment tiny.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 8/' \
    's/steps: 20,/steps: 60,/' '$ a keep_rounds: 1000'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

# The file of lower.0's version that stands in that line of its versions: 2 is the second one.
file_of() { # DIR LINE
    hash=$(dipacoctl --dir "$1" versions lower.0 --json | grep '"hash":' | sed -n "$2p" | value_of hash)
    find "$1/coordinator/blobs" -type f -name "$hash"
}

flip() { # FILE
    cp -p "$1" mended
    flip_bit "$1" 1000
}

mend() { # FILE
    rm "$1" && cp -p mended "$1"
}

start_run run dipaco run tiny.yaml --dir run
three_rounds() {
    [ "$(dipacoctl --dir run status --json | value_of rounds_done_min)" -ge 3 ]
}
wait_for 60 'three rounds' three_rounds
hold_in_training run
old=$(file_of run 2)
[ -n "$old" ] || give_up 'version 1 of lower.0 has no file'
flip "$old"
# A new process begins with a new pass.
kill -9 "$(pid_of run coordinator)"
told() {
    dipacoctl --dir run status | grep -q "DAMAGED.*$old"
}
wait_for 60 'the scrubber to find it' told
check 'with the way out' sh -c 'dipacoctl --dir run status | grep -q "from a backup"'
check 'the log says it' grep -q "damage found blob=$(basename "$old")" run/logs/coordinator.log
check 'one blob is damaged' [ "$(dipacoctl --dir run status --json | value_of damaged_blobs)" = 1 ]
release_workers run
end_run
[ "$status" = 0 ] || give_up "the run with a damaged old version ended with $status"
check 'the versions are those of the undisturbed run' same_versions calm run

start_run needed dipaco run tiny.yaml --dir needed
hold_in_training needed
new=$(file_of needed '$')
[ -n "$new" ] || give_up 'the newest version of lower.0 has no file'
flip "$new"
release_workers needed
end_run
check 'a damaged version is not used: the run ends, refused' [ "$status" = 4 ]
check 'and the file is named' grep -q "$new" needed.err
mend "$new"
run_to_end needed dipaco run tiny.yaml --dir needed
[ "$status" = 0 ] || give_up "with the file mended, the run ended with $status"
check 'with the file mended the same command goes on' same_versions calm needed

finish
