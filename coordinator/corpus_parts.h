/* SPDX-License-Identifier: Apache-2.0
 *
 * What preparing (corpus.c) and sharding (sharding.c) share: the open corpus, and token files put
 * into the store.
 *
 * Owns: see each call. Threads: an executor's.
 */
#ifndef DPC_COORDINATOR_CORPUS_PARTS_H
#define DPC_COORDINATOR_CORPUS_PARTS_H

#include "coordinator/jobs.h"
#include "data/tokens.h"

/* The usable documents of a corpus, in its order. */
struct dpc_corpus {
    const struct dpc_world *world;
    struct dpc_tokens *tokens;
    uint32_t *docs;
    uint32_t docs_count;
};

/* The paths of each usable document, the best first. */
struct dpc_assignment {
    uint32_t choices;
    uint32_t *paths; /* [docs_count, choices]; DPC_ASSIGN_NONE where there is none */
};

/* Close it also when this fails. */
int dpc_corpus_open(const struct dpc_world *world, struct dpc_corpus *corpus,
                    struct dpc_error *err) DPC_MUST_CHECK;
void dpc_corpus_close(struct dpc_corpus *corpus);

/* Puts the token file of some documents, each cut at `tokens_max` (0: whole). */
int dpc_corpus_put_documents(const struct dpc_corpus *corpus, const uint32_t *docs, uint32_t count,
                             uint32_t tokens_max, struct dpc_blob_ref *ret_blob,
                             struct dpc_error *err) DPC_MUST_CHECK;
/* Train and test files of one path; `assignment` NULL: of all documents. */
int dpc_corpus_put_shard(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                         uint32_t path, struct dpc_shard *ret_shard,
                         struct dpc_error *err) DPC_MUST_CHECK;

#endif
