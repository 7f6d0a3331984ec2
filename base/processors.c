/* SPDX-License-Identifier: Apache-2.0
 * Linux's affinity sets. Lists are written as taskset(1) and cpuset(7) have them. */
#include "base/processors.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

_Static_assert(DPC_PROCESSORS_MAX <= CPU_SETSIZE, "a set holds them");

static cpu_set_t
allowed(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) == 0)
        CPU_SET(0, &set);
    return set;
}

uint32_t
dpc_processors_count(void)
{
    cpu_set_t set = allowed();
    uint32_t count = (uint32_t)CPU_COUNT(&set);
    double limit = ceil(dpc_cgroup_own().processors);
    return limit >= 1 && limit < count ? (uint32_t)limit : count;
}

/* The number of the `index`th processor of the set. */
static int
nth(const cpu_set_t *set, uint32_t index)
{
    for (int cpu = 0; cpu < DPC_PROCESSORS_MAX; cpu++) {
        if (CPU_ISSET((size_t)cpu, set) && index-- == 0)
            return cpu;
    }
    return 0;
}

/* The part of `count` things that falls to `share`. */
static void
cut(uint32_t count, uint32_t share, uint32_t shares, uint32_t *ret_from, uint32_t *ret_to)
{
    *ret_from = shares <= count ? share * count / shares : share % count;
    *ret_to = shares <= count ? (share + 1) * count / shares : *ret_from + 1;
}

/* A limit is of all processors together, so lists are cut from the whole set: the first ones alone
 * are those that every other container would choose, too. */
uint32_t
dpc_processors_share(uint32_t share, uint32_t shares, char *ret_list, size_t size)
{
    cpu_set_t set = allowed();
    uint32_t from, to, busy_from, busy_to;
    size_t used = 0;
    cut((uint32_t)CPU_COUNT(&set), share, shares, &from, &to);
    cut(dpc_processors_count(), share, shares, &busy_from, &busy_to);
    for (uint32_t i = from; i < to && used < size; i++) {
        int written =
            snprintf(ret_list + used, size - used, "%s%d", i > from ? "," : "", nth(&set, i));
        used += written > 0 ? (size_t)written : 0;
    }
    return busy_to - busy_from;
}

uint32_t
dpc_processors_each(uint32_t shares)
{
    uint32_t count = dpc_processors_count();
    return shares < count ? count / shares : 1;
}

/* One number; moves `*at` behind it. */
static bool
read_number(const char **at, unsigned long *ret_number)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *ret_number = strtoul(*at, &end, 10);
    *at = end;
    return *ret_number < DPC_PROCESSORS_MAX;
}

static bool
read_list(const char *list, cpu_set_t *ret_set)
{
    CPU_ZERO(ret_set);
    for (const char *at = list;; at++) {
        unsigned long first, last;
        if (!read_number(&at, &first))
            return false;
        last = first;
        if (*at == '-' && (at++, !read_number(&at, &last)))
            return false;
        for (unsigned long cpu = first; cpu <= last; cpu++)
            CPU_SET(cpu, ret_set);
        if (last < first || (*at && *at != ','))
            return false;
        if (!*at)
            return true;
    }
}

int
dpc_processors_pin(const char *list, struct dpc_error *err)
{
    cpu_set_t set;
    if (!read_list(list, &set))
        return dpc_error_set(err, DPC_EINVAL,
                             "\"%s\" is no list of processors: needed is one like 0-3,8, of "
                             "numbers up to %d",
                             list, DPC_PROCESSORS_MAX - 1);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        return DPC_OK;
    if (errno == EINVAL)
        return dpc_error_set(err, DPC_EINVAL, "none of the processors %s is there for this process",
                             list);
    return dpc_error_set_errno(err, errno, "could not keep to processors %s", list);
}
