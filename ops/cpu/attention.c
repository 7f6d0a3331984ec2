/* SPDX-License-Identifier: Apache-2.0
 * Causal attention by blocks of BLOCK query rows. A block's scores against all keys up to its last
 * row are one small GEMM into a strip of scratch, so that memory is BLOCK x T and nothing above the
 * diagonal is computed but the block on it. The backward pass computes the strip again from lse
 * (Dao et al. 2022).
 *
 * Heads are gathered from qkv into rows without gaps, rotated and widened to fp32 on the way, and
 * scattered back the same way: qkv is read once and no rotated copy of it exists. Keys and values
 * are transposed once, since a GEMM wants the summed dimension in the rows of its right operand. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/act.h"
#include "ops/cpu/tile.h"

enum { BLOCK = DPC_ATTENTION_BLOCK };

/* One head of keys and values of one sequence: where its rows stand in qkv, and scratch. */
struct head {
    const struct dpc_attention *in;
    const act *q, *k, *v; /* row stride `stride`; q of the group's first query head */
    size_t T, D, stride, width, ld, group;
    float scale;
    float *keys_t, *values_t;  /* [D, ld] */
    float *rows;               /* [T, D] values forward, keys backward */
    float *dkeys, *dvalues;    /* [T, D] */
    float *p, *dp;             /* [BLOCK, ld] */
    float *query, *out, *dout; /* [BLOCK, D] */
};

static size_t
round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static struct head
head_at(const struct dpc_attention *in, size_t unit, float *scratch)
{
    struct dpc_attention_shape shape = in->shape;
    size_t D = shape.D, group = shape.H / shape.G, b = unit / shape.G, g = unit % shape.G;
    size_t stride = (shape.H + 2 * shape.G) * D;
    size_t ld = round_up(shape.T, DPC_ATTENTION_ALIGN) + DPC_ATTENTION_SKEW;
    const act *row = (const act *)in->qkv + b * shape.T * stride;
    struct head head = {
        .in = in,
        .q = row + g * group * D,
        .k = row + (shape.H + g) * D,
        .v = row + (shape.H + shape.G + g) * D,
        .T = shape.T,
        .D = D,
        .stride = stride,
        .width = shape.H * D,
        .ld = ld,
        .group = group,
        .scale = 1.0f / sqrtf((float)D),
    };
    float **const parts[] = {&head.keys_t, &head.values_t, &head.rows, &head.dkeys, &head.dvalues};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, scratch += D * ld)
        *parts[i] = scratch;
    head.p = scratch;
    head.dp = head.p + BLOCK * ld;
    head.query = head.dp + BLOCK * ld;
    head.out = head.query + BLOCK * D;
    head.dout = head.out + BLOCK * D;
    return head;
}

/* --- Between qkv and rows without gaps. */

/* to[count, D] = from, widened. */
INLINE void
gather(float *to, const act *from, size_t stride, size_t count, size_t D)
{
    for (size_t t = 0; t < count; t++) {
        const act *row = from + t * stride;
#define WIDEN(d, n) put_piece(to + t * D + (d), act_piece(row + (d), n), n)
        FOR_PIECES(D, WIDEN);
#undef WIDEN
    }
}

INLINE void
scatter(act *to, size_t stride, const float *from, size_t count, size_t D)
{
    for (size_t t = 0; t < count; t++) {
        act *row = to + t * stride;
#define NARROW(d, n) put_act_piece(row + (d), piece(from + t * D + (d), n), n)
        FOR_PIECES(D, NARROW);
#undef NARROW
    }
}

/* Turns rows [count, D], the first of which stands at position `first`, by sign x their angles. */
INLINE void
rotate(float *rows, const struct head *head, size_t first, size_t count, float sign)
{
    size_t D = head->D, half = D / 2;
    vec turn = vec_splat(sign);
    for (size_t t = 0; t < count; t++) {
        const float *cosines = head->in->cosines + (first + t) * half;
        const float *sines = head->in->sines + (first + t) * half;
        float *low = rows + t * D, *high = low + half;
#define TURN(d, n)                                                                                 \
    do {                                                                                           \
        vec a = piece(low + (d), n), b = piece(high + (d), n), cosine = piece(cosines + (d), n);   \
        vec sine = turn * piece(sines + (d), n);                                                   \
        put_piece(low + (d), a * cosine - b * sine, n);                                            \
        put_piece(high + (d), b * cosine + a * sine, n);                                           \
    } while (0)
        FOR_PIECES(half, TURN);
#undef TURN
    }
}

/* to[D, ld] = from[T, D] transposed, columns T .. ld zero. */
static void
transpose(float *to, size_t ld, const float *from, size_t T, size_t D)
{
    size_t whole_T = T / LANES * LANES, whole_D = D / LANES * LANES;
    for (size_t t = 0; t < whole_T; t += LANES) {
        for (size_t d = 0; d < whole_D; d += LANES)
            vec_transpose(to + d * ld + t, ld, from + t * D + d, D);
    }
    for (size_t t = 0; t < T; t++) {
        for (size_t d = t < whole_T ? whole_D : 0; d < D; d++)
            to[d * ld + t] = from[t * D + d];
    }
    for (size_t d = 0; d < D; d++)
        memset(to + d * ld + T, 0, (ld - T) * sizeof *to);
}

/* --- Strips. */

/* to[rows, keys] = left[rows, D] right_t, a tile's width of keys at a time, from the first group of
 * rows on that sees one of them. Row 0 is query row i0. */
INLINE void
strip(float *to, const float *left, const float *right_t, const struct head *head, size_t i0,
      size_t rows)
{
    for (size_t j = 0; j < i0 + rows; j += TILE_VECTORS * LANES) {
        size_t first = j > i0 ? (j - i0) / TILE_ROWS * TILE_ROWS : 0;
        struct strided a = {left + first * head->D, head->D, 1};
        tile_panel(to + first * head->ld + j, head->ld, a, right_t + j, head->ld, rows - first,
                   head->D, TILE_VECTORS, false);
    }
}

/* to[rows, D] = from[rows, keys] right[keys, D], again each group up to its own diagonal. */
INLINE void
strip_times(float *to, const float *from, const float *right, const struct head *head, size_t i0,
            size_t rows)
{
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        size_t group = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        struct strided a = {from + r * head->ld, head->ld, 1};
        tile_gemm(to + r * head->D, head->D, a, right, head->D, group, head->D, i0 + r + group,
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

static size_t
block_rows(const struct head *head, size_t i0)
{
    return head->T - i0 < BLOCK ? head->T - i0 : BLOCK;
}

/* Query rows i0 .. of the group's head h, rotated. */
INLINE void
take_queries(const struct head *head, size_t h, size_t i0, size_t rows)
{
    gather(head->query, head->q + h * head->D + i0 * head->stride, head->stride, rows, head->D);
    rotate(head->query, head, i0, rows, 1.0f);
}

/* --- Forward. */

static void
forward_block(const struct head *head, act *out, float *lse, size_t h, size_t i0, size_t rows)
{
    size_t D = head->D, used = i0 + rows;
    float share[BLOCK];
    take_queries(head, h, i0, rows);
    strip(head->p, head->query, head->keys_t, head, i0, rows);
    for (size_t r = 0; r < rows; r++)
        lse[i0 + r] = softmax_row(head->p + r * head->ld, i0 + r + 1, used, head->scale, &share[r]);
    strip_times(head->out, head->p, head->rows, head, i0, rows);
    for (size_t r = 0; r < rows; r++) {
        act *to = out + (i0 + r) * head->width;
        vec factor = vec_splat(share[r]);
#define SHARE(d, n) put_act_piece(to + (d), piece(head->out + r * D + (d), n) * factor, n)
        FOR_PIECES(D, SHARE);
#undef SHARE
    }
}

void
KERNEL(attention_forward)(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                          size_t unit, size_t first, float *scratch)
{
    struct head head = head_at(in, unit, scratch);
    size_t b = unit / in->shape.G, h0 = unit % in->shape.G * head.group;
    gather(head.rows, head.k, head.stride, head.T, head.D);
    rotate(head.rows, &head, 0, head.T, 1.0f);
    transpose(head.keys_t, head.ld, head.rows, head.T, head.D);
    gather(head.rows, head.v, head.stride, head.T, head.D);
    for (size_t h = 0; h < head.group; h++) {
        act *to = (act *)out + b * head.T * head.width + (h0 + h) * head.D;
        float *sums = lse + (b * in->shape.H + h0 + h) * head.T;
        for (size_t i0 = first; i0 < head.T; i0 += BLOCK)
            forward_block(&head, to, sums, h, i0, block_rows(&head, i0));
    }
}

/* --- Backward. */

/* Row i: p = e^(s scale - lse), ds = p (dp - sum(dout out)) scale; p and dp are replaced in place.
 */
INLINE void
softmax_row_backward(float *p, float *dp, float mean, float lse, float scale, size_t valid,
                     size_t keys)
{
    for (size_t j = 0; j < valid; j += LANES) {
        vec e = vec_exp(vec_load(p + j) * vec_splat(scale) - vec_splat(lse));
        vec_store(p + j, e);
        vec_store(dp + j, e * (vec_load(dp + j) - vec_splat(mean)) * vec_splat(scale));
    }
    memset(p + valid, 0, (keys - valid) * sizeof *p);
    memset(dp + valid, 0, (keys - valid) * sizeof *dp);
}

INLINE float
row_product(const float *a, const float *b, size_t D)
{
    vec sum = {0};
#define MULTIPLY(d, n) sum += piece(a + (d), n) * piece(b + (d), n)
    FOR_PIECES(D, MULTIPLY);
#undef MULTIPLY
    return vec_sum(sum);
}

/* Leaves the gradient of the block's rotated queries in head->query. */
static void
backward_block(const struct head *head, const float *lse, size_t i0, size_t rows)
{
    size_t used = i0 + rows, ld = head->ld, D = head->D;
    strip(head->p, head->query, head->keys_t, head, i0, rows);
    strip(head->dp, head->dout, head->values_t, head, i0, rows);
    for (size_t r = 0; r < rows; r++)
        softmax_row_backward(head->p + r * ld, head->dp + r * ld,
                             row_product(head->out + r * D, head->dout + r * D, D), lse[i0 + r],
                             head->scale, i0 + r + 1, used);
    struct strided p_t = {head->p, 1, ld}, ds_t = {head->dp, 1, ld};
    tile_gemm(head->dvalues, D, p_t, head->dout, D, used, D, rows, true);
    tile_gemm(head->dkeys, D, ds_t, head->query, D, used, D, rows, true);
    strip_times(head->query, head->dp, head->rows, head, i0, rows);
}

void
KERNEL(attention_backward)(struct dpc_act *dqkv, const struct dpc_act *dout,
                           const struct dpc_act *out, const float *lse,
                           const struct dpc_attention *in, size_t unit, float *scratch)
{
    struct head head = head_at(in, unit, scratch);
    size_t b = unit / in->shape.G, h0 = unit % in->shape.G * head.group, D = head.D, T = head.T;
    const act *qkv = (const act *)in->qkv;
    act *dq = (act *)dqkv + (head.q - qkv);
    gather(head.rows, head.v, head.stride, T, D);
    transpose(head.values_t, head.ld, head.rows, T, D);
    gather(head.rows, head.k, head.stride, T, D);
    rotate(head.rows, &head, 0, T, 1.0f);
    transpose(head.keys_t, head.ld, head.rows, T, D);
    memset(head.dkeys, 0, T * D * sizeof *head.dkeys);
    memset(head.dvalues, 0, T * D * sizeof *head.dvalues);
    for (size_t h = 0; h < head.group; h++) {
        size_t place = b * T * head.width + (h0 + h) * D;
        for (size_t i0 = 0; i0 < T; i0 += BLOCK) {
            size_t rows = block_rows(&head, i0), from = place + i0 * head.width;
            take_queries(&head, h, i0, rows);
            gather(head.out, (const act *)out + from, head.width, rows, D);
            gather(head.dout, (const act *)dout + from, head.width, rows, D);
            backward_block(&head, lse + (b * in->shape.H + h0 + h) * T, i0, rows);
            rotate(head.query, &head, i0, rows, -1.0f);
            scatter(dq + h * D + i0 * head.stride, head.stride, head.query, rows, D);
        }
    }
    rotate(head.dkeys, &head, 0, T, -1.0f);
    scatter((act *)dqkv + (head.k - qkv), head.stride, head.dkeys, T, D);
    scatter((act *)dqkv + (head.v - qkv), head.stride, head.dvalues, T, D);
}
