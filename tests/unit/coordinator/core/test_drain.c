/* SPDX-License-Identifier: Apache-2.0
 * Drained workers: what they finish, what they do not get, and who takes over. */
#include "coordinator/core/core.h"

#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

#define REST                                                                                       \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "warm_start: {steps: 10}\n"
static const char yaml[] = SMALL_2X2 REST "outer: {rounds: 3}\n";
static const char elastic_yaml[] =
    SMALL_2X2 REST "outer: {rounds: 3, quorum: 0.5, grace: 0.5}\nmode: elastic\n";
static const char audit_yaml[] = SMALL_2X2 REST "outer: {rounds: 3}\naudit: 1\n";

static const struct dpc_token no_token;

static void
drain(struct driver *driver, uint8_t worker, bool drained)
{
    struct dpc_event event = {.type = DPC_EVENT_DRAIN};
    event.drain.drained = drained;
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

static void
drain_all(struct driver *driver, bool drained)
{
    struct dpc_event event = {.type = DPC_EVENT_DRAIN};
    event.drain.drained = drained;
    event.drain.all = true;
    driver_step(driver, &event);
}

static void
check_waits(const struct dpc_msg *reply)
{
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_WAIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->wait.reason, "drained by the operator"));
    CU_ASSERT_FALSE(reply->wait.finished);
}

static void
finishes_its_lease_and_gets_none(const char *text)
{
    struct driver driver;
    driver_start_training(&driver, text);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    drain(&driver, 0, true);
    /* The answer to its question was lost. */
    CU_ASSERT_EQUAL(driver_lease(&driver, 0).token.serial, lease.token.serial);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, lease.token)->verdict.verdict,
                    DPC_VERDICT_CONTINUE);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round + 1);
    for (int life = 0; life < 2; life++) {
        CU_ASSERT_EQUAL(driver_hello(&driver, 0, no_token)->type, DPC_MSG_WELCOME);
        check_waits(driver_ask(&driver, 0));
        driver_crash(&driver);
    }
    driver_hello(&driver, 1, no_token);
    CU_ASSERT_EQUAL(driver_ask(&driver, 1)->type, DPC_MSG_LEASE);
    drain(&driver, 0, false);
    CU_ASSERT_EQUAL(driver_ask(&driver, 0)->type, DPC_MSG_LEASE);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

static void
a_drained_worker_finishes_its_lease_and_gets_no_other(void)
{
    finishes_its_lease_and_gets_none(yaml);
}

static void
likewise_in_elastic_mode(void)
{
    finishes_its_lease_and_gets_none(elastic_yaml);
}

/* It was drained and went away with its lease: that is taken over like anybody's. */
static void
its_lease_is_backed_up(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    drain(&driver, 0, true);
    const struct dpc_msg *reply;
    while ((reply = driver_ask(&driver, 1))->type == DPC_MSG_LEASE) {
        struct dpc_msg_lease other = reply->lease;
        CU_ASSERT_NOT_EQUAL(other.path, lease.path);
        driver_submit(&driver, 1, &other);
    }
    CU_ASSERT_EQUAL(reply->type, DPC_MSG_WAIT);
    driver.now_ms += 1000 * 3600;
    CU_ASSERT_EQUAL(driver_lease(&driver, 1).path, lease.path);
    driver_stop(&driver);
}

static void
all_are_drained_but_barred_ones(void)
{
    struct driver driver;
    struct dpc_event bar = {.type = DPC_EVENT_STANDING, .standing = DPC_STANDING_REVOKED};
    int64_t silent_ms;
    bool connected;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    driver_hello(&driver, 2, no_token);
    memset(bar.worker, 2, sizeof bar.worker); /* the second one's key */
    driver_step(&driver, &bar);
    drain_all(&driver, true);
    for (uint32_t i = 0; i < 3; i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(driver.core, i, driver.now_ms, &silent_ms, &connected);
        CU_ASSERT_EQUAL(worker->drained, worker->standing == DPC_STANDING_GOOD);
    }
    check_waits(driver_ask(&driver, 0));
    check_waits(driver_ask(&driver, 2));
    driver_hello(&driver, 3, no_token); /* was not known then */
    CU_ASSERT_EQUAL(driver_ask(&driver, 3)->type, DPC_MSG_LEASE);
    drain_all(&driver, false);
    CU_ASSERT_EQUAL(driver_ask(&driver, 0)->type, DPC_MSG_LEASE);
    drain(&driver, 1, true); /* barred */
    drain(&driver, 9, true); /* unknown */
    CU_ASSERT_FALSE(dpc_core_worker_at(driver.core, 1, 0, &silent_ms, &connected)->drained);
    CU_ASSERT_EQUAL(dpc_core_workers_count(driver.core), 4);
    driver_stop(&driver);
}

/* An audit is a lease, too. */
static void
a_drained_worker_gets_no_audit(void)
{
    struct driver driver;
    driver_start_training(&driver, audit_yaml);
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 4; i++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
    }
    drain(&driver, 1, true);
    check_waits(driver_ask(&driver, 1));
    drain(&driver, 1, false);
    struct dpc_msg_lease audit = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(audit.round, 0);
    drain(&driver, 1, true);
    CU_ASSERT_EQUAL(driver_lease(&driver, 1).token.serial, audit.token.serial);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &audit)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    check_waits(driver_ask(&driver, 1));
    driver_stop(&driver);
}

/* Else its worker would wait for ever for one that gets nothing. */
static void
a_drained_worker_is_no_help_with_a_task_that_fails(void)
{
    struct driver driver;
    uint32_t path, tries;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 12 && !dpc_core_failure(driver.core, &path, &tries); i++) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        if (reply->type != DPC_MSG_LEASE) {
            driver.now_ms += 1000 * 3600;
            continue;
        }
        struct dpc_msg_give_back back = {
            .token = reply->lease.token, .reason = "not finite", .not_finite = true};
        struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK, .give_back.message = &back};
        memset(event.worker, 1, sizeof event.worker);
        driver_step(&driver, &event);
        if (i == 3)
            CU_ASSERT_PTR_NULL(dpc_core_failure(driver.core, &path, &tries));
        if (i == 3)
            drain(&driver, 1, true);
    }
    CU_ASSERT_PTR_NOT_NULL(dpc_core_failure(driver.core, &path, &tries));
    drain(&driver, 1, false);
    CU_ASSERT_PTR_NULL(dpc_core_failure(driver.core, &path, &tries));
    driver_stop(&driver);
}

static void
at_the_end_it_is_told_that_all_is_over(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    drain(&driver, 1, true);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    const struct dpc_msg *reply = driver_ask(&driver, 1);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_WAIT);
    CU_ASSERT_TRUE(reply->wait.finished);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"a drained worker finishes its lease and gets no other",
     a_drained_worker_finishes_its_lease_and_gets_no_other},
    {"likewise in elastic mode", likewise_in_elastic_mode},
    {"its lease is backed up", its_lease_is_backed_up},
    {"all are drained but barred ones", all_are_drained_but_barred_ones},
    {"a drained worker gets no audit", a_drained_worker_gets_no_audit},
    {"a drained worker is no help with a task that fails",
     a_drained_worker_is_no_help_with_a_task_that_fails},
    {"at the end it is told that all is over", at_the_end_it_is_told_that_all_is_over},
};
DPC_TEST_MAIN("coordinator/core/drain", tests)
