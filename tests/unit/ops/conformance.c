/* SPDX-License-Identifier: Apache-2.0
 * Each case fills its inputs from a fixed stream, computes, and hands its outputs to a sink; the
 * sinks of the table and of the reference are compared. A second list checks each backward kernel
 * against finite differences of its forward kernel. Tensors lie in the table's memory. */
#include "tests/unit/ops/conformance.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

enum { SINK_FLOATS = 1 << 23, BUFFERS_MAX = 32 };

/* Shapes that hit whole tiles, tails of all kinds, one position, one narrow head, shared keys. */
struct shape {
    size_t B, T, H, G, D, F, V;
    bool large; /* for whole tables, which have larger tiles */
};
static const struct shape shapes[] = {
    {2, 64, 2, 2, 32, 344, 256, false},   {1, 130, 3, 1, 40, 37, 1000, false},
    {3, 7, 4, 2, 8, 88, 64, false},       {2, 1, 1, 1, 2, 3, 5, false},
    {1, 97, 2, 2, 64, 128, 333, false},   {1, 49, 1, 1, 18, 16, 17, false},
    {1, 1024, 2, 1, 64, 344, 1000, true}, {2, 300, 4, 2, 128, 136, 77, true},
    {3, 257, 2, 2, 32, 40, 99, true},     {1, 70, 1, 1, 256, 24, 32000, true},
    {1, 70, 2, 1, 128, 24, 40, false},    {1, 70, 1, 1, 256, 16, 24, false},
    {1, 330, 4, 2, 64, 16, 24, false},
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

static void
bench_init(struct bench *bench, const struct dpc_ops *ops)
{
    *bench = (struct bench){.ops = ops, .sink = dpc_alloc(SINK_FLOATS, sizeof(float))};
    dpc_rng_init(&bench->rng, 11, DPC_RNG_TEST, 0, 0, 0);
}

static void
bench_done(struct bench *bench)
{
    for (size_t i = 0; i < bench->buffers_count; i++)
        bench->ops->memory->release(bench->buffers[i]);
    dpc_free(bench->sink);
}

static void *
take(struct bench *bench, size_t bytes)
{
    void *memory = bench->ops->memory->allocate(bytes);
    CU_ASSERT_FATAL(memory != NULL && bench->buffers_count < BUFFERS_MAX);
    bench->buffers[bench->buffers_count++] = memory;
    return memory;
}

/* `count` normal values times `scale`; unaligned on purpose, where a table takes that. */
static float *
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

static void
poke(const struct bench *bench, float *values, size_t index, float value)
{
    bench->ops->memory->upload(values + index, &value, sizeof value);
}

/* To be released with dpc_free. */
static float *
fetch(const struct bench *bench, const float *values, size_t count)
{
    float *copy = dpc_alloc(count, sizeof *copy);
    bench->ops->memory->download(copy, values, count * sizeof *copy);
    return copy;
}

/* The same as acts of a table; both tables of a comparison draw the same values. */
static struct dpc_act *
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
static int32_t *
draw_tokens(struct bench *bench, size_t count, size_t V, bool masked)
{
    int32_t *tokens = dpc_alloc(count, sizeof *tokens);
    for (size_t i = 0; i < count; i++)
        tokens[i] = masked && i % 3 == 1 ? -1 : (int32_t)dpc_rng_below(&bench->rng, V);
    return tokens;
}

static void
keep(struct bench *bench, const float *values, size_t count)
{
    CU_ASSERT_FATAL(bench->sink_count + count <= SINK_FLOATS);
    bench->ops->memory->download(bench->sink + bench->sink_count, values, count * sizeof *values);
    bench->sink_count += count;
}

static void
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

/* w[O,K], packed. */
static struct dpc_weights
draw_weights(struct bench *bench, const struct dpc_ops *ops, size_t O, size_t K)
{
    size_t bytes = ops->packed_bytes ? ops->packed_bytes(O, K) : 0;
    struct dpc_weights w = {.values = draw(bench, O * K, 1), .O = O, .K = K};
    if (bytes) {
        w.forward = take(bench, bytes);
        w.backward = ops->packed_once ? w.forward : take(bench, bytes);
        ops->pack(&w);
    }
    return w;
}

static size_t
width(struct shape s)
{
    return (s.H + 2 * s.G) * s.D;
}

/* What attention reads, with positions' angles. */
static struct dpc_attention
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

static void *
scratch(struct bench *bench, struct shape s)
{
    struct dpc_attention_shape shape = {s.B, s.T, s.H, s.G, s.D};
    return draw(bench, bench->ops->attention_scratch_bytes(&shape) / sizeof(float) + 1, 1.0);
}

static size_t
units(const struct dpc_ops *ops, const struct dpc_attention *in)
{
    return ops->whole ? 1 : in->shape.B * in->shape.G;
}

static void
attend(const struct dpc_ops *ops, struct dpc_act *out, float *lse, const struct dpc_attention *in,
       size_t first, void *memory)
{
    for (size_t unit = 0; unit < units(ops, in); unit++)
        ops->attention_forward(out, lse, in, ops->whole ? DPC_EVERY_UNIT : unit, first, memory);
}

static void
attend_backward(const struct dpc_ops *ops, struct dpc_act *dqkv, const struct dpc_act *dout,
                const struct dpc_act *out, const float *lse, const struct dpc_attention *in,
                void *memory)
{
    for (size_t unit = 0; unit < units(ops, in); unit++)
        ops->attention_backward(dqkv, dout, out, lse, in, ops->whole ? DPC_EVERY_UNIT : unit,
                                memory);
}

/* --- Cases: compute and keep. */

static void
linear_forward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    struct dpc_act *x = draw_acts(bench, ops, N * C, 1), *y = draw_acts(bench, ops, N * s.F, 1);
    float *z = draw(bench, N * s.F, 1);
    struct dpc_weights w = draw_weights(bench, ops, s.F, C);
    ops->linear_forward(y, x, &w, N);
    ops->linear_forward_float(z, x, &w, N);
    keep_acts(bench, ops, y, N * s.F);
    keep(bench, z, N * s.F);
}

/* Also the gradient of some of the outputs, out of the middle of dy. */
static void
linear_backward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D, from = s.F / 3, part = s.F - from;
    struct dpc_act *x = draw_acts(bench, ops, N * C, 1), *dx = draw_acts(bench, ops, N * C, 1);
    struct dpc_act *dy = draw_acts(bench, ops, N * s.F, 1);
    struct dpc_weights w = draw_weights(bench, ops, s.F, C);
    ops->linear_backward_input(dx, dy, &w, N);
    keep_acts(bench, ops, dx, N * C);
    for (int add = 0; add < 2; add++) {
        float *dw = draw(bench, s.F * C, 1), *some = draw(bench, part * C, 1);
        ops->linear_backward_weight(dw, dy, s.F, x, N, s.F, C, add);
        ops->linear_backward_weight(some, dpc_act_at(ops, dy, from), s.F, x, N, part, C, add);
        keep(bench, dw, s.F * C);
        keep(bench, some, part * C);
    }
}

static void
embedding(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    int32_t *tokens = draw_tokens(bench, N, s.V, false);
    float *table = draw(bench, s.V * C, 1), *x = draw(bench, N * C, 1);
    ops->embedding_forward(x, table, tokens, N, C);
    ops->embedding_backward(table, x, tokens, N, C, 0, C / 2);
    ops->embedding_backward(table, x, tokens, N, C, C / 2, C);
    keep(bench, x, N * C);
    keep(bench, table, s.V * C);
    dpc_free(tokens);
}

static void
rmsnorm_forward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    float *x = draw(bench, N * C, 1), *delta = draw(bench, N * C, 1), *gain = draw(bench, C, 1);
    float *sum = draw(bench, N * C, 1), *rstd = draw(bench, N, 1);
    struct dpc_act *out = draw_acts(bench, ops, N * C, 1);
    ops->rmsnorm_forward(out, NULL, rstd, x, NULL, gain, N, C, 1e-5f);
    keep_acts(bench, ops, out, N * C);
    keep(bench, rstd, N);
    ops->rmsnorm_forward(out, sum, rstd, x, delta, gain, N, C, 1e-5f);
    keep_acts(bench, ops, out, N * C);
    keep(bench, sum, N * C);
    keep(bench, rstd, N);
}

static void
rmsnorm_backward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    float *x = draw(bench, N * C, 1), *gain = draw(bench, C, 1), *rstd = draw(bench, N, 1);
    float *dx = draw(bench, N * C, 1), *before = draw(bench, N * C, 1), *dgain = draw(bench, C, 1);
    struct dpc_act *dout = draw_acts(bench, ops, N * C, 1);
    struct dpc_act *dx_act = draw_acts(bench, ops, N * C, 1),
                   *out = draw_acts(bench, ops, N * C, 1);
    ops->rmsnorm_backward(dx, NULL, NULL, dgain, NULL, dout, x, rstd, gain, N, C);
    keep(bench, dx, N * C);
    keep(bench, dgain, C);
    ops->rmsnorm_backward(dx, dx_act, out, dgain, before, dout, x, rstd, gain, N, C);
    keep(bench, dx, N * C);
    keep_acts(bench, ops, dx_act, N * C);
    keep_acts(bench, ops, out, N * C);
}

static void
attention_forward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    struct dpc_attention in = draw_attention(bench, ops, s, 2);
    struct dpc_act *out = draw_acts(bench, ops, N * C, 0);
    float *lse = draw(bench, N * s.H, 0);
    attend(ops, out, lse, &in, 0, scratch(bench, s));
    keep_acts(bench, ops, out, N * C);
    keep(bench, lse, N * s.H);
}

/* The last row alone, as when a text is extended; rows before stay untouched. */
static void
attention_last_row(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    struct dpc_attention in = draw_attention(bench, ops, s, 1);
    struct dpc_act *out = draw_acts(bench, ops, N * C, 1);
    float *lse = draw(bench, N * s.H, 1);
    attend(ops, out, lse, &in, s.T - 1, scratch(bench, s));
    keep_acts(bench, ops, out, N * C);
    keep(bench, lse, N * s.H);
}

static void
attention_backward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    struct dpc_attention in = draw_attention(bench, ops, s, 1);
    struct dpc_act *out = draw_acts(bench, ops, N * C, 0), *dout = draw_acts(bench, ops, N * C, 1);
    struct dpc_act *dqkv = draw_acts(bench, ops, N * width(s), 1);
    float *lse = draw(bench, N * s.H, 0);
    attend(ops, out, lse, &in, 0, scratch(bench, s));
    attend_backward(ops, dqkv, dout, out, lse, &in, scratch(bench, s));
    keep_acts(bench, ops, dqkv, N * width(s));
}

static void
swiglu(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T;
    struct dpc_act *gate_up = draw_acts(bench, ops, N * 2 * s.F, 3);
    struct dpc_act *out = draw_acts(bench, ops, N * s.F, 1),
                   *dout = draw_acts(bench, ops, N * s.F, 1);
    struct dpc_act *dgate_up = draw_acts(bench, ops, N * 2 * s.F, 1);
    struct dpc_act *outlier = dpc_alloc(1, sizeof(float)); /* past the exponential's range */
    dpc_act_write(ops, outlier, 0, -200.0f);
    ops->memory->upload(gate_up, outlier, dpc_act_bytes(ops));
    dpc_free(outlier);
    ops->swiglu_forward(out, gate_up, N, s.F);
    keep_acts(bench, ops, out, N * s.F);
    ops->swiglu_backward(dgate_up, out, dout, gate_up, N, s.F);
    keep_acts(bench, ops, out, N * s.F);
    keep_acts(bench, ops, dgate_up, N * 2 * s.F);
}

static void
cross_entropy(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T;
    int32_t *targets = draw_tokens(bench, N, s.V, true);
    float *logits = draw(bench, N * s.V, 4), *losses = draw(bench, N, 1);
    /* Far beyond what an exponential without the maximum's shift would hold. */
    poke(bench, logits, 0, 300.0f);
    ops->cross_entropy_forward(losses, logits, targets, N, s.V);
    keep(bench, losses, N);
    struct dpc_act *dlogits = (struct dpc_act *)logits;
    if (ops->whole)
        dlogits = take(bench, N * s.V * dpc_act_bytes(ops));
    ops->cross_entropy_backward(losses, dlogits, logits, targets, N, s.V, 0.5f);
    keep(bench, losses, N);
    keep_acts(bench, ops, dlogits, N * s.V);
    dpc_free(targets);
}

/* Two pieces, one of them empty but for a value, of which the larger one's sum is told. */
static double
sum_of_squares(struct bench *bench, const float *values, size_t count, double *ret_rest)
{
    const struct dpc_piece pieces[] = {{.from = 0, .count = count - 1},
                                       {.from = count - 1, .count = 1}};
    double *sums = take(bench, sizeof pieces), both[2];
    bench->ops->squared_norms(sums, values, pieces, 2);
    bench->ops->memory->download(both, sums, sizeof both);
    *ret_rest = both[1];
    return both[0];
}

static void
keep_double(struct bench *bench, double value)
{
    float high = (float)value, both[2] = {high, (float)(value - (double)high)};
    memcpy(bench->sink + bench->sink_count, both, sizeof both);
    bench->sink_count += 2;
}

static void
squared_norms(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t count = s.T * s.F;
    float *values = draw(bench, count, 1);
    double rest, sum = sum_of_squares(bench, values, count, &rest);
    (void)ops;
    keep_double(bench, sum);
    keep_double(bench, rest);
    poke(bench, values, count / 3, 3e38f);
    CU_ASSERT(isfinite(sum_of_squares(bench, values, count, &rest)));
    poke(bench, values, count / 3, NAN);
    CU_ASSERT(isnan(sum_of_squares(bench, values, count, &rest)));
    poke(bench, values, count - 1, INFINITY);
    (void)sum_of_squares(bench, values, count, &rest);
    CU_ASSERT(!isfinite(rest));
}

static void
rows(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D, count = (N + 1) / 2;
    struct dpc_act *all = draw_acts(bench, ops, N * C, 1), *some = draw_acts(bench, ops, N * C, 1);
    float *values = draw(bench, N * C, 1), *sum = draw(bench, C, 1), *mean = draw(bench, C, 1);
    uint32_t *places = dpc_alloc(count, sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (uint32_t)(N - 1 - 2 * i);
    ops->gather_rows(some, all, places, count, N, C);
    ops->scatter_rows(all, some, places, count / 2, C);
    ops->mean_rows(mean, values, N, C);
    ops->sum_rows(sum, values, N, C, true);
    keep(bench, sum, C);
    ops->sum_rows(sum, values, N, C, false);
    keep(bench, sum, C);
    keep(bench, mean, C);
    keep_acts(bench, ops, some, N * C);
    keep_acts(bench, ops, all, N * C);
    dpc_free(places);
}

static void
adamw(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t count = s.T * s.F;
    float *p = draw(bench, count, 1), *g = draw(bench, count, 1);
    float *m = draw(bench, count, 0.1), *v = draw(bench, count, 0.1);
    float *squares = fetch(bench, v, count);
    for (size_t i = 0; i < count; i++)
        squares[i] *= squares[i];
    ops->memory->upload(v, squares, count * sizeof *v);
    dpc_free(squares);
    const struct dpc_piece pieces[] = {{.from = count / 3, .count = count - count / 3},
                                       {.from = 0, .count = count / 3, .decay = true}};
    struct dpc_adamw_rates rates = {
        .lr = 1e-2,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = 0.1,
        .gradient_scale = 0.3,
        .correction1 = 0.4,
        .correction2 = 0.01,
    };
    ops->adamw(p, g, m, v, pieces, 2, &rates);
    keep(bench, p, count);
    keep(bench, m, count);
    keep(bench, v, count);
}

static void
outer(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t count = s.T * s.F;
    float *theta = draw(bench, count, 1), *momentum = draw(bench, count, 1);
    double *sum = take(bench, count * sizeof *sum);
    for (int path = 0; path < 3; path++)
        ops->outer_accumulate(sum, draw(bench, count, 0.1), 0.2 + 0.1 * path, count);
    for (int step = 0; step < 2; step++)
        ops->outer_nesterov(theta, momentum, sum, count, sqrt(3.0), 0.7, 0.9);
    keep(bench, theta, count);
    keep(bench, momentum, count);
}

static void
keep_bytes(struct bench *bench, const uint8_t *bytes, size_t count)
{
    CU_ASSERT_FATAL(bench->sink_count + count <= SINK_FLOATS);
    for (size_t i = 0; i < count; i++)
        bench->sink[bench->sink_count++] = bytes[i];
}

/* Every form, over a block that is a whole one, one that is none, and one of zeros; a value that is
 * not finite. Bytes are compared as numbers. */
static void
wire(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t count = s.T * s.F + DPC_CODEC_BLOCK + 1, most = dpc_codec_bytes(DPC_CODEC_FP32, count);
    float *from = draw(bench, count, 1), *values = draw(bench, count, 0.5);
    uint8_t *bytes = take(bench, most), *copy = dpc_alloc(most, 1);
    float *same = fetch(bench, from, DPC_CODEC_BLOCK);
    ops->memory->upload(values, same, DPC_CODEC_BLOCK * sizeof *same);
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        for (int finite = 1; finite >= 0; finite--) {
            if (!finite)
                poke(bench, from, count - 1, NAN);
            ops->encode_difference(bytes, from, values, count, codec);
            size_t len = dpc_codec_bytes(codec, count);
            ops->memory->download(copy, bytes, len);
            /* What is not finite as fp32 is so in many ways. */
            keep_bytes(bench, copy, codec || finite ? len : len - sizeof(float));
        }
        poke(bench, from, count - 1, 0.25f);
    }
    dpc_free(same);
    dpc_free(copy);
}

/* Tolerances: largest difference over the largest magnitude of all that is kept; 0: the same bits,
 * or on a card, which may add in another order, 2e-6. In bf16 an output may be rounded to either
 * side: 2^-8 of the largest. Products that may go through TF32 are off by
 * 2^-11 a factor, by 2^-10 and to one side where a card cuts off instead of rounding. */
enum { ROUNDED = 1, ROUNDED_INSIDE = 2 };
static const double rounded = 1.0 / 250, reordered = 2e-6, tf32_rounded = 1.0 / 500;
static const struct {
    const char *name;
    void (*run)(const struct dpc_ops *ops, struct bench *bench, struct shape s);
    double tolerance; /* of fp32 tables */
    int bf16;         /* how often rounded; 0: as fp32 */
} cases[] = {
    {"linear_forward", linear_forward, 2e-6, ROUNDED},
    {"linear_backward", linear_backward, 2e-6, ROUNDED},
    {"embedding", embedding, 0, 0},
    {"rmsnorm_forward", rmsnorm_forward, 1e-6, ROUNDED},
    {"rmsnorm_backward", rmsnorm_backward, 2e-6, ROUNDED},
    {"attention_forward", attention_forward, 2e-6, ROUNDED_INSIDE},
    {"attention_last_row", attention_last_row, 2e-6, ROUNDED_INSIDE},
    {"attention_backward", attention_backward, 4e-6, ROUNDED_INSIDE},
    {"swiglu", swiglu, 1e-6, ROUNDED},
    {"cross_entropy", cross_entropy, 1e-6, ROUNDED},
    {"squared_norms", squared_norms, 0, 0},
    {"rows", rows, 0, 0},
    {"adamw", adamw, 1e-6, 0},
    {"outer", outer, 0, 0},
    {"wire", wire, 0, 0},
};

static double
tolerance_of(const struct dpc_ops *ops, size_t i)
{
    double exact = ops->whole ? reordered : 0;
    if (ops->dtype == DPC_BF16 && cases[i].bf16)
        return cases[i].bf16 * rounded;
    if (strstr(ops->products, "tf32") && strncmp(cases[i].name, "linear", 6) == 0)
        return tf32_rounded;
    return fmax(cases[i].tolerance, exact);
}

static double
largest_difference(const float *got, const float *want, size_t count)
{
    double difference = 0, magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        double gap = fabs((double)got[i] - (double)want[i]);
        if (!(gap <= difference))
            difference = gap;
        magnitude = fmax(magnitude, fabs((double)want[i]));
    }
    return difference / fmax(magnitude, 1e-30);
}

static void
compare_case(const struct dpc_ops *ops, size_t i, struct shape shape)
{
    struct bench got, again, want;
    bench_init(&got, ops);
    bench_init(&again, ops);
    bench_init(&want, dpc_ops_reference(ops->dtype));
    cases[i].run(ops, &got, shape);
    cases[i].run(ops, &again, shape);
    cases[i].run(dpc_ops_reference(ops->dtype), &want, shape);
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(got.sink_count, want.sink_count);
    CU_ASSERT(got.sink_count > 0);
    size_t bytes = got.sink_count * sizeof *got.sink;
    bool same = memcmp(got.sink, want.sink, bytes) == 0;
    double difference = same ? 0 : largest_difference(got.sink, want.sink, got.sink_count);
    double tolerance = tolerance_of(ops, i);
    bool close = tolerance > 0 ? difference <= tolerance : same;
    if (!close)
        printf("\n    %s on %s+%s, T %zu D %zu: difference %.3g", cases[i].name, ops->name,
               ops->products, shape.T, shape.D, difference);
    CU_ASSERT(close);
    bool repeats = memcmp(got.sink, again.sink, bytes) == 0;
    if (!repeats)
        printf("\n    %s on %s+%s, T %zu D %zu: other bits the second time", cases[i].name,
               ops->name, ops->products, shape.T, shape.D);
    CU_ASSERT(repeats);
    bench_done(&got);
    bench_done(&again);
    bench_done(&want);
}

void
dpc_conform_kernels(const struct dpc_ops *ops)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            if (!shapes[k].large || (ops->whole && !getenv("DPC_TEST_SMALL")))
                compare_case(ops, i, shapes[k]);
        }
    }
}

/* --- Gradients by finite differences, in fp32: the loss is sum(weights x outputs). */

enum { INPUTS_MAX = 3 };

struct gradient_problem {
    struct shape s;
    struct bench bench;
    float *inputs[INPUTS_MAX];
    size_t counts[INPUTS_MAX];
    float *grads[INPUTS_MAX];
    size_t inputs_count;
    float *out, *weights, *weights_read; /* the last in host memory */
    size_t out_count;
    void *rest[4]; /* what a kernel needs besides */
    struct dpc_attention attention;
    int32_t *tokens;
};

/* fp32 tables' acts are floats. */
static struct dpc_act *
acts_of(float *values)
{
    return (struct dpc_act *)values;
}

static void
add_input(struct gradient_problem *p, size_t count)
{
    p->inputs[p->inputs_count] = draw(&p->bench, count, 1);
    p->grads[p->inputs_count] = draw(&p->bench, count, 0);
    p->counts[p->inputs_count++] = count;
}

static void
set_out(struct gradient_problem *p, size_t count)
{
    p->out = draw(&p->bench, count, 0);
    p->weights = draw(&p->bench, count, 1);
    p->weights_read = fetch(&p->bench, p->weights, count);
    p->out_count = count;
}

static void
setup_linear(struct gradient_problem *p)
{
    add_input(p, p->s.B * p->s.T * p->s.H * p->s.D);
    add_input(p, p->s.F * p->s.H * p->s.D);
    set_out(p, p->s.B * p->s.T * p->s.F);
}

static struct dpc_weights
weights_of(const struct gradient_problem *p)
{
    return (struct dpc_weights){.values = p->inputs[1], .O = p->s.F, .K = p->s.H * p->s.D};
}

static void
forward_linear(const struct dpc_ops *ops, struct gradient_problem *p)
{
    struct dpc_weights w = weights_of(p);
    ops->linear_forward(acts_of(p->out), acts_of(p->inputs[0]), &w, p->s.B * p->s.T);
}

static void
backward_linear(const struct dpc_ops *ops, struct gradient_problem *p)
{
    size_t N = p->s.B * p->s.T, C = p->s.H * p->s.D;
    struct dpc_weights w = weights_of(p);
    ops->linear_backward_input(acts_of(p->grads[0]), acts_of(p->weights), &w, N);
    ops->linear_backward_weight(p->grads[1], acts_of(p->weights), p->s.F, acts_of(p->inputs[0]), N,
                                p->s.F, C, false);
}

static void
setup_embedding(struct gradient_problem *p)
{
    size_t N = p->s.B * p->s.T, C = p->s.H * p->s.D;
    add_input(p, p->s.V * C);
    set_out(p, N * C);
    p->tokens = draw_tokens(&p->bench, N, p->s.V, false);
}

static void
forward_embedding(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->embedding_forward(p->out, p->inputs[0], p->tokens, p->s.B * p->s.T, p->s.H * p->s.D);
}

static void
backward_embedding(const struct dpc_ops *ops, struct gradient_problem *p)
{
    size_t C = p->s.H * p->s.D;
    ops->embedding_backward(p->grads[0], p->weights, p->tokens, p->s.B * p->s.T, C, 0, C);
}

static void
setup_rmsnorm(struct gradient_problem *p)
{
    size_t N = p->s.B * p->s.T, C = p->s.H * p->s.D;
    add_input(p, N * C);
    add_input(p, C);
    set_out(p, N * C);
    p->rest[0] = draw(&p->bench, N, 0);
}

static void
forward_rmsnorm(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->rmsnorm_forward(acts_of(p->out), NULL, p->rest[0], p->inputs[0], NULL, p->inputs[1],
                         p->s.B * p->s.T, p->s.H * p->s.D, 1e-5f);
}

static void
backward_rmsnorm(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->rmsnorm_backward(p->grads[0], NULL, NULL, p->grads[1], NULL, acts_of(p->weights),
                          p->inputs[0], p->rest[0], p->inputs[1], p->s.B * p->s.T, p->s.H * p->s.D);
}

static void
setup_attention(struct gradient_problem *p)
{
    size_t N = p->s.B * p->s.T, C = p->s.H * p->s.D;
    add_input(p, N * width(p->s));
    set_out(p, N * C);
    p->rest[0] = draw(&p->bench, N * p->s.H, 0);
    p->rest[1] = scratch(&p->bench, p->s);
    p->attention = draw_attention(&p->bench, p->bench.ops, p->s, 1);
    p->attention.qkv = acts_of(p->inputs[0]);
}

static void
forward_attention(const struct dpc_ops *ops, struct gradient_problem *p)
{
    attend(ops, acts_of(p->out), p->rest[0], &p->attention, 0, p->rest[1]);
}

static void
backward_attention(const struct dpc_ops *ops, struct gradient_problem *p)
{
    attend_backward(ops, acts_of(p->grads[0]), acts_of(p->weights), acts_of(p->out), p->rest[0],
                    &p->attention, p->rest[1]);
}

static void
setup_swiglu(struct gradient_problem *p)
{
    add_input(p, p->s.B * p->s.T * 2 * p->s.F);
    set_out(p, p->s.B * p->s.T * p->s.F);
}

static void
forward_swiglu(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->swiglu_forward(acts_of(p->out), acts_of(p->inputs[0]), p->s.B * p->s.T, p->s.F);
}

static void
backward_swiglu(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->swiglu_backward(acts_of(p->grads[0]), acts_of(p->out), acts_of(p->weights),
                         acts_of(p->inputs[0]), p->s.B * p->s.T, p->s.F);
}

/* All rows weigh the same here: the kernel takes one scale. */
static void
setup_cross_entropy(struct gradient_problem *p)
{
    size_t N = p->s.B * p->s.T;
    add_input(p, N * p->s.V);
    set_out(p, N);
    p->tokens = draw_tokens(&p->bench, N, p->s.V, true);
    for (size_t n = 0; n < N; n++)
        p->weights_read[n] = 0.7f;
    p->bench.ops->memory->upload(p->weights, p->weights_read, N * sizeof *p->weights);
    p->rest[0] = draw(&p->bench, N * p->s.V, 0);
}

static void
forward_cross_entropy(const struct dpc_ops *ops, struct gradient_problem *p)
{
    ops->cross_entropy_forward(p->out, p->inputs[0], p->tokens, p->s.B * p->s.T, p->s.V);
}

static void
backward_cross_entropy(const struct dpc_ops *ops, struct gradient_problem *p)
{
    float *logits = fetch(&p->bench, p->inputs[0], p->counts[0]);
    ops->memory->upload(p->rest[0], logits, p->counts[0] * sizeof *logits);
    ops->cross_entropy_backward(p->out, acts_of(p->grads[0]), p->rest[0], p->tokens,
                                p->s.B * p->s.T, p->s.V, 0.7f);
    dpc_free(logits);
}

static const struct {
    const char *name;
    void (*setup)(struct gradient_problem *p);
    void (*forward)(const struct dpc_ops *ops, struct gradient_problem *p);
    void (*backward)(const struct dpc_ops *ops, struct gradient_problem *p);
    double tolerance; /* of the largest gradient */
} gradients[] = {
    {"linear", setup_linear, forward_linear, backward_linear, 5e-4},
    {"embedding", setup_embedding, forward_embedding, backward_embedding, 5e-4},
    {"rmsnorm", setup_rmsnorm, forward_rmsnorm, backward_rmsnorm, 1e-3},
    {"attention", setup_attention, forward_attention, backward_attention, 1e-3},
    {"swiglu", setup_swiglu, forward_swiglu, backward_swiglu, 1e-3},
    {"cross_entropy", setup_cross_entropy, forward_cross_entropy, backward_cross_entropy, 1e-3},
};

static double
loss_of(const struct dpc_ops *ops, struct gradient_problem *p, size_t i)
{
    double loss = 0;
    gradients[i].forward(ops, p);
    float *out = fetch(&p->bench, p->out, p->out_count);
    for (size_t k = 0; k < p->out_count; k++)
        loss += (double)p->weights_read[k] * (double)out[k];
    dpc_free(out);
    return loss;
}

/* Largest error among some coordinates of one input, over its largest gradient. */
static double
gradient_error(const struct dpc_ops *ops, struct gradient_problem *p, size_t i, size_t input)
{
    const double h = 4e-3;
    double error = 0, magnitude = 0;
    size_t step = p->counts[input] / 60 + 1;
    float *values = fetch(&p->bench, p->inputs[input], p->counts[input]);
    float *grads = fetch(&p->bench, p->grads[input], p->counts[input]);
    for (size_t k = 0; k < p->counts[input]; k += step) {
        float more = (float)((double)values[k] + h), less = (float)((double)values[k] - h);
        poke(&p->bench, p->inputs[input], k, more);
        double up = loss_of(ops, p, i), width = (double)more - (double)less;
        poke(&p->bench, p->inputs[input], k, less);
        double down = loss_of(ops, p, i), gradient = (double)grads[k];
        poke(&p->bench, p->inputs[input], k, values[k]);
        error = fmax(error, fabs(gradient - (up - down) / width));
        magnitude = fmax(magnitude, fabs(gradient));
    }
    dpc_free(values);
    dpc_free(grads);
    CU_ASSERT(magnitude > 0);
    return error / magnitude;
}

static void
check_gradient(const struct dpc_ops *ops, size_t i)
{
    struct gradient_problem p = {.s = {2, 9, 4, 2, 8, 11, 13, false}};
    bench_init(&p.bench, ops);
    gradients[i].setup(&p);
    gradients[i].forward(ops, &p);
    gradients[i].backward(ops, &p);
    for (size_t input = 0; input < p.inputs_count; input++) {
        double error = gradient_error(ops, &p, i, input);
        if (!(error <= gradients[i].tolerance))
            printf("\n    gradient of %s on %s, input %zu: error %.3g", gradients[i].name,
                   ops->name, input, error);
        CU_ASSERT(error <= gradients[i].tolerance);
    }
    dpc_free(p.tokens);
    dpc_free(p.weights_read);
    bench_done(&p.bench);
}

void
dpc_conform_gradients(const struct dpc_ops *ops)
{
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++)
        check_gradient(ops, i);
}
