/* SPDX-License-Identifier: Apache-2.0
 * From tokens to the final norm, over all levels' blocks in order: rows, heads, rows, heads. */
#include "modules/path_parts.h"

#include "base/pool.h"

struct forward {
    struct dpc_path *path;
    const struct dpc_block_acts *acts;
    const int32_t *tokens;
    struct dpc_slice slice;
    size_t block;
};

/* The embedding, and the first block's attention input. */
static void
embed_rows(void *context, size_t unit, uint32_t thread)
{
    const struct forward *forward = context;
    struct dpc_path *path = forward->path;
    struct dpc_slice slice = forward->slice;
    struct dpc_tile tile = dpc_path_tile(path, slice.padded, unit);
    size_t C = path->C, end = tile.from + tile.count;
    size_t real = end <= slice.rows        ? tile.count
                  : slice.rows > tile.from ? slice.rows - tile.from
                                           : 0;
    float *x = forward->acts[0].x;
    path->ops->embedding_forward(x + tile.from * C, path->embedding, forward->tokens + tile.from,
                                 real, C);
    path->ops->memory->clear(x + (tile.from + real) * C, (tile.count - real) * C * sizeof *x);
    dpc_block_attention_input(path, 0, &forward->acts[0], x, NULL, slice, tile,
                              &path->scratch[thread]);
}

static void
attend(void *context, size_t unit, uint32_t thread)
{
    const struct forward *forward = context;
    dpc_block_attend(forward->path, &forward->acts[forward->block], forward->slice, unit,
                     &forward->path->scratch[thread]);
}

/* From one block's attention to the next one's, or to the final norm. */
static void
feed_rows(void *context, size_t unit, uint32_t thread)
{
    const struct forward *forward = context;
    struct dpc_path *path = forward->path;
    size_t block = forward->block, C = path->C;
    const struct dpc_block_acts *acts = &forward->acts[block];
    const struct dpc_thread_scratch *scratch = &path->scratch[thread];
    struct dpc_tile tile = dpc_path_tile(path, forward->slice.padded, unit);
    dpc_block_ffn_input(path, block, acts, forward->slice, tile, scratch);
    dpc_block_ffn_output(path, block, acts, tile, scratch);
    if (block + 1 < path->blocks_count)
        dpc_block_attention_input(path, block + 1, &forward->acts[block + 1], acts->x2,
                                  scratch->delta, forward->slice, tile, scratch);
    else
        path->ops->rmsnorm_forward(dpc_act_at(path->ops, path->final.norm, tile.from * C),
                                   path->final.x + tile.from * C, path->final.rstd + tile.from,
                                   acts->x2 + tile.from * C, scratch->delta, path->norm_final,
                                   tile.count, C, path->epsilon);
}

/* Attention does not write padded rows; what an earlier, longer slice left there must not stay. */
static void
clear_padding(const struct dpc_path *path, const struct dpc_block_acts *acts,
              struct dpc_slice slice)
{
    size_t from = (slice.first + slice.rows) * path->C;
    size_t count = (slice.padded - slice.rows) * path->C;
    path->ops->memory->clear(dpc_act_at(path->ops, acts->attended, from),
                             count * dpc_act_bytes(path->ops));
}

void
dpc_trunk_forward(struct dpc_path *path, const struct dpc_block_acts *acts, const int32_t *tokens,
                  struct dpc_slice slice)
{
    struct dpc_pool *pool = path->options.pool;
    struct forward forward = {.path = path, .acts = acts, .tokens = tokens, .slice = slice};
    size_t tiles = dpc_path_tiles(path, slice.padded);
    dpc_pool_run(pool, embed_rows, &forward, tiles);
    for (size_t block = 0; block < path->blocks_count; block++) {
        forward.block = block;
        clear_padding(path, &acts[block], slice);
        dpc_pool_run(pool, attend, &forward, dpc_path_heads(path, slice));
        dpc_pool_run(pool, feed_rows, &forward, tiles);
    }
}
