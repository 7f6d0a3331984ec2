/* SPDX-License-Identifier: Apache-2.0
 * Tasks that fail wherever they are tried. In strict mode a task is the same computation on every
 * worker; so a value that is not finite comes again, and after a few tries the task is let alone
 * until a person looks. Other tasks go on as far as they can. Nothing of this is on the disk: a new
 * process tries again. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/state.h"

/* Tries, and workers that they must come from where there are several: a machine that computes
 * wrong is not the task's fault. */
enum { TRIES_MAX = 3, WORKERS_MIN = 2 };

static struct core_failure **
failure_of(const struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    switch (sort) {
    case CORE_TRAINING:
        return &core->paths[task].failure;
    case CORE_CHUNKING:
        return &core->chunks[task].failure;
    default:
        return &core->bests[task].failure;
    }
}

const struct core_failure *
core_failure_of(const struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    return *failure_of(core, sort, task);
}

void
core_note_failure(struct dpc_core *core, const struct core_lease *lease, const char *text)
{
    const uint8_t *worker = lease->record.worker;
    struct core_failure **place = failure_of(core, lease->sort, lease->task), *failure = *place;
    if (!failure) {
        failure = *place = dpc_alloc(1, sizeof *failure);
        core->failures_count++;
    }
    if (memcmp(failure->worker, worker, DPC_WORKER_KEY_BYTES) != 0)
        failure->workers++;
    memcpy(failure->worker, worker, DPC_WORKER_KEY_BYTES);
    failure->tries++;
    (void)snprintf(failure->text, sizeof failure->text, "%s", text);
}

void
core_forget_failure(struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    struct core_failure **place = failure_of(core, sort, task);
    core->failures_count -= *place != NULL;
    *place = dpc_free(*place);
}

void
core_forget_chunk_failures(struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->chunks_count; i++)
        core_forget_failure(core, CORE_CHUNKING, i);
}

/* It is there and may get a lease. */
static bool
helps(const struct core_worker *worker)
{
    return worker->connected && !worker->record.drained;
}

/* With another worker it is worth trying again what one could not do, and without it is not. */
static void
count_helper(struct dpc_core *core, const struct core_worker *worker, bool helped)
{
    core->helpers_count += (uint32_t)helps(worker) - (uint32_t)helped;
    if (core->failures_count == 0 || helps(worker) == helped)
        return;
    core_refresh_paths(core);
    for (uint32_t i = 0; i < core->chunks_count; i++)
        core_refresh_chunk(core, i);
    for (uint32_t i = 0; core->bests && i < core->topology.paths_count; i++)
        core_refresh_rating(core, i);
}

void
core_set_connected(struct dpc_core *core, struct core_worker *worker, bool connected)
{
    bool helped = helps(worker);
    worker->connected = connected;
    count_helper(core, worker, helped);
}

void
core_set_drained(struct dpc_core *core, struct core_worker *worker, bool drained)
{
    bool helped = helps(worker);
    worker->record.drained = drained;
    count_helper(core, worker, helped);
}

/* Is anybody there but the one that tried last? */
static bool
others_may_try(const struct dpc_core *core, const struct core_failure *failure)
{
    const struct core_worker *worker = core_find_worker(core, failure->worker);
    return core->helpers_count > (worker && helps(worker) ? 1u : 0u);
}

bool
core_fails_everywhere(const struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    const struct core_failure *failure = *failure_of(core, sort, task);
    return failure && failure->tries >= TRIES_MAX &&
           (failure->workers >= WORKERS_MIN || !others_may_try(core, failure));
}

bool
core_fails_often(const struct dpc_core *core, const struct core_lease *lease)
{
    const struct core_failure *failure = *failure_of(core, lease->sort, lease->task);
    return failure && failure->tries > TRIES_MAX;
}

static const char *
tell(const struct dpc_core *core, enum core_sort sort, uint32_t task, uint32_t *ret_path,
     uint32_t *ret_tries)
{
    const struct core_failure *failure = *failure_of(core, sort, task);
    *ret_path = sort == CORE_CHUNKING ? core->chunks[task].path : task;
    *ret_tries = failure->tries;
    return failure->text;
}

const char *
dpc_core_failure(const struct dpc_core *core, uint32_t *ret_path, uint32_t *ret_tries)
{
    if (core->failures_count == 0)
        return NULL;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        if (core_fails_everywhere(core, CORE_TRAINING, i))
            return tell(core, CORE_TRAINING, i, ret_path, ret_tries);
        if (core->bests && core_fails_everywhere(core, CORE_RATING, i))
            return tell(core, CORE_RATING, i, ret_path, ret_tries);
    }
    for (uint32_t i = 0; i < core->chunks_count; i++) {
        if (core_fails_everywhere(core, CORE_CHUNKING, i))
            return tell(core, CORE_CHUNKING, i, ret_path, ret_tries);
    }
    return NULL;
}
