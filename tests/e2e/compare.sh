#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A table of experiments: cost, runs that are shared, an interruption, the files at the end.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml
cat >table.yaml <<'END'
comparison: table
base: tiny.yaml
rows:
  - {name: dense, measure: dense}
  - {name: grid, title: two by two}
  - name: flat
    set: {levels: [{name: all, parts: [embedding, {blocks: 2}, head], modules: 4}]}
  - name: longer
    tokens_of: grid
    against: grid
    set:
      levels: [{name: all, parts: [embedding, {blocks: 2}, head], modules: 1}]
      outer: {lr: 1, momentum: 0, rescale: none}
END

# A row's figure out of compare.json: what stands between its name and the next row's.
figure() { # ROW KEY
    sed -n "/^      \"name\": *\"$1\"/,/^    }/p" table/compare.json | value_of "$2"
}

dipaco compare table.yaml --dir table --plan 2>plan.err || fail 'plan'
check 'the cost is told' grep -q '^4 rows, 3 runs, 3 of them to be trained: .* FLOPs' plan.err
check 'and nothing is trained' [ ! -e table/compare.json ]
run_to_end costs dipaco compare table.yaml --dir table --plan --json
check 'as JSON, too' [ "$status:$(value_of runs_left <costs.out)" = 0:3 ]
check 'with the operations' grep -qF ": $(awk "BEGIN {
    printf \"%.3g\", $(value_of train_flops <costs.out) }") FLOPs, " plan.err

# --- Stopped while the second run trains, and gone on with.
start_run stopped dipaco compare table.yaml --dir table
wait_for 120 'the second run' grep -q '^run 2 of 3: flat' stopped.err
kill -TERM "$supervisor"
end_run
check "a stopped comparison says so: $status" [ "$status" = 143 ]
check 'the first run is told already' [ "$(figure grid finished)" = true ]
check 'the second is not' [ "$(figure flat finished)" = false ]

run_to_end table dipaco compare table.yaml --dir table
[ "$status" = 0 ] || give_up "compare ended with $status"
check 'what was finished is not trained again' grep -q '2 of them to be trained' table.err
for file in compare.json compare.md compare.svg; do
    check "there is $file" [ -s "table/$file" ]
done
check 'the table has all rows' [ "$(grep -cE '^(dense|grid|flat|longer) ' table.out)" = 4 ]
check 'both blocks stand in Markdown' [ "$(grep -c '^## Equal' table/compare.md)" = 2 ]
check 'the dense row shares the run of the grid' \
    [ "$(figure dense run)" = "$(figure grid run)" ]
check 'equal tokens' [ "$(figure longer tokens)" = "$(figure grid tokens)" ]
check 'more steps for it' [ "$(figure longer steps)" -gt "$(figure grid steps)" ]

# --- The same figures as the run's own report has.
run=table/runs/$(figure grid run)
for name in dense:dense grid:dipaco; do
    reported=$(sed -n "/\"name\": *\"${name#*:}\"/,/}/p" "$run/report/report.json" | value_of ppl)
    compared=$(figure "${name%:*}" ppl)
    check "${name%:*} as its run says: $reported, $compared" awk "BEGIN {
        exit !($reported > 1 && ($reported - $compared) ^ 2 < ($reported * 1e-9) ^ 2) }"
done
# The step from dense to grid is the ratio of their perplexities, and lies in its interval.
check 'the step is the ratio' awk "BEGIN {
    step = 100 * ($(figure grid ppl) / $(figure dense ppl) - 1)
    exit !(($(figure grid percent) - step) ^ 2 < 1e-12 &&
           $(figure grid low) <= step && step <= $(figure grid high)) }"

# --- Again: nothing to be done, the same files.
cp table/compare.json before.json
run_to_end again dipaco compare table.yaml --dir table --json
check 'a finished comparison trains nothing' grep -q ' 0 of them to be trained' again.err
check 'and says the same' cmp -s before.json table/compare.json
check 'as JSON, too' [ "$(value_of comparison <again.out)" = table ]

# --- A finished run whose report is gone has failed, and heals with it.
report=table/runs/$(figure flat run)/report/report.json
mv "$report" report.json
run_to_end unreported dipaco compare table.yaml --dir table
check 'a run without its report is a failure' [ "$status" = 1 ]
check 'and the report is named' grep -q 'could not find ".*/report/report.json"' unreported.err
check 'so is the folder' grep -q 'to begin it anew, remove "' unreported.err
mv report.json "$report"
run_to_end healed dipaco compare table.yaml --dir table
check 'with its report it is whole again' cmp -s before.json table/compare.json

# --- A run that says what is wanted, under a name that neither this nor an earlier release gave it.
flat=table/runs/$(figure flat run)
mv "$flat" table/runs/flat-renamed
run_to_end renamed dipaco compare table.yaml --dir table --plan
check 'a run under another name is not trusted' grep -q ' 1 of them to be trained' renamed.err
check 'and it is told why' \
    grep -q 'finished run "flat-renamed" is left alone: its name is not' renamed.err
mv table/runs/flat-renamed "$flat"

# --- Rows that differ behind the warm start share it, and end as if each had trained its own.
cat >shared.yaml <<'END'
comparison: shared
base: tiny.yaml
rows:
  - {name: sqrt}
  - {name: plain, set: {outer: {rescale: none}, routing: {init: hash}}}
  - {name: others, set: {data: {corpus: others}}}
  - {name: local, set: {mode: elastic, transfer: {path_state: local}}}
  - {name: kept, set: {mode: elastic, transfer: {path_state: local}, outer: {lr: 0.5}}}
  - {name: more, set: {outer: {rounds: 4}, inner: {steps: 200}}}
  - {name: slow, set: {outer: {lr: 0.1}}}
END
sed '$ d' documents.jsonl >others.jsonl
dipaco data import others.jsonl --out others >import.out 2>&1 || give_up 'another corpus'
run_of() { # ROW
    basename "$(ls -d shared/runs/"$1"-*)"
}
has_state() { # ROW: its folder is made after its line is printed
    [ -s "shared/runs/$(run_of "$1")/run.json" ]
}
start_run shared dipaco compare shared.yaml --dir shared
wait_for 120 'the run with more rounds' grep -q '^run 6 of 7: more' shared.err
wait_for 60 'its state' has_state more
hold_in_training "shared/runs/$(run_of more)"
source=shared/runs/$(run_of sqrt)/coordinator
mv "$source" "$source.gone"
release_workers "shared/runs/$(run_of more)"
end_run
[ "$status" = 0 ] || give_up "rows with one warm start ended with $status"
mv "$source.gone" "$source"
check 'the second takes that of the first' grep -q "^warm start: that of .*/$(run_of sqrt)\$" shared.err
check 'rows of another schedule, of other documents, or with states that workers keep have their own' \
    [ "$(grep -c '^warm start: that of [^ ]*$' shared.err)" = 1 ]
check 'and so has one that cannot have it' grep -q \
    "^warm start: that of .*/$(run_of sqrt) could not be taken, so it is trained: .* holds no store" shared.err
check 'nobody else asked for one' [ "$(grep -c '^warm start: ' shared.err)" = 2 ]
check 'the log of that stays' [ -s "shared/runs/$(run_of slow)/logs/fork.log" ]
check 'nothing of it is trained again' [ -z "$(sed -n '/outer step module=dense/p' \
    "shared/runs/$(run_of plain)/logs/coordinator.log")" ]
run_to_end alone dipaco run "shared/experiments/$(run_of plain).yaml" --dir alone
check 'versions are those of a run by itself' same_versions alone "shared/runs/$(run_of plain)"
check 'and so are losses' cmp -s alone/report/documents.tsv \
    "shared/runs/$(run_of plain)/report/documents.tsv"

# --- A run that somebody trains already is left to him: nobody is told to remove it.
sed 's/steps: 20,/steps: 600,/' tiny.yaml >slow.yaml
printf 'comparison: held\nbase: slow.yaml\nrows: [{name: slow}]\n' >held.yaml
start_run first dipaco compare held.yaml --dir held
wait_for 60 'its state' sh -c 'ls held/runs/*/run.json'
busy=$(echo held/runs/*)
hold_in_training "$busy"
run_to_end second dipaco compare held.yaml --dir held
check 'a run that is held is no result' [ "$status" = 1 ]
check 'who holds it is told' grep -q "another dipaco run holds \".*/$busy\"" second.err
check 'and to wait' grep -q 'slow, seed 7, is left to who trains it' second.err
check 'not to remove it' sh -c '! grep -q remove second.err'
kill -TERM "$supervisor"
release_workers "$busy"
end_run

# --- What is refused.
sed 's/modules: 4/modules: 0/' table.yaml >bad.yaml
run_to_end bad dipaco compare bad.yaml --dir bad
check 'a mistake in a row is usage' [ "$status" = 2 ]
check 'and names row and line' grep -q 'row "flat": bad.yaml:7: ' bad.err

run_to_end mistaken dipaco run table.yaml --dir bad
check 'a table is no experiment' [ "$status" = 2 ]
check 'and it is told what it is for' grep -q 'which dipaco compare takes' mistaken.err

# --- A row that fails leaves the others.
sed 's/modules: 4/modules: 300/' table.yaml >greedy.yaml
run_to_end greedy dipaco compare greedy.yaml --dir table
check 'a run that fails is an error at the end' [ "$status" = 1 ]
check 'and says so' grep -q '1 of 3 runs failed' greedy.err
folder=$(sed -n 's/.*to begin it anew, remove "\(.*\)"$/\1/p' greedy.err)
check 'and which folder is in the way' [ -d "${folder:-none}" ]
check 'the others are told' [ "$(figure grid finished) $(figure longer finished)" = 'true true' ]
check 'its row is empty' [ "$(figure flat finished)" = false ]

finish
