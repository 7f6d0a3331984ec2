#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk that fills up pauses the run, which says so with numbers, or what found no room; with room
# again it goes on by itself to the versions that a run with room has.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip 'only root can mount a small file system'
mkdir disk small
mount -t tmpfs -o size=128m tmpfs disk 2>/dev/null || skip 'mounting is not allowed here'
unmount() {
    umount -l "$work/disk"
    umount -l "$work/small" 2>/dev/null
    cleanup
}
trap unmount EXIT

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 200,/'
run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

start_run full dipaco run tiny.yaml --dir disk/full
hold_in_training disk/full
coordinator=$(pid_of disk/full coordinator)
dd if=/dev/zero of=disk/filler bs=64k 2>/dev/null
release_workers disk/full
paused() {
    dipacoctl --dir disk/full status --json | value_of paused | grep -q "the store's disk is full"
}
wait_for 30 'the pause' paused
dipacoctl --dir disk/full status --json >status.json
check 'status says how much is free' [ "$(value_of disk_free_bytes <status.json)" -lt 33554432 ]
check 'and what is needed' grep -q 'goes on with [0-9.]* MiB' status.json
# The workers' logs are on the full disk as well; so it is the coordinator that is asked.
put_off() { # LEAST
    [ "$(dipacoctl --dir disk/full status --json | value_of put_off)" -gt "$1" ]
}
versions() {
    dipacoctl --dir disk/full versions | wc -l
}
wait_for 30 'a worker to be put off' put_off 0
before=$(versions)
wait_for 60 'workers to ask again' put_off 10
check 'no version is made meanwhile' [ "$(versions)" = "$before" ]
wait_for 30 'the run to tell it' grep -q "paused: the store's disk is full" full.out full.err
check 'the coordinator lives' kill -0 "$coordinator"
rm disk/filler
end_run
[ "$status" = 0 ] || give_up "with room again, the run ended with $status"
check 'it is the same process' [ "$(grep -c 'ready control=' disk/full/logs/coordinator.log)" = 1 ]
check 'it tells that it goes on' grep -q 'goes on free_bytes=' disk/full/logs/coordinator.log
check 'the versions are those of the undisturbed run' same_versions calm disk/full

# The report's disk is another one, and the store's has room.
mount -t tmpfs -o size=64k tmpfs small
dd if=/dev/zero of=small/filler bs=4k 2>/dev/null
dipaco-coordinator --dir store --experiment tiny.yaml --fork calm/coordinator 2>fork.err ||
    give_up 'no store that is about to report'
start_coordinator tiny.yaml --report "$work/small/report"
start_worker
wait_for 60 'the pause' grep -q 'paused reason=' coordinator.out
check 'what found no room is named' grep -q "paused reason=.*$work/small/report" coordinator.out
check 'and not the disk that has room' [ "$(grep -c "the store's disk is full" coordinator.out)" = 0 ]
rm small/filler
wait_for 30 'the report' finished
check 'it is written when there is room' [ -s small/report/report.json ]
end_worker TERM

finish
