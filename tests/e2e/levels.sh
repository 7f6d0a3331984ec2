#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A level of modules that belong to one path each: trained to the end, each with its own outer steps.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment own.yaml 's/^routing:/  - {name: mine, parts: [{blocks: 1}, head], modules: path}\n&/' \
    's/parts: \[{blocks: 1}, head\], modules: 2/parts: [{blocks: 1}], modules: 2/'
run_to_end own dipaco run own.yaml --dir own
check 'modules: path trains to the end' [ "$status" = 0 ]
run_to_end plan dipaco plan own.yaml --json
check 'each of four paths has its own, beside two and two shared' \
    [ "$(awk '/"modules"/ { printf "%d ", $2 }' plan.out)" = '2 2 4 ' ]
run_to_end eval dipaco eval own
check 'its paths are evaluated' [ "$status" = 0 ]
run_to_end text dipaco generate own --prompt 'ab' --tokens 4
check 'and write' [ "$status" = 0 ]

# --- A level that some paths skip: these begin with a state that is larger than they are.
make_experiment short.yaml 's/^routing:/  - {name: end, parts: [{blocks: 1}, head], modules: 2}\n&/' \
    's/name: upper, parts: \[{blocks: 1}, head\], modules: 2/name: mid, parts: [{blocks: 1}], modules: 1, identity: true/' \
    '$ a keep_rounds: 1000'
run_to_end short dipaco run short.yaml --dir short
check 'identity: true trains to the end' [ "$status" = 0 ]
run_to_end again dipaco run short.yaml --dir again --from short@0
check 'and can be forked at its first round' [ "$status" = 0 ]
check 'with the same versions' same_versions short again

finish
