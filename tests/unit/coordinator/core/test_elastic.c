/* SPDX-License-Identifier: Apache-2.0
 * Elastic mode, on two levels of two modules without the dense baseline: path 0 is 0-0, path 1 0-1,
 * path 2 1-0, path 3 1-1; modules 0 and 1 are the lower ones, 2 and 3 the upper ones. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

enum { PATHS = 4, LOWER_0 = 0, UPPER_0 = 2, STEPS = 4 };

static const struct dpc_token no_token;

static void
start_routed(struct driver *driver, const char *mode, const char *routing, const char *outer,
             int steps)
{
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml,
                   SMALL_2X2 "mode: %s\n"
                             "routing: {prefix: 8%s}\n"
                             "inner: {steps: %d, batch: 2}\n"
                             "outer: {rounds: 3, weight: uniform%s}\n"
                             "baseline: {dense: false}\n"
                             "warm_start: {steps: 4}\n",
                   mode, routing, steps, outer);
    driver_start(driver, yaml);
    for (uint8_t worker = 0; worker < PATHS; worker++)
        driver_hello(driver, worker, no_token);
    driver_reach_training(driver, 0);
}

static void
start_long(struct driver *driver, const char *mode, const char *outer, int steps)
{
    start_routed(driver, mode, "", outer, steps);
}

static void
start(struct driver *driver, const char *mode, const char *outer)
{
    start_long(driver, mode, outer, STEPS);
}

/* Every worker asks; the leases by path, and who holds each. */
static void
lease_all(struct driver *driver, struct dpc_msg_lease leases[PATHS], uint8_t holders[PATHS])
{
    for (uint8_t worker = 0; worker < PATHS; worker++) {
        const struct dpc_msg *reply = driver_ask(driver, worker);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        leases[reply->lease.path] = reply->lease;
        holders[reply->lease.path] = worker;
    }
}

static void
pass(struct driver *driver, int64_t ms)
{
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    driver->now_ms += ms;
    driver_step(driver, &event);
}

/* The verdict on the lease's first `steps` steps; what they moved depends on their number. */
static enum dpc_verdict
hand_in(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease, uint32_t steps)
{
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0};
    driver_fill_submission(driver, lease, &submit);
    submit.steps_count = steps;
    for (uint32_t level = 0; level < submit.parts_count; level++)
        submit.parts[level].delta.hash.bytes[0] = (uint8_t)(lease->step_first + steps);
    return driver_submit_message(driver, worker, &submit, &check)->verdict.verdict;
}

static uint32_t
round_of(const struct driver *driver, uint32_t module)
{
    return dpc_module_round(dpc_core_module(driver->core, module));
}

/* The ledger's entries about a version. */
struct look {
    uint32_t module, version;
    bool found;
    uint32_t count;
    struct dpc_ledger_entry entries[PATHS];
};

static bool
look_at(void *context, const struct dpc_ledger_record *record)
{
    struct look *look = context;
    if (record->module != look->module || record->version != look->version)
        return true;
    look->found = true;
    look->count = record->entries_count;
    memcpy(look->entries, record->entries, record->entries_count * sizeof *record->entries);
    return false;
}

static struct look
merged(struct driver *driver, uint32_t module, uint32_t version)
{
    struct look look = {.module = module, .version = version};
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver->kv, 0, look_at, &look, &err), DPC_OK);
    CU_ASSERT_TRUE(look.found);
    return look;
}

static void
a_module_closes_when_quorum_and_grace_are_over(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", ", quorum: 0.5, grace: 0.5");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    CU_ASSERT_EQUAL(hand_in(&driver, holders[0], &leases[0], STEPS), DPC_VERDICT_ACCEPTED);
    pass(&driver, 499);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    CU_ASSERT_EQUAL(round_of(&driver, UPPER_0), 1);
    CU_ASSERT_EQUAL(round_of(&driver, 1), 0);
    struct look look = merged(&driver, LOWER_0, 1);
    CU_ASSERT_EQUAL(look.count, 1);
    CU_ASSERT_TRUE(look.entries[0].path == 0 && look.entries[0].weight == 1);
    /* 0-1 has missed the round; 1-1 has not, none of its modules has closed. */
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 1)->rounds_done, 1);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 3)->rounds_done, 0);
    driver_stop(&driver);
}

/* Nobody could hand in while it was down, and it does not know when the round began. */
static void
a_restart_leaves_time_to_come_back(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    struct dpc_event tick = {.type = DPC_EVENT_TICK, .tick.elapsed_ms = 100000};
    start(&driver, "elastic", ", quorum: 0.5, grace: 0.5");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    CU_ASSERT_EQUAL(hand_in(&driver, holders[0], &leases[0], STEPS), DPC_VERDICT_ACCEPTED);
    driver_crash(&driver);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
    int64_t left_ms = dpc_core_closes_in(driver.core, LOWER_0, driver.now_ms);
    CU_ASSERT(left_ms > 1000);
    /* Whoever hands in meanwhile is in time. */
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &leases[1], STEPS), DPC_VERDICT_ACCEPTED);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(merged(&driver, LOWER_0, 1).count, 2);

    /* Where something is known of rounds it is a share of that. */
    driver_step(&driver, &tick);
    hand_in(&driver, holders[2], &leases[2], STEPS);
    driver_crash(&driver);
    pass(&driver, 1);
    CU_ASSERT(dpc_core_closes_in(driver.core, 1, driver.now_ms) > left_ms);
    pass(&driver, 1000000);
    CU_ASSERT_EQUAL(round_of(&driver, 1), 1);
    driver_stop(&driver);
}

static void
strict_mode_waits_for_all(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "strict", "");
    lease_all(&driver, leases, holders);
    hand_in(&driver, holders[0], &leases[0], STEPS);
    pass(&driver, 1000000);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
    driver_stop(&driver);
}

/* 0-1 comes late for lower.0, which has closed, and in time for upper.1. */
static void
what_comes_late_is_merged_with_the_next_round_at_a_discount(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS], next[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", ", quorum: 0.5, grace: 0, late_discount: 0.25");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    hand_in(&driver, holders[0], &leases[0], STEPS);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &leases[1], STEPS), DPC_VERDICT_ACCEPTED);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, 3), 1);
    CU_ASSERT_EQUAL(merged(&driver, 3, 1).entries[0].late, 0);
    driver_crash(&driver);
    /* Everybody goes on with round 1. */
    hand_in(&driver, holders[2], &leases[2], STEPS);
    pass(&driver, 1);
    for (uint8_t worker = 0; worker < PATHS; worker++) {
        const struct dpc_msg *reply = driver_ask(&driver, worker);
        if (reply->type == DPC_MSG_LEASE && reply->lease.path == 0 && reply->lease.round == 1) {
            next[0] = reply->lease;
            CU_ASSERT_EQUAL(hand_in(&driver, worker, &next[0], STEPS), DPC_VERDICT_ACCEPTED);
        }
    }
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 2);
    struct look look = merged(&driver, LOWER_0, 2);
    CU_ASSERT_EQUAL_FATAL(look.count, 2);
    CU_ASSERT_TRUE(look.entries[0].path == 0 && look.entries[0].late == 0);
    CU_ASSERT_TRUE(look.entries[1].path == 1 && look.entries[1].late == 1);
    CU_ASSERT_DOUBLE_EQUAL(look.entries[1].weight, 0.25 / 1.25, 1e-12);
    driver_stop(&driver);
}

static void
what_comes_late_is_refused_where_the_file_says_so(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", ", quorum: 0.5, grace: 0, late: refuse");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    hand_in(&driver, holders[0], &leases[0], STEPS);
    pass(&driver, 1);
    hand_in(&driver, holders[3], &leases[3], STEPS);
    pass(&driver, 1);
    /* All modules have closed: nobody wants 0-1 any more, and its lease is gone. */
    CU_ASSERT_EQUAL(round_of(&driver, 3), 1);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &leases[1], STEPS), DPC_VERDICT_SUPERSEDED);
    /* It is not told that others had been first. */
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.reply_text, "have gone on without it"));
    driver_stop(&driver);
}

/* What a rollback or a revoke discards of a round would let it close with nothing: the other path
 * is waited for, also by a coordinator that starts again meanwhile. */
/* The product of the doubles 0.28 and 25 is a little more than 7. */
static void
a_quorum_that_is_a_whole_number_asks_for_no_path_more(void)
{
    struct driver driver;
    driver_start(&driver, "experiment: test\n"
                          "data: {corpus: corpus}\n"
                          "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                          "levels:\n"
                          "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 1}\n"
                          "  - {name: upper, parts: [{blocks: 1}, head], modules: 25}\n"
                          "mode: elastic\n"
                          "routing: {prefix: 8}\n"
                          "inner: {steps: 4, batch: 2}\n"
                          "outer: {rounds: 3, quorum: 0.28, grace: 0}\n"
                          "baseline: {dense: false}\n"
                          "warm_start: {steps: 4}\n");
    for (uint8_t worker = 0; worker < 7; worker++)
        driver_hello(&driver, worker, no_token);
    driver_reach_training(&driver, 0);
    for (uint8_t worker = 0; worker < 7; worker++) {
        CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
        const struct dpc_msg *reply = driver_ask(&driver, worker);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        CU_ASSERT_EQUAL(hand_in(&driver, worker, &lease, STEPS), DPC_VERDICT_ACCEPTED);
    }
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    driver_stop(&driver);
}

static void
a_quorum_counts_what_is_merged(void)
{
    for (int revoked = 0; revoked < 2; revoked++) {
        struct driver driver;
        struct dpc_msg_lease leases[PATHS];
        uint8_t holders[PATHS];
        struct dpc_error err;
        struct dpc_version_record version;
        start(&driver, "elastic", ", quorum: 0.5, grace: 0.5");
        lease_all(&driver, leases, holders);
        driver.now_ms += 1000;
        CU_ASSERT_EQUAL(hand_in(&driver, holders[0], &leases[0], STEPS), DPC_VERDICT_ACCEPTED);
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, LOWER_0, 0, &version, &err), DPC_OK);
        memset(version.master.bytes, 7, sizeof version.master.bytes);
        struct dpc_tainted tainted = {leases[0].token.serial, 0, 0};
        struct dpc_event event = {.type = DPC_EVENT_ROLLBACK, .rollback = {1, &version}};
        if (revoked) {
            event = (struct dpc_event){.type = DPC_EVENT_REVOKE, .revoke = {1, &tainted}};
            memset(event.worker, holders[0] + 1, sizeof event.worker);
        }
        driver_step(&driver, &event);
        pass(&driver, 100000);
        CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
        CU_ASSERT_EQUAL(dpc_core_closes_in(driver.core, LOWER_0, driver.now_ms), -1);
        driver_crash(&driver);
        pass(&driver, 100000);
        CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 0);
        struct dpc_msg_lease lease = leases[1];
        if (!revoked) { /* it began with what was discarded */
            lease = driver_lease(&driver, holders[1]);
            while (lease.path != 1) {
                driver_submit(&driver, holders[1], &lease);
                lease = driver_lease(&driver, holders[1]);
            }
        }
        CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &lease, STEPS), DPC_VERDICT_ACCEPTED);
        pass(&driver, 1000000);
        struct look look = merged(&driver, LOWER_0, revoked ? 1 : 2);
        CU_ASSERT_EQUAL_FATAL(look.count, 1);
        CU_ASSERT_EQUAL(look.entries[0].path, 1);
        driver_stop(&driver);
    }
}

static void
leave(struct driver *driver, uint8_t worker)
{
    struct dpc_event event = {.type = DPC_EVENT_LEAVE};
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

/* 0-1 and 1-1 have missed the round in their lower modules, and might still bring it to the upper
 * one: until the last of those who are at work on it has gone. */
static void
nobody_is_waited_for_who_has_gone(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", ", quorum: 0.5, grace: 1");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    hand_in(&driver, holders[0], &leases[0], STEPS);
    hand_in(&driver, holders[2], &leases[2], STEPS);
    pass(&driver, 1000);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 1)->rounds_done, 1);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 3)->rounds_done, 1);
    CU_ASSERT_EQUAL(round_of(&driver, 3), 0);
    CU_ASSERT(dpc_core_closes_in(driver.core, 3, driver.now_ms) > 1000);
    leave(&driver, holders[1]);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, 3), 0);
    leave(&driver, holders[3]);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(round_of(&driver, 3), 1);
    driver_stop(&driver);
}

/* Two workers at work on the same path: all paths are leased, and worker 5 gets a backup of one. */
static struct dpc_msg_lease
lease_twice(struct driver *driver, struct dpc_msg_lease leases[PATHS], uint8_t holders[PATHS])
{
    start(driver, "elastic", ", quorum: 0.5, grace: 100");
    lease_all(driver, leases, holders);
    driver_hello(driver, 5, no_token);
    pass(driver, 100000);
    const struct dpc_msg *reply = driver_ask(driver, 5);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    return reply->lease;
}

/* A part of one, then a shorter one of the other. */
static void
of_parts_the_longest_counts(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    struct dpc_msg_lease backup = lease_twice(&driver, leases, holders);
    uint32_t path = backup.path;
    CU_ASSERT_EQUAL(hand_in(&driver, 5, &backup, 3), DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->rounds_done, 0);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[path], &leases[path], 2), DPC_VERDICT_SUPERSEDED);
    driver_stop(&driver);
}

/* The whole round replaces the part: the path has trained no more steps than its round has. */
static void
steps_of_a_part_that_is_replaced_count_once(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    struct dpc_msg_lease backup = lease_twice(&driver, leases, holders);
    const struct dpc_path_record *path = dpc_core_path(driver.core, backup.path);
    uint64_t steps = path->steps_done, tokens = path->tokens_done;
    CU_ASSERT_EQUAL(hand_in(&driver, 5, &backup, 3), DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(path->steps_done, steps + 3);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[path->path], &leases[path->path], STEPS),
                    DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(path->rounds_done, 1);
    CU_ASSERT_EQUAL(path->steps_done, steps + STEPS);
    CU_ASSERT_EQUAL(path->tokens_done, tokens + STEPS * UINT64_C(2) * 32);
    driver_stop(&driver);
}

static void
a_lease_goes_on_where_a_part_ended(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", "");
    lease_all(&driver, leases, holders);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[2], &leases[2], 3), DPC_VERDICT_ACCEPTED);
    driver_crash(&driver);
    const struct dpc_msg *reply = driver_ask(&driver, holders[2]);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    struct dpc_msg_lease rest = reply->lease;
    CU_ASSERT_EQUAL(rest.path, 2);
    CU_ASSERT_EQUAL(rest.step_first, leases[2].step_first + 3);
    CU_ASSERT_EQUAL(rest.steps_count, STEPS - 3);
    CU_ASSERT_FALSE(dpc_hash_is_none(&rest.begins[0].hash));
    CU_ASSERT_FALSE(dpc_hash_equal(&rest.state.hash, &leases[2].state.hash));
    CU_ASSERT_EQUAL(hand_in(&driver, holders[2], &rest, 1), DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 2)->rounds_done, 1);
    hand_in(&driver, holders[0], &leases[0], STEPS);
    hand_in(&driver, holders[1], &leases[1], STEPS);
    hand_in(&driver, holders[3], &leases[3], STEPS);
    struct look look = merged(&driver, 1, 1); /* of 1-0 and 1-1 */
    CU_ASSERT_EQUAL_FATAL(look.count, 2);
    CU_ASSERT_EQUAL(look.entries[0].steps, STEPS);
    CU_ASSERT_EQUAL(look.entries[0].weight, 0.5);
    driver_stop(&driver);
}

static void
a_part_is_merged_with_a_part_of_the_weight(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", ", quorum: 0.5, grace: 0");
    lease_all(&driver, leases, holders);
    driver.now_ms += 1000;
    hand_in(&driver, holders[1], &leases[1], 1);
    hand_in(&driver, holders[0], &leases[0], STEPS);
    pass(&driver, 1);
    struct look look = merged(&driver, LOWER_0, 1);
    CU_ASSERT_EQUAL_FATAL(look.count, 2);
    CU_ASSERT_EQUAL(look.entries[1].steps, 1);
    CU_ASSERT_DOUBLE_EQUAL(look.entries[1].weight, 0.25 / 1.25, 1e-12);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 1)->part_steps, 0);
    driver_stop(&driver);
}

/* A round in a hundred parts would cost the disk a hundred rounds. */
static void
the_number_of_parts_is_bounded(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start_long(&driver, "elastic", "", 100);
    lease_all(&driver, leases, holders);
    struct dpc_msg_lease lease = leases[1];
    for (int part = 0; part < DPC_PARTS_MAX; part++) {
        enum dpc_verdict verdict = hand_in(&driver, holders[1], &lease, 1);
        CU_ASSERT_EQUAL(verdict,
                        part < DPC_PARTS_MAX - 1 ? DPC_VERDICT_ACCEPTED : DPC_VERDICT_REFUSED);
        const struct dpc_msg *reply = driver_ask(&driver, holders[1]);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        lease = reply->lease;
        CU_ASSERT_EQUAL_FATAL(lease.path, 1);
    }
    CU_ASSERT_EQUAL(lease.steps_count, 100 - (DPC_PARTS_MAX - 1));
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &lease, lease.steps_count), DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 1)->rounds_done, 1);
    driver_stop(&driver);
}

static void
strict_mode_takes_no_parts(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "strict", "");
    lease_all(&driver, leases, holders);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &leases[1], 1), DPC_VERDICT_REFUSED);
    driver_stop(&driver);
}

/* Half as fast as usual is no reason; eight times as slow gets a quarter. */
static void
a_slow_machine_gets_a_part(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start(&driver, "elastic", "");
    lease_all(&driver, leases, holders); /* submissions say 0.1 s for 4 steps: 25 ms a step */
    hand_in(&driver, holders[0], &leases[0], STEPS);
    hand_in(&driver, holders[1], &leases[1], STEPS);
    struct dpc_msg_heartbeat beat = {.token = leases[2].token, .steps_done = 1};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT};
    memset(event.worker, holders[2] + 1, sizeof event.worker);
    beat.tokens_per_s = 2 * 32 / (8 * 0.025);
    event.heartbeat.message = &beat;
    driver_step(&driver, &event);
    beat.tokens_per_s = 0; /* as while a submission is looked at: nothing is said */
    driver_step(&driver, &event);
    struct dpc_msg_give_back back = {.token = leases[2].token, .reason = "test"};
    event.type = DPC_EVENT_GIVE_BACK;
    event.give_back.message = &back;
    driver_step(&driver, &event);
    const struct dpc_msg *reply = driver_ask(&driver, holders[2]);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    CU_ASSERT_EQUAL(reply->lease.steps_count, 1);
    driver_stop(&driver);
}

/* With everybody there, elastic mode makes the versions that strict mode makes; and a crash after
 * every event changes nothing. */
static void
undisturbed_it_is_strict_mode(void)
{
    static const char *const modes[] = {"strict", "elastic", "elastic"};
    struct dpc_hash outcomes[3];
    for (int i = 0; i < 3; i++) {
        struct driver driver;
        start(&driver, modes[i], "");
        driver.crash_after_each = i == 2;
        CU_ASSERT_TRUE(driver_finish(&driver, PATHS));
        outcomes[i] = driver_outcome(&driver);
        driver_stop(&driver);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[1]));
    CU_ASSERT_TRUE(dpc_hash_equal(&outcomes[0], &outcomes[2]));
}

/* One of the four trains on while rounds end without it and documents are sharded anew. */
static void
a_lease_ends_when_its_documents_change(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start_routed(&driver, "elastic", ", phases: 1", ", quorum: 0.5, grace: 0.1", STEPS);
    lease_all(&driver, leases, holders);
    const struct dpc_msg_lease *slow = &leases[PATHS - 1];
    for (uint32_t path = 0; path + 1 < PATHS; path++)
        hand_in(&driver, holders[path], &leases[path], STEPS);
    for (int i = 0; i < 100 && driver_phase(&driver) == DPC_PHASE_TRAIN; i++) {
        pass(&driver, 1000);
        CU_ASSERT_EQUAL(
            driver_heartbeat(&driver, holders[slow->path], slow->token)->verdict.verdict,
            DPC_VERDICT_CONTINUE);
    }
    CU_ASSERT_EQUAL_FATAL(driver_phase(&driver), DPC_PHASE_SCORE);
    driver_reach_training(&driver, holders[0]);
    CU_ASSERT_EQUAL(driver_heartbeat(&driver, holders[slow->path], slow->token)->verdict.verdict,
                    DPC_VERDICT_STALE);
    driver_stop(&driver);
}

/* --- A discriminative phase behind a round that no path of a module trains in. */

/* Paths 0 and 1 train in round 0, and none but 1-1 in round 1: a seed by which they are so drawn.
 */
static void
start_sampled(struct driver *driver)
{
    char yaml[1024];
    bool found = false;
    for (int seed = 1; !found; seed++) {
        struct dpc_error err;
        (void)snprintf(yaml, sizeof yaml,
                       SMALL_2X2 "mode: elastic\n"
                                 "early_stopping: true\n"
                                 "seed: %d\n"
                                 "routing: {prefix: 8, phases: 1, phase_rounds: 1}\n"
                                 "inner: {steps: 4, batch: 2}\n"
                                 "outer: {rounds: 4, quorum: 0.5, grace: 0, sample: 0.5}\n"
                                 "baseline: {dense: false}\n"
                                 "warm_start: {steps: 4}\n",
                       seed);
        CU_ASSERT_EQUAL_FATAL(
            dpc_experiment_parse("test", yaml, strlen(yaml), &driver->experiment, &err), DPC_OK);
        found = dpc_experiment_plans(&driver->experiment, 0, 0) &&
                dpc_experiment_plans(&driver->experiment, 1, 0);
        for (uint32_t path = 0; path + 1 < PATHS; path++)
            found &= !dpc_experiment_plans(&driver->experiment, path, 1);
    }
    driver_start(driver, yaml);
    for (uint8_t worker = 0; worker < PATHS; worker++)
        driver_hello(driver, worker, no_token);
    driver_reach_training(driver, 0);
}

/* Everything that the worker is given in the phase. */
static void
do_all(struct driver *driver, uint8_t worker, enum dpc_phase phase)
{
    const struct dpc_msg *reply = driver_ask(driver, worker);
    while (driver_phase(driver) == phase && reply->type == DPC_MSG_LEASE) {
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(driver, worker, &lease);
        pass(driver, 1);
        reply = driver_ask(driver, worker);
    }
}

/* What came late is merged in a round in which nobody trains, which takes its time. A version that
 * this made while documents were scored would be evaluated on those of before, and the answer be
 * counted for those of after. */
static void
documents_are_scored_when_all_outer_steps_are_made(void)
{
    struct driver driver;
    struct dpc_msg_lease leases[PATHS];
    uint8_t holders[PATHS];
    start_sampled(&driver);
    for (uint8_t worker = 0; worker < 2; worker++) {
        struct dpc_msg_lease lease = driver_lease(&driver, worker);
        CU_ASSERT_FATAL(lease.kind == DPC_TASK_TRAIN && lease.path < 2);
        leases[lease.path] = lease;
        holders[lease.path] = worker;
    }
    driver.now_ms += 1000;
    driver.hold_folds = true;
    CU_ASSERT_EQUAL(hand_in(&driver, holders[0], &leases[0], STEPS), DPC_VERDICT_ACCEPTED);
    pass(&driver, 1);
    CU_ASSERT_EQUAL(hand_in(&driver, holders[1], &leases[1], STEPS), DPC_VERDICT_ACCEPTED);
    driver_release_folds(&driver);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    do_all(&driver, 2, DPC_PHASE_TRAIN);
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 1);
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_TRAIN);
    driver_release_folds(&driver);
    driver.hold_folds = false;
    CU_ASSERT_EQUAL(round_of(&driver, LOWER_0), 2);
    CU_ASSERT_EQUAL(merged(&driver, LOWER_0, 2).entries[0].late, 1);
    CU_ASSERT_EQUAL(merged(&driver, LOWER_0, 2).entries[0].weight, 1); /* a discount of nothing */
    do_all(&driver, 2, DPC_PHASE_TRAIN);
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_SCORE);
    do_all(&driver, 2, DPC_PHASE_SCORE);
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_TRAIN);
    driver_crash(&driver);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"documents are scored when all outer steps are made",
     documents_are_scored_when_all_outer_steps_are_made},
    {"a module closes when quorum and grace are over",
     a_module_closes_when_quorum_and_grace_are_over},
    {"a restart leaves time to come back", a_restart_leaves_time_to_come_back},
    {"strict mode waits for all", strict_mode_waits_for_all},
    {"what comes late is merged with the next round at a discount",
     what_comes_late_is_merged_with_the_next_round_at_a_discount},
    {"what comes late is refused where the file says so",
     what_comes_late_is_refused_where_the_file_says_so},
    {"a quorum that is a whole number asks for no path more",
     a_quorum_that_is_a_whole_number_asks_for_no_path_more},
    {"a quorum counts what is merged", a_quorum_counts_what_is_merged},
    {"nobody is waited for who has gone", nobody_is_waited_for_who_has_gone},
    {"of parts the longest counts", of_parts_the_longest_counts},
    {"steps of a part that is replaced count once", steps_of_a_part_that_is_replaced_count_once},
    {"a lease goes on where a part ended", a_lease_goes_on_where_a_part_ended},
    {"a part is merged with a part of the weight", a_part_is_merged_with_a_part_of_the_weight},
    {"the number of parts is bounded", the_number_of_parts_is_bounded},
    {"strict mode takes no parts", strict_mode_takes_no_parts},
    {"a slow machine gets a part", a_slow_machine_gets_a_part},
    {"a lease ends when its documents change", a_lease_ends_when_its_documents_change},
    {"undisturbed it is strict mode", undisturbed_it_is_strict_mode},
};
DPC_TEST_MAIN("coordinator/core/elastic", tests)
