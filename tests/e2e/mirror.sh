#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Workers fetch from a web server what it has of the coordinator's blobs: the coordinator sends less,
# and the versions are those of a run without one, also where it dies in the middle. A mirror that a
# coordinator names has to be https.
. "$(dirname "$0")/lib.sh"

server=$build/tests/e2e/web_server
[ -x "$server" ] || skip 'the web server was not built'
make_corpus
make_experiment tiny.yaml 's/dim: 16/dim: 64/; s/ffn: 32/ffn: 256/; s/rounds: 3/rounds: 6/'
web=
trap '[ -z "$web" ] || kill -9 "$web"; cleanup' EXIT

start_mirror() {
    rm -f mirror
    "$server" store/blobs mirror 2>mirror.err &
    web=$!
    wait_for 10 'the mirror' test -s mirror
    url=$(head -n 1 mirror)
}
# Of the blobs that came from the mirror, as the worker says.
from_mirror() {
    dipaco-worker --dir home --status --json | value_of mirror
}
bytes_down() { # DIR
    value_of bytes_down <"$1/report/report.json"
}
end_coordinator() {
    wait_for 10 'the report' test -s store/report/report.json
    kill "$supervisor"
    end_run
}

run_to_end wrong dipaco-worker --dir home --mirror ftp://host/blobs
check 'what is no address of a mirror is refused' [ "$status" = 2 ]
check 'with an example' grep -q '^dipaco-worker: --mirror takes .*http://HOST/FOLDER' wrong.err
run_to_end wrong dipaco-coordinator --dir store --experiment tiny.yaml --mirror 'https://host/?x'
check 'by the coordinator, too' [ "$status" = 2 ]
check 'which says how one looks' grep -q 'looks like https://HOST/FOLDER' wrong.err

# --- Without one.
run_to_end calm dipaco run tiny.yaml --dir calm --workers 1
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

# --- With one, which the worker has to name: the coordinator's word is not enough for http.
mkdir -p store
start_mirror
start_coordinator tiny.yaml --mirror "$url"
check 'status names it' sh -c "dipacoctl --admin '$admin' status | grep -q '^mirror  *$url\$'"
start_worker
said() { # WORDS
    grep -q "$1" "$log"
}
wait_for 30 'a word on the mirror' said 'is not asked, since it is not https'
end_worker TERM
start_worker --mirror "$url"
wait_for 120 'the end' finished
check 'the owner is told where from' sh -c "dipaco-worker --dir home --status | grep -q '^mirror  *$url, '"
end_worker TERM
brought=$(from_mirror)
end_coordinator
kill -TERM "$web"
wait "$web"
web=
check 'the versions are those of the run without' same_versions calm store
check "the mirror sent what the worker says: $brought" [ "$(sed -n 2p mirror)" = "$brought" ]
check "the coordinator sends less: $(bytes_down calm), $(bytes_down store)" \
    [ "$(bytes_down store)" -lt $(($(bytes_down calm) / 2)) ]

# --- One that dies.
rm -r store home
mkdir store
start_mirror
start_coordinator tiny.yaml
start_worker --mirror "$url"
some() {
    [ "$(from_mirror)" -gt 0 ]
}
wait_for 60 'a blob of the mirror' some
kill -9 "$web"
wait "$web" 2>/dev/null
web=
wait_for 120 'the end' finished
check 'people are told of a mirror that is gone' said 'is let alone for 1 min'
check 'and what it did not bring' said 'blobs come from the coordinator: could not fetch blob'
end_worker TERM
end_coordinator
check 'the versions are the same' same_versions calm store

finish
