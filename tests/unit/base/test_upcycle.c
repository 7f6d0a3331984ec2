/* SPDX-License-Identifier: Apache-2.0
 * Which weights another beginning changes, by how much, and that each module has draws of its own.
 */
#include "base/upcycle.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "tests/unit/base/small_model.h"
#include "tests/unit/harness.h"

/* A module of one level, and the dense one that it was made of. */
struct bench {
    struct dpc_experiment experiment;
    struct dpc_layout layout;
    float *dense, *made;
};

static void
bench_init(struct bench *bench, enum dpc_begin init, uint32_t level)
{
    small_model(&bench->experiment);
    bench->experiment.warm_start.init = init;
    bench->experiment.warm_start.noise = 0.1;
    bench->experiment.warm_start.drop = 0.25;
    dpc_layout_init(&bench->layout, &bench->experiment, level);
    bench->dense = dpc_alloc(bench->layout.floats_count, sizeof *bench->dense);
    bench->made = dpc_alloc(bench->layout.floats_count, sizeof *bench->made);
    dpc_layout_fill_initial(&bench->experiment, level, bench->dense);
}

static void
bench_done(struct bench *bench)
{
    dpc_layout_done(&bench->layout);
    dpc_free(bench->dense);
    dpc_free(bench->made);
}

static void
make(struct bench *bench, uint32_t level, uint32_t module)
{
    memcpy(bench->made, bench->dense, bench->layout.floats_count * sizeof *bench->made);
    dpc_upcycle_module(&bench->experiment, level, module, bench->made);
}

static size_t
count_changed(const struct bench *bench, const struct dpc_tensor *tensor)
{
    size_t changed = 0, count = (size_t)tensor->rows * tensor->cols;
    for (size_t i = tensor->offset; i < tensor->offset + count; i++)
        changed += bench->made[i] != bench->dense[i];
    return changed;
}

static void
copies_change_nothing(void)
{
    struct bench bench;
    bench_init(&bench, DPC_BEGIN_COPY, 0);
    CU_ASSERT_FALSE(dpc_upcycle_changes(&bench.experiment, 0));
    make(&bench, 0, 1);
    CU_ASSERT_EQUAL(memcmp(bench.made, bench.dense, bench.layout.floats_count * sizeof(float)), 0);
    /* Nor does anything where a module is the only one of its level. */
    bench.experiment.warm_start.init = DPC_BEGIN_DROP;
    CU_ASSERT_TRUE(dpc_upcycle_changes(&bench.experiment, 0));
    bench.experiment.levels[0].modules = 1;
    CU_ASSERT_FALSE(dpc_upcycle_changes(&bench.experiment, 0));
    CU_ASSERT_TRUE(dpc_upcycle_changes(&bench.experiment, 1));
    make(&bench, 0, 0);
    CU_ASSERT_EQUAL(memcmp(bench.made, bench.dense, bench.layout.floats_count * sizeof(float)), 0);
    bench_done(&bench);
}

static void
noise_is_in_proportion_to_each_matrix(void)
{
    struct bench bench;
    bench_init(&bench, DPC_BEGIN_NOISE, 0);
    /* A matrix twenty times as wide gets noise twenty times as wide. */
    const struct dpc_tensor *down = dpc_layout_find(&bench.layout, DPC_TENSOR_DOWN, 1);
    for (size_t i = 0; i < (size_t)down->rows * down->cols; i++)
        bench.dense[down->offset + i] *= 20;
    make(&bench, 0, 0);
    for (uint32_t i = 0; i < bench.layout.tensors_count; i++) {
        const struct dpc_tensor *tensor = &bench.layout.tensors[i];
        size_t count = (size_t)tensor->rows * tensor->cols;
        double own = 0, noise = 0;
        for (size_t k = tensor->offset; k < tensor->offset + count; k++) {
            own += (double)bench.dense[k] * (double)bench.dense[k];
            noise += pow((double)bench.made[k] - (double)bench.dense[k], 2);
        }
        if (tensor->decay)
            CU_ASSERT_DOUBLE_EQUAL(sqrt(noise / own), 0.1, 0.003);
        if (!tensor->decay)
            CU_ASSERT_EQUAL(noise, 0);
    }
    bench_done(&bench);
}

/* Which inner units have other weights in all of a block's three matrices; fails where they are
 * changed in some of them only. */
static uint32_t
find_units(const struct bench *bench, uint32_t block, bool *ret_changed)
{
    uint32_t ffn = bench->experiment.model.ffn, dim = bench->experiment.model.dim, count = 0;
    const struct dpc_tensor *gate_up = dpc_layout_find(&bench->layout, DPC_TENSOR_GATE_UP, block);
    const struct dpc_tensor *down = dpc_layout_find(&bench->layout, DPC_TENSOR_DOWN, block);
    for (uint32_t unit = 0; unit < ffn; unit++) {
        uint32_t changed = 0;
        for (uint32_t i = 0; i < dim; i++) {
            size_t gate = gate_up->offset + (size_t)unit * dim + i;
            size_t up = gate + (size_t)ffn * dim;
            size_t back = down->offset + (size_t)i * ffn + unit;
            changed += bench->made[gate] != bench->dense[gate];
            changed += bench->made[up] != bench->dense[up];
            changed += bench->made[back] != bench->dense[back];
        }
        CU_ASSERT(changed == 0 || changed > 3 * dim - 5); /* the same value may come again */
        ret_changed[unit] = changed > 0;
        count += changed > 0;
    }
    return count;
}

static void
drop_draws_whole_units_anew(void)
{
    enum { FFN = 344, BLOCKS = 2 };
    struct bench bench;
    bool units[BLOCKS][FFN];
    uint32_t both = 0;
    bench_init(&bench, DPC_BEGIN_DROP, 0);
    make(&bench, 0, 0);
    for (uint32_t i = 0; i < bench.layout.tensors_count; i++) {
        const struct dpc_tensor *tensor = &bench.layout.tensors[i];
        bool inner = tensor->kind == DPC_TENSOR_GATE_UP || tensor->kind == DPC_TENSOR_DOWN;
        CU_ASSERT(inner || count_changed(&bench, tensor) == 0);
    }
    for (uint32_t block = 0; block < BLOCKS; block++)
        CU_ASSERT_EQUAL(find_units(&bench, block, units[block]), FFN / 4);
    for (uint32_t unit = 0; unit < FFN; unit++)
        both += units[0][unit] && units[1][unit];
    CU_ASSERT(both > 5 && both < 40); /* a quarter of a quarter, if blocks draw on their own */
    bench_done(&bench);
}

/* Of the changed values of a matrix's part. */
struct sums {
    double count, dense, dense_squares, made, made_squares;
};

static void
add_changed(const struct bench *bench, size_t first, size_t count, struct sums *sums)
{
    *sums = (struct sums){0};
    for (size_t i = first; i < first + count; i++) {
        double dense = (double)bench->dense[i], made = (double)bench->made[i];
        if (dense == made)
            continue;
        sums->count++;
        sums->dense += dense;
        sums->dense_squares += dense * dense;
        sums->made += made;
        sums->made_squares += made * made;
    }
}

static double
std_of(double sum, double squares, double count)
{
    return sqrt(squares / count - sum / count * (sum / count));
}

static void
check_like(const struct bench *bench, size_t first, size_t count, double mean, double std)
{
    struct sums sums;
    add_changed(bench, first, count, &sums);
    CU_ASSERT_FATAL(sums.count > 1000);
    double error = 4 * std / sqrt(sums.count);
    CU_ASSERT_DOUBLE_EQUAL(sums.dense / sums.count, mean, error);
    CU_ASSERT_DOUBLE_EQUAL(sums.made / sums.count, mean, error);
    CU_ASSERT_DOUBLE_EQUAL(std_of(sums.dense, sums.dense_squares, sums.count), std, error);
    CU_ASSERT_DOUBLE_EQUAL(std_of(sums.made, sums.made_squares, sums.count), std, error);
}

/* Gate, up and down are moved apart first: each part keeps to its own mean and width. */
static void
what_is_drawn_has_the_mean_and_width_of_what_it_replaces(void)
{
    struct bench bench;
    bench_init(&bench, DPC_BEGIN_DROP, 1);
    const struct dpc_tensor *gate_up = dpc_layout_find(&bench.layout, DPC_TENSOR_GATE_UP, 0);
    const struct dpc_tensor *down = dpc_layout_find(&bench.layout, DPC_TENSOR_DOWN, 0);
    size_t part = (size_t)down->rows * down->cols;
    const struct {
        size_t first;
        float mean, width;
    } parts[] = {{gate_up->offset, 1, 5}, {gate_up->offset + part, -2, 10}, {down->offset, 3, 40}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = parts[i].first; k < parts[i].first + part; k++)
            bench.dense[k] = parts[i].mean + parts[i].width * bench.dense[k];
    }
    make(&bench, 1, 2);
    check_like(&bench, parts[0].first, part, 1, 5 * 0.02);
    check_like(&bench, parts[1].first, part, -2, 10 * 0.02);
    check_like(&bench, parts[2].first, part, 3, 40 * 0.02 / sqrt(2.0 * 4));
    bench_done(&bench);
}

static void
each_module_has_draws_of_its_own(void)
{
    static const enum dpc_begin inits[] = {DPC_BEGIN_NOISE, DPC_BEGIN_DROP};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, inits[i], 0);
        size_t bytes = bench.layout.floats_count * sizeof(float);
        float *first = dpc_alloc(bench.layout.floats_count, sizeof *first);
        make(&bench, 0, 0);
        memcpy(first, bench.made, bytes);
        make(&bench, 0, 0);
        CU_ASSERT_EQUAL(memcmp(first, bench.made, bytes), 0);
        make(&bench, 0, 1);
        CU_ASSERT_NOT_EQUAL(memcmp(first, bench.made, bytes), 0);
        bench.experiment.seed++;
        make(&bench, 0, 0);
        CU_ASSERT_NOT_EQUAL(memcmp(first, bench.made, bytes), 0);
        dpc_free(first);
        bench_done(&bench);
    }
}

static void
a_share_is_one_unit_at_least_and_all_at_most(void)
{
    struct bench bench;
    bool units[344];
    bench_init(&bench, DPC_BEGIN_DROP, 0);
    bench.experiment.warm_start.drop = 1e-9;
    make(&bench, 0, 0);
    CU_ASSERT_EQUAL(find_units(&bench, 0, units), 1);
    bench.experiment.warm_start.drop = 1;
    make(&bench, 0, 0);
    CU_ASSERT_EQUAL(find_units(&bench, 1, units), 344);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"copies change nothing", copies_change_nothing},
    {"noise is in proportion to each matrix", noise_is_in_proportion_to_each_matrix},
    {"drop draws whole units anew", drop_draws_whole_units_anew},
    {"what is drawn has the mean and width of what it replaces",
     what_is_drawn_has_the_mean_and_width_of_what_it_replaces},
    {"each module has draws of its own", each_module_has_draws_of_its_own},
    {"a share is one unit at least and all at most", a_share_is_one_unit_at_least_and_all_at_most},
};
DPC_TEST_MAIN("base/upcycle", tests)
