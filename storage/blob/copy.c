/* SPDX-License-Identifier: Apache-2.0
 * Blobs from one folder to another. A blob never changes, so that two names for its file are as
 * good as two files, but for a disk's damage. A copy arrives in pieces, as from a worker, and is
 * checked in the same way. */
#include "base/alloc.h"
#include "storage/blob/folder.h"

int
dpc_blobs_link(const struct dpc_blobs *from, struct dpc_blobs *to, const struct dpc_hash *hash,
               bool *ret_linked, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = to->vfs;
    char old[DPC_PATH_MAX], path[DPC_PATH_MAX], folder[DPC_PATH_MAX];
    *ret_linked = false;
    int code = dpc_blobs_writable(to, err);
    if (code != DPC_OK || !vfs->ops->link)
        return code;
    dpc_blobs_name_complete(from, hash, old);
    dpc_blobs_name_complete(to, hash, path);
    dpc_path_folder(path, folder, sizeof folder);
    code = dpc_blobs_prepare(to, hash);
    if (code == DPC_OK)
        code = vfs->ops->link(vfs, old, path);
    if (code == DPC_EUNSUPPORTED)
        return DPC_OK;
    if (code == DPC_OK)
        code = vfs->ops->sync_folder(vfs, folder);
    if (code != DPC_OK && code != DPC_EEXIST)
        return dpc_blobs_report(to, code, "link", hash, err);
    *ret_linked = true;
    return DPC_OK;
}

static int
copy_pieces(const struct dpc_blobs *from, struct dpc_blobs *to, const struct dpc_hash *hash,
            uint64_t bytes, struct dpc_error *err)
{
    const uint64_t piece_max = DPC_MIB;
    uint8_t *piece = dpc_alloc(1, (size_t)(bytes < piece_max ? bytes : piece_max));
    dpc_blobs_discard(to, hash); /* of a copy that was broken off */
    int code = bytes ? DPC_OK : dpc_blobs_append(to, hash, 0, "", 0, err);
    for (uint64_t at = 0; at < bytes && code == DPC_OK; at += piece_max) {
        size_t len = (size_t)(bytes - at < piece_max ? bytes - at : piece_max);
        code = dpc_blobs_read(from, hash, at, piece, len);
        if (code != DPC_OK)
            code = dpc_blobs_report(from, code, "read", hash, err);
        else
            code = dpc_blobs_append(to, hash, at, piece, len, err);
    }
    dpc_free(piece);
    return code;
}

int
dpc_blobs_copy(const struct dpc_blobs *from, struct dpc_blobs *to, const struct dpc_hash *hash,
               struct dpc_error *err)
{
    uint64_t bytes, there;
    char path[DPC_PATH_MAX];
    int code = dpc_blobs_size(from, hash, &bytes);
    if (code != DPC_OK)
        return dpc_blobs_report(from, code, "read", hash, err);
    if (dpc_blobs_size(to, hash, &there) == DPC_OK && there == bytes)
        return DPC_OK;
    code = copy_pieces(from, to, hash, bytes, err);
    if (code == DPC_OK)
        code = dpc_blobs_finish(to, hash, err);
    if (code != DPC_EHASH)
        return code;
    dpc_blobs_name_complete(from, hash, path);
    return dpc_error_set(err, DPC_ECORRUPT,
                         "blob file \"%s\" is damaged (its content does not match its name): check "
                         "that disk, and take another backup",
                         path);
}
