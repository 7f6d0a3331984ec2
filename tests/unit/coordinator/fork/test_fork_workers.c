/* SPDX-License-Identifier: Apache-2.0
 * What a fork takes over and says of workers: who is barred or drained, what was revoked. */
#include "coordinator/fork/fork.h"

#include "base/alloc.h"
#include "tests/unit/coordinator/fork/fork_rig.h"

/* Worker 1 has handed in a round of a path that nothing was made of yet: its modules close without,
 * the path begins its next round from nothing, and no module has a version of the revoke. */
static void
behind_a_revoke_too(void)
{
    struct driver source;
    struct fork fork;
    start(&source, yaml);
    run_to(&source, 3);
    driver_hello(&source, 1, (struct dpc_token){0});
    struct dpc_msg_lease lease = driver_lease(&source, 1);
    CU_ASSERT_FATAL(lease.path < dpc_topology_dense_path(dpc_core_topology(source.core)));
    driver_submit(&source, 1, &lease);
    CU_ASSERT_FALSE(dpc_hash_is_none(&dpc_core_path(source.core, lease.path)->state));
    struct dpc_tainted tainted = {lease.token.serial, lease.path, lease.round};
    struct dpc_event event = {.type = DPC_EVENT_REVOKE,
                              .revoke = {.tainted_count = 1, .tainted = &tainted}};
    memset(event.worker, 1 + 1, sizeof event.worker);
    driver_step(&source, &event);
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_core_path(source.core, lease.path)->state));
    run_to(&source, lease.round + 1);
    for (int admitted = 0; admitted < 2; admitted++) {
        int code = make(&source, DPC_FORK_NEWEST, yaml, &fork);
        CU_ASSERT_EQUAL(code, DPC_OK);
        CU_ASSERT_TRUE(code != DPC_OK || driver_finish(&fork.driver, 1));
        drop(&fork);
        event.type = DPC_EVENT_STANDING;
        event.standing = DPC_STANDING_GOOD;
        driver_step(&source, &event);
    }
    driver_stop(&source);
}

static bool
bar(void *context, const struct dpc_worker_record *worker)
{
    struct dpc_worker_record barred = *worker;
    barred.standing = DPC_STANDING_REVOKED;
    dpc_put_worker(context, &barred);
    return false; /* the first alone */
}

/* A revoke leaves the warm start as it is, also in the source. */
static void
rounds_of_barred_workers_are_told(void)
{
    struct driver source;
    struct fork fork;
    struct dpc_kv_batch batch;
    struct dpc_error err;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 1));
    CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_WARM, yaml, &fork), DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.barred, 0);
    drop(&fork);
    dpc_kv_batch_init(&batch);
    CU_ASSERT_EQUAL(dpc_scan_workers(source.kv, bar, &batch, &err), DPC_OK);
    CU_ASSERT_EQUAL(source.kv->ops->write(source.kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    CU_ASSERT_EQUAL_FATAL(make(&source, DPC_FORK_WARM, yaml, &fork), DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.barred, 4); /* 8 steps, 4 a round, on two paths */
    drop(&fork);
    CU_ASSERT_EQUAL_FATAL(make(&source, 5, yaml, &fork), DPC_OK);
    CU_ASSERT_EQUAL(fork.forked.barred, 4);
    drop(&fork);
    driver_stop(&source);
}

/* Barred, and what it brought for module 0 in round 1 taken out; or that goes back, and with it
 * what others brought. Returns in which round that happens. */
static uint32_t
revoke_round_1(struct driver *source, bool retrain)
{
    struct dpc_version_record version;
    struct dpc_ledger_record entry;
    struct dpc_error err;
    struct dpc_refolded refolded = {.version = {.module = 0}};
    struct dpc_event event = {.type = DPC_EVENT_REVOKE};
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(source->kv, 0, 2, &version, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_load_ledger(source->kv, version.ledger, &entry, &err), DPC_OK);
    CU_ASSERT_FATAL(entry.entries_count > 0);
    refolded.version.parent = dpc_core_module(source->core, 0)->version;
    dpc_hash_of("refolded", 8, &refolded.version.master);
    refolded.version.published = refolded.version.momentum = refolded.version.master;
    refolded.entries = entry.entries;
    refolded.entries_count = 1;
    memcpy(event.worker, entry.entries->worker, sizeof event.worker);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(source->kv, 0, 1, &version, &err), DPC_OK);
    if (retrain)
        event.revoke.rollback = (struct dpc_rollback){1, &version};
    else
        event.revoke.refolded = &refolded;
    event.revoke.refolded_count = !retrain;
    driver_step(source, &event);
    dpc_free(entry.entries);
    return dpc_module_round(dpc_core_module(source->core, 0));
}

/* Of a round from before the revoke. What is older than that was let alone, and stays so. */
static void
what_a_fork_brings_back_is_told(void)
{
    for (int retrain = 0; retrain < 2; retrain++) {
        struct driver source;
        struct fork fork;
        start(&source, yaml);
        run_to(&source, 3);
        CU_ASSERT_EQUAL_FATAL(make(&source, 3, yaml, &fork), DPC_OK);
        CU_ASSERT_EQUAL(fork.forked.again, 0);
        drop(&fork);
        uint32_t round = revoke_round_1(&source, retrain);
        CU_ASSERT_EQUAL_FATAL(make(&source, 2, yaml, &fork), DPC_OK);
        CU_ASSERT_EQUAL(fork.forked.again_workers, 1);
        CU_ASSERT_EQUAL(fork.forked.again, retrain ? 2 : 1); /* of the paths through module 0 */
        CU_ASSERT_EQUAL(fork.forked.again_since, 1);
        CU_ASSERT_STRING_EQUAL(fork.forked.again_name, "w");
        drop(&fork);
        driver_hello(&source, 1, (struct dpc_token){0});
        for (int i = 0; i < 100 && least_round(&source) < round + 1; i++) {
            struct dpc_msg_lease lease = driver_lease(&source, 1);
            driver_submit(&source, 1, &lease);
        }
        CU_ASSERT_EQUAL_FATAL(make(&source, round + 1, yaml, &fork), DPC_OK);
        CU_ASSERT_EQUAL(fork.forked.again, 0);
        drop(&fork);
        driver_stop(&source);
    }
}

static bool
drain(void *context, const struct dpc_worker_record *worker)
{
    struct dpc_worker_record drained = *worker;
    drained.drained = 1;
    dpc_put_worker(context, &drained);
    return true;
}

static bool
count_drained(void *context, const struct dpc_worker_record *worker)
{
    *(uint32_t *)context += worker->drained;
    return true;
}

static void
who_is_drained_stays_so(void)
{
    struct driver source;
    struct fork fork;
    struct dpc_kv_batch batch;
    struct dpc_error err;
    uint32_t count = 0;
    start(&source, yaml);
    CU_ASSERT_TRUE(driver_finish(&source, 2));
    dpc_kv_batch_init(&batch);
    CU_ASSERT_EQUAL(dpc_scan_workers(source.kv, drain, &batch, &err), DPC_OK);
    CU_ASSERT_EQUAL(source.kv->ops->write(source.kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    CU_ASSERT_EQUAL_FATAL(make(&source, 5, yaml, &fork), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_workers(fork.driver.kv, count_drained, &count, &err), DPC_OK);
    CU_ASSERT_EQUAL(count, 2);
    drop(&fork);
    driver_stop(&source);
}

static const struct dpc_test tests[] = {
    {"a run in which somebody was revoked can be forked", behind_a_revoke_too},
    {"rounds of barred workers are told", rounds_of_barred_workers_are_told},
    {"what a fork brings back is told", what_a_fork_brings_back_is_told},
    {"who is drained stays so", who_is_drained_stays_so},
};

DPC_TEST_MAIN("coordinator/fork_workers", tests)
