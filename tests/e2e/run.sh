#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From documents to a table, and what can be asked of the result.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml

dipaco data info corpus --experiment tiny.yaml --json >info.json
check 'data info counts documents' [ "$(value_of documents <info.json)" = 320 ]

dipaco plan tiny.yaml --json >plan.json
check 'plan counts paths' [ "$(value_of paths <plan.json)" = 4 ]

# --- The run.
run_to_end first dipaco run tiny.yaml --dir first
[ "$status" = 0 ] || give_up "dipaco run ended with $status"
check 'the table has dense' grep -q '^dense ' first.out
check 'the table has dipaco with its difference' grep -qE '^dipaco .*%$' first.out
check 'bytes are told' grep -q 'over the wire: .* up, .* down' first.out
check 'it says where the report lies' grep -q 'first/report/report.md' first.out
check 'three samples' [ "$(grep -c '^path ' first.out)" = 3 ]
for file in report.json report.md loss.svg routing.svg samples.txt; do
    check "there is $file" [ -s "first/report/$file" ]
done
check 'plain progress lines' grep -qE '^[a-z_]+ +rounds? [0-9]' first.err
check 'all processes have gone' [ "$(pid_of first worker-1)$(pid_of first coordinator)" = 00 ]
check 'keys are closed to others' [ "$(stat -c %a first/keys/workers/worker-1.key)" = 600 ]

# --- The same again, at once, without any process.
run_to_end again dipaco run tiny.yaml --dir first
check 'a finished run ends well again' [ "$status" = 0 ]
check 'and says the same' cmp -s first.out again.out

run_to_end json dipaco run tiny.yaml --dir first --json --prompt 'abra '
check 'as JSON' [ "$(value_of experiment <json.out)" = tiny ]
check 'with the prompt that was given' grep -q '"prompt": "abra "' json.out

# --- A key that may change comes too late.
sed '$ a evaluation: {windows: 3}' tiny.yaml >late.yaml
cp first/experiment.yaml experiment.before
run_to_end late dipaco run late.yaml --dir first
check 'a finished run with a changed file still shows its result' [ "$status" = 0 ]
check 'the change is told' grep -q 'evaluation.windows: 8 -> 3' late.err
check 'and that it has no effect' grep -q 'has finished, so that this has no effect: a new one takes it' late.err
check 'nor does it stand in experiment.yaml' cmp -s experiment.before first/experiment.yaml

# --- Without its report, which nothing writes again.
mv first/report/report.json report.json
run_to_end unreported dipaco run tiny.yaml --dir first
check 'a finished run without its report fails' [ "$status" = 1 ]
check 'and the way out is told' grep -q 'could not find .*/report.json": .*remove the folder to train anew' unreported.err
mv report.json first/report/report.json

# Guessing at random has a perplexity of 256.
for name in dense dipaco; do
    reported=$(sed -n "/\"name\": *\"$name\"/,/}/p" first/report/report.json | value_of ppl)
    check "$name has learned: $reported" awk "BEGIN { exit !($reported > 1 && $reported < 64) }"
done

# --- eval: the same figures by another way.
dipaco eval first --json >eval.json || fail 'eval'
for name in dense dipaco; do
    reported=$(sed -n "/\"name\": *\"$name\"/,/}/p" first/report/report.json | value_of ppl)
    computed=$(sed -n "/\"name\": *\"$name\"/,/}/p" eval.json | value_of ppl)
    check "eval agrees on $name: $reported, $computed" awk "BEGIN {
        exit !($reported > 1 && ($reported - $computed) ^ 2 < ($reported * 1e-6) ^ 2) }"
done
dipaco eval first --path 0-1 >/dev/null || fail 'eval of one path'
run_to_end eval_none dipaco eval first --path 7-7
check 'eval of no path' [ "$status" = 1 ]

# --- generate.
dipaco generate first --prompt 'abra ' --tokens 40 --json >one.json || fail 'generate'
dipaco generate first --prompt 'abra ' --tokens 40 --json >two.json || fail 'generate'
dipaco generate first --prompt 'abra ' --tokens 40 --json --seed 2 >three.json || fail 'generate'
check 'generate repeats itself' cmp -s one.json two.json
check 'another seed, another text' [ "$(value_of text <one.json)" != "$(value_of text <three.json)" ]
dipaco generate first --path dense --tokens 5 >dense.out || fail 'generate by the dense path'
check 'the dense path has written' grep -q '^path dense' dense.out

# --- A finished run, one of whose workers does not end, is not waited for by who is in a hurry.
make_experiment halted.yaml 's/steps: 20,/steps: 600,/'
start_run halted dipaco run halted.yaml --dir halted
hold_in_training halted
kill -CONT "$(pid_of halted worker-1)"
wait_for 60 'the end of the training' grep -q '"finished": true' halted/run.json
kill -TERM "$supervisor"
wait_for 10 'the first signal is heard' grep -q 'once more stops at once' halted.err
kill -TERM "$supervisor"
end_run
check 'a second signal kills at the end, too' grep -q 'killing all processes' halted.err
check 'what is finished is shown' [ "$status" = 0 ]

finish
