/* SPDX-License-Identifier: Apache-2.0
 * Faults that come from outside, one after another until the world is healed. Crashes of the
 * coordinator inside a step are drawn where they happen (coordinator.c). */
#include "tests/sim/sim.h"

enum { DOWN_MS = 10000 };

static void
put_to_sleep(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    if (!worker->session || worker->asleep)
        return;
    sim_note(sim, "worker %u falls asleep", index);
    worker->asleep = true;
    sim_add(sim, sim_draw_ms(sim, DOWN_MS),
            (struct sim_event){.type = SIM_WORKER_AWAKE, .worker = index, .life = worker->life});
}

static void
cut(struct sim *sim, uint32_t index, bool up, bool down)
{
    struct sim_worker *worker = &sim->workers[index];
    sim_note(sim, "worker %u is cut off up=%d down=%d", index, up, down);
    worker->cut_up |= up;
    worker->cut_down |= down;
    sim_add(sim, sim_draw_ms(sim, DOWN_MS),
            (struct sim_event){.type = SIM_REPAIR, .worker = index});
}

static void
change_pace(struct sim *sim, uint32_t index)
{
    double slowness = 1 + 2 * dpc_rng_unit(&sim->rng);
    if (sim_chance(sim, 0.15))
        slowness *= 30;
    sim->workers[index].slowness = slowness;
}

static void
do_harm(struct sim *sim)
{
    uint32_t index = (uint32_t)dpc_rng_below(&sim->rng, sim->plan.workers);
    switch (dpc_rng_below(&sim->rng, 10)) {
    case 0:
        sim_worker_crash(sim, index, sim_draw_ms(sim, DOWN_MS));
        break;
    case 1: /* restarted at once: its old messages are still under way */
        sim_worker_crash(sim, index, 1);
        break;
    case 2:
        put_to_sleep(sim, index);
        break;
    case 3:
        sim_worker_stop(sim, index);
        break;
    case 4:
        cut(sim, index, true, false);
        break;
    case 5:
        cut(sim, index, false, true);
        break;
    case 6:
        cut(sim, index, true, true);
        break;
    case 7:
        if (sim->coordinator.core)
            sim_coordinator_crash(sim, sim_draw_ms(sim, DOWN_MS));
        break;
    case 8:
        change_pace(sim, index);
        break;
    case 9:
        sim_add(sim, 0,
                (struct sim_event){
                    .type = SIM_CONNECTED, .worker = index, .life = sim->workers[index].life});
        break;
    }
}

void
sim_chaos(struct sim *sim)
{
    if (sim_healed(sim)) {
        sim_heal(sim);
        return;
    }
    do_harm(sim);
    int64_t pause_ms = sim_draw_ms(sim, sim->plan.chaos_ms);
    int64_t left_ms = sim->plan.heal_ms - sim->now_ms;
    sim_add(sim, pause_ms < left_ms ? pause_ms : left_ms, (struct sim_event){.type = SIM_CHAOS});
}

/* Slow machines stay slow; nothing else is wrong any more. */
void
sim_heal(struct sim *sim)
{
    sim_note(sim, "healed");
    for (uint32_t i = 0; i < sim->plan.workers; i++)
        sim->workers[i].cut_up = sim->workers[i].cut_down = false;
}
