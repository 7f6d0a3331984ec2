/* SPDX-License-Identifier: Apache-2.0
 * One run: takes the next event and gives it to its part, until the experiment has ended or an
 * invariant is broken. */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { ARENA_BYTES = 256 * 1024, STREAM_RUN = 3 };

static const char *const marker_texts[] = {
#define X(name, text) text,
    SIM_MARKER_TABLE(X)
#undef X
};

const char *
sim_marker_text(enum sim_marker marker)
{
    return marker_texts[marker];
}

void
sim_mark(struct sim *sim, enum sim_marker marker)
{
    sim->markers[marker]++;
}

void
sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (sim->failure[0])
        return;
    va_start(args, format);
    (void)vsnprintf(sim->failure, sizeof sim->failure, format, args);
    va_end(args);
}

/* Eight bytes at a time, in the manner of FNV-1a. */
void
sim_trace(struct sim *sim, const void *bytes, size_t len)
{
    uint64_t hash = sim->trace ^ len;
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const uint8_t *)bytes + at, len - at < 8 ? len - at : 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    sim->trace = hash;
}

/* What every event says of itself; frames also by their bytes, the rest by what it leads to. */
static void
trace_event(struct sim *sim, const struct sim_event *event)
{
    uint64_t words[] = {(uint64_t)event->at_ms, event->order, (uint64_t)event->type,
                        event->worker,          event->life,  event->number,
                        event->request};
    sim_trace(sim, words, sizeof words);
    sim_trace(sim, event->payload, event->len);
}

void
sim_note(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (!sim->tracing)
        return;
    va_start(args, format);
    printf("%10.3f ", (double)sim->now_ms / 1000);
    (void)vprintf(format, args);
    printf("\n");
    va_end(args);
}

bool
sim_healed(const struct sim *sim)
{
    return !sim->plan.faults || sim->now_ms >= sim->plan.heal_ms;
}

bool
sim_chance(struct sim *sim, double chance)
{
    return dpc_rng_unit(&sim->rng) < chance;
}

int64_t
sim_draw_ms(struct sim *sim, int64_t mean_ms)
{
    double drawn = -(double)mean_ms * log(1 - dpc_rng_unit(&sim->rng));
    if (!sim_healed(sim) && sim_chance(sim, 0.01))
        drawn *= 10;
    return (int64_t)drawn;
}

void
sim_add(struct sim *sim, int64_t delay_ms, struct sim_event event)
{
    event.at_ms = sim->now_ms + delay_ms;
    sim_queue_add(&sim->queue, event);
}

void
sim_init(struct sim *sim, const struct sim_plan *plan, bool tracing)
{
    memset(sim, 0, sizeof *sim);
    sim->plan = *plan;
    sim->tracing = tracing;
    sim->arena = dpc_msg_arena_create(ARENA_BYTES);
    sim->memory = dpc_alloc(1, sizeof *sim->memory);
    dpc_rng_init(&sim->rng, plan->seed, DPC_RNG_TEST, STREAM_RUN, plan->faults, 0);
    sim_coordinator_init(sim);
    for (uint32_t i = 0; i < plan->workers; i++)
        sim->workers[i].slowness = plan->faults ? 1 + 2 * dpc_rng_unit(&sim->rng) : 1;
}

void
sim_done(struct sim *sim)
{
    sim_coordinator_done(sim);
    for (uint32_t i = 0; i < SIM_WORKERS_MAX; i++)
        sim_worker_done(&sim->workers[i]);
    sim_queue_done(&sim->queue);
    dpc_msg_arena_destroy(sim->arena);
    dpc_free(sim->memory->grants);
    dpc_free(sim->memory->parts);
    dpc_free(sim->memory->candidates);
    dpc_free(sim->memory);
}

static void
dispatch(struct sim *sim, const struct sim_event *event)
{
    switch (event->type) {
    case SIM_TO_COORDINATOR:
    case SIM_SUBMISSION:
    case SIM_EFFECT:
    case SIM_TICK:
    case SIM_COORDINATOR_START:
        sim_coordinator_event(sim, event);
        break;
    case SIM_TO_WORKER:
    case SIM_WAKE:
    case SIM_FETCHED:
    case SIM_UPLOADED:
    case SIM_JOB_DONE:
    case SIM_SPILL:
    case SIM_WORKER_START:
    case SIM_WORKER_AWAKE:
    case SIM_PREEMPTED:
    case SIM_CONNECTED:
        sim_worker_event(sim, event);
        break;
    case SIM_REPAIR:
        sim->workers[event->worker].cut_up = sim->workers[event->worker].cut_down = false;
        break;
    case SIM_DISK_REPAIR:
        sim_repair_disk(sim, event->worker);
        break;
    case SIM_CHAOS:
        sim_chaos(sim);
        break;
    }
}

static bool
has_ended(const struct sim *sim)
{
    return sim->coordinator.core &&
           dpc_core_phase(sim->coordinator.core)->phase == DPC_PHASE_FINISHED;
}

/* Pauses double to two minutes, and no lease takes longer: without faults nothing is quiet for so
 * long. How long all of it takes follows from paths, workers and their pace. */
enum { QUIET_MS_MAX = 3600 * 1000 };

static bool
is_late(const struct sim *sim)
{
    int64_t moved_ms = sim->plan.heal_ms > sim->accepted_ms ? sim->plan.heal_ms : sim->accepted_ms;
    return sim->now_ms > moved_ms + QUIET_MS_MAX || sim->now_ms > sim->plan.limit_ms;
}

/* Where it got stuck, in words. */
static void
fail_late(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    sim_fail(sim,
             "the experiment has not ended after %lld s, healed for %lld s, and accepted nothing "
             "for %lld s: phase %s",
             (long long)sim->now_ms / 1000, (long long)(sim->now_ms - sim->plan.heal_ms) / 1000,
             (long long)(sim->now_ms - sim->accepted_ms) / 1000,
             core ? dpc_phase_name(dpc_core_phase(core)->phase) : "none, for it is down");
}

/* The end, as a new process would find it. */
static void
check_end(struct sim *sim)
{
    sim->healed_ms = sim->plan.heal_ms;
    sim->plan.heal_ms = 0;
    sim_coordinator_crash(sim, 0);
    sim_coordinator_start(sim);
    if (!sim->failure[0] && !has_ended(sim))
        sim_fail(sim, "the experiment had ended, but not for the next process");
    sim->outcome = sim_outcome(sim);
}

bool
sim_run(struct sim *sim)
{
    struct sim_event event;
    if (!sim->failure[0])
        sim_coordinator_start(sim);
    for (uint32_t i = 0; i < sim->plan.workers; i++)
        sim_add(sim, sim_draw_ms(sim, 1000),
                (struct sim_event){.type = SIM_WORKER_START, .worker = i});
    if (sim->plan.listed)
        sim_mark(sim, SIM_MARK_LISTED);
    if (sim->plan.faults)
        sim_add(sim, sim_draw_ms(sim, sim->plan.chaos_ms), (struct sim_event){.type = SIM_CHAOS});
    while (!sim->failure[0] && !has_ended(sim) && sim_queue_take(&sim->queue, &event)) {
        sim->now_ms = event.at_ms;
        sim->events_count++;
        trace_event(sim, &event);
        if (is_late(sim))
            fail_late(sim);
        else
            dispatch(sim, &event);
        dpc_free(event.payload);
        sim_check_bounds(sim);
    }
    if (!sim->failure[0])
        check_end(sim);
    return !sim->failure[0];
}
