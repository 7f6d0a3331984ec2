#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Elastic mode: a worker that is told to end hands in the steps that it has done, and the next lease
# of the path goes on from there; so does one whose owner gives it a rest.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 12000,/' 's/rounds: 3/rounds: 1/' 's/mode: strict/mode: elastic/'
start_coordinator tiny.yaml

# In a lease of the round, some steps into it.
trains() {
    is_into_training "$log" 12000
}
start_worker
wait_for 60 'a lease' trains
end_worker TERM
check 'ended as asked' [ "$status" = 0 ]
check 'the lease was cut' grep -q 'lease is cut .* hands_in="deltas and state"' "$log"
check 'and nothing given back' [ "$(grep -c 'given back' "$log")" = 0 ]
part=$(sed -n 's/.*verdict=accepted kind=train path=\([0-9]*\) round=1 steps=\([0-9]*\) .*/\1 \2/p' "$log" | tail -n 1)
path=${part% *}
steps=${part#* }
check "a part of $steps steps was accepted" [ "${steps:-0}" -gt 0 -a "${steps:-12000}" -lt 12000 ]
check 'nothing is left of it' [ ! -e home/spill ]

start_worker
goes_on() {
    grep -q "lease begins kind=train path=$path round=1 steps=$((12000 - steps)) " "$log"
}
wait_for 60 'the rest of the round' goes_on
ok "the next lease has the other $((12000 - steps))"

# --- A rest that its owner gives it does the same, and nothing is asked for until he ends it.
wait_for 60 'a whole lease' trains
dipaco-worker --dir home --snooze 1h >/dev/null || fail 'no rest was given'
rested() {
    grep -q 'lease is cut .* reason="paused: snoozed by its owner"' "$log" &&
        tail -n 1 "$log" | grep -q 'lease ends verdict=accepted kind=train'
}
wait_for 60 'the part to be accepted' rested
ok 'a rest hands in a part'
check 'and gives nothing back' [ "$(grep -c 'given back' "$log")" = 0 ]
dipaco-worker --dir home --snooze off >/dev/null
wait_for 240 'the end' finished
check 'which was accepted' grep -q "verdict=accepted kind=train path=$path round=1 steps=$((12000 - steps)) " "$log"
end_worker TERM
kill "$supervisor"
end_run

finish
