/* SPDX-License-Identifier: Apache-2.0
 * Contact (`joined`) and work move on their own. Out of contact the one message that waits for its
 * answer is a hello, whatever the work, and on the welcome session_resume puts back the requests
 * that the work needs. So no state has to know how contact can be lost. */
#include "worker/session/session_parts.h"

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
    uint32_t not_logged = 0;
    if (level != DPC_LOG_ERROR && !dpc_log_allowed(&session->noted, session->now_ms, &not_logged))
        return;
    struct dpc_session_action *action = session_add(session, DPC_SESSION_LOG);
    char *text = action->log.text;
    action->log.level = level;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof action->log.text, format, args);
    va_end(args);
    size_t len = strlen(text);
    if (not_logged)
        (void)snprintf(text + len, sizeof action->log.text - len, " not_logged=%u", not_logged);
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
session_lane_beats(const struct dpc_session *session, const struct session_lane *lane)
{
    return session->joined && lane->work >= DPC_WORK_FETCHING && lane->work <= DPC_WORK_UPLOADING;
}

bool
session_beats(const struct dpc_session *session)
{
    return session_lane_beats(session, &session->front) ||
           session_lane_beats(session, &session->back);
}

int64_t
session_silence_ms(const struct dpc_session *session)
{
    int64_t beats_ms = DPC_SESSION_SILENCE_BEATS * session->heartbeat_ms;
    return beats_ms > DPC_SESSION_SILENCE_MS_MIN ? beats_ms : DPC_SESSION_SILENCE_MS_MIN;
}

bool
session_hands_in(const struct dpc_session *session)
{
    return session->front.work == DPC_WORK_FINISHED || session->back.work == DPC_WORK_UPLOADING ||
           session->back.work == DPC_WORK_SUBMITTING;
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
send_hello(struct dpc_session *session)
{
    struct session_request *request = &session->hello;
    struct dpc_msg_hello *hello = &send(session, request->type, request->number)->hello;
    hello->protocol_min = DPC_PROTOCOL_MIN;
    hello->protocol_max = DPC_PROTOCOL_MAX;
    hello->name = session->options.name;
    hello->build = session->options.build;
    hello->numeric_class = session->options.numeric_class;
    hello->tokens_per_s = session->tokens_per_s;
    /* An older coordinator reads the first of them alone. */
    if (session->front.holds || session->back.holds)
        hello->token =
            session->front.holds ? session->front.lease.token : session->back.lease.token;
    if (session->back.holds)
        hello->handing_in = session->back.lease.token;
    request->at_ms = session->now_ms + session_jittered(session, request->pause_ms);
    request->pause_ms = session_clamp(2 * request->pause_ms, 1, DPC_SESSION_HELLO_MS_MAX);
}

static void
fill_request(const struct dpc_session *session, const struct session_lane *lane,
             struct dpc_msg *msg)
{
    if (msg->type == DPC_MSG_ASK && session->back.holds) {
        msg->ask.handing_in = session->back.lease.token;
    } else if (msg->type == DPC_MSG_SUBMIT) {
        msg->submit = lane->submit;
    } else if (msg->type == DPC_MSG_GIVE_BACK) {
        msg->give_back.token = lane->lease.token;
        msg->give_back.reason = lane->reason;
        msg->give_back.not_finite = lane->not_finite;
        msg->give_back.too_large = lane->too_large;
    }
}

void
session_send_request(struct dpc_session *session, struct session_lane *lane)
{
    if (!lane) {
        send_hello(session);
        return;
    }
    struct session_request *request = &lane->request;
    fill_request(session, lane, send(session, request->type, request->number));
    request->at_ms = session->now_ms + request->pause_ms;
    request->pause_ms = session_clamp(2 * request->pause_ms, 1, 8 * session->heartbeat_ms);
}

static struct session_request
make_request(struct dpc_session *session, enum dpc_msg_type type, int64_t delay_ms,
             int64_t pause_ms)
{
    return (struct session_request){.type = type,
                                    .number = ++session->numbers,
                                    .at_ms = session->now_ms + delay_ms,
                                    .pause_ms = pause_ms};
}

void
session_want_hello(struct dpc_session *session, int64_t delay_ms)
{
    session->hello = make_request(session, DPC_MSG_HELLO, delay_ms, DPC_SESSION_HELLO_MS);
    if (delay_ms <= 0)
        send_hello(session);
}

void
session_want(struct dpc_session *session, struct session_lane *lane, enum dpc_msg_type type,
             int64_t delay_ms)
{
    if (!session->joined)
        return;
    lane->request = make_request(session, type, delay_ms, session->heartbeat_ms);
    if (delay_ms <= 0)
        session_send_request(session, lane);
}

static void
heartbeat(struct dpc_session *session, struct session_lane *lane)
{
    if (!session_lane_beats(session, lane))
        return;
    lane->heartbeat_number = ++session->numbers;
    struct dpc_msg *msg = send(session, DPC_MSG_HEARTBEAT, lane->heartbeat_number);
    msg->heartbeat.token = lane->lease.token;
    msg->heartbeat.steps_done = lane->steps_done;
    msg->heartbeat.tokens_per_s = session->tokens_per_s;
}

void
session_heartbeat(struct dpc_session *session)
{
    heartbeat(session, &session->front);
    heartbeat(session, &session->back);
    session->heartbeat_at_ms = session->now_ms + session->heartbeat_ms;
}

void
session_put_off_heartbeat(struct dpc_session *session)
{
    int64_t at_ms = session->now_ms + session->heartbeat_ms;
    bool alone = !session_lane_beats(session, &session->front) ||
                 !session_lane_beats(session, &session->back);
    if (alone || session->heartbeat_at_ms > at_ms)
        session->heartbeat_at_ms = at_ms;
}

void
session_lose_contact(struct dpc_session *session, int64_t delay_ms)
{
    session->joined = false;
    session->front.request.type = session->back.request.type = DPC_MSG_NONE;
    session_want_hello(session, delay_ms);
}

/* --- From one piece of work to the next. */

void
session_leave(struct dpc_session *session)
{
    session->front.work = DPC_WORK_LEAVING;
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    if (session->joined)
        session_want(session, &session->front, DPC_MSG_LEAVE, 0);
    else
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
}

/* What is handed in may be all that the coordinator lets one worker hold. */
static bool
may_ask(const struct dpc_session *session)
{
    bool full = session->back.work != DPC_WORK_NONE && session->leases_max < DPC_LEASES_MAX;
    return !session->paused && !session->rests && !full;
}

void
session_ask(struct dpc_session *session, int64_t delay_ms)
{
    session->front = (struct session_lane){.work = DPC_WORK_NONE};
    int64_t not_before_ms = session->back.next_at_ms > session->not_before_ms
                                ? session->back.next_at_ms
                                : session->not_before_ms;
    if (delay_ms < not_before_ms - session->now_ms)
        delay_ms = not_before_ms - session->now_ms;
    if (session->stopping && session->back.work == DPC_WORK_NONE)
        session_leave(session);
    else if (!session->stopping && may_ask(session))
        session_want(session, &session->front, DPC_MSG_ASK, delay_ms);
}

static void
note_failure(struct dpc_session *session)
{
    int64_t pause_ms =
        session_doubled(DPC_SESSION_FAILURE_MS, session->failures, DPC_SESSION_FAILURE_MS_MAX);
    if (session->failures < UINT32_MAX)
        session->failures++;
    session->not_before_ms = session->now_ms + session_jittered(session, pause_ms);
}

void
session_ask_after_failure(struct dpc_session *session)
{
    note_failure(session);
    session_ask(session, 0);
}

void
session_fetch(struct dpc_session *session)
{
    struct session_lane *front = &session->front;
    const struct dpc_msg_lease *lease = &front->lease;
    front->work = DPC_WORK_FETCHING;
    front->waits_for_room = false;
    front->fetched_beside = session->back.work != DPC_WORK_NONE;
    front->fetch_begun_ms = session->now_ms;
    struct dpc_session_blobs *blobs = &session_add(session, DPC_SESSION_FETCH)->blobs;
    blobs->whole = front->refetches > 0;
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

uint64_t
session_count_uploads(const struct session_lane *lane)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < lane->uploads.count; i++)
        bytes += lane->uploads.refs[i].bytes;
    return bytes;
}

double
session_up_bytes_per_s(const struct dpc_session *session, double unmeasured)
{
    double allowed = (double)session->options.up_bytes_per_s_max;
    double line = session->up_bytes_per_s > 0 ? session->up_bytes_per_s : unmeasured;
    return allowed > 0 && (line <= 0 || allowed < line) ? allowed : line;
}

int64_t
session_upload_ms(const struct dpc_session *session, double unmeasured)
{
    double rate = session_up_bytes_per_s(session, unmeasured);
    return rate > 0 ? (int64_t)(1000.0 * (double)session_count_uploads(&session->back) / rate) : 0;
}

/* A lease that is done long before the line is free is one that another worker could have had. So
 * the next one is asked for when what is at the back will have gone up by its end, as far as the
 * last upload and the last lease tell; 0: at once, and where nothing was measured yet. */
static int64_t
pace_of_line(const struct dpc_session *session)
{
    int64_t rest_ms = session_upload_ms(session, 0) - session->lease_took_ms;
    return rest_ms > DPC_SESSION_WAIT_MS_MIN ? rest_ms : 0;
}

void
session_pass(struct dpc_session *session)
{
    if (session->front.work != DPC_WORK_FINISHED || session->back.work != DPC_WORK_NONE)
        return;
    session->back = session->front;
    session->front = (struct session_lane){.work = DPC_WORK_NONE};
    session_add(session, DPC_SESSION_PASS)->blobs = session->back.uploads;
    session_upload(session);
    session->back.upload_begun_ms = session->now_ms;
    session->back.next_at_ms = session->now_ms + pace_of_line(session);
    session_ask(session, 0);
}

void
session_upload(struct dpc_session *session)
{
    session->back.work = DPC_WORK_UPLOADING;
    session->back.upload_at_ms = 0;
    session->back.upload_begun_ms = 0; /* a repeated one is none to measure */
    session_add(session, DPC_SESSION_UPLOAD)->blobs = session->back.uploads;
}

void
session_submit(struct dpc_session *session)
{
    session->back.work = DPC_WORK_SUBMITTING;
    session_want(session, &session->back, DPC_MSG_SUBMIT, 0);
}

/* The front goes on: what waited for the back does, and there may be work where there was none. */
static void
free_back(struct dpc_session *session, bool failed)
{
    session->back = (struct session_lane){.work = DPC_WORK_NONE};
    if (failed)
        note_failure(session);
    if (session->front.work == DPC_WORK_FINISHED)
        session_pass(session);
    else if (session->front.work == DPC_WORK_NONE)
        session_ask(session, 0);
    else if (session->suspending && session->front.work != DPC_WORK_RETURNING)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else if (session->front.waits_for_room)
        session_fetch(session);
}

void
session_free_lane(struct dpc_session *session, struct session_lane *lane, bool failed)
{
    if (lane == &session->back)
        free_back(session, failed);
    else if (failed)
        session_ask_after_failure(session);
    else
        session_ask(session, 0);
}

void
session_drop(struct dpc_session *session, struct session_lane *lane)
{
    session_add(session, lane == &session->back ? DPC_SESSION_DROP_PASSED : DPC_SESSION_DROP);
    lane->upload_at_ms = 0;
}

void
session_give_back(struct dpc_session *session, struct session_lane *lane, const char *reason)
{
    session_drop(session, lane);
    lane->work = DPC_WORK_RETURNING;
    lane->waits_for_room = false;
    snprintf(lane->reason, sizeof lane->reason, "%s", reason);
    session->counts.returned++;
    snprintf(session->counts.reason, sizeof session->counts.reason, "given back: %.240s", reason);
    session_note(session, session->stopping ? DPC_LOG_INFO : DPC_LOG_WARNING,
                 "lease given back path=%u round=%u steps_done=%u reason=\"%s\"", lane->lease.path,
                 lane->lease.round, lane->steps_done, lane->reason);
    session_want(session, lane, DPC_MSG_GIVE_BACK, 0);
}

static void
resume_back(struct dpc_session *session)
{
    if (session->back.work == DPC_WORK_UPLOADING)
        session_upload(session);
    else if (session->back.work == DPC_WORK_SUBMITTING)
        session_submit(session);
    else if (session->back.work == DPC_WORK_RETURNING)
        session_want(session, &session->back, DPC_MSG_GIVE_BACK, 0);
}

void
session_resume(struct dpc_session *session)
{
    session->hello.type = DPC_MSG_NONE;
    resume_back(session);
    switch (session->front.work) {
    case DPC_WORK_NONE:
        session_ask(session, 0);
        break;
    case DPC_WORK_FETCHING:
        if (!session->front.waits_for_room)
            session_fetch(session);
        break;
    case DPC_WORK_RETURNING:
        session_want(session, &session->front, DPC_MSG_GIVE_BACK, 0);
        break;
    case DPC_WORK_LEAVING:
        session_want(session, &session->front, DPC_MSG_LEAVE, 0);
        break;
    default:
        break;
    }
    session_pass(session);
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
