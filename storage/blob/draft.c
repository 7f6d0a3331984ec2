/* SPDX-License-Identifier: Apache-2.0
 * A blob that is written before its name is known: a file `partial/draft.N.new`, N being unlike for
 * each of this run. It is hashed as it lies there, since its writer may come back to its beginning
 * at the end. No name of a blob reads like that, so nothing finds it, and opening the folder
 * removes those of a dead run. */
#include "storage/blob/folder.h"

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"

struct dpc_blob_draft {
    struct dpc_blobs *blobs;
    struct dpc_vfs_file *file; /* NULL once it was handed on to be published */
    char path[DPC_PATH_MAX];
    uint64_t bytes;
    bool published;
};

int
dpc_blob_draft_open(struct dpc_blobs *blobs, struct dpc_blob_draft **ret_draft,
                    struct dpc_error *err)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    int code = dpc_blobs_writable(blobs, err);
    if (code != DPC_OK)
        return code;
    struct dpc_blob_draft *draft = dpc_alloc(1, sizeof *draft);
    draft->blobs = blobs;
    dpc_blobs_name_draft(blobs, atomic_fetch_add(&blobs->next_temp, 1), draft->path);
    code =
        vfs->ops->open(vfs, draft->path,
                       DPC_VFS_READ | DPC_VFS_WRITE | DPC_VFS_CREATE | DPC_VFS_FRESH, &draft->file);
    if (code != DPC_OK) {
        dpc_free(draft);
        return dpc_blobs_report_nameless(blobs, code, err);
    }
    *ret_draft = draft;
    return DPC_OK;
}

int
dpc_blob_draft_write(struct dpc_blob_draft *draft, const void *bytes, size_t len, uint64_t offset,
                     struct dpc_error *err)
{
    int code = DPC_OK;
    assert(draft->file && offset <= draft->bytes);
    if (len > DPC_BLOB_BYTES_MAX - offset)
        code = DPC_ELIMIT;
    else
        code = draft->blobs->vfs->ops->write(draft->file, bytes, len, offset);
    if (code != DPC_OK)
        return dpc_blobs_report_nameless(draft->blobs, code, err);
    if (offset + len > draft->bytes)
        draft->bytes = offset + len;
    return DPC_OK;
}

int
dpc_blob_draft_hash(struct dpc_blob_draft *draft, struct dpc_hash *ret_hash, uint64_t *ret_bytes,
                    struct dpc_error *err)
{
    assert(draft->file);
    int code = dpc_blobs_hash_file(draft->blobs, draft->file, draft->bytes, ret_hash);
    if (code != DPC_OK)
        return dpc_blobs_report_nameless(draft->blobs, code, err);
    *ret_bytes = draft->bytes;
    return DPC_OK;
}

int
dpc_blob_draft_publish(struct dpc_blob_draft *draft, const struct dpc_hash *hash,
                       struct dpc_error *err)
{
    struct dpc_blobs *blobs = draft->blobs;
    uint64_t there;
    assert(draft->file);
    int code = dpc_blobs_writable(blobs, err);
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_prepare(blobs, hash);
    /* As in a put: a file of another length is damage, which this one mends. */
    if (code == DPC_OK &&
        (dpc_blobs_size(blobs, hash, &there) != DPC_OK || there != draft->bytes)) {
        code = dpc_blobs_publish(blobs, draft->file, draft->path, hash);
        draft->file = NULL;
        draft->published = code == DPC_OK;
    }
    return code == DPC_OK ? DPC_OK : dpc_blobs_report(blobs, code, "store", hash, err);
}

struct dpc_blob_draft *
dpc_blob_draft_close(struct dpc_blob_draft *draft)
{
    if (!draft)
        return NULL;
    const struct dpc_vfs *vfs = draft->blobs->vfs;
    if (draft->file)
        vfs->ops->close(draft->file);
    if (!draft->published)
        (void)vfs->ops->remove(vfs, draft->path);
    return dpc_free(draft);
}
