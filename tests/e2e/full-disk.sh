#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk that fills up stops the run with its reason; with room again the same command goes on to the
# versions that a run with room has.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip 'only root can mount a small file system'
mkdir disk
mount -t tmpfs -o size=64m tmpfs disk 2>/dev/null || skip 'mounting is not allowed here'
unmount() {
    umount -l "$work/disk"
    cleanup
}
trap unmount EXIT

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 200,/'
run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

start_run full dipaco run tiny.yaml --dir disk/full
hold_in_training disk/full
dd if=/dev/zero of=disk/filler bs=64k 2>/dev/null
release_workers disk/full
end_run
check 'a full disk stops the run: exit code 1' [ "$status" = 1 ]
check 'and is named' grep -qi 'no space left' full.err
[ -n "${VERBOSE:-}" ] && cat full.err
rm disk/filler
run_to_end full dipaco run tiny.yaml --dir disk/full
[ "$status" = 0 ] || give_up "with room again, the run ended with $status"
check 'the versions are those of the undisturbed run' same_versions calm disk/full

finish
