/* SPDX-License-Identifier: Apache-2.0
 *
 * What store.c, store_blobs.c, draft.c and sweep.c share.
 *
 * Owns: see storage/db/store.h. Threads: any. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_STORE_PARTS_H
#define DPC_STORAGE_DB_STORE_PARTS_H

#include <stdatomic.h>

#include "storage/db/promise.h"
#include "storage/db/store.h"
#include "storage/db/touched.h"

struct dpc_store {
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_promises *promises; /* NULL: open for reading, or over the caller's parts */
    bool owns_parts;
    struct dpc_touched *touched;
    uint64_t incarnation;
    size_t inline_bytes_max; /* blobs up to this stand in the kv */
    uint64_t reserve_bytes;
    bool read_only;
    atomic_bool broken; /* a write failed: nothing is written any more */
};

/* Where the parts of a store stand. */
struct dpc_store_paths {
    char db[DPC_PATH_MAX], blobs[DPC_PATH_MAX], promise[DPC_PATH_MAX];
    char restoring[DPC_PATH_MAX]; /* there while the folder is being filled from a backup */
};
int dpc_store_name_parts(const char *folder, struct dpc_store_paths *ret_paths,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* DPC_OK when this store may be written, else the reason. */
int dpc_store_writable(const struct dpc_store *store, struct dpc_error *err) DPC_MUST_CHECK;

/* RocksDB that meets a full disk can only be opened anew, so it is kept from meeting one:
 * DPC_ENOSPACE when less than the reserve is left, before anything large or lasting is written. */
int dpc_store_check_reserve(struct dpc_store *store, struct dpc_error *err) DPC_MUST_CHECK;

/* One synced write of any batch. After an error nothing is written any more, unless the reserve was
 * short. */
int dpc_store_write(struct dpc_store *store, const struct dpc_kv_batch *batch,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
