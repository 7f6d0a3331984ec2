/* SPDX-License-Identifier: Apache-2.0
 * The gradient's norm and AdamW: memory-bound, one pass each. */
#include "ops/cpu/kernels.h"

#include <math.h>

#include "ops/cpu/vec.h"

/* Sixteen partial sums whatever the vector width. The square of an fp32 value is exact in double,
 * so that neither width nor fused multiply-adds change a bit. */
INLINE double
squared_norm(const float *values, size_t count)
{
    enum { PARTS = 16 };
    double parts[PARTS] = {0};
    size_t i = 0;
    for (; i + PARTS <= count; i += PARTS) {
#pragma omp simd
        for (size_t k = 0; k < PARTS; k++)
            parts[k] += (double)values[i + k] * (double)values[i + k];
    }
    for (size_t k = 0; i + k < count; k++)
        parts[k] += (double)values[i + k] * (double)values[i + k];
    double sum = 0;
    for (size_t k = 0; k < PARTS; k++)
        sum += parts[k];
    return sum;
}

void
KERNEL(squared_norms)(double *sums, const float *values, const struct dpc_piece *pieces,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] = squared_norm(values + pieces[i].from, pieces[i].count);
}

INLINE void
adamw_piece(float *parameters, const float *gradients, float *m, float *v, size_t count, bool decay,
            const struct dpc_adamw_rates *rates)
{
    const float beta1 = (float)rates->beta1, rest1 = (float)(1.0 - rates->beta1);
    const float beta2 = (float)rates->beta2, rest2 = (float)(1.0 - rates->beta2);
    const float keep = (float)(1.0 - (decay ? rates->lr * rates->weight_decay : 0.0));
    const float step = (float)(rates->lr / rates->correction1);
    const float unbias = (float)(1.0 / sqrt(rates->correction2));
    const float epsilon = (float)rates->epsilon, scale = (float)rates->gradient_scale;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float g = gradients[i] * scale;
        float first = beta1 * m[i] + rest1 * g;
        float second = beta2 * v[i] + rest2 * g * g;
        m[i] = first;
        v[i] = second;
        parameters[i] = parameters[i] * keep - step * first / (sqrtf(second) * unbias + epsilon);
    }
}

void
KERNEL(adamw)(float *parameters, const float *gradients, float *m, float *v,
              const struct dpc_piece *pieces, size_t count, const struct dpc_adamw_rates *rates)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = pieces[i].from;
        adamw_piece(parameters + at, gradients + at, m + at, v + at, pieces[i].count,
                    pieces[i].decay, rates);
    }
}
