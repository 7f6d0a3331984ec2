/* SPDX-License-Identifier: Apache-2.0
 * Bytes follow from the formats. Memory is asked of a path that is made for the purpose. */
#include "cli/plan.h"

#include <math.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "base/topology.h"
#include "base/upcycle.h"
#include "modules/compute.h"

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
        row->identity = experiment->levels[level].identity;
        row->module_params = dpc_layout_module_floats(experiment, level);
        count_paths(topology, level, row);
        plan->dense_params += row->module_params;
        plan->total_params += row->module_params * row->modules;
    }
}

/* What one path sends and fetches in a round: deltas or versions, and its state. */
static void
count_bytes(const struct dpc_topology *topology, uint32_t path, uint64_t *ret_up,
            uint64_t *ret_down)
{
    const struct dpc_experiment *experiment = topology->experiment;
    uint32_t levels = dpc_topology_path_levels(topology, path);
    size_t params = 0;
    *ret_up = *ret_down = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        if (!(levels >> level & 1))
            continue;
        uint32_t module = dpc_topology_module(topology, path, level);
        size_t floats = dpc_layout_module_floats(experiment, level);
        *ret_up += dpc_tensor_blob_bytes_as(dpc_topology_upload(topology, module), floats);
        *ret_down += dpc_tensor_blob_bytes_as(dpc_topology_download(topology, module), floats);
        params += floats;
    }
    if (experiment->transfer.path_state == DPC_STATE_SHIP) {
        enum dpc_moments form = dpc_topology_moments(topology, path);
        *ret_up += dpc_path_state_bytes_as(form, params);
        *ret_down += dpc_path_state_bytes_as(form, params);
    }
}

static void
plan_path(const struct dpc_experiment *experiment, const struct dpc_topology *topology,
          uint32_t path, struct dpc_plan *plan)
{
    uint32_t levels = dpc_topology_path_levels(topology, path);
    size_t params = 0;
    for (uint32_t level = 0; level < plan->levels_count; level++)
        params += levels >> level & 1 ? plan->levels[level].module_params : 0;
    uint64_t up, down;
    count_bytes(topology, path, &up, &down);
    if (params > plan->path_params) {
        plan->path_params = params;
        plan->path_bytes_up = up;
        plan->path_bytes_down = down;
        plan->largest = path;
    }
    if (path == 0 || params < plan->path_params_least) {
        plan->path_params_least = params;
        plan->smallest = path;
    }
    plan->paths_params += params;
    plan->forward_flops +=
        dpc_layout_levels_forward_flops(experiment, levels) / topology->routed_paths;
    plan->round_bytes_up += up;
    plan->round_bytes_down += down;
}

static void
plan_paths(const struct dpc_experiment *experiment, const struct dpc_topology *topology,
           struct dpc_plan *plan)
{
    plan->paths = topology->routed_paths;
    for (uint32_t path = 0; path < plan->paths; path++)
        plan_path(experiment, topology, path, plan);
    plan->round_bytes_up =
        (uint64_t)llround((double)plan->round_bytes_up * experiment->outer.sample);
    plan->round_bytes_down =
        (uint64_t)llround((double)plan->round_bytes_down * experiment->outer.sample);
    if (!experiment->baseline.dense)
        return;
    uint64_t up, down;
    count_bytes(topology, dpc_topology_dense_path(topology), &up, &down);
    plan->round_bytes_up += up;
    plan->round_bytes_down += down;
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

/* Routed paths and the dense one are never at work while its replicas are. */
static uint64_t
at_one_time(const struct dpc_experiment *experiment, uint64_t routed, uint64_t dense)
{
    uint64_t warm = experiment->warm_start.replicas * dense;
    return routed + dense > warm ? routed + dense : warm;
}

/* Path states travel with the deltas; kept are the newest and those that kept rounds began with. */
static uint64_t
states_bytes(const struct dpc_experiment *experiment, const struct dpc_plan *plan, uint64_t rounds)
{
    uint64_t routed = dpc_path_state_bytes_as(experiment->transfer.moments, plan->paths_params) -
                      DPC_PATH_STATE_HEADER_BYTES;
    uint64_t dense = dpc_path_state_bytes(plan->dense_params) - DPC_PATH_STATE_HEADER_BYTES;
    uint64_t bytes = at_one_time(experiment, routed, dense);
    return experiment->transfer.path_state == DPC_STATE_SHIP ? (rounds + 1) * bytes : 0;
}

/* Kept are the newest and `keep_rounds` before it; what was put since the sweep before the last one
 * began lies there as well, which is two rounds (coordinator/sweeps.c). Routed modules have a
 * momentum of their size, and once more what is published where that is not the master; the dense
 * ones have neither, but a pinned version. With early stopping each
 * path pins its best round, whose modules may be of versions that nobody else keeps. */
static void
plan_disk(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    enum { ROUNDS_SWEPT_LATE = 2 };
    uint64_t rounds = (uint64_t)experiment->keep_rounds + ROUNDS_SWEPT_LATE;
    uint64_t contributions = rounds < experiment->outer.rounds ? rounds : experiment->outer.rounds;
    uint64_t versions = contributions + 1;
    uint64_t dense_bytes = 4 * (uint64_t)plan->dense_params;
    /* The dense one, too, at least for the warm start. */
    uint64_t paths_bytes = 4 * plan->paths_params + dense_bytes;
    plan->keep_rounds = experiment->keep_rounds;
    plan->by_changes = experiment->transfer.download != DPC_CODEC_FP32;
    uint64_t version_bytes = 8 * plan->total_params;
    uint64_t changes_bytes = 0;
    if (plan->by_changes) {
        version_bytes += 4 * plan->total_params;
        changes_bytes = (1 + ROUNDS_SWEPT_LATE) *
                        dpc_codec_bytes(experiment->transfer.download, plan->total_params);
    }
    uint64_t deltas_bytes = at_one_time(
        experiment, dpc_codec_bytes(experiment->transfer.upload, plan->paths_params), dense_bytes);
    plan->disk_bytes =
        versions * version_bytes + changes_bytes + (versions + 1) * dense_bytes +
        contributions * deltas_bytes + states_bytes(experiment, plan, contributions) +
        experiment->early_stopping * paths_bytes + beginnings_bytes(experiment, plan);
}

/* What the coordinator's jobs hold at a time, of which two run: an outer step some vectors of its
 * module, a check a path state and its values. Bytes a parameter are as measured: 1,789 MiB of
 * modules of 38.1 million parameters, 2,201 where versions travel in another form. */
static void
plan_coordinator(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    enum { JOBS = 2, FOLD_BYTES = 24, FORM_BYTES = 6, BASE_BYTES = 64 * DPC_MIB };
    bool published = experiment->transfer.download != DPC_CODEC_FP32;
    uint64_t module = 0, moments = 8 * (uint64_t)plan->path_params;
    for (uint32_t level = 0; level < plan->levels_count; level++) {
        if (plan->levels[level].module_params > module)
            module = plan->levels[level].module_params;
    }
    uint64_t fold = module * (FOLD_BYTES + published * FORM_BYTES);
    uint64_t check = dpc_path_state_bytes_as(experiment->transfer.moments, plan->path_params);
    check += experiment->transfer.moments != DPC_MOMENTS_FP32 ? moments : 0;
    check *= experiment->transfer.path_state == DPC_STATE_SHIP;
    plan->coordinator_bytes = JOBS * (fold > check ? fold : check) + BASE_BYTES;
}

double
dpc_plan_warm_flops(const struct dpc_experiment *experiment)
{
    return (double)experiment->inner.batch * experiment->model.context *
           (double)dpc_experiment_warm_steps(experiment) * dpc_layout_train_flops(experiment);
}

static void
plan_steps(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    uint64_t trained = (uint64_t)experiment->outer.rounds * experiment->inner.steps;
    plan->path_steps = experiment->warm_start.steps +
                       (uint64_t)llround((double)trained * experiment->outer.sample);
    plan->total_steps = (uint64_t)llround(dpc_experiment_steps_in_all(experiment)) +
                        experiment->baseline.dense * trained;
    uint64_t step_tokens = (uint64_t)experiment->inner.batch * experiment->model.context;
    plan->path_tokens = plan->path_steps * step_tokens;
    uint64_t dense_steps =
        dpc_experiment_warm_steps(experiment) + experiment->baseline.dense * trained;
    plan->train_flops =
        (double)step_tokens * ((double)dense_steps * dpc_layout_train_flops(experiment) +
                               (double)(plan->total_steps - dense_steps) * 3 * plan->forward_flops);
}

static void
plan_scores(const struct dpc_experiment *experiment, struct dpc_plan *plan)
{
    plan->phases = experiment->routing.phases;
    plan->score_paths = plan->phases ? dpc_experiment_score_paths(experiment) : 0;
    plan->scores = (uint64_t)plan->phases * plan->score_paths * experiment->routing.score_documents;
}

/* The levels of the largest path that anybody trains. */
static uint32_t
largest_levels(const struct dpc_experiment *experiment, const struct dpc_topology *topology,
               const struct dpc_plan *plan)
{
    bool dense = experiment->baseline.dense || dpc_experiment_warm_steps(experiment) > 0;
    uint32_t path = dense ? dpc_topology_dense_path(topology) : plan->largest;
    return dpc_topology_path_levels(topology, path);
}

/* Of a worker that trains these levels alone. */
static int
levels_bytes(const struct dpc_experiment *experiment, uint32_t levels,
             const struct dpc_path_options *options, uint64_t *ret_bytes, struct dpc_error *err)
{
    struct dpc_experiment *taken = dpc_alloc(1, sizeof *taken);
    size_t bytes = 0;
    dpc_experiment_take_levels(experiment, levels, taken);
    int rc = dpc_compute_bytes(taken, options, &bytes, err);
    *ret_bytes = bytes;
    dpc_free(taken);
    return rc;
}

static int
plan_memory(const struct dpc_experiment *experiment, const struct dpc_topology *topology,
            struct dpc_plan *plan, struct dpc_error *err)
{
    struct dpc_path_options options = {.batch_max = dpc_compute_batch(experiment),
                                       .use = DPC_PATH_TRAIN,
                                       .recompute = experiment->recompute == DPC_RECOMPUTE_BLOCK};
    uint32_t large = largest_levels(experiment, topology, plan);
    uint32_t small = dpc_topology_path_levels(topology, plan->smallest);
    plan->counts_fp32 = dpc_compute_choose(experiment->compute, NULL, &options.ops, err) != DPC_OK;
    if (plan->counts_fp32)
        options.ops = dpc_ops_cpu(DPC_FP32);
    int rc = levels_bytes(experiment, large, &options, &plan->worker_bytes, err);
    options.recompute = experiment->recompute != DPC_RECOMPUTE_NONE;
    if (rc == DPC_OK)
        rc = levels_bytes(experiment, large, &options, &plan->worker_bytes_least, err);
    if (rc == DPC_OK)
        rc = levels_bytes(experiment, small, &options, &plan->worker_bytes_short, err);
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
    plan_levels(experiment, &topology, &plan);
    plan_paths(experiment, &topology, &plan);
    plan_disk(experiment, &plan);
    plan_coordinator(experiment, &plan);
    plan_steps(experiment, &plan);
    plan_scores(experiment, &plan);
    rc = plan_memory(experiment, &topology, &plan, err);
    dpc_topology_done(&topology);
    if (rc == DPC_OK)
        *ret_plan = plan;
    return rc;
}
