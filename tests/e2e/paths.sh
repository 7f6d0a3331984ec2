#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Paths that are no grid: a list with a hole and replicas, DiLoCo, which is replicas of one model, and
# paths that skip a level.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment listed.yaml 's/^routing:/paths: [0-0, 0-1, 1-1, 1-1]\n&/'
run_to_end listed dipaco run listed.yaml --dir listed
check 'a list of paths trains to the end' [ "$status" = 0 ]
names_of() { # RUN: the paths in its report
    awk -F'"' '$2 == "path" { printf "%s ", $4 }' "$1"/report/report.json
}
check 'its report names the replicas apart' [ "$(names_of listed)" = '0-0 0-1 1-1.0 1-1.1 dense ' ]
run_to_end plan dipaco plan listed.yaml --json
check 'the plan counts the paths through the modules of each level' \
    [ "$(awk '/"paths_through/ { printf "%d ", $2 }' plan.out)" = '2 2 3 1 ' ]
run_to_end eval dipaco eval listed
check 'its paths are evaluated' [ "$status" = 0 ]
run_to_end text dipaco generate listed --prompt 'ab' --tokens 4 --path 1-1.1
check 'a replica writes' [ "$status" = 0 ]
run_to_end hole dipaco generate listed --prompt 'ab' --tokens 4 --path 1-0
check 'the hole does not' [ "$status" != 0 ]

make_experiment diloco.yaml 's/modules: 2/modules: 1/; s/init: kmeans/init: hash/' \
    's/^routing:/replicas: 4\n&/'
run_to_end diloco dipaco run diloco.yaml --dir diloco
check 'replicas of one model train to the end' [ "$status" = 0 ]
check 'as four paths' [ "$(names_of diloco)" = '0-0.0 0-0.1 0-0.2 0-0.3 dense ' ]
run_to_end plan dipaco plan diloco.yaml
check 'the plan says that each round waits for all' [ "$(grep -c 'all paths:' plan.out)" = 2 ]

make_experiment skip.yaml 's/^routing:/  - {name: top, parts: [head], modules: 1}\n&/' \
    's/{name: upper, parts: \[{blocks: 1}, head\], modules: 2}/{name: upper, parts: [{blocks: 1}], modules: 1, identity: true}/'
run_to_end skip dipaco run skip.yaml --dir skip
check 'paths that skip a level train to the end' [ "$status" = 0 ]
check 'beside those that do not' [ "$(names_of skip)" = '0-0-0 0-x-0 1-0-0 1-x-0 dense ' ]
check 'and are smaller' [ "$(awk '/"params":/ { print $2 }' skip/report/report.json | sort -u | wc -l)" = 2 ]
run_to_end eval dipaco eval skip
check 'both kinds are evaluated' [ "$status" = 0 ]
run_to_end text dipaco generate skip --prompt 'ab' --tokens 4 --path 1-x-0
check 'a short one writes' [ "$status" = 0 ]
run_to_end export dipaco export skip --path 1-x-0 --out short
check 'and leaves as a model of fewer layers' grep -q '"num_hidden_layers": 1,' short/config.json
run_to_end plan dipaco plan skip.yaml
check 'the plan shows both sizes' grep -q 'parameters .* to .* a path' plan.out

finish
