/* SPDX-License-Identifier: Apache-2.0
 * A container may see its own group as the root while its memberships name the host's groups: so a
 * group that is not there is passed over, and those above it are looked at up to the root. */
#include "base/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

enum { LINE_MAX_BYTES = 2 * DPC_PATH_MAX };

/* The first line of a group's file; false when there is none. */
static bool
read_line(const char *group, const char *name, char *ret_line, int size)
{
    char path[2 * DPC_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", group, name);
    FILE *file = fopen(path, "re");
    bool read = file && fgets(ret_line, size, file);
    if (file)
        (void)fclose(file);
    return read;
}

/* The number in a group's file; 0 where there is none, or it says that there is no limit ("max",
 * -1). */
static double
read_number(const char *group, const char *name)
{
    char line[DPC_NAME_MAX];
    double number = read_line(group, name, line, sizeof line) ? strtod(line, NULL) : 0;
    return number > 0 ? number : 0;
}

static double
least(double one, double other)
{
    return one > 0 && (one < other || other <= 0) ? one : other;
}

static double
processors_of(const char *group)
{
    char line[DPC_NAME_MAX];
    double quota = 0, period = 0;
    if (!read_line(group, "cpu.max", line, sizeof line) ||
        sscanf(line, "%lf %lf", &quota, &period) != 2) {
        quota = read_number(group, "cpu.cfs_quota_us");
        period = read_number(group, "cpu.cfs_period_us");
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

static uint64_t
memory_of(const char *group)
{
    static const char *const names[] = {"memory.max", "memory.high", "memory.limit_in_bytes"};
    double bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        bytes = least(read_number(group, names[i]), bytes);
    /* Version 1 says no limit with the largest number of pages. */
    return bytes < (double)(INT64_MAX / 2) ? (uint64_t)bytes : 0;
}

/* A group, and those above it up to the first `root_len` bytes of its path, which is cut. */
static void
look_upwards(char *group, size_t root_len, struct dpc_cgroup *found)
{
    for (;;) {
        found->processors = least(processors_of(group), found->processors);
        found->memory_bytes =
            (uint64_t)least((double)memory_of(group), (double)found->memory_bytes);
        char *last = strrchr(group, '/');
        if (!last || (size_t)(last - group) < root_len)
            return;
        *last = '\0';
    }
}

/* One line of `memberships`: number, controllers, path; version 2 names no controllers. */
static void
look_at(char *line, const char *root, struct dpc_cgroup *found)
{
    char group[2 * DPC_PATH_MAX];
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(++controllers, ':') : NULL;
    if (!path)
        return;
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    /* "/..": of a group outside of what this process sees. */
    size_t root_len =
        (size_t)snprintf(group, sizeof group, "%s%s%s", root, *controllers ? "/" : "", controllers);
    if (root_len + strlen(path) >= sizeof group)
        return;
    if (!strstr(path, "/.."))
        memcpy(group + root_len, path, strlen(path) + 1);
    look_upwards(group, root_len, found);
}

struct dpc_cgroup
dpc_cgroup_look(const char *memberships, const char *root)
{
    struct dpc_cgroup found = {0};
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(memberships, "re");
    if (!file)
        return found;
    while (fgets(line, sizeof line, file))
        look_at(line, root, &found);
    (void)fclose(file);
    return found;
}

struct dpc_cgroup
dpc_cgroup_own(void)
{
    return dpc_cgroup_look("/proc/self/cgroup", "/sys/fs/cgroup");
}

uint64_t
dpc_cgroup_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    double machine = pages > 0 && page_bytes > 0 ? (double)pages * (double)page_bytes : 0;
    return (uint64_t)least(machine, (double)dpc_cgroup_own().memory_bytes);
}

uint64_t
dpc_cgroup_compute_bytes(void)
{
    return dpc_cgroup_memory_bytes() / 100 * DPC_MEMORY_PERCENT;
}
