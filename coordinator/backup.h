/* SPDX-License-Identifier: Apache-2.0
 *
 * A backup: a copy of the store (storage/db/backup.h) with the coordinator's key and its workers'
 * public keys beside it, so that workers find the restored coordinator without a hand on them.
 * `backup.json` is written last: a folder without it is no backup.
 *
 * Owns: nothing. Threads: any one, beside everything but a sweep.
 */
#ifndef DPC_COORDINATOR_BACKUP_H
#define DPC_COORDINATOR_BACKUP_H

#include "storage/db/backup.h"

struct dpc_backup_source {
    struct dpc_store *store;
    const char *store_folder; /* a backup inside it is refused */
    const char *key_file, *workers_folder;
};

/* Into `folder`, made or empty, of an absolute name. What failed leaves it empty. */
int dpc_backup_make(const struct dpc_backup_source *source, const char *folder,
                    struct dpc_backup_counts *ret_counts, struct dpc_error *err) DPC_MUST_CHECK;

/* Makes the coordinator's folder `to`, missing or empty, from the backup in `folder`. One that
 * lacks what it was made with is refused (DPC_ECORRUPT) before anything is made. */
int dpc_backup_restore(const char *folder, const char *to, struct dpc_backup_counts *ret_counts,
                       struct dpc_error *err) DPC_MUST_CHECK;

/* DPC_EPERM when `folder` is a backup: a coordinator that went on in it would have the incarnation
 * of the one that was copied, and take leases of that one's later life for its own. */
int dpc_backup_refuse(const char *folder, struct dpc_error *err) DPC_MUST_CHECK;

#endif
