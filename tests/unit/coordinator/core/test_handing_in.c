/* SPDX-License-Identifier: Apache-2.0
 * Workers that hand in one lease and have the next one already: what they hold, and until when. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core/why.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

enum { INCARNATION = 77 }; /* of the driver's core */

static const struct dpc_token no_token;

static void
name_worker(uint8_t worker, uint8_t ret_key[DPC_WORKER_KEY_BYTES])
{
    memset(ret_key, worker + 1, DPC_WORKER_KEY_BYTES);
}

static bool
expects(const struct driver *driver, uint8_t worker, struct dpc_token token)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    name_worker(worker, key);
    return dpc_core_expects(driver->core, key, token);
}

static uint64_t
held_by(const struct driver *driver, uint8_t worker)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    name_worker(worker, key);
    return dpc_core_held_by(driver->core, key);
}

static struct dpc_why_worker
why_worker(const struct driver *driver, uint8_t worker)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    struct dpc_why_worker why;
    name_worker(worker, key);
    dpc_core_why_worker(driver->core, key, driver->now_ms, &why);
    return why;
}

static void
send(struct driver *driver, uint8_t worker, struct dpc_event event)
{
    name_worker(worker, event.worker);
    driver_step(driver, &event);
}

static const struct dpc_msg *
try_hello(struct driver *driver, uint8_t worker, struct dpc_token held, struct dpc_token handing_in)
{
    struct dpc_msg_hello message = {.protocol_min = DPC_PROTOCOL_MIN,
                                    .protocol_max = DPC_PROTOCOL_MAX,
                                    .name = "w",
                                    .build = "",
                                    .numeric_class = driver->numeric_class,
                                    .token = held,
                                    .handing_in = handing_in};
    send(driver, worker, (struct dpc_event){.type = DPC_EVENT_HELLO, .hello.message = &message});
    return &driver->actions.reply;
}

/* It must be welcome. */
static const struct dpc_msg *
hello(struct driver *driver, uint8_t worker, struct dpc_token held, struct dpc_token handing_in)
{
    const struct dpc_msg *reply = try_hello(driver, worker, held, handing_in);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_WELCOME);
    return reply;
}

/* There must be one. */
static struct dpc_msg_lease
next_lease(struct driver *driver, uint8_t worker, struct dpc_token handing_in)
{
    const struct dpc_msg *reply = driver_ask_handing_in(driver, worker, handing_in);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    return reply->lease;
}

/* The worker holds these two and nothing else: the one hands in, the other is at work. A serial of
 * 0: none. */
static void
check_held(const struct driver *driver, uint8_t worker, uint64_t handing_in, uint64_t at_work)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    uint64_t found[2] = {0};
    name_worker(worker, key);
    for (uint32_t i = 0; i < dpc_core_leases_count(driver->core); i++) {
        struct dpc_lease_view view;
        dpc_core_lease_at(driver->core, i, driver->now_ms, &view);
        if (memcmp(view.worker, key, sizeof key) != 0)
            continue;
        CU_ASSERT_EQUAL(found[view.handing_in], 0);
        found[view.handing_in] = view.serial;
        CU_ASSERT_TRUE(expects(driver, worker, (struct dpc_token){INCARNATION, view.serial}));
    }
    struct dpc_lease_view views[DPC_LEASES_MAX];
    uint32_t count = dpc_core_leases_of(driver->core, key, driver->now_ms, views);
    CU_ASSERT_EQUAL(count, (uint32_t)(at_work != 0) + (handing_in != 0));
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(views[i].serial, i == 0 && at_work ? at_work : handing_in);
        CU_ASSERT_EQUAL(views[i].handing_in, views[i].serial == handing_in);
    }
    CU_ASSERT_EQUAL(found[0], at_work);
    CU_ASSERT_EQUAL(found[1], handing_in);
    CU_ASSERT_EQUAL(held_by(driver, worker), handing_in ? handing_in : at_work);
    struct dpc_why_worker why = why_worker(driver, worker);
    CU_ASSERT_EQUAL(why.lease, at_work);
    CU_ASSERT_EQUAL(why.handing_in, handing_in);
}

static enum dpc_verdict
beat(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease)
{
    const struct dpc_msg *reply = driver_heartbeat(driver, worker, lease->token);
    CU_ASSERT_EQUAL(reply->type, DPC_MSG_HEARTBEAT_ACK);
    CU_ASSERT_TRUE(dpc_token_equal(reply->verdict.token, lease->token));
    return reply->verdict.verdict;
}

/* Worker 0 hands in the first one, and is at work on the second. */
static void
start(struct driver *driver, struct dpc_msg_lease *ret_first, struct dpc_msg_lease *ret_second)
{
    driver_start_training(driver, yaml);
    *ret_first = driver_lease(driver, 0);
    *ret_second = next_lease(driver, 0, ret_first->token);
}

/* --- Asking. */

static void
naming_the_lease_brings_another_one(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    CU_ASSERT_FALSE(dpc_token_equal(first.token, second.token));
    CU_ASSERT_NOT_EQUAL(first.path, second.path);
    check_held(&driver, 0, first.token.serial, second.token.serial);
    CU_ASSERT_FALSE(expects(&driver, 1, first.token));
    CU_ASSERT_FALSE(expects(&driver, 0, (struct dpc_token){1, second.token.serial}));
    CU_ASSERT_FALSE(expects(&driver, 0, no_token));
    driver_stop(&driver);
}

/* Answers that were lost, and an ask from before the lease was finished. */
static void
asking_again_brings_the_same_one(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    struct dpc_msg_lease again = next_lease(&driver, 0, first.token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, second.token));
    again = next_lease(&driver, 0, no_token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, second.token));
    again =
        next_lease(&driver, 0, (struct dpc_token){1, second.token.serial}); /* another store's */
    CU_ASSERT_TRUE(dpc_token_equal(again.token, second.token));
    check_held(&driver, 0, first.token.serial, second.token.serial);
    driver_stop(&driver);
}

static void
a_third_is_never_granted(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    struct dpc_msg_lease third = next_lease(&driver, 0, second.token);
    check_held(&driver, 0, second.token.serial, third.token.serial);
    CU_ASSERT_FALSE(expects(&driver, 0, first.token));
    CU_ASSERT_EQUAL(beat(&driver, 0, &first), DPC_VERDICT_STALE);
    /* Late: it was said before the first one was over. */
    struct dpc_msg_lease again = next_lease(&driver, 0, first.token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, third.token));
    again = next_lease(&driver, 0, second.token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, third.token));
    check_held(&driver, 0, second.token.serial, third.token.serial);
    driver_stop(&driver);
}

/* Nobody can take another worker's lease for handed in. */
static void
naming_what_is_anothers_changes_nothing(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease mine = next_lease(&driver, 1, second.token);
    check_held(&driver, 0, first.token.serial, second.token.serial);
    check_held(&driver, 1, 0, mine.token.serial);
    driver_stop(&driver);
}

static void
what_is_foreseen_is_what_comes_of_asking(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    CU_ASSERT_EQUAL(why_worker(&driver, 0).ask, DPC_ASK_AGAIN);
    hello(&driver, 0, no_token, first.token);
    check_held(&driver, 0, first.token.serial, 0);
    struct dpc_why_worker why = why_worker(&driver, 0);
    CU_ASSERT_EQUAL(why.ask, DPC_ASK_LEASE);
    CU_ASSERT_STRING_EQUAL(why.text, "");
    CU_ASSERT_EQUAL(why.fruitless, 0);
    struct dpc_msg_lease second = next_lease(&driver, 0, first.token);
    CU_ASSERT_FALSE(dpc_token_equal(first.token, second.token));
    CU_ASSERT_EQUAL(why_worker(&driver, 0).ask, DPC_ASK_AGAIN);
    driver_stop(&driver);
}

static void
who_is_drained_hands_in_and_gets_nothing(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    send(&driver, 0, (struct dpc_event){.type = DPC_EVENT_DRAIN, .drain.drained = true});
    CU_ASSERT_EQUAL(driver_ask_handing_in(&driver, 0, first.token)->type, DPC_MSG_WAIT);
    check_held(&driver, 0, first.token.serial, 0);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    check_held(&driver, 0, 0, 0);
    driver_stop(&driver);
}

/* --- Working on both. */

static void
both_are_handed_in_in_either_order(void)
{
    for (int swapped = 0; swapped < 2; swapped++) {
        struct driver driver;
        struct dpc_msg_lease leases[2];
        start(&driver, &leases[0], &leases[1]);
        for (int i = 0; i < 2; i++)
            CU_ASSERT_EQUAL(beat(&driver, 0, &leases[i]), DPC_VERDICT_CONTINUE);
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &leases[swapped])->verdict.verdict,
                        DPC_VERDICT_ACCEPTED);
        check_held(&driver, 0, swapped ? leases[0].token.serial : 0,
                   swapped ? 0 : leases[1].token.serial);
        CU_ASSERT_EQUAL(beat(&driver, 0, &leases[!swapped]), DPC_VERDICT_CONTINUE);
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &leases[!swapped])->verdict.verdict,
                        DPC_VERDICT_ACCEPTED);
        check_held(&driver, 0, 0, 0);
        /* Answers that were lost. */
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &leases[!swapped])->verdict.verdict,
                        DPC_VERDICT_ACCEPTED);
        for (int i = 0; i < 2; i++)
            CU_ASSERT_EQUAL(dpc_core_path(driver.core, leases[i].path)->rounds_done,
                            leases[i].round + 1);
        driver_stop(&driver);
    }
}

static void
giving_back_one_keeps_the_other(void)
{
    for (int i = 0; i < 2; i++) {
        struct driver driver;
        struct dpc_msg_lease leases[2];
        start(&driver, &leases[0], &leases[1]);
        struct dpc_msg_give_back back = {.token = leases[i].token, .reason = "tired"};
        send(&driver, 0,
             (struct dpc_event){.type = DPC_EVENT_GIVE_BACK, .give_back.message = &back});
        CU_ASSERT_EQUAL(driver.actions.reply.type, DPC_MSG_ACK);
        check_held(&driver, 0, i == 0 ? 0 : leases[0].token.serial,
                   i == 0 ? leases[1].token.serial : 0);
        CU_ASSERT_EQUAL(beat(&driver, 0, &leases[!i]), DPC_VERDICT_CONTINUE);
        CU_ASSERT_EQUAL(beat(&driver, 0, &leases[i]), DPC_VERDICT_STALE);
        driver_stop(&driver);
    }
}

/* Worker 1 does all that there is but the task of worker 0's lease, which is not silent. */
static void
do_all_else(struct driver *driver, const struct dpc_msg_lease *but)
{
    for (int i = 0; i < 100; i++) {
        driver->now_ms += 10;
        CU_ASSERT_EQUAL(beat(driver, 0, but), DPC_VERDICT_CONTINUE);
        const struct dpc_msg *reply = driver_ask(driver, 1);
        if (reply->type != DPC_MSG_LEASE)
            return;
        struct dpc_msg_lease lease = reply->lease;
        CU_ASSERT_NOT_EQUAL(lease.path, but->path);
        driver_submit(driver, 1, &lease);
    }
    CU_FAIL_FATAL("worker 1 finds no end");
}

/* Its result is on the way: to compute the same once more would bring nobody anything. */
static void
nobody_backs_up_what_it_hands_in_itself(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease mine = driver_lease(&driver, 0);
    do_all_else(&driver, &mine);
    CU_ASSERT_EQUAL(driver_ask_handing_in(&driver, 0, mine.token)->type, DPC_MSG_WAIT);
    check_held(&driver, 0, mine.token.serial, 0);
    driver.now_ms += 2251; /* two heartbeats and a quarter are over */
    CU_ASSERT_EQUAL(why_worker(&driver, 0).ask, DPC_ASK_NOTHING);
    CU_ASSERT_EQUAL(why_worker(&driver, 1).ask, DPC_ASK_LEASE);
    const struct dpc_msg *reply = driver_ask_handing_in(&driver, 0, mine.token);
    CU_ASSERT_EQUAL(reply->type, DPC_MSG_WAIT);
    CU_ASSERT_FALSE(reply->wait.finished);
    struct dpc_msg_lease backup = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(backup.path, mine.path);
    CU_ASSERT_EQUAL(backup.round, mine.round);
    check_held(&driver, 0, mine.token.serial, 0);
    CU_ASSERT_EQUAL(beat(&driver, 0, &mine), DPC_VERDICT_CONTINUE);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &mine)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &backup)->verdict.verdict, DPC_VERDICT_SUPERSEDED);
    driver_stop(&driver);
}

/* The task that comes first is its own one, which it does not get, but the next one. */
static void
its_own_task_does_not_hide_the_others(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    driver.now_ms += 60000;
    hello(&driver, 0, no_token, first.token); /* so that the second one is nobody's */
    struct dpc_msg_lease third = next_lease(&driver, 0, first.token);
    CU_ASSERT_NOT_EQUAL(third.path, first.path);
    check_held(&driver, 0, first.token.serial, third.token.serial);
    driver_stop(&driver);
}

/* --- Coming back, and going. */

static void
hello_says_what_is_held(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    const struct dpc_msg *reply = hello(&driver, 0, second.token, first.token);
    CU_ASSERT_EQUAL(reply->welcome.leases, DPC_LEASES_MAX);
    check_held(&driver, 0, first.token.serial, second.token.serial);
    hello(&driver, 0, second.token, no_token); /* it has lost the result */
    check_held(&driver, 0, 0, second.token.serial);
    CU_ASSERT_EQUAL(beat(&driver, 0, &first), DPC_VERDICT_STALE);
    hello(&driver, 0, no_token, second.token); /* it has finished that one meanwhile */
    check_held(&driver, 0, second.token.serial, 0);
    struct dpc_msg_lease third = next_lease(&driver, 0, second.token);
    check_held(&driver, 0, second.token.serial, third.token.serial);
    hello(&driver, 0, third.token, third.token); /* and that one; the one before is gone */
    check_held(&driver, 0, third.token.serial, 0);
    CU_ASSERT_EQUAL(beat(&driver, 0, &second), DPC_VERDICT_STALE);
    hello(&driver, 0, no_token, no_token);
    check_held(&driver, 0, 0, 0);
    driver_stop(&driver);
}

/* The worker has never heard of the second one, whose message was lost. */
static void
a_lease_that_hello_does_not_name_is_over(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    hello(&driver, 0, no_token, first.token);
    check_held(&driver, 0, first.token.serial, 0);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease others = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(others.path, second.path);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

static void
another_stores_tokens_hold_nothing(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    first.token.incarnation++;
    second.token.incarnation++;
    hello(&driver, 0, second.token, first.token);
    check_held(&driver, 0, 0, 0);
    driver_stop(&driver);
}

/* Workers that come one after the other are given the path at once. */
static bool
is_for_others(struct driver *driver, uint32_t path)
{
    bool found = false;
    for (uint8_t worker = 1; worker < 6 && !found; worker++) {
        driver_hello(driver, worker, no_token);
        const struct dpc_msg *reply = driver_ask(driver, worker);
        found = reply->type == DPC_MSG_LEASE && reply->lease.path == path;
    }
    for (uint8_t worker = 1; worker < 6; worker++)
        driver_hello(driver, worker, no_token);
    return found;
}

static void
leaving_and_being_barred_end_both(void)
{
    for (int barred = 0; barred < 2; barred++) {
        struct driver driver;
        struct dpc_msg_lease first, second;
        start(&driver, &first, &second);
        if (barred)
            send(&driver, 0,
                 (struct dpc_event){.type = DPC_EVENT_STANDING,
                                    .standing = DPC_STANDING_QUARANTINED});
        else
            send(&driver, 0, (struct dpc_event){.type = DPC_EVENT_LEAVE});
        check_held(&driver, 0, 0, 0);
        CU_ASSERT_EQUAL(dpc_core_leases_count(driver.core), 0);
        CU_ASSERT_NOT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict,
                            DPC_VERDICT_ACCEPTED);
        driver_crash(&driver);
        CU_ASSERT_EQUAL(dpc_core_leases_count(driver.core), 0);
        CU_ASSERT_TRUE(is_for_others(&driver, first.path));
        CU_ASSERT_TRUE(is_for_others(&driver, second.path));
        driver_stop(&driver);
    }
}

/* Strict mode has let another class in while it was silent, and nothing is handed in yet. The
 * worker names a lease as what it has become, one that it computes still or hands in, whatever the
 * coordinator took it for; one that it hands in alone it names as both. */
static void
who_was_silent_comes_back_with_either(void)
{
    static const struct {
        bool asked;          /* so that it holds both; else the first alone */
        int held, handed_in; /* 1: names the first, 2: the second, 0: none */
    } ways[] = {{false, 1, 0}, {false, 1, 1}, {true, 2, 1},
                {true, 1, 1},  {true, 2, 0},  {true, 2, 2}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct driver driver;
        struct dpc_token tokens[3] = {{0}};
        driver_start(&driver, SMALL_2X2 "routing: {prefix: 8}\n"
                                        "inner: {steps: 4, batch: 2}\n"
                                        "outer: {rounds: 3}\n"
                                        "warm_start: {steps: 10, replicas: 3}\n");
        driver.numeric_class = "a";
        driver_hello(&driver, 0, no_token);
        tokens[1] = driver_lease(&driver, 0).token;
        if (ways[i].asked)
            tokens[2] = next_lease(&driver, 0, tokens[1]).token;
        driver.now_ms += 3600 * 1000;
        driver.numeric_class = "b";
        driver_hello(&driver, 1, no_token);
        driver_lease(&driver, 1);
        driver.numeric_class = "a";
        CU_ASSERT_EQUAL(try_hello(&driver, 0, no_token, no_token)->type, DPC_MSG_ERROR);
        const struct dpc_msg *reply =
            try_hello(&driver, 0, tokens[ways[i].held], tokens[ways[i].handed_in]);
        CU_ASSERT_EQUAL(reply->type, DPC_MSG_WELCOME);
        bool both = ways[i].held != ways[i].handed_in;
        if (reply->type == DPC_MSG_WELCOME)
            check_held(&driver, 0, tokens[ways[i].handed_in].serial,
                       both ? tokens[ways[i].held].serial : 0);
        driver_stop(&driver);
    }
}

/* --- Another process of the coordinator. */

static void
after_a_restart_the_older_one_is_handed_in(void)
{
    struct driver driver;
    struct dpc_msg_lease first, second;
    start(&driver, &first, &second);
    driver_crash(&driver);
    check_held(&driver, 0, first.token.serial, second.token.serial);
    struct dpc_msg_lease again = next_lease(&driver, 0, no_token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, second.token));
    CU_ASSERT_EQUAL(beat(&driver, 0, &first), DPC_VERDICT_CONTINUE);
    CU_ASSERT_EQUAL(beat(&driver, 0, &second), DPC_VERDICT_CONTINUE);
    hello(&driver, 0, second.token, first.token);
    check_held(&driver, 0, first.token.serial, second.token.serial);
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &first)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_crash(&driver);
    check_held(&driver, 0, 0, second.token.serial);
    struct dpc_msg_lease third = next_lease(&driver, 0, second.token);
    driver_crash(&driver);
    check_held(&driver, 0, second.token.serial, third.token.serial);
    driver_stop(&driver);
}

/* It is not on disk that it is handed in: the worker says so, in whichever way it comes. */
static void
after_a_restart_the_worker_says_what_it_hands_in(void)
{
    for (int asks = 0; asks < 2; asks++) {
        struct driver driver;
        driver_start_training(&driver, yaml);
        struct dpc_msg_lease first = driver_lease(&driver, 0);
        hello(&driver, 0, no_token, first.token);
        driver_crash(&driver);
        check_held(&driver, 0, 0, first.token.serial);
        if (!asks)
            hello(&driver, 0, no_token, first.token);
        struct dpc_msg_lease second = next_lease(&driver, 0, first.token);
        CU_ASSERT_NOT_EQUAL(second.path, first.path);
        check_held(&driver, 0, first.token.serial, second.token.serial);
        driver_stop(&driver);
    }
}

/* Two workers that hand in and have the next one already, up to the end. */
static bool
finish_overlapping(struct driver *driver)
{
    struct dpc_msg_lease handed_in[2] = {{.kind = 0}};
    for (uint8_t worker = 0; worker < 2; worker++)
        driver_hello(driver, worker, no_token);
    for (int turn = 0; turn < 10000 && driver_phase(driver) != DPC_PHASE_FINISHED; turn++) {
        uint8_t worker = (uint8_t)(turn % 2);
        struct dpc_msg_lease *before = &handed_in[worker];
        driver->now_ms += 10;
        const struct dpc_msg *reply = driver_ask_handing_in(driver, worker, before->token);
        struct dpc_msg_lease next = {.kind = 0};
        if (reply->type == DPC_MSG_LEASE)
            next = reply->lease;
        if (before->token.serial) {
            CU_ASSERT_FALSE(dpc_token_equal(before->token, next.token));
            CU_ASSERT_EQUAL(driver_submit(driver, worker, before)->verdict.verdict,
                            DPC_VERDICT_ACCEPTED);
        }
        *before = next;
    }
    return driver_phase(driver) == DPC_PHASE_FINISHED;
}

static void
versions_are_the_same_with_and_without(void)
{
    struct dpc_hash outcomes[3];
    for (int i = 0; i < 3; i++) {
        struct driver driver;
        driver_start(&driver, yaml);
        driver.crash_after_each = i == 2;
        CU_ASSERT_TRUE(i ? finish_overlapping(&driver) : driver_finish(&driver, 2));
        outcomes[i] = driver_outcome(&driver);
        driver_stop(&driver);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[1]));
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[2]));
}

/* --- Audits. */

enum { DENSE = 4, BUSY = 4, AUDITOR = 4 };

/* In the first round of training workers 0 to 3 hold the four paths; the auditor is at work on the
 * audit of the warm start, which worker 0 trained. */
static struct dpc_msg_lease
start_audit(struct driver *driver, struct dpc_msg_lease leases[BUSY])
{
    driver_start(driver, TINY_2X2 "routing: {prefix: 4}\n"
                                  "inner: {steps: 4, batch: 2}\n"
                                  "outer: {rounds: 6}\n"
                                  "baseline: {dense: false}\n"
                                  "numeric_class: any\n"
                                  "keep_rounds: 1\n"
                                  "warm_start: {steps: 4}\n"
                                  "audit: 1\n");
    driver_hello(driver, 0, no_token);
    driver_reach_training(driver, 0);
    for (uint8_t worker = 0; worker < BUSY; worker++) {
        driver_hello(driver, worker, no_token);
        leases[worker] = driver_lease(driver, worker);
    }
    driver_hello(driver, AUDITOR, no_token);
    struct dpc_msg_lease audit = driver_lease(driver, AUDITOR);
    CU_ASSERT_EQUAL_FATAL(audit.path, DENSE);
    return audit;
}

static void
an_audit_that_is_handed_in_lets_its_worker_ask(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY], audit = start_audit(&driver, leases);
    CU_ASSERT_EQUAL(driver_ask(&driver, AUDITOR)->lease.token.serial, audit.token.serial);
    CU_ASSERT_EQUAL(driver_ask_handing_in(&driver, AUDITOR, audit.token)->type, DPC_MSG_WAIT);
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).handing_in, audit.token.serial);
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).lease, 0);
    driver_hello(&driver, 1, no_token); /* begins anew without its lease */
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).ask, DPC_ASK_LEASE);
    struct dpc_msg_lease next = next_lease(&driver, AUDITOR, audit.token);
    CU_ASSERT_EQUAL(next.path, leases[1].path);
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, next.token));
    CU_ASSERT_EQUAL(held_by(&driver, AUDITOR), audit.token.serial);
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).handing_in, audit.token.serial);
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).lease, next.token.serial);
    CU_ASSERT_EQUAL(beat(&driver, AUDITOR, &audit), DPC_VERDICT_CONTINUE);
    CU_ASSERT_EQUAL(beat(&driver, AUDITOR, &next), DPC_VERDICT_CONTINUE);
    struct dpc_msg_lease again = next_lease(&driver, AUDITOR, audit.token);
    CU_ASSERT_TRUE(dpc_token_equal(again.token, next.token));
    CU_ASSERT_EQUAL(driver_submit(&driver, AUDITOR, &audit)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_STRING_EQUAL(driver.actions.alarm, "");
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_EQUAL(driver_submit(&driver, AUDITOR, &next)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

static void
who_hands_in_an_audit_gets_no_second_one(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY], audit = start_audit(&driver, leases);
    driver_submit(&driver, 0, &leases[0]); /* and there is another audit */
    CU_ASSERT_EQUAL(driver_ask_handing_in(&driver, AUDITOR, audit.token)->type, DPC_MSG_WAIT);
    CU_ASSERT_EQUAL(why_worker(&driver, AUDITOR).ask, DPC_ASK_NOTHING);
    CU_ASSERT_EQUAL(driver_ask(&driver, AUDITOR)->type, DPC_MSG_WAIT);
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    driver_submit(&driver, AUDITOR, &audit);
    struct dpc_msg_lease second = driver_lease(&driver, AUDITOR);
    CU_ASSERT_EQUAL(second.path, leases[0].path);
    CU_ASSERT_EQUAL(second.round, leases[0].round);
    CU_ASSERT_FALSE(dpc_token_equal(second.token, leases[0].token));
    driver_stop(&driver);
}

static void
hello_and_leaving_go_for_audits_too(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY], audit = start_audit(&driver, leases);
    driver_hello(&driver, 1, no_token);
    hello(&driver, AUDITOR, no_token, audit.token);
    struct dpc_msg_lease next = next_lease(&driver, AUDITOR, audit.token);
    CU_ASSERT_EQUAL(next.path, leases[1].path);
    hello(&driver, AUDITOR, next.token, audit.token);
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, next.token));
    hello(&driver, AUDITOR, no_token, audit.token);
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, next.token));
    next = next_lease(&driver, AUDITOR, audit.token);
    send(&driver, AUDITOR, (struct dpc_event){.type = DPC_EVENT_LEAVE});
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, next.token));
    CU_ASSERT_EQUAL(held_by(&driver, AUDITOR), 0);
    driver_stop(&driver);
}

/* As after a lease: results are handed in one after the other, so what came before is over, and two
 * are all that a worker holds. */
static void
a_third_is_never_granted_beside_an_audit(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[BUSY], audit = start_audit(&driver, leases);
    driver_hello(&driver, 1, no_token);
    driver_hello(&driver, 2, no_token);
    struct dpc_msg_lease second = next_lease(&driver, AUDITOR, audit.token);
    struct dpc_msg_lease third = next_lease(&driver, AUDITOR, second.token);
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, second.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, third.token));
    driver_stop(&driver);
    audit = start_audit(&driver, leases);
    send(&driver, AUDITOR, (struct dpc_event){.type = DPC_EVENT_LEAVE});
    driver_hello(&driver, 1, no_token);
    driver_hello(&driver, AUDITOR, no_token);
    struct dpc_msg_lease first = driver_lease(&driver, AUDITOR);
    CU_ASSERT_EQUAL(first.path, leases[1].path);
    audit = next_lease(&driver, AUDITOR, first.token);
    CU_ASSERT_EQUAL(audit.path, DENSE);
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, first.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    driver_hello(&driver, 2, no_token);
    struct dpc_msg_lease last = next_lease(&driver, AUDITOR, audit.token);
    CU_ASSERT_FALSE(expects(&driver, AUDITOR, first.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, audit.token));
    CU_ASSERT_TRUE(expects(&driver, AUDITOR, last.token));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"naming the lease brings another one", naming_the_lease_brings_another_one},
    {"asking again brings the same one", asking_again_brings_the_same_one},
    {"a third is never granted", a_third_is_never_granted},
    {"naming what is another's changes nothing", naming_what_is_anothers_changes_nothing},
    {"what is foreseen is what comes of asking", what_is_foreseen_is_what_comes_of_asking},
    {"who is drained hands in and gets nothing", who_is_drained_hands_in_and_gets_nothing},
    {"both are handed in in either order", both_are_handed_in_in_either_order},
    {"giving back one keeps the other", giving_back_one_keeps_the_other},
    {"nobody backs up what it hands in itself", nobody_backs_up_what_it_hands_in_itself},
    {"its own task does not hide the others", its_own_task_does_not_hide_the_others},
    {"hello says what is held", hello_says_what_is_held},
    {"a lease that hello does not name is over", a_lease_that_hello_does_not_name_is_over},
    {"another store's tokens hold nothing", another_stores_tokens_hold_nothing},
    {"leaving and being barred end both", leaving_and_being_barred_end_both},
    {"who was silent comes back with either", who_was_silent_comes_back_with_either},
    {"after a restart the older one is handed in", after_a_restart_the_older_one_is_handed_in},
    {"after a restart the worker says what it hands in",
     after_a_restart_the_worker_says_what_it_hands_in},
    {"versions are the same with and without", versions_are_the_same_with_and_without},
    {"an audit that is handed in lets its worker ask",
     an_audit_that_is_handed_in_lets_its_worker_ask},
    {"who hands in an audit gets no second one", who_hands_in_an_audit_gets_no_second_one},
    {"hello and leaving go for audits too", hello_and_leaving_go_for_audits_too},
    {"a third is never granted beside an audit", a_third_is_never_granted_beside_an_audit},
};
DPC_TEST_MAIN("coordinator/handing_in", tests)
