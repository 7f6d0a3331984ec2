/* SPDX-License-Identifier: Apache-2.0
 * A full disk of the coordinator's, as coordinator/space.c has it: room is asked for before
 * anything that commits or stores, and without it the coordinator pauses. Only a quota, which free
 * room does not tell, can be met by the database; that ends it. */
#include "base/limits.h"
#include "tests/sim/sim.h"

enum { PAUSE_MS_MIN = 5000 };

static void
pause_now(struct sim *sim)
{
    sim_note(sim, "coordinator pauses: its disk is full");
    sim_mark(sim, SIM_MARK_PAUSED);
    sim->coordinator.paused = true;
    sim->coordinator.paused_ms = sim->now_ms;
}

static void
resume(struct sim *sim)
{
    sim_note(sim, "coordinator goes on");
    sim_mark(sim, SIM_MARK_WENT_ON);
    sim->coordinator.paused = false;
}

bool
sim_has_room(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    uint64_t free_bytes;
    if (dpc_store_free_bytes(coordinator->store, &free_bytes) != DPC_OK)
        return !coordinator->paused;
    bool room = free_bytes >= DPC_STORE_RESERVE_BYTES;
    if (!coordinator->paused && !room)
        pause_now(sim);
    else if (coordinator->paused && room && sim->now_ms - coordinator->paused_ms >= PAUSE_MS_MIN)
        resume(sim);
    return !coordinator->paused;
}

bool
sim_ran_out(struct sim *sim, int code)
{
    if (code != DPC_ENOSPACE || dpc_store_is_broken(sim->coordinator.store))
        return false;
    if (!sim_disk_excuses(sim->coordinator.disk, code))
        sim_fail(sim, "a store found no room on a disk that has room");
    if (!sim->coordinator.paused)
        pause_now(sim);
    return true;
}
