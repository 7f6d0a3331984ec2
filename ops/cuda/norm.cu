/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm: what a row needs stays in registers, so that memory is read and written once. Forward a
 * warp has a row. Backward a block has rows, some at once, and a thread of it a vector of columns,
 * whose part of the gain's gradient it sums on its way; a second kernel sums these over the blocks,
 * in order. Everything that is read of a row is asked for before anything is written: the compiler
 * would not move a load before a store. Widths that do not divide into vectors, or are very large,
 * take a plain way. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum {
    VEC = 4,
    WARPS = 4,           /* of a block that has a row a warp */
    ROWS_PER_BLOCK = 32, /* at most, where the gain's gradient is summed over them */
    PAIR = 2,            /* rows that such a block has in registers */
    THREADS_MAX = 1024,
    BLOCKS_MAX = 1024 /* at work at once */
};

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
    float values[ITERS][VEC], delta[ITERS][VEC] = {}, squares = 0;
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
        size_t place = row * p.C + (size_t)at * VEC;
        load<VEC>(values[i], p.x + place);
        if (p.delta)
            load<VEC>(delta[i], p.delta + place);
    }
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        int at = i * 32 + lane;
        if (at >= vectors)
            continue;
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            values[i][k] += delta[i][k];
            squares += values[i][k] * values[i][k];
        }
        if (p.delta)
            store<VEC>(p.sum + row * p.C + (size_t)at * VEC, values[i]);
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

/* A thread's columns of PAIR rows. */
struct Columns {
    float x[PAIR][VEC], dout[PAIR][VEC], dx[PAIR][VEC], rstd[PAIR];
};

/* From `row` on, up to `end`: in place of what lies past it the first row, with an rstd of 0, which
 * adds nothing. Acts come last, since they are widened at once, which waits for them. */
template <typename T>
static __device__ void
load_columns(Columns &rows, const Backward<T> &p, size_t row, size_t end, size_t c)
{
    rows = {};
    if (c >= p.C)
        return;
    if (p.dx_in) {
#pragma unroll
        for (int r = 0; r < PAIR; r++)
            load<VEC>(rows.dx[r], p.dx_in + (row + r < end ? row + r : row) * p.C + c);
    }
#pragma unroll
    for (int r = 0; r < PAIR; r++) {
        size_t at = row + r < end ? row + r : row;
        rows.rstd[r] = p.rstd[at];
        load<VEC>(rows.x[r], p.x + at * p.C + c);
        load<VEC>(rows.dout[r], p.dout + at * p.C + c);
    }
#pragma unroll
    for (int r = 0; r < PAIR; r++)
        rows.rstd[r] = row + r < end ? rows.rstd[r] : 0.0f;
}

/* Each row's over the block: every thread gets them. The next call needs other memory, the one
 * after it may have this. */
static __device__ void
block_sums(float (&sums)[PAIR], float (&shared)[PAIR][32])
{
    unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < PAIR; r++) {
        sums[r] = warp_sum(sums[r]);
        if (lane == 0)
            shared[r][threadIdx.x / 32] = sums[r];
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < PAIR; r++)
        sums[r] = warp_sum(lane < blockDim.x / 32 ? shared[r][lane] : 0.0f);
}

template <typename T>
static __device__ void
store_columns(const Backward<T> &p, size_t row, size_t end, size_t c, const Columns &rows,
              const float (&gain)[VEC])
{
#pragma unroll
    for (int r = 0; r < PAIR; r++) {
        size_t place = (row + r) * p.C + c;
        if (row + r >= end || c >= p.C)
            continue;
        store<VEC>(p.dx + place, rows.dx[r]);
        if (p.dx_act)
            store<VEC>(p.dx_act + place, rows.dx[r]);
        if (p.out) {
            float out[VEC];
#pragma unroll
            for (int k = 0; k < VEC; k++)
                out[k] = rows.x[r][k] * gain[k];
            store<VEC>(p.out + place, out);
        }
    }
}

/* `count` rows a block. */
template <typename T>
__global__ void
__launch_bounds__(THREADS_MAX)
backward_rows(Backward<T> p, size_t count)
{
    __shared__ float shared[2][PAIR][32];
    size_t c = threadIdx.x * VEC, row = blockIdx.x * count;
    size_t end = row + count < p.N ? row + count : p.N;
    float gain[VEC] = {}, dgain[VEC] = {};
    if (c < p.C)
        load<VEC>(gain, p.gain + c);
    for (int turn = 0; row < end; row += PAIR, turn ^= 1) {
        Columns rows;
        float dots[PAIR] = {};
        load_columns(rows, p, row, end, c);
#pragma unroll
        for (int r = 0; r < PAIR; r++) {
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                rows.x[r][k] *= rows.rstd[r];
                dgain[k] += rows.dout[r][k] * rows.x[r][k];
                rows.dout[r][k] *= gain[k];
                dots[r] += rows.dout[r][k] * rows.x[r][k];
            }
        }
        block_sums(dots, shared[turn]);
#pragma unroll
        for (int r = 0; r < PAIR; r++) {
            float mean = dots[r] / (float)p.C;
#pragma unroll
            for (int k = 0; k < VEC; k++)
                rows.dx[r][k] += rows.rstd[r] * (rows.dout[r][k] - rows.x[r][k] * mean);
        }
        store_columns(p, row, end, c, rows, gain);
    }
    if (c < p.C)
        store<VEC>(p.partial + (size_t)blockIdx.x * p.C + c, dgain);
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

enum { COLUMNS = 32, PARTS = 32 };

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
    if (p.N == 0)
        return;
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

/* Rows of a block: as many blocks as are at work at once, or a multiple of that, but not so few
 * rows that the blocks' parts of the gain's gradient would matter. */
static size_t
rows_of_block(size_t N, unsigned threads)
{
    size_t blocks = (size_t)dpc_cuda.processors * (THREADS_MAX / threads);
    blocks = blocks < BLOCKS_MAX ? blocks : (size_t)BLOCKS_MAX;
    size_t turns = (N + blocks * ROWS_PER_BLOCK - 1) / (blocks * ROWS_PER_BLOCK);
    size_t pairs = (N + turns * blocks * PAIR - 1) / (turns * blocks * PAIR);
    return pairs * PAIR;
}

template <typename T>
static void
backward(Backward<T> p, float *dgain)
{
    if (p.N == 0)
        return;
    bool plain = p.C % VEC || p.C / VEC > THREADS_MAX;
    unsigned threads = 32 * blocks_for(p.C / VEC, 32);
    size_t rows = plain ? (size_t)ROWS_PER_BLOCK : rows_of_block(p.N, threads);
    unsigned blocks = blocks_for(p.N, rows);
    p.partial = (float *)dpc_cuda_scratch(blocks * p.C * sizeof(float));
    if (!p.partial)
        return;
    if (plain) {
        DPC_LAUNCH(blocks_for(p.N, WARPS), WARPS * 32, 0, (backward_plain<T>), p);
        DPC_LAUNCH(blocks, 256, 0, (gains_plain<T>), p);
    } else {
        DPC_LAUNCH(blocks, threads, 0, (backward_rows<T>), p, rows);
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
