#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A trained model over HTTP: what it writes is what `dipaco generate` writes, whole and streamed, to
# many at a time; what it refuses; and that a client who goes away or says nothing does no harm.
. "$(dirname "$0")/lib.sh"

command -v curl >/dev/null 2>&1 || skip 'there is no curl'

make_corpus
make_experiment tiny.yaml
run_to_end run dipaco run tiny.yaml --dir run
[ "$status" = 0 ] || give_up "the run ended with $status"

refused_address() { # ADDRESS WORDS
    run_to_end address dipaco serve run --http "$1"
    check "--http $1 is refused" [ "$status" = 2 ]
    check "--http $1: why" grep -qF "$2" address.err
}
refused_address 0.0.0.0:7603 'ssh -L or a reverse proxy'
refused_address 7603 'ADDRESS:PORT'
run_to_end none dipaco serve nowhere
check 'a run that is none is told' grep -q 'there is no run in "nowhere"' none.err
make_experiment refused.yaml 's/corpus: corpus/corpus: missing/'
run_to_end refused dipaco run refused.yaml --dir refused
check 'a run without a corpus is refused' grep -q 'there is no corpus' refused.err
run_to_end none dipaco serve refused
check 'and there is none in its folder' grep -q 'there is no run in "refused"' none.err

start_run serve dipaco serve run --http 127.0.0.1:0 --paths 4
wait_for 20 'the address' grep -q '^http://127.0.0.1:[0-9]*/v1/completions$' serve.out
url=$(sed -n 1p serve.out)
base=${url%/completions}

ask() { # BODY [OPTION]...
    ask_body=$1
    shift
    curl -sS --max-time 30 -H 'Content-Type: application/json' -d "$ask_body" "$@" "$url"
}
text_of() { # FILE
    sed -n 's/.*"text": \{0,1\}"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$1"
}

# --- What it writes.

check 'it lists its models' [ "$(curl -sS "$base/models" | grep -o '"id":"[^"]*"' | tr '\n' ' ')" = \
    '"id":"dipaco" "id":"0-0" "id":"0-1" "id":"1-0" "id":"1-1" "id":"dense" ' ]
check 'and one of them' [ "$(curl -sS "$base/models/0-1" | grep -o '"id":"[^"]*"')" = '"id":"0-1"' ]
check 'and none that is not there' \
    [ "$(curl -sS -o none -w '%{http_code}' "$base/models/0-9")" = 404 ]
check 'and since when each is one' [ "$(curl -sS "$base/models" | grep -o '"created":1[0-9]*,' | wc -l)" = 6 ]
check 'it is well' [ "$(curl -sS "${base%/v1}/health")" = ok ]
for prompt in 'abd egi lmn' 'ace hkn pu'; do
    dipaco generate run --prompt "$prompt" --tokens 24 --json >generated.json
    ask "{\"prompt\": \"$prompt\", \"max_tokens\": 24}" >asked.json
    check "\"$prompt\": it writes what dipaco generate does" \
        [ "$(text_of asked.json)" = "$(text_of generated.json)" ]
    check 'and the same path does' \
        [ "$(sed 's/.*"model":"\([^"]*\)".*/\1/' asked.json)" = "$(sed -n 's/.*"path": "\([^"]*\)".*/\1/p' generated.json)" ]
    check 'as many tokens as were asked for' grep -q '"completion_tokens":24' asked.json
    check 'for that reason' grep -q '"finish_reason":"length"' asked.json
    ask "{\"prompt\": \"$prompt\", \"max_tokens\": 24, \"stream\": true}" -N >events
    check 'streamed it is the same text' \
        [ "$(grep '^data: {' events | sed 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/' | tr -d '\n')" = "$(text_of asked.json)" ]
    check 'in more than one event' [ "$(grep -c '^data: {' events)" -gt 2 ]
    check 'with an end' [ "$(grep '^data: ' events | tail -n 1)" = 'data: [DONE]' ]
done
ask '{"prompt": "abd", "max_tokens": 200, "temperature": 0, "model": "1-0"}' >whole.json
check 'a path may be named' grep -q '"model":"1-0"' whole.json
stop=$(text_of whole.json | cut -c 5-7)
check "there is a text to stop at (\"$stop\")" [ "${#stop}" = 3 ]
ask "{\"prompt\": \"abd\", \"max_tokens\": 200, \"temperature\": 0, \"model\": \"1-0\", \"stop\": [\"$stop\"]}" >stopped.json
check 'a text may end it' grep -q '"finish_reason":"stop"' stopped.json
text_of stopped.json >stopped.text
check 'and is not told' sh -c '! grep -qF "$1" stopped.text' - "$stop"
ask "{\"prompt\": \"abd\", \"max_tokens\": 200, \"temperature\": 0, \"model\": \"1-0\", \"stop\": \"$stop\", \"stream\": true}" >stopped.events
check 'streamed, too' \
    [ "$(grep '^data: {' stopped.events | sed 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/' | tr -d '\n')" = "$(text_of stopped.json)" ]

# Bytes of all kinds, controls and such as are no text among them.
for seed in 1 2 3; do
    dipaco generate run --prompt 'abd	e' --path 1-0 --tokens 200 --temperature 100 --top-k 0 \
        --seed "$seed" --json >generated.json
    ask "{\"prompt\": \"abd\\te\", \"model\": \"1-0\", \"max_tokens\": 200, \"temperature\": 100, \"top_k\": 0, \"seed\": $seed}" >asked.json
    check "whatever it writes (seed $seed) dipaco generate tells as it is" \
        [ "$(text_of asked.json)" = "$(text_of generated.json)" ]
done
check 'and the prompt' grep -qF '"prompt": "abd\te"' generated.json

# Of bytes drawn evenly every fifth begins a character, and as the last one has not ended it.
begun=0 told=0
for seed in $(seq 40); do
    dipaco generate run --prompt abd --path 1-0 --tokens 1 --temperature 100 --top-k 0 \
        --seed "$seed" --json >generated.json
    [ -z "$(text_of generated.json)" ] || continue
    begun=$((begun + 1))
    body="\"prompt\": \"abd\", \"model\": \"1-0\", \"max_tokens\": 1, \"temperature\": 100, \"top_k\": 0, \"seed\": $seed"
    ask "{$body}" >begun.json
    ask "{$body, \"stream\": true}" >begun.events
    grep -q '"text":""' begun.json && ! grep -q '"text":"[^"]' begun.events || told=$((told + 1))
done
check "there are texts that end within a character ($begun)" [ "$begun" -gt 0 ]
check "of these there is no part told ($told)" [ "$told" = 0 ]

# One after the other, with nobody else asking: an answer goes out when it is there.
start=$(date +%s%N)
for i in 1 2 3 4 5 6 7 8; do
    ask '{"prompt": "abd", "max_tokens": 1}' >/dev/null
done
took_ms=$((($(date +%s%N) - start) / 1000000))
check "8 short answers take $took_ms ms" [ "$took_ms" -lt 4000 ]
check 'two requests may share a connection' \
    [ "$(curl -sS -o first -o second -w '%{num_connects} ' "$base/models" "${base%/v1}/health")" = '1 0 ' ]

# --- To many at a time.

ask '{"prompt": "abd egi", "max_tokens": 3000}' >alone.json
check 'one alone has all of its tokens' grep -q '"completion_tokens":3000' alone.json
asking=
for i in 1 2 3 4 5 6 7 8; do
    ask '{"prompt": "abd egi", "max_tokens": 3000}' >"many.$i" &
    asking="$asking $!"
done
# shellcheck disable=SC2086
wait $asking
same=0
for i in 1 2 3 4 5 6 7 8; do
    [ "$(text_of "many.$i")" = "$(text_of alone.json)" ] && same=$((same + 1))
done
check "all of 8 at a time have the text of one alone ($same)" [ "$same" = 8 ]

# --- What it refuses.

refused() { # CODE WORDS BODY [OPTION]...
    want=$1 words=$2
    shift 2
    code=$(ask "$@" -o refused.json -w '%{http_code}')
    check "$words: $want" [ "$code" = "$want" ]
    check 'with these words' grep -qF "$words" refused.json
}
refused 400 'is missing' '{}'
refused 400 'is empty' '{"prompt": ""}'
refused 400 'is unknown: there are prompt' '{"promt": "a"}'
refused 400 'is not supported: leave it out' '{"prompt": "a", "n": 2}'
refused 400 'whole number from 1 to' '{"prompt": "a", "max_tokens": 0}'
refused 400 'must be a JSON object' '["a"]'
refused 400 'line 1' '{"prompt": '
refused 404 'there is no model' '{"prompt": "a", "model": "7-7"}'
code=$(curl -sS --max-time 30 -d '{"prompt": "a"}' -o refused.json -w '%{http_code}' "$url")
check 'a form, as a page of somebody could send it: 415' [ "$code" = 415 ]
check 'with these words' grep -qF 'Content-Type must be application/json' refused.json
refused 403 'Host header must be' '{"prompt": "a"}' -H 'Host: evil.example'
head -c 1200000 /dev/zero | tr '\0' a >long
code=$(curl -sS --max-time 30 -H 'Content-Type: application/json' -H 'Expect:' --data-binary @long -o refused.json -w '%{http_code}' "$url")
check 'a request that is too long: 413' [ "$code" = 413 ]
check 'other keys that change nothing are taken' \
    [ "$(ask '{"prompt": "a", "max_tokens": 1, "n": 1, "top_p": 1, "echo": false, "logprobs": null, "user": "u"}' -o ask.out -w '%{http_code}')" = 200 ]

# --- Clients who go away.

# More than may write at a time, each for a long while; and one who says nothing at all.
(sleep 30 | curl -sS --max-time 30 -H 'Content-Type: application/json' -T - -X POST "$url" >silent.out 2>&1) &
silent=$!
leaving=
for i in $(seq 40); do
    stream=$([ $((i % 2)) = 0 ] && echo true || echo false)
    ask "{\"prompt\": \"abd egi\", \"max_tokens\": 100000, \"stream\": $stream}" --max-time 4 -N >"gone.$i" 2>gone.err &
    leaving="$leaving $!"
done
busy() {
    [ "$(ask '{"prompt": "abd egi lmn", "max_tokens": 1}' -o busy.json -w '%{http_code}')" = 503 ]
}
wait_for 4 'one more to be told to ask again, with too many writing' busy
check 'with the reason' grep -q 'answers are being written: ask again' busy.json
# shellcheck disable=SC2086
wait $leaving
answered() {
    [ "$(ask '{"prompt": "abd egi lmn", "max_tokens": 24}' -o after.json -w '%{http_code}')" = 200 ]
}
wait_for 20 'a place, when they are gone' answered
check 'then it is written' grep -q '"completion_tokens":24' after.json
check 'and what nobody waits for is not' grep -q ' end=gone$' serve.out
kill "$silent" 2>/dev/null
kill "$supervisor"
end_run
check 'it ends when it is asked to, with answers under way' [ "$status" = 0 ]
check 'answers stand in its output' grep -q '^cmpl-1 path=[01]-[01] prompt_tokens=11 tokens=24 seconds=' serve.out

# --- Beside a run that goes on: what it was when serving began is swept meanwhile.

# Wide enough for blobs in files: those in the database are there as long as it is open.
make_experiment wide.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 24/' \
    's/steps: 20,/steps: 100,/' '$ a keep_rounds: 1'
start_run going dipaco run wide.yaml --dir going
merged() {
    [ "$(grep -c 'outer step module=lower' going/logs/coordinator.log)" -ge 4 ]
}
wait_for 60 'some rounds' merged
hold_in_training going
going=$supervisor
worker=$going
start_run beside dipaco serve going --http 127.0.0.1:0 --paths 5
wait_for 20 'the address' grep -q '^http://127.0.0.1:[0-9]*/v1/completions$' beside.out
url=$(sed -n 1p beside.out)
greedy() { # MODEL NAME: its status
    ask "{\"prompt\": \"abd\", \"max_tokens\": 24, \"temperature\": 0, \"model\": \"$1\"}" \
        -o "$2" -w '%{http_code}'
}
check 'a path of the run as it stands' [ "$(greedy 0-0 before.json)" = 200 ]
dipaco generate going --prompt 'abd egi' --prompt 'bfi jlo qsu' --tokens 60000 >two.out 2>two.err &
two=$!
writes() { # a fifth of a second of computing: the store has been read
    [ "$(awk '{ print $14 }' "/proc/$two/stat")" -ge 20 ]
}
wait_for 20 'who writes two texts' writes
kill -STOP "$two"
worker="$going $two"
release_workers going
wait "$going" || fail 'the run that went on'
kill -CONT "$two"
check 'who takes one path after the other finds the second as it is now' wait "$two"
check 'which is another one' [ "$(grep '^path ' two.out | sort -u | wc -l)" = 2 ]
worker=
check 'a path in memory is as it was' [ "$(greedy 0-0 after.json)" = 200 ]
check 'to the letter' [ "$(text_of before.json)" = "$(text_of after.json)" ]
check 'one whose versions were swept is that of now' [ "$(greedy 1-1 swept.json)" = 200 ]
run_to_end now dipaco generate going --path 1-1 --prompt abd --tokens 24 --temperature 0 --json
check 'as generate writes it' [ "$(text_of swept.json)" = "$(text_of now.out)" ]
check 'one that is routed is, too' [ "$(greedy dipaco routed.json)" = 200 ]
mv going/coordinator/blobs blobs.gone
check 'what is gone altogether: 503' [ "$(greedy dense gone.json)" = 503 ]
check 'which is no fault of the request' grep -q '"type":"server_error"' gone.json
check 'and says what helps' grep -q 'is gone: .*keep_rounds' gone.json
mv blobs.gone going/coordinator/blobs
check 'and when it is back it is written' [ "$(greedy dense back.json)" = 200 ]
kill "$supervisor"
end_run

# --- And beside one that had no paths yet when serving began.

start_coordinator tiny.yaml
warms() {
    [ "$(dipacoctl --admin "$admin" status --json | value_of phase)" = warm_start ]
}
wait_for 30 'the warm start' warms
coordinator=$supervisor
worker=$coordinator
start_run early dipaco serve store --http 127.0.0.1:0
wait_for 20 'the address' grep -q '^http://127.0.0.1:[0-9]*/v1/completions$' early.out
url=$(sed -n 1p early.out)
check 'before there is a router: 503' [ "$(greedy dipaco none.json)" = 503 ]
check 'which is no fault of the request, either' grep -q 'has not come that far.*"server_error"' none.json
check 'a model that there never is: 404' [ "$(greedy 7-7 none.json)" = 404 ]
start_worker
worker="$worker $coordinator"
wait_for 60 'the end of training' finished
check 'what has come since is found' [ "$(greedy dipaco come.json)" = 200 ]
check 'by its name, too' [ "$(greedy 0-1 come.json)" = 200 ]
kill "$supervisor"
end_run
finish
