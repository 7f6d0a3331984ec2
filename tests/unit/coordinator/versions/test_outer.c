/* SPDX-License-Identifier: Apache-2.0
 * The outer step against a plain computation in double from what the store holds, and its
 * independence of the order in which contributions arrive. */
#include "coordinator/versions/outer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/rng.h"
#include "base/tensor_blob.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

static const char yaml[] = TINY_2X2 "routing: {prefix: 4}\n"
                                    "inner: {steps: 4, batch: 2}\n"
                                    "outer: {rounds: 2, lr: 0.7, momentum: 0.9, rescale: sqrt}\n"
                                    "baseline: {dense: false}\n"
                                    "warm_start: {steps: 4}\n";

/* The values of a tensor blob as doubles. */
static double *
load(struct driver *driver, const struct dpc_hash *hash, size_t count)
{
    uint8_t *blob;
    size_t len;
    const float *values;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(driver->store, hash, &blob, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_read(blob, len, count, &values, &err), DPC_OK);
    double *copy = dpc_alloc(count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = (double)values[i];
    dpc_free(blob);
    return copy;
}

/* --- Two rounds in double. */

struct reference {
    struct driver *driver;
    uint32_t module, round;
    size_t count;
    double *sum;
    double weights, squares;
};

static bool
add_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct reference *reference = context;
    if (record->module != reference->module || record->round != reference->round)
        return true;
    double weight = (double)dpc_core_path(reference->driver->core, record->path)->shard_documents;
    double *delta = load(reference->driver, &record->delta, reference->count);
    for (size_t i = 0; i < reference->count; i++)
        reference->sum[i] += weight * delta[i];
    reference->weights += weight;
    reference->squares += weight * weight;
    dpc_free(delta);
    return true;
}

/* theta and momentum after one outer step, by the formulas of the paper. */
static void
step_in_double(struct driver *driver, uint32_t module, uint32_t round, size_t count, double *theta,
               double *momentum)
{
    struct dpc_error err;
    struct reference reference = {.driver = driver,
                                  .module = module,
                                  .round = round,
                                  .count = count,
                                  .sum = dpc_alloc(count, sizeof(double))};
    CU_ASSERT_EQUAL(dpc_scan_contributions(driver->kv, add_contribution, &reference, &err), DPC_OK);
    double effective = reference.weights * reference.weights / reference.squares;
    CU_ASSERT(effective > 1.9 && effective <= 2.0);
    for (size_t i = 0; i < count; i++) {
        double delta = sqrt(effective) * reference.sum[i] / reference.weights;
        momentum[i] = 0.9 * momentum[i] + delta;
        theta[i] -= 0.7 * (delta + 0.9 * momentum[i]);
    }
    dpc_free(reference.sum);
}

static void
two_rounds_equal_the_computation_in_double(void)
{
    struct driver driver;
    struct dpc_error err;
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    CU_ASSERT_TRUE_FATAL(driver_finish(&driver, 2));
    for (uint32_t module = 0; module < 4; module++) {
        struct dpc_version_record version;
        size_t count = dpc_layout_module_floats(&driver.experiment, module / 2);
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, module, 0, &version, &err), DPC_OK);
        double *theta = load(&driver, &version.master, count);
        double *momentum = dpc_alloc(count, sizeof *momentum);
        for (uint32_t round = 0; round < 2; round++) {
            step_in_double(&driver, module, round, count, theta, momentum);
            CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, module, round + 1, &version, &err),
                                  DPC_OK);
            double *found = load(&driver, &version.master, count), worst = 0;
            for (size_t i = 0; i < count; i++)
                worst = larger_gap(worst, fabs(found[i] - theta[i]));
            CU_ASSERT(worst < 1e-7);
            dpc_free(found);
        }
        dpc_free(theta);
        dpc_free(momentum);
    }
    driver_stop(&driver);
    scratch_remove(folder);
}

/* --- The dense model: what its one path came to, and nothing besides. */

struct found {
    uint32_t module;
    uint32_t count;
    struct dpc_hash delta;
};

static bool
find_delta(void *context, const struct dpc_contribution_record *record)
{
    struct found *found = context;
    found->count += record->module == found->module;
    if (record->module == found->module)
        found->delta = record->delta;
    return true;
}

static void
the_dense_model_steps_without_momentum(void)
{
    enum { DENSE_LOWER = 4 };
    struct driver driver;
    struct dpc_error err;
    struct dpc_version_record versions[2];
    struct found found = {.module = DENSE_LOWER};
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    CU_ASSERT_TRUE_FATAL(driver_finish(&driver, 1));
    CU_ASSERT_EQUAL(dpc_scan_contributions(driver.kv, find_delta, &found, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(found.count, 1);
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, DENSE_LOWER, i, &versions[i], &err),
                              DPC_OK);
    size_t count = dpc_layout_module_floats(&driver.experiment, 0), wrong = 0;
    double *before = load(&driver, &versions[0].master, count);
    double *delta = load(&driver, &found.delta, count);
    double *after = load(&driver, &versions[1].master, count);
    for (size_t i = 0; i < count; i++)
        wrong += after[i] != (double)(float)(before[i] - delta[i]);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_TRUE(dpc_hash_is_none(&versions[1].momentum));
    dpc_free(before);
    dpc_free(delta);
    dpc_free(after);
    driver_stop(&driver);
    scratch_remove(folder);
}

/* --- Order. */

/* Trains both rounds with one worker a path; in each round paths deliver in this order. */
static struct dpc_hash
outcome_of_order(const uint32_t order[4])
{
    struct driver driver;
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    for (uint8_t worker = 0; worker < 4; worker++)
        driver_hello(&driver, worker, (struct dpc_token){0, 0});
    while (driver_phase(&driver) != DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_ask(&driver, 0)->lease;
        driver_submit(&driver, 0, &lease);
    }
    for (int round = 0; round < 2; round++) {
        struct dpc_msg_lease leases[4];
        uint8_t owner[4] = {0};
        for (uint8_t worker = 0; worker < 4; worker++) {
            const struct dpc_msg *reply = driver_ask(&driver, worker);
            CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
            leases[reply->lease.path] = reply->lease;
            owner[reply->lease.path] = worker;
        }
        for (int i = 0; i < 4; i++)
            driver_submit(&driver, owner[order[i]], &leases[order[i]]);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_EVALUATE);
    struct dpc_hash outcome = driver_outcome(&driver);
    driver_stop(&driver);
    scratch_remove(folder);
    return outcome;
}

static void
any_order_of_arrival_gives_the_same_bits(void)
{
    static const uint32_t orders[][4] = {
        {0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}, {3, 0, 1, 2}};
    struct dpc_hash first = outcome_of_order(orders[0]);
    for (size_t i = 1; i < sizeof orders / sizeof *orders; i++) {
        struct dpc_hash other = outcome_of_order(orders[i]);
        CU_ASSERT_TRUE(dpc_hash_equal(&first, &other));
    }
}

static void
a_damaged_contribution_is_never_merged(void)
{
    struct driver driver;
    struct dpc_error err;
    struct dpc_folded folded;
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    struct dpc_fold_input input = {.weight = 1, .scale = 1};
    dpc_hash_of("never stored", 12, &input.delta);
    const struct dpc_module_record *module = dpc_core_module(driver.core, 4);
    struct dpc_fold fold = {
        .module = 4,
        .version = 1,
        .count = dpc_layout_module_floats(&driver.experiment, 0),
        .master = module->master,
        .lr = 1,
        .rescale = 1,
        .inputs_count = 1,
        .inputs = &input,
    };
    CU_ASSERT_EQUAL(dpc_outer_fold(driver.store, dpc_ops_cpu(DPC_FP32), &fold, &folded, &err),
                    DPC_ECORRUPT); /* who starts again would find it gone again */
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "contribution of path 0"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is gone: put its file back from a backup"));
    /* A tensor of another module's shape. */
    input.delta = dpc_core_module(driver.core, 5)->master;
    CU_ASSERT_EQUAL(dpc_outer_fold(driver.store, dpc_ops_cpu(DPC_FP32), &fold, &folded, &err),
                    DPC_ECORRUPT);
    driver_stop(&driver);
    scratch_remove(folder);
}

/* --- Other forms. */

enum { CODED = 5, CODED_COUNT = 1000003 }; /* what gates read at once ends within a block */

static struct dpc_hash
put_as(struct driver *driver, enum dpc_codec codec, const float *values)
{
    struct dpc_buf blob;
    struct dpc_hash hash;
    struct dpc_error err;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, codec, values, CODED_COUNT);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(driver->store, blob.data, blob.len, &hash, &err),
                          DPC_OK);
    dpc_buf_done(&blob);
    return hash;
}

/* The same delta twice, as `codec` and as the values that this means. */
static void
put_both(struct driver *driver, enum dpc_codec codec, uint32_t path, float *values,
         struct dpc_fold_input *coded, struct dpc_fold_input *plain)
{
    uint8_t *bytes = dpc_alloc(dpc_codec_bytes(codec, CODED_COUNT), 1);
    struct dpc_rng rng;
    dpc_rng_init(&rng, 6, DPC_RNG_INIT, path, 0, 0);
    for (size_t i = 0; i < CODED_COUNT; i++)
        values[i] = (float)(dpc_rng_unit(&rng) - 0.4) * (path == 3 ? 50.0f : 1.0f);
    coded[path] = (struct dpc_fold_input){.path = path, .weight = 1.0 / CODED, .scale = 1};
    memset(coded[path].worker, (int)path + 1, sizeof coded[path].worker);
    plain[path] = coded[path];
    coded[path].delta = put_as(driver, codec, values);
    dpc_codec_encode(codec, values, CODED_COUNT, bytes);
    dpc_codec_decode(codec, bytes, CODED_COUNT, values);
    plain[path].delta = put_as(driver, DPC_CODEC_FP32, values);
    dpc_free(bytes);
}

static void
a_form_is_merged_as_the_values_that_it_means(void)
{
    struct driver driver;
    struct dpc_error err;
    char folder[SCRATCH_PATH_MAX];
    float *values = dpc_alloc(CODED_COUNT, sizeof *values);
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    struct dpc_hash master = put_as(&driver, DPC_CODEC_FP32, values);
    for (enum dpc_codec codec = DPC_CODEC_BF16; codec < DPC_CODECS_COUNT; codec++) {
        struct dpc_fold_input coded[CODED], plain[CODED];
        struct dpc_folded folded[2];
        for (uint32_t path = 0; path < CODED; path++)
            put_both(&driver, codec, path, values, coded, plain);
        struct dpc_fold fold = {.module = 4,
                                .version = 1,
                                .count = CODED_COUNT,
                                .master = master,
                                .lr = 1,
                                .rescale = 1,
                                .gated = true,
                                .inputs_count = CODED,
                                .inputs = coded};
        const struct dpc_ops *ops = dpc_ops_cpu(DPC_FP32);
        CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &fold, &folded[0], &err), DPC_OK);
        fold.inputs = plain;
        CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &fold, &folded[1], &err), DPC_OK);
        CU_ASSERT_TRUE(dpc_hash_equal(&folded[0].master, &folded[1].master));
        CU_ASSERT(folded[0].judged[3].scale < 0.2);
        for (uint32_t i = 0; i < CODED; i++)
            CU_ASSERT_EQUAL(folded[0].judged[i].scale, folded[1].judged[i].scale);
        dpc_free(folded[0].judged);
        dpc_free(folded[1].judged);
    }
    dpc_free(values);
    driver_stop(&driver);
    scratch_remove(folder);
}

/* --- What is published. */

static float *
values_of(struct driver *driver, const struct dpc_hash *hash)
{
    uint8_t *blob;
    size_t len;
    struct dpc_error err;
    float *values = dpc_alloc(CODED_COUNT, sizeof *values);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(driver->store, hash, &blob, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_decode(blob, len, CODED_COUNT, values, &err), DPC_OK);
    dpc_free(blob);
    return values;
}

/* Root mean square of their difference. */
static double
distance(struct driver *driver, const struct dpc_hash *one, const struct dpc_hash *other)
{
    float *a = values_of(driver, one), *b = values_of(driver, other);
    double squares = 0;
    for (size_t i = 0; i < CODED_COUNT; i++)
        squares += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    dpc_free(a);
    dpc_free(b);
    return sqrt(squares / CODED_COUNT);
}

/* The version before plus the difference, to the bit. */
static void
check_change(struct driver *driver, const struct dpc_hash *before, const struct dpc_folded *folded)
{
    float *base = values_of(driver, before), *change = values_of(driver, &folded->change);
    float *published = values_of(driver, &folded->published);
    size_t wrong = 0;
    for (size_t i = 0; i < CODED_COUNT; i++)
        wrong += published[i] != base[i] + change[i];
    CU_ASSERT_EQUAL(wrong, 0);
    dpc_free(base);
    dpc_free(change);
    dpc_free(published);
}

enum { PUBLISHED_ROUNDS = 4 };

/* Rounds of one contribution each. Masters are those of fp32, whatever is published; that stays
 * within what a form loses in one round; and to make all steps at once makes the same. */
static void
check_published(struct driver *driver, enum dpc_codec codec, float loses)
{
    const struct dpc_ops *ops = dpc_ops_cpu(DPC_FP32);
    struct dpc_fold_input inputs[PUBLISHED_ROUNDS][CODED], unused[CODED];
    struct dpc_fold folds[PUBLISHED_ROUNDS];
    struct dpc_folded folded = {0}, plain = {0};
    struct dpc_error err;
    float *values = dpc_alloc(CODED_COUNT, sizeof *values);
    struct dpc_hash master = put_as(driver, DPC_CODEC_FP32, values);
    folded.master = folded.published = plain.master = master;
    for (uint32_t round = 0; round < PUBLISHED_ROUNDS; round++) {
        struct dpc_folded before = folded;
        put_both(driver, DPC_CODEC_BF16, round, values, unused, inputs[round]);
        inputs[round][round].weight = 1;
        struct dpc_fold *fold = &folds[round];
        *fold = (struct dpc_fold){.module = 1,
                                  .version = round + 1,
                                  .count = CODED_COUNT,
                                  .master = before.master,
                                  .published = before.published,
                                  .momentum = before.momentum,
                                  .lr = 0.7,
                                  .mu = 0.9,
                                  .rescale = 1,
                                  .download = codec,
                                  .inputs_count = 1,
                                  .inputs = &inputs[round][round]};
        CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver->store, ops, fold, &folded, &err), DPC_OK);
        check_change(driver, &before.published, &folded);
        double step = distance(driver, &before.published, &folded.master);
        double left = distance(driver, &folded.published, &folded.master);
        CU_ASSERT(left > 0 && left < (double)loses * step);
        struct dpc_fold other = *fold;
        other.download = DPC_CODEC_FP32;
        CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver->store, ops, &other, &plain, &err), DPC_OK);
        CU_ASSERT_TRUE(dpc_hash_equal(&plain.master, &folded.master));
        CU_ASSERT_TRUE(dpc_hash_equal(&plain.master, &plain.published));
        CU_ASSERT_TRUE(dpc_hash_is_none(&plain.change));
    }
    CU_ASSERT_EQUAL_FATAL(
        dpc_outer_chain(driver->store, ops, folds, PUBLISHED_ROUNDS, false, &plain, &err), DPC_OK);
    CU_ASSERT_TRUE(dpc_hash_equal(&plain.master, &folded.master));
    CU_ASSERT_TRUE(dpc_hash_equal(&plain.published, &folded.published));
    dpc_free(values);
}

static void
what_is_published_follows_the_master_by_differences(void)
{
    struct driver driver;
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    check_published(&driver, DPC_CODEC_BF16, 0.003f);
    check_published(&driver, DPC_CODEC_INT8, 0.01f);
    check_published(&driver, DPC_CODEC_NF4, 0.15f);
    driver_stop(&driver);
    scratch_remove(folder);
}

/* A fork may change outer.momentum, and a revoke folds again over the cut: a step without momentum
 * leaves none to the next one, whether that follows at once or out of the store. */
static void
steps_at_once_are_those_one_by_one_when_momentum_changes(void)
{
    static const double mus[] = {0.9, 0, 0.9, 0};
    enum { STEPS = sizeof mus / sizeof *mus };
    struct driver driver;
    struct dpc_error err;
    struct dpc_fold_input inputs[STEPS][CODED], unused[CODED];
    struct dpc_fold folds[STEPS];
    struct dpc_folded folded = {0}, again;
    char folder[SCRATCH_PATH_MAX];
    const struct dpc_ops *ops = dpc_ops_cpu(DPC_FP32);
    float *values = dpc_alloc(CODED_COUNT, sizeof *values);
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    folded.master = put_as(&driver, DPC_CODEC_FP32, values);
    for (uint32_t i = 0; i < STEPS; i++) {
        put_both(&driver, DPC_CODEC_BF16, i, values, unused, inputs[i]);
        folds[i] = (struct dpc_fold){.module = 1,
                                     .version = i + 1,
                                     .count = CODED_COUNT,
                                     .master = folded.master,
                                     .momentum = folded.momentum,
                                     .lr = 0.7,
                                     .mu = mus[i],
                                     .rescale = 1,
                                     .inputs_count = 1,
                                     .inputs = &inputs[i][i]};
        CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &folds[i], &folded, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_outer_chain(driver.store, ops, folds, i + 1, false, &again, &err),
                              DPC_OK);
        CU_ASSERT_TRUE(dpc_hash_equal(&again.master, &folded.master));
        CU_ASSERT_TRUE(dpc_hash_equal(&again.momentum, &folded.momentum));
    }
    dpc_free(values);
    driver_stop(&driver);
    scratch_remove(folder);
}

/* --- Gates. */

static struct dpc_hash
put_scaled(struct driver *driver, const struct dpc_hash *like, size_t count, float factor)
{
    struct dpc_buf blob;
    struct dpc_hash hash;
    struct dpc_error err;
    double *values = load(driver, like, count);
    float *scaled = dpc_alloc(count, sizeof *scaled);
    for (size_t i = 0; i < count; i++)
        scaled[i] = factor * (float)values[i] + 1e-3f * (float)((int)(i * 7919 % 201) - 100);
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, scaled, count);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(driver->store, blob.data, blob.len, &hash, &err),
                          DPC_OK);
    dpc_buf_done(&blob);
    dpc_free(scaled);
    dpc_free(values);
    return hash;
}

/* The scales are all that a replay needs: without gates they give the same bits. */
static void
check_gated(bool rda)
{
    static const float factors[5] = {1, 0.5f, 100, 2, -1};
    struct driver driver;
    struct dpc_error err;
    struct dpc_folded gated, again;
    struct dpc_fold_input inputs[5] = {0};
    char folder[SCRATCH_PATH_MAX];
    scratch_make(folder);
    driver_start_with_store(&driver, yaml, folder);
    const struct dpc_module_record *module = dpc_core_module(driver.core, 4);
    struct dpc_fold fold = {.module = 4,
                            .version = 1,
                            .count = dpc_layout_module_floats(&driver.experiment, 0),
                            .master = module->master,
                            .lr = 1,
                            .rescale = 1,
                            .rda = rda,
                            .gated = true,
                            .inputs_count = 5,
                            .inputs = inputs};
    for (uint32_t i = 0; i < 5; i++) {
        inputs[i] = (struct dpc_fold_input){.path = i, .weight = 0.2, .scale = 1};
        inputs[i].delta = put_scaled(&driver, &module->master, fold.count, factors[i]);
        memset(inputs[i].worker, (int)i + 1, sizeof inputs[i].worker);
    }
    const struct dpc_ops *ops = dpc_ops_cpu(DPC_FP32);
    CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &fold, &gated, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(gated.judged_count, 5);
    CU_ASSERT(gated.judged[2].scale > 0 && gated.judged[2].scale < 0.2);
    for (uint32_t i = 0; i < 5; i++)
        inputs[i].scale = gated.judged[i].scale;
    fold.gated = false;
    CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &fold, &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(again.judged_count, 0);
    CU_ASSERT_TRUE(dpc_hash_equal(&gated.master, &again.master));
    inputs[2].scale = 1;
    CU_ASSERT_EQUAL_FATAL(dpc_outer_fold(driver.store, ops, &fold, &again, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_hash_equal(&gated.master, &again.master));
    dpc_free(gated.judged);
    driver_stop(&driver);
    scratch_remove(folder);
}

static void
gated_steps_follow_from_their_scales(void)
{
    check_gated(false);
    check_gated(true);
}

/* --- Modules of one path alone. */

static const char own_yaml[] = "experiment: test\n"
                               "data: {corpus: corpus}\n"
                               "model: {dim: 8, heads: 2, ffn: 16, context: 16}\n"
                               "levels:\n"
                               "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                               "  - {name: upper, parts: [{blocks: 1}], modules: 2}\n"
                               "  - {name: own, parts: [{blocks: 1}, head], modules: path}\n"
                               "routing: {prefix: 4}\n"
                               "inner: {steps: 4, batch: 2}\n"
                               "outer: {rounds: 3, lr: 0.7, momentum: 0.9, rescale: %s}\n"
                               "baseline: {dense: false}\n"
                               "warm_start: {steps: 4}\n";

/* Modules 0 to 3 are shared by two paths each, 4 to 7 belong to one. */
enum { OWN_FIRST = 4, OWN_BEHIND = 8, OWN_LEVEL = 2, OWN_ROUNDS = 3 };

struct own {
    struct driver *driver;
    uint32_t module, round;
    size_t count;
    double *delta; /* the one contribution; NULL: none was found yet */
};

static bool
take_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct own *own = context;
    if (record->module != own->module || record->round != own->round)
        return true;
    CU_ASSERT_PTR_NULL(own->delta);
    own->delta = load(own->driver, &record->delta, own->count);
    return true;
}

/* Deltas of two paths have nothing to do with one another here: at right angles every form but none
 * makes their mean longer by the root of two. */
static bool
check_own_entry(void *context, const struct dpc_ledger_record *record)
{
    const struct driver *driver = context;
    bool scaled = driver->experiment.outer.rescale != DPC_RESCALE_NONE;
    if (record->module >= OWN_BEHIND)
        return true;
    if (record->module < OWN_FIRST) {
        CU_ASSERT_EQUAL(record->entries_count, 2);
        CU_ASSERT_DOUBLE_EQUAL(record->rescale, scaled ? sqrt(2.0) : 1, 0.1);
        return true;
    }
    CU_ASSERT_EQUAL(record->entries_count, 1);
    CU_ASSERT_EQUAL(record->entries[0].weight, 1);
    CU_ASSERT_EQUAL(record->rescale, 1);
    return true;
}

/* Its delta times the learning rate with Nesterov, to the bit: nothing divides it by a number of
 * paths or multiplies it by the root of one. */
static void
check_own_step(struct own *own, double *theta, double *momentum)
{
    struct dpc_error err;
    struct dpc_version_record version;
    uint32_t wrong = 0;
    own->delta = NULL;
    CU_ASSERT_EQUAL(dpc_scan_contributions(own->driver->kv, take_contribution, own, &err), DPC_OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(own->delta);
    CU_ASSERT_EQUAL_FATAL(
        dpc_load_version(own->driver->kv, own->module, own->round + 1, &version, &err), DPC_OK);
    double *found = load(own->driver, &version.master, own->count);
    for (size_t i = 0; i < own->count; i++) {
        momentum[i] = (double)(float)(0.9 * momentum[i] + own->delta[i]);
        theta[i] = (double)(float)(theta[i] - 0.7 * (own->delta[i] + 0.9 * momentum[i]));
        wrong += found[i] != theta[i];
    }
    CU_ASSERT_EQUAL(wrong, 0);
    dpc_free(found);
    dpc_free(own->delta);
}

static void
check_own(const char *rescale)
{
    char text[1024], folder[SCRATCH_PATH_MAX];
    struct driver driver;
    struct dpc_error err;
    (void)snprintf(text, sizeof text, own_yaml, rescale);
    driver_start_with_store(&driver, text, scratch_make(folder));
    CU_ASSERT_TRUE_FATAL(driver_finish(&driver, 2));
    struct own own = {.driver = &driver,
                      .count = dpc_layout_module_floats(&driver.experiment, OWN_LEVEL)};
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_own_entry, &driver, &err), DPC_OK);
    for (own.module = OWN_FIRST; own.module < OWN_BEHIND; own.module++) {
        struct dpc_version_record version;
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, own.module, 0, &version, &err), DPC_OK);
        double *theta = load(&driver, &version.master, own.count);
        double *momentum = dpc_alloc(own.count, sizeof *momentum);
        for (own.round = 0; own.round < OWN_ROUNDS; own.round++)
            check_own_step(&own, theta, momentum);
        dpc_free(theta);
        dpc_free(momentum);
    }
    driver_stop(&driver);
    scratch_remove(folder);
}

static void
a_path_s_own_module_steps_by_its_one_contribution(void)
{
    check_own("sqrt");
    check_own("rda");
}

static const struct dpc_test tests[] = {
    {"two rounds equal the computation in double", two_rounds_equal_the_computation_in_double},
    {"the dense model steps without momentum", the_dense_model_steps_without_momentum},
    {"any order of arrival gives the same bits", any_order_of_arrival_gives_the_same_bits},
    {"a damaged contribution is never merged", a_damaged_contribution_is_never_merged},
    {"a form is merged as the values that it means", a_form_is_merged_as_the_values_that_it_means},
    {"what is published follows the master by differences",
     what_is_published_follows_the_master_by_differences},
    {"steps at once are those one by one when momentum changes",
     steps_at_once_are_those_one_by_one_when_momentum_changes},
    {"gated steps follow from their scales", gated_steps_follow_from_their_scales},
    {"a path's own module steps by its one contribution",
     a_path_s_own_module_steps_by_its_one_contribution},
};
DPC_TEST_MAIN("coordinator/outer", tests)
