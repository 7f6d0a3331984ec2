/* SPDX-License-Identifier: Apache-2.0
 * An operator who bars workers and takes them in again, and drains workers and wants them back, the
 * last of them when the world is healed: who works changes no version. */
#include <string.h>

#include "tests/sim/sim.h"

/* Of a tick. */
static const double bar_chance = 0.1, admit_chance = 0.2, drain_chance = 0.1, all_chance = 0.2;

static const struct dpc_worker_record *
record_at(const struct sim *sim, uint32_t index)
{
    int64_t silent_ms;
    bool connected;
    return dpc_core_worker_at(sim->coordinator.core, index, 0, &silent_ms, &connected);
}

bool
sim_draw_standing(struct sim *sim, struct dpc_event *ret_event)
{
    uint32_t count = dpc_core_workers_count(sim->coordinator.core);
    bool bars = sim->plan.bars || sim->plan.revokes || sim->plan.audits;
    if (!bars || !count || sim->coordinator.revoke.active || !sim_has_room(sim))
        return false;
    const struct dpc_worker_record *worker =
        record_at(sim, (uint32_t)dpc_rng_below(&sim->rng, count));
    for (uint32_t i = 0; i < count && sim_healed(sim) && worker->standing == DPC_STANDING_GOOD; i++)
        worker = record_at(sim, i);
    bool good = worker->standing == DPC_STANDING_GOOD;
    if (good && (!sim->plan.bars || sim_healed(sim)))
        return false;
    if (!sim_healed(sim) && !sim_chance(sim, good ? bar_chance : admit_chance))
        return false;
    static const enum dpc_standing bad[] = {DPC_STANDING_REVOKED, DPC_STANDING_QUARANTINED};
    ret_event->type = DPC_EVENT_STANDING;
    ret_event->standing = good ? bad[dpc_rng_below(&sim->rng, 2)] : DPC_STANDING_GOOD;
    memcpy(ret_event->worker, worker->key, sizeof ret_event->worker);
    sim_note(sim, "the operator %s worker=%s", good ? "bars" : "admits", worker->name);
    sim_mark(sim, good ? SIM_MARK_BARRED : SIM_MARK_ADMITTED);
    return true;
}

/* All at once now and then; when the world is healed all are wanted again. */
bool
sim_draw_drain(struct sim *sim, struct dpc_event *ret_event)
{
    const struct dpc_core *core = sim->coordinator.core;
    uint32_t count = dpc_core_workers_count(core), drained = 0;
    if (!sim->plan.drains || !count || !sim_has_room(sim))
        return false;
    for (uint32_t i = 0; i < count; i++)
        drained += record_at(sim, i)->drained;
    const struct dpc_worker_record *worker =
        record_at(sim, (uint32_t)dpc_rng_below(&sim->rng, count));
    if (sim_healed(sim) ? drained == 0 : !sim_chance(sim, drain_chance))
        return false;
    ret_event->type = DPC_EVENT_DRAIN;
    ret_event->drain.drained = !sim_healed(sim) && !worker->drained;
    ret_event->drain.all = sim_healed(sim) || sim_chance(sim, all_chance);
    memcpy(ret_event->worker, worker->key, sizeof ret_event->worker);
    sim_note(sim, "the operator %s worker=%s", ret_event->drain.drained ? "drains" : "undrains",
             ret_event->drain.all ? "all" : worker->name);
    if (!ret_event->drain.drained)
        sim_mark(sim, SIM_MARK_UNDRAINED);
    else if (dpc_core_held_by(sim->coordinator.core, worker->key))
        sim_mark(sim, SIM_MARK_DRAINED);
    return true;
}

/* What it is told to do it had been given before it was drained. */
static void
check_drained(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    if (reply->type == DPC_MSG_LEASE && reply->lease.token.serial >= sim->memory->serials)
        sim_fail(sim, "a drained worker got the new lease %llu",
                 (unsigned long long)reply->lease.token.serial);
    if (event->type == DPC_EVENT_SUBMIT && reply->type == DPC_MSG_SUBMITTED &&
        reply->verdict.verdict == DPC_VERDICT_ACCEPTED)
        sim_mark(sim, SIM_MARK_DRAINED_ACCEPTED);
}

void
sim_check_standings(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    bool replied = sim->coordinator.actions.has_reply;
    struct dpc_lease_view view;
    for (uint32_t i = 0; i < dpc_core_workers_count(core); i++) {
        const struct dpc_worker_record *worker = record_at(sim, i);
        bool asks = replied && memcmp(event->worker, worker->key, sizeof event->worker) == 0;
        if (asks && worker->drained)
            check_drained(sim, event);
        if (worker->standing == DPC_STANDING_GOOD)
            continue;
        for (uint32_t k = 0; k < dpc_core_leases_count(core); k++) {
            dpc_core_lease_at(core, k, 0, &view);
            if (memcmp(view.worker, worker->key, sizeof view.worker) == 0)
                sim_fail(sim, "a barred worker holds lease %llu", (unsigned long long)view.serial);
        }
        if (!asks)
            continue;
        if (reply->type == DPC_MSG_WELCOME || reply->type == DPC_MSG_LEASE)
            sim_fail(sim, "a barred worker was told %s", dpc_msg_name(reply->type));
        if (reply->type == DPC_MSG_SUBMITTED && reply->verdict.verdict == DPC_VERDICT_REFUSED)
            sim_mark(sim, SIM_MARK_BARRED_REFUSED);
    }
    sim->memory->serials = dpc_core_phase(core)->next_serial;
}
