/* SPDX-License-Identifier: Apache-2.0
 * Early stopping in the core: which round a path takes, and what that costs training. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "coordinator/core/keep.h"
#include "modules/path.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

enum { LEVELS = 2, PATHS = 5, DENSE = 4, LAST = 3, ROUNDS = 4, KEEP_ROUNDS = 2, WARM_ROUNDS = 2 };

#define YAML(more, rounds)                                                                         \
    "early_stopping: true\n" SMALL_2X2 "inner: {steps: 4, batch: 2}\n"                             \
    "warm_start: {steps: 8}\n"                                                                     \
    "keep_rounds: 2\n"                                                                             \
    "outer: {rounds: " rounds "}\n" more
static const char yaml[] = YAML("routing: {prefix: 8}\n", "4");

/* --- What the records say. */

struct records {
    struct dpc_best_record bests[PATHS];
    uint32_t count;
    struct dpc_candidate_record candidates[256];
};

static bool
take_best(void *context, const struct dpc_best_record *record)
{
    ((struct records *)context)->bests[record->path] = *record;
    return true;
}

static bool
take_candidate(void *context, const struct dpc_candidate_record *record)
{
    struct records *records = context;
    CU_ASSERT_FATAL(records->count < 256);
    records->candidates[records->count++] = *record;
    return true;
}

static void
read_records(struct driver *driver, struct records *records)
{
    struct dpc_error err;
    memset(records, 0, sizeof *records);
    CU_ASSERT_EQUAL(dpc_scan_bests(driver->kv, take_best, records, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_candidates(driver->kv, take_candidate, records, &err), DPC_OK);
}

/* The least loss among those that compete; of equals the oldest. */
static const struct dpc_candidate_record *
find_least(const struct records *records, uint32_t path)
{
    const struct dpc_candidate_record *least = NULL;
    for (uint32_t i = 0; i < records->count; i++) {
        const struct dpc_candidate_record *candidate = &records->candidates[i];
        if (candidate->path == path && candidate->number >= records->bests[path].first &&
            (!least ||
             candidate->nats * (double)least->targets < least->nats * (double)candidate->targets))
            least = candidate;
    }
    return least;
}

static uint32_t
count_candidates(const struct records *records, uint32_t path)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < records->count; i++)
        count += records->candidates[i].path == path;
    return count;
}

static struct dpc_hash
published(struct driver *driver, uint32_t path, uint32_t level, uint32_t version)
{
    struct dpc_version_record record;
    struct dpc_error err;
    uint32_t module = dpc_topology_module(dpc_core_topology(driver->core), path, level);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver->kv, module, version, &record, &err), DPC_OK);
    return record.published;
}

/* --- Turns. */

/* One lease of worker 0, which is handed in. */
static struct dpc_msg_lease
turn(struct driver *driver)
{
    const struct dpc_msg *reply = driver_ask(driver, 0);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    struct dpc_msg_lease lease = reply->lease;
    driver->now_ms += 10;
    CU_ASSERT_EQUAL(driver_submit(driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    return lease;
}

static void
start(struct driver *driver, const char *text)
{
    driver_start(driver, text);
    driver_hello(driver, 0, (struct dpc_token){0, 0});
}

/* Rounds of the path that are over and not evaluated. */
static uint32_t
unrated(const struct driver *driver, uint32_t path)
{
    const struct dpc_best_record *best = dpc_core_best(driver->core, path);
    uint32_t over = UINT32_MAX;
    for (uint32_t level = 0; level < LEVELS; level++) {
        uint32_t module = dpc_topology_module(dpc_core_topology(driver->core), path, level);
        const struct dpc_module_record *record = dpc_core_module(driver->core, module);
        uint32_t round = record ? dpc_module_round(record) : 0;
        over = round < over ? round : over;
    }
    return best && over >= best->next_round ? over - best->next_round + 1 : 0;
}

static bool
rates(const struct driver *driver, const struct dpc_msg_lease *lease)
{
    return lease->kind == DPC_TASK_EVALUATE && driver_phase(driver) != DPC_PHASE_EVALUATE;
}

/* --- Tests. */

static void
each_path_takes_its_best_round(void)
{
    struct driver driver;
    struct records records;
    bool differ = false;
    driver_start(&driver, yaml);
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    read_records(&driver, &records);
    for (uint32_t path = 0; path < PATHS; path++) {
        const struct dpc_best_record *best = &records.bests[path];
        const struct dpc_candidate_record *least = find_least(&records, path);
        CU_ASSERT_EQUAL(count_candidates(&records, path), path == LAST ? 0 : ROUNDS + 1);
        CU_ASSERT_EQUAL(best->found, path != LAST);
        if (path == LAST)
            continue;
        CU_ASSERT_EQUAL(best->round, least->round);
        CU_ASSERT_EQUAL(best->loss, least->nats / (double)least->targets);
        CU_ASSERT_EQUAL(least->documents, path == DENSE ? 600 : 40);
        for (uint32_t level = 0; level < LEVELS; level++)
            CU_ASSERT_EQUAL(best->versions[level], best->round);
        differ |= best->round < (path == DENSE ? WARM_ROUNDS + ROUNDS : ROUNDS);
    }
    CU_ASSERT_TRUE(differ);
    driver_stop(&driver);
}

static double
always_two(const struct dpc_msg_lease *lease)
{
    (void)lease;
    return 2;
}

static void
of_rounds_that_are_equal_it_is_the_oldest(void)
{
    struct driver driver;
    struct records records;
    driver_start(&driver, yaml);
    driver.loss_of = always_two;
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    read_records(&driver, &records);
    for (uint32_t path = 0; path < PATHS; path++) {
        const struct dpc_best_record *best = &records.bests[path];
        CU_ASSERT_EQUAL(best->found, path != LAST);
        CU_ASSERT_EQUAL(best->round, path == DENSE ? WARM_ROUNDS : 0);
        for (uint32_t level = 0; level < LEVELS; level++)
            CU_ASSERT_EQUAL(best->versions[level], best->round);
    }
    driver_stop(&driver);
}

/* Of one worker, of several, and of a coordinator that ends after every event. */
static void
it_does_not_depend_on_who_evaluates_when(void)
{
    struct records records[3];
    struct dpc_hash outcomes[3];
    for (int i = 0; i < 3; i++) {
        struct driver driver;
        driver_start(&driver, yaml);
        driver.crash_after_each = i == 2;
        CU_ASSERT_TRUE(driver_finish(&driver, i == 1 ? 1 : 5));
        read_records(&driver, &records[i]);
        outcomes[i] = driver_outcome(&driver);
        driver_stop(&driver);
    }
    for (int i = 1; i < 3; i++) {
        CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[i], &outcomes[0]));
        CU_ASSERT_EQUAL(records[i].count, records[0].count);
        for (uint32_t k = 0; k < records[0].count; k++)
            CU_ASSERT_EQUAL(records[i].candidates[k].nats, records[0].candidates[k].nats);
        for (uint32_t path = 0; path < PATHS; path++) {
            CU_ASSERT_EQUAL(records[i].bests[path].round, records[0].bests[path].round);
            CU_ASSERT_EQUAL(records[i].bests[path].loss, records[0].bests[path].loss);
        }
    }
}

/* One worker trains as long as evaluations may wait, and no longer. */
static void
training_goes_on_until_evaluations_are_far_behind(void)
{
    struct driver driver;
    uint32_t beside = 0;
    start(&driver, yaml);
    while (driver_phase(&driver) != DPC_PHASE_FINISHED) {
        uint32_t most = 0;
        for (uint32_t path = 0; path < PATHS; path++)
            most = unrated(&driver, path) > most ? unrated(&driver, path) : most;
        if (turn(&driver).kind == DPC_TASK_TRAIN) {
            CU_ASSERT(most < KEEP_ROUNDS);
            beside += most > 0;
        }
    }
    CU_ASSERT(beside > 4);
    driver_stop(&driver);
}

static void
the_evaluation_at_the_end_reads_the_best_round(void)
{
    struct driver driver;
    uint32_t leases = 0;
    start(&driver, yaml);
    while (driver_phase(&driver) != DPC_PHASE_FINISHED) {
        bool ends = driver_phase(&driver) == DPC_PHASE_EVALUATE;
        struct dpc_msg_lease lease = turn(&driver);
        const struct dpc_best_record *best = dpc_core_best(driver.core, lease.path);
        for (uint32_t level = 0; level < LEVELS && ends; level++) {
            const struct dpc_module_record *newest =
                dpc_core_module(driver.core, lease.modules[level]);
            struct dpc_hash hash = published(&driver, lease.path, level,
                                             best ? best->versions[level] : newest->version);
            CU_ASSERT_TRUE(dpc_hash_equal(&lease.versions[level].hash, &hash));
        }
        leases += ends;
        CU_ASSERT(!ends || (best == NULL) == (lease.path == LAST));
    }
    CU_ASSERT(leases >= PATHS);
    driver_stop(&driver);
}

/* In its own time, also where modules go on without the path, and without everybody. */
static void
every_round_is_evaluated(void)
{
    static const char *const texts[] = {
        YAML("routing: {prefix: 8}\nmode: elastic\n", "4, sample: 0.4"),
        YAML("routing: {prefix: 8}\n", "4, sample: 0.4"),
        YAML("routing: {prefix: 8}\nmode: elastic\n", "4, quorum: 0.5"),
        YAML("routing: {prefix: 8}\nbaseline: {dense: false}\n", "4"),
    };
    for (int i = 0; i < 4; i++) {
        struct driver driver;
        struct records records;
        driver_start(&driver, texts[i]);
        CU_ASSERT_TRUE(driver_finish(&driver, 3));
        read_records(&driver, &records);
        for (uint32_t path = 0; path < PATHS; path++) {
            bool measured = path != LAST && (path != DENSE || i < 3);
            const struct dpc_candidate_record *least = find_least(&records, path);
            CU_ASSERT_EQUAL(count_candidates(&records, path), measured ? ROUNDS + 1 : 0);
            CU_ASSERT(!measured || records.bests[path].round == least->round);
        }
        driver_stop(&driver);
    }
}

/* --- Beginning anew. */

/* The round of the path; the dense one's are let alone. */
static double
loss_falls(const struct dpc_msg_lease *lease)
{
    return 10 - 0.1 * lease->round;
}

static double
loss_rises(const struct dpc_msg_lease *lease)
{
    return 1 + 0.1 * lease->round;
}

/* Module 0, which paths 0 and 1 use. */
static void
roll_back_to(struct driver *driver, uint32_t number)
{
    struct dpc_version_record version;
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver->kv, 0, number, &version, &err), DPC_OK);
    event.rollback.versions_count = 1;
    event.rollback.versions = &version;
    driver_step(driver, &event);
}

static void
reach_round(struct driver *driver, uint32_t path, uint32_t round)
{
    while (dpc_core_best(driver->core, path) == NULL ||
           dpc_core_best(driver->core, path)->next_round <= round)
        turn(driver);
}

static void
a_rollback_discards_what_was_made_of_it(void)
{
    struct driver driver;
    struct records records;
    start(&driver, yaml);
    driver.loss_of = loss_falls;
    reach_round(&driver, 0, 2);
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 0)->round, 2);
    uint32_t elsewhere = dpc_core_best(driver.core, 2)->round;
    roll_back_to(&driver, 1);
    uint32_t round = dpc_module_round(dpc_core_module(driver.core, 0));
    CU_ASSERT_FALSE(dpc_core_best(driver.core, 0)->found);
    const struct dpc_best_record *beside = dpc_core_best(driver.core, 1);
    CU_ASSERT(!beside->found || beside->versions[0] <= 1);
    CU_ASSERT(dpc_core_best(driver.core, 0)->next_round >= round);
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 2)->round, elsewhere);
    driver_crash(&driver);
    CU_ASSERT_FALSE(dpc_core_best(driver.core, 0)->found);
    driver.loss_of = NULL;
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    read_records(&driver, &records);
    for (uint32_t path = 0; path < LAST; path++)
        CU_ASSERT_EQUAL(records.bests[path].round, find_least(&records, path)->round);
    CU_ASSERT(records.bests[0].round >= round);
    driver_stop(&driver);
}

static void
what_is_older_than_a_rollback_stays_the_best(void)
{
    struct driver driver;
    start(&driver, yaml);
    driver.loss_of = loss_rises;
    reach_round(&driver, 0, 2);
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 0)->round, 0);
    roll_back_to(&driver, 1);
    CU_ASSERT_TRUE(dpc_core_best(driver.core, 0)->found);
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 0)->round, 0);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 0)->round, 0);
    driver_stop(&driver);
}

static void
a_rollback_voids_evaluations_of_what_it_discards(void)
{
    struct driver driver;
    struct dpc_msg_lease lease = {0};
    start(&driver, yaml);
    reach_round(&driver, 0, 1);
    driver_hello(&driver, 1, (struct dpc_token){0, 0});
    for (int i = 0; i < 100 && !(rates(&driver, &lease) && lease.path == 0); i++) {
        if (lease.token.serial)
            driver_submit(&driver, 1, &lease);
        lease = driver_ask(&driver, 1)->lease;
    }
    CU_ASSERT_FATAL(rates(&driver, &lease) && lease.path == 0);
    roll_back_to(&driver, 0);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 1, lease.token)->verdict.verdict, DPC_VERDICT_STALE);
    uint32_t count = dpc_core_best(driver.core, 0)->candidates_count;
    driver_submit(&driver, 1, &lease);
    CU_ASSERT_EQUAL(dpc_core_best(driver.core, 0)->candidates_count, count);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

/* On new documents the round at which they came is evaluated again, and rounds before do not count.
 */
static void
new_documents_begin_the_choice_anew(void)
{
    struct driver driver;
    struct records records;
    driver_start(&driver, YAML("routing: {prefix: 8, phases: 1}\n", "4"));
    driver.loss_of = loss_rises;
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    read_records(&driver, &records);
    for (uint32_t path = 0; path < LAST; path++) {
        CU_ASSERT_EQUAL(count_candidates(&records, path), 3 + 3);
        CU_ASSERT_EQUAL(records.bests[path].first, 3);
        CU_ASSERT_EQUAL(records.bests[path].round, 2);
    }
    for (uint32_t i = 0; i < records.count; i++) {
        const struct dpc_candidate_record *candidate = &records.candidates[i];
        CU_ASSERT_EQUAL(candidate->phase, candidate->path < LAST && candidate->number >= 3);
    }
    CU_ASSERT_EQUAL(records.bests[DENSE].round, WARM_ROUNDS);
    driver_stop(&driver);
}

/* --- What a sweep leaves. */

static double
loss_of_round_2(const struct dpc_msg_lease *lease)
{
    return 1 + fabs((double)lease->round - 2);
}

static bool
is_kept(void *context, const struct dpc_hash *hash)
{
    return dpc_keep_holds(context, hash);
}

static void
sweep(struct driver *driver)
{
    struct dpc_error err;
    struct dpc_swept swept;
    struct dpc_keep *keep = dpc_keep_create(driver->core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(keep, driver->kv, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_sweep(driver->store, dpc_store_touches(driver->store), is_kept, keep,
                                    &swept, &err),
                    DPC_OK);
    dpc_keep_destroy(keep);
}

static void
load_module(struct driver *driver, struct dpc_path *composed, uint32_t level,
            const struct dpc_hash *hash)
{
    uint8_t *bytes;
    size_t len;
    const float *values;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(driver->store, hash, &bytes, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_tensor_blob_read(bytes, len, dpc_path_module_floats(composed, level), &values, &err),
        DPC_OK);
    dpc_path_write_module(composed, level, values);
    dpc_free(bytes);
}

/* The loss of a text with the versions of the path's best round. */
static double
evaluate_best(struct driver *driver, uint32_t path)
{
    enum { CONTEXT = 32 };
    const struct dpc_best_record *best = dpc_core_best(driver->core, path);
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = 1, .use = DPC_PATH_INFER};
    struct dpc_path *composed;
    struct dpc_error err;
    int32_t tokens[CONTEXT], targets[CONTEXT];
    double sum;
    uint64_t count;
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(&driver->experiment, &options, &composed, &err), DPC_OK);
    for (uint32_t level = 0; level < LEVELS; level++) {
        struct dpc_hash hash = published(driver, path, level, best->versions[level]);
        load_module(driver, composed, level, &hash);
    }
    for (int i = 0; i < CONTEXT; i++) {
        tokens[i] = 'a' + i * i % 26;
        targets[i] = i < 8 ? -1 : 'a' + (i + 1) * (i + 1) % 26;
    }
    CU_ASSERT_EQUAL(dpc_path_score(composed, tokens, targets, 1, CONTEXT, &sum, &count), DPC_OK);
    CU_ASSERT_EQUAL(count, CONTEXT - 8);
    dpc_path_destroy(composed);
    return sum;
}

static void
the_best_round_is_there_20_rounds_later(void)
{
    char folder[SCRATCH_PATH_MAX];
    struct driver driver;
    double losses[LAST];
    driver_start_with_store(&driver, YAML("routing: {prefix: 8}\n", "24"), scratch_make(folder));
    driver.loss_of = loss_of_round_2;
    driver_hello(&driver, 0, (struct dpc_token){0, 0});
    for (uint32_t path = 0; path < LAST; path++)
        reach_round(&driver, path, 2);
    for (uint32_t path = 0; path < LAST; path++) {
        CU_ASSERT_EQUAL(dpc_core_best(driver.core, path)->round, 2);
        losses[path] = evaluate_best(&driver, path);
    }
    while (driver_phase(&driver) != DPC_PHASE_FINISHED) {
        turn(&driver);
        sweep(&driver);
    }
    struct dpc_hash older = published(&driver, 0, 0, 3);
    uint64_t bytes;
    CU_ASSERT_EQUAL(dpc_store_blob_size(driver.store, &older, &bytes), DPC_ENOTFOUND);
    for (uint32_t path = 0; path < LAST; path++) {
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->rounds_done, 24);
        CU_ASSERT_EQUAL(dpc_core_best(driver.core, path)->round, 2);
        CU_ASSERT_EQUAL(evaluate_best(&driver, path), losses[path]);
    }
    driver_stop(&driver);
    scratch_remove(folder);
}

/* Nothing of it is there without early stopping, and training has the same bits. */
static void
without_it_paths_take_their_newest_versions(void)
{
    struct driver with, without;
    struct records records;
    driver_start(&with, yaml);
    CU_ASSERT_TRUE(driver_finish(&with, 3));
    driver_start(&without, yaml + strlen("early_stopping: true\n"));
    CU_ASSERT_FALSE(without.experiment.early_stopping);
    CU_ASSERT_TRUE(driver_finish(&without, 3));
    read_records(&without, &records);
    CU_ASSERT_EQUAL(records.count, 0);
    CU_ASSERT_PTR_NULL(dpc_core_best(without.core, 0));
    struct dpc_hash stopping = driver_outcome(&with), newest = driver_outcome(&without);
    CU_ASSERT_TRUE(dpc_hash_equal(&stopping, &newest));
    driver_stop(&with);
    driver_stop(&without);
}

static const struct dpc_test tests[] = {
    {"each path takes its best round", each_path_takes_its_best_round},
    {"of rounds that are equal it is the oldest", of_rounds_that_are_equal_it_is_the_oldest},
    {"it does not depend on who evaluates when", it_does_not_depend_on_who_evaluates_when},
    {"training goes on until evaluations are far behind",
     training_goes_on_until_evaluations_are_far_behind},
    {"the evaluation at the end reads the best round",
     the_evaluation_at_the_end_reads_the_best_round},
    {"every round is evaluated", every_round_is_evaluated},
    {"a rollback discards what was made of it", a_rollback_discards_what_was_made_of_it},
    {"what is older than a rollback stays the best", what_is_older_than_a_rollback_stays_the_best},
    {"a rollback voids evaluations of what it discards",
     a_rollback_voids_evaluations_of_what_it_discards},
    {"new documents begin the choice anew", new_documents_begin_the_choice_anew},
    {"the best round is there 20 rounds later", the_best_round_is_there_20_rounds_later},
    {"without it paths take their newest versions", without_it_paths_take_their_newest_versions},
};

DPC_TEST_MAIN("coordinator/core/best", tests)
