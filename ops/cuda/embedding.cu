/* SPDX-License-Identifier: Apache-2.0
 * The embedding. Its gradient adds the rows of equal tokens: their positions are brought together
 * on the host, where the tokens are, while the card computes what was queued before, and cut into
 * runs of some rows of one token. A token of a single run is added where it belongs; others leave a
 * partial sum a run, which a second kernel adds in order. So no sum depends on which block ends
 * first, and a frequent token keeps many blocks busy. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

#include <vector>

namespace {

enum { THREADS_MAX = 256, BATCH = 4 /* rows that a thread reads at once */ };
constexpr uint32_t RUN_ROWS = 32;

struct Run {
    int32_t token;
    uint32_t first, count; /* of the positions in their order */
    int32_t slot;          /* of the partial sums; -1: the only run of its token */
};

/* A token's partial sums. */
struct Total {
    int32_t token;
    uint32_t slot, count;
};

/* Of a token while a plan is made: how often it comes, 0 once it has its places in the order, and
 * the next one of these. */
struct Place {
    uint32_t count, next;
};

struct Plan {
    std::vector<Place> places;   /* of each token */
    std::vector<uint32_t> order; /* positions, those of a token together and ascending */
    std::vector<Run> runs;       /* room for as many as there could be */
    std::vector<Total> totals;
    size_t runs_count, slots;
};

/* Runs of a token with many rows, from `run` on; returns where the next one's begin. */
static Run *
cut(Plan &plan, Run *run, int32_t token, uint32_t first, uint32_t count)
{
    uint32_t slot = (uint32_t)plan.slots;
    for (uint32_t at = 0; at < count; at += RUN_ROWS) {
        uint32_t some = count - at < RUN_ROWS ? count - at : RUN_ROWS;
        *run++ = {token, first + at, some, (int32_t)plan.slots++};
    }
    plan.totals.push_back({token, slot, (uint32_t)plan.slots - slot});
    return run;
}

static void
make_room(Plan &plan, const int32_t *tokens, size_t N)
{
    int32_t largest = 0;
    for (size_t n = 0; n < N; n++)
        largest = tokens[n] > largest ? tokens[n] : largest;
    if (plan.places.size() <= (size_t)largest)
        plan.places.resize((size_t)largest + 1);
    if (plan.order.size() < N) {
        plan.order.resize(N);
        plan.runs.resize(N + N / RUN_ROWS);
    }
    plan.totals.clear();
    plan.slots = 0;
}

/* Tokens get their places as they first come: each position is looked at twice, nothing sorted. */
static void
make_plan(Plan &plan, const int32_t *tokens, size_t N)
{
    make_room(plan, tokens, N);
    Place *places = plan.places.data();
    Run *run = plan.runs.data();
    uint32_t *order = plan.order.data(), first = 0;
    for (size_t n = 0; n < N; n++)
        places[tokens[n]].count++;
    for (size_t n = 0; n < N; n++) {
        Place &place = places[tokens[n]];
        uint32_t count = place.count;
        if (count > 0) {
            place = {0, first};
            if (count > RUN_ROWS)
                run = cut(plan, run, tokens[n], first, count);
            else
                *run++ = {tokens[n], first, count, -1};
            first += count;
        }
        order[place.next++] = (uint32_t)n;
    }
    plan.runs_count = (size_t)(run - plan.runs.data());
}

template <int VEC>
__global__ void
forward(float *x, const float *table, const int32_t *tokens, size_t C)
{
    size_t n = blockIdx.x;
    const float *row = table + (size_t)tokens[n] * C;
    for (size_t c = threadIdx.x * VEC; c < C; c += blockDim.x * VEC) {
        float values[VEC];
        load<VEC>(values, row + c);
        store<VEC>(x + n * C + c, values);
    }
}

/* The first BATCH of `count` rows, in order. */
template <int VEC>
static __device__ void
add_rows(float (&sum)[VEC], const float *column, const uint32_t *rows, uint32_t count, size_t C)
{
    float values[BATCH][VEC] = {};
#pragma unroll
    for (unsigned i = 0; i < BATCH; i++) {
        if (i < count)
            load<VEC>(values[i], column + (size_t)rows[i] * C);
    }
#pragma unroll
    for (unsigned i = 0; i < BATCH; i++) {
#pragma unroll
        for (int k = 0; k < VEC; k++)
            sum[k] += values[i][k];
    }
}

/* Columns [first, last). */
template <int VEC>
__global__ void
add_runs(float *dtable, float *partial, const float *dx, const uint32_t *order, const Run *runs,
         size_t C, size_t first, size_t last)
{
    Run run = runs[blockIdx.x];
    float *to = run.slot >= 0 ? partial + (size_t)run.slot * C : dtable + (size_t)run.token * C;
    for (size_t c = first + threadIdx.x * VEC; c < last; c += blockDim.x * VEC) {
        float sum[VEC] = {}, before[VEC] = {};
        if (run.slot < 0)
            load<VEC>(before, to + c);
        for (uint32_t i = 0; i < run.count; i += BATCH)
            add_rows(sum, dx + c, order + run.first + i, run.count - i, C);
#pragma unroll
        for (int k = 0; k < VEC; k++)
            sum[k] += before[k];
        store<VEC>(to + c, sum);
    }
}

__global__ void
add_totals(float *dtable, const float *partial, const Total *totals, size_t C, size_t first,
           size_t last)
{
    Total total = totals[blockIdx.x];
    size_t c = first + (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= last)
        return;
    float sum = 0;
#pragma unroll 8
    for (uint32_t i = 0; i < total.count; i++)
        sum += partial[(size_t)(total.slot + i) * C + c];
    dtable[(size_t)total.token * C + c] += sum;
}

/* For vectors of a row: one each, where that may be. */
static unsigned
threads_for(size_t vectors)
{
    size_t warps = (vectors + 31) / 32;
    return 32 * (unsigned)(warps < THREADS_MAX / 32 ? warps : THREADS_MAX / 32);
}

static void
launch(float *dtable, const float *dx, const Plan &plan, size_t N, size_t C, size_t first,
       size_t last)
{
    float *partial = (float *)dpc_cuda_scratch((plan.slots + 1) * C * sizeof(float));
    const uint32_t *order =
        (const uint32_t *)dpc_cuda_stage(plan.order.data(), N * sizeof plan.order[0]);
    const Run *runs =
        (const Run *)dpc_cuda_stage(plan.runs.data(), plan.runs_count * sizeof plan.runs[0]);
    if (!partial || !order || !runs)
        return;
    unsigned blocks = (unsigned)plan.runs_count, threads = threads_for(last - first);
    if ((C | first | last) % 4 == 0)
        DPC_LAUNCH(blocks, threads_for((last - first) / 4), 0, (add_runs<4>), dtable, partial, dx, order, runs, C, first, last);
    else
        DPC_LAUNCH(blocks, threads, 0, (add_runs<1>), dtable, partial, dx, order, runs, C, first, last);
    dpc_cuda_check(cudaGetLastError(), "launch embedding_backward");
    if (plan.totals.empty())
        return;
    const Total *totals = (const Total *)dpc_cuda_stage(
        plan.totals.data(), plan.totals.size() * sizeof plan.totals[0]);
    if (!totals)
        return;
    dim3 grid((unsigned)plan.totals.size(), blocks_for(last - first, threads));
    DPC_LAUNCH(grid, threads, 0, add_totals, dtable, partial, totals, C, first, last);
    dpc_cuda_check(cudaGetLastError(), "launch embedding_backward");
}

} // namespace

extern "C" void
dpc_cuda_embedding_forward(float *x, const float *table, const int32_t *tokens, size_t N, size_t C)
{
    if (N == 0)
        return;
    const int32_t *staged = (const int32_t *)dpc_cuda_stage(tokens, N * sizeof *tokens);
    if (!staged)
        return;
    if (C % 4 == 0)
        DPC_LAUNCH((unsigned)N, threads_for(C / 4), 0, (forward<4>), x, table, staged, C);
    else
        DPC_LAUNCH((unsigned)N, threads_for(C), 0, (forward<1>), x, table, staged, C);
    dpc_cuda_check(cudaGetLastError(), "launch embedding_forward");
}

extern "C" void
dpc_cuda_embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                            size_t C, size_t first, size_t last)
{
    static Plan plan; /* its memory stays, so that a step allocates nothing */
    if (N == 0 || first >= last)
        return;
    make_plan(plan, tokens, N);
    launch(dtable, dx, plan, N, C, first, last);
}
