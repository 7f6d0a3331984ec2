/* SPDX-License-Identifier: Apache-2.0
 * Looking in: what listings, pages and reports are told. Changes nothing. */
#include "coordinator/core/state.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const phase_names[] = {
    [DPC_PHASE_PREPARE] = "prepare",     [DPC_PHASE_WARM_START] = "warm_start",
    [DPC_PHASE_FEATURIZE] = "featurize", [DPC_PHASE_SHARD] = "shard",
    [DPC_PHASE_TRAIN] = "train",         [DPC_PHASE_EVALUATE] = "evaluate",
    [DPC_PHASE_REPORT] = "report",       [DPC_PHASE_FINISHED] = "finished",
    [DPC_PHASE_SCORE] = "score",         [DPC_PHASE_FIT] = "fit",
    [DPC_PHASE_TRACE] = "trace",         [DPC_PHASE_LABEL] = "label",
    [DPC_PHASE_REROUTE] = "reroute",
};

const char *
dpc_phase_name(enum dpc_phase phase)
{
    size_t count = sizeof phase_names / sizeof *phase_names;
    return (size_t)phase < count && phase_names[phase] ? phase_names[phase] : "?";
}

bool
dpc_phase_is_late(enum dpc_phase phase)
{
    return (phase >= DPC_PHASE_EVALUATE && phase <= DPC_PHASE_FINISHED) ||
           (phase >= DPC_PHASE_TRACE && phase <= DPC_PHASE_REROUTE);
}

const struct dpc_phase_record *
dpc_core_phase(const struct dpc_core *core)
{
    return &core->phase;
}

const struct dpc_phase_record *
dpc_core_phase_on_disk(const struct dpc_core *core)
{
    return &core->phase_on_disk;
}

const struct dpc_topology *
dpc_core_topology(const struct dpc_core *core)
{
    return &core->topology;
}

const struct dpc_module_record *
dpc_core_module(const struct dpc_core *core, uint32_t module)
{
    return core->modules[module].exists ? &core->modules[module].record : NULL;
}

const struct dpc_path_record *
dpc_core_path(const struct dpc_core *core, uint32_t path)
{
    return &core->paths[path].record;
}

enum { HELD_MAX = DPC_LEASES_MAX + 1 }; /* by one worker: one may be an audit */

/* Serials of what the worker holds; how many. */
static uint32_t
list_serials(const struct dpc_core *core, const uint8_t *key, uint64_t ret_serials[HELD_MAX])
{
    const struct core_worker *worker = core_find_worker(core, key);
    const struct core_audit *audit = worker ? core_audit_held_by(core, worker) : NULL;
    uint32_t count = 0;
    if (worker && worker->handing_in)
        ret_serials[count++] = worker->handing_in->record.serial;
    if (worker && worker->lease)
        ret_serials[count++] = worker->lease->record.serial;
    if (audit)
        ret_serials[count++] = audit->serial;
    return count;
}

uint64_t
dpc_core_held_by(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES])
{
    uint64_t serials[HELD_MAX], oldest = 0;
    uint32_t count = list_serials(core, key, serials);
    for (uint32_t i = 0; i < count; i++)
        oldest = oldest && oldest < serials[i] ? oldest : serials[i];
    return oldest;
}

bool
dpc_core_expects(struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                 struct dpc_token token)
{
    uint64_t serials[HELD_MAX];
    uint32_t count = token.incarnation == core->incarnation ? list_serials(core, key, serials) : 0;
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= serials[i] == token.serial;
    return found;
}

uint32_t
dpc_core_leases_count(const struct dpc_core *core)
{
    return core->leases_count;
}

static int64_t
left_of(const struct core_lease *lease, int64_t now_ms)
{
    int64_t left_ms = lease->granted_ms + lease->record.time_left_ms - now_ms;
    if (lease->record.time_left_ms == UINT32_MAX)
        return -1;
    return left_ms > 0 ? left_ms : 0;
}

static void
view_lease(const struct core_lease *lease, int64_t now_ms, struct dpc_lease_view *ret_view)
{
    *ret_view = (struct dpc_lease_view){
        .serial = lease->record.serial,
        .kind = lease->record.kind,
        .path = lease->record.path,
        .round = lease->record.round,
        .from = lease->record.from,
        .to = lease->record.to,
        .steps_done = lease->steps_done,
        .steps_count = lease->steps_count,
        .silent_ms = now_ms - lease->heard_ms,
        .age_ms = now_ms - lease->granted_ms,
        .left_ms = left_of(lease, now_ms),
        .tokens_per_s = lease->tokens_per_s,
        .handing_in = lease->handing_in,
    };
    memcpy(ret_view->worker, lease->record.worker, DPC_WORKER_KEY_BYTES);
}

void
dpc_core_lease_at(const struct dpc_core *core, uint32_t index, int64_t now_ms,
                  struct dpc_lease_view *ret_view)
{
    assert(index < core->leases_count);
    view_lease(core->leases[index], now_ms, ret_view);
}

uint32_t
dpc_core_leases_of(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                   int64_t now_ms, struct dpc_lease_view ret_views[static DPC_LEASES_MAX])
{
    const struct core_worker *worker = core_find_worker(core, key);
    uint32_t count = 0;
    if (worker && worker->lease)
        view_lease(worker->lease, now_ms, &ret_views[count++]);
    if (worker && worker->handing_in)
        view_lease(worker->handing_in, now_ms, &ret_views[count++]);
    return count;
}

uint32_t
dpc_core_workers_count(const struct dpc_core *core)
{
    return core->workers_count;
}

const struct dpc_conduct_record *
dpc_core_conduct_at(const struct dpc_core *core, uint32_t index)
{
    assert(index < core->workers_count);
    return &core->workers[index].conduct;
}

const struct dpc_worker_record *
dpc_core_worker_at(const struct dpc_core *core, uint32_t index, int64_t now_ms,
                   int64_t *ret_silent_ms, bool *ret_connected)
{
    assert(index < core->workers_count);
    const struct core_worker *worker = &core->workers[index];
    *ret_silent_ms = worker->heard ? now_ms - worker->heard_ms : -1;
    *ret_connected = core_is_there(core, worker, now_ms);
    return &worker->record;
}

void
dpc_core_progress(const struct dpc_core *core, uint64_t *ret_steps_done, uint64_t *ret_steps_total)
{
    uint64_t done = 0, total = 0,
             per_path = (uint64_t)core->experiment->inner.steps * core->experiment->outer.rounds;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        bool dense = core_is_dense(core, i), replica = core_is_replica(core, i);
        uint64_t inherited = dense ? 0 : core->experiment->warm_start.steps;
        uint64_t place = dpc_core_round_place(core, i, path->record.rounds_done);
        if (replica && place > core->experiment->warm_start.steps)
            place = core->experiment->warm_start.steps;
        done += place + path->record.part_steps - inherited;
        if (dense)
            total += core->experiment->warm_start.steps;
        if (!dense || (core->experiment->baseline.dense && !replica))
            total += per_path;
    }
    for (uint32_t i = 0; i < core->leases_count; i++) {
        if (core->leases[i]->record.kind == DPC_TASK_TRAIN)
            done += core->leases[i]->steps_done;
    }
    *ret_steps_done = done < total ? done : total;
    *ret_steps_total = total;
}

void
dpc_core_tasks(const struct dpc_core *core, uint32_t *ret_done, uint32_t *ret_total)
{
    *ret_done = core->chunks_count - core->chunks_left;
    *ret_total = core->chunks_count;
}

double
dpc_core_seconds_left(const struct dpc_core *core)
{
    uint64_t done, total;
    dpc_core_progress(core, &done, &total);
    return done ? (double)core->phase.seconds * (double)(total - done) / (double)done : NAN;
}

uint64_t
dpc_core_contributions(const struct dpc_core *core, enum dpc_lateness lateness)
{
    return core->contributions[lateness];
}

double
dpc_core_path_loss(const struct dpc_core *core, uint32_t path)
{
    return core->paths[path].loss;
}

/* What was over with the warm start says nothing any more. */
static bool
trains_no_more(const struct dpc_core *core, uint32_t path)
{
    bool goes_on = core->experiment->baseline.dense && !core_is_replica(core, path);
    return core_is_dense(core, path) && !goes_on && core->phase.phase > DPC_PHASE_WARM_START;
}

double
dpc_core_loss(const struct dpc_core *core)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        if (isfinite(core->paths[i].loss) && !trains_no_more(core, i)) {
            sum += core->paths[i].loss;
            count++;
        }
    }
    return count ? sum / count : NAN;
}
