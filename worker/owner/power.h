/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine runs on, as the kernel tells it, and whether its owner lets it work on that.
 *
 * Owns: nothing. Threads: any. Limits: DPC_POWER_SUPPLIES_MAX supplies are looked at.
 */
#ifndef DPC_WORKER_OWNER_POWER_H
#define DPC_WORKER_OWNER_POWER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DPC_POWER_SUPPLIES_MAX = 64,
    DPC_POWER_NEVER = 101, /* a percentage that no battery has */
};

struct dpc_power {
    bool on_battery;
    bool known;       /* the charge */
    uint32_t percent; /* of charge, where that is known; else 100 */
};

/* "yes", "no" or a percentage: how much charge there must be to work on battery, 0 .. 100 or
 * DPC_POWER_NEVER. */
bool dpc_power_parse(const char *text, uint32_t *ret_percent_min);

/* Looks into `folder` (NULL: /sys/class/power_supply). A machine runs on battery when one is being
 * discharged and no mains are on; what it cannot tell counts as mains, and batteries of mice and
 * the like do not count. */
struct dpc_power dpc_power_look(const char *folder);

#endif
