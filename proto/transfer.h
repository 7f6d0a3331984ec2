/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving blobs over a bulk link: chunk by chunk, under credit, resumable, checked by hash at the
 * end. The worker drives both directions (it fetches, it puts); the coordinator answers each
 * request from its store, so the credit is the number of requests that the worker keeps open.
 *
 * Owns: its lists of wanted and offered blobs, not the blobs. Threads: the link's.
 * Limits: DPC_TRANSFER_CREDIT requests open, of DPC_TRANSFER_CHUNK bytes.
 * Not here: where bytes come from and go to; `struct dpc_transfer_files` says that, and the blob
 * cache of the worker implements it.
 */
#ifndef DPC_PROTO_TRANSFER_H
#define DPC_PROTO_TRANSFER_H

#include "proto/channel.h"
#include "proto/message.h"

enum {
    DPC_TRANSFER_CREDIT = 8,
    DPC_TRANSFER_CHUNK = 512 * 1024,
    DPC_TRANSFER_STUCK_MS = 5 * 60 * 1000, /* longer than a chunk takes at 2 kB/s */
};

/* Where blobs are kept on this side. All return DPC_OK or an error code. */
struct dpc_transfer_files {
    /* Bytes of an unfinished blob that are kept from before (0: none); DPC_EEXIST: it is complete.
     */
    int (*have)(void *context, const struct dpc_blob_ref *blob, uint64_t *ret_bytes);
    int (*write)(void *context, const struct dpc_blob_ref *blob, uint64_t offset, const void *bytes,
                 size_t len);
    /* All bytes arrived: check the hash and make it complete. DPC_EHASH: dropped, fetch it again.
     * An empty blob gets one write of no bytes before. */
    int (*finish)(void *context, const struct dpc_blob_ref *blob);
    int (*read)(void *context, const struct dpc_blob_ref *blob, uint64_t offset, void *ret_bytes,
                size_t len);
    void *context;
};

struct dpc_transfer;

struct dpc_transfer *dpc_transfer_create(struct dpc_link *link,
                                         const struct dpc_transfer_files *files);

/* The link as the transfer sees it; tests put a lossy one in its place. */
struct dpc_transfer_wire {
    int (*send)(void *context, const struct dpc_msg *msg); /* DPC_EAGAIN: not now */
    /* Grows when a new connection stands: what was under way is lost. */
    uint64_t (*epoch)(void *context);
    void *context;
    /* Every request is answered in the end, if by an error: none is asked again. */
    bool answers_all;
};
struct dpc_transfer *dpc_transfer_create_on(const struct dpc_transfer_wire *wire,
                                            const struct dpc_transfer_files *files);
/* Who says how much may move: for the sake of whoever else is on the line. */
struct dpc_transfer_gate {
    /* Of `len` bytes that could go up, or be asked for, now: how many may; 0: none yet. */
    size_t (*may)(void *context, bool up, size_t len, int64_t now_ms);
    /* They have gone up, or been asked for. */
    void (*moved)(void *context, bool up, size_t len);
    void *context;
};
/* Without one (NULL), everything may. What is behind `context` must outlive the transfer. */
void dpc_transfer_set_gate(struct dpc_transfer *transfer, const struct dpc_transfer_gate *gate);

struct dpc_transfer *dpc_transfer_destroy(struct dpc_transfer *transfer);

/* Queues one blob; one that is here already (fetch) counts as done. The same twice is once. */
int dpc_transfer_fetch(struct dpc_transfer *transfer, const struct dpc_blob_ref *blob,
                       struct dpc_error *err) DPC_MUST_CHECK;
int dpc_transfer_put(struct dpc_transfer *transfer, const struct dpc_blob_ref *blob,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* It is queued to be fetched. */
bool dpc_transfer_is_fetching(const struct dpc_transfer *transfer, const struct dpc_hash *hash);
/* Forgets all that is queued; answers still under way are dropped when they come. */
void dpc_transfer_cancel(struct dpc_transfer *transfer);

/* Sends what the credit allows and asks again for what got no answer within the retry time, which
 * follows from the measured time of a chunk on this link. Call it after each receive and tick. */
int dpc_transfer_pump(struct dpc_transfer *transfer, int64_t now_ms,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Gives a message of the bulk link to the transfer. An error (here, or from _pump) is final and all
 * that was queued is forgotten: the coordinator refused, the disk is full, a hash did not match
 * twice. */
int dpc_transfer_handle(struct dpc_transfer *transfer, const struct dpc_msg *msg, int64_t now_ms,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* It has asked for so long, and nothing came: the connection is dead, though it seems to stand, as
 * behind a proxy that keeps its own end open. Another one is worth a try (dpc_link_renew). */
bool dpc_transfer_is_stuck(const struct dpc_transfer *transfer, int64_t now_ms);
/* Nothing queued and nothing under way. */
bool dpc_transfer_idle(const struct dpc_transfer *transfer);
/* Bytes of payload moved since creation. */
uint64_t dpc_transfer_bytes_fetched(const struct dpc_transfer *transfer);
uint64_t dpc_transfer_bytes_put(const struct dpc_transfer *transfer);

#endif
