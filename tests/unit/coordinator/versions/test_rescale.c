/* SPDX-License-Identifier: Apache-2.0
 * The forms of outer.rescale: against numpy (tests/golden/make_outer.py), and rda where there is no
 * direction, or but one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "coordinator/versions/outer.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

enum { COUNT = 300, PATHS = 3, STEPS = 2, SALT_THETA = 1, SALT_DELTA = 10 };

static const char golden_file[] = DPC_GOLDEN_DIR "/outer.bin";
static const double weights[PATHS] = {0.5, 0.3, 0.2}, scales[PATHS] = {1, 0.25, 1};
static const float lengths[PATHS] = {1, 4, 0.125f};

struct bench {
    char folder[SCRATCH_PATH_MAX];
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_store *store;
    struct dpc_fold_input inputs[PATHS];
    struct dpc_error err;
};

static void
bench_init(struct bench *bench)
{
    *bench = (struct bench){0};
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&bench->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_blobs_open(&dpc_vfs_posix, scratch_make(bench->folder), &bench->blobs, &bench->err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(bench->kv, bench->blobs, &bench->store, &bench->err),
                          DPC_OK);
}

static void
bench_done(struct bench *bench)
{
    dpc_store_close(bench->store);
    dpc_blobs_close(bench->blobs);
    dpc_kv_close(bench->kv);
    scratch_remove(bench->folder);
}

/* make_outer.py's `tensor` times `factor`. */
static void
fill(float *values, uint32_t salt, float factor)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t x = i + salt * 0x9E3779B9u;
        x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
        x = (x ^ (x >> 13)) * 0xC2B2AE35u;
        x ^= x >> 16;
        values[i] = factor * (float)((x >> 16) / 65536.0 * 0.5 - 0.25);
    }
}

static struct dpc_hash
put(struct bench *bench, const float *values)
{
    struct dpc_buf blob;
    struct dpc_hash hash;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, COUNT);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(bench->store, blob.data, blob.len, &hash, &bench->err),
                          DPC_OK);
    dpc_buf_done(&blob);
    return hash;
}

static struct dpc_hash
put_hashed(struct bench *bench, uint32_t salt, float factor)
{
    float values[COUNT];
    fill(values, salt, factor);
    return put(bench, values);
}

static void
get(struct bench *bench, const struct dpc_hash *hash, float *ret_values)
{
    uint8_t *blob;
    size_t len;
    const float *values;
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(bench->store, hash, &blob, &len, &bench->err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_read(blob, len, COUNT, &values, &bench->err), DPC_OK);
    memcpy(ret_values, values, COUNT * sizeof *values);
    dpc_free(blob);
}

/* One step of all the bench's inputs from `master`, which the caller may change. */
static struct dpc_fold
fold_of(struct bench *bench, const struct dpc_hash *master, uint32_t inputs_count, bool rda)
{
    return (struct dpc_fold){.version = 1,
                             .count = COUNT,
                             .master = *master,
                             .lr = 0.7,
                             .mu = 0.9,
                             .rescale = 1,
                             .rda = rda,
                             .inputs_count = inputs_count,
                             .inputs = bench->inputs};
}

static struct dpc_folded
step(struct bench *bench, const struct dpc_fold *fold)
{
    struct dpc_folded folded;
    int code = dpc_outer_fold(bench->store, dpc_ops_cpu(DPC_FP32), fold, &folded, &bench->err);
    if (code != DPC_OK)
        CU_FAIL(bench->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    return folded;
}

static double
norm_of(const float *values)
{
    double squares = 0;
    for (int i = 0; i < COUNT; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares);
}

static double
cosine_of(const float *a, const float *b)
{
    double product = 0;
    for (int i = 0; i < COUNT; i++)
        product += (double)a[i] * (double)b[i];
    return product / norm_of(a) / norm_of(b);
}

/* What the step took off the weights, without momentum and at a learning rate of 1. */
static void
moved_by(struct bench *bench, uint32_t inputs_count, float *ret_moved)
{
    float zeros[COUNT] = {0};
    struct dpc_hash master = put(bench, zeros);
    struct dpc_fold fold = fold_of(bench, &master, inputs_count, true);
    fold.lr = 1;
    fold.mu = 0;
    struct dpc_folded folded = step(bench, &fold);
    get(bench, &folded.master, ret_moved);
    for (int i = 0; i < COUNT; i++)
        ret_moved[i] = -ret_moved[i];
}

/* --- Against numpy. */

static void
compare(struct bench *bench, const struct dpc_hash *hash, FILE *file)
{
    float found[COUNT], expected[COUNT];
    get(bench, hash, found);
    CU_ASSERT_EQUAL_FATAL(fread(expected, sizeof *expected, COUNT, file), COUNT);
    CU_ASSERT(largest_gap(found, expected, COUNT) < 1e-6);
}

static struct dpc_folded
two_steps(struct bench *bench, double rescale, bool rda)
{
    struct dpc_folded folded = {.master = put_hashed(bench, SALT_THETA, 1)};
    for (uint32_t i = 0; i < STEPS; i++) {
        for (uint32_t path = 0; path < PATHS; path++)
            bench->inputs[path] = (struct dpc_fold_input){
                .path = path,
                .delta = put_hashed(bench, SALT_DELTA + PATHS * i + path, lengths[path]),
                .weight = weights[path],
                .scale = scales[path]};
        struct dpc_fold fold = fold_of(bench, &folded.master, PATHS, rda);
        fold.momentum = folded.momentum;
        fold.rescale = rescale;
        folded = step(bench, &fold);
    }
    return folded;
}

static void
all_forms_agree_with_numpy(void)
{
    const double root = sqrt(1 / (0.5 * 0.5 + 0.3 * 0.3 + 0.2 * 0.2));
    const double rescales[] = {1, root, 1}; /* none, sqrt, rda */
    char magic[8];
    FILE *file = fopen(golden_file, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(fread(magic, 1, sizeof magic, file), sizeof magic);
    CU_ASSERT_EQUAL_FATAL(memcmp(magic, "DPCOUTR1", sizeof magic), 0);
    for (int form = 0; form < 3; form++) {
        struct bench bench;
        bench_init(&bench);
        struct dpc_folded folded = two_steps(&bench, rescales[form], form == 2);
        compare(&bench, &folded.master, file);
        compare(&bench, &folded.momentum, file);
        bench_done(&bench);
    }
    CU_ASSERT_EQUAL(fgetc(file), EOF);
    fclose(file);
}

/* --- rda */

static void
set_inputs(struct bench *bench, const struct dpc_hash deltas[2])
{
    for (uint32_t path = 0; path < 2; path++)
        bench->inputs[path] =
            (struct dpc_fold_input){.path = path, .delta = deltas[path], .weight = 0.5, .scale = 1};
}

static void
set_hashed(struct bench *bench, uint32_t salt, float one, uint32_t other_salt, float other)
{
    struct dpc_hash deltas[2] = {put_hashed(bench, salt, one),
                                 put_hashed(bench, other_salt, other)};
    set_inputs(bench, deltas);
}

/* However much longer one of them is, the way is the same and the length their mean. */
static void
lengths_do_not_turn_the_step(void)
{
    struct bench bench;
    float even[COUNT], uneven[COUNT], one[COUNT], other[COUNT];
    bench_init(&bench);
    fill(one, 20, 1);
    fill(other, 21, 1);
    set_hashed(&bench, 20, 1, 21, 1);
    moved_by(&bench, 2, even);
    set_hashed(&bench, 20, 64, 21, 1);
    moved_by(&bench, 2, uneven);
    CU_ASSERT_DOUBLE_EQUAL(norm_of(even), (norm_of(one) + norm_of(other)) / 2, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(norm_of(uneven), (64 * norm_of(one) + norm_of(other)) / 2, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(cosine_of(even, uneven), 1, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(cosine_of(even, one), cosine_of(even, other), 1e-6);
    bench_done(&bench);
}

/* Two at right angles: the mean is shorter by the root of two, and the ledger says by how much the
 * step is longer. */
static void
the_factor_is_what_the_angle_takes(void)
{
    struct bench bench;
    float values[COUNT] = {0};
    struct dpc_hash deltas[2], master;
    bench_init(&bench);
    values[0] = 3;
    deltas[0] = put(&bench, values);
    values[0] = 0;
    values[7] = -3;
    deltas[1] = put(&bench, values);
    master = put(&bench, values);
    set_inputs(&bench, deltas);
    struct dpc_fold fold = fold_of(&bench, &master, 2, true);
    CU_ASSERT_DOUBLE_EQUAL(step(&bench, &fold).rescale, sqrt(2.0), 1e-12);
    moved_by(&bench, 2, values);
    CU_ASSERT_DOUBLE_EQUAL(values[0], 3 / sqrt(2.0), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(values[7], -3 / sqrt(2.0), 1e-6);
    bench_done(&bench);
}

/* Nearly opposite ones, as none would be by chance, still have a direction in common. */
static void
directions_that_hardly_agree_do_not_cancel(void)
{
    struct bench bench;
    float values[COUNT] = {0};
    struct dpc_hash deltas[2];
    bench_init(&bench);
    for (int path = 0; path < 2; path++) {
        values[0] = path ? -1 : 1;
        values[7] = 1e-4f;
        deltas[path] = put(&bench, values);
    }
    set_inputs(&bench, deltas);
    moved_by(&bench, 2, values);
    CU_ASSERT_DOUBLE_EQUAL(values[0], 0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(values[7], 1, 1e-6);
    bench_done(&bench);
}

static void
what_is_left_out_only_shortens(void)
{
    struct bench bench;
    float moved[COUNT], one[COUNT];
    double worst = 0;
    bench_init(&bench);
    fill(one, 20, 1);
    set_hashed(&bench, 20, 1, 21, 5);
    bench.inputs[1].scale = 0;
    moved_by(&bench, 2, moved);
    for (int i = 0; i < COUNT; i++)
        worst = larger_gap(worst, fabs((double)moved[i] - 0.5 * (double)one[i]));
    CU_ASSERT(worst < 1e-6);
    bench_done(&bench);
}

/* The weights move by what momentum is left, as without any contribution. */
static void
check_coasts(struct bench *bench)
{
    float theta[COUNT], momentum[COUNT], found[COUNT], carried[COUNT];
    struct dpc_hash master = put_hashed(bench, SALT_THETA, 1), began = put_hashed(bench, 2, 1);
    struct dpc_fold fold = fold_of(bench, &master, 2, true);
    fold.momentum = began;
    struct dpc_folded folded = step(bench, &fold);
    CU_ASSERT_EQUAL(folded.rescale, 0);
    fill(theta, SALT_THETA, 1);
    fill(momentum, 2, 1);
    get(bench, &folded.master, found);
    get(bench, &folded.momentum, carried);
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_DOUBLE_EQUAL(carried[i], 0.9 * (double)momentum[i], 1e-7);
        CU_ASSERT_DOUBLE_EQUAL(found[i], (double)theta[i] - 0.7 * 0.9 * 0.9 * (double)momentum[i],
                               1e-6);
    }
    fold.momentum = dpc_hash_none;
    folded = step(bench, &fold);
    CU_ASSERT_TRUE(dpc_hash_equal(&folded.master, &master));
}

/* A third: its products are rounded, so that what is left of the sum is not quite zero. */
static void
opposite_directions_make_no_step(void)
{
    static const float others[] = {-1, -2, -1.0f / 3};
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        set_hashed(&bench, 20, 1, 20, others[i]);
        check_coasts(&bench);
    }
    bench_done(&bench);
}

static void
zeros_have_no_direction(void)
{
    struct bench bench;
    float zeros[COUNT] = {0}, moved[COUNT], one[COUNT];
    bench_init(&bench);
    struct dpc_hash zero = put(&bench, zeros), deltas[2] = {zero, zero};
    set_inputs(&bench, deltas);
    check_coasts(&bench);
    /* Beside another it takes from the length alone. */
    deltas[0] = put_hashed(&bench, 20, 1);
    set_inputs(&bench, deltas);
    moved_by(&bench, 2, moved);
    fill(one, 20, 1);
    CU_ASSERT_DOUBLE_EQUAL(norm_of(moved), norm_of(one) / 2, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(cosine_of(moved, one), 1, 1e-6);
    bench_done(&bench);
}

static void
one_contribution_is_its_own_mean(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_hash master = put_hashed(&bench, SALT_THETA, 1);
    set_hashed(&bench, 20, 0.3f, 21, 1);
    bench.inputs[0].weight = 1;
    struct dpc_fold plain = fold_of(&bench, &master, 1, false);
    struct dpc_fold rda = fold_of(&bench, &master, 1, true);
    struct dpc_folded one = step(&bench, &plain), other = step(&bench, &rda);
    CU_ASSERT_TRUE(dpc_hash_equal(&one.master, &other.master));
    CU_ASSERT_TRUE(dpc_hash_equal(&one.momentum, &other.momentum));
    CU_ASSERT_EQUAL(other.rescale, 1);
    bench_done(&bench);
}

/* Nothing of one step is left in the next. */
static void
a_chain_is_its_steps(void)
{
    struct bench bench;
    struct dpc_folded chained, first, second;
    bench_init(&bench);
    struct dpc_hash master = put_hashed(&bench, SALT_THETA, 1);
    set_hashed(&bench, 20, 1, 21, 5);
    struct dpc_fold folds[2] = {fold_of(&bench, &master, 2, true),
                                fold_of(&bench, &master, 2, true)};
    CU_ASSERT_EQUAL_FATAL(
        dpc_outer_chain(bench.store, dpc_ops_cpu(DPC_FP32), folds, 2, false, &chained, &bench.err),
        DPC_OK);
    first = step(&bench, &folds[0]);
    folds[1].master = first.master;
    folds[1].momentum = first.momentum;
    second = step(&bench, &folds[1]);
    CU_ASSERT_TRUE(dpc_hash_equal(&chained.master, &second.master));
    CU_ASSERT_TRUE(dpc_hash_equal(&chained.momentum, &second.momentum));
    CU_ASSERT_EQUAL(chained.rescale, second.rescale);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"all forms agree with numpy", all_forms_agree_with_numpy},
    {"lengths do not turn the step", lengths_do_not_turn_the_step},
    {"the factor is what the angle takes", the_factor_is_what_the_angle_takes},
    {"directions that hardly agree do not cancel", directions_that_hardly_agree_do_not_cancel},
    {"what is left out only shortens", what_is_left_out_only_shortens},
    {"opposite directions make no step", opposite_directions_make_no_step},
    {"zeros have no direction", zeros_have_no_direction},
    {"one contribution is its own mean", one_contribution_is_its_own_mean},
    {"a chain is its steps", a_chain_is_its_steps},
};
DPC_TEST_MAIN("coordinator/rescale", tests)
