/* SPDX-License-Identifier: Apache-2.0
 *
 * How a worker stands, for the owner of its machine: one JSON file in the worker's folder, which
 * `dipaco-worker --status` reads. Nothing listens on a volunteer's machine, so nobody else can ask.
 * What came of leases is counted over restarts: a process goes on from what the file says.
 *
 * Owns: the file, and a temporary one while it writes. Threads: one. Limits: written when something
 * other than progress has changed, once a DPC_STANDING_CHANGE_MS at most; else once a
 * DPC_STANDING_PACE_MS, or while nothing moves a DPC_STANDING_STILL_MS; synced only when the counts
 * have changed. Times in it are seconds since 1970. Not here: what the figures are (loop_owner.c),
 * whether a worker runs (main.c).
 */
#ifndef DPC_WORKER_STANDING_H
#define DPC_WORKER_STANDING_H

#include "base/limits.h"
#include "base/vfs.h"
#include "worker/owner/allowance.h"
#include "worker/session/session.h"

enum {
    DPC_STANDING_CHANGE_MS = 1000,
    DPC_STANDING_PACE_MS = 5000,
    DPC_STANDING_STILL_MS = 60000,
    DPC_STANDING_BYTES_MAX = 65536, /* of the file */
    DPC_STANDING_TEXT_MAX = 256,
};

/* What moves all the time. */
struct dpc_standing_pace {
    uint32_t steps_done;
    double tokens_per_s;
    struct dpc_allowance_bytes bytes; /* of transfers */
    uint64_t cache_bytes;
    uint64_t mirror_bytes; /* of this process */
};

struct dpc_standing_lease {
    enum dpc_task_kind kind;
    uint32_t path, round;
};

/* Zero it whole before it is filled: two are compared byte by byte. */
struct dpc_standing {
    char name[DPC_NAME_MAX], endpoint[DPC_ENDPOINT_MAX];
    char device[DPC_STANDING_TEXT_MAX];
    char mirror[DPC_ENDPOINT_MAX]; /* worker/blobs/mirror.h; empty: none is asked */
    bool mirror_paused;
    char paused[DPC_STANDING_TEXT_MAX]; /* why; empty: it is not */
    int64_t paused_until_s;             /* 0: not known */
    int64_t started_s, contact_s;       /* when contact was found or lost */
    int64_t ended_s;                    /* 0: it runs */
    bool connected, leased, computing;
    enum dpc_session_work work;
    struct dpc_standing_lease lease;
    uint32_t units; /* of the lease: steps, or documents */
    bool hands_in;  /* another one beside it */
    struct dpc_standing_lease handing_in;
    uint64_t cache_limit, month_limit; /* bytes; month: 0: none */
    struct dpc_session_counts counts;  /* of this process */
    struct dpc_standing_pace pace;     /* last: left out of comparisons */
};

struct dpc_standing_file;

/* Takes up the counts of the file that is there. One that cannot be read is as none: `err`, whose
 * code is then not DPC_OK, says why. The vfs must outlive it. */
struct dpc_standing_file *dpc_standing_open(const struct dpc_vfs *vfs, const char *folder,
                                            struct dpc_error *err);
/* Takes NULL and returns NULL. The file stays. */
struct dpc_standing_file *dpc_standing_close(struct dpc_standing_file *file);

/* Writes what `standing` says, if that is due; `now_ms` is monotonic, `wall_s` of the wall clock.
 * What failed is tried again as soon as a write is due. */
int dpc_standing_write(struct dpc_standing_file *file, const struct dpc_standing *standing,
                       int64_t now_ms, int64_t wall_s, struct dpc_error *err) DPC_MUST_CHECK;

/* The file as text for people, or as JSON with `running` and `age_s` beside what it says, in fresh
 * memory (dpc_free it). DPC_ENOTFOUND: no worker has ever run in that folder. */
int dpc_standing_show(const struct dpc_vfs *vfs, const char *folder, bool running, bool json,
                      int64_t wall_s, char **ret_text, struct dpc_error *err) DPC_MUST_CHECK;

#endif
