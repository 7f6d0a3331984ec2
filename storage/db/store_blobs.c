/* SPDX-License-Identifier: Apache-2.0
 * Blobs of a store, wherever they stand: small ones in the database under their hash, which is
 * asked first, all others in files. */
#include "storage/db/store.h"

#include <string.h>

#include "base/alloc.h"
#include "storage/db/store_parts.h"

static int
get_inline(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
           size_t *ret_len, struct dpc_error *err)
{
    return store->kv->ops->get(store->kv, DPC_KV_BLOB, hash->bytes, sizeof hash->bytes, ret_bytes,
                               ret_len, err);
}

static int
put_inline(struct dpc_store *store, const struct dpc_hash *hash, const void *bytes, size_t len,
           struct dpc_error *err)
{
    struct dpc_kv_batch batch;
    uint64_t there;
    int code = dpc_store_writable(store, err);
    if (code != DPC_OK || dpc_store_blob_size(store, hash, &there) == DPC_OK)
        return code;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_BLOB, hash->bytes, sizeof hash->bytes, bytes, len);
    code = dpc_store_write(store, &batch, err);
    dpc_kv_batch_done(&batch);
    return code;
}

int
dpc_store_blob_put(struct dpc_store *store, const void *bytes, size_t len,
                   struct dpc_hash *ret_hash, struct dpc_error *err)
{
    if (len > store->inline_bytes_max)
        return dpc_blobs_put(store->blobs, bytes, len, ret_hash, err);
    struct dpc_hash hash;
    dpc_hash_of(bytes, len, &hash);
    int code = put_inline(store, &hash, bytes, len, err);
    if (code == DPC_OK)
        *ret_hash = hash;
    return code;
}

int
dpc_store_blob_size(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    uint8_t *bytes;
    size_t len;
    int code = get_inline(store, hash, &bytes, &len, NULL);
    if (code == DPC_ENOTFOUND)
        return dpc_blobs_size(store->blobs, hash, ret_bytes);
    if (code == DPC_OK) {
        dpc_free(bytes);
        *ret_bytes = len;
    }
    return code;
}

int
dpc_store_blob_read(struct dpc_store *store, const struct dpc_hash *hash, uint64_t offset,
                    void *ret_bytes, size_t len)
{
    uint8_t *bytes;
    size_t there;
    int code = get_inline(store, hash, &bytes, &there, NULL);
    if (code == DPC_ENOTFOUND)
        return dpc_blobs_read(store->blobs, hash, offset, ret_bytes, len);
    if (code != DPC_OK)
        return code;
    if (offset > there || len > there - offset)
        code = DPC_ERANGE;
    else if (len)
        memcpy(ret_bytes, bytes + offset, len);
    dpc_free(bytes);
    return code;
}

int
dpc_store_blob_load(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
                    size_t *ret_len, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    struct dpc_hash actual;
    int code = get_inline(store, hash, &bytes, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_blobs_load(store->blobs, hash, ret_bytes, ret_len, err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(bytes, len, &actual);
    if (!dpc_hash_equal(&actual, hash)) {
        char hex[13];
        dpc_hash_hex(hash, hex, sizeof hex);
        dpc_free(bytes);
        return dpc_error_set(err, DPC_ECORRUPT,
                             "blob %s in the store's database is damaged (its content does not "
                             "match its name): restore the store from a backup, or begin anew with "
                             "another one",
                             hex);
    }
    *ret_bytes = bytes;
    *ret_len = len;
    return DPC_OK;
}

uint64_t
dpc_store_blob_partial(struct dpc_store *store, const struct dpc_hash *hash)
{
    return dpc_blobs_partial(store->blobs, hash);
}

int
dpc_store_blob_append(struct dpc_store *store, const struct dpc_hash *hash, uint64_t offset,
                      const void *bytes, size_t len, struct dpc_error *err)
{
    return dpc_blobs_append(store->blobs, hash, offset, bytes, len, err);
}

/* A crash between the two writes leaves the blob in both places, which does no harm. */
static int
move_inline(struct dpc_store *store, const struct dpc_hash *hash, struct dpc_error *err)
{
    struct dpc_kv_batch batch;
    uint8_t *bytes;
    size_t len;
    int code = dpc_store_writable(store, err);
    if (code == DPC_OK)
        code = dpc_blobs_load(store->blobs, hash, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, DPC_KV_BLOB, hash->bytes, sizeof hash->bytes, bytes, len);
    code = dpc_store_write(store, &batch, err);
    dpc_kv_batch_done(&batch);
    dpc_free(bytes);
    if (code == DPC_OK && dpc_blobs_remove(store->blobs, hash) != DPC_OK)
        return DPC_OK; /* the file stays, too, until a sweep takes both */
    return code;
}

int
dpc_store_blob_finish(struct dpc_store *store, const struct dpc_hash *hash, struct dpc_error *err)
{
    uint64_t bytes;
    int code = dpc_blobs_finish(store->blobs, hash, err);
    if (code == DPC_ENOTFOUND) /* finished before, and moved */
        return dpc_store_blob_size(store, hash, &bytes) == DPC_OK ? DPC_OK : code;
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_size(store->blobs, hash, &bytes);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "a blob that was finished is gone: %s",
                             dpc_error_words(code));
    return bytes <= store->inline_bytes_max ? move_inline(store, hash, err) : DPC_OK;
}

/* --- Sweeping. */

struct sweep {
    struct dpc_store *store;
    bool (*keep)(void *context, const struct dpc_hash *hash);
    void *context;
    struct dpc_kv_batch batch;
    uint64_t removed, bytes;
    int code;
};

static void
sweep_file(void *context, const struct dpc_hash *hash, uint64_t bytes)
{
    struct sweep *sweep = context;
    if (sweep->code != DPC_OK || sweep->keep(sweep->context, hash))
        return;
    sweep->code = dpc_blobs_remove(sweep->store->blobs, hash);
    if (sweep->code == DPC_OK) {
        sweep->removed++;
        sweep->bytes += bytes;
    }
}

static bool
sweep_inline(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
             size_t value_len)
{
    (void)value;
    struct sweep *sweep = context;
    struct dpc_hash hash;
    if (key_len != sizeof hash.bytes) {
        sweep->code = DPC_ECORRUPT;
        return false;
    }
    memcpy(hash.bytes, key, key_len);
    if (!sweep->keep(sweep->context, &hash)) {
        dpc_kv_batch_remove(&sweep->batch, DPC_KV_BLOB, key, key_len);
        sweep->removed++;
        sweep->bytes += value_len;
    }
    return true;
}

static int
sweep_both(struct sweep *sweep, struct dpc_error *err)
{
    struct dpc_kv *kv = sweep->store->kv;
    int code = dpc_blobs_list(sweep->store->blobs, sweep_file, sweep, err);
    if (code == DPC_OK && sweep->code == DPC_OK)
        code = kv->ops->scan(kv, DPC_KV_BLOB, "", 0, NULL, 0, sweep_inline, sweep, err);
    if (code == DPC_OK && sweep->code != DPC_OK)
        code = dpc_error_set(err, sweep->code, "could not remove blobs that nobody needs: %s",
                             dpc_error_words(sweep->code));
    return code == DPC_OK ? dpc_store_commit(sweep->store, &sweep->batch, err) : code;
}

int
dpc_store_sweep(struct dpc_store *store, bool (*keep)(void *context, const struct dpc_hash *hash),
                void *context, uint64_t *ret_removed, uint64_t *ret_bytes, struct dpc_error *err)
{
    struct sweep sweep = {.store = store, .keep = keep, .context = context};
    int code = dpc_store_writable(store, err);
    if (code != DPC_OK)
        return code;
    dpc_kv_batch_init(&sweep.batch);
    code = sweep_both(&sweep, err);
    dpc_kv_batch_done(&sweep.batch);
    if (code == DPC_OK) {
        *ret_removed = sweep.removed;
        *ret_bytes = sweep.bytes;
    }
    return code;
}

int
dpc_store_free_bytes(struct dpc_store *store, uint64_t *ret_bytes)
{
    return dpc_blobs_free_bytes(store->blobs, ret_bytes);
}
