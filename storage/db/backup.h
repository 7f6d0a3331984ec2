/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy of a store as it was at one instant, made while it is written, and a store made from such
 * a copy. A copy is a store itself: it can be opened for reading.
 *
 * Owns: nothing. Threads: any one, beside everything that uses the store but a sweep.
 * Not here: keys and other files of a daemon (coordinator/backup.h).
 */
#ifndef DPC_STORAGE_DB_BACKUP_H
#define DPC_STORAGE_DB_BACKUP_H

#include "storage/db/store.h"

struct dpc_backup_counts {
    uint64_t blobs, bytes; /* of blob files */
    uint64_t copied_bytes; /* of them, those that could not be linked */
};

/* Into `folder`, which is made; one that holds anything is refused (DPC_EEXIST). Records as of one
 * commit and all blobs that they name. Blob files are linked where `folder` lies on the same file
 * system, else copied and checked against their names. What failed leaves it empty. */
int dpc_store_backup(struct dpc_store *store, const char *folder,
                     struct dpc_backup_counts *ret_counts, struct dpc_error *err) DPC_MUST_CHECK;

/* The blob files that a copy has; `copied_bytes` is 0. */
int dpc_store_backup_count(const char *folder, struct dpc_backup_counts *ret_counts,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* Makes the store `to` from the copy `from`: each blob is checked against its name, and the store
 * gets a new random incarnation, so that leases of the old one are void. A folder `to` that holds
 * anything is refused (DPC_EEXIST). It is refused when it is opened before dpc_store_restored. */
int dpc_store_restore(const char *from, const char *to, struct dpc_backup_counts *ret_counts,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* All that belongs to the store is there. */
int dpc_store_restored(const char *to, struct dpc_error *err) DPC_MUST_CHECK;

#endif
