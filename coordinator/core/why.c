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
    if (core_audit_held_by(core, worker))
        return DPC_ASK_AGAIN;
    return worker->record.drained ? DPC_ASK_DRAINED : DPC_ASK_LEASE;
}

static void
tell_nothing(const struct dpc_core *core, int64_t now_ms, char *ret_text, size_t size)
{
    char held[64] = "", due[32];
    const char *phase = dpc_phase_name(core->phase.phase);
    uint32_t count = core_tasks_held(core);
    if (count)
        (void)snprintf(held, sizeof held, ": %u held, the first for others, too, in %s", count,
                       dpc_why_time(core_until_quiet(core, now_ms), due));
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
        tell_nothing(core, now_ms, ret_text, size);
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
        .kind = submit->kind,
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

static void
count_tasks(const struct dpc_core *core, int64_t now_ms, struct dpc_why_tasks *tasks)
{
    int64_t quiet_ms = core_until_quiet(core, now_ms);
    *tasks = (struct dpc_why_tasks){
        .ready = core_tasks_ready(core),
        .held = core_tasks_held(core),
        .failing = core->failures_count ? core_tasks_failing(core) : 0,
        .backup_ms = quiet_ms == INT64_MAX ? -1
                     : quiet_ms > 0        ? quiet_ms
                                           : 0,
        .chunks = core->chunks_count,
        .chunks_left = core->chunks_left,
    };
    for (uint32_t i = 0; i < core->topology.modules_count; i++)
        tasks->folding += core->modules[i].folding;
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
    count_tasks(core, now_ms, &ret_why->tasks);
    if (!worker)
        return;
    ret_why->retry_ms = core_retry_after(core, worker, ret_why->ask, now_ms);
    ret_why->connected = worker->connected;
    ret_why->greeted = worker->numeric_class[0] != '\0';
    ret_why->silent_ms = now_ms - worker->heard_ms;
    ret_why->lease =
        worker->lease ? worker->lease->record.serial : core_audit_held_by(core, worker);
    ret_why->fruitless = worker->fruitless;
    ret_why->too_large = worker->too_large;
    list_refusals(worker->refusals, ret_why);
}
