/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of dipaco-worker, as a table.
 *
 * Owns: nothing; texts point into argv. Threads: one. Not here: what is done with it (main.c).
 */
#ifndef DPC_WORKER_OPTIONS_H
#define DPC_WORKER_OPTIONS_H

#include "worker/owner/allowance.h"
#include "worker/compute/device.h"
#include "worker/owner/notice.h"
#include "worker/owner/owner.h"

struct dpc_worker_arguments {
    const char *folder, *endpoint, *server_key, *key, *name, *cpus, *join;
    uint64_t cache_mib, memory_mib, threads;
    struct dpc_device_options device;
    struct dpc_notice_options notice;
    struct dpc_owner_options owner;
    struct dpc_allowance_options allowance;
    const char *snooze;
    const char *mirror; /* "none"; NULL: the coordinator's */
    bool generate_key, enrol_only, keep_lease;
    bool status, json;
};

/* -1 to go on, or the exit status: after a mistake, which is told, or --help and --version. */
int dpc_worker_arguments_read(int argc, char **argv, struct dpc_worker_arguments *ret_arguments);

/* Tells that `text`, with `value` in quotes behind it (NULL: nothing), is wrong usage; its status.
 */
int dpc_worker_usage(const char *text, const char *value);

#endif
