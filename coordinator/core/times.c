/* SPDX-License-Identifier: Apache-2.0
 * How long a task should take, from what tasks of its kind took: computing a step (or a document),
 * and all the rest, which is fetching, uploading and waiting. Nothing here voids a lease; it
 * decides when an idle worker is set on a task that somebody already holds. */
#include <math.h>

#include "coordinator/core/state.h"

/* How many times its expected length a lease may take, and a holder's rest of it that of a whole
 * one elsewhere: below that, machines that differ a little would train everything twice. */
enum { LEASE_PATIENCE = 4, REST_PATIENCE = 2 };

static void
mix(double *average, double value)
{
    *average = *average > 0 ? 0.8 * *average + 0.2 * value : value;
}

uint32_t
core_units(const struct dpc_core *core, const struct dpc_lease_record *task)
{
    if (task->kind == DPC_TASK_TRAIN && task->to == 0)
        return dpc_core_round_steps(core, task->path, task->round);
    return task->to - task->from;
}

/* Below this nothing is late: a few heartbeats may be lost. */
static double
slack_ms(const struct dpc_core *core)
{
    return 10.0 * core->heartbeat_ms;
}

/* 0: not measured yet. */
static double
expected_ms(const struct dpc_core *core, const struct dpc_lease_record *task)
{
    const struct core_pace *pace = &core->paces[task->kind];
    return pace->unit_ms > 0 ? pace->unit_ms * core_units(core, task) + pace->rest_ms : 0;
}

uint32_t
core_time_for(const struct dpc_core *core, const struct dpc_lease_record *task)
{
    double expected = expected_ms(core, task);
    double ms = LEASE_PATIENCE * expected + slack_ms(core);
    return expected > 0 && ms < (double)UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* As the lease says, or would: nothing may have been measured when it was granted. */
static uint32_t
granted_time_ms(const struct dpc_core *core, const struct core_lease *lease)
{
    return lease->record.time_left_ms == UINT32_MAX ? core_time_for(core, &lease->record)
                                                    : lease->record.time_left_ms;
}

uint64_t
core_path_bytes(const struct dpc_core *core, uint32_t path)
{
    uint64_t bytes = 0;
    uint32_t length = dpc_topology_path_length(&core->topology, path);
    for (uint32_t i = 0; i < length; i++)
        bytes += core->modules[dpc_topology_path_module(&core->topology, path, i)].bytes;
    return bytes;
}

static double
fetch_ms(const struct dpc_core *core, const struct dpc_lease_record *task)
{
    const struct dpc_path_record *path = &core->paths[task->path].record;
    double bytes = (double)path->state_bytes + (double)path->shard_bytes +
                   (double)core_path_bytes(core, task->path);
    return 1000.0 * bytes / DPC_SLOW_LINK_BYTES_S;
}

/* The longest that a lease may have taken for what it tells of others. Where nothing is known yet
 * that is measured by what it computed, and what a slow line takes. */
static double
telling_ms(const struct dpc_core *core, const struct core_lease *lease, double computing_ms)
{
    if (core->paces[lease->record.kind].unit_ms > 0)
        return granted_time_ms(core, lease);
    return LEASE_PATIENCE * (computing_ms + fetch_ms(core, &lease->record)) + slack_ms(core);
}

/* A machine that slept a night, or stood still for its owner, tells of itself what goes beyond
 * that, and not of leases. */
void
core_measure(struct dpc_core *core, const struct core_lease *lease,
             const struct dpc_msg_submit *submit, int64_t now_ms)
{
    struct core_pace *pace = &core->paces[lease->record.kind];
    double age_ms = (double)(now_ms - lease->granted_ms);
    /* As it says, but no longer than it had. */
    double computing_ms = fmin(1000.0 * submit->seconds, age_ms + slack_ms(core));
    /* Granted by a process before this one, it may have had longer. */
    bool known = !lease->restored || computing_ms == 1000.0 * submit->seconds;
    double rest_ms = fmin(age_ms, telling_ms(core, lease, computing_ms)) - computing_ms;
    bool trains = submit->kind == DPC_TASK_TRAIN; /* perhaps a part of what was asked for */
    uint32_t units = trains ? submit->steps_count : lease->steps_count;
    if (!isfinite(submit->seconds) || computing_ms <= 0 || !units || !known)
        return;
    mix(&pace->unit_ms, computing_ms / units);
    if (rest_ms > 0)
        mix(&pace->rest_ms, rest_ms);
}

/* The first instant that is more than `ms` after `from_ms`. */
static int64_t
past(int64_t from_ms, double ms)
{
    static const double far_ms = 1e15;
    return from_ms + (int64_t)(ms < far_ms ? ms : far_ms) + 1;
}

/* Nothing was measured yet: no step for much longer than its steps before took in all, or than it
 * takes to fetch what the lease names. */
static int64_t
still_from(const struct dpc_core *core, const struct core_lease *lease)
{
    double before_ms = lease->steps_done ? (double)(lease->progressed_ms - lease->granted_ms)
                                         : fetch_ms(core, &lease->record);
    return past(lease->progressed_ms, LEASE_PATIENCE * before_ms + slack_ms(core));
}

int64_t
core_behind_from(const struct dpc_core *core, const struct core_lease *lease)
{
    double whole_ms = expected_ms(core, &lease->record);
    if (whole_ms <= 0)
        return still_from(core, lease);
    int64_t late_ms = past(lease->granted_ms, granted_time_ms(core, lease));
    if (!lease->steps_done || lease->steps_done >= lease->steps_count)
        return late_ms;
    /* Its age at which the rest, at its pace, takes too long. */
    double age_ms = (REST_PATIENCE * whole_ms + slack_ms(core)) * lease->steps_done /
                    (lease->steps_count - lease->steps_done);
    int64_t slow_ms = past(lease->granted_ms, age_ms);
    return slow_ms < late_ms ? slow_ms : late_ms;
}

bool
dpc_core_is_silent(const struct dpc_core *core, int64_t silent_ms)
{
    return silent_ms > 3 * (int64_t)core->heartbeat_ms;
}

bool
core_is_there(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    return worker->connected && !dpc_core_is_silent(core, now_ms - worker->heard_ms);
}
