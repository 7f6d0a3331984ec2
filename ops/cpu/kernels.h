/* SPDX-License-Identifier: Apache-2.0
 *
 * The vectorised kernels' names. Each source of this folder is compiled once per table, with
 * DPC_ISA set to the instruction set's name and DPC_ACT_BF16 where acts are bf16, so that one
 * source gives `dpc_avx2_adamw`, `dpc_avx512_adamw` and so on. Signatures and meanings are those of
 * ops/ops.h.
 *
 * Owns: nothing. Threads: any. Not here: the choice among the sets (ops/cpu.c).
 */
#ifndef DPC_OPS_CPU_KERNELS_H
#define DPC_OPS_CPU_KERNELS_H

#include "ops/ops.h"

#define DPC_PASTE2(a, b, c) a##b##_##c
#define DPC_PASTE(a, b, c)  DPC_PASTE2(a, b, c)
#define KERNEL(name)        DPC_PASTE(dpc_, DPC_ISA, name)

void KERNEL(rmsnorm_forward)(struct dpc_act *out, float *sum, float *rstd, const float *x,
                             const float *delta, const float *gain, size_t N, size_t C,
                             float epsilon);
void KERNEL(rmsnorm_backward)(float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain,
                              const float *dx_in, const struct dpc_act *dout, const float *x,
                              const float *rstd, const float *gain, size_t N, size_t C);
void KERNEL(attention_forward)(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                               size_t unit, size_t first, void *scratch);
void KERNEL(attention_backward)(struct dpc_act *dqkv, const struct dpc_act *dout,
                                const struct dpc_act *out, const float *lse,
                                const struct dpc_attention *in, size_t unit, void *scratch);
void KERNEL(swiglu_forward)(struct dpc_act *out, const struct dpc_act *gate_up, size_t N, size_t F);
void KERNEL(swiglu_backward)(struct dpc_act *dgate_up, struct dpc_act *out,
                             const struct dpc_act *dout, const struct dpc_act *gate_up, size_t N,
                             size_t F);
void KERNEL(cross_entropy_forward)(float *losses, const float *logits, const int32_t *targets,
                                   size_t N, size_t V);
void KERNEL(cross_entropy_backward)(float *losses, struct dpc_act *dlogits, float *logits,
                                    const int32_t *targets, size_t N, size_t V, float scale);
void KERNEL(squared_norms)(double *sums, const float *values, const struct dpc_piece *pieces,
                           size_t count);
void KERNEL(adamw)(float *parameters, const float *gradients, float *m, float *v,
                   const struct dpc_piece *pieces, size_t count,
                   const struct dpc_adamw_rates *rates);

extern const struct dpc_ops KERNEL(table);

#endif
