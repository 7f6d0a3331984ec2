/* SPDX-License-Identifier: Apache-2.0
 * A blob of a store that is written before its name is known. What may stand in the database stays
 * in memory until the end; with the first byte beyond that all of it moves into a file. */
#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "storage/db/store_parts.h"

struct dpc_store_draft {
    struct dpc_store *store;
    struct dpc_buf head;         /* all of it, as long as there is no file */
    struct dpc_blob_draft *file; /* NULL: it is small so far */
};

struct dpc_store_draft *
dpc_store_draft_create(struct dpc_store *store)
{
    struct dpc_store_draft *draft = dpc_alloc(1, sizeof *draft);
    draft->store = store;
    dpc_buf_init(&draft->head, 0);
    return draft;
}

struct dpc_store_draft *
dpc_store_draft_destroy(struct dpc_store_draft *draft)
{
    if (!draft)
        return NULL;
    dpc_blob_draft_close(draft->file);
    dpc_buf_done(&draft->head);
    return dpc_free(draft);
}

static int
write_head(struct dpc_buf *head, const void *bytes, size_t len, size_t offset,
           struct dpc_error *err)
{
    size_t over = head->len - offset < len ? head->len - offset : len;
    if (over)
        memcpy(head->data + offset, bytes, over);
    dpc_buf_put(head, (const uint8_t *)bytes + over, len - over);
    return head->failed
               ? dpc_error_set(err, DPC_ENOMEM, "no memory for a blob of %zu bytes", offset + len)
               : DPC_OK;
}

static int
move_to_file(struct dpc_store_draft *draft, struct dpc_error *err)
{
    int code = dpc_blob_draft_open(draft->store->blobs, &draft->file, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_write(draft->file, draft->head.data, draft->head.len, 0, err);
    if (code == DPC_OK)
        dpc_buf_done(&draft->head);
    return code;
}

int
dpc_store_draft_write(struct dpc_store_draft *draft, const void *bytes, size_t len, uint64_t offset,
                      struct dpc_error *err)
{
    size_t head_max = draft->store->inline_bytes_max;
    int code = DPC_OK;
    assert(draft->file || offset <= draft->head.len);
    if (!draft->file && len <= head_max && offset <= head_max - len)
        return write_head(&draft->head, bytes, len, (size_t)offset, err);
    code = dpc_store_check_reserve(draft->store, err);
    if (code == DPC_OK && !draft->file)
        code = move_to_file(draft, err);
    return code == DPC_OK ? dpc_blob_draft_write(draft->file, bytes, len, offset, err) : code;
}

/* It is touched before it is looked for, so that no sweep takes it in between. */
static int
publish(struct dpc_store_draft *draft, struct dpc_hash *ret_hash, uint64_t *ret_bytes,
        struct dpc_error *err)
{
    struct dpc_hash hash;
    uint64_t bytes;
    int code = dpc_blob_draft_hash(draft->file, &hash, &bytes, err);
    if (code != DPC_OK)
        return code;
    dpc_touched_add(draft->store->touched, &hash);
    code = dpc_blob_draft_publish(draft->file, &hash, err);
    if (code != DPC_OK)
        return code;
    *ret_hash = hash;
    *ret_bytes = bytes;
    return DPC_OK;
}

int
dpc_store_draft_put(struct dpc_store_draft *draft, struct dpc_hash *ret_hash, uint64_t *ret_bytes,
                    struct dpc_error *err)
{
    if (draft->file)
        return publish(draft, ret_hash, ret_bytes, err);
    int code = dpc_store_blob_put(draft->store, draft->head.data, draft->head.len, ret_hash, err);
    if (code == DPC_OK)
        *ret_bytes = draft->head.len;
    return code;
}
