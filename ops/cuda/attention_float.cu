/* SPDX-License-Identifier: Apache-2.0
 * Causal attention in fp32: blocks of 64 rows against tiles of 64, products on 4 x 4 values a
 * thread from chunks of 64 columns in shared memory. Chunks are loaded anew for each product, so
 * that shared memory is the same for every width of a head and fits the smallest card; what a
 * thread adds up over all tiles stays in its registers.
 *
 * Heads of acts in bf16 that are too wide for the tensor cores' kernels are computed here too, from
 * copies in fp32. The backward pass is the two kernels of attention_backward.cu. */
#include "ops/cuda/kernels_attention.h"

#include <math.h>

#include "ops/cuda/attention.cuh"

enum {
    SIDE = 16,             /* threads of a block stand in a square: y by rows, x by columns */
    THREADS = SIDE * SIDE,
    EACH = 4,              /* rows, and columns, of a thread */
    ROWS = SIDE * EACH,    /* of a block and of a tile; also the columns of a chunk */
    PITCH = ROWS + 4,      /* floats of a row in shared memory: eight rows lie in all banks */
    CHUNK = ROWS * PITCH,  /* floats */
    SHARED_BYTES = 3 * CHUNK * 4
};

struct float_job {
    struct dpc_heads<const float> q, k, v, dout;
    const float2 *stats; /* [B, H, T] lse, sum of dout x out */
    float *lse;
    struct dpc_sizes s;
    struct dpc_order order;
    struct dpc_angles angles; /* of gradients */
    int first, last_block;
    float scale;
    bool vectors;
};

/* Chunks in shared memory: two operands of which rows are multiplied, and weights. */
struct chunks {
    float *a, *b, *weights;
};

static __device__ inline struct chunks
chunks_in(float *memory)
{
    struct chunks c = {memory, memory + CHUNK, memory + 2 * CHUNK};
    return c;
}

static __device__ inline int
thread_x(void)
{
    return threadIdx.x % SIDE;
}

static __device__ inline int
thread_y(void)
{
    return threadIdx.x / SIDE;
}

static __device__ inline float4
read_four(const float *row, int column, int D, bool vectors)
{
    float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (vectors && column < D)
        return *(const float4 *)(row + column);
    if (column < D)
        four.x = row[column];
    if (column + 1 < D)
        four.y = row[column + 1];
    if (column + 2 < D)
        four.z = row[column + 2];
    if (column + 3 < D)
        four.w = row[column + 3];
    return four;
}

/* Rows first .. first + 64 of a head, columns of chunk `chunk`; zeros past either end. */
static __device__ inline void
load_chunk(float *to, const struct dpc_heads<const float> &heads, int b, int h, int first,
           int chunk, const struct float_job &job)
{
    const float *rows = heads.base + b * heads.batch + h * heads.head;
    int column = thread_x() * 4;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int row = thread_y() + i * SIDE, t = first + row;
        float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (t < job.s.T)
            four = read_four(rows + t * heads.row, chunk * ROWS + column, job.s.D, job.vectors);
        *(float4 *)(to + row * PITCH + column) = four;
    }
}

/* c += a b^T over a chunk's columns, of which `columns` are not zero. A thread's rows and columns
 * stand 16 apart. */
static __device__ inline void
multiply_rows(float (&c)[EACH][EACH], const float *a, const float *b, int columns)
{
    for (int d = 0; d < columns; d += 4) {
        float4 left[EACH], right[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            left[i] = *(const float4 *)(a + (thread_y() + i * SIDE) * PITCH + d);
            right[i] = *(const float4 *)(b + (thread_x() + i * SIDE) * PITCH + d);
        }
#pragma unroll
        for (int i = 0; i < EACH; i++) {
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                c[i][j] = fmaf(left[i].x, right[j].x, c[i][j]);
                c[i][j] = fmaf(left[i].y, right[j].y, c[i][j]);
                c[i][j] = fmaf(left[i].z, right[j].z, c[i][j]);
                c[i][j] = fmaf(left[i].w, right[j].w, c[i][j]);
            }
        }
    }
}

static __device__ inline void
add_scaled(float (&sum)[4], float weight, const float4 &four)
{
    sum[0] = fmaf(weight, four.x, sum[0]);
    sum[1] = fmaf(weight, four.y, sum[1]);
    sum[2] = fmaf(weight, four.z, sum[2]);
    sum[3] = fmaf(weight, four.w, sum[3]);
}

/* sums += weights b; a thread has four columns side by side. */
static __device__ inline void
gather_rows(float (&sums)[EACH][4], const float *weights, const float *b)
{
    for (int k = 0; k < ROWS; k += 4) {
        float4 four[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            four[j] = *(const float4 *)(b + (k + j) * PITCH + thread_x() * 4);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const float *row = weights + (thread_y() + i * SIDE) * PITCH + k;
            float4 weight = *(const float4 *)row;
            add_scaled(sums[i], weight.x, four[0]);
            add_scaled(sums[i], weight.y, four[1]);
            add_scaled(sums[i], weight.z, four[2]);
            add_scaled(sums[i], weight.w, four[3]);
        }
    }
}

/* c = rows of `left` times rows of `right`, through both chunks. The barriers before each load wait
 * for whoever still reads what was there. */
static __device__ inline void
product(float (&c)[EACH][EACH], const struct chunks &chunks,
        const struct dpc_heads<const float> &left, int b, int left_head, int left_first,
        const struct dpc_heads<const float> &right, int right_head, int right_first,
        const struct float_job &job)
{
#pragma unroll
    for (int i = 0; i < EACH; i++)
        c[i][0] = c[i][1] = c[i][2] = c[i][3] = 0.0f;
    for (int chunk = 0; chunk * ROWS < job.s.D; chunk++) {
        __syncthreads();
        load_chunk(chunks.a, left, b, left_head, left_first, chunk, job);
        load_chunk(chunks.b, right, b, right_head, right_first, chunk, job);
        __syncthreads();
        multiply_rows(c, chunks.a, chunks.b, min(ROWS, job.s.D - chunk * ROWS));
    }
}

static __device__ inline void
store_weights(float *weights, const float (&c)[EACH][EACH])
{
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++)
            weights[(thread_y() + i * SIDE) * PITCH + thread_x() + j * SIDE] = c[i][j];
    }
}

/* sums += c times rows of a head, chunk by chunk through b. */
template <int CHUNKS>
static __device__ inline void
add_product(float (&sums)[CHUNKS][EACH][4], const float (&c)[EACH][EACH],
            const struct chunks &chunks, const struct dpc_heads<const float> &heads, int b, int h,
            int first, const struct float_job &job)
{
    __syncthreads();
    store_weights(chunks.weights, c);
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        if (chunk > 0)
            __syncthreads();
        load_chunk(chunks.b, heads, b, h, first, chunk, job);
        __syncthreads();
        gather_rows(sums[chunk], chunks.weights, chunks.b);
    }
}

/* --- Results. */

static __device__ inline void
put(float *to, float value)
{
    *to = value;
}

static __device__ inline void
put(bf16 *to, float value)
{
    *to = __float2bfloat16_rn(value);
}

/* Writes the rows [first, T) of a block's sums, which begin at row `begin`: sixteen rows at a time
 * through shared memory, where both values of a pair can be read. Turned back by the angles unless
 * cosines is NULL. */
template <int CHUNKS, typename act>
static __device__ inline void
write_sums(const struct dpc_heads<act> &to, int b, int h, const float (&sums)[CHUNKS][EACH][4],
           float *memory, int begin, int first, const struct dpc_sizes &s,
           const struct dpc_angles &angles)
{
    enum { WIDE = CHUNKS * ROWS + 4 };
    int half = s.D / 2;
    act *rows = to.base + b * to.batch + h * to.head;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        __syncthreads();
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            *(float4 *)(memory + thread_y() * WIDE + c * ROWS + thread_x() * 4) =
                make_float4(sums[c][i][0], sums[c][i][1], sums[c][i][2], sums[c][i][3]);
        __syncthreads();
        for (int at = threadIdx.x; at < SIDE * half; at += THREADS) {
            int row = at / half, d = at % half, t = begin + i * SIDE + row;
            float low = memory[row * WIDE + d], high = memory[row * WIDE + d + half], sine = 0.0f;
            float cosine = 1.0f;
            if (t < first || t >= s.T)
                continue;
            if (angles.cosines) {
                cosine = angles.cosines[(size_t)t * half + d];
                sine = angles.sines[(size_t)t * half + d];
            }
            put(rows + t * to.row + d, low * cosine + high * sine);
            put(rows + t * to.row + d + half, high * cosine - low * sine);
        }
    }
}

/* --- Forward. */

/* The sixteen threads of a row stand side by side in half a warp. */
static __device__ inline float
row_max(float value)
{
    for (int step = SIDE / 2; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

static __device__ inline float
row_sum(float value)
{
    for (int step = SIDE / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

/* Scores of one row become probabilities but for their sum; returns by what earlier sums shrink.
 * Of the columns from `seen` on nothing is seen. */
static __device__ inline float
weigh_row(float (&scores)[EACH], float &max, float &sum, int seen, float scale)
{
    float highest = max, before = max, added = 0;
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        scores[j] = thread_x() + j * SIDE < seen ? scores[j] * scale : -INFINITY;
        highest = fmaxf(highest, scores[j]);
    }
    max = row_max(highest);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        scores[j] = expf(scores[j] - max);
        added += scores[j];
    }
    float shrink = expf(before - max);
    sum = sum * shrink + added;
    return shrink;
}

template <int CHUNKS, typename act>
static __global__ void
__launch_bounds__(THREADS)
attend(const __grid_constant__ struct float_job job, const struct dpc_heads<act> out)
{
    DPC_SHARED(float, memory);
    struct chunks chunks = chunks_in(memory);
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int block = job.last_block - place.block, begin = block * ROWS;
    float sums[CHUNKS][EACH][4] = {}, max[EACH], sum[EACH] = {};
#pragma unroll
    for (int i = 0; i < EACH; i++)
        max[i] = -INFINITY;
    for (int tile = 0; tile <= block; tile++) {
        float scores[EACH][EACH];
        product(scores, chunks, job.q, b, h, begin, job.k, g, tile * ROWS, job);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int seen = tile == block ? thread_y() + i * SIDE + 1 : ROWS;
            float shrink = weigh_row(scores[i], max[i], sum[i], seen, job.scale);
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
                for (int d = 0; d < 4; d++)
                    sums[c][i][d] *= shrink;
            }
        }
        add_product<CHUNKS>(sums, scores, chunks, job.v, b, g, tile * ROWS, job);
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        float all = row_sum(sum[i]);
        int t = begin + thread_y() + i * SIDE;
        if (thread_x() == 0 && t >= job.first && t < job.s.T)
            job.lse[(size_t)place.head * job.s.T + t] = max[i] + logf(all);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int d = 0; d < 4; d++)
                sums[c][i][d] /= all;
        }
    }
    const struct dpc_angles none = {NULL, NULL};
    write_sums<CHUNKS>(out, b, h, sums, memory, begin, job.first, job.s, none);
}

/* --- Backward. */

/* c becomes probabilities and `dc` their scores' gradients: rows are keys and columns queries where
 * `turned`. row and column are positions of the block's and the tile's first. */
template <bool TURNED>
static __device__ inline void
weigh_back(float (&c)[EACH][EACH], float (&dc)[EACH][EACH], const float2 *stats, int row,
           int column, const struct float_job &job)
{
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int down = row + thread_y() + i * SIDE, across = column + thread_x() + j * SIDE;
            int query = TURNED ? across : down, key = TURNED ? down : across;
            bool seen = key <= query && query < job.s.T;
            float2 of = seen ? stats[query] : make_float2(0.0f, 0.0f);
            c[i][j] = seen ? expf(fmaf(c[i][j], job.scale, -of.x)) : 0.0f;
            dc[i][j] = c[i][j] * (dc[i][j] - of.y) * job.scale;
        }
    }
}

template <int CHUNKS, typename act>
static __global__ void
__launch_bounds__(THREADS)
attend_back_to_keys(const __grid_constant__ struct float_job job, const struct dpc_heads<act> dk,
                    const struct dpc_heads<act> dv)
{
    DPC_SHARED(float, memory);
    struct chunks chunks = chunks_in(memory);
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.G, g = place.head % job.s.G, heads = job.s.H / job.s.G;
    int begin = place.block * ROWS;
    float dk_sums[CHUNKS][EACH][4] = {}, dv_sums[CHUNKS][EACH][4] = {};
    for (int h = g * heads; h < (g + 1) * heads; h++) {
        const float2 *stats = job.stats + ((size_t)b * job.s.H + h) * job.s.T;
        for (int from = begin; from < job.s.T; from += ROWS) {
            float p[EACH][EACH], ds[EACH][EACH];
            product(p, chunks, job.k, b, g, begin, job.q, h, from, job);
            product(ds, chunks, job.v, b, g, begin, job.dout, h, from, job);
            weigh_back<true>(p, ds, stats, begin, from, job);
            add_product<CHUNKS>(dv_sums, p, chunks, job.dout, b, h, from, job);
            add_product<CHUNKS>(dk_sums, ds, chunks, job.q, b, h, from, job);
        }
    }
    const struct dpc_angles none = {NULL, NULL};
    write_sums<CHUNKS>(dk, b, g, dk_sums, memory, begin, 0, job.s, job.angles);
    write_sums<CHUNKS>(dv, b, g, dv_sums, memory, begin, 0, job.s, none);
}

template <int CHUNKS, typename act>
static __global__ void
__launch_bounds__(THREADS)
attend_back_to_queries(const __grid_constant__ struct float_job job,
                       const struct dpc_heads<act> dq)
{
    DPC_SHARED(float, memory);
    struct chunks chunks = chunks_in(memory);
    struct dpc_place place = dpc_order_at(job.order, blockIdx.x);
    int b = place.head / job.s.H, h = place.head % job.s.H, g = h / (job.s.H / job.s.G);
    int block = job.last_block - place.block, begin = block * ROWS;
    const float2 *stats = job.stats + (size_t)place.head * job.s.T;
    float dq_sums[CHUNKS][EACH][4] = {};
    for (int from = 0; from <= begin; from += ROWS) {
        float p[EACH][EACH], ds[EACH][EACH];
        product(p, chunks, job.q, b, h, begin, job.k, g, from, job);
        product(ds, chunks, job.dout, b, h, begin, job.v, g, from, job);
        weigh_back<false>(p, ds, stats, begin, from, job);
        add_product<CHUNKS>(dq_sums, ds, chunks, job.k, b, g, from, job);
    }
    write_sums<CHUNKS>(dq, b, h, dq_sums, memory, begin, 0, job.s, job.angles);
}

/* --- Launches. */

template <typename... arguments>
static void
launch_one(const char *what, void (*kernel)(arguments...), const struct dpc_order &order,
           const arguments &...given)
{
    (void)dpc_cuda_check(cudaFuncSetAttribute((const void *)kernel,
                                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              SHARED_BYTES),
                         what);
    DPC_LAUNCH(dpc_order_count(&order), THREADS, SHARED_BYTES, kernel, given...);
    (void)dpc_cuda_check(cudaGetLastError(), what);
}

/* Bytes that are read again and again for one head. */
static size_t
streamed(const struct dpc_sizes &s)
{
    return (size_t)s.T * s.D * 8;
}

template <int CHUNKS, typename act>
static void
launch_forward(struct float_job *job, const struct dpc_heads<act> &out)
{
    size_t blocks = dpc_ceiling((size_t)job->s.T, ROWS), skipped = (size_t)job->first / ROWS;
    job->last_block = (int)blocks - 1;
    job->order = dpc_order_of(blocks - skipped, (size_t)job->s.B * job->s.H, streamed(job->s));
    launch_one<struct float_job, const struct dpc_heads<act>>(
        "launch attention in fp32", attend<CHUNKS, act>, job->order, *job, out);
}

template <int CHUNKS, typename act>
static void
launch_backward(struct float_job *job, const struct dpc_heads<act> (&to)[3])
{
    const char *what = "launch attention's gradient in fp32";
    size_t blocks = dpc_ceiling((size_t)job->s.T, ROWS), B = (size_t)job->s.B;
    size_t H = (size_t)job->s.H, G = (size_t)job->s.G;
    job->last_block = (int)blocks - 1;
    job->order = dpc_order_of(blocks, B * G, streamed(job->s) * (H / G));
    launch_one<struct float_job, const struct dpc_heads<act>, const struct dpc_heads<act>>(
        what, attend_back_to_keys<CHUNKS, act>, job->order, *job, to[1], to[2]);
    job->order = dpc_order_of(blocks, B * H, streamed(job->s));
    launch_one<struct float_job, const struct dpc_heads<act>>(
        what, attend_back_to_queries<CHUNKS, act>, job->order, *job, to[0]);
}

static bool
fits(size_t D)
{
    return dpc_cuda_check(D <= DPC_CUDA_HEAD_MAX ? cudaSuccess : cudaErrorNotSupported,
                          "compute attention's wide heads");
}

/* Heads of v, or of dout, where they lie in acts that are fp32. */
static struct dpc_heads<const float>
as_floats(const struct dpc_heads<const float> &heads, size_t, const struct dpc_sizes &, void **)
{
    return heads;
}

/* And copied to scratch where they are bf16. */
static struct dpc_heads<const float>
as_floats(const struct dpc_heads<const bf16> &heads, size_t count, const struct dpc_sizes &s,
          void **scratch)
{
    const struct dpc_angles none = {NULL, NULL};
    size_t D = (size_t)s.D;
    float *copy = dpc_piece_take<float>(scratch, (size_t)s.B * s.T * count * D);
    dpc_cuda_lay_heads<bf16, float>(copy, D, heads, count, s, 0, none);
    return dpc_heads_const(dpc_heads_apart(copy, s, count, D));
}

/* Rotates q and k into scratch and fills in what both directions need. */
template <typename act>
static void
lay(struct float_job *job, const act *qkv, const struct dpc_attention *in, size_t first,
    void **scratch)
{
    const struct dpc_attention_shape *shape = &in->shape;
    const struct dpc_angles angles = {in->cosines, in->sines};
    size_t H = shape->H, G = shape->G, W = H + 2 * G, D = shape->D, rows = shape->B * shape->T;
    struct dpc_sizes s = dpc_sizes_of(shape);
    float *q = dpc_piece_take<float>(scratch, rows * H * D);
    float *k = dpc_piece_take<float>(scratch, rows * G * D);
    dpc_cuda_lay_heads<act, float>(q, D, dpc_heads_in_rows(qkv, s, W, 0), H, s, first, angles);
    dpc_cuda_lay_heads<act, float>(k, D, dpc_heads_in_rows(qkv, s, W, H), G, s, 0, angles);
    job->q = dpc_heads_const(dpc_heads_apart(q, s, H, D));
    job->k = dpc_heads_const(dpc_heads_apart(k, s, G, D));
    job->v = as_floats(dpc_heads_in_rows(qkv, s, W, H + G), G, s, scratch);
    job->s = s;
    job->angles = angles;
    job->first = (int)first;
    job->scale = (float)(1.0 / sqrt((double)D));
    job->vectors = D % 4 == 0 && dpc_aligned(q) && dpc_aligned(job->v.base);
}

template <typename act>
static void
forward(act *out, float *lse, const struct dpc_attention *in, size_t first, void *scratch)
{
    size_t D = in->shape.D;
    if (!fits(D))
        return;
    struct float_job job = {};
    lay(&job, (const act *)in->qkv, in, first, &scratch);
    job.lse = lse;
    struct dpc_heads<act> to = dpc_heads_in_rows(out, job.s, in->shape.H, 0);
    if (D <= ROWS)
        launch_forward<1>(&job, to);
    else if (D <= 2 * ROWS)
        launch_forward<2>(&job, to);
    else
        launch_forward<4>(&job, to);
}

template <typename act>
static void
backward(act *dqkv, const act *dout, const act *out, const float *lse,
         const struct dpc_attention *in, void *scratch)
{
    const struct dpc_attention_shape *shape = &in->shape;
    size_t D = shape->D, H = shape->H, G = shape->G, W = H + 2 * G;
    if (!fits(D))
        return;
    struct float_job job = {};
    lay(&job, (const act *)in->qkv, in, 0, &scratch);
    job.dout = as_floats(dpc_heads_in_rows(dout, job.s, H, 0), H, job.s, &scratch);
    job.vectors = job.vectors && dpc_aligned(job.dout.base);
    float2 *stats = dpc_piece_take<float2>(&scratch, shape->B * shape->T * H);
    dpc_cuda_attention_stats<act>(stats, dout, out, lse, job.s, 1.0f);
    job.stats = stats;
    const struct dpc_heads<act> to[3] = {dpc_heads_in_rows(dqkv, job.s, W, 0),
                                         dpc_heads_in_rows(dqkv, job.s, W, H),
                                         dpc_heads_in_rows(dqkv, job.s, W, H + G)};
    if (D <= ROWS)
        launch_backward<1>(&job, to);
    else if (D <= 2 * ROWS)
        launch_backward<2>(&job, to);
    else
        launch_backward<4>(&job, to);
}

static size_t
copies_bytes(const struct dpc_attention_shape *shape)
{
    size_t values = shape->B * shape->T * shape->D;
    return dpc_piece_bytes(values * shape->H, 4) + dpc_piece_bytes(values * shape->G, 4);
}

extern "C" size_t
dpc_cuda_attention_scratch_bytes_fp32(const struct dpc_attention_shape *shape)
{
    if (shape->D > DPC_CUDA_HEAD_MAX)
        return DPC_CARD_LEFT_OUT;
    return copies_bytes(shape) +
           dpc_piece_bytes(shape->B * shape->T * shape->H, sizeof(float2));
}

size_t
dpc_cuda_attention_scratch_bytes_wide(const struct dpc_attention_shape *shape)
{
    size_t bytes = dpc_cuda_attention_scratch_bytes_fp32(shape);
    return bytes == DPC_CARD_LEFT_OUT ? bytes : bytes + copies_bytes(shape);
}

extern "C" void
dpc_cuda_attention_forward_fp32(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                                size_t unit, size_t first, void *scratch)
{
    (void)unit;
    forward((float *)out, lse, in, first, scratch);
}

extern "C" void
dpc_cuda_attention_backward_fp32(struct dpc_act *dqkv, const struct dpc_act *dout,
                                 const struct dpc_act *out, const float *lse,
                                 const struct dpc_attention *in, size_t unit, void *scratch)
{
    (void)unit;
    backward((float *)dqkv, (const float *)dout, (const float *)out, lse, in, scratch);
}

void
dpc_cuda_attention_forward_wide(bf16 *out, float *lse, const struct dpc_attention *in, size_t first,
                                void *scratch)
{
    forward(out, lse, in, first, scratch);
}

void
dpc_cuda_attention_backward_wide(bf16 *dqkv, const bf16 *dout, const bf16 *out, const float *lse,
                                 const struct dpc_attention *in, void *scratch)
{
    backward(dqkv, dout, out, lse, in, scratch);
}
