/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's blobs on disk: module versions, token files and path states that it fetched, deltas
 * and states that it made. Content-addressed, so that what is there already need not cross the wire
 * again.
 *
 * Keeps at most `budget` bytes, those that are on their way included: the least recently used blob
 * goes first, a pinned one never. What the lease in hand needs is pinned from its fetch until it is
 * over, and so is what its job puts; what is handed in beside the next lease is pinned for that. A
 * path state that is for this worker alone is held: it goes after all that can be fetched again. A
 * blob that turns out damaged is dropped, so that the next fetch brings it again.
 *
 * Owns: the folder, one process at a time (worker/main.c locks it). Threads: any; bulk transfers
 * call from the loop, jobs from theirs. Limits: the budget; DPC_ENOSPACE when pinned blobs leave no
 * room.
 */
#ifndef DPC_WORKER_BLOBS_CACHE_H
#define DPC_WORKER_BLOBS_CACHE_H

#include "base/vfs.h"
#include "proto/transfer.h"

struct dpc_cache;

/* Opens (and makes) the folder. Blobs of earlier runs count as least recently used. The vfs must
 * outlive the cache. */
int dpc_cache_open(const struct dpc_vfs *vfs, const char *folder, uint64_t budget,
                   struct dpc_cache **ret_cache, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_cache *dpc_cache_close(struct dpc_cache *cache);

/* For whom a blob must stay. */
enum dpc_cache_use { DPC_CACHE_LEASE, DPC_CACHE_HANDING_IN };

/* Blobs that must stay, whether they are here already or not. */
void dpc_cache_pin(struct dpc_cache *cache, enum dpc_cache_use use, const struct dpc_blob_ref *refs,
                   uint32_t count);
/* All that were pinned for that; unfinished blobs among them are kept, to be taken up again. */
void dpc_cache_unpin(struct dpc_cache *cache, enum dpc_cache_use use);

/* Holds a blob that nobody else has, in the place of the one that was held for `path` before. Not
 * over a restart: it then counts as any other. */
void dpc_cache_hold(struct dpc_cache *cache, uint32_t path, const struct dpc_hash *hash);

/* Whether a whole blob of that name and size is here, which counts as a use; what it holds is not
 * looked at. One of another size is dropped. */
bool dpc_cache_has(struct dpc_cache *cache, const struct dpc_blob_ref *ref);

/* A whole blob, its hash checked; dpc_free it. DPC_ECORRUPT when it was damaged (it is dropped
 * then), DPC_ENOTFOUND. */
int dpc_cache_load(struct dpc_cache *cache, const struct dpc_blob_ref *ref, uint8_t **ret_bytes,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* The file of a blob, its hash checked likewise, for mapping. Pin it first: it must not go before
 * it is mapped, and one that goes afterwards takes its room on the disk until it is unmapped. */
int dpc_cache_path(struct dpc_cache *cache, const struct dpc_blob_ref *ref, char *ret_path,
                   size_t size, struct dpc_error *err) DPC_MUST_CHECK;
/* Stores bytes and pins them for the lease; _hashed: whose hash is known. */
int dpc_cache_put_hashed(struct dpc_cache *cache, const struct dpc_hash *hash, const void *bytes,
                         size_t len, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_cache_put(struct dpc_cache *cache, const void *bytes, size_t len,
                  struct dpc_blob_ref *ret_ref, struct dpc_error *err) DPC_MUST_CHECK;

/* So many bytes could be put beside all that is pinned or on its way. */
bool dpc_cache_has_room(struct dpc_cache *cache, uint64_t bytes);

/* Bytes of all complete blobs. */
uint64_t dpc_cache_bytes(struct dpc_cache *cache);

/* The disk failed to keep a write, or somebody took the folder away: nothing is written any more,
 * and the process should end; the next one makes the folder again. */
bool dpc_cache_is_broken(const struct dpc_cache *cache);

/* The cache as the place that transfers fetch into and put from. */
struct dpc_transfer_files dpc_cache_files(struct dpc_cache *cache);

#endif
