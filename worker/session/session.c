/* SPDX-License-Identifier: Apache-2.0
 * What the session is told of time and of this side: transfers, jobs, the owner's wish to stop. */
#include "worker/session/session_parts.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "base/tensor_blob.h"

enum { MEASURED_MS_MIN = 1000, MEASURED_BYTES_MIN = 1 << 20 };

/* --- Time. */

void
dpc_session_connected(struct dpc_session *session, int64_t now_ms,
                      struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (session->joined || session->hello.type)
        session_lose_contact(session, 0);
}

void
dpc_session_rejoin(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session_lose_contact(session, 0);
}

/* What answers it may be on its way: a lease that comes now goes back. */
static void
stop_asking(struct dpc_session *session)
{
    struct session_request *request = &session->front.request;
    if (request->type == DPC_MSG_ASK)
        session->unwanted = request->number;
    request->type = DPC_MSG_NONE;
}

void
dpc_session_pause(struct dpc_session *session, bool paused, int64_t now_ms,
                  struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->paused = paused;
    if (session->front.work != DPC_WORK_NONE)
        return;
    if (paused)
        stop_asking(session);
    if (paused && session->back.work == DPC_WORK_NONE)
        session->hello.type = DPC_MSG_NONE;
    else if (!paused && !session->joined && session->hello.type == DPC_MSG_NONE)
        session_want_hello(session, 0);
    else if (!paused && session->joined && session->front.request.type == DPC_MSG_NONE)
        session_ask(session, 0);
}

void
dpc_session_rest(struct dpc_session *session, bool rests, int64_t now_ms,
                 struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session->rests = rests;
    if (session->front.work != DPC_WORK_NONE || !session->joined)
        return;
    if (rests)
        stop_asking(session);
    else if (session->front.request.type == DPC_MSG_NONE)
        session_ask(session, 0);
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
    const struct session_lane *front = &session->front;
    uint32_t done = front->steps_done, before = session->job_begun_steps;
    if (!front->holds || front->work != DPC_WORK_RUNNING || done <= before)
        return INT64_MAX;
    uint32_t all = dpc_session_units(&front->lease);
    return done < all ? job_ms(session, now_ms) * (all - done) / (done - before) : 0;
}

int64_t
dpc_session_slack_ms(const struct dpc_session *session, int64_t now_ms)
{
    int64_t rest_ms = dpc_session_rest_ms(session, now_ms);
    if (!session->front.holds || session->front.lease_ends_ms == INT64_MAX)
        return INT64_MAX;
    return session->front.lease_ends_ms - now_ms - (rest_ms == INT64_MAX ? 0 : rest_ms);
}

/* For so long, at most, the line is taken by what is handed in already. */
static int64_t
line_taken_ms(const struct dpc_session *session)
{
    return session->back.work == DPC_WORK_UPLOADING
               ? session_upload_ms(session, DPC_SLOW_LINK_BYTES_S)
               : 0;
}

bool
dpc_session_ends_within(const struct dpc_session *session, int64_t ms, int64_t now_ms)
{
    int64_t rest_ms = dpc_session_rest_ms(session, now_ms), taken_ms = line_taken_ms(session);
    return session->front.work == DPC_WORK_RUNNING && !session->held_at_ms &&
           (rest_ms > taken_ms ? rest_ms : taken_ms) < ms;
}

void
dpc_session_allow_parts(struct dpc_session *session, const struct dpc_session_parts *parts)
{
    session->parts = *parts;
}

/* What the results of the lease take in the forms that they travel in; parameters of its path. */
static size_t
count_bytes(const struct dpc_session *session, struct dpc_parting_facts *facts)
{
    const struct dpc_session_parts *parts = &session->parts;
    const struct dpc_msg_lease *lease = &session->front.lease;
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
    return all;
}

uint64_t
dpc_session_results_bytes(const struct dpc_session *session)
{
    struct dpc_parting_facts facts = {.steps_done = 0};
    if (!session->front.holds || session->front.lease.kind != DPC_TASK_TRAIN)
        return 0;
    size_t floats = count_bytes(session, &facts);
    uint64_t kept =
        session->parts.keep_state ? dpc_path_state_bytes_as(DPC_MOMENTS_FP32, floats) : 0;
    return facts.deltas_bytes + facts.state_bytes + kept;
}

static enum dpc_parting
choose_parting(const struct dpc_session *session, int64_t left_ms)
{
    const struct session_lane *front = &session->front;
    uint32_t steps = front->steps_done - session->job_begun_steps;
    struct dpc_parting_facts facts = {
        .parts_allowed = session->parts.allowed && session->joined &&
                         front->work == DPC_WORK_RUNNING && front->lease.kind == DPC_TASK_TRAIN,
        .steps_done = front->steps_done,
        .step_ms = steps ? 1 + job_ms(session, session->now_ms) / steps : 0,
        .up_bytes_per_s = session_up_bytes_per_s(session, DPC_SLOW_LINK_BYTES_S),
        .left_ms = left_ms - line_taken_ms(session),
    };
    (void)count_bytes(session, &facts);
    return dpc_parting_choose(&facts);
}

/* With a lease that is fetched for or computed. */
static void
part(struct dpc_session *session, const char *reason, int64_t left_ms)
{
    static const char *const what[] = {"nothing", "deltas", "deltas and state"};
    struct session_lane *front = &session->front;
    if (front->parting != DPC_PARTING_NOTHING)
        return;
    front->parting = choose_parting(session, left_ms);
    if (front->parting == DPC_PARTING_NOTHING) {
        session_give_back(session, front, reason);
        return;
    }
    session_note(session, DPC_LOG_INFO,
                 "lease is cut path=%u round=%u steps_done=%u of=%u hands_in=\"%s\" reason=\"%s\"",
                 front->lease.path, front->lease.round, front->steps_done, front->lease.steps_count,
                 what[front->parting], reason);
    session_add(session, DPC_SESSION_CUT);
}

static bool
may_be_cut(const struct dpc_session *session)
{
    return session->front.work == DPC_WORK_FETCHING || session->front.work == DPC_WORK_RUNNING;
}

void
dpc_session_yield(struct dpc_session *session, const char *reason, int64_t left_ms, int64_t now_ms,
                  struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    if (may_be_cut(session))
        part(session, reason, left_ms);
}

/* What is computed or handed in still, and will not be done in time. */
static void
give_all_back(struct dpc_session *session)
{
    static const char reason[] = "stopped by its owner before the results were handed in";
    enum dpc_session_work front = session->front.work, back = session->back.work;
    if (back == DPC_WORK_UPLOADING || back == DPC_WORK_SUBMITTING)
        session_give_back(session, &session->back, reason);
    if (front == DPC_WORK_RUNNING || front == DPC_WORK_FINISHED)
        session_give_back(session, &session->front, reason);
}

/* What has steps behind it lies in the spill, or will before the process ends. */
static bool
is_kept(const struct dpc_session *session)
{
    const struct session_lane *front = &session->front;
    return session->suspending && (front->work == DPC_WORK_RUNNING ||
                                   (front->work == DPC_WORK_FETCHING && front->steps_done > 0));
}

/* The present step of stopping took too long: on to the next. */
static void
stop_further(struct dpc_session *session)
{
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    bool leaves_it = session->suspending && (session_hands_in(session) || is_kept(session));
    if (!session->joined || session->front.work == DPC_WORK_LEAVING || leaves_it)
        session_add(session, DPC_SESSION_EXIT)->status = session->status;
    else if (!session_hands_in(session) && session->front.work != DPC_WORK_RUNNING)
        session_leave(session);
    else
        give_all_back(session);
}

static void
tick_request(struct dpc_session *session, struct session_lane *lane)
{
    if (lane->request.type && session->now_ms >= lane->request.at_ms)
        session_send_request(session, lane);
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
                     dpc_session_work_name(dpc_session_work(session)));
        session_lose_contact(session, 0);
        return;
    }
    if (session_beats(session) && session->now_ms >= session->heartbeat_at_ms)
        session_heartbeat(session);
    if (session->back.upload_at_ms && session->now_ms >= session->back.upload_at_ms)
        session_upload(session);
    tick_request(session, &session->back);
    tick_request(session, &session->front);
    if (session->hello.type && session->now_ms >= session->hello.at_ms)
        session_send_request(session, NULL);
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
    if (session->back.upload_at_ms)
        sooner(&at_ms, session->back.upload_at_ms);
    if (session_beats(session))
        sooner(&at_ms, session->heartbeat_at_ms);
    if (session->hello.type)
        sooner(&at_ms, session->hello.at_ms);
    if (session->front.request.type)
        sooner(&at_ms, session->front.request.at_ms);
    if (session->back.request.type)
        sooner(&at_ms, session->back.request.at_ms);
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

/* --- What happened on this side. */

static void
measure_upload(struct dpc_session *session)
{
    struct session_lane *back = &session->back;
    if (back->upload_begun_ms == 0)
        return;
    int64_t took_ms = session->now_ms - back->upload_begun_ms;
    uint64_t bytes = session_count_uploads(back);
    back->upload_begun_ms = 0;
    /* A few bytes tell of round trips and syncs, and not of the line. */
    if (took_ms >= MEASURED_MS_MIN || bytes >= MEASURED_BYTES_MIN)
        session->up_bytes_per_s = 1000.0 * (double)bytes / (double)(took_ms > 0 ? took_ms : 1);
}

/* Differences go sooner than versions, since a module may have moved on after the lease was
 * granted; and nobody mends one that is damaged. */
static bool
may_do_without(const struct session_lane *front, int code)
{
    bool has = false;
    for (uint32_t i = 0; i < front->lease.levels_count; i++)
        has |= !dpc_hash_is_none(&front->lease.changes[i].hash);
    return has && front->refetches == 0 &&
           (code == DPC_ENOTFOUND || code == DPC_ECORRUPT || code == DPC_EHASH ||
            code == DPC_EPROTO || code == DPC_ERANGE);
}

/* What is handed in left too little room in the cache: it will be gone soon, or has gone meanwhile.
 */
static bool
has_to_wait_for_room(const struct dpc_session *session, int code)
{
    return code == DPC_ENOSPACE && session->front.fetched_beside;
}

static void
wait_for_room(struct dpc_session *session, const char *text)
{
    if (session->back.work == DPC_WORK_NONE) {
        session_fetch(session);
        return;
    }
    session->front.work = DPC_WORK_FETCHING;
    session->front.waits_for_room = true;
    session_note(session, DPC_LOG_INFO,
                 "the lease waits until the one before it is handed in reason=\"%s\"", text);
}

void
dpc_session_fetched(struct dpc_session *session, int code, const char *text, int64_t now_ms,
                    struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    struct session_lane *front = &session->front;
    if (front->work != DPC_WORK_FETCHING || front->waits_for_room)
        return;
    if (code == DPC_OK) {
        front->work = DPC_WORK_RUNNING;
        session->job_begun_ms = session->now_ms;
        session->job_begun_steps = front->steps_done;
        session_add(session, DPC_SESSION_START)->lease = front->lease;
    } else if (may_do_without(front, code)) {
        front->refetches++;
        session_note(session, DPC_LOG_INFO, "versions are fetched whole reason=\"%s\"", text);
        session_fetch(session);
    } else if (has_to_wait_for_room(session, code)) {
        wait_for_room(session, text);
    } else {
        session_give_back(session, front, text);
    }
}

void
dpc_session_uploaded(struct dpc_session *session, int code, const char *text, int64_t now_ms,
                     struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    struct session_lane *back = &session->back;
    if (back->work != DPC_WORK_UPLOADING)
        return;
    if (code == DPC_OK) {
        measure_upload(session);
        session_submit(session);
    } else if (code == DPC_ENOTFOUND || code == DPC_ECORRUPT || code == DPC_EHASH ||
               code == DPC_ELIMIT || code == DPC_EPROTO || code == DPC_EPERM) {
        session_give_back(session, back, text);
    } else {
        int64_t pause_ms = session_doubled(DPC_SESSION_FAILURE_MS, session->failures++,
                                           DPC_SESSION_FAILURE_MS_MAX);
        back->upload_at_ms = session->now_ms + session_jittered(session, pause_ms);
        session_note(session, DPC_LOG_WARNING,
                     "upload failed and is tried again pause_ms=%lld reason=\"%s\"",
                     (long long)(back->upload_at_ms - session->now_ms), text);
    }
}

void
dpc_session_progress(struct dpc_session *session, uint32_t steps_done, double tokens_per_s)
{
    if (steps_done > session->front.steps_done)
        session->front.steps_done = steps_done;
    if (tokens_per_s > 0)
        session->tokens_per_s = tokens_per_s;
}

static void
add_upload(struct dpc_session_blobs *uploads, const struct dpc_blob_ref *ref)
{
    if (!dpc_hash_is_none(&ref->hash))
        uploads->refs[uploads->count++] = *ref;
}

static void
take_result(struct session_lane *lane, const struct dpc_msg_submit *result)
{
    lane->submit = *result;
    lane->submit.kind = lane->lease.kind;
    lane->submit.path = lane->lease.path;
    lane->submit.round = lane->lease.round;
    lane->uploads.count = 0;
    for (uint32_t i = 0; i < result->parts_count; i++)
        add_upload(&lane->uploads, &result->parts[i].delta);
    add_upload(&lane->uploads, &result->state);
    add_upload(&lane->uploads, &result->result);
}

/* There is no time for the path state. */
static void
leave_state(struct session_lane *lane)
{
    struct dpc_msg_submit result = lane->submit;
    result.state = (struct dpc_blob_ref){.hash = dpc_hash_none};
    take_result(lane, &result);
}

void
dpc_session_finished(struct dpc_session *session, const struct dpc_msg_submit *result,
                     double tokens_per_s, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    struct session_lane *front = &session->front;
    if (front->work != DPC_WORK_RUNNING || !dpc_token_equal(result->token, front->lease.token))
        return;
    dpc_session_progress(session, result->steps_count, tokens_per_s);
    session->lease_took_ms =
        session->job_begun_ms - front->fetch_begun_ms + job_ms(session, session->now_ms);
    take_result(front, result);
    if (front->parting == DPC_PARTING_DELTAS)
        leave_state(front);
    front->work = DPC_WORK_FINISHED;
    session_pass(session);
}

void
dpc_session_failed(struct dpc_session *session, struct dpc_token token, int code, const char *text,
                   int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    struct session_lane *front = &session->front;
    if (front->work != DPC_WORK_RUNNING || !dpc_token_equal(token, front->lease.token))
        return;
    bool damaged = code == DPC_ECORRUPT || code == DPC_ENOTFOUND;
    bool may_begin_anew = front->parting == DPC_PARTING_NOTHING; /* there is time for that */
    if (may_begin_anew && damaged && front->refetches < DPC_SESSION_REFETCH_MAX) {
        front->refetches++;
        session_note(session, DPC_LOG_WARNING, "damaged blobs are fetched again reason=\"%s\"",
                     text);
        session_fetch(session);
    } else if (may_begin_anew && has_to_wait_for_room(session, code)) {
        wait_for_room(session, text);
    } else {
        front->not_finite = code == DPC_ENOTFINITE;
        front->too_large = code == DPC_ELIMIT;
        session_give_back(session, front, text);
    }
}

static void
stop(struct dpc_session *session, int status)
{
    bool again = session->stopping, hands_in = session_hands_in(session);
    session->stopping = true;
    session->status = status;
    if (session->front.work == DPC_WORK_NONE)
        session->front.request.type = DPC_MSG_NONE;
    session->stop_at_ms = session->now_ms + DPC_SESSION_FAREWELL_MS;
    if (again || (!hands_in && (!session->joined || is_kept(session)))) {
        session_add(session, DPC_SESSION_EXIT)->status = status;
        return;
    }
    if (!is_kept(session) && may_be_cut(session))
        part(session, "stopped by its owner", DPC_SESSION_STOP_MS);
    else if (session->front.work == DPC_WORK_NONE && session->back.work == DPC_WORK_NONE)
        session_leave(session);
    if (hands_in || session->front.parting != DPC_PARTING_NOTHING)
        session->stop_at_ms = session->now_ms + DPC_SESSION_STOP_MS;
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
    session->noted =
        (struct dpc_log_limit){.burst = DPC_SESSION_NOTES_BURST, .period_ms = DPC_SESSION_NOTE_MS};
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
    bool hands_in = submit && session->back.work == DPC_WORK_NONE;
    struct session_lane *lane = hands_in ? &session->back : &session->front;
    *lane = (struct session_lane){
        .work = hands_in ? DPC_WORK_UPLOADING
                : submit ? DPC_WORK_FINISHED
                         : DPC_WORK_FETCHING,
        .holds = true,
        .lease = *lease,
        .lease_ends_ms = INT64_MAX, /* the process that knew is gone */
        .steps_done = steps_done,
    };
    if (submit)
        take_result(lane, submit);
}

void
dpc_session_start(struct dpc_session *session, int64_t now_ms, struct dpc_session_actions *actions)
{
    session_begin(session, now_ms, actions);
    session_want_hello(session, 0);
}

/* The lane that people and the loop hear of. */
static const struct session_lane *
first_lane(const struct dpc_session *session)
{
    return session->front.work == DPC_WORK_NONE ? &session->back : &session->front;
}

enum dpc_session_work
dpc_session_work(const struct dpc_session *session)
{
    return first_lane(session)->work;
}

const char *
dpc_session_work_name(enum dpc_session_work work)
{
    static const char *const names[] = {"waiting",   "fetching",   "running",   "finished",
                                        "uploading", "submitting", "returning", "leaving"};
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
    const struct session_lane *lane = first_lane(session);
    return lane->holds ? &lane->lease : NULL;
}

bool
dpc_session_is_free(const struct dpc_session *session)
{
    return session->front.work == DPC_WORK_NONE;
}

const struct dpc_msg_lease *
dpc_session_handing_in(const struct dpc_session *session)
{
    return session->back.holds ? &session->back.lease : NULL;
}
