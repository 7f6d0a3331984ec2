#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each fault strikes in the middle of training; afterwards the versions are those of a run that had
# none, bit by bit.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

# A run in its train phase, its workers halted.
begin() { # NAME
    start_run "$1" dipaco run tiny.yaml --dir "$1"
    hold_in_training "$1"
}

conclude() { # NAME
    [ "$status" = 0 ] || give_up "$1: the run ended with $status"
    check "$1: the versions are those of the undisturbed run" same_versions calm "$1"
}

# --- kill -9 of a worker in the middle of a lease: the run ends by itself.
start_run worker dipaco run tiny.yaml --dir worker
wait_for 60 'a worker in a lease' halted_in_lease worker worker-1
kill -9 "$halted"
end_run
check 'worker: its death was told' grep -q 'worker-1 ended with signal 9' worker.err
conclude worker

# --- kill -9 of the coordinator: it is started again beside its workers.
begin coordinator
kill -9 "$(pid_of coordinator coordinator)"
release_workers coordinator
end_run
check 'coordinator: its death was told' grep -q 'coordinator ended with signal 9' coordinator.err
conclude coordinator

# --- kill -9 of everything, then the same command.
begin everything
kill -9 "$supervisor" "$(pid_of everything coordinator)"
end_run
check 'everything: killed' [ "$status" = 137 ]
run_to_end everything dipaco run tiny.yaml --dir everything
conclude everything

# --- kill -9 of the supervisor alone: its children die with it.
begin orphans
pid=$(pid_of orphans coordinator)
kill -9 "$supervisor"
end_run
gone() {
    [ ! -d "/proc/$pid" ] || grep -q '^State:.*Z' "/proc/$pid/status"
}
wait_for 10 'the orphans to die' gone
ok 'orphans: died with their supervisor'
run_to_end orphans dipaco run tiny.yaml --dir orphans
conclude orphans

# --- While the coordinator is dead, somebody takes its port: it takes another, and its workers follow.
begin thief
kill -STOP "$supervisor"
kill -9 "$(pid_of thief coordinator)"
port=$(value_of control_endpoint <thief/run.json)
port_taken() {
    dipacoctl --admin "ipc://$work/stolen.sock" status
}
dipaco-coordinator --dir stolen --experiment tiny.yaml --listen "$port" --bulk 'tcp://127.0.0.1:*' \
    --admin "ipc://$work/stolen.sock" >stolen.out 2>&1 &
thief=$!
wait_for 30 'the thief' port_taken
kill -CONT "$supervisor"
release_workers thief
end_run
check 'thief: other ports were taken' grep -q 'is in use by another program' thief.err
check 'thief: and remembered' [ "$(value_of control_endpoint <thief/run.json)" != "$port" ]
kill -9 "$thief"
wait "$thief" 2>/dev/null
conclude thief

# --- Ctrl-C, then the same command. A shell makes what it starts in the background deaf to it.
start_run interrupt env --default-signal=INT dipaco run tiny.yaml --dir interrupt
hold_in_training interrupt
kill -INT "$supervisor"
release_workers interrupt
end_run
check 'interrupt: exit code' [ "$status" = 130 ]
check 'interrupt: clean, nothing was killed' [ "$(grep -c 'killing' interrupt.err)" = 0 ]
check 'interrupt: it says what to do' grep -q 'the same command goes on' interrupt.err
run_to_end interrupt dipaco run tiny.yaml --dir interrupt
conclude interrupt

finish
