/* SPDX-License-Identifier: Apache-2.0
 * Gradients by finite differences, in fp32: the loss is sum(weights x outputs). */
#include "tests/unit/ops/conformance.h"

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"
#include "tests/unit/ops/conformance_bench.h"

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
    add_input(p, N * dpc_logits_stride(p->bench.ops->whole, p->s.V));
    set_out(p, N);
    p->tokens = draw_tokens(&p->bench, N, p->s.V, true);
    for (size_t n = 0; n < N; n++)
        p->weights_read[n] = 0.7f;
    p->bench.ops->memory->upload(p->weights, p->weights_read, N * sizeof *p->weights);
    p->rest[0] = draw(&p->bench, p->counts[0], 0);
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
        error = larger_gap(error, fabs(gradient - (up - down) / width));
        magnitude = larger_gap(magnitude, fabs(gradient));
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
