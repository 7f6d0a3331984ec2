/* SPDX-License-Identifier: Apache-2.0
 * The core's indices against the slow way: looking through everything. */
#include <string.h>

#include "coordinator/core/asked.h"
#include "coordinator/core/state.h"
#include "tests/sim/sim.h"

static bool
is_open(const struct dpc_core *core, uint32_t path)
{
    const struct core_path *state = &core->paths[path];
    if (core_fails_everywhere(core, CORE_TRAINING, path))
        return false;
    uint32_t phase = core->phase.phase;
    bool dense = core_is_dense(core, path);
    bool routes = phase == DPC_PHASE_SCORE || phase == DPC_PHASE_FIT;
    if (state->record.rounds_done >= dpc_core_rounds_open(core, path) ||
        (phase > DPC_PHASE_TRAIN && !(dense && routes)) ||
        phase < (dense ? DPC_PHASE_WARM_START : DPC_PHASE_TRAIN))
        return false;
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        if (dpc_topology_uses(&core->topology, path, i) &&
            (!core->modules[i].exists || core->modules[i].folding ||
             dpc_module_round(&core->modules[i].record) != state->record.rounds_done))
            return false;
    }
    return true;
}

static bool
is_held(const struct dpc_core *core, uint32_t kind, uint32_t path, uint32_t round, uint32_t from)
{
    for (uint32_t i = 0; i < core->leases_count; i++) {
        const struct dpc_lease_record *lease = &core->leases[i]->record;
        if (lease->kind == kind && lease->path == path && lease->round == round &&
            (lease->from == from || kind == DPC_TASK_TRAIN))
            return true;
    }
    return false;
}

/* An open task waits or, while somebody holds it, is watched; what is not open is neither. */
static bool
stands_right(const struct core_tasks *tasks, uint32_t task, bool open, bool held)
{
    bool waits = core_heap_has(&tasks->waiting, task);
    bool watched = core_heap_has(&tasks->watched, task);
    return open ? waits != watched && (held || waits) : !waits && !watched;
}

static void
check_paths(struct sim *sim, const struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        uint32_t round = core->paths[i].record.rounds_done;
        if (!stands_right(&core->training, i, is_open(core, i),
                          is_held(core, DPC_TASK_TRAIN, i, round, 0)))
            sim_fail(sim, "path %u stands wrong among the tasks", i);
    }
}

/* In a discriminative phase each block is a chunk of as many paths as are asked. */
static void
check_score_chunks(struct sim *sim, const struct dpc_core *core)
{
    uint32_t asked = dpc_experiment_score_paths(core->experiment);
    uint32_t blocks = dpc_asked_blocks(core->phase.scored_documents);
    if (core->chunks_count != asked * blocks)
        sim_fail(sim, "%u blocks are scored in %u chunks", blocks, core->chunks_count);
    for (uint32_t i = 1; i < core->chunks_count; i++) {
        const struct core_chunk *chunk = &core->chunks[i], *before = chunk - 1;
        if (chunk->path < before->path ||
            (chunk->path == before->path && chunk->from <= before->from))
            sim_fail(sim, "chunk %u does not stand behind the one before it", i);
    }
}

static void
check_chunks(struct sim *sim, const struct dpc_core *core)
{
    if (core->phase.phase == DPC_PHASE_SCORE)
        check_score_chunks(sim, core);
    uint32_t left = 0;
    static const uint32_t kinds[] = {
        [DPC_PHASE_FEATURIZE] = DPC_TASK_FEATURIZE, [DPC_PHASE_SCORE] = DPC_TASK_SCORE,
        [DPC_PHASE_EVALUATE] = DPC_TASK_EVALUATE,   [DPC_PHASE_TRACE] = DPC_TASK_TRACE,
        [DPC_PHASE_REROUTE] = DPC_TASK_REROUTE,
    };
    uint32_t kind = core->chunks_count ? kinds[core->phase.phase] : 0;
    for (uint32_t i = 0; i < core->chunks_count; i++) {
        const struct core_chunk *chunk = &core->chunks[i];
        left += !chunk->done;
        bool open = !chunk->done && !core_fails_everywhere(core, CORE_CHUNKING, i);
        if (!stands_right(&core->chunking, i, open,
                          is_held(core, kind, chunk->path, 0, chunk->from)))
            sim_fail(sim, "chunk %u stands wrong among the tasks", i);
    }
    if (left != core->chunks_left)
        sim_fail(sim, "%u chunks are left, and the core counts %u", left, core->chunks_left);
}

static bool
knows_round(const struct core_module *module, uint32_t round)
{
    for (uint32_t i = 0; i < module->past_count; i++) {
        if (module->past[i].round == round)
            return true;
    }
    return false;
}

/* Rounds that are over wait to be evaluated, and it is known with which versions. */
static void
check_ratings(struct sim *sim, const struct dpc_core *core)
{
    for (uint32_t i = 0; core->bests && i < core->topology.paths_count; i++) {
        const struct dpc_best_record *best = &core->bests[i].record;
        bool open = best->documents_count > 0;
        for (uint32_t k = 0; k < core->topology.modules_count && open; k++) {
            if (dpc_topology_uses(&core->topology, i, k))
                open = dpc_module_round(&core->modules[k].record) >= best->next_round;
        }
        if (!stands_right(&core->rating, i, open && !core_fails_everywhere(core, CORE_RATING, i),
                          is_held(core, DPC_TASK_EVALUATE, i, best->next_round, best->read)))
            sim_fail(sim, "the evaluation of path %u stands wrong among the tasks", i);
        for (uint32_t k = 0; k < core->topology.modules_count && open; k++) {
            if (dpc_topology_uses(&core->topology, i, k) &&
                !knows_round(&core->modules[k], best->next_round))
                sim_fail(sim, "round %u of module %u is forgotten", best->next_round, k);
        }
    }
}

static void
check_delivered(struct sim *sim, const struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        uint32_t count = 0;
        for (uint32_t path = 0; path < core->topology.paths_count; path++)
            count +=
                dpc_topology_uses(&core->topology, path, i) &&
                core->paths[path].record.rounds_done > dpc_module_round(&core->modules[i].record);
        if (core->modules[i].exists && count != core->modules[i].delivered)
            sim_fail(sim, "%u paths delivered to module %u, and the core counts %u", count, i,
                     core->modules[i].delivered);
    }
}

static void
check_workers(struct sim *sim, struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->leases_count; i++) {
        struct core_lease *lease = core->leases[i];
        const struct core_worker *holder = core_find_worker(core, lease->record.worker);
        if (core_find_lease(core, lease->record.serial) != lease || !holder ||
            (holder->lease != lease && holder->handing_in != lease))
            sim_fail(sim, "lease %llu is not found", (unsigned long long)lease->record.serial);
        if (holder && !core_fits(core, holder, lease->record.path))
            sim_fail(sim, "lease %llu is too large for its worker",
                     (unsigned long long)lease->record.serial);
    }
    uint32_t helpers = 0;
    for (uint32_t i = 0; i < core->workers_count; i++) {
        helpers += core->workers[i].connected && !core->workers[i].record.drained;
        if (core_find_worker(core, core->workers[i].record.key) != &core->workers[i])
            sim_fail(sim, "worker %u is not found by its key", i);
    }
    if (helpers != core->helpers_count)
        sim_fail(sim, "%u workers are there for a lease, and the core counts %u", helpers,
                 core->helpers_count);
}

void
sim_check_index(struct sim *sim)
{
    struct dpc_core *core = sim->coordinator.core;
    if (core->topology.paths_count > SIM_INDEX_PATHS_MAX && sim->events_count % 64)
        return;
    check_paths(sim, core);
    check_chunks(sim, core);
    check_ratings(sim, core);
    check_delivered(sim, core);
    check_workers(sim, core);
}
