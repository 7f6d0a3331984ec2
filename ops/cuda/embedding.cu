/* SPDX-License-Identifier: Apache-2.0
 * The embedding. Its gradient adds the rows of equal tokens: their positions are sorted by token on
 * the host, where the tokens are, and cut into runs of some rows of one token. A token of a single
 * run is added where it belongs; others leave a partial sum a run, which a second kernel adds in
 * order. So no sum depends on which block ends first, and a frequent token keeps many blocks busy. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

#include <vector>

namespace {

enum { THREADS = 128 };
constexpr size_t RUN_ROWS = 32;

struct Run {
    int32_t token;
    uint32_t first, count; /* of the sorted positions */
    int32_t slot;          /* of the partial sums; -1: the only run of its token */
};

/* A token's partial sums. */
struct Total {
    int32_t token;
    uint32_t slot, count;
};

struct Plan {
    std::vector<uint32_t> order, other; /* positions by token; the second while sorting */
    std::vector<Run> runs;
    std::vector<Total> totals;
    size_t slots;
};

/* Stable, by bytes of the token, the lowest first. */
static void
sort_positions(Plan &plan, const int32_t *tokens, size_t N)
{
    int32_t largest = 0;
    plan.order.resize(N);
    plan.other.resize(N);
    for (size_t n = 0; n < N; n++) {
        plan.order[n] = (uint32_t)n;
        largest = tokens[n] > largest ? tokens[n] : largest;
    }
    for (int shift = 0; shift < 32 && largest >> shift > 0; shift += 8) {
        size_t starts[257] = {};
        for (size_t n = 0; n < N; n++)
            starts[(tokens[n] >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++)
            starts[i + 1] += starts[i];
        for (size_t i = 0; i < N; i++)
            plan.other[starts[tokens[plan.order[i]] >> shift & 255]++] = plan.order[i];
        plan.order.swap(plan.other);
    }
}

static void
make_plan(Plan &plan, const int32_t *tokens, size_t N)
{
    sort_positions(plan, tokens, N);
    plan.runs.clear();
    plan.totals.clear();
    plan.slots = 0;
    for (size_t first = 0, end; first < N; first = end) {
        int32_t token = tokens[plan.order[first]];
        for (end = first + 1; end < N && tokens[plan.order[end]] == token; end++) {
        }
        size_t runs = (end - first + RUN_ROWS - 1) / RUN_ROWS;
        if (runs > 1)
            plan.totals.push_back({token, (uint32_t)plan.slots, (uint32_t)runs});
        for (size_t at = first; at < end; at += RUN_ROWS) {
            size_t count = end - at < RUN_ROWS ? end - at : RUN_ROWS;
            int32_t slot = runs > 1 ? (int32_t)plan.slots++ : -1;
            plan.runs.push_back({token, (uint32_t)at, (uint32_t)count, slot});
        }
    }
}

template <int VEC>
__global__ void
forward(float *x, const float *table, const int32_t *tokens, size_t C)
{
    size_t n = blockIdx.x;
    const float *row = table + (size_t)tokens[n] * C;
    for (size_t c = threadIdx.x * VEC; c < C; c += THREADS * VEC) {
        float values[VEC];
        load<VEC>(values, row + c);
        store<VEC>(x + n * C + c, values);
    }
}

/* Columns [first, last). */
template <int VEC>
__global__ void
add_runs(float *dtable, float *partial, const float *dx, const uint32_t *order, const Run *runs,
         size_t C, size_t first, size_t last)
{
    Run run = runs[blockIdx.x];
    for (size_t c = first + threadIdx.x * VEC; c < last; c += THREADS * VEC) {
        float sum[VEC] = {};
#pragma unroll 8
        for (uint32_t i = 0; i < run.count; i++) {
            float values[VEC];
            load<VEC>(values, dx + (size_t)order[run.first + i] * C + c);
#pragma unroll
            for (int k = 0; k < VEC; k++)
                sum[k] += values[k];
        }
        float *to = dtable + (size_t)run.token * C + c;
        if (run.slot >= 0) {
            to = partial + (size_t)run.slot * C + c;
        } else {
            float before[VEC];
            load<VEC>(before, to);
#pragma unroll
            for (int k = 0; k < VEC; k++)
                sum[k] += before[k];
        }
        store<VEC>(to, sum);
    }
}

__global__ void
add_totals(float *dtable, const float *partial, const Total *totals, size_t C, size_t first,
           size_t last)
{
    Total total = totals[blockIdx.x];
    size_t c = first + (size_t)blockIdx.y * THREADS + threadIdx.x;
    if (c >= last)
        return;
    float sum = 0;
#pragma unroll 8
    for (uint32_t i = 0; i < total.count; i++)
        sum += partial[(size_t)(total.slot + i) * C + c];
    dtable[(size_t)total.token * C + c] += sum;
}

static void
launch(float *dtable, const float *dx, const Plan &plan, size_t C, size_t first, size_t last)
{
    float *partial = (float *)dpc_cuda_scratch((plan.slots + 1) * C * sizeof(float));
    const uint32_t *order = (const uint32_t *)dpc_cuda_stage(
        plan.order.data(), plan.order.size() * sizeof plan.order[0]);
    const Run *runs =
        (const Run *)dpc_cuda_stage(plan.runs.data(), plan.runs.size() * sizeof plan.runs[0]);
    if (!partial || !order || !runs)
        return;
    unsigned blocks = (unsigned)plan.runs.size();
    if ((C | first | last) % 4 == 0)
        DPC_LAUNCH(blocks, THREADS, 0, (add_runs<4>), dtable, partial, dx, order, runs, C, first, last);
    else
        DPC_LAUNCH(blocks, THREADS, 0, (add_runs<1>), dtable, partial, dx, order, runs, C, first, last);
    dpc_cuda_check(cudaGetLastError(), "launch embedding_backward");
    if (plan.totals.empty())
        return;
    const Total *totals = (const Total *)dpc_cuda_stage(
        plan.totals.data(), plan.totals.size() * sizeof plan.totals[0]);
    if (!totals)
        return;
    dim3 grid((unsigned)plan.totals.size(), blocks_for(last - first, THREADS));
    DPC_LAUNCH(grid, THREADS, 0, add_totals, dtable, partial, totals, C, first, last);
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
        DPC_LAUNCH((unsigned)N, THREADS, 0, (forward<4>), x, table, staged, C);
    else
        DPC_LAUNCH((unsigned)N, THREADS, 0, (forward<1>), x, table, staged, C);
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
    launch(dtable, dx, plan, C, first, last);
}
