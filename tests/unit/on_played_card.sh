#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests that need a card, on two that the CPU plays: naive kernels in memory that is locked between
# calls, which shows what the host does wrong, and the card's own kernels (cuda_cpu/), which shows what
# these do wrong; of these also the ones that an older card with little shared memory runs.
set -u
build=$(pwd)
DPC_TEST_SMALL=1
export DPC_TEST_SMALL

run_on() { # CARD TEST...
    DPC_CARD_PLUGIN=$build/tests/unit/ops/$1
    export DPC_CARD_PLUGIN
    if [ ! -f "$DPC_CARD_PLUGIN" ]; then
        echo "there is no $1 in this build"
        return
    fi
    shift
    for test in "$@"; do
        "$build/tests/unit/$test" || exit 1
    done
}

run_on fake-card.so ops/test_ops_card modules/test_golden_card modules/test_path_card
run_on emulated-card.so ops/test_ops_card modules/test_golden_card modules/test_path_card
DPC_EMULATED_CAPABILITY=86
export DPC_EMULATED_CAPABILITY
run_on emulated-card.so ops/test_ops_card
