/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's side of the corpus: what workers get of it, as token files in the store.
 * Preparing makes the initial weights, the prefixes of all usable documents and the dense path's
 * shard and test set; sharding turns features into a router and one shard and test set a path.
 * A document is usable when it is longer than the routing prefix: a shorter one has no token that
 * enters the loss.
 *
 * Owns: nothing. Threads: executors. Both are pure functions of experiment, corpus and features, so
 * they may be done again. Not here: reading text (data/import.h), clustering (routing/).
 */
#ifndef DPC_COORDINATOR_CORPUS_CORPUS_H
#define DPC_COORDINATOR_CORPUS_CORPUS_H

#include "coordinator/corpus/world.h"

/* DPC_EINVAL when a split would be empty, with what to change. */
int dpc_corpus_prepare(const struct dpc_world *world, struct dpc_prepared *ret_prepared,
                       struct dpc_error *err) DPC_MUST_CHECK;

/* By routing.init, or in the phase `fit` by the scores of the router split's documents under all
 * paths (DiPaCo, section 2.4.2). `*ret_shards` (dpc_free it), at which `ret_sharded` points, has
 * one entry a routed path. DPC_ESTALE when the corpus is not the one that training began with. */
int dpc_corpus_shard(const struct dpc_world *world, const struct dpc_phase_record *phase,
                     struct dpc_sharded *ret_sharded, struct dpc_shard **ret_shards,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
