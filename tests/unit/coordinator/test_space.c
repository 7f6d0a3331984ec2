/* SPDX-License-Identifier: Apache-2.0
 * A coordinator without room: what it says of that. tests/e2e/full-disk.sh fills a disk. */
#include <string.h>

#include "base/alloc.h"
#include "coordinator/state.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "warm_start: {steps: 8}\n";

static const char phases_yaml[] = SMALL_2X2 "routing: {prefix: 8, phases: 1}\n"
                                            "inner: {steps: 4, batch: 2}\n"
                                            "outer: {rounds: 4}\n"
                                            "baseline: {dense: false}\n"
                                            "warm_start: {steps: 8}\n";

struct bench {
    struct driver driver;
    struct dpc_server *server;
    char folder[SCRATCH_PATH_MAX];
};

/* What a job finds is of no matter here. */
static void
do_nothing(void *job)
{
    (void)job;
}

static void
bench_init_with(struct bench *bench, const char *text)
{
    memset(bench, 0, sizeof *bench);
    driver_start_with_store(&bench->driver, text, scratch_make(bench->folder));
    struct dpc_server *server = dpc_alloc(1, sizeof *server);
    bench->server = server;
    server->experiment = bench->driver.experiment;
    server->store = server->world.store = bench->driver.store;
    server->core = bench->driver.core;
    dpc_actions_init(&server->actions);
    server->executor = dpc_executor_create(1, do_nothing, dpc_job_drop);
}

static void
bench_init(struct bench *bench)
{
    bench_init_with(bench, yaml);
}

static void
bench_done(struct bench *bench)
{
    struct dpc_server *server = bench->server;
    dpc_executor_destroy(server->executor);
    dpc_actions_done(&server->actions);
    dpc_free(server);
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

/* A report on another disk once was a store's disk that is full, with gigabytes free. */
static void
what_failed_is_told_where_the_store_has_room(void)
{
    struct bench bench;
    char text[DPC_TEXT_MAX];
    bench_init(&bench);
    CU_ASSERT_FALSE(server_ran_out(bench.server, DPC_EIO, "could not write \"elsewhere\""));
    CU_ASSERT_TRUE(server_ran_out(bench.server, DPC_ENOSPACE, "could not write \"elsewhere\""));
    CU_ASSERT_TRUE(bench.server->space.paused);
    server_tell_space(bench.server, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "could not write \"elsewhere\"; the store's disk has "));
    CU_ASSERT_PTR_NULL(strstr(text, "is full"));
    /* It has not, after all. */
    bench.server->space.free_bytes = DPC_MIB;
    server_tell_space(bench.server, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "the store's disk is full: 1.0 MiB are free"));
    bench_done(&bench);
}

/* An outer step that merges what worker 0 has handed in is under way; returns what that is. */
static struct dpc_tainted
begin_outer_step(struct bench *bench)
{
    struct driver *driver = &bench->driver;
    driver->hold_folds = true;
    driver_hello(driver, 0, (struct dpc_token){0});
    struct dpc_msg_lease lease = driver_lease(driver, 0); /* of the dense path, which is alone */
    driver_submit(driver, 0, &lease);
    return (struct dpc_tainted){lease.token.serial, lease.path, lease.round};
}

/* The outer step waits for room, and the sweep that would make some for the revoke. */
static void
a_revoke_ends_where_outer_steps_wait_for_room(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_server *server = bench.server;
    struct dpc_tainted *tainted = dpc_alloc(1, sizeof *tainted);
    *tainted = begin_outer_step(&bench);
    uint32_t module = bench.driver.folds[0].module;
    server->revokes = (struct dpc_revokes){.running = true,
                                           .settled = true,
                                           .barred = true,
                                           .module = module,
                                           .tainted_count = 1,
                                           .tainted = tainted};
    CU_ASSERT_TRUE(dpc_core_folds_tainted(server->core, module, tainted, 1));
    server_go_on_revoke(server);
    CU_ASSERT_TRUE(server->revokes.running);
    CU_ASSERT_TRUE(server_ran_out(server, DPC_ENOSPACE, "could not write a blob"));
    server_go_on_revoke(server);
    CU_ASSERT_FALSE(server->revokes.running);
    CU_ASSERT_EQUAL(server->revokes.code, DPC_ENOSPACE);
    server_drop_revoke(server);
    bench_done(&bench);
}

static void
reach(struct driver *driver, enum dpc_phase phase)
{
    for (int i = 0; i < 1000 && driver_phase(driver) != phase; i++) {
        const struct dpc_msg *reply = driver_ask(driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(driver, 0, &lease);
    }
    CU_ASSERT_EQUAL_FATAL(driver_phase(driver), phase);
}

/* It left the worker barred, and modules as they were. With room alone: no sweep makes any. */
static void
a_revoke_outlasts_new_routes(void)
{
    for (int settled = 0; settled < 2; settled++) {
        struct bench bench;
        struct dpc_error err;
        bench_init_with(&bench, phases_yaml);
        struct dpc_server *server = bench.server;
        driver_hello(&bench.driver, 0, (struct dpc_token){0});
        reach(&bench.driver, DPC_PHASE_TRAIN);
        reach(&bench.driver, DPC_PHASE_SCORE);
        CU_ASSERT_EQUAL(dpc_core_check_rollback(server->core, &err), DPC_EBUSY);
        server->revokes = (struct dpc_revokes){.running = true, .settled = settled, .barred = true};
        struct dpc_job *job = dpc_job_create(DPC_JOB_REFOLD, &server->world);
        job->refold.kind = settled ? DPC_REFOLD_MODULE : DPC_REFOLD_FIND;
        job->refold.touched = true;
        job->refold.tainted_count = !settled;
        job->refold.tainted = dpc_alloc(1, sizeof *job->refold.tainted);
        job->refold.refolded.version.parent = dpc_core_module(server->core, 0)->version;
        server_refolded(server, job);
        dpc_job_drop(job);
        server_go_on_revoke(server);
        CU_ASSERT_TRUE(server->revokes.running && !server->revokes.busy);
        reach(&bench.driver, DPC_PHASE_TRAIN);
        server_go_on_revoke(server);
        CU_ASSERT_TRUE(server->revokes.running && server->revokes.busy);
        server_drop_revoke(server);
        bench_done(&bench);
    }
}

/* A disk that is read as empty while the first sweep is under way would raise an alarm. */
static void
what_a_sweep_left_is_told_when_one_has_ended(void)
{
    struct bench bench;
    uint64_t bytes;
    bench_init(&bench);
    struct dpc_server *server = bench.server;
    server->sweeps.asked = true;
    server_sweep(server);
    CU_ASSERT_TRUE(server->sweeps.busy);
    CU_ASSERT_FALSE(server_kept_bytes(server, &bytes));
    struct dpc_job *failed = dpc_job_create(DPC_JOB_SWEEP, &server->world);
    failed->code = DPC_ENOSPACE;
    server_swept(server, failed);
    CU_ASSERT_FALSE(server_kept_bytes(server, &bytes));
    failed->code = DPC_OK;
    failed->swept.kept_bytes = 5;
    server_swept(server, failed);
    CU_ASSERT_TRUE(server_kept_bytes(server, &bytes));
    CU_ASSERT_EQUAL(bytes, 5);
    dpc_job_drop(failed);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"a revoke outlasts new routes", a_revoke_outlasts_new_routes},
    {"what a sweep left is told when one has ended", what_a_sweep_left_is_told_when_one_has_ended},
    {"a revoke ends where outer steps wait for room",
     a_revoke_ends_where_outer_steps_wait_for_room},
    {"what failed is told where the store has room", what_failed_is_told_where_the_store_has_room},
};

DPC_TEST_MAIN("coordinator/space", tests)
