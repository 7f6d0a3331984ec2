/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the session: its state, and the steps that its two halves share. session_work.c leads from
 * one piece of work to the next, session_message.c reads what the coordinator says, session.c is
 * told of time and of what happened on this side.
 *
 * Owns: nothing. Threads: the session's. Not here: what others may call (session.h).
 */
#ifndef DPC_WORKER_SESSION_SESSION_PARTS_H
#define DPC_WORKER_SESSION_SESSION_PARTS_H

#include "base/rng.h"
#include "worker/session/parting.h"
#include "worker/session/session.h"

/* A request under way, or planned for `at_ms`. */
struct session_request {
    enum dpc_msg_type type; /* NONE: nothing is asked */
    uint64_t number;
    int64_t at_ms;    /* when it is sent (again) */
    int64_t pause_ms; /* until the time after that */
};

/* A lease and what is done with it. The one in front is fetched for and computed; with its result
 * it passes to the back, where it is handed in, while the front asks for the next one. */
struct session_lane {
    enum dpc_session_work work;
    struct session_request request; /* in contact */
    uint64_t heartbeat_number;      /* of the last one */

    bool holds; /* `lease` is one that the coordinator may count on */
    struct dpc_msg_lease lease;
    uint32_t steps_done;

    /* In front. */
    int64_t lease_ends_ms;  /* by what it came with; INT64_MAX: not known */
    int64_t fetch_begun_ms; /* for the last time */
    bool fetched_beside;    /* something was at the back then */
    bool waits_for_room;    /* in the cache, until the back is done */
    uint32_t refetches;
    enum dpc_parting parting; /* of the job that runs; NOTHING: it goes on to its end */

    /* At the back; results from the end of the job on. */
    struct dpc_msg_submit submit;
    struct dpc_session_blobs uploads;
    uint32_t missings;
    int64_t upload_at_ms;    /* when a failed upload is tried again; 0: none failed */
    int64_t upload_begun_ms; /* of one that is measured; 0: none is */
    int64_t next_at_ms;      /* when the front may ask for the next lease; 0: at once */

    /* When it goes back. */
    char reason[256];
    bool not_finite, too_large; /* and whether it is one of these */
};

struct dpc_session {
    struct dpc_session_options options;
    struct dpc_rng rng;
    bool joined;
    bool turned_away;             /* and that was told */
    struct session_request hello; /* out of contact */
    struct session_lane front, back;
    uint32_t leases_max; /* that the coordinator grants at once */
    uint64_t numbers;    /* of requests given out */
    int64_t heartbeat_ms, heartbeat_at_ms;
    int64_t unanswered_ms; /* when the first message without any answer since was sent; 0: none */
    uint32_t failures;     /* leases in a row that came to nothing */
    int64_t not_before_ms; /* another one is asked for */
    uint32_t hello_errors; /* refusals in a row */

    double tokens_per_s;
    int64_t job_begun_ms; /* and the steps that were done then */
    uint32_t job_begun_steps;
    int64_t held_at_ms; /* since when it stands still; 0: it does not */
    struct dpc_session_parts parts;
    double up_bytes_per_s; /* of the last upload; 0: none yet */
    int64_t lease_took_ms; /* the last one, to fetch for and to compute */

    struct dpc_session_counts counts;
    struct dpc_log_limit noted; /* the disk that the log lies on is its owner's */

    bool paused, rests;
    uint64_t unwanted; /* the request whose answer came too late for a pause or rest; 0: none */
    bool stopping;
    bool suspending; /* and the leases stay this worker's */
    int status;
    int64_t stop_at_ms; /* the end of what the present step of stopping may take */

    int64_t now_ms; /* of the call that is being answered */
    struct dpc_session_actions *actions;
};

/* Every public call that answers with actions: empties them, notes the time. */
void session_begin(struct dpc_session *session, int64_t now_ms,
                   struct dpc_session_actions *actions);
/* The next action, zeroed. */
struct dpc_session_action *session_add(struct dpc_session *session,
                                       enum dpc_session_action_type type);
void session_note(struct dpc_session *session, enum dpc_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `first_ms` doubled `times` times, at most `most_ms`. */
int64_t session_doubled(int64_t first_ms, uint32_t times, int64_t most_ms);
/* Half to one and a half of it, so that workers who fell out together do not come back together. */
int64_t session_jittered(struct dpc_session *session, int64_t pause_ms);
int64_t session_clamp(int64_t value, int64_t least, int64_t most);
/* Heartbeats are due for it: in contact, with a lease on which work is done. */
bool session_lane_beats(const struct dpc_session *session, const struct session_lane *lane);
/* For any. */
bool session_beats(const struct dpc_session *session);
int64_t session_silence_ms(const struct dpc_session *session);
/* Something is being handed in, or waits for that. */
bool session_hands_in(const struct dpc_session *session);
uint64_t session_count_uploads(const struct session_lane *lane); /* bytes */
/* The line up, as measured or else `unmeasured` (0: not known), but no more than its owner allows.
 */
double session_up_bytes_per_s(const struct dpc_session *session, double unmeasured);
/* How long all that is at the back takes to go up at that rate; 0: not known. */
int64_t session_upload_ms(const struct dpc_session *session, double unmeasured);
/* `lane` NULL: the hello. */
void session_send_request(struct dpc_session *session, struct session_lane *lane);
/* Says hello from now on, the first time in `delay_ms`. */
void session_want_hello(struct dpc_session *session, int64_t delay_ms);
/* Asks for something from now on, likewise. Out of contact this is a hello's turn: session_resume
 * comes back to it. */
void session_want(struct dpc_session *session, struct session_lane *lane, enum dpc_msg_type type,
                  int64_t delay_ms);
/* For each lane that beats. */
void session_heartbeat(struct dpc_session *session);
/* The next one is due in a while, unless one is due anyway. */
void session_put_off_heartbeat(struct dpc_session *session);
void session_lose_contact(struct dpc_session *session, int64_t delay_ms);
void session_leave(struct dpc_session *session);
/* In front. */
void session_ask(struct dpc_session *session, int64_t delay_ms);
void session_ask_after_failure(struct dpc_session *session);
void session_fetch(struct dpc_session *session);
/* What is finished in front is handed in once the back is free; the front goes on. */
void session_pass(struct dpc_session *session);
/* At the back. */
void session_upload(struct dpc_session *session);
void session_submit(struct dpc_session *session);
/* A lane whose lease is over: on to what comes next, after a pause if it `failed`. */
void session_free_lane(struct dpc_session *session, struct session_lane *lane, bool failed);
void session_drop(struct dpc_session *session, struct session_lane *lane);
void session_give_back(struct dpc_session *session, struct session_lane *lane, const char *reason);
/* After a welcome: asks again for whatever the work waits for. */
void session_resume(struct dpc_session *session);
bool session_find_upload(const struct dpc_session_blobs *blobs, const struct dpc_hash *hash,
                         struct dpc_blob_ref *ret_ref);

#endif
