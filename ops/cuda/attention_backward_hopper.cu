/* SPDX-License-Identifier: Apache-2.0
 * Causal attention in bf16 with heads of 64, backward, on a card of capability 90: the two
 * kernels of attention_backward.cu, for the same reason. A block is a warpgroup; it holds 64 rows,
 * walks over tiles of 64, and computes with what one product gave while others run in the
 * background. (The compiler moves a wait to before all that does not depend on it, but not over a
 * branch or a barrier: such a computation stands in both branches.) Compiled for sm_90a alone. */
#include "ops/cuda/attention_backward.cuh"
#include "ops/cuda/attention_hopper.cuh"

enum {
    GROUPS = 1, /* warpgroups of a block, which share what it reads of the L2, */
    BLOCKS = 3, /* and blocks of a multiprocessor: 168 registers a thread */
    BLOCK_THREADS = 128 * GROUPS,
    ROWS = 64 * GROUPS,
    STAGES = 3, /* that is read, that products may still read, that is copied to */
    STAGE_BYTES = 2 * TILE_BYTES,
    STATS_BYTES = KEYS * sizeof(float2),
    HELD = STAGES * STAGE_BYTES, /* where the block's own rows of two tensors are */
    HELD_BYTES = GROUPS * TILE_BYTES, /* of one of them */
    STATS = HELD + 2 * HELD_BYTES,
    BYTES = STATS + STAGES * STATS_BYTES,
};

/* A tile of each of two tensors, and of queries their stats. */
struct stage {
    uint32_t first, second, stats; /* in shared memory */
};

static __device__ inline struct stage
stage_at(uint32_t shared, int i)
{
    uint32_t tiles = shared + i * STAGE_BYTES;
    struct stage stage = {tiles, tiles + TILE_BYTES, shared + STATS + i * STATS_BYTES};
    return stage;
}

/* Probabilities of scores c: keys x queries. `ahead` is by how much the first query's position is
 * past the first key's; MASKED where some key is past some query. */
template <bool MASKED>
static __device__ inline void
weigh_turned(float (&c)[KEYS / 8][4], const float2 *stats, int ahead, float scale_log2)
{
    int t = threadIdx.x & 3, key = (threadIdx.x >> 5) % 4 * 16 + ((threadIdx.x & 31) >> 2);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        float4 of = *(const float4 *)(stats + n * 8 + 2 * t);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            c[n][e] = power_of_two(fmaf(c[n][e], scale_log2, -((e & 1) ? of.z : of.x)));
            if (MASKED && key + (e >> 1) * 8 > n * 8 + 2 * t + (e & 1) + ahead)
                c[n][e] = 0.0f;
        }
    }
}

/* --- dk and dv. */

/* Tiles of queries from position `begin` on, head after head, and of their gradients. */
struct query_walk {
    tile_stream<BLOCK_THREADS> q, dout;
    const float2 *stats; /* of the head */
    int b, h, begin;
    int first, left; /* the tile to fetch next; how many of all heads */
};

static __device__ inline void
begin_head(struct query_walk &walk, const struct backward_job &job)
{
    int b = walk.b, h = walk.h, T = job.s.T;
    walk.q.begin(job.q.base + b * job.q.batch + h * job.q.head, job.q.row, walk.begin, T);
    walk.dout.begin(job.dout.base + b * job.dout.batch + h * job.dout.head, job.dout.row,
                    walk.begin, T);
    walk.stats = job.stats + ((size_t)b * job.s.H + h) * T;
    walk.first = walk.begin;
}

/* Begins to copy the next tiles, if there are any. */
static __device__ inline void
fetch_queries(struct query_walk &walk, const struct backward_job &job, struct stage stage)
{
    if (walk.left-- <= 0)
        return;
    if (walk.first >= job.s.T) {
        walk.h++;
        begin_head(walk, job);
    }
    walk.q.next(stage.first);
    walk.dout.next(stage.second);
    int t = walk.first + (int)threadIdx.x;
    if (threadIdx.x < KEYS)
        copy_8(stage.stats + threadIdx.x * sizeof(float2), walk.stats + t, t < job.s.T);
    walk.first += KEYS;
}

/* What the gradients of probabilities begin from: minus the sum of dout x out of each query.
 * (Subtracted afterwards, these are read one after the other, each when the one before was used: no
 * register is free then. Here c's are.) */
static __device__ inline void
begin_from_stats(float (&c)[KEYS / 8][4], const float2 *stats)
{
    int t = threadIdx.x & 3;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        float4 of = *(const float4 *)(stats + n * 8 + 2 * t);
        c[n][0] = c[n][2] = -of.y;
        c[n][1] = c[n][3] = -of.w;
    }
}

/* Gradients of scores: c, which has those of probabilities p less these sums. */
static __device__ inline void
turn_to_scores(uint32_t (&ds)[PARTS][4], float (&c)[KEYS / 8][4], const uint32_t (&p)[PARTS][4])
{
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            c[n][e] *= fragment_value(p[n / 2], n % 2, e);
    }
    fragments_of(ds, c);
}

/* The sums over `left` tiles of queries, of which the first are on their way, for the warpgroup's
 * keys, which begin at `own`. */
static __device__ inline void
walk_queries(float (&dk)[1][WIDTH / 8][4], float (&dv)[1][WIDTH / 8][4],
             const struct backward_job &job, struct query_walk &walk, unsigned char *memory,
             int own, int left)
{
    uint32_t shared = shared_address(memory);
    uint32_t keys = shared + HELD + (own - walk.begin) / KEYS * TILE_BYTES;
    uint32_t p[PARTS][4], ds[PARTS][4];
    float c[KEYS / 8][4];
    int first = walk.begin, now = 0, next = 1;
    show_copies();
    fetch_queries(walk, job, stage_at(shared, next));
    products_fence();
    begin_across(c, keys, stage_at(shared, 0).first);
    products_wait<0>();
    for (;;) {
        struct stage stage = stage_at(shared, now);
        const float2 *stats = (const float2 *)(memory + (stage.stats - shared));
        products_have(c);
        if (first <= own)
            weigh_turned<true>(c, stats, first - own, job.scale_log2);
        else
            weigh_turned<false>(c, stats, 0, job.scale_log2);
        fragments_of(p, c);
        products_have(p);
        begin_from_stats(c, stats);
        products_have(c);
        products_fence();
        begin_across<true>(c, keys + HELD_BYTES, stage.second);
        products_wait<0>();
        products_have(c);
        turn_to_scores(ds, c, p);
        products_have(ds);
        products_fence();
        begin_adding(dv[0], p, stage.second);
        begin_adding(dk[0], ds, stage.first);
        if (--left == 0)
            break;
        now = next;
        next = next + 1 == STAGES ? 0 : next + 1;
        first = first + KEYS < job.s.T ? first + KEYS : walk.begin;
        show_copies();
        fetch_queries(walk, job, stage_at(shared, next));
        products_fence();
        begin_across(c, keys, stage_at(shared, now).first);
        products_wait<0>();
    }
    products_wait<0>();
    products_have(dk[0]);
    products_have(dv[0]);
}

static __device__ inline void
block_of_keys(const struct backward_job &job, unsigned char *memory)
{
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.G, g = place.head % job.s.G, heads = job.s.H / job.s.G;
    int begin = place.block * ROWS, warp = threadIdx.x >> 5, T = job.s.T;
    uint32_t shared = shared_address(memory), keys = shared + HELD;
    tile_copy<WIDTH, ROWS, BLOCK_THREADS>(keys, job.k.base + b * job.k.batch + g * job.k.head,
                                          job.k.row, begin, T);
    tile_copy<WIDTH, ROWS, BLOCK_THREADS>(keys + HELD_BYTES,
                                          job.v.base + b * job.v.batch + g * job.v.head,
                                          job.v.row, begin, T);
    float dk[1][WIDTH / 8][4] = {}, dv[1][WIDTH / 8][4] = {};
    products_have(dk[0]);
    products_have(dv[0]);
    struct query_walk walk = {};
    walk.b = b;
    walk.h = g * heads;
    walk.begin = begin;
    walk.left = heads * ((T - begin + KEYS - 1) / KEYS);
    begin_head(walk, job);
    int tiles = walk.left;
    fetch_queries(walk, job, stage_at(shared, 0));
    walk_queries(dk, dv, job, walk, memory, begin + own_group<GROUPS>() * KEYS, tiles);

    /* The stages become room for the sums once no warp reads them any more. */
    __syncthreads();
    float *tile = (float *)memory + warp * 16 * WIDTH;
    scale_sums<WIDTH, 1>(dk, job.scale);
    sums_write<WIDTH, 1>(target_of<true>(job, job.dk, b, g), begin + warp * 16, tile, dk);
    sums_write<WIDTH, 1>(target_of<false>(job, job.dv, b, g), begin + warp * 16, tile, dv);
}

static __global__ void
__launch_bounds__(BLOCK_THREADS, BLOCKS)
attend_back_to_keys(const __grid_constant__ struct backward_job job)
{
    DPC_SHARED(unsigned char, memory);
    block_of_keys(job, memory);
}

/* --- dq. */

/* Probabilities of scores c: queries x keys. */
template <bool DIAGONAL>
static __device__ inline void
weigh(float (&c)[KEYS / 8][4], const float2 (&stats)[1][2], float scale_log2)
{
    int t = threadIdx.x & 3, query = (threadIdx.x >> 5) % 4 * 16 + ((threadIdx.x & 31) >> 2);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            c[n][e] = power_of_two(fmaf(c[n][e], scale_log2, -stats[0][e >> 1].x));
            if (DIAGONAL && n * 8 + 2 * t + (e & 1) > query + (e >> 1) * 8)
                c[n][e] = 0.0f;
        }
    }
}

/* Tiles of keys and values. */
struct key_walk {
    tile_stream<BLOCK_THREADS> keys, values;
    int left; /* to fetch */
};

static __device__ inline void
fetch_keys(struct key_walk &walk, struct stage stage)
{
    if (walk.left-- <= 0)
        return;
    walk.keys.next(stage.first);
    walk.values.next(stage.second);
}

/* The sums over `own` tiles of keys, the last of which is on the warpgroup's diagonal, and of which
 * the first is on its way; `count` tiles reach the block's. `held`: the block's rows of q, which
 * become fragments, so that products with them read half as much of shared memory; `dout`: the
 * warpgroup's rows, for which no registers are left. */
static __device__ inline void
walk_keys(float (&dq)[1][WIDTH / 8][4], const float2 (&stats)[1][2], struct key_walk &walk,
          uint32_t shared, uint32_t held, uint32_t dout, int own, int count, float scale_log2)
{
    float p[KEYS / 8][4], dp[KEYS / 8][4];
    uint32_t q[1][PARTS][4], ds[PARTS][4];
    int now = 0, next = 1;
    show_copies();
    fetch_keys(walk, stage_at(shared, next));
    load_fragments<WIDTH, 1>(q, held);
    products_have(q[0]);
    products_fence();
    begin_across(p, q[0], stage_at(shared, 0).first);
    products_wait<0>();
    for (int i = 1;; i++) {
        struct stage stage = stage_at(shared, now);
        products_have(p);
        products_fence();
        begin_across(dp, dout, stage.second);
        if (i == own)
            weigh<true>(p, stats, scale_log2);
        else
            weigh<false>(p, stats, scale_log2);
        products_wait<0>();
        products_have(dp);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++)
                dp[n][e] = p[n][e] * (dp[n][e] - stats[0][e >> 1].y);
        }
        fragments_of(ds, dp);
        products_have(ds);
        if (i == own)
            break;
        now = next;
        next = next + 1 == STAGES ? 0 : next + 1;
        show_copies();
        fetch_keys(walk, stage_at(shared, next));
        products_fence();
        begin_across(p, q[0], stage_at(shared, now).first);
        begin_adding(dq[0], ds, stage.first);
        products_wait<1>();
    }
    products_fence();
    begin_adding(dq[0], ds, stage_at(shared, now).first);
    products_wait<0>();
    products_have(dq[0]);
    for (int i = own; GROUPS > 1 && i < count; i++) {
        next = next + 1 == STAGES ? 0 : next + 1;
        show_copies();
        fetch_keys(walk, stage_at(shared, next));
    }
}

static __device__ inline void
block_of_queries(const struct backward_job &job, unsigned char *memory)
{
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int begin = ((int)job.order.blocks - 1 - place.block) * ROWS, warp = threadIdx.x >> 5;
    int row = begin + warp * 16, T = job.s.T, count = (min(begin + ROWS, T) + KEYS - 1) / KEYS;
    uint32_t shared = shared_address(memory), q = shared + HELD;
    tile_copy<WIDTH, ROWS, BLOCK_THREADS>(q, job.q.base + b * job.q.batch + h * job.q.head,
                                          job.q.row, begin, T);
    tile_copy<WIDTH, ROWS, BLOCK_THREADS>(
        q + HELD_BYTES, job.dout.base + b * job.dout.batch + h * job.dout.head, job.dout.row,
        begin, T);
    float2 stats[1][2];
    hold_stats<1>(stats, job.stats + (size_t)place.head * T, row, T);

    float dq[1][WIDTH / 8][4] = {};
    products_have(dq[0]);
    struct key_walk walk;
    walk.keys.begin(job.k.base + b * job.k.batch + g * job.k.head, job.k.row, 0, T);
    walk.values.begin(job.v.base + b * job.v.batch + g * job.v.head, job.v.row, 0, T);
    walk.left = count;
    fetch_keys(walk, stage_at(shared, 0));
    int group = own_group<GROUPS>();
    walk_keys(dq, stats, walk, shared, q, q + HELD_BYTES + group * TILE_BYTES,
              min(begin / KEYS + group + 1, count), count, job.scale_log2);
    __syncthreads();
    float *tile = (float *)memory + warp * 16 * WIDTH;
    scale_sums<WIDTH, 1>(dq, job.scale);
    sums_write<WIDTH, 1>(target_of<true>(job, job.dq, b, h), row, tile, dq);
}

static __global__ void
__launch_bounds__(BLOCK_THREADS, BLOCKS)
attend_back_to_queries(const __grid_constant__ struct backward_job job)
{
    DPC_SHARED(unsigned char, memory);
    block_of_queries(job, memory);
}

void
dpc_attention_backward_hopper(struct backward_job *job)
{
    launch_both(job, attend_back_to_keys, attend_back_to_queries, WIDTH, ROWS, BLOCK_THREADS,
                BYTES);
}
