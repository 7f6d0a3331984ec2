/* SPDX-License-Identifier: Apache-2.0
 *
 * What control groups leave a process: a container's share of its host, and CPUQuota= and
 * MemoryMax= of a unit.
 *
 * Owns: nothing. Threads: any. Errors: none; what cannot be read limits nothing.
 * Formats: cgroups(7); those of version 1 are read, too.
 */
#ifndef DPC_BASE_CGROUP_H
#define DPC_BASE_CGROUP_H

#include <stdint.h>

struct dpc_cgroup {
    double processors;     /* that may be busy at once, over some time; 0: no limit */
    uint64_t memory_bytes; /* beyond which processes are killed or slowed; 0: no limit */
};

/* The least limits of a process' groups and of those above them. `memberships` is the file that
 * names the groups, "/proc/self/cgroup"; `root` the folder that they stand in, "/sys/fs/cgroup". */
struct dpc_cgroup dpc_cgroup_look(const char *memberships, const char *root);

/* Of this process. */
struct dpc_cgroup dpc_cgroup_own(void);

/* How much memory this process can come to have: the machine's, or what its groups leave of it.
 * 0: not known. */
uint64_t dpc_cgroup_memory_bytes(void);
/* What computing takes of it where nobody says how much: DPC_MEMORY_PERCENT. */
uint64_t dpc_cgroup_compute_bytes(void);

#endif
