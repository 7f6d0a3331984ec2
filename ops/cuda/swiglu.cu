/* SPDX-License-Identifier: Apache-2.0
 * SwiGLU: bound by memory, a vector a thread. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { THREADS = 256 };

template <typename T, int VEC>
__global__ void
forward(T *out, const T *gate_up, size_t vectors, unsigned row_vectors)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= vectors)
        return;
    size_t row = at / row_vectors, F = (size_t)row_vectors * VEC;
    const T *gate = gate_up + row * 2 * F + (at - row * row_vectors) * VEC;
    float g[VEC], u[VEC];
    load<VEC>(g, gate);
    load<VEC>(u, gate + F);
#pragma unroll
    for (int k = 0; k < VEC; k++)
        u[k] *= g[k] / (1.0f + expf(-g[k]));
    store<VEC>(out + at * VEC, u);
}

template <typename T, int VEC>
__global__ void
backward(T *dgate_up, T *out, const T *dout, const T *gate_up, size_t vectors,
         unsigned row_vectors)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= vectors)
        return;
    size_t row = at / row_vectors, F = (size_t)row_vectors * VEC;
    size_t place = row * 2 * F + (at - row * row_vectors) * VEC;
    float g[VEC], u[VEC], d[VEC], y[VEC];
    load<VEC>(g, gate_up + place);
    load<VEC>(u, gate_up + place + F);
    load<VEC>(d, dout + at * VEC);
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        float s = 1.0f / (1.0f + expf(-g[k])), silu = g[k] * s;
        y[k] = silu * u[k];
        float dg = d[k] * u[k] * s * (1.0f + g[k] * (1.0f - s));
        u[k] = d[k] * silu;
        g[k] = dg;
    }
    store<VEC, true>(out + at * VEC, y);
    store<VEC, true>(dgate_up + place, g);
    store<VEC, true>(dgate_up + place + F, u);
}

template <typename T>
static void
run_forward(T *out, const T *gate_up, size_t N, size_t F)
{
    if (N == 0)
        return;
    constexpr int VEC = 16 / sizeof(T);
    if (F % VEC == 0) {
        size_t vectors = N * F / VEC;
        DPC_LAUNCH(blocks_for(vectors, THREADS), THREADS, 0, (forward<T, VEC>), out, gate_up, vectors, (unsigned)(F / VEC));
    } else {
        DPC_LAUNCH(blocks_for(N * F, THREADS), THREADS, 0, (forward<T, 1>), out, gate_up, N * F, (unsigned)F);
    }
    dpc_cuda_check(cudaGetLastError(), "launch swiglu_forward");
}

template <typename T>
static void
run_backward(T *dgate_up, T *out, const T *dout, const T *gate_up, size_t N, size_t F)
{
    if (N == 0)
        return;
    constexpr int VEC = 16 / sizeof(T);
    if (F % VEC == 0) {
        size_t vectors = N * F / VEC;
        DPC_LAUNCH(blocks_for(vectors, THREADS), THREADS, 0, (backward<T, VEC>), dgate_up, out, dout, gate_up, vectors, (unsigned)(F / VEC));
    } else {
        DPC_LAUNCH(blocks_for(N * F, THREADS), THREADS, 0, (backward<T, 1>), dgate_up, out, dout, gate_up, N * F, (unsigned)F);
    }
    dpc_cuda_check(cudaGetLastError(), "launch swiglu_backward");
}

} // namespace

#define KERNELS(suffix, T)                                                                         \
    extern "C" void dpc_cuda_swiglu_forward_##suffix(struct dpc_act *out,                          \
                                                     const struct dpc_act *gate_up, size_t N,      \
                                                     size_t F)                                     \
    {                                                                                              \
        run_forward<T>((T *)out, (const T *)gate_up, N, F);                                        \
    }                                                                                              \
    extern "C" void dpc_cuda_swiglu_backward_##suffix(                                             \
        struct dpc_act *dgate_up, struct dpc_act *out, const struct dpc_act *dout,                 \
        const struct dpc_act *gate_up, size_t N, size_t F)                                         \
    {                                                                                              \
        run_backward<T>((T *)dgate_up, (T *)out, (const T *)dout, (const T *)gate_up, N, F);       \
    }
KERNELS(bf16, bf16)
KERNELS(fp32, float)
