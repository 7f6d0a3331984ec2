/* SPDX-License-Identifier: Apache-2.0
 * A blob of one store for another: a second name for its file, as in a backup, or a copy of what
 * stands in the database. */
#include "storage/db/store.h"

#include "base/alloc.h"
#include "storage/db/store_parts.h"

static int
copy_small(struct dpc_store *to, struct dpc_store *from, const struct dpc_hash *hash,
           struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    struct dpc_hash again;
    int code = dpc_store_blob_load(from, hash, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_store_blob_put(to, bytes, len, &again, err);
    dpc_free(bytes);
    return code;
}

int
dpc_store_blob_adopt(struct dpc_store *to, struct dpc_store *from, const struct dpc_hash *hash,
                     struct dpc_error *err)
{
    uint64_t bytes;
    bool linked = false;
    if (dpc_blobs_size(from->blobs, hash, &bytes) != DPC_OK)
        return copy_small(to, from, hash, err);
    int code = dpc_store_writable(to, err);
    if (code == DPC_OK)
        code = dpc_blobs_link(from->blobs, to->blobs, hash, &linked, err);
    return code == DPC_OK && !linked ? dpc_blobs_copy(from->blobs, to->blobs, hash, err) : code;
}
