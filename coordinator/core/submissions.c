/* SPDX-License-Identifier: Apache-2.0
 * What workers hand in: fenced whole (token, task, steps, modules), then recorded in one batch with
 * the path's progress. The same again gets the same answer. */
#include "coordinator/core/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/planted.h"

static bool
is_loss(double loss)
{
    return loss >= 0 && loss <= DPC_LOSS_MAX;
}

/* NULL when the submission is what the lease owes, else what is wrong with it. */
static const char *
find_fault(const struct dpc_core *core, const struct core_lease *lease,
           const struct dpc_msg_submit *submit, const struct dpc_submission_check *check)
{
    if (check->damaged)
        return check->text;
    if (submit->kind != lease->record.kind || submit->path != lease->record.path ||
        (submit->round != lease->record.round && !DPC_PLANTED(DPC_PLANTED_NO_FENCE)))
        return "it is for another task than its lease";
    if (submit->kind != DPC_TASK_TRAIN)
        return check->rows == core_rows_of(core, &lease->record)
                   ? NULL
                   : "its result has not the rows of its documents";
    if (submit->steps_count == 0 || submit->steps_count > lease->steps_count ||
        (submit->steps_count < lease->steps_count && core->experiment->mode == DPC_MODE_STRICT))
        return "it has not the number of steps that the lease asked for";
    if (submit->parts_count != dpc_topology_path_length(&core->topology, submit->path))
        return "it has not one part for each module of its path";
    if (core->paths[submit->path].record.parts + 1 >= DPC_PARTS_MAX &&
        lease->record.from + submit->steps_count <
            dpc_core_round_steps(core, submit->path, submit->round))
        return "its round has come in as many parts as it may, and this is not the last";
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        const struct dpc_part *part = &submit->parts[i];
        if (part->module != dpc_topology_path_module(&core->topology, submit->path, i))
            return "a part is for a module that the path does not use";
        if (part->delta.bytes != core->modules[part->module].delta_bytes)
            return "a part has not its module's size";
    }
    if (!is_loss(submit->loss) || !is_loss(submit->loss_last))
        return "its loss is not finite, or none that a network has";
    if (core_is_stale(core, submit))
        return "it holds a contribution that was handed in before";
    bool part = submit->steps_count < lease->steps_count; /* made in haste: perhaps without */
    bool ships = core->experiment->transfer.path_state == DPC_STATE_SHIP;
    if (dpc_hash_is_none(&submit->state.hash) == ships && !part)
        return ships ? "it has no path state" : "it brings a path state, which is not wanted";
    return NULL;
}

void
core_take_contribution(struct dpc_core *core, const struct dpc_contribution_record *record)
{
    struct core_module *module = &core->modules[record->module];
    struct core_path *path = &core->paths[record->path];
    uint32_t level = dpc_topology_module_level(&core->topology, record->module);
    struct core_delta delta = {
        .hash = record->delta,
        .serial = record->lease,
        .path = record->path,
        .round = record->round,
        .steps = record->steps,
    };
    memcpy(delta.worker, record->worker, sizeof delta.worker);
    if (record->late == DPC_IN_TIME)
        path->deltas[level] = delta;
    else if (record->late == DPC_LATE && record->round + 1 >= dpc_module_round(&module->record))
        core_add_late(module, &delta);
    path->latest[level] = record->delta;
    path->accepted_serial = record->lease;
    path->accepted_began = record->began;
    path->loss = record->loss_last;
    memcpy(path->accepted_worker, record->worker, DPC_WORKER_KEY_BYTES);
}

static void
put_contributions(struct dpc_core *core, const struct core_lease *lease,
                  const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    bool missed = submit->round < core->paths[submit->path].record.rounds_done;
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        const struct dpc_part *part = &submit->parts[i];
        struct dpc_contribution_record record = {
            .round = submit->round,
            .path = submit->path,
            .module = part->module,
            .part = missed ? 0 : core->paths[submit->path].record.parts,
            .late = core_lateness(core, submit->path, part->module, submit->round),
            .from = lease->record.from,
            .began = submit->began,
            .delta = part->delta.hash,
            .bytes = part->delta.bytes,
            .norm = part->norm,
            .steps = lease->record.from + submit->steps_count,
            .loss = submit->loss,
            .loss_last = submit->loss_last,
            .lease = lease->record.serial,
        };
        memcpy(record.worker, lease->record.worker, DPC_WORKER_KEY_BYTES);
        dpc_put_contribution(&actions->batch, &record);
        core_note_delta(core, &record);
        core_take_contribution(core, &record);
        core->contributions[record.late]++;
    }
}

/* What the path's next lease begins with. A state that is kept is there for its keeper alone. */
static void
take_state(struct dpc_core *core, const struct core_lease *lease,
           const struct dpc_msg_submit *submit)
{
    struct dpc_path_record *path = &core->paths[submit->path].record;
    path->state = submit->state.hash;
    path->state_bytes = submit->state.bytes;
    path->kept = core->experiment->transfer.path_state == DPC_STATE_LOCAL ? submit->kept.hash
                                                                          : dpc_hash_none;
    path->kept_bytes = submit->kept.bytes;
    memcpy(path->keeper, lease->record.worker, sizeof path->keeper);
}

/* How far the path is in its rounds. What was missed and comes after all moves it nowhere. Steps
 * that another lease of the round handed in before are trained again, and count once. */
static void
count_steps(struct dpc_core *core, const struct core_lease *lease,
            const struct dpc_msg_submit *submit)
{
    struct dpc_path_record *path = &core->paths[submit->path].record;
    uint32_t before = lease->record.from, steps = before + submit->steps_count;
    bool whole = steps == dpc_core_round_steps(core, submit->path, submit->round);
    path->missed = 0;
    if (submit->round == path->rounds_done && path->part_steps > before)
        before = path->part_steps;
    path->steps_done += steps - before;
    path->tokens_done += core_tokens_of(core, steps - before);
    if (submit->round == path->rounds_done) {
        if (whole)
            path->rounds_done = core_next_round(core, submit->path, submit->round + 1);
        path->part_steps = whole ? 0 : steps;
        path->parts = whole ? 0 : path->parts + 1;
    }
    take_state(core, lease, submit);
}

static void
accept_training(struct dpc_core *core, const struct core_lease *lease,
                const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    struct core_path *path = &core->paths[submit->path];
    uint32_t rounds_before = path->record.rounds_done;
    put_contributions(core, lease, submit, actions);
    core_forget_failure(core, CORE_TRAINING, submit->path);
    count_steps(core, lease, submit);
    dpc_put_path(&actions->batch, &path->record);
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        struct core_module *module = &core->modules[submit->parts[i].module];
        uint32_t round = dpc_module_round(&module->record);
        module->delivered += rounds_before <= round && path->record.rounds_done > round;
    }
    core_refresh_closing_along(core, submit->path);
}

static void
accept_chunk(struct dpc_core *core, const struct core_lease *lease,
             const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    struct core_chunk *chunk = &core->chunks[lease->task];
    core_finish_chunk(core, chunk);
    struct dpc_result_record record = {
        .kind = submit->kind,
        .path = chunk->path,
        .from = chunk->from,
        .to = chunk->to,
        .result = submit->result.hash,
        .bytes = submit->result.bytes,
        .phase = core_chunk_phase(core),
    };
    dpc_put_result(&actions->batch, &record);
}

/* Others who are at work on the round may still bring more of it. */
static bool
leaves_a_rest(const struct dpc_core *core, const struct dpc_msg_submit *submit)
{
    return submit->kind == DPC_TASK_TRAIN &&
           core->paths[submit->path].record.rounds_done == submit->round;
}

static void
accept(struct dpc_core *core, struct core_lease *lease, const struct dpc_event *event,
       struct core_worker *worker, int64_t now_ms, struct dpc_actions *actions)
{
    const struct dpc_msg_submit *submit = event->submit.message;
    uint64_t serial = lease->record.serial;
    core_measure(core, lease, submit, now_ms);
    if (submit->kind == DPC_TASK_TRAIN) {
        core_consider_audit(core, lease, submit, worker);
        accept_training(core, lease, submit, actions);
        core_note_trained(core, submit->path, worker);
        worker->record.merged++;
        worker->record.tokens += core_tokens_of(core, submit->steps_count);
    } else if (lease->sort == CORE_RATING) {
        core_accept_rating(core, lease, event->submit.check, actions);
    } else {
        accept_chunk(core, lease, submit, actions);
    }
    if (DPC_PLANTED(DPC_PLANTED_ACCEPT_TWICE) || leaves_a_rest(core, submit))
        core_end_lease(core, lease, actions);
    else
        core_end_task_leases(core, lease, actions);
    worker->record.accepted = serial;
    worker->fruitless = 0;
    core_keep_class(core, worker);
    dpc_put_worker(&actions->batch, &worker->record);
    core_put_phase(core, actions);
    core_reply_submitted(actions, (struct dpc_token){core->incarnation, serial},
                         DPC_VERDICT_ACCEPTED);
    core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}

/* The lease is gone: was it this very submission that was accepted, or somebody else's? A worker
 * hands in one lease after the other and repeats only its last submission, so its last accepted
 * serial tells; the path, the chunks and the phase may have gone on meanwhile, and the process may
 * be another. */
static enum dpc_verdict
verdict_without_lease(const struct dpc_core *core, const struct core_worker *worker,
                      const struct dpc_msg_submit *submit)
{
    if (submit->token.incarnation != core->incarnation)
        return DPC_VERDICT_STALE;
    if (submit->token.serial && submit->token.serial == worker->record.accepted)
        return DPC_VERDICT_ACCEPTED;
    if (worker->record.standing != DPC_STANDING_GOOD)
        return DPC_VERDICT_REFUSED;
    if (submit->kind == DPC_TASK_TRAIN && submit->path < core->topology.paths_count) {
        bool later = core->paths[submit->path].record.rounds_done > submit->round;
        return later ? DPC_VERDICT_SUPERSEDED : DPC_VERDICT_STALE;
    }
    return DPC_VERDICT_SUPERSEDED;
}

/* Of parts of a round the longest counts; of a round that was missed, what somebody still wants. */
static bool
comes_second(const struct dpc_core *core, const struct core_lease *lease,
             const struct dpc_msg_submit *submit)
{
    if (submit->kind != DPC_TASK_TRAIN)
        return false;
    const struct dpc_path_record *path = &core->paths[submit->path].record;
    return submit->round < path->rounds_done
               ? !core_is_wanted(core, submit->path, submit->round)
               : lease->record.from + submit->steps_count <= path->part_steps;
}

static void
count_loss(struct core_worker *worker, enum dpc_verdict verdict, struct dpc_actions *actions)
{
    worker->record.superseded += verdict == DPC_VERDICT_SUPERSEDED;
    worker->record.refused += verdict == DPC_VERDICT_REFUSED;
    dpc_put_worker(&actions->batch, &worker->record);
}

/* Kept for whoever asks why, and answered. */
static void
turn_down(const struct dpc_core *core, struct core_worker *worker,
          const struct dpc_msg_submit *submit, enum dpc_verdict verdict, const char *text,
          struct dpc_actions *actions)
{
    core_note_refusal(core, worker, submit, verdict, text);
    core_reply_submitted(actions, submit->token, verdict);
    (void)snprintf(actions->reply_text, sizeof actions->reply_text, "%s", text);
}

/* What came in time for this round of the path, as long as that is known; NULL: nothing. */
static const struct core_delta *
find_handed_in(const struct dpc_core *core, const struct dpc_msg_submit *submit)
{
    if (submit->kind != DPC_TASK_TRAIN || submit->path >= core->topology.paths_count)
        return NULL;
    for (uint32_t level = 0; level < core->topology.levels_count; level++) {
        const struct core_delta *delta = &core->paths[submit->path].deltas[level];
        if (delta->serial && delta->round == submit->round)
            return delta;
    }
    return NULL;
}

/* Which lease came first, as far as that is known; whose it was is nobody else's business. There
 * may have been none: in elastic mode modules go on without a path, and a rollback takes away
 * rounds that are yet to be evaluated. */
static void
tell_superseded(const struct dpc_core *core, const struct dpc_msg_submit *submit, char *ret_text,
                size_t size)
{
    const struct core_delta *first = find_handed_in(core, submit);
    bool missed = submit->kind == DPC_TASK_TRAIN && core->experiment->mode == DPC_MODE_ELASTIC;
    bool rated = submit->kind == DPC_TASK_EVALUATE && core->phase.phase != DPC_PHASE_EVALUATE;
    const char *other = missed  ? ", or its modules have gone on without it"
                        : rated ? ", or its round is not evaluated any more"
                                : "";
    if (first)
        (void)snprintf(ret_text, size, "it had been handed in before, under lease %" PRIu64,
                       first->serial);
    else
        (void)snprintf(ret_text, size, "it had been handed in before%s", other);
}

static void
answer_without_lease(const struct dpc_core *core, struct core_worker *worker,
                     const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    char text[DPC_WHY_TEXT_MAX] = "its lease is not known any more";
    enum dpc_verdict verdict = verdict_without_lease(core, worker, submit);
    if (verdict == DPC_VERDICT_ACCEPTED) {
        core_reply_submitted(actions, submit->token, verdict);
        return;
    }
    if (verdict == DPC_VERDICT_SUPERSEDED) {
        core_compare_superseded(core, worker, submit, actions);
        tell_superseded(core, submit, text, sizeof text);
    }
    if (verdict == DPC_VERDICT_REFUSED)
        core_tell_barred(worker, text, sizeof text);
    if (verdict != DPC_VERDICT_STALE && core_may_write_of(core, worker))
        count_loss(worker, verdict, actions);
    turn_down(core, worker, submit, verdict, text, actions);
}

/* Of a lease that it held until now. */
static void
turn_down_leased(struct dpc_core *core, struct core_lease *lease, struct core_worker *worker,
                 const struct dpc_msg_submit *submit, enum dpc_verdict verdict, const char *text,
                 struct dpc_actions *actions)
{
    core_end_lease(core, lease, actions);
    count_loss(worker, verdict, actions);
    turn_down(core, worker, submit, verdict, text, actions);
}

/* It is not what the lease owes. */
static void
refuse(struct dpc_core *core, struct core_lease *lease, struct core_worker *worker,
       const struct dpc_event *event, const char *fault, struct dpc_actions *actions)
{
    const struct dpc_msg_submit *submit = event->submit.message;
    bool fails =
        event->submit.check->not_finite || !is_loss(submit->loss) || !is_loss(submit->loss_last);
    if (fails)
        core_note_failure(core, lease, fault);
    if (!fails || core_fails_often(core, lease))
        core_note_fruitless(core, worker);
    turn_down_leased(core, lease, worker, submit, DPC_VERDICT_REFUSED, fault, actions);
    if (submit->kind == DPC_TASK_TRAIN && core_is_stale(core, submit))
        core_note_stale(core, worker, actions);
}

void
core_on_submit(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
               struct dpc_actions *actions)
{
    const struct dpc_msg_submit *submit = event->submit.message;
    const struct dpc_submission_check *check = event->submit.check;
    struct core_worker *worker = core_find_worker(core, event->worker);
    if (!worker) {
        core_reply_error(actions, DPC_ESTALE, "say hello first");
        return;
    }
    core_note_heard(worker, now_ms);
    struct core_audit *audit = core_find_audit(core, worker, submit->token);
    if (audit) {
        core_on_audited(core, audit, worker, submit, actions);
        return;
    }
    struct core_lease *lease = submit->token.incarnation == core->incarnation
                                   ? core_find_lease(core, submit->token.serial)
                                   : NULL;
    if (DPC_PLANTED(DPC_PLANTED_NO_FENCE))
        lease = worker->lease;
    if (!lease || memcmp(lease->record.worker, event->worker, DPC_WORKER_KEY_BYTES) != 0) {
        answer_without_lease(core, worker, submit, actions);
        return;
    }
    core_hear_of(core, lease, now_ms);
    if (check->missing_count) {
        struct dpc_msg *reply = core_reply_submitted(actions, submit->token, DPC_VERDICT_MISSING);
        reply->verdict.missing_count = check->missing_count;
        memcpy(reply->verdict.missing, check->missing, sizeof check->missing);
        return;
    }
    const char *fault = find_fault(core, lease, submit, check);
    if (fault) {
        refuse(core, lease, worker, event, fault, actions);
        return;
    }
    /* It fell silent, and another class's result was the first. */
    if (core->phase.numeric_class[0] && worker->numeric_class[0] &&
        !core_class_is_welcome(core, worker, worker->numeric_class)) {
        turn_down_leased(
            core, lease, worker, submit, DPC_VERDICT_SUPERSEDED,
            "a result of another numeric class was first, and strict mode keeps to that", actions);
        return;
    }
    if (comes_second(core, lease, submit)) {
        turn_down_leased(
            core, lease, worker, submit, DPC_VERDICT_SUPERSEDED,
            "as much of the round had been handed in before, or its modules have gone on", actions);
        return;
    }
    accept(core, lease, event, worker, now_ms, actions);
}
