/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store needs to know of the ledger beyond storage/db/records.h: its head in a batch, and
 * whether an entry that was promised is there.
 *
 * Owns: nothing. Threads: as the kv. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_LEDGER_H
#define DPC_STORAGE_DB_LEDGER_H

#include "storage/db/records.h"

/* The last ledger entry that a batch puts; false when it puts none. */
bool dpc_ledger_in_batch(const struct dpc_kv_batch *batch, uint64_t *ret_sequence,
                         struct dpc_hash *ret_hash);

/* Hash of the entry at `sequence`, or DPC_ENOTFOUND. */
int dpc_ledger_hash(struct dpc_kv *kv, uint64_t sequence, struct dpc_hash *ret_hash,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
