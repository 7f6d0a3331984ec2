/* SPDX-License-Identifier: Apache-2.0
 * A checkpoint of the database first, then the blobs: a record is never older than the blobs that
 * it names, so the copy has all that its records name, and perhaps some more. The head of the
 * ledger is written as the checkpoint has it; the store's own may have gone on.
 *
 * A restore first puts the file `restoring` into the new folder and removes it at the end; a store
 * that holds it is not opened (store.c). */
#include "storage/db/backup.h"

#include <string.h>

#include "base/alloc.h"
#include "storage/db/promise.h"
#include "storage/db/store_parts.h"

/* --- Folders. */

static void
note_name(void *context, const char *name)
{
    (void)name;
    *(bool *)context = true;
}

/* Makes a folder, or finds an empty one. Whoever is told that the copy is made may remove what it
 * was made of, so its name must outlast a power cut, too. */
static int
make_empty(const char *folder, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    bool used = false;
    int code = vfs->ops->list(vfs, folder, note_name, &used);
    if (code != DPC_OK)
        code = dpc_vfs_make_lasting_folder(vfs, folder);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not make the folder \"%s\": %s", folder,
                             dpc_error_words(code));
    if (used)
        return dpc_error_set(err, DPC_EEXIST,
                             "the folder \"%s\" is not empty: name a new one, or empty it", folder);
    return DPC_OK;
}

static int
sync_folder(const char *folder, struct dpc_error *err)
{
    int code = dpc_vfs_posix.ops->sync_folder(&dpc_vfs_posix, folder);
    return code == DPC_OK ? DPC_OK
                          : dpc_error_set(err, code, "could not sync the folder \"%s\": %s", folder,
                                          dpc_error_words(code));
}

/* --- Blobs. */

struct copying {
    struct dpc_store *store; /* that goes on meanwhile; NULL: nobody touches `from` */
    const struct dpc_blobs *from;
    struct dpc_blobs *to;
    bool link; /* try to */
    struct dpc_backup_counts counts;
    struct dpc_error *err;
    int code;
};

/* A small blob that was listed as it came in and moved into the database before it was linked
 * (store_blobs.c). No record of the checkpoint names it: records come after the move. */
static bool
moved_meanwhile(struct copying *copying, const struct dpc_hash *hash)
{
    uint64_t bytes;
    if (copying->code != DPC_ENOTFOUND || !copying->store ||
        dpc_store_blob_size(copying->store, hash, &bytes) != DPC_OK)
        return false;
    copying->code = DPC_OK;
    return true;
}

static void
copy_one(void *context, const struct dpc_hash *hash, uint64_t bytes)
{
    struct copying *copying = context;
    bool linked = false;
    if (copying->code != DPC_OK)
        return;
    copying->code = copying->link
                        ? dpc_blobs_link(copying->from, copying->to, hash, &linked, copying->err)
                        : DPC_OK;
    if (moved_meanwhile(copying, hash))
        return;
    if (copying->code == DPC_OK && !linked) {
        copying->code = dpc_blobs_copy(copying->from, copying->to, hash, copying->err);
        if (moved_meanwhile(copying, hash))
            return;
        copying->counts.copied_bytes += bytes;
    }
    copying->counts.blobs++;
    copying->counts.bytes += bytes;
}

static int
copy_blobs(struct dpc_store *store, const struct dpc_blobs *from, const char *folder,
           struct dpc_backup_counts *ret_counts, struct dpc_error *err)
{
    struct copying copying = {.store = store, .from = from, .link = store != NULL, .err = err};
    int code = dpc_blobs_open(&dpc_vfs_posix, folder, &copying.to, err);
    if (code == DPC_OK)
        code = dpc_blobs_list(from, copy_one, &copying, err);
    if (code == DPC_OK)
        code = copying.code;
    dpc_blobs_close(copying.to);
    if (code == DPC_OK)
        *ret_counts = copying.counts;
    return code;
}

/* --- The head of the ledger. */

static int
write_head(const char *path, const struct dpc_phase_record *phase, struct dpc_error *err)
{
    struct dpc_promises *promises;
    struct dpc_promise promise = {.sequence = phase->ledger_next - 1, .hash = phase->ledger_head};
    int code = dpc_promises_open(&dpc_vfs_posix, path, &promises, err);
    if (code != DPC_OK)
        return code;
    code = dpc_promises_write(promises, &promise, err);
    dpc_promises_close(promises);
    return code;
}

/* As the copied database has it. */
static int
derive_head(const struct dpc_store_paths *paths, struct dpc_error *err)
{
    struct dpc_kv *kv;
    struct dpc_phase_record phase;
    int code = dpc_kv_open_rocks(paths->db, DPC_KV_READ_ONLY, &kv, err);
    if (code != DPC_OK)
        return code;
    code = dpc_load_phase(kv, &phase, err);
    dpc_kv_close(kv);
    if (code == DPC_OK && phase.ledger_next > 0)
        code = write_head(paths->promise, &phase, err);
    return code == DPC_ENOTFOUND ? DPC_OK : code;
}

static int
copy_parts(struct dpc_store *store, const char *folder, struct dpc_backup_counts *ret_counts,
           struct dpc_error *err)
{
    struct dpc_store_paths paths;
    int code = dpc_store_name_parts(folder, &paths, err);
    if (code == DPC_OK)
        code = store->kv->ops->checkpoint(store->kv, paths.db, err);
    if (code == DPC_OK)
        code = copy_blobs(store, store->blobs, paths.blobs, ret_counts, err);
    if (code == DPC_OK)
        code = derive_head(&paths, err);
    return code == DPC_OK ? sync_folder(folder, err) : code;
}

/* Half a copy is of no use, but would fill a disk, and hold what sweeps remove of the store. */
int
dpc_store_backup(struct dpc_store *store, const char *folder, struct dpc_backup_counts *ret_counts,
                 struct dpc_error *err)
{
    int code = dpc_store_writable(store, err);
    if (code == DPC_OK)
        code = make_empty(folder, err);
    if (code != DPC_OK)
        return code;
    code = copy_parts(store, folder, ret_counts, err);
    if (code != DPC_OK)
        (void)dpc_vfs_empty_folder(folder, NULL);
    return code;
}

/* --- Back. */

static void
count_one(void *context, const struct dpc_hash *hash, uint64_t bytes)
{
    struct dpc_backup_counts *counts = context;
    (void)hash;
    counts->blobs++;
    counts->bytes += bytes;
}

int
dpc_store_backup_count(const char *folder, struct dpc_backup_counts *ret_counts,
                       struct dpc_error *err)
{
    struct dpc_store_paths paths;
    struct dpc_blobs *blobs;
    struct dpc_backup_counts counts = {0};
    int code = dpc_store_name_parts(folder, &paths, err);
    if (code == DPC_OK)
        code = dpc_blobs_open_read(&dpc_vfs_posix, paths.blobs, &blobs, err);
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_list(blobs, count_one, &counts, err);
    dpc_blobs_close(blobs);
    if (code == DPC_OK)
        *ret_counts = counts;
    return code;
}

struct files {
    const char *from, *to;
    struct dpc_error *err;
    int code;
};

static int
copy_bytes(struct dpc_vfs_file *from, struct dpc_vfs_file *to)
{
    const struct dpc_vfs_ops *ops = dpc_vfs_posix.ops;
    uint64_t size, piece_max = DPC_MIB;
    uint8_t *piece = dpc_alloc(1, (size_t)piece_max);
    int code = ops->size(from, &size);
    for (uint64_t at = 0; code == DPC_OK && at < size; at += piece_max) {
        size_t len = (size_t)(size - at < piece_max ? size - at : piece_max);
        code = ops->read(from, piece, len, at);
        if (code == DPC_OK)
            code = ops->write(to, piece, len, at);
    }
    dpc_free(piece);
    return code == DPC_OK ? ops->sync(to) : code;
}

static void
copy_file(void *context, const char *name)
{
    struct files *files = context;
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    struct dpc_vfs_file *from, *to;
    char old[DPC_PATH_MAX], new[DPC_PATH_MAX];
    if (files->code != DPC_OK || strcmp(name, "LOCK") == 0)
        return;
    int code = dpc_path_join(files->from, name, old, sizeof old);
    if (code == DPC_OK)
        code = dpc_path_join(files->to, name, new, sizeof new);
    if (code == DPC_OK)
        code = vfs->ops->open(vfs, old, DPC_VFS_READ, &from);
    if (code == DPC_OK) {
        code = vfs->ops->open(vfs, new, DPC_VFS_WRITE | DPC_VFS_CREATE | DPC_VFS_FRESH, &to);
        if (code == DPC_OK) {
            code = copy_bytes(from, to);
            vfs->ops->close(to);
        }
        vfs->ops->close(from);
    }
    if (code != DPC_OK)
        files->code = dpc_error_set(files->err, code, "could not copy \"%s/%s\": %s", files->from,
                                    name, dpc_error_words(code));
}

static int
copy_database(const char *from, const char *to, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    struct files files = {.from = from, .to = to, .err = err};
    int code = vfs->ops->make_folder(vfs, to);
    if (code == DPC_OK)
        code = vfs->ops->list(vfs, from, copy_file, &files);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not copy the database \"%s\": %s", from,
                             dpc_error_words(code));
    return files.code == DPC_OK ? sync_folder(to, err) : files.code;
}

/* Leases of the store that was copied may still be out there: none of them counts here. */
static int
draw_incarnation(const char *db, struct dpc_error *err)
{
    struct dpc_kv *kv;
    struct dpc_kv_batch batch;
    struct dpc_store_record record;
    int code = dpc_kv_open_rocks(db, DPC_KV_READ_WRITE, &kv, err);
    if (code != DPC_OK)
        return code;
    code = dpc_load_store(kv, &record, err);
    if (code == DPC_OK) {
        dpc_random_bytes(&record.incarnation, sizeof record.incarnation);
        dpc_kv_batch_init(&batch);
        dpc_put_store(&batch, &record);
        code = kv->ops->write(kv, &batch, err);
        dpc_kv_batch_done(&batch);
    }
    dpc_kv_close(kv);
    return code;
}

static int
fill(const struct dpc_store_paths *from, const struct dpc_store_paths *to,
     struct dpc_backup_counts *ret_counts, struct dpc_error *err)
{
    struct dpc_blobs *blobs;
    int code = copy_database(from->db, to->db, err);
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_open_read(&dpc_vfs_posix, from->blobs, &blobs, err);
    if (code != DPC_OK)
        return code;
    code = copy_blobs(NULL, blobs, to->blobs, ret_counts, err);
    dpc_blobs_close(blobs);
    if (code == DPC_OK)
        code = derive_head(to, err);
    return code == DPC_OK ? draw_incarnation(to->db, err) : code;
}

struct reading {
    struct dpc_store *store;
    enum dpc_kv_family family;
    struct dpc_error *err;
    int code;
};

/* Records have RocksDB's checksums, and are held against each other by whoever reads them. */
static bool
check_small_blob(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                 size_t value_len)
{
    struct reading *reading = context;
    struct dpc_hash hash;
    uint64_t bytes;
    (void)value, (void)value_len;
    if (reading->family != DPC_KV_BLOB || key_len != sizeof hash.bytes)
        return true;
    memcpy(hash.bytes, key, sizeof hash.bytes);
    reading->code = dpc_store_blob_verify(reading->store, &hash, &bytes, reading->err);
    return reading->code == DPC_OK;
}

/* What `from` holds must be whole before anything is made of it. Opening reads little of the
 * database; whoever is told that it was restored may remove the copy, or others that were whole.
 */
static int
check_copy(const char *from, struct dpc_error *err)
{
    struct reading reading = {.err = err};
    int code = dpc_store_open(from, DPC_KV_READ_ONLY, &reading.store, err);
    if (code != DPC_OK)
        return code;
    const struct dpc_kv *kv = reading.store->kv;
    struct dpc_phase_record phase;
    /* It says up to where the ledger goes: derive_head reads it. */
    code = dpc_load_phase(reading.store->kv, &phase, err);
    code = code == DPC_ENOTFOUND ? DPC_OK : code;
    for (int family = 0; family < DPC_KV_FAMILIES && code == DPC_OK; family++) {
        reading.family = (enum dpc_kv_family)family;
        code = kv->ops->scan(reading.store->kv, reading.family, "", 0, NULL, 0, check_small_blob,
                             &reading, err);
        if (code == DPC_OK)
            code = reading.code;
    }
    dpc_store_close(reading.store);
    return code;
}

int
dpc_store_restore(const char *from, const char *to, struct dpc_backup_counts *ret_counts,
                  struct dpc_error *err)
{
    struct dpc_store_paths old, new;
    int code = dpc_store_name_parts(from, &old, err);
    if (code == DPC_OK)
        code = dpc_store_name_parts(to, &new, err);
    if (code == DPC_OK)
        code = check_copy(from, err);
    if (code == DPC_OK)
        code = make_empty(to, err);
    if (code == DPC_OK)
        code = dpc_vfs_write_file(&dpc_vfs_posix, new.restoring, "", 0, err);
    return code == DPC_OK ? fill(&old, &new, ret_counts, err) : code;
}

int
dpc_store_restored(const char *to, struct dpc_error *err)
{
    struct dpc_store_paths paths;
    int code = dpc_store_name_parts(to, &paths, err);
    if (code != DPC_OK)
        return code;
    code = dpc_vfs_posix.ops->remove(&dpc_vfs_posix, paths.restoring);
    return code == DPC_OK ? sync_folder(to, err)
                          : dpc_error_set(err, code, "could not remove \"%s\": %s", paths.restoring,
                                          dpc_error_words(code));
}
