/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs in memory for tests of transfers: both ends keep theirs on a shelf. Behaves as
 * storage/blob/blob.h: pieces in order, the hash checked at the end, damaged ones dropped.
 */
#ifndef DPC_TESTS_PROTO_SHELF_H
#define DPC_TESTS_PROTO_SHELF_H

#include "proto/serve.h"
#include "proto/transfer.h"

enum { DPC_SHELF_BLOBS_MAX = 16 };

struct dpc_shelf_blob {
    struct dpc_hash hash;
    uint8_t *bytes;
    size_t len;
    bool complete;
};

struct dpc_shelf {
    struct dpc_shelf_blob blobs[DPC_SHELF_BLOBS_MAX];
    size_t count;
    /* Faults. */
    int flips;      /* reads of which a bit is flipped; negative: all */
    int write_code; /* what a write answers */
    size_t writes;
};

/* Puts a complete blob of `len` bytes made from `seed` there. */
struct dpc_blob_ref dpc_shelf_make(struct dpc_shelf *shelf, size_t len, uint32_t seed);
/* The blob of that name, or NULL. */
struct dpc_shelf_blob *dpc_shelf_find(struct dpc_shelf *shelf, const struct dpc_hash *hash);
void dpc_shelf_forget(struct dpc_shelf *shelf, const struct dpc_hash *hash);
bool dpc_shelf_holds(struct dpc_shelf *shelf, const struct dpc_blob_ref *blob);
void dpc_shelf_done(struct dpc_shelf *shelf);

struct dpc_serve_blobs dpc_shelf_serve(struct dpc_shelf *shelf);
struct dpc_transfer_files dpc_shelf_files(struct dpc_shelf *shelf);

#endif
