/* SPDX-License-Identifier: Apache-2.0
 * Each case fills its inputs from a fixed stream, computes, and hands its outputs to a sink; the
 * sinks of the table and of the reference are compared. Tensors lie in the table's memory. */
#include "tests/unit/ops/conformance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"
#include "tests/unit/ops/conformance_bench.h"

/* Shapes that hit whole tiles, tails of all kinds, one position, one narrow head, shared keys,
 * heads that are wider than a card's kernels hold. */
static const struct shape shapes[] = {
    {2, 64, 2, 2, 32, 344, 256, false},   {1, 130, 3, 1, 40, 37, 1000, false},
    {3, 7, 4, 2, 8, 88, 64, false},       {2, 1, 1, 1, 2, 3, 5, false},
    {1, 97, 2, 2, 64, 128, 333, false},   {1, 49, 1, 1, 18, 16, 17, false},
    {1, 1024, 2, 1, 64, 344, 1000, true}, {2, 300, 4, 2, 128, 136, 77, true},
    {3, 257, 2, 2, 32, 40, 99, true},     {1, 70, 1, 1, 256, 24, 32000, true},
    {1, 70, 2, 1, 128, 24, 40, false},    {1, 70, 1, 1, 256, 16, 24, false},
    {1, 330, 4, 2, 64, 16, 24, false},    {1, 9, 2, 1, 258, 16, 24, false},
};

/* --- Cases: compute and keep. */

static void
linear_forward(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D;
    struct dpc_act *x = draw_acts(bench, ops, N * C, 1), *y = draw_acts(bench, ops, N * s.F, 1);
    float *z = draw(bench, N * s.F, 1);
    struct dpc_weights w = draw_weights(bench, ops, s.F, s.F, C);
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
    struct dpc_weights w = draw_weights(bench, ops, s.F, s.F, C);
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

/* A vocabulary of any size, with rows where a whole table wants them. */
static void
linear_logits(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t N = s.B * s.T, C = s.H * s.D, V = s.V < 1000 ? s.V : 999;
    size_t stride = dpc_logits_stride(ops->whole, V), act = dpc_act_bytes(ops);
    struct dpc_act *x = draw_acts(bench, ops, N * C, 1), *dx = draw_acts(bench, ops, N * C, 1);
    struct dpc_act *dy = draw_acts(bench, ops, N * V, 1);
    float *y = take(bench, N * stride * sizeof *y), *dw;
    struct dpc_weights w = draw_weights(bench, ops, V, stride, C);
    dy = spread(bench, dy, N, V * act, stride * act, 0);
    ops->linear_forward_float(y, x, &w, N);
    ops->linear_backward_input(dx, dy, &w, N);
    keep_rows(bench, y, N, V, stride);
    keep_acts(bench, ops, dx, N * C);
    for (int add = 0; add < 2; add++) {
        dw = draw(bench, V * C + 1, 1);
        poke(bench, dw, V * C, 7.0f); /* behind the last row */
        ops->linear_backward_weight(dw, dy, stride, x, N, V, C, add);
        keep(bench, dw, V * C + 1);
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
    size_t stride = dpc_logits_stride(ops->whole, s.V);
    float *logits = draw(bench, N * s.V, 4), *losses = draw(bench, N, 1);
    /* Far beyond what an exponential without the maximum's shift would hold. */
    poke(bench, logits, 0, 300.0f);
    if (stride > s.V)
        logits = spread(bench, logits, N, s.V * sizeof *logits, stride * sizeof *logits, 0xff);
    ops->cross_entropy_forward(losses, logits, targets, N, s.V);
    keep(bench, losses, N);
    struct dpc_act *dlogits = (struct dpc_act *)logits;
    if (ops->whole)
        dlogits = filled(bench, N * stride * dpc_act_bytes(ops), 0xff);
    ops->cross_entropy_backward(losses, dlogits, logits, targets, N, s.V, 0.5f);
    keep(bench, losses, N);
    keep_rows_acts(bench, ops, dlogits, N, s.V, stride);
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

/* Of no rows, or values, nothing is computed, and nothing fails: all is as it was. */
static void
nothing(const struct dpc_ops *ops, struct bench *bench, struct shape s)
{
    size_t C = s.H * s.D, F = s.F, count = 2 * C + 2 * F + s.V;
    float *a = draw(bench, count, 1), *b = draw(bench, count, 1), *c = draw(bench, count, 1);
    struct dpc_act *x = draw_acts(bench, ops, count, 1), *y = draw_acts(bench, ops, count, 1);
    struct dpc_weights w = draw_weights(bench, ops, F, F, C);
    float *dw = draw(bench, F * C, 1);
    double *sums = take(bench, sizeof *sums);
    const struct dpc_adamw_rates rates = {.correction1 = 1, .correction2 = 1};
    if (ops->whole) { /* a piece of a product is never empty: oneDNN would divide by zero */
        ops->linear_forward(y, x, &w, 0);
        ops->linear_forward_float(a, x, &w, 0);
        ops->linear_backward_input(y, x, &w, 0);
        ops->linear_backward_weight(dw, x, F, y, 0, F, C, true);
    }
    ops->gather_rows(y, x, NULL, 0, 0, C);
    ops->scatter_rows(y, x, NULL, 0, C);
    ops->sum_rows(a, b, 0, C, true);
    ops->embedding_forward(a, b, NULL, 0, C);
    ops->embedding_backward(a, b, NULL, 0, C, 0, C);
    ops->rmsnorm_forward(y, a, b, c, a, c, 0, C, 1e-5f);
    ops->rmsnorm_backward(a, y, y, b, c, x, c, c, c, 0, C);
    ops->swiglu_forward(y, x, 0, F);
    ops->swiglu_backward(y, y, x, x, 0, F);
    ops->cross_entropy_forward(a, b, NULL, 0, s.V);
    ops->cross_entropy_backward(a, y, b, NULL, 0, s.V, 1);
    ops->squared_norms(sums, a, NULL, 0);
    ops->adamw(a, b, c, c, NULL, 0, &rates);
    ops->outer_accumulate(sums, a, 1, 0);
    ops->outer_nesterov(a, b, sums, 0, 1, 1, 1);
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++)
        ops->encode_difference((uint8_t *)a, b, c, 0, codec);
    keep(bench, a, count);
    keep(bench, b, count);
    keep(bench, c, count);
    keep(bench, dw, F * C);
    keep_acts(bench, ops, y, count);
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
    {"linear_logits", linear_logits, 2e-6, ROUNDED},
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
    {"nothing", nothing, 0, 0},
};

/* Shapes of one case alone, for whole tables: where a kernel keeps as many blocks at work as the
 * card has processors (an H200: 132), a block has three turns or more of these, and rows do not
 * come out even. */
static const struct {
    const char *name;
    struct shape shape;
} long_cases[] = {
    {"rmsnorm_backward", {1, 531, 1, 1, 2052, 1, 1, true}},
    {"cross_entropy", {1, 397, 1, 1, 2, 1, 16388, true}},
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
    return largest_gap(got, want, count) / fmax(largest_size(want, count), 1e-30);
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
    bool large = ops->whole && !getenv("DPC_TEST_SMALL");
    bool again = strstr(ops->products, "tf32"); /* other products, else the kernels of fp32 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            if (!shapes[k].large || large)
                compare_case(ops, i, shapes[k]);
        }
        for (size_t k = 0; large && !again && k < sizeof long_cases / sizeof *long_cases; k++) {
            if (strcmp(long_cases[k].name, cases[i].name) == 0)
                compare_case(ops, i, long_cases[k].shape);
        }
    }
}
