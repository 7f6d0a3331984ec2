/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blobs were put, grew or were asked for, and when, counted in touches since the store was
 * opened. A commit may name such a blob at any moment from then on, so a sweep leaves it alone,
 * however little the records say about it now.
 *
 * Owns: its table, in memory: a new process has touched nothing. Threads: any.
 * Limits: one entry a blob, until it is forgotten; those that are not here are not to be added for
 * the asking.
 */
#ifndef DPC_STORAGE_DB_TOUCHED_H
#define DPC_STORAGE_DB_TOUCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"

struct dpc_touched;

struct dpc_touched *dpc_touched_create(void);
/* Takes NULL. */
struct dpc_touched *dpc_touched_destroy(struct dpc_touched *touched);

/* Before the blob is looked for or written, so that it is there or seen to be missing. */
void dpc_touched_add(struct dpc_touched *touched, const struct dpc_hash *hash);
/* The same for one that is not forgotten; false: it is, and nothing was done. */
bool dpc_touched_again(struct dpc_touched *touched, const struct dpc_hash *hash);
/* Touches so far. */
uint64_t dpc_touched_count(struct dpc_touched *touched);

/* Nothing is touched between the two: who finds a blob untouched removes it before _unlock. */
void dpc_touched_lock(struct dpc_touched *touched);
void dpc_touched_unlock(struct dpc_touched *touched);
/* Locked: was it touched when _count had passed `horizon`? */
bool dpc_touched_since(const struct dpc_touched *touched, const struct dpc_hash *hash,
                       uint64_t horizon);

/* Forgets what was last touched up to `horizon`. */
void dpc_touched_forget(struct dpc_touched *touched, uint64_t horizon);

#endif
