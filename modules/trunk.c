/* SPDX-License-Identifier: Apache-2.0
 * From tokens to the final norm and back, over all levels' blocks in order. */
#include "modules/path_parts.h"

#include <string.h>

void
dpc_trunk_forward(struct dpc_path *path, const struct dpc_block_acts *acts, const int32_t *tokens,
                  struct dpc_slice slice)
{
    const struct dpc_ops *ops = path->ops;
    size_t N = dpc_slice_rows(slice);
    const float *x = acts[0].x, *delta = NULL;
    ops->embedding_forward(acts[0].x, path->params_edge.embedding, tokens, N, path->C);
    for (size_t i = 0; i < path->blocks_count; i++) {
        dpc_block_forward(path, &path->params_blocks[i], &acts[i], x, delta, slice);
        x = acts[i].x2;
        delta = path->delta;
    }
    ops->rmsnorm_forward(path->final.norm, path->final.x, path->final.rstd, x, delta,
                         path->params_edge.norm_final, N, path->C, path->epsilon);
}

void
dpc_trunk_backward(struct dpc_path *path, const int32_t *tokens, struct dpc_slice slice)
{
    const struct dpc_ops *ops = path->ops;
    size_t N = dpc_slice_rows(slice);
    memset(path->back.dx, 0, N * path->C * sizeof *path->back.dx);
    ops->rmsnorm_backward(path->back.dx, path->grads_edge.norm_final, path->back.dnorm,
                          path->final.x, path->final.rstd, path->params_edge.norm_final, N,
                          path->C);
    for (size_t i = path->blocks_count; i-- > 0;)
        dpc_block_backward(path, &path->params_blocks[i], &path->grads_blocks[i], &path->acts[i],
                           slice);
    ops->embedding_backward(path->grads_edge.embedding, path->back.dx, tokens, N, path->C);
}
