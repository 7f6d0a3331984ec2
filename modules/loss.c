/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy over the vocabulary. Unmasked rows are gathered into chunks first, so that masked
 * ones cost nothing and the logits of a whole slice never exist. A chunk's rows go forward and back
 * tile by tile; then its part of the head's gradient is summed by rows of the head. */
#include "modules/path_parts.h"

#include <string.h>

#include "base/pool.h"

struct chunk {
    struct dpc_path *path;
    size_t count, padded; /* unmasked rows, and with those that only fill up */
    float scale;
    bool add; /* to the head's gradient */
};

/* Lists unmasked rows from row `*next` on until the chunk is full; returns their number. */
static size_t
list_rows(struct dpc_loss_acts *loss, const int32_t *targets, size_t N, size_t *next)
{
    size_t count = 0, n = *next;
    for (; n < N && count < loss->rows_max; n++) {
        if (targets[n] < 0)
            continue;
        loss->targets[count] = targets[n];
        loss->places[count++] = (uint32_t)n;
    }
    *next = n;
    return count;
}

static void
gather(const struct chunk *chunk, struct dpc_tile tile)
{
    const struct dpc_path *path = chunk->path;
    const struct dpc_ops *ops = path->ops;
    const struct dpc_loss_acts *loss = &path->loss;
    size_t C = path->C, bytes = C * dpc_act_bytes(ops);
    for (size_t i = tile.from; i < tile.from + tile.count; i++) {
        struct dpc_act *row = dpc_act_at(ops, loss->rows, i * C);
        if (i < chunk->count)
            memcpy(row, dpc_act_at(ops, path->final.norm, loss->places[i] * C), bytes);
        else
            memset(row, 0, bytes);
    }
}

/* From the logits' gradients to those of the rows, at their places in the slice. */
static void
rows_backward(const struct chunk *chunk, struct dpc_tile tile)
{
    const struct dpc_path *path = chunk->path;
    const struct dpc_ops *ops = path->ops;
    const struct dpc_loss_acts *loss = &path->loss;
    size_t C = path->C, V = path->V, end = tile.from + tile.count;
    const struct dpc_act *dlogits = (const struct dpc_act *)(loss->logits + tile.from * V);
    ops->linear_backward_input(dpc_act_at(ops, loss->drows, tile.from * C), dlogits, &path->head,
                               tile.count);
    for (size_t i = tile.from; i < end && i < chunk->count; i++)
        memcpy(dpc_act_at(ops, path->back.dnorm, loss->places[i] * C),
               dpc_act_at(ops, loss->drows, i * C), C * dpc_act_bytes(ops));
}

static void
chunk_rows(void *context, size_t unit, uint32_t thread)
{
    const struct chunk *chunk = context;
    const struct dpc_path *path = chunk->path;
    const struct dpc_ops *ops = path->ops;
    const struct dpc_loss_acts *loss = &path->loss;
    struct dpc_tile tile = dpc_tile_at(chunk->padded, unit);
    float *logits = loss->logits + tile.from * path->V, *losses = loss->losses + tile.from;
    const int32_t *targets = loss->targets + tile.from;
    (void)thread;
    gather(chunk, tile);
    ops->linear_forward_float(logits, dpc_act_at(ops, loss->rows, tile.from * path->C), &path->head,
                              tile.count);
    if (chunk->scale != 0.0f) {
        ops->cross_entropy_backward(losses, logits, targets, tile.count, path->V, chunk->scale);
        rows_backward(chunk, tile);
    } else {
        ops->cross_entropy_forward(losses, logits, targets, tile.count, path->V);
    }
}

/* Each tile's gradients stand without gaps where its logits began: tile after tile is added. */
static void
head_unit(void *context, size_t unit, uint32_t thread)
{
    const struct chunk *chunk = context;
    const struct dpc_path *path = chunk->path;
    size_t tiles = dpc_units(chunk->padded, DPC_TILE_ROWS);
    (void)thread;
    for (size_t i = 0; i < tiles; i++) {
        struct dpc_tile tile = dpc_tile_at(chunk->padded, i);
        struct dpc_weight_gradient job = {
            .dw = path->dhead,
            .dy = (const struct dpc_act *)(path->loss.logits + tile.from * path->V),
            .x = dpc_act_at(path->ops, path->loss.rows, tile.from * path->C),
            .O = path->V,
            .K = path->C,
        };
        dpc_weight_gradient_unit(path, &job, tile.count, chunk->add || i > 0, unit);
    }
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
dpc_loss_slice(struct dpc_path *path, const int32_t *targets, struct dpc_slice slice,
               size_t rows_per_sum, float scale, double *loss_sums, uint64_t *counts)
{
    struct dpc_pool *pool = path->options.pool;
    struct dpc_loss_acts *loss = &path->loss;
    struct chunk chunk = {.path = path, .scale = scale, .add = !path->fresh};
    size_t next = 0;
    if (scale != 0.0f)
        memset(path->back.dnorm, 0, slice.padded * path->C * dpc_act_bytes(path->ops));
    while ((chunk.count = list_rows(loss, targets, slice.rows, &next)) > 0) {
        chunk.padded = dpc_pad_rows(chunk.count);
        for (size_t i = chunk.count; i < chunk.padded; i++)
            loss->targets[i] = -1;
        dpc_pool_run(pool, chunk_rows, &chunk, dpc_units(chunk.padded, DPC_TILE_ROWS));
        sum_losses(loss, chunk.count, rows_per_sum, loss_sums, counts);
        if (scale != 0.0f)
            dpc_pool_run(pool, head_unit, &chunk, dpc_units(path->V, DPC_WEIGHT_ROWS));
        chunk.add = true;
    }
}
