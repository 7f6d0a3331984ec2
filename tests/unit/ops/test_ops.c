/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite over every table of the CPU that runs here and over a wide one; and how the
 * tables are chosen. */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/ops/conformance.h"

/* Not tables of the library: see Makemodule.am. They have no products of their own. */
extern const struct dpc_ops dpc_wide_table, dpc_wide_bf16_table;

/* Those that run here, then the wide ones with the reference's products; NULL past the end. */
static const struct dpc_ops *
table_at(size_t index)
{
    static struct dpc_ops wide[2];
    size_t count = 0;
    while (dpc_ops_cpu_at(count))
        count++;
    if (index < count)
        return dpc_ops_cpu_at(index);
    if (index >= count + 2)
        return NULL;
    struct dpc_ops *table = &wide[index - count];
    *table = index == count ? dpc_wide_table : dpc_wide_bf16_table;
    const struct dpc_ops *reference = dpc_ops_reference(table->dtype);
    table->products = reference->products;
    table->packed_bytes = reference->packed_bytes;
    table->pack = reference->pack;
    table->linear_forward = reference->linear_forward;
    table->linear_forward_float = reference->linear_forward_float;
    table->linear_backward_input = reference->linear_backward_input;
    table->linear_backward_weight = reference->linear_backward_weight;
    return table;
}

static void
every_table_agrees_with_the_reference(void)
{
    const struct dpc_ops *ops;
    for (size_t set = 0; (ops = table_at(set)); set++)
        dpc_conform_kernels(ops);
}

static void
every_gradient_is_the_difference_quotient(void)
{
    const struct dpc_ops *ops = dpc_ops_reference(DPC_FP32);
    for (size_t set = 0; ops; ops = table_at(set++)) {
        if (ops->dtype == DPC_FP32)
            dpc_conform_gradients(ops);
    }
}

#ifdef __aarch64__
#define DPC_BASELINE "neon"
#else
#define DPC_BASELINE "baseline"
#endif

static void
the_fastest_table_is_first_and_the_baseline_runs_everywhere(void)
{
    size_t count = 0;
    bool baseline = false, halves = false;
    CU_ASSERT_PTR_EQUAL(dpc_ops_cpu(DPC_FP32), dpc_ops_cpu_at(0));
    for (; dpc_ops_cpu_at(count); count++) {
        const struct dpc_ops *ops = dpc_ops_cpu_at(count);
        baseline = baseline || strcmp(ops->name, DPC_BASELINE) == 0;
        CU_ASSERT(!(halves && ops->dtype == DPC_FP32));
        halves = halves || ops->dtype == DPC_BF16;
    }
    CU_ASSERT(baseline);
    CU_ASSERT_EQUAL(dpc_ops_cpu(DPC_BF16) != NULL, halves);
    CU_ASSERT(strlen(dpc_ops_blas_kernel()) > 0);
    printf("\n    tables: ");
    for (size_t i = 0; table_at(i); i++)
        printf("%s+%s ", table_at(i)->name, table_at(i)->products);
    printf("(BLAS %s, oneDNN %s) ", dpc_ops_blas_kernel(), dpc_ops_onednn_kernel());
}

static size_t
place_of(const char *name, const char *products)
{
    size_t i = 0;
    while (table_at(i) &&
           (strcmp(table_at(i)->name, name) != 0 || strcmp(table_at(i)->products, products) != 0))
        i++;
    return table_at(i) ? i : SIZE_MAX;
}

/* It does not know the processor, or was told to take others by OPENBLAS_CORETYPE. */
static void
an_openblas_with_kernels_of_before_avx2_comes_behind_onednn(void)
{
    static const char *const old[] = {"Prescott", "Core2", "Nehalem", "Sandybridge", "Bulldozer"};
    size_t blas = place_of("avx2", "openblas"), onednn = place_of("avx2", "onednn");
    bool is_old = false;
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        is_old = is_old || strcmp(dpc_ops_blas_kernel(), old[i]) == 0;
    if (blas != SIZE_MAX && onednn != SIZE_MAX)
        CU_ASSERT_EQUAL(onednn < blas, is_old);
}

/* Halfway cases go to the even neighbour; infinities and NaN stay what they are. */
static void
acts_are_rounded_to_the_nearest(void)
{
    static const struct {
        float value, want;
    } rows[] = {
        {1.0f, 1.0f},
        {1.0f + 0x1p-8f, 1.0f},
        {1.0f + 3 * 0x1p-8f, 1.0f + 4 * 0x1p-8f},
        {1.0f + 0x1.8p-8f, 1.0f + 0x1p-7f},
        {-0x1.fffffep0f, -2.0f},
        {0x1.fffffep127f, INFINITY},
        {-INFINITY, -INFINITY},
    };
    const struct dpc_ops *ops;
    for (size_t set = 0; (ops = table_at(set)); set++) {
        if (ops->dtype != DPC_BF16)
            continue;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            uint16_t act;
            float x = rows[i].value, rstd, gain = rows[i].value;
            dpc_act_write(ops, (struct dpc_act *)&act, 0, x);
            CU_ASSERT_EQUAL(dpc_act_read(ops, (struct dpc_act *)&act, 0), rows[i].want);
            /* Of one value, the norm is its sign; times the gain it is the gain, through a kernel.
             */
            x = 1.0f;
            ops->rmsnorm_forward((struct dpc_act *)&act, NULL, &rstd, &x, NULL, &gain, 1, 1, 0.0f);
            CU_ASSERT_EQUAL(dpc_act_read(ops, (struct dpc_act *)&act, 0), rows[i].want);
        }
        uint16_t act;
        dpc_act_write(ops, (struct dpc_act *)&act, 0, NAN);
        CU_ASSERT(isnan(dpc_act_read(ops, (struct dpc_act *)&act, 0)));
    }
}

/* --- What is not finite. A step is refused by its loss and its gradient's norm, so that no kernel
 * may make a number of what is none: an exponential that takes the larger of two would. */

enum { ODD_VOCAB = 37, POSITIONS = 9, WIDTH = 8, ROW = 3 * WIDTH };

/* A logit in a vector's middle, and one in what is left over. */
static bool
loss_tells(const struct dpc_ops *ops, size_t at, float value)
{
    float logits[ODD_VOCAB], loss[2];
    const int32_t target = 1;
    for (int i = 0; i < ODD_VOCAB; i++)
        logits[i] = 0.01f * (float)i;
    logits[at] = value;
    ops->cross_entropy_forward(&loss[0], logits, &target, 1, ODD_VOCAB);
    ops->cross_entropy_backward(&loss[1], (struct dpc_act *)logits, logits, &target, 1, ODD_VOCAB,
                                1);
    return !isfinite(loss[0]) && !isfinite(loss[1]);
}

/* A value of position 4's key: who sees it has it in all that it tells. */
static bool
attention_tells(const struct dpc_ops *ops, float value)
{
    float qkv[POSITIONS * ROW], out[POSITIONS * WIDTH], lse[POSITIONS];
    float cosines[POSITIONS * WIDTH / 2], sines[POSITIONS * WIDTH / 2];
    struct dpc_attention in = {{1, POSITIONS, 1, 1, WIDTH}, (struct dpc_act *)qkv, cosines, sines};
    void *scratch = dpc_try_alloc_vector(ops->attention_scratch_bytes(&in.shape), 1);
    bool tells = true;
    dpc_rope_fill(cosines, sines, POSITIONS, WIDTH, 10000);
    for (size_t i = 0; i < POSITIONS * ROW; i++)
        dpc_act_write(ops, (struct dpc_act *)qkv, i, sinf((float)i));
    dpc_act_write(ops, (struct dpc_act *)qkv, 4 * ROW + WIDTH, value);
    ops->attention_forward((struct dpc_act *)out, lse, &in, 0, 0, scratch);
    for (size_t i = 0; i < POSITIONS * WIDTH; i++) {
        bool finite = isfinite(dpc_act_read(ops, (struct dpc_act *)out, i));
        tells = tells && finite == (i / WIDTH < 4) && isfinite(lse[i / WIDTH]) == finite;
    }
    dpc_free(scratch);
    return tells;
}

static void
what_is_not_finite_stays_so(void)
{
    const struct dpc_ops *ops;
    for (size_t set = 0; (ops = table_at(set)); set++) {
        CU_ASSERT(loss_tells(ops, 5, NAN));
        CU_ASSERT(loss_tells(ops, ODD_VOCAB - 1, NAN));
        CU_ASSERT(loss_tells(ops, 5, INFINITY));
        CU_ASSERT(attention_tells(ops, NAN));
    }
}

static const struct dpc_test tests[] = {
    {"the fastest table is first and the baseline runs everywhere",
     the_fastest_table_is_first_and_the_baseline_runs_everywhere},
    {"an OpenBLAS with kernels of before AVX2 comes behind oneDNN",
     an_openblas_with_kernels_of_before_avx2_comes_behind_onednn},
    {"acts are rounded to the nearest", acts_are_rounded_to_the_nearest},
    {"what is not finite stays so", what_is_not_finite_stays_so},
    {"every table agrees with the reference", every_table_agrees_with_the_reference},
    {"every gradient is the difference quotient", every_gradient_is_the_difference_quotient},
};
DPC_TEST_MAIN("ops/ops", tests)
