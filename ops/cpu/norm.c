/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm, a row at a time: it stays in L1 for its two passes. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/act.h"

/* The sum of squares of x, or of x + delta, which goes to `sum` on the way. */
INLINE float
row_squares(float *sum, const float *x, const float *delta, size_t C)
{
    vec squares = {0};
#define SQUARE(c, count)                                                                           \
    do {                                                                                           \
        vec value = piece(x + (c), count);                                                         \
        if (delta) {                                                                               \
            value += piece(delta + (c), count);                                                    \
            put_piece(sum + (c), value, count);                                                    \
        }                                                                                          \
        squares += value * value;                                                                  \
    } while (0)
    FOR_PIECES(C, SQUARE);
#undef SQUARE
    return vec_sum(squares);
}

/* out = x scale gain. */
INLINE void
row_scale(act *out, const float *x, float scale, const float *gain, size_t C)
{
    vec factor = vec_splat(scale);
#define SCALE(c, count)                                                                            \
    put_act_piece(out + (c), piece(x + (c), count) * factor * piece(gain + (c), count), count)
    FOR_PIECES(C, SCALE);
#undef SCALE
}

void
KERNEL(rmsnorm_forward)(struct dpc_act *out, float *sum, float *rstd, const float *x,
                        const float *delta, const float *gain, size_t N, size_t C, float epsilon)
{
    for (size_t n = 0; n < N; n++) {
        const float *row = x + n * C;
        float squares;
        if (delta) {
            squares = row_squares(sum + n * C, row, delta + n * C, C);
            row = sum + n * C;
        } else {
            squares = row_squares(NULL, row, NULL, C);
        }
        rstd[n] = 1.0f / sqrtf(squares / (float)C + epsilon);
        row_scale((act *)out + n * C, row, rstd[n], gain, C);
    }
}

/* sum(gain dy x), and dgain += dy x r. */
INLINE float
row_dot(float *dgain, const act *dy, const float *x, const float *gain, float rstd, size_t C)
{
    vec dot = {0}, factor = vec_splat(rstd);
#define DOT(c, count)                                                                              \
    do {                                                                                           \
        vec product = act_piece(dy + (c), count) * piece(x + (c), count);                          \
        dot += piece(gain + (c), count) * product;                                                 \
        put_piece(dgain + (c), piece(dgain + (c), count) + product * factor, count);               \
    } while (0)
    FOR_PIECES(C, DOT);
#undef DOT
    return vec_sum(dot);
}

/* With y = x r g and r = (mean(x^2) + e)^-1/2: dx = r g dy - x r^3 / C sum(g dy x). */
INLINE void
row_backward(float *dx, act *dx_act, act *out, const float *dx_in, const act *dy, const float *x,
             const float *gain, float rstd, float back, size_t C)
{
    vec factor = vec_splat(rstd), pull = vec_splat(back);
#define BACK(c, count)                                                                             \
    do {                                                                                           \
        vec value = piece(x + (c), count), scaled = factor * piece(gain + (c), count);             \
        vec gradient = scaled * act_piece(dy + (c), count) - pull * value;                         \
        if (dx_in)                                                                                 \
            gradient += piece(dx_in + (c), count);                                                 \
        put_piece(dx + (c), gradient, count);                                                      \
        if (dx_act)                                                                                \
            put_act_piece(dx_act + (c), gradient, count);                                          \
        if (out)                                                                                   \
            put_act_piece(out + (c), value * scaled, count);                                       \
    } while (0)
    FOR_PIECES(C, BACK);
#undef BACK
}

void
KERNEL(rmsnorm_backward)(float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain,
                         const float *dx_in, const struct dpc_act *dout, const float *x,
                         const float *rstd, const float *gain, size_t N, size_t C)
{
    act *acts = (void *)dx_act == (void *)dx ? NULL : (act *)dx_act, *again = (act *)out;
    for (size_t n = 0; n < N; n++) {
        const act *dy = (const act *)dout + n * C;
        const float *row = x + n * C;
        float r = rstd[n], dot = row_dot(dgain, dy, row, gain, r, C);
        row_backward(dx + n * C, acts ? acts + n * C : NULL, again ? again + n * C : NULL,
                     dx_in ? dx_in + n * C : NULL, dy, row, gain, r, dot * r * r * r / (float)C, C);
    }
}
