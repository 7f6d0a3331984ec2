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
    bool pairs;                /* operands are words of two bf16; sizes below count words then */
    size_t depth;              /* D, or D/2 words */
    float *keys_t, *values_t;  /* [depth, ld] */
    float *rows;               /* [T, D] values forward, keys backward; words of two rows */
    float *dkeys, *dvalues;    /* [T, D] */
    float *p, *dp;             /* [BLOCK, ld] */
    float *ds;                 /* [BLOCK, ld/2] dp's rows in bf16 */
    float *query, *out, *dout; /* [BLOCK, D] */
    float *query_rows, *dout_rows;   /* [BLOCK, D/2] words along D */
    float *query_pairs, *dout_pairs; /* [BLOCK/2, D] words of two rows */
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
        .pairs = DPC_TILE_PAIRS && D % LANES == 0,
    };
    head.depth = head.pairs ? D / 2 : D;
    float **const parts[] = {&head.keys_t, &head.values_t, &head.rows, &head.dkeys, &head.dvalues};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, scratch += D * ld)
        *parts[i] = scratch;
    float **const strips[] = {&head.p, &head.dp, &head.ds};
    for (size_t i = 0; i < sizeof strips / sizeof *strips; i++, scratch += BLOCK * ld)
        *strips[i] = scratch;
    float **const blocks[] = {&head.query, &head.out, &head.dout};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++, scratch += BLOCK * D)
        *blocks[i] = scratch;
    float **const words[] = {&head.query_rows, &head.dout_rows, &head.query_pairs,
                             &head.dout_pairs};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++, scratch += BLOCK * D / 2)
        *words[i] = scratch;
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

/* --- Pairs of bf16. */

/* to[n] = words of a[n] and b[n]; `to` may be `a`. */
INLINE void
pair_rows(float *to, const float *a, const float *b, size_t count)
{
#if DPC_TILE_PAIRS
    for (size_t i = 0; i < count; i += LANES) {
        vec_words low = __builtin_convertvector(act_narrow(vec_load(a + i)), vec_words);
        vec_words high = __builtin_convertvector(act_narrow(vec_load(b + i)), vec_words);
        vec_store(to + i, (vec)(low | high << 16));
    }
#else
    (void)to, (void)a, (void)b, (void)count;
#endif
}

/* Rows [count, D] to words of two rows [count/2, D]; behind an odd last row stands a row of zeros,
 * for which there must be room. `to` may be `from`. */
INLINE void
pair_all_rows(float *to, float *from, size_t count, size_t D)
{
    if (count % 2)
        memset(from + count * D, 0, D * sizeof *from);
    for (size_t t = 0; t < count; t += 2)
        pair_rows(to + t / 2 * D, from + t * D, from + (t + 1) * D, D);
}

/* Keys or values [T, D] transposed to what scores are made with; `spare` is [T, D]. */
INLINE void
transpose_operand(float *to, const float *from, float *spare, const struct head *head,
                  const bool pairs)
{
    if (pairs)
        scatter((act *)spare, head->D, from, head->T, head->D);
    transpose(to, head->ld, pairs ? spare : from, head->T, head->depth);
}

/* --- Strips. */

/* to[rows, keys] = left[rows, depth] right_t, a tile's width of keys at a time, from the first
 * group of rows on that sees one of them. Row 0 is query row i0. */
INLINE void
strip(float *to, const float *left, const float *right_t, const struct head *head, size_t i0,
      size_t rows, const bool pairs)
{
    for (size_t j = 0; j < i0 + rows; j += TILE_VECTORS * LANES) {
        size_t first = j > i0 ? (j - i0) / TILE_ROWS * TILE_ROWS : 0;
        struct strided a = {left + first * head->depth, head->depth, 1};
        tile_panel(to + first * head->ld + j, head->ld, a, right_t + j, head->ld, rows - first,
                   head->depth, TILE_VECTORS, 0, false, pairs);
    }
}

/* to[rows, D] = from[rows, keys] right[keys, D], again each group up to its own diagonal; rows of
 * from begin `stride` apart. */
INLINE void
strip_times(float *to, const float *from, size_t stride, const float *right,
            const struct head *head, size_t i0, size_t rows, const bool pairs)
{
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        size_t group = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        struct strided a = {from + r * stride, stride, 1};
        size_t keys = i0 + r + group;
        tile_gemm(to + r * head->D, head->D, a, right, head->D, group, head->D,
                  pairs ? (keys + 1) / 2 : keys, false, pairs);
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

/* A strip's row of fp32 to bf16, from the row's beginning. */
INLINE void
narrow_row(float *row, size_t count)
{
    act *to = (act *)row;
    for (size_t j = 0; j < count; j += LANES)
        act_store(to + j, vec_load(row + j));
}

INLINE void
forward_block(const struct head *head, act *out, float *lse, size_t h, size_t i0, size_t rows,
              const bool pairs)
{
    size_t D = head->D, used = round_up(i0 + rows, 2);
    float share[BLOCK];
    take_queries(head, h, i0, rows);
    if (pairs)
        scatter((act *)head->query_rows, D, head->query, rows, D);
    strip(head->p, pairs ? head->query_rows : head->query, head->keys_t, head, i0, rows, pairs);
    for (size_t r = 0; r < rows; r++) {
        float *row = head->p + r * head->ld;
        lse[i0 + r] = softmax_row(row, i0 + r + 1, used, head->scale, &share[r]);
        if (pairs)
            narrow_row(row, used);
    }
    strip_times(head->out, head->p, head->ld, head->rows, head, i0, rows, pairs);
    for (size_t r = 0; r < rows; r++) {
        act *to = out + (i0 + r) * head->width;
        vec factor = vec_splat(share[r]);
#define SHARE(d, n) put_act_piece(to + (d), piece(head->out + r * D + (d), n) * factor, n)
        FOR_PIECES(D, SHARE);
#undef SHARE
    }
}

INLINE void
forward(const struct head *head, act *out, float *lse, size_t first, const bool pairs)
{
    size_t T = head->T, D = head->D;
    gather(head->rows, head->k, head->stride, T, D);
    rotate(head->rows, head, 0, T, 1.0f);
    transpose_operand(head->keys_t, head->rows, head->dvalues, head, pairs);
    gather(head->rows, head->v, head->stride, T, D);
    if (pairs)
        pair_all_rows(head->rows, head->rows, T, D);
    for (size_t h = 0; h < head->group; h++) {
        for (size_t i0 = first; i0 < T; i0 += BLOCK)
            forward_block(head, out + h * D, lse + h * T, h, i0, block_rows(head, i0), pairs);
    }
}

void
KERNEL(attention_forward)(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                          size_t unit, size_t first, void *scratch)
{
    struct head head = head_at(in, unit, scratch);
    size_t b = unit / in->shape.G, h0 = unit % in->shape.G * head.group;
    act *to = (act *)out + b * head.T * head.width + h0 * head.D;
    float *sums = lse + (b * in->shape.H + h0) * head.T;
    if (head.pairs)
        forward(&head, to, sums, first, true);
    else
        forward(&head, to, sums, first, false);
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

/* Rows of dp to bf16 in ds, then p and dp to words of two rows, which stand in every second row. */
INLINE void
pair_strips(const struct head *head, size_t rows, size_t keys)
{
    size_t ld = head->ld, count = round_up(keys, LANES);
    if (rows % 2) {
        memset(head->p + rows * ld, 0, count * sizeof *head->p);
        memset(head->dp + rows * ld, 0, count * sizeof *head->dp);
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < count; j += LANES)
            act_store((act *)(head->ds + r * ld / 2) + j, vec_load(head->dp + r * ld + j));
    }
    for (size_t r = 0; r < rows; r += 2) {
        pair_rows(head->p + r * ld, head->p + r * ld, head->p + (r + 1) * ld, count);
        pair_rows(head->dp + r * ld, head->dp + r * ld, head->dp + (r + 1) * ld, count);
    }
}

/* Leaves the gradient of the block's rotated queries in head->query. */
INLINE void
backward_block(const struct head *head, const float *lse, size_t i0, size_t rows, const bool pairs)
{
    size_t used = i0 + rows, keys = round_up(used, 2), ld = head->ld, D = head->D;
    strip(head->p, pairs ? head->query_rows : head->query, head->keys_t, head, i0, rows, pairs);
    strip(head->dp, pairs ? head->dout_rows : head->dout, head->values_t, head, i0, rows, pairs);
    for (size_t r = 0; r < rows; r++)
        softmax_row_backward(head->p + r * ld, head->dp + r * ld,
                             row_product(head->out + r * D, head->dout + r * D, D), lse[i0 + r],
                             head->scale, i0 + r + 1, keys);
    if (pairs)
        pair_strips(head, rows, keys);
    size_t column = pairs ? 2 * ld : ld, depth = pairs ? (rows + 1) / 2 : rows;
    struct strided p_t = {head->p, 1, column}, ds_t = {head->dp, 1, column};
    tile_gemm(head->dvalues, D, p_t, pairs ? head->dout_pairs : head->dout, D, used, D, depth, true,
              pairs);
    tile_gemm(head->dkeys, D, ds_t, pairs ? head->query_pairs : head->query, D, used, D, depth,
              true, pairs);
    strip_times(head->query, pairs ? head->ds : head->dp, pairs ? ld / 2 : ld, head->rows, head, i0,
                rows, pairs);
}

/* The block's queries, outputs and their gradients, as the products want them. */
INLINE void
take_block(const struct head *head, const act *out, const act *dout, size_t h, size_t i0,
           size_t rows, const bool pairs)
{
    size_t D = head->D;
    take_queries(head, h, i0, rows);
    gather(head->out, out + i0 * head->width, head->width, rows, D);
    gather(head->dout, dout + i0 * head->width, head->width, rows, D);
    if (!pairs)
        return;
    scatter((act *)head->query_rows, D, head->query, rows, D);
    scatter((act *)head->dout_rows, D, head->dout, rows, D);
    pair_all_rows(head->query_pairs, head->query, rows, D);
    pair_all_rows(head->dout_pairs, head->dout, rows, D);
}

INLINE void
backward(const struct head *head, act *dqkv, const act *out, const act *dout, const float *lse,
         const bool pairs)
{
    const act *qkv = (const act *)head->in->qkv;
    size_t T = head->T, D = head->D;
    gather(head->rows, head->v, head->stride, T, D);
    transpose_operand(head->values_t, head->rows, head->dvalues, head, pairs);
    gather(head->rows, head->k, head->stride, T, D);
    rotate(head->rows, head, 0, T, 1.0f);
    transpose_operand(head->keys_t, head->rows, head->dvalues, head, pairs);
    if (pairs)
        pair_all_rows(head->rows, head->rows, T, D);
    memset(head->dkeys, 0, T * D * sizeof *head->dkeys);
    memset(head->dvalues, 0, T * D * sizeof *head->dvalues);
    for (size_t h = 0; h < head->group; h++) {
        for (size_t i0 = 0; i0 < T; i0 += BLOCK) {
            size_t rows = block_rows(head, i0);
            take_block(head, out + h * D, dout + h * D, h, i0, rows, pairs);
            backward_block(head, lse + h * T, i0, rows, pairs);
            rotate(head->query, head, i0, rows, -1.0f);
            scatter(dqkv + (head->q - qkv) + h * D + i0 * head->stride, head->stride, head->query,
                    rows, D);
        }
    }
    rotate(head->dkeys, head, 0, T, -1.0f);
    scatter(dqkv + (head->k - qkv), head->stride, head->dkeys, T, D);
    scatter(dqkv + (head->v - qkv), head->stride, head->dvalues, T, D);
}

void
KERNEL(attention_backward)(struct dpc_act *dqkv, const struct dpc_act *dout,
                           const struct dpc_act *out, const float *lse,
                           const struct dpc_attention *in, size_t unit, void *scratch)
{
    struct head head = head_at(in, unit, scratch);
    size_t b = unit / in->shape.G, h0 = unit % in->shape.G * head.group;
    size_t place = b * head.T * head.width + h0 * head.D;
    const float *sums = lse + (b * in->shape.H + h0) * head.T;
    if (head.pairs)
        backward(&head, (act *)dqkv, (const act *)out + place, (const act *)dout + place, sums,
                 true);
    else
        backward(&head, (act *)dqkv, (const act *)out + place, (const act *)dout + place, sums,
                 false);
}
