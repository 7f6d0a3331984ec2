/* SPDX-License-Identifier: Apache-2.0
 * Inside the plug-in: acts and floats by vectors of up to 16 bytes, and sums over a warp or a block.
 * Sums go by a fixed tree, so that they are the same bits each time. */
#ifndef DPC_OPS_CUDA_VEC_CUH
#define DPC_OPS_CUDA_VEC_CUH

#include <stddef.h>
#include <stdint.h>

#include "ops/cuda/instructions.cuh"
#include "ops/cuda/launch.cuh"

#define DPC_LOG2E 1.4426950408889634

typedef __nv_bfloat16 bf16;

static inline __device__ float
widen(float value)
{
    return value;
}

static inline __device__ float
widen(bf16 value)
{
    return __bfloat162float(value);
}

static inline __device__ void
narrow(float *to, float value)
{
    *to = value;
}

static inline __device__ void
narrow(bf16 *to, float value)
{
    *to = __float2bfloat16_rn(value);
}

/* N values from `from`, which is aligned to all of them when N is more than 1. */
template <int N, typename T>
static inline __device__ void
load(float (&values)[N], const T *from)
{
    if constexpr (N == 1) {
        values[0] = widen(*from);
    } else {
        constexpr int BYTES = N * sizeof(T) < 16 ? N * sizeof(T) : 16;
        constexpr int EACH = BYTES / sizeof(T);
#pragma unroll
        for (int i = 0; i < N / EACH; i++) {
            alignas(16) T piece[EACH];
            if constexpr (BYTES == 16)
                *reinterpret_cast<uint4 *>(piece) = reinterpret_cast<const uint4 *>(from)[i];
            else
                *reinterpret_cast<uint2 *>(piece) = reinterpret_cast<const uint2 *>(from)[i];
#pragma unroll
            for (int k = 0; k < EACH; k++)
                values[i * EACH + k] = widen(piece[k]);
        }
    }
}

/* WHOLE: vectors of 16 bytes by instructions that the compiler does not take apart, to the card's
 * memory alone. Not everywhere, since nothing is moved across them: many kernels would need more
 * registers. */
template <int N, bool WHOLE = false, typename T>
static inline __device__ void
store(T *to, const float (&values)[N])
{
    if constexpr (N == 1) {
        narrow(to, values[0]);
    } else {
        constexpr int BYTES = N * sizeof(T) < 16 ? N * sizeof(T) : 16;
        constexpr int EACH = BYTES / sizeof(T);
#pragma unroll
        for (int i = 0; i < N / EACH; i++) {
            alignas(16) T piece[EACH];
#pragma unroll
            for (int k = 0; k < EACH; k++)
                narrow(&piece[k], values[i * EACH + k]);
            if constexpr (BYTES == 16 && WHOLE)
                store_16(to + i * EACH, *reinterpret_cast<uint4 *>(piece));
            else if constexpr (BYTES == 16)
                reinterpret_cast<uint4 *>(to)[i] = *reinterpret_cast<uint4 *>(piece);
            else
                reinterpret_cast<uint2 *>(to)[i] = *reinterpret_cast<uint2 *>(piece);
        }
    }
}

static inline __device__ float
warp_sum(float value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

/* Over a block of whole warps; every thread gets it. `shared` has room for 32, and may be used again
 * after the next __syncthreads. */
static inline __device__ double
block_sum(double value, double *shared)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    if (lane == 0)
        shared[warp] = value;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < warps; i++)
        sum += shared[i];
    return sum;
}

static inline unsigned
blocks_for(size_t count, size_t each)
{
    return (unsigned)((count + each - 1) / each);
}

#endif
