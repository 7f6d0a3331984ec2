/* SPDX-License-Identifier: Apache-2.0
 * A blob that arrives in pieces. Its length in `partial/` is all that is known of it, so that a
 * transfer goes on after a restart of either side without a record of its own.
 *
 * Pieces are not synced one by one. After a crash a partial file may hold bytes that never arrived;
 * what lies in the file is read back and checked against the name before it becomes a blob. */
#include "storage/blob/folder.h"

#include "base/planted.h"

uint64_t
dpc_blobs_partial(const struct dpc_blobs *blobs, const struct dpc_hash *hash)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX];
    struct dpc_vfs_file *file;
    uint64_t bytes = 0;
    dpc_blobs_name_partial(blobs, hash, path);
    if (vfs->ops->open(vfs, path, DPC_VFS_READ, &file) != DPC_OK)
        return 0;
    if (vfs->ops->size(file, &bytes) != DPC_OK)
        bytes = 0;
    vfs->ops->close(file);
    return bytes;
}

/* Writes behind the `offset` bytes that are there. What a failed write left is cut off again; where
 * even that fails, the check at the end finds it. */
static int
write_at_end(const struct dpc_blobs *blobs, struct dpc_vfs_file *file, uint64_t offset,
             const void *bytes, size_t len)
{
    uint64_t size;
    int code = blobs->vfs->ops->size(file, &size);
    if (code != DPC_OK)
        return code;
    if (size != offset)
        return DPC_ESTALE;
    if (offset > DPC_BLOB_BYTES_MAX || len > DPC_BLOB_BYTES_MAX - offset)
        return DPC_ELIMIT;
    code = blobs->vfs->ops->write(file, bytes, len, offset);
    if (code != DPC_OK)
        (void)blobs->vfs->ops->truncate(file, offset);
    return code;
}

int
dpc_blobs_append(struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t offset,
                 const void *bytes, size_t len, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX];
    struct dpc_vfs_file *file;
    int code = dpc_blobs_writable(blobs, err);
    if (code != DPC_OK)
        return code;
    dpc_blobs_name_partial(blobs, hash, path);
    code = vfs->ops->open(vfs, path, DPC_VFS_WRITE | (offset ? 0 : DPC_VFS_CREATE), &file);
    if (code == DPC_ENOTFOUND && offset)
        code = DPC_ESTALE;
    if (code == DPC_OK) {
        code = write_at_end(blobs, file, offset, bytes, len);
        vfs->ops->close(file);
    }
    return code == DPC_OK ? DPC_OK : dpc_blobs_report(blobs, code, "add to", hash, err);
}

/* Checks the open partial file and makes it the blob; closes it in any case. */
static int
check_and_publish(struct dpc_blobs *blobs, struct dpc_vfs_file *file, const char *path,
                  const struct dpc_hash *hash)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    struct dpc_hash actual;
    uint64_t bytes;
    int code = vfs->ops->size(file, &bytes);
    if (code == DPC_OK)
        code = dpc_blobs_hash_file(blobs, file, bytes, &actual);
    if (code == DPC_OK && !DPC_PLANTED(DPC_PLANTED_ARRIVAL_UNCHECKED) &&
        !dpc_hash_equal(&actual, hash))
        code = DPC_EHASH;
    if (code == DPC_OK)
        code = dpc_blobs_prepare(blobs, hash);
    if (code == DPC_OK)
        return dpc_blobs_publish(blobs, file, path, hash);
    vfs->ops->close(file);
    if (code == DPC_EHASH)
        (void)vfs->ops->remove(vfs, path);
    return code;
}

int
dpc_blobs_finish(struct dpc_blobs *blobs, const struct dpc_hash *hash, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX];
    struct dpc_vfs_file *file;
    uint64_t bytes;
    int code = dpc_blobs_writable(blobs, err);
    if (code != DPC_OK)
        return code;
    dpc_blobs_name_partial(blobs, hash, path);
    code = vfs->ops->open(vfs, path, DPC_VFS_READ | DPC_VFS_WRITE, &file);
    if (code == DPC_ENOTFOUND)
        code = dpc_blobs_size(blobs, hash, &bytes);
    else if (code == DPC_OK)
        code = check_and_publish(blobs, file, path, hash);
    return code == DPC_OK ? DPC_OK : dpc_blobs_report(blobs, code, "complete", hash, err);
}

void
dpc_blobs_discard(struct dpc_blobs *blobs, const struct dpc_hash *hash)
{
    char path[DPC_PATH_MAX];
    dpc_blobs_name_partial(blobs, hash, path);
    if (dpc_blobs_writable(blobs, NULL) == DPC_OK)
        (void)blobs->vfs->ops->remove(blobs->vfs, path);
}
