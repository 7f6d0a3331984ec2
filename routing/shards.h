/* SPDX-License-Identifier: Apache-2.0
 *
 * Are the shards that a router makes fit to train on? The router is fitted on the documents of the
 * train and router splits, and each path needs enough of these; it also needs something to train
 * on.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_ROUTING_SHARDS_H
#define DPC_ROUTING_SHARDS_H

#include <stdint.h>

#include "base/error.h"
#include "base/topology.h"
#include "data/split.h"

/* Documents of each split, a path a row. */
struct dpc_shard_counts {
    uint32_t documents[DPC_SPLITS_COUNT];
};

/* DPC_EINVAL when a path has fewer than routing.documents_min documents in train and router
 * together, or none to train on: names it, gives all counts and says what to change. */
int dpc_shards_check(const struct dpc_topology *topology, const struct dpc_shard_counts *counts,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
