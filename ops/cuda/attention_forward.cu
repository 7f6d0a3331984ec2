/* SPDX-License-Identifier: Apache-2.0
 * Causal attention in bf16 on tensor cores, forward (Dao 2023, FlashAttention-2): a group of four
 * warps holds a block of query rows and walks over tiles of 64 keys up to the diagonal, with
 * running maxima and sums; probabilities never leave registers. A warp holds 16 x TILES rows, two
 * tiles where registers allow it: each fragment of keys that is read then serves two products,
 * without which shared memory would be the limit. */
#include "ops/cuda/kernels_attention.h"

#include "ops/cuda/attention_forward.cuh"

/* scores = q k^T of a tile of keys; the scale comes later. */
template <int WIDTH, int TILES>
static __device__ inline void
score_tile(float (&scores)[TILES][KEYS / 8][4], const uint32_t (&q)[TILES][WIDTH / 16][4],
           uint32_t keys)
{
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            scores[m][n][0] = scores[m][n][1] = scores[m][n][2] = scores[m][n][3] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < WIDTH / 16; d++) {
        uint32_t from = tile_along(keys + tile_lane_across<WIDTH>(0, 0), d);
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
            uint32_t b[4];
            load_matrices(b, from + n * 16 * WIDTH * 2);
#pragma unroll
            for (int m = 0; m < TILES; m++) {
                multiply_add(scores[m][2 * n], q[m][d], b[0], b[1]);
                multiply_add(scores[m][2 * n + 1], q[m][d], b[2], b[3]);
            }
        }
    }
}

template <int WIDTH, int TILES>
static __device__ inline void
weigh_tile(float (&scores)[TILES][KEYS / 8][4], float (&sums)[TILES][WIDTH / 8][4],
           struct running<TILES> &running, float scale_log2)
{
#pragma unroll
    for (int m = 0; m < TILES; m++) {
        float *max = running.max[m], *sum = running.sum[m];
        float upper = weigh_row<0>(scores[m], max[0], sum[0], scale_log2);
        float lower = weigh_row<1>(scores[m], max[1], sum[1], scale_log2);
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            sums[m][n][0] *= upper;
            sums[m][n][1] *= upper;
            sums[m][n][2] *= lower;
            sums[m][n][3] *= lower;
        }
    }
}

/* sums += probabilities v. */
template <int WIDTH, int TILES>
static __device__ inline void
gather_tile(float (&sums)[TILES][WIDTH / 8][4], const float (&weights)[TILES][KEYS / 8][4],
            uint32_t values)
{
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        uint32_t a[TILES][4];
        uint32_t from = values + tile_lane_down<WIDTH>(0, 0) + k * 16 * WIDTH * 2;
#pragma unroll
        for (int m = 0; m < TILES; m++)
            fragment_of_sums(a[m], weights[m][2 * k], weights[m][2 * k + 1]);
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
}

/* The sums over all keys of a warp's rows, which begin at `row`; queries lie in shared memory with
 * the first tiles of keys and values on their way behind them. */
template <int WIDTH, int TILES>
static __device__ inline void
walk_keys(float (&sums)[TILES][WIDTH / 8][4], struct running<TILES> &running,
          const struct forward_job &job, uint32_t shared, const bf16 *keys, const bf16 *values,
          int block_end, int row)
{
    enum { TILE_BYTES = KEYS * WIDTH * 2, QUERY_BYTES = 64 * TILES * WIDTH * 2 };
    uint32_t q[TILES][WIDTH / 16][4], ring = shared + QUERY_BYTES;
    int count = (min(block_end, job.s.T) + KEYS - 1) / KEYS;
    for (int i = 0; i < count; i++) {
        uint32_t tile = ring + (i & 1) * 2 * TILE_BYTES, other = ring + (~i & 1) * 2 * TILE_BYTES;
        copies_wait();
        __syncthreads();
        if (i == 0)
            load_fragments<WIDTH, TILES>(q, shared);
        if (i + 1 < count) {
            int next = (i + 1) * KEYS;
            tile_copy<WIDTH, KEYS, THREADS>(other, keys, job.k.row, next, job.s.T);
            tile_copy<WIDTH, KEYS, THREADS>(other + TILE_BYTES, values, job.v.row, next, job.s.T);
        }
        if (i * KEYS >= row + 16 * TILES)
            continue;
        float scores[TILES][KEYS / 8][4];
        score_tile<WIDTH, TILES>(scores, q, tile);
        if (i * KEYS + KEYS - 1 > row)
            mask_scores<TILES>(scores, row, i * KEYS);
        weigh_tile<WIDTH, TILES>(scores, sums, running, job.scale_log2);
        gather_tile<WIDTH, TILES>(sums, scores, tile + TILE_BYTES);
    }
}

template <int WIDTH, int TILES>
static __device__ inline void
attend_block(const struct forward_job &job, unsigned char *memory)
{
    enum { ROWS = 64 * TILES, TILE_BYTES = KEYS * WIDTH * 2 };
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int begin = (job.last_block - place.block) * ROWS, warp = threadIdx.x >> 5;
    int row = begin + warp * 16 * TILES;
    uint32_t shared = shared_address(memory), ring = shared + ROWS * WIDTH * 2;
    const bf16 *keys = job.k.base + b * job.k.batch + g * job.k.head;
    const bf16 *values = job.v.base + b * job.v.batch + g * job.v.head;

    tile_copy<WIDTH, ROWS, THREADS>(shared, job.q.base + b * job.q.batch + h * job.q.head,
                                    job.q.row, begin, job.s.T);
    tile_copy<WIDTH, KEYS, THREADS>(ring, keys, job.k.row, 0, job.s.T);
    tile_copy<WIDTH, KEYS, THREADS>(ring + TILE_BYTES, values, job.v.row, 0, job.s.T);

    float sums[TILES][WIDTH / 8][4] = {};
    struct running<TILES> running;
#pragma unroll
    for (int m = 0; m < TILES; m++) {
        running.max[m][0] = running.max[m][1] = -INFINITY;
        running.sum[m][0] = running.sum[m][1] = 0.0f;
    }
    walk_keys<WIDTH, TILES>(sums, running, job, shared, keys, values, begin + ROWS, row);
    finish_rows<WIDTH, TILES>(sums, running, job, job.lse + (size_t)place.head * job.s.T, row);

    /* The ring becomes room for the sums once no warp reads it any more. */
    __syncthreads();
    struct tile_target to = {job.out.base + b * job.out.batch + h * job.out.head,
                             job.out.row, job.first, job.s.T, job.s.D, NULL, NULL, job.vectors};
    float *tile = (float *)(memory + ROWS * WIDTH * 2) + warp * 16 * TILES * WIDTH;
    sums_write<WIDTH, TILES>(to, row, tile, sums);
}

template <int WIDTH, int TILES, int PROCESSOR_BLOCKS>
static __global__ void
__launch_bounds__(THREADS, PROCESSOR_BLOCKS)
attend(const __grid_constant__ struct forward_job job)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    (void)job;
#else
    DPC_SHARED(unsigned char, memory);
    attend_block<WIDTH, TILES>(job, memory);
#endif
}

template <int WIDTH, int TILES, int PROCESSOR_BLOCKS>
static void
launch(struct forward_job *job)
{
    enum { ROWS = 64 * TILES, BYTES = (ROWS + 4 * KEYS) * WIDTH * 2 };
    launch_attend(job, attend<WIDTH, TILES, PROCESSOR_BLOCKS>, WIDTH, ROWS, THREADS, BYTES);
}

extern "C" void
dpc_cuda_attention_forward_bf16(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                                size_t unit, size_t first, void *scratch)
{
    struct dpc_sizes s = dpc_sizes_of(&in->shape);
    (void)unit;
    if (dpc_attention_width(in->shape.D) == 0) {
        dpc_cuda_attention_forward_wide((bf16 *)out, lse, in, first, scratch);
        return;
    }
    struct dpc_laid laid;
    if (!dpc_attention_lay(&laid, in, first, &scratch))
        return;
    double scale = 1.0 / sqrt((double)s.D);
    struct forward_job job = {};
    job.q = laid.q;
    job.k = laid.k;
    job.v = laid.v;
    job.out = dpc_heads_in_rows((bf16 *)out, s, in->shape.H, 0);
    job.lse = lse;
    job.s = s;
    job.first = (int)first;
    job.scale = (float)scale;
    job.scale_log2 = (float)(scale * DPC_LOG2E);
    job.vectors = s.D % 16 == 0 && dpc_aligned(out);
    if (dpc_attention_has_warpgroups(laid.width))
        dpc_attention_forward_hopper(&job);
    else if (laid.width == 32)
        launch<32, 2, 2>(&job);
    else if (laid.width == 64)
        launch<64, 2, 2>(&job);
    else
        launch<128, 1, 2>(&job);
}
