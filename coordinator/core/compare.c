/* SPDX-License-Identifier: Apache-2.0
 * Two submissions of one task. Strict mode promises the same bits whoever trains; a second worker
 * that brings others shows that some machine computes wrong, or another program, and nobody knows
 * which: the accepted one stands, and people are told. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

#include "base/planted.h"

/* Is the lease older than a rollback of one of the path's modules? Then its worker trained from a
 * version that does not count any more, and may well have learned something else; likewise when the
 * path was reset since, so that the round that was accepted began with another state. A path
 * without a state was reset since that round: there is nothing to compare with. */
static bool
is_discarded(const struct dpc_core *core, const struct dpc_msg_submit *submit)
{
    const struct core_path *path = &core->paths[submit->path];
    if (dpc_hash_is_none(&path->record.state) ||
        !dpc_hash_equal(&submit->began, &path->accepted_began))
        return true;
    uint32_t length = dpc_topology_path_length(&core->topology, submit->path);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(&core->topology, submit->path, i);
        if (submit->token.serial < core->modules[module].record.serial_first)
            return true;
    }
    return false;
}

static bool
same_training(const struct dpc_core *core, const struct dpc_msg_submit *submit)
{
    const struct core_path *path = &core->paths[submit->path];
    const struct dpc_topology *topology = &core->topology;
    bool same = submit->parts_count == dpc_topology_path_length(topology, submit->path) &&
                dpc_hash_equal(&submit->state.hash, &path->record.state);
    for (uint32_t i = 0; same && i < submit->parts_count; i++) {
        uint32_t module = dpc_topology_path_module(topology, submit->path, i);
        same = dpc_hash_equal(&submit->parts[i].delta.hash,
                              &path->latest[dpc_topology_module_level(topology, module)]);
    }
    return same;
}

void
core_compare_superseded(const struct dpc_core *core, const struct core_worker *worker,
                        const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    /* Only the last accepted round of a path is at hand, and it is what a backup was about. */
    if (DPC_PLANTED(DPC_PLANTED_DIFFERENCE_MISSED) || core->experiment->mode != DPC_MODE_STRICT ||
        core->experiment->numeric_class == DPC_CLASS_ANY || submit->kind != DPC_TASK_TRAIN ||
        submit->path >= core->topology.paths_count ||
        core->paths[submit->path].deltas[0].round != submit->round ||
        core->paths[submit->path].record.rounds_done <= submit->round ||
        is_discarded(core, submit) || same_training(core, submit))
        return;
    const struct core_path *path = &core->paths[submit->path];
    (void)snprintf(actions->alarm, sizeof actions->alarm,
                   "two workers trained the same task to different bits path=%u round=%u "
                   "accepted_lease=%llu other_lease=%llu other_worker=%s: one of the machines "
                   "computes wrong or runs another program; train the round again on machines "
                   "that are known to be sound",
                   submit->path, submit->round, (unsigned long long)path->accepted_serial,
                   (unsigned long long)submit->token.serial, worker->record.name);
}
