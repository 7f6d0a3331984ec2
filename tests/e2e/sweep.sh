#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Blobs of old rounds are swept while training runs and the coordinator is killed; the versions are
# those of a run that keeps everything, the disk stays within what `dipaco plan` says, and the model
# can be evaluated and asked for text. With early stopping both take the same rounds, however old.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files beside those in the database, and learning so fast that the last
# round is not the best.
make_experiment all.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 12/' \
    's/early_stop: 0.02/early_stop: 0.15/; s/ lr: 3e-3/ lr: 3e-2, lr_end: 1/' \
    '$ a keep_rounds: 1000\nearly_stopping: true'
sed 's/keep_rounds: 1000/keep_rounds: 1/' all.yaml >few.yaml

bytes_of() { # DIR
    find "$1/coordinator/blobs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}

run_to_end all dipaco run all.yaml --dir all
[ "$status" = 0 ] || give_up "the run that keeps everything ended with $status"

start_run few dipaco run few.yaml --dir few
swept() {
    grep -q 'swept removed=[1-9]' few/logs/coordinator.log
}
wait_for 60 'a sweep' swept
kill -9 "$(pid_of few coordinator)"
end_run
[ "$status" = 0 ] || give_up "the run that is swept ended with $status"

check 'the versions are those of the run that keeps everything' same_versions all few
planned=$(dipaco plan few.yaml --json | value_of disk_bytes)
tokens=$(du -sb corpus | cut -f 1)
echo "bytes of blobs: $(bytes_of all) kept, $(bytes_of few) swept, $planned planned"
check 'less than half is left' [ "$(($(bytes_of few) * 2))" -lt "$(bytes_of all)" ]
check 'what is left fits the plan' [ "$(bytes_of few)" -le "$((planned + 2 * tokens))" ]
run_to_end eval dipaco eval few
check 'the model can be evaluated' [ "$status" = 0 ]
run_to_end generate dipaco generate few --prompt 'ab' --tokens 8
check 'and asked for text' [ "$status" = 0 ]

# --- The rounds that are taken.
# Of each path: its name, the round that it takes, that of the least loss, and the last.
rounds_of() { # DIR
    tr -d ' \n' <"$1/report/report.json" | grep -o '{"path":[^}]*}' | awk '{
        name = $0; sub(/.*"path":"/, "", name); sub(/".*/, "", name)
        taken = $0; sub(/.*"best_round":/, "", taken); sub(/,.*/, "", taken)
        list = $0; sub(/.*"early_stop_bits_per_token":/, "", list); gsub(/[^0-9.e+-]+/, " ", list)
        count = split(list, numbers, " ")
        least = 1
        for (i = 3; i <= count; i += 2)
            if (numbers[i + 1] + 0 < numbers[least + 1] + 0) least = i
        print name, taken, numbers[least] + 0, numbers[count - 1] + 0
    }'
}
rounds_of few >few.rounds
cat few.rounds
check 'five paths were measured after each of twelve rounds' [ "$(grep -c ' 12$' few.rounds)" = 5 ]
check 'each takes the round of the least loss' awk '$2 != $3 { exit 1 }' few.rounds
check 'which is not always the last' awk '$2 < 10 { old = 1 } END { exit !old }' few.rounds
rounds_of all >all.rounds
check 'the run that keeps everything takes the same' cmp -s few.rounds all.rounds
check 'the report for people names them' grep -qE '\| [0-9]+ of 12 \|$' few/report/report.md
dipaco eval few --json >eval.json || fail 'eval'
for name in dense dipaco; do
    reported=$(sed -n "/\"name\": *\"$name\"/,/}/p" few/report/report.json | value_of ppl)
    computed=$(sed -n "/\"name\": *\"$name\"/,/}/p" eval.json | value_of ppl)
    check "eval agrees on $name: $reported, $computed" awk "BEGIN {
        exit !($reported > 1 && ($reported - $computed) ^ 2 < ($reported * 1e-6) ^ 2) }"
done

finish
