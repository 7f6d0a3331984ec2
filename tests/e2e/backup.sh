#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A backup in the middle of a run, on the same file system and on another; then everything is killed,
# the store is destroyed and restored, and the run ends with the versions of an undisturbed one.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files beside those in the database.
make_experiment tiny.yaml 's/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/; s/rounds: 3/rounds: 24/; s/steps: 20,/steps: 60,/' \
    '$ a keep_rounds: 1'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

start_run run dipaco run tiny.yaml --dir run
trained() { # ROUNDS
    [ "$(dipacoctl --dir run status --json | value_of rounds_done_min)" -ge "$1" ]
}
wait_for 60 'two rounds' trained 2
run_to_end first dipacoctl --dir run backup first
[ "$status" = 0 ] || give_up 'the backup failed'
incarnation=$(dipacoctl --dir run status --json | value_of incarnation)
check 'it says what it holds' grep -q 'blobs in files' first.out
check 'nothing was copied that can be linked' [ "$(dipacoctl --dir run backup second --json |
    value_of copied_bytes)" = 0 ]
run_to_end again dipacoctl --dir run backup first
check 'a folder that is not empty is refused' [ "$status" = 1 ]
check 'with the reason' grep -q 'is not empty' again.err
run_to_end inside dipacoctl --dir run backup run/coordinator/backup
check 'a folder inside the store is refused' grep -q 'lies inside the store' inside.err
ln -s run link
for inside in link/coordinator/backup link/coordinator/backup/ link/coordinator/a/b; do
    run_to_end linked dipacoctl --dir run backup $inside
    check "by whichever name: $inside" grep -q 'lies inside the store' linked.err
done

mv run/keys/workers run/keys/away
run_to_end failed dipacoctl --dir run backup failed
mv run/keys/away run/keys/workers
check 'one that failed says why' grep -q 'could not copy the keys' failed.err
check 'and leaves nothing of its copy' [ -z "$(ls failed)" ]
run_to_end failed dipacoctl --dir run backup failed
check 'so that it can be asked for again' [ "$status" = 0 ]

# On another file system, where there is one.
elsewhere=$(mktemp -d /dev/shm/dipaco-XXXXXX 2>/dev/null)
if [ -n "$elsewhere" ] && [ "$(stat -c %d "$elsewhere")" != "$(stat -c %d .)" ]; then
    run_to_end copied dipacoctl --dir run backup "$elsewhere/backup" --json
    check 'a backup on another file system' [ "$status" = 0 ]
    check 'is copied' [ "$(value_of copied_bytes <copied.out)" -gt 0 ]
    run_to_end other dipaco-coordinator --dir other --restore "$elsewhere/backup"
    check 'and restores' [ "$status" = 0 ]
fi
rm -rf "$elsewhere"

hold_in_training run
kill -9 "$supervisor" "$(pid_of run coordinator)"
end_run
rm -rf run/coordinator

run_to_end none dipaco-coordinator --dir run/coordinator --restore run
check 'a folder that is no backup is refused' grep -q 'holds no backup' none.err
check 'and nothing is made' [ ! -e run/coordinator ]
cp -r first partly
rm "$(find partly/blobs -type f | head -n 1)"
run_to_end partly dipaco-coordinator --dir run/coordinator --restore partly
check 'a backup that lost a file on its way is refused' [ "$status" = 4 ]
check 'with what is missing' grep -qE 'is not whole: it was made with [0-9]+ blobs' partly.err
check 'and nothing is made of it' [ ! -e run/coordinator ]
cp -r first run/coordinator
run_to_end moved timeout 20 dipaco-coordinator --dir run/coordinator --experiment tiny.yaml \
    --listen 'tcp://127.0.0.1:*' --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/moved.sock"
check 'a backup in the place of the store is refused' [ "$status" = 4 ]
check 'with what makes one of it' grep -q 'is a backup: .* --restore' moved.err
rm -rf run/coordinator
run_to_end restore dipaco-coordinator --dir run/coordinator --restore first
[ "$status" = 0 ] || give_up "the restore ended with $status"
run_to_end twice dipaco-coordinator --dir run/coordinator --restore first
check 'a second restore is refused' [ "$status" = 4 ]
check 'with the way out' grep -q 'is not empty' twice.err

start_run again dipaco run tiny.yaml --dir run
wait_for 30 'the restored coordinator' dipacoctl --dir run status
dipacoctl --dir run status --json >status.json
check 'it has another incarnation' [ "$(value_of incarnation <status.json)" != "$incarnation" ]
end_run
[ "$status" = 0 ] || give_up "the restored run ended with $status"
check 'the versions are those of the undisturbed run' same_versions calm run

# A service has a /tmp of its own: here one whose coordinator sees another folder than we do.
mkdir private
if unshare -m true 2>/dev/null; then
    start_run private unshare -m sh -c "mount -t tmpfs tmpfs private && exec dipaco-coordinator \
        --dir apart --experiment tiny.yaml --listen 'tcp://127.0.0.1:*' \
        --bulk 'tcp://127.0.0.1:*' --admin 'ipc://$work/apart.sock'"
    wait_for 30 'a coordinator apart' grep -q ' ready ' private.err
    run_to_end unseen dipacoctl --admin "ipc://$work/apart.sock" backup private/backup
    check 'a backup that is not seen from here is made' [ "$status" = 0 ]
    check 'and that is told' grep -q 'private/backup" of its own, which is not seen' unseen.err
    run_to_end seen dipacoctl --admin "ipc://$work/apart.sock" backup seen
    check 'of one that is seen nothing is' [ "$status:$(cat seen.err)" = 0: ]
    kill "$supervisor"
    end_run
fi

# A restore that was broken off is no store.
: >first/restoring
run_to_end broken dipaco eval first
check 'a restore that was broken off is refused' grep -q 'restore from a backup was broken off' \
    broken.err

finish
