/* SPDX-License-Identifier: Apache-2.0
 * Softmax cross-entropy, row by row: a row of logits stays in cache for its three passes. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/act.h"

/* The largest of a row and sum(e^(x - largest)); with `ret_exp` (may be the row) also each e^. */
INLINE float
row_exp(const float *row, size_t V, float *ret_exp, float *ret_max)
{
    size_t whole = V / LANES * LANES, rest = V - whole;
    vec max = vec_splat(-INFINITY), sum = {0};
    for (size_t v = 0; v < whole; v += LANES)
        max = vec_max(max, vec_load(row + v));
    if (rest)
        max = vec_max(max, vec_load_part(row + whole, rest, -INFINITY));
    *ret_max = vec_largest(max);
    vec shift = vec_splat(*ret_max);
    for (size_t v = 0; v < whole; v += LANES) {
        vec e = vec_exp(vec_load(row + v) - shift);
        sum += e;
        if (ret_exp)
            vec_store(ret_exp + v, e);
    }
    if (rest) {
        vec e = vec_exp(vec_load_part(row + whole, rest, -INFINITY) - shift);
        sum += e;
        if (ret_exp)
            vec_store_part(ret_exp + whole, e, rest);
    }
    return vec_sum(sum);
}

void
KERNEL(cross_entropy_forward)(float *losses, const float *logits, const int32_t *targets, size_t N,
                              size_t V)
{
    for (size_t n = 0; n < N; n++) {
        const float *row = logits + n * V;
        losses[n] = 0;
        if (targets[n] < 0)
            continue;
        float max, sum = row_exp(row, V, NULL, &max);
        losses[n] = logf(sum) + max - row[targets[n]];
    }
}

/* acts = e^x share. They may stand before the row or begin with it: an act is never wider than a
 * float, so that no value is overwritten before it is read. */
INLINE void
row_to_acts(act *acts, const float *row, size_t V, float share)
{
    vec factor = vec_splat(share);
#define CONVERT(v, count) put_act_piece(acts + (v), piece(row + (v), count) * factor, count)
    FOR_PIECES(V, CONVERT);
#undef CONVERT
}

void
KERNEL(cross_entropy_backward)(float *losses, struct dpc_act *dlogits, float *logits,
                               const int32_t *targets, size_t N, size_t V, float scale)
{
    for (size_t n = 0; n < N; n++) {
        float *row = logits + n * V;
        act *acts = (act *)dlogits + n * V;
        losses[n] = 0;
        if (targets[n] < 0) {
            memset(acts, 0, V * sizeof *acts);
            continue;
        }
        float target_logit = row[targets[n]], max, sum = row_exp(row, V, row, &max);
        losses[n] = logf(sum) + max - target_logit;
        /* Subtracted before rounding: near a certain target the difference is all there is. */
        row[targets[n]] -= sum;
        row_to_acts(acts, row, V, scale / sum);
    }
}
