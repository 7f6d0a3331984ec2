#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every way of routing trains to the end; what it cannot do is refused with the way out.
. "$(dirname "$0")/lib.sh"

write_documents
# Document i is of language i % 4.
awk '{ sub(/}$/, ", \"meta\": {\"lang\": \"l" ((NR - 1) % 4) "\"}}"); print }' documents.jsonl >spoken.json
run_to_end import dipaco data import spoken.json --out corpus --metadata language=meta.lang
check 'an import writes metadata' [ "$(sed -n '1p; 4p' corpus/metadata.tsv)" = "$(printf 'id\tlanguage\n2\tl2')" ]
sed 1d documents.jsonl >fewer.jsonl
cp -R corpus fewer
run_to_end fewer dipaco data import fewer.jsonl --out fewer
check 'and one without tells that ids are others' grep -q 'documents have other ids now.*metadata.tsv' fewer.err
run_to_end fewer dipaco data import spoken.json --out fewer --metadata meta.lang
check 'a column without a name is no usage' [ "$status" = 2 ]
check 'and says how to name it' grep -q 'as in "source=meta.lang"' fewer.err

for init in spherical product metadata hash; do
    make_experiment $init.yaml "s/init: kmeans/init: $init/; s/rounds: 3/rounds: 1/"
    run_to_end $init dipaco run $init.yaml --dir $init
    check "init: $init trains to the end" [ "$status" = 0 ]
    run_to_end $init-text dipaco generate $init --prompt 'ab' --tokens 4
    check "init: $init routes a prompt" [ "$status" = 0 ]
done
for init in metadata hash; do
    check "init: $init: a held-out document's own path goes on from it" \
        [ "$(grep '^path ' $init/report/samples.txt | tr '\n' ' ')" = 'path 0-0 path 0-1 path 1-0 ' ]
done

for features in whitened ngrams; do
    make_experiment $features.yaml \
        "s/init: kmeans/init: kmeans, features: $features, phases: 1, balance: capacity/; s/rounds: 3/rounds: 2/"
    run_to_end $features dipaco run $features.yaml --dir $features
    check "features: $features train to the end, with the linear router too" [ "$status" = 0 ]
    run_to_end $features-text dipaco generate $features --prompt 'ab' --tokens 4
    check "features: $features route a prompt" [ "$status" = 0 ]
done

make_experiment both.yaml \
    's/init: kmeans/init: kmeans, balance: capacity, capacity: 1.0, overlap: 2/; s/rounds: 3/rounds: 1/'
run_to_end both dipaco run both.yaml --dir both
check 'balance and overlap train to the end' [ "$status" = 0 ]

# --- Fields that do not do are told before anything is trained.
refused() { # NAME WORDS
    make_experiment "$1.yaml" "s/init: kmeans/init: metadata, field: $1/; s/rounds: 3/rounds: 1/"
    run_to_end "$1" dipaco run "$1.yaml" --dir "$1"
    check "the field $1 ends the run" [ "$status" != 0 ]
    check "and says what to do: $2" grep -rq "$2" "$1.out" "$1.err" "$1/logs"
    check 'before the warm start' absent 'phase=warm_start' "$1/logs"
}
absent() { # TEXT FOLDER
    ! grep -rq "$1" "$2"
}
sed -i '1s/$/\ttopic\tsource/; 2,$s/\t\(.*\)$/\t\1\t\1\tone/; 5s/l3\tone/\tone/' corpus/metadata.tsv
refused colour 'no column "colour".*routing.field'
refused topic 'document 3 has no "topic" in metadata.tsv: give it one'
refused source '"source" has 1 values in metadata.tsv, and there are 4 paths: use fewer modules'

finish
