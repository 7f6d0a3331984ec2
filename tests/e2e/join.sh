#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Machines that come with a join string: taken in, asked about, turned away, too late.
. "$(dirname "$0")/lib.sh"

join() { # NAME STRING [OPTION]... : to its end; folder and output are NAME's
    join_name=$1
    join_string=$2
    shift 2
    run_to_end "$join_name" dipaco-worker --dir "$join_name" --join "$join_string" \
        --name "$join_name" --threads 1 "$@"
}

start_joining() { # NAME STRING : in the background; its process is $joining
    dipaco-worker --dir "$1" --join "$2" --name "$1" --enrol-only >/dev/null 2>"$1.err" &
    joining=$!
    worker="$worker $joining"
}

state_of() { # NAME
    ctl members --json | sed -n "/\"name\": *\"$1\"/,/}/p" | value_of state
}

is() { # NAME STATE
    [ "$(state_of "$1")" = "$2" ]
}

ctl() {
    dipacoctl --admin "$admin" "$@"
}

listens() {
    ctl status
}

begin() { # FOLDER [OPTION]...
    begin_folder=$1
    shift
    dipaco-coordinator --dir "$begin_folder" --experiment tiny.yaml --admin "$admin" "$@" \
        >>"$begin_folder.out" 2>&1 &
    supervisor=$!
    wait_for 30 'the coordinator' listens
}

takes_descriptors() { # PROCESS : as many as it may have
    awk '/^Max open files/ { took = $4 >= 65536 || $4 == $5 } END { exit !took }' "/proc/$1/limits"
}

make_corpus
make_experiment tiny.yaml
ulimit -S -n 256
admin="ipc://$work/admin.sock"

begin open --listen 'tcp://*:*' --bulk 'tcp://*:*'
check 'it takes the descriptors that it may have' takes_descriptors "$supervisor"
run_to_end nowhere ctl invite
check 'a coordinator that does not know where it is reached says so' [ "$status" = 1 ]
check 'and how to tell it' grep -q -- '--at tcp://HOST:PORT' nowhere.err
run_to_end somewhere ctl invite --at tcp://trainer.example.org:7600
check 'told, it makes a string for there' grep -q '^dipaco://trainer.example.org:7600/' somewhere.out
check 'and nothing else on standard output' [ "$(wc -l <somewhere.out)" = 1 ]

# Nobody answers there: it has nothing to tell yet, and runs all the same.
dipaco-worker --dir waits --join "$(cat somewhere.out)" --connect tcp://127.0.0.1:1 >/dev/null 2>waits.err &
worker=$!
wait_for 30 'a worker that looks for its coordinator' \
    sh -c 'dipaco-worker --dir waits --status | grep -q "^a worker begins in folder"'
check 'it runs, say programs' [ "$(dipaco-worker --dir waits --status --json | value_of running)" = true ]
kill -KILL "$worker"
wait "$worker" 2>/dev/null
worker=
run_to_end waited dipaco-worker --dir waits --status
check 'and then it does not: 3' [ "$status" = 3 ]
other=$(ctl invite --at "$(ctl status --json | value_of control_endpoint | sed 's/0\.0\.0\.0/127.0.0.1/')" 2>/dev/null)
kill -TERM "$supervisor"
end_run

begin store --listen 'tcp://127.0.0.1:*' --bulk 'tcp://127.0.0.1:*'
port=$(ctl status --json | value_of control_endpoint | sed 's/.*://')
string=$(ctl invite --note 'for the first' 2>/dev/null)
run_to_end ids ctl invitations --json
id=$(value_of id <ids.out)

join short "${string%?}" --enrol-only
check 'a string that lost its end is wrong usage' [ "$status" = 2 ]
check 'and told what to do' grep -q 'copy it again' short.err
check 'without the string itself' sh -c "! grep -q '${string#dipaco://*/}' short.err"

join first "$string" --enrol-only
check 'a machine joins' [ "$status" = 0 ]
check 'and is in' is first in
check 'the invitation is used up' [ "$(ctl invitations | wc -l)" = 1 ]
join first "$string" --enrol-only
check 'the same again changes nothing' [ "$status" = 0 ]
rm first/coordinator.pub
join first "$string" --enrol-only
check 'also where the answer was lost' [ "$status" = 0 ]
check 'the coordinator is noted' grep -q '^endpoint tcp://127.0.0.1:' first/coordinator.pub
join second "$string" --enrol-only
check 'another machine comes too late' [ "$status" = 4 ]
check 'and is told so' grep -q 'used up' second.err
join first "$other" --enrol-only
check 'a string of another coordinator is refused' [ "$status" = 4 ]
check 'and told why' grep -q 'another coordinator' first.err

# Two workers of one machine share its folder, as those of two cards do.
string=$(ctl invite --uses 2 2>/dev/null)
for card in 0 1; do
    run_to_end "card$card" dipaco-worker --dir cards --key "cards/worker-card$card.key" --enrol-only \
        --join "$string" --name "card$card"
    check "the worker of card $card joins" is "card$card" in
done

string=$(ctl invite 2>/dev/null)
rm first/worker.key first/worker.key.pub
join first "$string" --enrol-only
check 'a machine that lost its key joins with another string' [ "$status" = 0 ]
string=$(ctl invite --at tcp://127.0.0.1:1 2>/dev/null)
cp first/coordinator.pub place
join first "$string" --enrol-only
check 'a string that names an old place' [ "$status" = 0 ]
check 'leaves what is noted alone' cmp -s place first/coordinator.pub
run_to_end stray dipaco-worker --dir stray "$string"
check 'a string that is no argument' [ "$status" = 2 ]
check 'is not printed' sh -c "! grep -q '${string#dipaco://*/}' stray.err"
ctl withdraw "$(ctl invitations --json | value_of id)" >/dev/null

string=$(ctl invite 2>/dev/null)
id=$(ctl invitations --json | value_of id)
check 'an invitation is withdrawn' ctl withdraw "$id"
join second "$string" --enrol-only
check 'and holds no more' [ "$status" = 4 ]
run_to_end again ctl withdraw "$id"
check 'it is not there any more' [ "$status" = 1 ]

string=$(ctl invite --ask 2>/dev/null)
start_joining asked "$string"
asked=$joining
start_joining unwanted "$string"
unwanted=$joining
wait_for 30 'a machine that waits' is asked pending
wait_for 30 'another one' is unwanted pending
check 'the status tells of them' [ "$(ctl status --json | value_of machines_pending)" = 2 ]
check 'one that waits may not work' sh -c '! ls asked/coordinator.pub 2>/dev/null'
kill -KILL "$supervisor"
end_run
begin store --listen "tcp://127.0.0.1:$port" --bulk 'tcp://127.0.0.1:*' --events events
check 'who waits is not forgotten' is asked pending
check 'one is let in' ctl approve asked
check 'and one turned away' ctl dismiss unwanted
status=0
wait "$asked" || status=$?
check 'which one learns' [ "$status" = 0 ]
status=0
wait "$unwanted" || status=$?
worker=
check 'and the other' [ "$status" = 4 ]
check 'with the reason' grep -q 'turned this machine away' unwanted.err
start_joining filed "$string"
filed=$joining
wait_for 30 'one more' is filed pending
cp filed/worker.key.pub store/workers/filed.pub
: >store/workers/cut.pub
kill -HUP "$supervisor"
status=0
wait "$filed" || status=$?
worker=
check 'one whose key the operator takes by hand is in' [ "$status" = 0 ]
check 'beside a file that holds none, which is told' grep -q 'cut.pub.* it has no public key' store.out
run_to_end again ctl approve asked
check 'a second yes is told to be none' [ "$status" = 1 ]
run_to_end nobody ctl approve nobody
check 'who is not there cannot be let in' grep -q 'dipacoctl members' nobody.err

check 'which is noted as an event' \
    grep -q '"event": *"machine_judged".*"name": *"unwanted", *"state": *"out"' events

# The first one works, with nothing but its folder; then it is turned away while it does.
string=$(ctl invite --uses 3 2>/dev/null)
DIPACO_JOIN=$string dipaco-worker --dir worker --name works --threads 1 >/dev/null 2>works.err &
worker=$!
is_connected() {
    ctl workers | grep -q '^works .*yes'
}
wait_for 30 'a worker that joined' is_connected
kill -TERM "$worker"
wait "$worker"
dipaco-worker --dir worker --name works --threads 1 >/dev/null 2>again.err &
worker=$!
wait_for 120 'the end of the experiment' finished
check 'its coming is an event, too' grep -q '"event": *"machine_enrolled".*"works".*"in"' events
check 'it is turned away' ctl dismiss works
is_refused() {
    grep -q 'not authorised' store.out
}
wait_for 60 'a message of it to be refused' is_refused
end_worker TERM
run_to_end restored ctl approve works
check 'and may come back' [ "$status" = 0 ]

# Another coordinator, a tunnel to nobody and a server of something else look alike to a worker.
dipaco-worker --dir worker --connect "tcp://127.0.0.1:$port" --server-key open/coordinator.key.pub \
    --name works --threads 1 >/dev/null 2>elsewhere.err &
worker=$!
is_doubted() {
    grep -q "what answers at tcp://127.0.0.1:$port breaks off, or is not the coordinator" elsewhere.err
}
wait_for 30 'words about what is not its coordinator' is_doubted
end_worker TERM

finish
