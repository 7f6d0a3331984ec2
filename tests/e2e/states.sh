#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What becomes of path states: shipped, kept by their workers, or reset. All runs end; what is not
# shipped does not cross the wire.
. "$(dirname "$0")/lib.sh"

make_corpus
uploaded() { # NAME: bytes of the run's report
    value_of bytes_up <"$1/report/report.json"
}
for kind in ship local reset; do
    make_experiment $kind.yaml 's/mode: strict/mode: elastic/' "s/download: fp32}/download: fp32, path_state: $kind}/"
    run_to_end $kind dipaco run $kind.yaml --dir $kind
    [ "$status" = 0 ] || give_up "$kind: the run ended with $status"
    ok "$kind: $(uploaded $kind) bytes up"
done
check 'local: two thirds less' [ "$(uploaded local)" -lt "$(($(uploaded ship) / 2))" ]
check 'reset: as much as local' [ "$(uploaded reset)" -lt "$(($(uploaded ship) / 2))" ]

make_experiment refused.yaml "s/download: fp32}/download: fp32, path_state: local}/"
run_to_end refused dipaco run refused.yaml --dir refused
check 'strict mode refuses local' [ "$status" = 2 ]
check 'and says what to do' grep -q 'choose ship or reset, or mode: elastic' refused.err

finish
