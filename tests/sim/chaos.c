/* SPDX-License-Identifier: Apache-2.0
 * Faults that come from outside, one after another until the world is healed. Crashes of the
 * coordinator inside a step are drawn where they happen (coordinator.c), those inside an operation
 * of a disk there (disk.c). */
#include "tests/sim/sim.h"

enum { DOWN_MS = 10000, FLIPS = 8, NOTICE_MS = 5000, JUMP_MS = 1200000 };

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

void
sim_cut(struct sim *sim, uint32_t index, bool up, bool down, int64_t mean_ms)
{
    struct sim_worker *worker = &sim->workers[index];
    sim_note(sim, "worker %u is cut off up=%d down=%d", index, up, down);
    worker->cut_up |= up;
    worker->cut_down |= down;
    sim_add(sim, sim_draw_ms(sim, mean_ms),
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

static struct sim_disk *
disk_of(struct sim *sim, uint32_t index)
{
    return index == SIM_NOBODY ? sim->coordinator.disk : sim->workers[index].disk;
}

void
sim_fill_disk(struct sim *sim, uint32_t index)
{
    bool told = sim_chance(sim, 0.7);
    sim_note(sim, "disk %d is full told=%d", (int)index, told);
    sim_disk_set_full(disk_of(sim, index), true, told);
    sim_add(sim, sim_draw_ms(sim, DOWN_MS),
            (struct sim_event){.type = SIM_DISK_REPAIR, .worker = index});
}

/* It is mended where it is found (coordinator.c), dropped and fetched again where it lies in a
 * cache, or else mended after a while. */
static void
flip_bit(struct sim *sim, uint32_t index)
{
    int flipped = 0;
    for (int i = 0; i < FLIPS; i++)
        flipped += sim_disk_flip(disk_of(sim, index));
    sim_note(sim, "disk %d has flipped bits: %d", (int)index, flipped);
    sim_add(sim, sim_draw_ms(sim, 10 * DOWN_MS),
            (struct sim_event){.type = SIM_DISK_REPAIR, .worker = index});
}

static void
lose_disk(struct sim *sim, uint32_t index)
{
    sim_worker_crash(sim, index, sim_draw_ms(sim, DOWN_MS));
    sim_disk_wipe(sim->workers[index].disk);
    sim_mark(sim, SIM_MARK_WORKER_DISK_LOST);
}

static void
harm_disk(struct sim *sim, uint32_t index)
{
    if (sim_chance(sim, 0.4))
        index = SIM_NOBODY;
    if (!disk_of(sim, index))
        return;
    switch (dpc_rng_below(&sim->rng, 8)) {
    case 0:
        sim_fill_disk(sim, index);
        break;
    case 1:
    case 4:
    case 5:
        flip_bit(sim, index);
        break;
    case 2:
    case 6:
    case 7:
        sim_disk_fail_sync(disk_of(sim, index));
        break;
    case 3:
        if (index != SIM_NOBODY)
            lose_disk(sim, index);
        break;
    }
}

static void
do_harm(struct sim *sim)
{
    uint32_t index = (uint32_t)dpc_rng_below(&sim->rng, sim->plan.workers);
    if (sim_chance(sim, sim->plan.disk_chance)) {
        harm_disk(sim, index);
        return;
    }
    switch (dpc_rng_below(&sim->rng, 12)) {
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
        sim_cut(sim, index, true, false, DOWN_MS);
        break;
    case 5:
        sim_cut(sim, index, false, true, DOWN_MS);
        break;
    case 6:
        sim_cut(sim, index, true, true, DOWN_MS);
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
    case 10:
        sim_worker_preempt(sim, index, sim_draw_ms(sim, NOTICE_MS));
        break;
    case 11:
        if (sim_chance(sim, 0.3))
            sim_coordinator_jump(sim, sim_draw_ms(sim, JUMP_MS));
        else
            sim_worker_jump(sim, index, sim_draw_ms(sim, JUMP_MS));
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

void
sim_repair_disk(struct sim *sim, uint32_t index)
{
    sim_disk_set_full(disk_of(sim, index), false, false);
    sim_disk_repair(disk_of(sim, index));
}

static void
heal_worker(struct sim_worker *worker)
{
    worker->cut_up = worker->cut_down = false;
    if (worker->disk)
        sim_disk_calm(worker->disk);
}

/* Slow machines stay slow; nothing else is wrong any more. The weak worker has memory again, and
 * says so by saying hello anew. */
void
sim_heal(struct sim *sim)
{
    sim_note(sim, "healed");
    for (uint32_t i = 0; i < sim->plan.workers; i++)
        heal_worker(&sim->workers[i]);
    sim_disk_calm(sim->coordinator.disk);
    if (sim->plan.weak)
        sim_worker_crash(sim, 0, 1);
}
