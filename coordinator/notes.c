/* SPDX-License-Identifier: Apache-2.0
 * What the server notes of each step for people: lines for --events, losses for the curve. Nothing
 * depends on it, and what is noted is on disk. */
#include "coordinator/state.h"

#include "base/clock.h"

void
server_note_event(struct dpc_server *server, const char *event,
                  const struct dpc_event_field *fields, size_t fields_count)
{
    if (server->events)
        dpc_events_put(server->events, event, fields, fields_count);
}

static void
note_lease(struct dpc_server *server, const char *worker, const struct dpc_msg_lease *lease)
{
    /* The same again for a worker that asks again. */
    if (lease->token.serial <= server->serial_noted)
        return;
    server->serial_noted = lease->token.serial;
    SERVER_NOTE(server, "lease_granted", DPC_FIELD_NUMBER("lease", lease->token.serial),
                DPC_FIELD_TEXT("kind", dpc_task_name(lease->kind)),
                DPC_FIELD_NUMBER("path", lease->path), DPC_FIELD_NUMBER("round", lease->round),
                DPC_FIELD_TEXT("worker", worker));
}

static void
note_submission(struct dpc_server *server, const char *worker, const struct dpc_msg_submit *submit,
                const struct dpc_msg_verdict *verdict)
{
    if (verdict->verdict == DPC_VERDICT_MISSING)
        return;
    SERVER_NOTE(server, "submitted", DPC_FIELD_NUMBER("lease", submit->token.serial),
                DPC_FIELD_TEXT("kind", dpc_task_name(submit->kind)),
                DPC_FIELD_NUMBER("path", submit->path), DPC_FIELD_NUMBER("round", submit->round),
                DPC_FIELD_TEXT("verdict", dpc_verdict_name(verdict->verdict)),
                DPC_FIELD_TEXT("reason", verdict->text), DPC_FIELD_TEXT("worker", worker));
}

static void
note_fold(struct dpc_server *server, const struct dpc_job *job)
{
    char name[2 * DPC_NAME_MAX], hash[DPC_HASH_HEX_MAX];
    const struct dpc_folded *folded = &job->folded;
    if (dpc_core_module(server->core, folded->module)->version != folded->version)
        return; /* it came too late: a rollback was first */
    dpc_topology_module_name(dpc_core_topology(server->core), folded->module, name, sizeof name);
    dpc_hash_hex(&folded->published, hash, sizeof hash);
    SERVER_NOTE(server, "outer_step", DPC_FIELD_TEXT("module", name),
                DPC_FIELD_NUMBER("version", folded->version),
                DPC_FIELD_NUMBER("contributions", job->fold.inputs_count),
                DPC_FIELD_TEXT("hash", hash));
}

/* What a worker said, and the answer. */
static void
note_message(struct dpc_server *server, const struct dpc_event *event)
{
    const struct dpc_msg *reply = &server->actions.reply;
    char worker[DPC_KEY_TEXT_MAX];
    dpc_key_bytes_text(event->worker, worker);
    if (event->type == DPC_EVENT_HELLO && reply->type == DPC_MSG_WELCOME)
        SERVER_NOTE(server, "worker_joins", DPC_FIELD_TEXT("worker", worker),
                    DPC_FIELD_TEXT("name", event->hello.message->name),
                    DPC_FIELD_TEXT("build", event->hello.message->build),
                    DPC_FIELD_TEXT("class", event->hello.message->numeric_class));
    else if (event->type == DPC_EVENT_LEAVE)
        SERVER_NOTE(server, "worker_leaves", DPC_FIELD_TEXT("worker", worker));
    else if (event->type == DPC_EVENT_ASK && reply->type == DPC_MSG_LEASE)
        note_lease(server, worker, &reply->lease);
    else if (event->type == DPC_EVENT_GIVE_BACK)
        SERVER_NOTE(server, "lease_given_back",
                    DPC_FIELD_NUMBER("lease", event->give_back.message->token.serial),
                    DPC_FIELD_TEXT("reason", event->give_back.message->reason),
                    DPC_FIELD_TEXT("worker", worker));
    else if (event->type == DPC_EVENT_SUBMIT && reply->type == DPC_MSG_SUBMITTED)
        note_submission(server, worker, event->submit.message, &reply->verdict);
}

static bool
is_message(const struct dpc_event *event)
{
    return event->type >= DPC_EVENT_HELLO && event->type <= DPC_EVENT_LEAVE &&
           event->type != DPC_EVENT_HEARTBEAT;
}

/* Workers may say much, and a file has an end. */
static bool
bears_another(struct dpc_server *server)
{
    uint32_t left_out;
    if (!dpc_log_allowed(&server->noted, dpc_clock_now_ms(&dpc_clock_system), &left_out))
        return false;
    if (left_out)
        SERVER_NOTE(server, "left_out", DPC_FIELD_NUMBER("events", left_out));
    return true;
}

/* Behind the steps of the round that are handed in by now. */
static void
add_to_curve(struct dpc_server *server, const struct dpc_msg_submit *submit)
{
    const struct dpc_path_record *path = dpc_core_path(server->core, submit->path);
    uint32_t steps = path->rounds_done > submit->round
                         ? dpc_core_round_steps(server->core, submit->path, submit->round)
                         : path->part_steps;
    dpc_curve_add(server->curve, submit->path, submit->round, steps, submit->loss_last);
}

/* What comes again is told accepted by its token alone: what else it says nobody has looked at.
 * Nothing is written of it. */
static bool
is_accepted_now(const struct dpc_server *server, const struct dpc_event *event)
{
    const struct dpc_msg *reply = &server->actions.reply;
    return event->type == DPC_EVENT_SUBMIT && event->submit.message->kind == DPC_TASK_TRAIN &&
           reply->type == DPC_MSG_SUBMITTED && reply->verdict.verdict == DPC_VERDICT_ACCEPTED &&
           server->actions.batch.count > 0;
}

void
server_note_step(struct dpc_server *server, const struct dpc_event *event)
{
    if (server->curve && is_accepted_now(server, event))
        add_to_curve(server, event->submit.message);
    if (event->type == DPC_EVENT_FOLDED && server->folded)
        note_fold(server, server->folded);
    if (server->events && is_message(event) && bears_another(server))
        note_message(server, event);
}
