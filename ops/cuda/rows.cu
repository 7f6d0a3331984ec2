/* SPDX-License-Identifier: Apache-2.0
 * Rows that are moved, added or averaged. Moving is bound by memory alone: a warp has a part of a
 * row, so that few divisions are made and each thread has some loads on their way at once. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { THREADS = 256, EACH = 4 /* units of a thread */ };

/* A warp's part of a row: EACH x 32 of its units, all on their way at once. */
struct Part {
    size_t row;
    unsigned first; /* unit of this thread; 32 further on is its next */
};

static unsigned
parts_of(unsigned units)
{
    return blocks_for(units, EACH * 32);
}

static __device__ Part
part_of(unsigned units)
{
    unsigned parts = (units + EACH * 32 - 1) / (EACH * 32);
    unsigned warp = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    return {warp / parts, warp % parts * (EACH * 32) + threadIdx.x % 32};
}

/* Zeros where `from` is NULL. */
template <typename U>
static __device__ void
move(U *to, const U *from, unsigned first, unsigned units)
{
    U values[EACH] = {};
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (from && first + i * 32 < units)
            values[i] = from[first + i * 32];
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (first + i * 32 < units)
            to[first + i * 32] = values[i];
    }
}

/* to[i] = from[places[i]] or 0; a row is `units` of type U. */
template <typename U>
__global__ void
gather(U *to, const U *from, const uint32_t *places, size_t count, size_t padded, unsigned units)
{
    Part part = part_of(units);
    if (part.row >= padded)
        return;
    const U *row = part.row < count ? from + (size_t)places[part.row] * units : nullptr;
    move(to + part.row * units, row, part.first, units);
}

template <typename U>
__global__ void
scatter(U *to, const U *from, const uint32_t *places, size_t count, unsigned units)
{
    Part part = part_of(units);
    if (part.row < count)
        move(to + (size_t)places[part.row] * units, from + part.row * units, part.first, units);
}

template <typename U>
static void
gather_units(void *to, const void *from, const uint32_t *places, size_t count, size_t padded,
             size_t row_bytes)
{
    unsigned units = (unsigned)(row_bytes / sizeof(U));
    DPC_LAUNCH(blocks_for(padded * parts_of(units), THREADS / 32), THREADS, 0, (gather<U>), (U *)to, (const U *)from, places, count, padded, units);
    dpc_cuda_check(cudaGetLastError(), "launch gather_rows");
}

template <typename U>
static void
scatter_units(void *to, const void *from, const uint32_t *places, size_t count, size_t row_bytes)
{
    unsigned units = (unsigned)(row_bytes / sizeof(U));
    DPC_LAUNCH(blocks_for(count * parts_of(units), THREADS / 32), THREADS, 0, (scatter<U>), (U *)to, (const U *)from, places, count, units);
    dpc_cuda_check(cudaGetLastError(), "launch scatter_rows");
}

static void
gather_bytes(void *to, const void *from, const uint32_t *places, size_t count, size_t padded,
             size_t row_bytes)
{
    const uint32_t *staged = NULL;
    if (padded == 0 || row_bytes == 0)
        return;
    if (count > 0) {
        staged = (const uint32_t *)dpc_cuda_stage(places, count * sizeof *places);
        if (!staged)
            return;
    }
    if (row_bytes % 16 == 0)
        gather_units<uint4>(to, from, staged, count, padded, row_bytes);
    else if (row_bytes % 4 == 0)
        gather_units<uint32_t>(to, from, staged, count, padded, row_bytes);
    else
        gather_units<uint16_t>(to, from, staged, count, padded, row_bytes);
}

static void
scatter_bytes(void *to, const void *from, const uint32_t *places, size_t count, size_t row_bytes)
{
    if (count == 0 || row_bytes == 0)
        return;
    const uint32_t *staged = (const uint32_t *)dpc_cuda_stage(places, count * sizeof *places);
    if (!staged)
        return;
    if (row_bytes % 16 == 0)
        scatter_units<uint4>(to, from, staged, count, row_bytes);
    else if (row_bytes % 4 == 0)
        scatter_units<uint32_t>(to, from, staged, count, row_bytes);
    else
        scatter_units<uint16_t>(to, from, staged, count, row_bytes);
}

__global__ void
sum(float *to, const float *from, size_t N, size_t C, bool add)
{
    size_t c = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= C)
        return;
    float total = add ? to[c] : 0.0f;
    for (size_t n = 0; n < N; n++)
        total += from[n * C + c];
    to[c] = total;
}

__global__ void
mean(float *to, const float *from, size_t N, size_t C)
{
    size_t c = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= C)
        return;
    double total = 0;
    for (size_t n = 0; n < N; n++)
        total += (double)from[n * C + c];
    to[c] = (float)(total / (double)N);
}

} // namespace

#define KERNELS(suffix, bytes)                                                                     \
    extern "C" void dpc_cuda_gather_rows_##suffix(struct dpc_act *to, const struct dpc_act *from,  \
                                                  const uint32_t *places, size_t count,            \
                                                  size_t padded, size_t C)                         \
    {                                                                                              \
        gather_bytes(to, from, places, count, padded, C *(bytes));                                 \
    }                                                                                              \
    extern "C" void dpc_cuda_scatter_rows_##suffix(struct dpc_act *to, const struct dpc_act *from, \
                                                   const uint32_t *places, size_t count, size_t C) \
    {                                                                                              \
        scatter_bytes(to, from, places, count, C *(bytes));                                        \
    }
KERNELS(bf16, 2)
KERNELS(fp32, 4)

extern "C" void
dpc_cuda_sum_rows(float *to, const float *from, size_t N, size_t C, bool add)
{
    DPC_LAUNCH(blocks_for(C, THREADS), THREADS, 0, sum, to, from, N, C, add);
    dpc_cuda_check(cudaGetLastError(), "launch sum_rows");
}

extern "C" void
dpc_cuda_mean_rows(float *to, const float *from, size_t N, size_t C)
{
    DPC_LAUNCH(blocks_for(C, THREADS), THREADS, 0, mean, to, from, N, C);
    dpc_cuda_check(cudaGetLastError(), "launch mean_rows");
}
