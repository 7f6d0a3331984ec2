/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds a corpus: texts in, a token file out. Everything goes to a temporary file beside the
 * target, which takes its name only when it is whole and on disk: an import that is cut off leaves
 * the old corpus, or none.
 *
 * Owns: the temporary file. Threads: one. Limits: DPC_DOCUMENTS_MAX documents, a document has at
 * most DPC_DOCUMENT_BYTES_MAX tokens.
 */
#ifndef DPC_DATA_BUILDER_H
#define DPC_DATA_BUILDER_H

#include "base/error.h"
#include "base/hash.h"
#include "base/vfs.h"
#include "data/tokenizer.h"

struct dpc_builder;

/* Starts the token file `path`; its folder exists. */
int dpc_builder_open(const struct dpc_vfs *vfs, const char *path,
                     const struct dpc_tokenizer *tokenizer, struct dpc_builder **ret_builder,
                     struct dpc_error *err) DPC_MUST_CHECK;

/* Adds one document; `*ret_tokens` (may be NULL) is its number of tokens. Its id is the number of
 * documents before it. DPC_EEXIST when an equal text is there already (nothing is added, and the
 * builder goes on), DPC_EINVAL for an empty one. After any other error only _close is left. */
int dpc_builder_add(struct dpc_builder *builder, const uint8_t *text, size_t len,
                    uint32_t *ret_tokens, struct dpc_error *err) DPC_MUST_CHECK;

/* The same in two steps, for who encodes several at a time. A key is taken once: DPC_EEXIST and
 * DPC_EINVAL likewise. */
int dpc_builder_claim(struct dpc_builder *builder, const uint8_t *text, size_t len,
                      struct dpc_hash *ret_key, struct dpc_error *err) DPC_MUST_CHECK;
/* The tokens of a text with that key, `vocabulary.width` bytes each. */
int dpc_builder_add_tokens(struct dpc_builder *builder, const struct dpc_hash *key,
                           const struct dpc_buf *tokens, uint32_t *ret_tokens,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* Syncs the file and gives it its name. DPC_EINVAL when no document was added. */
int dpc_builder_finish(struct dpc_builder *builder, struct dpc_error *err) DPC_MUST_CHECK;

/* Takes NULL. Without _finish the temporary file goes, and what was there before stays. */
struct dpc_builder *dpc_builder_close(struct dpc_builder *builder);

#endif
