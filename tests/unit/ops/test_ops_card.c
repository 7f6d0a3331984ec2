/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite over the tables of a card. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/card.h"
#include "tests/unit/ops/conformance.h"

static void
every_table_agrees_with_the_reference(void)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = test_card_table(i)); i++)
        dpc_conform_kernels(ops);
}

static void
every_gradient_is_the_difference_quotient(void)
{
    dpc_conform_gradients(test_card_table(0));
}

static void
the_card_says_what_it_is(void)
{
    const struct dpc_card_info *info = dpc_card_info(test_card());
    printf("\n    %s, sm_%u, %s, %llu of %llu MiB free ", info->name, info->capability,
           info->libraries, (unsigned long long)(info->free_bytes >> 20),
           (unsigned long long)(info->memory_bytes >> 20));
    CU_ASSERT(info->name[0] != '\0');
    CU_ASSERT(info->free_bytes > 0 && info->free_bytes <= info->memory_bytes);
    CU_ASSERT_EQUAL(info->bf16, test_card_table(2) != NULL);
}

/* What no real card is asked for: to fail, or for memory that others may want. */
static bool
is_emulated(void)
{
    return strcmp(dpc_card_info(test_card())->name, "emulated card") == 0;
}

/* Runs before any kernel has had scratch. */
static void
a_full_card_has_room_for_its_kernels(void)
{
    const struct dpc_ops *ops = test_card_table(0);
    enum { N = 40, C = 8, FLOATS = 2 * N * C + N + 2 * C };
    float *x = ops->memory->allocate(FLOATS * sizeof *x), *dx = x + N * C, *rstd = dx + N * C;
    float *gain = rstd + N, *dgain = gain + C;
    size_t rest = (size_t)dpc_card_memory_bytes(test_card()) - FLOATS * sizeof *x;
    void *all = is_emulated() ? ops->memory->allocate(rest) : NULL;
    CU_ASSERT_EQUAL(all != NULL, is_emulated());
    ops->rmsnorm_backward(dx, NULL, NULL, dgain, NULL, (struct dpc_act *)x, x, rstd, gain, N, C);
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_OK);
    ops->memory->release(all);
    ops->memory->release(x);
}

/* The last one: the card is of no use after it. */
static void
a_failure_may_be_that_of_something_before(void)
{
    const struct dpc_ops *ops = test_card_table(0);
    float *sum = ops->memory->allocate(sizeof *sum);
    if (is_emulated()) {
        setenv("DPC_EMULATED_FAILS", "1", 1);
        ops->sum_rows(sum, sum, 1, 1, false);
        unsetenv("DPC_EMULATED_FAILS");
        CU_ASSERT_EQUAL(ops->memory->finish(), DPC_EDEVICE);
        CU_ASSERT_PTR_NOT_NULL(strstr(dpc_card_failure(test_card()),
                                      "could not launch sum_rows, or something before it failed"));
    }
    ops->memory->release(sum);
}

static const struct dpc_test tests[] = {
    {"the card says what it is", the_card_says_what_it_is},
    {"a full card has room for its kernels", a_full_card_has_room_for_its_kernels},
    {"every table agrees with the reference", every_table_agrees_with_the_reference},
    {"every gradient is the difference quotient", every_gradient_is_the_difference_quotient},
    {"a failure may be that of something before", a_failure_may_be_that_of_something_before},
};
DPC_TEST_MAIN_ON_CARD("ops/ops on a card", tests)
