/* SPDX-License-Identifier: Apache-2.0
 * Decisions that come with their reason. What a worker is told when it asks is judged here, by the
 * same function whether it asks or the operator wants to know; likewise for paths (tasks.c) and
 * modules (rounds.c). Asking why changes nothing. */
#include "coordinator/core/why.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/state.h"

const char *
dpc_why_time(int64_t ms, char ret_text[static 32])
{
    if (ms < 10000)
        (void)snprintf(ret_text, 32, "%.1f s", (double)ms / 1000);
    else if (ms < 600000)
        (void)snprintf(ret_text, 32, "%" PRId64 " s", ms / 1000);
    else
        (void)snprintf(ret_text, 32, "%" PRId64 " min", ms / 60000);
    return ret_text;
}

/* --- A worker that asks. */

const char *
dpc_ask_name(enum dpc_ask ask)
{
    static const char *const names[] = {
        [DPC_ASK_LEASE] = "lease",         [DPC_ASK_AGAIN] = "holds",
        [DPC_ASK_UNKNOWN] = "unknown",     [DPC_ASK_BARRED] = "barred",
        [DPC_ASK_CLASS] = "numeric_class", [DPC_ASK_PAUSED] = "fruitless",
        [DPC_ASK_FINISHED] = "finished",   [DPC_ASK_DRAINED] = "drained",
        [DPC_ASK_TOO_LARGE] = "too_large", [DPC_ASK_NOTHING] = "nothing_ready",
    };
    return names[ask];
}

enum dpc_ask
core_judge_ask(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    if (!worker)
        return DPC_ASK_UNKNOWN;
    if (worker->record.standing != DPC_STANDING_GOOD)
        return DPC_ASK_BARRED;
    if (worker->lease && core_stands(core, worker->lease))
        return DPC_ASK_AGAIN;
    /* It said hello when another class was welcome, too; "": before a restart, and says it again.
     */
    if (worker->numeric_class[0] && !core_class_is_welcome(core, worker, worker->numeric_class))
        return DPC_ASK_CLASS;
    if (now_ms < worker->not_before_ms)
        return DPC_ASK_PAUSED;
    if (core->phase.phase == DPC_PHASE_FINISHED)
        return DPC_ASK_FINISHED;
    const struct core_audit *audit = core_audit_held_by(core, worker);
    if (audit && !audit->handed_in)
        return DPC_ASK_AGAIN;
    return worker->record.drained ? DPC_ASK_DRAINED : DPC_ASK_LEASE;
}

/* A lease that the worker holds all the same does not stand any more, and ends when it asks. */
static void
tell_nothing(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms,
             char *ret_text, size_t size)
{
    char held[64] = "", due[32];
    const char *phase = dpc_phase_name(core->phase.phase);
    int64_t backup_ms;
    uint32_t count = core_tasks_held(core, worker->lease, now_ms, &backup_ms);
    if (count)
        (void)snprintf(held, sizeof held, ": %u held, the first backup is due in %s", count,
                       dpc_why_time(backup_ms, due));
    else if (core_works_alone(core))
        (void)snprintf(held, sizeof held, ": the coordinator itself is at work");
    (void)snprintf(ret_text, size, "phase %s: no task is ready%s", phase, held);
}

void
core_tell_ask(const struct dpc_core *core, const struct core_worker *worker, enum dpc_ask ask,
              int64_t now_ms, char ret_text[static DPC_WHY_TEXT_MAX])
{
    const size_t size = DPC_WHY_TEXT_MAX;
    ret_text[0] = '\0';
    switch (ask) {
    case DPC_ASK_LEASE:
    case DPC_ASK_AGAIN:
        break;
    case DPC_ASK_UNKNOWN:
        (void)snprintf(ret_text, size, "say hello first");
        break;
    case DPC_ASK_BARRED:
        core_tell_barred(worker, ret_text, size);
        break;
    case DPC_ASK_CLASS:
        core_tell_class(core, worker, worker->numeric_class, ret_text, size);
        break;
    case DPC_ASK_PAUSED:
        (void)snprintf(ret_text, size,
                       "its last %u leases came to nothing: the next one in a while",
                       worker->fruitless);
        break;
    case DPC_ASK_FINISHED:
        (void)snprintf(ret_text, size, "phase finished: no task is ready");
        break;
    case DPC_ASK_DRAINED:
        (void)snprintf(ret_text, size, "drained by the operator: it gets no new lease");
        break;
    case DPC_ASK_TOO_LARGE:
        (void)snprintf(ret_text, size,
                       "phase %s: no task is ready that fits this worker's memory; a path of "
                       "%" PRIu64 " bytes did not",
                       dpc_phase_name(core->phase.phase), worker->too_large);
        break;
    case DPC_ASK_NOTHING:
        tell_nothing(core, worker, now_ms, ret_text, size);
        break;
    }
}

/* --- What was not accepted. */

void
core_note_refusal(const struct dpc_core *core, struct core_worker *worker,
                  const struct dpc_msg_submit *submit, enum dpc_verdict verdict, const char *text)
{
    if (!worker->refusals)
        worker->refusals = dpc_alloc(1, sizeof *worker->refusals);
    struct core_refusals *refusals = worker->refusals;
    struct dpc_refusal *refusal = &refusals->last[refusals->count++ % DPC_REFUSALS_KEPT];
    *refusal = (struct dpc_refusal){
        .at_ms = core->now_ms,
        .verdict = verdict,
        .path = submit->path,
        .round = submit->round,
        .lease = submit->token.serial,
    };
    (void)snprintf(refusal->text, sizeof refusal->text, "%s", text);
}

static void
list_refusals(const struct core_refusals *refusals, struct dpc_why_worker *why)
{
    uint32_t count = refusals ? refusals->count : 0;
    why->refusals_count = count < DPC_REFUSALS_KEPT ? count : DPC_REFUSALS_KEPT;
    for (uint32_t i = 0; i < why->refusals_count; i++)
        why->refusals[i] = refusals->last[(count - 1 - i) % DPC_REFUSALS_KEPT];
}

/* --- For the operator. */

void
dpc_core_why_tasks(const struct dpc_core *core, int64_t now_ms, struct dpc_why_tasks *ret_tasks)
{
    int64_t quiet_ms;
    uint32_t held = core_tasks_held(core, NULL, now_ms, &quiet_ms);
    *ret_tasks = (struct dpc_why_tasks){
        .ready = core_tasks_ready(core, held),
        .held = held,
        .failing = core->failures_count ? core_tasks_failing(core) : 0,
        .backup_ms = quiet_ms == INT64_MAX ? -1
                     : quiet_ms > 0        ? quiet_ms
                                           : 0,
        .chunks = core->chunks_count,
        .chunks_left = core->chunks_left,
    };
    for (uint32_t i = 0; i < core->topology.modules_count; i++)
        ret_tasks->folding += core->modules[i].folding;
}

static void
list_held(const struct dpc_core *core, const struct core_worker *worker, struct dpc_why_worker *why)
{
    const struct core_audit *audit = core_audit_held_by(core, worker);
    if (audit && audit->handed_in)
        why->handing_in = audit->serial;
    else if (audit)
        why->lease = audit->serial;
    if (worker->lease)
        why->lease = worker->lease->record.serial;
    if (worker->handing_in)
        why->handing_in = worker->handing_in->record.serial;
}

void
dpc_core_why_worker(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                    int64_t now_ms, struct dpc_why_worker *ret_why)
{
    const struct core_worker *worker = core_find_worker(core, key);
    *ret_why = (struct dpc_why_worker){.ask = core_judge_ask(core, worker, now_ms)};
    if (ret_why->ask == DPC_ASK_LEASE)
        ret_why->ask = core_foresee_choice(core, worker, now_ms);
    core_tell_ask(core, worker, ret_why->ask, now_ms, ret_why->text);
    dpc_core_why_tasks(core, now_ms, &ret_why->tasks);
    if (!worker)
        return;
    ret_why->retry_ms = core_retry_after(core, worker, ret_why->ask, now_ms);
    ret_why->greeted = worker->numeric_class[0] != '\0';
    ret_why->silent_ms = now_ms - worker->heard_ms;
    ret_why->connected = core_is_there(core, worker, now_ms);
    ret_why->copied = core_is_copied(core, worker, now_ms);
    ret_why->heartbeat_ms = core->heartbeat_ms;
    list_held(core, worker, ret_why);
    ret_why->fruitless = worker->fruitless;
    ret_why->too_large = worker->too_large;
    list_refusals(worker->refusals, ret_why);
}

/* --- Paths and modules. */

const char *
dpc_path_standing_name(enum dpc_path_standing standing)
{
    static const char *const names[] = {
        [DPC_PATH_READY] = "ready", [DPC_PATH_HELD] = "held",   [DPC_PATH_DONE] = "done",
        [DPC_PATH_PHASE] = "phase", [DPC_PATH_WAITS] = "waits", [DPC_PATH_FAILS] = "fails",
    };
    return names[standing];
}

static void
list_lacks(const struct dpc_core *core, uint32_t path, struct dpc_why_path *why)
{
    uint32_t length = dpc_topology_path_length(&core->topology, path);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(&core->topology, path, i);
        enum dpc_lack lack = core_lack_of(core, path, module);
        if (lack == DPC_LACK_NONE)
            continue;
        why->lacks[why->lacks_count].module = module;
        why->lacks[why->lacks_count].round = dpc_module_round(&core->modules[module].record);
        why->lacks[why->lacks_count++].lack = lack;
    }
}

void
dpc_core_why_path(const struct dpc_core *core, uint32_t path, int64_t now_ms,
                  struct dpc_why_path *ret_why)
{
    const struct core_path *at = &core->paths[path];
    const struct core_failure *failure = core_failure_of(core, CORE_TRAINING, path);
    int64_t open_ms = core_open_in(core, CORE_TRAINING, path, now_ms);
    *ret_why = (struct dpc_why_path){
        .standing = dpc_core_path_standing(core, path),
        .round = at->record.rounds_done,
        .rounds = dpc_core_path_owes(core, path),
        .rounds_open = dpc_core_rounds_open(core, path),
        .part_steps = at->record.part_steps,
        .steps = dpc_core_round_steps(core, path, at->record.rounds_done),
        .tries = failure ? failure->tries : 0,
    };
    if (failure)
        (void)snprintf(ret_why->failure, sizeof ret_why->failure, "%s", failure->text);
    for (const struct core_lease *lease = at->leases; lease; lease = lease->next)
        ret_why->leases_count += lease->record.round == at->record.rounds_done;
    if (ret_why->standing == DPC_PATH_WAITS)
        list_lacks(core, path, ret_why);
    if (ret_why->standing == DPC_PATH_READY && open_ms > 0) {
        ret_why->standing = DPC_PATH_HELD;
        ret_why->backup_ms = open_ms;
    }
}

const char *
dpc_module_standing_name(enum dpc_module_standing standing)
{
    static const char *const names[] = {
        [DPC_MODULE_ABSENT] = "absent",   [DPC_MODULE_DONE] = "done",
        [DPC_MODULE_FOLDING] = "folding", [DPC_MODULE_WAITS] = "waits",
        [DPC_MODULE_QUORUM] = "quorum",   [DPC_MODULE_GRACE] = "grace",
        [DPC_MODULE_CLOSES] = "closes",
    };
    return names[standing];
}

void
dpc_core_why_module(const struct dpc_core *core, uint32_t module, int64_t now_ms,
                    struct dpc_why_module *ret_why)
{
    const struct core_module *at = &core->modules[module];
    *ret_why = (struct dpc_why_module){
        .standing = core_judge_module(core, module),
        .version = at->record.version,
        .round = dpc_module_round(&at->record),
        .rounds = core_module_rounds(core, module),
        .grace_ms = -1,
        .rollbacks = at->record.rollbacks,
    };
    core_count_paths(core, module, ret_why);
    if (ret_why->standing == DPC_MODULE_GRACE)
        ret_why->grace_ms = at->closes_ms > now_ms ? at->closes_ms - now_ms : 0;
}
