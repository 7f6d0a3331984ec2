/* SPDX-License-Identifier: Apache-2.0
 * Causal attention in bf16 with heads of 64, forward, on a card of capability 90 (Dao 2023,
 * FlashAttention-2; Shah 2024, FlashAttention-3): a warpgroup holds 64 query rows and walks over
 * tiles of 64 keys up to the diagonal; the warpgroups of a block share the tiles. While a tile's
 * scores are weighed, the products of the earlier tile's weights with its values run in the
 * background. Compiled for sm_90a alone. */
#include "ops/cuda/attention_forward.cuh"
#include "ops/cuda/attention_hopper.cuh"

enum {
    GROUPS = 2, /* warpgroups of a block, */
    BLOCKS = 2, /* and blocks of a multiprocessor: 128 registers a thread */
    BLOCK_THREADS = 128 * GROUPS,
    ROWS = 64 * GROUPS,
    QUERY_BYTES = ROWS * WIDTH * 2,
    KEY_TILES = 2,
    VALUE_TILES = 4,
    BYTES = QUERY_BYTES + (KEY_TILES + VALUE_TILES) * TILE_BYTES,
};

/* What a block walks over, up to its last row's diagonal. */
struct walk {
    tile_stream<BLOCK_THREADS> keys, values;
    uint32_t tiles;
    int count;
};

static __device__ inline uint32_t
key_tile(const struct walk &walk, int i)
{
    return walk.tiles + i % KEY_TILES * TILE_BYTES;
}

static __device__ inline uint32_t
value_tile(const struct walk &walk, int i)
{
    return walk.tiles + (KEY_TILES + i % VALUE_TILES) * TILE_BYTES;
}

/* Shows tile i of keys and tile i - 1 of values, and begins to copy those that come next. Products
 * with tile i - 2 of values may still run, but none with others before. */
static __device__ inline void
show_tiles(struct walk &walk, int i)
{
    show_copies();
    if (i + 1 < walk.count)
        walk.keys.next(key_tile(walk, i + 1));
    if (i < walk.count)
        walk.values.next(value_tile(walk, i));
}

/* Waits for the sums so far and makes room in them for the weights of a tile, which lie in `scores`
 * and become fragments. */
static __device__ inline void
take_weights(uint32_t (&weights)[PARTS][4], float (&sums)[1][WIDTH / 8][4],
             const float (&scores)[1][KEYS / 8][4], const float (&shrink)[2])
{
    products_wait<0>();
    products_have(sums[0]);
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            sums[0][n][e] *= shrink[e >> 1];
    }
    fragments_of(weights, scores[0]);
    products_have(sums[0]);
    products_have(weights);
}

/* Scores become weights; `shrink`: by what the sums before them shrink. */
static __device__ inline void
weigh(float (&scores)[1][KEYS / 8][4], struct running<1> &running, float (&shrink)[2],
      float scale_log2)
{
    float *max = running.max[0], *sum = running.sum[0];
    shrink[0] = weigh_row<0>(scores[0], max[0], sum[0], scale_log2);
    shrink[1] = weigh_row<1>(scores[0], max[1], sum[1], scale_log2);
}

/* The sums over all keys of a warp's rows, which begin at `row`; its warpgroup needs `own` tiles.
 * (The compiler moves a wait to before all that does not depend on it, but not over a branch: so
 * both branches weigh.) */
static __device__ inline void
walk_keys(float (&sums)[1][WIDTH / 8][4], struct running<1> &running, struct walk &walk,
          uint32_t queries, int row, int own, float scale_log2)
{
    uint32_t q[1][PARTS][4], weights[PARTS][4];
    float scores[1][KEYS / 8][4], shrink[2];
    show_tiles(walk, 0);
    load_fragments<WIDTH, 1>(q, queries);
    products_have(q[0]);
    products_fence();
    begin_across(scores[0], q[0], key_tile(walk, 0));
    products_wait<0>();
    for (int i = 1;; i++) {
        products_have(scores[0]);
        if (i == own) {
            mask_scores<1>(scores, row, (i - 1) * KEYS);
            weigh(scores, running, shrink, scale_log2);
        } else {
            weigh(scores, running, shrink, scale_log2);
        }
        show_tiles(walk, i);
        take_weights(weights, sums, scores, shrink);
        if (i == own)
            break;
        products_fence();
        begin_across(scores[0], q[0], key_tile(walk, i));
        begin_adding(sums[0], weights, value_tile(walk, i - 1));
        products_wait<1>();
    }
    products_fence();
    begin_adding(sums[0], weights, value_tile(walk, own - 1));
    products_wait<0>();
    products_have(sums[0]);
#pragma unroll 1
    for (int i = own + 1; i <= walk.count; i++)
        show_tiles(walk, i);
}

static __device__ inline void
attend_block(const struct forward_job &job, unsigned char *memory)
{
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int begin = (job.last_block - place.block) * ROWS, warp = threadIdx.x >> 5;
    int row = begin + warp * 16, T = job.s.T;
    uint32_t queries = shared_address(memory);
    struct walk walk;
    walk.count = (min(begin + ROWS, T) + KEYS - 1) / KEYS;
    walk.tiles = queries + QUERY_BYTES;
    walk.keys.begin(job.k.base + b * job.k.batch + g * job.k.head, job.k.row, 0, T);
    walk.values.begin(job.v.base + b * job.v.batch + g * job.v.head, job.v.row, 0, T);
    tile_copy<WIDTH, ROWS, BLOCK_THREADS>(queries, job.q.base + b * job.q.batch + h * job.q.head,
                                          job.q.row, begin, T);
    walk.keys.next(key_tile(walk, 0));

    float sums[1][WIDTH / 8][4] = {};
    struct running<1> running = {{{-INFINITY, -INFINITY}}, {{0.0f, 0.0f}}};
    int own = min(begin / 64 + own_group<GROUPS>() + 1, walk.count);
    walk_keys(sums, running, walk, queries, row, own, job.scale_log2);
    finish_rows<WIDTH, 1>(sums, running, job, job.lse + (size_t)place.head * T, row);

    /* The tiles become room for the sums once no warp reads them any more. */
    __syncthreads();
    struct tile_target to = {job.out.base + b * job.out.batch + h * job.out.head,
                             job.out.row, job.first, T, job.s.D, NULL, NULL, job.vectors};
    sums_write<WIDTH, 1>(to, row, (float *)(memory + QUERY_BYTES) + warp * 16 * WIDTH, sums);
}

static __global__ void
__launch_bounds__(BLOCK_THREADS, BLOCKS)
attend(const __grid_constant__ struct forward_job job)
{
    DPC_SHARED(unsigned char, memory);
    attend_block(job, memory);
}

void
dpc_attention_forward_hopper(struct forward_job *job)
{
    launch_attend(job, attend, WIDTH, ROWS, BLOCK_THREADS, BYTES);
}
