/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: the kernels' names. Signatures and meanings are those of ops/ops.h; each
 * queues its work on the card's stream. Attention's are in kernels_attention.h.
 *
 * Owns: nothing. Threads: one at a time. Not here: which table has which (table.c).
 */
#ifndef DPC_OPS_CUDA_KERNELS_H
#define DPC_OPS_CUDA_KERNELS_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DPC_CUDA_PRODUCTS(suffix)                                                                  \
    void dpc_cuda_linear_forward_##suffix(struct dpc_act *y, const struct dpc_act *x,              \
                                          const struct dpc_weights *w, size_t N);                  \
    void dpc_cuda_linear_forward_float_##suffix(float *y, const struct dpc_act *x,                 \
                                                const struct dpc_weights *w, size_t N);            \
    void dpc_cuda_linear_backward_input_##suffix(struct dpc_act *dx, const struct dpc_act *dy,     \
                                                 const struct dpc_weights *w, size_t N);           \
    void dpc_cuda_linear_backward_weight_##suffix(float *dw, const struct dpc_act *dy,             \
                                                  size_t stride, const struct dpc_act *x,          \
                                                  size_t N, size_t O, size_t K, bool add);
DPC_CUDA_PRODUCTS(bf16)
DPC_CUDA_PRODUCTS(fp32)
DPC_CUDA_PRODUCTS(tf32)

#define DPC_CUDA_KERNELS(suffix)                                                                   \
    void dpc_cuda_gather_rows_##suffix(struct dpc_act *to, const struct dpc_act *from,             \
                                       const uint32_t *places, size_t count, size_t padded,        \
                                       size_t C);                                                  \
    void dpc_cuda_scatter_rows_##suffix(struct dpc_act *to, const struct dpc_act *from,            \
                                        const uint32_t *places, size_t count, size_t C);           \
    void dpc_cuda_rmsnorm_forward_##suffix(struct dpc_act *out, float *sum, float *rstd,           \
                                           const float *x, const float *delta, const float *gain,  \
                                           size_t N, size_t C, float epsilon);                     \
    void dpc_cuda_rmsnorm_backward_##suffix(                                                       \
        float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain, const float *dx_in,  \
        const struct dpc_act *dout, const float *x, const float *rstd, const float *gain,          \
        size_t N, size_t C);                                                                       \
    void dpc_cuda_swiglu_forward_##suffix(struct dpc_act *out, const struct dpc_act *gate_up,      \
                                          size_t N, size_t F);                                     \
    void dpc_cuda_swiglu_backward_##suffix(struct dpc_act *dgate_up, struct dpc_act *out,          \
                                           const struct dpc_act *dout,                             \
                                           const struct dpc_act *gate_up, size_t N, size_t F);     \
    void dpc_cuda_cross_entropy_backward_##suffix(float *losses, struct dpc_act *dlogits,          \
                                                  float *logits, const int32_t *targets, size_t N, \
                                                  size_t V, float scale);
DPC_CUDA_KERNELS(bf16)
DPC_CUDA_KERNELS(fp32)

size_t dpc_cuda_packed_bytes(size_t O, size_t K);
void dpc_cuda_pack(const struct dpc_weights *w);
void dpc_cuda_embedding_forward(float *x, const float *table, const int32_t *tokens, size_t N,
                                size_t C);
void dpc_cuda_embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                                 size_t C, size_t first, size_t last);
void dpc_cuda_sum_rows(float *sum, const float *from, size_t N, size_t C, bool add);
void dpc_cuda_mean_rows(float *mean, const float *from, size_t N, size_t C);
void dpc_cuda_cross_entropy_forward(float *losses, const float *logits, const int32_t *targets,
                                    size_t N, size_t V);
void dpc_cuda_squared_norms(double *sums, const float *values, const struct dpc_piece *pieces,
                            size_t count);
void dpc_cuda_adamw(float *parameters, const float *gradients, float *m, float *v,
                    const struct dpc_piece *pieces, size_t count,
                    const struct dpc_adamw_rates *rates);
void dpc_cuda_outer_accumulate(double *sum, const float *delta, double weight, size_t count);
void dpc_cuda_outer_nesterov(float *theta, float *momentum, const double *sum, size_t count,
                             double scale, double lr, double mu);
void dpc_cuda_encode_difference(uint8_t *bytes, const float *from, const float *values,
                                size_t count, enum dpc_codec codec);

#ifdef __cplusplus
}
#endif

#endif
