/* SPDX-License-Identifier: Apache-2.0
 * Who may work. A barred worker keeps its key and its record: it is told why at each hello, what it
 * had been given is void, and an operator who admits it again makes good for all of that. What it
 * handed in before is another matter: revoke.c takes it out. */
#include "coordinator/core/state.h"

#include <stdio.h>

#include "base/planted.h"

void
core_bar_worker(struct dpc_core *core, struct core_worker *worker, enum dpc_standing standing,
                struct dpc_actions *actions)
{
    if (worker->record.standing != DPC_STANDING_GOOD)
        return;
    worker->record.standing = standing;
    dpc_put_worker(&actions->batch, &worker->record);
    core_set_connected(core, worker, false);
    if (worker->handing_in)
        core_end_lease(core, worker->handing_in, actions);
    if (worker->lease && !DPC_PLANTED(DPC_PLANTED_BARRED_LEASED))
        core_end_lease(core, worker->lease, actions);
    core_leave_audit(core, worker, 0, 0);
}

void
core_on_standing(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    struct core_worker *worker = core_find_worker(core, event->worker);
    if (!worker || worker->record.standing == event->standing)
        return;
    if (event->standing != DPC_STANDING_GOOD) {
        core_bar_worker(core, worker, event->standing, actions);
        return;
    }
    worker->record.standing = DPC_STANDING_GOOD;
    dpc_put_worker(&actions->batch, &worker->record);
}

static void
set_drained(struct dpc_core *core, struct core_worker *worker, bool drained,
            struct dpc_actions *actions)
{
    if ((worker->record.drained != 0) == drained)
        return;
    core_set_drained(core, worker, drained);
    dpc_put_worker(&actions->batch, &worker->record);
}

/* Who is barred gets nothing anyway, and is no operator's to drain until it is taken in again. */
void
core_on_drain(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    struct core_worker *worker = core_find_worker(core, event->worker);
    for (uint32_t i = 0; event->drain.all && i < core->workers_count; i++) {
        if (core->workers[i].record.standing == DPC_STANDING_GOOD)
            set_drained(core, &core->workers[i], event->drain.drained, actions);
    }
    if (!event->drain.all && worker && worker->record.standing == DPC_STANDING_GOOD)
        set_drained(core, worker, event->drain.drained, actions);
}

void
core_tell_barred(const struct core_worker *worker, char *ret_text, size_t size)
{
    static const char *const reasons[] = {
        [DPC_STANDING_GOOD] = "",
        [DPC_STANDING_REVOKED] = "the operator has revoked what this worker handed in",
        [DPC_STANDING_QUARANTINED] =
            "what this worker handed in did not stand up to an audit, or had been handed in before",
    };
    (void)snprintf(ret_text, size,
                   "%s: ask the operator of this coordinator, who may take it in again "
                   "(dipacoctl admit %s)",
                   reasons[worker->record.standing], worker->record.name);
}
