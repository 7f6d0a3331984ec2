/* SPDX-License-Identifier: Apache-2.0
 * Contributions that do not count any more. What modules have merged is taken out by versions that
 * were folded again without it (coordinator/versions/lineage.c), which take the place of present
 * ones as rollbacks do. What is not merged yet is void: a (round, path, module) names one
 * contribution for ever, so the round stands as handed in, and the module closes without it. What
 * an outer step under way merges is left to it, for its answer must stay what it was asked for; the
 * version that it makes is folded again afterwards. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"

/* --- Void contributions, in order. */

/* Index of the first that is not below. */
static uint32_t
lower_bound(const struct dpc_core *core, uint64_t lease, uint32_t module)
{
    uint32_t low = 0, high = core->voids_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct dpc_void_record *at = &core->voids[middle];
        if (at->lease < lease || (at->lease == lease && at->module < module))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
core_is_void(const struct dpc_core *core, uint64_t lease, uint32_t module)
{
    uint32_t at = lower_bound(core, lease, module);
    return at < core->voids_count && core->voids[at].lease == lease &&
           core->voids[at].module == module;
}

void
core_add_void(struct dpc_core *core, const struct dpc_void_record *record)
{
    uint32_t at = lower_bound(core, record->lease, record->module);
    if (core->voids_count == core->voids_capacity) {
        core->voids_capacity = core->voids_capacity ? 2 * core->voids_capacity : 16;
        core->voids = dpc_grow(core->voids, core->voids_capacity, sizeof *core->voids);
    }
    memmove(core->voids + at + 1, core->voids + at, (core->voids_count - at) * sizeof *core->voids);
    core->voids[at] = *record;
    core->voids_count++;
}

/* --- Revoking. */

/* Does the outer step that is under way take what came in time for this round, or a round late? */
static bool
is_in_fold(const struct core_module *module, uint32_t round)
{
    return module->folding && round == dpc_module_round(&module->record);
}

static void
make_void(struct dpc_core *core, uint64_t lease, uint32_t module, struct dpc_actions *actions)
{
    struct dpc_void_record record = {.lease = lease, .module = module};
    if (core_is_void(core, lease, module))
        return;
    core_add_void(core, &record);
    dpc_put_void(&actions->batch, &record);
    core_refresh_closing(core, module); /* it is in no quorum any more */
}

/* What one of the path's modules has yet to merge. */
static void
void_pending(struct dpc_core *core, const struct dpc_tainted *tainted, uint32_t number,
             struct dpc_actions *actions)
{
    uint32_t level = dpc_topology_module_level(&core->topology, number);
    const struct core_module *module = &core->modules[number];
    const struct core_delta *delta = &core->paths[tainted->path].deltas[level];
    if (delta->serial == tainted->lease && delta->round >= dpc_module_round(&module->record) &&
        !is_in_fold(module, delta->round))
        make_void(core, tainted->lease, number, actions);
    for (uint32_t i = 0; i < module->late_count; i++) {
        if (module->late[i].serial == tainted->lease &&
            !is_in_fold(module, module->late[i].round + 1))
            make_void(core, tainted->lease, number, actions);
    }
}

/* What the path's last submission left, and others would go on from: there may be a part of a round
 * without a state. */
static bool
leaves_something(const struct dpc_path_record *path)
{
    return path->part_steps || !dpc_hash_is_none(&path->state) || !dpc_hash_is_none(&path->kept);
}

/* Somebody else may have handed in more of the round since. */
static void
end_leases_behind(struct dpc_core *core, const struct dpc_tainted *tainted,
                  struct dpc_actions *actions)
{
    struct core_lease *next;
    for (struct core_lease *lease = core->paths[tainted->path].leases; lease; lease = next) {
        next = lease->next;
        if (lease->went_on_from == tainted->lease)
            core_end_lease(core, lease, actions);
    }
}

static void
take_out(struct dpc_core *core, const struct dpc_tainted *tainted, struct dpc_actions *actions)
{
    const struct core_path *path = &core->paths[tainted->path];
    uint32_t length = dpc_topology_path_length(&core->topology, tainted->path);
    for (uint32_t i = 0; i < length; i++)
        void_pending(core, tainted, dpc_topology_path_module(&core->topology, tainted->path, i),
                     actions);
    end_leases_behind(core, tainted, actions);
    if (path->accepted_serial == tainted->lease && leaves_something(&path->record))
        core_reset_path(core, tainted->path, actions);
}

/* An outer step that merges what is revoked becomes idle with a new version. */
static void
go_back(struct dpc_core *core, const struct dpc_revoke *revoke,
        const struct dpc_version_record *version, struct dpc_actions *actions)
{
    if (!core_has_content(core, version) ||
        dpc_core_folds_tainted(core, version->module, revoke->tainted, revoke->tainted_count))
        core_roll_back(core, version, actions);
}

static void
refold(struct dpc_core *core, const struct dpc_refolded *refolded, struct dpc_actions *actions)
{
    struct dpc_version_record version = refolded->version;
    uint32_t present = core->modules[version.module].record.version;
    if (version.parent != present && !DPC_PLANTED(DPC_PLANTED_STALE_REFOLD))
        return;
    version.cause = DPC_CAUSE_REVOKE;
    version.parent = present;
    core_replace_version(core, &version, refolded->entries, refolded->entries_count, actions);
}

/* A worker that was forgotten is known from now on, for it is to stay out: over the limit, if there
 * is nobody else to forget. */
static struct core_worker *
take_in_again(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    struct dpc_worker_record record = {0};
    memcpy(record.key, event->worker, sizeof record.key);
    struct core_worker *worker = core_take_in(core, event->worker, actions);
    if (!worker)
        worker = core_add_worker(core, &record);
    (void)snprintf(worker->record.name, sizeof worker->record.name, "%s",
                   event->revoke.name ? event->revoke.name : "");
    return worker;
}

void
core_on_revoke(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    struct dpc_error err;
    const struct dpc_revoke *revoke = &event->revoke;
    struct core_worker *worker = core_find_worker(core, event->worker);
    if (dpc_core_check_rollback(core, &err) != DPC_OK)
        return;
    if (!worker)
        worker = take_in_again(core, event, actions);
    core_bar_worker(core, worker, DPC_STANDING_REVOKED, actions);
    for (uint32_t i = 0; i < revoke->tainted_count; i++)
        take_out(core, &revoke->tainted[i], actions);
    for (uint32_t i = 0; i < revoke->rollback.versions_count; i++)
        go_back(core, revoke, &revoke->rollback.versions[i], actions);
    for (uint32_t i = 0; i < revoke->refolded_count; i++)
        refold(core, &revoke->refolded[i], actions);
    core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}

static bool
folds(const struct dpc_core *core, uint32_t number, const struct dpc_tainted *tainted)
{
    const struct core_module *module = &core->modules[number];
    uint32_t level = dpc_topology_module_level(&core->topology, number);
    const struct core_delta *delta = &core->paths[tainted->path].deltas[level];
    bool found = dpc_topology_uses(&core->topology, tainted->path, number) &&
                 delta->serial == tainted->lease && is_in_fold(module, delta->round);
    for (uint32_t i = 0; i < module->late_count && !found; i++)
        found = module->late[i].serial == tainted->lease &&
                is_in_fold(module, module->late[i].round + 1);
    return found;
}

bool
dpc_core_folds_tainted(const struct dpc_core *core, uint32_t module,
                       const struct dpc_tainted *tainted, uint32_t tainted_count)
{
    if (!core->modules[module].folding)
        return false;
    for (uint32_t i = 0; i < tainted_count; i++) {
        if (folds(core, module, &tainted[i]))
            return true;
    }
    return false;
}
