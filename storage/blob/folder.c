/* SPDX-License-Identifier: Apache-2.0
 * A name in `ab/` promises its whole content, so the order is always the same: the file's bytes are
 * synced before it gets the name, and the folder is synced before anybody is told.
 *
 * A failed sync is final. The kernel may have dropped the pages and call the next sync a success,
 * so the file goes (its pages in memory would pass any check) and nothing is written any more. */
#include "storage/blob/folder.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/planted.h"

void
dpc_blobs_name_complete(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                        char ret_path[static DPC_PATH_MAX])
{
    char hex[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, hex, sizeof hex);
    (void)snprintf(ret_path, DPC_PATH_MAX, "%s/%.2s/%s", blobs->folder, hex, hex);
}

void
dpc_blobs_name_partial(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                       char ret_path[static DPC_PATH_MAX])
{
    char hex[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, hex, sizeof hex);
    (void)snprintf(ret_path, DPC_PATH_MAX, "%s/partial/%s", blobs->folder, hex);
}

void
dpc_blobs_name_draft(const struct dpc_blobs *blobs, unsigned number,
                     char ret_path[static DPC_PATH_MAX])
{
    (void)snprintf(ret_path, DPC_PATH_MAX, "%s/partial/draft.%u.new", blobs->folder, number);
}

int
dpc_blobs_writable(const struct dpc_blobs *blobs, struct dpc_error *err)
{
    if (blobs->read_only)
        return dpc_error_set(err, DPC_EPERM, "could not write to \"%s\": it is open for reading",
                             blobs->folder);
    if (atomic_load(&blobs->broken))
        return dpc_error_set(err, DPC_EIO,
                             "could not write to \"%s\": the disk failed to keep an earlier write; "
                             "check it and start again",
                             blobs->folder);
    return DPC_OK;
}

/* An error of a sync is an error of the disk, whatever it is called, except that it may be full. */
static int
final_error(struct dpc_blobs *blobs, int code)
{
    atomic_store(&blobs->broken, true);
    return code == DPC_ENOSPACE ? code : DPC_EIO;
}

/* Without a descriptor the sync was not even begun: nothing is lost that a later one would not
 * keep. */
static int
note_unsynced(struct dpc_blobs *blobs, uint8_t first, int code)
{
    if (code != DPC_EFILES)
        return final_error(blobs, code);
    if (!atomic_exchange(&blobs->owes[first], true))
        atomic_fetch_add(&blobs->owing_count, 1);
    return code;
}

/* What is counted is synced before it is counted no more: whoever sees none may rely on all. */
static int
settle_folder(struct dpc_blobs *blobs, uint8_t first)
{
    char folder[DPC_PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%.*s/%02x", DPC_PATH_MAX - 4, blobs->folder, first);
    atomic_store(&blobs->owes[first], false);
    int code = blobs->vfs->ops->sync_folder(blobs->vfs, folder);
    if (code != DPC_OK)
        code = note_unsynced(blobs, first, code);
    atomic_fetch_sub(&blobs->owing_count, 1);
    return code;
}

int
dpc_blobs_settle(struct dpc_blobs *blobs)
{
    int code = DPC_OK;
    if (atomic_load(&blobs->owing_count) == 0)
        return DPC_OK;
    pthread_mutex_lock(&blobs->settling);
    for (unsigned first = 0; first < 256 && code == DPC_OK; first++) {
        if (atomic_load(&blobs->owes[first]))
            code = settle_folder(blobs, (uint8_t)first);
    }
    pthread_mutex_unlock(&blobs->settling);
    return code;
}

int
dpc_blobs_prepare(struct dpc_blobs *blobs, const struct dpc_hash *hash)
{
    atomic_bool *ready = &blobs->ready[hash->bytes[0]];
    if (atomic_load(ready))
        return dpc_blobs_settle(blobs);
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX], folder[DPC_PATH_MAX];
    dpc_blobs_name_complete(blobs, hash, path);
    dpc_path_folder(path, folder, sizeof folder);
    int code = vfs->ops->make_folder(vfs, folder);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->sync_folder(vfs, folder);
    if (code == DPC_OK)
        code = vfs->ops->sync_folder(vfs, blobs->folder);
    if (code != DPC_OK)
        return code == DPC_EFILES ? code : final_error(blobs, code);
    atomic_store(ready, true);
    return DPC_OK;
}

int
dpc_blobs_publish(struct dpc_blobs *blobs, struct dpc_vfs_file *file, const char *from,
                  const struct dpc_hash *hash)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX], folder[DPC_PATH_MAX];
    dpc_blobs_name_complete(blobs, hash, path);
    dpc_path_folder(path, folder, sizeof folder);

    int code = DPC_PLANTED(DPC_PLANTED_FILE_NOT_SYNCED) ? DPC_OK : vfs->ops->sync(file);
    vfs->ops->close(file);
    if (code != DPC_OK && !DPC_PLANTED(DPC_PLANTED_SYNC_IGNORED)) {
        (void)vfs->ops->remove(vfs, from);
        return final_error(blobs, code);
    }
    code = vfs->ops->rename(vfs, from, path);
    if (code != DPC_OK)
        return code;
    if (!DPC_PLANTED(DPC_PLANTED_FOLDER_NOT_SYNCED))
        code = vfs->ops->sync_folder(vfs, folder);
    return code == DPC_OK ? DPC_OK : note_unsynced(blobs, hash->bytes[0], code);
}

static const char *
way_out(int code)
{
    switch (code) {
    case DPC_ENOSPACE:
        return "; make room on that disk and start again";
    case DPC_EIO:
        return "; check that disk and start again";
    case DPC_EPERM:
        return "; check who owns that folder";
    case DPC_EFILES:
        return "; raise the limit (ulimit -n, LimitNOFILE)";
    default:
        return "";
    }
}

int
dpc_blobs_report(const struct dpc_blobs *blobs, int code, const char *doing,
                 const struct dpc_hash *hash, struct dpc_error *err)
{
    char hex[13];
    dpc_hash_hex(hash, hex, sizeof hex);
    return dpc_error_set(err, code, "could not %s blob %s in \"%s\": %s%s", doing, hex,
                         blobs->folder, dpc_error_words(code), way_out(code));
}

int
dpc_blobs_report_nameless(const struct dpc_blobs *blobs, int code, struct dpc_error *err)
{
    return dpc_error_set(err, code, "could not write a new blob to \"%s\": %s%s", blobs->folder,
                         dpc_error_words(code), way_out(code));
}

int
dpc_blobs_hash_file(const struct dpc_blobs *blobs, struct dpc_vfs_file *file, uint64_t bytes,
                    struct dpc_hash *ret_hash)
{
    const uint64_t piece_max = DPC_MIB;
    uint8_t *piece = dpc_alloc(1, (size_t)(bytes < piece_max ? bytes : piece_max));
    struct dpc_hasher hasher;
    int code = DPC_OK;
    dpc_hasher_start(&hasher);
    for (uint64_t at = 0; at < bytes && code == DPC_OK; at += piece_max) {
        size_t len = (size_t)(bytes - at < piece_max ? bytes - at : piece_max);
        code = blobs->vfs->ops->read(file, piece, len, at);
        if (code == DPC_OK)
            dpc_hasher_add(&hasher, piece, len);
    }
    if (code == DPC_OK)
        dpc_hasher_finish(&hasher, ret_hash);
    else
        dpc_hasher_abandon(&hasher);
    dpc_free(piece);
    return code;
}
