/* SPDX-License-Identifier: Apache-2.0
 * One conformance suite, run over each implementation of the kv, and what only RocksDB can show. */
#include "storage/db/kv.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "storage/db/rocks_status.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

static char folder[SCRATCH_PATH_MAX];
static struct dpc_error err;

/* --- Helpers over any kv. */

static void
put(struct dpc_kv *kv, enum dpc_kv_family family, const char *key, const char *value)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, family, key, strlen(key), value, strlen(value));
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
}

static bool
holds(struct dpc_kv *kv, enum dpc_kv_family family, const char *key, const char *value)
{
    uint8_t *found;
    size_t len;
    if (kv->ops->get(kv, family, key, strlen(key), &found, &len, &err) != DPC_OK)
        return false;
    bool same = len == strlen(value) && (len == 0 || memcmp(found, value, len) == 0);
    dpc_free(found);
    return same;
}

static bool
lacks(struct dpc_kv *kv, enum dpc_kv_family family, const char *key)
{
    uint8_t *found;
    size_t len;
    int code = kv->ops->get(kv, family, key, strlen(key), &found, &len, &err);
    if (code == DPC_OK)
        dpc_free(found);
    return code == DPC_ENOTFOUND;
}

struct seen {
    struct dpc_kv *kv;
    char text[256];
    unsigned limit;
};

static bool
note(void *context, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%.*s=%.*s ", (int)key_len,
                   (const char *)key, (int)value_len, (const char *)value);
    return --seen->limit > 0;
}

static const char *
scanned(struct dpc_kv *kv, const char *prefix, const char *after, unsigned limit)
{
    static struct seen seen;
    seen = (struct seen){.limit = limit};
    CU_ASSERT_EQUAL(kv->ops->scan(kv, DPC_KV_STATE, prefix, strlen(prefix), after,
                                  after ? strlen(after) : 0, note, &seen, &err),
                    DPC_OK);
    return seen.text;
}

/* --- What every kv does. */

static void
get_gives_what_was_put(struct dpc_kv *kv)
{
    CU_ASSERT(lacks(kv, DPC_KV_STATE, "a"));
    put(kv, DPC_KV_STATE, "a", "1");
    CU_ASSERT(holds(kv, DPC_KV_STATE, "a", "1"));
    put(kv, DPC_KV_STATE, "a", "22");
    CU_ASSERT(holds(kv, DPC_KV_STATE, "a", "22"));
    CU_ASSERT(lacks(kv, DPC_KV_STATE, "aa"));
    put(kv, DPC_KV_STATE, "empty", "");
    CU_ASSERT(holds(kv, DPC_KV_STATE, "empty", ""));
}

static void
families_are_apart(struct dpc_kv *kv)
{
    put(kv, DPC_KV_STATE, "k", "state");
    put(kv, DPC_KV_HISTORY, "k", "history");
    CU_ASSERT(holds(kv, DPC_KV_STATE, "k", "state"));
    CU_ASSERT(holds(kv, DPC_KV_HISTORY, "k", "history"));
    CU_ASSERT(lacks(kv, DPC_KV_BLOB, "k"));
}

static void
operations_of_a_batch_count_in_order(struct dpc_kv *kv)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "a", 1, "1", 1);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "b", 1, "1", 1);
    dpc_kv_batch_remove(&batch, DPC_KV_STATE, "a", 1);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "b", 1, "2", 1);
    dpc_kv_batch_remove(&batch, DPC_KV_STATE, "never there", 11);
    dpc_kv_batch_put(&batch, DPC_KV_HISTORY, "c", 1, "3", 1);
    CU_ASSERT_EQUAL(batch.count, 6);
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    CU_ASSERT(lacks(kv, DPC_KV_STATE, "a"));
    CU_ASSERT(holds(kv, DPC_KV_STATE, "b", "2"));
    CU_ASSERT(holds(kv, DPC_KV_HISTORY, "c", "3"));
    dpc_kv_batch_reset(&batch);
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
}

static void
a_batch_that_failed_in_memory_changes_nothing(struct dpc_kv *kv)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "a", 1, "1", 1);
    batch.operations.failed = true;
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_ENOMEM);
    CU_ASSERT(lacks(kv, DPC_KV_STATE, "a"));
    dpc_kv_batch_done(&batch);
}

static void
scans_go_in_order_of_bytes(struct dpc_kv *kv)
{
    static const char *const keys[] = {"b", "a", "ba", "b\xff", "b\x01", "c"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put(kv, DPC_KV_STATE, keys[i], "v");
    put(kv, DPC_KV_HISTORY, "bb", "other family");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", NULL, 99), "b=v b\x01=v ba=v b\xff=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "", NULL, 99), "a=v b=v b\x01=v ba=v b\xff=v c=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "x", NULL, 99), "");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", NULL, 2), "b=v b\x01=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", "b\x01", 99), "ba=v b\xff=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", "b\x02", 99), "ba=v b\xff=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", "a", 99), "b=v b\x01=v ba=v b\xff=v ");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "b", "b\xff", 99), "");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "", "c", 99), "");
    CU_ASSERT_STRING_EQUAL(scanned(kv, "", "", 1), "a=v ");
}

static bool
write_while_visiting(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                     size_t value_len)
{
    struct seen *seen = context;
    CU_ASSERT(holds(seen->kv, DPC_KV_STATE, "a", "1"));
    put(seen->kv, DPC_KV_STATE, "z", "new");
    return note(seen, key, key_len, value, value_len);
}

static void
a_scan_sees_one_state_and_its_visitor_may_call_back(struct dpc_kv *kv)
{
    struct seen seen = {.kv = kv, .limit = 99};
    put(kv, DPC_KV_STATE, "a", "1");
    put(kv, DPC_KV_STATE, "b", "2");
    CU_ASSERT_EQUAL(
        kv->ops->scan(kv, DPC_KV_STATE, "", 0, NULL, 0, write_while_visiting, &seen, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(seen.text, "a=1 b=2 ");
    CU_ASSERT(holds(kv, DPC_KV_STATE, "z", "new"));
}

static void
keys_and_values_may_hold_any_byte(struct dpc_kv *kv)
{
    uint8_t *found, *value = dpc_alloc(DPC_BLOB_INLINE_MAX, 1);
    size_t len;
    struct dpc_kv_batch batch;
    for (size_t i = 0; i < DPC_BLOB_INLINE_MAX; i++)
        value[i] = (uint8_t)i;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_BLOB, "\0\xff\0", 3, value, DPC_BLOB_INLINE_MAX);
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(kv->ops->get(kv, DPC_KV_BLOB, "\0\xff\0", 3, &found, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL(len, DPC_BLOB_INLINE_MAX);
    CU_ASSERT_EQUAL(memcmp(found, value, len), 0);
    dpc_kv_batch_done(&batch);
    dpc_free(found);
    dpc_free(value);
}

static void *
put_and_get(void *context)
{
    struct dpc_kv *kv = context;
    uint8_t *found;
    size_t len;
    for (uint32_t i = 0; i < 200; i++) {
        struct dpc_kv_batch batch;
        dpc_kv_batch_init(&batch);
        dpc_kv_batch_put(&batch, DPC_KV_BLOB, &i, sizeof i, "x", 1);
        int code = kv->ops->write(kv, &batch, NULL);
        dpc_kv_batch_done(&batch);
        if (code != DPC_OK ||
            kv->ops->get(kv, DPC_KV_BLOB, &i, sizeof i, &found, &len, NULL) != DPC_OK)
            return "failed";
        dpc_free(found);
    }
    return NULL;
}

static void
threads_may_put_and_get(struct dpc_kv *kv)
{
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, put_and_get, kv), 0);
    for (size_t i = 0; i < 3; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        CU_ASSERT_PTR_NULL(complaint);
    }
}

static void (*const conformance[])(struct dpc_kv *) = {
    get_gives_what_was_put,
    families_are_apart,
    operations_of_a_batch_count_in_order,
    a_batch_that_failed_in_memory_changes_nothing,
    scans_go_in_order_of_bytes,
    a_scan_sees_one_state_and_its_visitor_may_call_back,
    keys_and_values_may_hold_any_byte,
    threads_may_put_and_get,
};

static void
conformance_memory(void)
{
    for (size_t i = 0; i < sizeof conformance / sizeof *conformance; i++) {
        struct dpc_kv *kv;
        CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
        conformance[i](kv);
        dpc_kv_close(kv);
    }
}

static void
conformance_rocks(void)
{
    for (size_t i = 0; i < sizeof conformance / sizeof *conformance; i++) {
        struct dpc_kv *kv;
        scratch_make(folder);
        CU_ASSERT_EQUAL_FATAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err), DPC_OK);
        conformance[i](kv);
        dpc_kv_close(kv);
        scratch_remove(folder);
    }
}

/* --- RocksDB: opening, reading beside a writer, damage. */

static struct dpc_kv *
open_rocks(enum dpc_kv_open_mode mode)
{
    struct dpc_kv *kv = NULL;
    int code = dpc_kv_open_rocks(folder, mode, &kv, &err);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    return kv;
}

static void
it_is_there_after_closing(void)
{
    scratch_make(folder);
    for (int i = 0; i < 3; i++) {
        struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
        CU_ASSERT(i == 0 ? lacks(kv, DPC_KV_STATE, "k") : holds(kv, DPC_KV_STATE, "k", "v"));
        put(kv, DPC_KV_STATE, "k", "v");
        dpc_kv_close(kv);
    }
    CU_ASSERT_PTR_NULL(dpc_kv_close(NULL));
    scratch_remove(folder);
}

static void
a_second_writer_is_refused(void)
{
    struct dpc_kv *second;
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &second, &err), DPC_EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, folder));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "stop that one first"));
    put(kv, DPC_KV_STATE, "k", "v");
    dpc_kv_close(kv);
    scratch_remove(folder);
}

static void
a_reader_beside_the_writer_sees_what_was_written(void)
{
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    put(kv, DPC_KV_STATE, "k", "1");
    struct dpc_kv *reader = open_rocks(DPC_KV_READ_ONLY);
    CU_ASSERT(holds(reader, DPC_KV_STATE, "k", "1"));
    put(kv, DPC_KV_STATE, "k", "2");
    CU_ASSERT(holds(reader, DPC_KV_STATE, "k", "1"));
    CU_ASSERT_STRING_EQUAL(scanned(reader, "", NULL, 9), "k=1 ");
    dpc_kv_close(reader);
    reader = open_rocks(DPC_KV_READ_ONLY);
    CU_ASSERT(holds(reader, DPC_KV_STATE, "k", "2"));
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "k", 1, "3", 1);
    CU_ASSERT_EQUAL(reader->ops->write(reader, &batch, &err), DPC_EPERM);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(reader);
    put(kv, DPC_KV_STATE, "k", "4");
    dpc_kv_close(kv);
    scratch_remove(folder);
}

static void
count_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
}

static unsigned
count_files(void)
{
    unsigned count = 0;
    CU_ASSERT_EQUAL(dpc_vfs_posix.ops->list(&dpc_vfs_posix, folder, count_name, &count), DPC_OK);
    return count;
}

static void
a_reader_leaves_no_files(void)
{
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    put(kv, DPC_KV_STATE, "k", "1");
    unsigned files = count_files();
    for (int i = 0; i < 3; i++)
        dpc_kv_close(open_rocks(DPC_KV_READ_ONLY));
    CU_ASSERT_EQUAL(count_files(), files);
    dpc_kv_close(kv);
    scratch_remove(folder);
}

static void
nothing_to_read_is_not_found(void)
{
    struct dpc_kv *kv;
    scratch_make(folder);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_ONLY, &kv, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(count_files(), 0);
    scratch_remove(folder);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_ONLY, &kv, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "there is no database in"));
}

struct wanted {
    const char *suffix;
    char path[DPC_PATH_MAX];
    uint64_t bytes; /* of the largest so far */
};

static void
take_if_wanted(void *context, const char *name)
{
    struct wanted *wanted = context;
    struct stat facts;
    char path[DPC_PATH_MAX];
    const char *dot = strrchr(name, '.');
    if (!dot || strcmp(dot, wanted->suffix) != 0)
        return;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &facts) == 0 && (uint64_t)facts.st_size >= wanted->bytes) {
        wanted->bytes = (uint64_t)facts.st_size;
        memcpy(wanted->path, path, sizeof path);
    }
}

/* The largest file of that kind, open for writing. */
static FILE *
open_largest(const char *suffix, long *ret_bytes)
{
    struct wanted wanted = {.suffix = suffix};
    CU_ASSERT_EQUAL(dpc_vfs_posix.ops->list(&dpc_vfs_posix, folder, take_if_wanted, &wanted),
                    DPC_OK);
    *ret_bytes = (long)wanted.bytes;
    FILE *file = fopen(wanted.path, "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    return file;
}

static void
flip(const char *suffix, double where)
{
    long bytes;
    FILE *file = open_largest(suffix, &bytes);
    long at = (long)((double)bytes * where);
    CU_ASSERT_EQUAL(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    CU_ASSERT_EQUAL(fseek(file, at, SEEK_SET), 0);
    CU_ASSERT_NOT_EQUAL(fputc(byte ^ 4, file), EOF);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void
fill(struct dpc_kv *kv)
{
    char key[16], value[400];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "%05d", i);
        put(kv, DPC_KV_STATE, key, value);
    }
}

/* The default recovery would open here, without a word, and without the writes behind the bit. */
static void
a_flipped_bit_in_the_log_is_refused(void)
{
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    fill(kv);
    dpc_kv_close(kv);
    flip(".log", 0.5);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "restore the store from a backup"));
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_ONLY, &kv, &err), DPC_ECORRUPT);
    scratch_remove(folder);
}

static void
a_torn_tail_of_the_log_loses_only_the_tail(void)
{
    long bytes;
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    fill(kv);
    dpc_kv_close(kv);
    FILE *file = open_largest(".log", &bytes);
    CU_ASSERT_EQUAL(ftruncate(fileno(file), bytes - 7), 0);
    CU_ASSERT_EQUAL(fclose(file), 0);
    kv = open_rocks(DPC_KV_READ_WRITE);
    CU_ASSERT(lacks(kv, DPC_KV_STATE, "00499"));
    CU_ASSERT_FALSE(lacks(kv, DPC_KV_STATE, "00498"));
    dpc_kv_close(kv);
    scratch_remove(folder);
}

static bool
count_key(void *context, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len)
{
    (void)key, (void)key_len, (void)value, (void)value_len;
    ++*(unsigned *)context;
    return true;
}

static void
a_flipped_bit_in_a_table_is_found(void)
{
    unsigned count = 0;
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    fill(kv);
    dpc_kv_close(kv);
    dpc_kv_close(open_rocks(DPC_KV_READ_WRITE)); /* the log becomes a table */
    flip(".sst", 0.5);
    int code = dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err);
    if (code == DPC_OK) {
        code = kv->ops->scan(kv, DPC_KV_STATE, "", 0, NULL, 0, count_key, &count, &err);
        dpc_kv_close(kv);
    }
    CU_ASSERT_EQUAL(code, DPC_ECORRUPT);
    CU_ASSERT(count < 500);
    scratch_remove(folder);
}

static void
a_missing_table_is_damage(void)
{
    struct wanted wanted = {.suffix = ".sst"};
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    fill(kv);
    dpc_kv_close(kv);
    dpc_kv_close(open_rocks(DPC_KV_READ_WRITE));
    CU_ASSERT_EQUAL(dpc_vfs_posix.ops->list(&dpc_vfs_posix, folder, take_if_wanted, &wanted),
                    DPC_OK);
    CU_ASSERT_EQUAL(remove(wanted.path), 0);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_ONLY, &kv, &err), DPC_ECORRUPT);
    scratch_remove(folder);
}

/* RocksDB itself would begin a new database over the old files. */
static void
a_missing_current_is_damage(void)
{
    char path[DPC_PATH_MAX];
    scratch_make(folder);
    struct dpc_kv *kv = open_rocks(DPC_KV_READ_WRITE);
    put(kv, DPC_KV_STATE, "k", "1");
    dpc_kv_close(kv);
    CU_ASSERT_EQUAL(dpc_path_join(folder, "CURRENT", path, sizeof path), DPC_OK);
    CU_ASSERT_EQUAL(remove(path), 0);
    CU_ASSERT_EQUAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "lacks its file CURRENT"));
    scratch_remove(folder);
}

static void
status_lines_become_codes(void)
{
    static const struct {
        const char *line;
        int code;
    } rows[] = {
        {"IO error: No space left on device: While appending to file: /s/000012.log", DPC_ENOSPACE},
        {"IO error: Disk quota exceeded: While appending to file: /s/000012.log", DPC_ENOSPACE},
        {"IO error: While lock file: /s/LOCK: Resource temporarily unavailable", DPC_EBUSY},
        {"IO error: lock hold by current process, acquire time 1 acquiring thread 2: /s/LOCK: No "
         "locks available",
         DPC_EBUSY},
        {"IO error: Permission denied: While open a file for lock: /s/LOCK", DPC_EPERM},
        {"Corruption: block checksum mismatch: stored = 1, computed = 2", DPC_ECORRUPT},
        {"IO error: No such file or directory: While opening a file: /s/000009.sst", DPC_ECORRUPT},
        {"Invalid argument: Column families not opened: future", DPC_EVERSION},
        {"Corruption: Corrupt or unsupported format_version: 6 in file /s/MANIFEST-000018",
         DPC_EVERSION},
        {"IO error: Input/output error: While fsync: /s/000012.log", DPC_EIO},
        {"Not implemented: something new", DPC_EFOREIGN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(dpc_rocks_status_code(rows[i].line), rows[i].code);
}

static const struct dpc_test tests[] = {
    {"conformance: memory", conformance_memory},
    {"conformance: RocksDB", conformance_rocks},
    {"it is there after closing", it_is_there_after_closing},
    {"a second writer is refused", a_second_writer_is_refused},
    {"a reader beside the writer", a_reader_beside_the_writer_sees_what_was_written},
    {"a reader leaves no files", a_reader_leaves_no_files},
    {"nothing to read is not found", nothing_to_read_is_not_found},
    {"a flipped bit in the log is refused", a_flipped_bit_in_the_log_is_refused},
    {"a torn tail of the log loses only the tail", a_torn_tail_of_the_log_loses_only_the_tail},
    {"a flipped bit in a table is found", a_flipped_bit_in_a_table_is_found},
    {"a missing table is damage", a_missing_table_is_damage},
    {"a missing CURRENT is damage", a_missing_current_is_damage},
    {"status lines become codes", status_lines_become_codes},
};
DPC_TEST_MAIN("storage/db kv", tests)
