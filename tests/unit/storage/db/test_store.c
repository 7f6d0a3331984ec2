/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/db/store.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"
#include "tests/unit/storage/scratch.h"

static char folder[SCRATCH_PATH_MAX], path[SCRATCH_PATH_MAX + 32];
static struct dpc_store *store;
static struct dpc_error err;
static uint8_t bytes[DPC_BLOB_INLINE_MAX + 1];

static const char *
in_store(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/store/%s", folder, name);
    return path;
}

static int
try_open(enum dpc_kv_open_mode mode)
{
    char name[sizeof path];
    (void)snprintf(name, sizeof name, "%s/store", folder);
    return dpc_store_open(name, mode, &store, &err);
}

static void
open_store(enum dpc_kv_open_mode mode)
{
    CU_ASSERT_EQUAL_FATAL(try_open(mode), DPC_OK);
}

static void
set_up(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 13 + i / 256);
    scratch_make(folder);
    open_store(DPC_KV_READ_WRITE);
}

static void
tear_down(void)
{
    store = dpc_store_close(store);
    scratch_remove(folder);
}

static void
open_again(void)
{
    store = dpc_store_close(store);
    open_store(DPC_KV_READ_WRITE);
}

static int
commit_module(uint32_t module, uint32_t version)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_put_module(&batch, &(struct dpc_module_record){.module = module, .version = version});
    int code = dpc_store_commit(store, &batch, &err);
    dpc_kv_batch_done(&batch);
    return code;
}

static bool
sum_versions(void *context, const struct dpc_module_record *record)
{
    *(uint32_t *)context += record->version;
    return true;
}

static uint32_t
sum_of_versions(void)
{
    uint32_t sum = 0;
    CU_ASSERT_EQUAL(dpc_scan_modules(dpc_store_kv(store), sum_versions, &sum, &err), DPC_OK);
    return sum;
}

/* --- Opening. */

static void
a_new_store_has_an_incarnation_that_stays(void)
{
    set_up();
    uint64_t incarnation = dpc_store_incarnation(store);
    CU_ASSERT_NOT_EQUAL(incarnation, 0);
    CU_ASSERT_EQUAL(commit_module(1, 5), DPC_OK);
    open_again();
    CU_ASSERT_EQUAL(dpc_store_incarnation(store), incarnation);
    CU_ASSERT_EQUAL(sum_of_versions(), 5);
    tear_down();
}

static void
an_empty_batch_costs_nothing(void)
{
    struct dpc_kv_batch batch;
    set_up();
    dpc_kv_batch_init(&batch);
    CU_ASSERT_EQUAL(dpc_store_commit(store, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    tear_down();
}

static void
write_schema(uint32_t schema)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_put_store(&batch, &(struct dpc_store_record){.schema = schema, .incarnation = 7});
    CU_ASSERT_EQUAL(dpc_store_commit(store, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    store = dpc_store_close(store);
}

static void
a_newer_schema_is_refused(void)
{
    char expected[DPC_ERROR_TEXT_MAX];
    set_up();
    write_schema(3);
    (void)snprintf(expected, sizeof expected,
                   "could not open store \"%s/store\": it was written by a newer version (schema "
                   "3, this program knows 1): install a newer dipaco",
                   folder);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_EVERSION);
    CU_ASSERT_STRING_EQUAL(err.text, expected);
    CU_ASSERT_EQUAL(err.code, DPC_EVERSION);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_ONLY), DPC_EVERSION);
    tear_down();
    set_up();
    write_schema(0);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_ECORRUPT);
    tear_down();
}

static void
records_without_a_schema_are_refused(void)
{
    struct dpc_kv_batch batch;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_module(&batch, &(struct dpc_module_record){.module = 1});
    dpc_kv_batch_remove(&batch, DPC_KV_STATE, "S", 1);
    CU_ASSERT_EQUAL(dpc_store_commit(store, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    store = dpc_store_close(store);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not say of which schema"));
    tear_down();
}

static void
a_second_coordinator_is_refused(void)
{
    struct dpc_store *first;
    set_up();
    first = store;
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not open store \""));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "stop that one first"));
    store = first;
    CU_ASSERT_EQUAL(commit_module(1, 1), DPC_OK);
    tear_down();
}

static void
a_tool_reads_while_the_coordinator_writes(void)
{
    struct dpc_store *writer;
    struct dpc_hash small, large, hash;
    uint8_t *loaded;
    size_t len;
    struct dpc_swept swept;
    set_up();
    writer = store;
    CU_ASSERT_EQUAL(commit_module(1, 5), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 100, &small, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizeof bytes, &large, &err), DPC_OK);
    open_store(DPC_KV_READ_ONLY);
    CU_ASSERT_EQUAL(dpc_store_incarnation(store), dpc_store_incarnation(writer));
    CU_ASSERT_EQUAL(sum_of_versions(), 5);
    CU_ASSERT_EQUAL(dpc_store_blob_load(store, &small, &loaded, &len, &err), DPC_OK);
    dpc_free(loaded);
    CU_ASSERT_EQUAL(dpc_store_blob_load(store, &large, &loaded, &len, &err), DPC_OK);
    dpc_free(loaded);
    CU_ASSERT_EQUAL(commit_module(1, 6), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 99, &hash, &err), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes + 1, sizeof bytes - 1, &hash, &err), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_store_sweep(store, 0, NULL, NULL, &swept, &err), DPC_EPERM);
    dpc_store_close(store);
    store = writer;
    CU_ASSERT_EQUAL(commit_module(1, 7), DPC_OK);
    tear_down();
}

static void
a_missing_store_cannot_be_read(void)
{
    scratch_make(folder);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_ONLY), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not open store \""));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "there is no database in"));
    CU_ASSERT_NOT_EQUAL(access(in_store(""), F_OK), 0);
    scratch_remove(folder);
    CU_ASSERT_PTR_NULL(dpc_store_close(NULL));
}

static void
a_file_in_the_way_is_an_error(void)
{
    scratch_make(folder);
    in_store("");
    path[strlen(path) - 1] = 0;
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fclose(file), 0);
    CU_ASSERT_NOT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not make folder"));
    scratch_remove(folder);
}

/* --- Blobs. */

static bool
is_whole(const struct dpc_hash *hash, size_t expected)
{
    uint8_t *loaded;
    size_t len;
    uint64_t size;
    if (dpc_store_blob_load(store, hash, &loaded, &len, &err) != DPC_OK)
        return false;
    bool same = len == expected && memcmp(loaded, bytes, len) == 0;
    dpc_free(loaded);
    return same && dpc_store_blob_size(store, hash, &size) == DPC_OK && size == expected;
}

static bool
has_file(const struct dpc_hash *hash)
{
    char name[128], hex[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, hex, sizeof hex);
    (void)snprintf(name, sizeof name, "blobs/%.2s/%s", hex, hex);
    return access(in_store(name), F_OK) == 0;
}

static void
small_blobs_stand_in_the_database(void)
{
    static const size_t sizes[] = {0, 1, DPC_BLOB_INLINE_MAX, DPC_BLOB_INLINE_MAX + 1};
    struct dpc_hash hashes[4];
    uint8_t part[1];
    set_up();
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizes[i], &hashes[i], &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizes[i], &hashes[i], &err), DPC_OK);
        CU_ASSERT_EQUAL(has_file(&hashes[i]), sizes[i] > DPC_BLOB_INLINE_MAX);
    }
    open_again();
    for (int i = 0; i < 4; i++) {
        CU_ASSERT(is_whole(&hashes[i], sizes[i]));
        CU_ASSERT_EQUAL(dpc_store_blob_read(store, &hashes[i], sizes[i], part, 0), DPC_OK);
        CU_ASSERT_EQUAL(dpc_store_blob_read(store, &hashes[i], sizes[i], part, 1), DPC_ERANGE);
        if (sizes[i]) {
            CU_ASSERT_EQUAL(dpc_store_blob_read(store, &hashes[i], sizes[i] - 1, part, 1), DPC_OK);
            CU_ASSERT_EQUAL(part[0], bytes[sizes[i] - 1]);
        }
    }
    tear_down();
}

static void
what_is_named_and_gone_is_damage(void)
{
    static const size_t sizes[] = {500, DPC_BLOB_INLINE_MAX + 1};
    set_up();
    for (int i = 0; i < 2; i++) {
        struct dpc_hash name;
        uint8_t *loaded;
        size_t len;
        dpc_hash_of(bytes, sizes[i], &name);
        CU_ASSERT_EQUAL(dpc_store_blob_load(store, &name, &loaded, &len, &err), DPC_ENOTFOUND);
        CU_ASSERT_EQUAL(dpc_store_blob_load_named(store, &name, &loaded, &len, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is gone: put its file back from a backup"));
        CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizes[i], &name, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load_named(store, &name, &loaded, &len, &err), DPC_OK);
        CU_ASSERT_EQUAL(len, sizes[i]);
        dpc_free(loaded);
    }
    tear_down();
}

static void
pieces_make_blobs_of_either_kind(void)
{
    static const size_t sizes[] = {0, 500, DPC_BLOB_INLINE_MAX, DPC_BLOB_INLINE_MAX + 1};
    set_up();
    for (int i = 0; i < 4; i++) {
        struct dpc_hash name;
        uint64_t size;
        size_t half = sizes[i] / 2;
        dpc_hash_of(bytes, sizes[i], &name);
        CU_ASSERT_EQUAL(dpc_store_blob_finish(store, &name, &err), DPC_ENOTFOUND);
        CU_ASSERT_EQUAL(dpc_store_blob_append(store, &name, 0, bytes, half, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_store_blob_size(store, &name, &size), DPC_ENOTFOUND);
        open_again();
        CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &name), half);
        CU_ASSERT_EQUAL(
            dpc_store_blob_append(store, &name, half, bytes + half, sizes[i] - half, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_store_blob_finish(store, &name, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_store_blob_finish(store, &name, &err), DPC_OK);
        CU_ASSERT_EQUAL(has_file(&name), sizes[i] > DPC_BLOB_INLINE_MAX);
        CU_ASSERT(is_whole(&name, sizes[i]));
    }
    tear_down();
}

/* In pieces, and its beginning once more at the end. */
static struct dpc_store_draft *
begin_draft(size_t size, size_t piece)
{
    static const uint8_t blank[sizeof bytes];
    struct dpc_store_draft *draft = dpc_store_draft_create(store);
    for (size_t at = 0; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        CU_ASSERT_EQUAL(dpc_store_draft_write(draft, at ? bytes + at : blank, len, at, &err),
                        DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_store_draft_write(draft, bytes, size < piece ? size : piece, 0, &err),
                    DPC_OK);
    return draft;
}

static bool
has_draft_file(void)
{
    return access(in_store("blobs/partial/draft.0.new"), F_OK) == 0;
}

static void
drafts_make_blobs_of_either_kind(void)
{
    static const size_t sizes[] = {0, 1, 500, DPC_BLOB_INLINE_MAX, DPC_BLOB_INLINE_MAX + 1};
    set_up();
    for (int i = 0; i < 5; i++) {
        struct dpc_hash name, hash;
        uint64_t size;
        dpc_hash_of(bytes, sizes[i], &name);
        struct dpc_store_draft *draft = begin_draft(sizes[i], 300);
        CU_ASSERT_EQUAL(has_draft_file(), sizes[i] > DPC_BLOB_INLINE_MAX);
        CU_ASSERT_EQUAL(dpc_store_blob_size(store, &name, &size), DPC_ENOTFOUND);
        CU_ASSERT_EQUAL_FATAL(dpc_store_draft_put(draft, &hash, &size, &err), DPC_OK);
        dpc_store_draft_destroy(draft);
        CU_ASSERT(dpc_hash_equal(&hash, &name));
        CU_ASSERT_EQUAL(size, sizes[i]);
        CU_ASSERT_EQUAL(has_file(&name), sizes[i] > DPC_BLOB_INLINE_MAX);
        CU_ASSERT(is_whole(&name, sizes[i]));
        CU_ASSERT_FALSE(has_draft_file());
    }
    tear_down();
}

/* Given up, and cut off. */
static void
drafts_that_are_not_put_leave_nothing(void)
{
    set_up();
    struct dpc_store_draft *draft = begin_draft(sizeof bytes, sizeof bytes);
    CU_ASSERT_TRUE(has_draft_file());
    dpc_store_draft_destroy(draft);
    CU_ASSERT_FALSE(has_draft_file());
    FILE *file = fopen(in_store("blobs/partial/draft.0.new"), "w"); /* of a dead run */
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fclose(file), 0);
    open_again();
    CU_ASSERT_FALSE(has_draft_file());
    CU_ASSERT_PTR_NULL(dpc_store_draft_destroy(NULL));
    tear_down();
}

static void
pieces_of_something_else_are_dropped(void)
{
    struct dpc_hash name;
    set_up();
    dpc_hash_of(bytes, 500, &name);
    CU_ASSERT_EQUAL(dpc_store_blob_append(store, &name, 0, bytes, 499, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_finish(store, &name, &err), DPC_EHASH);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &name), 0);
    tear_down();
}

static void
a_damaged_blob_file_is_named(void)
{
    struct dpc_hash hash;
    char name[128], hex[DPC_HASH_HEX_MAX];
    uint8_t *loaded;
    size_t len;
    uint64_t size = 0;
    set_up();
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizeof bytes, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_verify(store, &hash, &size, &err), DPC_OK);
    CU_ASSERT_EQUAL(size, sizeof bytes);
    dpc_hash_hex(&hash, hex, sizeof hex);
    (void)snprintf(name, sizeof name, "blobs/%.2s/%s", hex, hex);
    FILE *file = fopen(in_store(name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_NOT_EQUAL(fputc(bytes[0] ^ 1, file), EOF);
    CU_ASSERT_EQUAL(fclose(file), 0);
    CU_ASSERT_EQUAL(dpc_store_blob_load(store, &hash, &loaded, &len, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
    err.text[0] = 0;
    CU_ASSERT_EQUAL(dpc_store_blob_verify(store, &hash, &size, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
    tear_down();
}

static bool
keep_one(void *context, const struct dpc_hash *hash)
{
    const struct dpc_hash *kept = context;
    return dpc_hash_equal(hash, &kept[0]) || dpc_hash_equal(hash, &kept[1]);
}

/* Up to now, so that nothing is spared for having been touched. */
static int
sweep(const struct dpc_hash kept[2], struct dpc_swept *ret_swept)
{
    return dpc_store_sweep(store, dpc_store_touches(store), keep_one, (void *)(uintptr_t)kept,
                           ret_swept, &err);
}

static void
a_sweep_removes_what_nobody_keeps(void)
{
    struct dpc_hash kept[2], gone[3], partial;
    struct dpc_swept swept;
    uint64_t size;
    set_up();
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 10, &kept[0], &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizeof bytes, &kept[1], &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 20, &gone[0], &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 30, &gone[1], &err), DPC_OK);
    bytes[0] ^= 1;
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizeof bytes, &gone[2], &err), DPC_OK);
    bytes[0] ^= 1;
    dpc_hash_of(bytes, 40, &partial);
    CU_ASSERT_EQUAL(dpc_store_blob_append(store, &partial, 0, bytes, 35, &err), DPC_OK);
    CU_ASSERT_EQUAL(sweep(kept, &swept), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed, 3);
    CU_ASSERT_EQUAL(swept.removed_bytes, 20 + 30 + sizeof bytes);
    CU_ASSERT_EQUAL(swept.kept, 2);
    CU_ASSERT_EQUAL(swept.kept_bytes, 10 + sizeof bytes);
    CU_ASSERT_EQUAL(swept.partials, 1);
    CU_ASSERT(is_whole(&kept[0], 10));
    CU_ASSERT(is_whole(&kept[1], sizeof bytes));
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(dpc_store_blob_size(store, &gone[i], &size), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &partial), 0);
    CU_ASSERT_EQUAL(sweep(kept, &swept), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed + swept.partials, 0);
    CU_ASSERT_EQUAL(dpc_store_free_bytes(store, &size), DPC_OK);
    CU_ASSERT(size > 0);
    tear_down();
}

/* A commit may name these any moment: put anew, put again, asked for, under way. */
static void
a_sweep_spares_what_was_touched_behind_its_horizon(void)
{
    static const size_t sizes[] = {10, sizeof bytes, 30};
    struct dpc_hash old[3], fresh, partial, none[2] = {{{1}}, {{1}}};
    struct dpc_swept swept;
    uint64_t size;
    set_up();
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizes[i], &old[i], &err), DPC_OK);
    uint64_t horizon = dpc_store_touches(store);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 20, &fresh, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 10, &old[0], &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_size(store, &old[1], &size), DPC_OK);
    dpc_hash_of(bytes, 40, &partial);
    CU_ASSERT_EQUAL(dpc_store_blob_append(store, &partial, 0, bytes, 35, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_sweep(store, horizon, keep_one, none, &swept, &err), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed, 1);
    CU_ASSERT_EQUAL(swept.kept, 3);
    CU_ASSERT_EQUAL(swept.partials, 0);
    CU_ASSERT(is_whole(&fresh, 20));
    CU_ASSERT(is_whole(&old[0], 10));
    CU_ASSERT(is_whole(&old[1], sizeof bytes));
    CU_ASSERT_EQUAL(dpc_store_blob_size(store, &old[2], &size), DPC_ENOTFOUND);
    /* A new process has touched nothing. */
    open_again();
    CU_ASSERT_EQUAL(dpc_store_sweep(store, 0, keep_one, none, &swept, &err), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed, 3);
    CU_ASSERT_EQUAL(swept.partials, 1);
    tear_down();
}

/* Of names that a peer makes up the store remembers nothing. What is under way is spared as before.
 */
static void
what_is_not_here_is_not_touched(void)
{
    struct dpc_hash made_up = {{0}}, hash, none[2] = {{{1}}, {{1}}};
    struct dpc_swept swept;
    uint64_t size;
    set_up();
    uint64_t before = dpc_store_touches(store);
    for (uint32_t i = 1; i < 1000; i++) {
        memcpy(made_up.bytes, &i, sizeof i);
        CU_ASSERT_EQUAL(dpc_store_blob_size(store, &made_up, &size), DPC_ENOTFOUND);
        CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &made_up), 0);
    }
    CU_ASSERT_EQUAL(dpc_store_touches(store), before);
    dpc_hash_of(bytes, 40, &hash);
    CU_ASSERT_EQUAL(dpc_store_blob_append(store, &hash, 0, bytes, 35, &err), DPC_OK);
    uint64_t horizon = dpc_store_touches(store);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &hash), 35);
    CU_ASSERT_EQUAL(dpc_store_sweep(store, horizon, keep_one, none, &swept, &err), DPC_OK);
    CU_ASSERT_EQUAL(swept.partials, 0);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(store, &hash), 35);
    tear_down();
}

static void
a_sweep_spares_drafts_and_what_they_become(void)
{
    struct dpc_hash hash, none[2] = {{{1}}, {{1}}};
    struct dpc_swept swept;
    uint64_t size;
    set_up();
    struct dpc_store_draft *draft = begin_draft(sizeof bytes, sizeof bytes);
    CU_ASSERT_EQUAL(sweep(none, &swept), DPC_OK);
    CU_ASSERT_EQUAL(swept.partials, 0);
    uint64_t horizon = dpc_store_touches(store);
    CU_ASSERT_EQUAL_FATAL(dpc_store_draft_put(draft, &hash, &size, &err), DPC_OK);
    dpc_store_draft_destroy(draft);
    CU_ASSERT_EQUAL(dpc_store_sweep(store, horizon, keep_one, none, &swept, &err), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed, 0);
    CU_ASSERT(is_whole(&hash, sizeof bytes));
    tear_down();
}

/* More than one write takes, and more than the table of touched blobs begins with. */
static void
a_sweep_takes_any_number_of_blobs(void)
{
    enum { BLOBS = 1000 };
    struct dpc_hash hash, none[2] = {{{1}}, {{1}}};
    struct dpc_swept swept;
    set_up();
    for (uint32_t i = 0; i < BLOBS; i++)
        CU_ASSERT_EQUAL(dpc_store_blob_put(store, &i, sizeof i, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_sweep(store, BLOBS / 2, keep_one, none, &swept, &err), DPC_OK);
    CU_ASSERT(swept.removed >= BLOBS / 4 && swept.removed < BLOBS);
    CU_ASSERT_EQUAL(swept.removed + swept.kept, BLOBS);
    uint64_t left = swept.kept;
    CU_ASSERT_EQUAL(sweep(none, &swept), DPC_OK);
    CU_ASSERT_EQUAL(swept.removed, left);
    tear_down();
}

/* --- Room. */

/* What is refused for want of room was not begun: the store is as it was and may be written again.
 */
static void
a_short_disk_is_refused_before_a_write_begins(void)
{
    struct dpc_hash hash;
    uint64_t free_bytes;
    set_up();
    CU_ASSERT_EQUAL(commit_module(1, 5), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_free_bytes(store, &free_bytes), DPC_OK);
    dpc_store_set_reserve(store, UINT64_MAX);
    CU_ASSERT_EQUAL(commit_module(1, 6), DPC_ENOSPACE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "make room on it"));
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 10, &hash, &err), DPC_ENOSPACE);
    struct dpc_store_draft *draft = dpc_store_draft_create(store);
    CU_ASSERT_EQUAL(dpc_store_draft_write(draft, bytes, 10, 0, &err), DPC_OK); /* in memory */
    CU_ASSERT_EQUAL(dpc_store_draft_write(draft, bytes, sizeof bytes, 0, &err), DPC_ENOSPACE);
    CU_ASSERT_FALSE(has_draft_file());
    dpc_store_draft_destroy(draft);
    CU_ASSERT_FALSE(dpc_store_is_broken(store));
    CU_ASSERT_EQUAL(sum_of_versions(), 5);
    dpc_store_set_reserve(store, free_bytes / 2);
    CU_ASSERT_EQUAL(commit_module(1, 7), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 10, &hash, &err), DPC_OK);
    open_again();
    CU_ASSERT_EQUAL(sum_of_versions(), 7);
    tear_down();
}

/* --- Lost writes. */

static int
commit_entry(uint64_t sequence, struct dpc_hash *previous)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &(struct dpc_ledger_record){.sequence = sequence, .previous = *previous},
                   previous);
    int code = dpc_store_commit(store, &batch, &err);
    dpc_kv_batch_done(&batch);
    return code;
}

struct log_file {
    char path[DPC_PATH_MAX];
    off_t bytes;
};

static void
find_log(void *context, const char *name)
{
    struct log_file *found = context;
    struct stat facts;
    char candidate[DPC_PATH_MAX];
    if (strlen(name) < 4 || strcmp(name + strlen(name) - 4, ".log") != 0)
        return;
    (void)snprintf(candidate, sizeof candidate, "%s/store/db/%s", folder, name);
    if (stat(candidate, &facts) == 0 && facts.st_size >= found->bytes) {
        found->bytes = facts.st_size;
        memcpy(found->path, candidate, sizeof candidate);
    }
}

/* A log that lost its end looks like one whose last write was cut off by a crash. */
static void
a_ledger_shorter_than_promised_is_refused(void)
{
    struct dpc_hash head = dpc_hash_none;
    struct log_file log = {0};
    set_up();
    for (uint64_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(commit_entry(i, &head), DPC_OK);
    open_again();
    CU_ASSERT_EQUAL(commit_entry(3, &head), DPC_OK);
    store = dpc_store_close(store);
    in_store("db");
    CU_ASSERT_EQUAL(dpc_vfs_posix.ops->list(&dpc_vfs_posix, path, find_log, &log), DPC_OK);
    CU_ASSERT_EQUAL(truncate(log.path, log.bytes - 3), 0);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_ONLY), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "entry 3 of the ledger is not there"));
    tear_down();
}

/* The database changes behind the store's back. */
static void
another_database_under_the_promise_is_refused(void)
{
    struct dpc_hash head = dpc_hash_none;
    struct dpc_kv_batch batch;
    set_up();
    CU_ASSERT_EQUAL(commit_entry(0, &head), DPC_OK);
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &(struct dpc_ledger_record){.module = 1}, &head);
    struct dpc_kv *kv = dpc_store_kv(store);
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    store = dpc_store_close(store);
    CU_ASSERT_EQUAL(try_open(DPC_KV_READ_WRITE), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "entry 0 of the ledger is another one"));
    tear_down();
}

static void
a_damaged_promise_is_refused(void)
{
    static char garbage[8192];
    memset(garbage, 'g', sizeof garbage);
    struct dpc_hash head = dpc_hash_none;
    set_up();
    CU_ASSERT_EQUAL(commit_entry(0, &head), DPC_OK);
    store = dpc_store_close(store);
    FILE *file = fopen(in_store("ledger.head"), "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(garbage, sizeof garbage, 1, file), 1);
    CU_ASSERT_EQUAL(fclose(file), 0);
    for (int mode = 0; mode < 2; mode++) {
        CU_ASSERT_EQUAL(try_open(mode ? DPC_KV_READ_ONLY : DPC_KV_READ_WRITE), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ledger.head\" is damaged"));
    }
    tear_down();
}

/* --- Over seams of the caller's. */

/* A kv whose writes fail when told to. */
struct failing_kv {
    struct dpc_kv kv;
    struct dpc_kv_ops ops;
    struct dpc_kv *below;
    int code;
};

static int
failing_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
            uint8_t **ret_value, size_t *ret_len, struct dpc_error *report)
{
    struct dpc_kv *below = ((struct failing_kv *)kv)->below;
    return below->ops->get(below, family, key, key_len, ret_value, ret_len, report);
}

static int
failing_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
             const void *after, size_t after_len,
             bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t), void *context,
             struct dpc_error *report)
{
    struct dpc_kv *below = ((struct failing_kv *)kv)->below;
    return below->ops->scan(below, family, prefix, prefix_len, after, after_len, visit, context,
                            report);
}

static int
failing_write(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *report)
{
    struct failing_kv *failing = (struct failing_kv *)kv;
    if (failing->code != DPC_OK)
        return dpc_error_set(report, failing->code, "told to fail");
    return failing->below->ops->write(failing->below, batch, report);
}

static void
a_failed_commit_is_final(void)
{
    struct failing_kv failing = {.ops = {failing_get, failing_write, failing_scan, NULL}};
    struct fault_disk *disk = fault_disk_create();
    struct dpc_blobs *blobs;
    struct dpc_hash hash;
    failing.kv.ops = &failing.ops;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&failing.below), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(&failing.kv, blobs, &store, &err), DPC_OK);
    uint64_t incarnation = dpc_store_incarnation(store), room;
    CU_ASSERT_EQUAL(commit_module(1, 1), DPC_OK);
    failing.code = DPC_ENOSPACE;
    CU_ASSERT_EQUAL(commit_module(1, 2), DPC_ENOSPACE);
    failing.code = DPC_OK;
    CU_ASSERT_EQUAL(commit_module(1, 3), DPC_EIO);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 10, &hash, &err), DPC_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "an earlier write failed"));
    CU_ASSERT_EQUAL(sum_of_versions(), 1);
    CU_ASSERT_EQUAL(dpc_store_free_bytes(store, &room), DPC_OK);
    dpc_store_close(store);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(&failing.kv, blobs, &store, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_incarnation(store), incarnation);
    CU_ASSERT_EQUAL(commit_module(1, 3), DPC_OK);
    dpc_store_close(store);
    dpc_kv_close(failing.below);
    dpc_blobs_close(blobs);
    fault_disk_destroy(disk);
}

static int
open_over(struct fault_disk *disk, struct dpc_store **ret_store)
{
    struct dpc_kv *kv;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    return dpc_store_open_over(kv, fault_disk_vfs(disk), "/disk/a/store", 0, ret_store, &err);
}

/* The name of the store's folder stands in the folder above it, which has to be synced as well. */
static void
a_new_store_survives_a_power_cut(void)
{
    struct fault_disk *disk = fault_disk_create();
    struct dpc_hash hash;
    uint64_t size;
    CU_ASSERT_EQUAL_FATAL(open_over(disk, &store), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(store, "blob", 4, &hash, &err), DPC_OK);
    dpc_store_close(store);
    fault_disk_crash(disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
    CU_ASSERT_EQUAL_FATAL(open_over(disk, &store), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_size(store, &hash, &size), DPC_OK);
    store = dpc_store_close(store);
    fault_disk_destroy(disk);
}

static const struct dpc_test tests[] = {
    {"a new store survives a power cut", a_new_store_survives_a_power_cut},
    {"a new store has an incarnation that stays", a_new_store_has_an_incarnation_that_stays},
    {"an empty batch costs nothing", an_empty_batch_costs_nothing},
    {"a newer schema is refused", a_newer_schema_is_refused},
    {"records without a schema are refused", records_without_a_schema_are_refused},
    {"a second coordinator is refused", a_second_coordinator_is_refused},
    {"a tool reads while the coordinator writes", a_tool_reads_while_the_coordinator_writes},
    {"a missing store cannot be read", a_missing_store_cannot_be_read},
    {"a file in the way is an error", a_file_in_the_way_is_an_error},
    {"small blobs stand in the database", small_blobs_stand_in_the_database},
    {"what is named and gone is damage", what_is_named_and_gone_is_damage},
    {"pieces make blobs of either kind", pieces_make_blobs_of_either_kind},
    {"drafts make blobs of either kind", drafts_make_blobs_of_either_kind},
    {"drafts that are not put leave nothing", drafts_that_are_not_put_leave_nothing},
    {"pieces of something else are dropped", pieces_of_something_else_are_dropped},
    {"a damaged blob file is named", a_damaged_blob_file_is_named},
    {"a sweep removes what nobody keeps", a_sweep_removes_what_nobody_keeps},
    {"a sweep spares what was touched behind its horizon",
     a_sweep_spares_what_was_touched_behind_its_horizon},
    {"what is not here is not touched", what_is_not_here_is_not_touched},
    {"a sweep spares drafts and what they become", a_sweep_spares_drafts_and_what_they_become},
    {"a sweep takes any number of blobs", a_sweep_takes_any_number_of_blobs},
    {"a short disk is refused before a write begins",
     a_short_disk_is_refused_before_a_write_begins},
    {"a ledger shorter than promised is refused", a_ledger_shorter_than_promised_is_refused},
    {"another database under the promise", another_database_under_the_promise_is_refused},
    {"a damaged promise is refused", a_damaged_promise_is_refused},
    {"a failed commit is final", a_failed_commit_is_final},
};
DPC_TEST_MAIN("storage/db store", tests)
