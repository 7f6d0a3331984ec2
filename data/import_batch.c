/* SPDX-License-Identifier: Apache-2.0 */
#include "data/import_batch.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/pool.h"

enum {
    BATCH_DOCUMENTS = 1024,
    BATCH_BYTES = 8 * DPC_MIB,
    KEPT_BYTES = DPC_MIB, /* of a buffer's memory from batch to batch */
};

struct dpc_import_batch {
    const struct dpc_tokenizer *tokenizer;
    struct dpc_pool *pool;
    size_t count, made;                    /* documents in it, and those whose buffers there are */
    size_t bytes;                          /* of all texts but the last one's */
    struct dpc_import_document *documents; /* [BATCH_DOCUMENTS] */
};

struct dpc_import_batch *
dpc_import_batch_create(const struct dpc_tokenizer *tokenizer, uint32_t threads)
{
    struct dpc_import_batch *batch = dpc_alloc(1, sizeof *batch);
    batch->tokenizer = tokenizer;
    batch->pool = threads > 1 ? dpc_pool_create(threads) : NULL;
    batch->documents = dpc_alloc(BATCH_DOCUMENTS, sizeof *batch->documents);
    return batch;
}

static void
done(struct dpc_import_document *document)
{
    dpc_buf_done(&document->text);
    dpc_buf_done(&document->name);
    dpc_buf_done(&document->cells);
    dpc_buf_done(&document->tokens);
}

struct dpc_import_batch *
dpc_import_batch_destroy(struct dpc_import_batch *batch)
{
    if (!batch)
        return NULL;
    for (size_t i = 0; i < batch->made; i++)
        done(&batch->documents[i]);
    dpc_pool_destroy(batch->pool);
    dpc_free(batch->documents);
    return dpc_free(batch);
}

/* An odd document of 64 MiB is no reason to keep as much for each that comes after it. */
static void
empty(struct dpc_buf *buf, size_t limit)
{
    if (buf->capacity > KEPT_BYTES || buf->limit != limit) {
        dpc_buf_done(buf);
        dpc_buf_init(buf, limit);
    }
    dpc_buf_reset(buf);
}

struct dpc_import_document *
dpc_import_batch_add(struct dpc_import_batch *batch)
{
    assert(batch->count < BATCH_DOCUMENTS);
    if (batch->count)
        batch->bytes += batch->documents[batch->count - 1].text.len;
    struct dpc_import_document *document = &batch->documents[batch->count++];
    if (batch->made < batch->count)
        batch->made = batch->count;
    empty(&document->text, 0);
    empty(&document->name, 0);
    empty(&document->cells, 0);
    empty(&document->tokens, DPC_DOCUMENT_BYTES_MAX * batch->tokenizer->vocabulary.width);
    return document;
}

bool
dpc_import_batch_is_full(const struct dpc_import_batch *batch)
{
    size_t last = batch->count ? batch->documents[batch->count - 1].text.len : 0;
    return batch->count == BATCH_DOCUMENTS || batch->bytes + last >= BATCH_BYTES;
}

static void
encode(void *context, size_t unit, uint32_t thread)
{
    const struct dpc_import_batch *batch = context;
    struct dpc_import_document *document = &batch->documents[unit];
    (void)thread;
    document->code = dpc_tokenizer_encode(batch->tokenizer, document->text.data, document->text.len,
                                          &document->tokens, &document->err);
}

void
dpc_import_batch_encode(struct dpc_import_batch *batch)
{
    dpc_pool_run(batch->pool, encode, batch, batch->count);
}

size_t
dpc_import_batch_count(const struct dpc_import_batch *batch)
{
    return batch->count;
}

struct dpc_import_document *
dpc_import_batch_at(struct dpc_import_batch *batch, size_t index)
{
    assert(index < batch->count);
    return &batch->documents[index];
}

void
dpc_import_batch_reset(struct dpc_import_batch *batch)
{
    batch->count = 0;
    batch->bytes = 0;
}
