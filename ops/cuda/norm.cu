/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm: a warp a row, which it keeps in registers, so that memory is read and written once. The
 * gain's gradient is summed by a warp over its rows, by a block over its warps, and over the blocks
 * by a second kernel, each in order. Widths that do not divide into vectors, or are very large, take
 * a plain way. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { WARPS = 4, ROWS_PER_WARP = 8, ROWS_PER_BLOCK = WARPS * ROWS_PER_WARP, VEC = 4 };

template <typename T> struct Forward {
    T *out;
    float *sum, *rstd;
    const float *x, *delta, *gain;
    size_t N, C;
    float epsilon;
};

template <typename T> struct Backward {
    float *dx;
    T *dx_act, *out;
    float *partial; /* [blocks, C] of the gain's gradient */
    const float *dx_in;
    const T *dout;
    const float *x, *rstd, *gain;
    size_t N, C;
};

/* ITERS vectors a lane at most. */
template <typename T, int ITERS>
__global__ void
__launch_bounds__(WARPS * 32)
forward_rows(Forward<T> p)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32, vectors = (int)(p.C / VEC);
    if (row >= p.N)
        return;
    float values[ITERS][VEC], squares = 0;
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
        size_t place = row * p.C + (size_t)at * VEC;
        load<VEC>(values[i], p.x + place);
        if (p.delta) {
            float delta[VEC];
            load<VEC>(delta, p.delta + place);
#pragma unroll
            for (int k = 0; k < VEC; k++)
                values[i][k] += delta[k];
            store<VEC>(p.sum + place, values[i]);
        }
#pragma unroll
        for (int k = 0; k < VEC; k++)
            squares += values[i][k] * values[i][k];
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)p.C + p.epsilon);
    if (lane == 0)
        p.rstd[row] = rstd;
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
        float gain[VEC];
        load<VEC>(gain, p.gain + (size_t)at * VEC);
#pragma unroll
        for (int k = 0; k < VEC; k++)
            values[i][k] *= rstd * gain[k];
        store<VEC>(p.out + row * p.C + (size_t)at * VEC, values[i]);
    }
}

template <typename T>
__global__ void
forward_plain(Forward<T> p)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= p.N)
        return;
    float squares = 0;
    for (size_t c = lane; c < p.C; c += 32) {
        float value = p.x[row * p.C + c] + (p.delta ? p.delta[row * p.C + c] : 0.0f);
        if (p.delta)
            p.sum[row * p.C + c] = value;
        squares += value * value;
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)p.C + p.epsilon);
    const float *from = p.delta ? p.sum : p.x; /* what this very lane wrote */
    for (size_t c = lane; c < p.C; c += 32)
        narrow(p.out + row * p.C + c, from[row * p.C + c] * (rstd * p.gain[c]));
    if (lane == 0)
        p.rstd[row] = rstd;
}

/* One row: dx, and what it adds to this lane's columns of the gain's gradient. */
template <typename T, int ITERS>
static __device__ void
backward_row(const Backward<T> &p, size_t row, int lane, float (&dgain)[ITERS][VEC])
{
    int vectors = (int)(p.C / VEC);
    float normal[ITERS][VEC], dout[ITERS][VEC], dot = 0, rstd = p.rstd[row];
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
        float gain[VEC];
        load<VEC>(normal[i], p.x + row * p.C + (size_t)at * VEC);
        load<VEC>(dout[i], p.dout + row * p.C + (size_t)at * VEC);
        load<VEC>(gain, p.gain + (size_t)at * VEC);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            normal[i][k] *= rstd;
            dgain[i][k] += dout[i][k] * normal[i][k];
            dout[i][k] *= gain[k];
            dot += dout[i][k] * normal[i][k];
        }
        if (p.out) {
            float out[VEC];
#pragma unroll
            for (int k = 0; k < VEC; k++)
                out[k] = normal[i][k] * gain[k];
            store<VEC>(p.out + row * p.C + (size_t)at * VEC, out);
        }
    }
    float mean = warp_sum(dot) / (float)p.C;
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
        size_t place = row * p.C + (size_t)at * VEC;
        float dx[VEC] = {0, 0, 0, 0};
        if (p.dx_in)
            load<VEC>(dx, p.dx_in + place);
#pragma unroll
        for (int k = 0; k < VEC; k++)
            dx[k] += rstd * (dout[i][k] - normal[i][k] * mean);
        store<VEC>(p.dx + place, dx);
        if (p.dx_act)
            store<VEC>(p.dx_act + place, dx);
    }
}

template <typename T, int ITERS>
__global__ void
__launch_bounds__(WARPS * 32)
backward_rows(Backward<T> p)
{
    DPC_SHARED(float, sums); /* [C] */
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, vectors = (int)(p.C / VEC);
    float dgain[ITERS][VEC] = {};
    size_t first = (size_t)blockIdx.x * ROWS_PER_BLOCK + (size_t)warp * ROWS_PER_WARP;
    for (size_t row = first; row < first + ROWS_PER_WARP && row < p.N; row++)
        backward_row<T, ITERS>(p, row, lane, dgain);
    for (int turn = 0; turn < WARPS; turn++) {
        if (turn == warp) {
#pragma unroll
            for (int i = 0; i < ITERS; i++) {
                int at = i * 32 + lane;
                if (at >= vectors)
                    continue;
#pragma unroll
                for (int k = 0; k < VEC; k++)
                    sums[at * VEC + k] = (turn ? sums[at * VEC + k] : 0.0f) + dgain[i][k];
            }
        }
        __syncthreads();
    }
    for (size_t c = threadIdx.x; c < p.C; c += blockDim.x)
        p.partial[(size_t)blockIdx.x * p.C + c] = sums[c];
}

template <typename T>
__global__ void
backward_plain(Backward<T> p)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= p.N)
        return;
    float dot = 0, rstd = p.rstd[row];
    for (size_t c = lane; c < p.C; c += 32) {
        size_t place = row * p.C + c;
        dot += widen(p.dout[place]) * p.gain[c] * (p.x[place] * rstd);
    }
    float mean = warp_sum(dot) / (float)p.C;
    for (size_t c = lane; c < p.C; c += 32) {
        size_t place = row * p.C + c;
        float normal = p.x[place] * rstd, g = widen(p.dout[place]) * p.gain[c];
        float dx = (p.dx_in ? p.dx_in[place] : 0.0f) + rstd * (g - normal * mean);
        p.dx[place] = dx;
        if (p.dx_act)
            narrow(p.dx_act + place, dx);
        if (p.out)
            narrow(p.out + place, normal * p.gain[c]);
    }
}

/* A block's part of the gain's gradient, column by column. */
template <typename T>
__global__ void
gains_plain(Backward<T> p)
{
    size_t first = (size_t)blockIdx.x * ROWS_PER_BLOCK;
    for (size_t c = threadIdx.x; c < p.C; c += blockDim.x) {
        float sum = 0;
        for (size_t row = first; row < first + ROWS_PER_BLOCK && row < p.N; row++)
            sum += widen(p.dout[row * p.C + c]) * (p.x[row * p.C + c] * p.rstd[row]);
        p.partial[(size_t)blockIdx.x * p.C + c] = sum;
    }
}

enum { COLUMNS = 32, PARTS = 16 };

/* dgain += the blocks' parts: PARTS threads a column, each its share in order, then these. */
__global__ void
add_partials(float *dgain, const float *partial, size_t blocks, size_t C)
{
    __shared__ float sums[PARTS][COLUMNS];
    size_t c = (size_t)blockIdx.x * COLUMNS + threadIdx.x;
    size_t each = (blocks + PARTS - 1) / PARTS, first = each * threadIdx.y;
    float sum = 0;
    if (c < C) {
#pragma unroll 8
        for (size_t i = first; i < first + each && i < blocks; i++)
            sum += partial[i * C + c];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= C)
        return;
    for (int i = 1; i < PARTS; i++)
        sum += sums[i][threadIdx.x];
    dgain[c] += sum;
}

template <typename T>
static void
forward(const Forward<T> &p)
{
    unsigned blocks = blocks_for(p.N, WARPS), threads = WARPS * 32;
    size_t iters = (p.C / VEC + 31) / 32;
    if (p.C % VEC || iters > 16)
        DPC_LAUNCH(blocks, threads, 0, (forward_plain<T>), p);
    else if (iters <= 2)
        DPC_LAUNCH(blocks, threads, 0, (forward_rows<T, 2>), p);
    else if (iters <= 4)
        DPC_LAUNCH(blocks, threads, 0, (forward_rows<T, 4>), p);
    else if (iters <= 7)
        DPC_LAUNCH(blocks, threads, 0, (forward_rows<T, 7>), p);
    else
        DPC_LAUNCH(blocks, threads, 0, (forward_rows<T, 16>), p);
    dpc_cuda_check(cudaGetLastError(), "launch rmsnorm_forward");
}

template <typename T>
static void
backward(Backward<T> p, float *dgain)
{
    unsigned blocks = blocks_for(p.N, ROWS_PER_BLOCK), threads = WARPS * 32;
    size_t iters = (p.C / VEC + 31) / 32, bytes = p.C * sizeof(float);
    p.partial = (float *)dpc_cuda_scratch(blocks * bytes);
    if (!p.partial)
        return;
    if (p.C % VEC || iters > 16) {
        DPC_LAUNCH(blocks_for(p.N, WARPS), threads, 0, (backward_plain<T>), p);
        DPC_LAUNCH(blocks, 256, 0, (gains_plain<T>), p);
    } else if (iters <= 2) {
        DPC_LAUNCH(blocks, threads, bytes, (backward_rows<T, 2>), p);
    } else if (iters <= 4) {
        DPC_LAUNCH(blocks, threads, bytes, (backward_rows<T, 4>), p);
    } else if (iters <= 7) {
        DPC_LAUNCH(blocks, threads, bytes, (backward_rows<T, 7>), p);
    } else {
        DPC_LAUNCH(blocks, threads, bytes, (backward_rows<T, 16>), p);
    }
    DPC_LAUNCH(blocks_for(p.C, COLUMNS), dim3(COLUMNS, PARTS), 0, add_partials, dgain, p.partial, blocks, p.C);
    dpc_cuda_check(cudaGetLastError(), "launch rmsnorm_backward");
}

} // namespace

#define KERNELS(suffix, T)                                                                         \
    extern "C" void dpc_cuda_rmsnorm_forward_##suffix(                                             \
        struct dpc_act *out, float *sum, float *rstd, const float *x, const float *delta,          \
        const float *gain, size_t N, size_t C, float epsilon)                                      \
    {                                                                                              \
        forward<T>(Forward<T>{(T *)out, sum, rstd, x, delta, gain, N, C, epsilon});                \
    }                                                                                              \
    extern "C" void dpc_cuda_rmsnorm_backward_##suffix(                                            \
        float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain, const float *dx_in,  \
        const struct dpc_act *dout, const float *x, const float *rstd, const float *gain,          \
        size_t N, size_t C)                                                                        \
    {                                                                                              \
        bool twice = (void *)dx_act == (void *)dx; /* fp32: the same place */                      \
        backward<T>(Backward<T>{dx, twice ? nullptr : (T *)dx_act, (T *)out, nullptr, dx_in,       \
                                (const T *)dout, x, rstd, gain, N, C},                             \
                    dgain);                                                                        \
    }
KERNELS(bf16, bf16)
KERNELS(fp32, float)
