/* SPDX-License-Identifier: Apache-2.0
 * Rows that are moved, added or averaged. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { THREADS = 256 };

/* to[i] = from[places[i]] or 0; a row is `units` of type U. */
template <typename U>
__global__ void
gather(U *to, const U *from, const uint32_t *places, size_t count, size_t all, unsigned units)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x, row = at / units;
    if (at >= all)
        return;
    U value = {};
    if (row < count)
        value = from[(size_t)places[row] * units + (at - row * units)];
    to[at] = value;
}

template <typename U>
__global__ void
scatter(U *to, const U *from, const uint32_t *places, size_t all, unsigned units)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x, row = at / units;
    if (at < all)
        to[(size_t)places[row] * units + (at - row * units)] = from[at];
}

template <typename U>
static void
gather_units(void *to, const void *from, const uint32_t *places, size_t count, size_t padded,
             size_t row_bytes)
{
    size_t units = row_bytes / sizeof(U), all = padded * units;
    DPC_LAUNCH(blocks_for(all, THREADS), THREADS, 0, (gather<U>), (U *)to, (const U *)from, places, count, all, (unsigned)units);
    dpc_cuda_check(cudaGetLastError(), "launch gather_rows");
}

template <typename U>
static void
scatter_units(void *to, const void *from, const uint32_t *places, size_t count, size_t row_bytes)
{
    size_t units = row_bytes / sizeof(U), all = count * units;
    DPC_LAUNCH(blocks_for(all, THREADS), THREADS, 0, (scatter<U>), (U *)to, (const U *)from, places, all, (unsigned)units);
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
