/* SPDX-License-Identifier: Apache-2.0
 * Who works on what. A lease is the right to do one task; silence never voids it, but after two
 * heartbeats and a tick, or when it falls behind, an idle worker gets a backup lease on the same
 * task, and the first complete submission wins. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

#include "base/planted.h"

/* --- Granting. */

static void
fill_versions(const struct dpc_core *core, uint32_t path, bool warm, struct dpc_msg_lease *lease)
{
    lease->levels_count = dpc_topology_path_length(&core->topology, path);
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        uint32_t module = dpc_topology_path_module(&core->topology, path, i);
        uint32_t level = dpc_topology_module_level(&core->topology, module);
        lease->modules[i] = module;
        /* Features come from the dense model as the warm start left it, which is what the routed
         * modules begin with; the dense path itself may have gone on. */
        lease->versions[i].hash =
            warm ? core->warm[level].published : core->modules[module].record.published;
        lease->versions[i].bytes = core->modules[module].bytes;
    }
}

/* Those of the versions that there are now. */
static void
fill_changes(const struct dpc_core *core, struct dpc_msg_lease *lease)
{
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        const struct core_module *module = &core->modules[lease->modules[i]];
        if (dpc_hash_is_none(&module->record.change))
            continue;
        lease->changes[i] = (struct dpc_blob_ref){module->record.change, module->change_bytes};
        lease->bases[i] = (struct dpc_blob_ref){module->record.changed, module->bytes};
    }
}

/* What a path is in the end: its best round, or the newest versions where nobody measured it. */
static void
fill_best(const struct dpc_core *core, uint32_t path, struct dpc_msg_lease *lease)
{
    const struct dpc_hash *best = core_best_versions(core, path);
    fill_versions(core, path, false, lease);
    for (uint32_t i = 0; best && i < lease->levels_count; i++)
        lease->versions[i].hash = best[i];
}

static void
fill_train(const struct dpc_core *core, const struct dpc_lease_record *task,
           struct dpc_msg_lease *lease)
{
    const struct dpc_path_record *path = &core->paths[task->path].record;
    fill_versions(core, task->path, false, lease);
    fill_changes(core, lease);
    bool goes_on = task->from > 0 && !DPC_PLANTED(DPC_PLANTED_PART_FORGOTTEN);
    for (uint32_t i = 0; goes_on && i < lease->levels_count; i++) {
        uint32_t level = dpc_topology_module_level(&core->topology, lease->modules[i]);
        lease->begins[i] = (struct dpc_blob_ref){core->paths[task->path].latest[level],
                                                 core->modules[lease->modules[i]].delta_bytes};
    }
    lease->step_first = dpc_core_round_place(core, task->path, task->round) + task->from;
    lease->steps_count = core_units(core, task);
    lease->data = (struct dpc_blob_ref){path->shard, path->shard_bytes};
    lease->state = (struct dpc_blob_ref){task->state, path->state_bytes};
    if (memcmp(path->keeper, task->worker, sizeof path->keeper) == 0)
        lease->kept = (struct dpc_blob_ref){path->kept, path->kept_bytes};
}

static void
fill_lease(const struct dpc_core *core, const struct core_lease *granted, int64_t now_ms,
           struct dpc_msg_lease *lease)
{
    const struct dpc_lease_record *task = &granted->record;
    int64_t left_ms = (int64_t)task->time_left_ms - (now_ms - granted->granted_ms);
    *lease = (struct dpc_msg_lease){
        .token = {core->incarnation, task->serial},
        .kind = task->kind,
        .path = task->path,
        .round = task->round,
        .time_left_ms = left_ms > 0 ? (uint32_t)left_ms : 0,
    };
    if (granted->sort == CORE_TRAINING) {
        fill_train(core, task, lease);
        return;
    }
    lease->from = task->from;
    lease->to = task->to;
    if (granted->sort == CORE_RATING) {
        core_fill_rating(core, task, lease);
    } else if (task->kind == DPC_TASK_FEATURIZE) {
        fill_versions(core, task->path, true, lease);
        lease->data = (struct dpc_blob_ref){core->phase.prefixes, core->phase.prefixes_bytes};
    } else if (task->kind == DPC_TASK_SCORE) {
        fill_versions(core, task->path, false, lease);
        fill_changes(core, lease);
        lease->data = (struct dpc_blob_ref){core->phase.scored, core->phase.scored_bytes};
    } else if (task->kind == DPC_TASK_TRACE) {
        fill_best(core, task->path, lease);
        lease->data = (struct dpc_blob_ref){core->phase.traced, core->phase.traced_bytes};
    } else if (task->kind == DPC_TASK_REROUTE) {
        fill_best(core, task->path, lease);
        lease->data = (struct dpc_blob_ref){core->phase.traced, core->phase.traced_bytes};
        lease->state = (struct dpc_blob_ref){core->phase.routes, core->phase.routes_bytes};
        lease->step_first = core->phase.traced_train;
    } else {
        const struct dpc_path_record *path = &core->paths[task->path].record;
        fill_best(core, task->path, lease);
        lease->data = (struct dpc_blob_ref){path->test, path->test_bytes};
    }
}

static struct core_lease *
grant(struct dpc_core *core, struct dpc_lease_record *task, enum core_sort sort, uint32_t index,
      int64_t now_ms, struct dpc_actions *actions)
{
    task->serial = core->phase.next_serial++;
    task->time_left_ms = core_time_for(core, task);
    struct core_lease *lease = core_add_lease(core, task, sort, index);
    lease->granted_ms = lease->progressed_ms = now_ms;
    core_hear_of(core, lease, now_ms);
    dpc_put_lease(&actions->batch, &lease->record);
    if (!DPC_PLANTED(DPC_PLANTED_SERIAL_AGAIN))
        core_put_phase(core, actions);
    return lease;
}

/* To one that gets no lease: it waits, or is refused. */
static void
reply_reason(const struct dpc_core *core, const struct core_worker *worker, enum dpc_ask ask,
             int64_t now_ms, struct dpc_actions *actions)
{
    char text[DPC_WHY_TEXT_MAX];
    core_tell_ask(core, worker, ask, now_ms, text);
    if (ask == DPC_ASK_BARRED || ask == DPC_ASK_CLASS) {
        core_reply_error(actions, ask == DPC_ASK_BARRED ? DPC_EPERM : DPC_EVERSION, "%s", text);
        return;
    }
    struct dpc_msg *reply = core_reply(actions, DPC_MSG_WAIT);
    reply->wait.finished = ask == DPC_ASK_FINISHED;
    reply->wait.retry_ms = core_retry_after(core, worker, ask, now_ms);
    (void)snprintf(actions->reply_text, sizeof actions->reply_text, "%s", text);
    reply->wait.reason = actions->reply_text;
}

/* --- The messages. */

static uint64_t
serial_of(const struct dpc_core *core, struct dpc_token token)
{
    return token.incarnation == core->incarnation ? token.serial : 0;
}

/* The worker is done with that lease and hands it in. What it handed in before is over, since it
 * does that one after the other. A message that is late changes nothing: serials only grow. */
static void
note_handing_in(struct dpc_core *core, struct core_worker *worker, uint64_t serial,
                struct dpc_actions *actions)
{
    const struct core_audit *audit = core_audit_held_by(core, worker);
    bool is_lease = worker->lease && worker->lease->record.serial == serial;
    bool is_audit = audit && audit->serial == serial && !audit->handed_in;
    bool had_audit = is_lease && audit && audit->handed_in;
    if (!is_lease && !is_audit)
        return;
    if (worker->handing_in || had_audit)
        core_note_fruitless(core, worker);
    if (worker->handing_in)
        core_end_lease(core, worker->handing_in, actions);
    if (had_audit)
        core_leave_audit(core, worker, 0, 0);
    if (is_lease)
        core_note_handing_in(worker);
    else
        core_note_audit_handed_in(core, worker);
}

/* What a worker does not hold any more, it will not hand in: others need not wait for it. */
static void
end_other_leases(struct dpc_core *core, struct core_worker *worker, uint64_t held_serial,
                 uint64_t handed_in_serial, struct dpc_actions *actions)
{
    struct core_lease *const leases[] = {worker->handing_in, worker->lease};
    bool ended = false;
    core_leave_audit(core, worker, held_serial, handed_in_serial);
    for (size_t i = 0; i < sizeof leases / sizeof *leases; i++) {
        if (!leases[i] || leases[i]->record.serial == held_serial ||
            leases[i]->record.serial == handed_in_serial)
            continue;
        core_end_lease(core, leases[i], actions);
        ended = true;
    }
    if (ended)
        core_note_fruitless(core, worker);
}

static bool
names(const struct dpc_core *core, const struct dpc_msg_hello *hello,
      const struct core_lease *lease)
{
    return lease && (lease->record.serial == serial_of(core, hello->token) ||
                     lease->record.serial == serial_of(core, hello->handing_in));
}

/* It fell silent with a lease and is back, while another class has been let in: whoever hands in
 * first decides. */
static bool
comes_back_in_time(const struct dpc_core *core, const struct core_worker *worker,
                   const struct dpc_msg_hello *hello)
{
    return worker && !core->phase.numeric_class[0] &&
           (names(core, hello, worker->lease) || names(core, hello, worker->handing_in)) &&
           core_is_class(worker->numeric_class, hello->numeric_class);
}

static void
note_name(const struct dpc_core *core, struct core_worker *worker, const char *name, bool is_new,
          struct dpc_actions *actions)
{
    bool is_same = strcmp(worker->record.name, name) == 0;
    if (!is_new && (is_same || !core_may_write_of(core, worker)))
        return;
    (void)snprintf(worker->record.name, sizeof worker->record.name, "%s", name);
    dpc_put_worker(&actions->batch, &worker->record);
}

void
core_on_hello(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
              struct dpc_actions *actions)
{
    const struct dpc_msg_hello *hello = event->hello.message;
    if (hello->protocol_min > DPC_PROTOCOL_MAX || hello->protocol_max < DPC_PROTOCOL_MIN) {
        core_reply_error(actions, DPC_EVERSION,
                         "this coordinator speaks protocol %d to %d, the worker %u to %u: install "
                         "the same release on both",
                         DPC_PROTOCOL_MIN, DPC_PROTOCOL_MAX, hello->protocol_min,
                         hello->protocol_max);
        return;
    }
    struct core_worker *worker = core_find_worker(core, event->worker);
    if (worker && worker->record.standing != DPC_STANDING_GOOD) {
        reply_reason(core, worker, DPC_ASK_BARRED, now_ms, actions);
        return;
    }
    if (!comes_back_in_time(core, worker, hello) &&
        !core_class_is_welcome(core, worker, hello->numeric_class)) {
        char text[DPC_WHY_TEXT_MAX];
        core_tell_class(core, worker, hello->numeric_class, text, sizeof text);
        core_reply_error(actions, DPC_EVERSION, "%s", text);
        return;
    }
    bool is_new = !worker;
    if (is_new)
        worker = core_take_in(core, event->worker, actions);
    if (!worker) {
        core_reply_error(actions, DPC_ELIMIT,
                         "this coordinator knows %u workers, none of which has been away for long: "
                         "it takes another one when one has",
                         core->workers_count);
        return;
    }
    note_name(core, worker, hello->name, is_new, actions);
    core_note_heard(worker, now_ms);
    core_set_connected(core, worker, true);
    worker->too_large = 0; /* it may have more by now */
    worker->tokens_per_s = hello->tokens_per_s;
    (void)snprintf(worker->numeric_class, sizeof worker->numeric_class, "%s", hello->numeric_class);
    end_other_leases(core, worker, serial_of(core, hello->token),
                     serial_of(core, hello->handing_in), actions);
    note_handing_in(core, worker, serial_of(core, hello->handing_in), actions);

    struct dpc_msg *reply = core_reply(actions, DPC_MSG_WELCOME);
    reply->welcome = (struct dpc_msg_welcome){
        .protocol = DPC_PROTOCOL_MAX,
        .incarnation = core->incarnation,
        .experiment = core->experiment_yaml,
        .heartbeat_ms = core->heartbeat_ms,
        .bulk_endpoint = core->bulk_endpoint,
        .mirror = core->mirror,
        .leases = DPC_LEASES_MAX,
    };
}

/* The worker as known, marked as heard; NULL after a refusal that tells it to say hello. */
static struct core_worker *
heard(struct dpc_core *core, const uint8_t *key, int64_t now_ms, struct dpc_actions *actions)
{
    struct core_worker *worker = core_find_worker(core, key);
    if (!worker) {
        core_reply_error(actions, DPC_ESTALE, "say hello first");
        return NULL;
    }
    core_note_heard(worker, now_ms);
    core_set_connected(core, worker, worker->record.standing == DPC_STANDING_GOOD);
    return worker;
}

/* A lease on the task that is next for this worker; NULL: none waits. */
static struct core_lease *
grant_next(struct dpc_core *core, struct core_worker *worker, int64_t now_ms,
           struct dpc_actions *actions)
{
    struct dpc_lease_record task;
    enum core_sort sort;
    uint32_t index;
    if (!core_choose(core, worker, now_ms, &task, &sort, &index))
        return NULL;
    memcpy(task.worker, worker->record.key, sizeof task.worker);
    if (task.kind == DPC_TASK_TRAIN) {
        task.state = core->paths[index].record.state;
        task.from = core->paths[index].record.part_steps;
        task.to = task.from + core_lease_steps(core, worker, index);
    }
    struct core_lease *lease = grant(core, &task, sort, index, now_ms, actions);
    worker->record.leases++;
    dpc_put_worker(&actions->batch, &worker->record);
    return lease;
}

static void
reply_lease(struct dpc_core *core, struct core_lease *lease, int64_t now_ms,
            struct dpc_actions *actions)
{
    core_hear_of(core, lease, now_ms);
    fill_lease(core, lease, now_ms, &core_reply(actions, DPC_MSG_LEASE)->lease);
}

/* An audit that is overdue, else a task, else an audit; false: there is nothing for it. */
static bool
grant_new(struct dpc_core *core, struct core_worker *worker, int64_t now_ms,
          struct dpc_actions *actions)
{
    return core_grant_audit(core, worker, true, now_ms, actions) ||
           grant_next(core, worker, now_ms, actions) ||
           core_grant_audit(core, worker, false, now_ms, actions);
}

void
core_on_ask(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
            struct dpc_actions *actions)
{
    struct core_worker *worker = heard(core, event->worker, now_ms, actions);
    if (!worker)
        return;
    note_handing_in(core, worker, serial_of(core, event->ask.handing_in), actions);
    enum dpc_ask ask = core_judge_ask(core, worker, now_ms);
    if (worker->lease && ask != DPC_ASK_BARRED && ask != DPC_ASK_AGAIN)
        core_end_lease(core, worker->lease, actions); /* what it said does not hold any more */
    if (ask == DPC_ASK_LEASE && !grant_new(core, worker, now_ms, actions))
        ask = worker->too_large ? core_foresee_choice(core, worker, now_ms) : DPC_ASK_NOTHING;
    /* Asked twice (the answer was lost): the same lease again. */
    if (ask != DPC_ASK_LEASE && ask != DPC_ASK_AGAIN)
        reply_reason(core, worker, ask, now_ms, actions);
    else if (worker->lease)
        reply_lease(core, worker->lease, now_ms, actions);
    else if (ask == DPC_ASK_AGAIN)
        (void)core_grant_audit(core, worker, false, now_ms, actions);
}

static void
reply_verdict(struct dpc_actions *actions, struct dpc_token token, enum dpc_verdict verdict)
{
    struct dpc_msg *reply = core_reply(actions, DPC_MSG_HEARTBEAT_ACK);
    reply->verdict.token = token;
    reply->verdict.verdict = verdict;
    reply->verdict.text = actions->reply_text;
}

void
core_on_heartbeat(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                  struct dpc_actions *actions)
{
    const struct dpc_msg_heartbeat *message = event->heartbeat.message;
    struct core_worker *worker = heard(core, event->worker, now_ms, actions);
    if (!worker)
        return;
    struct core_lease *lease = message->token.incarnation == core->incarnation
                                   ? core_find_lease(core, message->token.serial)
                                   : NULL;
    struct core_audit *audit = core_find_audit(core, worker, message->token);
    if (audit)
        audit->heard_ms = now_ms;
    if (!lease || memcmp(lease->record.worker, event->worker, DPC_WORKER_KEY_BYTES) != 0) {
        reply_verdict(actions, message->token, audit ? DPC_VERDICT_CONTINUE : DPC_VERDICT_STALE);
        return;
    }
    if (message->steps_done <= lease->steps_count) {
        if (message->steps_done > lease->steps_most) {
            lease->progressed_ms = now_ms;
            lease->steps_most = message->steps_done;
        }
        lease->steps_done = message->steps_done;
    }
    core_hear_of(core, lease, now_ms);
    if (message->tokens_per_s > 0) /* it may have nothing to say of it */
        lease->tokens_per_s = worker->tokens_per_s = message->tokens_per_s;
    reply_verdict(actions, message->token, DPC_VERDICT_CONTINUE);
}

static void
note_too_large(const struct dpc_core *core, struct core_worker *worker, uint32_t path)
{
    uint64_t bytes = core_path_bytes(core, path);
    if (worker->too_large == 0 || bytes < worker->too_large)
        worker->too_large = bytes;
}

void
core_on_give_back(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                  struct dpc_actions *actions)
{
    const struct dpc_msg_give_back *message = event->give_back.message;
    struct core_worker *worker = heard(core, event->worker, now_ms, actions);
    if (!worker)
        return;
    const struct core_audit *audit = core_find_audit(core, worker, message->token);
    if (audit && message->too_large)
        note_too_large(core, worker, audit->path);
    if (audit)
        core_leave_audit(core, worker, 0, 0);
    struct core_lease *lease = message->token.incarnation == core->incarnation
                                   ? core_find_lease(core, message->token.serial)
                                   : NULL;
    if (lease && memcmp(lease->record.worker, event->worker, DPC_WORKER_KEY_BYTES) == 0) {
        if (message->not_finite)
            core_note_failure(core, lease, message->reason);
        if (message->too_large)
            note_too_large(core, worker, lease->record.path);
        if (!message->not_finite || core_fails_often(core, lease))
            core_note_fruitless(core, worker);
        core_end_lease(core, lease, actions);
    }
    core_reply(actions, DPC_MSG_ACK);
}

void
core_on_leave(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
              struct dpc_actions *actions)
{
    struct core_worker *worker = heard(core, event->worker, now_ms, actions);
    if (!worker)
        return;
    core_set_connected(core, worker, false);
    end_other_leases(core, worker, 0, 0, actions);
    core_reply(actions, DPC_MSG_ACK);
}
