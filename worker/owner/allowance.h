/* SPDX-License-Identifier: Apache-2.0
 *
 * What the owner of the machine allows transfers: a rate each way, and so many bytes a calendar
 * month; and how many there were today and this month, kept over restarts. The control channel is
 * exempt, so that a worker that may hardly move anything is still heard.
 *
 * Owns: a file in the worker's folder. Threads: one. Limits: a rate is kept over any stretch of
 * time up to DPC_ALLOWANCE_BURST_MS of it, or DPC_ALLOWANCE_BURST_BYTES, more. A process that is
 * killed forgets DPC_ALLOWANCE_SAVE_MS of counting at most. Not here: what follows when a month's
 * bytes are used up (worker/loop_owner.c).
 */
#ifndef DPC_WORKER_OWNER_ALLOWANCE_H
#define DPC_WORKER_OWNER_ALLOWANCE_H

#include "base/vfs.h"
#include "proto/transfer.h"

enum {
    DPC_ALLOWANCE_BURST_MS = 1000,
    DPC_ALLOWANCE_BURST_BYTES = 16 * 1024, /* whatever the rate: a message costs bytes of its own */
    DPC_ALLOWANCE_SAVE_MS = 60000,
    DPC_ALLOWANCE_KIB_S_MAX = 1 << 22,
    DPC_ALLOWANCE_GIB_MAX = 1 << 20,
};

struct dpc_allowance_options {
    uint64_t up_kib_s, down_kib_s; /* 0: no limit */
    uint64_t month_gib;            /* both ways together; 0: no limit */
};

struct dpc_allowance_bytes {
    uint64_t day_up, day_down, month_up, month_down;
};

struct dpc_allowance;

/* Takes up the counts of the file in `folder`. One that makes no sense is as none: `err`, whose
 * code is then not DPC_OK, says why. The vfs must outlive it. */
struct dpc_allowance *dpc_allowance_open(const struct dpc_vfs *vfs, const char *folder,
                                         const struct dpc_allowance_options *options,
                                         struct dpc_error *err);
/* Takes NULL and returns NULL. What was counted since the last save is lost. */
struct dpc_allowance *dpc_allowance_close(struct dpc_allowance *allowance);

/* For transfers, which it must outlive. */
struct dpc_transfer_gate dpc_allowance_gate(struct dpc_allowance *allowance);

/* What was counted today and this month, by the local calendar. A wall clock that was not set yet,
 * or is set right within a day (of `now_ms`, which only goes on), takes nothing of the month away.
 */
struct dpc_allowance_bytes dpc_allowance_count(struct dpc_allowance *allowance, int64_t now_ms,
                                               int64_t wall_s);
/* This month's bytes are used up until `*ret_until_s`, its end. */
bool dpc_allowance_is_used_up(struct dpc_allowance *allowance, int64_t now_ms, int64_t wall_s,
                              int64_t *ret_until_s);

/* Writes the counts when that is due, or `now`. */
int dpc_allowance_save(struct dpc_allowance *allowance, int64_t now_ms, bool now,
                       struct dpc_error *err) DPC_MUST_CHECK;

#endif
