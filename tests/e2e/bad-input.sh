#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One clear message, the right exit code, nothing lost.
. "$(dirname "$0")/lib.sh"

make_corpus

expect() { # WORDS STATUS PATTERN
    check "$1: exit code $2" [ "$status" = "$2" ]
    [ "$status" = "$2" ] || sed 's/^/    /' run.err
    check "$1: says /$3/" grep -qE "$3" run.err
}

# --- The experiment file.
make_experiment bad.yaml 's/warmup: 10/warmpu: 10/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'misspelled key' 2 'bad.yaml:[0-9]+.*inner.warmpu.*inner.warmup'
make_experiment bad.yaml 's/heads: 2/heads: 3/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'a shape that does not divide' 2 'bad.yaml:[0-9]+.*heads'
make_experiment bad.yaml 's/lr: 3e-3/lr: -1/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'a value out of range' 2 'bad.yaml:[0-9]+.*inner.lr'
make_experiment bad.yaml 's/upload: fp32/upload: topk/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'a word that is none' 2 'bad.yaml:[0-9]+.*transfer.upload.*needed is one of fp32, '
run_to_end run dipaco run none.yaml --dir bad
expect 'no file' 2 'none.yaml'
make_experiment tiny.yaml
run_to_end run dipaco run tiny.yaml --dir bad --prompt ''
expect 'an empty prompt' 2 'prompt takes TEXT, not ""'
check 'nothing was made' [ ! -e bad ]
mkfifo pipe
cat bad.yaml >pipe &
run_to_end run dipaco plan pipe
expect 'a pipe' 2 'could not read "pipe": it is a pipe: save '
run_to_end run dipaco-worker --dir bad --connect tcp://127.0.0.1:1 --server-key none.pub
expect 'no key of a coordinator' 2 'knows no coordinator, since there is no "none.pub"; give it a --join'
run_to_end run dipaco-worker --dir bad --connect tcp://127.0.0.1:1 --server-key /
expect 'a folder for a key' 2 'could not read "/": it is a folder'

make_experiment bad.yaml 's/mode: strict/compute: bf16/'
run_to_end run env DNNL_MAX_CPU_ISA=AVX2 timeout 60 dipaco run bad.yaml --dir slow
expect 'numbers that the processor has not' 1 'compute: bf16.*compute: auto would'
run_to_end run env DNNL_MAX_CPU_ISA=AVX2 dipaco plan bad.yaml
check 'a plan for other machines can be made' \
    grep -q '^memory .*in fp32: this machine cannot compute in bf16' run.out
make_experiment bad.yaml 's/mode: strict/compute: auto/'
run_to_end run env DNNL_MAX_CPU_ISA=AVX2 dipaco run bad.yaml --dir slow
check 'with its advice it runs' [ "$status" = 0 ]

make_experiment bad.yaml 's/dim: 16,/dim: 16384,/; s/ffn: 32,/ffn: 32768,/'
run_to_end run timeout 60 dipaco run bad.yaml --dir large --workers 64
expect 'a model that no worker has memory for' 1 \
    'a worker .* needs [0-9]* MiB of memory, and each of 64 may have [0-9]*'

# --- The corpus.
make_experiment bad.yaml 's/corpus: corpus/corpus: nowhere/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'no corpus' 1 'nowhere.*dipaco data import'
run_to_end run dipaco-coordinator --dir early --experiment bad.yaml --listen 'tcp://127.0.0.1:*' \
    --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/early.sock"
expect 'by a coordinator' 4 'nowhere'
for early in generate eval; do
    run_to_end run dipaco $early early
    expect "$early of a store that has prepared nothing" 1 'nothing in "early" yet: the run has not come'
done
mkdir empty
run_to_end run dipaco data import empty --out emptied
expect 'nothing to import' 1 'empty'
printf '{"text": "one"}\n{"text": NaN}\n{"text": "two"}\n' >odd.jsonl
run_to_end run dipaco data import odd.jsonl --out odd
expect 'a line that is no JSON' 0 'left out 1 line without JSON.*"odd.jsonl", line 2: '
check 'its count stands in the summary' grep -q '1  left out: lines that are no JSON' run.out
dipaco data import odd.jsonl --out odd --json 2>/dev/null >odd.json || fail 'import of an odd line'
check 'and in its JSON' grep -q '"no_json": 1' odd.json
printf 'text\n' >odd.jsonl
run_to_end run dipaco data import odd.jsonl --out odd
expect 'no JSON lines at all' 1 'could not import "odd.jsonl", line 1: '
printf '\033[31mred\n' >odd.jsonl
run_to_end run dipaco data import odd.jsonl --out odd
expect 'what would draw on the terminal' 1 'could not import "odd.jsonl", line 1: '
check 'and does not' sh -c '! grep -q "$1" run.err' - "$(printf '\033')"
printf '{"text": "short"}\n{"text": "tiny"}\n' >short.jsonl
dipaco data import short.jsonl --out short >/dev/null || fail 'import of short documents'
make_experiment bad.yaml 's/corpus: corpus/corpus: short/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'documents shorter than the prefix' 1 'prefix'
make_experiment bad.yaml 's/documents_min: 2/documents_min: 200/'
run_to_end run dipaco run bad.yaml --dir few
expect 'too few documents for a path' 1 'use fewer modules, import more documents'
make_experiment bad.yaml 's/test: 0.15/test: 0/'
run_to_end run dipaco run bad.yaml --dir bad
expect 'nothing held out, which the coordinator finds' 4 'raise data.test'
check 'its log is still there' grep -q 'raise data.test' bad/logs/coordinator.log
# The failed starts left nothing that a mended file would trip over.
# Modules of this width are too large for the database: they stand in files.
make_experiment bad.yaml 's/dim: 16/dim: 48/'
run_to_end run dipaco run bad.yaml --dir bad
check 'mended, it runs' [ "$status" = 0 ]

# --- A document shorter than the prefix among others is left out.
printf '{"text": "x"}\n' >>documents.jsonl
dipaco data import documents.jsonl --out more >/dev/null || fail 'import of one more'
dipaco data info more --experiment bad.yaml >info.out || fail 'data info'
printf 'experiment: x\n' >none.yaml
run_to_end none dipaco data info more --experiment none.yaml
check 'a wrong experiment file is one for data info, too' [ "$status" = 2 ]
check 'one short document is counted' grep -q '^1 documents are not longer' info.out
make_experiment more.yaml 's/corpus: corpus/corpus: more/'
run_to_end run dipaco run more.yaml --dir more-run
check 'and does not harm' [ "$status" = 0 ]

# --- Damage.
cp -r corpus damaged
flip_bit damaged/corpus.tokens 500
run_to_end run dipaco data info damaged
expect 'a damaged corpus' 4 'damaged'
hash=$(sed -n '/"module": *"lower.0"/,/}/p' bad/report/report.json | value_of hash)
blob=$(find bad/coordinator/blobs -type f -name "$hash")
[ -n "$blob" ] || give_up "there is no file of lower.0's version $hash"
flip_bit "$blob" 100
run_to_end run dipaco generate bad --path 0-0 --prompt x --tokens 3
expect 'a damaged blob' 4 "$hash"
run_to_end run dipaco eval bad
expect 'eval sees it too' 4 "$hash"
run_to_end run dipaco generate bad --path dense --prompt x --tokens 3
check 'what it does not touch still works' [ "$status" = 0 ]

# --- A port that somebody else has taken: the run takes others.
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'
start_run port dipaco run tiny.yaml --dir port
hold_in_training port
kill -TERM "$supervisor"
release_workers port
end_run
port=$(value_of control_endpoint <port/run.json)
mkdir thief
dipaco-coordinator --dir thief --experiment tiny.yaml --listen "$port" \
    --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/thief.sock" >thief.out 2>&1 &
thief=$!
wait_for 30 'the thief' dipacoctl --admin "ipc://$work/thief.sock" status
status=0
dipaco-coordinator --dir second --experiment tiny.yaml --listen "$port" --bulk 'tcp://127.0.0.1:*' \
    --admin "ipc://$work/second.sock" >run.out 2>run.err || status=$?
expect 'a port in use' 4 "$port"
run_to_end run dipaco run tiny.yaml --dir port
check 'a run takes another port' [ "$status" = 0 ]
check 'and says so' grep -q 'is in use by another program' run.err
kill -9 "$thief"
wait "$thief" 2>/dev/null

# --- What may not be read, by root neither.
as_others=
[ "$(id -u)" -ne 0 ] || as_others='setpriv --bounding-set=-dac_override,-dac_read_search'
if $as_others true; then
    chmod 0 thief/coordinator.key
    run_to_end run $as_others timeout 20 dipaco-coordinator --dir thief --experiment tiny.yaml \
        --listen 'tcp://127.0.0.1:*' --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/thief.sock"
    expect 'a key that may not be read' 4 'coordinator.key": (Permission denied|not permitted)'
    chmod 600 thief/coordinator.key
    chmod 0 thief
    run_to_end run $as_others dipaco generate thief
    expect 'a run that may not be read' 4 'could not look into "thief": not permitted'
    chmod 750 thief
fi

# --- Which coordinator.
run_to_end run dipacoctl --dir . --admin "ipc://$work/admin.sock" status
expect 'two coordinators at once' 2 'leave one of them out'
run_to_end run dipacoctl --admin tcp://1 status
expect 'what is no admin socket' 2 'admin must look like ipc:///path/admin.sock'

finish
