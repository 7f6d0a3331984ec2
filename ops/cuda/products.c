/* SPDX-License-Identifier: Apache-2.0
 * Matrix products through cuBLASLt. It thinks in columns: a row-major [R,C] is a column-major C x R
 * with leading dimension C. So, with w[O,K] as K x O, x[N,K] as K x N and y[N,O] as O x N:
 *
 *     y = x w^T    is   (O x N) = (K x O)^T (K x N)
 *     dx = dy w    is   (K x N) = (K x O)   (O x N)
 *     dw = dy^T x  is   (K x O) = (K x N)   (O x N)^T
 *
 * The algorithm is the first that cuBLASLt's heuristic names for a shape, found once: it depends on
 * the shape, the library and the card alone, and so do the bits. Sums of parts of k are kept in the
 * type that is computed in: as outputs, each would be rounded to bf16. A product for which cuBLASLt
 * has no algorithm is computed plainly; anything else that it says is a failure of the card. */
#include "ops/cuda/kernels.h"

#include <string.h>

#include "ops/cuda/device.h"
#include "ops/cuda/products.h"

enum { PLANS_MAX = 256 }; /* shapes of some paths; older ones give way */

struct plan {
    struct dpc_cuda_product product;
    uint32_t alignments[3]; /* of a, b and the result, in bytes */
    bool is_set, plain;     /* plain: there is no algorithm */
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
};

static struct plan plans[PLANS_MAX];

static void
forget(struct plan *plan)
{
    if (plan->what)
        (void)cublasLtMatmulDescDestroy(plan->what);
    if (plan->a)
        (void)cublasLtMatrixLayoutDestroy(plan->a);
    if (plan->b)
        (void)cublasLtMatrixLayoutDestroy(plan->b);
    if (plan->c)
        (void)cublasLtMatrixLayoutDestroy(plan->c);
    memset(plan, 0, sizeof *plan);
}

void
dpc_cuda_products_close(void)
{
    for (int i = 0; i < PLANS_MAX; i++)
        forget(&plans[i]);
}

/* The largest power of two that divides the address, up to 256. */
static uint32_t
alignment_of(const void *memory)
{
    uintptr_t address = (uintptr_t)memory;
    uint32_t alignment = 256;
    while (address % alignment)
        alignment /= 2;
    return alignment;
}

static bool
describe(struct plan *plan)
{
    const struct dpc_cuda_product *p = &plan->product;
    cudaDataType_t in = p->bf16 ? CUDA_R_16BF : CUDA_R_32F;
    cudaDataType_t out = p->bf16 && !p->to_float ? CUDA_R_16BF : CUDA_R_32F;
    cublasComputeType_t compute = p->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t op_a = p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t op_b = p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint64_t a_rows = (uint64_t)(p->transpose_a ? p->k : p->m);
    uint64_t a_columns = (uint64_t)(p->transpose_a ? p->m : p->k);
    uint64_t b_rows = (uint64_t)(p->transpose_b ? p->n : p->k);
    uint64_t b_columns = (uint64_t)(p->transpose_b ? p->k : p->n);
    const char *what = "describe a product";
    return dpc_cuda_check_lt(cublasLtMatmulDescCreate(&plan->what, compute, CUDA_R_32F), what) &&
           dpc_cuda_check_lt(cublasLtMatmulDescSetAttribute(
                                 plan->what, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a),
                             what) &&
           dpc_cuda_check_lt(cublasLtMatmulDescSetAttribute(
                                 plan->what, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b),
                             what) &&
           dpc_cuda_check_lt(cublasLtMatrixLayoutCreate(&plan->a, in, a_rows, a_columns, p->lda),
                             what) &&
           dpc_cuda_check_lt(cublasLtMatrixLayoutCreate(&plan->b, in, b_rows, b_columns, p->ldb),
                             what) &&
           dpc_cuda_check_lt(cublasLtMatrixLayoutCreate(&plan->c, out, (uint64_t)p->m,
                                                        (uint64_t)p->n, p->ldc),
                             what);
}

/* What cuBLASLt may count on, and what it may use. */
static bool
set_preference(cublasLtMatmulPreference_t preference, const uint32_t *alignments)
{
    static const cublasLtMatmulPreferenceAttributes_t places[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const char *what = "choose a product's algorithm";
    bool good =
        dpc_cuda_check_lt(cublasLtMatmulPreferenceSetAttribute(
                              preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                              &dpc_cuda.workspace_bytes, sizeof dpc_cuda.workspace_bytes),
                          what) &&
        dpc_cuda_check_lt(cublasLtMatmulPreferenceSetAttribute(
                              preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                              sizeof schemes),
                          what);
    for (int i = 0; good && i < 4; i++)
        good = dpc_cuda_check_lt(
            cublasLtMatmulPreferenceSetAttribute(preference, places[i], &alignments[i < 2 ? i : 2],
                                                 sizeof *alignments),
            what);
    return good;
}

static bool
choose(struct plan *plan)
{
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    bool good = describe(plan) &&
                dpc_cuda_check_lt(cublasLtMatmulPreferenceCreate(&preference),
                                  "choose a product's algorithm") &&
                set_preference(preference, plan->alignments);
    if (good) {
        cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(dpc_cuda.lt, plan->what, plan->a, plan->b, plan->c,
                                           plan->c, preference, 1, &result, &found);
        plan->plain = status == CUBLAS_STATUS_NOT_SUPPORTED ||
                      (status == CUBLAS_STATUS_SUCCESS &&
                       (found == 0 || result.state != CUBLAS_STATUS_SUCCESS));
        good = plan->plain || dpc_cuda_check_lt(status, "choose a product's algorithm");
        if (good && !plan->plain)
            plan->algorithm = result.algo;
        plan->is_set = good;
    }
    if (preference)
        (void)cublasLtMatmulPreferenceDestroy(preference);
    if (!good)
        forget(plan);
    return good;
}

static uint32_t
hash_of(const struct dpc_cuda_product *product, const uint32_t *alignments)
{
    uint64_t words[] = {(uint64_t)product->m,   (uint64_t)product->n,   (uint64_t)product->k,
                        (uint64_t)product->ldb, (uint64_t)product->ldc, alignments[0],
                        alignments[1],          alignments[2]};
    uint64_t hash = (uint64_t)(product->transpose_a | product->transpose_b << 1 |
                               product->add << 2 | product->bf16 << 3 | product->to_float << 4 |
                               product->tf32 << 5);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u + (hash >> 29);
    return (uint32_t)(hash >> 32);
}

static bool
same_product(const struct dpc_cuda_product *a, const struct dpc_cuda_product *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda && a->ldb == b->ldb &&
           a->ldc == b->ldc && a->transpose_a == b->transpose_a &&
           a->transpose_b == b->transpose_b && a->add == b->add && a->bf16 == b->bf16 &&
           a->to_float == b->to_float && a->tf32 == b->tf32;
}

/* NULL after a failure. */
static const struct plan *
plan_for(const struct dpc_cuda_product *product, const uint32_t *alignments)
{
    enum { NEAR = 8 };
    uint32_t hash = hash_of(product, alignments);
    struct plan *plan = &plans[hash % PLANS_MAX];
    for (uint32_t i = 0; i < NEAR; i++) {
        struct plan *other = &plans[(hash + i) % PLANS_MAX];
        if (other->is_set && same_product(&other->product, product) &&
            memcmp(other->alignments, alignments, sizeof other->alignments) == 0)
            return other;
        if (plan->is_set && !other->is_set)
            plan = other;
    }
    forget(plan);
    plan->product = *product;
    memcpy(plan->alignments, alignments, sizeof plan->alignments);
    return choose(plan) ? plan : NULL;
}

static void
multiply(void *to, const void *a, const void *b, const struct dpc_cuda_product *product)
{
    static const float one = 1.0f;
    float beta = product->add ? 1.0f : 0.0f;
    uint32_t alignments[3] = {alignment_of(a), alignment_of(b), alignment_of(to)};
    const struct plan *plan =
        product->m && product->n && !dpc_cuda_failed() ? plan_for(product, alignments) : NULL;
    if (!plan)
        return;
    if (plan->plain)
        dpc_cuda_multiply_plain(to, a, b, product);
    else
        (void)dpc_cuda_check_lt(cublasLtMatmul(dpc_cuda.lt, plan->what, &one, a, plan->a, b,
                                               plan->b, &beta, to, plan->c, to, plan->c,
                                               &plan->algorithm, dpc_cuda.workspace,
                                               dpc_cuda.workspace_bytes, dpc_cuda.stream),
                                "multiply matrices");
}

/* Packed weights have rows for all that stands in y. */
static struct dpc_cuda_product
forward_product(const struct dpc_weights *w, size_t N, bool packed)
{
    return (struct dpc_cuda_product){
        .m = (int64_t)(packed ? dpc_outputs(w) : w->O),
        .n = (int64_t)N,
        .k = (int64_t)w->K,
        .lda = (int64_t)w->K,
        .ldb = (int64_t)w->K,
        .ldc = (int64_t)dpc_outputs(w),
        .transpose_a = true,
    };
}

static struct dpc_cuda_product
input_product(const struct dpc_weights *w, size_t N, bool packed)
{
    return (struct dpc_cuda_product){
        .m = (int64_t)w->K,
        .n = (int64_t)N,
        .k = (int64_t)(packed ? dpc_outputs(w) : w->O),
        .lda = (int64_t)w->K,
        .ldb = (int64_t)dpc_outputs(w),
        .ldc = (int64_t)w->K,
    };
}

static struct dpc_cuda_product
weight_product(size_t stride, size_t N, size_t O, size_t K, bool add)
{
    return (struct dpc_cuda_product){
        .m = (int64_t)K,
        .n = (int64_t)O,
        .k = (int64_t)N,
        .lda = (int64_t)K,
        .ldb = (int64_t)stride,
        .ldc = (int64_t)K,
        .transpose_b = true,
        .to_float = true,
        .add = add,
    };
}

/* Outputs that fill no whole 16 bytes by themselves, where rows of dy begin on such: a library's
 * fast kernels take none of them, and dw has no room for more. */
static void
multiply_weight(float *dw, const struct dpc_act *x, const struct dpc_act *dy,
                struct dpc_cuda_product *p)
{
    int64_t all = p->n, rest = p->ldb % 8 == 0 ? all % 8 : 0;
    p->n = all - rest;
    multiply(dw, x, dy, p);
    p->n = rest;
    multiply(dw + (all - rest) * p->ldc, x, (const char *)dy + (all - rest) * (p->bf16 ? 2 : 4), p);
}

/* One set of functions a number format: which weights are read, and how. */
#define PRODUCTS(suffix, weights, is_bf16, is_tf32)                                                \
    void dpc_cuda_linear_forward_##suffix(struct dpc_act *y, const struct dpc_act *x,              \
                                          const struct dpc_weights *w, size_t N)                   \
    {                                                                                              \
        struct dpc_cuda_product p = forward_product(w, N, (is_bf16));                              \
        p.bf16 = (is_bf16);                                                                        \
        p.tf32 = (is_tf32);                                                                        \
        multiply(y, (weights), x, &p);                                                             \
    }                                                                                              \
    void dpc_cuda_linear_forward_float_##suffix(float *y, const struct dpc_act *x,                 \
                                                const struct dpc_weights *w, size_t N)             \
    {                                                                                              \
        struct dpc_cuda_product p = forward_product(w, N, (is_bf16));                              \
        p.bf16 = (is_bf16);                                                                        \
        p.tf32 = (is_tf32);                                                                        \
        p.to_float = true;                                                                         \
        multiply(y, (weights), x, &p);                                                             \
    }                                                                                              \
    void dpc_cuda_linear_backward_input_##suffix(struct dpc_act *dx, const struct dpc_act *dy,     \
                                                 const struct dpc_weights *w, size_t N)            \
    {                                                                                              \
        struct dpc_cuda_product p = input_product(w, N, (is_bf16));                                \
        p.bf16 = (is_bf16);                                                                        \
        p.tf32 = (is_tf32);                                                                        \
        multiply(dx, (weights), dy, &p);                                                           \
    }                                                                                              \
    void dpc_cuda_linear_backward_weight_##suffix(float *dw, const struct dpc_act *dy,             \
                                                  size_t stride, const struct dpc_act *x,          \
                                                  size_t N, size_t O, size_t K, bool add)          \
    {                                                                                              \
        struct dpc_cuda_product p = weight_product(stride, N, O, K, add);                          \
        p.bf16 = (is_bf16);                                                                        \
        p.tf32 = (is_tf32);                                                                        \
        multiply_weight(dw, x, dy, &p);                                                            \
    }
PRODUCTS(bf16, w->forward, true, false)
PRODUCTS(fp32, w->values, false, false)
PRODUCTS(tf32, w->values, false, true)
