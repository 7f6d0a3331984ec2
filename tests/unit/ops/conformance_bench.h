/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the conformance suite: shapes, and the memory of one case.
 *
 * Owns: what a bench has taken, until bench_done. Threads: one. Limits: BUFFERS_MAX tensors,
 * outputs of SINK_FLOATS. Not here: cases (conformance.c), gradients (conformance_gradients.c).
 */
#ifndef DPC_TESTS_UNIT_OPS_CONFORMANCE_BENCH_H
#define DPC_TESTS_UNIT_OPS_CONFORMANCE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "ops/ops.h"
#include "tests/unit/harness.h"

enum { SINK_FLOATS = 1 << 23, BUFFERS_MAX = 32 };

/* Letters as in ops/ops.h. */
struct shape {
    size_t B, T, H, G, D, F, V;
    bool large; /* for whole tables, which have larger tiles */
};

/* Memory of one case: inputs are drawn, outputs are kept for comparison. */
struct bench {
    const struct dpc_ops *ops;
    struct dpc_rng rng;
    void *buffers[BUFFERS_MAX]; /* the table's */
    size_t buffers_count;
    float *sink;
    size_t sink_count;
};

static inline void
bench_init(struct bench *bench, const struct dpc_ops *ops)
{
    *bench = (struct bench){.ops = ops, .sink = dpc_alloc(SINK_FLOATS, sizeof(float))};
    dpc_rng_init(&bench->rng, 11, DPC_RNG_TEST, 0, 0, 0);
}

static inline void
bench_done(struct bench *bench)
{
    for (size_t i = 0; i < bench->buffers_count; i++)
        bench->ops->memory->release(bench->buffers[i]);
    dpc_free(bench->sink);
}

static inline void *
take(struct bench *bench, size_t bytes)
{
    void *memory = bench->ops->memory->allocate(bytes);
    CU_ASSERT_FATAL(memory != NULL && bench->buffers_count < BUFFERS_MAX);
    bench->buffers[bench->buffers_count++] = memory;
    return memory;
}

/* `count` normal values times `scale`; unaligned on purpose, where a table takes that. */
static inline float *
draw(struct bench *bench, size_t count, double scale)
{
    size_t skew = bench->ops->whole ? 0 : 1;
    float *values = dpc_alloc(count + 1, sizeof *values);
    float *memory = (float *)take(bench, (count + 1) * sizeof *values) + skew;
    for (size_t i = 0; i <= count; i++)
        values[i] = (float)(scale * dpc_rng_normal(&bench->rng));
    bench->ops->memory->upload(memory, values + 1, count * sizeof *values);
    dpc_free(values);
    return memory;
}

static inline void *
filled(struct bench *bench, size_t bytes, int fill)
{
    void *memory = take(bench, bytes), *values = dpc_alloc(bytes, 1);
    memset(values, fill, bytes);
    bench->ops->memory->upload(memory, values, bytes);
    dpc_free(values);
    return memory;
}

/* Rows of `row` bytes that begin `stride` bytes apart, with `fill` between them. */
static inline void *
spread(struct bench *bench, const void *packed, size_t rows, size_t row, size_t stride, int fill)
{
    const struct dpc_memory *memory = bench->ops->memory;
    char *all = filled(bench, rows * stride, fill), *values = dpc_alloc(rows, row);
    memory->download(values, packed, rows * row);
    for (size_t n = 0; n < rows; n++)
        memory->upload(all + n * stride, values + n * row, row);
    dpc_free(values);
    return all;
}

static inline void
poke(const struct bench *bench, float *values, size_t index, float value)
{
    bench->ops->memory->upload(values + index, &value, sizeof value);
}

/* To be released with dpc_free. */
static inline float *
fetch(const struct bench *bench, const float *values, size_t count)
{
    float *copy = dpc_alloc(count, sizeof *copy);
    bench->ops->memory->download(copy, values, count * sizeof *copy);
    return copy;
}

/* The same as acts of a table; both tables of a comparison draw the same values. */
static inline struct dpc_act *
draw_acts(struct bench *bench, const struct dpc_ops *ops, size_t count, double scale)
{
    struct dpc_act *memory = (struct dpc_act *)draw(bench, count, 0.0);
    struct dpc_act *acts = dpc_alloc(count, sizeof(float));
    for (size_t i = 0; i < count; i++)
        dpc_act_write(ops, acts, i, (float)(scale * dpc_rng_normal(&bench->rng)));
    ops->memory->upload(memory, acts, count * dpc_act_bytes(ops));
    dpc_free(acts);
    return memory;
}

/* In host memory, to be released with dpc_free. */
static inline int32_t *
draw_tokens(struct bench *bench, size_t count, size_t V, bool masked)
{
    int32_t *tokens = dpc_alloc(count, sizeof *tokens);
    for (size_t i = 0; i < count; i++)
        tokens[i] = masked && i % 3 == 1 ? -1 : (int32_t)dpc_rng_below(&bench->rng, V);
    return tokens;
}

static inline void
keep(struct bench *bench, const float *values, size_t count)
{
    CU_ASSERT_FATAL(bench->sink_count + count <= SINK_FLOATS);
    bench->ops->memory->download(bench->sink + bench->sink_count, values, count * sizeof *values);
    bench->sink_count += count;
}

static inline void
keep_acts(struct bench *bench, const struct dpc_ops *ops, const struct dpc_act *acts, size_t count)
{
    CU_ASSERT_FATAL(bench->sink_count + count <= SINK_FLOATS);
    struct dpc_act *copy = dpc_alloc(count, sizeof(float));
    ops->memory->download(copy, acts, count * dpc_act_bytes(ops));
    for (size_t i = 0; i < count; i++)
        bench->sink[bench->sink_count + i] = dpc_act_read(ops, copy, i);
    bench->sink_count += count;
    dpc_free(copy);
}

/* Of each row `stride` apart the V values that are its own. */
static inline void
keep_rows(struct bench *bench, const float *values, size_t rows, size_t V, size_t stride)
{
    for (size_t n = 0; n < rows; n++)
        keep(bench, values + n * stride, V);
}

/* The same, and between rows are zeros. */
static inline void
keep_rows_acts(struct bench *bench, const struct dpc_ops *ops, const struct dpc_act *acts,
               size_t rows, size_t V, size_t stride)
{
    for (size_t n = 0; n < rows; n++) {
        keep_acts(bench, ops, dpc_act_at(ops, acts, n * stride), stride);
        for (size_t v = V; v < stride; v++)
            CU_ASSERT(bench->sink[--bench->sink_count] == 0.0f);
    }
}

/* w[O,K], packed; rows of its outputs begin `stride` apart. */
static inline struct dpc_weights
draw_weights(struct bench *bench, const struct dpc_ops *ops, size_t O, size_t stride, size_t K)
{
    size_t bytes = ops->packed_bytes ? ops->packed_bytes(stride, K) : 0;
    struct dpc_weights w = {.values = draw(bench, O * K, 1), .O = O, .stride = stride, .K = K};
    if (bytes) {
        w.forward = take(bench, bytes);
        w.backward = ops->packed_once ? w.forward : take(bench, bytes);
        ops->pack(&w);
    }
    return w;
}

static inline size_t
width(struct shape s)
{
    return (s.H + 2 * s.G) * s.D;
}

/* What attention reads, with positions' angles. */
static inline struct dpc_attention
draw_attention(struct bench *bench, const struct dpc_ops *ops, struct shape s, double scale)
{
    float *cosines = draw(bench, s.T * s.D / 2, 0), *sines = draw(bench, s.T * s.D / 2, 0);
    size_t angles_count = s.T * s.D / 2;
    float *angles = dpc_alloc(2 * angles_count, sizeof *angles);
    dpc_rope_fill(angles, angles + angles_count, s.T, s.D, 100.0);
    ops->memory->upload(cosines, angles, angles_count * sizeof *angles);
    ops->memory->upload(sines, angles + angles_count, angles_count * sizeof *angles);
    dpc_free(angles);
    return (struct dpc_attention){
        .shape = {.B = s.B, .T = s.T, .H = s.H, .G = s.G, .D = s.D},
        .qkv = draw_acts(bench, ops, s.B * s.T * width(s), scale),
        .cosines = cosines,
        .sines = sines,
    };
}

static inline void *
scratch(struct bench *bench, struct shape s)
{
    struct dpc_attention_shape shape = {s.B, s.T, s.H, s.G, s.D};
    return draw(bench, bench->ops->attention_scratch_bytes(&shape) / sizeof(float) + 1, 1.0);
}

static inline size_t
units(const struct dpc_ops *ops, const struct dpc_attention *in)
{
    return ops->whole ? 1 : in->shape.B * in->shape.G;
}

static inline void
attend(const struct dpc_ops *ops, struct dpc_act *out, float *lse, const struct dpc_attention *in,
       size_t first, void *memory)
{
    for (size_t unit = 0; unit < units(ops, in); unit++)
        ops->attention_forward(out, lse, in, ops->whole ? DPC_EVERY_UNIT : unit, first, memory);
}

static inline void
attend_backward(const struct dpc_ops *ops, struct dpc_act *dqkv, const struct dpc_act *dout,
                const struct dpc_act *out, const float *lse, const struct dpc_attention *in,
                void *memory)
{
    for (size_t unit = 0; unit < units(ops, in); unit++)
        ops->attention_backward(dqkv, dout, out, lse, in, ops->whole ? DPC_EVERY_UNIT : unit,
                                memory);
}

#endif
