/* SPDX-License-Identifier: Apache-2.0
 * Why: each reason occurs, with its numbers, and is what the worker is told. Path 0 is 0-0, path 1
 * 0-1, path 2 1-0, path 3 1-1; modules 0 and 1 are the lower ones, 2 and 3 the upper ones. */
#include "coordinator/core/why.h"

#include <math.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

#define REST                                                                                       \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "baseline: {dense: false}\n"                                                                   \
    "warm_start: {steps: 4}\n"
static const char yaml[] = SMALL_2X2 REST "outer: {rounds: 3}\n";
static const char elastic_yaml[] =
    SMALL_2X2 REST "mode: elastic\nouter: {rounds: 3, quorum: 0.5, grace: 0.5}\n";

enum { LOWER_0 = 0, UPPER_0 = 2, UPPER_1 = 3 };

static const struct dpc_token no_token;

static struct dpc_why_worker
why_worker(const struct driver *driver, uint8_t worker)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    struct dpc_why_worker why;
    memset(key, worker + 1, sizeof key);
    dpc_core_why_worker(driver->core, key, driver->now_ms, &why);
    return why;
}

static struct dpc_why_path
why_path(const struct driver *driver, uint32_t path)
{
    struct dpc_why_path why;
    dpc_core_why_path(driver->core, path, driver->now_ms, &why);
    return why;
}

static struct dpc_why_module
why_module(const struct driver *driver, uint32_t module)
{
    struct dpc_why_module why;
    dpc_core_why_module(driver->core, module, driver->now_ms, &why);
    return why;
}

/* What was foretold is what it is told. */
static struct dpc_why_worker
check_told(struct driver *driver, uint8_t worker, enum dpc_ask ask, const char *words)
{
    struct dpc_why_worker why = why_worker(driver, worker);
    const struct dpc_msg *reply = driver_ask(driver, worker);
    bool leased = ask == DPC_ASK_LEASE || ask == DPC_ASK_AGAIN;
    CU_ASSERT_EQUAL(why.ask, ask);
    CU_ASSERT_PTR_NOT_NULL(strstr(why.text, words));
    CU_ASSERT_EQUAL(reply->type == DPC_MSG_LEASE, leased);
    if (reply->type == DPC_MSG_WAIT) {
        CU_ASSERT_STRING_EQUAL(reply->wait.reason, why.text);
        CU_ASSERT_EQUAL(reply->wait.retry_ms, why.retry_ms);
    } else if (reply->type == DPC_MSG_ERROR) {
        CU_ASSERT_STRING_EQUAL(reply->error.text, why.text);
    } else {
        CU_ASSERT_STRING_EQUAL(why.text, "");
    }
    return why;
}

static void
send(struct driver *driver, uint8_t worker, struct dpc_event event)
{
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

static void
give_back(struct driver *driver, uint8_t worker, struct dpc_msg_give_back message)
{
    send(driver, worker,
         (struct dpc_event){.type = DPC_EVENT_GIVE_BACK, .give_back.message = &message});
}

static void
start(struct driver *driver, const char *text)
{
    driver_start_training(driver, text);
    driver_hello(driver, 1, no_token);
}

/* --- Workers. */

static void
a_worker_that_gets_a_lease_is_told_nothing(void)
{
    struct driver driver;
    start(&driver, yaml);
    struct dpc_why_worker why = check_told(&driver, 0, DPC_ASK_LEASE, "");
    CU_ASSERT_EQUAL(why.tasks.ready, 4);
    CU_ASSERT_EQUAL(why.lease, 0);
    why = check_told(&driver, 0, DPC_ASK_AGAIN, "");
    CU_ASSERT_EQUAL(why.lease, driver.actions.reply.lease.token.serial);
    CU_ASSERT_EQUAL(why.tasks.held, 1);
    CU_ASSERT_TRUE(why.connected);
    driver_stop(&driver);
}

static void
one_that_never_said_hello(void)
{
    struct driver driver;
    start(&driver, yaml);
    struct dpc_why_worker why = check_told(&driver, 7, DPC_ASK_UNKNOWN, "say hello first");
    CU_ASSERT_FALSE(why.greeted);
    driver_crash(&driver);
    CU_ASSERT_FALSE(why_worker(&driver, 1).greeted); /* to this process */
    driver_hello(&driver, 1, no_token);
    CU_ASSERT_TRUE(why_worker(&driver, 1).greeted);
    driver_stop(&driver);
}

static void
one_that_is_silent(void)
{
    struct driver driver;
    start(&driver, yaml);
    driver.now_ms += 2999;
    CU_ASSERT_TRUE(why_worker(&driver, 1).connected);
    driver.now_ms += 2;
    struct dpc_why_worker why = why_worker(&driver, 1);
    CU_ASSERT_FALSE(why.connected);
    CU_ASSERT_EQUAL(why.silent_ms, 3001);
    CU_ASSERT_EQUAL(why.heartbeat_ms, 1000);
    driver_stop(&driver);
}

static void
one_that_is_barred_or_drained(void)
{
    struct driver driver;
    struct dpc_event drain = {.type = DPC_EVENT_DRAIN};
    drain.drain.drained = true;
    start(&driver, yaml);
    send(&driver, 1, drain);
    check_told(&driver, 1, DPC_ASK_DRAINED, "drained by the operator");
    send(&driver, 1,
         (struct dpc_event){.type = DPC_EVENT_STANDING, .standing = DPC_STANDING_REVOKED});
    check_told(&driver, 1, DPC_ASK_BARRED, "dipacoctl admit");
    driver_stop(&driver);
}

static void
one_of_another_numeric_class(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    driver.numeric_class = "other";
    driver_hello(&driver, 1, no_token); /* nobody has computed anything yet */
    driver_reach_training(&driver, 0);
    check_told(&driver, 1, DPC_ASK_CLASS, "numeric class");
    driver_stop(&driver);
}

static void
one_whose_leases_come_to_nothing(void)
{
    struct driver driver;
    start(&driver, yaml);
    for (int i = 0; i < 2; i++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 1);
        give_back(&driver, 1, (struct dpc_msg_give_back){.token = lease.token, .reason = "tired"});
    }
    driver.now_ms += 500;
    struct dpc_why_worker why = check_told(&driver, 1, DPC_ASK_PAUSED, "its last 2 leases");
    CU_ASSERT_EQUAL(why.fruitless, 2);
    CU_ASSERT_EQUAL(why.retry_ms, 1500);
    driver.now_ms += 1500;
    check_told(&driver, 1, DPC_ASK_LEASE, "");
    driver_stop(&driver);
}

static void
one_without_the_memory(void)
{
    struct driver driver;
    start(&driver, yaml);
    struct dpc_msg_lease lease = driver_lease(&driver, 1);
    give_back(&driver, 1,
              (struct dpc_msg_give_back){.token = lease.token, .reason = "", .too_large = true});
    struct dpc_why_worker why = check_told(&driver, 1, DPC_ASK_TOO_LARGE, "this worker's memory");
    CU_ASSERT_EQUAL(why.tasks.ready, 4);
    CU_ASSERT_NOT_EQUAL(why.too_large, 0);
    driver_stop(&driver);
}

static void
one_for_whom_nothing_is_ready(void)
{
    struct driver driver;
    start(&driver, yaml);
    for (uint8_t worker = 0; worker < 4; worker++) {
        driver_hello(&driver, worker, no_token);
        driver_lease(&driver, worker);
    }
    driver_hello(&driver, 4, no_token);
    driver.now_ms += 1000;
    struct dpc_why_worker why =
        check_told(&driver, 4, DPC_ASK_NOTHING,
                   "phase train: no task is ready: 4 held, the first backup is due in 1.3 s");
    CU_ASSERT_EQUAL(why.tasks.held, 4);
    CU_ASSERT_EQUAL(why.tasks.ready, 0);
    CU_ASSERT_EQUAL(why.tasks.backup_ms, 1251);
    driver.now_ms += 1251;
    check_told(&driver, 4, DPC_ASK_LEASE, "");
    driver_stop(&driver);
}

static void
one_when_all_is_over(void)
{
    struct driver driver;
    start(&driver, yaml);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    check_told(&driver, 1, DPC_ASK_FINISHED, "finished");
    driver_stop(&driver);
}

/* Its lease is not what the path needs any more, as asking would find out. */
static void
one_whose_lease_does_not_stand(void)
{
    struct driver driver;
    start(&driver, elastic_yaml);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    driver.now_ms += 3000;
    struct dpc_msg_lease second = driver_lease(&driver, 1);
    while (second.path != first.path) {
        driver_submit(&driver, 1, &second);
        second = driver_lease(&driver, 1);
    }
    struct dpc_msg_submit part;
    struct dpc_submission_check check = {0};
    driver_fill_submission(&driver, &second, &part);
    part.steps_count = 1;
    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &part, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(why_worker(&driver, 0).lease, first.token.serial);
    check_told(&driver, 0, DPC_ASK_LEASE, "");
    driver_stop(&driver);
}

static void
what_was_refused_is_remembered_with_its_reason(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0}, damaged = {.damaged = true, .text = "it is torn"};
    start(&driver, yaml);
    struct dpc_msg_lease slow = driver_lease(&driver, 0);
    driver.now_ms += 5000;
    struct dpc_msg_lease backup = driver_lease(&driver, 1);
    while (backup.path != slow.path) {
        driver_submit(&driver, 1, &backup);
        backup = driver_lease(&driver, 1);
    }
    driver_submit(&driver, 1, &backup);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &slow)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    driver.now_ms += 100;
    for (int i = 0; i < DPC_REFUSALS_KEPT; i++) {
        driver.now_ms += 1000 * 1000;
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_fill_submission(&driver, &lease, &submit);
        submit.path = (lease.path + 1) % 4;
        const struct dpc_submission_check *found = i == 0 ? &damaged : &check;
        CU_ASSERT_EQUAL(driver_submit_message(&driver, 0, &submit, found)->verdict.verdict,
                        DPC_VERDICT_REFUSED);
        if (i == 0) {
            struct dpc_why_worker why = why_worker(&driver, 0);
            CU_ASSERT_EQUAL_FATAL(why.refusals_count, 2);
            CU_ASSERT_EQUAL(why.refusals[0].verdict, DPC_VERDICT_REFUSED);
            CU_ASSERT_EQUAL(why.refusals[0].at_ms, driver.now_ms);
            CU_ASSERT_STRING_EQUAL(why.refusals[0].text, "it is torn");
            CU_ASSERT_EQUAL(why.refusals[1].verdict, DPC_VERDICT_SUPERSEDED);
            CU_ASSERT_EQUAL(why.refusals[1].path, slow.path);
            CU_ASSERT_EQUAL(why.refusals[1].round, slow.round);
            CU_ASSERT_EQUAL(why.refusals[1].lease, slow.token.serial);
            CU_ASSERT_PTR_NOT_NULL(
                strstr(why.refusals[1].text, "had been handed in before, under lease"));
        }
    }
    struct dpc_why_worker why = why_worker(&driver, 0);
    CU_ASSERT_EQUAL_FATAL(why.refusals_count, DPC_REFUSALS_KEPT); /* the oldest has gone */
    CU_ASSERT_STRING_EQUAL(why.refusals[0].text, "it is for another task than its lease");
    CU_ASSERT_STRING_EQUAL(why.refusals[DPC_REFUSALS_KEPT - 1].text, "it is torn");
    CU_ASSERT_EQUAL(why_worker(&driver, 1).refusals_count, 0);
    driver_stop(&driver);
}

/* --- Paths and modules. */

/* Path 0 is held, paths 1 to 3 have delivered. */
static struct dpc_msg_lease
hold_the_first(struct driver *driver)
{
    struct dpc_msg_lease held = driver_lease(driver, 0);
    CU_ASSERT_EQUAL_FATAL(held.path, 0);
    for (int i = 0; i < 3; i++) {
        struct dpc_msg_lease lease = driver_lease(driver, 1);
        driver_submit(driver, 1, &lease);
    }
    return held;
}

static void
a_path_that_is_held_and_those_that_wait_for_it(void)
{
    struct driver driver;
    start(&driver, yaml);
    CU_ASSERT_EQUAL(why_path(&driver, 0).standing, DPC_PATH_READY);
    struct dpc_msg_lease held = hold_the_first(&driver);
    driver.now_ms += 1000;
    struct dpc_why_path why = why_path(&driver, 0);
    CU_ASSERT_EQUAL(why.standing, DPC_PATH_HELD);
    CU_ASSERT_EQUAL(why.round, 0);
    CU_ASSERT_EQUAL(why.rounds, 3);
    CU_ASSERT_EQUAL(why.steps, 4);
    CU_ASSERT_EQUAL(why.leases_count, 1);
    CU_ASSERT_EQUAL(why.backup_ms, 1251);
    CU_ASSERT_EQUAL(dpc_core_backup_in(driver.core, 0, driver.now_ms), 1251);
    why = why_path(&driver, 2); /* it shares the upper one */
    CU_ASSERT_EQUAL(why.standing, DPC_PATH_WAITS);
    CU_ASSERT_EQUAL(why.round, 1);
    CU_ASSERT_EQUAL_FATAL(why.lacks_count, 1);
    CU_ASSERT_EQUAL(why.lacks[0].module, UPPER_0);
    CU_ASSERT_EQUAL(why.lacks[0].lack, DPC_LACK_ROUND);
    CU_ASSERT_EQUAL(why.lacks[0].round, 0);
    CU_ASSERT_EQUAL(why_path(&driver, 3).standing, DPC_PATH_READY); /* it shares nothing */

    struct dpc_why_module module = why_module(&driver, UPPER_0);
    CU_ASSERT_EQUAL(module.standing, DPC_MODULE_WAITS);
    CU_ASSERT_EQUAL(module.paths, 2);
    CU_ASSERT_EQUAL(module.planned, 2);
    CU_ASSERT_EQUAL(module.delivered, 1);
    CU_ASSERT_EQUAL(module.behind, 1);
    CU_ASSERT_EQUAL(module.rounds, 3);
    CU_ASSERT_EQUAL(why_module(&driver, UPPER_1).round, 1);

    driver.now_ms += 1251;
    why = why_path(&driver, 0); /* for whoever asks, although it is held */
    CU_ASSERT_EQUAL(why.standing, DPC_PATH_READY);
    CU_ASSERT_EQUAL(why.leases_count, 1);
    CU_ASSERT_EQUAL(dpc_core_backup_in(driver.core, 0, driver.now_ms), 0);
    driver.hold_folds = true;
    driver_submit(&driver, 0, &held);
    CU_ASSERT_EQUAL(why_module(&driver, UPPER_0).standing, DPC_MODULE_FOLDING);
    why = why_path(&driver, 0);
    CU_ASSERT_EQUAL(why.standing, DPC_PATH_WAITS);
    CU_ASSERT_EQUAL(why.lacks_count, 2);
    CU_ASSERT_EQUAL(why.lacks[1].lack, DPC_LACK_FOLD);
    driver_release_folds(&driver);
    CU_ASSERT_EQUAL(why_path(&driver, 0).standing, DPC_PATH_READY);
    driver_stop(&driver);
}

static void
a_lease_tells_its_age_and_what_is_left(void)
{
    struct driver driver;
    struct dpc_lease_view view;
    start(&driver, yaml);
    hold_the_first(&driver);
    driver.now_ms += 700;
    dpc_core_lease_at(driver.core, 0, driver.now_ms, &view);
    CU_ASSERT_EQUAL(view.age_ms, 700);
    CU_ASSERT_EQUAL(view.silent_ms, 700);
    CU_ASSERT_TRUE(view.left_ms == -1 || view.left_ms > 0);
    dpc_core_lease_at(driver.core, 0, driver.now_ms + INT32_MAX, &view);
    CU_ASSERT_TRUE(view.left_ms == -1 || view.left_ms == 0);
    driver_stop(&driver);
}

static void
phases_without_training(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    CU_ASSERT_EQUAL(why_path(&driver, 0).standing, DPC_PATH_PHASE);
    CU_ASSERT_EQUAL(why_module(&driver, LOWER_0).standing, DPC_MODULE_ABSENT);
    driver_reach_training(&driver, 0);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    CU_ASSERT_EQUAL(why_path(&driver, 0).standing, DPC_PATH_DONE);
    CU_ASSERT_EQUAL(why_module(&driver, LOWER_0).standing, DPC_MODULE_DONE);
    driver_stop(&driver);
}

static void
a_path_that_fails_everywhere(void)
{
    struct driver driver;
    start(&driver, yaml);
    struct dpc_msg_lease lease;
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t worker = i % 2;
        lease = driver_lease(&driver, worker);
        CU_ASSERT_EQUAL_FATAL(lease.path, 0);
        give_back(&driver, worker,
                  (struct dpc_msg_give_back){
                      .token = lease.token, .reason = "step 3: not finite", .not_finite = true});
    }
    struct dpc_why_path why = why_path(&driver, 0);
    CU_ASSERT_EQUAL(why.standing, DPC_PATH_FAILS);
    CU_ASSERT_EQUAL(why.tries, 3);
    CU_ASSERT_STRING_EQUAL(why.failure, "step 3: not finite");
    CU_ASSERT_EQUAL(why_worker(&driver, 0).tasks.failing, 1);
    driver_stop(&driver);
}

static void
a_module_that_waits_for_a_quorum_and_then_for_a_while(void)
{
    struct driver driver;
    struct dpc_event tick = {.type = DPC_EVENT_TICK};
    start(&driver, elastic_yaml);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL_FATAL(first.path, 0);
    struct dpc_why_module why = why_module(&driver, LOWER_0);
    CU_ASSERT_EQUAL(why.standing, DPC_MODULE_QUORUM);
    CU_ASSERT_DOUBLE_EQUAL(why.quorum, 1.0, 1e-9);
    CU_ASSERT_EQUAL(why.delivered, 0);
    CU_ASSERT_EQUAL(why.grace_ms, -1);
    driver.now_ms += 8000;
    driver_submit(&driver, 0, &first);
    why = why_module(&driver, LOWER_0);
    CU_ASSERT_EQUAL(why.standing, DPC_MODULE_GRACE);
    CU_ASSERT_EQUAL(why.delivered, 1);
    CU_ASSERT_EQUAL(why.grace_ms, 4000);
    driver.now_ms += 1000;
    CU_ASSERT_EQUAL(why_module(&driver, LOWER_0).grace_ms, 3000);
    driver.now_ms += 3000;
    driver_step(&driver, &tick);
    CU_ASSERT_EQUAL(why_module(&driver, LOWER_0).round, 1);
    driver_stop(&driver);
}

static void
times_for_people(void)
{
    char text[32];
    CU_ASSERT_STRING_EQUAL(dpc_why_time(1251, text), "1.3 s");
    CU_ASSERT_STRING_EQUAL(dpc_why_time(31999, text), "31 s");
    CU_ASSERT_STRING_EQUAL(dpc_why_time(3600000, text), "60 min");
}

static const struct dpc_test tests[] = {
    {"a worker that gets a lease is told nothing", a_worker_that_gets_a_lease_is_told_nothing},
    {"one that never said hello", one_that_never_said_hello},
    {"one that is silent", one_that_is_silent},
    {"one that is barred or drained", one_that_is_barred_or_drained},
    {"one of another numeric class", one_of_another_numeric_class},
    {"one whose leases come to nothing", one_whose_leases_come_to_nothing},
    {"one without the memory", one_without_the_memory},
    {"one for whom nothing is ready", one_for_whom_nothing_is_ready},
    {"one when all is over", one_when_all_is_over},
    {"one whose lease does not stand", one_whose_lease_does_not_stand},
    {"what was refused is remembered with its reason",
     what_was_refused_is_remembered_with_its_reason},
    {"a path that is held and those that wait for it",
     a_path_that_is_held_and_those_that_wait_for_it},
    {"a lease tells its age and what is left", a_lease_tells_its_age_and_what_is_left},
    {"phases without training", phases_without_training},
    {"a path that fails everywhere", a_path_that_fails_everywhere},
    {"a module that waits for a quorum and then for a while",
     a_module_that_waits_for_a_quorum_and_then_for_a_while},
    {"times for people", times_for_people},
};
DPC_TEST_MAIN("coordinator/core/why", tests)
