#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Blobs of old rounds are swept while training runs and the coordinator is killed; the versions are
# those of a run that keeps everything, the disk stays within what `dipaco plan` says, and the model
# can be evaluated and asked for text.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files beside those in the database.
make_experiment all.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 12/' \
    '$ a keep_rounds: 1000'
make_experiment few.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 12/' \
    '$ a keep_rounds: 1'

bytes_of() { # DIR
    find "$1/coordinator/blobs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}

run_to_end all dipaco run all.yaml --dir all
[ "$status" = 0 ] || give_up "the run that keeps everything ended with $status"

start_run few dipaco run few.yaml --dir few
swept() {
    grep -q 'swept removed=[1-9]' few/logs/coordinator.log
}
wait_for 60 'a sweep' swept
kill -9 "$(pid_of few coordinator)"
end_run
[ "$status" = 0 ] || give_up "the run that is swept ended with $status"

check 'the versions are those of the run that keeps everything' same_versions all few
planned=$(dipaco plan few.yaml --json | value_of disk_bytes)
tokens=$(du -sb corpus | cut -f 1)
echo "bytes of blobs: $(bytes_of all) kept, $(bytes_of few) swept, $planned planned"
check 'less than half is left' [ "$(($(bytes_of few) * 2))" -lt "$(bytes_of all)" ]
check 'what is left fits the plan' [ "$(bytes_of few)" -le "$((planned + 2 * tokens))" ]
run_to_end eval dipaco eval few
check 'the model can be evaluated' [ "$status" = 0 ]
run_to_end generate dipaco generate few --prompt 'ab' --tokens 8
check 'and asked for text' [ "$status" = 0 ]

finish
