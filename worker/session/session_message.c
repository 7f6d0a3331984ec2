/* SPDX-License-Identifier: Apache-2.0
 * A message counts when it answers a request that waits (its number) or speaks of a lease in hand
 * (its token). All else is late or doubled, and is dropped without a word. */
#include "worker/session/session_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/exit.h"

static void
refuse(struct dpc_session *session, const char *text)
{
    session_note(session, DPC_LOG_ERROR, "%s", text);
    session_add(session, DPC_SESSION_EXIT)->status = DPC_EXIT_REFUSED;
}

/* Of a store that is gone, or was replaced. */
static void
drop_foreign(struct dpc_session *session, struct session_lane *lane, uint64_t incarnation)
{
    if (!lane->holds || lane->lease.token.incarnation == incarnation)
        return;
    session_note(
        session, DPC_LOG_WARNING,
        "lease dropped path=%u round=%u reason=\"the coordinator's store is another one now\"",
        lane->lease.path, lane->lease.round);
    session_drop(session, lane);
    *lane = (struct session_lane){.work = DPC_WORK_NONE};
}

static void
on_welcome(struct dpc_session *session, const struct dpc_msg_welcome *welcome)
{
    if (welcome->protocol < DPC_PROTOCOL_MIN || welcome->protocol > DPC_PROTOCOL_MAX) {
        refuse(session,
               "could not join: the coordinator chose a protocol that this worker does not "
               "speak; install the same release on both");
        return;
    }
    session->joined = true;
    session->turned_away = false;
    session->leases_max = welcome->leases;
    session->heartbeat_ms = session_clamp(welcome->heartbeat_ms, DPC_SESSION_HEARTBEAT_MS_MIN,
                                          DPC_SESSION_HEARTBEAT_MS_MAX);
    drop_foreign(session, &session->front, welcome->incarnation);
    drop_foreign(session, &session->back, welcome->incarnation);
    struct dpc_session_action *join = session_add(session, DPC_SESSION_JOIN);
    join->join.experiment = welcome->experiment;
    join->join.bulk_endpoint = welcome->bulk_endpoint;
    join->join.mirror = welcome->mirror ? welcome->mirror : "";
    session_resume(session);
}

static void
on_lease(struct dpc_session *session, const struct dpc_msg_lease *lease)
{
    session->hello_errors = 0;
    if (session->back.holds && dpc_token_equal(lease->token, session->back.lease.token)) {
        session_ask(session, session->heartbeat_ms); /* it has not heard that this one is done */
        return;
    }
    session->front = (struct session_lane){
        .holds = true,
        .lease = *lease,
        .lease_ends_ms = lease->time_left_ms == UINT32_MAX
                             ? INT64_MAX
                             : session->now_ms + (int64_t)lease->time_left_ms,
    };
    session_note(session, DPC_LOG_INFO,
                 "lease begins kind=%s path=%u round=%u steps=%u documents=%u",
                 dpc_task_name(lease->kind), lease->path, lease->round, lease->steps_count,
                 lease->to - lease->from);
    session_fetch(session);
    session_put_off_heartbeat(session);
}

/* It was asked for before the worker was paused: somebody else can have it at once. */
static void
on_unwanted(struct dpc_session *session, const struct dpc_msg_lease *lease)
{
    session->unwanted = 0;
    if (session->front.work != DPC_WORK_NONE || session->front.request.type ||
        (session->back.holds && dpc_token_equal(lease->token, session->back.lease.token)))
        return;
    session->front = (struct session_lane){.holds = true, .lease = *lease};
    session_give_back(session, &session->front, "it came when this worker had been paused");
}

static void
on_wait(struct dpc_session *session, const struct dpc_msg_wait *wait)
{
    session->hello_errors = 0;
    int64_t pause_ms = session_clamp(wait->retry_ms, wait->finished ? DPC_SESSION_FINISHED_MS : 0,
                                     DPC_SESSION_WAIT_MS_MAX);
    pause_ms = session_clamp(pause_ms, DPC_SESSION_WAIT_MS_MIN, DPC_SESSION_WAIT_MS_MAX);
    pause_ms += (int64_t)(0.1 * (double)pause_ms * dpc_rng_unit(&session->rng));
    session_note(session, wait->finished ? DPC_LOG_INFO : DPC_LOG_DEBUG,
                 "waiting retry_ms=%lld finished=%d reason=\"%s\"", (long long)pause_ms,
                 wait->finished, wait->reason ? wait->reason : "");
    session_want(session, &session->front, DPC_MSG_ASK, pause_ms);
}

/* A submission that is stale came too late, as one that another worker's was before. */
static void
count_end(struct dpc_session *session, const struct session_lane *lane, enum dpc_verdict verdict,
          const char *text)
{
    struct dpc_session_counts *counts = &session->counts;
    counts->accepted += verdict == DPC_VERDICT_ACCEPTED;
    counts->refused += verdict == DPC_VERDICT_REFUSED;
    counts->superseded += verdict == DPC_VERDICT_SUPERSEDED || verdict == DPC_VERDICT_STALE;
    if (verdict != DPC_VERDICT_ACCEPTED)
        snprintf(counts->reason, sizeof counts->reason, "%s: %s", dpc_verdict_name(verdict),
                 text ? text : "");
    else if (lane->work == DPC_WORK_SUBMITTING && lane->lease.kind == DPC_TASK_TRAIN)
        counts->tokens += lane->submit.tokens;
}

/* Only training has one, and only what was handed in says it. */
static const char *
loss_of(const struct session_lane *lane, char *ret_text, size_t size)
{
    ret_text[0] = 0;
    if (lane->work == DPC_WORK_SUBMITTING && lane->lease.kind == DPC_TASK_TRAIN)
        (void)snprintf(ret_text, size, " loss=%.4f", lane->submit.loss);
    return ret_text;
}

/* The coordinator has no use for the work any more, or has it all. */
static void
end_lease(struct dpc_session *session, struct session_lane *lane, enum dpc_verdict verdict,
          const char *text)
{
    const struct dpc_msg_submit *done = &lane->submit;
    bool submitted = lane->work == DPC_WORK_SUBMITTING;
    bool accepted = verdict == DPC_VERDICT_ACCEPTED;
    char loss[32];
    count_end(session, lane, verdict, text);
    session_note(session, accepted ? DPC_LOG_INFO : DPC_LOG_WARNING,
                 "lease ends verdict=%s kind=%s path=%u round=%u steps=%u%s tokens_per_s=%.0f "
                 "seconds=%.3f%s%s%s",
                 dpc_verdict_name(verdict), dpc_task_name(lane->lease.kind), lane->lease.path,
                 lane->lease.round, submitted ? done->steps_count : lane->steps_done,
                 loss_of(lane, loss, sizeof loss), session->tokens_per_s,
                 submitted ? done->seconds : 0.0, text && *text ? " reason=\"" : "",
                 text && *text ? text : "", text && *text ? "\"" : "");
    session_drop(session, lane);
    if (accepted)
        session->failures = 0;
    session_free_lane(session, lane, verdict == DPC_VERDICT_REFUSED);
}

static void
on_missing(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    struct session_lane *back = &session->back;
    struct dpc_session_blobs missing = {0};
    for (uint32_t i = 0; i < verdict->missing_count && i < DPC_LEVELS_MAX + 2; i++) {
        if (!session_find_upload(&back->uploads, &verdict->missing[i],
                                 &missing.refs[missing.count])) {
            session_give_back(session, back,
                              "the coordinator misses a blob that is not of this submission");
            return;
        }
        missing.count++;
    }
    if (++back->missings > DPC_SESSION_MISSING_MAX || missing.count == 0) {
        session_give_back(session, back, "blobs were uploaded and went missing again and again");
        return;
    }
    back->request.type = DPC_MSG_NONE;
    back->work = DPC_WORK_UPLOADING;
    session_put_off_heartbeat(session);
    session_add(session, DPC_SESSION_UPLOAD)->blobs = missing;
}

/* By the token alone: an answer to an earlier try says the same. */
static void
on_submitted(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    struct session_lane *back = &session->back;
    if (back->work != DPC_WORK_SUBMITTING || !dpc_token_equal(verdict->token, back->lease.token))
        return;
    if (verdict->verdict == DPC_VERDICT_MISSING)
        on_missing(session, verdict);
    else if (verdict->verdict == DPC_VERDICT_ACCEPTED)
        end_lease(session, back, DPC_VERDICT_ACCEPTED, "");
    else if (verdict->verdict != DPC_VERDICT_CONTINUE) /* no answer: it is repeated */
        end_lease(session, back, verdict->verdict, verdict->text);
}

static void
on_heartbeat_ack(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    struct session_lane *lane = &session->front;
    if (!lane->holds || !dpc_token_equal(verdict->token, lane->lease.token))
        lane = &session->back;
    if (!session_lane_beats(session, lane) || !dpc_token_equal(verdict->token, lane->lease.token))
        return;
    if (verdict->verdict == DPC_VERDICT_SUPERSEDED || verdict->verdict == DPC_VERDICT_STALE)
        end_lease(session, lane, verdict->verdict, verdict->text);
    else if (verdict->verdict == DPC_VERDICT_ACCEPTED)
        end_lease(session, lane, DPC_VERDICT_ACCEPTED, "");
}

/* Errors that say "not now" rather than "not so". */
static bool
is_passing(int32_t code)
{
    return code == DPC_EAGAIN || code == DPC_EBUSY || code == DPC_EIO || code == DPC_ENOSPACE ||
           code == DPC_ENOMEM || code == DPC_EFILES || code == DPC_ETIMEDOUT;
}

/* The coordinator does not know this session: it restarted, or forgot. */
static bool
wants_hello(int32_t code)
{
    return code == DPC_ENOTFOUND || code == DPC_ESTALE || code == DPC_EPERM || code == DPC_ECLOSED;
}

static void
hello_again(struct dpc_session *session)
{
    int64_t pause_ms =
        session_doubled(DPC_SESSION_HELLO_MS, session->hello_errors, DPC_SESSION_FAILURE_MS_MAX);
    /* The first time at once: after a restart of the coordinator this is the quick way back. */
    int64_t delay_ms = session->hello_errors == 0 ? 0 : session_jittered(session, pause_ms);
    if (session->hello_errors < UINT32_MAX)
        session->hello_errors++;
    session_lose_contact(session, delay_ms);
}

static void
on_hello_error(struct dpc_session *session, const struct dpc_msg_error *error)
{
    if (error->code == DPC_EVERSION) {
        session_note(session, DPC_LOG_ERROR, "could not join: %s", error->text);
        session_add(session, DPC_SESSION_REFUSED);
        return;
    }
    session->hello_errors += session->hello_errors == 0;
    hello_again(session);
}

static void
on_request_error(struct dpc_session *session, struct session_lane *lane,
                 const struct dpc_msg_error *error)
{
    switch (lane->request.type) {
    case DPC_MSG_ASK:
        if (is_passing(error->code))
            session_ask_after_failure(session);
        else
            hello_again(session);
        break;
    case DPC_MSG_SUBMIT:
        if (wants_hello(error->code))
            hello_again(session);
        else if (!is_passing(error->code)) /* else it is repeated in its own time */
            session_give_back(session, lane, error->text ? error->text : "submission refused");
        break;
    case DPC_MSG_GIVE_BACK:
        session_free_lane(session, lane, true);
        break;
    case DPC_MSG_LEAVE:
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
        break;
    default:
        break;
    }
}

static bool
is_request(const struct session_request *request, uint64_t number)
{
    return request->type && request->number == number;
}

/* The lane whose request has that number; NULL: none. */
static struct session_lane *
find_request(struct dpc_session *session, uint64_t number)
{
    if (is_request(&session->front.request, number))
        return &session->front;
    return is_request(&session->back.request, number) ? &session->back : NULL;
}

static bool
is_heartbeat(const struct dpc_session *session, uint64_t number)
{
    const struct session_lane *lanes[] = {&session->front, &session->back};
    bool found = false;
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++)
        found |= session_lane_beats(session, lanes[i]) && lanes[i]->heartbeat_number == number;
    return found;
}

static void
on_error(struct dpc_session *session, const struct dpc_msg *msg)
{
    struct session_lane *lane = find_request(session, msg->request);
    bool of_hello = is_request(&session->hello, msg->request);
    /* It does not read what a key says that it does not take any more. */
    if (msg->error.code == DPC_EPERM && msg->request == 0 && !session->turned_away)
        session_note(session, DPC_LOG_WARNING,
                     "the coordinator does not take this worker any more: ask its operator; trying "
                     "on");
    session->turned_away |= msg->error.code == DPC_EPERM && msg->request == 0;
    if (!lane && !of_hello && !is_heartbeat(session, msg->request))
        return;
    session_note(session, DPC_LOG_WARNING,
                 "the coordinator refused a request request=%s code=%s reason=\"%s\"",
                 of_hello ? "hello"
                 : lane   ? dpc_msg_name(lane->request.type)
                          : "heartbeat",
                 dpc_error_name(msg->error.code), msg->error.text ? msg->error.text : "");
    if (of_hello)
        on_hello_error(session, &msg->error);
    else if (lane)
        on_request_error(session, lane, &msg->error);
    else if (wants_hello(msg->error.code))
        hello_again(session);
}

static void
on_ack(struct dpc_session *session, struct session_lane *lane)
{
    if (lane->work == DPC_WORK_LEAVING)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else if (lane->work == DPC_WORK_RETURNING)
        session_free_lane(session, lane, true);
}

void
dpc_session_message(struct dpc_session *session, const struct dpc_msg *msg, int64_t now_ms,
                    struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->unanswered_ms = 0;
    struct session_lane *lane = find_request(session, msg->request);
    enum dpc_msg_type asked = lane ? lane->request.type : DPC_MSG_NONE;
    if (msg->type == DPC_MSG_HEARTBEAT_ACK)
        on_heartbeat_ack(session, &msg->verdict);
    else if (msg->type == DPC_MSG_SUBMITTED)
        on_submitted(session, &msg->verdict);
    else if (msg->type == DPC_MSG_ERROR)
        on_error(session, msg);
    else if (msg->type == DPC_MSG_WELCOME && is_request(&session->hello, msg->request))
        on_welcome(session, &msg->welcome);
    else if (msg->type == DPC_MSG_LEASE && asked == DPC_MSG_ASK)
        on_lease(session, &msg->lease);
    else if (msg->type == DPC_MSG_LEASE && session->unwanted && msg->request == session->unwanted)
        on_unwanted(session, &msg->lease);
    else if (msg->type == DPC_MSG_WAIT && asked == DPC_MSG_ASK)
        on_wait(session, &msg->wait);
    else if (msg->type == DPC_MSG_ACK && (asked == DPC_MSG_GIVE_BACK || asked == DPC_MSG_LEAVE))
        on_ack(session, lane);
}
