/* SPDX-License-Identifier: Apache-2.0
 *
 * What both ways of making attention's products share, forward: the job, softmax of tiles of scores
 * that lie in registers as fragments c (mma.cuh), and the launch.
 */
#ifndef DPC_OPS_CUDA_ATTENTION_FORWARD_CUH
#define DPC_OPS_CUDA_ATTENTION_FORWARD_CUH

#include <math.h>

#include "ops/cuda/attention_bf16.cuh"

struct forward_job {
    struct dpc_heads<const bf16> q, k, v;
    struct dpc_heads<bf16> out;
    float *lse;
    struct dpc_sizes s;
    struct dpc_order order;
    int first, last_block;
    float scale, scale_log2;
    bool vectors;
};

/* Per row that a lane has a part of: g and g + 8 of each tile. */
template <int TILES> struct running {
    float max[TILES][2], sum[TILES][2];
};

/* Nothing is seen past the diagonal. row and key are those of the warp's first score. */
template <int TILES>
static __device__ inline void
mask_scores(float (&scores)[TILES][KEYS / 8][4], int row, int key)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                if (key + n * 8 + 2 * t + (e & 1) > row + m * 16 + g + (e >> 1) * 8)
                    scores[m][n][e] = -INFINITY;
            }
        }
    }
}

/* Scores of row g + 8 HALF become probabilities but for their sum; returns by what earlier sums
 * shrink. The four lanes of a row share its maximum, and keep their own parts of its sum. */
template <int HALF>
static __device__ inline float
weigh_row(float (&scores)[KEYS / 8][4], float &max, float &sum, float scale_log2)
{
    enum { LOW = 2 * HALF, HIGH = LOW + 1 };
    float highest = max;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
        highest = fmaxf(highest, fmaxf(scores[n][LOW], scores[n][HIGH]));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
    float shift = highest * scale_log2, shrink = power_of_two(max * scale_log2 - shift), added = 0;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        scores[n][LOW] = power_of_two(fmaf(scores[n][LOW], scale_log2, -shift));
        scores[n][HIGH] = power_of_two(fmaf(scores[n][HIGH], scale_log2, -shift));
        added += scores[n][LOW] + scores[n][HIGH];
    }
    max = highest;
    sum = sum * shrink + added;
    return shrink;
}

/* Divides by the rows' sums and writes their logarithms. */
template <int WIDTH, int TILES>
static __device__ inline void
finish_rows(float (&sums)[TILES][WIDTH / 8][4], const struct running<TILES> &running,
            const struct forward_job &job, float *lse, int row)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int m = 0; m < TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = running.sum[m][half];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            int t = row + m * 16 + half * 8 + (lane >> 2);
            if ((lane & 3) == 0 && t >= job.first && t < job.s.T)
                lse[t] = running.max[m][half] * job.scale + logf(sum);
            float inverse = 1.0f / sum;
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                sums[m][n][2 * half] *= inverse;
                sums[m][n][2 * half + 1] *= inverse;
            }
        }
    }
}

/* A kernel whose blocks have `threads` and hold `rows` of queries. */
static inline void
launch_attend(struct forward_job *job, void (*kernel)(struct forward_job), size_t width,
              size_t rows, unsigned threads, size_t bytes)
{
    size_t blocks = dpc_ceiling((size_t)job->s.T, rows), skipped = (size_t)job->first / rows;
    job->last_block = (int)blocks - 1;
    job->order = dpc_order_of(blocks - skipped, (size_t)job->s.B * job->s.H,
                              (size_t)job->s.T * width * 4);
    (void)dpc_cuda_check(cudaFuncSetAttribute((const void *)kernel,
                                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              (int)bytes),
                         "give attention its shared memory");
    DPC_LAUNCH(dpc_order_count(&job->order), threads, bytes, kernel, *job);
    (void)dpc_cuda_check(cudaGetLastError(), "launch attention");
}

/* Heads of 64 on a card of capability 90 (attention_forward_hopper.cu). */
void dpc_attention_forward_hopper(struct forward_job *job);

#endif
