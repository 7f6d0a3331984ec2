/* SPDX-License-Identifier: Apache-2.0
 * More workers than are known at a time: who makes room, who never does, and what is left of them.
 */
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
static const char audit_yaml[] = SMALL_2X2 REST "outer: {rounds: 3}\naudit: 1\n";

enum { LONG_MS = 31 * 1000 }; /* thirty heartbeats and one */

static const struct dpc_token no_token;

/* Worker 0 has trained, and is there. */
static void
set_up(struct driver *driver, const char *text, uint32_t workers_max)
{
    driver_start_training(driver, text);
    driver->workers_max = workers_max;
    driver_crash(driver);
    driver_hello(driver, 0, no_token);
}

static bool
is_known(const struct driver *driver, uint8_t worker)
{
    int64_t silent_ms;
    bool connected, found = false;
    for (uint32_t i = 0; i < dpc_core_workers_count(driver->core); i++) {
        const struct dpc_worker_record *record =
            dpc_core_worker_at(driver->core, i, driver->now_ms, &silent_ms, &connected);
        found |= record->key[0] == worker + 1;
    }
    return found;
}

static void
standing(struct driver *driver, uint8_t worker, enum dpc_standing standing)
{
    struct dpc_event event = {.type = DPC_EVENT_STANDING, .standing = standing};
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

static void
drain(struct driver *driver, uint8_t worker)
{
    struct dpc_event event = {.type = DPC_EVENT_DRAIN};
    event.drain.drained = true;
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

/* Time in which nobody says anything. */
static void
pass(struct driver *driver, int64_t ms)
{
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    driver->now_ms += ms;
    driver_step(driver, &event);
}

static void
check_full(struct driver *driver, uint8_t worker)
{
    const struct dpc_msg *reply = driver_hello(driver, worker, no_token);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_ERROR);
    CU_ASSERT_EQUAL(reply->error.code, DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, "none of which has been away for long"));
    CU_ASSERT_FALSE(is_known(driver, worker));
}

static void
who_was_away_longest_makes_room(void)
{
    struct driver driver;
    set_up(&driver, yaml, 3);
    driver_hello(&driver, 1, no_token);
    pass(&driver, 1000);
    driver_hello(&driver, 2, no_token);
    check_full(&driver, 3);
    pass(&driver, LONG_MS);
    driver_hello(&driver, 0, no_token); /* which was heard of first */
    CU_ASSERT_EQUAL(driver_hello(&driver, 3, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_FALSE(is_known(&driver, 1));
    CU_ASSERT_TRUE(is_known(&driver, 0) && is_known(&driver, 2) && is_known(&driver, 3));
    CU_ASSERT_EQUAL(driver_ask(&driver, 1)->error.code, DPC_ESTALE);
    CU_ASSERT_EQUAL(driver_hello(&driver, 1, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_FALSE(is_known(&driver, 2));
    check_full(&driver, 2);
    driver_crash(&driver);
    CU_ASSERT_TRUE(is_known(&driver, 0) && is_known(&driver, 1) && is_known(&driver, 3));
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    driver_stop(&driver);
}

/* Whoever waited for the restart has not been seen to be away. */
static void
a_restart_gives_time_to_come_back(void)
{
    struct driver driver;
    set_up(&driver, yaml, 2);
    driver_hello(&driver, 1, no_token);
    pass(&driver, LONG_MS);
    driver_crash(&driver);
    check_full(&driver, 2);
    pass(&driver, LONG_MS);
    /* The other one has had a lease accepted, which is later than never. */
    CU_ASSERT_EQUAL(driver_hello(&driver, 2, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_TRUE(is_known(&driver, 0));
    CU_ASSERT_FALSE(is_known(&driver, 1));
    driver_stop(&driver);
}

static void
check_counted(const struct driver *driver, const struct dpc_worker_record *before)
{
    const struct dpc_conduct_record *conduct;
    const struct dpc_worker_record *sum = dpc_core_forgotten(driver->core, &conduct);
    CU_ASSERT_EQUAL(sum->tokens, before->tokens);
    CU_ASSERT_EQUAL(sum->leases, before->leases);
    CU_ASSERT_EQUAL(sum->merged, before->merged);
}

/* It was the last to train all paths there are. */
static void
its_counts_go_into_a_sum_and_its_paths_to_others(void)
{
    struct driver driver;
    int64_t silent_ms;
    bool connected;
    set_up(&driver, yaml, 1);
    struct dpc_worker_record before =
        *dpc_core_worker_at(driver.core, 0, driver.now_ms, &silent_ms, &connected);
    CU_ASSERT_TRUE(before.tokens > 0 && before.leases > 0 && before.merged > 0);
    pass(&driver, LONG_MS);
    CU_ASSERT_EQUAL(driver_hello(&driver, 1, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_EQUAL(dpc_core_workers_count(driver.core), 1);
    check_counted(&driver, &before);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(dpc_core_workers_count(driver.core), 1);
    check_counted(&driver, &before);
    struct dpc_msg_lease lease;
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 4; i++) {
        lease = driver_lease(&driver, 1);
        CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    }
    driver_stop(&driver);
}

static void
what_was_said_of_a_worker_is_kept(void)
{
    struct driver driver;
    set_up(&driver, yaml, 4);
    for (uint8_t worker = 1; worker < 4; worker++)
        driver_hello(&driver, worker, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 3);
    drain(&driver, 0);
    standing(&driver, 1, DPC_STANDING_REVOKED);
    pass(&driver, LONG_MS);
    driver_hello(&driver, 2, no_token);
    check_full(&driver, 4);
    pass(&driver, LONG_MS);
    CU_ASSERT_EQUAL(driver_hello(&driver, 4, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_FALSE(is_known(&driver, 2));
    pass(&driver, LONG_MS);
    CU_ASSERT_EQUAL(driver_hello(&driver, 2, no_token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_TRUE(is_known(&driver, 0) && is_known(&driver, 1) && is_known(&driver, 3));
    CU_ASSERT_EQUAL(driver_submit(&driver, 3, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* What it brought is being repeated: an audit can still bar it. */
static void
who_is_audited_is_kept(void)
{
    struct driver driver;
    set_up(&driver, audit_yaml, 2);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_hello(&driver, 1, no_token);
    pass(&driver, LONG_MS);
    driver_hello(&driver, 1, no_token);
    check_full(&driver, 2);
    driver_stop(&driver);
}

static void
one_that_is_forgotten_can_be_revoked(void)
{
    struct driver driver;
    set_up(&driver, yaml, 1);
    pass(&driver, LONG_MS);
    CU_ASSERT_EQUAL(driver_hello(&driver, 1, no_token)->type, DPC_MSG_WELCOME);
    struct dpc_event event = {.type = DPC_EVENT_REVOKE, .revoke = {.name = "its key"}};
    memset(event.worker, 1, sizeof event.worker);
    driver_step(&driver, &event); /* nobody has been away for long */
    driver_crash(&driver);
    CU_ASSERT_EQUAL(dpc_core_workers_count(driver.core), 2);
    const struct dpc_msg *reply = driver_hello(&driver, 0, no_token);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_ERROR);
    CU_ASSERT_EQUAL(reply->error.code, DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, "its key"));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"who was away longest makes room", who_was_away_longest_makes_room},
    {"a restart gives time to come back", a_restart_gives_time_to_come_back},
    {"its counts go into a sum and its paths to others",
     its_counts_go_into_a_sum_and_its_paths_to_others},
    {"what was said of a worker is kept", what_was_said_of_a_worker_is_kept},
    {"who is audited is kept", who_is_audited_is_kept},
    {"one that is forgotten can be revoked", one_that_is_forgotten_can_be_revoked},
};
DPC_TEST_MAIN("coordinator/core/gone", tests)
