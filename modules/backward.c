/* SPDX-License-Identifier: Apache-2.0
 * From the final norm's gradient back to the embedding, in steps from one block to the one below: a
 * pass over rows (the upper block's attention input, the lower one's feed-forward), then one loop
 * of units that do not depend on each other: the lower block's attention, and the gradients of all
 * weights whose rows are complete.
 *
 * Where activations are not kept, a block's are made again from its input before its turn; the last
 * block's are still there. */
#include "modules/path_parts.h"

#include "base/pool.h"

enum { JOBS_MAX = 4 };

/* The step below block `upper` (blocks_count: the final norm) to block `upper` - 1 (none for 0). */
struct step {
    struct dpc_path *path;
    const int32_t *tokens;
    struct dpc_slice slice;
    size_t upper;
    bool do_upper, do_lower;
    size_t heads; /* units of attention, which come first */
    struct dpc_weight_gradient jobs[JOBS_MAX];
    size_t jobs_count;
};

/* --- Rows. */

static void
final_rows(struct dpc_path *path, struct dpc_tile tile)
{
    const struct dpc_back_acts *back = &path->back;
    const struct dpc_ops *ops = path->ops;
    size_t C = path->C, at = tile.from * C;
    float *dgains = dpc_path_fresh_gains(path, back->dgains1, tile);
    ops->rmsnorm_backward(back->dx[0] + at, dpc_act_at(ops, back->dx_act[0], at), NULL, dgains,
                          NULL, dpc_act_at(ops, back->dnorm, at), path->final.x + at,
                          path->final.rstd + tile.from, path->norm_final, tile.count, C);
}

static void
backward_rows(void *context, size_t unit, uint32_t thread)
{
    const struct step *step = context;
    struct dpc_path *path = step->path;
    struct dpc_tile tile = dpc_path_tile(path, step->slice.padded, unit);
    if (step->do_upper && step->upper == path->blocks_count)
        final_rows(path, tile);
    else if (step->do_upper)
        dpc_block_attention_backward(path, step->upper, tile, &path->scratch[thread]);
    if (step->do_lower)
        dpc_block_ffn_backward(path, step->upper - 1, tile, &path->scratch[thread]);
}

static void
run_rows(struct step *step, bool upper, bool lower)
{
    step->do_upper = upper;
    step->do_lower = lower;
    dpc_pool_run(step->path->options.pool, backward_rows, step,
                 dpc_path_tiles(step->path, step->slice.padded));
}

/* --- Activations made again. */

static void
input_rows(void *context, size_t unit, uint32_t thread)
{
    const struct step *step = context;
    struct dpc_path *path = step->path;
    const struct dpc_block_acts *acts = &path->acts[step->upper - 1];
    dpc_block_attention_input(path, step->upper - 1, acts, acts->x, NULL, step->slice,
                              dpc_path_tile(path, step->slice.padded, unit),
                              &path->scratch[thread]);
}

static void
attend_again(void *context, size_t unit, uint32_t thread)
{
    const struct step *step = context;
    dpc_block_attend(step->path, &step->path->acts[step->upper - 1], step->slice, unit,
                     &step->path->scratch[thread]);
}

static void
ffn_rows(void *context, size_t unit, uint32_t thread)
{
    const struct step *step = context;
    dpc_block_ffn_input(step->path, step->upper - 1, &step->path->acts[step->upper - 1],
                        step->slice, dpc_path_tile(step->path, step->slice.padded, unit),
                        &step->path->scratch[thread]);
}

static void
recompute(struct step *step)
{
    struct dpc_pool *pool = step->path->options.pool;
    size_t tiles = dpc_path_tiles(step->path, step->slice.padded);
    dpc_pool_run(pool, input_rows, step, tiles);
    dpc_pool_run(pool, attend_again, step, dpc_path_heads(step->path, step->slice));
    dpc_pool_run(pool, ffn_rows, step, tiles);
}

/* --- Heads, weights, gains and the embedding. */

void
dpc_weight_gradient_unit(const struct dpc_path *path, const struct dpc_weight_gradient *job,
                         size_t rows, bool add, size_t unit)
{
    size_t most = path->cut.weight_rows, first = unit * most, left = job->O - first;
    size_t outputs = left < most ? left : most;
    path->ops->linear_backward_weight(job->dw + first * job->K,
                                      dpc_act_at(path->ops, job->dy, first), job->stride, job->x,
                                      rows, outputs, job->K, add);
}

/* Adds the tiles' sums in their order. */
static void
sum_gains(const struct dpc_path *path, float *dgain, const float *dgains, struct dpc_slice slice)
{
    path->ops->sum_rows(dgain, dgains, dpc_path_tiles(path, slice.padded), path->C, !path->fresh);
}

static void
all_gains(const struct step *step)
{
    struct dpc_path *path = step->path;
    bool top = step->upper == path->blocks_count;
    sum_gains(path, top ? path->dnorm_final : path->grads_blocks[step->upper].norm_attention,
              path->back.dgains1, step->slice);
    if (step->upper > 0)
        sum_gains(path, path->grads_blocks[step->upper - 1].norm_ffn, path->back.dgains2,
                  step->slice);
}

static void
embedding_columns(const struct step *step, size_t unit)
{
    const struct dpc_path *path = step->path;
    size_t first = unit * path->cut.columns, last = first + path->cut.columns;
    last = last < path->C ? last : path->C;
    path->ops->embedding_backward(path->dembedding, path->back.dx[0], step->tokens,
                                  step->slice.rows, path->C, first, last);
}

static void
mixed_unit(void *context, size_t unit, uint32_t thread)
{
    const struct step *step = context;
    struct dpc_path *path = step->path;
    if (unit < step->heads) {
        dpc_block_attend_backward(path, step->upper - 1, step->slice, unit, &path->scratch[thread]);
        return;
    }
    unit -= step->heads;
    for (size_t i = 0; i < step->jobs_count; i++) {
        size_t units = dpc_units(step->jobs[i].O, path->cut.weight_rows);
        if (unit < units) {
            dpc_weight_gradient_unit(path, &step->jobs[i], step->slice.padded, !path->fresh, unit);
            return;
        }
        unit -= units;
    }
    if (unit == 0)
        all_gains(step);
    else
        embedding_columns(step, unit - 1);
}

static void
add_job(struct step *step, float *dw, const struct dpc_act *dy, size_t O, const struct dpc_act *x,
        size_t K)
{
    step->jobs[step->jobs_count++] =
        (struct dpc_weight_gradient){.dw = dw, .dy = dy, .stride = O, .x = x, .O = O, .K = K};
}

/* The weights whose rows of dy and x are complete after the step's pass over rows. */
static void
collect_jobs(struct step *step)
{
    struct dpc_path *path = step->path;
    const struct dpc_back_acts *back = &path->back;
    size_t C = path->C, F = path->F, upper = step->upper;
    step->jobs_count = 0;
    if (upper > 0) {
        const struct dpc_block_grads *grads = &path->grads_blocks[upper - 1];
        add_job(step, grads->gate_up, back->dgate_up, 2 * F, back->norm2, C);
        add_job(step, grads->down, back->dx_act[0], C, back->activated, F);
        add_job(step, grads->attention_out, back->dx_act[1], C, path->acts[upper - 1].attended, C);
    }
    if (upper < path->blocks_count)
        add_job(step, path->grads_blocks[upper].qkv, back->dqkv[upper % 2], path->W, back->norm1,
                C);
}

static void
run_units(struct step *step)
{
    struct dpc_path *path = step->path;
    collect_jobs(step);
    step->heads = step->upper > 0 ? dpc_path_heads(path, step->slice) : 0;
    size_t units = step->heads + 1;
    for (size_t i = 0; i < step->jobs_count; i++)
        units += dpc_units(step->jobs[i].O, path->cut.weight_rows);
    if (step->upper == 0)
        units += dpc_units(path->C, path->cut.columns);
    dpc_pool_run(path->options.pool, mixed_unit, step, units);
}

/* Padded rows of dqkv are written by nobody. */
static void
clear_padding(const struct dpc_path *path, struct dpc_slice slice)
{
    size_t from = slice.rows * path->W, count = (slice.padded - slice.rows) * path->W;
    for (int i = 0; i < 2; i++)
        path->ops->memory->clear(dpc_act_at(path->ops, path->back.dqkv[i], from),
                                 count * dpc_act_bytes(path->ops));
}

void
dpc_trunk_backward(struct dpc_path *path, const int32_t *tokens, struct dpc_slice slice)
{
    struct step step = {.path = path, .tokens = tokens, .slice = slice};
    clear_padding(path, slice);
    if (path->fresh && path->dembedding != path->dhead)
        path->ops->memory->clear(path->dembedding, path->V * path->C * sizeof *path->dembedding);
    for (size_t upper = path->blocks_count + 1; upper-- > 0;) {
        bool again = path->options.recompute && upper > 0 && upper < path->blocks_count;
        step.upper = upper;
        run_rows(&step, true, upper > 0 && !again);
        if (again) {
            recompute(&step);
            run_rows(&step, false, true);
        }
        run_units(&step);
    }
    path->fresh = false;
}
