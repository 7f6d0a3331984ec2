/* SPDX-License-Identifier: Apache-2.0
 * Whatever paths an experiment has, grids, lists with holes and replicas, and levels of modules
 * that belong to one path: each outer step merges paths of its module alone, each once, at weights
 * that sum to 1. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/harness.h"

enum { TRIALS = 60, LEVELS_MAX = 3, LISTED_MAX = 10 };

/* --- Drawn experiments. */

struct shape {
    uint32_t levels, modules[LEVELS_MAX];
    uint32_t own; /* level of modules: path; none from `levels` on */
    bool skips;   /* paths may go straight on at the second of three levels */
};

static void
draw_levels(struct dpc_rng *rng, struct shape *shape, struct dpc_buf *yaml)
{
    shape->levels = 2 + (uint32_t)dpc_rng_below(rng, 2);
    shape->own = (uint32_t)dpc_rng_below(rng, 8);
    shape->skips = shape->levels == 3 && shape->own != 1 && dpc_rng_below(rng, 2);
    dpc_buf_printf(yaml, "levels:\n");
    for (uint32_t i = 0; i < shape->levels; i++) {
        const char *parts = i == 0                   ? "embedding, {blocks: 1}"
                            : i == shape->levels - 1 ? "{blocks: 1}, head"
                                                     : "{blocks: 1}";
        shape->modules[i] = 1 + (uint32_t)dpc_rng_below(rng, 3);
        dpc_buf_printf(yaml, "  - {name: l%u, parts: [%s], modules: ", i, parts);
        if (i == shape->own)
            dpc_buf_printf(yaml, "path}\n");
        else
            dpc_buf_printf(yaml, "%u, identity: %s}\n", shape->modules[i],
                           shape->skips && i == 1 ? "true" : "false");
    }
}

static void
draw_entry(struct dpc_rng *rng, const struct shape *shape, uint32_t index, struct dpc_buf *yaml)
{
    const char *separator = "";
    for (uint32_t i = 0; i < shape->levels; i++) {
        if (i == shape->own)
            continue;
        /* The first ones see to it that no module is left out. */
        uint32_t modules = shape->modules[i];
        uint32_t choice = index < 3 ? index % modules : (uint32_t)dpc_rng_below(rng, modules);
        if (index >= 3 && shape->skips && i == 1 && dpc_rng_below(rng, 2))
            dpc_buf_printf(yaml, "%sx", separator);
        else
            dpc_buf_printf(yaml, "%s%u", separator, choice);
        separator = "-";
    }
}

static void
draw_paths(struct dpc_rng *rng, const struct shape *shape, struct dpc_buf *yaml)
{
    uint32_t count = 3 + (uint32_t)dpc_rng_below(rng, LISTED_MAX - 2);
    if (dpc_rng_below(rng, 3) == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        dpc_buf_printf(yaml, i ? ", " : "paths: [");
        draw_entry(rng, shape, i, yaml);
    }
    dpc_buf_printf(yaml, "]\n");
}

static void
start_drawn(struct driver *driver, struct dpc_rng *rng)
{
    static const char *const weights[] = {"shard", "uniform", "tokens"};
    struct dpc_buf yaml;
    struct shape shape = {0};
    bool elastic = dpc_rng_below(rng, 2);
    dpc_buf_init(&yaml, 0);
    dpc_buf_printf(&yaml, "experiment: test\ndata: {corpus: c}\nrouting: {prefix: 8}\n"
                          "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                          "inner: {steps: 2, batch: 2}\nwarm_start: {steps: 2}\n");
    draw_levels(rng, &shape, &yaml);
    draw_paths(rng, &shape, &yaml);
    dpc_buf_printf(&yaml, "replicas: %u\nmode: %s\n", 1 + (uint32_t)dpc_rng_below(rng, 2),
                   elastic ? "elastic" : "strict");
    dpc_buf_printf(&yaml, "outer: {rounds: 3, weight: %s, sample: %.2f, quorum: %.2f}\n",
                   weights[dpc_rng_below(rng, 3)], 0.3 + 0.7 * dpc_rng_unit(rng),
                   elastic ? 0.2 + 0.8 * dpc_rng_unit(rng) : 1.0);
    driver_start(driver, dpc_buf_text(&yaml));
    dpc_buf_done(&yaml);
}

/* --- What was merged. */

struct walk {
    const struct driver *driver;
    uint32_t steps, shared; /* outer steps, and those of several paths */
};

static bool
check_step(void *context, const struct dpc_ledger_record *record)
{
    struct walk *walk = context;
    const struct dpc_topology *topology = dpc_core_topology(walk->driver->core);
    double sum = 0;
    for (uint32_t i = 0; i < record->entries_count; i++) {
        sum += record->entries[i].weight;
        CU_ASSERT(dpc_topology_uses(topology, record->entries[i].path, record->module));
        CU_ASSERT(i == 0 || record->entries[i - 1].late ||
                  record->entries[i].path > record->entries[i - 1].path);
    }
    if (record->entries_count)
        CU_ASSERT_DOUBLE_EQUAL(sum, 1.0, 1e-12);
    walk->steps++;
    walk->shared += record->entries_count > 1;
    return true;
}

static void
weights_sum_to_one_whatever_the_paths(void)
{
    struct dpc_rng rng;
    uint32_t shared = 0;
    dpc_rng_init(&rng, 3, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < TRIALS; trial++) {
        struct driver driver;
        struct dpc_error err;
        start_drawn(&driver, &rng);
        struct walk walk = {.driver = &driver};
        driver.crash_after_each = trial % 4 == 0;
        CU_ASSERT_TRUE(driver_finish(&driver, 4));
        CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_step, &walk, &err), DPC_OK);
        CU_ASSERT(walk.steps >= 3 * dpc_core_topology(driver.core)->routed_modules);
        shared += walk.shared;
        driver_stop(&driver);
    }
    CU_ASSERT(shared > TRIALS);
}

/* --- DiLoCo. */

static bool
count_merged(void *context, const struct dpc_ledger_record *record)
{
    uint32_t *merged = context;
    if (record->module < 2) {
        CU_ASSERT_EQUAL(record->entries_count, 4);
        CU_ASSERT_DOUBLE_EQUAL(record->rescale, 2.0, 1e-12);
        for (uint32_t i = 0; i < record->entries_count; i++)
            CU_ASSERT_DOUBLE_EQUAL(record->entries[i].weight, 0.25, 1e-12);
        merged[record->module]++;
    }
    return true;
}

/* Four replicas of one model: every module merges all of them in every round. */
static void
replicas_train_one_model(void)
{
    static const char *const forms[] = {"paths: [0-0, 0-0, 0-0, 0-0]\n", "replicas: 4\n"};
    struct dpc_hash outcomes[2];
    for (int i = 0; i < 2; i++) {
        struct driver driver;
        struct dpc_error err;
        uint32_t merged[2] = {0};
        char *yaml = dpc_format("experiment: test\ndata: {corpus: c}\n"
                                "routing: {prefix: 8, init: hash}\n"
                                "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                                "levels:\n"
                                "  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}\n"
                                "  - {name: b, parts: [{blocks: 1}, head], modules: 1}\n"
                                "inner: {steps: 2, batch: 2}\nwarm_start: {steps: 2}\n"
                                "outer: {rounds: 5, weight: uniform}\n%s",
                                forms[i]);
        driver_start(&driver, yaml);
        CU_ASSERT_EQUAL(dpc_core_topology(driver.core)->routed_paths, 4);
        CU_ASSERT_TRUE(driver_finish(&driver, 3));
        CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, count_merged, merged, &err), DPC_OK);
        CU_ASSERT(merged[0] == 5 && merged[1] == 5);
        outcomes[i] = driver_outcome(&driver);
        driver_stop(&driver);
        dpc_free(yaml);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[1]));
}

/* --- Workers that a path is too large for. */

static void
give_back_as_too_large(struct driver *driver, uint8_t worker, struct dpc_token token)
{
    struct dpc_msg_give_back message = {.token = token, .reason = "no room", .too_large = true};
    struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK, .give_back.message = &message};
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
    CU_ASSERT_EQUAL(driver->actions.reply.type, DPC_MSG_ACK);
}

static struct dpc_msg_lease
must_lease(struct driver *driver, uint8_t worker, uint32_t path, uint32_t length)
{
    const struct dpc_msg *reply = driver_ask(driver, worker);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    CU_ASSERT_EQUAL(reply->lease.path, path);
    CU_ASSERT_EQUAL(reply->lease.levels_count, length);
    return reply->lease;
}

static void
must_wait_for_room(struct driver *driver, uint8_t worker)
{
    const struct dpc_msg *reply = driver_ask(driver, worker);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_WAIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->wait.reason, "fits this worker's memory"));
}

/* Path 0 is 0-0-0, path 1 0-x-0, path 2 the dense one. */
static void
a_small_worker_gets_short_paths_alone(void)
{
    static const char yaml[] = "experiment: test\ndata: {corpus: c}\nrouting: {prefix: 8}\n"
                               "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                               "levels:\n"
                               "  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}\n"
                               "  - {name: b, parts: [{blocks: 1}], modules: 1, identity: true}\n"
                               "  - {name: c, parts: [head], modules: 1}\n"
                               "inner: {steps: 2, batch: 2}\nwarm_start: {steps: 2}\n"
                               "outer: {rounds: 2}\nbaseline: {dense: false}\n";
    enum { SMALL = 0, LARGE = 1 };
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, LARGE, (struct dpc_token){0, 0});
    for (int i = 0; i < 2; i++) {
        driver_hello(&driver, SMALL, (struct dpc_token){0, 0}); /* it may have more room by now */
        give_back_as_too_large(&driver, SMALL, must_lease(&driver, SMALL, 2, 3).token);
        driver.now_ms += 2000; /* the second lease that came to nothing */
        must_wait_for_room(&driver, SMALL);
    }
    driver_reach_training(&driver, LARGE);
    struct dpc_msg_lease lease = must_lease(&driver, SMALL, 1, 2);
    CU_ASSERT_EQUAL(driver_submit(&driver, SMALL, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    must_wait_for_room(&driver, SMALL);
    lease = must_lease(&driver, LARGE, 0, 3);
    CU_ASSERT_EQUAL(driver_submit(&driver, LARGE, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    lease = must_lease(&driver, SMALL, 1, 2);
    CU_ASSERT_EQUAL(lease.round, 1);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"weights sum to one whatever the paths", weights_sum_to_one_whatever_the_paths},
    {"replicas train one model", replicas_train_one_model},
    {"a small worker gets short paths alone", a_small_worker_gets_short_paths_alone},
};
DPC_TEST_MAIN("coordinator/core/paths", tests)
