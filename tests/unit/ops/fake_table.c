/* SPDX-License-Identifier: Apache-2.0
 * The naive kernels as those of a card: each call passes the gate, attention takes all its units at
 * once, rows of logits begin where a card wants them, and in bf16 products read the packed weights
 * and nothing else, so that weights that nobody packed are found. Compiled twice, as
 * ops/reference.c is. */
#include "tests/unit/ops/fake_card.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bf16.h"
#include "ops/tables.h"

#ifdef DPC_ACT_BF16
#define REFERENCE (&dpc_reference_bf16_table)
#define FILL      fake_table_bf16
#else
#define REFERENCE (&dpc_reference_fp32_table)
#define FILL      fake_table_fp32
#endif

/* One row of the table: `name` with these parameters calls the reference's with these arguments. */
#define KERNEL(name, parameters, arguments)                                                        \
    static void name parameters                                                                    \
    {                                                                                              \
        if (!fake_card_enter())                                                                    \
            return;                                                                                \
        REFERENCE->name arguments;                                                                 \
        fake_card_leave();                                                                         \
    }

/* --- Products. */

#ifdef DPC_ACT_BF16
static size_t
packed_bytes(size_t O, size_t K)
{
    return O * K * sizeof(uint16_t);
}

static void
pack(const struct dpc_weights *w)
{
    uint16_t *packed = w->forward;
    if (!fake_card_enter())
        return;
    for (size_t i = 0; i < w->O * w->K; i++)
        packed[i] = dpc_bf16_from_float(w->values[i]);
    fake_card_leave();
}

/* The weights that the packed form stands for. */
static struct dpc_weights
unpack(const struct dpc_weights *w)
{
    const uint16_t *packed = w->forward;
    float *values = dpc_alloc(w->O * w->K, sizeof *values);
    for (size_t i = 0; i < w->O * w->K; i++)
        values[i] = dpc_bf16_to_float(packed[i]);
    return (struct dpc_weights){.values = values, .O = w->O, .K = w->K};
}

static void
dispose(struct dpc_weights w)
{
    dpc_free((void *)w.values);
}
#else
static struct dpc_weights
unpack(const struct dpc_weights *w)
{
    return *w;
}

static void
dispose(struct dpc_weights w)
{
    (void)w;
}
#endif

static const struct dpc_act *
acts_at(const struct dpc_act *acts, size_t index)
{
    return dpc_act_at(REFERENCE, acts, index);
}

/* Row by row: the places of row n of y and of x. */
#define PRODUCT(name, type, y_row, x_row)                                                          \
    static void name(type *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)      \
    {                                                                                              \
        if (!fake_card_enter())                                                                    \
            return;                                                                                \
        struct dpc_weights weights = unpack(w);                                                    \
        for (size_t n = 0; n < N; n++)                                                             \
            REFERENCE->name(y_row, x_row, &weights, 1);                                            \
        dispose(weights);                                                                          \
        fake_card_leave();                                                                         \
    }

PRODUCT(linear_forward, struct dpc_act, dpc_act_at(REFERENCE, y, n *dpc_outputs(w)),
        acts_at(x, n * w->K))
PRODUCT(linear_forward_float, float, y + n * dpc_outputs(w), acts_at(x, n * w->K))
PRODUCT(linear_backward_input, struct dpc_act, dpc_act_at(REFERENCE, y, n * w->K),
        acts_at(x, n *dpc_outputs(w)))
KERNEL(linear_backward_weight,
       (float *dw, const struct dpc_act *dy, size_t stride, const struct dpc_act *x, size_t N,
        size_t O, size_t K, bool add),
       (dw, dy, stride, x, N, O, K, add))

/* --- Attention: all units. */

static void
attention_forward(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
                  size_t first, void *scratch)
{
    (void)unit;
    if (!fake_card_enter())
        return;
    for (size_t i = 0; i < in->shape.B * in->shape.G; i++)
        REFERENCE->attention_forward(out, lse, in, i, first, scratch);
    fake_card_leave();
}

static void
attention_backward(struct dpc_act *dqkv, const struct dpc_act *dout, const struct dpc_act *out,
                   const float *lse, const struct dpc_attention *in, size_t unit, void *scratch)
{
    (void)unit;
    if (!fake_card_enter())
        return;
    for (size_t i = 0; i < in->shape.B * in->shape.G; i++)
        REFERENCE->attention_backward(dqkv, dout, out, lse, in, i, scratch);
    fake_card_leave();
}

/* --- Cross-entropy: rows apart. */

static void
cross_entropy_forward(float *losses, const float *logits, const int32_t *targets, size_t N,
                      size_t V)
{
    size_t stride = dpc_logits_stride(true, V);
    if (!fake_card_enter())
        return;
    for (size_t n = 0; n < N; n++)
        REFERENCE->cross_entropy_forward(losses + n, logits + n * stride, targets + n, 1, V);
    fake_card_leave();
}

static void
cross_entropy_backward(float *losses, struct dpc_act *dlogits, float *logits,
                       const int32_t *targets, size_t N, size_t V, float scale)
{
    size_t stride = dpc_logits_stride(true, V);
    if (!fake_card_enter())
        return;
    for (size_t n = 0; n < N; n++) {
        struct dpc_act *to = dpc_act_at(REFERENCE, dlogits, n * stride);
        REFERENCE->cross_entropy_backward(losses + n, to, logits + n * stride, targets + n, 1, V,
                                          scale);
        memset(dpc_act_at(REFERENCE, to, V), 0, (stride - V) * dpc_act_bytes(REFERENCE));
    }
    fake_card_leave();
}

/* --- The rest. */

KERNEL(gather_rows,
       (struct dpc_act * to, const struct dpc_act *from, const uint32_t *places, size_t count,
        size_t padded, size_t C),
       (to, from, places, count, padded, C))
KERNEL(scatter_rows,
       (struct dpc_act * to, const struct dpc_act *from, const uint32_t *places, size_t count,
        size_t C),
       (to, from, places, count, C))
KERNEL(sum_rows, (float *sum, const float *from, size_t N, size_t C, bool add),
       (sum, from, N, C, add))
KERNEL(embedding_forward, (float *x, const float *table, const int32_t *tokens, size_t N, size_t C),
       (x, table, tokens, N, C))
KERNEL(embedding_backward,
       (float *dtable, const float *dx, const int32_t *tokens, size_t N, size_t C, size_t first,
        size_t last),
       (dtable, dx, tokens, N, C, first, last))
KERNEL(rmsnorm_forward,
       (struct dpc_act * out, float *sum, float *rstd, const float *x, const float *delta,
        const float *gain, size_t N, size_t C, float epsilon),
       (out, sum, rstd, x, delta, gain, N, C, epsilon))
KERNEL(rmsnorm_backward,
       (float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain, const float *dx_in,
        const struct dpc_act *dout, const float *x, const float *rstd, const float *gain, size_t N,
        size_t C),
       (dx, dx_act, out, dgain, dx_in, dout, x, rstd, gain, N, C))
KERNEL(swiglu_forward, (struct dpc_act * out, const struct dpc_act *gate_up, size_t N, size_t F),
       (out, gate_up, N, F))
KERNEL(swiglu_backward,
       (struct dpc_act * dgate_up, struct dpc_act *out, const struct dpc_act *dout,
        const struct dpc_act *gate_up, size_t N, size_t F),
       (dgate_up, out, dout, gate_up, N, F))
KERNEL(adamw,
       (float *parameters, const float *gradients, float *m, float *v,
        const struct dpc_piece *pieces, size_t count, const struct dpc_adamw_rates *rates),
       (parameters, gradients, m, v, pieces, count, rates))
KERNEL(outer_accumulate, (double *sum, const float *delta, double weight, size_t count),
       (sum, delta, weight, count))
KERNEL(outer_nesterov,
       (float *theta, float *momentum, const double *sum, size_t count, double scale, double lr,
        double mu),
       (theta, momentum, sum, count, scale, lr, mu))
KERNEL(encode_difference,
       (uint8_t * bytes, const float *from, const float *values, size_t count,
        enum dpc_codec codec),
       (bytes, from, values, count, codec))
KERNEL(mean_rows, (float *mean, const float *from, size_t N, size_t C), (mean, from, N, C))
KERNEL(squared_norms,
       (double *sums, const float *values, const struct dpc_piece *pieces, size_t count),
       (sums, values, pieces, count))

void
FILL(struct dpc_ops *ret_ops)
{
    *ret_ops = (struct dpc_ops){
        .name = "fake",
        .products = "naive",
        .dtype = REFERENCE->dtype,
        .whole = true,
        .memory = &fake_card_memory,
#ifdef DPC_ACT_BF16
        .packed_bytes = packed_bytes,
        .packed_once = true,
        .pack = pack,
#endif
        .linear_forward = linear_forward,
        .linear_forward_float = linear_forward_float,
        .linear_backward_input = linear_backward_input,
        .linear_backward_weight = linear_backward_weight,
        .gather_rows = gather_rows,
        .scatter_rows = scatter_rows,
        .sum_rows = sum_rows,
        .mean_rows = mean_rows,
        .embedding_forward = embedding_forward,
        .embedding_backward = embedding_backward,
        .rmsnorm_forward = rmsnorm_forward,
        .rmsnorm_backward = rmsnorm_backward,
        .attention_scratch_bytes = dpc_attention_scratch_bytes,
        .attention_forward = attention_forward,
        .attention_backward = attention_backward,
        .swiglu_forward = swiglu_forward,
        .swiglu_backward = swiglu_backward,
        .cross_entropy_forward = cross_entropy_forward,
        .cross_entropy_backward = cross_entropy_backward,
        .squared_norms = squared_norms,
        .adamw = adamw,
        .outer_accumulate = outer_accumulate,
        .outer_nesterov = outer_nesterov,
        .encode_difference = encode_difference,
    };
}
