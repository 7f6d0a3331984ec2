/* SPDX-License-Identifier: Apache-2.0
 * Versions computed again: those of an honest store come out as they are; a wrong weight in the
 * ledger, a flipped byte and what is not kept any more are told apart. tests/e2e/replay.sh shows it
 * on a run. */
#include "coordinator/versions/replay.h"

#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "storage/db/store_parts.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

#define YAML(outer, warm_start)                                                                    \
    TINY_2X2                                                                                       \
    "routing: {prefix: 4}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 3" outer "}\n"                                                                \
    "warm_start: {steps: 8" warm_start "}\n"

struct bench {
    struct driver driver;
    struct dpc_replay_source source;
    char folder[SCRATCH_PATH_MAX];
};

static void
bench_init_with(struct bench *bench, const char *yaml)
{
    struct driver *driver = &bench->driver;
    driver_start_with_store(driver, yaml, scratch_make(bench->folder));
    driver->store->inline_bytes_max = 0; /* each blob is a file, which takes a descriptor */
    bench->source = (struct dpc_replay_source){
        .records = {driver->kv, &driver->experiment, dpc_core_topology(driver->core)},
        .store = driver->store,
        .ops = dpc_ops_cpu(DPC_FP32),
    };
}

static void
bench_init(struct bench *bench)
{
    bench_init_with(bench, YAML("", ""));
}

static void
bench_done(struct bench *bench)
{
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

static struct dpc_replay_row
replay(const struct bench *bench, uint32_t module, uint32_t version)
{
    struct dpc_replay_row row = {.module = module, .version = version};
    dpc_replay_version(&bench->source, &row);
    return row;
}

/* How many versions come out as `verdict`, of all modules. */
static uint32_t
count(const struct bench *bench, enum dpc_replay_verdict verdict)
{
    const struct dpc_core *core = bench->driver.core;
    uint32_t found = 0;
    for (uint32_t module = 0; module < dpc_core_topology(core)->modules_count; module++) {
        for (uint32_t i = 0; i <= dpc_core_module(core, module)->version; i++)
            found += replay(bench, module, i).verdict == verdict;
    }
    return found;
}

static void
write_batch(struct bench *bench, struct dpc_kv_batch *batch)
{
    struct dpc_error err;
    struct dpc_kv *kv = bench->driver.kv;
    CU_ASSERT_EQUAL_FATAL(kv->ops->write(kv, batch, &err), DPC_OK);
    dpc_kv_batch_done(batch);
}

static void
check_all_versions(const char *yaml)
{
    struct bench bench;
    bench_init_with(&bench, yaml);
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 2));
    /* Four routed modules with versions 0 to 3, two dense ones with 0 to 5. */
    CU_ASSERT_EQUAL(count(&bench, DPC_REPLAY_OK), 4 * 4 + 2 * 5);
    CU_ASSERT_EQUAL(count(&bench, DPC_REPLAY_GIVEN), 2);
    CU_ASSERT_EQUAL(replay(&bench, 0, 2).contributions, 2);
    bench_done(&bench);
}

static void
every_version_comes_out_as_it_is(void)
{
    check_all_versions(YAML("", ""));
    check_all_versions(YAML(", rescale: none", ", init: noise, noise: 0.1"));
    check_all_versions(YAML(", rescale: rda", ", init: drop"));
}

/* Of modules that begin as no copies each has a content of its own, which follows from the dense
 * one alone. */
static void
another_beginning_is_found(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_version_record version;
    struct dpc_hash contents[4];
    bench_init_with(&bench, YAML("", ", init: drop"));
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 1));
    for (uint32_t module = 0; module < 4; module++) {
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench.driver.kv, module, 0, &version, &err), DPC_OK);
        contents[module] = version.master;
        for (uint32_t i = 0; i < module; i++)
            CU_ASSERT_FALSE(dpc_hash_equal(&contents[i], &contents[module]));
    }
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    version.master = version.published = contents[2];
    dpc_put_version(&batch, &version);
    write_batch(&bench, &batch);
    CU_ASSERT_EQUAL(replay(&bench, 2, 0).verdict, DPC_REPLAY_OK);
    CU_ASSERT_EQUAL(replay(&bench, 3, 0).verdict, DPC_REPLAY_DIFFERS);
    bench_done(&bench);
}

static void
a_rollback_is_held_against_its_parent(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_version_record version;
    bench_init(&bench);
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 1));
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench.driver.kv, 0, 1, &version, &err), DPC_OK);
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    version.version = 3;
    version.parent = 1;
    version.cause = DPC_CAUSE_ROLLBACK;
    dpc_put_version(&batch, &version);
    write_batch(&bench, &batch);
    CU_ASSERT_EQUAL(replay(&bench, 0, 3).verdict, DPC_REPLAY_OK);
    dpc_kv_batch_init(&batch);
    version.parent = 2;
    dpc_put_version(&batch, &version);
    write_batch(&bench, &batch);
    CU_ASSERT_EQUAL(replay(&bench, 0, 3).verdict, DPC_REPLAY_DIFFERS);
    bench_done(&bench);
}

/* The ledger of version 2 of module 0 says something else. */
static void
a_wrong_weight_in_the_ledger_is_found(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_version_record version;
    struct dpc_ledger_record record;
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    bench_init(&bench);
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 1));
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench.driver.kv, 0, 2, &version, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_load_ledger(bench.driver.kv, version.ledger, &record, &err), DPC_OK);
    record.entries[0].weight += 0.001;
    record.entries[1].weight -= 0.001;
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &record, &hash);
    dpc_free(record.entries);
    write_batch(&bench, &batch);
    struct dpc_replay_row row = replay(&bench, 0, 2);
    CU_ASSERT_EQUAL(row.verdict, DPC_REPLAY_DIFFERS);
    CU_ASSERT_PTR_NOT_NULL(strstr(row.text, "master"));
    CU_ASSERT_EQUAL(count(&bench, DPC_REPLAY_DIFFERS), 1);

    /* And the entry of another version is no entry of this one. */
    version.ledger++;
    dpc_kv_batch_init(&batch);
    dpc_put_version(&batch, &version);
    write_batch(&bench, &batch);
    CU_ASSERT_EQUAL(replay(&bench, 0, 2).verdict, DPC_REPLAY_DAMAGED);
    bench_done(&bench);
}

static bool
keep_none(void *context, const struct dpc_hash *hash)
{
    (void)context, (void)hash;
    return false;
}

static void
what_is_not_kept_is_told_as_such(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_swept swept;
    bench_init_with(&bench, YAML("", ", init: noise"));
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 1));
    CU_ASSERT_EQUAL_FATAL(dpc_store_sweep(bench.driver.store,
                                          dpc_store_touches(bench.driver.store) + 1, keep_none,
                                          NULL, &swept, &err),
                          DPC_OK);
    CU_ASSERT(swept.removed > 0);
    CU_ASSERT_EQUAL(replay(&bench, 0, 2).verdict, DPC_REPLAY_NOT_KEPT);
    CU_ASSERT_EQUAL(replay(&bench, 0, 0).verdict, DPC_REPLAY_NOT_KEPT);
    CU_ASSERT_STRING_EQUAL(replay(&bench, 0, 2).text, "");
    CU_ASSERT_EQUAL(count(&bench, DPC_REPLAY_DAMAGED), 0);
    CU_ASSERT_EQUAL(replay(&bench, 0, 99).verdict, DPC_REPLAY_DAMAGED);
    bench_done(&bench);
}

/* A process that had no descriptor left said that nothing was kept any more. */
static void
what_cannot_be_opened_now_is_not_told_as_gone(void)
{
    struct bench bench;
    struct rlimit limit, none;
    bench_init_with(&bench, YAML("", ""));
    CU_ASSERT_TRUE_FATAL(driver_finish(&bench.driver, 1));
    CU_ASSERT_EQUAL(replay(&bench, 0, 2).verdict, DPC_REPLAY_OK);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct dpc_replay_row row = replay(&bench, 0, 2);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(row.verdict, DPC_REPLAY_NOT_READ);
    CU_ASSERT_PTR_NOT_NULL(strstr(row.text, dpc_error_words(DPC_EFILES)));
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"what cannot be opened now is not told as gone",
     what_cannot_be_opened_now_is_not_told_as_gone},
    {"every version comes out as it is", every_version_comes_out_as_it_is},
    {"another beginning is found", another_beginning_is_found},
    {"a rollback is held against its parent", a_rollback_is_held_against_its_parent},
    {"a wrong weight in the ledger is found", a_wrong_weight_in_the_ledger_is_found},
    {"what is not kept is told as such", what_is_not_kept_is_told_as_such},
};
DPC_TEST_MAIN("coordinator/replay", tests)
