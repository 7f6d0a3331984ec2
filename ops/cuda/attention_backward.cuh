/* SPDX-License-Identifier: Apache-2.0
 *
 * What both ways of making attention's products share, backward: the job, stats of a block's rows,
 * where sums go, and launches.
 */
#ifndef DPC_OPS_CUDA_ATTENTION_BACKWARD_CUH
#define DPC_OPS_CUDA_ATTENTION_BACKWARD_CUH

#include "ops/cuda/attention_bf16.cuh"

struct backward_job {
    struct dpc_heads<const bf16> q, k, v, dout;
    struct dpc_heads<bf16> dq, dk, dv;
    const float2 *stats; /* [B, H, T] lse in powers of two, sum of dout x out */
    struct dpc_sizes s;
    struct dpc_order order;
    struct dpc_angles angles;
    float scale, scale_log2;
    bool vectors;
};

template <int TILES>
static __device__ inline void
hold_stats(float2 (&stats)[TILES][2], const float2 *of_head, int row, int T)
{
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int t = row + m * 16 + half * 8 + ((threadIdx.x & 31) >> 2);
            stats[m][half] = t < T ? of_head[t] : make_float2(0.0f, 0.0f);
        }
    }
}

template <int WIDTH, int TILES>
static __device__ inline void
scale_sums(float (&sums)[TILES][WIDTH / 8][4], float scale)
{
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++)
                sums[m][n][e] *= scale;
        }
    }
}

template <bool TURNED>
static __device__ inline struct tile_target
target_of(const struct backward_job &job, const struct dpc_heads<bf16> &heads, int b, int h)
{
    struct tile_target to = {heads.base + b * heads.batch + h * heads.head,
                             heads.row,
                             0,
                             job.s.T,
                             job.s.D,
                             TURNED ? job.angles.cosines : NULL,
                             TURNED ? job.angles.sines : NULL,
                             job.vectors};
    return to;
}

/* Both kernels, whose blocks have `threads` and hold `rows` of keys or of queries. */
static inline void
launch_both(struct backward_job *job, void (*to_keys)(struct backward_job),
            void (*to_queries)(struct backward_job), size_t width, size_t rows, unsigned threads,
            size_t bytes)
{
    size_t B = (size_t)job->s.B, H = (size_t)job->s.H, G = (size_t)job->s.G;
    size_t blocks = dpc_ceiling((size_t)job->s.T, rows), streamed = (size_t)job->s.T * width * 4;
    for (int queries = 0; queries < 2; queries++) {
        void (*kernel)(struct backward_job) = queries ? to_queries : to_keys;
        job->order = queries ? dpc_order_of(blocks, B * H, streamed)
                             : dpc_order_of(blocks, B * G, streamed * (H / G));
        (void)dpc_cuda_check(cudaFuncSetAttribute((const void *)kernel,
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  (int)bytes),
                             "give attention's gradient its shared memory");
        DPC_LAUNCH(dpc_order_count(&job->order), threads, bytes, kernel, *job);
        (void)dpc_cuda_check(cudaGetLastError(), "launch attention's gradient");
    }
}

/* Heads of 64 on a card of capability 90 (attention_backward_hopper.cu). */
void dpc_attention_backward_hopper(struct backward_job *job);

#endif
