#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Paths leave as LlamaForCausalLM, which PyTorch computes alike, and a model that comes in that form is
# the dense one, to the bit, without a warm start and whatever becomes of its folder.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml
run_to_end first dipaco run tiny.yaml --dir first
[ "$status" = 0 ] || give_up "the run ended with $status"

# --- Out.

run_to_end dense dipaco export first --path dense --out models/dense
check 'the dense path is exported' [ "$status" = 0 ]
check 'and says how large it is' grep -q '^dense: models/dense, 9296 parameters$' dense.out
run_to_end again dipaco export first --path dense --out models/dense
check 'a folder that holds something is refused' [ "$status" = 4 ]
check 'with the way out' grep -q 'is not empty: name another folder, or .* --force' again.err
cp models/dense/model.safetensors before
echo old >models/dense/config.json
run_to_end forced dipaco export first --path dense --out models/dense --force
check 'with --force it is written over' [ "$status" = 0 ]
check 'whole' grep -q '"model_type": "llama"' models/dense/config.json
check 'with the same bytes' cmp -s before models/dense/model.safetensors
check 'and nothing beside them' \
    [ "$(ls models/dense | tr '\n' ' ')" = 'README.md config.json model.safetensors tokenizer.json tokenizer_config.json ' ]
run_to_end all dipaco export first --all --out all
check 'all paths are exported' [ "$(ls all | tr '\n' ' ')" = '0-0 0-1 1-0 1-1 dense ' ]
check 'the dense one as before' cmp -s all/dense/model.safetensors models/dense/model.safetensors
run_to_end half dipaco export first --path 0-1 --out half --dtype bf16
whole_bytes=$(wc -c <all/0-1/model.safetensors)
check 'in bf16 a file is little more than half as large' \
    [ "$(wc -c <half/model.safetensors)" -lt $((whole_bytes * 2 / 3)) ]
for wrong in '--path 2-0 --out x' '--path dense' '--out x' '--all --path dense --out x' \
    '--path dense --out x --dtype f16'; do
    # shellcheck disable=SC2086
    run_to_end wrong dipaco export first $wrong
    check "\"$wrong\" is refused" [ "$status" != 0 ]
done
check 'and leaves nothing' [ ! -e x ]

# --- What a disk lost is not told as what a coordinator removed alone.

make_experiment wide.yaml 's/dim: 16/dim: 64/' # modules that stand in files
run_to_end lost dipaco run wide.yaml --dir lost
[ "$status" = 0 ] || give_up "the run of wider modules ended with $status"
find lost/coordinator/blobs -type f -delete
run_to_end lost dipaco eval lost
check 'a run without its files is told' [ "$status" != 0 ]
check 'with what to do where nothing goes on' \
    grep -qE "is gone: .*; else its file was lost: put [0-9a-f]{64} back from a backup" lost.err

# --- In.

imported='s/warm_start: .*/warm_start: {steps: 0, from: models\/dense}/'
make_experiment imported.yaml "$imported" '$ a baseline: {dense: false}'
run_to_end imported dipaco run imported.yaml --dir imported
check 'a run without a warm start begins with it' [ "$status" = 0 ]
dipaco eval first --path dense --json >first.eval
dipaco eval imported --path dense --json >imported.eval
check 'the dense model has the same loss to the last digit' cmp -s first.eval imported.eval
run_to_end back dipaco export imported --path dense --out back
check 'and leaves as it came' cmp -s back/model.safetensors models/dense/model.safetensors

make_experiment wrong.yaml "$imported" 's/dim: 16/dim: 32/; s/tie_embeddings: true/tie_embeddings: false/'
run_to_end wrong dipaco run wrong.yaml --dir wrong
check 'a model of another shape is refused before anything runs' [ ! -e wrong/logs ]
check 'with what differs' grep -q 'hidden_size is 16 and model.dim 32; head_dim is 8 and' wrong.err
check 'all of it' grep -q 'tie_word_embeddings is true and model.tie_embeddings false' wrong.err
make_experiment wrong.yaml 's/from: .*/from: nowhere}/; s/warm_start: .*/warm_start: {steps: 0, from: nowhere}/'
run_to_end wrong dipaco run wrong.yaml --dir wrong
check 'one that is not there, too' grep -q 'warm_start.from: there is no model in ".*nowhere"' wrong.err

# --- The folder is read once.

mkdir kept
cp -r models kept
make_experiment kept/long.yaml "$imported" 's/steps: 20,/steps: 600,/; s/corpus: corpus/corpus: ..\/corpus/'
run_to_end calm dipaco run kept/long.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"
start_run killed dipaco run kept/long.yaml --dir killed
hold_in_training killed
rm -r kept/models
kill -9 "$(pid_of killed coordinator)"
wait_for 60 'the coordinator again' in_phase killed train
run_to_end replay dipacoctl --dir killed replay
check 'all versions come out as they are' [ "$status" = 0 ]
release_workers killed
end_run
check 'the run goes on without the folder' [ "$status" = 0 ]
check 'and ends with the same versions' same_versions calm killed

# --- Others compute what we compute: with a path that has learned words.

python=/usr/bin/python3
if "$python" -c 'import torch' 2>/dev/null; then
    run_to_end words dipaco export calm --path 0-1 --out words
    run_to_end ours dipaco generate calm --path 0-1 --prompt 'ab' --tokens 24 --temperature 0 --json
    "$python" "$source/../golden/llama.py" continue words ab 24 >theirs 2>theirs.err
    check 'a path writes more than one letter' [ "$(fold -w 1 theirs | sort -u | wc -l)" -gt 4 ]
    check 'and PyTorch goes on from a prompt with the same bytes' \
        [ "$(value_of text <ours.out)" = "$(cat theirs)" ]
else
    echo 'left out: PyTorch is not here (python3-torch)'
fi

finish
