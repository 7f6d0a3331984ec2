/* SPDX-License-Identifier: Apache-2.0
 * What the core asks for: commit, reply, effects, in this order or nothing. */
#include "coordinator/state.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/notify.h"
#include "proto/accept.h"
#include "proto/inflow.h"

void
server_fail(struct dpc_server *server, const struct dpc_error *error)
{
    if (server->failure == DPC_OK) {
        server->failure = error->code;
        server->failure_text = *error;
    }
}

bool
server_start_job(struct dpc_server *server, struct dpc_job *job)
{
    if (dpc_executor_put(server->executor, job) == DPC_OK) {
        server_note_job(server, job);
        return true;
    }
    if (job->type != DPC_JOB_CHECK)
        server_fail(server, &(struct dpc_error){.code = DPC_ELIMIT,
                                                .text = "too many effects wait for an executor"});
    dpc_job_drop(job);
    return false;
}

static void
start_effects(struct dpc_server *server)
{
    static const enum dpc_job_type job_of[] = {
        [DPC_EFFECT_PREPARE] = DPC_JOB_PREPARE, [DPC_EFFECT_SHARD] = DPC_JOB_SHARD,
        [DPC_EFFECT_FOLD] = DPC_JOB_FOLD,       [DPC_EFFECT_REPORT] = DPC_JOB_REPORT,
        [DPC_EFFECT_LABEL] = DPC_JOB_LABEL,
    };
    for (uint32_t i = 0; i < server->actions.effects_count; i++) {
        struct dpc_effect *effect = &server->actions.effects[i];
        struct dpc_job *job = dpc_job_create(job_of[effect->type], &server->world);
        job->phase = *dpc_core_phase(server->core);
        job->fold = effect->fold;
        effect->fold.inputs = NULL;
        dpc_log_debug("effect started kind=\"%s\"", dpc_job_name(job->type));
        server_start_job(server, job);
    }
}

static void
tell_forgotten(struct dpc_server *server, const struct dpc_worker_record *worker)
{
    char key[DPC_KEY_TEXT_MAX];
    dpc_key_bytes_text(worker->key, key);
    dpc_log_info("worker forgotten name=\"%s\" key=%s: it was away longest, and another one came",
                 worker->name, key);
    SERVER_NOTE(server, "worker_forgotten", DPC_FIELD_TEXT("worker", key),
                DPC_FIELD_TEXT("name", worker->name));
}

void
server_carry_out(struct dpc_server *server, const struct dpc_event *event,
                 const struct dpc_peer *peer, uint64_t request)
{
    struct dpc_error err;
    uint32_t not_logged;
    struct dpc_actions *actions = &server->actions;
    if (actions->alarm[0]) {
        server->alarms_count++;
        memcpy(server->alarm, actions->alarm, sizeof server->alarm);
        if (dpc_log_allowed(&server->alarms, dpc_clock_now_ms(&dpc_clock_system), &not_logged))
            dpc_log_error("%s not_logged=%u", actions->alarm, not_logged);
        SERVER_NOTE(server, "alarm", DPC_FIELD_TEXT("text", actions->alarm));
    }
    if (actions->forgotten.name[0])
        tell_forgotten(server, &actions->forgotten);
    if (dpc_store_commit(server->store, &actions->batch, &err) != DPC_OK) {
        server_fail(server, &err);
    } else {
        if (actions->has_reply && peer) {
            actions->reply.request = request;
            /* A peer that has gone asks again when it is back. */
            int code = dpc_listener_send(server->control, peer, &actions->reply);
            if (code != DPC_OK)
                dpc_log_debug("reply dropped type=%s reason=\"%s\"",
                              dpc_msg_name(actions->reply.type), dpc_error_words(code));
        }
        if (event)
            server_note_step(server, event);
        start_effects(server);
    }
    dpc_actions_reset(actions);
}

/* How many more there are than were told, if the log bears that now; then they are told. */
static unsigned long long
to_tell(struct dpc_log_limit *limit, uint64_t count, int64_t now_ms, uint64_t *told)
{
    uint32_t not_logged;
    uint64_t more = count - *told;
    if (!more || !dpc_log_allowed(limit, now_ms, &not_logged))
        return 0;
    *told = count;
    return more;
}

/* Whoever is turned away comes again, and cannot tell a crowd from a coordinator that is gone. Of
 * connections that were ended no worker is named: what came was never a message of anybody. */
static void
tell_crowds(struct dpc_server *server, int64_t now_ms)
{
    unsigned long long turned_away =
        to_tell(&server->crowded, dpc_accept_turned_away(), now_ms, &server->turned_away);
    unsigned long long ended =
        to_tell(&server->flooded, dpc_inflow_ended(), now_ms, &server->floods_count);
    if (turned_away)
        dpc_log_warning("connections are turned away count=%llu: this process lacks descriptors "
                        "for them (ulimit -n, LimitNOFILE)",
                        turned_away);
    if (ended)
        dpc_log_warning("connections were ended count=%llu: each had sent more than %zu MiB, or in "
                        "a crowd %zu MiB, that could not be taken; an honest worker sends it again",
                        ended, DPC_UNTAKEN_BYTES_MAX / DPC_MIB,
                        DPC_UNTAKEN_CROWD_BYTES_MAX / DPC_MIB);
}

void
server_tick(struct dpc_server *server, bool last)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    struct dpc_traffic control = dpc_listener_traffic(server->control);
    struct dpc_traffic bulk = dpc_listener_traffic(server->bulk);
    uint64_t up = control.bytes_received + bulk.bytes_received;
    uint64_t down = control.bytes_sent + bulk.bytes_sent;
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    event.tick.bytes_up = up - server->traffic.bytes_received;
    event.tick.bytes_down = down - server->traffic.bytes_sent;
    event.tick.elapsed_ms = (uint64_t)(now_ms - server->ticked_ms);
    event.tick.last = last;
    server->traffic.bytes_received = up;
    server->traffic.bytes_sent = down;
    server->ticked_ms = now_ms;
    /* The last tick commits, and in elastic mode any may; without room these few figures are given
     * up. */
    bool commits = last || server->experiment.mode == DPC_MODE_ELASTIC;
    if (server_has_room(server) || !commits)
        server_step(server, &event, NULL, 0);
    server_expire_members(server);
    tell_crowds(server, now_ms);
    dpc_notify_alive();
}

void
server_step(struct dpc_server *server, const struct dpc_event *event, const struct dpc_peer *peer,
            uint64_t request)
{
    if (server->failure != DPC_OK)
        return;
    uint32_t phase = dpc_core_phase(server->core)->phase;
    /* The report tells what crossed the wire until then, which may be more than ticks have seen. */
    if (phase == DPC_PHASE_EVALUATE && event->type == DPC_EVENT_SUBMIT)
        server_tick(server, false);
    if (server->failure != DPC_OK)
        return;
    dpc_core_step(server->core, event, dpc_clock_now_ms(&dpc_clock_system), &server->actions);
    server_carry_out(server, event, peer, request);
    uint32_t now = dpc_core_phase(server->core)->phase;
    if (now != phase && server->failure == DPC_OK) {
        dpc_log_info("phase phase=%s", dpc_phase_name(now));
        SERVER_NOTE(server, "phase", DPC_FIELD_TEXT("phase", dpc_phase_name(now)));
        dpc_notify_status("phase %s", dpc_phase_name(now));
    }
}
