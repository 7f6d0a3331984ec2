/* SPDX-License-Identifier: Apache-2.0
 *
 * The card that a test program runs on: that of the plug-in named by DPC_CARD_PLUGIN, or of one
 * that is installed. A program whose tests need one ends with `DPC_TEST_MAIN_ON_CARD`, and with 77
 * where there is none.
 */
#ifndef DPC_TESTS_UNIT_CARD_H
#define DPC_TESTS_UNIT_CARD_H

#include <stdio.h>
#include <stdlib.h>

#include "ops/card.h"
#include "tests/unit/harness.h"

/* Opened once and for all; NULL when there is none. */
static inline struct dpc_card *
test_card(void)
{
    static struct dpc_card *card;
    struct dpc_error err = {0};
    if (!card && dpc_card_open(getenv("DPC_CARD_PLUGIN"), 0, 0, &card, &err) != DPC_OK)
        fprintf(stderr, "%s\n", err.text);
    return card;
}

/* The tables of the card, NULL past the end: fp32, fp32 with TF32, bf16 where it has that. */
static inline const struct dpc_ops *
test_card_table(size_t index)
{
    static const struct {
        enum dpc_dtype dtype;
        bool tf32;
    } tables[] = {{DPC_FP32, false}, {DPC_FP32, true}, {DPC_BF16, false}};
    return index < 3 ? dpc_card_ops(test_card(), tables[index].dtype, tables[index].tf32) : NULL;
}

#define DPC_TEST_MAIN_ON_CARD(suite_name, tests)                                                   \
    int main(void)                                                                                 \
    {                                                                                              \
        if (!test_card())                                                                          \
            return DPC_TEST_SKIPPED;                                                               \
        return dpc_test_run(suite_name, tests, sizeof(tests) / sizeof *(tests));                   \
    }

#endif
