/* SPDX-License-Identifier: Apache-2.0
 *
 * Module versions that are made here: of the version before, which is in the cache, and a
 * difference to it, which is all that has to be fetched (transfer.download). The hash of the
 * version settles that it is the one that was meant. Who lacks the version before fetches the new
 * one whole.
 *
 * Owns: nothing. Threads: as the cache. Not here: the forms of differences (base/codec.h), how they
 * come about (coordinator/versions/outer.h).
 */
#ifndef DPC_WORKER_COMPUTE_VERSIONS_H
#define DPC_WORKER_COMPUTE_VERSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proto/message.h"
#include "worker/blobs/cache.h"
#include "worker/session/session.h"

/* The values of a tensor of the cache. DPC_EPROTO: it is of another shape, or none, though as its
 * hash says, and to fetch it again would not help. Else errors are those of dpc_cache_load. */
int dpc_versions_read(struct dpc_cache *cache, const struct dpc_blob_ref *ref, size_t count,
                      float *ret_values, struct dpc_error *err) DPC_MUST_CHECK;

/* Puts differences in the place of versions in the list of what a lease fetches, where that will
 * do. */
void dpc_versions_choose(struct dpc_cache *cache, const struct dpc_msg_lease *lease,
                         struct dpc_session_blobs *blobs);

/* Of those that the lease names but that have to be made yet. */
uint64_t dpc_versions_to_make_bytes(struct dpc_cache *cache, const struct dpc_msg_lease *lease);

/* The version of the module at `place`, of `count` values: as it is in the cache, or made, and then
 * put there for the next difference if there is room. DPC_ENOTFOUND, DPC_ECORRUPT: it must be
 * fetched whole; DPC_EPROTO: it is of another shape; DPC_ENOMEM, and what the cache says. */
int dpc_versions_load(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place,
                      size_t count, float *ret_values, struct dpc_error *err) DPC_MUST_CHECK;

#endif
