/* SPDX-License-Identifier: Apache-2.0
 *
 * A coordinator's store: RocksDB records (db/) and blob files (blobs/) in one folder. Blobs of at
 * most DPC_BLOB_INLINE_MAX bytes stand in RocksDB, larger ones in files; callers do not see which.
 *
 * Owns: the kv and the blob folder, except with _open_on. Threads: records from one thread; blob
 * calls from any (executors read and write large blobs while the loop goes on). Refuses: a store of
 * a newer schema, one that another process holds, damage: with what to do.
 */
#ifndef DPC_STORAGE_DB_STORE_H
#define DPC_STORAGE_DB_STORE_H

#include "base/error.h"
#include "base/hash.h"
#include "base/vfs.h"
#include "storage/blob/blob.h"
#include "storage/db/kv.h"
#include "storage/db/records.h"

struct dpc_store;

/* Opens a store; read-write makes a missing one (schema and a random incarnation are written). */
int dpc_store_open(const char *folder, enum dpc_kv_open_mode mode, struct dpc_store **ret_store,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* The same over seams that the caller keeps, and closes after the store (tests, simulator). */
int dpc_store_open_on(struct dpc_kv *kv, struct dpc_blobs *blobs, struct dpc_store **ret_store,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* All that _open does, read-write, over another database and another disk (the simulator's). The
 * store takes `kv` and closes it, also when this fails; blobs of at most `inline_bytes_max` bytes
 * stand in it. The vfs must outlive the store. */
int dpc_store_open_over(struct dpc_kv *kv, const struct dpc_vfs *vfs, const char *folder,
                        size_t inline_bytes_max, struct dpc_store **ret_store,
                        struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_store *dpc_store_close(struct dpc_store *store);

struct dpc_kv *dpc_store_kv(struct dpc_store *store);
uint64_t dpc_store_incarnation(const struct dpc_store *store);

/* Writes a batch, synced, whole or not at all. An error is final, but for the one that the reserve
 * is there for. An empty batch costs nothing. */
int dpc_store_commit(struct dpc_store *store, const struct dpc_kv_batch *batch,
                     struct dpc_error *err) DPC_MUST_CHECK;

/* A write failed in a way that leaves open what is on the disk: nothing is written any more, and
 * the caller stops. DPC_ENOSPACE without this promised and wrote nothing, and may be tried again.
 */
bool dpc_store_is_broken(const struct dpc_store *store);

/* From now on a write to the database that finds less than `bytes` free on the disk is refused
 * before it begins (DPC_ENOSPACE). 0, as after opening: none is. */
void dpc_store_set_reserve(struct dpc_store *store, uint64_t bytes);

/* --- Blobs, wherever they stand. */
int dpc_store_blob_put(struct dpc_store *store, const void *bytes, size_t len,
                       struct dpc_hash *ret_hash, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_store_blob_size(struct dpc_store *store, const struct dpc_hash *hash,
                        uint64_t *ret_bytes) DPC_MUST_CHECK;
int dpc_store_blob_read(struct dpc_store *store, const struct dpc_hash *hash, uint64_t offset,
                        void *ret_bytes, size_t len) DPC_MUST_CHECK;
/* A whole blob, checked; dpc_free it. */
int dpc_store_blob_load(struct dpc_store *store, const struct dpc_hash *hash, uint8_t **ret_bytes,
                        size_t *ret_len, struct dpc_error *err) DPC_MUST_CHECK;
/* The same of one that a record names, so that it must be there: DPC_ECORRUPT, with the way out,
 * also when it is gone, since whoever starts again would find it gone again. */
int dpc_store_blob_load_named(struct dpc_store *store, const struct dpc_hash *hash,
                              uint8_t **ret_bytes, size_t *ret_len,
                              struct dpc_error *err) DPC_MUST_CHECK;
/* Says that one that a record names is gone; DPC_ECORRUPT. */
int dpc_store_blob_lost(const struct dpc_hash *hash, struct dpc_error *err);
/* Reads a whole blob without keeping it and gives its size. DPC_ECORRUPT, with the way out, when it
 * is not what its name says; DPC_ENOTFOUND. */
int dpc_store_blob_verify(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* A blob that arrives in pieces: as in storage/blob/blob.h; a small one moves into RocksDB at the
 * end. */
uint64_t dpc_store_blob_partial(struct dpc_store *store, const struct dpc_hash *hash);
int dpc_store_blob_append(struct dpc_store *store, const struct dpc_hash *hash, uint64_t offset,
                          const void *bytes, size_t len, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_store_blob_finish(struct dpc_store *store, const struct dpc_hash *hash,
                          struct dpc_error *err) DPC_MUST_CHECK;

/* --- A blob that is written front to back, here and there over again, and named at the end; of a
 * large one nothing stays in memory. Threads: one at a time. */

struct dpc_store_draft;

/* Costs nothing on the disk until it is large. */
struct dpc_store_draft *dpc_store_draft_create(struct dpc_store *store);
/* At any offset up to its end. After an error there is nothing left to do but to destroy it. */
int dpc_store_draft_write(struct dpc_store_draft *draft, const void *bytes, size_t len,
                          uint64_t offset, struct dpc_error *err) DPC_MUST_CHECK;
/* Puts it as dpc_store_blob_put would; only destroying follows. */
int dpc_store_draft_put(struct dpc_store_draft *draft, struct dpc_hash *ret_hash,
                        uint64_t *ret_bytes, struct dpc_error *err) DPC_MUST_CHECK;
/* What was not put leaves nothing. Takes NULL. */
struct dpc_store_draft *dpc_store_draft_destroy(struct dpc_store_draft *draft);

/* A blob of another store into this one; its file gets a second name where the two share a file
 * system, else it is copied and checked. There already: DPC_OK. Not in the other: DPC_ENOTFOUND. */
int dpc_store_blob_adopt(struct dpc_store *to, struct dpc_store *from, const struct dpc_hash *hash,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* --- Sweeping. A blob is touched when it is put, grows, or its size is asked and it is here: then
 * a commit may soon name it. */

/* Touches since the store was opened. */
uint64_t dpc_store_touches(struct dpc_store *store);

struct dpc_swept {
    uint64_t kept, kept_bytes;       /* complete blobs */
    uint64_t removed, removed_bytes; /* complete blobs */
    uint64_t partials;               /* removed, of blobs that nobody goes on with */
};

/* Removes every complete blob for which `keep` answers false, and every partial one, but for those
 * that were touched when dpc_store_touches had passed `horizon`. What was touched up to there is
 * forgotten, so the next sweep's horizon is no earlier. May be broken off at any instant. May run
 * beside everything else, one sweep at a time. */
int dpc_store_sweep(struct dpc_store *store, uint64_t horizon,
                    bool (*keep)(void *context, const struct dpc_hash *hash), void *context,
                    struct dpc_swept *ret_swept, struct dpc_error *err) DPC_MUST_CHECK;

/* Bytes that may still be written. */
int dpc_store_free_bytes(struct dpc_store *store, uint64_t *ret_bytes) DPC_MUST_CHECK;

#endif
