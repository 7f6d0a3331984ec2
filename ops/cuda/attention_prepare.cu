/* SPDX-License-Identifier: Apache-2.0
 * The passes before the attention kernels. Rotating q and k once costs one pass over memory; doing
 * it where tiles are loaded would repeat it for every block that reads them, and would keep the
 * copies from running in the background. */
#include "ops/cuda/attention.cuh"

enum { THREADS = 256 };

template <typename act> struct vector_of {
    enum { COUNT = 16 / sizeof(act) };
    act values[COUNT];
};

/* Which row a thread works at: threads go by vectors, heads, positions, sequences, the fastest
 * first, as rows of acts lie in memory. */
struct row_place {
    int b, h, t, rest;
};

template <typename count>
static __device__ inline struct row_place
split(count index, count pieces, count heads, count positions)
{
    struct row_place p;
    p.rest = (int)(index % pieces);
    index /= pieces;
    p.h = (int)(index % heads);
    index /= heads;
    p.t = (int)(index % positions);
    p.b = (int)(index / positions);
    return p;
}

/* Division of 64 bits takes longer than the rest of the thread's work. */
static __device__ inline struct row_place
row_place_of(size_t index, int pieces, int heads, int positions)
{
    if (index <= 0xffffffffu)
        return split<unsigned>((unsigned)index, pieces, heads, positions);
    return split<size_t>(index, pieces, heads, positions);
}

/* One value of a row: value d of the turned head. */
template <typename act>
static __device__ inline float
turned(const act *row, const struct dpc_angles &angles, int t, int d, int D)
{
    int half = D / 2;
    if (!angles.cosines)
        return widen(row[d]);
    int pair = d < half ? d : d - half;
    float cosine = angles.cosines[(size_t)t * half + pair];
    float sine = angles.sines[(size_t)t * half + pair];
    float a = widen(row[pair]), b = widen(row[pair + half]);
    return d < half ? a * cosine - b * sine : b * cosine + a * sine;
}

/* One value a thread: any width. */
template <typename act, typename value>
static __global__ void
__launch_bounds__(THREADS)
lay_values(struct dpc_heads<value> to, int width, struct dpc_heads<const act> from, int count,
           struct dpc_sizes s, int first, struct dpc_angles angles, size_t threads)
{
    size_t index = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= threads)
        return;
    struct row_place p = row_place_of(index, width, count, s.T - first);
    int t = p.t + first, d = p.rest;
    const act *row = from.base + p.b * from.batch + p.h * from.head + t * from.row;
    float result = d < s.D ? turned(row, angles, t, d, s.D) : 0.0f;
    narrow(to.base + p.b * to.batch + p.h * to.head + t * to.row + d, result);
}

/* A vector of each half a thread, turned. */
template <typename act>
static __global__ void
__launch_bounds__(THREADS)
lay_vectors(struct dpc_heads<act> to, struct dpc_heads<const act> from, int count,
            struct dpc_sizes s, int first, struct dpc_angles angles, size_t threads)
{
    typedef struct vector_of<act> vector;
    size_t index = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= threads)
        return;
    int half = s.D / 2;
    struct row_place p = row_place_of(index, half / vector::COUNT, count, s.T - first);
    int t = p.t + first, d = p.rest * vector::COUNT;
    const act *row = from.base + p.b * from.batch + p.h * from.head + t * from.row + d;
    act *result = to.base + p.b * to.batch + p.h * to.head + t * to.row + d;
    __align__(16) vector low, high;
    *(uint4 *)&low = *(const uint4 *)row;
    *(uint4 *)&high = *(const uint4 *)(row + half);
    size_t angle = (size_t)t * half + d;
#pragma unroll
    for (int i = 0; i < vector::COUNT; i++) {
        float cosine = angles.cosines[angle + i], sine = angles.sines[angle + i];
        float a = widen(low.values[i]), b = widen(high.values[i]);
        narrow(&low.values[i], a * cosine - b * sine);
        narrow(&high.values[i], b * cosine + a * sine);
    }
    *(uint4 *)result = *(const uint4 *)&low;
    *(uint4 *)(result + half) = *(const uint4 *)&high;
}

/* Vectors serve where both ends hold the same kind of value, without padding. */
template <typename act>
static bool
lay_by_vectors(act *to, size_t width, const struct dpc_heads<const act> &from, size_t count,
               const struct dpc_sizes &s, size_t first, const struct dpc_angles &angles)
{
    size_t half = (size_t)s.D / 2, values = vector_of<act>::COUNT;
    if (!angles.cosines || width != (size_t)s.D || half % values != 0 || !dpc_aligned(from.base))
        return false;
    size_t threads = (size_t)s.B * ((size_t)s.T - first) * count * (half / values);
    DPC_LAUNCH((unsigned)dpc_ceiling(threads, THREADS), THREADS, 0, (lay_vectors<act>), dpc_heads_apart(to, s, count, width), from, (int)count, s, (int)first, angles, threads);
    return true;
}

static bool
lay_by_vectors(float *, size_t, const struct dpc_heads<const bf16> &, size_t,
               const struct dpc_sizes &, size_t, const struct dpc_angles &)
{
    return false;
}

template <typename act, typename value>
void
dpc_cuda_lay_heads(value *to, size_t width, const struct dpc_heads<const act> &from, size_t count,
                   const struct dpc_sizes &s, size_t first, const struct dpc_angles &angles)
{
    if (!lay_by_vectors(to, width, from, count, s, first, angles)) {
        size_t threads = (size_t)s.B * ((size_t)s.T - first) * count * width;
        DPC_LAUNCH((unsigned)dpc_ceiling(threads, THREADS), THREADS, 0, (lay_values<act, value>), dpc_heads_apart(to, s, count, width), (int)width, from, (int)count, s, (int)first, angles, threads);
    }
    (void)dpc_cuda_check(cudaGetLastError(), "launch attention's rotation");
}

template void dpc_cuda_lay_heads(bf16 *, size_t, const struct dpc_heads<const bf16> &, size_t,
                                 const struct dpc_sizes &, size_t, const struct dpc_angles &);
template void dpc_cuda_lay_heads(float *, size_t, const struct dpc_heads<const bf16> &, size_t,
                                 const struct dpc_sizes &, size_t, const struct dpc_angles &);
template void dpc_cuda_lay_heads(float *, size_t, const struct dpc_heads<const float> &, size_t,
                                 const struct dpc_sizes &, size_t, const struct dpc_angles &);

/* --- Sums of dout x out. */

/* This many threads share a row. */
enum { LANES = 8 };

template <typename act>
static __device__ inline float
dot_of_lane(const act *a, const act *b, int D, int lane)
{
    float sum = 0;
    for (int d = lane; d < D; d += LANES)
        sum += widen(a[d]) * widen(b[d]);
    return sum;
}

template <typename act>
static __device__ inline float
dot_of_lane_by_vectors(const act *a, const act *b, int D, int lane)
{
    typedef struct vector_of<act> vector;
    float sum = 0;
    for (int d = lane * vector::COUNT; d < D; d += LANES * vector::COUNT) {
        __align__(16) vector left, right;
        *(uint4 *)&left = *(const uint4 *)(a + d);
        *(uint4 *)&right = *(const uint4 *)(b + d);
#pragma unroll
        for (int i = 0; i < vector::COUNT; i++)
            sum += widen(left.values[i]) * widen(right.values[i]);
    }
    return sum;
}

template <typename act>
static __global__ void
__launch_bounds__(THREADS)
sum_stats(float2 *stats, const act *dout, const act *out, const float *lse, struct dpc_sizes s,
          float factor, bool vectors)
{
    size_t rows = (size_t)s.B * s.T * s.H;
    size_t row = ((size_t)blockIdx.x * THREADS + threadIdx.x) / LANES;
    int lane = threadIdx.x % LANES;
    float sum = 0;
    if (row < rows) {
        const act *a = dout + row * s.D, *b = out + row * s.D;
        sum = vectors ? dot_of_lane_by_vectors(a, b, s.D, lane) : dot_of_lane(a, b, s.D, lane);
    }
    for (int step = LANES / 2; step > 0; step /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (row >= rows || lane != 0)
        return;
    struct row_place p = row_place_of(row, 1, s.H, s.T);
    size_t place = ((size_t)p.b * s.H + p.h) * s.T + p.t;
    stats[place] = make_float2(lse[place] * factor, sum);
}

template <typename act>
void
dpc_cuda_attention_stats(float2 *stats, const act *dout, const act *out, const float *lse,
                         const struct dpc_sizes &s, float factor)
{
    bool vectors = s.D % vector_of<act>::COUNT == 0 && dpc_aligned(dout) && dpc_aligned(out);
    size_t threads = (size_t)s.B * s.T * s.H * LANES;
    DPC_LAUNCH((unsigned)dpc_ceiling(threads, THREADS), THREADS, 0, (sum_stats<act>), stats, dout, out, lse, s, factor, vectors);
    (void)dpc_cuda_check(cudaGetLastError(), "launch attention's sums");
}

template void dpc_cuda_attention_stats(float2 *, const bf16 *, const bf16 *, const float *,
                                       const struct dpc_sizes &, float);
template void dpc_cuda_attention_stats(float2 *, const float *, const float *, const float *,
                                       const struct dpc_sizes &, float);
