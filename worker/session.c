/* SPDX-License-Identifier: Apache-2.0
 * What the session is told of time and of this side: transfers, jobs, the owner's wish to stop. */
#include "worker/session_parts.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "base/tensor_blob.h"

/* --- Time. */

void
dpc_session_connected(struct dpc_session *session, int64_t now_ms,
                      struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->joined || session->request.type == DPC_MSG_HELLO)
        session_lose_contact(session, 0);
}

void
dpc_session_rejoin(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session_lose_contact(session, 0);
}

void
dpc_session_pause(struct dpc_session *session, bool paused, int64_t now_ms,
                  struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->paused = paused;
    if (session->work != DPC_WORK_NONE)
        return;
    if (paused)
        session->request.type = DPC_MSG_NONE;
    else if (session->request.type == DPC_MSG_NONE && !session->joined)
        session_want(session, DPC_MSG_HELLO, 0);
    else if (session->request.type == DPC_MSG_NONE)
        session_ask(session, 0);
}

void
dpc_session_rest(struct dpc_session *session, bool rests, int64_t now_ms,
                 struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->rests = rests;
    if (session->work != DPC_WORK_NONE || !session->joined)
        return;
    if (rests)
        session->request.type = DPC_MSG_NONE;
    else if (session->request.type == DPC_MSG_NONE)
        session_ask(session, 0);
}

int64_t
dpc_session_pause_ms(const struct dpc_session *session, int64_t now_ms)
{
    const struct session_request *request = &session->request;
    bool waits = request->type == DPC_MSG_ASK && !request->sent;
    return waits && request->at_ms > now_ms ? request->at_ms - now_ms : 0;
}

void
dpc_session_hold(struct dpc_session *session, bool held, int64_t now_ms)
{
    if (held && !session->held_at_ms) {
        session->held_at_ms = now_ms;
    } else if (!held && session->held_at_ms) {
        /* The job may have begun since. */
        session->job_begun_ms +=
            now_ms - (session->held_at_ms > session->job_begun_ms ? session->held_at_ms
                                                                  : session->job_begun_ms);
        session->held_at_ms = 0;
    }
}

/* Of computing so far. A job that began while it was held has had none. */
static int64_t
job_ms(const struct dpc_session *session, int64_t now_ms)
{
    int64_t until_ms = session->held_at_ms ? session->held_at_ms : now_ms;
    return until_ms > session->job_begun_ms ? until_ms - session->job_begun_ms : 0;
}

uint32_t
dpc_session_units(const struct dpc_msg_lease *lease)
{
    return lease->kind == DPC_TASK_TRAIN ? lease->steps_count : lease->to - lease->from;
}

int64_t
dpc_session_rest_ms(const struct dpc_session *session, int64_t now_ms)
{
    const struct dpc_msg_lease *lease = &session->lease;
    uint32_t done = session->steps_done, before = session->job_begun_steps;
    if (!session->holds || session->work != DPC_WORK_RUNNING || done <= before)
        return INT64_MAX;
    uint32_t all = dpc_session_units(lease);
    return done < all ? job_ms(session, now_ms) * (all - done) / (done - before) : 0;
}

int64_t
dpc_session_slack_ms(const struct dpc_session *session, int64_t now_ms)
{
    int64_t rest_ms = dpc_session_rest_ms(session, now_ms);
    if (!session->holds || session->lease_ends_ms == INT64_MAX)
        return INT64_MAX;
    return session->lease_ends_ms - now_ms - (rest_ms == INT64_MAX ? 0 : rest_ms);
}

void
dpc_session_allow_parts(struct dpc_session *session, const struct dpc_session_parts *parts)
{
    session->parts = *parts;
}

/* What the results of the lease take in the forms that they travel in. */
static void
count_bytes(const struct dpc_session *session, struct dpc_parting_facts *facts)
{
    const struct dpc_session_parts *parts = &session->parts;
    const struct dpc_msg_lease *lease = &session->lease;
    bool plain = lease->path >= parts->dense_path;
    size_t all = 0;
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        uint64_t bytes = lease->versions[level].bytes, header = dpc_tensor_blob_bytes(0);
        size_t count = bytes > header ? (bytes - header) / sizeof(float) : 0;
        facts->deltas_bytes +=
            dpc_tensor_blob_bytes_as(plain ? DPC_CODEC_FP32 : parts->upload, count);
        all += count;
    }
    if (parts->ship_state)
        facts->state_bytes =
            dpc_path_state_bytes_as(plain ? DPC_MOMENTS_FP32 : parts->moments, all);
}

/* As measured, but no more than its owner allows. */
static double
up_bytes_per_s(const struct dpc_session *session)
{
    double most = (double)session->options.up_bytes_per_s_max;
    double line = session->up_bytes_per_s > 0 ? session->up_bytes_per_s : DPC_SLOW_LINK_BYTES_S;
    return most > 0 && most < line ? most : line;
}

static enum dpc_parting
choose_parting(const struct dpc_session *session, int64_t left_ms)
{
    uint32_t steps = session->steps_done - session->job_begun_steps;
    struct dpc_parting_facts facts = {
        .parts_allowed = session->parts.allowed && session->joined &&
                         session->work == DPC_WORK_RUNNING && session->lease.kind == DPC_TASK_TRAIN,
        .steps_done = session->steps_done,
        .step_ms = steps ? 1 + job_ms(session, session->now_ms) / steps : 0,
        .up_bytes_per_s = up_bytes_per_s(session),
        .left_ms = left_ms,
    };
    count_bytes(session, &facts);
    return dpc_parting_choose(&facts);
}

/* With a lease that is fetched for or computed. */
static void
part(struct dpc_session *session, const char *reason, int64_t left_ms)
{
    static const char *const what[] = {"nothing", "deltas", "deltas and state"};
    if (session->parting != DPC_PARTING_NOTHING)
        return;
    session->parting = choose_parting(session, left_ms);
    if (session->parting == DPC_PARTING_NOTHING) {
        session_give_back(session, reason);
        return;
    }
    session_note(session, DPC_LOG_INFO,
                 "lease is cut path=%u round=%u steps_done=%u of=%u hands_in=\"%s\" reason=\"%s\"",
                 session->lease.path, session->lease.round, session->steps_done,
                 session->lease.steps_count, what[session->parting], reason);
    session_add(session, DPC_SESSION_CUT);
}

void
dpc_session_yield(struct dpc_session *session, const char *reason, int64_t left_ms, int64_t now_ms,
                  struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->work == DPC_WORK_FETCHING || session->work == DPC_WORK_RUNNING)
        part(session, reason, left_ms);
}

static bool
hands_in(const struct dpc_session *session)
{
    return session->work == DPC_WORK_UPLOADING || session->work == DPC_WORK_SUBMITTING;
}

/* The present step of stopping took too long: on to the next. */
static void
stop_further(struct dpc_session *session)
{
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    if (!session->joined || session->work == DPC_WORK_LEAVING)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else if (!hands_in(session) && session->work != DPC_WORK_RUNNING)
        session_leave(session);
    else if (session->suspending)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else
        session_give_back(session, "stopped by its owner before the results were handed in");
}

void
dpc_session_tick(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->stopping && session->now_ms >= session->stop_at_ms) {
        stop_further(session);
        return;
    }
    if (session->joined && session->unanswered_ms &&
        session->now_ms - session->unanswered_ms >= session_silence_ms(session)) {
        session_note(session, DPC_LOG_WARNING, "the coordinator is silent silent_ms=%lld work=%s",
                     (long long)(session->now_ms - session->unanswered_ms),
                     dpc_session_work_name(session->work));
        session_lose_contact(session, 0);
        return;
    }
    if (session->upload_at_ms && session->now_ms >= session->upload_at_ms)
        session_upload(session);
    if (session_beats(session) && session->now_ms >= session->heartbeat_at_ms)
        session_heartbeat(session);
    if (session->request.type && session->now_ms >= session->request.at_ms)
        session_send_request(session);
}

static void
sooner(int64_t *at_ms, int64_t other_ms)
{
    if (other_ms < *at_ms)
        *at_ms = other_ms;
}

int64_t
dpc_session_wait_ms(const struct dpc_session *session, int64_t now_ms)
{
    int64_t at_ms = now_ms + DPC_SESSION_WAIT_MS_MAX;
    if (session->stopping)
        sooner(&at_ms, session->stop_at_ms);
    if (session->joined && session->unanswered_ms)
        sooner(&at_ms, session->unanswered_ms + session_silence_ms(session));
    if (session->upload_at_ms)
        sooner(&at_ms, session->upload_at_ms);
    if (session_beats(session))
        sooner(&at_ms, session->heartbeat_at_ms);
    if (session->request.type)
        sooner(&at_ms, session->request.at_ms);
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

/* --- What happened on this side. */

static void
measure_upload(struct dpc_session *session)
{
    uint64_t bytes = 0;
    if (session->upload_begun_ms == 0)
        return;
    for (uint32_t i = 0; i < session->uploads.count; i++)
        bytes += session->uploads.refs[i].bytes;
    int64_t took_ms = session->now_ms - session->upload_begun_ms;
    session->up_bytes_per_s = 1000.0 * (double)bytes / (double)(took_ms > 0 ? took_ms : 1);
    session->upload_begun_ms = 0;
}

/* Differences go sooner than versions, since a module may have moved on after the lease was
 * granted; and nobody mends one that is damaged. */
static bool
may_do_without(const struct dpc_session *session, int code)
{
    bool has = false;
    for (uint32_t i = 0; i < session->lease.levels_count; i++)
        has |= !dpc_hash_is_none(&session->lease.changes[i].hash);
    return has && session->refetches == 0 &&
           (code == DPC_ENOTFOUND || code == DPC_ECORRUPT || code == DPC_EHASH ||
            code == DPC_EPROTO || code == DPC_ERANGE);
}

void
dpc_session_transferred(struct dpc_session *session, int code, const char *text, int64_t now_ms,
                        struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->work == DPC_WORK_FETCHING && code == DPC_OK) {
        session->work = DPC_WORK_RUNNING;
        session->job_begun_ms = session->now_ms;
        session->job_begun_steps = session->steps_done;
        session_add(session, DPC_SESSION_START)->lease = session->lease;
    } else if (session->work == DPC_WORK_FETCHING && may_do_without(session, code)) {
        session->refetches++;
        session_note(session, DPC_LOG_INFO, "versions are fetched whole reason=\"%s\"", text);
        session_fetch(session);
    } else if (session->work == DPC_WORK_FETCHING) {
        session_give_back(session, text);
    } else if (session->work != DPC_WORK_UPLOADING) {
        return;
    } else if (code == DPC_OK) {
        measure_upload(session);
        session_submit(session);
    } else if (code == DPC_ENOTFOUND || code == DPC_ECORRUPT || code == DPC_EHASH ||
               code == DPC_ELIMIT || code == DPC_EPROTO || code == DPC_EPERM) {
        session_give_back(session, text);
    } else {
        int64_t pause_ms = session_doubled(DPC_SESSION_FAILURE_MS, session->failures++,
                                           DPC_SESSION_FAILURE_MS_MAX);
        session->upload_at_ms = session->now_ms + session_jittered(session, pause_ms);
        session_note(session, DPC_LOG_WARNING,
                     "upload failed and is tried again pause_ms=%lld reason=\"%s\"",
                     (long long)(session->upload_at_ms - session->now_ms), text);
    }
}

void
dpc_session_progress(struct dpc_session *session, uint32_t steps_done, double tokens_per_s)
{
    if (steps_done > session->steps_done)
        session->steps_done = steps_done;
    if (tokens_per_s > 0)
        session->tokens_per_s = tokens_per_s;
}

static void
add_upload(struct dpc_session_blobs *blobs, const struct dpc_blob_ref *ref)
{
    struct dpc_blob_ref same;
    if (!dpc_hash_is_none(&ref->hash) && !session_find_upload(blobs, &ref->hash, &same))
        blobs->refs[blobs->count++] = *ref;
}

static void
take_result(struct dpc_session *session, const struct dpc_msg_submit *result)
{
    session->submit = *result;
    session->submit.kind = session->lease.kind;
    session->submit.path = session->lease.path;
    session->submit.round = session->lease.round;
    session->uploads.count = 0;
    for (uint32_t i = 0; i < result->parts_count; i++)
        add_upload(&session->uploads, &result->parts[i].delta);
    add_upload(&session->uploads, &result->state);
    add_upload(&session->uploads, &result->result);
}

/* There is no time for the path state. */
static void
leave_state(struct dpc_session *session)
{
    struct dpc_msg_submit result = session->submit;
    result.state = (struct dpc_blob_ref){.hash = dpc_hash_none};
    take_result(session, &result);
}

void
dpc_session_finished(struct dpc_session *session, const struct dpc_msg_submit *result,
                     double tokens_per_s, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->work != DPC_WORK_RUNNING || !dpc_token_equal(result->token, session->lease.token))
        return;
    dpc_session_progress(session, result->steps_count, tokens_per_s);
    take_result(session, result);
    if (session->parting == DPC_PARTING_DELTAS)
        leave_state(session);
    session_upload(session);
}

void
dpc_session_failed(struct dpc_session *session, struct dpc_token token, int code, const char *text,
                   int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->work != DPC_WORK_RUNNING || !dpc_token_equal(token, session->lease.token))
        return;
    bool damaged = code == DPC_ECORRUPT || code == DPC_ENOTFOUND;
    if (damaged && session->refetches < DPC_SESSION_REFETCH_MAX) {
        session->refetches++;
        session_note(session, DPC_LOG_WARNING, "damaged blobs are fetched again reason=\"%s\"",
                     text);
        session_fetch(session);
    } else {
        session->not_finite = code == DPC_ENOTFINITE;
        session->too_large = code == DPC_ELIMIT;
        session_give_back(session, text);
    }
}

/* What has steps behind it lies in the spill, or will before the process ends. */
static bool
is_kept(const struct dpc_session *session)
{
    return session->suspending && (session->work == DPC_WORK_RUNNING ||
                                   (session->work == DPC_WORK_FETCHING && session->steps_done > 0));
}

static void
stop(struct dpc_session *session, int status)
{
    bool again = session->stopping;
    session->stopping = true;
    session->status = status;
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    if (again || (!session->joined && !hands_in(session)) || is_kept(session)) {
        session_add(session, DPC_SESSION_EXIT)->status = status;
    } else if (hands_in(session)) {
        session->stop_at_ms = session->now_ms + DPC_SESSION_STOP_MS;
    } else if (session->work == DPC_WORK_FETCHING || session->work == DPC_WORK_RUNNING) {
        part(session, "stopped by its owner", DPC_SESSION_STOP_MS);
        if (session->parting != DPC_PARTING_NOTHING)
            session->stop_at_ms = session->now_ms + DPC_SESSION_STOP_MS;
    } else if (session->work == DPC_WORK_NONE) {
        session_leave(session);
    }
}

void
dpc_session_stop(struct dpc_session *session, int status, int64_t now_ms,
                 struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    stop(session, status);
}

void
dpc_session_suspend(struct dpc_session *session, int status, int64_t now_ms,
                    struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->suspending = true;
    stop(session, status);
}

/* --- Life. */

struct dpc_session *
dpc_session_create(const struct dpc_session_options *options)
{
    struct dpc_session *session = dpc_alloc(1, sizeof *session);
    session->options = *options;
    session->heartbeat_ms = DPC_SESSION_HELLO_MS;
    dpc_rng_init(&session->rng, options->seed, DPC_RNG_PAUSE, 0, 0, 0);
    return session;
}

struct dpc_session *
dpc_session_destroy(struct dpc_session *session)
{
    return dpc_free(session);
}

void
dpc_session_restore(struct dpc_session *session, const struct dpc_msg_lease *lease,
                    uint32_t steps_done, const struct dpc_msg_submit *submit)
{
    session->holds = true;
    session->lease = *lease;
    session->lease_ends_ms = INT64_MAX; /* the process that knew is gone */
    session->steps_done = steps_done;
    session->work = submit ? DPC_WORK_UPLOADING : DPC_WORK_FETCHING;
    if (submit)
        take_result(session, submit);
}

void
dpc_session_start(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session_want(session, DPC_MSG_HELLO, 0);
}

enum dpc_session_work
dpc_session_work(const struct dpc_session *session)
{
    return session->work;
}

const char *
dpc_session_work_name(enum dpc_session_work work)
{
    static const char *const names[] = {"waiting",    "fetching",  "running", "uploading",
                                        "submitting", "returning", "leaving"};
    return names[work];
}

bool
dpc_session_joined(const struct dpc_session *session)
{
    return session->joined;
}

const struct dpc_session_counts *
dpc_session_counts(const struct dpc_session *session)
{
    return &session->counts;
}

const struct dpc_msg_lease *
dpc_session_lease(const struct dpc_session *session)
{
    return session->holds ? &session->lease : NULL;
}
