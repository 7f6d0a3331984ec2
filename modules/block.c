/* SPDX-License-Identifier: Apache-2.0
 * A Llama block, a tile at a time: x2 = x + W_o attention(W_qkv norm(x)), then x2 + W_down
 * swiglu(W_gu norm(x2)). The second addition is left to the norm that follows. */
#include "modules/path_parts.h"

static struct dpc_act *
at(const struct dpc_path *path, const struct dpc_act *acts, size_t row, size_t width)
{
    return dpc_act_at(path->ops, acts, row * width);
}

void
dpc_block_attention_input(struct dpc_path *path, size_t block, const struct dpc_block_acts *acts,
                          const float *x, const float *delta, struct dpc_slice slice,
                          struct dpc_tile tile, const struct dpc_thread_scratch *scratch)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_block_weights *weights = &path->weights[block];
    size_t C = path->C;
    ops->rmsnorm_forward(scratch->narrow, acts->x + tile.from * C, acts->rstd1 + tile.from,
                         x + tile.from * C, delta, weights->norm_attention, tile.count, C,
                         path->epsilon);
    ops->linear_forward(at(path, acts->qkv, slice.first + tile.from, path->W), scratch->narrow,
                        &weights->qkv, tile.count);
}

static struct dpc_attention
attention_of(const struct dpc_path *path, const struct dpc_block_acts *acts, struct dpc_slice slice)
{
    return (struct dpc_attention){
        .shape = {.B = slice.B, .T = slice.T, .H = path->H, .G = path->G, .D = path->D},
        .qkv = acts->qkv,
        .cosines = path->cosines,
        .sines = path->sines,
    };
}

void
dpc_block_attend(struct dpc_path *path, const struct dpc_block_acts *acts, struct dpc_slice slice,
                 size_t unit, const struct dpc_thread_scratch *scratch)
{
    struct dpc_attention in = attention_of(path, acts, slice);
    unit = path->ops->whole ? DPC_EVERY_UNIT : unit;
    path->ops->attention_forward(acts->attended, acts->lse, &in, unit, slice.first,
                                 scratch->attention);
}

void
dpc_block_ffn_input(struct dpc_path *path, size_t block, const struct dpc_block_acts *acts,
                    struct dpc_slice slice, struct dpc_tile tile,
                    const struct dpc_thread_scratch *scratch)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_block_weights *weights = &path->weights[block];
    size_t C = path->C, row = tile.from;
    ops->linear_forward_float(scratch->delta, at(path, acts->attended, slice.first + row, C),
                              &weights->attention_out, tile.count);
    ops->rmsnorm_forward(scratch->narrow, acts->x2 + row * C, acts->rstd2 + row, acts->x + row * C,
                         scratch->delta, weights->norm_ffn, tile.count, C, path->epsilon);
    ops->linear_forward(at(path, acts->gate_up, row, 2 * path->F), scratch->narrow,
                        &weights->gate_up, tile.count);
}

void
dpc_block_ffn_output(struct dpc_path *path, size_t block, const struct dpc_block_acts *acts,
                     struct dpc_tile tile, const struct dpc_thread_scratch *scratch)
{
    const struct dpc_ops *ops = path->ops;
    ops->swiglu_forward(scratch->wide, at(path, acts->gate_up, tile.from, 2 * path->F), tile.count,
                        path->F);
    ops->linear_forward_float(scratch->delta, scratch->wide, &path->weights[block].down,
                              tile.count);
}

float *
dpc_path_fresh_gains(const struct dpc_path *path, float *dgains, struct dpc_tile tile)
{
    float *own = dgains + tile.from / path->cut.tile_rows * path->C;
    path->ops->memory->clear(own, path->C * sizeof *own);
    return own;
}

void
dpc_block_ffn_backward(struct dpc_path *path, size_t block, struct dpc_tile tile,
                       const struct dpc_thread_scratch *scratch)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_block_weights *weights = &path->weights[block];
    const struct dpc_block_acts *acts = &path->acts[block];
    const struct dpc_back_acts *back = &path->back;
    size_t C = path->C, F = path->F, row = tile.from, N = tile.count;
    struct dpc_act *dgate_up = at(path, back->dgate_up, row, 2 * F);
    struct dpc_act *dx_act = at(path, back->dx_act[1], row, C);
    ops->linear_backward_input(scratch->wide, at(path, back->dx_act[0], row, C), &weights->down, N);
    ops->swiglu_backward(dgate_up, at(path, back->activated, row, F), scratch->wide,
                         at(path, acts->gate_up, row, 2 * F), N, F);
    ops->linear_backward_input(scratch->narrow, dgate_up, &weights->gate_up, N);
    ops->rmsnorm_backward(back->dx[1] + row * C, dx_act, at(path, back->norm2, row, C),
                          dpc_path_fresh_gains(path, back->dgains2, tile), back->dx[0] + row * C,
                          scratch->narrow, acts->x2 + row * C, acts->rstd2 + row, weights->norm_ffn,
                          N, C);
    ops->linear_backward_input(at(path, back->dattended, row, C), dx_act, &weights->attention_out,
                               N);
}

void
dpc_block_attend_backward(struct dpc_path *path, size_t block, struct dpc_slice slice, size_t unit,
                          const struct dpc_thread_scratch *scratch)
{
    const struct dpc_block_acts *acts = &path->acts[block];
    struct dpc_attention in = attention_of(path, acts, slice);
    unit = path->ops->whole ? DPC_EVERY_UNIT : unit;
    path->ops->attention_backward(path->back.dqkv[block % 2], path->back.dattended, acts->attended,
                                  acts->lse, &in, unit, scratch->attention);
}

void
dpc_block_attention_backward(struct dpc_path *path, size_t block, struct dpc_tile tile,
                             const struct dpc_thread_scratch *scratch)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_block_weights *weights = &path->weights[block];
    const struct dpc_block_acts *acts = &path->acts[block];
    const struct dpc_back_acts *back = &path->back;
    size_t C = path->C, row = tile.from;
    ops->linear_backward_input(scratch->narrow, at(path, back->dqkv[block % 2], row, path->W),
                               &weights->qkv, tile.count);
    ops->rmsnorm_backward(
        back->dx[0] + row * C, at(path, back->dx_act[0], row, C), at(path, back->norm1, row, C),
        dpc_path_fresh_gains(path, back->dgains1, tile), back->dx[1] + row * C, scratch->narrow,
        acts->x + row * C, acts->rstd1 + row, weights->norm_attention, tile.count, C);
}
