/* SPDX-License-Identifier: Apache-2.0
 * Products for which cuBLASLt has no algorithm: a thread an output, in the order of the sum. */
#include "ops/cuda/products.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { SIDE = 16 };

template <typename In, typename Out>
__global__ void
multiply(Out *to, const In *a, const In *b, struct dpc_cuda_product p)
{
    int row = (int)(blockIdx.x * SIDE + threadIdx.x), column = (int)(blockIdx.y * SIDE + threadIdx.y);
    if (row >= p.m || column >= p.n)
        return;
    float sum = 0;
    for (int64_t i = 0; i < p.k; i++) {
        int64_t at = p.transpose_a ? row * p.lda + i : i * p.lda + row;
        int64_t bt = p.transpose_b ? i * p.ldb + column : column * p.ldb + i;
        sum += widen(a[at]) * widen(b[bt]);
    }
    Out *out = to + column * p.ldc + row;
    if (p.add)
        sum += widen(*out);
    narrow(out, sum);
}

} // namespace

extern "C" void
dpc_cuda_multiply_plain(void *to, const void *a, const void *b, const struct dpc_cuda_product *p)
{
    dim3 grid(blocks_for((size_t)p->m, SIDE), blocks_for((size_t)p->n, SIDE)), block(SIDE, SIDE);
    if (!p->bf16)
        DPC_LAUNCH(grid, block, 0, multiply, (float *)to, (const float *)a, (const float *)b, *p);
    else if (p->to_float)
        DPC_LAUNCH(grid, block, 0, multiply, (float *)to, (const bf16 *)a, (const bf16 *)b, *p);
    else
        DPC_LAUNCH(grid, block, 0, multiply, (bf16 *)to, (const bf16 *)a, (const bf16 *)b, *p);
    dpc_cuda_check(cudaGetLastError(), "launch a product");
}
