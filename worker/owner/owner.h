/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the owner of the machine lets it work just now: all that he said, put together.
 *
 * Owns: what looks at the machine for each of his wishes. Threads: one. Limits: looks are as seldom
 * as its caller makes them. Not here: what follows (worker/loop_owner.c).
 */
#ifndef DPC_WORKER_OWNER_OWNER_H
#define DPC_WORKER_OWNER_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/owner/hours.h"

enum { DPC_OWNER_TEXT_MAX = 128 };

struct dpc_owner_options {
    struct dpc_hours hours;
    uint32_t battery_percent_min; /* (power.h) */
    const char *power_folder;     /* NULL: the kernel's */
    uint64_t idle_minutes;        /* that nobody used the machine for; 0: it may be used */
};

struct dpc_owner_verdict {
    bool rests;
    char text[DPC_OWNER_TEXT_MAX]; /* why */
    int64_t left_ms;               /* until it is over; INT64_MAX: nobody knows */
};

struct dpc_owner;

/* For a worker of `folder`. The options' texts must outlive it. */
struct dpc_owner *dpc_owner_create(const struct dpc_owner_options *options, const char *folder);
/* Takes NULL and returns NULL. */
struct dpc_owner *dpc_owner_destroy(struct dpc_owner *owner);

/* Looks at the machine. Of several reasons to rest it tells the one that lasts longest, as far as
 * is known. */
void dpc_owner_look(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
                    struct dpc_owner_verdict *ret_verdict);

#endif
