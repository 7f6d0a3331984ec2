/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's half of bulk: one FETCH, OFFER or PUT in, one reply out, no state of its own.
 * What stands of an upload is what the store says, so a worker may go on after any restart.
 *
 * Owns: nothing. Threads: any; a blob is served by one at a time.
 * Limits: `total_max` bytes a blob, DPC_CHUNK_BYTES_MAX a request.
 * Not here: who may ask (the loop looks at the peer's role), counting of peers' faults.
 */
#ifndef DPC_PROTO_SERVE_H
#define DPC_PROTO_SERVE_H

#include "base/error.h"
#include "base/hash.h"
#include "proto/message.h"

/* The shapes of storage/db/store.h's blob calls. */
struct dpc_serve_blobs {
    /* Size of a complete blob, or DPC_ENOTFOUND. */
    int (*size)(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes);
    int (*read)(void *context, const struct dpc_hash *hash, uint64_t offset, void *ret_bytes,
                size_t len);
    /* Bytes of an unfinished one; 0: none. */
    uint64_t (*partial)(void *context, const struct dpc_hash *hash);
    /* Writes at `offset`, which is what `partial` says; an empty blob gets one of no bytes. */
    int (*append)(void *context, const struct dpc_hash *hash, uint64_t offset, const void *bytes,
                  size_t len, struct dpc_error *err);
    /* DPC_EHASH: the bytes were not that blob, and are gone. This one and `read` may answer
     * DPC_EBUSY: not yet. */
    int (*finish)(void *context, const struct dpc_hash *hash, struct dpc_error *err);
    void *context;
    uint64_t total_max; /* bytes of one upload */
};

/* Answers `request`. `*ret_reply` is always set: CHUNK, HAVE or ERROR; a CHUNK's body lies in
 * `scratch` (DPC_CHUNK_BYTES_MAX bytes), an ERROR's text in `err`, which both outlive the sending.
 * DPC_EBUSY: `read` or `finish` will only be able to answer later, and the caller asks again then;
 * `*ret_reply` is not for sending. Else returns DPC_OK, or the code that the ERROR carries: a fault
 * of the peer (DPC_EPROTO, DPC_ELIMIT, DPC_ENOTFOUND, DPC_ERANGE, DPC_EHASH) or of this machine
 * (DPC_ENOSPACE, DPC_EIO, ...). */
int dpc_serve_bulk(const struct dpc_serve_blobs *blobs, const struct dpc_msg *request,
                   uint8_t *scratch, struct dpc_msg *ret_reply, struct dpc_error *err);

#endif
