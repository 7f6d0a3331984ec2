/* SPDX-License-Identifier: Apache-2.0
 * The coordinator's sweeps, as coordinator/sweeps.c times them, only oftener: on every tick, unless
 * a job from before the last sweep is still under way, or a revoke. A blob that is missed
 * afterwards fails the run where it is asked for, or after the next restart (audit_blobs.c). */
#include "coordinator/core/keep.h"
#include "tests/sim/sim.h"

static bool
is_kept(void *context, const struct dpc_hash *hash)
{
    return dpc_keep_holds(context, hash);
}

static bool
old_job_is_inside(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->queue.count; i++) {
        const struct sim_event *event = &sim->queue.events[i];
        if (event->type == SIM_EFFECT && event->life == sim->coordinator.life &&
            !((const struct sim_effect *)event->payload)->put_off &&
            event->number < sim->coordinator.sweeps)
            return true;
    }
    return false;
}

static int
sweep(struct sim_coordinator *coordinator, uint64_t horizon, struct dpc_swept *ret_swept,
      struct dpc_error *err)
{
    struct dpc_keep *keep = dpc_keep_create(coordinator->core);
    int code = dpc_keep_history(keep, dpc_store_kv(coordinator->store), err);
    if (code == DPC_OK)
        code = dpc_store_sweep(coordinator->store, horizon, is_kept, keep, ret_swept, err);
    dpc_keep_destroy(keep);
    return code;
}

void
sim_sweep(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_swept swept = {0};
    struct dpc_error err;
    if (old_job_is_inside(sim) || coordinator->revoke.active)
        return;
    uint64_t horizon = coordinator->horizon;
    coordinator->horizon = dpc_store_touches(coordinator->store);
    coordinator->sweeps++;
    int code = sweep(coordinator, horizon, &swept, &err);
    if (code != DPC_OK && !sim_ran_out(sim, code))
        sim_coordinator_broke(sim, code, err.text);
    else if (code == DPC_OK && swept.removed)
        sim_mark(sim, SIM_MARK_SWEPT);
    if (code == DPC_OK)
        sim_check_best_blobs(sim);
    sim_note(sim, "sweep removed=%llu kept=%llu", (unsigned long long)swept.removed,
             (unsigned long long)swept.kept);
    sim_coordinator_end_if_broken(sim);
}
