/* SPDX-License-Identifier: Apache-2.0
 * Who gets a lease, for how long it is waited for, and who is kept from one. */
#include "coordinator/core/core.h"
#include "coordinator/core/why.h"

#include <stdio.h>
#include <string.h>

#include "base/layout.h"
#include "base/tensor_blob.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const struct dpc_token no_token;

static void
asking_twice_gives_the_same_lease(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease first = driver_lease(&driver, 0), second = driver_lease(&driver, 0);
    CU_ASSERT_TRUE(dpc_token_equal(first.token, second.token));
    driver_crash(&driver);
    second = driver_lease(&driver, 0);
    CU_ASSERT_TRUE(dpc_token_equal(first.token, second.token));
    CU_ASSERT_EQUAL(first.path, second.path);
    driver_stop(&driver);
}

/* Whoever trained the round before has what the difference is to. */
static void
check_changes(struct driver *driver, const struct dpc_msg_lease *lease, uint32_t *changes)
{
    const struct dpc_topology *topology = dpc_core_topology(driver->core);
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        const struct dpc_module_record *module = dpc_core_module(driver->core, lease->modules[i]);
        struct dpc_version_record before;
        struct dpc_error err;
        bool none = module->version == 0 || lease->kind == DPC_TASK_FEATURIZE ||
                    lease->kind == DPC_TASK_EVALUATE ||
                    dpc_topology_module_is_dense(topology, module->module);
        CU_ASSERT_EQUAL(dpc_hash_is_none(&lease->changes[i].hash), none);
        CU_ASSERT_EQUAL(dpc_hash_is_none(&lease->bases[i].hash), none);
        if (none)
            continue;
        size_t count = dpc_layout_module_floats(
            &driver->experiment, dpc_topology_module_level(topology, module->module));
        CU_ASSERT_EQUAL_FATAL(
            dpc_load_version(driver->kv, module->module, module->version - 1, &before, &err),
            DPC_OK);
        CU_ASSERT_TRUE(dpc_hash_equal(&lease->bases[i].hash, &before.published));
        CU_ASSERT_EQUAL(lease->bases[i].bytes, dpc_tensor_blob_bytes(count));
        CU_ASSERT_EQUAL(lease->changes[i].bytes, dpc_tensor_blob_bytes_as(DPC_CODEC_INT8, count));
        (*changes)++;
    }
}

#define CHANGES_YAML                                                                               \
    SMALL_2X2                                                                                      \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 3}\n"                                                                         \
    "warm_start: {steps: 10}\n"                                                                    \
    "transfer: {download: int8}\n"

/* What a module goes back to is no difference to what it was. */
static void
a_rollback_ends_the_chain(void)
{
    struct driver driver;
    struct dpc_version_record version;
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    driver_start_training(&driver, CHANGES_YAML);
    while (dpc_core_module(driver.core, 0)->version < 2) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_FALSE(dpc_hash_is_none(&dpc_core_module(driver.core, 0)->change));
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, 0, 1, &version, &err), DPC_OK);
    event.rollback.versions_count = 1;
    event.rollback.versions = &version;
    driver_step(&driver, &event);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, 3);
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_module(driver.core, 0)->change));
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_module(driver.core, 0)->changed));
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    driver_stop(&driver);
}

static void
a_lease_says_what_versions_are_differences_to(void)
{
    struct driver driver;
    uint32_t changes = 0;
    driver_start(&driver, CHANGES_YAML);
    driver.crash_after_each = true;
    driver_hello(&driver, 0, no_token);
    for (int i = 0; i < 1000 && driver_phase(&driver) != DPC_PHASE_FINISHED; i++) {
        driver.now_ms += 10;
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        if (reply->type != DPC_MSG_LEASE)
            continue;
        struct dpc_msg_lease lease = reply->lease;
        check_changes(&driver, &lease, &changes);
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_FINISHED);
    CU_ASSERT_EQUAL(changes, 4 * 2 * 2); /* paths, their modules, rounds but the first */
    driver_stop(&driver);
}

static void
a_silent_worker_is_backed_up_and_the_first_submission_wins(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease mine[5];
    uint8_t count = 0;
    mine[count++] = driver_lease(&driver, 0);
    /* Worker 1 does all else until only worker 0's path is left to do. */
    for (int i = 0; i < 100; i++) {
        driver.now_ms += 10;
        driver_heartbeat(&driver, 0, mine[0].token);
        const struct dpc_msg *reply = driver_ask(&driver, 1);
        if (reply->type != DPC_MSG_LEASE)
            break;
        struct dpc_msg_lease lease = reply->lease;
        CU_ASSERT_NOT_EQUAL(lease.path, mine[0].path);
        driver_submit(&driver, 1, &lease);
    }
    CU_ASSERT_EQUAL(driver_ask(&driver, 1)->type, DPC_MSG_WAIT);
    driver.now_ms += 2251; /* two heartbeats and a quarter are over */
    struct dpc_msg_lease backup = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(backup.path, mine[0].path);
    CU_ASSERT_EQUAL(backup.round, mine[0].round);
    /* Worker 0 was only slow: its lease still holds, and it is first. */
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, mine[0].token)->verdict.verdict,
                    DPC_VERDICT_CONTINUE);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &mine[0])->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &backup)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 1, backup.token)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, mine[0].path)->rounds_done, mine[0].round + 1);
    driver_stop(&driver);
}

/* However long leases take: when its holder is not heard of any more, a task waits for nobody. */
static void
an_idle_worker_asks_again_when_a_holder_would_be_silent(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0};
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 1);
    driver_fill_submission(&driver, &lease, &submit);
    submit.seconds = 400000; /* an idle worker would ask every ten heartbeats */
    driver.now_ms += 400000 * 1000;
    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &submit, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    struct dpc_msg_lease held = driver_lease(&driver, 0);
    const struct dpc_msg *reply;
    while ((reply = driver_ask(&driver, 1))->type == DPC_MSG_LEASE) {
        lease = reply->lease;
        driver_submit(&driver, 1, &lease);
    }
    CU_ASSERT_EQUAL(reply->wait.retry_ms, 2251);
    driver.now_ms += 2251;
    CU_ASSERT_EQUAL(driver_lease(&driver, 1).path, held.path);
    driver_stop(&driver);
}

static void
beat(struct driver *driver, uint8_t worker, struct dpc_token token, uint32_t steps_done)
{
    struct dpc_msg_heartbeat heartbeat = {.token = token, .steps_done = steps_done};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT};
    memset(event.worker, worker + 1, sizeof event.worker);
    event.heartbeat.message = &heartbeat;
    driver_step(driver, &event);
}

/* Worker 0 keeps `lease` and beats each second with one step done; worker 1 asks. Seconds until it
 * gets the same task, 0 when it does not within `seconds_max`. */
static uint32_t
seconds_to_backup(struct driver *driver, const struct dpc_msg_lease *lease, uint32_t steps_done,
                  uint32_t seconds_max)
{
    for (uint32_t second = 1; second <= seconds_max; second++) {
        const struct dpc_msg *reply;
        driver->now_ms += 1000;
        beat(driver, 0, lease->token, steps_done);
        while ((reply = driver_ask(driver, 1))->type == DPC_MSG_LEASE) {
            struct dpc_msg_lease other = reply->lease;
            if (other.path == lease->path && other.round == lease->round)
                return second;
            driver_submit(driver, 1, &other);
        }
    }
    return 0;
}

/* A step takes 25 ms, a lease 100: with 1 of 4 steps done after a second the rest is 3 s more,
 * after 4 s it is 12 s, which is more than the patience and ten heartbeats. */
static void
a_slow_worker_that_beats_is_backed_up(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(seconds_to_backup(&driver, &lease, 1, 60), 4);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* It has not begun: its lease's time is four times what leases took, and ten heartbeats. */
static void
a_worker_without_a_step_is_backed_up_when_its_time_is_over(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT(lease.time_left_ms > 10000 && lease.time_left_ms < 11000);
    CU_ASSERT_EQUAL(seconds_to_backup(&driver, &lease, 0, 60), 11);
    driver_stop(&driver);
}

/* Nothing was measured yet: no clock runs against it while it goes on, however slowly. */
static void
a_first_lease_has_the_time_it_needs_unless_it_stands_still(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(lease.time_left_ms, UINT32_MAX);
    for (uint32_t steps = 1; steps <= 3; steps++) {
        driver.now_ms += 1800 * 1000;
        beat(&driver, 0, lease.token, steps);
        CU_ASSERT_EQUAL(driver_ask(&driver, 1)->type, DPC_MSG_WAIT);
    }
    /* Three steps in 5400 s: it may stand for four times as long, and ten heartbeats. */
    CU_ASSERT_EQUAL(seconds_to_backup(&driver, &lease, 3, 30000), 4 * 5400 + 10 + 1);
    driver_stop(&driver);
}

/* What was measured after its lease was granted counts for it, too, be it without a step or with
 * all: then it is the upload that goes on for ever. */
static void
a_lease_from_before_anything_was_measured_is_backed_up_when_something_was(void)
{
    for (uint32_t done = 0; done <= 4; done += 4) {
        struct driver driver;
        driver_start_training(&driver, yaml);
        driver_hello(&driver, 1, no_token);
        driver_crash(&driver); /* what was measured is not on disk */
        driver_hello(&driver, 0, no_token);
        driver_hello(&driver, 1, no_token);
        struct dpc_msg_lease lease = driver_lease(&driver, 0), other = driver_lease(&driver, 1);
        CU_ASSERT_EQUAL(lease.time_left_ms, UINT32_MAX);
        CU_ASSERT_EQUAL(lease.steps_count, 4);
        driver_submit(&driver, 1, &other);
        uint32_t seconds = seconds_to_backup(&driver, &lease, done, 60);
        CU_ASSERT(seconds >= 10 && seconds <= 12);
        driver_stop(&driver);
    }
}

/* It would have been waited for as long as it said. */
static void
what_a_worker_says_that_it_took_is_no_more_than_it_had(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 1);
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = driver_check(&driver, &lease);
    driver_fill_submission(&driver, &lease, &submit);
    submit.seconds = 1e300;
    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &submit, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    lease = driver_lease(&driver, 0);
    uint32_t seconds = seconds_to_backup(&driver, &lease, 0, 600);
    CU_ASSERT(seconds > 0 && seconds < 60);
    driver_stop(&driver);
}

/* A laptop that was closed with a lease in hand says nothing of how long others take. */
static void
a_night_asleep_does_not_stretch_the_leases_after_it(void)
{
    for (int measured = 0; measured < 2; measured++) {
        struct driver driver;
        driver_start_training(&driver, yaml);
        if (!measured)
            driver_crash(&driver); /* what was measured is not on disk */
        driver_hello(&driver, 0, no_token);
        driver_hello(&driver, 1, no_token);
        struct dpc_msg_lease lease = driver_lease(&driver, 1);
        driver.now_ms += 8 * 3600 * 1000;
        CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
        lease = driver_lease(&driver, 0);
        CU_ASSERT(lease.time_left_ms < 60000);
        uint32_t seconds = seconds_to_backup(&driver, &lease, 0, 600);
        CU_ASSERT(seconds > 0 && seconds < 60);
        driver_stop(&driver);
    }
}

/* A count that goes up and down is no progress. */
static void
a_first_lease_that_goes_to_and_fro_stands_still(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    bool other = false;
    for (uint32_t second = 0; second < 600 && !other; second++) {
        driver.now_ms += 1000;
        beat(&driver, 0, lease.token, second % 2);
        other = driver_ask(&driver, 1)->type == DPC_MSG_LEASE;
    }
    CU_ASSERT_TRUE(other);
    driver_stop(&driver);
}

static void
give_back(struct driver *driver, uint8_t worker, struct dpc_token token)
{
    struct dpc_msg_give_back back = {.token = token, .reason = "test"};
    struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK};
    memset(event.worker, worker + 1, sizeof event.worker);
    event.give_back.message = &back;
    driver_step(driver, &event);
}

/* As one does that is ended for want of memory at each start: its path goes to another. */
static void
a_worker_whose_leases_come_to_nothing_is_kept_waiting(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    give_back(&driver, 0, lease.token);
    lease = driver_lease(&driver, 0); /* once is nothing */
    driver_hello(&driver, 0, no_token);
    const struct dpc_msg *reply = driver_ask(&driver, 0);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_WAIT);
    CU_ASSERT_EQUAL(reply->wait.retry_ms, 2000);
    driver_lease(&driver, 1);
    for (int64_t pause_ms = 2000; pause_ms <= 512 * 1000; pause_ms *= 2) {
        int64_t waited_ms = pause_ms < 128 * 1000 ? pause_ms : 128 * 1000;
        driver.now_ms += waited_ms - 1;
        CU_ASSERT_EQUAL(driver_ask(&driver, 0)->type, DPC_MSG_WAIT);
        driver.now_ms++;
        lease = driver_lease(&driver, 0);
        give_back(&driver, 0, lease.token);
    }
    driver.now_ms += 128 * 1000;
    lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    lease = driver_lease(&driver, 0);
    give_back(&driver, 0, lease.token);
    driver_lease(&driver, 0);
    driver_stop(&driver);
}

static void
only_who_holds_a_lease_is_expected_to_hand_it_in(void)
{
    struct driver driver;
    uint8_t zero[DPC_WORKER_KEY_BYTES], one[DPC_WORKER_KEY_BYTES], unknown[DPC_WORKER_KEY_BYTES];
    memset(zero, 1, sizeof zero);
    memset(one, 2, sizeof one);
    memset(unknown, 9, sizeof unknown);
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    struct dpc_token before = lease.token;
    before.incarnation++;
    CU_ASSERT_TRUE(dpc_core_expects(driver.core, zero, lease.token));
    CU_ASSERT_FALSE(dpc_core_expects(driver.core, one, lease.token));
    CU_ASSERT_FALSE(dpc_core_expects(driver.core, unknown, lease.token));
    CU_ASSERT_FALSE(dpc_core_expects(driver.core, zero, before));
    driver_submit(&driver, 0, &lease);
    CU_ASSERT_FALSE(dpc_core_expects(driver.core, zero, lease.token));
    driver_stop(&driver);
}

static void
a_restarted_worker_frees_its_lease_at_once_unless_it_still_holds_it(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    driver_hello(&driver, 0, lease.token);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, lease.token)->verdict.verdict,
                    DPC_VERDICT_CONTINUE);
    driver_hello(&driver, 0, no_token);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, lease.token)->verdict.verdict, DPC_VERDICT_STALE);
    struct dpc_msg_lease again = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(again.path, lease.path);
    CU_ASSERT_FALSE(dpc_token_equal(again.token, lease.token));
    driver_stop(&driver);
}

static void
a_lease_belongs_to_one_worker(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, 1, lease.token)->verdict.verdict, DPC_VERDICT_STALE);
    CU_ASSERT_NOT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round);
    driver_stop(&driver);
}

static bool
is_class_refused(const struct dpc_msg *reply)
{
    return reply->type == DPC_MSG_ERROR && reply->error.code == DPC_EVERSION;
}

static const struct dpc_msg *
hello_of_class(struct driver *driver, uint8_t worker, const char *numeric_class)
{
    driver->numeric_class = numeric_class;
    return driver_hello(driver, worker, no_token);
}

/* That of what was accepted first; before, of who is at work: who says hello and leaves, or fails,
 * binds nobody. */
static void
strict_mode_keeps_to_one_numeric_class(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    CU_ASSERT_EQUAL(hello_of_class(&driver, 0, "a")->type, DPC_MSG_WELCOME);
    CU_ASSERT_EQUAL(hello_of_class(&driver, 1, "b")->type, DPC_MSG_WELCOME);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    CU_ASSERT_TRUE(is_class_refused(driver_ask(&driver, 1)));
    CU_ASSERT_TRUE(is_class_refused(hello_of_class(&driver, 1, "b")));
    CU_ASSERT_EQUAL(hello_of_class(&driver, 2, "a")->type, DPC_MSG_WELCOME);
    give_back(&driver, 0, lease.token);
    CU_ASSERT_EQUAL(hello_of_class(&driver, 1, "b")->type, DPC_MSG_WELCOME);
    lease = driver_lease(&driver, 1);
    CU_ASSERT_TRUE(is_class_refused(driver_ask(&driver, 0)));
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_TRUE(is_class_refused(driver_ask(&driver, 0)));
    driver_crash(&driver);
    CU_ASSERT_TRUE(is_class_refused(hello_of_class(&driver, 2, "a")));
    CU_ASSERT_EQUAL(hello_of_class(&driver, 1, "b")->type, DPC_MSG_WELCOME);
    driver_stop(&driver);
}

/* Where they differ may be at their ends. */
static void
who_is_of_another_class_is_told_both(void)
{
    static const char first[] = "f5c203b7ee5b/avx512/0.3.21-SkylakeX/2.6.3-avx512_core_vnni/glib",
                      other[] = "50b1f36dda08/avx512/0.3.21-SkylakeX/2.6.3-avx512_core_bf16/glib";
    struct driver driver;
    driver_start(&driver, yaml);
    hello_of_class(&driver, 0, first);
    driver_lease(&driver, 0);
    const struct dpc_msg *reply = hello_of_class(&driver, 1, other);
    CU_ASSERT_FATAL(is_class_refused(reply));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, first));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, other));
    driver_stop(&driver);
}

/* Silence ends no lease, but it binds nobody else's class either. */
static void
a_silent_holder_does_not_keep_other_classes_out(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    hello_of_class(&driver, 0, "a");
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    CU_ASSERT_TRUE(is_class_refused(hello_of_class(&driver, 1, "b")));
    driver.now_ms += 3600 * 1000;
    CU_ASSERT_EQUAL(hello_of_class(&driver, 1, "b")->type, DPC_MSG_WELCOME);
    struct dpc_msg_lease second = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &second)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_TRUE(is_class_refused(driver_ask(&driver, 0)));
    driver_stop(&driver);
}

/* Nor does one that comes back in time lose what it has done. */
static void
who_was_silent_and_is_first_decides(void)
{
    struct driver driver;
    driver_start(&driver, yaml);
    hello_of_class(&driver, 0, "a");
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    driver.now_ms += 3600 * 1000;
    hello_of_class(&driver, 1, "b");
    struct dpc_msg_lease second = driver_lease(&driver, 1);
    driver.numeric_class = "c"; /* with another device now */
    CU_ASSERT_TRUE(is_class_refused(driver_hello(&driver, 0, first.token)));
    driver.numeric_class = "a";
    CU_ASSERT_TRUE(is_class_refused(driver_hello(&driver, 0, no_token)));
    CU_ASSERT_EQUAL(driver_hello(&driver, 0, first.token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &second)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    driver_stop(&driver);
}

/* Machines of all classes train, and differ without anybody being told. */
static void
any_numeric_class_takes_all_and_raises_no_alarm(void)
{
    struct driver driver;
    struct dpc_msg_submit other;
    struct dpc_submission_check check = {0};
    char text[2048];
    (void)snprintf(text, sizeof text, "%snumeric_class: any\n", yaml);
    driver_start_training(&driver, text);
    driver.numeric_class = "other";
    CU_ASSERT_EQUAL(driver_hello(&driver, 1, no_token)->type, DPC_MSG_WELCOME);
    driver_crash(&driver);
    driver.numeric_class = "third";
    CU_ASSERT_EQUAL(driver_hello(&driver, 1, no_token)->type, DPC_MSG_WELCOME);
    driver.numeric_class = "test";
    driver_hello(&driver, 0, no_token);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    driver_fill_submission(&driver, &first, &other);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    other.state.hash.bytes[31] ^= 1;
    CU_ASSERT_EQUAL(driver_submit_message(&driver, 1, &other, &check)->verdict.verdict,
                    DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    driver_stop(&driver);
}

/* --- One key, several processes. */

static bool
hear_over(struct driver *driver, uint64_t number, int64_t later_ms)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    memset(key, 1, sizeof key);
    driver->now_ms += later_ms;
    return dpc_core_note_connection(driver->core, key, number, driver->now_ms);
}

static bool
is_copied(const struct driver *driver)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    struct dpc_why_worker why;
    memset(key, 1, sizeof key);
    dpc_core_why_worker(driver->core, key, driver->now_ms, &why);
    CU_ASSERT_EQUAL(why.copied, dpc_core_is_copied(driver->core, key, driver->now_ms));
    return why.copied;
}

/* They are told once, for as long as they go on, and that it is over. */
static void
a_key_that_two_processes_use_at_once_is_told(void)
{
    enum { BEAT_MS = 1000, NEVER = 100 };
    struct driver driver;
    int told = 0;
    driver_start(&driver, yaml);
    CU_ASSERT_FALSE(hear_over(&driver, 7, BEAT_MS)); /* of whom nothing is known */
    driver_hello(&driver, 0, no_token);
    for (int beat = 0; beat < NEVER; beat++) {
        told += hear_over(&driver, 7, BEAT_MS / 2);
        told += hear_over(&driver, 8, BEAT_MS / 2);
        CU_ASSERT_EQUAL(is_copied(&driver), beat > 2 || told > 0);
    }
    CU_ASSERT_EQUAL(told, 1);
    hear_over(&driver, 8, BEAT_MS * NEVER);
    CU_ASSERT_FALSE(is_copied(&driver));
    driver_stop(&driver);
}

static void
restarts_and_queues_are_no_copies(void)
{
    enum { BEAT_MS = 1000, RESTARTS = 100 };
    struct driver driver;
    driver_start(&driver, yaml);
    driver_hello(&driver, 0, no_token);
    for (uint64_t life = 1; life < RESTARTS; life++) {
        for (int beat = 0; beat < 3; beat++)
            CU_ASSERT_FALSE(hear_over(&driver, life, BEAT_MS));
        /* What the one before had sent, while the coordinator could not read. */
        CU_ASSERT_FALSE(hear_over(&driver, life + 1, BEAT_MS));
        CU_ASSERT_FALSE(hear_over(&driver, life, 1));
        CU_ASSERT_FALSE(hear_over(&driver, life + 1, 0));
        CU_ASSERT_FALSE(hear_over(&driver, life, 1));
        CU_ASSERT_FALSE(is_copied(&driver));
    }
    CU_ASSERT_FALSE(hear_over(&driver, 0, 0)); /* not known */
    driver_stop(&driver);
}

/* Records that the hello has written. */
static uint32_t
say_hello(struct driver *driver, const char *name)
{
    struct dpc_msg_hello hello = {.protocol_min = DPC_PROTOCOL_MIN,
                                  .protocol_max = DPC_PROTOCOL_MAX,
                                  .name = name,
                                  .build = "",
                                  .numeric_class = driver->numeric_class};
    struct dpc_event event = {.type = DPC_EVENT_HELLO, .worker = {77}};
    event.hello.message = &hello;
    driver_step(driver, &event);
    CU_ASSERT_EQUAL(driver->actions.reply.type, DPC_MSG_WELCOME);
    return (uint32_t)driver->actions.batch.count;
}

/* A worker that said nothing else, over hundreds of connections, kept all others waiting. */
static void
a_hello_that_is_said_again_costs_no_commit(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    CU_ASSERT_EQUAL(say_hello(&driver, "a"), 1);
    CU_ASSERT_EQUAL(say_hello(&driver, "a"), 0);
    CU_ASSERT_EQUAL(say_hello(&driver, "b"), 1); /* it was started anew */
    CU_ASSERT_EQUAL(say_hello(&driver, "c"), 0);
    driver.now_ms += 1000;
    CU_ASSERT_EQUAL(say_hello(&driver, "c"), 1);
    driver_stop(&driver);
}

/* The same of what was never its own to hand in. */
static void
submissions_without_a_lease_cost_no_commit_each(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    driver_submit(&driver, 0, &lease);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_EQUAL(driver.actions.batch.count, 1); /* it is counted */
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    CU_ASSERT_EQUAL(driver.actions.batch.count, 0);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"a hello that is said again costs no commit", a_hello_that_is_said_again_costs_no_commit},
    {"submissions without a lease cost no commit each",
     submissions_without_a_lease_cost_no_commit_each},
    {"a key that two processes use at once is told", a_key_that_two_processes_use_at_once_is_told},
    {"restarts and queues are no copies", restarts_and_queues_are_no_copies},
    {"a lease says what versions are differences to",
     a_lease_says_what_versions_are_differences_to},
    {"a rollback ends the chain", a_rollback_ends_the_chain},
    {"asking twice gives the same lease", asking_twice_gives_the_same_lease},
    {"a silent worker is backed up and the first submission wins",
     a_silent_worker_is_backed_up_and_the_first_submission_wins},
    {"an idle worker asks again when a holder would be silent",
     an_idle_worker_asks_again_when_a_holder_would_be_silent},
    {"a slow worker that beats is backed up", a_slow_worker_that_beats_is_backed_up},
    {"a worker without a step is backed up when its time is over",
     a_worker_without_a_step_is_backed_up_when_its_time_is_over},
    {"a first lease has the time it needs unless it stands still",
     a_first_lease_has_the_time_it_needs_unless_it_stands_still},
    {"a lease from before anything was measured is backed up when something was",
     a_lease_from_before_anything_was_measured_is_backed_up_when_something_was},
    {"what a worker says that it took is no more than it had",
     what_a_worker_says_that_it_took_is_no_more_than_it_had},
    {"a night asleep does not stretch the leases after it",
     a_night_asleep_does_not_stretch_the_leases_after_it},
    {"a worker whose leases come to nothing is kept waiting",
     a_worker_whose_leases_come_to_nothing_is_kept_waiting},
    {"only who holds a lease is expected to hand it in",
     only_who_holds_a_lease_is_expected_to_hand_it_in},
    {"a first lease that goes to and fro stands still",
     a_first_lease_that_goes_to_and_fro_stands_still},
    {"a restarted worker frees its lease at once unless it still holds it",
     a_restarted_worker_frees_its_lease_at_once_unless_it_still_holds_it},
    {"a lease belongs to one worker", a_lease_belongs_to_one_worker},
    {"strict mode keeps to one numeric class", strict_mode_keeps_to_one_numeric_class},
    {"who is of another class is told both", who_is_of_another_class_is_told_both},
    {"a silent holder does not keep other classes out",
     a_silent_holder_does_not_keep_other_classes_out},
    {"who was silent and is first decides", who_was_silent_and_is_first_decides},
    {"any numeric class takes all and raises no alarm",
     any_numeric_class_takes_all_and_raises_no_alarm},
};

DPC_TEST_MAIN("coordinator/leases", tests)
