/* SPDX-License-Identifier: Apache-2.0
 *
 * Content-addressed files in one folder: `ab/abcdef...` by SHA-256. A blob is complete or it is not
 * there: bytes arrive in `partial/HASH`, are hashed, synced, renamed, and the folder is synced.
 * The coordinator's store and the worker's cache both use it.
 *
 * Owns: the folder, by convention one process at a time writes it. Threads: calls on different
 * blobs from any thread; a receiving blob belongs to one thread at a time. Limits:
 * DPC_BLOB_BYTES_MAX a blob. Errors: DPC_ENOTFOUND; DPC_EHASH and DPC_ECORRUPT for bytes that are
 * not what the name says; DPC_ENOSPACE, after which there is nothing more or less than before,
 * unless the blobs are broken; DPC_EIO (a failed sync is final: the caller stops).
 */
#ifndef DPC_STORAGE_BLOB_BLOB_H
#define DPC_STORAGE_BLOB_BLOB_H

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/vfs.h"

struct dpc_blobs;

/* Opens (and makes) a folder of blobs, and removes what puts of a dead run left; partial blobs
 * stay, to be taken up again. The vfs must outlive it. */
int dpc_blobs_open(const struct dpc_vfs *vfs, const char *folder, struct dpc_blobs **ret_blobs,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* For reading beside the process that writes: makes, changes and removes nothing, and every call
 * that would is DPC_EPERM. A missing folder reads as an empty one. */
int dpc_blobs_open_read(const struct dpc_vfs *vfs, const char *folder, struct dpc_blobs **ret_blobs,
                        struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_blobs *dpc_blobs_close(struct dpc_blobs *blobs);

/* Size of a complete blob, or DPC_ENOTFOUND. */
int dpc_blobs_size(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                   uint64_t *ret_bytes) DPC_MUST_CHECK;
/* File of a complete blob, for mapping it. */
int dpc_blobs_path(const struct dpc_blobs *blobs, const struct dpc_hash *hash, char *ret_path,
                   size_t size) DPC_MUST_CHECK;

/* Stores bytes under their hash; several threads may put the same ones. There already: DPC_OK at no
 * cost but the hash. */
int dpc_blobs_put(struct dpc_blobs *blobs, const void *bytes, size_t len, struct dpc_hash *ret_hash,
                  struct dpc_error *err) DPC_MUST_CHECK;
/* The same, with a hash that the caller has taken of these bytes. */
int dpc_blobs_put_hashed(struct dpc_blobs *blobs, const struct dpc_hash *hash, const void *bytes,
                         size_t len, struct dpc_error *err) DPC_MUST_CHECK;
/* A part of a complete blob, not checked against the hash. DPC_ERANGE past its end. */
int dpc_blobs_read(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t offset,
                   void *ret_bytes, size_t len) DPC_MUST_CHECK;
/* A whole blob into fresh memory (dpc_free it), checked against its hash: DPC_ECORRUPT names the
 * file and says what to do. */
int dpc_blobs_load(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint8_t **ret_bytes,
                   size_t *ret_len, struct dpc_error *err) DPC_MUST_CHECK;

/* The same without keeping the bytes; gives their number. */
int dpc_blobs_verify(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
                     uint64_t *ret_bytes, struct dpc_error *err) DPC_MUST_CHECK;

/* --- A blob that arrives in pieces, in order, and may be taken up again after a break. */

/* Bytes that stand in `partial/` for this hash; 0 when none. */
uint64_t dpc_blobs_partial(const struct dpc_blobs *blobs, const struct dpc_hash *hash);
/* Writes at `offset`, which must be what dpc_blobs_partial says (else DPC_ESTALE). An append that
 * fails leaves the partial blob as it was. */
int dpc_blobs_append(struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t offset,
                     const void *bytes, size_t len, struct dpc_error *err) DPC_MUST_CHECK;
/* Checks the hash, syncs, renames. DPC_EHASH: the partial file is gone, begin again. Finished
 * before: DPC_OK. Nothing there: DPC_ENOTFOUND. */
int dpc_blobs_finish(struct dpc_blobs *blobs, const struct dpc_hash *hash,
                     struct dpc_error *err) DPC_MUST_CHECK;
void dpc_blobs_discard(struct dpc_blobs *blobs, const struct dpc_hash *hash);

/* --- A blob that is written here, and named when all of it is there. Threads: one at a time. */

struct dpc_blob_draft;

/* An empty one, which is no blob for anybody; a crash leaves nothing that the next open keeps. */
int dpc_blob_draft_open(struct dpc_blobs *blobs, struct dpc_blob_draft **ret_draft,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* At any offset up to its end. After an error there is nothing left to do but to close it. */
int dpc_blob_draft_write(struct dpc_blob_draft *draft, const void *bytes, size_t len,
                         uint64_t offset, struct dpc_error *err) DPC_MUST_CHECK;
/* The name that it will have, and its size; reads all of it. */
int dpc_blob_draft_hash(struct dpc_blob_draft *draft, struct dpc_hash *ret_hash,
                        uint64_t *ret_bytes, struct dpc_error *err) DPC_MUST_CHECK;
/* Makes it the blob `hash`, which dpc_blob_draft_hash has given; there already: DPC_OK. Only
 * closing follows. */
int dpc_blob_draft_publish(struct dpc_blob_draft *draft, const struct dpc_hash *hash,
                           struct dpc_error *err) DPC_MUST_CHECK;
/* Removes what was not published. Takes NULL. */
struct dpc_blob_draft *dpc_blob_draft_close(struct dpc_blob_draft *draft);

/* --- From one folder to another; there already: nothing to do. */

/* A complete blob of `from` under a second name in `to`; `*ret_linked` false where the two do not
 * share a file system that has links. */
int dpc_blobs_link(const struct dpc_blobs *from, struct dpc_blobs *to, const struct dpc_hash *hash,
                   bool *ret_linked, struct dpc_error *err) DPC_MUST_CHECK;
/* Its bytes, checked on the way: DPC_ECORRUPT names the damaged file. */
int dpc_blobs_copy(const struct dpc_blobs *from, struct dpc_blobs *to, const struct dpc_hash *hash,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* Removes a blob; not there: DPC_OK. */
int dpc_blobs_remove(struct dpc_blobs *blobs, const struct dpc_hash *hash) DPC_MUST_CHECK;
/* Calls `visit` for each complete blob, in no order; it may remove the one it is given. */
int dpc_blobs_list(const struct dpc_blobs *blobs,
                   void (*visit)(void *context, const struct dpc_hash *hash, uint64_t bytes),
                   void *context, struct dpc_error *err) DPC_MUST_CHECK;
/* Before what is there is relied on: makes last what was put while no descriptor was left to sync
 * its folder. DPC_EFILES: there still is none. */
int dpc_blobs_settle(struct dpc_blobs *blobs) DPC_MUST_CHECK;
/* A sync failed: nothing is written any more, and the process should end. */
bool dpc_blobs_are_broken(const struct dpc_blobs *blobs);
/* The same for each partial blob. */
int dpc_blobs_list_partials(const struct dpc_blobs *blobs,
                            void (*visit)(void *context, const struct dpc_hash *hash),
                            void *context, struct dpc_error *err) DPC_MUST_CHECK;
/* Bytes that may still be written. */
int dpc_blobs_free_bytes(const struct dpc_blobs *blobs, uint64_t *ret_bytes) DPC_MUST_CHECK;

#endif
