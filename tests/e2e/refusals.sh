#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is refused, with exit code 4, and that refusing leaves the run alone.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'
start_run run dipaco run tiny.yaml --dir run
hold_in_training run

run_to_end second dipaco run tiny.yaml --dir run
check 'a second start is refused' [ "$status" = 4 ]
check 'and told why' grep -q 'another dipaco run' second.err
run_to_end second dipaco run tiny.yaml --dir run --fresh
check 'also with --fresh' [ "$status" = 4 ]

kill -TERM "$supervisor"
release_workers run
end_run

make_experiment changed.yaml 's/steps: 20,/steps: 600,/' 's/rounds: 3/rounds: 4/' 's/seed: 7/seed: 8/'
echo 'evaluation: {windows: 3}' >>changed.yaml
run_to_end changed dipaco run changed.yaml --dir run
check 'a changed file is refused' [ "$status" = 4 ]
check 'the keys are named' grep -q 'outer.rounds: 3 -> 4 (fixed' changed.err
check 'all of them' grep -q 'seed: 7 -> 8 (fixed' changed.err
check 'and which may change' grep -q 'evaluation.windows: 8 -> 3 (may change' changed.err

mkdir other
echo precious >other/file
run_to_end other dipaco run tiny.yaml --dir other
check 'a folder of something else is refused' [ "$status" = 4 ]
run_to_end other dipaco run tiny.yaml --dir other --fresh
check 'also with --fresh' [ "$status" = 4 ]
check 'and left alone' [ "$(ls other)" = file ]

run_to_end run dipaco run tiny.yaml --dir run
check 'the run itself goes on to its end' [ "$status" = 0 ]

# --- What --fresh begins with is looked at before it removes what there was.
fresh_is_refused() { # WORDS STATUS COMMAND...
    fresh_words=$1
    fresh_status=$2
    shift 2
    run_to_end refused "$@" --dir run --fresh
    check "--fresh $fresh_words is refused" [ "$status" = "$fresh_status" ]
    check 'and the earlier run is still there' [ -s run/report/report.json ]
}
make_experiment typo.yaml 's/corpus: corpus/corpus: corpsu/'
fresh_is_refused 'without a corpus' 1 dipaco run typo.yaml
fresh_is_refused 'from the run itself' 4 dipaco run tiny.yaml --from run
fresh_is_refused 'from a run that is none' 1 dipaco run tiny.yaml --from nowhere
cp -r run source
fresh_is_refused 'from a round that is not there' 1 dipaco run tiny.yaml --from source@77
check 'and told why' grep -q '77' refused.err
make_experiment other.yaml 's/steps: 20,/steps: 600,/' 's/dim: 16/dim: 32/'
fresh_is_refused 'from another model' 4 dipaco run other.yaml --from source
mv source x@3
fresh_is_refused 'from another model in x@3' 4 dipaco run other.yaml --from x@3
for command in 'dipaco run tiny.yaml' 'dipaco-coordinator --experiment tiny.yaml'; do
    run_to_end nowhere $command --dir ''
    check "no folder is refused: $command" [ "$status" = 2 ]
    check 'by name' grep -q -e '--dir takes .*, not ""' nowhere.err
done

# It was cut off, and what was left of it is the folder we are in.
mkdir here
printf 'comparison: c\nbase: ../tiny.yaml\nrows:\n  - {name: grid}\n' >here/compare.yaml
cp -r run/. here
long=$(printf '%600s' '' | sed 's/ /.\//g')new
for command in 'run ../tiny.yaml --fresh' 'compare compare.yaml'; do
    status=0
    (cd here && exec dipaco $command --dir "$long") >long.out 2>long.err || status=$?
    check "a folder whose path is too long is refused: $command" [ "$status" = 1 ]
    check 'as that' grep -q 'the path of the folder ".*" is too long' long.err
    check 'and the run that is here is still there' [ -s here/report/report.json ]
    check 'with nothing beside it' [ ! -e here/experiments ]
done
run_to_end run dipaco run tiny.yaml --dir run
check 'it tells its result again' [ "$status" = 0 ]

sed -i 's/steps: 600,/steps: 20,/' tiny.yaml
run_to_end fresh dipaco run tiny.yaml --dir run --fresh
check '--fresh begins anew with another file' [ "$status" = 0 ]

finish
