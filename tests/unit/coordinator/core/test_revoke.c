/* SPDX-License-Identifier: Apache-2.0
 * Who may work, and what becomes of what a worker handed in that may not. The arithmetic stands in
 * test_refold.c. */
#include "coordinator/core/core.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const struct dpc_token no_token;

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
set_standing(struct driver *driver, uint8_t worker, enum dpc_standing standing)
{
    struct dpc_event event = {.type = DPC_EVENT_STANDING, .standing = standing};
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

static const struct dpc_worker_record *
worker_record(const struct driver *driver, uint8_t worker)
{
    int64_t silent_ms;
    bool connected;
    for (uint32_t i = 0; i < dpc_core_workers_count(driver->core); i++) {
        const struct dpc_worker_record *record =
            dpc_core_worker_at(driver->core, i, driver->now_ms, &silent_ms, &connected);
        if (record->key[0] == worker + 1)
            return record;
    }
    CU_FAIL_FATAL("there is no such worker");
    return NULL;
}

static void
check_refused(const struct dpc_msg *reply)
{
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_ERROR);
    CU_ASSERT_EQUAL(reply->error.code, DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, "revoked"));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->error.text, "dipacoctl admit w"));
}

static void
a_barred_worker_is_refused_until_it_is_admitted_again(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease done = driver_lease(&driver, 0);
    driver_submit(&driver, 0, &done);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    set_standing(&driver, 0, DPC_STANDING_REVOKED);
    CU_ASSERT_EQUAL(dpc_core_leases_count(driver.core), 0);
    for (int life = 0; life < 2; life++) {
        check_refused(driver_hello(&driver, 0, lease.token));
        check_refused(driver_ask(&driver, 0));
        CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, lease.token)->verdict.verdict,
                        DPC_VERDICT_STALE);
        driver_crash(&driver);
    }
    const struct dpc_msg *reply = driver_submit(&driver, 0, &lease);
    CU_ASSERT_EQUAL(reply->verdict.verdict, DPC_VERDICT_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->verdict.text, "revoked"));
    CU_ASSERT_EQUAL(worker_record(&driver, 0)->refused, 1);
    /* What was promised before stays promised. */
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &done)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, lease.round);

    set_standing(&driver, 0, DPC_STANDING_GOOD);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(driver_hello(&driver, 0, lease.token)->type, DPC_MSG_WELCOME);
    CU_ASSERT_EQUAL(driver_ask(&driver, 0)->type, DPC_MSG_LEASE);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

/* The first cause stands; whom nobody knows nobody bars. */
static void
barring_again_changes_nothing(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    set_standing(&driver, 0, DPC_STANDING_QUARANTINED);
    set_standing(&driver, 0, DPC_STANDING_REVOKED);
    CU_ASSERT_EQUAL(worker_record(&driver, 0)->standing, DPC_STANDING_QUARANTINED);
    set_standing(&driver, 7, DPC_STANDING_REVOKED);
    CU_ASSERT_EQUAL(dpc_core_workers_count(driver.core), 1);
    CU_ASSERT_TRUE(driver_finish(&driver, 2)); /* by the other one */
    driver_stop(&driver);
}

/* --- Revoking. */

static void
revoke(struct driver *driver, uint8_t worker, const struct dpc_revoke *what)
{
    struct dpc_event event = {.type = DPC_EVENT_REVOKE, .revoke = *what};
    memset(event.worker, worker + 1, sizeof event.worker);
    driver_step(driver, &event);
}

static bool
check_none_by_lease(void *context, const struct dpc_ledger_record *record)
{
    for (uint32_t i = 0; i < record->entries_count; i++)
        CU_ASSERT_NOT_EQUAL(record->entries[i].lease, *(const uint64_t *)context);
    return true;
}

/* Worker 1 has handed in a round of a path whose modules still wait for others: they close without
 * it, and the path goes on with the next round, from fresh moments. */
static void
what_is_revoked_before_it_is_merged_stays_out(void)
{
    struct driver driver;
    struct dpc_error err;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, no_token);
    struct dpc_msg_lease lease = driver_lease(&driver, 1);
    while (lease.path == 4) { /* the dense one waits for nobody */
        driver_submit(&driver, 1, &lease);
        lease = driver_lease(&driver, 1);
    }
    driver_submit(&driver, 1, &lease);
    CU_ASSERT_FALSE(dpc_hash_is_none(&dpc_core_path(driver.core, lease.path)->state));
    struct dpc_tainted tainted = {lease.token.serial, lease.path, lease.round};
    for (int again = 0; again < 2; again++) {
        revoke(&driver, 1, &(struct dpc_revoke){.tainted_count = 1, .tainted = &tainted});
        CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_path(driver.core, lease.path)->state));
        check_refused(driver_ask(&driver, 1));
        driver_crash(&driver);
    }
    driver_hello(&driver, 0, no_token);
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    uint64_t serial = lease.token.serial;
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_none_by_lease, &serial, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, lease.path)->rounds_done, 3);
    driver_stop(&driver);
}

/* --- Parts of rounds. */

static void
start_parts(struct driver *driver, const char *path_state)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   SMALL_2X2 "mode: elastic\n"
                             "routing: {prefix: 8}\n"
                             "inner: {steps: 4, batch: 2}\n"
                             "outer: {rounds: 3}\n"
                             "transfer: {path_state: %s}\n"
                             "baseline: {dense: false}\n"
                             "warm_start: {steps: 4}\n",
                   path_state);
    driver_start_training(driver, text);
    driver_hello(driver, 1, no_token);
}

/* The first `steps` of its lease; `bare`: in haste, without a path state. */
static struct dpc_tainted
hand_in_part(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease,
             uint32_t steps, bool bare)
{
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0};
    driver_fill_submission(driver, lease, &submit);
    submit.steps_count = steps;
    if (bare)
        submit.state = submit.kept = (struct dpc_blob_ref){.bytes = 0};
    CU_ASSERT_EQUAL(driver_submit_message(driver, worker, &submit, &check)->verdict.verdict,
                    DPC_VERDICT_ACCEPTED);
    return (struct dpc_tainted){lease->token.serial, lease->path, lease->round};
}

/* The lease on the path that the worker gets when it has done what comes before. */
static struct dpc_msg_lease
lease_of(struct driver *driver, uint8_t worker, uint32_t path)
{
    struct dpc_msg_lease lease = driver_lease(driver, worker);
    while (lease.path != path) {
        driver_submit(driver, worker, &lease);
        lease = driver_lease(driver, worker);
    }
    return lease;
}

/* Whether a path state is with the coordinator, with its worker or nowhere. */
static void
nobody_goes_on_from_a_part_that_is_revoked(void)
{
    static const struct {
        const char *path_state;
        bool bare;
    } cases[] = {{"ship", false}, {"ship", true}, {"reset", false}, {"local", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct driver driver;
        start_parts(&driver, cases[i].path_state);
        struct dpc_msg_lease lease = driver_lease(&driver, 1);
        struct dpc_tainted tainted = hand_in_part(&driver, 1, &lease, 2, cases[i].bare);
        revoke(&driver, 1, &(struct dpc_revoke){.tainted_count = 1, .tainted = &tainted});
        driver_crash(&driver);
        struct dpc_msg_lease again = lease_of(&driver, 0, lease.path);
        CU_ASSERT_EQUAL(again.round, lease.round);
        CU_ASSERT_EQUAL(again.step_first, lease.step_first);
        CU_ASSERT_TRUE(dpc_hash_is_none(&again.begins[0].hash));
        /* Asked again, it leaves that alone. */
        revoke(&driver, 1, &(struct dpc_revoke){.tainted_count = 1, .tainted = &tainted});
        CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, again.token)->verdict.verdict,
                        DPC_VERDICT_CONTINUE);
        driver_stop(&driver);
    }
}

/* Its rest is given to a third worker, and then a second one, who had begun the round as well,
 * hands in more of it. */
static void
the_rest_of_a_revoked_part_is_void(void)
{
    enum { NO_CRASH, BEFORE_MORE, AFTER_MORE, ALL };
    for (int crash = NO_CRASH; crash < ALL; crash++) {
        struct driver driver;
        start_parts(&driver, "ship");
        driver_hello(&driver, 2, no_token);
        struct dpc_msg_lease first = driver_lease(&driver, 1);
        driver.now_ms += 100000;
        struct dpc_msg_lease second = lease_of(&driver, 2, first.path);
        struct dpc_tainted tainted = hand_in_part(&driver, 1, &first, 1, false);
        driver.now_ms += 100000;
        struct dpc_msg_lease rest = lease_of(&driver, 0, first.path);
        CU_ASSERT_EQUAL(rest.step_first, first.step_first + 1);
        if (crash == BEFORE_MORE)
            driver_crash(&driver);
        hand_in_part(&driver, 2, &second, 2, false);
        if (crash == AFTER_MORE)
            driver_crash(&driver);
        struct dpc_revoke what = {.tainted_count = 1, .tainted = &tainted};
        revoke(&driver, 1, &what);
        CU_ASSERT_EQUAL(driver_heartbeat(&driver, 0, rest.token)->verdict.verdict,
                        DPC_VERDICT_STALE);
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &rest)->verdict.verdict, DPC_VERDICT_STALE);
        /* What did not go on from it stays, and so does who goes on from that. */
        rest = lease_of(&driver, 0, first.path);
        CU_ASSERT_EQUAL(rest.step_first, first.step_first + 2);
        revoke(&driver, 1, &what);
        CU_ASSERT_EQUAL(driver_submit(&driver, 0, &rest)->verdict.verdict, DPC_VERDICT_ACCEPTED);
        driver_stop(&driver);
    }
}

/* The answer was computed for another version than stands now: it is dropped. */
static void
a_module_that_moved_on_is_folded_again(void)
{
    struct driver driver;
    struct dpc_error err;
    struct dpc_version_record now;
    struct dpc_ledger_record entry;
    driver_start_training(&driver, yaml);
    finish_round(&driver, 0);
    uint32_t version = dpc_core_module(driver.core, 0)->version;
    struct dpc_ledger_entry out = {.path = 1, .lease = 9, .weight = 0.5, .scale = 1};
    struct dpc_refolded refolded = {
        .version = {.module = 0, .parent = version - 1}, .entries_count = 1, .entries = &out};
    dpc_hash_of("refolded", 8, &refolded.version.master);
    struct dpc_revoke what = {.refolded_count = 1, .refolded = &refolded};
    revoke(&driver, 0, &what);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, version);
    refolded.version.parent = version;
    revoke(&driver, 0, &what);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, version + 1);
    CU_ASSERT_EQUAL(dpc_module_round(dpc_core_module(driver.core, 0)), version);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, 0, version + 1, &now, &err), DPC_OK);
    CU_ASSERT_EQUAL(now.cause, DPC_CAUSE_REVOKE);
    CU_ASSERT_EQUAL(now.parent, version);
    CU_ASSERT_TRUE(dpc_hash_equal(&now.master, &refolded.version.master));
    CU_ASSERT_EQUAL_FATAL(dpc_load_ledger(driver.kv, now.ledger, &entry, &err), DPC_OK);
    CU_ASSERT_EQUAL(entry.entries_count, 1);
    CU_ASSERT_EQUAL(entry.entries[0].lease, 9);
    CU_ASSERT_EQUAL(entry.entries[0].scale, 0);
    dpc_free(entry.entries);
    driver_stop(&driver);
}

/* An outer step under way that merges what is revoked must end as it was asked for. */
static void
an_outer_step_under_way_keeps_what_is_revoked(void)
{
    struct driver driver;
    driver_start_training(&driver, yaml);
    struct dpc_tainted tainted[4] = {{0}};
    driver.hold_folds = true;
    for (uint32_t i = 0; i < 5; i++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 0);
        driver_submit(&driver, 0, &lease);
        if (lease.path < 4)
            tainted[lease.path] = (struct dpc_tainted){lease.token.serial, lease.path, lease.round};
    }
    CU_ASSERT_TRUE(dpc_core_folds_tainted(driver.core, 0, tainted, 4));
    revoke(&driver, 0, &(struct dpc_revoke){.tainted_count = 4, .tainted = tainted});
    driver_release_folds(&driver);
    driver.hold_folds = false;
    CU_ASSERT_EQUAL(dpc_core_module(driver.core, 0)->version, 1);
    CU_ASSERT_FALSE(dpc_core_folds_tainted(driver.core, 0, tainted, 4));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"what is revoked before it is merged stays out",
     what_is_revoked_before_it_is_merged_stays_out},
    {"nobody goes on from a part that is revoked", nobody_goes_on_from_a_part_that_is_revoked},
    {"the rest of a revoked part is void", the_rest_of_a_revoked_part_is_void},
    {"a module that moved on is folded again", a_module_that_moved_on_is_folded_again},
    {"an outer step under way keeps what is revoked",
     an_outer_step_under_way_keeps_what_is_revoked},
    {"a barred worker is refused until it is admitted again",
     a_barred_worker_is_refused_until_it_is_admitted_again},
    {"barring again changes nothing", barring_again_changes_nothing},
};
DPC_TEST_MAIN("coordinator/core/revoke", tests)
