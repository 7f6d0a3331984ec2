/* SPDX-License-Identifier: Apache-2.0
 *
 * The losses of all routed paths on the same documents, piece by piece, as the tasks `trace` found
 * them: the router split's documents, then the held-out ones.
 *
 * Owns: the list of results. Threads: an executor. Limits: one block is in
 * memory at a time, the documents of one lease under every path.
 */
#ifndef DPC_COORDINATOR_CORPUS_TRACES_H
#define DPC_COORDINATOR_CORPUS_TRACES_H

#include "coordinator/corpus/world.h"

struct dpc_traces;

/* Losses on documents [from, to) of the traced file. */
struct dpc_traces_block {
    uint32_t from, to, paths;
    size_t pieces;     /* of a document */
    double *nats;      /* [paths, to - from, pieces] */
    uint32_t *targets; /* [to - from, pieces]; the same for every path */
    uint32_t *bytes;   /* [to - from, pieces] of text; likewise */
    uint32_t *ids;     /* [to - from] of the documents, in the corpus */
};

/* DPC_ECORRUPT when a path has not traced all documents. */
int dpc_traces_open(const struct dpc_world *world, const struct dpc_phase_record *phase,
                    struct dpc_traces **ret_traces, struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_traces *dpc_traces_close(struct dpc_traces *traces);

/* Calls `visit` for each of documents [from, to) of the traced file, which is number `doc` of the
 * block; reads only the blocks that have some of them. DPC_ECORRUPT when the results do not fit one
 * another, DPC_ENOMEM. */
int dpc_traces_visit(const struct dpc_traces *traces, uint32_t from, uint32_t to,
                     void (*visit)(void *context, const struct dpc_traces_block *block,
                                   uint32_t doc),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;

/* Loss of a path on a piece of document `doc` of the block. */
static inline double
dpc_traces_nats(const struct dpc_traces_block *block, uint32_t path, uint32_t doc, size_t piece)
{
    return block->nats[((size_t)path * (block->to - block->from) + doc) * block->pieces + piece];
}

#endif
