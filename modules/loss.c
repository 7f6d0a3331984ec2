/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy over the vocabulary. Unmasked rows are gathered into chunks first, so that masked
 * ones cost nothing and the logits of a whole slice never exist. A chunk's rows go forward and back
 * tile by tile; then its part of the head's gradient is summed by rows of the head. */
#include "modules/path_parts.h"

#include "base/pool.h"

/* Some of the slice's unmasked rows. */
struct chunk {
    struct dpc_path *path;
    size_t first, count, padded; /* padded: with those that only fill up */
    float scale;
    bool add; /* to the head's gradient */
};

static void
list_rows(struct dpc_loss_rows *rows, const int32_t *targets, size_t N)
{
    rows->count = 0;
    for (size_t n = 0; n < N; n++) {
        if (targets[n] < 0)
            continue;
        rows->targets[rows->count] = targets[n];
        rows->places[rows->count++] = (uint32_t)n;
    }
    for (size_t i = rows->count; i < dpc_pad_rows(rows->count); i++)
        rows->targets[i] = -1;
}

/* How many of a tile's rows are real ones. */
static size_t
real_rows(const struct chunk *chunk, struct dpc_tile tile)
{
    size_t left = chunk->count > tile.from ? chunk->count - tile.from : 0;
    return left < tile.count ? left : tile.count;
}

/* Where a tile's gradients stand: where its logits began, or in memory of their own. */
static struct dpc_act *
dlogits_of(const struct dpc_path *path, struct dpc_tile tile)
{
    const struct dpc_loss_acts *loss = &path->loss;
    size_t at = tile.from * path->head.stride;
    return loss->dlogits ? dpc_act_at(path->ops, loss->dlogits, at)
                         : (struct dpc_act *)(loss->logits + at);
}

/* From the logits' gradients to those of the rows, at their places in the slice. */
static void
rows_backward(const struct chunk *chunk, struct dpc_tile tile)
{
    const struct dpc_path *path = chunk->path;
    const struct dpc_ops *ops = path->ops;
    struct dpc_act *drows = dpc_act_at(ops, path->loss.drows, tile.from * path->C);
    ops->linear_backward_input(drows, dlogits_of(path, tile), &path->head, tile.count);
    ops->scatter_rows(path->back.dnorm, drows, path->unmasked.places + chunk->first + tile.from,
                      real_rows(chunk, tile), path->C);
}

static void
chunk_rows(void *context, size_t unit, uint32_t thread)
{
    const struct chunk *chunk = context;
    const struct dpc_path *path = chunk->path;
    const struct dpc_ops *ops = path->ops;
    struct dpc_tile tile = dpc_path_tile(path, chunk->padded, unit);
    size_t C = path->C, V = path->V, at = chunk->first + tile.from;
    float *logits = path->loss.logits + tile.from * path->head.stride;
    float *losses = path->loss.losses + at;
    struct dpc_act *rows = dpc_act_at(ops, path->loss.rows, tile.from * C);
    const int32_t *targets = path->unmasked.targets + at;
    (void)thread;
    ops->gather_rows(rows, path->final.norm, path->unmasked.places + at, real_rows(chunk, tile),
                     tile.count, C);
    ops->linear_forward_float(logits, rows, &path->head, tile.count);
    if (chunk->scale != 0.0f) {
        ops->cross_entropy_backward(losses, dlogits_of(path, tile), logits, targets, tile.count, V,
                                    chunk->scale);
        rows_backward(chunk, tile);
    } else {
        ops->cross_entropy_forward(losses, logits, targets, tile.count, V);
    }
}

/* Tile after tile is added. */
static void
head_unit(void *context, size_t unit, uint32_t thread)
{
    const struct chunk *chunk = context;
    const struct dpc_path *path = chunk->path;
    size_t tiles = dpc_path_tiles(path, chunk->padded);
    (void)thread;
    for (size_t i = 0; i < tiles; i++) {
        struct dpc_tile tile = dpc_path_tile(path, chunk->padded, i);
        struct dpc_weight_gradient job = {
            .dw = path->dhead,
            .dy = dlogits_of(path, tile),
            .stride = path->head.stride,
            .x = dpc_act_at(path->ops, path->loss.rows, tile.from * path->C),
            .O = path->V,
            .K = path->C,
        };
        dpc_weight_gradient_unit(path, &job, tile.count, chunk->add || i > 0, unit);
    }
}

static void
run_chunk(struct chunk *chunk)
{
    struct dpc_path *path = chunk->path;
    struct dpc_pool *pool = path->options.pool;
    dpc_pool_run(pool, chunk_rows, chunk, dpc_path_tiles(path, chunk->padded));
    if (chunk->scale != 0.0f)
        dpc_pool_run(pool, head_unit, chunk, dpc_units(path->V, path->cut.weight_rows));
}

void
dpc_loss_slice(struct dpc_path *path, const int32_t *targets, struct dpc_slice slice, float scale)
{
    const struct dpc_ops *ops = path->ops;
    struct chunk chunk = {.path = path, .scale = scale, .add = !path->fresh};
    list_rows(&path->unmasked, targets, slice.rows);
    if (scale != 0.0f)
        ops->memory->clear(path->back.dnorm, slice.padded * path->C * dpc_act_bytes(ops));
    while (chunk.first < path->unmasked.count) {
        size_t left = path->unmasked.count - chunk.first;
        chunk.count = left < path->loss.rows_max ? left : path->loss.rows_max;
        chunk.padded = dpc_pad_rows(chunk.count);
        run_chunk(&chunk);
        chunk.first += chunk.count;
        chunk.add = true;
    }
}

void
dpc_loss_sums(struct dpc_path *path, size_t rows_per_sum, double *loss_sums, uint64_t *counts)
{
    const struct dpc_loss_rows *rows = &path->unmasked;
    path->ops->memory->download(rows->losses, path->loss.losses,
                                rows->count * sizeof *rows->losses);
    for (size_t i = 0; i < rows->count; i++) {
        loss_sums[rows->places[i] / rows_per_sum] += (double)rows->losses[i];
        counts[rows->places[i] / rows_per_sum]++;
    }
}
