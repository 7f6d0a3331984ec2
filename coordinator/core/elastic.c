/* SPDX-License-Identifier: Apache-2.0
 * Elastic mode: modules that do not wait for everybody. A module closes its round when all its
 * paths have it behind them, or, once a quorum of them has handed in the whole round, a while
 * later; the while is a share of what the quorum took, so it follows machines and links by itself.
 * What was handed in by then is merged, parts of a round with a part of the weight. A path that has
 * got nowhere by then goes on with the next round; whoever is at work on it may still bring its
 * delta, which modules that have not closed merge as usual and the others with their next round.
 * Which contributions a version was made of stands in the ledger, and follows from what came when;
 * the version's content follows from the ledger. */
#include "coordinator/core/state.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"

/* A worker is slow when it takes this many times as long as usual for a step; its leases are then
 * cut so that they take as long as so many of the usual ones, but not below a share of the round:
 * what a worker says of its speed must not make parts without end. */
enum { SLOW_FACTOR = 2, LEASES_A_ROUND = 8 };

static uint32_t
length_of(const struct dpc_core *core, uint32_t path)
{
    return dpc_topology_path_length(&core->topology, path);
}

static uint32_t
module_of(const struct dpc_core *core, uint32_t path, uint32_t index)
{
    return dpc_topology_path_module(&core->topology, path, index);
}

/* --- What comes late. */

enum dpc_lateness
core_lateness(const struct dpc_core *core, uint32_t path, uint32_t module_id, uint32_t round)
{
    const struct core_module *module = &core->modules[module_id];
    uint32_t level = dpc_topology_module_level(&core->topology, module_id);
    const struct core_delta *in_time = &core->paths[path].deltas[level];
    uint32_t open = dpc_module_round(&module->record) +
                    (module->folding && !DPC_PLANTED(DPC_PLANTED_FOLDING_OPEN));
    if (open <= round)
        return DPC_IN_TIME;
    bool merged =
        in_time->serial && in_time->round == round && !DPC_PLANTED(DPC_PLANTED_MERGED_TWICE);
    /* What is late of the warm start is none of the dense path's, which goes on alone. */
    bool ends = core_is_dense(core, path) && open == core->warm_rounds;
    bool next = open == round + 1 && open < dpc_core_path_rounds(core, path) && !ends;
    return core->experiment->outer.late == DPC_LATE_DISCOUNT && next && !merged ? DPC_LATE
                                                                                : DPC_TOO_LATE;
}

void
core_add_late(struct core_module *module, const struct core_delta *delta)
{
    for (uint32_t i = 0; i < module->late_count; i++) {
        if (module->late[i].path == delta->path && module->late[i].round == delta->round) {
            module->late[i] = *delta;
            return;
        }
    }
    if (module->late_count == module->late_capacity) {
        module->late_capacity = module->late_capacity ? 2 * module->late_capacity : 4;
        module->late = dpc_grow(module->late, module->late_capacity, sizeof *module->late);
    }
    module->late[module->late_count++] = *delta;
}

const struct core_delta *
core_find_late(const struct core_module *module, uint32_t path)
{
    for (uint32_t i = 0; i < module->late_count; i++) {
        if (module->late[i].path == path &&
            module->late[i].round + 1 == dpc_module_round(&module->record))
            return &module->late[i];
    }
    return NULL;
}

static void
forget_late(struct core_module *module)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < module->late_count; i++) {
        if (module->late[i].round + 1 >= dpc_module_round(&module->record))
            module->late[count++] = module->late[i];
    }
    module->late_count = count;
}

/* --- When a module closes. */

/* Is anybody at work on this round of the path? */
static bool
is_held(const struct core_path *path, uint32_t round)
{
    for (const struct core_lease *lease = path->leases; lease; lease = lease->next) {
        if (lease->record.round == round)
            return true;
    }
    return false;
}

struct standing {
    uint32_t paths;    /* through the module */
    uint32_t planned;  /* that train in its present round */
    uint32_t complete; /* that have handed in all of it, and it will be merged */
    uint32_t behind;   /* that have the round behind them, with or without */
    bool overdue;      /* one of these may still bring it */
};

/* 0.28 of 25 paths is 7 of them, although the product of these doubles is a little more. */
static double
quorum_of(const struct dpc_core *core, uint32_t planned)
{
    double quorum = core->experiment->outer.quorum * planned, whole = round(quorum);
    return fabs(quorum - whole) <= 1e-9 * whole ? whole : quorum;
}

static void
count_standing(const struct dpc_core *core, uint32_t module_id, struct standing *standing)
{
    uint32_t round = dpc_module_round(&core->modules[module_id].record);
    uint32_t level = dpc_topology_module_level(&core->topology, module_id);
    *standing = (struct standing){.paths = dpc_topology_paths_through(&core->topology, module_id)};
    for (uint32_t i = 0; i < standing->paths; i++) {
        uint32_t path_id = dpc_topology_path_through(&core->topology, module_id, i);
        const struct core_path *path = &core->paths[path_id];
        const struct core_delta *delta = &path->deltas[level];
        standing->planned += dpc_core_plans(core, path_id, round);
        standing->complete += delta->serial && delta->round == round &&
                              delta->steps == dpc_core_round_steps(core, path_id, round) &&
                              core_is_merged(core, delta, module_id);
        standing->behind += path->record.rounds_done > round;
        standing->overdue |= path->record.missed == round + 1 && is_held(path, round);
    }
}

void
core_refresh_closing(struct dpc_core *core, uint32_t module_id)
{
    struct core_module *module = &core->modules[module_id];
    struct standing standing;
    if (core->experiment->mode != DPC_MODE_ELASTIC || !module->exists ||
        dpc_module_round(&module->record) >= core_module_rounds(core, module_id))
        return;
    count_standing(core, module_id, &standing);
    bool all = standing.behind == standing.paths;
    bool quorum = standing.complete >= quorum_of(core, standing.planned);
    if (!all && !quorum)
        module->closes_ms = INT64_MAX;
    else if (all && !standing.overdue)
        module->closes_ms = INT64_MIN;
    else if (module->closes_ms == INT64_MAX)
        module->closes_ms = core->now_ms + (int64_t)(core->experiment->outer.grace *
                                                     (double)(core->now_ms - module->begun_ms));
}

void
core_refresh_closing_along(struct dpc_core *core, uint32_t path)
{
    for (uint32_t i = 0; i < length_of(core, path); i++)
        core_refresh_closing(core, module_of(core, path, i));
}

void
core_refresh_overdue(struct dpc_core *core, uint32_t path_id, uint32_t round)
{
    const struct core_path *path = &core->paths[path_id];
    if (path->record.missed == round + 1 && !is_held(path, round))
        core_refresh_closing_along(core, path_id);
}

enum dpc_module_standing
core_judge_closing(const struct dpc_core *core, uint32_t module)
{
    int64_t closes_ms = core->modules[module].closes_ms;
    if (core->now_ms >= closes_ms)
        return DPC_MODULE_CLOSES;
    return closes_ms == INT64_MAX ? DPC_MODULE_QUORUM : DPC_MODULE_GRACE;
}

void
core_count_paths(const struct dpc_core *core, uint32_t module, struct dpc_why_module *why)
{
    struct standing standing;
    count_standing(core, module, &standing);
    why->paths = standing.paths;
    why->planned = standing.planned;
    why->delivered = standing.complete;
    why->behind = standing.behind;
    why->quorum = quorum_of(core, standing.planned);
}

int64_t
dpc_core_closes_in(const struct dpc_core *core, uint32_t module, int64_t now_ms)
{
    int64_t closes_ms = core->modules[module].closes_ms;
    if (closes_ms == INT64_MAX)
        return -1;
    return closes_ms > now_ms ? closes_ms - now_ms : 0;
}

/* --- Paths that missed a round. */

bool
core_is_wanted(const struct dpc_core *core, uint32_t path_id, uint32_t round)
{
    const struct dpc_path_record *path = &core->paths[path_id].record;
    bool wanted = false;
    if (round >= path->rounds_done)
        return true;
    for (uint32_t i = 0; i < length_of(core, path_id); i++)
        wanted |= core_lateness(core, path_id, module_of(core, path_id, i), round) != DPC_TOO_LATE;
    return wanted && path->missed == round + 1;
}

static void
end_idle_leases(struct dpc_core *core, uint32_t path, struct dpc_actions *actions)
{
    struct core_lease *next;
    for (struct core_lease *lease = core->paths[path].leases; lease; lease = next) {
        next = lease->next;
        if (!core_is_wanted(core, path, lease->record.round))
            core_end_lease(core, lease, actions);
    }
}

/* What was handed in of the round before is merged as the part that it is; then nobody else can
 * bring it whole any more. */
static void
miss_round(struct dpc_core *core, uint32_t path_id, uint32_t round, struct dpc_actions *actions)
{
    struct core_path *path = &core->paths[path_id];
    bool may_come = path->record.parts == 0 && is_held(path, path->record.rounds_done);
    path->record.missed = may_come ? path->record.rounds_done + 1 : 0;
    path->record.rounds_done = core_next_round(core, path_id, round);
    path->record.part_steps = path->record.parts = 0;
    dpc_put_path(&actions->batch, &path->record);
    core_forget_failure(core, CORE_TRAINING, path_id);
    for (uint32_t i = 0; i < length_of(core, path_id); i++)
        core_count_delivered(core, module_of(core, path_id, i));
    core_refresh_path(core, path_id);
}

void
core_catch_up(struct dpc_core *core, uint32_t module_id, struct dpc_actions *actions)
{
    struct core_module *module = &core->modules[module_id];
    uint32_t round = dpc_module_round(&module->record);
    uint32_t count = dpc_topology_paths_through(&core->topology, module_id);
    if (core->experiment->mode != DPC_MODE_ELASTIC)
        return;
    module->begun_ms = core->now_ms;
    module->closes_ms = INT64_MAX;
    forget_late(module);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, module_id, i);
        if (core->paths[path].record.rounds_done < round)
            miss_round(core, path, round, actions);
        end_idle_leases(core, path, actions);
    }
    for (uint32_t i = 0; i < count; i++)
        core_refresh_closing_along(core, dpc_topology_path_through(&core->topology, module_id, i));
}

/* --- Parts of a round. */

uint32_t
core_lease_steps(const struct dpc_core *core, const struct core_worker *worker, uint32_t path_id)
{
    const struct dpc_path_record *path = &core->paths[path_id].record;
    uint32_t all = dpc_core_round_steps(core, path_id, path->rounds_done);
    uint32_t left = all - path->part_steps, least = (all + LEASES_A_ROUND - 1) / LEASES_A_ROUND;
    double usual_ms = core->paces[DPC_TASK_TRAIN].unit_ms;
    double tokens = (double)core_tokens_of(core, 1);
    if (core->experiment->mode != DPC_MODE_ELASTIC || !(worker->tokens_per_s > 0) ||
        usual_ms <= 0 || path->parts + 1 >= DPC_PARTS_MAX)
        return left;
    double share = SLOW_FACTOR * usual_ms * worker->tokens_per_s / (1000.0 * tokens);
    uint32_t steps = share < 1 ? (uint32_t)ceil(share * left) : left;
    if (steps < least)
        steps = least;
    return steps < left ? steps : left;
}

bool
core_stands(const struct dpc_core *core, const struct core_lease *lease)
{
    const struct dpc_path_record *path = &core->paths[lease->record.path].record;
    return lease->record.kind != DPC_TASK_TRAIN ||
           (lease->record.round == path->rounds_done && lease->record.from == path->part_steps &&
            dpc_hash_equal(&lease->record.state, &path->state));
}
