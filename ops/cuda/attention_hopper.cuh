/* SPDX-License-Identifier: Apache-2.0
 *
 * What both directions of attention with heads of 64 on a card of capability 90 share: tiles that
 * are walked over, and the products of what a warpgroup holds with them. A warpgroup holds 64 rows
 * as fragments a (mma.cuh), a tile has 64 rows: of keys or of queries.
 */
#ifndef DPC_OPS_CUDA_ATTENTION_HOPPER_CUH
#define DPC_OPS_CUDA_ATTENTION_HOPPER_CUH

#include "ops/cuda/attention_bf16.cuh"
#include "ops/cuda/warpgroup.cuh"

enum { WIDTH = 64, TILE_BYTES = KEYS * WIDTH * 2, PARTS = WIDTH / 16 };

/* The number of the thread's warpgroup in its block of GROUPS. The compiler does not know that all
 * threads of a warp get the same unless it is said: it would keep descriptions of panels for each
 * thread, and move them one by one between products. */
template <int GROUPS>
static __device__ inline int
own_group()
{
    return GROUPS == 1 ? 0 : __shfl_sync(0xffffffffu, (int)threadIdx.x / 128, 0);
}

/* Shows the block's threads, and products, what all of them have copied. */
static __device__ inline void
show_copies()
{
    copies_wait();
    shared_to_products();
    __syncthreads();
}

/* c = a b^T, b the rows of a tile; in the background. */
static __device__ inline void
begin_across(float (&c)[KEYS / 8][4], const uint32_t (&a)[PARTS][4], uint32_t tile)
{
    uint64_t b = panel_at(tile);
    products_begin<ROWS_ARE_COLUMNS>(c, a[0], b);
#pragma unroll
    for (int d = 1; d < PARTS; d++)
        products_add<ROWS_ARE_COLUMNS>(c, a[d], panel_further(b, d * 32));
    products_commit();
}

/* The same with a held in shared memory; c += with ADD. */
template <bool ADD = false>
static __device__ inline void
begin_across(float (&c)[KEYS / 8][4], uint32_t held, uint32_t tile)
{
    uint64_t a = panel_at(held), b = panel_at(tile);
    if (ADD)
        products_add<ROWS_ARE_COLUMNS>(c, a, b);
    else
        products_begin<ROWS_ARE_COLUMNS>(c, a, b);
#pragma unroll
    for (int d = 1; d < PARTS; d++)
        products_add<ROWS_ARE_COLUMNS>(c, panel_further(a, d * 32), panel_further(b, d * 32));
    products_commit();
}

/* sums += a b, a's columns the rows of a tile; in the background. */
static __device__ inline void
begin_adding(float (&sums)[WIDTH / 8][4], const uint32_t (&a)[PARTS][4], uint32_t tile)
{
    uint64_t b = panel_at(tile);
#pragma unroll
    for (int k = 0; k < PARTS; k++)
        products_add<ROWS_ARE_INNER>(sums, a[k], panel_further(b, k * 2 * PANEL_GROUP_BYTES));
    products_commit();
}

/* 64 x 64 sums as fragments a. */
static __device__ inline void
fragments_of(uint32_t (&a)[PARTS][4], const float (&sums)[KEYS / 8][4])
{
#pragma unroll
    for (int k = 0; k < PARTS; k++)
        fragment_of_sums(a[k], sums[2 * k], sums[2 * k + 1]);
}

/* This thread's part of the tiles of one head, one after the other: a chunk of every STEPth row. */
template <int THREADS> struct tile_stream {
    enum { CHUNKS = WIDTH / 8, WORKING = THREADS < 256 ? THREADS : 256, STEP = WORKING / CHUNKS };
    static_assert(KEYS % STEP == 0, "a tile is some steps");
    const bf16 *from;
    size_t stride;
    uint32_t to; /* in a tile that begins at 0 */
    int left;    /* rows from here to the end */

    __device__ inline void
    begin(const bf16 *rows, size_t row_stride, int first, int count)
    {
        int row = (int)threadIdx.x / CHUNKS, chunk = (int)threadIdx.x % CHUNKS;
        from = rows + (first + row) * row_stride + chunk * 8;
        stride = row_stride;
        to = tile_offset<WIDTH>(row, chunk);
        left = count - first - row;
    }

    /* Begins to copy the next tile; rows past the end become zeros. */
    __device__ inline void
    next(uint32_t tile)
    {
        if (WORKING < THREADS && threadIdx.x >= WORKING)
            return;
#pragma unroll
        for (int i = 0; i < KEYS / STEP; i++)
            copy_16(tile + to + i * STEP * WIDTH * 2, from + i * STEP * stride, i * STEP < left);
        from += KEYS * stride;
        left -= KEYS;
    }
};

#endif
