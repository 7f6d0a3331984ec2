/* SPDX-License-Identifier: Apache-2.0
 * Listings of experiments as large as they may be come in pages that fit into a message.
 * tests/e2e/listings.sh asks for all of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "coordinator/state.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

#define COMMON                                                                                     \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "warm_start: {steps: 8}\n"
static const char small[] = SMALL_2X2 COMMON;
/* 32,768 paths, each of which names a module of each level as waiting for it. */
static const char large[] = "experiment: test\n"
                            "data: {corpus: corpus}\n"
                            "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                            "levels:\n"
                            "  - {name: lower, parts: [embedding], modules: 16}\n"
                            "  - {name: middle, parts: [{blocks: 1}], modules: 16}\n"
                            "  - {name: upper, parts: [{blocks: 1}, head], modules: 128}\n" COMMON;

static struct dpc_error err;

static struct dpc_server *
make_server(struct driver *driver)
{
    struct dpc_server *server = dpc_alloc(1, sizeof *server);
    server->store = driver->store;
    server->experiment = driver->experiment;
    server->core = driver->core;
    return server;
}

/* One page of what a coordinator answers; where the next one begins into `place`. */
static struct dpc_json *
turn_page(struct dpc_server *server, const char *verb, char place[DPC_NAME_MAX])
{
    char after[DPC_NAME_MAX];
    struct dpc_json *root = NULL;
    struct dpc_buf out;
    (void)snprintf(after, sizeof after, "%s", place);
    struct dpc_msg_admin_request request = {.verb = verb, .argument = "", .after = after};
    place[0] = 0;
    dpc_buf_init(&out, DPC_ADMIN_BYTES_MAX / 2);
    int code = server_list(server, &request, &out, place, DPC_NAME_MAX, &err);
    if (code != DPC_OK)
        printf("\n    %s", err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse((const char *)out.data, out.len, &root, &err), DPC_OK);
    dpc_buf_done(&out);
    return root;
}

static void
put_entry(struct driver *driver, uint64_t sequence, uint32_t contributions)
{
    static struct dpc_hash head;
    struct dpc_kv_batch batch;
    struct dpc_phase_record phase = *dpc_core_phase(driver->core);
    struct dpc_ledger_entry *entries = dpc_alloc(contributions + 1u, sizeof *entries);
    struct dpc_ledger_record record = {.sequence = sequence,
                                       .version = 1,
                                       .previous = head,
                                       .entries = entries,
                                       .entries_count = contributions};
    for (uint32_t i = 0; i < contributions; i++)
        entries[i] = (struct dpc_ledger_entry){.lease = i + 1, .weight = 1.0f / 3};
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &record, &head);
    phase.ledger_next = sequence + 1;
    phase.ledger_head = head;
    dpc_put_phase(&batch, &phase);
    CU_ASSERT_EQUAL_FATAL(driver->kv->ops->write(driver->kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    dpc_free(entries);
}

/* Entries of the ledger: the first is large, many are bare, and then another large one comes. */
enum { LARGE = 5000, BARE = 3000, ENTRIES = 1 + BARE + 2 };

static uint32_t
contributions_of(uint64_t sequence)
{
    return sequence == 0 || sequence == BARE + 1 ? LARGE : sequence == BARE + 2 ? 2 : 0;
}

/* The rows of a page: one goes on where the last one of the page before ended. */
static void
follow(const struct dpc_json *rows, uint64_t *sequence, uint64_t *contributions)
{
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        const struct dpc_json *entries = dpc_json_get(row, "entries");
        uint64_t now = (uint64_t)dpc_json_integer(dpc_json_get(row, "sequence"), -1);
        CU_ASSERT(now == *sequence + 1 || (now == *sequence && i == 0));
        if (now != *sequence) {
            CU_ASSERT_EQUAL(*contributions, contributions_of(*sequence));
            *contributions = 0;
        }
        *sequence = now;
        for (size_t k = 0; k < dpc_json_count(entries); k++)
            CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(dpc_json_at(entries, k), "lease"), 0),
                            ++*contributions);
    }
}

/* An entry of more contributions than a page holds, and more bare ones than that, once were "the
 * page is too long" for every ledger that had them. */
static void
a_ledger_comes_in_pages(void)
{
    struct driver driver = {0};
    char place[DPC_NAME_MAX] = "", folder[SCRATCH_PATH_MAX];
    uint64_t contributions = 0, last = UINT64_MAX, pages = 0;
    driver_start_with_store(&driver, small, scratch_make(folder));
    struct dpc_server *server = make_server(&driver);
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_entry(&driver, i, contributions_of(i));
    do {
        struct dpc_json *root = turn_page(server, "ledger", place);
        follow(dpc_json_get(root, "ledger"), &last, &contributions);
        dpc_json_destroy(root);
        pages++;
    } while (place[0] && pages < 100);
    CU_ASSERT_EQUAL(last, BARE + 2);
    CU_ASSERT_EQUAL(contributions, 2);
    CU_ASSERT(pages < 20);
    dpc_free(server);
    driver_stop(&driver);
    scratch_remove(folder);
}

enum { VERSIONS = 700 };

static void
put_versions(struct driver *driver, uint32_t module)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    for (uint32_t version = 0; version < VERSIONS; version++) {
        struct dpc_version_record record = {
            .module = module, .version = version, .cause = DPC_CAUSE_OUTER_STEP};
        dpc_put_version(&batch, &record);
    }
    CU_ASSERT_EQUAL_FATAL(driver->kv->ops->write(driver->kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
}

struct counted {
    bool (*visit)(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                  size_t value_len);
    void *context;
};
static const struct dpc_kv_ops *counted_ops;
static uint32_t records_read;

static bool
count_record(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
             size_t value_len)
{
    const struct counted *counted = context;
    records_read++;
    return counted->visit(counted->context, key, key_len, value, value_len);
}

static int
count_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
           const void *after, size_t after_len,
           bool (*visit)(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                         size_t value_len),
           void *context, struct dpc_error *fault)
{
    struct counted counted = {visit, context};
    return counted_ops->scan(kv, family, prefix, prefix_len, after, after_len, count_record,
                             &counted, fault);
}

/* All versions of a module, or of all; no page reads much more than it tells. */
static uint32_t
list_all_versions(struct dpc_server *server, const char *module)
{
    struct server_place next = {0};
    uint32_t count = 0;
    int64_t last = -1;
    do {
        struct server_question question = {.verb = "versions", .argument = module, .after = next};
        struct dpc_json *root;
        records_read = 0;
        CU_ASSERT_EQUAL_FATAL(server_tell(server, &question, &root, &next, &err), DPC_OK);
        const struct dpc_json *rows = dpc_json_get(root, "versions");
        CU_ASSERT(records_read <= dpc_json_count(rows) + 1);
        for (size_t i = 0; i < dpc_json_count(rows); i++, count++) {
            const struct dpc_json *row = dpc_json_at(rows, i);
            int64_t version = dpc_json_integer(dpc_json_get(row, "version"), -1);
            CU_ASSERT(version == last + 1 || (version == 0 && last + 1 == VERSIONS) ||
                      count > 4 * VERSIONS);
            last = version;
        }
        dpc_json_destroy(root);
    } while (next.row || next.entry);
    return count;
}

/* Each page once read all versions of all modules before its own. */
static void
versions_come_in_pages_that_read_their_rows_alone(void)
{
    struct driver driver = {0};
    char folder[SCRATCH_PATH_MAX];
    driver_start_with_store(&driver, small, scratch_make(folder));
    struct dpc_server *server = make_server(&driver);
    for (uint32_t module = 0; module < 4; module++)
        put_versions(&driver, module);
    struct dpc_kv_ops ops = *driver.kv->ops;
    counted_ops = driver.kv->ops;
    ops.scan = count_scan;
    driver.kv->ops = &ops;
    CU_ASSERT_EQUAL(list_all_versions(server, ""), 4 * VERSIONS + 2); /* dense */
    CU_ASSERT_EQUAL(list_all_versions(server, "upper.1"), VERSIONS);
    driver.kv->ops = counted_ops;
    dpc_free(server);
    driver_stop(&driver);
    scratch_remove(folder);
}

static void
modules_that_wait_for_many_come_in_pages(void)
{
    struct driver driver = {0};
    char place[DPC_NAME_MAX] = "";
    size_t modules = 0;
    driver_start_training(&driver, large);
    struct dpc_server *server = make_server(&driver);
    do {
        struct dpc_json *root = turn_page(server, "modules", place);
        const struct dpc_json *rows = dpc_json_get(root, "modules");
        for (size_t i = 0; i < dpc_json_count(rows); i++) {
            const struct dpc_json *row = dpc_json_at(rows, i);
            int64_t paths = dpc_json_integer(dpc_json_get(row, "paths"), 0);
            CU_ASSERT(paths == 1 ||
                      dpc_json_integer(dpc_json_get(row, "pending_count"), 0) == paths);
        }
        modules += dpc_json_count(rows);
        dpc_json_destroy(root);
    } while (place[0]);
    CU_ASSERT_EQUAL(modules, 16 + 16 + 128 + 3);
    dpc_free(server);
    driver_stop(&driver);
}

/* For how long worker 0 is told to have been silent; -1: nobody knows. */
static int64_t
told_silent(struct driver *driver)
{
    char place[DPC_NAME_MAX] = "";
    struct dpc_server *server = make_server(driver);
    struct dpc_json *root = turn_page(server, "workers", place);
    const struct dpc_json *row = dpc_json_at(dpc_json_get(root, "workers"), 0);
    CU_ASSERT_PTR_NOT_NULL(row);
    int64_t silent_ms = dpc_json_integer(dpc_json_get(row, "silent_ms"), -1);
    dpc_json_destroy(root);
    dpc_free(server);
    return silent_ms;
}

/* It once was for as long as the machine had been up. */
static void
a_restart_knows_of_no_silence(void)
{
    struct driver driver = {0};
    driver_start_training(&driver, small);
    CU_ASSERT(told_silent(&driver) >= 0);
    driver_crash(&driver);
    CU_ASSERT_EQUAL(told_silent(&driver), -1);
    (void)driver_hello(&driver, 0, (struct dpc_token){0});
    CU_ASSERT(told_silent(&driver) >= 0);
    driver_stop(&driver);
}

/* "There is no listing", it was told, and after that of which name was nearest to the one asked
 * for: whatever a dipacoctl of a later release wanted. */
static void
what_a_later_release_asks_is_told_so(void)
{
    struct driver driver = {0};
    struct dpc_buf out;
    char place[DPC_NAME_MAX] = "";
    driver_start_training(&driver, small);
    struct dpc_server *server = make_server(&driver);
    struct dpc_msg_admin_request request = {.verb = "of-later", .argument = "", .after = ""};
    dpc_buf_init(&out, DPC_ADMIN_BYTES_MAX / 2);
    CU_ASSERT_EQUAL(server_list(server, &request, &out, place, sizeof place, &err), DPC_EVERSION);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "release has no \"of-later\""));
    dpc_buf_done(&out);
    dpc_free(server);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"what a later release asks is told so", what_a_later_release_asks_is_told_so},
    {"a ledger comes in pages", a_ledger_comes_in_pages},
    {"versions come in pages that read their rows alone",
     versions_come_in_pages_that_read_their_rows_alone},
    {"modules that wait for many come in pages", modules_that_wait_for_many_come_in_pages},
    {"a restart knows of no silence", a_restart_knows_of_no_silence},
};

DPC_TEST_MAIN("coordinator/admin", tests)
