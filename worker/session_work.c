/* SPDX-License-Identifier: Apache-2.0
 * Two things move on their own: contact (`joined`) and work. `request` is the one message that
 * waits for its answer; out of contact it is a hello, whatever the work, and on the welcome
 * session_resume puts back the request that the work needs. So no state has to know how contact can
 * be lost. */
#include "worker/session_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- Small things. */

void
session_begin(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session->now_ms = now_ms;
    session->actions = actions;
    actions->count = 0;
}

struct dpc_session_action *
session_add(struct dpc_session *session, enum dpc_session_action_type type)
{
    /* One call brings eight at most; test_session_faults walks about to see. */
    assert(session->actions->count < DPC_SESSION_ACTIONS_MAX);
    struct dpc_session_action *action = &session->actions->items[session->actions->count++];
    memset(action, 0, sizeof *action);
    action->type = type;
    return action;
}

void
session_note(struct dpc_session *session, enum dpc_log_level level, const char *format, ...)
{
    struct dpc_session_action *action = session_add(session, DPC_SESSION_LOG);
    action->log.level = level;
    va_list args;
    va_start(args, format);
    vsnprintf(action->log.text, sizeof action->log.text, format, args);
    va_end(args);
}

int64_t
session_doubled(int64_t first_ms, uint32_t times, int64_t most_ms)
{
    int64_t pause_ms = first_ms;
    for (uint32_t i = 0; i < times && pause_ms < most_ms; i++)
        pause_ms *= 2;
    return pause_ms < most_ms ? pause_ms : most_ms;
}

int64_t
session_jittered(struct dpc_session *session, int64_t pause_ms)
{
    return (int64_t)((double)pause_ms * (0.5 + dpc_rng_unit(&session->rng)));
}

int64_t
session_clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

bool
session_beats(const struct dpc_session *session)
{
    return session->joined &&
           (session->work == DPC_WORK_FETCHING || session->work == DPC_WORK_RUNNING ||
            session->work == DPC_WORK_UPLOADING);
}

int64_t
session_silence_ms(const struct dpc_session *session)
{
    int64_t beats_ms = DPC_SESSION_SILENCE_BEATS * session->heartbeat_ms;
    return beats_ms > DPC_SESSION_SILENCE_MS_MIN ? beats_ms : DPC_SESSION_SILENCE_MS_MIN;
}

static struct dpc_msg *
send(struct dpc_session *session, enum dpc_msg_type type, uint64_t number)
{
    struct dpc_msg *msg = &session_add(session, DPC_SESSION_SEND)->msg;
    msg->type = type;
    msg->request = number;
    if (session->unanswered_ms == 0)
        session->unanswered_ms = session->now_ms;
    return msg;
}

/* --- Requests. */

static void
fill_hello(const struct dpc_session *session, struct dpc_msg_hello *hello)
{
    hello->protocol_min = DPC_PROTOCOL_MIN;
    hello->protocol_max = DPC_PROTOCOL_MAX;
    hello->name = session->options.name;
    hello->build = session->options.build;
    hello->numeric_class = session->options.numeric_class;
    hello->memory_bytes = session->options.memory_bytes;
    hello->tokens_per_s = session->tokens_per_s;
    if (session->holds)
        hello->token = session->lease.token;
}

void
session_send_request(struct dpc_session *session)
{
    struct session_request *request = &session->request;
    struct dpc_msg *msg = send(session, request->type, request->number);
    request->sent = true;
    if (request->type == DPC_MSG_HELLO) {
        fill_hello(session, &msg->hello);
        request->at_ms = session->now_ms + session_jittered(session, request->pause_ms);
        request->pause_ms = session_clamp(2 * request->pause_ms, 1, DPC_SESSION_HELLO_MS_MAX);
        return;
    }
    if (request->type == DPC_MSG_SUBMIT) {
        msg->submit = session->submit;
    } else if (request->type == DPC_MSG_GIVE_BACK) {
        msg->give_back.token = session->lease.token;
        msg->give_back.reason = session->reason;
        msg->give_back.not_finite = session->not_finite;
        msg->give_back.too_large = session->too_large;
    }
    request->at_ms = session->now_ms + request->pause_ms;
    request->pause_ms = session_clamp(2 * request->pause_ms, 1, 8 * session->heartbeat_ms);
}

void
session_want(struct dpc_session *session, enum dpc_msg_type type, int64_t delay_ms)
{
    if (type != DPC_MSG_HELLO && !session->joined)
        return;
    session->request = (struct session_request){
        .type = type,
        .number = ++session->numbers,
        .at_ms = session->now_ms + delay_ms,
        .pause_ms = type == DPC_MSG_HELLO ? DPC_SESSION_HELLO_MS : session->heartbeat_ms,
    };
    if (delay_ms <= 0)
        session_send_request(session);
}

void
session_want_nothing(struct dpc_session *session)
{
    if (session->joined)
        session->request.type = DPC_MSG_NONE;
}

void
session_heartbeat(struct dpc_session *session)
{
    session->heartbeat_number = ++session->numbers;
    struct dpc_msg *msg = send(session, DPC_MSG_HEARTBEAT, session->heartbeat_number);
    msg->heartbeat.token = session->lease.token;
    msg->heartbeat.steps_done = session->steps_done;
    msg->heartbeat.tokens_per_s = session->tokens_per_s;
    session->heartbeat_at_ms = session->now_ms + session->heartbeat_ms;
}

void
session_lose_contact(struct dpc_session *session, int64_t delay_ms)
{
    session->joined = false;
    session_want(session, DPC_MSG_HELLO, delay_ms);
}

/* --- From one piece of work to the next. */

void
session_leave(struct dpc_session *session)
{
    session->work = DPC_WORK_LEAVING;
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    if (session->joined)
        session_want(session, DPC_MSG_LEAVE, 0);
    else
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
}

void
session_ask(struct dpc_session *session, int64_t delay_ms)
{
    session->work = DPC_WORK_NONE;
    session->holds = false;
    if (session->stopping)
        session_leave(session);
    else if (session->paused || session->rests)
        session_want_nothing(session);
    else
        session_want(session, DPC_MSG_ASK, delay_ms);
}

void
session_ask_after_failure(struct dpc_session *session)
{
    int64_t pause_ms =
        session_doubled(DPC_SESSION_FAILURE_MS, session->failures, DPC_SESSION_FAILURE_MS_MAX);
    if (session->failures < UINT32_MAX)
        session->failures++;
    session_ask(session, session_jittered(session, pause_ms));
}

void
session_give_back(struct dpc_session *session, const char *reason)
{
    session_add(session, DPC_SESSION_DROP);
    session->work = DPC_WORK_RETURNING;
    session->upload_at_ms = 0;
    snprintf(session->reason, sizeof session->reason, "%s", reason);
    session->counts.returned++;
    snprintf(session->counts.reason, sizeof session->counts.reason, "given back: %.240s", reason);
    session_note(session, session->stopping ? DPC_LOG_INFO : DPC_LOG_WARNING,
                 "lease given back path=%u round=%u steps_done=%u reason=\"%s\"",
                 session->lease.path, session->lease.round, session->steps_done, session->reason);
    session_want(session, DPC_MSG_GIVE_BACK, 0);
}

void
session_fetch(struct dpc_session *session)
{
    session->work = DPC_WORK_FETCHING;
    struct dpc_session_blobs *blobs = &session_add(session, DPC_SESSION_FETCH)->blobs;
    const struct dpc_msg_lease *lease = &session->lease;
    blobs->whole = session->refetches > 0;
    for (uint32_t level = 0; level < lease->levels_count; level++)
        blobs->refs[blobs->count++] = lease->versions[level];
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        if (!dpc_hash_is_none(&lease->begins[level].hash))
            blobs->refs[blobs->count++] = lease->begins[level];
    }
    blobs->refs[blobs->count++] = lease->data;
    if (!dpc_hash_is_none(&lease->state.hash))
        blobs->refs[blobs->count++] = lease->state;
}

void
session_upload(struct dpc_session *session)
{
    /* A repeated one is none to measure: some of it is there already. */
    session->upload_begun_ms = session->work == DPC_WORK_RUNNING ? session->now_ms : 0;
    session->work = DPC_WORK_UPLOADING;
    session->upload_at_ms = 0;
    session_add(session, DPC_SESSION_UPLOAD)->blobs = session->uploads;
}

void
session_submit(struct dpc_session *session)
{
    session->work = DPC_WORK_SUBMITTING;
    session_want(session, DPC_MSG_SUBMIT, 0);
}

void
session_resume(struct dpc_session *session)
{
    session->request.type = DPC_MSG_NONE;
    session->heartbeat_at_ms = session->now_ms;
    switch (session->work) {
    case DPC_WORK_NONE:
        session_ask(session, 0);
        break;
    case DPC_WORK_FETCHING:
        session_fetch(session);
        break;
    case DPC_WORK_RUNNING:
        break;
    case DPC_WORK_UPLOADING:
        session_upload(session);
        break;
    case DPC_WORK_SUBMITTING:
        session_submit(session);
        break;
    case DPC_WORK_RETURNING:
        session_want(session, DPC_MSG_GIVE_BACK, 0);
        break;
    case DPC_WORK_LEAVING:
        session_want(session, DPC_MSG_LEAVE, 0);
        break;
    }
    if (session_beats(session))
        session_heartbeat(session);
}

bool
session_find_upload(const struct dpc_session_blobs *blobs, const struct dpc_hash *hash,
                    struct dpc_blob_ref *ret_ref)
{
    for (uint32_t i = 0; i < blobs->count; i++) {
        if (dpc_hash_equal(&blobs->refs[i].hash, hash)) {
            *ret_ref = blobs->refs[i];
            return true;
        }
    }
    return false;
}
