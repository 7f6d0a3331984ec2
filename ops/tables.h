/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside ops/: kernels that several tables share.
 *
 * Owns: nothing. Threads: any. Not here: meanings and shapes (ops/ops.h).
 */
#ifndef DPC_OPS_TABLES_H
#define DPC_OPS_TABLES_H

#include "ops/ops.h"

/* Sizes of the attention kernels' strips, which decide the scratch. */
enum {
    DPC_ATTENTION_BLOCK =
        48, /* query rows: whole tiles, and a strip of some hundred keys fits L2 */
    DPC_ATTENTION_ALIGN = 64, /* strips end on whole tiles of every instruction set */
    DPC_ATTENTION_SKEW = 16,  /* floats: rows of a strip must not share one cache set */
};

/* ops/plain.c: one build for all instruction sets. */
void dpc_plain_embedding_forward(float *x, const float *table, const int32_t *tokens, size_t N,
                                 size_t C);
void dpc_plain_embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                                  size_t C, size_t first, size_t last);
void dpc_plain_gather_rows_fp32(struct dpc_act *to, const struct dpc_act *from,
                                const uint32_t *places, size_t count, size_t padded, size_t C);
void dpc_plain_gather_rows_bf16(struct dpc_act *to, const struct dpc_act *from,
                                const uint32_t *places, size_t count, size_t padded, size_t C);
void dpc_plain_scatter_rows_fp32(struct dpc_act *to, const struct dpc_act *from,
                                 const uint32_t *places, size_t count, size_t C);
void dpc_plain_scatter_rows_bf16(struct dpc_act *to, const struct dpc_act *from,
                                 const uint32_t *places, size_t count, size_t C);
void dpc_plain_sum_rows(float *sum, const float *from, size_t N, size_t C, bool add);
void dpc_plain_mean_rows(float *mean, const float *from, size_t N, size_t C);
void dpc_plain_outer_accumulate(double *sum, const float *delta, double weight, size_t count);
void dpc_plain_outer_nesterov(float *theta, float *momentum, const double *sum, size_t count,
                              double scale, double lr, double mu);

void dpc_plain_encode_difference(uint8_t *bytes, const float *from, const float *values,
                                 size_t count, enum dpc_codec codec);

/* ops/cpu.c: enough for any table of the CPU. */
size_t dpc_attention_scratch_bytes(const struct dpc_attention_shape *shape);

/* ops/reference.c. */
extern const struct dpc_ops dpc_reference_fp32_table, dpc_reference_bf16_table;

/* Sets the products of a table: its functions, `products` and nothing else. */

/* ops/blas.c: fp32 through OpenBLAS. */
void dpc_blas_set_products(struct dpc_ops *ops);
/* OpenBLAS computes in the calling thread only from now on. */
void dpc_blas_use_one_thread(void);

/* Whether the kernels that OpenBLAS has chosen for this processor are of AVX2 or newer. */
bool dpc_blas_has_avx2(void);

/* ops/onednn.c: both dtypes through oneDNN; false, and nothing set, where it does not run. */
bool dpc_onednn_set_products(struct dpc_ops *ops);

#endif
