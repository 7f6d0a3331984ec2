#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two workers of one machine behind a slow line compute in turns: what one has trained travels while
# the other trains, one that is killed leaves its turn to the other, and the versions are those of an
# undisturbed run.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 6000,/' 's/rounds: 3/rounds: 2/'

run_to_end calm dipaco run tiny.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"

mkdir -p store/workers
for name in one two; do
    dipaco-worker --dir $name --generate-key >/dev/null || give_up 'no key'
    cp $name/worker.key.pub store/workers/$name.pub
done
start_coordinator tiny.yaml
run_to_end wrong dipaco-worker --dir one --connect "$(control)" \
    --server-key store/coordinator.key.pub --turns "$work/no/turns"
check 'a file that cannot be: 1' [ "$status" = 1 ]
check 'and why' grep -q 'could not open ".*/no/turns" (--turns): ' wrong.err
one=
two=
in_turns() { # NAME
    dipaco-worker --dir "$1" --connect "$(control)" --server-key store/coordinator.key.pub \
        --threads 1 --battery yes --name "$1" --rate-up 32 --turns "$work/turns" \
        --log-level debug >/dev/null 2>>"$1.err" &
}
trap 'for process in $one $two; do kill -9 $process; done; cleanup' EXIT
in_turns one && one=$!
in_turns two && two=$!

works() { # NAME: on what
    dipaco-worker --dir "$1" --status --json | value_of work
}
# One hands in while the other trains.
overlap() {
    case "$(works one) $(works two)" in
    'uploading running' | 'running uploading') true ;;
    *) false ;;
    esac
}
waits() { # NAME
    [ "$(dipaco-worker --dir "$1" --status --json | value_of paused)" = 'another worker has the turn (--turns)' ]
}
wait_for 120 'one that hands in while the other trains' overlap
ok "$(works one), $(works two)"
waiter=
one_waits() {
    waits one && waiter=one || { waits two && waiter=two; }
}
wait_for 120 'one that waits for its turn' one_waits
ok 'the other one waits for its turn'

# Whoever trains is killed, and goes on with its lease when its turn comes again.
if [ $waiter = one ]; then
    kill -9 "$two" && wait "$two" 2>/dev/null
    wait_for 10 'the turn' sh -c 'tail -n 3 one.err | grep -qE "the turn is here|lease begins"'
    in_turns two && two=$!
else
    kill -9 "$one" && wait "$one" 2>/dev/null
    wait_for 10 'the turn' sh -c 'tail -n 3 two.err | grep -qE "the turn is here|lease begins"'
    in_turns one && one=$!
fi
ok 'the turn went on'

wait_for 240 'the end' finished
for process in $one $two; do
    kill "$process" && wait "$process"
    check 'ended as asked' [ $? = 0 ]
done
one=
two=
for name in one two; do
    check "$name trained" grep -q 'lease ends verdict=accepted kind=train' $name.err
done
wait_for 10 'the report' [ -s store/report/report.json ]
kill "$supervisor"
end_run
check 'the versions are those of the undisturbed run' same_versions calm store

finish
