/* SPDX-License-Identifier: Apache-2.0
 *
 * The hours of the week at which a machine may work, as its owner said them: what the clock on the
 * wall shows, so that summer time needs no thought. An hour that the clock shows twice is meant
 * twice.
 *
 * Owns: nothing. Threads: any. Limits: whole minutes.
 */
#ifndef DPC_WORKER_OWNER_HOURS_H
#define DPC_WORKER_OWNER_HOURS_H

#include <stdbool.h>
#include <stdint.h>

enum { DPC_HOURS_MINUTES = 7 * 24 * 60 };

struct dpc_hours {
    bool are_some;                          /* false: they are all */
    uint8_t minutes[DPC_HOURS_MINUTES / 8]; /* a bit each, from Sunday 00:00 on */
};

/* "22:00-07:00", "mon-fri 20:00-06:00, sat,sun 00:00-24:00": ranges with commas between them, days
 * before them or none for all. A range that ends before it begins goes on over midnight, and
 * belongs to the day on which it begins. Days hold for the one range behind them. False for what is
 * none of that. */
bool dpc_hours_parse(const char *text, struct dpc_hours *ret_hours);

/* "07:30" at `*at`, up to 24:00, as minutes of a day; `*at` is then behind it. */
bool dpc_hours_read_minute(const char **at, int *ret_minute);

/* Whether `wall_s` (seconds since 1970) is among them, in local time. */
bool dpc_hours_hold(const struct dpc_hours *hours, int64_t wall_s);
/* The next whole minute at which the answer is another one; INT64_MAX: there is none. */
int64_t dpc_hours_change_s(const struct dpc_hours *hours, int64_t wall_s);

#endif
