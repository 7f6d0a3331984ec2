#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker is halted in the middle of its lease: `dipacoctl why` says so of it, of the path that it
# holds, of the paths and modules that wait for that, and of the worker that has nothing to do.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/rounds: 3/rounds: 400/; s/steps: 20,/steps: 60,/' '$ a baseline: {dense: false}'
start_run run dipaco run tiny.yaml --dir run
why() { # NAME WORD...
    run_name=$1
    shift
    run_to_end "$run_name" dipacoctl --dir run why "$@"
}
says() { # NAME PATTERN
    grep -qE "$2" "$1.out"
}

# Until others may have the lease, too, there is nothing to do for the other one, which may still hand
# in one of its own.
lease='lease [0-9]+ of worker worker-1: train path [01]-[01] round [0-9]+, step [0-9]+ of 60 after [0-9.]+ s, .*heard of [0-9.]+ s ago'
idle='^worker worker-2 gets no lease: phase train: no task is ready: 1 held, the first backup is due in [0-9.]+ s'
caught() {
    in_phase run train && halted_in_lease run worker-1 || return 1
    for turn in $(seq 200); do
        why other worker-2
        says other "$idle" && says other "^  $lease; a backup lease is due in [0-9.]+ s\$" && return 0
    done
    kill -CONT "$(pid_of run worker-1)"
    return 1
}
# Drained, or it would take over.
drained() {
    why other worker-2 && says other '^worker worker-2 gets no lease: drained by the operator'
}
silent() {
    why holder worker-1 && says holder '^worker worker-1 .*; it was last heard of [0-9.]+ s ago, and a heartbeat is due each'
}
# On a busy machine it may have taken over before.
held() {
    caught || return 1
    cp other.out idle.out
    dipacoctl --dir run drain worker-2 >/dev/null || give_up 'drain'
    for turn in $(seq 300); do
        drained && silent && return 0
        sleep 0.1
    done
    dipacoctl --dir run undrain worker-2 >/dev/null || give_up 'undrain'
    kill -CONT "$(pid_of run worker-1)"
    return 1
}
wait_for 240 'one that is halted in its lease, and one that is idle for it' held
check 'why it idles: a path is at work' says idle '^  path [01]-[01] is at work in round [0-9]+$'
ok "under the lease of the other one: $(grep -E "^  $lease" idle.out)"
path=$(sed -n 's/^  lease .* worker-1: train path \([^ ]*\) round.*/\1/p' idle.out | head -n 1)
module=lower.${path%-*}
neighbour=${path%-*}-$((1 - ${path#*-}))

why path path "$path"
check 'a path tells its round' says path "^path $path (is ready for round|waits to begin round [0-9]+: )"
why module "$module"
check 'a module tells whom it waits for' says module "^module $module has version [0-9]+ of round [0-9]+; of 2 paths it waits for [12]: "
why neighbour path "$neighbour"
check 'and so does its other path' says neighbour "^path $neighbour (is ready for round|waits to begin round [0-9]+: )"
why json module "$module" --json
check 'likewise as JSON' [ "$(value_of reason <json.out)" = waits ]
check 'with each link of the chain' [ "$(value_of what <json.out)" = module ]

why unknown worker-3
check 'near names are told' grep -q 'no worker, path or module "worker-3"; did you mean worker "worker-[12]"?' unknown.err
why nowhere path 9-9
check 'a path that there is not' [ "$status" = 1 ]
why kind lease 7
check 'a kind that there is not is a wrong command line' [ "$status" = 2 ]

release_workers run
kill -TERM "$supervisor"
end_run
check 'it was halted and goes' [ "$status" = 143 ]

finish
