/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: one matrix product, in the column-major terms of BLAS.
 *
 * Owns: nothing. Threads: one at a time. Not here: what is multiplied (products.c).
 */
#ifndef DPC_OPS_CUDA_PRODUCTS_H
#define DPC_OPS_CUDA_PRODUCTS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* to[m,n] = op(a)[m,k] op(b)[k,n], or added to it. */
struct dpc_cuda_product {
    int64_t m, n, k, lda, ldb, ldc;
    bool transpose_a, transpose_b, add;
    bool bf16, to_float; /* what is read, and whether floats are written */
    bool tf32;
};

/* Any shape, slowly. */
void dpc_cuda_multiply_plain(void *to, const void *a, const void *b,
                             const struct dpc_cuda_product *p);

#ifdef __cplusplus
}
#endif

#endif
