/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include "tests/unit/data/temp.h"

enum { MIB = 1 << 20 };

static struct dpc_cgroup
look(struct temp *temp, const char *memberships)
{
    char root[DPC_PATH_MAX];
    temp_write_text(temp, "self", memberships);
    (void)snprintf(root, sizeof root, "%s", temp_path(temp, "fs"));
    return dpc_cgroup_look(temp_path(temp, "self"), root);
}

/* A unit below a slice: the least of both counts. */
static void
the_least_of_all_above_holds(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "fs/a.slice/b.service/cpu.max", "150000 100000\n");
    temp_write_text(&temp, "fs/a.slice/b.service/memory.max", "max\n");
    temp_write_text(&temp, "fs/a.slice/cpu.max", "max 100000\n");
    temp_write_text(&temp, "fs/a.slice/memory.max", "3145728\n");
    struct dpc_cgroup found = look(&temp, "0::/a.slice/b.service\n");
    CU_ASSERT_DOUBLE_EQUAL(found.processors, 1.5, 1e-9);
    CU_ASSERT_EQUAL(found.memory_bytes, 3 * MIB);
    temp_write_text(&temp, "fs/a.slice/cpu.max", "50000 100000\n");
    temp_write_text(&temp, "fs/a.slice/b.service/memory.high", "1048576\n");
    found = look(&temp, "0::/a.slice/b.service\n");
    CU_ASSERT_DOUBLE_EQUAL(found.processors, 0.5, 1e-9);
    CU_ASSERT_EQUAL(found.memory_bytes, MIB);
    /* A neighbour's limits are not ours. */
    found = look(&temp, "0::/c.slice\n");
    CU_ASSERT_EQUAL(found.processors, 0);
    CU_ASSERT_EQUAL(found.memory_bytes, 0);
    temp_remove(&temp);
}

/* A container sees its own group as the root, and may be told a path outside of it. */
static void
a_container_has_its_limits_at_the_root(void)
{
    static const char *const memberships[] = {"0::/\n", "0::/../..\n", "0::/docker/0123\n"};
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "fs/cpu.max", "200000 100000\n");
    temp_write_text(&temp, "fs/memory.max", "2097152\n");
    temp_write_text(&temp, "cpu.max", "1 100000\n"); /* above the root: not a group's */
    for (size_t i = 0; i < sizeof memberships / sizeof *memberships; i++) {
        struct dpc_cgroup found = look(&temp, memberships[i]);
        CU_ASSERT_DOUBLE_EQUAL(found.processors, 2, 1e-9);
        CU_ASSERT_EQUAL(found.memory_bytes, 2 * MIB);
    }
    temp_remove(&temp);
}

/* Version 1: a tree for each controller. */
static void
version_1_is_read(void)
{
    static const char memberships[] = "9:name=systemd:/u\n4:memory:/m\n2:cpu,cpuacct:/c/d\n0::/u\n";
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "fs/cpu,cpuacct/c/d/cpu.cfs_quota_us", "-1\n");
    temp_write_text(&temp, "fs/cpu,cpuacct/c/d/cpu.cfs_period_us", "100000\n");
    temp_write_text(&temp, "fs/cpu,cpuacct/c/cpu.cfs_quota_us", "25000\n");
    temp_write_text(&temp, "fs/cpu,cpuacct/c/cpu.cfs_period_us", "50000\n");
    temp_write_text(&temp, "fs/memory/m/memory.limit_in_bytes", "9223372036854771712\n");
    struct dpc_cgroup found = look(&temp, memberships);
    CU_ASSERT_DOUBLE_EQUAL(found.processors, 0.5, 1e-9);
    CU_ASSERT_EQUAL(found.memory_bytes, 0);
    temp_write_text(&temp, "fs/memory/memory.limit_in_bytes", "1048576\n");
    CU_ASSERT_EQUAL(look(&temp, memberships).memory_bytes, MIB);
    temp_remove(&temp);
}

static void
what_makes_no_sense_limits_nothing(void)
{
    static const char *const lines[] = {"",      "\n",          "max", "0 0\n", "-1 100000\n",
                                        "x y\n", "nan 100000\n"};
    static const char *const memberships[] = {"", "\n", "0", "0:", "0::", ":::\n"};
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL(look(&temp, "0::/\n").processors, 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        temp_write_text(&temp, "fs/cpu.max", lines[i]);
        temp_write_text(&temp, "fs/memory.max", lines[i]);
        struct dpc_cgroup found = look(&temp, "0::/\n");
        CU_ASSERT_EQUAL(found.processors, 0);
        CU_ASSERT_EQUAL(found.memory_bytes, 0);
    }
    temp_write_text(&temp, "fs/cpu.max", "100000 100000\n");
    for (size_t i = 0; i < sizeof memberships / sizeof *memberships; i++)
        CU_ASSERT(look(&temp, memberships[i]).processors <= 1);
    CU_ASSERT_EQUAL(dpc_cgroup_look("/nowhere/at/all", "/").processors, 0);
    temp_remove(&temp);
}

static void
this_process_has_memory(void)
{
    CU_ASSERT(dpc_cgroup_memory_bytes() > MIB);
}

static const struct dpc_test tests[] = {
    {"the least of all above holds", the_least_of_all_above_holds},
    {"a container has its limits at the root", a_container_has_its_limits_at_the_root},
    {"version 1 is read", version_1_is_read},
    {"what makes no sense limits nothing", what_makes_no_sense_limits_nothing},
    {"this process has memory", this_process_has_memory},
};

DPC_TEST_MAIN("base/cgroup", tests)
