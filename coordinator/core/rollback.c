/* SPDX-License-Identifier: Apache-2.0
 * Rollbacks. Nothing is taken away: a module gets a new version in its present round, with the
 * bytes and the momentum of an old one. What was learned from the version before it is not merged
 * in this module any more: leases on it are voided, and of rounds that were handed in already the
 * outer step leaves out what is older than the rollback (core_is_merged). Rounds go on counting, so
 * that a (round, path, module) names one contribution for ever and the schedule, a function of the
 * round, ends when it was to end. */
#include "coordinator/core/state.h"

#include "base/alloc.h"
#include "base/planted.h"

int
dpc_core_check_rollback(const struct dpc_core *core, struct dpc_error *err)
{
    uint32_t phase = core->phase.phase;
    if (phase == DPC_PHASE_TRAIN)
        return DPC_OK;
    if (!dpc_phase_is_late(phase))
        return dpc_error_set(err, DPC_EBUSY,
                             "modules can be rolled back while they are trained, and this "
                             "experiment is in phase %s: wait for phase train",
                             dpc_phase_name(core->phase.phase));
    return dpc_error_set(err, DPC_EPERM,
                         "modules can be rolled back while they are trained, and this experiment "
                         "is in phase %s: restore a backup from before it, or begin anew",
                         dpc_phase_name(core->phase.phase));
}

/* An answer that was lost is asked for again; then there is nothing left to do. */
bool
core_has_content(const struct dpc_core *core, const struct dpc_version_record *version)
{
    const struct dpc_module_record *module = &core->modules[version->module].record;
    return dpc_hash_equal(&module->master, &version->master) &&
           dpc_hash_equal(&module->published, &version->published) &&
           dpc_hash_equal(&module->momentum, &version->momentum);
}

static void
put_ledger(struct dpc_core *core, const struct dpc_version_record *version,
           const struct dpc_ledger_entry *left_out, uint32_t left_out_count,
           struct dpc_actions *actions)
{
    struct dpc_ledger_record record = {
        .module = version->module,
        .version = version->version,
        .master = version->master,
        .momentum = version->momentum,
        .entries_count = left_out_count,
        .entries = dpc_alloc(left_out_count + 1u, sizeof *record.entries), /* never none */
    };
    for (uint32_t i = 0; i < left_out_count; i++) {
        record.entries[i] = left_out[i];
        record.entries[i].scale = 0;
    }
    core_put_ledger(core, &record, actions);
    dpc_free(record.entries);
}

/* Its optimizer's moments belong to weights that are not there any more. */
void
core_reset_path(struct dpc_core *core, uint32_t path_id, struct dpc_actions *actions)
{
    struct core_path *path = &core->paths[path_id];
    while (path->leases && !DPC_PLANTED(DPC_PLANTED_DISCARDED_LEASED))
        core_end_lease(core, path->leases, actions);
    core_forget_failure(core, CORE_TRAINING, path_id);
    path->record.state = dpc_hash_none;
    path->record.state_bytes = 0;
    path->record.kept = dpc_hash_none;
    path->record.kept_bytes = 0;
    path->record.part_steps = 0;
    path->record.missed = 0;
    dpc_put_path(&actions->batch, &path->record);
    core_refresh_path(core, path_id);
}

void
core_replace_version(struct dpc_core *core, struct dpc_version_record *version,
                     const struct dpc_ledger_entry *left_out, uint32_t left_out_count,
                     struct dpc_actions *actions)
{
    struct dpc_module_record *module = &core->modules[version->module].record;
    version->version = module->version + 1;
    put_ledger(core, version, left_out, left_out_count, actions);
    module->rollbacks++;
    module->serial_first = core->phase.next_serial;
    core_append_version(core, version, &dpc_hash_none, actions);
    core_drop_audits(core, version->module);
    uint32_t count = dpc_topology_paths_through(&core->topology, version->module);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, version->module, i);
        core_reset_path(core, path, actions);
        core_discard_best(core, path, version, actions);
    }
    core_refresh_closing(core, version->module); /* what was discarded is in no quorum */
}

void
core_roll_back(struct dpc_core *core, const struct dpc_version_record *version,
               struct dpc_actions *actions)
{
    struct dpc_version_record again = {
        .module = version->module,
        .cause = DPC_CAUSE_ROLLBACK,
        .parent = version->version,
        .master = version->master,
        .published = version->published,
        .momentum = version->momentum,
    };
    core_replace_version(core, &again, NULL, 0, actions);
}

void
core_on_rollback(struct dpc_core *core, const struct dpc_rollback *rollback,
                 struct dpc_actions *actions)
{
    struct dpc_error err;
    if (dpc_core_check_rollback(core, &err) != DPC_OK)
        return;
    for (uint32_t i = 0; i < rollback->versions_count; i++) {
        if (!core_has_content(core, &rollback->versions[i]))
            core_roll_back(core, &rollback->versions[i], actions);
    }
    core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}
