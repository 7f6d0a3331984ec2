/* SPDX-License-Identifier: Apache-2.0
 * The three GEMMs of a linear layer, through OpenBLAS. Its own threads stay off: two pools fight.
 */
#include "ops/tables.h"

#include <cblas.h>

void
dpc_blas_linear_forward(float *y, const float *x, const float *w, size_t N, size_t O, size_t K)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)N, (blasint)O, (blasint)K, 1.0f,
                x, (blasint)K, w, (blasint)K, 0.0f, y, (blasint)O);
}

void
dpc_blas_linear_backward_input(float *dx, const float *dy, const float *w, size_t N, size_t O,
                               size_t K, float beta)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)N, (blasint)K, (blasint)O, 1.0f,
                dy, (blasint)O, w, (blasint)K, beta, dx, (blasint)K);
}

void
dpc_blas_linear_backward_weight(float *dw, const float *dy, const float *x, size_t N, size_t O,
                                size_t K, float beta)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)O, (blasint)K, (blasint)N, 1.0f,
                dy, (blasint)O, x, (blasint)K, beta, dw, (blasint)K);
}

void
dpc_blas_use_one_thread(void)
{
    openblas_set_num_threads(1);
}

const char *
dpc_ops_blas_kernel(void)
{
    return openblas_get_corename();
}
