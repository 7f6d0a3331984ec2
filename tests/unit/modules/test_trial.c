/* SPDX-License-Identifier: Apache-2.0
 * A trial of tables that compute as they should, and of some with one op that does not. */
#include "modules/trial.h"

#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/unit/harness.h"

static const struct dpc_ops *right; /* the naive table */

static void
every_table_of_the_processor_passes(void)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = dpc_ops_cpu_at(i)); i++) {
        struct dpc_error err = {0};
        double off = -1;
        CU_ASSERT_EQUAL(dpc_trial(ops, &off, &err), DPC_OK);
        CU_ASSERT(off >= 0 && off < (ops->dtype == DPC_BF16 ? 0.03 : 1e-5));
    }
}

/* --- Ops with a fault. */

static void
linear_forward(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    right->linear_forward(y, x, w, N);
    ((float *)y)[w->O / 2] = 0; /* one value of a call */
}

static void
attention_forward(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
                  size_t first, void *scratch)
{
    struct dpc_attention other = *in;
    other.cosines = in->sines;
    other.sines = in->cosines;
    right->attention_forward(out, lse, &other, unit, first, scratch);
}

static void
attention_backward(struct dpc_act *dqkv, const struct dpc_act *dout, const struct dpc_act *out,
                   const float *lse, const struct dpc_attention *in, size_t unit, void *scratch)
{
    size_t width = (in->shape.H + 2 * in->shape.G) * in->shape.D;
    right->attention_backward(dqkv, dout, out, lse, in, unit, scratch);
    memset(dqkv, 0, width * sizeof(float)); /* of a position */
}

static void
cross_entropy_backward(float *losses, struct dpc_act *dlogits, float *logits,
                       const int32_t *targets, size_t N, size_t V, float scale)
{
    right->cross_entropy_backward(losses, dlogits, logits, targets, N, V, 1.01f * scale);
}

static void
not_a_number(float *losses, struct dpc_act *dlogits, float *logits, const int32_t *targets,
             size_t N, size_t V, float scale)
{
    right->cross_entropy_backward(losses, dlogits, logits, targets, N, V, scale);
    ((float *)dlogits)[1] = NAN;
}

/* Of the first level alone. */
static void
embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N, size_t C,
                   size_t first, size_t last)
{
    right->embedding_backward(dtable, dx, tokens, N, C, first, last);
    dtable[first] = NAN;
}

static void
expect_found(struct dpc_ops ops)
{
    struct dpc_error err = {0};
    double off = -1;
    CU_ASSERT_EQUAL(dpc_trial(&ops, &off, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "its gradients of a small path are off by"));
}

static void
one_op_that_computes_wrongly_is_found(void)
{
    right = dpc_ops_reference(DPC_FP32);
    struct dpc_ops wrong[6];
    for (size_t i = 0; i < 6; i++)
        wrong[i] = *right;
    wrong[0].linear_forward = linear_forward;
    wrong[1].attention_forward = attention_forward;
    wrong[2].attention_backward = attention_backward;
    wrong[3].cross_entropy_backward = cross_entropy_backward;
    wrong[4].cross_entropy_backward = not_a_number;
    wrong[5].embedding_backward = embedding_backward;
    for (size_t i = 0; i < 6; i++)
        expect_found(wrong[i]);
}

static const struct dpc_test tests[] = {
    {"every table of the processor passes", every_table_of_the_processor_passes},
    {"one op that computes wrongly is found", one_op_that_computes_wrongly_is_found},
};
DPC_TEST_MAIN("modules/trial", tests)
