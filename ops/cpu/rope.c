/* SPDX-License-Identifier: Apache-2.0
 * Rotary positions, in place on the rows of qkv. Forward and backward differ in the sine's sign. */
#include "ops/cpu/kernels.h"

#include "ops/cpu/vec.h"

INLINE void
rotate(float *head, const float *cosines, const float *sines, size_t half, float sign)
{
    float *low = head, *high = head + half;
#pragma omp simd
    for (size_t d = 0; d < half; d++) {
        float a = low[d], b = high[d], sine = sign * sines[d];
        low[d] = a * cosines[d] - b * sine;
        high[d] = b * cosines[d] + a * sine;
    }
}

INLINE void
rotate_all(float *qkv, const float *cosines, const float *sines, struct dpc_attention_shape shape,
           float sign)
{
    size_t half = shape.D / 2, width = 3 * shape.H * shape.D;
    for (size_t n = 0; n < shape.B * shape.T; n++) {
        size_t t = n % shape.T;
        /* q's heads and k's heads stand side by side. */
        for (size_t h = 0; h < 2 * shape.H; h++)
            rotate(qkv + n * width + h * shape.D, cosines + t * half, sines + t * half, half, sign);
    }
}

void
KERNEL(rope_forward)(float *qkv, const float *cosines, const float *sines,
                     struct dpc_attention_shape shape)
{
    rotate_all(qkv, cosines, sines, shape, 1.0f);
}

void
KERNEL(rope_backward)(float *dqkv, const float *cosines, const float *sines,
                      struct dpc_attention_shape shape)
{
    rotate_all(dqkv, cosines, sines, shape, -1.0f);
}
