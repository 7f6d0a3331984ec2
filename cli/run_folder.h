/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of a run on one machine:
 *     experiment.yaml   canonical print of what runs
 *     run.json          endpoints, processes, whether it has finished
 *     lock              held by the one supervisor
 *     keys/             coordinator.key(.pub), workers/worker-N.key(.pub)
 *     coordinator/      the coordinator's store
 *     worker-N/         a worker's cache and path states
 *     logs/NAME.log     what each process wrote
 *     report/           report.json, report.md, documents.tsv, loss.svg, samples.txt
 *
 * Owns: the lock, until closed; the kernel releases it with the process. Threads: one.
 */
#ifndef DPC_CLI_RUN_FOLDER_H
#define DPC_CLI_RUN_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"
#include "base/limits.h"

struct dpc_run_folder {
    char path[DPC_PATH_MAX]; /* absolute */
    int fd;                  /* of the folder */
    int lock_fd;
};

/* Makes the folder when it is missing and takes its lock. DPC_EBUSY when another start holds it,
 * DPC_EPERM when the folder holds something else than a run. */
int dpc_run_folder_open(const char *path, struct dpc_run_folder *ret_folder,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* The folder of a run that nobody may go on with meanwhile; nothing in it is changed, and others
 * may open it in this way, too. DPC_ENOTFOUND when it holds no run, DPC_EBUSY as above. */
int dpc_run_folder_open_source(const char *path, struct dpc_run_folder *ret_folder,
                               struct dpc_error *err) DPC_MUST_CHECK;
void dpc_run_folder_close(struct dpc_run_folder *folder);

/* Path of a name inside. DPC_ELIMIT when it does not fit. */
int dpc_run_folder_file(const struct dpc_run_folder *folder, const char *name,
                        char ret_path[DPC_PATH_MAX], struct dpc_error *err) DPC_MUST_CHECK;

/* Removes what a run wrote; keys and lock stay. */
int dpc_run_folder_clear(const struct dpc_run_folder *folder, struct dpc_error *err) DPC_MUST_CHECK;
/* The coordinator's store alone, and what a fork that was broken off has left of one. */
int dpc_run_folder_clear_store(const struct dpc_run_folder *folder,
                               struct dpc_error *err) DPC_MUST_CHECK;

/* Compares with experiment.yaml, and writes it where there is none, or where only keys differ that
 * may change and the run has not finished. `ret_changes` says key by key what changed and whether
 * it may, and of a finished run that it has no effect. DPC_EPERM for one that may not. */
int dpc_run_folder_claim(const struct dpc_run_folder *folder,
                         const struct dpc_experiment *experiment, struct dpc_buf *ret_changes,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Forgets experiment and store of a run in which nothing was trained; logs stay. */
int dpc_run_folder_unclaim(const struct dpc_run_folder *folder,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* Folders for `workers_count` workers and what else is missing, and a key for each process. */
int dpc_run_folder_prepare(const struct dpc_run_folder *folder, uint32_t workers_count,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* run.json. */
struct dpc_run_state {
    char control_endpoint[DPC_ENDPOINT_MAX]; /* "" before the first start */
    char bulk_endpoint[DPC_ENDPOINT_MAX];
    bool finished;
};
/* Missing: an empty state. */
int dpc_run_state_load(const struct dpc_run_folder *folder, struct dpc_run_state *ret_state,
                       struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_run_process {
    const char *name;
    int pid; /* 0: not running */
};
int dpc_run_state_save(const struct dpc_run_folder *folder, const struct dpc_run_state *state,
                       const struct dpc_run_process *processes, uint32_t processes_count,
                       struct dpc_error *err) DPC_MUST_CHECK;

/* Name of the admin socket in the run's folder. */
#define DPC_RUN_ADMIN_SOCKET "admin.sock"

/* Endpoint of the admin socket in the run's folder, as a client reaches it. Names of sockets are
 * limited to 107 bytes: behind a longer `path` it goes through `fd`, an open descriptor of the
 * folder. */
void dpc_run_admin_endpoint(const char *path, int fd, char ret_endpoint[DPC_ENDPOINT_MAX]);

#endif
