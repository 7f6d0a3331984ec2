/* SPDX-License-Identifier: Apache-2.0
 * Copies of a store, and stores made of them. tests/e2e/backup.sh does it with a whole run. */
#include "storage/db/backup.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/blob_file.h"
#include "tests/unit/storage/scratch.h"

static char folder[SCRATCH_PATH_MAX];
static char store_path[SCRATCH_PATH_MAX + 16], copy_path[SCRATCH_PATH_MAX + 16],
    new_path[SCRATCH_PATH_MAX + 16];
static struct dpc_store *store;
static struct dpc_backup_counts counts;
static struct dpc_error err;
static uint8_t bytes[2 * DPC_BLOB_INLINE_MAX];
static struct dpc_hash small_blob, large_blob, ledger_head;

static char watched[PATH_MAX]; /* a folder: */
static atomic_uint watched_syncs;

/* In the place of the C library's. */
int
fsync(int fd)
{
    char link[64], path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    watched_syncs += watched[0] && strcmp(path, watched) == 0;
    return (int)syscall(SYS_fsync, fd);
}

/* A ledger entry with the phase record that promises it, as an outer step commits them. */
static int
commit_entry(uint64_t sequence)
{
    struct dpc_kv_batch batch;
    struct dpc_ledger_record entry = {
        .sequence = sequence, .module = 1, .version = 1, .previous = ledger_head};
    struct dpc_phase_record phase = {.phase = 5, .next_serial = 1, .ledger_next = sequence + 1};
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &entry, &ledger_head);
    phase.ledger_head = ledger_head;
    dpc_put_phase(&batch, &phase);
    int code = dpc_store_commit(store, &batch, &err);
    dpc_kv_batch_done(&batch);
    return code;
}

static void
set_up(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    ledger_head = dpc_hash_none;
    scratch_make(folder);
    (void)snprintf(store_path, sizeof store_path, "%s/store", folder);
    (void)snprintf(copy_path, sizeof copy_path, "%s/copy", folder);
    (void)snprintf(new_path, sizeof new_path, "%s/new", folder);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open(store_path, DPC_KV_READ_WRITE, &store, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, 100, &small_blob, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, sizeof bytes, &large_blob, &err), DPC_OK);
    for (uint64_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(commit_entry(i), DPC_OK);
}

static void
tear_down(void)
{
    store = dpc_store_close(store);
    scratch_remove(folder);
}

static bool
count_entry(void *context, const struct dpc_ledger_record *record)
{
    (void)record;
    ++*(unsigned *)context;
    return true;
}

/* Opens a store and looks at all that it must have. */
static uint64_t
check_store(const char *path, enum dpc_kv_open_mode mode, unsigned entries)
{
    struct dpc_store *other;
    uint8_t *loaded;
    size_t len;
    unsigned found = 0;
    CU_ASSERT_EQUAL_FATAL(dpc_store_open(path, mode, &other, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_ledger(dpc_store_kv(other), 0, count_entry, &found, &err), DPC_OK);
    CU_ASSERT_EQUAL(found, entries);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(other, &small_blob, &loaded, &len, &err), DPC_OK);
    dpc_free(loaded);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(other, &large_blob, &loaded, &len, &err), DPC_OK);
    CU_ASSERT(len == sizeof bytes && memcmp(loaded, bytes, len) == 0);
    dpc_free(loaded);
    uint64_t incarnation = dpc_store_incarnation(other);
    dpc_store_close(other);
    return incarnation;
}

/* The head of the ledger in the copy is the copy's, though the store's own has gone on. */
static void
a_copy_is_the_store_of_one_instant(void)
{
    set_up();
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(counts.blobs, 1);
    CU_ASSERT_EQUAL(counts.bytes, sizeof bytes);
    CU_ASSERT_EQUAL(counts.copied_bytes, 0);
    CU_ASSERT_EQUAL(commit_entry(3), DPC_OK);
    CU_ASSERT_EQUAL(check_store(copy_path, DPC_KV_READ_ONLY, 3), dpc_store_incarnation(store));
    CU_ASSERT_EQUAL(dpc_store_backup_count(copy_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(counts.blobs, 1);
    CU_ASSERT_EQUAL(counts.bytes, sizeof bytes);
    CU_ASSERT_EQUAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_EEXIST);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is not empty"));
    tear_down();
}

static void
note_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
}

/* It once kept its half of a copy: on a full disk that was in the way of every later backup. */
static void
a_backup_that_failed_leaves_its_folder_empty(void)
{
    char path[DPC_PATH_MAX];
    unsigned names = 0;
    set_up();
    /* The database still fits below that name, names of blobs do not. */
    (void)snprintf(path, sizeof path, "%s", copy_path);
    while (strlen(path) < DPC_PATH_MAX - 100) {
        size_t used = strlen(path), wanted = DPC_PATH_MAX - 60 - used;
        (void)snprintf(path + used, sizeof path - used, "/%0*d", wanted < 200 ? (int)wanted : 200,
                       0);
    }
    CU_ASSERT_EQUAL(dpc_store_backup(store, path, &counts, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not open blob folder"));
    CU_ASSERT_EQUAL(dpc_vfs_posix.ops->list(&dpc_vfs_posix, path, note_name, &names), DPC_OK);
    CU_ASSERT_EQUAL(names, 0);
    tear_down();
}

static void
a_restored_store_goes_on_with_another_incarnation(void)
{
    set_up();
    uint64_t old = dpc_store_incarnation(store);
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(counts.copied_bytes, sizeof bytes);
    CU_ASSERT_EQUAL(dpc_store_restored(new_path, &err), DPC_OK);
    CU_ASSERT_NOT_EQUAL(check_store(new_path, DPC_KV_READ_WRITE, 3), old);
    CU_ASSERT_EQUAL(check_store(copy_path, DPC_KV_READ_ONLY, 3), old);
    CU_ASSERT_EQUAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_EEXIST);
    tear_down();
}

static void
a_restore_that_was_broken_off_is_no_store(void)
{
    struct dpc_store *half;
    set_up();
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_open(new_path, DPC_KV_READ_WRITE, &half, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "restore it again"));
    CU_ASSERT_EQUAL(dpc_store_open(new_path, DPC_KV_READ_ONLY, &half, &err), DPC_ECORRUPT);
    tear_down();
}

/* Small blobs come in as files, as from a peer, and move into the database. */
static void *
receive_small_blobs(void *context)
{
    atomic_bool *enough = context;
    struct dpc_error peer_err;
    for (uint32_t i = 0; !*enough; i++) {
        struct dpc_hash hash;
        uint8_t small[64];
        memset(small, 0, sizeof small);
        memcpy(small, &i, sizeof i);
        dpc_hash_of(small, sizeof small, &hash);
        if (dpc_store_blob_append(store, &hash, 0, small, sizeof small, &peer_err) != DPC_OK ||
            dpc_store_blob_finish(store, &hash, &peer_err) != DPC_OK)
            return (void *)"a blob was refused";
    }
    return NULL;
}

/* A backup once failed on a blob that it had seen as a file and then found no more. */
static void
a_blob_that_moves_meanwhile_is_no_fault(void)
{
    atomic_bool enough = false;
    pthread_t peer;
    void *fault = NULL;
    set_up();
    CU_ASSERT_EQUAL_FATAL(pthread_create(&peer, NULL, receive_small_blobs, &enough), 0);
    for (int i = 0; i < 12; i++) {
        char path[SCRATCH_PATH_MAX + 16];
        (void)snprintf(path, sizeof path, "%s/copy%d", folder, i);
        int code = dpc_store_backup(store, path, &counts, &err);
        if (code != DPC_OK)
            printf("\n    %s", err.text);
        CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    }
    enough = true;
    pthread_join(peer, &fault);
    CU_ASSERT_PTR_NULL(fault);
    tear_down();
}

static void
a_damaged_copy_is_not_restored(void)
{
    char hex[DPC_HASH_HEX_MAX], path[2 * SCRATCH_PATH_MAX];
    set_up();
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    dpc_hash_hex(&large_blob, hex, sizeof hex);
    (void)snprintf(path, sizeof path, "%s/blobs/%.2s/%s", copy_path, hex, hex);
    blob_file_flip(path, 70000);
    CU_ASSERT_EQUAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, hex));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "take another backup"));
    tear_down();
}

static char table[2 * SCRATCH_PATH_MAX]; /* the largest file of the copy's database */

static int
note_table(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    static off_t largest;
    (void)type;
    if (where->level == 0)
        largest = 0;
    if (strstr(path, ".sst") && facts->st_size > largest) {
        largest = facts->st_size;
        (void)snprintf(table, sizeof table, "%s", path);
    }
    return 0;
}

/* It was restored without a word, and the coordinator ended when it came to the damage. */
static void
a_copy_with_a_damaged_database_is_not_restored(void)
{
    char db[SCRATCH_PATH_MAX + 32];
    struct dpc_hash hash;
    set_up();
    CU_ASSERT_EQUAL(dpc_store_blob_put(store, bytes, DPC_BLOB_INLINE_MAX, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    (void)snprintf(db, sizeof db, "%s/db", copy_path);
    CU_ASSERT_EQUAL_FATAL(nftw(db, note_table, 16, FTW_PHYS), 0);
    blob_file_flip(table, DPC_BLOB_INLINE_MAX / 2);
    CU_ASSERT_EQUAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_ECORRUPT);
    CU_ASSERT_NOT_EQUAL(access(new_path, F_OK), 0);
    tear_down();
}

/* It was copied whole before it was refused, and left as half a store. */
static void
a_copy_of_a_newer_version_leaves_nothing(void)
{
    static const uint8_t newer[] = {99, 1, 2, 3};
    struct dpc_kv_batch batch;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_STATE, "P", 1, newer, sizeof newer);
    CU_ASSERT_EQUAL(dpc_store_commit(store, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    dpc_store_close(store);
    CU_ASSERT_EQUAL(dpc_store_restore(store_path, new_path, &counts, &err), DPC_EVERSION);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "install a newer dipaco"));
    CU_ASSERT_NOT_EQUAL(access(new_path, F_OK), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open(store_path, DPC_KV_READ_WRITE, &store, &err), DPC_OK);
    tear_down();
}

/* All in it was synced, and its own name was not: a power cut took the whole backup. */
static void
a_folder_that_is_made_is_synced_where_it_stands(void)
{
    set_up();
    CU_ASSERT_PTR_NOT_NULL_FATAL(realpath(folder, watched));
    watched_syncs = 0;
    CU_ASSERT_EQUAL_FATAL(dpc_store_backup(store, copy_path, &counts, &err), DPC_OK);
    CU_ASSERT(watched_syncs > 0);
    watched_syncs = 0;
    CU_ASSERT_EQUAL_FATAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_OK);
    CU_ASSERT(watched_syncs > 0);
    watched[0] = 0;
    tear_down();
}

static void
a_folder_that_is_no_store_is_not_restored(void)
{
    set_up();
    CU_ASSERT_EQUAL(dpc_store_restore(copy_path, new_path, &counts, &err), DPC_ENOTFOUND);
    CU_ASSERT_NOT_EQUAL(access(new_path, F_OK), 0);
    tear_down();
}

static const struct dpc_test tests[] = {
    {"a blob that moves meanwhile is no fault", a_blob_that_moves_meanwhile_is_no_fault},
    {"a copy is the store of one instant", a_copy_is_the_store_of_one_instant},
    {"a backup that failed leaves its folder empty", a_backup_that_failed_leaves_its_folder_empty},
    {"a restored store goes on with another incarnation",
     a_restored_store_goes_on_with_another_incarnation},
    {"a restore that was broken off is no store", a_restore_that_was_broken_off_is_no_store},
    {"a damaged copy is not restored", a_damaged_copy_is_not_restored},
    {"a copy with a damaged database is not restored",
     a_copy_with_a_damaged_database_is_not_restored},
    {"a copy of a newer version leaves nothing", a_copy_of_a_newer_version_leaves_nothing},
    {"a folder that is made is synced where it stands",
     a_folder_that_is_made_is_synced_where_it_stands},
    {"a folder that is no store is not restored", a_folder_that_is_no_store_is_not_restored},
};

DPC_TEST_MAIN("storage/db/backup", tests)
