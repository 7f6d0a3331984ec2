/* SPDX-License-Identifier: Apache-2.0
 * Where the heads of attention in bf16 lie, and how much scratch they take. */
#include "ops/cuda/kernels_attention.h"

#include "ops/cuda/attention_bf16.cuh"

/* Tiles are copied 16 bytes at a time, so that heads must begin there. */
static bool
may_copy(const void *memory)
{
    return dpc_cuda_check(dpc_aligned(memory) ? cudaSuccess : cudaErrorMisalignedAddress,
                          "read attention's tensors");
}

bool
dpc_attention_lay(struct dpc_laid *laid, const struct dpc_attention *in, size_t first,
                  void **scratch)
{
    const struct dpc_attention_shape *shape = &in->shape;
    size_t width = dpc_attention_width(shape->D), H = shape->H, G = shape->G, W = H + 2 * G;
    size_t rows = shape->B * shape->T;
    struct dpc_sizes s = dpc_sizes_of(shape);
    const struct dpc_angles angles = {in->cosines, in->sines}, none = {NULL, NULL};
    const bf16 *qkv = (const bf16 *)in->qkv;
    bf16 *q = dpc_piece_take<bf16>(scratch, rows * H * width);
    bf16 *k = dpc_piece_take<bf16>(scratch, rows * G * width);
    if (!may_copy(q) || (width == shape->D && !may_copy(qkv)))
        return false;
    dpc_cuda_lay_heads<bf16, bf16>(q, width, dpc_heads_in_rows(qkv, s, W, 0), H, s, first, angles);
    dpc_cuda_lay_heads<bf16, bf16>(k, width, dpc_heads_in_rows(qkv, s, W, H), G, s, 0, angles);
    laid->width = width;
    laid->q = dpc_heads_const(dpc_heads_apart(q, s, H, width));
    laid->k = dpc_heads_const(dpc_heads_apart(k, s, G, width));
    laid->v = dpc_heads_in_rows(qkv, s, W, H + G);
    if (width != shape->D) {
        bf16 *v = dpc_piece_take<bf16>(scratch, rows * G * width);
        dpc_cuda_lay_heads<bf16, bf16>(v, width, laid->v, G, s, 0, none);
        laid->v = dpc_heads_const(dpc_heads_apart(v, s, G, width));
    }
    return true;
}

bool
dpc_attention_lay_dout(struct dpc_heads<const bf16> *laid, const bf16 *dout,
                       const struct dpc_attention_shape *shape, void **scratch)
{
    size_t width = dpc_attention_width(shape->D);
    struct dpc_sizes s = dpc_sizes_of(shape);
    const struct dpc_angles none = {NULL, NULL};
    *laid = dpc_heads_in_rows(dout, s, shape->H, 0);
    if (width == shape->D)
        return may_copy(dout);
    bf16 *padded = dpc_piece_take<bf16>(scratch, shape->B * shape->T * shape->H * width);
    dpc_cuda_lay_heads<bf16, bf16>(padded, width, *laid, shape->H, s, 0, none);
    *laid = dpc_heads_const(dpc_heads_apart(padded, s, shape->H, width));
    return true;
}

extern "C" size_t
dpc_cuda_attention_scratch_bytes_bf16(const struct dpc_attention_shape *shape)
{
    size_t rows = shape->B * shape->T, width = dpc_attention_width(shape->D);
    if (width == 0)
        return dpc_cuda_attention_scratch_bytes_wide(shape);
    size_t of_query = dpc_piece_bytes(rows * shape->H * width, sizeof(bf16));
    size_t of_key = dpc_piece_bytes(rows * shape->G * width, sizeof(bf16));
    size_t copies = width == shape->D ? 1 : 2;
    return copies * (of_query + of_key) + dpc_piece_bytes(rows * shape->H, sizeof(float2));
}
