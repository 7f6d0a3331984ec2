/* SPDX-License-Identifier: Apache-2.0
 *
 * The vectorised kernels' names. Each source of this folder is compiled once per instruction set
 * with DPC_ISA set to its name, so that one source gives `dpc_avx2_adamw`, `dpc_avx512_adamw` and
 * so on. Signatures and meanings are those of ops/ops.h.
 *
 * Owns: nothing. Threads: any. Not here: the choice among the sets (ops/cpu.c).
 */
#ifndef DPC_OPS_CPU_KERNELS_H
#define DPC_OPS_CPU_KERNELS_H

#include "ops/ops.h"

#define DPC_PASTE2(a, b, c) a##b##_##c
#define DPC_PASTE(a, b, c)  DPC_PASTE2(a, b, c)
#define KERNEL(name)        DPC_PASTE(dpc_, DPC_ISA, name)

void KERNEL(rmsnorm_forward)(float *out, float *sum, float *rstd, const float *x,
                             const float *delta, const float *gain, size_t N, size_t C,
                             float epsilon);
void KERNEL(rmsnorm_backward)(float *dx, float *dgain, const float *dout, const float *x,
                              const float *rstd, const float *gain, size_t N, size_t C);
void KERNEL(rope_forward)(float *qkv, const float *cosines, const float *sines,
                          struct dpc_attention_shape shape);
void KERNEL(rope_backward)(float *dqkv, const float *cosines, const float *sines,
                           struct dpc_attention_shape shape);
void KERNEL(attention_forward)(float *out, float *lse, const float *qkv,
                               struct dpc_attention_shape shape, size_t first, float *scratch);
void KERNEL(attention_backward)(float *dqkv, const float *dout, const float *qkv, const float *out,
                                const float *lse, struct dpc_attention_shape shape, float *scratch);
void KERNEL(swiglu_forward)(float *out, const float *gate_up, size_t N, size_t F);
void KERNEL(swiglu_backward)(float *dgate_up, const float *dout, const float *gate_up, size_t N,
                             size_t F);
void KERNEL(cross_entropy_forward)(float *losses, const float *logits, const int32_t *targets,
                                   size_t N, size_t V);
void KERNEL(cross_entropy_backward)(float *losses, float *logits, const int32_t *targets, size_t N,
                                    size_t V, float scale);
double KERNEL(squared_norm)(const float *values, size_t count);
void KERNEL(adamw)(float *parameters, const float *gradients, float *m, float *v, size_t count,
                   const struct dpc_adamw_rates *rates);

extern const struct dpc_ops KERNEL(table);

#endif
