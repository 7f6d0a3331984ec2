/* SPDX-License-Identifier: Apache-2.0
 * What one job of the scrubber reads, and what it says of blobs that are damaged or gone.
 * tests/e2e/scrub.sh shows the daemon telling it. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "coordinator/core/keep.h"
#include "coordinator/jobs.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/blob_file.h"
#include "tests/unit/storage/scratch.h"

/* Wide enough for modules that stand in files. */
static const char yaml[] = "experiment: test\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 64, heads: 2, ffn: 172, context: 32}\n"
                           "levels:\n"
                           "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n"
                           "routing: {prefix: 8}\n"
                           "inner: {steps: 4, batch: 2}\n"
                           "outer: {rounds: 6}\n"
                           "warm_start: {steps: 8}\n";

struct bench {
    struct driver driver;
    struct dpc_keep *keep;
    char folder[SCRATCH_PATH_MAX];
};

/* An experiment that has just begun: all that it names is there. */
static void
bench_init(struct bench *bench)
{
    static const char *const contents[] = {"corpus", "tokenizer", "prefixes",
                                           "train",  "test",      "early stop"};
    struct dpc_hash hash;
    struct dpc_error err;
    memset(bench, 0, sizeof *bench);
    driver_start_with_store(&bench->driver, yaml, scratch_make(bench->folder));
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++)
        CU_ASSERT_EQUAL_FATAL(
            dpc_store_blob_put(bench->driver.store, contents[i], strlen(contents[i]), &hash, &err),
            DPC_OK);
    bench->keep = dpc_keep_create(bench->driver.core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(bench->keep, bench->driver.kv, &err), DPC_OK);
    CU_ASSERT_FATAL(dpc_keep_count(bench->keep) >= 4);
}

static void
bench_done(struct bench *bench)
{
    dpc_keep_destroy(bench->keep);
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

/* One whole pass, damage and all; the last blob that was bad into `ret_bad`. Returns how many. */
static uint32_t
pass(struct bench *bench, int *ret_code, struct dpc_hash *ret_bad)
{
    struct dpc_error err;
    uint32_t bad = 0;
    size_t next = 0;
    while (next < dpc_keep_count(bench->keep)) {
        struct dpc_scrub_task task = {.keep = bench->keep, .first = next};
        dpc_scrub_run(bench->driver.store, &task, &err);
        CU_ASSERT_FATAL(task.next > next);
        next = task.next;
        if (task.code != DPC_OK) {
            bad++;
            *ret_code = task.code;
            *ret_bad = task.blob;
        }
    }
    return bad;
}

/* The first of what is kept that stands in a file. */
static struct dpc_hash
one_in_a_file(const struct bench *bench)
{
    char path[BLOB_FILE_PATH_MAX];
    for (size_t i = 0; i < dpc_keep_count(bench->keep); i++) {
        blob_file(bench->folder, dpc_keep_at(bench->keep, i), path);
        if (dpc_vfs_exists(&dpc_vfs_posix, path))
            return *dpc_keep_at(bench->keep, i);
    }
    CU_FAIL_FATAL("nothing stands in a file");
    return (struct dpc_hash){0};
}

static void
what_is_sound_passes(void)
{
    struct bench bench;
    struct dpc_hash bad;
    int code = DPC_OK;
    bench_init(&bench);
    CU_ASSERT_EQUAL(pass(&bench, &code, &bad), 0);
    bench_done(&bench);
}

static void
one_flipped_bit_is_found_and_named(void)
{
    struct bench bench;
    struct dpc_hash bad;
    char path[BLOB_FILE_PATH_MAX];
    int code = DPC_OK;
    bench_init(&bench);
    struct dpc_hash victim = one_in_a_file(&bench);
    blob_file(bench.folder, &victim, path);
    blob_file_flip(path, 1000);
    CU_ASSERT_EQUAL(pass(&bench, &code, &bad), 1);
    CU_ASSERT_EQUAL(code, DPC_ECORRUPT);
    CU_ASSERT(dpc_hash_equal(&bad, &victim));
    bench_done(&bench);
}

static void
what_is_gone_is_told_and_the_pass_goes_on(void)
{
    struct bench bench;
    struct dpc_hash bad;
    char path[BLOB_FILE_PATH_MAX];
    int code = DPC_OK;
    bench_init(&bench);
    struct dpc_hash victim = one_in_a_file(&bench);
    blob_file(bench.folder, &victim, path);
    CU_ASSERT_EQUAL(remove(path), 0);
    CU_ASSERT_EQUAL(pass(&bench, &code, &bad), 1);
    CU_ASSERT_EQUAL(code, DPC_ENOTFOUND);
    CU_ASSERT(dpc_hash_equal(&bad, &victim));
    bench_done(&bench);
}

/* A process that had no descriptor left told of damage on its disk. */
static void
want_of_descriptors_is_no_damage(void)
{
    struct bench bench;
    struct rlimit limit, none;
    struct dpc_error err;
    struct dpc_hash bad;
    int code = DPC_OK;
    bench_init(&bench);
    struct dpc_hash in_file = one_in_a_file(&bench);
    struct dpc_scrub_task task = {.keep = bench.keep};
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    dpc_scrub_run(bench.driver.store, &task, &err);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_TRUE(task.lacks);
    CU_ASSERT_EQUAL(task.code, DPC_OK);
    CU_ASSERT_FATAL(task.next < dpc_keep_count(bench.keep));
    CU_ASSERT(dpc_hash_compare(dpc_keep_at(bench.keep, task.next), &in_file) <= 0);
    CU_ASSERT_EQUAL(pass(&bench, &code, &bad), 0);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"want of descriptors is no damage", want_of_descriptors_is_no_damage},
    {"what is sound passes", what_is_sound_passes},
    {"one flipped bit is found and named", one_flipped_bit_is_found_and_named},
    {"what is gone is told, and the pass goes on", what_is_gone_is_told_and_the_pass_goes_on},
};

DPC_TEST_MAIN("coordinator/scrub", tests)
