/* SPDX-License-Identifier: Apache-2.0
 * A message counts when it answers the request that waits (its number) or speaks of the lease in
 * hand (its token). All else is late or doubled, and is dropped without a word. */
#include "worker/session_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/exit.h"

static void
refuse(struct dpc_session *session, const char *text)
{
    session_note(session, DPC_LOG_ERROR, "%s", text);
    session_add(session, DPC_SESSION_EXIT)->status = DPC_EXIT_REFUSED;
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
    session->heartbeat_ms = session_clamp(welcome->heartbeat_ms, DPC_SESSION_HEARTBEAT_MS_MIN,
                                          DPC_SESSION_HEARTBEAT_MS_MAX);
    if (session->holds && session->lease.token.incarnation != welcome->incarnation) {
        session_note(
            session, DPC_LOG_WARNING,
            "lease dropped path=%u round=%u reason=\"the coordinator's store is another one now\"",
            session->lease.path, session->lease.round);
        session_add(session, DPC_SESSION_DROP);
        session->holds = false;
        session->upload_at_ms = 0;
        session->work = DPC_WORK_NONE;
    }
    struct dpc_session_action *join = session_add(session, DPC_SESSION_JOIN);
    join->join.experiment = welcome->experiment;
    join->join.bulk_endpoint = welcome->bulk_endpoint;
    join->join.mirror = welcome->mirror ? welcome->mirror : "";
    session_resume(session);
}

static void
on_lease(struct dpc_session *session, const struct dpc_msg_lease *lease)
{
    session->lease = *lease;
    session->holds = true;
    session->lease_ends_ms = lease->time_left_ms == UINT32_MAX
                                 ? INT64_MAX
                                 : session->now_ms + (int64_t)lease->time_left_ms;
    session->steps_done = 0;
    session->refetches = session->missings = 0;
    session->upload_at_ms = 0;
    session->parting = DPC_PARTING_NOTHING;
    session->not_finite = session->too_large = false;
    session->hello_errors = 0;
    session_want_nothing(session);
    session_note(session, DPC_LOG_INFO,
                 "lease begins kind=%s path=%u round=%u steps=%u documents=%u",
                 dpc_task_name(lease->kind), lease->path, lease->round, lease->steps_count,
                 lease->to - lease->from);
    session_fetch(session);
    session->heartbeat_at_ms = session->now_ms + session->heartbeat_ms;
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
    session_want(session, DPC_MSG_ASK, pause_ms);
}

/* A submission that is stale came too late, as one that another worker's was before. */
static void
count_end(struct dpc_session *session, enum dpc_verdict verdict, const char *text)
{
    struct dpc_session_counts *counts = &session->counts;
    counts->accepted += verdict == DPC_VERDICT_ACCEPTED;
    counts->refused += verdict == DPC_VERDICT_REFUSED;
    counts->superseded += verdict == DPC_VERDICT_SUPERSEDED || verdict == DPC_VERDICT_STALE;
    if (verdict != DPC_VERDICT_ACCEPTED)
        snprintf(counts->reason, sizeof counts->reason, "%s: %s", dpc_verdict_name(verdict),
                 text ? text : "");
    else if (session->work == DPC_WORK_SUBMITTING && session->lease.kind == DPC_TASK_TRAIN)
        counts->tokens += session->submit.tokens;
}

static void
end_lease(struct dpc_session *session, enum dpc_verdict verdict, const char *text)
{
    const struct dpc_msg_submit *done = &session->submit;
    bool submitted = session->work == DPC_WORK_SUBMITTING;
    bool accepted = verdict == DPC_VERDICT_ACCEPTED;
    count_end(session, verdict, text);
    session_note(
        session, accepted ? DPC_LOG_INFO : DPC_LOG_WARNING,
        "lease ends verdict=%s kind=%s path=%u round=%u steps=%u loss=%.4f tokens_per_s=%.0f "
        "seconds=%.3f%s%s%s",
        dpc_verdict_name(verdict), dpc_task_name(session->lease.kind), session->lease.path,
        session->lease.round, submitted ? done->steps_count : session->steps_done,
        submitted ? done->loss : 0.0, session->tokens_per_s, submitted ? done->seconds : 0.0,
        text && *text ? " reason=\"" : "", text && *text ? text : "", text && *text ? "\"" : "");
    session_add(session, DPC_SESSION_DROP);
    session->upload_at_ms = 0;
}

/* The coordinator has no use for the work any more. */
static void
on_void(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    end_lease(session, verdict->verdict, verdict->text);
    session_ask(session, 0);
}

static void
on_accepted(struct dpc_session *session)
{
    end_lease(session, DPC_VERDICT_ACCEPTED, "");
    session->failures = 0;
    session_ask(session, 0);
}

static void
on_missing(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    struct dpc_session_blobs missing = {0};
    for (uint32_t i = 0; i < verdict->missing_count && i < DPC_LEVELS_MAX + 2; i++) {
        if (!session_find_upload(&session->uploads, &verdict->missing[i],
                                 &missing.refs[missing.count])) {
            session_give_back(session,
                              "the coordinator misses a blob that is not of this submission");
            return;
        }
        missing.count++;
    }
    if (++session->missings > DPC_SESSION_MISSING_MAX || missing.count == 0) {
        session_give_back(session, "blobs were uploaded and went missing again and again");
        return;
    }
    session_want_nothing(session);
    session->work = DPC_WORK_UPLOADING;
    session->heartbeat_at_ms = session->now_ms + session->heartbeat_ms;
    session_add(session, DPC_SESSION_UPLOAD)->blobs = missing;
}

static void
on_submitted(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    switch (verdict->verdict) {
    case DPC_VERDICT_ACCEPTED:
        on_accepted(session);
        break;
    case DPC_VERDICT_SUPERSEDED:
    case DPC_VERDICT_STALE:
        on_void(session, verdict);
        break;
    case DPC_VERDICT_MISSING:
        on_missing(session, verdict);
        break;
    case DPC_VERDICT_REFUSED:
        end_lease(session, DPC_VERDICT_REFUSED, verdict->text);
        session_ask_after_failure(session);
        break;
    case DPC_VERDICT_CONTINUE: /* no answer to a submission: it is repeated */
        break;
    }
}

static void
on_heartbeat_ack(struct dpc_session *session, const struct dpc_msg_verdict *verdict)
{
    if (!session_beats(session) || !dpc_token_equal(verdict->token, session->lease.token))
        return;
    if (verdict->verdict == DPC_VERDICT_SUPERSEDED || verdict->verdict == DPC_VERDICT_STALE)
        on_void(session, verdict);
    else if (verdict->verdict == DPC_VERDICT_ACCEPTED)
        on_accepted(session);
}

/* Errors that say "not now" rather than "not so". */
static bool
is_passing(int32_t code)
{
    return code == DPC_EAGAIN || code == DPC_EBUSY || code == DPC_EIO || code == DPC_ENOSPACE ||
           code == DPC_ENOMEM || code == DPC_ETIMEDOUT;
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
on_request_error(struct dpc_session *session, const struct dpc_msg_error *error)
{
    switch (session->request.type) {
    case DPC_MSG_HELLO:
        if (error->code == DPC_EVERSION) {
            session_note(session, DPC_LOG_ERROR, "could not join: %s", error->text);
            session_add(session, DPC_SESSION_REFUSED);
            return;
        }
        session->hello_errors += session->hello_errors == 0;
        hello_again(session);
        break;
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
            session_give_back(session, error->text ? error->text : "submission refused");
        break;
    case DPC_MSG_GIVE_BACK:
        session_ask_after_failure(session);
        break;
    case DPC_MSG_LEAVE:
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
        break;
    default:
        break;
    }
}

static void
on_error(struct dpc_session *session, const struct dpc_msg *msg)
{
    bool of_request = session->request.type && msg->request == session->request.number;
    /* It does not read what a key says that it does not take any more. */
    if (msg->error.code == DPC_EPERM && msg->request == 0 && !session->turned_away)
        session_note(session, DPC_LOG_WARNING,
                     "the coordinator does not take this worker any more: ask its operator; trying "
                     "on");
    session->turned_away |= msg->error.code == DPC_EPERM && msg->request == 0;
    if (!of_request && !(session_beats(session) && msg->request == session->heartbeat_number))
        return;
    session_note(session, DPC_LOG_WARNING,
                 "the coordinator refused a request request=%s code=%s reason=\"%s\"",
                 of_request ? dpc_msg_name(session->request.type) : "heartbeat",
                 dpc_error_name(msg->error.code), msg->error.text ? msg->error.text : "");
    if (of_request)
        on_request_error(session, &msg->error);
    else if (wants_hello(msg->error.code))
        hello_again(session);
}

static void
on_ack(struct dpc_session *session)
{
    if (session->work == DPC_WORK_LEAVING)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else if (session->work == DPC_WORK_RETURNING)
        session_ask_after_failure(session);
}

/* The request that a message of this type answers. */
static enum dpc_msg_type
question_of(enum dpc_msg_type type)
{
    switch (type) {
    case DPC_MSG_WELCOME:
        return DPC_MSG_HELLO;
    case DPC_MSG_LEASE:
    case DPC_MSG_WAIT:
        return DPC_MSG_ASK;
    default:
        return DPC_MSG_NONE;
    }
}

void
dpc_session_message(struct dpc_session *session, const struct dpc_msg *msg, int64_t now_ms,
                    struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->unanswered_ms = 0;
    bool answers = session->request.type && msg->request == session->request.number &&
                   (question_of(msg->type) == session->request.type ||
                    (msg->type == DPC_MSG_ACK && (session->request.type == DPC_MSG_GIVE_BACK ||
                                                  session->request.type == DPC_MSG_LEAVE)));
    if (msg->type == DPC_MSG_HEARTBEAT_ACK)
        on_heartbeat_ack(session, &msg->verdict);
    else if (msg->type == DPC_MSG_ERROR)
        on_error(session, msg);
    else if (msg->type == DPC_MSG_SUBMITTED) {
        /* By the token alone: an answer to an earlier try says the same. */
        if (session->work == DPC_WORK_SUBMITTING &&
            dpc_token_equal(msg->verdict.token, session->lease.token))
            on_submitted(session, &msg->verdict);
    } else if (!answers)
        return;
    else if (msg->type == DPC_MSG_WELCOME)
        on_welcome(session, &msg->welcome);
    else if (msg->type == DPC_MSG_LEASE)
        on_lease(session, &msg->lease);
    else if (msg->type == DPC_MSG_WAIT)
        on_wait(session, &msg->wait);
    else if (msg->type == DPC_MSG_ACK)
        on_ack(session);
}
