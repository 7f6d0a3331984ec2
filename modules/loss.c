/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy over the vocabulary. Unmasked rows are gathered into chunks first, so that masked
 * ones cost nothing and the logits of a whole slice never exist. */
#include "modules/path_parts.h"

#include <string.h>

/* Gathers unmasked rows from row `*next` on until the chunk is full; returns their number. */
static size_t
gather(struct dpc_path *path, const int32_t *targets, size_t N, size_t *next)
{
    struct dpc_loss_acts *loss = &path->loss;
    size_t count = 0, n = *next;
    for (; n < N && count < loss->rows_max; n++) {
        if (targets[n] < 0)
            continue;
        memcpy(loss->rows + count * path->C, path->final.norm + n * path->C,
               path->C * sizeof *loss->rows);
        loss->targets[count] = targets[n];
        loss->places[count++] = (uint32_t)n;
    }
    *next = n;
    return count;
}

/* From the logits' gradients to those of the rows and of the head. */
static void
chunk_backward(struct dpc_path *path, size_t count)
{
    const struct dpc_ops *ops = path->ops;
    struct dpc_loss_acts *loss = &path->loss;
    size_t C = path->C, V = path->V;
    ops->linear_backward_weight(path->grads_edge.head, loss->logits, loss->rows, count, V, C, 1.0f);
    ops->linear_backward_input(loss->drows, loss->logits, path->params_edge.head, count, V, C,
                               0.0f);
    for (size_t i = 0; i < count; i++)
        memcpy(path->back.dnorm + loss->places[i] * C, loss->drows + i * C,
               C * sizeof *loss->drows);
}

static void
sum_losses(const struct dpc_loss_acts *loss, size_t count, size_t rows_per_sum, double *loss_sums,
           uint64_t *counts)
{
    for (size_t i = 0; i < count; i++) {
        loss_sums[loss->places[i] / rows_per_sum] += (double)loss->losses[i];
        counts[loss->places[i] / rows_per_sum]++;
    }
}

void
dpc_loss_slice(struct dpc_path *path, const int32_t *targets, size_t N, size_t rows_per_sum,
               float scale, double *loss_sums, uint64_t *counts)
{
    const struct dpc_ops *ops = path->ops;
    struct dpc_loss_acts *loss = &path->loss;
    size_t next = 0, count;
    if (scale != 0.0f)
        memset(path->back.dnorm, 0, N * path->C * sizeof *path->back.dnorm);
    while ((count = gather(path, targets, N, &next)) > 0) {
        ops->linear_forward(loss->logits, loss->rows, path->params_edge.head, count, path->V,
                            path->C);
        if (scale != 0.0f) {
            ops->cross_entropy_backward(loss->losses, loss->logits, loss->targets, count, path->V,
                                        scale);
            chunk_backward(path, count);
        } else {
            ops->cross_entropy_forward(loss->losses, loss->logits, loss->targets, count, path->V);
        }
        sum_losses(loss, count, rows_per_sum, loss_sums, counts);
    }
}
