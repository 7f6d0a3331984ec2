#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the owner of a machine may ask of a worker: how it stands, rates, a month's bytes, and a rest.
# A short one holds the lease, a long one leaves it to another worker, and the versions are those of
# an undisturbed run.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 12000,/' 's/rounds: 3/rounds: 2/'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

# A second worker, for when the first one rests; its process is $other.
dipaco-worker --dir other --generate-key >/dev/null || give_up 'no key'
mkdir -p store/workers
cp other/worker.key.pub store/workers/other.pub
start_coordinator tiny.yaml
other=
start_other() {
    dipaco-worker --dir other --connect "$(control)" --server-key store/coordinator.key.pub \
        --threads 1 --battery yes --name other >/dev/null 2>other.err &
    other=$!
}
end_other() {
    kill "$other" && wait "$other"
    other=
}
trap '[ -z "$other" ] || kill -9 "$other"; cleanup' EXIT

stands() { # KEY VALUE: of --status --json
    dipaco-worker --dir home --status --json >standing.json &&
        [ "$(value_of "$1" <standing.json)" = "$2" ]
}
snooze() { # TIME...
    dipaco-worker --dir home --snooze "$@" >>snooze.out 2>&1 || fail "snooze $*"
}
steps_done() {
    dipaco-worker --dir home --status --json | value_of done
}
# In the middle of a lease of the round.
trains() {
    is_into_training "$log" 12000
}

# --- How it stands.
run_to_end never dipaco-worker --dir home --status
check 'no worker yet: 3' [ "$status" = 3 ]
check 'and it says so' grep -q 'no worker has run in folder "home"' never.err
began=$(date +%s)
start_worker --rate-up 16 --rate-down 16
wait_for 30 'a worker that stands' stands running true
wait_for 30 'contact' stands connected true
wait_for 60 'a step' sh -c 'dipaco-worker --dir home --status | grep -q "^work *running: train path .*, [1-9][0-9]* of [0-9]*, [1-9]"'
run_to_end running dipaco-worker --dir home --status
check 'it runs: 0' [ "$status" = 0 ]
check 'who and since when' grep -q '^worker *w, runs since .*; figures [0-9] s old$' running.out
ok "$(grep '^work ' running.out)"

# --- Rates: a burst of a second, and then as much as the time allows.
moved() { # day_up|day_down
    dipaco-worker --dir home --status --json | value_of "$1"
}
has_moved() {
    [ "$(moved day_down)" -gt 60000 ] && [ "$(moved day_up)" -gt 20000 ]
}
wait_for 60 'bytes both ways' has_moved
for way in day_up day_down; do
    bytes=$(moved $way)
    most=$((16384 * (2 + $(date +%s) - began)))
    check "$way: $bytes bytes are within the rate ($most)" [ "$bytes" -le "$most" ]
done
end_worker KILL
run_to_end killed dipaco-worker --dir home --status
check 'killed: 3' [ "$status" = 3 ]
check 'and when' grep -q '^worker *w does not run: it was killed after ' killed.out

# --- A month whose bytes are used up.
printf '{"day": %s, "day_up": 0, "day_down": 0, "month_up": 1073741824, "month_down": 0}' \
    "$(date +%Y%m%d)" >home/traffic.json
start_worker --month-gib 1
wait_for 30 'contact' stands connected true
wait_for 10 'the month to be over' stands paused "this month's bytes are used up (--month-gib)"
check 'until when' sh -c 'dipaco-worker --dir home --status | grep -q "^paused *this month.*, until 20..-..-01 00:00"'
check 'no lease is asked for' [ "$(grep -c 'lease begins' "$log")" = 0 ]
end_worker TERM

# --- Outside its hours.
start_worker --hours "$(date -d '2 hours' +%H:00)-$(date -d '3 hours' +%H:00)"
wait_for 30 'contact' stands connected true
wait_for 10 'the pause' stands paused 'outside the hours that its owner gave it'
check 'no lease is asked for' [ "$(grep -c 'lease begins' "$log")" = 0 ]
end_worker TERM

# --- A short rest: the job is held, and goes on in the same lease.
start_worker
wait_for 60 'a lease' trains
snooze 4s
wait_for 10 'the job to be held' stands computing false
check 'why' stands paused 'snoozed by its owner'
held_at=$(steps_done)
check "held at step $held_at" [ "${held_at:-0}" -gt 0 ]
wait_for 20 'the end of the rest' grep -q 'the pause is over' "$log"
check 'nothing was given back' [ "$(grep -c 'given back' "$log")" = 0 ]
accepted() {
    grep -q 'lease ends verdict=accepted kind=train .* steps=12000' "$log"
}
wait_for 60 'the lease to be accepted' accepted
ok 'accepted'

# --- A long one: the lease goes back, and another worker does it.
wait_for 60 'another lease' trains
snooze 1h
wait_for 10 'the lease to go back' grep -q 'lease given back.*reason="paused: snoozed by its owner"' "$log"
check 'the coordinator knows why' grep -q 'paused: snoozed by its owner' coordinator.out
wait_for 10 'rest' stands work waiting
wait_for 10 'until' sh -c 'dipaco-worker --dir home --status | grep -q "^paused *snoozed by its owner, until 20"'
check 'contact stays' stands connected true
start_other
other_works() {
    grep -q 'lease ends verdict=accepted kind=train .* steps=12000' other.err
}
wait_for 60 'the other worker to do it' other_works
end_other
ok 'another worker did it'

# --- The rest outlasts the process, which finds contact all the same.
end_worker TERM
check 'ended as asked' [ "$status" = 0 ]
start_worker
wait_for 30 'contact' stands connected true
check 'it still rests' stands paused 'snoozed by its owner'
check 'and asks for nothing' [ "$(grep -c 'lease begins' "$log")" = 0 ]
told_why() {
    dipacoctl --admin "$admin" why w | grep -q 'or says nothing while its owner has it pause'
}
wait_for 20 'the operator to be told of such silence' told_why
snooze off
wait_for 60 'work' grep -q 'lease begins' "$log"
ok 'it works again'

# --- What makes no sense.
check 'hours that make no sense: 2' sh -c 'dipaco-worker --dir x --connect tcp://h:1 --server-key k --hours night 2>wrong.err; [ $? = 2 ]'
check 'and which' grep -q -- '--hours takes hours such as.*not "night"' wrong.err
check 'a snooze that makes no sense: 2' sh -c 'dipaco-worker --dir home --snooze soon 2>wrong.err; [ $? = 2 ]'

# --- To the end.
wait_for 240 'the end' finished
end_worker TERM
run_to_end ended dipaco-worker --dir home --status
check 'ended: 3' [ "$status" = 3 ]
check 'and when' grep -q '^worker *w does not run: it ended ' ended.out
check 'what came of leases' grep -q '^leases *[1-9][0-9]* accepted, 0 superseded, 0 refused, 1 given back' ended.out
wait_for 10 'the report' [ -s store/report/report.json ]
kill "$supervisor"
end_run
check 'the versions are those of the undisturbed run' same_versions calm store

finish
