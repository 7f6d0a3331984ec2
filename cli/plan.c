/* SPDX-License-Identifier: Apache-2.0
 * Bytes follow from the formats: a tensor blob is a header and 4 bytes a parameter, a path state a
 * header and 8. Memory is asked of a path that is made for the purpose. */
#include "cli/plan.h"

#include "base/layout.h"
#include "base/topology.h"
#include "base/upcycle.h"
#include "modules/compute.h"

enum { BLOB_HEADER_BYTES = 64 };

static void
count_paths(const struct dpc_topology *topology, uint32_t level, struct dpc_plan_level *row)
{
    row->paths_through_least = topology->routed_paths;
    for (uint32_t i = 0; i < row->modules; i++) {
        uint32_t count = dpc_topology_paths_through(topology, topology->first_module[level] + i);
        if (count > row->paths_through)
            row->paths_through = count;
        if (count < row->paths_through_least)
            row->paths_through_least = count;
    }
    row->couples_all = row->paths_through == topology->routed_paths && topology->routed_paths > 1;
}

static void
plan_levels(const struct dpc_experiment *experiment, const struct dpc_topology *topology,
            struct dpc_plan *plan)
{
    plan->levels_count = experiment->levels_count;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        struct dpc_plan_level *row = &plan->levels[level];
        row->name = experiment->levels[level].name;
        row->modules = experiment->levels[level].modules;
        row->module_params = dpc_layout_module_floats(experiment, level);
        count_paths(topology, level, row);
        plan->path_params += row->module_params;
        plan->total_params += row->module_params * row->modules;
    }
}

static void
plan_bytes(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    uint64_t tensors =
        4 * (uint64_t)plan->path_params + BLOB_HEADER_BYTES * (uint64_t)plan->levels_count;
    uint64_t state = 8 * (uint64_t)plan->path_params + BLOB_HEADER_BYTES;
    uint64_t paths = plan->paths + experiment->baseline.dense;
    plan->path_bytes_up = plan->path_bytes_down = tensors + state;
    plan->round_bytes_up = paths * plan->path_bytes_up;
    plan->round_bytes_down = paths * plan->path_bytes_down;
}

/* What routed modules begin with is kept, where it is not the dense version that is kept anyway. */
static uint64_t
beginnings_bytes(const struct dpc_experiment *experiment, const struct dpc_plan *plan)
{
    uint64_t bytes = 0;
    for (uint32_t level = 0; level < plan->levels_count; level++) {
        const struct dpc_plan_level *row = &plan->levels[level];
        if (dpc_upcycle_changes(experiment, level))
            bytes += 4 * (uint64_t)row->module_params * row->modules;
    }
    return bytes;
}

/* Kept are the newest and `keep_rounds` before it; what was put since the sweep before the last one
 * began lies there as well, which is two rounds (coordinator/sweeps.c). Routed modules have a
 * momentum of their size; the dense ones have none, but a pinned version. With early stopping each
 * path pins its best round, whose modules may be of versions that nobody else keeps. */
static void
plan_disk(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    enum { ROUNDS_SWEPT_LATE = 2 };
    uint64_t rounds = (uint64_t)experiment->keep_rounds + ROUNDS_SWEPT_LATE;
    uint64_t contributions = rounds < experiment->outer.rounds ? rounds : experiment->outer.rounds;
    uint64_t versions = contributions + 1;
    uint64_t paths = (uint64_t)plan->paths + 1; /* the dense one, at least for the warm start */
    uint64_t path_bytes = 4 * (uint64_t)plan->path_params;
    plan->keep_rounds = experiment->keep_rounds;
    plan->disk_bytes = versions * 8 * plan->total_params + (versions + 1) * path_bytes +
                       paths * contributions * path_bytes +
                       paths * (1 + ROUNDS_SWEPT_LATE) * 2 * path_bytes +
                       paths * experiment->early_stopping * path_bytes +
                       beginnings_bytes(experiment, plan);
}

static void
plan_steps(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    uint64_t trained = (uint64_t)experiment->outer.rounds * experiment->inner.steps;
    uint64_t paths = plan->paths + experiment->baseline.dense;
    plan->path_steps = experiment->warm_start.steps + trained;
    plan->total_steps = experiment->warm_start.steps + paths * trained;
    plan->path_tokens = plan->path_steps * experiment->inner.batch * experiment->model.context;
}

static int
plan_memory(const struct dpc_experiment *experiment, struct dpc_plan *plan, struct dpc_error *err)
{
    struct dpc_path_options options = {.batch_max = experiment->inner.batch, .use = DPC_PATH_TRAIN};
    size_t bytes = 0;
    int rc = dpc_compute_choose(experiment->compute, NULL, &options.ops, err);
    if (rc == DPC_OK)
        rc = dpc_compute_bytes(experiment, &options, &bytes, err);
    if (rc != DPC_OK)
        return rc;
    plan->worker_bytes = bytes;
    options.recompute = true;
    rc = dpc_compute_bytes(experiment, &options, &bytes, err);
    plan->worker_bytes_least = bytes;
    return rc;
}

int
dpc_plan_make(const struct dpc_experiment *experiment, struct dpc_plan *ret_plan,
              struct dpc_error *err)
{
    struct dpc_topology topology;
    struct dpc_plan plan = {0};
    int rc = dpc_topology_init(&topology, experiment, err);
    if (rc != DPC_OK)
        return rc;
    plan.paths = topology.routed_paths;
    plan_levels(experiment, &topology, &plan);
    plan_bytes(experiment, &plan);
    plan_disk(experiment, &plan);
    plan_steps(experiment, &plan);
    dpc_topology_done(&topology);
    rc = plan_memory(experiment, &plan, err);
    if (rc == DPC_OK)
        *ret_plan = plan;
    return rc;
}
