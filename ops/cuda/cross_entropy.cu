/* SPDX-License-Identifier: Apache-2.0
 * Softmax cross-entropy. A row that fits stays in the registers of a block from its softmax to its
 * gradient, so that it is read once and each exponential is computed once; the block's next row
 * comes to shared memory meanwhile. Each thread fetches what it will take itself, and the block
 * meets once a row, for the sum. Other rows, and those of cards with little shared memory, are read
 * twice by a block each, the second time from their end on: the rows that are in work at once, a
 * few hundred, may be more than the L2 holds, which has what was read last. */
#include "ops/cuda/instructions.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum {
    THREADS = 512, /* of a row that is read twice */
    BLOCKS = 2,
    BATCH = 16,          /* values that a thread reads at once */
    KEPT_THREADS = 1024, /* of a row that is kept, at most */
    KEPT = 8,            /* vectors of a thread */
    WARP_VECTORS = KEPT * 32
};
constexpr float SMALLEST = -3.4e38f; /* takes no part; infinities have no differences */

/* The largest so far, and the sum of e^(x - largest). */
struct Softmax {
    float max, sum;
};

static __device__ float
exponential(float x)
{
    return power_of_two(x * (float)DPC_LOG2E);
}

/* Takes a larger one into account. */
template <int N, int VEC>
static __device__ void
raise(Softmax &all, const float (&x)[N][VEC])
{
    float max = all.max;
#pragma unroll
    for (int i = 0; i < N; i++) {
#pragma unroll
        for (int k = 0; k < VEC; k++)
            max = fmaxf(max, x[i][k]);
    }
    all.sum *= exponential(all.max - max);
    all.max = max;
}

/* Replaces values by their exponentials, and adds them. */
template <int VEC>
static __device__ void
add(Softmax &all, float (&x)[VEC])
{
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        x[k] = exponential(x[k] - all.max);
        all.sum += x[k];
    }
}

static __device__ Softmax
warp_softmax(Softmax own)
{
    float max = own.max;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, step));
    return {max, warp_sum(own.sum * exponential(own.max - max))};
}

/* Every thread gets it. The next call needs other `warps`, the one after it may have these. */
static __device__ Softmax
block_softmax(Softmax own, Softmax (&warps)[32])
{
    unsigned lane = threadIdx.x % 32;
    own = warp_softmax(own);
    if (lane == 0)
        warps[threadIdx.x / 32] = own;
    __syncthreads();
    return warp_softmax(lane < blockDim.x / 32 ? warps[lane] : Softmax{SMALLEST, 0.0f});
}

static __device__ float
loss_of(Softmax all, float chosen)
{
    return logf(all.sum) + all.max - chosen;
}

/* Subtracted before the factor: near a certain target the difference is all there is. */
static __device__ float
chosen_gradient(Softmax all, float chosen, float share)
{
    return (exponential(chosen - all.max) - all.sum) * share;
}

/* What stands between two rows takes no part. */
template <int VEC>
static __device__ void
cut(float (&x)[VEC], int here)
{
#pragma unroll
    for (int k = 0; k < VEC; k++)
        x[k] = k < here ? x[k] : SMALLEST;
}

/* --- A row that is kept: a warp has WARP_VECTORS vectors of it, a thread every 32nd of these. */

static __device__ void
fetch(float *to, const float *from)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from);
#else
    copy_16(shared_address(to), from, true);
#endif
}

static __device__ void
fetches_wait()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    copies_wait();
#endif
}

/* This thread's part of a row, from `from` on, of which `left` floats are there. No unrolled loop,
 * which the compiler would spread over what follows: the copies are to begin at once. */
static __device__ void
fetch_kept(float *place, const float *from, int left)
{
    int end = left < KEPT * 128 ? left : KEPT * 128;
#pragma unroll 1
    for (int i = 0; i < end; i += 128)
        fetch(place + i, from + i);
}

/* What this thread has of shared memory, `here` values of it, as exponentials; its part of the row at
 * `from` begins to take its place. */
template <bool RAGGED>
static __device__ Softmax
take_kept(float (&x)[KEPT][4], float *place, int here, const float *from, int left)
{
    Softmax own = {SMALLEST, 0.0f};
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        load<4>(x[i], place + i * 128);
        if constexpr (RAGGED)
            cut(x[i], here - i * 128);
    }
    fetch_kept(place, from, left);
    raise(own, x);
#pragma unroll
    for (int i = 0; i < KEPT; i++)
        add(own, x[i]);
    return own;
}

template <typename T>
static __device__ void
write_kept(T *to, float (&x)[KEPT][4], float factor, bool masked, int left)
{
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            x[i][k] = masked ? 0.0f : x[i][k] * factor;
        if (i * 128 < left)
            store<4>(to + i * 128, x[i]);
    }
}

/* Rows of V values begin `width` apart; RAGGED: which is more. */
template <typename T, bool RAGGED>
__global__ void
__launch_bounds__(KEPT_THREADS, 1)
backward_kept(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t N,
              int V, int width, float scale)
{
    DPC_SHARED(float, row);
    __shared__ Softmax warps[2][32];
    int first = 4 * (int)(threadIdx.x / 32 * WARP_VECTORS + threadIdx.x % 32), left = width - first;
    size_t n = blockIdx.x, stride = (size_t)gridDim.x * width;
    const float *from = logits + n * width + first;
    T *to = dlogits + n * width + first;
    float *place = row + first;
    fetch_kept(place, from, left);
    for (unsigned i = width + threadIdx.x; i < blockDim.x * KEPT * 4; i += blockDim.x)
        row[i] = SMALLEST; /* what no row has */
    __syncthreads();
    for (int turn = 0; n < N; n += gridDim.x, turn ^= 1, to += stride) {
        float x[KEPT][4];
        int32_t target = targets[n];
        fetches_wait();
        float chosen = target >= 0 ? from[target - first] : 0.0f;
        from += stride;
        Softmax own =
            take_kept<RAGGED>(x, place, V - first, from, n + gridDim.x < N ? left : 0);
        Softmax all = block_softmax(own, warps[turn]);
        float share = scale / all.sum, factor = exponential(own.max - all.max) * share;
        write_kept(to, x, factor, target < 0, left);
        /* By the thread that wrote there just now. */
        unsigned vector = (unsigned)(target - first) / 4;
        if (target >= first && vector < WARP_VECTORS && vector % 32 == 0)
            narrow(to + (target - first), chosen_gradient(all, chosen, share));
        if (threadIdx.x == 0)
            losses[n] = target >= 0 ? loss_of(all, chosen) : 0.0f;
    }
}

/* --- A row that is read twice. */

enum { VEC = 4, EACH = BATCH / VEC };

static __device__ void
load_batch(float (&x)[EACH][VEC], const float *row, size_t from, size_t V)
{
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        size_t v = from + (size_t)i * THREADS * VEC;
#pragma unroll
        for (int k = 0; k < VEC; k++)
            x[i][k] = SMALLEST;
        if (v < V) {
            load<VEC>(x[i], row + v);
            cut(x[i], (int)(V - v));
        }
    }
}

static __device__ Softmax
row_softmax(const float *row, size_t V)
{
    __shared__ Softmax warps[32];
    Softmax own = {SMALLEST, 0.0f};
    for (size_t v = threadIdx.x * VEC; v < V; v += THREADS * BATCH) {
        float x[EACH][VEC];
        load_batch(x, row, v, V);
        raise(own, x);
#pragma unroll
        for (int i = 0; i < EACH; i++)
            add(own, x[i]);
    }
    return block_softmax(own, warps);
}

__global__ void
__launch_bounds__(THREADS, BLOCKS)
forward(float *losses, const float *logits, const int32_t *targets, size_t V, size_t width)
{
    size_t n = blockIdx.x;
    int32_t target = targets[n];
    if (target < 0) {
        if (threadIdx.x == 0)
            losses[n] = 0;
        return;
    }
    const float *row = logits + n * width;
    Softmax all = row_softmax(row, V);
    if (threadIdx.x == 0)
        losses[n] = loss_of(all, row[target]);
}

template <typename T>
__global__ void
__launch_bounds__(THREADS, BLOCKS)
backward_twice(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t V,
               size_t width, float scale)
{
    size_t n = blockIdx.x;
    int32_t target = targets[n];
    const float *row = logits + n * width;
    T *to = dlogits + n * width;
    Softmax all = {0.0f, 1.0f};
    if (target >= 0)
        all = row_softmax(row, V);
    float share = scale / all.sum;
    for (size_t batch = (width + THREADS * BATCH - 1) / (THREADS * BATCH); batch-- > 0;) {
        size_t first = batch * THREADS * BATCH + threadIdx.x * VEC;
        float x[EACH][VEC];
        load_batch(x, row, first, V);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            size_t v = first + (size_t)i * THREADS * VEC;
#pragma unroll
            for (int k = 0; k < VEC; k++)
                x[i][k] = target >= 0 ? exponential(x[i][k] - all.max) * share : 0.0f;
            if (v < width)
                store<VEC>(to + v, x[i]);
        }
    }
    /* By the thread that wrote there just now. */
    if (target >= 0 && (unsigned)target / VEC % THREADS == threadIdx.x)
        narrow(to + target, chosen_gradient(all, row[target], share));
    if (threadIdx.x == 0)
        losses[n] = target >= 0 ? loss_of(all, row[target]) : 0.0f;
}

/* --- Launches. */

/* Shared memory of a row, whole warps' parts. */
static size_t
kept_bytes(size_t width)
{
    return blocks_for(width, WARP_VECTORS * 4) * WARP_VECTORS * 4 * sizeof(float);
}

static bool
can_keep(size_t width)
{
    size_t bytes = kept_bytes(width) + 2 * 32 * sizeof(Softmax);
    return width <= KEPT_THREADS * KEPT * 4 && bytes <= (size_t)dpc_cuda.shared_bytes;
}

/* As many blocks as are at work at once. */
template <typename T>
static void
run_kept(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t N,
         size_t V, size_t width, float scale)
{
    const auto kernel = width > V ? backward_kept<T, true> : backward_kept<T, false>;
    unsigned threads = 32 * blocks_for(width, WARP_VECTORS * 4);
    size_t blocks = (size_t)dpc_cuda.processors * (KEPT_THREADS / threads);
    size_t bytes = kept_bytes(width);
    (void)dpc_cuda_check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
        "give cross_entropy_backward its shared memory");
    DPC_LAUNCH((unsigned)(blocks < N ? blocks : N), threads, bytes, kernel, losses, dlogits, logits, targets, N, (int)V, (int)width, scale);
}

template <typename T>
static void
run_backward(float *losses, T *dlogits, const float *logits, const int32_t *targets, size_t N,
             size_t V, float scale)
{
    const int32_t *staged = (const int32_t *)dpc_cuda_stage(targets, N * sizeof *targets);
    size_t width = dpc_logits_stride(true, V);
    if (!staged || N == 0)
        return;
    if (can_keep(width))
        run_kept(losses, dlogits, logits, staged, N, V, width, scale);
    else
        DPC_LAUNCH((unsigned)N, THREADS, 0, (backward_twice<T>), losses, dlogits, logits, staged, V, width, scale);
    dpc_cuda_check(cudaGetLastError(), "launch cross_entropy_backward");
}

} // namespace

extern "C" void
dpc_cuda_cross_entropy_forward(float *losses, const float *logits, const int32_t *targets, size_t N,
                               size_t V)
{
    const int32_t *staged = (const int32_t *)dpc_cuda_stage(targets, N * sizeof *targets);
    if (!staged || N == 0)
        return;
    DPC_LAUNCH((unsigned)N, THREADS, 0, forward, losses, logits, staged, V, dpc_logits_stride(true, V));
    dpc_cuda_check(cudaGetLastError(), "launch cross_entropy_forward");
}

#define KERNELS(suffix, T)                                                                         \
    extern "C" void dpc_cuda_cross_entropy_backward_##suffix(                                      \
        float *losses, struct dpc_act *dlogits, float *logits, const int32_t *targets, size_t N,   \
        size_t V, float scale)                                                                     \
    {                                                                                              \
        run_backward<T>(losses, (T *)dlogits, logits, targets, N, V, scale);                       \
    }
KERNELS(bf16, bf16)
KERNELS(fp32, float)
