/* SPDX-License-Identifier: Apache-2.0
 *
 * A mirror of the coordinator's blobs: a web server, such as a cache near the workers, that takes
 * downloads off the coordinator's line. Nothing depends on it: a blob's name is its hash, so a
 * mirror can be slow, stale or hostile and do no more than cost time; what it does not bring, the
 * coordinator does.
 *
 * A mirror that fails is let alone for DPC_MIRROR_PAUSE_MS, doubling up to DPC_MIRROR_PAUSE_MS_MAX;
 * one that lacks DPC_MIRROR_LACKS_MAX blobs one after another has failed, too. Blobs of at most
 * DPC_BLOB_INLINE_MAX bytes, which the coordinator keeps in no files, are not asked for.
 *
 * Owns: its wire and transfer. Threads: those of http_wire.h. Not here: which mirror
 * (worker/loop_transfer.c).
 */
#ifndef DPC_WORKER_BLOBS_MIRROR_H
#define DPC_WORKER_BLOBS_MIRROR_H

#include "worker/blobs/http_wire.h"

enum {
    DPC_MIRROR_PAUSE_MS = 60 * 1000,
    DPC_MIRROR_PAUSE_MS_MAX = 32 * DPC_MIRROR_PAUSE_MS,
    DPC_MIRROR_LACKS_MAX = 8,
};

struct dpc_mirror;

/* Files and gate as in proto/transfer.h; what is behind them must outlive the mirror. */
int dpc_mirror_open(const struct dpc_http_wire_options *options,
                    const struct dpc_transfer_files *files, const struct dpc_transfer_gate *gate,
                    struct dpc_mirror **ret_mirror, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_mirror *dpc_mirror_close(struct dpc_mirror *mirror);

/* Queues a blob; false: it is not for the mirror, as things are now. */
bool dpc_mirror_fetch(struct dpc_mirror *mirror, const struct dpc_blob_ref *blob, int64_t now_ms);
/* Forgets all that is queued. */
void dpc_mirror_cancel(struct dpc_mirror *mirror);

/* Readable when there is something for _pump. */
int dpc_mirror_fd(const struct dpc_mirror *mirror);
/* Moves things on. True: the mirror does not bring `*ret_missed`, so the coordinator has to; call
 * it again then. */
bool dpc_mirror_pump(struct dpc_mirror *mirror, int64_t now_ms, struct dpc_blob_ref *ret_missed);

/* Nothing queued and nothing under way. */
bool dpc_mirror_is_idle(const struct dpc_mirror *mirror);
/* It failed, and is let alone for a while. */
bool dpc_mirror_is_paused(const struct dpc_mirror *mirror, int64_t now_ms);
/* Bytes that it brought since it was opened. */
uint64_t dpc_mirror_bytes(const struct dpc_mirror *mirror);

#endif
