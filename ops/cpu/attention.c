/* SPDX-License-Identifier: Apache-2.0
 * Causal attention by blocks of BLOCK query rows. A block's scores against all keys up to its last
 * row are one small GEMM into a strip of scratch, so that memory is BLOCK x T and nothing above the
 * diagonal is computed but the block on it. The backward pass computes the strip again from lse
 * (Dao et al. 2022). Keys and values are transposed once a head, since a GEMM wants the summed
 * dimension in the rows of its right operand. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/tile.h"

enum { BLOCK = DPC_ATTENTION_BLOCK };

/* One head of one sequence: where its vectors stand, and the strips. */
struct head {
    const float *q, *k, *v; /* row stride `stride` */
    float *dq, *dk, *dv;    /* the same stride */
    const float *out, *dout;
    float *ret_out; /* row stride `width` */
    const float *lse;
    float *ret_lse;
    size_t T, D, stride, width, ld;
    float scale;
    float *keys_t, *values_t; /* [D, ld] */
    float *rows;              /* [T, D] keys or values without gaps */
    float *p, *dp;            /* [BLOCK, ld] */
};

static size_t
round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static size_t
strip_floats(size_t T)
{
    return round_up(T, DPC_ATTENTION_ALIGN) + DPC_ATTENTION_SKEW;
}

/* to[D, ld] = from[T, D] transposed, columns T .. ld zero. */
static void
transpose(float *to, size_t ld, const float *from, size_t stride, size_t T, size_t D)
{
    size_t whole_T = T / LANES * LANES, whole_D = D / LANES * LANES;
    for (size_t t = 0; t < whole_T; t += LANES) {
        for (size_t d = 0; d < whole_D; d += LANES)
            vec_transpose(to + d * ld + t, ld, from + t * stride + d, stride);
    }
    for (size_t t = 0; t < T; t++) {
        for (size_t d = t < whole_T ? whole_D : 0; d < D; d++)
            to[d * ld + t] = from[t * stride + d];
    }
    for (size_t d = 0; d < D; d++)
        memset(to + d * ld + T, 0, (ld - T) * sizeof *to);
}

static void
copy_rows(float *to, const float *from, size_t stride, size_t T, size_t D)
{
    for (size_t t = 0; t < T; t++)
        memcpy(to + t * D, from + t * stride, D * sizeof *to);
}

static struct head
head_at(const float *qkv, struct dpc_attention_shape shape, size_t b, size_t h, float *scratch)
{
    size_t width = shape.H * shape.D, ld = strip_floats(shape.T);
    const float *q = qkv + b * shape.T * 3 * width + h * shape.D;
    return (struct head){
        .q = q,
        .k = q + width,
        .v = q + 2 * width,
        .T = shape.T,
        .D = shape.D,
        .stride = 3 * width,
        .width = width,
        .ld = ld,
        .scale = 1.0f / sqrtf((float)shape.D),
        .keys_t = scratch,
        .values_t = scratch + shape.D * ld,
        .p = scratch + 2 * shape.D * ld,
        .dp = scratch + (2 * shape.D + BLOCK) * ld,
        .rows = scratch + 2 * (shape.D + BLOCK) * ld,
    };
}

/* to[rows, keys] = left[i0.., :] right_t, a tile's width of keys at a time, from the first group of
 * rows on that sees one of them. */
INLINE void
strip(float *to, const float *left, size_t stride, const float *right_t, const struct head *head,
      size_t i0, size_t rows)
{
    for (size_t j = 0; j < i0 + rows; j += TILE_VECTORS * LANES) {
        size_t first = j > i0 ? (j - i0) / TILE_ROWS * TILE_ROWS : 0;
        struct strided a = {left + first * stride, stride, 1};
        tile_panel(to + first * head->ld + j, head->ld, a, right_t + j, head->ld, rows - first,
                   head->D, TILE_VECTORS, false);
    }
}

/* to[rows, D] = from[rows, keys] right, again each group up to its own diagonal. */
INLINE void
strip_times(float *to, size_t stride, const float *from, const float *right,
            const struct head *head, size_t i0, size_t rows)
{
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        size_t group = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        struct strided a = {from + r * head->ld, head->ld, 1};
        tile_gemm(to + r * stride, stride, a, right, head->D, group, head->D, i0 + r + group,
                  false);
    }
}

/* Scores to e^(score - largest) in place, zero behind the diagonal up to `keys`. Returns the
 * logarithm of sum(e^score); `*ret_share` takes what makes probabilities of the row. */
INLINE float
softmax_row(float *row, size_t valid, size_t keys, float scale, float *ret_share)
{
    size_t end = round_up(valid, LANES);
    vec max = vec_splat(-INFINITY), sum = {0};
    for (size_t j = valid; j < end; j++)
        row[j] = -INFINITY; /* so that whole vectors can be read */
    for (size_t j = 0; j < valid; j += LANES)
        max = vec_max(max, vec_load(row + j));
    float largest = vec_largest(max);
    vec shift = vec_splat(largest * scale), factor = vec_splat(scale);
    for (size_t j = 0; j < valid; j += LANES) {
        vec e = vec_exp(vec_load(row + j) * factor - shift);
        vec_store(row + j, e);
        sum += e;
    }
    for (size_t j = valid; j < keys; j++)
        row[j] = 0;
    float total = vec_sum(sum);
    *ret_share = 1.0f / total;
    return largest * scale + logf(total);
}

static void
forward_block(const struct head *head, size_t i0, size_t rows)
{
    size_t used = i0 + rows;
    float share[BLOCK];
    strip(head->p, head->q + i0 * head->stride, head->stride, head->keys_t, head, i0, rows);
    for (size_t r = 0; r < rows; r++)
        head->ret_lse[i0 + r] =
            softmax_row(head->p + r * head->ld, i0 + r + 1, used, head->scale, &share[r]);
    float *out = head->ret_out + i0 * head->width;
    strip_times(out, head->width, head->p, head->rows, head, i0, rows);
    for (size_t r = 0; r < rows; r++) {
        for (size_t d = 0; d < head->D; d++)
            out[r * head->width + d] *= share[r];
    }
}

void
KERNEL(attention_forward)(float *out, float *lse, const float *qkv,
                          struct dpc_attention_shape shape, size_t first, float *scratch)
{
    for (size_t b = 0; b < shape.B; b++) {
        for (size_t h = 0; h < shape.H; h++) {
            struct head head = head_at(qkv, shape, b, h, scratch);
            head.ret_out = out + b * shape.T * head.width + h * shape.D;
            head.ret_lse = lse + (b * shape.H + h) * shape.T;
            transpose(head.keys_t, head.ld, head.k, head.stride, shape.T, shape.D);
            copy_rows(head.rows, head.v, head.stride, shape.T, shape.D);
            for (size_t i0 = first; i0 < shape.T; i0 += BLOCK)
                forward_block(&head, i0, shape.T - i0 < BLOCK ? shape.T - i0 : BLOCK);
        }
    }
}

/* Row i: p = e^(s scale - lse), ds = p (dp - sum(dout out)) scale; p and dp are replaced in place.
 */
INLINE void
softmax_row_backward(float *p, float *dp, const struct head *head, size_t i, size_t keys)
{
    size_t valid = i + 1;
    const float *out = head->out + i * head->width, *dout = head->dout + i * head->width;
    float mean = 0, scale = head->scale, lse = head->lse[i];
#pragma omp simd reduction(+ : mean)
    for (size_t d = 0; d < head->D; d++)
        mean += out[d] * dout[d];
    for (size_t j = 0; j < valid; j += LANES) {
        vec e = vec_exp(vec_load(p + j) * vec_splat(scale) - vec_splat(lse));
        vec_store(p + j, e);
        vec_store(dp + j, e * (vec_load(dp + j) - vec_splat(mean)) * vec_splat(scale));
    }
    memset(p + valid, 0, (keys - valid) * sizeof *p);
    memset(dp + valid, 0, (keys - valid) * sizeof *dp);
}

static void
backward_block(const struct head *head, size_t i0, size_t rows)
{
    size_t used = i0 + rows, ld = head->ld;
    const float *q = head->q + i0 * head->stride, *dout = head->dout + i0 * head->width;
    strip(head->p, q, head->stride, head->keys_t, head, i0, rows);
    strip(head->dp, dout, head->width, head->values_t, head, i0, rows);
    for (size_t r = 0; r < rows; r++)
        softmax_row_backward(head->p + r * ld, head->dp + r * ld, head, i0 + r, used);
    struct strided p_t = {head->p, 1, ld}, ds_t = {head->dp, 1, ld};
    tile_gemm(head->dv, head->stride, p_t, dout, head->width, used, head->D, rows, true);
    strip_times(head->dq + i0 * head->stride, head->stride, head->dp, head->rows, head, i0, rows);
    tile_gemm(head->dk, head->stride, ds_t, q, head->stride, used, head->D, rows, true);
}

void
KERNEL(attention_backward)(float *dqkv, const float *dout, const float *qkv, const float *out,
                           const float *lse, struct dpc_attention_shape shape, float *scratch)
{
    memset(dqkv, 0, shape.B * shape.T * 3 * shape.H * shape.D * sizeof *dqkv);
    for (size_t b = 0; b < shape.B; b++) {
        for (size_t h = 0; h < shape.H; h++) {
            struct head head = head_at(qkv, shape, b, h, scratch);
            size_t row = b * shape.T * head.width + h * shape.D;
            head.dq = dqkv + (head.q - qkv);
            head.dk = dqkv + (head.k - qkv);
            head.dv = dqkv + (head.v - qkv);
            head.out = out + row;
            head.dout = dout + row;
            head.lse = lse + (b * shape.H + h) * shape.T;
            transpose(head.keys_t, head.ld, head.k, head.stride, shape.T, shape.D);
            transpose(head.values_t, head.ld, head.v, head.stride, shape.T, shape.D);
            copy_rows(head.rows, head.k, head.stride, shape.T, shape.D);
            for (size_t i0 = 0; i0 < shape.T; i0 += BLOCK)
                backward_block(&head, i0, shape.T - i0 < BLOCK ? shape.T - i0 : BLOCK);
        }
    }
}
