/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blobs an experiment still needs: all others may be swept (dpc_store_sweep). Kept are
 * - what the next steps name: current versions with their momentum, contributions not merged yet,
 *   current path states, shards, held-out and early-stop documents, the tokenizer, the router and
 *   what this one or the next is fitted on, and what open audits repeat; leases, recovery, the
 *   report, `dipaco eval` and `generate` name nothing else;
 * - pinned versions: the dense model as the warm start left it, which computes routing features,
 *   and what routed modules began with; with early stopping each path's best round, however old,
 *   and rounds that are yet to be evaluated;
 * - versions and contributions at most `keep_rounds` rounds older than the one that all routed, or
 *   all dense, modules have got to, with the path states that these rounds began with, and those of
 *   rounds that a lease is still at work on.
 *
 * Owns: its list. Threads: made by the core's, then anybody's, one at a time; complete it is
 * read-only. Not here: the records, which stay: the ledger is whole for ever, and the report draws
 * its curves from them.
 */
#ifndef DPC_COORDINATOR_CORE_KEEP_H
#define DPC_COORDINATOR_CORE_KEEP_H

#include "coordinator/core/core.h"

struct dpc_keep;

/* What the core names at this moment, its batch being committed. */
struct dpc_keep *dpc_keep_create(const struct dpc_core *core);
/* Takes NULL. */
struct dpc_keep *dpc_keep_destroy(struct dpc_keep *keep);

/* Before _history, for who holds the list against the disk: history of rounds that only a lease
 * asks for is left out. A lease spares what is there while it lasts; after rollbacks or revokes
 * earlier versions of its round may have been swept before it was granted. */
void dpc_keep_forget_leases(struct dpc_keep *keep);

/* Adds what the records of history name, and completes it. What is committed meanwhile was touched
 * behind dpc_keep_create. */
int dpc_keep_history(struct dpc_keep *keep, struct dpc_kv *kv,
                     struct dpc_error *err) DPC_MUST_CHECK;

/* Of a complete one. */
bool dpc_keep_holds(const struct dpc_keep *keep, const struct dpc_hash *hash);
size_t dpc_keep_count(const struct dpc_keep *keep);
/* Complete: each once, in ascending order. */
const struct dpc_hash *dpc_keep_at(const struct dpc_keep *keep, size_t index);

#endif
