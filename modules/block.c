/* SPDX-License-Identifier: Apache-2.0
 * A Llama block: x2 = x + W_o attention(rope(W_qkv norm(x))), then x2 + W_down swiglu(W_gu
 * norm(x2)). The second addition is left to the norm that follows. */
#include "modules/path_parts.h"

static void
attend(struct dpc_path *path, const struct dpc_block_tensors *weights,
       const struct dpc_block_acts *acts, struct dpc_slice slice)
{
    const struct dpc_ops *ops = path->ops;
    size_t N = dpc_slice_rows(slice), C = path->C, half = path->D / 2;
    float *qkv = acts->qkv + slice.first * 3 * C;
    ops->linear_forward(qkv, acts->norm1, weights->qkv, N, 3 * C, C);
    ops->rope_forward(qkv, path->cosines + slice.first * half, path->sines + slice.first * half,
                      dpc_path_shape(path, slice.B, slice.T - slice.first));
    ops->attention_forward(acts->attended, acts->lse, acts->qkv,
                           dpc_path_shape(path, slice.B, slice.T), slice.first, path->scratch);
    ops->linear_forward(path->delta, acts->attended + slice.first * C, weights->attention_out, N, C,
                        C);
}

void
dpc_block_forward(struct dpc_path *path, const struct dpc_block_tensors *weights,
                  const struct dpc_block_acts *acts, const float *x, const float *delta,
                  struct dpc_slice slice)
{
    const struct dpc_ops *ops = path->ops;
    size_t N = dpc_slice_rows(slice), C = path->C, F = path->F;
    ops->rmsnorm_forward(acts->norm1, acts->x, acts->rstd1, x, delta, weights->norm_attention, N, C,
                         path->epsilon);
    attend(path, weights, acts, slice);
    ops->rmsnorm_forward(acts->norm2, acts->x2, acts->rstd2, acts->x, path->delta,
                         weights->norm_ffn, N, C, path->epsilon);
    ops->linear_forward(acts->gate_up, acts->norm2, weights->gate_up, N, 2 * F, C);
    ops->swiglu_forward(acts->activated, acts->gate_up, N, F);
    ops->linear_forward(path->delta, acts->activated, weights->down, N, C, F);
}

/* The gradients of y = x w^T: adds to dw, overwrites dx. */
static void
linear_backward(const struct dpc_ops *ops, float *dx, float *dw, const float *dy, const float *x,
                const float *w, size_t N, size_t outputs, size_t inputs)
{
    ops->linear_backward_weight(dw, dy, x, N, outputs, inputs, 1.0f);
    ops->linear_backward_input(dx, dy, w, N, outputs, inputs, 0.0f);
}

static void
feed_backward(struct dpc_path *path, const struct dpc_block_tensors *weights,
              const struct dpc_block_tensors *grads, const struct dpc_block_acts *acts, size_t N)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_back_acts *back = &path->back;
    size_t C = path->C, F = path->F;
    linear_backward(ops, back->dnarrow, grads->down, back->dx, acts->activated, weights->down, N, C,
                    F);
    ops->swiglu_backward(back->dwide, back->dnarrow, acts->gate_up, N, F);
    linear_backward(ops, back->dnorm, grads->gate_up, back->dwide, acts->norm2, weights->gate_up, N,
                    2 * F, C);
    ops->rmsnorm_backward(back->dx, grads->norm_ffn, back->dnorm, acts->x2, acts->rstd2,
                          weights->norm_ffn, N, C);
}

static void
attend_backward(struct dpc_path *path, const struct dpc_block_tensors *weights,
                const struct dpc_block_tensors *grads, const struct dpc_block_acts *acts,
                struct dpc_slice slice)
{
    const struct dpc_ops *ops = path->ops;
    const struct dpc_back_acts *back = &path->back;
    struct dpc_attention_shape shape = dpc_path_shape(path, slice.B, slice.T);
    size_t N = dpc_slice_rows(slice), C = path->C;
    linear_backward(ops, back->dnarrow, grads->attention_out, back->dx, acts->attended,
                    weights->attention_out, N, C, C);
    ops->attention_backward(back->dwide, back->dnarrow, acts->qkv, acts->attended, acts->lse, shape,
                            path->scratch);
    ops->rope_backward(back->dwide, path->cosines, path->sines, shape);
    linear_backward(ops, back->dnorm, grads->qkv, back->dwide, acts->norm1, weights->qkv, N, 3 * C,
                    C);
    ops->rmsnorm_backward(back->dx, grads->norm_attention, back->dnorm, acts->x, acts->rstd1,
                          weights->norm_attention, N, C);
}

void
dpc_block_backward(struct dpc_path *path, const struct dpc_block_tensors *weights,
                   const struct dpc_block_tensors *grads, const struct dpc_block_acts *acts,
                   struct dpc_slice slice)
{
    feed_backward(path, weights, grads, acts, dpc_slice_rows(slice));
    attend_backward(path, weights, grads, acts, slice);
}
