/* SPDX-License-Identifier: Apache-2.0
 * What a sweep keeps. tests/sim removes all the rest, again and again, in the middle of everything.
 */
#include "coordinator/core/keep.h"

#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

#define YAML(warm_start)                                                                           \
    SMALL_2X2                                                                                      \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 6}\n"                                                                         \
    "warm_start: {steps: 8" warm_start "}\n"                                                       \
    "keep_rounds: 2\n"

static const char yaml[] = YAML("");
enum { KEEP_ROUNDS = 2 };

static struct dpc_keep *
keep_now(struct driver *driver)
{
    struct dpc_error err;
    struct dpc_keep *keep = dpc_keep_create(driver->core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(keep, driver->kv, &err), DPC_OK);
    return keep;
}

static bool
is_kept(struct driver *driver, const struct dpc_hash *hash)
{
    struct dpc_keep *keep = keep_now(driver);
    bool kept = dpc_hash_is_none(hash) || dpc_keep_holds(keep, hash);
    dpc_keep_destroy(keep);
    return kept;
}

static void
check_lease(struct driver *driver, const struct dpc_msg_lease *lease)
{
    for (uint32_t level = 0; level < lease->levels_count; level++)
        CU_ASSERT(is_kept(driver, &lease->versions[level].hash));
    for (uint32_t level = 0; level < lease->levels_count; level++)
        CU_ASSERT(is_kept(driver, &lease->changes[level].hash));
    CU_ASSERT(is_kept(driver, &lease->data.hash));
    CU_ASSERT(is_kept(driver, &lease->state.hash));
}

static void
check_leases(const char *text)
{
    struct driver driver;
    uint32_t leases = 0;
    driver_start(&driver, text);
    for (uint8_t worker = 0; worker < 3; worker++)
        driver_hello(&driver, worker, (struct dpc_token){0});
    for (int i = 0; i < 1000 && driver_phase(&driver) != DPC_PHASE_FINISHED; i++) {
        driver.now_ms += 10;
        const struct dpc_msg *reply = driver_ask(&driver, (uint8_t)(i % 3));
        if (reply->type != DPC_MSG_LEASE)
            continue;
        struct dpc_msg_lease lease = reply->lease;
        check_lease(&driver, &lease);
        leases++;
        driver_submit(&driver, (uint8_t)(i % 3), &lease);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_FINISHED);
    CU_ASSERT(leases > 30);
    /* No lease names it: text is written and exported with it, when all is over. */
    struct dpc_phase_record phase;
    CU_ASSERT_EQUAL(dpc_load_phase(driver.kv, &phase, NULL), DPC_OK);
    CU_ASSERT_FALSE(dpc_hash_is_none(&phase.tokenizer));
    CU_ASSERT(is_kept(&driver, &phase.tokenizer));
    driver_stop(&driver);
}

/* From the first lease to the last one, features of the pinned dense version among them. */
static void
what_a_lease_names_is_kept(void)
{
    check_leases(yaml);
    check_leases(YAML("") "transfer: {download: nf4}\n");
}

/* A delta that no version holds yet. */
static void
what_waits_for_its_outer_step_is_kept(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver.hold_folds = true;
    driver_hello(&driver, 0, (struct dpc_token){0});
    struct dpc_msg_lease lease = driver_ask(&driver, 0)->lease;
    struct dpc_msg_submit submit;
    driver_fill_submission(&driver, &lease, &submit);
    CU_ASSERT_FALSE(is_kept(&driver, &submit.parts[0].delta.hash));
    driver_submit(&driver, 0, &lease);
    CU_ASSERT(driver.folds_count > 0);
    for (uint32_t i = 0; i < submit.parts_count; i++)
        CU_ASSERT(is_kept(&driver, &submit.parts[i].delta.hash));
    CU_ASSERT(is_kept(&driver, &submit.state.hash));
    driver_stop(&driver);
}

struct counts {
    struct driver *driver;
    const struct dpc_keep *keep;
    uint32_t kept, dropped;
};

static void
count(struct counts *counts, bool expected, const struct dpc_hash *hash)
{
    bool kept = dpc_keep_holds(counts->keep, hash);
    CU_ASSERT_EQUAL(kept, expected);
    counts->kept += kept;
    counts->dropped += !kept;
}

static bool
count_version(void *context, const struct dpc_version_record *version)
{
    struct counts *counts = context;
    const struct dpc_core *core = counts->driver->core;
    uint32_t newest = dpc_core_module(core, version->module)->version;
    uint32_t pinned = dpc_topology_module_is_dense(dpc_core_topology(core), version->module)
                          ? dpc_core_warm_rounds(core)
                          : 0; /* where training goes back to at most */
    count(counts, version->version == pinned || newest - version->version <= KEEP_ROUNDS,
          &version->published);
    return true;
}

static bool
count_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    struct counts *counts = context;
    uint32_t done = dpc_core_path(counts->driver->core, contribution->path)->rounds_done;
    bool kept = contribution->round + KEEP_ROUNDS >= done;
    count(counts, kept, &contribution->delta);
    CU_ASSERT(!kept || dpc_hash_is_none(&contribution->began) ||
              dpc_keep_holds(counts->keep, &contribution->began)); /* for forks */
    return true;
}

static void
check_history(const char *text)
{
    struct driver driver;
    struct dpc_error err;
    driver_start(&driver, text);
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    struct dpc_keep *keep = keep_now(&driver);
    struct counts counts = {.driver = &driver, .keep = keep};
    CU_ASSERT_EQUAL(dpc_scan_versions(driver.kv, count_version, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(counts.dropped, 4 * 3 + 2 * 5);
    CU_ASSERT_EQUAL(dpc_scan_contributions(driver.kv, count_contribution, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(counts.kept, 4 * 4 + 2 * 4 + 5 * 2 * KEEP_ROUNDS);
    dpc_keep_destroy(keep);
    driver_stop(&driver);
}

/* Modules that begin as copies share their first content with the dense one, others do not. */
static void
old_rounds_are_not_kept_but_pinned_versions_are(void)
{
    check_history(yaml);
    check_history(YAML(", init: drop"));
}

static const char yaml_phases[] = SMALL_2X2 "routing: {prefix: 8, phases: 2}\n"
                                            "inner: {steps: 4, batch: 2}\n"
                                            "outer: {rounds: 3}\n"
                                            "warm_start: {steps: 8}\n";

/* Features until the last sharding, scores until that of their own phase, those of the evaluation
 * for ever. */
static bool
check_result(void *context, const struct dpc_result_record *result)
{
    struct counts *counts = context;
    const struct dpc_phase_record *phase = dpc_core_phase(counts->driver->core);
    bool routes = phase->routing_phases < 2;
    count(counts,
          result->kind == DPC_TASK_EVALUATE || (result->kind == DPC_TASK_FEATURIZE && routes) ||
              (result->kind == DPC_TASK_SCORE && result->phase > phase->routing_phases),
          &result->result);
    return true;
}

static void
results_are_kept_as_long_as_they_are_read(void)
{
    struct driver driver;
    struct dpc_error err;
    struct counts counts = {.driver = &driver};
    driver_start(&driver, yaml_phases);
    driver_hello(&driver, 0, (struct dpc_token){0});
    while (driver_phase(&driver) != DPC_PHASE_FINISHED) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        check_lease(&driver, &lease);
        driver_submit(&driver, 0, &lease);
        struct dpc_keep *keep = keep_now(&driver);
        counts.keep = keep;
        CU_ASSERT_EQUAL(dpc_scan_results(driver.kv, check_result, &counts, &err), DPC_OK);
        dpc_keep_destroy(keep);
    }
    CU_ASSERT(counts.kept > 0 && counts.dropped > 0);
    driver_stop(&driver);
}

static void
a_restart_keeps_the_same(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, (struct dpc_token){0});
    for (int i = 0; i < 40; i++) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(&driver, 0, &lease);
        struct dpc_keep *before = keep_now(&driver);
        driver_crash(&driver);
        struct dpc_keep *after = keep_now(&driver);
        CU_ASSERT_EQUAL_FATAL(dpc_keep_count(before), dpc_keep_count(after));
        for (size_t k = 0; k < dpc_keep_count(before); k++)
            CU_ASSERT_TRUE(dpc_hash_equal(dpc_keep_at(before, k), dpc_keep_at(after, k)));
        dpc_keep_destroy(before);
        dpc_keep_destroy(after);
    }
    driver_stop(&driver);
}

/* --- What is read of history. */

/* Contributions that are read although they are not kept, at most: a round of all paths, and what
 * the dense one has behind it before routed ones begin. */
enum { AHEAD = 24, MODULES = 6 };

/* A kv that counts which records scans come by. */
struct counting_kv {
    struct dpc_kv kv; /* first */
    struct dpc_kv *data;
    uint32_t read[UINT8_MAX + 1]; /* by the letter with which their keys begin */
};

static void
note_letter(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
            const uint8_t *value, size_t value_len)
{
    (void)family, (void)key_len, (void)value, (void)value_len;
    *(uint8_t *)context = key[0];
}

/* Of the kind of record that `sample` holds; releases it. */
static uint32_t
count_reads(const struct counting_kv *counting, struct dpc_kv_batch *sample)
{
    uint8_t letter = 0;
    CU_ASSERT_EQUAL(dpc_kv_batch_each(sample, note_letter, &letter), DPC_OK);
    dpc_kv_batch_done(sample);
    return counting->read[letter];
}

static uint32_t
contributions_read(const struct counting_kv *counting)
{
    struct dpc_kv_batch sample;
    dpc_kv_batch_init(&sample);
    dpc_put_contribution(&sample, &(struct dpc_contribution_record){0});
    return count_reads(counting, &sample);
}

static uint32_t
versions_read(const struct counting_kv *counting)
{
    struct dpc_kv_batch sample;
    dpc_kv_batch_init(&sample);
    dpc_put_version(&sample, &(struct dpc_version_record){.cause = DPC_CAUSE_INITIAL});
    return count_reads(counting, &sample);
}

struct counting_visit {
    struct counting_kv *counting;
    bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t);
    void *context;
};

static bool
count_read(void *context, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
    struct counting_visit *visit = context;
    visit->counting->read[key[0]]++;
    return visit->visit(visit->context, key, key_len, value, len);
}

static int
counting_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
              const void *after, size_t after_len,
              bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t),
              void *context, struct dpc_error *err)
{
    struct counting_kv *counting = (struct counting_kv *)kv;
    struct counting_visit counted = {counting, visit, context};
    return counting->data->ops->scan(counting->data, family, prefix, prefix_len, after, after_len,
                                     count_read, &counted, err);
}

/* The round that all modules of the kind of this one have got to. */
static uint32_t
reached(const struct dpc_core *core, uint32_t module)
{
    const struct dpc_topology *topology = dpc_core_topology(core);
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < topology->modules_count; i++) {
        const struct dpc_module_record *record = dpc_core_module(core, i);
        uint32_t round = record ? dpc_module_round(record) : 0;
        if (dpc_topology_module_is_dense(topology, i) ==
                dpc_topology_module_is_dense(topology, module) &&
            round < least)
            least = round;
    }
    return least;
}

/* Versions of rounds that only some modules have got to. */
static uint32_t
count_ahead(const struct dpc_core *core)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < dpc_core_topology(core)->modules_count; i++) {
        const struct dpc_module_record *record = dpc_core_module(core, i);
        count += record ? dpc_module_round(record) - reached(core, i) : 0;
    }
    return count;
}

struct history {
    struct driver *driver;
    const struct dpc_keep *keep;
    bool waits;         /* what a module has yet to merge may be older than what is kept else */
    uint32_t all, kept; /* contributions */
};

/* As the tables say, without regard to what is read. */
static bool
check_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    struct history *history = context;
    const struct dpc_core *core = history->driver->core;
    bool recent = contribution->round + KEEP_ROUNDS >= reached(core, contribution->module);
    bool leased = false;
    for (uint32_t i = 0; i < dpc_core_leases_count(core); i++) {
        struct dpc_lease_view lease;
        dpc_core_lease_at(core, i, history->driver->now_ms, &lease);
        leased |= lease.kind == DPC_TASK_TRAIN && lease.path == contribution->path &&
                  lease.round <= contribution->round;
    }
    bool kept = dpc_keep_holds(history->keep, &contribution->delta);
    CU_ASSERT(kept == (recent || leased) || (kept && history->waits));
    history->all++;
    history->kept += recent || leased;
    return true;
}

static bool
check_version(void *context, const struct dpc_version_record *version)
{
    struct history *history = context;
    const struct dpc_core *core = history->driver->core;
    uint32_t newest = dpc_core_module(core, version->module)->version;
    bool pinned = version->version == 0 &&
                  !dpc_topology_module_is_dense(dpc_core_topology(core), version->module);
    CU_ASSERT(!(pinned || version->version + KEEP_ROUNDS >= newest) ||
              dpc_keep_holds(history->keep, &version->published));
    return true;
}

static void
check_kept(struct history *history)
{
    struct dpc_error err;
    struct dpc_kv *kv = history->driver->kv;
    CU_ASSERT_EQUAL(dpc_scan_versions(kv, check_version, history, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_contributions(kv, check_contribution, history, &err), DPC_OK);
}

/* That little more is read than is kept. Some paths are ahead of others. */
static struct history
check_reading(struct driver *driver)
{
    static const struct dpc_kv_ops ops = {.scan = counting_scan};
    struct counting_kv counting = {.kv = {&ops}, .data = driver->kv};
    const struct dpc_experiment *experiment = &driver->experiment;
    struct history history = {.driver = driver,
                              .waits = experiment->mode == DPC_MODE_ELASTIC ||
                                       experiment->outer.sample < 1};
    struct dpc_error err;
    struct dpc_keep *keep = dpc_keep_create(driver->core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(keep, &counting.kv, &err), DPC_OK);
    history.keep = keep;
    check_kept(&history);
    uint32_t read = contributions_read(&counting);
    CU_ASSERT(read >= history.kept && read <= history.kept + AHEAD);
    CU_ASSERT(versions_read(&counting) <= MODULES * (KEEP_ROUNDS + 2) + count_ahead(driver->core));
    dpc_keep_destroy(keep);
    return history;
}

static void
check_readings(const char *text)
{
    struct driver driver;
    struct history history = {0};
    struct dpc_event tick = {.type = DPC_EVENT_TICK};
    driver_start(&driver, text);
    for (uint8_t worker = 0; worker < 3; worker++)
        driver_hello(&driver, worker, (struct dpc_token){0});
    for (int i = 0; i < 10000 && driver_phase(&driver) != DPC_PHASE_FINISHED; i++) {
        driver.now_ms += 10;
        const struct dpc_msg *reply = driver_ask(&driver, (uint8_t)(i % 3));
        bool found = reply->type == DPC_MSG_LEASE;
        struct dpc_msg_lease lease = {0};
        if (found)
            lease = reply->lease;
        history = check_reading(&driver);
        if (found)
            driver_submit(&driver, (uint8_t)(i % 3), &lease);
        driver_step(&driver, &tick);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_FINISHED);
    CU_ASSERT(history.all > 2 * (history.kept + AHEAD));
    driver_stop(&driver);
}

#define YAML_LONG(mode, dense, outer)                                                              \
    SMALL_2X2                                                                                      \
    "mode: " mode "\n"                                                                             \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 40" outer "}\n"                                                               \
    "baseline: {dense: " dense "}\n"                                                               \
    "warm_start: {steps: 24}\n"                                                                    \
    "keep_rounds: 2\n"

/* Else a sweep would take longer with each round. */
static void
rounds_that_are_too_old_are_not_read(void)
{
    check_readings(YAML_LONG("strict", "false", ""));
    check_readings(YAML_LONG("strict", "true", ""));
    check_readings(YAML_LONG("strict", "false", ", sample: 0.5"));
    check_readings(YAML_LONG("elastic", "false", ", quorum: 0.5, grace: 0.5"));
}

struct made_of {
    struct counts counts;
    uint32_t far_ahead; /* of those that are kept: their path has gone on by more than is kept */
};

/* As far as a module goes back, its contributions do. */
static bool
check_by_module(void *context, const struct dpc_contribution_record *contribution)
{
    struct made_of *made_of = context;
    struct counts *counts = &made_of->counts;
    const struct dpc_core *core = counts->driver->core;
    if (contribution->round + KEEP_ROUNDS <
        dpc_module_round(dpc_core_module(core, contribution->module)))
        return true;
    count(counts, true, &contribution->delta);
    CU_ASSERT(dpc_hash_is_none(&contribution->began) ||
              dpc_keep_holds(counts->keep, &contribution->began));
    made_of->far_ahead +=
        contribution->round + KEEP_ROUNDS < dpc_core_path(core, contribution->path)->rounds_done;
    return true;
}

/* The next round that a path trains in may be far from its last one: what it handed in for that is
 * what its modules are made of all the same. */
static void
what_modules_were_made_of_is_kept_whatever_the_path_does_next(void)
{
    struct driver driver;
    struct dpc_error err;
    struct made_of made_of = {.counts = {.driver = &driver}};
    driver_start(&driver, YAML_LONG("strict", "false", ", sample: 0.2"));
    driver_hello(&driver, 0, (struct dpc_token){0});
    while (driver_phase(&driver) <= DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
        struct dpc_keep *keep = keep_now(&driver);
        made_of.counts.keep = keep;
        CU_ASSERT_EQUAL(dpc_scan_contributions(driver.kv, check_by_module, &made_of, &err), DPC_OK);
        dpc_keep_destroy(keep);
    }
    CU_ASSERT(made_of.far_ahead > 0);
    driver_stop(&driver);
}

static void
roll_back(struct driver *driver, uint32_t module, uint32_t number)
{
    struct dpc_version_record version;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver->kv, module, number, &version, &err), DPC_OK);
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK, .rollback = {1, &version}};
    driver_step(driver, &event);
}

/* Those of the round that the module is at, and of the rounds before it that are kept. */
static bool
check_version_by_round(void *context, const struct dpc_version_record *version)
{
    struct counts *counts = context;
    const struct dpc_module_record *module = dpc_core_module(counts->driver->core, version->module);
    if (dpc_version_round(version) + KEEP_ROUNDS >= dpc_module_round(module))
        count(counts, true, &version->published);
    return true;
}

/* Who has gone back a version may want to go back one more. */
static void
a_rollback_costs_no_history(void)
{
    struct driver driver;
    struct dpc_error err;
    struct counts counts = {.driver = &driver};
    driver_start_training(&driver, yaml);
    while (dpc_core_module(driver.core, 0)->version < 2 * KEEP_ROUNDS) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
    }
    for (uint32_t back = 1; back <= 2 * KEEP_ROUNDS; back++) {
        roll_back(&driver, 0, 2 * KEEP_ROUNDS - back);
        CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, 2 * KEEP_ROUNDS + back);
    }
    struct dpc_keep *keep = keep_now(&driver);
    counts.keep = keep;
    CU_ASSERT_EQUAL(dpc_scan_versions(driver.kv, check_version_by_round, &counts, &err), DPC_OK);
    CU_ASSERT(counts.kept > 0);
    dpc_keep_destroy(keep);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"a rollback costs no history", a_rollback_costs_no_history},
    {"what modules were made of is kept, whatever the path does next",
     what_modules_were_made_of_is_kept_whatever_the_path_does_next},
    {"what a lease names is kept", what_a_lease_names_is_kept},
    {"what waits for its outer step is kept", what_waits_for_its_outer_step_is_kept},
    {"old rounds are not kept, but pinned versions are",
     old_rounds_are_not_kept_but_pinned_versions_are},
    {"results are kept as long as they are read", results_are_kept_as_long_as_they_are_read},
    {"a restart keeps the same", a_restart_keeps_the_same},
    {"rounds that are too old are not read", rounds_that_are_too_old_are_not_read},
};

DPC_TEST_MAIN("coordinator/keep", tests)
