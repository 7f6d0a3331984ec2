/* SPDX-License-Identifier: Apache-2.0
 * SwiGLU: one exponential and one division an element. */
#include "ops/cpu/kernels.h"

#include "ops/cpu/act.h"

/* 1 / (1 + e^-x); past +-87 it is 0 or 1 to the last bit that matters. */
INLINE vec
sigmoid(vec x)
{
    return vec_splat(1.0f) / (vec_splat(1.0f) + vec_exp(vec_min(vec_splat(87.0f), -x)));
}

void
KERNEL(swiglu_forward)(struct dpc_act *out, const struct dpc_act *gate_up, size_t N, size_t F)
{
    for (size_t n = 0; n < N; n++) {
        const act *gates = (const act *)gate_up + 2 * n * F, *ups = gates + F;
        act *to = (act *)out + n * F;
#define FORWARD(f, count)                                                                          \
    do {                                                                                           \
        vec gate = act_piece(gates + (f), count);                                                  \
        put_act_piece(to + (f), gate * sigmoid(gate) * act_piece(ups + (f), count), count);        \
    } while (0)
        FOR_PIECES(F, FORWARD);
#undef FORWARD
    }
}

/* With s the sigmoid: silu' = s + silu (1 - s). */
void
KERNEL(swiglu_backward)(struct dpc_act *dgate_up, struct dpc_act *out, const struct dpc_act *dout,
                        const struct dpc_act *gate_up, size_t N, size_t F)
{
    for (size_t n = 0; n < N; n++) {
        const act *gates = (const act *)gate_up + 2 * n * F, *ups = gates + F;
        const act *dys = (const act *)dout + n * F;
        act *dgates = (act *)dgate_up + 2 * n * F, *dups = dgates + F, *again = (act *)out + n * F;
#define BACKWARD(f, count)                                                                         \
    do {                                                                                           \
        vec gate = act_piece(gates + (f), count), up = act_piece(ups + (f), count);                \
        vec dy = act_piece(dys + (f), count), s = sigmoid(gate), silu = gate * s;                  \
        put_act_piece(again + (f), silu * up, count);                                              \
        put_act_piece(dgates + (f), dy * up * (s + silu * (vec_splat(1.0f) - s)), count);          \
        put_act_piece(dups + (f), dy * silu, count);                                               \
    } while (0)
        FOR_PIECES(F, BACKWARD);
#undef BACKWARD
    }
}
