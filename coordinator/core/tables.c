/* SPDX-License-Identifier: Apache-2.0
 * Workers by key, leases by serial, by holder and by task. A table of slots finds a worker; a
 * worker holds two leases at most, and a task knows its few. Leases stay where they are in memory;
 * what is kept in order is pointers, so that ten thousand of them move in a microsecond. */
#include "coordinator/core/state.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

/* --- Workers. */

/* Keys are CURVE keys, as good as random; only those that the operator admits get here. */
static uint32_t
first_slot(const struct dpc_core *core, const uint8_t *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return (uint32_t)((word * 0x9e3779b97f4a7c15ULL) >> 32) & (core->worker_slots_count - 1);
}

/* The slot of the key, or the empty one where it belongs. Slots hold an index plus one. */
static uint32_t *
slot_of(const struct dpc_core *core, const uint8_t *key)
{
    uint32_t at = first_slot(core, key);
    while (core->worker_slots[at] && memcmp(core->workers[core->worker_slots[at] - 1].record.key,
                                            key, DPC_WORKER_KEY_BYTES) != 0)
        at = (at + 1) & (core->worker_slots_count - 1);
    return &core->worker_slots[at];
}

struct core_worker *
core_find_worker(const struct dpc_core *core, const uint8_t *key)
{
    uint32_t found = core->worker_slots_count ? *slot_of(core, key) : 0;
    return found ? &core->workers[found - 1] : NULL;
}

/* Which are empty. */
static void
fill_slots(struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->workers_count; i++)
        *slot_of(core, core->workers[i].record.key) = i + 1;
}

static void
grow_workers(struct dpc_core *core)
{
    core->workers_capacity = core->workers_capacity ? 2 * core->workers_capacity : 16;
    core->workers = dpc_grow(core->workers, core->workers_capacity, sizeof *core->workers);
    dpc_free(core->worker_slots);
    core->worker_slots_count = 2 * core->workers_capacity;
    core->worker_slots = dpc_alloc(core->worker_slots_count, sizeof *core->worker_slots);
    fill_slots(core);
}

static struct core_worker
new_worker(const struct dpc_worker_record *record)
{
    return (struct core_worker){
        .record = *record, .first_trained = CORE_NOBODY, .last_trained = CORE_NOBODY};
}

struct core_worker *
core_add_worker(struct dpc_core *core, const struct dpc_worker_record *record)
{
    if (core->workers_count == core->workers_capacity)
        grow_workers(core);
    uint32_t *slot = slot_of(core, record->key);
    struct core_worker *worker = &core->workers[core->workers_count++];
    *worker = new_worker(record);
    *slot = core->workers_count;
    return worker;
}

void
core_replace_worker(struct dpc_core *core, struct core_worker *worker,
                    const struct dpc_worker_record *record)
{
    assert(!worker->connected && !worker->lease && !worker->handing_in);
    dpc_free(worker->refusals);
    *worker = new_worker(record);
    memset(core->worker_slots, 0, core->worker_slots_count * sizeof *core->worker_slots);
    fill_slots(core);
}

/* --- Leases. */

/* Index of the first lease whose serial is not below. */
static uint32_t
lower_bound(const struct dpc_core *core, uint64_t serial)
{
    uint32_t low = 0, high = core->leases_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (core->leases[middle]->record.serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct core_lease *
core_find_lease(struct dpc_core *core, uint64_t serial)
{
    uint32_t at = lower_bound(core, serial);
    bool found = at < core->leases_count && core->leases[at]->record.serial == serial;
    return found ? core->leases[at] : NULL;
}

/* Where the leases on this one's task begin. */
static struct core_lease **
task_leases(struct dpc_core *core, const struct core_lease *lease)
{
    switch (lease->sort) {
    case CORE_TRAINING:
        return &core->paths[lease->task].leases;
    case CORE_RATING:
        return &core->bests[lease->task].leases;
    case CORE_CHUNKING:
        break;
    }
    assert(lease->task < core->chunks_count); /* a lease on a chunk is ended with its phase */
    return &core->chunks[lease->task].leases;
}

/* The last part, unless others have handed in more since, as they may have after a lease from a
 * time before this process: what it went on from is then read from the store (restore.c). */
static uint64_t
part_before(const struct dpc_core *core, const struct core_lease *lease)
{
    const struct core_path *path = lease->sort == CORE_TRAINING ? &core->paths[lease->task] : NULL;
    bool goes_on = path && lease->record.from > 0 && lease->record.from == path->record.part_steps;
    return goes_on ? path->accepted_serial : 0;
}

struct core_lease *
core_add_lease(struct dpc_core *core, const struct dpc_lease_record *record, enum core_sort sort,
               uint32_t task)
{
    if (core->leases_count == core->leases_capacity) {
        core->leases_capacity = core->leases_capacity ? 2 * core->leases_capacity : 16;
        core->leases = dpc_grow(core->leases, core->leases_capacity, sizeof(struct core_lease *));
    }
    struct core_lease *lease = dpc_alloc(1, sizeof *lease);
    *lease = (struct core_lease){.record = *record, .sort = sort, .task = task};
    lease->steps_count = core_units(core, record);
    lease->went_on_from = part_before(core, lease);
    uint32_t at = lower_bound(core, record->serial + 1);
    memmove(core->leases + at + 1, core->leases + at,
            (core->leases_count - at) * sizeof(struct core_lease *));
    core->leases[at] = lease;
    core->leases_count++;
    struct core_lease **first = task_leases(core, lease);
    lease->next = *first;
    *first = lease;
    struct core_worker *worker = core_find_worker(core, record->worker);
    if (worker && worker->lease) /* after a restart: who has two hands in the older one */
        core_note_handing_in(worker);
    if (worker)
        worker->lease = lease;
    return lease;
}

void
core_note_handing_in(struct core_worker *worker)
{
    worker->handing_in = worker->lease;
    worker->handing_in->handing_in = true;
    worker->lease = NULL;
}

static void
forget_lease(struct dpc_core *core, struct core_lease *lease)
{
    uint32_t at = lower_bound(core, lease->record.serial);
    while (core->leases[at] != lease)
        at++;
    core->leases_count--;
    memmove(core->leases + at, core->leases + at + 1,
            (core->leases_count - at) * sizeof(struct core_lease *));
    struct core_lease **link = task_leases(core, lease);
    while (*link != lease) {
        assert(*link); /* a task knows its leases */
        link = &(*link)->next;
    }
    *link = lease->next;
    struct core_worker *worker = core_find_worker(core, lease->record.worker);
    if (worker && worker->lease == lease)
        worker->lease = NULL;
    if (worker && worker->handing_in == lease)
        worker->handing_in = NULL;
}

void
core_end_lease(struct dpc_core *core, struct core_lease *lease, struct dpc_actions *actions)
{
    enum core_sort sort = lease->sort;
    uint32_t task = lease->task, round = lease->record.round;
    dpc_remove_lease(&actions->batch, lease->record.serial);
    forget_lease(core, lease);
    dpc_free(lease);
    core_refresh_task(core, sort, task);
    if (sort == CORE_TRAINING)
        core_refresh_overdue(core, task, round);
}

void
core_end_task_leases(struct dpc_core *core, const struct core_lease *of,
                     struct dpc_actions *actions)
{
    uint32_t round = of->record.round;
    struct core_lease *next;
    for (struct core_lease *lease = *task_leases(core, of); lease; lease = next) {
        next = lease->next;
        if (lease->record.round == round)
            core_end_lease(core, lease, actions);
    }
}

void
core_free_tables(struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->leases_count; i++)
        dpc_free(core->leases[i]);
    dpc_free(core->leases);
    for (uint32_t i = 0; i < core->workers_count; i++)
        dpc_free(core->workers[i].refusals);
    dpc_free(core->workers);
    dpc_free(core->worker_slots);
    core_seen_done(&core->seen);
}
