/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers of one machine that compute in turns: who has the turn holds a lock on a file that they
 * all name, and gives it up while it hands in, so that another one computes meanwhile. It goes with
 * the process, however that ends.
 *
 * Owns: a descriptor. Threads: one. Not here: when a worker wants the turn (loop_owner.c).
 */
#ifndef DPC_WORKER_TURNS_H
#define DPC_WORKER_TURNS_H

#include <stdbool.h>

#include "base/error.h"

struct dpc_turns;

/* Makes the file if there is none. Reading it must be allowed, writing not: services of several
 * users share one. An error where the file system cannot lock, too. */
int dpc_turns_open(const char *path, struct dpc_turns **ret_turns,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL and returns NULL. */
struct dpc_turns *dpc_turns_close(struct dpc_turns *turns);

/* Without waiting: true when it has the turn, now or already. */
bool dpc_turns_take(struct dpc_turns *turns);
void dpc_turns_give(struct dpc_turns *turns);

#endif
