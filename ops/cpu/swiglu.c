/* SPDX-License-Identifier: Apache-2.0
 * SwiGLU: one exponential and one division an element. */
#include "ops/cpu/kernels.h"

#include "ops/cpu/vec.h"

/* 1 / (1 + e^-x); past +-87 it is 0 or 1 to the last bit that matters. */
INLINE vec
sigmoid(vec x)
{
    return vec_splat(1.0f) / (vec_splat(1.0f) + vec_exp(vec_min(vec_splat(87.0f), -x)));
}

INLINE vec
forward(vec gate, vec up)
{
    return gate * sigmoid(gate) * up;
}

void
KERNEL(swiglu_forward)(float *out, const float *gate_up, size_t N, size_t F)
{
    size_t whole = F / LANES * LANES, rest = F - whole;
    for (size_t n = 0; n < N; n++) {
        const float *gate = gate_up + 2 * n * F, *up = gate + F;
        float *to = out + n * F;
        for (size_t f = 0; f < whole; f += LANES)
            vec_store(to + f, forward(vec_load(gate + f), vec_load(up + f)));
        if (rest)
            vec_store_part(to + whole,
                           forward(vec_load_part(gate + whole, rest, 0.0f),
                                   vec_load_part(up + whole, rest, 0.0f)),
                           rest);
    }
}

struct gradients {
    vec gate, up;
};

/* With s the sigmoid: silu' = s + silu (1 - s). */
INLINE struct gradients
backward(vec dy, vec gate, vec up)
{
    vec s = sigmoid(gate), silu = gate * s;
    return (struct gradients){.gate = dy * up * (s + silu * (vec_splat(1.0f) - s)),
                              .up = dy * silu};
}

void
KERNEL(swiglu_backward)(float *dgate_up, const float *dout, const float *gate_up, size_t N,
                        size_t F)
{
    size_t whole = F / LANES * LANES, rest = F - whole;
    for (size_t n = 0; n < N; n++) {
        const float *gate = gate_up + 2 * n * F, *up = gate + F, *dy = dout + n * F;
        float *dgate = dgate_up + 2 * n * F, *dup = dgate + F;
        for (size_t f = 0; f < whole; f += LANES) {
            struct gradients d = backward(vec_load(dy + f), vec_load(gate + f), vec_load(up + f));
            vec_store(dgate + f, d.gate);
            vec_store(dup + f, d.up);
        }
        if (rest) {
            struct gradients d = backward(vec_load_part(dy + whole, rest, 0.0f),
                                          vec_load_part(gate + whole, rest, 0.0f),
                                          vec_load_part(up + whole, rest, 0.0f));
            vec_store_part(dgate + whole, d.gate, rest);
            vec_store_part(dup + whole, d.up, rest);
        }
    }
}
