/* SPDX-License-Identifier: Apache-2.0
 * Forks of a store: the same bits with the same file, other ones with another, only what is kept,
 * and nothing of what came later. Blobs are names here; what the source's sweep keeps is there. */
#include "coordinator/fork/fork.h"

#include "base/alloc.h"
#include "tests/unit/coordinator/fork/fork_rig.h"

enum { ROUNDS = 6, KEEP_ROUNDS = 2 };

/* --- What the records say. */

struct totals {
    const struct dpc_topology *topology;
    uint32_t newest; /* round of any routed version */
    uint32_t versions, entries, contributions;
};

static bool
count_version(void *context, const struct dpc_version_record *version)
{
    struct totals *totals = context;
    bool dense = dpc_topology_module_is_dense(totals->topology, version->module);
    if (!dense && dpc_version_round(version) > totals->newest)
        totals->newest = dpc_version_round(version);
    totals->versions += version->cause != DPC_CAUSE_INITIAL;
    return true;
}

static bool
count_entry(void *context, const struct dpc_ledger_record *entry)
{
    (void)entry;
    ((struct totals *)context)->entries++;
    return true;
}

static bool
count_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    (void)contribution;
    ((struct totals *)context)->contributions++;
    return true;
}

static struct totals
count(struct driver *driver)
{
    struct totals totals = {.topology = dpc_core_topology(driver->core)};
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_scan_versions(driver->kv, count_version, &totals, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver->kv, 0, count_entry, &totals, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_contributions(driver->kv, count_contribution, &totals, &err), DPC_OK);
    return totals;
}

/* --- The tests. */

static bool
equal_outcomes(struct driver *a, struct driver *b)
{
    struct dpc_hash one = driver_outcome(a), two = driver_outcome(b);
    return dpc_hash_equal(&one, &two);
}

/* Where nothing had to begin anew, and early stopping is there at all. */
static bool
equal_bests(const struct driver *source, const struct fork *fork)
{
    bool equal = true;
    for (uint32_t i = 0; i < dpc_core_topology(source->core)->paths_count; i++) {
        const struct dpc_best_record *one = dpc_core_best(source->core, i);
        const struct dpc_best_record *two = dpc_core_best(fork->driver.core, i);
        equal &= !one == !two;
        if (one && two)
            equal &= one->found == two->found && one->round == two->round &&
                     one->loss == two->loss && one->candidates_count == two->candidates_count &&
                     memcmp(one->versions, two->versions, sizeof one->versions) == 0;
    }
    return equal || fork->forked.restarts > 0;
}

static void
check_each_kept_round(const char *text)
{
    struct driver source;
    start(&source, text);
    CU_ASSERT_TRUE(driver_finish(&source, 3));
    for (uint32_t round = ROUNDS - KEEP_ROUNDS; round <= ROUNDS; round++) {
        struct fork fork;
        CU_ASSERT_EQUAL_FATAL(make(&source, round, text, &fork), DPC_OK);
        CU_ASSERT_EQUAL(fork.forked.round, round);
        struct totals totals = count(&fork.driver);
        /* Rounds of modules that no path trains are over at once. */
        CU_ASSERT(totals.newest == round || fork.driver.experiment.outer.sample < 1);
        CU_ASSERT_EQUAL(totals.versions, totals.entries);
        CU_ASSERT_EQUAL(dpc_core_leases_count(fork.driver.core), 0);
        CU_ASSERT_TRUE(driver_finish(&fork.driver, 3));
        CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
        CU_ASSERT_TRUE(equal_bests(&source, &fork));
        CU_ASSERT(round < ROUNDS || fork.forked.restarts == 0);
        struct totals all = count(&fork.driver), before = count(&source);
        CU_ASSERT_EQUAL(all.entries, before.entries);
        CU_ASSERT_EQUAL(all.contributions, before.contributions);
        drop(&fork);
    }
    driver_stop(&source);
}

static void
the_same_file_makes_the_same_versions(void)
{
    check_each_kept_round(yaml);
    check_each_kept_round(YAML("6", ", sample: 0.5", ROUTING));
    check_each_kept_round(YAML("6", "", ROUTING "transfer: {path_state: reset}\n"));
    check_each_kept_round(YAML("6", "", ROUTING "early_stopping: true\n"));
}

static void
round_0_can_always_be_had(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, 0, yaml, &fork), DPC_OK);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
    drop(&fork);
    driver_stop(&source);
}

/* Nobody trains some modules for a while, and their rounds are over at once. The newest round that
 * is over everywhere is another one than theirs. */
static void
where_modules_are_far_ahead_too(void)
{
    static const char text[] = "experiment: test\n"
                               "data: {corpus: corpus}\n"
                               "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                               "levels:\n"
                               "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 4}\n"
                               "  - {name: upper, parts: [{blocks: 1}, head], modules: path}\n"
                               "inner: {steps: 4, batch: 2}\n"
                               "warm_start: {steps: 8}\n"
                               "baseline: {dense: false}\n"
                               "keep_rounds: 2\n"
                               "outer: {rounds: 16, sample: 0.3}\n" ROUTING;
    struct driver source;
    uint32_t ahead = 0;
    start(&source, text);
    run_to(&source, 1);
    while (driver_phase(&source) == DPC_PHASE_TRAIN) {
        struct fork fork;
        uint32_t round = least_round(&source);
        for (uint32_t i = 0; i < dpc_core_topology(source.core)->routed_modules; i++)
            ahead += dpc_module_round(dpc_core_module(source.core, i)) > round + KEEP_ROUNDS;
        int code = make(&source, DPC_FORK_NEWEST, text, &fork);
        CU_ASSERT_EQUAL(code, DPC_OK);
        CU_ASSERT(code != DPC_OK || fork.forked.round == round);
        drop(&fork);
        struct dpc_msg_lease lease = driver_lease(&source, 0);
        driver_submit(&source, 0, &lease);
    }
    CU_ASSERT(ahead > 0);
    driver_stop(&source);
}

/* It waits for nobody: while one routed path is slow it goes on, and what it was when that round
 * began is kept no longer than other rounds. It is the same whenever it is taken over. */
static void
where_the_dense_path_is_far_ahead_too(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    run_to(&source, 1);
    driver_hello(&source, 1, (struct dpc_token){0});
    struct dpc_msg_lease slow = driver_lease(&source, 1);
    uint32_t dense = dpc_topology_dense_path(dpc_core_topology(source.core));
    CU_ASSERT_FATAL(slow.path < dense);
    const struct dpc_msg *reply = driver_ask(&source, 0);
    while (reply->type == DPC_MSG_LEASE) {
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(&source, 0, &lease);
        driver_heartbeat(&source, 1, slow.token);
        reply = driver_ask(&source, 0);
    }
    CU_ASSERT(dpc_core_path(source.core, dense)->rounds_done > KEEP_ROUNDS + 1 + 2);
    CU_ASSERT_EQUAL(least_round(&source), 1);
    CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_NEWEST, yaml, &fork), DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.round, 1);
    driver_submit(&source, 1, &slow);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
    drop(&fork);
    driver_stop(&source);
}

/* Modules ahead of the others have entries of the ledger between those that are kept. */
static void
in_the_middle_of_a_round_too(void)
{
    struct driver source, whole;
    start(&whole, yaml);
    CU_ASSERT_TRUE(driver_finish(&whole, 1));
    for (int more = 0; more < 5; more++) {
        struct fork fork;
        start(&source, yaml);
        run_to(&source, 3);
        for (int i = 0; i < more; i++) {
            const struct dpc_msg *reply = driver_ask(&source, 0);
            CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
            struct dpc_msg_lease lease = reply->lease;
            driver_submit(&source, 0, &lease);
        }
        CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_NEWEST, yaml, &fork), DPC_OK);
        CU_ASSERT_EQUAL(fork.forked.round, least_round(&source));
        CU_ASSERT_TRUE(driver_finish(&fork.driver, 1));
        CU_ASSERT_TRUE(equal_outcomes(&whole, &fork.driver));
        drop(&fork);
        driver_stop(&source);
    }
    driver_stop(&whole);
}

static void
a_fork_may_be_forked(void)
{
    struct driver source;
    struct fork one, two;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, 4, yaml, &one), DPC_OK);
    run_to(&one.driver, 5);
    CU_ASSERT_EQUAL_FATAL(make(&one.driver, 5, yaml, &two), DPC_OK);
    CU_ASSERT_TRUE(driver_finish(&two.driver, 2));
    CU_ASSERT_TRUE(equal_outcomes(&source, &two.driver));
    drop(&two);
    CU_ASSERT_EQUAL(make(&one.driver, 0, yaml, &two), DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(two.err.text, "round 4, at which this run was itself made"));
    drop(&two);
    drop(&one);
    driver_stop(&source);
}

/* What a run with the file `text` comes to is what a fork of another run's warm start does. */
static void
check_warm_start(struct driver *source, const char *text)
{
    struct driver whole;
    struct fork fork;
    start(&whole, text);
    CU_ASSERT_TRUE(driver_finish(&whole, 3));
    CU_ASSERT_EQUAL_FATAL(make(source, DPC_FORK_WARM, text, &fork), DPC_OK);
    struct totals totals = count(&fork.driver), all = count(&whole);
    CU_ASSERT(totals.versions > 0 && totals.contributions > 0);
    CU_ASSERT_EQUAL(totals.versions, totals.entries);
    CU_ASSERT_EQUAL(totals.newest, 0);
    CU_ASSERT_EQUAL(fork.forked.states_left_out, 0);
    CU_ASSERT_EQUAL(dpc_core_leases_count(fork.driver.core), 0);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 3));
    totals = count(&fork.driver);
    CU_ASSERT_TRUE(equal_outcomes(&whole, &fork.driver));
    CU_ASSERT_TRUE(equal_bests(&whole, &fork));
    CU_ASSERT_EQUAL(totals.entries, all.entries);
    CU_ASSERT_EQUAL(totals.contributions, all.contributions);
    drop(&fork);
    driver_stop(&whole);
}

static void
a_warm_start_serves_other_routes_and_outer_steps(void)
{
    struct driver source;
    start(&source, yaml);
    run_to(&source, 1);
    check_warm_start(&source, yaml);
    check_warm_start(&source, YAML("6", ", rescale: none, lr: 0.3, sample: 0.5", ROUTING));
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    check_warm_start(&source, YAML("6", "", "routing: {prefix: 8, features: ngrams}\n"));
    check_warm_start(&source, YAML("6", "", ROUTING "baseline: {dense: false}\n"));
    driver_stop(&source);
    start(&source, YAML("6", "", ROUTING "early_stopping: true\n"));
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    check_warm_start(&source, YAML("6", ", rescale: none", ROUTING "early_stopping: true\n"));
    driver_stop(&source);
}

/* Of a fork, too, which knows of outer steps with other rates: none of them is its own. */
static void
a_fork_has_a_warm_start(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, 5, YAML("6", ", lr: 0.3", ROUTING), &fork), DPC_OK);
    check_warm_start(&fork.driver, yaml);
    drop(&fork);
    driver_stop(&source);
}

static void
more_rounds_may_follow(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_NEWEST, YAML("9", ", lr: 0.3", ROUTING), &fork),
                          DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.round, ROUNDS);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    CU_ASSERT_EQUAL(least_round(&fork.driver), 9);
    drop(&fork);
    driver_stop(&source);
}

static uint64_t
warm_tokens(struct driver *driver)
{
    uint64_t tokens = 0;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_fork_warm_tokens(driver->kv, &driver->experiment, &tokens, &err), DPC_OK);
    return tokens;
}

/* Batches of its own change nothing of what the warm start has read, nor do those of its forks. */
static void
tokens_of_the_warm_start_are_kept(void)
{
    static const char other[] = SMALL_2X2 "inner: {steps: 4, batch: 6}\n"
                                          "warm_start: {steps: 8, replicas: 2}\n"
                                          "keep_rounds: 2\n"
                                          "outer: {rounds: 6}\n" ROUTING;
    struct driver source;
    struct fork one, two;
    start(&source, yaml);
    run_to(&source, 4);
    uint64_t tokens = warm_tokens(&source);
    CU_ASSERT_EQUAL(tokens, 2 * 8 * 2 * source.experiment.model.context);
    CU_ASSERT_EQUAL_FATAL(make(&source, 4, other, &one), DPC_OK);
    CU_ASSERT_EQUAL(warm_tokens(&one.driver), tokens);
    run_to(&one.driver, 5);
    CU_ASSERT_EQUAL_FATAL(make(&one.driver, 5, other, &two), DPC_OK);
    CU_ASSERT_EQUAL(warm_tokens(&two.driver), tokens);
    drop(&two);
    CU_ASSERT_EQUAL_FATAL(make(&one.driver, DPC_FORK_WARM, other, &two), DPC_OK);
    CU_ASSERT_EQUAL(warm_tokens(&two.driver), tokens);
    drop(&two);
    drop(&one);
    driver_stop(&source);
}

static void
check_refused(struct driver *source, uint32_t round, const char *text, int code, const char *words)
{
    struct fork fork;
    CU_ASSERT_EQUAL(make(source, round, text, &fork), code);
    CU_ASSERT_PTR_NOT_NULL(strstr(fork.err.text, words));
    if (!strstr(fork.err.text, words))
        fprintf(stderr, "%s\n", fork.err.text);
    drop(&fork);
}

static void
what_cannot_be_had_is_refused(void)
{
    struct driver source;
    start(&source, yaml);
    check_refused(&source, 0, yaml, DPC_ENOTFOUND, "have not begun to train");
    check_refused(&source, DPC_FORK_WARM, yaml, DPC_ENOTFOUND, "its warm start is not over");
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    check_refused(&source, 7, yaml, DPC_ENOTFOUND, "the newest that is over everywhere is 6");
    check_refused(&source, 1, yaml, DPC_EPERM, "the oldest possible after it is 4");
    check_refused(&source, 6, YAML("5", "", ROUTING), DPC_EPERM, "outer.rounds is 5");
    check_refused(&source, 5, YAML("6", "", ROUTING "seed: 2\n"), DPC_EPERM, "seed (1 -> 2)");
    check_refused(&source, 5, YAML("6", "", "routing: {prefix: 9}\n"), DPC_EPERM,
                  "routing.prefix (8 -> 9)");
    check_refused(&source, 5, YAML("6", "", ROUTING "compute: bf16\n"), DPC_EPERM,
                  "compute (fp32 -> bf16)");
    check_refused(&source, DPC_FORK_WARM, YAML("7", "", ROUTING), DPC_EPERM,
                  "the warm start depends on outer.rounds (6 -> 7)");
    check_refused(&source, DPC_FORK_WARM, YAML("6", "", ROUTING "replicas: 2\n"), DPC_EPERM,
                  "replicas (1 -> 2)");
    check_refused(&source, DPC_FORK_WARM, YAML("6", "", ROUTING "early_stopping: true\n"),
                  DPC_EPERM, "early_stopping (false -> true)");
    driver_stop(&source);
}

static const char phases[] =
    YAML("6", "", "routing: {prefix: 8, phases: 1}\n"); /* documents are routed anew at 3 */

static void
rounds_before_documents_were_routed_anew_are_refused(void)
{
    struct driver source;
    struct fork fork;
    start(&source, phases);
    run_to(&source, 3);
    CU_ASSERT_EQUAL_FATAL(make(&source, 2, phases, &fork), DPC_OK);
    drop(&fork);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    check_refused(&source, 2, phases, DPC_EPERM, "the oldest possible is 3");
    check_refused(&source, 4, YAML("8", "", "routing: {prefix: 8, phases: 1}\n"), DPC_EPERM,
                  "write routing.phase_rounds: 3");
    for (uint32_t round = 4; round <= ROUNDS; round++) {
        CU_ASSERT_EQUAL_FATAL(make(&source, round, phases, &fork), DPC_OK);
        CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
        CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
        drop(&fork);
    }
    driver_stop(&source);
}

static void
elastic_rounds_begin_anew(void)
{
    struct driver source;
    struct fork fork;
    const char *elastic = YAML("6", "", ROUTING "mode: elastic\n");
    start(&source, elastic);
    run_to(&source, 4);
    driver_ask(&source, 0); /* somebody is at work */
    CU_ASSERT_EQUAL_FATAL(make(&source, 3, yaml, &fork), DPC_OK);
    for (uint32_t i = 0; i < dpc_core_topology(fork.driver.core)->routed_paths; i++) {
        const struct dpc_path_record *path = dpc_core_path(fork.driver.core, i);
        CU_ASSERT_EQUAL(path->rounds_done, 3);
        CU_ASSERT_EQUAL(path->part_steps, 0);
        CU_ASSERT_EQUAL(path->steps_done, 8 + 3 * 4);
    }
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    drop(&fork);
    driver_stop(&source);
}

/* A part of a round from one worker, then all of it from another. */
static void
steps_that_were_trained_twice_are_left_out_once(void)
{
    enum { CREW = 8, BACKUP = CREW };
    struct driver source;
    struct fork fork;
    struct dpc_msg_lease leases[CREW];
    struct dpc_msg_submit part;
    struct dpc_submission_check check = {0};
    const char *elastic = YAML("6", "", ROUTING "mode: elastic\n");
    uint32_t count = 0;
    start(&source, elastic);
    run_to(&source, 4);
    for (uint8_t worker = 0; worker < CREW; worker++) {
        driver_hello(&source, worker, (struct dpc_token){0, 0});
        const struct dpc_msg *reply = driver_ask(&source, worker);
        if (reply->type != DPC_MSG_LEASE)
            break;
        leases[count++] = reply->lease;
    }
    source.now_ms += 100000;
    driver_hello(&source, BACKUP, (struct dpc_token){0, 0});
    struct dpc_msg_lease backup = driver_lease(&source, BACKUP);
    uint8_t first = 0;
    while (first < count && leases[first].path != backup.path)
        first++;
    CU_ASSERT_FATAL(first < count);
    driver_fill_submission(&source, &backup, &part);
    part.steps_count = 3;
    CU_ASSERT_EQUAL(driver_submit_message(&source, BACKUP, &part, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    uint32_t all = leases[first].steps_count;
    driver_fill_submission(&source, &leases[first], &part);
    part.parts[0].delta.hash.bytes[0] ^= 1;
    part.parts[1].delta.hash.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(part.steps_count, all);
    CU_ASSERT_EQUAL(driver_submit_message(&source, first, &part, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL_FATAL(make(&source, 3, elastic, &fork), DPC_OK);
    for (uint32_t i = 0; i < dpc_core_topology(fork.driver.core)->routed_paths; i++)
        CU_ASSERT_EQUAL(dpc_core_path(fork.driver.core, i)->steps_done, 8 + 3 * 4);
    drop(&fork);
    driver_stop(&source);
}

/* Of a module, the content of its version before the present one again. */
static void
roll_back(struct driver *driver, uint32_t module)
{
    struct dpc_version_record version;
    struct dpc_error err;
    uint32_t now = dpc_core_module(driver->core, module)->version;
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver->kv, module, now - 1, &version, &err), DPC_OK);
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    event.rollback.versions_count = 1;
    event.rollback.versions = &version;
    driver_step(driver, &event);
    CU_ASSERT_EQUAL(dpc_core_module(driver->core, module)->version, now + 1);
}

/* The round of a rollback begins with what that left: the content of before, and paths without a
 * state. */
static void
rollbacks_are_kept(void)
{
    const char *text = YAML("5", "", ROUTING);
    struct driver source;
    struct fork fork;
    start(&source, text);
    run_to(&source, 3);
    roll_back(&source, 0);
    uint32_t version = dpc_core_module(source.core, 0)->version;
    uint32_t round = dpc_module_round(dpc_core_module(source.core, 0));
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, round, text, &fork), DPC_OK);
    CU_ASSERT_EQUAL(dpc_core_module(fork.driver.core, 0)->version, version);
    for (uint32_t i = 0; i < dpc_core_topology(fork.driver.core)->routed_paths; i++) {
        bool reset = dpc_topology_uses(dpc_core_topology(fork.driver.core), i, 0);
        CU_ASSERT_EQUAL(dpc_hash_is_none(&dpc_core_path(fork.driver.core, i)->state), reset);
    }
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    drop(&fork);
    for (round++; round <= 5; round++) {
        CU_ASSERT_EQUAL_FATAL(make(&source, round, text, &fork), DPC_OK);
        CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
        CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
        drop(&fork);
    }
    driver_stop(&source);
}

static double
equal_loss(const struct dpc_msg_lease *lease)
{
    (void)lease;
    return 1;
}

/* A fork of the warm start takes nothing of a rollback in the round with which that ended: nor what
 * was measured behind it, which was the best. */
static void
a_warm_start_knows_no_rollbacks(void)
{
    const char *text = YAML("6", "", ROUTING "early_stopping: true\n");
    struct driver source;
    struct fork fork;
    start(&source, text);
    source.loss_of = equal_loss;
    driver_hello(&source, 0, (struct dpc_token){0});
    driver_reach_training(&source, 0);
    uint32_t dense = dpc_topology_dense_path(dpc_core_topology(source.core));
    uint32_t module = dpc_topology_module(dpc_core_topology(source.core), dense, 0);
    uint32_t warm = dpc_core_module(source.core, module)->version;
    CU_ASSERT_EQUAL(warm, dpc_core_warm_rounds(source.core));
    roll_back(&source, module);
    run_to(&source, 2);
    const struct dpc_best_record *best = dpc_core_best(source.core, dense);
    CU_ASSERT_FATAL(best && best->found);
    CU_ASSERT(best->round == warm && best->versions[0] == warm + 1);
    CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_WARM, text, &fork), DPC_OK);
    CU_ASSERT_FALSE(dpc_core_best(fork.driver.core, dense)->found);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 1));
    drop(&fork);
    driver_stop(&source);
}

static void
states_that_stay_with_workers_are_left_out(void)
{
    const char *text = YAML("6", "", ROUTING "mode: elastic\ntransfer: {path_state: local}\n");
    struct driver source;
    struct fork fork;
    start(&source, text);
    run_to(&source, 3);
    CU_ASSERT_EQUAL_FATAL(make(&source, 2, text, &fork), DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.states_left_out, 0); /* as everywhere in such a run */
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_path(fork.driver.core, 0)->kept));
    drop(&fork);
    CU_ASSERT_EQUAL_FATAL(make(&source, 2, yaml, &fork), DPC_OK);
    CU_ASSERT(fork.forked.states_left_out > 0);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    drop(&fork);
    driver_stop(&source);
}

/* Its documents are known although nobody has measured anything. */
static void
early_stopping_may_begin(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, 4, YAML("6", "", ROUTING "early_stopping: true\n"), &fork),
                          DPC_OK);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    CU_ASSERT_TRUE(equal_outcomes(&source, &fork.driver));
    const struct dpc_best_record *best = dpc_core_best(fork.driver.core, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(best);
    CU_ASSERT(best->found && best->round >= 4);
    CU_ASSERT_EQUAL(best->candidates_count, 3);
    drop(&fork);
    driver_stop(&source);
    /* Also those of a dense path that has not gone on so far. */
    start(&source, YAML("6", "", ROUTING "baseline: {dense: false}\n"));
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    CU_ASSERT_EQUAL_FATAL(make(&source, 4, YAML("6", "", ROUTING "early_stopping: true\n"), &fork),
                          DPC_OK);
    CU_ASSERT_TRUE(driver_finish(&fork.driver, 2));
    uint32_t dense = dpc_topology_dense_path(dpc_core_topology(fork.driver.core));
    CU_ASSERT(dpc_core_best(fork.driver.core, dense) &&
              dpc_core_best(fork.driver.core, dense)->found);
    drop(&fork);
    driver_stop(&source);
}

/* However many paths there are. */
static void
candidates_are_scanned_once_for_all_paths(void)
{
    static const char *const texts[] = {yaml, YAML("6", "", ROUTING "early_stopping: true\n")};
    uint32_t scans[2];
    for (int i = 0; i < 2; i++) {
        struct driver source;
        struct fork fork;
        start(&source, texts[i]);
        CU_ASSERT_TRUE(driver_finish(&source, 2));
        CU_ASSERT_EQUAL_FATAL(make(&source, 4, texts[i], &fork), DPC_OK);
        scans[i] = fork.scans;
        drop(&fork);
        driver_stop(&source);
    }
    CU_ASSERT_EQUAL(scans[1], scans[0] + 1);
}

static const struct dpc_test tests[] = {
    {"the same file makes the same versions", the_same_file_makes_the_same_versions},
    {"round 0 can always be had", round_0_can_always_be_had},
    {"where modules are far ahead, too", where_modules_are_far_ahead_too},
    {"where the dense path is far ahead, too", where_the_dense_path_is_far_ahead_too},
    {"in the middle of a round, too", in_the_middle_of_a_round_too},
    {"a fork may be forked", a_fork_may_be_forked},
    {"a warm start serves other routes and outer steps",
     a_warm_start_serves_other_routes_and_outer_steps},
    {"a fork has a warm start", a_fork_has_a_warm_start},
    {"more rounds may follow", more_rounds_may_follow},
    {"tokens of the warm start are kept", tokens_of_the_warm_start_are_kept},
    {"what cannot be had is refused", what_cannot_be_had_is_refused},
    {"rounds before documents were routed anew are refused",
     rounds_before_documents_were_routed_anew_are_refused},
    {"elastic rounds begin anew", elastic_rounds_begin_anew},
    {"steps that were trained twice are left out once",
     steps_that_were_trained_twice_are_left_out_once},
    {"rollbacks are kept", rollbacks_are_kept},
    {"a warm start knows no rollbacks", a_warm_start_knows_no_rollbacks},
    {"states that stay with workers are left out", states_that_stay_with_workers_are_left_out},
    {"early stopping may begin", early_stopping_may_begin},
    {"candidates are scanned once for all paths", candidates_are_scanned_once_for_all_paths},
};

DPC_TEST_MAIN("coordinator/fork", tests)
