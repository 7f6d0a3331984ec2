/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm. The residual add is done on the way in, and the residual's gradient is added to on the
 * way back, so that a row of the stream is read and written once per pass while it is in L1. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/vec.h"

INLINE float
row_add_squares(float *sum, const float *x, const float *delta, size_t C)
{
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (size_t c = 0; c < C; c++) {
        float value = x[c] + delta[c];
        sum[c] = value;
        squares += value * value;
    }
    return squares;
}

INLINE float
row_squares(const float *x, size_t C)
{
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (size_t c = 0; c < C; c++)
        squares += x[c] * x[c];
    return squares;
}

void
KERNEL(rmsnorm_forward)(float *out, float *sum, float *rstd, const float *x, const float *delta,
                        const float *gain, size_t N, size_t C, float epsilon)
{
    for (size_t n = 0; n < N; n++) {
        const float *row = x + n * C;
        float squares;
        if (delta) {
            squares = row_add_squares(sum + n * C, row, delta + n * C, C);
            row = sum + n * C;
        } else {
            squares = row_squares(row, C);
        }
        float scale = 1.0f / sqrtf(squares / (float)C + epsilon);
        rstd[n] = scale;
        float *to = out + n * C;
#pragma omp simd
        for (size_t c = 0; c < C; c++)
            to[c] = row[c] * scale * gain[c];
    }
}

/* With y = x r g and r = (mean(x^2) + e)^-1/2: dx = r g dy - x r^3 / C sum(g dy x). */
void
KERNEL(rmsnorm_backward)(float *dx, float *dgain, const float *dout, const float *x,
                         const float *rstd, const float *gain, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        const float *dy = dout + n * C, *row = x + n * C;
        float *to = dx + n * C;
        float scale = rstd[n], dot = 0;
#pragma omp simd reduction(+ : dot)
        for (size_t c = 0; c < C; c++) {
            dot += gain[c] * dy[c] * row[c];
            dgain[c] += dy[c] * row[c] * scale;
        }
        float back = dot * scale * scale * scale / (float)C;
#pragma omp simd
        for (size_t c = 0; c < C; c++)
            to[c] += scale * gain[c] * dy[c] - back * row[c];
    }
}
