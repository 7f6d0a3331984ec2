/* SPDX-License-Identifier: Apache-2.0
 * Accepted tasks that are given out again: who gets them, what comes of answers that are the same
 * or not, and that nothing waits for them. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core/keep.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

/* One round of warm start, so that one audit is open when training begins. */
static const char yaml[] = TINY_2X2 "routing: {prefix: 4}\n"
                                    "inner: {steps: 4, batch: 2}\n"
                                    "outer: {rounds: 6}\n"
                                    "baseline: {dense: false}\n"
                                    "numeric_class: any\n"
                                    "keep_rounds: 1\n"
                                    "warm_start: {steps: 4}\n";

enum { DENSE = 4, BUSY = 4 };

static const struct dpc_token no_token;
static const char *mode = "strict";

/* In the first round of training workers 0 to 3 hold the four paths; worker 0 trained the warm
 * start. */
static void
start(struct driver *driver, const char *audit, struct dpc_msg_lease leases[BUSY])
{
    char text[1024];
    (void)snprintf(text, sizeof text, "%smode: %s\naudit: %s\n", yaml, mode, audit);
    driver_start(driver, text);
    driver_hello(driver, 0, no_token);
    while (driver_phase(driver) != DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_ask(driver, 0)->lease;
        driver_submit(driver, 0, &lease);
    }
    for (uint8_t worker = 0; worker < BUSY; worker++) {
        driver_hello(driver, worker, no_token);
        const struct dpc_msg *reply = driver_ask(driver, worker);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        CU_ASSERT_NOT_EQUAL(reply->lease.path, DENSE);
        leases[worker] = reply->lease;
    }
}

static struct dpc_msg_lease
audit_for(struct driver *driver, uint8_t worker)
{
    driver_hello(driver, worker, no_token);
    const struct dpc_msg *reply = driver_ask(driver, worker);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    CU_ASSERT_EQUAL(reply->lease.path, DENSE);
    CU_ASSERT_EQUAL(reply->lease.round, 0);
    return reply->lease;
}

/* Hands in what the lease owes, or something else: `other` says which. */
static const struct dpc_msg *
answer(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease, uint8_t other)
{
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0};
    driver_fill_submission(driver, lease, &submit);
    submit.parts[1].delta.hash.bytes[5] ^= other;
    return driver_submit_message(driver, worker, &submit, &check);
}

/* The worker with driver's number, in the core's table. */
static const struct dpc_worker_record *
worker_of(const struct driver *driver, uint8_t number,
          const struct dpc_conduct_record **ret_conduct)
{
    for (uint32_t i = 0; i < dpc_core_workers_count(driver->core); i++) {
        int64_t silent_ms;
        bool connected;
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(driver->core, i, driver->now_ms, &silent_ms, &connected);
        *ret_conduct = dpc_core_conduct_at(driver->core, i);
        if (worker->key[0] == number + 1)
            return worker;
    }
    CU_FAIL_FATAL("there is no such worker");
    return NULL;
}

static void
expect(const struct driver *driver, uint8_t number, uint64_t audited, uint64_t failed)
{
    const struct dpc_conduct_record *conduct = NULL;
    const struct dpc_worker_record *worker = worker_of(driver, number, &conduct);
    CU_ASSERT_EQUAL(conduct->audited, audited);
    CU_ASSERT_EQUAL(conduct->failed, failed);
    CU_ASSERT_EQUAL(worker->standing, failed ? DPC_STANDING_QUARANTINED : DPC_STANDING_GOOD);
}

static void
the_same_result_ends_an_audit_quietly(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    struct dpc_msg_lease audit = audit_for(&driver, 4);
    CU_ASSERT_EQUAL(audit.steps_count, 4);
    CU_ASSERT_EQUAL(answer(&driver, 4, &audit, 0)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    expect(&driver, 0, 1, 0);
    expect(&driver, 4, 0, 0);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, DENSE)->rounds_done, 1);
    /* An answer that was lost is asked for again. */
    CU_ASSERT_EQUAL(answer(&driver, 4, &audit, 0)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_ask(&driver, 4)->type, DPC_MSG_WAIT);
    driver_crash(&driver);
    expect(&driver, 0, 1, 0);
    driver_stop(&driver);
}

static void
one_who_answers_otherwise_is_outvoted(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    struct dpc_msg_lease audit = audit_for(&driver, 4);
    CU_ASSERT_EQUAL(answer(&driver, 4, &audit, 1)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "a third one will decide"));
    CU_ASSERT_EQUAL(driver_ask(&driver, 4)->type, DPC_MSG_WAIT); /* not the one who answered */
    audit = audit_for(&driver, 5);
    answer(&driver, 5, &audit, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "barred"));
    expect(&driver, 0, 1, 0);
    expect(&driver, 4, 1, 1);
    CU_ASSERT_EQUAL(driver_ask(&driver, 4)->type, DPC_MSG_ERROR);
    driver_stop(&driver);
}

static void
one_who_handed_in_something_else_is_caught(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    for (uint8_t worker = 4; worker < 6; worker++) {
        struct dpc_msg_lease audit = audit_for(&driver, worker);
        answer(&driver, worker, &audit, 1);
    }
    expect(&driver, 0, 1, 1);
    expect(&driver, 4, 0, 0);
    /* Its lease is void, and its path another's. */
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &leases[0])->verdict.verdict, DPC_VERDICT_REFUSED);
    CU_ASSERT_EQUAL(driver_ask(&driver, 5)->lease.path, leases[0].path);
    driver_stop(&driver);
}

static void
elastic_mode_audits_whole_rounds_too(void)
{
    mode = "elastic";
    the_same_result_ends_an_audit_quietly();
    one_who_answers_otherwise_is_outvoted();
    one_who_handed_in_something_else_is_caught();
    mode = "strict";
}

static void
three_different_results_condemn_nobody(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    for (uint8_t worker = 4; worker < 6; worker++) {
        struct dpc_msg_lease audit = audit_for(&driver, worker);
        answer(&driver, worker, &audit, worker);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "three different results"));
    for (uint8_t worker = 0; worker < 6; worker++)
        expect(&driver, worker, 0, 0);
    driver_stop(&driver);
}

/* A second passes, and all who train say that they are nearly through. */
static void
beat(struct driver *driver, const struct dpc_msg_lease leases[BUSY])
{
    driver->now_ms += 1000;
    for (uint8_t worker = 0; worker < BUSY; worker++) {
        struct dpc_msg_heartbeat message = {.token = leases[worker].token, .steps_done = 4};
        struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT, .heartbeat.message = &message};
        memset(event.worker, worker + 1, sizeof event.worker);
        driver_step(driver, &event);
    }
}

static void
whoever_is_silent_or_gives_back_is_replaced(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    struct dpc_msg_lease first = audit_for(&driver, 4), again = driver_ask(&driver, 4)->lease;
    CU_ASSERT_EQUAL(first.token.serial, again.token.serial);
    driver_hello(&driver, 5, no_token);
    CU_ASSERT_EQUAL(driver_ask(&driver, 5)->type, DPC_MSG_WAIT);
    for (int beats = 0; beats < 3; beats++) {
        beat(&driver, leases);
        CU_ASSERT_EQUAL(driver_heartbeat(&driver, 4, first.token)->verdict.verdict,
                        DPC_VERDICT_CONTINUE);
    }
    CU_ASSERT_EQUAL(driver_ask(&driver, 5)->type, DPC_MSG_WAIT);
    for (int beats = 0; beats < 5; beats++)
        beat(&driver, leases);
    struct dpc_msg_lease second = audit_for(&driver, 5);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 4, first.token)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_NOT_EQUAL(answer(&driver, 4, &first, 1)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    struct dpc_msg_give_back back = {.token = second.token, .reason = "tired"};
    struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK, .give_back.message = &back};
    memset(event.worker, 6, sizeof event.worker);
    driver_step(&driver, &event);
    struct dpc_msg_lease third = audit_for(&driver, 4);
    CU_ASSERT(third.token.serial > second.token.serial);
    driver_hello(&driver, 4, no_token); /* begins anew without it */
    CU_ASSERT(audit_for(&driver, 5).token.serial > third.token.serial);
    driver_stop(&driver);
}

static void
another_task_than_the_audits_is_refused(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    struct dpc_msg_lease audit = audit_for(&driver, 4);
    audit.round++;
    CU_ASSERT_EQUAL(answer(&driver, 4, &audit, 0)->verdict.verdict, DPC_VERDICT_REFUSED);
    audit_for(&driver, 4);
    driver_stop(&driver);
}

static void
other_classes_and_no_share_get_none(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    start(&driver, "1", leases);
    driver.numeric_class = "other";
    driver_hello(&driver, 4, no_token);
    CU_ASSERT_EQUAL(driver_ask(&driver, 4)->type, DPC_MSG_WAIT);
    driver_stop(&driver);
    start(&driver, "0", leases);
    driver_hello(&driver, 4, no_token);
    CU_ASSERT_EQUAL(driver_ask(&driver, 4)->type, DPC_MSG_WAIT);
    driver_stop(&driver);
}

static bool
is_kept(const struct driver *driver, const struct dpc_hash *hash)
{
    struct dpc_error err;
    struct dpc_keep *keep = dpc_keep_create(driver->core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(keep, driver->kv, &err), DPC_OK);
    bool kept = dpc_keep_holds(keep, hash);
    dpc_keep_destroy(keep);
    return kept;
}

/* Worker 0 alone trains on: nobody else is there, so audits stay open; then they are overdue. */
static void
an_open_audit_keeps_what_it_names_and_comes_first_when_overdue(void)
{
    for (int audits = 0; audits < 2; audits++) {
        struct driver driver;
        struct dpc_msg_lease leases[BUSY];
        start(&driver, audits ? "1" : "0", leases);
        for (uint8_t worker = 1; worker < BUSY; worker++)
            driver_hello(&driver, worker, no_token); /* without their leases */
        struct dpc_msg_lease lease = leases[0], second = {0};
        for (int i = 0; i < 16; i++) {
            if (lease.path == 0 && lease.round == 1)
                second = lease;
            driver_submit(&driver, 0, &lease);
            lease = driver_ask(&driver, 0)->lease;
        }
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, 0)->rounds_done, 4);
        CU_ASSERT_EQUAL(is_kept(&driver, &second.versions[0].hash), audits == 1);
        CU_ASSERT_EQUAL(is_kept(&driver, &second.state.hash), audits == 1);
        const struct dpc_msg *reply = driver_ask(&driver, 1);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        CU_ASSERT_EQUAL(reply->lease.round < 2, audits == 1);
        driver_stop(&driver);
    }
}

/* Nothing of an audit changes what is trained. */
static void
versions_are_the_same_with_and_without(void)
{
    struct dpc_hash outcomes[3];
    for (int i = 0; i < 3; i++) {
        struct driver driver;
        struct dpc_msg_lease leases[BUSY];
        start(&driver, i ? "1" : "0", leases);
        driver.crash_after_each = i == 2;
        CU_ASSERT_TRUE(driver_finish(&driver, 7));
        outcomes[i] = driver_outcome(&driver);
        driver_stop(&driver);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[1]));
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[2]));
}

static void
a_rollback_ends_audits_of_what_it_discards(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY];
    struct dpc_version_record version;
    struct dpc_error err;
    start(&driver, "1", leases);
    struct dpc_msg_lease audit = audit_for(&driver, 4);
    answer(&driver, 4, &audit, 0);
    driver_submit(&driver, 0, &leases[0]);
    const struct dpc_msg *reply = driver_ask(&driver, 4);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    audit = reply->lease;
    CU_ASSERT_EQUAL(audit.path, leases[0].path);
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, audit.modules[0], 0, &version, &err), DPC_OK);
    version.momentum.bytes[0] ^= 1; /* another content, so that there is something to roll back */
    event.rollback.versions_count = 1;
    event.rollback.versions = &version;
    driver_step(&driver, &event);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 4, audit.token)->verdict.verdict, DPC_VERDICT_STALE);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"the same result ends an audit quietly", the_same_result_ends_an_audit_quietly},
    {"one who answers otherwise is outvoted", one_who_answers_otherwise_is_outvoted},
    {"one who handed in something else is caught", one_who_handed_in_something_else_is_caught},
    {"elastic mode audits whole rounds too", elastic_mode_audits_whole_rounds_too},
    {"three different results condemn nobody", three_different_results_condemn_nobody},
    {"whoever is silent or gives back is replaced", whoever_is_silent_or_gives_back_is_replaced},
    {"another task than the audit's is refused", another_task_than_the_audits_is_refused},
    {"other classes and no share get none", other_classes_and_no_share_get_none},
    {"an open audit keeps what it names and comes first when overdue",
     an_open_audit_keeps_what_it_names_and_comes_first_when_overdue},
    {"versions are the same with and without", versions_are_the_same_with_and_without},
    {"a rollback ends audits of what it discards", a_rollback_ends_audits_of_what_it_discards},
};
DPC_TEST_MAIN("coordinator/audits", tests)
