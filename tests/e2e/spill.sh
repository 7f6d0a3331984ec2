#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker that is killed, or told to end with --keep-lease, goes on at the step where it was; what is
# damaged is not trusted; the versions are those of an undisturbed run, bit by bit.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 20000,/' 's/rounds: 3/rounds: 1/'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

start_coordinator tiny.yaml

# In the middle of a lease of the round: a finished lease's spill is small.
trains_and_spilled() {
    is_training "$log" 20000 &&
        [ "$(wc -c <home/spill 2>/dev/null || echo 0)" -gt 10000 ]
}
goes_on() {
    grep -q 'lease goes on where it was left.* step=[1-9]' "$log"
}
no_spill() {
    [ ! -e home/spill ]
}

# --- kill -9
start_worker
wait_for 60 'a lease with a spill' trains_and_spilled
end_worker KILL
ok "killed in $(grep 'lease begins' "$log" | tail -n 1 | sed 's/.*lease begins //')"
start_worker --keep-lease
wait_for 30 'the killed lease to go on' goes_on
ok "$(grep 'goes on where' "$log" | sed 's/.*: lease/lease/')"

# --- SIGTERM with --keep-lease
end_worker TERM
check 'kept: ended as asked' [ "$status" = 0 ]
check 'kept: nothing was given back' [ "$(grep -c 'given back' "$log")" = 0 ]
start_worker
wait_for 30 'the kept lease to go on' goes_on
accepted() {
    grep -q 'lease ends verdict=accepted kind=train' "$log"
}
wait_for 60 'the kept lease to be accepted' accepted
ok 'kept: accepted from the third process'

# --- SIGTERM without: given back, and nothing is left of it.
wait_for 60 'another lease with a spill' trains_and_spilled
end_worker TERM
check 'given back' grep -q 'lease given back' "$log"
check 'given back: the spill is gone' no_spill

# --- A terminal that closes is a SIGTERM, where whoever runs this test did not choose otherwise.
if grep -q 'SigIgn:.*[13579bdf]$' "/proc/$$/status"; then
    ok 'hangup: ignored here'
else
    start_worker
    wait_for 60 'a lease with a spill' trains_and_spilled
    end_worker HUP
    check 'hangup: ended as asked' [ "$status" = 0 ]
    check 'hangup: given back' grep -q 'lease given back' "$log"
    check 'hangup: the spill is gone' no_spill
fi

# --- A flipped bit.
start_worker
wait_for 60 'a lease with a spill' trains_and_spilled
end_worker KILL
flip_bit home/spill 5000
start_worker
given_up() {
    grep -q "the last run's lease is given up.*damaged data" "$log"
}
wait_for 30 'the damage to be told' given_up
ok 'damaged: told'

# --- To the end.
wait_for 240 'the end' finished
check 'damaged: begins anew' [ "$(grep -c 'goes on where' "$log")" = 0 ]
end_worker TERM
wait_for 10 'the report' [ -s store/report/report.json ]
kill "$supervisor"
end_run
check 'the versions are those of the undisturbed run' same_versions calm store

finish
