/* SPDX-License-Identifier: Apache-2.0
 * Tasks that fail wherever they are tried. In strict mode a round of a path is the same computation
 * on every worker; so a value that is not finite comes again, and after a few tries the path is let
 * alone until a person looks. Other paths go on as far as they can. Nothing of this is on the disk:
 * a new process tries again. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/state.h"

/* Tries, and workers that they must come from where there are several: a machine that computes
 * wrong is not the task's fault. */
enum { TRIES_MAX = 3, WORKERS_MIN = 2 };

void
core_note_failure(struct dpc_core *core, const struct dpc_lease_record *task, const char *text)
{
    if (task->kind != DPC_TASK_TRAIN)
        return;
    struct core_path *path = &core->paths[task->path];
    struct core_failure *failure = path->failure;
    if (!failure) {
        failure = path->failure = dpc_alloc(1, sizeof *failure);
        core->failures_count++;
    }
    if (memcmp(failure->worker, task->worker, DPC_WORKER_KEY_BYTES) != 0)
        failure->workers++;
    memcpy(failure->worker, task->worker, DPC_WORKER_KEY_BYTES);
    failure->tries++;
    (void)snprintf(failure->text, sizeof failure->text, "%s", text);
}

void
core_forget_failure(struct dpc_core *core, uint32_t path)
{
    core->failures_count -= core->paths[path].failure != NULL;
    core->paths[path].failure = dpc_free(core->paths[path].failure);
}

/* With the second worker it is worth trying again what one alone could not do, and with the last
 * one it is not any more. */
void
core_set_connected(struct dpc_core *core, struct core_worker *worker, bool connected)
{
    bool were_enough = core->connected_count >= WORKERS_MIN;
    core->connected_count += (uint32_t)connected - (uint32_t)worker->connected;
    worker->connected = connected;
    if (core->failures_count && were_enough != (core->connected_count >= WORKERS_MIN))
        core_refresh_paths(core);
}

bool
core_fails_everywhere(const struct dpc_core *core, uint32_t path)
{
    const struct core_failure *failure = core->paths[path].failure;
    return failure && failure->tries >= TRIES_MAX &&
           (failure->workers >= WORKERS_MIN || core->connected_count < WORKERS_MIN);
}

const char *
dpc_core_failure(const struct dpc_core *core, uint32_t path, uint32_t *ret_tries)
{
    if (!core_fails_everywhere(core, path))
        return NULL;
    *ret_tries = core->paths[path].failure->tries;
    return core->paths[path].failure->text;
}
