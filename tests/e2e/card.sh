#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs on a card that a plug-in plays (tests/unit/ops/fake_card.c): to the end, with a failure in the
# middle, with a driver that comes late, and with a class that the coordinator does not want.
. "$(dirname "$0")/lib.sh"

plugin=$build/tests/unit/ops/fake-card.so
[ -f "$plugin" ] || skip 'the plug-in that plays a card was not built'
make_corpus
make_experiment tiny.yaml

# A run with one worker. Its log is NAME/logs/worker-1.log.
on_card() { # NAME DEVICE [OPTION]...
    card_name=$1
    card_device=$2
    shift 2
    run_to_end "$card_name" dipaco run tiny.yaml --dir "$card_name" --workers 1 \
        --device "$card_device" --card-plugin "$plugin" "$@"
    [ "$status" = 0 ] || give_up "$card_name: the run ended with $status"
}

log_says() { # NAME WORDS
    grep -q "$2" "$1/logs/worker-1.log"
}

# --- What doctor says of it.
run_to_end doctor dipaco doctor --json --card-plugin "$plugin"
check 'doctor: all is well' [ "$status" = 0 ]
check 'doctor: the rate is measured' grep -q 'TFLOP/s in bf16' doctor.out
run_to_end closed env FAKE_CARD_CLOSED=1 dipaco doctor --card-plugin "$plugin"
check 'doctor: a card that does not open is a problem' [ "$status" = 1 ]
check 'doctor: with its reason' grep -q '^problem .*does not open' closed.out
run_to_end wrong env FAKE_CARD_WRONG=attention dipaco doctor --card-plugin "$plugin"
check 'doctor: a card that computes wrongly is a problem' [ "$status" = 1 ]
check 'doctor: it says how wrongly' grep -q '^problem .*cannot be relied on: .* off by' wrong.out
run_to_end none env FAKE_CARD=none dipaco doctor --card-plugin "$plugin"
check 'doctor: no card is none' [ "$status" = 0 ]
: >broken.so
run_to_end broken dipaco doctor --card-plugin ./broken.so
check 'doctor: a plug-in that does not load is told from none' \
    grep -q '^warning .*file too short; install what it needs' broken.out
run_to_end absent dipaco doctor --card-plugin ./absent.so
check 'doctor: one that is not there' grep -q '^warning .*absent.so.*; name the file' absent.out

# --- To the end.
on_card calm cuda
check 'calm: on the card' log_says calm 'computing on a card name="fake card"'
check 'calm: the card is in the numeric class' log_says calm 'numeric_class=.*/sm_80x1/fake-1.0/'

# --- A failure costs a lease and no more.
FAKE_CARD_FAIL_AFTER=2000 FAKE_CARD_FAIL_ONCE=$work/failed
export FAKE_CARD_FAIL_AFTER FAKE_CARD_FAIL_ONCE
on_card failing cuda:0
unset FAKE_CARD_FAIL_AFTER FAKE_CARD_FAIL_ONCE
check 'failing: it did' [ -e failed ]
check 'failing: the lease was given back with the reason' \
    log_says failing 'lease given back .*reason="fake card failed: the fake card failed at kernel'
check 'failing: no work until it is found again' log_says failing 'no work is asked for'
check 'failing: the versions are those of the calm run' same_versions calm failing

# --- One that does not come back to the process in which it failed.
FAKE_CARD_FAIL_AFTER=2000 FAKE_CARD_FAIL_ONCE=$work/stuck FAKE_CARD_STICKY=1
export FAKE_CARD_FAIL_AFTER FAKE_CARD_FAIL_ONCE FAKE_CARD_STICKY
on_card sticky cuda:0
unset FAKE_CARD_FAIL_AFTER FAKE_CARD_FAIL_ONCE FAKE_CARD_STICKY
check 'sticky: the worker begins anew' log_says sticky 'does not come back to this process'
check 'sticky: it does so once' [ "$(grep -c 'worker begins name' sticky/logs/worker-1.log)" = 2 ]
check 'sticky: as the same process' sh -c '! grep -q "worker-1 ended" sticky.err'
check 'sticky: the versions are those of the calm run' same_versions calm sticky

# --- A card that is not there: who starts the run is told, and nothing waits.
refused_card() { # NAME CARDS DEVICE WORDS
    run_to_end "$1" env FAKE_CARD="$2" timeout 60 dipaco run tiny.yaml --dir "$1" --device "$3" \
        --card-plugin "$plugin"
    check "$1: --device $3 with FAKE_CARD=$2 fails" [ "$status" = 1 ]
    check "$1: it says why" grep -q "$4" "$1.err"
}
refused_card without none cuda 'no fake driver is loaded'
refused_card numbered none cuda:0 'no fake driver is loaded'
refused_card beyond 1 cpu,cuda:1 'there is no card cuda:1 .* is cuda:0$'
refused_card far 2 cuda,cuda:99999999999999999999 'there is no card cuda:.* is cuda:1$'

# --- A driver that comes late: a worker waits for it.
FAKE_CARD=file:$work/driver
export FAKE_CARD
start_coordinator tiny.yaml
start_worker --device cuda:0 --card-plugin "$plugin"
waits() {
    grep -q 'no work is asked for' "$log"
}
wait_for 30 'a worker that waits for its card' waits
check 'late: it says why' grep -q 'no fake driver is loaded' "$log"
: >driver
wait_for 60 'the end of the late run' finished
end_worker TERM
kill -TERM "$supervisor"
end_run
check 'late: the versions are those of the calm run' same_versions calm store
unset FAKE_CARD

# --- What a card computed in bf16 is a model on machines without it, too.
make_experiment tiny.yaml 's/mode: strict/compute: bf16/'
DNNL_MAX_CPU_ISA=AVX2
export DNNL_MAX_CPU_ISA
on_card halves cuda
check 'halves: it ends with texts' grep -q '^path ' halves/report/samples.txt
run_to_end eval dipaco eval halves
check 'halves: a processor without bf16 evaluates it' [ "$status" = 0 ]
run_to_end export dipaco export halves --path dense --out halves-dense
check 'halves: and exports it' [ "$status" = 0 ]
unset DNNL_MAX_CPU_ISA

# --- Where the class of the first result was the processor's, auto goes on with it.
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'
start_run class dipaco run tiny.yaml --dir class --workers 1
wait_for 60 'a first result' log_says class 'verdict=accepted'
wait_for 60 'a worker in a lease' halted_in_lease class worker-1
kill -TERM "$supervisor"
kill -CONT "$halted"
end_run
on_card class auto
check 'class: the card was refused' log_says class 'strict mode keeps to the numeric class'
check 'class: the processor was not' log_says class 'computing on the processor reason="the coordinator keeps'

# --- Where any class will do, a card that comes late takes over between two leases.
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'
echo 'numeric_class: any' >>tiny.yaml
rm driver
FAKE_CARD=file:$work/driver
export FAKE_CARD
start_run any dipaco run tiny.yaml --dir any --workers 1 --device auto --card-plugin "$plugin"
wait_for 60 'a worker in a lease' halted_in_lease any worker-1
check 'any: on the processor first' log_says any 'computing on the processor'
: >driver
sleep 10 # the pause before it is looked for again
kill -CONT "$halted"
wait_for 60 'the card to take over' log_says any 'computing on a card'
wait_for 60 'a lease on the card' sh -c \
    'sed "1,/computing on a card/d" any/logs/worker-1.log | grep -q "verdict=accepted"'
kill -TERM "$supervisor"
end_run

# --- A card and a processor together. The processor is held in a lease until the card has ended one:
# a short run can be over before the slower of two has begun.
make_experiment tiny.yaml 's/steps: 20,/steps: 600,/'
echo 'numeric_class: any' >>tiny.yaml
unset FAKE_CARD
accepted() { # NAME: how many leases of this worker
    grep -c 'verdict=accepted' "mixed/logs/$1.log"
}
processor_in_lease() {
    in_phase mixed train && halted_in_lease mixed worker-2
}
card_ended_one() {
    [ "$(accepted worker-1)" -gt "$before" ]
}
start_run mixed dipaco run tiny.yaml --dir mixed --workers 2 --device cuda,cpu --card-plugin "$plugin"
wait_for 60 'the processor in a lease' processor_in_lease
before=$(accepted worker-1)
wait_for 60 'a lease of the card beside it' card_ended_one
kill -CONT "$halted"
end_run
check 'mixed: it ends' [ "$status" = 0 ]
check 'mixed: the first worker has the card' log_says mixed 'computing on a card'
check 'mixed: the second one computes on the processor' \
    grep -q 'computing on the processor' mixed/logs/worker-2.log
check 'mixed: what both learned was merged' [ "$(accepted worker-2)" -gt 0 ]
run_to_end wrong dipaco run tiny.yaml --dir wrong --device cuda,gpu --card-plugin "$plugin"
check 'mixed: what is no device is refused' [ "$status" = 2 ]

finish
