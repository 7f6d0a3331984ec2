/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a token file front to back: tokens as they come, then lengths and table, at last the
 * header. Shared by the builder (import, into a file) and by subsets (wherever their caller
 * wants them).
 *
 * Owns: the tail and a chunk of tokens. Threads: one. Limits: DPC_DOCUMENTS_MAX documents.
 * After an error every further call does nothing; _finish tells the first one.
 */
#ifndef DPC_DATA_TOKENS_WRITER_H
#define DPC_DATA_TOKENS_WRITER_H

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/vfs.h"
#include "data/tokens_format.h"

/* Where bytes go. `write` is called with growing offsets without gaps, and once more for offset 0.
 */
struct dpc_tokens_sink {
    int (*write)(void *context, const void *bytes, size_t len, uint64_t offset);
    void *context;
};

struct dpc_tokens_writer {
    struct dpc_tokens_sink sink;
    struct dpc_tokens_header header;
    struct dpc_hasher hasher;
    struct dpc_buf chunk; /* bytes not written yet */
    struct dpc_buf tail;  /* what stands behind the tokens */
    uint64_t offset;      /* of the chunk in the file */
    int code;
};

void dpc_tokens_writer_init(struct dpc_tokens_writer *writer, struct dpc_tokens_sink sink,
                            const struct dpc_vocabulary *vocabulary);
/* Also for one that was not finished. */
void dpc_tokens_writer_done(struct dpc_tokens_writer *writer);

/* Starts a document of `count` > 0 tokens; exactly that many follow through _tokens, each in the
 * vocabulary's width. */
void dpc_tokens_writer_document(struct dpc_tokens_writer *writer, uint32_t id,
                                const uint8_t key[DPC_CONTENT_KEY_BYTES], uint32_t count);
void dpc_tokens_writer_tokens(struct dpc_tokens_writer *writer, const uint8_t *tokens, size_t len);

/* Tail and header. The first error of all calls, or DPC_OK. */
int dpc_tokens_writer_finish(struct dpc_tokens_writer *writer) DPC_MUST_CHECK;

#endif
