/* SPDX-License-Identifier: Apache-2.0
 * A core as the store left it: records into the tables, then what follows from these. */
#include "coordinator/core/state.h"

#include <math.h>
#include <string.h>

#include "base/planted.h"

struct restore {
    struct dpc_core *core;
    const char *contradiction;
};

static bool
restore_module(void *context, const struct dpc_module_record *record)
{
    struct restore *restore = context;
    if (record->module >= restore->core->topology.modules_count) {
        restore->contradiction = "a module that the experiment does not have";
        return false;
    }
    restore->core->modules[record->module].record = *record;
    restore->core->modules[record->module].exists = true;
    return true;
}

static bool
restore_path(void *context, const struct dpc_path_record *record)
{
    struct restore *restore = context;
    if (record->path >= restore->core->topology.paths_count) {
        restore->contradiction = "a path that the experiment does not have";
        return false;
    }
    restore->core->paths[record->path].record = *record;
    return true;
}

/* In the order in which they came, for each path: later ones take the place of those before. */
static bool
restore_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct restore *restore = context;
    struct dpc_core *core = restore->core;
    if (record->path >= core->topology.paths_count ||
        record->module >= core->topology.modules_count ||
        !dpc_topology_uses(&core->topology, record->path, record->module)) {
        restore->contradiction = "a contribution to a module that its path does not use";
        return false;
    }
    core_note_delta(core, record);
    if (record->late == DPC_IN_TIME || !DPC_PLANTED(DPC_PLANTED_LATE_FORGOTTEN))
        core_take_contribution(core, record);
    return true;
}

/* Which task the lease is on. An evaluation is a chunk of the phase of that name, and before it one
 * for early stopping. */
static bool
find_task(struct dpc_core *core, const struct dpc_lease_record *record, enum core_sort *ret_sort,
          uint32_t *ret_task)
{
    bool path_exists = record->path < core->topology.paths_count;
    *ret_task = record->path;
    *ret_sort = CORE_TRAINING;
    if (record->kind == DPC_TASK_TRAIN)
        return path_exists;
    *ret_sort = CORE_RATING;
    if (record->kind == DPC_TASK_EVALUATE && core->phase.phase != DPC_PHASE_EVALUATE)
        return path_exists && core_rounds_unrated(core, record->path) > 0 &&
               record->round == core->bests[record->path].record.next_round;
    *ret_sort = CORE_CHUNKING;
    struct core_chunk *chunk = core_find_chunk(core, record->path, record->from, record->to);
    *ret_task = chunk ? (uint32_t)(chunk - core->chunks) : 0;
    return chunk && record->kind == core_chunk_kind(core);
}

static bool
restore_lease(void *context, const struct dpc_lease_record *record)
{
    struct restore *restore = context;
    enum core_sort sort;
    uint32_t task;
    if (!find_task(restore->core, record, &sort, &task)) {
        restore->contradiction = "a lease on a task that there is not";
        return false;
    }
    core_add_lease(restore->core, record, sort, task);
    return true;
}

/* Of a lease that goes on from a part which was outdone since, the table knows only who outdid it:
 * whoever brought as much as the lease begins with, last before it was granted, is told by what was
 * handed in. */
static bool
find_part_before(void *context, const struct dpc_contribution_record *record)
{
    const struct core_path *path = &((struct restore *)context)->core->paths[record->path];
    for (struct core_lease *lease = path->leases; lease; lease = lease->next) {
        if (lease->record.from > 0 && lease->record.from == record->steps &&
            lease->record.round == record->round && record->lease < lease->record.serial &&
            record->lease > lease->went_on_from)
            lease->went_on_from = record->lease;
    }
    return true;
}

/* Read again only where a lease needs it. */
static int
restore_parts_before(struct restore *restore, struct dpc_kv *kv, struct dpc_error *err)
{
    const struct dpc_core *core = restore->core;
    bool unknown = false;
    for (uint32_t i = 0; i < core->leases_count; i++) {
        const struct core_lease *lease = core->leases[i];
        unknown |= lease->sort == CORE_TRAINING && lease->record.from > 0 && !lease->went_on_from;
    }
    if (!unknown || restore->contradiction)
        return DPC_OK;
    return dpc_scan_contributions(kv, find_part_before, restore, err);
}

static bool
restore_worker(void *context, const struct dpc_worker_record *record)
{
    struct dpc_core *core = ((struct restore *)context)->core;
    if (!core_restore_forgotten(core, record))
        core_add_worker(core, record);
    return true;
}

static bool
restore_void(void *context, const struct dpc_void_record *record)
{
    core_add_void(((struct restore *)context)->core, record);
    return true;
}

static bool
restore_conduct(void *context, const struct dpc_conduct_record *record)
{
    struct dpc_core *core = ((struct restore *)context)->core;
    struct core_worker *worker = core_find_worker(core, record->key);
    if (worker)
        worker->conduct = *record;
    else
        core_restore_forgotten_conduct(core, record);
    return true;
}

static bool
restore_result(void *context, const struct dpc_result_record *record)
{
    struct dpc_core *core = ((struct restore *)context)->core;
    struct core_chunk *chunk = core_find_chunk(core, record->path, record->from, record->to);
    bool present = record->phase == core_chunk_phase(core) || DPC_PLANTED(DPC_PLANTED_SCORES_AGAIN);
    if (record->kind == core_chunk_kind(core) && present && chunk)
        core_finish_chunk(core, chunk);
    return true;
}

/* The versions that the warm start ended with, once it has. */
static int
restore_warm(struct dpc_core *core, struct dpc_kv *kv, struct dpc_error *err)
{
    for (uint32_t level = 0; level < core->topology.levels_count; level++) {
        uint32_t module =
            dpc_topology_module(&core->topology, dpc_topology_dense_path(&core->topology), level);
        if (!core->modules[module].exists ||
            core->modules[module].record.version < core->warm_rounds)
            continue;
        uint32_t version = DPC_PLANTED(DPC_PLANTED_WARM_FORGOTTEN)
                               ? core->modules[module].record.version
                               : core->warm_rounds;
        int code = dpc_load_version(kv, module, version, &core->warm[level], err);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

/* What a round has taken so far, on average; at least some heartbeats, in which workers find
 * contact again. */
static int64_t
usual_round_ms(const struct dpc_core *core)
{
    uint64_t done, total;
    dpc_core_progress(core, &done, &total);
    bool warm = core->phase.phase <= DPC_PHASE_WARM_START;
    double steps = (double)core->experiment->inner.steps *
                   (warm ? core->topology.dense_paths : core->topology.routed_paths);
    double round_s = done ? (double)core->phase.seconds * steps / (double)done : 0;
    return (int64_t)fmax(1000 * round_s, 10.0 * core->heartbeat_ms);
}

/* What follows from the tables. Silence counts from now: nobody could be heard while the
 * coordinator was down. A round under way counts as one of the usual length, so that its grace is
 * not over before anybody can come back. */
static void
rebuild_indices(struct dpc_core *core, int64_t now_ms)
{
    int64_t begun_ms = now_ms - usual_round_ms(core);
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        core_count_delivered(core, i);
        core->modules[i].begun_ms = begun_ms;
    }
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        struct core_worker *worker = core_find_worker(core, path->accepted_worker);
        if (path->accepted_serial && worker)
            core_note_trained(core, i, worker);
        core_refresh_path(core, i);
        core_refresh_rating(core, i);
    }
    for (uint32_t i = 0; i < core->workers_count; i++)
        core->workers[i].heard_ms = now_ms;
    for (uint32_t i = 0; i < core->leases_count; i++) {
        core->leases[i]->granted_ms = core->leases[i]->progressed_ms = now_ms;
        core->leases[i]->restored = true;
        core_hear_of(core, core->leases[i], now_ms);
    }
    core->now_ms = now_ms;
    for (uint32_t i = 0; i < core->topology.modules_count; i++)
        core_refresh_closing(core, i);
}

int
core_restore(struct dpc_core *core, struct dpc_kv *kv, int64_t now_ms, struct dpc_error *err)
{
    struct restore restore = {.core = core};
    int code = dpc_load_phase(kv, &core->phase, err);
    if (code == DPC_ENOTFOUND) {
        core->phase = (struct dpc_phase_record){.phase = DPC_PHASE_PREPARE, .next_serial = 1};
        code = DPC_OK; /* workers may have been there before */
    }
    core->phase_on_disk = core->phase;
    if (code == DPC_OK && strcmp(dpc_phase_name(core->phase.phase), "?") == 0)
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "the store is in phase %u, which there is not: restore a backup",
                             core->phase.phase);
    if (code == DPC_OK)
        code = dpc_scan_modules(kv, restore_module, &restore, err);
    if (code == DPC_OK)
        code = restore_warm(core, kv, err);
    if (code == DPC_OK)
        code = dpc_scan_paths(kv, restore_path, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_contributions(kv, restore_contribution, &restore, err);
    if (code == DPC_OK)
        code = core_restore_bests(core, kv, err);
    if (code == DPC_OK) {
        core_plan_chunks(core);
        code = dpc_scan_results(kv, restore_result, &restore, err);
    }
    if (code == DPC_OK)
        code = dpc_scan_voids(kv, restore_void, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_workers(kv, restore_worker, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_conducts(kv, restore_conduct, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_leases(kv, restore_lease, &restore, err);
    if (code == DPC_OK)
        code = restore_parts_before(&restore, kv, err);
    if (code == DPC_OK && restore.contradiction)
        code = dpc_error_set(err, DPC_ECORRUPT, "the store names %s; restore a backup of it",
                             restore.contradiction);
    if (code == DPC_OK)
        rebuild_indices(core, now_ms);
    return code;
}
