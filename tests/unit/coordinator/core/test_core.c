/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/core.h"
#include "coordinator/core/why.h"

#include <math.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const struct dpc_token no_token;

static void
goes_through_all_phases(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_WARM_START);
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    const struct dpc_topology *topology = dpc_core_topology(driver.core);
    for (uint32_t path = 0; path < topology->paths_count; path++)
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->steps_done, 10 + 3 * 4);
    /* Three warm-start rounds (4 + 4 + 2 steps) stand before the dense path's three others. */
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, 3);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 4)->version, 6);
    driver_stop(&driver);
}

/* What is not training; a restart forgets none of it. */
static void
tasks_of_a_phase_are_counted(void)
{
    struct driver driver;
    uint32_t counted = 0;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    while (driver_phase(&driver) != DPC_PHASE_FINISHED) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        uint32_t phase = driver_phase(&driver), before, done, total;
        dpc_core_tasks(driver.core, &before, &total);
        CU_ASSERT_EQUAL(total > 0, lease.kind != DPC_TASK_TRAIN);
        driver_submit(&driver, 0, &lease);
        if (total == 0 || driver_phase(&driver) != phase)
            continue;
        dpc_core_tasks(driver.core, &done, &total);
        CU_ASSERT_EQUAL(done, before + 1);
        CU_ASSERT(done < total);
        driver_crash(&driver);
        driver_hello(&driver, 0, no_token);
        dpc_core_tasks(driver.core, &before, &total);
        CU_ASSERT_EQUAL(before, done);
        counted++;
    }
    CU_ASSERT(counted > 1);
    driver_stop(&driver);
}

static const char yaml_phases[] = SMALL_2X2 "routing: {prefix: 8, phases: 2}\n"
                                            "inner: {steps: 4, batch: 2}\n"
                                            "outer: {rounds: 5}\n"
                                            "warm_start: {steps: 10}\n";
enum { PHASES = 2, SCORED = 50 };

struct scored {
    uint32_t documents[PHASES + 1];
};

static bool
count_scored(void *context, const struct dpc_result_record *record)
{
    struct scored *scored = context;
    if (record->kind == DPC_TASK_SCORE && record->phase <= PHASES)
        scored->documents[record->phase] += record->to - record->from;
    else
        CU_ASSERT_EQUAL(record->phase, 0);
    return true;
}

/* Each phase scores anew, beside what the ones before it found. */
static void
phases_of_routing_score_and_shard_anew(void)
{
    struct driver driver;
    struct scored scored = {0};
    struct dpc_error err;
    driver_start(&driver, yaml_phases);
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    const struct dpc_topology *topology = dpc_core_topology(driver.core);
    CU_ASSERT_EQUAL(dpc_core_phase(driver.core)->routing_phases, PHASES);
    CU_ASSERT_EQUAL(dpc_scan_results(driver.kv, count_scored, &scored, &err), DPC_OK);
    CU_ASSERT_EQUAL(scored.documents[0], 0);
    for (uint32_t phase = 1; phase <= PHASES; phase++)
        CU_ASSERT_EQUAL(scored.documents[phase], SCORED * topology->routed_paths);
    for (uint32_t path = 0; path < topology->paths_count; path++)
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->steps_done, 10 + 5 * 4);
    driver_stop(&driver);
}

/* No routed path trains on before all have a new shard; the dense one, which has none, may. */
static void
routed_paths_wait_for_a_phase_of_routing(void)
{
    struct driver driver;
    struct dpc_error err;
    uint32_t waited = 0;
    driver_start_training(&driver, yaml_phases);
    for (int i = 0; i < 200 && driver_phase(&driver) != DPC_PHASE_EVALUATE; i++) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        bool routed = lease.path < dpc_core_topology(driver.core)->routed_paths;
        if (driver_phase(&driver) == DPC_PHASE_SCORE) {
            waited++;
            CU_ASSERT_TRUE(lease.kind == DPC_TASK_SCORE || !routed);
            CU_ASSERT_EQUAL(dpc_core_check_rollback(driver.core, &err), DPC_EBUSY);
        }
        if (lease.kind == DPC_TASK_TRAIN && routed)
            CU_ASSERT_TRUE(lease.round < dpc_core_rounds_open(driver.core, lease.path));
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_EVALUATE);
    CU_ASSERT_TRUE(waited >= PHASES * 4 * 2);
    driver_stop(&driver);
}

static void
a_crash_in_a_phase_of_routing_changes_nothing(void)
{
    struct driver driver;
    driver_start(&driver, yaml_phases);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    struct dpc_hash undisturbed = driver_outcome(&driver);
    driver_stop(&driver);
    driver_start(&driver, yaml_phases);
    driver.crash_after_each = true;
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    struct dpc_hash outcome = driver_outcome(&driver);
    CU_ASSERT_TRUE(dpc_hash_equal(&outcome, &undisturbed));
    driver_stop(&driver);
}

/* The same versions whatever the workers' number, and with a crash after every event. */
static void
a_crash_after_every_event_changes_nothing(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    struct dpc_hash undisturbed = driver_outcome(&driver);
    driver_stop(&driver);
    for (uint8_t workers = 1; workers <= 4; workers++) {
        driver_start(&driver, yaml);
        driver.crash_after_each = true;
        CU_ASSERT_TRUE(driver_finish(&driver, workers));
        struct dpc_hash outcome = driver_outcome(&driver);
        CU_ASSERT_TRUE(dpc_hash_equal(&outcome, &undisturbed));
        driver_stop(&driver);
    }
}

static void
a_path_starts_the_next_round_while_another_still_trains(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    for (uint8_t worker = 1; worker < 6; worker++)
        driver_hello(&driver, worker, no_token);
    /* All five paths (four and the dense one) are leased; only 1-1 keeps training round 0. */
    struct dpc_msg_lease leases[5];
    uint8_t slow = 0;
    for (uint8_t worker = 0; worker < 5; worker++) {
        leases[worker] = driver_lease(&driver, worker);
        if (leases[worker].path == 3)
            slow = worker;
    }
    for (uint8_t worker = 0; worker < 5; worker++) {
        if (worker != slow)
            driver_submit(&driver, worker, &leases[worker]);
    }
    /* lower.0 and upper.0 are closed by 0-0, 0-1 and 1-0; so 0-0 goes on, 0-1 and 1-0 wait for 1-1.
     */
    CU_ASSERT_EQUAL(dpc_core_path_standing(driver.core, 0), DPC_PATH_READY);
    CU_ASSERT_NOT_EQUAL(dpc_core_path_standing(driver.core, 1), DPC_PATH_READY);
    CU_ASSERT_NOT_EQUAL(dpc_core_path_standing(driver.core, 2), DPC_PATH_READY);
    bool found = false;
    for (uint8_t worker = 0; worker < 5; worker++) {
        if (worker == slow)
            continue;
        const struct dpc_msg *reply = driver_ask(&driver, worker);
        if (reply->type == DPC_MSG_LEASE && reply->lease.path == 0) {
            CU_ASSERT_EQUAL(reply->lease.round, 1);
            found = true;
        }
    }
    CU_ASSERT_TRUE(found);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 3)->rounds_done, 0);
    driver_stop(&driver);
}

static void
the_same_submission_gets_the_same_answer_and_is_merged_once(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round + 1);
    driver_stop(&driver);
}

/* An acceptance whose answer was lost used to be told superseded once the phase had gone on, and
 * for results also after a restart. */
static void
an_accepted_result_is_told_so_again_in_the_next_phase(void)
{
    struct driver driver;
    struct dpc_msg_lease lease = {0};
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    while (driver_phase(&driver) <= DPC_PHASE_FEATURIZE) {
        struct dpc_msg_lease given = driver_lease(&driver, 0);
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &given)->verdict.verdict, DPC_VERDICT_ACCEPTED);
        if (given.kind == DPC_TASK_FEATURIZE) {
            lease = given;
            driver_crash(&driver);
        }
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &given)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    }
    CU_ASSERT_EQUAL(lease.kind, DPC_TASK_FEATURIZE);
    driver_hello(&driver, 1, no_token);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* The same for a path that others carried on meanwhile. */
static void
an_accepted_round_is_told_so_again_when_its_path_went_on(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    driver_submit(&driver, 0, &lease);
    for (int i = 0;
         i < 100 && dpc_core_path(driver.core, lease.path)->rounds_done < lease.round + 3; i++) {
        driver.now_ms += 10;
        struct dpc_msg_lease other = driver_lease(&driver, 1);
        driver_submit(&driver, 1, &other);
    }
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round + 3);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* Strict mode: whoever trains, the bits are the same. */
static void
a_backup_that_brings_other_bits_is_an_alarm(void)
{
    struct driver driver;
    struct dpc_msg_submit other;
    struct dpc_submission_check check = {0};
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    driver_fill_submission(&driver, &first, &other);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);

    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &other, &check)->verdict.verdict,
                    DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    other.state.hash.bytes[31] ^= 1;
    driver_submit_message(&driver, 1, &other, &check);
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "different bits"));
    other.state.hash.bytes[31] ^= 1;
    other.parts[1].delta.hash.bytes[0] ^= 0x80;
    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &other, &check)->verdict.verdict,
                    DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "different bits"));
    other.began.bytes[0] ^= 1; /* another state to begin with is another task */
    driver_submit_message(&driver, 1, &other, &check);
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    driver_submit(&driver, 0, &first); /* its own again is none */
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    driver_stop(&driver);
}

static void
another_incarnation_is_stale(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    lease.token.incarnation++;
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, lease.token)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_STALE);
    driver_stop(&driver);
}

/* Each way in which a submission can be other than its lease: refused, counted, nothing merged. */
static void
what_the_lease_does_not_owe_is_refused(void)
{
    for (int fault = 0; fault < 11; fault++) {
        struct driver driver;
        struct dpc_msg_submit submit;
        struct dpc_submission_check check = {0};
        driver_start_training(&driver, yaml);
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_fill_submission(&driver, &lease, &submit);
        switch (fault) {
        case 0:
            submit.round++;
            break;
        case 1:
            submit.path = (submit.path + 1) % 4;
            break;
        case 2:
            submit.kind = DPC_TASK_EVALUATE;
            break;
        case 3:
            submit.steps_count--;
            break;
        case 4:
            submit.parts_count--;
            break;
        case 5:
            submit.parts[0].module ^= 1;
            break;
        case 6:
            submit.parts[1].delta.bytes += 4;
            break;
        case 7:
            submit.loss = NAN;
            break;
        case 8:
            submit.loss_last = 1.7e308; /* a chart that has to show it would have no end */
            break;
        case 9:
            submit.loss_last = -1;
            break;
        default:
            check.damaged = true;
            break;
        }
        const struct dpc_msg *reply = driver_submit_message(&driver, 0, &submit, &check);
        CU_ASSERT_EQUAL(reply->type, DPC_MSG_SUBMITTED);
        CU_ASSERT_EQUAL(reply->verdict.verdict, DPC_VERDICT_REFUSED);
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round);
        /* The task is free again. */
        CU_ASSERT_EQUAL(driver_lease(&driver, 0).path, lease.path);
        driver_stop(&driver);
    }
}

static void
missing_blobs_are_asked_for_and_the_lease_stays(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {.missing_count = 1};
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    driver_fill_submission(&driver, &lease, &submit);
    check.missing[0] = submit.state.hash;
    const struct dpc_msg *reply = driver_submit_message(&driver, 0, &submit, &check);
    CU_ASSERT_EQUAL(reply->verdict.verdict, DPC_VERDICT_MISSING);
    CU_ASSERT_EQUAL(reply->verdict.missing_count, 1);
    CU_ASSERT_TRUE(dpc_hash_equal(&reply->verdict.missing[0], &submit.state.hash));
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

static void
a_lost_fold_is_asked_for_again(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver.hold_folds = true;
    for (int i = 0; i < 5; i++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_TRUE(driver.folds_count >= 4);
    driver_crash(&driver);
    CU_ASSERT_TRUE(driver.folds_count >= 4);
    driver.hold_folds = false;
    driver_release_folds(&driver);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, 1);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

static void
a_worker_that_never_said_hello_is_told_to(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    const struct dpc_msg *reply = driver_ask(&driver, 9);
    CU_ASSERT_EQUAL(reply->type, DPC_MSG_ERROR);
    CU_ASSERT_EQUAL(reply->error.code, DPC_ESTALE);
    driver_stop(&driver);
}

/* Weights follow the shards' documents: 100, 101, 102, 103 for paths 0-0, 0-1, 1-0, 1-1. */
static bool
check_entry(void *context, const struct dpc_ledger_record *record)
{
    uint32_t *seen = context;
    double sum = 0;
    for (uint32_t i = 0; i < record->entries_count; i++) {
        sum += record->entries[i].weight;
        if (i > 0)
            CU_ASSERT(record->entries[i].path > record->entries[i - 1].path);
    }
    CU_ASSERT_DOUBLE_EQUAL(sum, 1.0, 1e-12);
    if (record->module == 0) {
        double a = 100.0 / 201, b = 101.0 / 201;
        CU_ASSERT_EQUAL(record->entries_count, 2);
        CU_ASSERT_DOUBLE_EQUAL(record->entries[0].weight, a, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(record->rescale, sqrt(1 / (a * a + b * b)), 1e-12);
    }
    ++*seen;
    return true;
}

static void
the_ledger_names_who_contributed_what(void)
{
    struct driver driver;
    struct dpc_error err;
    uint32_t seen = 0;
    driver_start(&driver, yaml);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_entry, &seen, &err), DPC_OK);
    CU_ASSERT_EQUAL(seen, 4 * 3 + 2 * 6);
    driver_stop(&driver);
}

/* The content of version 0 of module 0 again. */
static void
roll_back(struct driver *driver)
{
    struct dpc_version_record version;
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver->kv, 0, 0, &version, &err), DPC_OK);
    event.rollback.versions_count = 1;
    event.rollback.versions = &version;
    driver_step(driver, &event);
}

static void
finish_round(struct driver *driver, uint8_t worker)
{
    for (uint32_t path = 0; path < 4; path++) {
        while (dpc_core_path(driver->core, path)->rounds_done == 0) {
            struct dpc_msg_lease lease = driver_lease(driver, worker);
            driver_submit(driver, worker, &lease);
        }
    }
}

static void
a_rollback_appends_a_version_and_voids_leases(void)
{
    struct driver driver;
    struct dpc_version_record old, now;
    struct dpc_error err;
    driver_start_training(&driver, yaml);
    finish_round(&driver, 0);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 1);
    while (!dpc_topology_uses(dpc_core_topology(driver.core), lease.path, 0)) {
        driver_submit(&driver, 1, &lease);
        lease = driver_lease(&driver, 1);
    }
    uint32_t version = dpc_core_module(driver.core, 0)->version;
    roll_back(&driver);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, version + 1);
    CU_ASSERT_EQUAL(dpc_module_round(dpc_core_module(driver.core, 0)), version);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, 0, 0, &old, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, 0, version + 1, &now, &err), DPC_OK);
    CU_ASSERT_EQUAL(now.cause, DPC_CAUSE_ROLLBACK);
    CU_ASSERT_EQUAL(now.parent, 0);
    CU_ASSERT_TRUE(dpc_hash_equal(&now.master, &old.master));
    CU_ASSERT_TRUE(dpc_hash_equal(&now.momentum, &old.momentum));
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_path(driver.core, lease.path)->state));
    driver_hello(&driver, 1, lease.token);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 1, lease.token)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

static void
a_rollback_asked_for_again_changes_nothing(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    finish_round(&driver, 0);
    roll_back(&driver);
    uint32_t version = dpc_core_module(driver.core, 0)->version;
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    roll_back(&driver);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, version);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* The outer step was under way when the rollback came: its answer is dropped, and with nothing left
 * to merge the round ends as it began. */
static void
a_round_whose_contributions_were_discarded_ends_unchanged(void)
{
    struct driver driver;
    struct dpc_version_record first, last;
    struct dpc_error err;
    driver_start_training(&driver, yaml);
    finish_round(&driver, 0);
    uint32_t version = dpc_core_module(driver.core, 0)->version;
    driver.hold_folds = true;
    for (uint32_t path = 0; path < 4; path++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
    }
    /* A step that a full disk had put off once went on and read what a sweep had removed. */
    struct dpc_fold fold = {.module = 0, .version = version + 1};
    CU_ASSERT_TRUE(dpc_core_wants(driver.core, &fold));
    roll_back(&driver);
    CU_ASSERT_FALSE(dpc_core_wants(driver.core, &fold));
    driver_release_folds(&driver);
    driver.hold_folds = false;
    const struct dpc_module_record *module = dpc_core_module(driver.core, 0);
    CU_ASSERT_EQUAL_FATAL(module->version, version + 2);
    CU_ASSERT_EQUAL(dpc_module_round(module), version + 1);
    CU_ASSERT_EQUAL(dpc_load_version(driver.kv, 0, version + 1, &first, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_load_version(driver.kv, 0, version + 2, &last, &err), DPC_OK);
    CU_ASSERT_EQUAL(last.cause, DPC_CAUSE_OUTER_STEP);
    CU_ASSERT_TRUE(dpc_hash_equal(&first.master, &last.master));
    CU_ASSERT_TRUE(dpc_hash_equal(&first.momentum, &last.momentum));
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    driver_stop(&driver);
}

static void
rollbacks_are_refused_outside_training(void)
{
    struct driver driver;
    struct dpc_error err;
    driver_start(&driver, yaml);
    CU_ASSERT_EQUAL(dpc_core_check_rollback(driver.core, &err), DPC_EBUSY);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    CU_ASSERT_EQUAL(dpc_core_check_rollback(driver.core, &err), DPC_EPERM);
    driver_stop(&driver);
}

/* Where no model is asked for a route. */
static void
ngrams_are_leased_to_nobody(void)
{
    struct driver driver;
    char text[1024];
    (void)snprintf(text, sizeof text, "%s", yaml);
    char *features = strstr(text, "routing: {prefix: 8}");
    CU_ASSERT_PTR_NOT_NULL_FATAL(features);
    (void)snprintf(features, sizeof text - (size_t)(features - text), "%s%s",
                   "routing: {prefix: 8, features: ngrams}",
                   strstr(yaml, "routing:") + strlen("routing: {prefix: 8}"));
    driver_start(&driver, text);
    driver_hello(&driver, 0, no_token);
    while (driver_phase(&driver) != DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        CU_ASSERT_EQUAL(lease.kind, DPC_TASK_TRAIN);
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"n-grams are leased to nobody", ngrams_are_leased_to_nobody},
    {"a rollback appends a version and voids leases",
     a_rollback_appends_a_version_and_voids_leases},
    {"a rollback asked for again changes nothing", a_rollback_asked_for_again_changes_nothing},
    {"a round whose contributions were discarded ends unchanged",
     a_round_whose_contributions_were_discarded_ends_unchanged},
    {"rollbacks are refused outside training", rollbacks_are_refused_outside_training},

    {"a backup that brings other bits is an alarm", a_backup_that_brings_other_bits_is_an_alarm},
    {"tasks of a phase are counted", tasks_of_a_phase_are_counted},
    {"goes through all phases", goes_through_all_phases},
    {"phases of routing score and shard anew", phases_of_routing_score_and_shard_anew},
    {"routed paths wait for a phase of routing", routed_paths_wait_for_a_phase_of_routing},
    {"a crash in a phase of routing changes nothing",
     a_crash_in_a_phase_of_routing_changes_nothing},
    {"a crash after every event changes nothing", a_crash_after_every_event_changes_nothing},
    {"a path starts the next round while another still trains",
     a_path_starts_the_next_round_while_another_still_trains},
    {"the same submission gets the same answer and is merged once",
     the_same_submission_gets_the_same_answer_and_is_merged_once},
    {"an accepted result is told so again in the next phase",
     an_accepted_result_is_told_so_again_in_the_next_phase},
    {"an accepted round is told so again when its path went on",
     an_accepted_round_is_told_so_again_when_its_path_went_on},
    {"another incarnation is stale", another_incarnation_is_stale},
    {"what the lease does not owe is refused", what_the_lease_does_not_owe_is_refused},
    {"missing blobs are asked for and the lease stays",
     missing_blobs_are_asked_for_and_the_lease_stays},
    {"a lost fold is asked for again", a_lost_fold_is_asked_for_again},
    {"a worker that never said hello is told to", a_worker_that_never_said_hello_is_told_to},
    {"the ledger names who contributed what", the_ledger_names_who_contributed_what},
};
DPC_TEST_MAIN("coordinator/core", tests)
