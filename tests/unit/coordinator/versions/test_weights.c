/* SPDX-License-Identifier: Apache-2.0
 * What contributions weigh, whoever comes: over random sets, quorums, parts and delays the weights
 * of every outer step sum to 1, and each is as the experiment and its own steps and delay say. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/harness.h"

enum { SIDE = 3, PATHS = SIDE * SIDE, WORKERS = 6, STEPS = 5, RUNS = 30, TURNS = 2000 };
#define DISCOUNT 0.25

struct run {
    struct driver driver;
    struct dpc_rng rng;
    struct dpc_msg_lease leases[WORKERS];
    bool holds[WORKERS];
    /* What came to pass, over all runs. */
    uint32_t steps, whole, some, parts, late;
};

/* --- The weights alone. */

static void
weights_of_any_set_are_normalised(void)
{
    struct dpc_experiment experiment = {.outer.rescale = DPC_RESCALE_SQRT};
    struct dpc_fold_input inputs[64];
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < 1000; trial++) {
        struct dpc_fold fold = {.inputs = inputs};
        double sum = 0, squares = 0;
        fold.inputs_count = 1 + (uint32_t)dpc_rng_below(&rng, 64);
        for (uint32_t i = 0; i < fold.inputs_count; i++)
            inputs[i].weight = exp(20 * dpc_rng_unit(&rng)); /* shards of 1 to 5e8 documents */
        double ratio = inputs[fold.inputs_count - 1].weight / inputs[0].weight;
        dpc_fold_normalise(&fold, experiment.outer.rescale);
        for (uint32_t i = 0; i < fold.inputs_count; i++) {
            sum += inputs[i].weight;
            squares += inputs[i].weight * inputs[i].weight;
        }
        CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(inputs[fold.inputs_count - 1].weight / inputs[0].weight, ratio,
                               1e-9 * ratio);
        CU_ASSERT_DOUBLE_EQUAL(fold.rescale, sqrt(1 / squares), 1e-9);
        CU_ASSERT(fold.rescale >= 1 && fold.rescale <= sqrt(fold.inputs_count) + 1e-9);
    }
}

/* --- Whole runs. */

static void
start(struct run *run, const char *weight, uint32_t number)
{
    char yaml[1024];
    dpc_rng_init(&run->rng, number, DPC_RNG_TEST, 1, 0, 0);
    memset(run->holds, 0, sizeof run->holds);
    (void)snprintf(
        yaml, sizeof yaml,
        "experiment: test\n"
        "mode: elastic\n"
        "data: {corpus: corpus}\n"
        "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
        "levels:\n"
        "  - {name: lower, parts: [embedding, {blocks: 1}], modules: %d}\n"
        "  - {name: upper, parts: [{blocks: 1}, head], modules: %d}\n"
        "routing: {prefix: 8}\n"
        "inner: {steps: %d, batch: 2}\n"
        "outer: {rounds: 4, weight: %s, quorum: %.2f, grace: %.2f, late_discount: %.2f}\n"
        "baseline: {dense: false}\n"
        "warm_start: {steps: 4}\n",
        SIDE, SIDE, STEPS, weight, 0.2 + 0.8 * dpc_rng_unit(&run->rng), dpc_rng_unit(&run->rng),
        DISCOUNT);
    driver_start(&run->driver, yaml);
    for (uint8_t worker = 0; worker < WORKERS; worker++)
        driver_hello(&run->driver, worker, (struct dpc_token){0, 0});
    driver_reach_training(&run->driver, 0);
}

/* Some of the lease's steps, or all; contents depend on how many. */
static void
hand_in(struct run *run, uint8_t worker)
{
    struct dpc_msg_submit submit;
    struct dpc_submission_check fine = {0};
    const struct dpc_msg_lease *lease = &run->leases[worker];
    driver_fill_submission(&run->driver, lease, &submit);
    if (dpc_rng_below(&run->rng, 3) == 0)
        submit.steps_count = 1 + (uint32_t)dpc_rng_below(&run->rng, lease->steps_count);
    for (uint32_t level = 0; level < submit.parts_count; level++)
        submit.parts[level].delta.hash.bytes[0] = (uint8_t)(lease->step_first + submit.steps_count);
    driver_submit_message(&run->driver, worker, &submit, &fine);
    run->holds[worker] = false;
}

static void
ask(struct run *run, uint8_t worker)
{
    const struct dpc_msg *reply = driver_ask(&run->driver, worker);
    run->holds[worker] = reply->type == DPC_MSG_LEASE;
    if (run->holds[worker])
        run->leases[worker] = reply->lease;
}

/* Workers come and go by chance: one may hold its lease over several rounds. */
static void
train(struct run *run)
{
    struct dpc_event tick = {.type = DPC_EVENT_TICK};
    for (int turn = 0; turn < TURNS && driver_phase(&run->driver) == DPC_PHASE_TRAIN; turn++) {
        uint8_t worker = (uint8_t)dpc_rng_below(&run->rng, WORKERS);
        run->driver.now_ms += (int64_t)dpc_rng_below(&run->rng, 300);
        if (!run->holds[worker])
            ask(run, worker);
        else if (dpc_rng_below(&run->rng, 2u + worker) == 0)
            hand_in(run, worker);
        driver_step(&run->driver, &tick);
    }
}

/* As README and experiment file say: by documents, tokens or none, a part by its share of the
 * round, what came late at a discount. */
static double
expected_weight(const struct run *run, const struct dpc_ledger_entry *entry)
{
    double share = (double)entry->steps / STEPS, discount = entry->late ? DISCOUNT : 1;
    switch (run->driver.experiment.outer.weight) {
    case DPC_WEIGHT_SHARD:
        return discount * share * (100.0 + entry->path);
    case DPC_WEIGHT_TOKENS:
        return discount * share * (10.0 + entry->path);
    case DPC_WEIGHT_UNIFORM:
        break;
    }
    return discount * share;
}

static bool
check_entry(void *context, const struct dpc_ledger_record *record)
{
    struct run *run = context;
    double sum = 0, all = 0;
    uint32_t count = record->entries_count;
    if (dpc_topology_module_is_dense(dpc_core_topology(run->driver.core), record->module))
        return true;
    for (uint32_t i = 0; i < count; i++) {
        sum += record->entries[i].weight;
        all += expected_weight(run, &record->entries[i]);
        run->parts += record->entries[i].steps < STEPS;
        run->late += record->entries[i].late > 0;
    }
    CU_ASSERT(count == 0 || fabs(sum - 1) < 1e-12);
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_DOUBLE_EQUAL(record->entries[i].weight,
                               expected_weight(run, &record->entries[i]) / all, 1e-12);
    run->steps++;
    run->whole += count == SIDE;
    run->some += count > 0 && count < SIDE;
    return true;
}

static void
weights_sum_to_1_whoever_comes(void)
{
    static const char *const kinds[] = {"shard", "tokens", "uniform"};
    static struct run run;
    for (uint32_t i = 0; i < RUNS; i++) {
        struct dpc_error err;
        start(&run, kinds[i % 3], i);
        train(&run);
        CU_ASSERT_EQUAL(dpc_scan_ledger(run.driver.kv, 0, check_entry, &run, &err), DPC_OK);
        driver_stop(&run.driver);
    }
    CU_ASSERT(run.steps > RUNS * 2 * SIDE);
    CU_ASSERT(run.whole > 0 && run.some > 0 && run.parts > 0 && run.late > 0);
}

static const struct dpc_test tests[] = {
    {"weights of any set are normalised", weights_of_any_set_are_normalised},
    {"weights sum to 1 whoever comes", weights_sum_to_1_whoever_comes},
};
DPC_TEST_MAIN("coordinator/weights", tests)
