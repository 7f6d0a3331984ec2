/* SPDX-License-Identifier: Apache-2.0
 * The one place that asks the kernel for time. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t
read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t
boot_ms(void *context)
{
    (void)context;
    return read_ns(CLOCK_BOOTTIME) / 1000000;
}

const struct dpc_clock dpc_clock_system = {.now_ms = boot_ms, .context = NULL};

static int64_t
wall_ms(void *context)
{
    (void)context;
    return read_ns(CLOCK_REALTIME) / 1000000;
}

const struct dpc_clock dpc_clock_wall = {.now_ms = wall_ms, .context = NULL};

int64_t
dpc_clock_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}
