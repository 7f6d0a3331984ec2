#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs that are made from another one: with the same file the same bits, with another the same up to
# where they part, further rounds; what cannot be is refused with its reason, and the source is only read.
. "$(dirname "$0")/lib.sh"

make_corpus
# Wide enough for blobs in files beside those in the database.
wider='s/dim: 16/dim: 32/; s/ffn: 32/ffn: 64/'
make_experiment tiny.yaml "$wider" 's/rounds: 3/rounds: 6/' '$ a keep_rounds: 100'
run_to_end run dipaco run tiny.yaml --dir run
[ "$status" = 0 ] || give_up "the source ended with $status"
find run/coordinator -type f -exec cksum {} + | sort >before.sums

run_to_end same dipaco run tiny.yaml --from run@3 --dir same
[ "$status" = 0 ] || give_up "the fork with the same file ended with $status"
check 'with the same file the versions are the same' same_versions run same
steps_of() { # DIR: outer steps that its coordinator made, up to the hash
    sed -n 's/.*outer step \(module=[^ ]* version=[0-9]*\) .*\(hash=[0-9a-f]*\).*/\1 \2/p' \
        "$1/logs/coordinator.log" | sort
}
step() { # DIR MODULE VERSION
    steps_of "$1" | grep "^module=$2 version=$3 "
}
check 'files of blobs are shared' [ -n "$(find same/coordinator/blobs -type f -links +1)" ]
check 'nothing before round 3 is trained again' [ -z "$(step same lower.0 3)" ]
check 'and what follows is' [ "$(step same lower.0 4)" = "$(step run lower.0 4)" ]
check 'the report says where it comes from' grep -q '"round": 3' same/report/report.json
run_to_end again dipaco run tiny.yaml --from run@3 --dir same
check 'the same command again is at its end at once' [ "$status" = 0 ]
run_to_end again dipaco run tiny.yaml --from run@2 --dir same
check 'another round is another run' [ "$status" = 4 ]
check 'and told so' grep -q 'has begun, and not from run@2' again.err

# Another outer step from round 3 on, held while it is looked at.
make_experiment other.yaml "$wider" 's/rounds: 3/rounds: 30/; s/lr: 0.7/lr: 0.2/; s/steps: 20,/steps: 400,/' \
    's/experiment: tiny/experiment: other/' '$ a keep_rounds: 100'
run_to_end steps dipaco run other.yaml --from run@3 --dir other
check 'steps that would change the warm start are refused' grep -q 'inner.steps (20 -> 400)' steps.err
sed -i 's/steps: 400,/steps: 20,/' other.yaml
start_run other dipaco run other.yaml --from run@3 --dir other
hold_in_training other
dipacoctl --dir other versions lower.0 --json >other.versions
for version in 1 2 3; do
    hash=$(step run lower.0 "$version" | sed 's/.*hash=//')
    check "version $version is the source's" grep -q "\"hash\": \"${hash:-none}" other.versions
done
dipacoctl --dir other status --json >status.json
check 'status says where it comes from' [ "$(sed -n '/"from"/,/}/p' status.json | value_of round)" = 3 ]
run_to_end busy dipaco run tiny.yaml --from other --dir third
check 'a run that is under way is refused' [ "$status" = 4 ]
check 'and told who runs it' grep -q "process [1-9][0-9]* runs" busy.err
run_to_end replay dipacoctl --dir other replay lower.0
check 'versions of before are computed again with the rates of then' \
    grep -q '^lower.0 version 3 (outer_step): ok$' replay.out
check 'all of them' [ "$status" = 0 ]
release_workers other
end_run
[ "$status" = 0 ] || give_up "the fork with another lr ended with $status"
check 'and later ones are others' [ "$(step other lower.0 4)" != "$(step run lower.0 4)" ]

# Of a warm start the routing may be another.
run_to_end warm dipaco run tiny.yaml --from run@warm --dir warm
[ "$status" = 0 ] || give_up "the fork of the warm start ended with $status"
check 'from its warm start on a run is the same again' same_versions run warm
check 'and trains its first round itself' [ "$(step warm lower.0 1)" = "$(step run lower.0 1)" ]
run_to_end warm dipaco run tiny.yaml --from run@warm --dir warm
check 'again it is at its end at once' [ "$status" = 0 ]
run_to_end warm dipaco run tiny.yaml --from run@0 --dir warm
check 'round 0 is another run than a warm start' [ "$status" = 4 ]
check 'and the report tells them apart' grep -q '"warm_start": true' warm/report/report.json
run_to_end warmer dipaco run other.yaml --from run@warm --dir warmer
check 'what a warm start depends on is refused' grep -q 'the warm start depends on outer.rounds (6 -> 30)' warmer.err

# A run that was killed is as good a source.
start_run broken dipaco run tiny.yaml --dir broken
wait_for 60 'an outer step' grep -q 'outer step module=lower.0 version=1 ' broken/logs/coordinator.log
kill -9 "$supervisor" 2>/dev/null
end_run
run_to_end mended dipaco run tiny.yaml --from broken --dir mended
[ "$status" = 0 ] || give_up "the fork of a killed run ended with $status"
check 'a run that was killed goes on elsewhere' same_versions run mended

# Further rounds from the newest on, of which few are kept; early stopping begins there.
make_experiment more.yaml "$wider" 's/rounds: 3/rounds: 12/' '$ a keep_rounds: 1' '$ a early_stopping: true'
run_to_end more dipaco run more.yaml --from run --dir more
[ "$status" = 0 ] || give_up "the fork with more rounds ended with $status"
check 'it goes on from the newest round' grep -q '"round": 6' more/report/report.json
check 'and trains the rest' [ -n "$(step more upper.1 12)" ]
check 'alone' [ -z "$(step more upper.1 6)" ]
run_to_end gone dipaco run more.yaml --from more@7 --dir third
check 'a round that is not kept is refused' [ "$status" = 4 ]
check 'with the oldest possible' grep -qE 'the oldest possible after it is (8|9|10|11)' gone.err

# What cannot be.
run_to_end nowhere dipaco run tiny.yaml --from nowhere --dir third
check 'a folder that there is not' grep -q 'could not find the run "nowhere"' nowhere.err
run_to_end corpus dipaco run tiny.yaml --from corpus --dir third
check 'a folder of something else' grep -q 'holds no run' corpus.err
run_to_end late dipaco run tiny.yaml --from run@99 --dir third
check 'a round that is still to come' grep -q 'the newest that is over everywhere is 6' late.err
run_to_end itself dipaco run tiny.yaml --from run@3 --dir run
check 'a run that has begun is not made anew' [ "$status" = 4 ]
make_experiment wide.yaml 's/rounds: 3/rounds: 6/; s/dim: 16/dim: 64/; s/ffn: 32/ffn: 64/; s/seed: 7/seed: 8/'
run_to_end wide dipaco run wide.yaml --from run@3 --dir third
check 'another model is refused' [ "$status" = 4 ]
check 'naming the key with both values' grep -q 'model.dim (32 -> 64)' wide.err
check 'and every other' grep -q 'seed (7 -> 8)' wide.err
check 'no store is left behind' [ ! -e third/coordinator ]
check 'nor half of one' [ ! -e third/coordinator.forking ]

# One that was broken off is no store, and is made anew.
mkdir -p third/coordinator.forking/db
: >third/coordinator.forking/db/CURRENT
run_to_end third dipaco run tiny.yaml --from run@5 --dir third
check 'what a broken fork has left does no harm' [ "$status" = 0 ]
check 'and the versions are the same again' same_versions run third

# Killed behind it, before the folder had its experiment: the next start is its own.
run_to_end half dipaco run tiny.yaml --from run@99 --dir half
dipaco-coordinator --dir half/coordinator --experiment tiny.yaml --fork run/coordinator 2>half.log ||
    give_up 'a store in the folder of a run'
run_to_end half dipaco run tiny.yaml --dir half
[ "$status" = 0 ] || give_up "a run behind a killed fork ended with $status"
check 'it does not go on from what a killed fork has left' [ -n "$(step half lower.0 1)" ]
check 'and is a run by itself' same_versions run half

# The operator's way.
fork_store() { # NAME [OPTION]...
    fork_name=$1
    shift
    run_to_end "$fork_name" dipaco-coordinator --dir store --experiment tiny.yaml "$@"
}
mkdir -p store.forking/blobs
fork_store operator --fork run/coordinator --round 4
check 'a store is made from a store' grep -q 'forked .* round=4 ' operator.err
check 'over what was broken off' [ ! -e store.forking ]
fork_store operator --fork run/coordinator
check 'one that is there already is refused' [ "$status" = 4 ]
fork_store operator --fork run
check 'and so is no store' [ "$status" != 0 ]
fork_store operator --round 3
check 'a round belongs to a fork' [ "$status" = 2 ]
mkdir empty linked
ln -s linked link
for name in new/ empty/ link; do
    run_to_end named dipaco-coordinator --dir "$name" --experiment tiny.yaml --fork run/coordinator
    check "a folder by whichever name: $name" [ -e "$name/db/CURRENT" ]
    check "and nothing is left beside it: $name" [ ! -e "$name.forking" ]
done
mkdir disk
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null; then
    run_to_end disk dipaco-coordinator --dir disk --experiment tiny.yaml --fork run/coordinator
    umount disk
    check 'a disk itself is refused before anything is made' [ ! -e disk.forking ]
    check 'with the way out' grep -q 'name a folder in it' disk.err
fi

find run/coordinator -type f -exec cksum {} + | sort >after.sums
check 'the source is as it was' cmp -s before.sums after.sums

finish
