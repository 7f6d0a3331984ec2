/* SPDX-License-Identifier: Apache-2.0
 * Blobs of a store, wherever they stand: small ones in the database under their hash, which is
 * asked first, all others in files. What is touched here, a sweep leaves alone (sweep.c). */
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
    struct dpc_hash hash;
    dpc_hash_of(bytes, len, &hash);
    dpc_touched_add(store->touched, &hash);
    int code = len > store->inline_bytes_max
                   ? dpc_blobs_put_hashed(store->blobs, &hash, bytes, len, err)
                   : put_inline(store, &hash, bytes, len, err);
    if (code == DPC_OK)
        *ret_hash = hash;
    return code;
}

static int
find_size(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes)
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

/* Peers may ask for anything, and of what is not here nothing must be remembered. What is here is
 * looked for again once it is touched: a sweep may have been faster. */
int
dpc_store_blob_size(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    if (!dpc_touched_again(store->touched, hash)) {
        int code = find_size(store, hash, ret_bytes);
        if (code == DPC_ENOTFOUND)
            return code;
        dpc_touched_add(store->touched, hash);
    }
    return find_size(store, hash, ret_bytes);
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

/* Those of the database. DPC_ENOTFOUND, DPC_ECORRUPT. */
static int
load_inline(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
            size_t *ret_len, struct dpc_error *err)
{
    struct dpc_hash actual;
    char hex[13];
    int code = get_inline(store, hash, ret_bytes, ret_len, err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(*ret_bytes, *ret_len, &actual);
    if (dpc_hash_equal(&actual, hash))
        return DPC_OK;
    dpc_free(*ret_bytes);
    dpc_hash_hex(hash, hex, sizeof hex);
    return dpc_error_set(err, DPC_ECORRUPT,
                         "blob %s in the store's database is damaged (its content does not match "
                         "its name): restore the store from a backup, or begin anew with another "
                         "one",
                         hex);
}

int
dpc_store_blob_load(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
                    size_t *ret_len, struct dpc_error *err)
{
    int code = load_inline(store, hash, ret_bytes, ret_len, err);
    return code == DPC_ENOTFOUND ? dpc_blobs_load(store->blobs, hash, ret_bytes, ret_len, err)
                                 : code;
}

int
dpc_store_blob_lost(const struct dpc_hash *hash, struct dpc_error *err)
{
    char name[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, name, sizeof name);
    return dpc_error_set(
        err, DPC_ECORRUPT,
        "blob %s is named by the store and is gone: put its file back from a backup", name);
}

int
dpc_store_blob_load_named(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
                          size_t *ret_len, struct dpc_error *err)
{
    int code = dpc_store_blob_load(store, hash, ret_bytes, ret_len, err);
    return code == DPC_ENOTFOUND ? dpc_store_blob_lost(hash, err) : code;
}

/* The one that is read: after a crash in move_inline there are two. */
int
dpc_store_blob_verify(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes,
                      struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = load_inline(store, hash, &bytes, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_blobs_verify(store->blobs, hash, ret_bytes, err);
    if (code != DPC_OK)
        return code;
    dpc_free(bytes);
    *ret_bytes = len;
    return DPC_OK;
}

uint64_t
dpc_store_blob_partial(struct dpc_store *store, const struct dpc_hash *hash)
{
    if (!dpc_touched_again(store->touched, hash)) { /* likewise */
        if (dpc_blobs_partial(store->blobs, hash) == 0)
            return 0;
        dpc_touched_add(store->touched, hash);
    }
    return dpc_blobs_partial(store->blobs, hash);
}

int
dpc_store_blob_append(struct dpc_store *store, const struct dpc_hash *hash, uint64_t offset,
                      const void *bytes, size_t len, struct dpc_error *err)
{
    dpc_touched_add(store->touched, hash);
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
    dpc_touched_add(store->touched, hash);
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

int
dpc_store_free_bytes(struct dpc_store *store, uint64_t *ret_bytes)
{
    return dpc_blobs_free_bytes(store->blobs, ret_bytes);
}
