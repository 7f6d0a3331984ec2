#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A warm start on three paths, and modules that begin as no copies of it, merged by lengths and
# directions: a function of the experiment file as any other run is, through the end of the
# coordinator, and computed again by replay.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment drop.yaml 's/warm_start: .*/warm_start: {steps: 40, replicas: 3, init: drop, drop: 0.25}/' \
    's/rescale: sqrt/rescale: rda/' 's/steps: 20,/steps: 600,/' '$ a keep_rounds: 1000'

run_to_end calm dipaco run drop.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

run_to_end all dipaco export calm --all --out models
check 'the dense model is exported once' [ "$(ls models | tr '\n' ' ')" = '0-0 0-1 1-0 1-1 dense ' ]

start_run killed dipaco run drop.yaml --dir killed
hold_in_training killed
kill -9 "$(pid_of killed coordinator)"
wait_for 60 'the coordinator again' in_phase killed train
run_to_end first dipacoctl --dir killed replay lower.1 0
check 'a module begins as the experiment says' \
    grep -q '^lower.1 version 0 (initial): ok$' first.out
beginnings=$(dipacoctl --dir killed versions --json | awk '
    /"module"/ { module = $2 } /"version"/ { version = $2 }
    /"master"/ && module !~ /dense/ && version ~ /^0,?$/ { print $2 }' | sort -u | wc -l)
check 'each of the four with a content of its own' [ "$beginnings" = 4 ]
check 'the warm start was shared by three' \
    [ "$(dipacoctl --dir killed ledger | grep -c ' dense\.[12] ')" = 4 ]
run_to_end all dipacoctl --dir killed replay
check 'all versions come out as they are' [ "$status" = 0 ]
release_workers killed
end_run
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'after the end of the coordinator the versions are the same' same_versions calm killed

make_experiment noise.yaml 's/warm_start: .*/warm_start: {steps: 40, init: noise}/'
run_to_end noise dipaco run noise.yaml --dir noise
check 'noise trains to the end, too' [ "$status" = 0 ]

# Random weights, all the same, where the prefix alone chooses the path.
make_experiment none.yaml 's/warm_start: .*/warm_start: {steps: 0}/' \
    's/init: kmeans/init: kmeans, features: ngrams/'
run_to_end none dipaco run none.yaml --dir none
check 'without a warm start it trains to the end' [ "$status" = 0 ]
run_to_end none-text dipaco generate none --prompt 'ab' --tokens 4
check 'and routes a prompt' [ "$status" = 0 ]

finish
