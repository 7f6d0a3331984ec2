/* SPDX-License-Identifier: Apache-2.0
 * The outer step, the embedding, rows that are moved or added, the wire: bound by memory, so that
 * one plain build serves every instruction set, compiled without fused multiply-adds: the same bits
 * on every machine. */
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

static void
gather(char *to, const char *from, const uint32_t *places, size_t count, size_t padded,
       size_t row_bytes)
{
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * row_bytes, from + places[i] * row_bytes, row_bytes);
    memset(to + count * row_bytes, 0, (padded - count) * row_bytes);
}

static void
scatter(char *to, const char *from, const uint32_t *places, size_t count, size_t row_bytes)
{
    for (size_t i = 0; i < count; i++)
        memcpy(to + places[i] * row_bytes, from + i * row_bytes, row_bytes);
}

void
dpc_plain_gather_rows_fp32(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                           size_t count, size_t padded, size_t C)
{
    gather((char *)to, (const char *)from, places, count, padded, 4 * C);
}

void
dpc_plain_gather_rows_bf16(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                           size_t count, size_t padded, size_t C)
{
    gather((char *)to, (const char *)from, places, count, padded, 2 * C);
}

void
dpc_plain_scatter_rows_fp32(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                            size_t count, size_t C)
{
    scatter((char *)to, (const char *)from, places, count, 4 * C);
}

void
dpc_plain_scatter_rows_bf16(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                            size_t count, size_t C)
{
    scatter((char *)to, (const char *)from, places, count, 2 * C);
}

void
dpc_plain_sum_rows(float *sum, const float *from, size_t N, size_t C, bool add)
{
    if (!add)
        memset(sum, 0, C * sizeof *sum);
    for (size_t n = 0; n < N; n++) {
        for (size_t c = 0; c < C; c++)
            sum[c] += from[n * C + c];
    }
}

void
dpc_plain_mean_rows(float *mean, const float *from, size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t n = 0; n < N; n++)
            sum += (double)from[n * C + c];
        mean[c] = (float)(sum / (double)N);
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

void
dpc_plain_encode_difference(uint8_t *bytes, const float *from, const float *values, size_t count,
                            enum dpc_codec codec)
{
    float difference[DPC_CODEC_BLOCK];
    for (size_t at = 0; at < count; at += DPC_CODEC_BLOCK) {
        size_t some = count - at < DPC_CODEC_BLOCK ? count - at : DPC_CODEC_BLOCK;
        for (size_t i = 0; i < some; i++)
            difference[i] = from[at + i] - values[at + i];
        dpc_codec_encode(codec, difference, some, bytes + dpc_codec_bytes(codec, at));
    }
}
