/* SPDX-License-Identifier: Apache-2.0
 *
 * Time as an argument. Everything that decides by time takes milliseconds of a monotonic clock from
 * its caller; the simulator and the tests turn that clock by hand. No wall clock crosses machines.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_BASE_CLOCK_H
#define DPC_BASE_CLOCK_H

#include <stdint.h>

/* A clock that a caller injects: monotonic milliseconds from an arbitrary start. */
struct dpc_clock {
    int64_t (*now_ms)(void *context);
    void *context;
};

static inline int64_t
dpc_clock_now_ms(const struct dpc_clock *clock)
{
    return clock->now_ms(clock->context);
}

/* CLOCK_BOOTTIME: it goes on while the machine sleeps, so that a lease runs out on a closed laptop. */
extern const struct dpc_clock dpc_clock_system;

/* CLOCK_REALTIME since 1970, for what people mean by hours and months. It may jump. */
extern const struct dpc_clock dpc_clock_wall;
static inline int64_t
dpc_clock_wall_s(void)
{
    return dpc_clock_now_ms(&dpc_clock_wall) / 1000;
}

/* Monotonic nanoseconds for measuring how long something took. */
int64_t dpc_clock_ns(void);

#endif
