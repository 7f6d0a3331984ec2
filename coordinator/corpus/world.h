/* SPDX-License-Identifier: Apache-2.0
 *
 * What every job may look at: the experiment, where its files lie, and the store.
 *
 * Threads: shared by all that run jobs, and read-only but for the store, whose blob calls may come
 * from any of them. Not here: the jobs themselves (coordinator/jobs.h).
 */
#ifndef DPC_COORDINATOR_CORPUS_WORLD_H
#define DPC_COORDINATOR_CORPUS_WORLD_H

#include "base/topology.h"
#include "coordinator/core/core.h"
#include "ops/ops.h"
#include "storage/db/store.h"

struct dpc_world {
    struct dpc_store *store;
    const struct dpc_experiment *experiment;
    const struct dpc_topology *topology;
    const struct dpc_ops *ops;
    char corpus[DPC_PATH_MAX];   /* token file */
    char imported[DPC_PATH_MAX]; /* folder of `warm_start.from`; "" without */
    char report[DPC_PATH_MAX];   /* folder */
    /* What a backup takes. */
    char store_folder[DPC_PATH_MAX], key_file[DPC_PATH_MAX], workers_folder[DPC_PATH_MAX];
};

#endif
