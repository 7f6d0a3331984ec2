#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests that need a card, on two that the CPU plays: naive kernels in memory that is locked between
# calls, which shows what the host does wrong, and the card's own kernels (cuda_cpu/), which shows what
# these do wrong.
set -u
build=$(pwd)
DPC_TEST_SMALL=1
export DPC_TEST_SMALL
for card in fake-card.so emulated-card.so; do
    DPC_CARD_PLUGIN=$build/tests/unit/ops/$card
    export DPC_CARD_PLUGIN
    if [ ! -f "$DPC_CARD_PLUGIN" ]; then
        echo "there is no $card in this build"
        continue
    fi
    for test in ops/test_ops_card modules/test_golden_card modules/test_path_card; do
        "$build/tests/unit/$test" || exit 1
    done
done
