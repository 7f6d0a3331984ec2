/* SPDX-License-Identifier: Apache-2.0
 * The forms of base/codec.c, with the same bits: a block of threads for each block of values, no fused
 * multiply-adds, sums in the same order. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

#include <float.h>

namespace {

enum { BLOCK = DPC_CODEC_BLOCK, SIZES = DPC_CODEC_NF4_SIZES_COUNT, LANES = DPC_CODEC_NF4_LANES };

/* Infinite where one is not finite; of every thread of the block. */
static __device__ float
largest_of(float value, float (&shared)[BLOCK])
{
    float size = fabsf(value);
    shared[threadIdx.x] = size <= FLT_MAX ? size : INFINITY;
    __syncthreads();
    for (unsigned half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            shared[threadIdx.x] = fmaxf(shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    return shared[0];
}

/* Its number among the sizes: how many middles between two lie below. */
static __device__ uint32_t
nf4_code(float size)
{
    const float sizes[SIZES] = DPC_CODEC_NF4_SIZES;
    uint32_t code = 0;
#pragma unroll
    for (int i = 0; i + 1 < SIZES; i++)
        code += size > 0.5F * (sizes[i] + sizes[i + 1]);
    return code;
}

static __device__ float
nf4_size(uint32_t code)
{
    const float sizes[SIZES] = DPC_CODEC_NF4_SIZES;
    float size = 0;
#pragma unroll
    for (uint32_t i = 0; i < SIZES; i++)
        size = i == code ? sizes[i] : size;
    return size;
}

static __device__ void
put_scale(uint8_t *to, float scale)
{
    if (threadIdx.x == 0)
        *reinterpret_cast<float *>(to) = scale; /* blocks are whole numbers of four bytes */
}

__global__ void
encode_float(float *to, const float *from, const float *values, size_t count)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i < count)
        to[i] = __fsub_rn(from[i], values[i]);
}

__global__ void
encode_bf16(uint16_t *to, const float *from, const float *values, size_t count)
{
    __shared__ float shared[BLOCK];
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    float value = i < count ? __fsub_rn(from[i], values[i]) : 0;
    bool finite = largest_of(value, shared) <= FLT_MAX;
    uint32_t bits = __float_as_uint(value);
    if (i < count)
        to[i] = finite ? (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : 0xffff;
}

__global__ void
encode_int8(uint8_t *bytes, const float *from, const float *values, size_t count)
{
    __shared__ float shared[BLOCK];
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    uint8_t *to = bytes + (size_t)blockIdx.x * (sizeof(float) + BLOCK);
    float value = i < count ? __fsub_rn(from[i], values[i]) : 0;
    float largest = largest_of(value, shared), scale = 0;
    uint8_t code = 0;
    if (!(largest <= FLT_MAX)) {
        scale = __uint_as_float(0xffffffffU);
        code = 0xff;
    } else if (largest >= DPC_CODEC_LARGEST_MIN) {
        float scaled = __fmul_rn(value, __fdiv_rn(127.0F, largest));
        code = (uint8_t)(int8_t)(int32_t)__fadd_rn(scaled, scaled < 0 ? -0.5F : 0.5F);
        scale = __fdiv_rn(largest, 127.0F);
    }
    put_scale(to, scale);
    if (i < count)
        to[sizeof(float) + threadIdx.x] = code;
}

/* Of least squares, in the order of base/codec.c; of the first thread. */
static __device__ float
nf4_scale(const float (&values)[BLOCK], const uint8_t (&codes)[BLOCK], int count)
{
    __shared__ double fits[LANES], squares[LANES];
    if (threadIdx.x < LANES) {
        double fit = 0, square = 0;
        for (int i = threadIdx.x; i < count; i += LANES) {
            double size = (double)nf4_size(codes[i]);
            fit = __dadd_rn(fit, __dmul_rn((double)values[i], size));
            square = __dadd_rn(square, __dmul_rn(size, size));
        }
        fits[threadIdx.x] = fit;
        squares[threadIdx.x] = square;
    }
    __syncthreads();
    double fit = fits[0], square = squares[0];
    for (int lane = 1; lane < LANES; lane++) {
        fit = __dadd_rn(fit, fits[lane]);
        square = __dadd_rn(square, squares[lane]);
    }
    return (float)__ddiv_rn(fit, square);
}

__global__ void
encode_nf4(uint8_t *bytes, const float *from, const float *values, size_t count)
{
    __shared__ float shared[BLOCK], differences[BLOCK];
    __shared__ uint8_t codes[BLOCK];
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x, first = (size_t)blockIdx.x * BLOCK;
    int some = count - first < BLOCK ? (int)(count - first) : BLOCK;
    uint8_t *to = bytes + (size_t)blockIdx.x * (sizeof(float) + BLOCK / 2);
    float value = i < count ? __fsub_rn(from[i], values[i]) : 0;
    float largest = largest_of(value, shared), scale = 0;
    bool finite = largest <= FLT_MAX, zero = largest < DPC_CODEC_LARGEST_MIN;
    uint8_t code = !finite ? 15 : zero || i >= count ? 0 : nf4_code(__fmul_rn(value, __fdiv_rn(1.0F, largest)));
    differences[threadIdx.x] = value;
    codes[threadIdx.x] = code;
    __syncthreads();
    if (finite && !zero)
        scale = nf4_scale(differences, codes, some);
    put_scale(to, finite ? scale : __uint_as_float(0xffffffffU));
    if (threadIdx.x % 2 == 0 && i < count)
        to[sizeof(float) + threadIdx.x / 2] = (uint8_t)(code | codes[threadIdx.x + 1] << 4);
}

} // namespace

extern "C" void
dpc_cuda_encode_difference(uint8_t *bytes, const float *from, const float *values, size_t count,
                           enum dpc_codec codec)
{
    if (count == 0)
        return;
    if (codec == DPC_CODEC_FP32)
        DPC_LAUNCH(blocks_for(count, BLOCK), BLOCK, 0, encode_float, (float *)bytes, from, values, count);
    else if (codec == DPC_CODEC_BF16)
        DPC_LAUNCH(blocks_for(count, BLOCK), BLOCK, 0, encode_bf16, (uint16_t *)bytes, from, values, count);
    else if (codec == DPC_CODEC_INT8)
        DPC_LAUNCH(blocks_for(count, BLOCK), BLOCK, 0, encode_int8, bytes, from, values, count);
    else
        DPC_LAUNCH(blocks_for(count, BLOCK), BLOCK, 0, encode_nf4, bytes, from, values, count);
    dpc_cuda_check(cudaGetLastError(), "launch encode_difference");
}
