/* SPDX-License-Identifier: Apache-2.0
 *
 * A rest that the owner of the machine gives it by hand: a small file in the worker's folder, which
 * `dipaco-worker --snooze` writes and the running worker looks at every second. It ends by itself,
 * and outlasts the worker's process.
 *
 * A rest is a length of time. A worker counts it by a clock that nobody sets, from when it first
 * sees the file: a wall clock that jumps makes it neither longer nor shorter. What is left of one
 * that was given to an earlier process follows from the wall clock, and is never more than the
 * whole; where that clock says less than when the rest was given, it is not believed until it does
 * not.
 *
 * Owns: the file. Threads: one. Limits: DPC_SNOOZE_S_MAX. Not here: what rests
 * (worker/loop_owner.c).
 */
#ifndef DPC_WORKER_OWNER_SNOOZE_H
#define DPC_WORKER_OWNER_SNOOZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { DPC_SNOOZE_S_MAX = 60 * 60 * 24 * 31 };

/* How long "2h", "30m", "90s", "1d" or a row of these is, or until the wall clock says the time of
 * "07:00" or "until 07:00"; 0 for "off". DPC_EINVAL for anything else and for more than
 * DPC_SNOOZE_S_MAX. */
int dpc_snooze_parse(const char *text, int64_t wall_s, int64_t *ret_seconds) DPC_MUST_CHECK;

/* Gives a rest of `seconds` from `wall_s` on, in the place of any other; 0 ends it. */
int dpc_snooze_write(const char *folder, int64_t wall_s, int64_t seconds,
                     struct dpc_error *err) DPC_MUST_CHECK;

struct dpc_snooze;

struct dpc_snooze *dpc_snooze_create(const char *folder);
/* Takes NULL and returns NULL. The file stays. */
struct dpc_snooze *dpc_snooze_destroy(struct dpc_snooze *snooze);

/* Looks at the file. Milliseconds that are left of the rest; 0: there is none. A file that makes no
 * sense gives none: `err`, whose code is else DPC_OK, says so once. */
int64_t dpc_snooze_left_ms(struct dpc_snooze *snooze, int64_t now_ms, int64_t wall_s,
                           struct dpc_error *err);

#endif
