/* SPDX-License-Identifier: Apache-2.0
 * The outer step and the embedding: bound by memory, so that one plain build serves every
 * instruction set, compiled without fused multiply-adds: the same bits on every machine. */
#include "ops/tables.h"

#include <string.h>

void
dpc_plain_embedding_forward(float *x, const float *table, const int32_t *tokens, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++)
        memcpy(x + n * C, table + (size_t)tokens[n] * C, C * sizeof *x);
}

void
dpc_plain_embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                             size_t C, size_t first, size_t last)
{
    for (size_t n = 0; n < N; n++) {
        float *to = dtable + (size_t)tokens[n] * C;
        for (size_t c = first; c < last; c++)
            to[c] += dx[n * C + c];
    }
}

void
dpc_plain_outer_accumulate(double *sum, const float *delta, double weight, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += weight * (double)delta[i];
}

void
dpc_plain_outer_nesterov(float *theta, float *momentum, const double *sum, size_t count,
                         double scale, double lr, double mu)
{
    for (size_t i = 0; i < count; i++) {
        double gradient = scale * sum[i];
        float moved = (float)(mu * (double)momentum[i] + gradient);
        momentum[i] = moved;
        theta[i] = (float)((double)theta[i] - lr * (gradient + mu * (double)moved));
    }
}
