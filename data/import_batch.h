/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents on their way from an import's files into its corpus: gathered one by one, encoded by
 * all threads, and taken out in the order in which they came. So a corpus does not depend on the
 * threads; cutting text into pieces is what an import takes its time for.
 *
 * Owns: copies of what is known of its documents. Threads: one, and those of its pool while it
 * encodes. Limits: it is full with some MiB of text or a thousand documents; one more fits always.
 */
#ifndef DPC_DATA_IMPORT_BATCH_H
#define DPC_DATA_IMPORT_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "data/tokenizer.h"

struct dpc_import_document {
    /* Who adds it says: */
    struct dpc_hash key;
    struct dpc_buf text, name, cells;
    uint64_t *kind_count; /* of documents, for its kind */
    /* Encoding says: */
    struct dpc_buf tokens;
    int code; /* as of dpc_tokenizer_encode */
    struct dpc_error err;
};

struct dpc_import_batch;

struct dpc_import_batch *dpc_import_batch_create(const struct dpc_tokenizer *tokenizer,
                                                 uint32_t threads);
/* Takes NULL; returns NULL. */
struct dpc_import_batch *dpc_import_batch_destroy(struct dpc_import_batch *batch);

/* A further document, whose buffers are empty; the next _add may move it. */
struct dpc_import_document *dpc_import_batch_add(struct dpc_import_batch *batch);
bool dpc_import_batch_is_full(const struct dpc_import_batch *batch);
void dpc_import_batch_encode(struct dpc_import_batch *batch);

size_t dpc_import_batch_count(const struct dpc_import_batch *batch);
struct dpc_import_document *dpc_import_batch_at(struct dpc_import_batch *batch, size_t index);
/* Forgets all documents. */
void dpc_import_batch_reset(struct dpc_import_batch *batch);

#endif
