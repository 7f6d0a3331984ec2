#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tokens that are pieces of words: from text to a trained run, to its losses by the byte, to text and to
# an exported model, with the corpus gone behind it.
. "$(dirname "$0")/lib.sh"

write_documents
vocab=320
pieces="s/tokenizer: {kind: bytes}/tokenizer: {kind: sentencepiece, vocab: $vocab}/"
make_experiment pieces.yaml "$pieces" '$ a reroute: {every: [16], steps: 5}\nearly_stopping: true' 's/early_stop: 0.02/early_stop: 0.1/'
run_to_end import dipaco data import documents.jsonl --out corpus --tokenizer bpe --vocab $vocab --experiment pieces.yaml
check 'a vocabulary is trained' [ "$status" = 0 ]
check 'and what experiments need for it is said' \
    grep -q "data.tokenizer: {kind: sentencepiece, vocab: $vocab}" import.out
run_to_end info dipaco data info corpus
check 'data info tells it, too' grep -q "{kind: sentencepiece, vocab: $vocab}" info.out
run_to_end info dipaco data info corpus --json
tokens=$(sed -n '1,3s/.*"tokens": \([0-9]*\).*/\1/p' info.out)
bytes=$(sed -n 's/.*"bytes": \([0-9]*\).*/\1/p;s/^ *\([0-9]*\)  bytes of text$/\1/p' import.out)
check "there are fewer tokens ($tokens) than bytes ($bytes)" [ "$tokens" -lt $((bytes * 9 / 10)) ]

# --- Mistakes, before anything runs.

make_experiment wrong.yaml
run_to_end wrong dipaco run wrong.yaml --dir wrong
check 'an experiment of bytes is refused' grep -q "write data.tokenizer: {kind: sentencepiece, vocab: $vocab}" wrong.err
make_experiment wrong.yaml 's/tokenizer: {kind: bytes}/tokenizer: {kind: sentencepiece}/'
run_to_end wrong dipaco run wrong.yaml --dir wrong
check 'one without a vocabulary, too' grep -q 'wrong.yaml:[0-9]*: "data.tokenizer.kind" is sentencepiece, which needs' wrong.err
check 'and nothing was started' [ ! -e wrong/logs ]
for wrong in '--vocab 300' '--experiment pieces.yaml' '--tokenizer bytes --vocab 256'; do
    # shellcheck disable=SC2086
    run_to_end import dipaco data import documents.jsonl --out none $wrong
    check "import with \"$wrong\" is refused" grep -q 'is for a vocabulary that is trained' import.err
done
run_to_end import dipaco data import documents.jsonl --out none --tokenizer unigrm
check 'a tokenizer that is none is told with those that are' \
    grep -q 'a tokenizer is bytes, unigram, bpe or a file: could not read "unigrm"' import.err
check 'and leaves no corpus' [ ! -e none/corpus.tokens ]

# --- A run, with new routes at evaluation and early stopping, whose losses are by the byte.

run_to_end first dipaco run pieces.yaml --dir first
[ "$status" = 0 ] || give_up "the run ended with $status"
# Of each document's line: path, document, targets, bytes, nats. A document's bytes behind the prefix
# and up to the last target are at most its text.
check 'each document has more bytes than targets' \
    awk 'NR > 1 && ($4 <= $3 || $4 > 400) { bad = 1 } END { exit bad || NR < 30 }' first/report/documents.tsv
check 'and so it is along new routes' \
    awk 'NR > 1 && $4 <= $3 { bad = 1 } END { exit bad || NR < 30 }' first/report/reroute.tsv
check 'bits per byte are those of these bytes' awk -F'"' '
    FNR == NR { if (FNR > 1) { split($0, cell, "\t"); if (cell[1] != "dense") { nats += cell[5]; bytes += cell[4] } } next }
    /"dipaco"/ { model = 1 }
    model && /"bits_per_byte"/ { split($0, part, ": "); value = part[2] + 0; exit }
    END { want = nats / log(2) / bytes; exit !(value > want * 0.9999 && value < want * 1.0001) }' \
    first/report/documents.tsv first/report/report.json
dipaco eval first --json >eval.json
check 'dipaco eval counts the same bytes' awk '
    FNR == NR { if ($1 == "0-0") { nats += $5; bytes += $4 } next }
    /"name": "0-0"/ { here = 1 }
    here && /"bits_per_byte"/ { split($0, part, ": "); value = part[2] + 0; exit }
    END { want = nats / log(2) / bytes; exit !(value > want * 0.9999 && value < want * 1.0001) }' \
    first/report/documents.tsv eval.json

# --- The corpus is not needed any more.

mv corpus gone
run_to_end text dipaco generate first --prompt 'abd egi' --tokens 20 --json
check 'text is written' grep -q '"text": "..*"' text.out
run_to_end text dipaco generate first
check 'behind beginnings of held-out documents, too' [ "$status" = 0 ]
run_to_end export dipaco export first --path 0-1 --out model
check 'the model is exported' [ "$status" = 0 ]
check 'with its tokenizer in both forms' \
    [ "$(ls model | tr '\n' ' ')" = 'README.md config.json model.safetensors tokenizer.json tokenizer.model tokenizer_config.json ' ]
check 'the file as it came' cmp -s model/tokenizer.model gone/tokenizer.model
check 'and its vocabulary' grep -q "\"vocab_size\": $vocab" model/config.json
# llama.cpp reads these, and else begins texts with a mark and a space that training never saw.
for word in add_bos_token add_eos_token add_prefix_space; do
    check "others are told: no $word" grep -q "\"$word\": false" model/tokenizer_config.json
done

# --- The exported model and its tokenizer begin another run.

run_to_end import dipaco data import documents.jsonl --out corpus --tokenizer model/tokenizer.model
check 'the same tokens are made with the exported file' cmp -s corpus/corpus.tokens gone/corpus.tokens
make_experiment second.yaml "$pieces" 's/warm_start: .*/warm_start: {steps: 0, from: model}/'
run_to_end second dipaco run second.yaml --dir second
check 'a run begins with it' [ "$status" = 0 ]

run_to_end import dipaco data import documents.jsonl --out other --tokenizer unigram --vocab $vocab
make_experiment wrong.yaml "$pieces" 's/warm_start: .*/warm_start: {steps: 0, from: model}/' 's/corpus: corpus/corpus: other/'
run_to_end wrong dipaco run wrong.yaml --dir wrong
check 'over other pieces it is told that the model would not know them' \
    grep -q 'warm_start.from: ".*model/tokenizer.model" makes other tokens' wrong.err
check 'before anything runs' [ ! -e wrong/logs ]

# --- A tokenizer that others read otherwise: this one also removes spaces (a field of one more message).

cp model/tokenizer.model removes.model
printf '\032\002\040\001' >>removes.model
run_to_end import dipaco data import documents.jsonl --out removes --tokenizer removes.model
make_experiment third.yaml "$pieces" 's/corpus: corpus/corpus: removes/'
run_to_end third dipaco run third.yaml --dir third
check 'a run takes it' [ "$status" = 0 ]
run_to_end export dipaco export third --path dense --out others
check 'the model is exported with the file alone' \
    [ "$(ls others | tr '\n' ' ')" = 'README.md config.json model.safetensors tokenizer.model tokenizer_config.json ' ]
check 'and its README says by what it is read' grep -q 'SentencePieceProcessor(model_file="tokenizer.model")' others/README.md
check 'which that of our own does not' grep -q 'AutoTokenizer.from_pretrained' model/README.md

# --- A fork goes on with the tokenizer of its source.

make_experiment longer.yaml "$pieces" 's/rounds: 3/rounds: 4/'
run_to_end plain dipaco run longer.yaml --dir plain
run_to_end fork dipaco run longer.yaml --dir fork --from plain@2
check 'a fork ends' [ "$status" = 0 ]
rm -r corpus
run_to_end text dipaco generate fork --prompt 'abd egi' --tokens 5
check 'and writes text' [ "$status" = 0 ]

# --- A corpus whose tokenizer is another one.

mv gone corpus
echo more >>corpus/tokenizer.model
run_to_end spoilt dipaco run pieces.yaml --dir spoilt
check 'a spoilt tokenizer is told' grep -q 'is not the tokenizer that the corpus was made with: import its texts again' spoilt.err
check 'before anything runs' [ ! -e spoilt/logs ]
finish
