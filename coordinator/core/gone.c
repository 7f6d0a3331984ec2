/* SPDX-License-Identifier: Apache-2.0
 * Instances that are preempted come back with new keys, so an experiment meets more workers than a
 * coordinator knows at a time. Whoever has been away longest then makes room: what it was counted
 * for goes into a sum, what it handed in keeps its key in contributions and ledger, and if it comes
 * again it is new. What an operator or an audit said of a worker is never forgotten. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

#include "base/planted.h"

/* An idle worker asks every ten heartbeats or more often. */
enum { GONE_HEARTBEATS = 30 };

/* Nobody's key: that of the sum. */
static const uint8_t no_key[DPC_WORKER_KEY_BYTES];

/* The process began then at the earliest: until some time after it nobody has gone. */
static bool
is_silent_for_long(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    return now_ms - worker->heard_ms > GONE_HEARTBEATS * (int64_t)core->heartbeat_ms;
}

void
core_note_silent(struct dpc_core *core)
{
    if (core->now_ms - core->silent_looked_ms < core->heartbeat_ms)
        return;
    core->silent_looked_ms = core->now_ms;
    for (uint32_t i = 0; i < core->workers_count; i++) {
        struct core_worker *worker = &core->workers[i];
        if (worker->connected && is_silent_for_long(core, worker, core->now_ms))
            core_set_connected(core, worker, false);
    }
}

/* --- Who has been away longest. */

static bool
is_gone(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    bool holds = worker->lease || worker->handing_in || core_is_audited(core, worker);
    return !worker->connected && !worker->record.drained &&
           is_silent_for_long(core, worker, now_ms) &&
           (!holds || DPC_PLANTED(DPC_PLANTED_HOLDER_FORGOTTEN));
}

static struct dpc_absence
absence_of(const struct core_worker *worker)
{
    return (struct dpc_absence){worker->heard, worker->heard_ms, worker->record.accepted};
}

bool
dpc_core_is_gone(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                 int64_t now_ms, struct dpc_absence *ret_absence)
{
    const struct core_worker *worker = core_find_worker(core, key);
    *ret_absence = worker ? absence_of(worker) : (struct dpc_absence){0};
    return !worker || is_gone(core, worker, now_ms);
}

bool
dpc_absence_is_longer(const struct dpc_absence *absence, const struct dpc_absence *other)
{
    if (absence->heard != other->heard)
        return other->heard;
    if (absence->heard && absence->heard_ms != other->heard_ms)
        return absence->heard_ms < other->heard_ms;
    return absence->accepted < other->accepted;
}

/* NULL: all are there, or may not be forgotten. */
static struct core_worker *
find_longest_gone(struct dpc_core *core)
{
    struct core_worker *longest = NULL;
    struct dpc_absence most = {0};
    for (uint32_t i = 0; i < core->workers_count; i++) {
        struct core_worker *worker = &core->workers[i];
        struct dpc_absence absence = absence_of(worker);
        if (worker->record.standing != DPC_STANDING_GOOD || !is_gone(core, worker, core->now_ms) ||
            (longest && !dpc_absence_is_longer(&absence, &most)))
            continue;
        longest = worker;
        most = absence;
    }
    return longest;
}

/* --- Making room. */

static void
add_up(struct dpc_worker_record *sum, const struct dpc_worker_record *worker)
{
    sum->tokens += worker->tokens;
    sum->leases += worker->leases;
    sum->merged += worker->merged;
    sum->superseded += worker->superseded;
    sum->refused += worker->refused;
}

static void
add_up_conduct(struct dpc_conduct_record *sum, const struct dpc_conduct_record *conduct)
{
    sum->clipped += conduct->clipped;
    sum->opposed += conduct->opposed;
    sum->copies += conduct->copies;
    sum->idle += conduct->idle;
    sum->stale += conduct->stale;
    sum->audited += conduct->audited;
    sum->failed += conduct->failed;
}

static void
forget(struct dpc_core *core, struct core_worker *worker, struct dpc_actions *actions)
{
    add_up(&core->forgotten, &worker->record);
    add_up_conduct(&core->forgotten_conduct, &worker->conduct);
    (void)snprintf(core->forgotten.name, sizeof core->forgotten.name, "(forgotten)");
    core_leave_paths(core, worker);
    dpc_remove_worker(&actions->batch, worker->record.key);
    dpc_remove_conduct(&actions->batch, worker->record.key);
    dpc_put_worker(&actions->batch, &core->forgotten);
    dpc_put_conduct(&actions->batch, &core->forgotten_conduct);
    actions->forgotten = worker->record;
}

struct core_worker *
core_take_in(struct dpc_core *core, const uint8_t *key, struct dpc_actions *actions)
{
    struct dpc_worker_record record = {0};
    memcpy(record.key, key, sizeof record.key);
    if (core->workers_count < core->workers_max)
        return core_add_worker(core, &record);
    struct core_worker *gone = find_longest_gone(core);
    if (!gone)
        return NULL;
    forget(core, gone, actions);
    core_replace_worker(core, gone, &record);
    return gone;
}

/* --- The sum. */

bool
core_restore_forgotten(struct dpc_core *core, const struct dpc_worker_record *record)
{
    bool is_sum = memcmp(record->key, no_key, sizeof no_key) == 0;
    if (is_sum)
        core->forgotten = *record;
    return is_sum;
}

void
core_restore_forgotten_conduct(struct dpc_core *core, const struct dpc_conduct_record *record)
{
    if (memcmp(record->key, no_key, sizeof no_key) == 0)
        core->forgotten_conduct = *record;
}

const struct dpc_worker_record *
dpc_core_forgotten(const struct dpc_core *core, const struct dpc_conduct_record **ret_conduct)
{
    *ret_conduct = &core->forgotten_conduct;
    return &core->forgotten;
}
