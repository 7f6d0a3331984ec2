/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor cores in bf16 from capability 80 on: fragments of mma.m16n8k16, tiles in shared memory,
 * copies in the background (PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix").
 *
 * A lane is 4 g + t. Fragments, two values each from the lowest bits up:
 *   a[0] rows g, columns 2t..; a[1] rows g + 8; a[2] rows g, columns 2t + 8..; a[3] both
 *   b[0] inner index 2t.., column g; b[1] inner index 2t + 8..
 *   c[0], c[1] row g, columns 2t, 2t + 1; c[2], c[3] row g + 8
 * so that two tiles c beside each other are, in bf16, one fragment a.
 *
 * A tile holds rows of WIDTH values, cut into chunks of 16 bytes. Chunks are exchanged within a
 * row by its number, so that the same chunk of eight rows lies in eight different groups of banks.
 */
#ifndef DPC_OPS_CUDA_MMA_CUH
#define DPC_OPS_CUDA_MMA_CUH

#include "ops/cuda/instructions.cuh"

/* --- Fragments. */

/* Fragment a of two tiles c that stand beside each other. */
static __device__ inline void
fragment_of_sums(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4])
{
    a[0] = pack(left[0], left[1]);
    a[1] = pack(left[2], left[3]);
    a[2] = pack(right[0], right[1]);
    a[3] = pack(right[2], right[3]);
}

/* Value e of tile n of those that a fragment was made of. */
static __device__ inline float
fragment_value(const uint32_t (&a)[4], int n, int e)
{
    uint32_t both = a[2 * n + (e >> 1)];
    return __uint_as_float((e & 1) ? both & 0xffff0000u : both << 16);
}

/* --- Tiles. */

/* By what the chunks of a row are exchanged; the same for rows 16 apart. */
template <int WIDTH>
static __device__ inline int
tile_key(int row)
{
    return WIDTH == 32 ? row >> 1 & 3 : row & 7;
}

/* Bytes from the tile's begin to a chunk. */
template <int WIDTH>
static __device__ inline uint32_t
tile_offset(int row, int chunk)
{
    return (uint32_t)(row * WIDTH * 2 + ((chunk ^ tile_key<WIDTH>(row)) << 4));
}

/* Where a lane reads fragments a (rows are a's rows), or b turned (rows are the inner index): the
 * matrices are rows 0-7 and 8-15 of one chunk, then of the next. */
template <int WIDTH>
static __device__ inline uint32_t
tile_lane_down(int row, int chunk)
{
    int lane = threadIdx.x & 31;
    return tile_offset<WIDTH>(row + (lane & 15), chunk + (lane >> 4));
}

/* Where a lane reads two fragments b (rows are b's columns): rows 0-7 of one chunk and of the
 * next, then rows 8-15. */
template <int WIDTH>
static __device__ inline uint32_t
tile_lane_across(int row, int chunk)
{
    int lane = threadIdx.x & 31;
    return tile_offset<WIDTH>(row + (lane & 7) + (lane >> 4 << 3), chunk + (lane >> 3 & 1));
}

/* The same place 2 x `pairs` chunks further in its row, for an address whose chunk is below 2.
 * Tiles begin at multiples of a row's bytes, so that the exchange touches no bit of what is added
 * to it; an exclusive or takes one instruction and no register that lives on. */
static __device__ inline uint32_t
tile_along(uint32_t address, int pairs)
{
    return address ^ (uint32_t)(pairs << 5);
}

/* Begins to copy rows first .. first + ROWS of [count, >= WIDTH]; rows past the end become zeros.
 */
template <int WIDTH, int ROWS, int THREADS>
static __device__ inline void
tile_copy(uint32_t tile, const __nv_bfloat16 *rows, size_t stride, int first, int count)
{
    enum { CHUNKS = WIDTH / 8, STEP = THREADS / CHUNKS }; /* a step leaves tile_key as it is */
    int row = (int)threadIdx.x / CHUNKS, chunk = (int)threadIdx.x % CHUNKS;
    const __nv_bfloat16 *from = rows + (first + row) * stride + chunk * 8;
    uint32_t to = tile + tile_offset<WIDTH>(row, chunk);
    int left = count - first - row;
#pragma unroll
    for (int i = 0; i < ROWS / STEP; i++) {
        copy_16(to + i * STEP * WIDTH * 2, i * STEP < left ? from : rows, i * STEP < left);
        from += STEP * stride;
    }
}

/* --- Sums, from fragments to rows of acts. */

/* Where rows of one head go. Rows t of [first, last) are written. */
struct tile_target {
    __nv_bfloat16 *rows;
    size_t stride;
    int first, last, D;
    const float *cosines, *sines; /* [T, D/2]: turned back by them; NULL: as they are */
    bool vectors;                 /* D / 2 is a multiple of 8, all begins are of 16 bytes */
};

/* Index of a value in a tile of floats of one warp; the exchange spreads the rows that are written
 * together over the banks and leaves eight values together. */
template <int WIDTH>
static __device__ inline int
sum_place(int row, int column)
{
    return row * WIDTH + (column ^ (row & 3) << 3);
}

template <int WIDTH, int TILES>
static __device__ inline void
sums_to_tile(float *tile, const float (&sums)[TILES][WIDTH / 8][4])
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            const float(&c)[4] = sums[m][n];
            int row = m * 16 + g, column = n * 8 + 2 * t;
            *(float2 *)(tile + sum_place<WIDTH>(row, column)) = make_float2(c[0], c[1]);
            *(float2 *)(tile + sum_place<WIDTH>(row + 8, column)) = make_float2(c[2], c[3]);
        }
    }
}

/* Eight values of each half of a row. */
static __device__ inline void
write_vectors(const struct tile_target &to, int t, int pair, const float *low, const float *high)
{
    uint4 left, right;
    uint32_t *lefts = &left.x, *rights = &right.x;
    alignas(16) float lows[8], highs[8];
    *(float4 *)lows = *(const float4 *)low;
    *(float4 *)(lows + 4) = *(const float4 *)(low + 4);
    *(float4 *)highs = *(const float4 *)high;
    *(float4 *)(highs + 4) = *(const float4 *)(high + 4);
    size_t angle = (size_t)t * (to.D / 2) + pair;
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        float a[2] = {lows[i], lows[i + 1]}, b[2] = {highs[i], highs[i + 1]};
        if (to.cosines) {
#pragma unroll
            for (int k = 0; k < 2; k++) {
                float cosine = to.cosines[angle + i + k], sine = to.sines[angle + i + k];
                float turned = a[k] * cosine + b[k] * sine;
                b[k] = b[k] * cosine - a[k] * sine;
                a[k] = turned;
            }
        }
        lefts[i / 2] = pack(a[0], a[1]);
        rights[i / 2] = pack(b[0], b[1]);
    }
    __nv_bfloat16 *row = to.rows + t * to.stride + pair;
    *(uint4 *)row = left;
    *(uint4 *)(row + to.D / 2) = right;
}

static __device__ inline void
write_pair(const struct tile_target &to, int t, int pair, float low, float high)
{
    float a = low, b = high;
    if (to.cosines) {
        size_t angle = (size_t)t * (to.D / 2) + pair;
        a = low * to.cosines[angle] + high * to.sines[angle];
        b = high * to.cosines[angle] - low * to.sines[angle];
    }
    __nv_bfloat16 *row = to.rows + t * to.stride + pair;
    row[0] = __float2bfloat16_rn(a);
    row[to.D / 2] = __float2bfloat16_rn(b);
}

/* Writes a warp's sums, whose first row is position t0, by way of `tile`, which is the warp's own.
 * Pairs that are turned together lie in different lanes unless D is round. */
template <int WIDTH, int TILES>
static __device__ inline void
sums_write(const struct tile_target &to, int t0, float *tile,
           const float (&sums)[TILES][WIDTH / 8][4])
{
    int half = to.D / 2, wide = to.vectors ? 8 : 1, pieces = half / wide;
    sums_to_tile<WIDTH, TILES>(tile, sums);
    __syncwarp();
    for (int i = threadIdx.x & 31; i < TILES * 16 * pieces; i += 32) {
        int row = i / pieces, pair = i % pieces * wide, t = t0 + row;
        if (t < to.first || t >= to.last)
            continue;
        const float *low = tile + sum_place<WIDTH>(row, pair);
        const float *high = tile + sum_place<WIDTH>(row, pair + half);
        if (to.vectors)
            write_vectors(to, t, pair, low, high);
        else
            write_pair(to, t, pair, *low, *high);
    }
    __syncwarp();
}

#endif
