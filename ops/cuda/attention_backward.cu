/* SPDX-License-Identifier: Apache-2.0
 * Causal attention in bf16 on tensor cores, backward. Two kernels, so that no gradient is added to
 * by two blocks and bits do not depend on who comes first: one holds a block of keys and walks over
 * the queries that see it (dk, dv), one holds a block of queries and walks over its keys (dq). Both
 * make the probabilities again, from lse.
 *
 * What a warp holds are always the rows of its products: scores are made turned, keys x queries,
 * for dk and dv. Then probabilities and their gradients are, where they arise, the left operands
 * of the next products, and never leave registers. */
#include "ops/cuda/kernels_attention.h"

#include <math.h>

#include "ops/cuda/attention_backward.cuh"

/* A stage of the ring: a tile of each of the two tensors that are walked over, and stats. */
template <int WIDTH> struct stage {
    enum { TILE = KEYS * WIDTH * 2, STATS = 2 * TILE, BYTES = STATS + KEYS * 8 };
};

/* c = a b of 16 rows of a tile, which are b's columns. */
template <int WIDTH, int TILES>
static __device__ inline void
product(float (&c)[TILES][2][4], const uint32_t (&a)[TILES][WIDTH / 16][4], uint32_t tile)
{
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            c[m][0][e] = c[m][1][e] = 0.0f;
    }
    uint32_t from = tile + tile_lane_across<WIDTH>(0, 0);
#pragma unroll
    for (int d = 0; d < WIDTH / 16; d++) {
        uint32_t b[4];
        load_matrices(b, tile_along(from, d));
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            multiply_add(c[m][0], a[m][d], b[0], b[1]);
            multiply_add(c[m][1], a[m][d], b[2], b[3]);
        }
    }
}

/* sums += a b, of 16 rows of a tile, which are the inner index. */
template <int WIDTH, int TILES>
static __device__ inline void
add_product(float (&sums)[TILES][WIDTH / 8][4], const uint32_t (&a)[TILES][4], uint32_t tile)
{
    uint32_t from = tile + tile_lane_down<WIDTH>(0, 0);
#pragma unroll
    for (int d = 0; d < WIDTH / 16; d++) {
        uint32_t b[4];
        load_matrices_turned(b, tile_along(from, d));
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            multiply_add(sums[m][2 * d], a[m], b[0], b[1]);
            multiply_add(sums[m][2 * d + 1], a[m], b[2], b[3]);
        }
    }
}

template <int TILES>
static __device__ inline void
fragments_of_sums(uint32_t (&a)[TILES][4], const float (&sums)[TILES][2][4])
{
#pragma unroll
    for (int m = 0; m < TILES; m++)
        fragment_of_sums(a[m], sums[m][0], sums[m][1]);
}

/* Copies a block's rows of two tensors to shared memory and takes the warps' fragments of them.
 * Shared memory may be written again when this returns. */
template <int WIDTH, int TILES>
static __device__ inline void
hold_block(uint32_t (&left)[TILES][WIDTH / 16][4], uint32_t (&right)[TILES][WIDTH / 16][4],
           uint32_t shared, const bf16 *left_rows, size_t left_stride, const bf16 *right_rows,
           size_t right_stride, int begin, int T)
{
    enum { ROWS = 64 * TILES };
    uint32_t second = shared + ROWS * WIDTH * 2;
    tile_copy<WIDTH, ROWS, THREADS>(shared, left_rows, left_stride, begin, T);
    tile_copy<WIDTH, ROWS, THREADS>(second, right_rows, right_stride, begin, T);
    copies_wait();
    __syncthreads();
    load_fragments<WIDTH, TILES>(left, shared);
    load_fragments<WIDTH, TILES>(right, second);
    __syncthreads();
}

/* --- dk and dv. */

/* Sixteen queries against a warp's keys. `ahead` is by how much the first query's position is past
 * the first key's; MASKED where some key is past some query. Only the rounded probabilities are
 * kept over the second product: registers are full. */
template <int WIDTH, int TILES, bool MASKED>
static __device__ inline void
step_queries(float (&dk)[TILES][WIDTH / 8][4], float (&dv)[TILES][WIDTH / 8][4],
             const uint32_t (&k)[TILES][WIDTH / 16][4], const uint32_t (&v)[TILES][WIDTH / 16][4],
             uint32_t q, uint32_t dout, const float2 *stats, int ahead, float scale_log2)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    float c[TILES][2][4];
    uint32_t p[TILES][4], ds[TILES][4];
    product<WIDTH, TILES>(c, k, q);
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int n = i / 4, e = i % 4, key = m * 16 + g + (e >> 1) * 8;
            int query = n * 8 + 2 * t + (e & 1);
            c[m][n][e] = power_of_two(fmaf(c[m][n][e], scale_log2, -stats[query].x));
            if (MASKED && key > query + ahead)
                c[m][n][e] = 0.0f;
        }
    }
    fragments_of_sums<TILES>(p, c);
    add_product<WIDTH, TILES>(dv, p, dout);
    product<WIDTH, TILES>(c, v, dout);
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int n = i / 4, e = i % 4;
            float sum = stats[n * 8 + 2 * t + (e & 1)].y;
            c[m][n][e] = fragment_value(p[m], n, e) * (c[m][n][e] - sum);
        }
    }
    fragments_of_sums<TILES>(ds, c);
    add_product<WIDTH, TILES>(dk, ds, q);
}

/* Begins to copy a tile of one head's queries into a stage. */
template <int WIDTH>
static __device__ inline void
fetch_queries(const struct backward_job &job, uint32_t to, int b, int h, int first)
{
    enum { TILE = stage<WIDTH>::TILE, STATS = stage<WIDTH>::STATS };
    int T = job.s.T;
    tile_copy<WIDTH, KEYS, THREADS>(to, job.q.base + b * job.q.batch + h * job.q.head, job.q.row,
                                    first, T);
    tile_copy<WIDTH, KEYS, THREADS>(
        to + TILE, job.dout.base + b * job.dout.batch + h * job.dout.head, job.dout.row, first, T);
    if (threadIdx.x < KEYS) {
        int t = first + (int)threadIdx.x;
        const float2 *stats = job.stats + ((size_t)b * job.s.H + h) * T;
        copy_8(to + STATS + threadIdx.x * 8, stats + (t < T ? t : 0), t < T);
    }
}

/* All steps of the stage that lies at `tile` (and, as memory that is read, at `memory`). */
template <int WIDTH, int TILES>
static __device__ inline void
walk_tile_of_queries(float (&dk)[TILES][WIDTH / 8][4], float (&dv)[TILES][WIDTH / 8][4],
                     const uint32_t (&k)[TILES][WIDTH / 16][4],
                     const uint32_t (&v)[TILES][WIDTH / 16][4], uint32_t tile,
                     const unsigned char *memory, int ahead, float scale_log2)
{
    enum { TILE = stage<WIDTH>::TILE, STATS = stage<WIDTH>::STATS, STEP = 16 * WIDTH * 2 };
    const float2 *stats = (const float2 *)(memory + STATS);
    for (int i = 0; i < KEYS / 16; i++, ahead += 16) {
        uint32_t q = tile + i * STEP, dout = q + TILE;
        if (ahead >= 16 * TILES - 1)
            step_queries<WIDTH, TILES, false>(dk, dv, k, v, q, dout, stats + i * 16, ahead,
                                              scale_log2);
        else if (ahead + 15 >= 0)
            step_queries<WIDTH, TILES, true>(dk, dv, k, v, q, dout, stats + i * 16, ahead,
                                             scale_log2);
    }
}

template <int WIDTH, int TILES>
static __device__ inline void
block_of_keys(const struct backward_job &job, unsigned char *memory)
{
    enum { ROWS = 64 * TILES, STAGE = stage<WIDTH>::BYTES };
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.G, g = place.head % job.s.G, heads = job.s.H / job.s.G;
    int begin = place.block * ROWS, warp = threadIdx.x >> 5, row = begin + warp * 16 * TILES;
    int end = (g + 1) * heads;
    uint32_t shared = shared_address(memory);

    uint32_t k[TILES][WIDTH / 16][4], v[TILES][WIDTH / 16][4];
    hold_block<WIDTH, TILES>(
        k, v, shared, job.k.base + b * job.k.batch + g * job.k.head, job.k.row,
        job.v.base + b * job.v.batch + g * job.v.head, job.v.row, begin, job.s.T);
    float dk[TILES][WIDTH / 8][4] = {}, dv[TILES][WIDTH / 8][4] = {};
    fetch_queries<WIDTH>(job, shared, b, g * heads, begin);
    for (int h = g * heads, first = begin, now = 0; h < end; now ^= STAGE) {
        copies_wait();
        __syncthreads();
        int ahead = first - row;
        first += KEYS;
        if (first >= job.s.T) {
            first = begin;
            h++;
        }
        if (h < end)
            fetch_queries<WIDTH>(job, shared + (now ^ STAGE), b, h, first);
        walk_tile_of_queries<WIDTH, TILES>(dk, dv, k, v, shared + now, memory + now, ahead,
                                           job.scale_log2);
    }
    /* The ring becomes room for the sums once no warp reads it any more. */
    __syncthreads();
    float *tile = (float *)memory + warp * 16 * TILES * WIDTH;
    scale_sums<WIDTH, TILES>(dk, job.scale);
    sums_write<WIDTH, TILES>(target_of<true>(job, job.dk, b, g), row, tile, dk);
    sums_write<WIDTH, TILES>(target_of<false>(job, job.dv, b, g), row, tile, dv);
}

template <int WIDTH, int TILES>
static __global__ void
__launch_bounds__(THREADS, 2)
attend_back_to_keys(const __grid_constant__ struct backward_job job)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    (void)job;
#else
    DPC_SHARED(unsigned char, memory);
    block_of_keys<WIDTH, TILES>(job, memory);
#endif
}

/* --- dq. */

/* Sixteen keys against a warp's queries. `ahead` as above; stats are of rows g and g + 8 of each
 * tile. */
template <int WIDTH, int TILES, bool MASKED>
static __device__ inline void
step_keys(float (&dq)[TILES][WIDTH / 8][4], const uint32_t (&q)[TILES][WIDTH / 16][4],
          const uint32_t (&dout)[TILES][WIDTH / 16][4], const float2 (&stats)[TILES][2],
          uint32_t k, uint32_t v, int ahead, float scale_log2)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    float p[TILES][2][4], dp[TILES][2][4];
    uint32_t ds[TILES][4];
    product<WIDTH, TILES>(p, q, k);
    product<WIDTH, TILES>(dp, dout, v);
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int n = 0; n < 2; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float2 of = stats[m][e >> 1];
                int query = m * 16 + g + (e >> 1) * 8, key = n * 8 + 2 * t + (e & 1);
                p[m][n][e] = power_of_two(fmaf(p[m][n][e], scale_log2, -of.x));
                if (MASKED && key > query + ahead)
                    p[m][n][e] = 0.0f;
                dp[m][n][e] = p[m][n][e] * (dp[m][n][e] - of.y);
            }
        }
    }
    fragments_of_sums<TILES>(ds, dp);
    add_product<WIDTH, TILES>(dq, ds, k);
}

template <int WIDTH>
static __device__ inline void
fetch_keys(const struct backward_job &job, uint32_t to, int b, int g, int first)
{
    tile_copy<WIDTH, KEYS, THREADS>(to, job.k.base + b * job.k.batch + g * job.k.head, job.k.row,
                                    first, job.s.T);
    tile_copy<WIDTH, KEYS, THREADS>(to + stage<WIDTH>::TILE,
                                    job.v.base + b * job.v.batch + g * job.v.head, job.v.row,
                                    first, job.s.T);
}

template <int WIDTH, int TILES>
static __device__ inline void
walk_tile_of_keys(float (&dq)[TILES][WIDTH / 8][4], const uint32_t (&q)[TILES][WIDTH / 16][4],
                  const uint32_t (&dout)[TILES][WIDTH / 16][4], const float2 (&stats)[TILES][2],
                  uint32_t tile, int ahead, float scale_log2)
{
    enum { TILE = stage<WIDTH>::TILE, STEP = 16 * WIDTH * 2 };
    for (int i = 0; i < KEYS / 16; i++, ahead -= 16) {
        uint32_t k = tile + i * STEP, v = k + TILE;
        if (ahead >= 15)
            step_keys<WIDTH, TILES, false>(dq, q, dout, stats, k, v, ahead, scale_log2);
        else if (ahead + 16 * TILES - 1 >= 0)
            step_keys<WIDTH, TILES, true>(dq, q, dout, stats, k, v, ahead, scale_log2);
    }
}

template <int WIDTH, int TILES>
static __device__ inline void
block_of_queries(const struct backward_job &job, unsigned char *memory)
{
    enum { ROWS = 64 * TILES, STAGE = stage<WIDTH>::BYTES };
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int begin = ((int)job.order.blocks - 1 - place.block) * ROWS, warp = threadIdx.x >> 5;
    int row = begin + warp * 16 * TILES, T = job.s.T;
    int count = (min(begin + ROWS, T) + KEYS - 1) / KEYS;
    uint32_t shared = shared_address(memory);

    uint32_t q[TILES][WIDTH / 16][4], dout[TILES][WIDTH / 16][4];
    hold_block<WIDTH, TILES>(
        q, dout, shared, job.q.base + b * job.q.batch + h * job.q.head, job.q.row,
        job.dout.base + b * job.dout.batch + h * job.dout.head, job.dout.row, begin, T);
    float2 stats[TILES][2];
    hold_stats<TILES>(stats, job.stats + (size_t)place.head * T, row, T);
    float dq[TILES][WIDTH / 8][4] = {};
    fetch_keys<WIDTH>(job, shared, b, g, 0);
    for (int i = 0; i < count; i++) {
        int now = (i & 1) * STAGE, other = (~i & 1) * STAGE;
        copies_wait();
        __syncthreads();
        if (i + 1 < count)
            fetch_keys<WIDTH>(job, shared + other, b, g, (i + 1) * KEYS);
        walk_tile_of_keys<WIDTH, TILES>(dq, q, dout, stats, shared + now, row - i * KEYS,
                                        job.scale_log2);
    }
    __syncthreads();
    float *tile = (float *)memory + warp * 16 * TILES * WIDTH;
    scale_sums<WIDTH, TILES>(dq, job.scale);
    sums_write<WIDTH, TILES>(target_of<true>(job, job.dq, b, h), row, tile, dq);
}

template <int WIDTH, int TILES>
static __global__ void
__launch_bounds__(THREADS, 2)
attend_back_to_queries(const __grid_constant__ struct backward_job job)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    (void)job;
#else
    DPC_SHARED(unsigned char, memory);
    block_of_queries<WIDTH, TILES>(job, memory);
#endif
}

/* --- Launches. */

template <int WIDTH, int TILES>
static void
launch(struct backward_job *job)
{
    launch_both(job, attend_back_to_keys<WIDTH, TILES>, attend_back_to_queries<WIDTH, TILES>,
                WIDTH, 64 * TILES, THREADS, 2 * stage<WIDTH>::BYTES);
}

/* All but what depends on scratch. */
static void
fill_job(struct backward_job *job, bf16 *dqkv, const struct dpc_attention *in)
{
    const struct dpc_attention_shape *shape = &in->shape;
    struct dpc_sizes s = dpc_sizes_of(shape);
    size_t W = shape->H + 2 * shape->G;
    double scale = 1.0 / sqrt((double)shape->D);
    job->dq = dpc_heads_in_rows(dqkv, s, W, 0);
    job->dk = dpc_heads_in_rows(dqkv, s, W, shape->H);
    job->dv = dpc_heads_in_rows(dqkv, s, W, shape->H + shape->G);
    job->s = s;
    job->angles.cosines = in->cosines;
    job->angles.sines = in->sines;
    job->scale = (float)scale;
    job->scale_log2 = (float)(scale * DPC_LOG2E);
    job->vectors = shape->D % 16 == 0 && dpc_aligned(dqkv);
}

extern "C" void
dpc_cuda_attention_backward_bf16(struct dpc_act *dqkv, const struct dpc_act *dout,
                                 const struct dpc_act *out, const float *lse,
                                 const struct dpc_attention *in, size_t unit, void *scratch)
{
    const struct dpc_attention_shape *shape = &in->shape;
    const bf16 *douts = (const bf16 *)dout, *outs = (const bf16 *)out;
    (void)unit;
    if (dpc_attention_width(shape->D) == 0) {
        dpc_cuda_attention_backward_wide((bf16 *)dqkv, douts, outs, lse, in, scratch);
        return;
    }
    struct dpc_laid laid;
    struct backward_job job = {};
    if (!dpc_attention_lay(&laid, in, 0, &scratch) ||
        !dpc_attention_lay_dout(&job.dout, douts, shape, &scratch))
        return;
    float2 *stats = dpc_piece_take<float2>(&scratch, shape->B * shape->T * shape->H);
    dpc_cuda_attention_stats<bf16>(stats, douts, outs, lse, dpc_sizes_of(shape), (float)DPC_LOG2E);
    fill_job(&job, (bf16 *)dqkv, in);
    job.q = laid.q;
    job.k = laid.k;
    job.v = laid.v;
    job.stats = stats;
    if (dpc_attention_has_warpgroups(laid.width))
        dpc_attention_backward_hopper(&job);
    else if (laid.width == 32)
        launch<32, 2>(&job);
    else if (laid.width == 64)
        launch<64, 2>(&job);
    else
        launch<128, 1>(&job);
}
