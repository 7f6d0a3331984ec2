/* SPDX-License-Identifier: Apache-2.0
 *
 * What both directions of attention in bf16 share: sizes of blocks, and where their heads lie.
 * Heads are padded with zeros to a width of 32, 64 or 128; q and k are rotated into scratch, v and
 * dout are read where they lie unless they need padding.
 */
#ifndef DPC_OPS_CUDA_ATTENTION_BF16_CUH
#define DPC_OPS_CUDA_ATTENTION_BF16_CUH

#include "ops/cuda/attention.cuh"
#include "ops/cuda/mma.cuh"

enum {
    THREADS = 128, /* of a block: four warps (others on capability 90: *_hopper.cu) */
    KEYS = 64,     /* rows of the tiles that are walked over */
};

struct dpc_laid {
    size_t width;
    struct dpc_heads<const bf16> q, k, v;
};

/* The width that heads are padded to; 0: they are wider than these kernels hold. */
static inline size_t
dpc_attention_width(size_t D)
{
    return D <= 32 ? 32 : D <= 64 ? 64 : D <= 128 ? 128 : 0;
}

/* Whether products of a warpgroup (warpgroup.cuh) serve such heads on the open card. */
static inline bool
dpc_attention_has_warpgroups(size_t width)
{
    return width == 64 && dpc_cuda.capability == 90;
}

/* Rotates and pads, taking what it needs of scratch; false after a failure. Rows of q before
 * `first` are left as they were: nothing that is kept depends on them. (attention_lay.cu) */
bool dpc_attention_lay(struct dpc_laid *laid, const struct dpc_attention *in, size_t first,
                       void **scratch);

/* The same for dout. */
bool dpc_attention_lay_dout(struct dpc_heads<const bf16> *laid, const bf16 *dout,
                            const struct dpc_attention_shape *shape, void **scratch);

/* A warp's fragments a of a tile in shared memory, whose rows belong to the warps in turn. */
template <int WIDTH, int TILES>
static __device__ inline void
load_fragments(uint32_t (&fragments)[TILES][WIDTH / 16][4], uint32_t tile)
{
    int row = (threadIdx.x >> 5) * 16 * TILES;
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int d = 0; d < WIDTH / 16; d++)
            load_matrices(fragments[m][d], tile + tile_lane_down<WIDTH>(row + m * 16, 2 * d));
    }
}

#endif
