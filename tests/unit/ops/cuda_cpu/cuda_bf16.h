/* SPDX-License-Identifier: Apache-2.0
 *
 * What nvcc knows by itself and its bf16 header brings, for the CPU (README.md).
 *
 * Owns: nothing. Threads: a card's. Not here: what instructions.cuh replaces.
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_CUDA_BF16_H
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_CUDA_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cuda_runtime_api.h>
#include "base/bf16.h"

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__       static /* blocks run one after another */

struct __nv_bfloat16 {
    uint16_t bits;
};

static inline __nv_bfloat16
__float2bfloat16_rn(float value)
{
    return {dpc_bf16_from_float(value)};
}

static inline float
__bfloat162float(__nv_bfloat16 value)
{
    return dpc_bf16_to_float(value.bits);
}

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static inline float2
make_float2(float x, float y)
{
    return {x, y};
}

static inline float4
make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

static inline int
min(int a, int b)
{
    return b < a ? b : a;
}

static inline unsigned
min(unsigned a, unsigned b)
{
    return b < a ? b : a;
}

static inline int
max(int a, int b)
{
    return a < b ? b : a;
}

static inline float
__uint_as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double
__dadd_rn(double a, double b)
{
    return a + b;
}

static inline double
__dsub_rn(double a, double b)
{
    return a - b;
}

static inline double
__dmul_rn(double a, double b)
{
    return a * b;
}

static inline double
__ddiv_rn(double a, double b)
{
    return a / b;
}

static inline float
__fadd_rn(float a, float b)
{
    return a + b;
}

static inline float
__fsub_rn(float a, float b)
{
    return a - b;
}

static inline float
__fmul_rn(float a, float b)
{
    return a * b;
}

static inline float
__fdiv_rn(float a, float b)
{
    return a / b;
}

static inline uint32_t
__float_as_uint(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline void
__syncthreads()
{
    dpc_emulated_block_barrier();
}

static inline void
__syncwarp()
{
    dpc_emulated_together([](void **) {}, nullptr);
}

/* Each thread's value, and then that of the thread that it asked for. */
template <typename T> struct dpc_emulated_shuffle {
    T value;
    int from;
};

template <typename T>
static inline T
dpc_emulated_shuffled(T value, int from)
{
    dpc_emulated_shuffle<T> own = {value, from};
    dpc_emulated_together(
        [](void **operands) {
            T values[32];
            for (int i = 0; i < 32; i++)
                values[i] = ((dpc_emulated_shuffle<T> *)operands[i])->value;
            for (int i = 0; i < 32; i++) {
                dpc_emulated_shuffle<T> *asked = (dpc_emulated_shuffle<T> *)operands[i];
                asked->value = values[asked->from & 31];
            }
        },
        &own);
    return own.value;
}

static inline int
dpc_emulated_lane()
{
    return (int)((threadIdx.x + threadIdx.y * blockDim.x) % 32);
}

template <typename T>
static inline T
__shfl_xor_sync(unsigned, T value, int mask)
{
    return dpc_emulated_shuffled(value, dpc_emulated_lane() ^ mask);
}

template <typename T>
static inline T
__shfl_sync(unsigned, T value, int from)
{
    return dpc_emulated_shuffled(value, from);
}

#endif
