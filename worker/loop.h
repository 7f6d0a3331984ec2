/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's event loop: sockets, signals and the compute thread on one side, the session on the
 * other. It feeds the session what happens and carries out what it answers.
 *
 * Owns: links, transfers, cache, spill, device, runner, session and owner. Threads: the
 * caller's, plus the runner's and libzmq's. Not here: options, keys, the lock on the folder
 * (main.c).
 */
#ifndef DPC_WORKER_LOOP_H
#define DPC_WORKER_LOOP_H

#include "base/clock.h"
#include "proto/channel.h"
#include "worker/owner/allowance.h"
#include "worker/compute/device.h"
#include "worker/owner/notice.h"
#include "worker/owner/owner.h"

struct dpc_worker_options {
    const char *folder;   /* the worker's own; the cache lies in it */
    const char *endpoint; /* the coordinator's control channel */
    const char *name;
    struct dpc_keypair keypair;
    struct dpc_key server_key;
    uint64_t cache_bytes;
    uint32_t threads;      /* that compute */
    uint64_t memory_bytes; /* for computing; 0: no limit */
    struct dpc_device_options device;
    struct dpc_notice_options notice;
    struct dpc_owner_options owner;
    struct dpc_allowance_options allowance;

    const char *mirror; /* where blobs come from, too; "none"; NULL: as the coordinator says */
    bool keep_lease;    /* a process that is told to end leaves its lease to the next one */
};

struct dpc_worker;

/* Everything but the first hello. The options must outlive the worker. */
int dpc_worker_create(const struct dpc_worker_options *options, struct dpc_worker **ret_worker,
                      struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_worker *dpc_worker_destroy(struct dpc_worker *worker);

enum { DPC_WORKER_ANEW = 256 /* no exit status: the program is to begin again, as it began */ };

/* Works until SIGTERM, SIGINT or SIGHUP (caught from _create on), or until it makes no sense to go
 * on; returns the exit status, or DPC_WORKER_ANEW. */
int dpc_worker_run(struct dpc_worker *worker);

/* After _run: nothing is being computed any more, so that _destroy will not wait for a step. */
bool dpc_worker_is_idle(struct dpc_worker *worker);

#endif
