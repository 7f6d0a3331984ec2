/* SPDX-License-Identifier: Apache-2.0
 * Softmax cross-entropy: a large block a row, which it reads twice. The second time the row comes out
 * of the L2, where the few rows fit that are in work at once. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { THREADS = 512, BLOCKS = 2 };

/* The largest so far, and the sum of e^(x - largest). */
struct Softmax {
    float max, sum;
};

static __device__ Softmax
joined(Softmax a, Softmax b)
{
    float max = fmaxf(a.max, b.max);
    /* Both are empty where the maximum is: there is nothing to scale. */
    float left = a.max == max ? a.sum : a.sum * expf(a.max - max);
    float right = b.max == max ? b.sum : b.sum * expf(b.max - max);
    return {max, left + right};
}

template <int VEC>
static __device__ void
take(Softmax &all, const float (&x)[VEC])
{
    float max = x[0];
#pragma unroll
    for (int k = 1; k < VEC; k++)
        max = fmaxf(max, x[k]);
    if (max > all.max) {
        all.sum *= expf(all.max - max);
        all.max = max;
    }
#pragma unroll
    for (int k = 0; k < VEC; k++)
        all.sum += expf(x[k] - all.max);
}

template <int VEC>
static __device__ Softmax
row_softmax(const float *row, size_t V)
{
    __shared__ Softmax warps[THREADS / 32];
    Softmax all = {-INFINITY, 0.0f};
    for (size_t v = threadIdx.x * VEC; v < V; v += THREADS * VEC) {
        float x[VEC];
        load<VEC>(x, row + v);
        take<VEC>(all, x);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        all = joined(all, {__shfl_xor_sync(0xffffffffu, all.max, step),
                           __shfl_xor_sync(0xffffffffu, all.sum, step)});
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = all;
    __syncthreads();
    all = warps[0];
    for (int i = 1; i < THREADS / 32; i++)
        all = joined(all, warps[i]);
    return all;
}

template <int VEC>
__global__ void
__launch_bounds__(THREADS, BLOCKS)
forward(float *losses, const float *logits, const int32_t *targets, size_t V)
{
    size_t n = blockIdx.x;
    int32_t target = targets[n];
    if (target < 0) {
        if (threadIdx.x == 0)
            losses[n] = 0;
        return;
    }
    const float *row = logits + n * V;
    Softmax all = row_softmax<VEC>(row, V);
    if (threadIdx.x == 0)
        losses[n] = logf(all.sum) + all.max - row[target];
}

template <typename T, int VEC>
__global__ void
__launch_bounds__(THREADS, BLOCKS)
backward(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t V,
         float scale)
{
    size_t n = blockIdx.x;
    int32_t target = targets[n];
    const float *row = logits + n * V;
    T *to = dlogits + n * V;
    Softmax all = {0.0f, 1.0f};
    if (target >= 0)
        all = row_softmax<VEC>(row, V);
    float share = target >= 0 ? scale / all.sum : 0.0f;
    for (size_t v = threadIdx.x * VEC; v < V; v += THREADS * VEC) {
        float x[VEC];
        load<VEC>(x, row + v);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            /* Subtracted before the factor: near a certain target the difference is all there is. */
            float e = expf(x[k] - all.max) - ((int32_t)(v + k) == target ? all.sum : 0.0f);
            x[k] = target >= 0 ? e * share : 0.0f;
        }
        store<VEC>(to + v, x);
    }
    if (threadIdx.x == 0)
        losses[n] = target >= 0 ? logf(all.sum) + all.max - row[target] : 0.0f;
}

template <typename T>
static void
run_backward(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t N,
             size_t V, float scale)
{
    const int32_t *staged = (const int32_t *)dpc_cuda_stage(targets, N * sizeof *targets);
    if (!staged || N == 0)
        return;
    if (V % 4 == 0)
        DPC_LAUNCH((unsigned)N, THREADS, 0, (backward<T, 4>), losses, dlogits, logits, staged, V, scale);
    else
        DPC_LAUNCH((unsigned)N, THREADS, 0, (backward<T, 1>), losses, dlogits, logits, staged, V, scale);
    dpc_cuda_check(cudaGetLastError(), "launch cross_entropy_backward");
}

} // namespace

extern "C" void
dpc_cuda_cross_entropy_forward(float *losses, const float *logits, const int32_t *targets, size_t N,
                               size_t V)
{
    const int32_t *staged = (const int32_t *)dpc_cuda_stage(targets, N * sizeof *targets);
    if (!staged || N == 0)
        return;
    if (V % 4 == 0)
        DPC_LAUNCH((unsigned)N, THREADS, 0, (forward<4>), losses, logits, staged, V);
    else
        DPC_LAUNCH((unsigned)N, THREADS, 0, (forward<1>), losses, logits, staged, V);
    dpc_cuda_check(cudaGetLastError(), "launch cross_entropy_forward");
}

#define KERNELS(suffix, T)                                                                         \
    extern "C" void dpc_cuda_cross_entropy_backward_##suffix(                                      \
        float *losses, struct dpc_act *dlogits, float *logits, const int32_t *targets, size_t N,   \
        size_t V, float scale)                                                                     \
    {                                                                                              \
        run_backward<T>(losses, (T *)dlogits, logits, targets, N, V, scale);                       \
    }
KERNELS(bf16, bf16)
KERNELS(fp32, float)
