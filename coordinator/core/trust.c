/* SPDX-License-Identifier: Apache-2.0
 * Workers that belong to anybody. The gates of an outer step judge contributions by their numbers
 * (coordinator/versions/gates.c); here their findings become factors in the ledger, which is all
 * that a replay needs, and counts of each worker's conduct, which is for people. */
#include "coordinator/core/state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

double
core_judged_scale(const struct dpc_folded *folded, uint32_t index)
{
    return folded->judged_count ? folded->judged[index].scale : 1;
}

void
core_put_conduct(const struct core_worker *worker, struct dpc_actions *actions)
{
    struct dpc_conduct_record record = worker->conduct;
    memcpy(record.key, worker->record.key, sizeof record.key);
    dpc_put_conduct(&actions->batch, &record);
}

/* An owner who was limited did nothing wrong: that is not his conduct. */
static void
note(struct core_worker *worker, uint32_t marks, struct dpc_actions *actions)
{
    worker->conduct.clipped += (marks & DPC_MARK_CLIPPED) != 0;
    worker->conduct.opposed += (marks & DPC_MARK_OPPOSED) != 0;
    worker->conduct.copies += (marks & DPC_MARK_COPY) != 0;
    worker->conduct.idle += (marks & DPC_MARK_IDLE) != 0;
    core_put_conduct(worker, actions);
}

void
core_note_judged(struct dpc_core *core, const struct dpc_fold *fold,
                 const struct dpc_folded *folded, struct dpc_actions *actions)
{
    assert(folded->judged_count == 0 || folded->judged_count == fold->inputs_count);
    for (uint32_t i = 0; i < folded->judged_count; i++) {
        uint32_t marks = folded->judged[i].marks & ~(uint32_t)DPC_MARK_OWNER;
        struct core_worker *worker = core_find_worker(core, fold->inputs[i].worker);
        if (marks && worker)
            note(worker, marks, actions);
    }
}

bool
core_is_stale(const struct dpc_core *core, const struct dpc_msg_submit *submit)
{
    for (uint32_t level = 0; level < submit->parts_count; level++) {
        if (core_seen_elsewhere(&core->seen, &submit->parts[level].delta.hash, submit->path,
                                submit->round))
            return true;
    }
    return false;
}

void
core_note_stale(struct dpc_core *core, struct core_worker *worker, struct dpc_actions *actions)
{
    worker->conduct.stale++;
    core_put_conduct(worker, actions);
    core_bar_worker(core, worker, DPC_STANDING_QUARANTINED, actions);
    (void)snprintf(
        actions->alarm, sizeof actions->alarm,
        "worker %s handed in a contribution that had been handed in before, and is barred",
        worker->record.name);
}

void
core_note_delta(struct dpc_core *core, const struct dpc_contribution_record *record)
{
    if (core->experiment->trust == DPC_TRUST_OPEN)
        core_seen_add(&core->seen, &record->delta, record->path, record->round);
}
