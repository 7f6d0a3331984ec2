/* SPDX-License-Identifier: Apache-2.0
 *
 * A fork of what a core's driver has come to, for tests of forks: over records in memory, with
 * blobs that are names; what the source's sweep keeps is there.
 *
 * Owns: what a fork holds, until drop. Threads: one.
 */
#ifndef DPC_TESTS_UNIT_COORDINATOR_FORK_RIG_H
#define DPC_TESTS_UNIT_COORDINATOR_FORK_RIG_H

#include <string.h>

#include "coordinator/core/keep.h"
#include "coordinator/fork/fork.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

#define YAML(rounds, outer, more)                                                                  \
    SMALL_2X2                                                                                      \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "warm_start: {steps: 8, replicas: 2}\n"                                                        \
    "keep_rounds: 2\n"                                                                             \
    "outer: {rounds: " rounds outer "}\n" more
#define ROUTING "routing: {prefix: 8}\n"
static const char yaml[] = YAML("6", "", ROUTING);

static inline int
size_of(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    *ret_bytes = 64;
    return dpc_keep_holds(context, hash) ? DPC_OK : DPC_ENOTFOUND;
}

/* A database that counts how often it is scanned. */
struct counting_kv {
    struct dpc_kv kv;
    struct dpc_kv *below;
    uint32_t scans;
};

static inline int
counting_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
             uint8_t **ret_value, size_t *ret_len, struct dpc_error *err)
{
    struct dpc_kv *below = ((struct counting_kv *)kv)->below;
    return below->ops->get(below, family, key, key_len, ret_value, ret_len, err);
}

static inline int
counting_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
              const void *after, size_t after_len,
              bool (*visit)(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                            size_t value_len),
              void *context, struct dpc_error *err)
{
    struct counting_kv *counting = (struct counting_kv *)kv;
    struct dpc_kv *below = counting->below;
    counting->scans++;
    return below->ops->scan(below, family, prefix, prefix_len, after, after_len, visit, context,
                            err);
}

static const struct dpc_kv_ops counting_ops = {.get = counting_get, .scan = counting_scan};

struct fork {
    struct driver driver;
    uint32_t scans; /* of the source's database */
    struct dpc_forked forked;
    struct dpc_error err;
    char folder[SCRATCH_PATH_MAX];
};

static inline int
make(struct driver *source, uint32_t round, const char *text, struct fork *fork)
{
    struct driver *driver = &fork->driver;
    memset(fork, 0, sizeof *fork);
    dpc_actions_init(&driver->actions);
    driver->now_ms = 1000;
    driver->numeric_class = "test";
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("fork", text, strlen(text), &driver->experiment, &fork->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&driver->kv), DPC_OK);
    scratch_make(fork->folder);
    struct dpc_store *to;
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(&dpc_vfs_posix, fork->folder, &driver->blobs, &fork->err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(driver->kv, driver->blobs, &to, &fork->err), DPC_OK);
    struct dpc_keep *keep = dpc_keep_create(source->core);
    CU_ASSERT_EQUAL_FATAL(dpc_keep_history(keep, source->kv, &fork->err), DPC_OK);
    struct counting_kv counting = {.kv = {&counting_ops}, .below = source->kv};
    struct dpc_fork_source from = {&counting.kv, size_of, keep};
    int code = dpc_fork_records(&from, round, &driver->experiment, to, &fork->forked, &fork->err);
    fork->scans = counting.scans;
    dpc_keep_destroy(keep);
    dpc_store_close(to);
    if (code == DPC_OK)
        driver_crash(driver); /* a core of these records */
    return code;
}

static inline void
drop(struct fork *fork)
{
    driver_stop(&fork->driver);
    scratch_remove(fork->folder);
}

/* A store holds its experiment only where a server put it. */
static inline void
start(struct driver *driver, const char *text)
{
    struct dpc_error err;
    struct dpc_kv_batch batch;
    struct dpc_store_record record = {.schema = DPC_SCHEMA_VERSION, .incarnation = 77};
    driver_start(driver, text);
    dpc_kv_batch_init(&batch);
    dpc_put_store(&batch, &record);
    dpc_put_experiment(&batch, text, strlen(text));
    CU_ASSERT_EQUAL(driver->kv->ops->write(driver->kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
}

static inline uint32_t
least_round(const struct driver *driver)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < dpc_core_topology(driver->core)->routed_modules; i++) {
        const struct dpc_module_record *module = dpc_core_module(driver->core, i);
        uint32_t round = module ? dpc_module_round(module) : 0;
        least = round < least ? round : least;
    }
    return least;
}

/* One worker, until so many rounds are over everywhere. */
static inline void
run_to(struct driver *driver, uint32_t round)
{
    driver_hello(driver, 0, (struct dpc_token){0});
    for (int i = 0; i < 1000 && least_round(driver) < round; i++) {
        driver->now_ms += 10;
        const struct dpc_msg *reply = driver_ask(driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(driver, 0, &lease);
    }
    CU_ASSERT(least_round(driver) >= round);
}

#endif
