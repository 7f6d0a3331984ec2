/* SPDX-License-Identifier: Apache-2.0
 *
 * What preparing (corpus.c) and sharding (sharding.c) share: the open corpus, and token files put
 * into the store.
 *
 * Owns: see each call. Threads: an executor's.
 */
#ifndef DPC_COORDINATOR_CORPUS_CORPUS_PARTS_H
#define DPC_COORDINATOR_CORPUS_CORPUS_PARTS_H

#include "coordinator/corpus/world.h"
#include "data/tokens.h"
#include "routing/router.h"

/* The usable documents of a corpus, in its order. */
struct dpc_corpus {
    const struct dpc_world *world;
    struct dpc_tokens *tokens;
    uint32_t *docs;
    uint32_t docs_count;
};

/* Routing features of all usable documents, in the corpus's order. */
struct dpc_features {
    float *values; /* [documents, dim] */
    uint32_t documents, dim;
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
/* Files of each path's train, test and early-stop documents, `ret_shards` [routed paths];
 * `assignment` NULL: the dense path's shard, of all documents or of data.dense of train's. A path
 * that has none of a split has no file. */
int dpc_corpus_put_shards(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                          struct dpc_shard *ret_shards, struct dpc_error *err) DPC_MUST_CHECK;

/* --- Discriminative phases (scored.c): documents of the router split, which the paths score. */

/* DPC_EINVAL when there are too few of them, with what to do. */
int dpc_corpus_check_scored(const struct dpc_corpus *corpus, struct dpc_error *err) DPC_MUST_CHECK;
/* Puts their token file, checked as above, since a fork of a warm start may have been prepared for
 * other phases; nothing when the experiment has none. */
int dpc_corpus_put_scored(const struct dpc_corpus *corpus, struct dpc_sharded *sharded,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* The router that sends a document where the scores of the phase under way are best. `seen` are the
 * documents that it sends, and the paths that have them; `before` [docs_count] the paths of all
 * usable documents. */
int dpc_corpus_fit_to_scores(const struct dpc_corpus *corpus, const struct dpc_features *features,
                             const struct dpc_phase_record *phase, const uint32_t *before,
                             const struct dpc_router_sample *seen, struct dpc_router **ret_router,
                             struct dpc_error *err) DPC_MUST_CHECK;

/* --- New routes at evaluation (traced.c). */

/* DPC_EINVAL or DPC_ELIMIT when the splits are too small or too large for them, with what to do. */
int dpc_corpus_check_traced(const struct dpc_corpus *corpus, struct dpc_error *err) DPC_MUST_CHECK;
/* Puts what the router network learns from and routes, and the paths that have them: some documents
 * of train, those of the router split, and the held-out ones. Checked likewise; nothing when the
 * experiment has no new routes. */
int dpc_corpus_put_traced(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                          struct dpc_sharded *sharded, struct dpc_error *err) DPC_MUST_CHECK;

#endif
