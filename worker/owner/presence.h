/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether somebody uses the machine: logind knows since when keyboard, mouse and terminals of all
 * sessions have been idle. Where there is no logind, or nobody logs in, nobody can be disturbed,
 * and the machine counts as idle.
 *
 * Owns: a connection to the system bus. Threads: one. Limits: looked at once a
 * DPC_PRESENCE_PERIOD_MS; a question takes DPC_PRESENCE_TIMEOUT_MS at most.
 */
#ifndef DPC_WORKER_OWNER_PRESENCE_H
#define DPC_WORKER_OWNER_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum {
    DPC_PRESENCE_PERIOD_MS = 5000,
    DPC_PRESENCE_TIMEOUT_MS = 500,
    DPC_PRESENCE_RETRY_MS = 60000, /* after a failure */
    DPC_PRESENCE_MINUTES_MAX = 24 * 60,
};

/* Where it is asked; tests put theirs in logind's place. */
struct dpc_presence_source {
    /* For how long nobody has used the machine; 0: somebody does. */
    int (*read)(void *context, int64_t *ret_idle_ms, struct dpc_error *err);
    void *context;
};

struct dpc_presence;

/* Wants nobody for `minutes`. */
struct dpc_presence *dpc_presence_create(uint32_t minutes,
                                         const struct dpc_presence_source *source);
/* The same, as logind says. */
struct dpc_presence *dpc_presence_create_of_logind(uint32_t minutes);
/* Takes NULL and returns NULL. */
struct dpc_presence *dpc_presence_destroy(struct dpc_presence *presence);

/* Whether somebody has used the machine within the minutes; `*ret_left_ms` until nobody has if
 * nobody comes, INT64_MAX while somebody is there. Where nobody can tell, nobody has: `err`, whose
 * code is else DPC_OK, says so once. */
bool dpc_presence_is_felt(struct dpc_presence *presence, int64_t now_ms, int64_t *ret_left_ms,
                          struct dpc_error *err);

#endif
