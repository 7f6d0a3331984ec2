/* SPDX-License-Identifier: Apache-2.0
 * The store's folder: `db/` (RocksDB), `blobs/` (files), `ledger.head` (promise.h).
 *
 * Opening reads ledger.head before the database. Beside a writer, the database is then at least as
 * new as the head, so that a head without its entry always means lost writes.
 *
 * A write that failed is final. Whether it reached the disk is not known then, so nothing more is
 * written, and whoever starts again goes on from what is there. */
#include "storage/db/store.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"
#include "storage/db/ledger.h"
#include "storage/db/promise.h"
#include "storage/db/store_parts.h"

/* --- Opening. */

static int
write_identity(struct dpc_store *store, struct dpc_error *err)
{
    struct dpc_store_record record = {.schema = DPC_SCHEMA_VERSION};
    struct dpc_kv_batch batch;
    dpc_random_bytes(&record.incarnation, sizeof record.incarnation);
    dpc_kv_batch_init(&batch);
    dpc_put_store(&batch, &record);
    int code = dpc_store_commit(store, &batch, err);
    dpc_kv_batch_done(&batch);
    store->incarnation = record.incarnation;
    return code;
}

static bool
note_a_key(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
           size_t value_len)
{
    (void)key, (void)key_len, (void)value, (void)value_len;
    *(bool *)context = true;
    return false;
}

/* A store without its own record is new, half made by a reader's time, or damaged. */
static int
make_identity(struct dpc_store *store, struct dpc_error *err)
{
    bool used = false;
    for (int family = 0; family < DPC_KV_FAMILIES && !used; family++) {
        int code = store->kv->ops->scan(store->kv, family, "", 0, NULL, 0, note_a_key, &used, err);
        if (code != DPC_OK)
            return code;
    }
    if (used)
        return dpc_error_set(err, DPC_ECORRUPT,
                             "it holds records but does not say of which schema: restore it from a "
                             "backup, or begin anew with another one");
    if (store->read_only)
        return dpc_error_set(err, DPC_ENOTFOUND, "it is empty: start the coordinator first");
    return write_identity(store, err);
}

static int
check_identity(struct dpc_store *store, struct dpc_error *err)
{
    struct dpc_store_record record;
    int code = dpc_load_store(store->kv, &record, err);
    if (code == DPC_ENOTFOUND)
        return make_identity(store, err);
    if (code != DPC_OK)
        return code;
    if (record.schema > DPC_SCHEMA_VERSION)
        return dpc_error_set(err, DPC_EVERSION,
                             "it was written by a newer version (schema %u, this program knows "
                             "%d): install a newer dipaco",
                             record.schema, DPC_SCHEMA_VERSION);
    if (record.schema < 1)
        return dpc_error_set(err, DPC_ECORRUPT, "its schema has the impossible number %u",
                             record.schema);
    store->incarnation = record.incarnation;
    return DPC_OK;
}

static int
check_promise(struct dpc_kv *kv, const struct dpc_promise *promise, struct dpc_error *err)
{
    struct dpc_hash hash;
    int code = dpc_ledger_hash(kv, promise->sequence, &hash, err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return code;
    if (code == DPC_OK && dpc_hash_equal(&hash, &promise->hash))
        return DPC_OK;
    return dpc_error_set(err, DPC_ECORRUPT,
                         "writes that were acknowledged are missing (entry %llu of the ledger %s): "
                         "check that disk, then restore the store from a backup or begin anew with "
                         "another one",
                         (unsigned long long)promise->sequence,
                         code == DPC_OK ? "is another one" : "is not there");
}

int
dpc_store_name_parts(const char *folder, struct dpc_store_paths *ret_paths, struct dpc_error *err)
{
    const struct {
        const char *name;
        char *place;
    } rows[] = {
        {"db", ret_paths->db},
        {"blobs", ret_paths->blobs},
        {"ledger.head", ret_paths->promise},
        {"restoring", ret_paths->restoring},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (dpc_path_join(folder, rows[i].name, rows[i].place, DPC_PATH_MAX) != DPC_OK)
            return dpc_error_set(err, DPC_ELIMIT, "its name is too long");
    }
    return DPC_OK;
}

static int
make_folder(const struct dpc_vfs *vfs, const char *path, struct dpc_error *err)
{
    int code = DPC_PLANTED(DPC_PLANTED_STORE_NOT_SYNCED) ? vfs->ops->make_folder(vfs, path)
                                                         : dpc_vfs_make_lasting_folder(vfs, path);
    if (code == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, code, "could not make folder \"%s\": %s", path,
                         dpc_error_words(code));
}

static int
open_to_read(struct dpc_store *store, const struct dpc_vfs *vfs,
             const struct dpc_store_paths *parts, struct dpc_error *err)
{
    int code = dpc_kv_open_rocks(parts->db, DPC_KV_READ_ONLY, &store->kv, err);
    return code == DPC_OK ? dpc_blobs_open_read(vfs, parts->blobs, &store->blobs, err) : code;
}

/* The database's lock comes first: whoever does not get it changes nothing. */
static int
open_to_write(struct dpc_store *store, const struct dpc_vfs *vfs,
              const struct dpc_store_paths *parts, struct dpc_error *err)
{
    int code =
        store->kv ? DPC_OK : dpc_kv_open_rocks(parts->db, DPC_KV_READ_WRITE, &store->kv, err);
    if (code == DPC_OK)
        code = dpc_blobs_open(vfs, parts->blobs, &store->blobs, err);
    if (code == DPC_OK)
        code = dpc_promises_open(vfs, parts->promise, &store->promises, err);
    return code;
}

/* In the order that the opening comment gives. */
static int
open_parts(struct dpc_store *store, const struct dpc_vfs *vfs, const char *folder,
           struct dpc_error *err)
{
    struct dpc_promise promise;
    struct dpc_store_paths parts;
    int code = dpc_store_name_parts(folder, &parts, err);
    if (code == DPC_OK && dpc_vfs_exists(vfs, parts.restoring))
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "its restore from a backup was broken off: empty the folder and "
                             "restore it again");
    if (code == DPC_OK && !store->read_only)
        code = make_folder(vfs, folder, err);
    if (code == DPC_OK && !store->read_only)
        code = make_folder(vfs, parts.db, err);
    if (code != DPC_OK)
        return code;
    int promised = dpc_promise_read(vfs, parts.promise, &promise, err);
    if (promised != DPC_OK && promised != DPC_ENOTFOUND)
        return promised;
    code = store->read_only ? open_to_read(store, vfs, &parts, err)
                            : open_to_write(store, vfs, &parts, err);
    if (code == DPC_OK)
        code = check_identity(store, err);
    if (code == DPC_OK && promised == DPC_OK && !DPC_PLANTED(DPC_PLANTED_PROMISE_UNREAD))
        code = check_promise(store->kv, &promise, err);
    return code;
}

static struct dpc_store *
make(bool owns_parts)
{
    struct dpc_store *store = dpc_alloc(1, sizeof *store);
    store->touched = dpc_touched_create();
    store->owns_parts = owns_parts;
    store->inline_bytes_max = DPC_BLOB_INLINE_MAX;
    return store;
}

static int
open_or_close(struct dpc_store *store, const struct dpc_vfs *vfs, const char *folder,
              struct dpc_store **ret_store, struct dpc_error *err)
{
    int code = open_parts(store, vfs, folder, err);
    if (code != DPC_OK) {
        dpc_store_close(store);
        return dpc_error_prefix(err, code, "could not open store \"%s\"", folder);
    }
    *ret_store = store;
    return DPC_OK;
}

int
dpc_store_open(const char *folder, enum dpc_kv_open_mode mode, struct dpc_store **ret_store,
               struct dpc_error *err)
{
    struct dpc_store *store = make(true);
    store->read_only = mode == DPC_KV_READ_ONLY;
    return open_or_close(store, &dpc_vfs_posix, folder, ret_store, err);
}

int
dpc_store_open_over(struct dpc_kv *kv, const struct dpc_vfs *vfs, const char *folder,
                    size_t inline_bytes_max, struct dpc_store **ret_store, struct dpc_error *err)
{
    struct dpc_store *store = make(true);
    store->kv = kv;
    store->inline_bytes_max = inline_bytes_max;
    return open_or_close(store, vfs, folder, ret_store, err);
}

int
dpc_store_open_on(struct dpc_kv *kv, struct dpc_blobs *blobs, struct dpc_store **ret_store,
                  struct dpc_error *err)
{
    struct dpc_store *store = make(false);
    store->kv = kv;
    store->blobs = blobs;
    int code = check_identity(store, err);
    if (code != DPC_OK) {
        dpc_store_close(store);
        return dpc_error_prefix(err, code, "could not open store");
    }
    *ret_store = store;
    return DPC_OK;
}

struct dpc_store *
dpc_store_close(struct dpc_store *store)
{
    if (!store)
        return NULL;
    if (store->owns_parts) {
        dpc_kv_close(store->kv);
        dpc_blobs_close(store->blobs);
        dpc_promises_close(store->promises);
    }
    dpc_touched_destroy(store->touched);
    return dpc_free(store);
}

struct dpc_kv *
dpc_store_kv(struct dpc_store *store)
{
    return store->kv;
}

uint64_t
dpc_store_incarnation(const struct dpc_store *store)
{
    return store->incarnation;
}

/* --- Writing. */

int
dpc_store_writable(const struct dpc_store *store, struct dpc_error *err)
{
    if (store->read_only)
        return dpc_error_set(err, DPC_EPERM,
                             "could not write to the store: it is open for reading");
    if (atomic_load(&store->broken))
        return dpc_error_set(err, DPC_EIO,
                             "could not write to the store: an earlier write failed; start again");
    return DPC_OK;
}

bool
dpc_store_is_broken(const struct dpc_store *store)
{
    return atomic_load(&store->broken) || dpc_blobs_are_broken(store->blobs);
}

void
dpc_store_set_reserve(struct dpc_store *store, uint64_t bytes)
{
    store->reserve_bytes = bytes;
}

int
dpc_store_check_reserve(struct dpc_store *store, struct dpc_error *err)
{
    uint64_t free_bytes;
    if (!store->reserve_bytes || dpc_store_free_bytes(store, &free_bytes) != DPC_OK ||
        free_bytes >= store->reserve_bytes)
        return DPC_OK;
    return dpc_error_set(err, DPC_ENOSPACE,
                         "could not write to the store: its disk has %llu bytes left, and keeps "
                         "%llu free; make room on it",
                         (unsigned long long)free_bytes, (unsigned long long)store->reserve_bytes);
}

int
dpc_store_write(struct dpc_store *store, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    int code = dpc_store_check_reserve(store, err);
    if (code != DPC_OK)
        return code;
    code = store->kv->ops->write(store->kv, batch, err);
    if (code != DPC_OK)
        atomic_store(&store->broken, true);
    return code;
}

int
dpc_store_commit(struct dpc_store *store, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    struct dpc_promise promise;
    int code = dpc_store_writable(store, err);
    if (code == DPC_OK && batch->count == 0)
        return DPC_OK;
    if (code == DPC_OK && store->blobs && (code = dpc_blobs_settle(store->blobs)) != DPC_OK)
        return dpc_error_set(err, code, "could not write to the store: %s", dpc_error_words(code));
    bool first = DPC_PLANTED(DPC_PLANTED_PROMISE_FIRST) && store->promises &&
                 dpc_ledger_in_batch(batch, &promise.sequence, &promise.hash);
    if (code == DPC_OK && first)
        code = dpc_promises_write(store->promises, &promise, err);
    if (code == DPC_OK)
        code = dpc_store_write(store, batch, err);
    if (code != DPC_OK || !store->promises ||
        !dpc_ledger_in_batch(batch, &promise.sequence, &promise.hash))
        return code;
    code = dpc_promises_write(store->promises, &promise, err);
    if (code != DPC_OK)
        atomic_store(&store->broken, true);
    return code;
}
