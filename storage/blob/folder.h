/* SPDX-License-Identifier: Apache-2.0
 *
 * What blob.c, partial.c and draft.c share: the names of files, and the one way in which bytes
 * become a blob.
 *
 * Owns: see storage/blob/blob.h. Threads: any. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_BLOB_FOLDER_H
#define DPC_STORAGE_BLOB_FOLDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/blob/blob.h"

struct dpc_blobs {
    const struct dpc_vfs *vfs;
    char folder[DPC_PATH_MAX];
    bool read_only;
    atomic_bool broken;     /* a sync failed: nothing is written any more */
    atomic_uint next_temp;  /* makes names of temp files differ */
    atomic_bool ready[256]; /* folders `00` to `ff` that are there, with what is in them, on disk */
    pthread_mutex_t settling;
    atomic_bool owes[256];   /* a name stands in it that was not synced so far */
    atomic_uint owing_count; /* of these, with those that are being synced */
};

/* Files of a blob. All fit in DPC_PATH_MAX, which opening checks. */
void dpc_blobs_name_complete(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                             char ret_path[static DPC_PATH_MAX]);
void dpc_blobs_name_partial(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                            char ret_path[static DPC_PATH_MAX]);
/* One of this run whose name is not known. */
void dpc_blobs_name_draft(const struct dpc_blobs *blobs, unsigned number,
                          char ret_path[static DPC_PATH_MAX]);

/* DPC_OK when this folder may be written, else the reason. */
int dpc_blobs_writable(const struct dpc_blobs *blobs, struct dpc_error *err) DPC_MUST_CHECK;

/* Makes the two-digit folder of `hash` so that it lasts, once a run; opening did so for those that
 * were there. Settles what folders owe. */
int dpc_blobs_prepare(struct dpc_blobs *blobs, const struct dpc_hash *hash) DPC_MUST_CHECK;

/* Syncs the open file `from`, closes it and gives it the blob's name. A file that could not be
 * synced is removed; one that could not be renamed stays. DPC_EFILES: it may have the name, which
 * then lasts once the folder is prepared again or dpc_blobs_settle says so. */
int dpc_blobs_publish(struct dpc_blobs *blobs, struct dpc_vfs_file *file, const char *from,
                      const struct dpc_hash *hash) DPC_MUST_CHECK;

/* "could not DOING blob HASH in "folder": reason; way out". Returns `code`. */
int dpc_blobs_report(const struct dpc_blobs *blobs, int code, const char *doing,
                     const struct dpc_hash *hash, struct dpc_error *err);
/* The same of a blob that has no name so far. */
int dpc_blobs_report_nameless(const struct dpc_blobs *blobs, int code, struct dpc_error *err);

/* Hash of an open file's first `bytes`. */
int dpc_blobs_hash_file(const struct dpc_blobs *blobs, struct dpc_vfs_file *file, uint64_t bytes,
                        struct dpc_hash *ret_hash) DPC_MUST_CHECK;

#endif
