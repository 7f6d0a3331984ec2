#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the coordinator writes about a run, against docs/events.md.
. "$(dirname "$0")/lib.sh"
docs=$source/../../docs/events.md

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 2000,/'

kinds() { # FILE...
    sed -n 's/^{"time": *"[-0-9T:.]*Z", *"event": *"\([a-z_]*\)".*}$/\1/p' "$@"
}

noted() { # EVENT [FILE]
    kinds "${2:-events}" | grep -qx "$1"
}

start_coordinator tiny.yaml --events events
start_worker
wait_for 60 'the train phase' grep -q '"phase": *"train"' events
wait_for 60 'an outer step in it' grep -q '"event": *"outer_step", *"module": *"\(lower\|upper\)' events
# Halted, so that the run is still under way when all has been asked.
kill -STOP "$worker"
for event in coordinator_begins phase worker_joins lease_granted submitted outer_step; do
    check "$event" noted $event
done
check 'the worker has its name' grep -q '"event": *"worker_joins".*"name": *"w"' events
hash=$(grep -m 1 '"event": *"outer_step"' events | grep -o '"hash": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{64\}')
dipacoctl --admin "$admin" versions --json >versions.json
check 'the hash of a version is the one that dipacoctl lists' grep -q "\"$hash" versions.json

# --- Moved away, and opened again.

mv events events.1
check 'SIGHUP' kill -HUP "$supervisor"
wait_for 20 'a file anew' [ -e events ]
run_to_end rollback dipacoctl --admin "$admin" rollback lower.0 --to 0
check 'a rollback' [ "$status" = 0 ]
wait_for 20 'its event' noted rollback
run_to_end backup dipacoctl --admin "$admin" backup "$work/backup"
check 'a backup' [ "$status" = 0 ]
wait_for 20 'its event' noted backup
run_to_end revoke dipacoctl --admin "$admin" revoke w --since 0
check 'a revoke' [ "$status" = 0 ]
wait_for 20 'its event' noted revoke
check 'the worker is barred' noted worker_barred
run_to_end admit dipacoctl --admin "$admin" admit w
check 'and admitted' noted worker_admitted
kill -CONT "$worker"
end_worker TERM
wait_for 20 'the end of its session' noted worker_leaves
kill -TERM "$supervisor"
end_run
check 'the end' noted coordinator_stops

# --- All of it.

cat events.1 events >all
[ "$failures" -eq 0 ] || cat all
check 'every line is one object with a time' [ "$(kinds all | wc -l)" = "$(wc -l <all)" ]
check 'no lease is granted twice' \
    [ -z "$(sed -n 's/.*"lease_granted", *"lease": *\([0-9]*\).*/\1/p' all | sort | uniq -d)" ]
listed=$(sed -n 's/^| \(`[a-z_`, ]*\) |.*/\1/p' "$docs" | grep -o '[a-z_]*' | sort -u)
unlisted=$(kinds all | sort -u | while read -r event; do
    echo "$listed" | grep -qx "$event" || echo "$event"
done)
check "events.md lists all ($unlisted)" [ -z "$unlisted" ]
unknown=$(for event in $listed; do
    grep -qF "SERVER_NOTE(server, \"$event\"" "$source"/../../coordinator/*.c ||
        grep -qF "SERVER_NOTE(choice->server, \"$event\"" "$source"/../../coordinator/*.c || echo "$event"
done)
check "and nothing else ($unknown)" [ -z "$unknown" ]

# --- One that cannot be.

run_to_end nowhere dipaco-coordinator --dir second --experiment tiny.yaml --listen 'tcp://127.0.0.1:*' \
    --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/second.sock" --events no/such/folder/events
check 'a file that cannot be: exit code 1' [ "$status" = 1 ]
check 'and it is named' grep -q 'could not open the file of events "no/such/folder/events"' nowhere.err

finish
