/* SPDX-License-Identifier: Apache-2.0
 * The products of fp32 tables through OpenBLAS, on weights as they stand. Its own threads stay off:
 * two pools fight. */
#include "ops/tables.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void
linear_forward_float(float *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    blasint rows = (blasint)N, O = (blasint)w->O, K = (blasint)w->K;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, O, K, 1.0f, (const float *)x, K,
                w->values, K, 0.0f, y, O);
}

static void
linear_forward(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    linear_forward_float((float *)y, x, w, N);
}

static void
linear_backward_input(struct dpc_act *dx, const struct dpc_act *dy, const struct dpc_weights *w,
                      size_t N)
{
    blasint rows = (blasint)N, O = (blasint)w->O, K = (blasint)w->K;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, K, O, 1.0f, (const float *)dy, O,
                w->values, K, 0.0f, (float *)dx, K);
}

static void
linear_backward_weight(float *dw, const struct dpc_act *dy, size_t stride, const struct dpc_act *x,
                       size_t N, size_t O, size_t K, bool add)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)O, (blasint)K, (blasint)N, 1.0f,
                (const float *)dy, (blasint)stride, (const float *)x, (blasint)K, add ? 1.0f : 0.0f,
                dw, (blasint)K);
}

void
dpc_blas_set_products(struct dpc_ops *ops)
{
    ops->products = "openblas";
    ops->packed_bytes = NULL;
    ops->pack = NULL;
    ops->linear_forward = linear_forward;
    ops->linear_forward_float = linear_forward_float;
    ops->linear_backward_input = linear_backward_input;
    ops->linear_backward_weight = linear_backward_weight;
}

void
dpc_blas_use_one_thread(void)
{
    openblas_set_num_threads(1);
}

bool
dpc_blas_has_avx2(void)
{
    static const char *const names[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake",
                                        "SapphireRapids"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(openblas_get_corename(), names[i]) == 0)
            return true;
    }
    return false;
}

const char *
dpc_ops_blas_kernel(void)
{
    return openblas_get_corename();
}

/* It says "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...". */
void
dpc_ops_blas_version(char *ret_text, size_t size)
{
    const char *config = openblas_get_config(), *space = strchr(config, ' ');
    const char *version = space ? space + 1 : config;
    (void)snprintf(ret_text, size, "%.*s", (int)strcspn(version, " "), version);
}
