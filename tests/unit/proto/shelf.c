/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/shelf.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

struct dpc_shelf_blob *
dpc_shelf_find(struct dpc_shelf *shelf, const struct dpc_hash *hash)
{
    for (size_t i = 0; i < shelf->count; i++) {
        if (dpc_hash_equal(&shelf->blobs[i].hash, hash))
            return &shelf->blobs[i];
    }
    return NULL;
}

static struct dpc_shelf_blob *
take_place(struct dpc_shelf *shelf, const struct dpc_hash *hash)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(shelf, hash);
    if (blob)
        return blob;
    if (shelf->count == DPC_SHELF_BLOBS_MAX)
        abort();
    blob = &shelf->blobs[shelf->count++];
    *blob = (struct dpc_shelf_blob){.hash = *hash};
    return blob;
}

void
dpc_shelf_forget(struct dpc_shelf *shelf, const struct dpc_hash *hash)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(shelf, hash);
    if (!blob)
        return;
    dpc_free(blob->bytes);
    *blob = shelf->blobs[--shelf->count];
}

struct dpc_blob_ref
dpc_shelf_make(struct dpc_shelf *shelf, size_t len, uint32_t seed)
{
    struct dpc_hash hash;
    struct dpc_rng rng;
    uint8_t *bytes = dpc_alloc(len, 1);
    dpc_rng_init(&rng, 11, DPC_RNG_TEST, seed, (uint32_t)len, 0);
    for (size_t i = 0; i < len; i += sizeof(uint32_t)) {
        uint32_t word = dpc_rng_u32(&rng);
        memcpy(bytes + i, &word, len - i < sizeof word ? len - i : sizeof word);
    }
    dpc_hash_of(bytes, len, &hash);
    struct dpc_shelf_blob *blob = take_place(shelf, &hash);
    dpc_free(blob->bytes);
    blob->bytes = bytes;
    blob->len = len;
    blob->complete = true;
    return (struct dpc_blob_ref){.hash = hash, .bytes = len};
}

bool
dpc_shelf_holds(struct dpc_shelf *shelf, const struct dpc_blob_ref *ref)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(shelf, &ref->hash);
    struct dpc_hash hash;
    if (!blob || !blob->complete || blob->len != ref->bytes)
        return false;
    dpc_hash_of(blob->bytes, blob->len, &hash);
    return dpc_hash_equal(&hash, &ref->hash);
}

void
dpc_shelf_done(struct dpc_shelf *shelf)
{
    while (shelf->count)
        dpc_shelf_forget(shelf, &shelf->blobs[0].hash);
}

static int
shelf_size(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(context, hash);
    if (!blob || !blob->complete)
        return DPC_ENOTFOUND;
    *ret_bytes = blob->len;
    return DPC_OK;
}

static int
shelf_read(void *context, const struct dpc_hash *hash, uint64_t offset, void *ret_bytes, size_t len)
{
    struct dpc_shelf *shelf = context;
    struct dpc_shelf_blob *blob = dpc_shelf_find(shelf, hash);
    if (!blob || !blob->complete || offset + len > blob->len)
        return DPC_EIO;
    memcpy(ret_bytes, blob->bytes + offset, len);
    if (shelf->flips != 0) {
        ((uint8_t *)ret_bytes)[len / 2] ^= 1;
        shelf->flips -= shelf->flips > 0;
    }
    return DPC_OK;
}

static uint64_t
shelf_partial(void *context, const struct dpc_hash *hash)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(context, hash);
    return blob && !blob->complete ? blob->len : 0;
}

static int
shelf_append(void *context, const struct dpc_hash *hash, uint64_t offset, const void *bytes,
             size_t len, struct dpc_error *err)
{
    struct dpc_shelf *shelf = context;
    (void)err;
    if (shelf->write_code != DPC_OK)
        return shelf->write_code;
    if (offset != shelf_partial(context, hash))
        return DPC_ESTALE;
    struct dpc_shelf_blob *blob = take_place(shelf, hash);
    blob->bytes = dpc_grow(blob->bytes, blob->len + len, 1);
    memcpy(blob->bytes + blob->len, bytes, len);
    blob->len += len;
    shelf->writes++;
    return DPC_OK;
}

static int
shelf_finish(void *context, const struct dpc_hash *hash, struct dpc_error *err)
{
    struct dpc_shelf_blob *blob = dpc_shelf_find(context, hash);
    struct dpc_hash found;
    (void)err;
    if (!blob)
        return DPC_ENOTFOUND;
    dpc_hash_of(blob->bytes, blob->len, &found);
    if (!dpc_hash_equal(&found, hash)) {
        dpc_shelf_forget(context, hash);
        return DPC_EHASH;
    }
    blob->complete = true;
    return DPC_OK;
}

struct dpc_serve_blobs
dpc_shelf_serve(struct dpc_shelf *shelf)
{
    return (struct dpc_serve_blobs){.size = shelf_size,
                                    .read = shelf_read,
                                    .partial = shelf_partial,
                                    .append = shelf_append,
                                    .finish = shelf_finish,
                                    .context = shelf,
                                    .total_max = DPC_BLOB_BYTES_MAX};
}

static int
files_have(void *context, const struct dpc_blob_ref *blob, uint64_t *ret_bytes)
{
    uint64_t bytes;
    if (shelf_size(context, &blob->hash, &bytes) == DPC_OK)
        return DPC_EEXIST;
    *ret_bytes = shelf_partial(context, &blob->hash);
    return DPC_OK;
}

static int
files_write(void *context, const struct dpc_blob_ref *blob, uint64_t offset, const void *bytes,
            size_t len)
{
    return shelf_append(context, &blob->hash, offset, bytes, len, NULL);
}

static int
files_finish(void *context, const struct dpc_blob_ref *blob)
{
    return shelf_finish(context, &blob->hash, NULL);
}

static int
files_read(void *context, const struct dpc_blob_ref *blob, uint64_t offset, void *ret_bytes,
           size_t len)
{
    return shelf_read(context, &blob->hash, offset, ret_bytes, len);
}

struct dpc_transfer_files
dpc_shelf_files(struct dpc_shelf *shelf)
{
    return (struct dpc_transfer_files){.have = files_have,
                                       .write = files_write,
                                       .finish = files_finish,
                                       .read = files_read,
                                       .context = shelf};
}
