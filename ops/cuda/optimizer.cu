/* SPDX-License-Identifier: Apache-2.0
 * The gradient's norm, AdamW, and weights as bf16: one launch for all pieces. The norm takes a
 * block a piece, AdamW some, so that few pieces, too, are spread evenly. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum {
    THREADS = 256,
    BATCH = 4, /* vectors that a thread reads at once */
    PARTS = 4  /* of a piece */
};
constexpr size_t PIECES_MAX = DPC_CUDA_STAGE_BYTES / sizeof(struct dpc_piece);

/* Numbers of a step as floats, made of doubles as ops/cpu/optimizer.c does. */
struct Rates {
    float beta1, rest1, beta2, rest2, keep, keep_decayed, step, unbias, epsilon, scale;
};

static __device__ bool
is_aligned(const void *vector)
{
    return (uintptr_t)vector % 16 == 0;
}

/* Of a vector that begins a line. */
static __device__ bool
has_vectors(struct dpc_piece piece)
{
    return (piece.from | piece.count) % 4 == 0;
}

/* Of BATCH vectors, of which `left` values are there. */
static __device__ void
add_squares(double &sum, const float *from, size_t left)
{
    float x[BATCH][4] = {};
#pragma unroll
    for (unsigned i = 0; i < BATCH; i++) {
        if (i * THREADS * 4 < left)
            load<4>(x[i], from + i * THREADS * 4);
    }
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            sum += (double)x[i][k] * (double)x[i][k];
    }
}

__global__ void
squares(double *sums, const float *values, const struct dpc_piece *pieces)
{
    __shared__ double shared[32];
    struct dpc_piece piece = pieces[blockIdx.x];
    const float *from = values + piece.from;
    double sum = 0;
    if (has_vectors(piece) && is_aligned(values)) {
        for (size_t i = threadIdx.x * 4; i < piece.count; i += THREADS * 4 * BATCH)
            add_squares(sum, from + i, piece.count - i);
    } else {
        for (size_t i = threadIdx.x; i < piece.count; i += THREADS)
            sum += (double)from[i] * (double)from[i];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

template <int VEC>
static __device__ void
update(float *parameters, const float *gradients, float *m, float *v, size_t i, const Rates &r,
       float keep)
{
    float p[VEC], g[VEC], first[VEC], second[VEC];
    load<VEC>(p, parameters + i);
    load<VEC>(g, gradients + i);
    load<VEC>(first, m + i);
    load<VEC>(second, v + i);
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        float scaled = g[k] * r.scale;
        first[k] = r.beta1 * first[k] + r.rest1 * scaled;
        second[k] = r.beta2 * second[k] + r.rest2 * scaled * scaled;
        p[k] = p[k] * keep - r.step * first[k] / (sqrtf(second[k]) * r.unbias + r.epsilon);
    }
    store<VEC>(parameters + i, p);
    store<VEC>(m + i, first);
    store<VEC>(v + i, second);
}

__global__ void
adamw(float *parameters, const float *gradients, float *m, float *v,
      const struct dpc_piece *pieces, Rates rates)
{
    struct dpc_piece piece = pieces[blockIdx.x];
    size_t thread = blockIdx.y * THREADS + threadIdx.x, step = PARTS * THREADS;
    size_t end = piece.from + piece.count;
    float keep = piece.decay ? rates.keep_decayed : rates.keep;
    /* The moments may share one memory: the second then begins wherever the first one ends. */
    if (has_vectors(piece) && is_aligned(parameters) && is_aligned(gradients) && is_aligned(m) &&
        is_aligned(v)) {
        for (size_t i = piece.from + thread * 4; i < end; i += step * 4)
            update<4>(parameters, gradients, m, v, i, rates, keep);
    } else {
        for (size_t i = piece.from + thread; i < end; i += step)
            update<1>(parameters, gradients, m, v, i, rates, keep);
    }
}

template <int VEC>
__global__ void
pack(bf16 *to, const float *from, size_t vectors)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= vectors)
        return;
    float x[VEC];
    load<VEC>(x, from + at * VEC);
    store<VEC>(to + at * VEC, x);
}

} // namespace

extern "C" void
dpc_cuda_squared_norms(double *sums, const float *values, const struct dpc_piece *pieces,
                       size_t count)
{
    for (size_t at = 0; at < count; at += PIECES_MAX) {
        size_t some = count - at < PIECES_MAX ? count - at : PIECES_MAX;
        const void *staged = dpc_cuda_stage(pieces + at, some * sizeof *pieces);
        if (!staged)
            return;
        DPC_LAUNCH((unsigned)some, THREADS, 0, squares, sums + at, values, (const struct dpc_piece *)staged);
        dpc_cuda_check(cudaGetLastError(), "launch squared_norms");
    }
}

extern "C" void
dpc_cuda_adamw(float *parameters, const float *gradients, float *m, float *v,
               const struct dpc_piece *pieces, size_t count, const struct dpc_adamw_rates *rates)
{
    Rates r = {
        (float)rates->beta1,
        (float)(1.0 - rates->beta1),
        (float)rates->beta2,
        (float)(1.0 - rates->beta2),
        1.0f,
        (float)(1.0 - rates->lr * rates->weight_decay),
        (float)(rates->lr / rates->correction1),
        (float)(1.0 / sqrt(rates->correction2)),
        (float)rates->epsilon,
        (float)rates->gradient_scale,
    };
    for (size_t at = 0; at < count; at += PIECES_MAX) {
        size_t some = count - at < PIECES_MAX ? count - at : PIECES_MAX;
        const void *staged = dpc_cuda_stage(pieces + at, some * sizeof *pieces);
        if (!staged)
            return;
        DPC_LAUNCH(dim3((unsigned)some, PARTS), THREADS, 0, adamw, parameters, gradients, m, v, (const struct dpc_piece *)staged, r);
        dpc_cuda_check(cudaGetLastError(), "launch adamw");
    }
}

extern "C" size_t
dpc_cuda_packed_bytes(size_t O, size_t K)
{
    return O * K * sizeof(bf16);
}

/* The values may begin anywhere in a vector of parameters; the packed form begins a line, and has
 * zeros for outputs that are none. */
extern "C" void
dpc_cuda_pack(const struct dpc_weights *w)
{
    size_t count = w->O * w->K, rest = dpc_outputs(w) * w->K - count;
    bf16 *to = (bf16 *)w->forward;
    if (rest)
        dpc_cuda_memory.clear(to + count, rest * sizeof *to);
    if (count % 4 == 0 && (uintptr_t)w->values % 16 == 0)
        DPC_LAUNCH(blocks_for(count / 4, THREADS), THREADS, 0, (pack<4>), to, w->values, count / 4);
    else
        DPC_LAUNCH(blocks_for(count, THREADS), THREADS, 0, (pack<1>), to, w->values, count);
    dpc_cuda_check(cudaGetLastError(), "launch pack");
}
