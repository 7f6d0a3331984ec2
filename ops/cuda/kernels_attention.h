/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: causal attention on the card, rows of struct dpc_ops (ops/ops.h says every
 * shape and formula). `unit` is always DPC_EVERY_UNIT.
 *
 * bf16 runs on tensor cores for heads of up to 128; wider ones are computed in fp32 from acts in
 * bf16. fp32 is computed in fp32 throughout; the table that may round to tf32 uses it too. Heads
 * of more than DPC_CUDA_HEAD_MAX are left out. Bits depend on the shape alone; no kernel adds
 * atomically.
 *
 * Owns: nothing; scratch is passed in. Threads: one at a time. Limits: qkv, out, their gradients
 * and scratch begin at multiples of 16 bytes, else DPC_EDEVICE with "attention's tensors".
 */
#ifndef DPC_OPS_CUDA_KERNELS_ATTENTION_H
#define DPC_OPS_CUDA_KERNELS_ATTENTION_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DPC_CUDA_HEAD_MAX = 256 };

/* Enough for either kernel of either dtype, and for one of them; DPC_CARD_LEFT_OUT for heads that
 * are wider than both take. */
size_t dpc_cuda_attention_scratch_bytes_bf16(const struct dpc_attention_shape *shape);
size_t dpc_cuda_attention_scratch_bytes_fp32(const struct dpc_attention_shape *shape);

void dpc_cuda_attention_forward_bf16(struct dpc_act *out, float *lse,
                                     const struct dpc_attention *in, size_t unit, size_t first,
                                     void *scratch);
void dpc_cuda_attention_backward_bf16(struct dpc_act *dqkv, const struct dpc_act *dout,
                                      const struct dpc_act *out, const float *lse,
                                      const struct dpc_attention *in, size_t unit, void *scratch);
void dpc_cuda_attention_forward_fp32(struct dpc_act *out, float *lse,
                                     const struct dpc_attention *in, size_t unit, size_t first,
                                     void *scratch);
void dpc_cuda_attention_backward_fp32(struct dpc_act *dqkv, const struct dpc_act *dout,
                                      const struct dpc_act *out, const float *lse,
                                      const struct dpc_attention *in, size_t unit, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
