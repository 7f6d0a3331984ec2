#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker is drained in the middle of its lease: it hands that in and gets no other one, not after
# its and the coordinator's end either, until it is wanted again. The run has the versions of any other.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/rounds: 3/rounds: 30/; s/steps: 20,/steps: 60,/'

start_run run dipaco run tiny.yaml --dir run
ctl() {
    dipacoctl --dir run "$@"
}
worker_1() { # KEY
    ctl workers --json | sed -n '/"name": *"worker-1"/,/^ *}/p' | value_of "$1"
}
wait_for 60 'the train phase' in_phase run train
wait_for 60 'a worker in the middle of a lease' halted_in_lease run worker-1
wait_for 60 'the other one' ctl drain worker-2

run_to_end unknown dipacoctl --dir run drain worker-9
check 'a worker that there is not' grep -q 'there is no worker "worker-9"' unknown.err
run_to_end usage dipacoctl --dir run drain
check 'neither worker nor --all is a wrong command line' [ "$status" = 2 ]
run_to_end both dipacoctl --dir run undrain worker-1 --all
check 'nor is both a right one' [ "$status" = 2 ]
run_to_end drain dipacoctl --dir run drain worker-1
check 'it is told that it holds a lease' \
    grep -q '^worker-1 is drained; it finishes the lease that it holds$' drain.out
run_to_end again dipacoctl --dir run drain worker-1
check 'twice is once' grep -q '^worker-1 is drained already; it finishes' again.out
check 'workers list it' sh -c "dipacoctl --dir run workers | grep -qE '^worker-1 +(- +)?[a-z]+ +yes'"
check 'status counts both' sh -c "dipacoctl --dir run status | grep -q ' 2 drained'"

leases=$(worker_1 leases)
merged=$(worker_1 merged)
kill -CONT "$(pid_of run worker-1)"
idle() { # of both, nobody holds anything
    [ "$(ctl status --json | value_of leases)" = 0 ]
}
wait_for 60 'both to have handed in' idle
check 'what it held was merged' [ "$(worker_1 merged)" -gt "$merged" ]
check 'it got no other lease' [ "$(worker_1 leases)" = "$leases" ]
wait_for 60 'status to say so' sh -c "dipacoctl --dir run status | grep -q 'all workers that are connected are drained'"

# Whoever is started again finds it as it was.
coordinator=$(pid_of run coordinator)
kill -9 "$coordinator" "$(pid_of run worker-1)"
back() {
    [ "$(pid_of run coordinator)" != "$coordinator" ] && [ "$(worker_1 connected)" = true ]
}
wait_for 60 'both to be back' back
check 'it is still drained' [ "$(worker_1 drained)" = true ]
check 'and has got nothing' [ "$(worker_1 leases)" = "$leases" ]

run_to_end undrain dipacoctl --dir run undrain --all
check 'all are wanted again' grep -q '^2 workers get leases, 0 already' undrain.out
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"

make_experiment tiny.yaml 's/rounds: 3/rounds: 30/; s/steps: 20,/steps: 60,/'
run_to_end quiet dipaco run tiny.yaml --dir quiet
check 'the run has the versions of one in which nobody was drained' same_versions run quiet

finish
