/* SPDX-License-Identifier: Apache-2.0
 *
 * A token file, read through a memory map: the whole corpus, a shard, the documents of an
 * evaluation or the prefixes for routing are all token files. Documents are numbered 0 ..
 * documents-1 within the file; each also has an id, its number in the corpus, which subsets keep.
 *
 * Owns: the map. Threads: read-only after opening. Limits: DPC_DOCUMENTS_MAX documents.
 * Nothing in the file is trusted: after _open every call is safe whatever the tokens are. The file
 * must not shrink while it is open; it is replaced by rename, never written in place.
 * Not here: making a corpus (data/import.h, data/tokens_writer.h).
 */
#ifndef DPC_DATA_TOKENS_H
#define DPC_DATA_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "data/split.h"
#include "data/vocabulary.h"

struct dpc_tokens;
struct dpc_tokens_sink; /* data/tokens_writer.h */

/* Name of the token file inside a corpus folder. */
#define DPC_TOKENS_FILE "corpus.tokens"
/* Name of the tokenizer's file beside it, where tokens are pieces. */
#define DPC_TOKENIZER_FILE "tokenizer.model"

/* Opens a token file, or the one inside a corpus folder, and checks every field of it.
 * DPC_ENOTFOUND, DPC_ECORRUPT, DPC_EVERSION (made by a newer release), DPC_EIO. */
int dpc_tokens_open(const char *path, struct dpc_tokens **ret_tokens,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* The same from memory, which the caller keeps unchanged until _close; `name` stands in errors. */
int dpc_tokens_open_bytes(const char *name, const void *bytes, size_t len,
                          struct dpc_tokens **ret_tokens, struct dpc_error *err) DPC_MUST_CHECK;

/* Takes NULL; returns NULL. */
struct dpc_tokens *dpc_tokens_close(struct dpc_tokens *tokens);

/* Compares the tokens with the hash in the header and the vocabulary: reads the whole file.
 * DPC_ECORRUPT. */
int dpc_tokens_verify(const struct dpc_tokens *tokens, struct dpc_error *err) DPC_MUST_CHECK;

/* As given to _open; for messages. */
const char *dpc_tokens_name(const struct dpc_tokens *tokens);
uint32_t dpc_tokens_documents(const struct dpc_tokens *tokens);
/* Tokens of all documents. */
uint64_t dpc_tokens_total(const struct dpc_tokens *tokens);
/* Of the file's; valid as long as it is open. */
const struct dpc_vocabulary *dpc_tokens_vocabulary(const struct dpc_tokens *tokens);
/* A name for the file's content: two files with equal hashes hold the same documents. */
void dpc_tokens_hash(const struct dpc_tokens *tokens, struct dpc_hash *ret_hash);

/* Of document `doc`, which is below dpc_tokens_documents. */
uint32_t dpc_tokens_count(const struct dpc_tokens *tokens, uint32_t doc);
uint32_t dpc_tokens_id(const struct dpc_tokens *tokens, uint32_t doc);
/* Writes the DPC_CONTENT_KEY_BYTES of the document's content key. */
void dpc_tokens_key(const struct dpc_tokens *tokens, uint32_t doc,
                    uint8_t ret_key[DPC_CONTENT_KEY_BYTES]);
enum dpc_split dpc_tokens_split(const struct dpc_tokens *tokens, uint32_t doc,
                                const struct dpc_experiment *experiment);

/* Copies up to `count` tokens of a document from position `from` on; returns how many there were
 * (0 when `from` is at or past the end). The rest of `ret_tokens` is left as it is. */
uint32_t dpc_tokens_copy(const struct dpc_tokens *tokens, uint32_t doc, uint32_t from,
                         uint32_t count, int32_t *ret_tokens);

/* Lists the documents that are longer than `prefix` tokens, in file order: a shorter one has no
 * token that the loss counts. `*ret_docs` is released with dpc_free. DPC_EINVAL when none remains,
 * with what to do. */
int dpc_tokens_longer_than(const struct dpc_tokens *tokens, uint32_t prefix, uint32_t **ret_docs,
                           uint32_t *ret_docs_count, struct dpc_error *err) DPC_MUST_CHECK;

/* DPC_EINVAL, with what to do, when the experiment's tokenizer is another one than the file's. */
int dpc_tokens_check_vocabulary(const struct dpc_tokens *tokens,
                                const struct dpc_experiment *experiment,
                                struct dpc_error *err) DPC_MUST_CHECK;

/* The path of a file beside the token file of a corpus, which is named as in dpc_tokens_open: by
 * the token file or its folder. DPC_ELIMIT. */
int dpc_tokens_name_beside(const char *corpus, const char *file,
                           char ret_path[DPC_PATH_MAX]) DPC_MUST_CHECK;

/* The file that the corpus's tokens were made with, in fresh memory (dpc_free it), as the token
 * file names it by its hash; NULL where tokens are bytes. DPC_ENOTFOUND, DPC_ESTALE when another
 * one lies there, DPC_EIO. */
int dpc_tokens_load_tokenizer(const struct dpc_tokens *tokens, uint8_t **ret_bytes, size_t *ret_len,
                              struct dpc_error *err) DPC_MUST_CHECK;

/* Whether a model that training begins with means the same by a token: DPC_EINVAL, with what to do,
 * when its folder has a tokenizer of another content. */
int dpc_tokens_check_imported(const struct dpc_tokens *tokens, const char *folder,
                              struct dpc_error *err) DPC_MUST_CHECK;

/* DPC_EINVAL, with what to do, when not even an even split would give each path of the experiment
 * the documents that routing.documents_min asks for: of train and router, longer than the prefix.
 */
int dpc_tokens_check_paths(const struct dpc_tokens *tokens, const struct dpc_experiment *experiment,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* Writes a token file with `docs_count` of the documents, in the order given, each cut at
 * `tokens_max` tokens (0: whole). Ids and content keys are kept. A pure function of its arguments:
 * shards are named by the hash of these bytes. Memory: the table of documents. DPC_EINVAL
 * without documents, DPC_ENOMEM, and what the sink says. */
int dpc_tokens_write_subset(const struct dpc_tokens *tokens, const uint32_t *docs,
                            uint32_t docs_count, uint32_t tokens_max,
                            const struct dpc_tokens_sink *sink,
                            struct dpc_error *err) DPC_MUST_CHECK;

#endif
