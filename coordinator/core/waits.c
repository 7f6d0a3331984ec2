/* SPDX-License-Identifier: Apache-2.0
 * How long a worker waits before it asks again: one that gets no lease, and one whose leases come
 * to nothing. And how often what it says is written, though nothing depends on it. */
#include "coordinator/core/state.h"

#include <math.h>

/* Heartbeats that a worker is kept waiting whose leases come to nothing: 2, 4, 8 ... 128. */
enum { PAUSE_DOUBLINGS_MAX = 7 };

enum { WRITE_MS = 1000 };

/* A small share of a lease's length: quick for small models, calm for large ones. */
static double
calm_ms(const struct dpc_core *core)
{
    double lease_ms = core->paces[DPC_TASK_TRAIN].unit_ms * core->experiment->inner.steps;
    return fmin(lease_ms / 64, 10.0 * core->heartbeat_ms);
}

static uint32_t
no_sooner(double ms)
{
    return ms < 50 ? 50 : (uint32_t)ms;
}

uint32_t
core_retry_after(const struct dpc_core *core, const struct core_worker *worker, enum dpc_ask ask,
                 int64_t now_ms)
{
    int64_t quiet_ms;
    switch (ask) {
    case DPC_ASK_PAUSED:
        return (uint32_t)(worker->not_before_ms - now_ms);
    case DPC_ASK_FINISHED:
        return 30 * core->heartbeat_ms;
    case DPC_ASK_DRAINED:
        return no_sooner(fmax(core->heartbeat_ms, calm_ms(core)));
    case DPC_ASK_TOO_LARGE:
    case DPC_ASK_NOTHING:
        /* As soon as a holder that is not heard of any more would count as silent. */
        (void)core_tasks_held(core, worker->lease, now_ms, &quiet_ms);
        return no_sooner(fmin(calm_ms(core), (double)quiet_ms));
    default:
        return 0;
    }
}

/* Who ends with each lease, out of memory or of malice, would otherwise get the same task again and
 * again, which is the one furthest behind: others may try it meanwhile. */
void
core_note_fruitless(const struct dpc_core *core, struct core_worker *worker)
{
    uint32_t in_vain = worker->fruitless++;
    uint32_t doublings = in_vain < PAUSE_DOUBLINGS_MAX ? in_vain : PAUSE_DOUBLINGS_MAX;
    if (in_vain > 0)
        worker->not_before_ms = core->now_ms + ((int64_t)core->heartbeat_ms << doublings);
}

/* To say something costs a worker nothing, and each commit keeps all others waiting until the disk
 * has it. */
bool
core_may_write_of(const struct dpc_core *core, struct core_worker *worker)
{
    if (core->now_ms < worker->write_after_ms)
        return false;
    worker->write_after_ms = core->now_ms + WRITE_MS;
    return true;
}
