/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's conversation with its coordinator, as a pure state machine: it takes messages, ticks
 * and what happened to transfers and jobs, and answers with a short list of actions. No I/O, no
 * clock and no randomness of its own.
 *
 *     front: hello -> ask -> fetching -> running -> finished -+-> ask ...
 *     back:                                                   +-> uploading -> submitting
 *
 * A lease whose result is there is handed in while the next one is fetched for and computed, where
 * the coordinator allows two of them. So a slow line costs time only if it is slower than the
 * machine. Then the next lease is asked for so late that its result will find the line free: until
 * then another worker may have it.
 *
 * Contact and work are two things: when the coordinator falls silent, or a new connection stands,
 * the session says hello again, with growing pauses, while the work goes on; the hello names the
 * lease, and after the welcome the session takes up what it was about (sends the submission again,
 * fetches on). Nothing is trained twice because a coordinator restarted.
 *
 * One request of each lease waits for its answer at a time and is repeated with the same number
 * until it comes; every request is idempotent. Heartbeats stand beside it.
 *
 * Owns: copies of the leases and of the submission. Threads: one. Limits: DPC_SESSION_ACTIONS_MAX.
 * Not here: sockets, files, computing (worker/loop.c carries the actions out).
 */
#ifndef DPC_WORKER_SESSION_SESSION_H
#define DPC_WORKER_SESSION_SESSION_H

#include "base/codec.h"
#include "base/log.h"
#include "base/path_state.h"
#include "proto/message.h"

struct dpc_session;

struct dpc_session_options {
    const char *name, *build, *numeric_class; /* must outlive the session; read at each hello */
    uint64_t up_bytes_per_s_max;              /* as the owner of the machine allows; 0: no limit */
    uint64_t seed;                            /* of the jitter on pauses */
};

/* What is done with a lease. */
enum dpc_session_work {
    DPC_WORK_NONE = 0, /* asks, or waits to ask */
    DPC_WORK_FETCHING,
    DPC_WORK_RUNNING,
    DPC_WORK_FINISHED, /* and waits until what came before is handed in */
    DPC_WORK_UPLOADING,
    DPC_WORK_SUBMITTING,
    DPC_WORK_RETURNING, /* gives the lease back */
    DPC_WORK_LEAVING,
};

enum dpc_session_action_type {
    DPC_SESSION_SEND = 1,    /* `msg` on the control link */
    DPC_SESSION_JOIN,        /* take `join`: prepare for the experiment, connect the bulk link */
    DPC_SESSION_FETCH,       /* get `blobs`, then dpc_session_fetched; queued ones stay queued */
    DPC_SESSION_PASS,        /* of the lease that was computed only the result is of use: `blobs` */
    DPC_SESSION_UPLOAD,      /* `blobs` to the coordinator, then dpc_session_uploaded */
    DPC_SESSION_START,       /* compute `lease`, then dpc_session_finished or _failed */
    DPC_SESSION_CUT,         /* the job ends at its next step, with what it has then */
    DPC_SESSION_DROP,        /* the lease is over: cancel its job and fetches, unpin its blobs */
    DPC_SESSION_DROP_PASSED, /* the same of the one that was passed: its uploads */
    DPC_SESSION_LOG,         /* `level`, `text` */
    DPC_SESSION_REFUSED,     /* the coordinator does not take this numeric class: dpc_session_rejoin
                              * with another one, or end the process */
    DPC_SESSION_EXIT,        /* end the process with `status`; the last action */
};

struct dpc_session_blobs {
    uint32_t count;
    struct dpc_blob_ref refs[2 * DPC_LEVELS_MAX + 2]; /* to fetch: the lease's versions first */
    bool whole; /* versions are not to be made of others (worker/compute/versions.h) */
};

struct dpc_session_action {
    enum dpc_session_action_type type;
    union {
        struct dpc_msg msg;
        struct {
            const char *experiment, *bulk_endpoint, *mirror;
        } join;
        struct dpc_session_blobs blobs;
        struct dpc_msg_lease lease;
        struct {
            enum dpc_log_level level;
            char text[512];
        } log;
        int status;
    };
};

enum { DPC_SESSION_ACTIONS_MAX = 16 };

/* Carry them out in this order, before the next call on the session and before the next receive:
 * texts in them belong to the session or to the message that was handled. */
struct dpc_session_actions {
    uint32_t count;
    struct dpc_session_action items[DPC_SESSION_ACTIONS_MAX];
};

struct dpc_session *dpc_session_create(const struct dpc_session_options *options);
struct dpc_session *dpc_session_destroy(struct dpc_session *session);

/* Before _start: a lease of the process before this one, with `steps_done` of it in the spill, or
 * (not NULL) with a submission whose blobs are in the cache. Called for the one that was passed
 * before it is called for the other. The first hello names both; whether they still count is the
 * coordinator's to say. */
void dpc_session_restore(struct dpc_session *session, const struct dpc_msg_lease *lease,
                         uint32_t steps_done, const struct dpc_msg_submit *submit);

/* Every call below empties `actions` first. */

/* The first hello. */
void dpc_session_start(struct dpc_session *session, int64_t now_ms,
                       struct dpc_session_actions *actions);
/* A message from the control link. What does not fit the state is dropped. */
void dpc_session_message(struct dpc_session *session, const struct dpc_msg *msg, int64_t now_ms,
                         struct dpc_session_actions *actions);
/* A new connection stands: the coordinator may be another process now, so hello at once. */
void dpc_session_connected(struct dpc_session *session, int64_t now_ms,
                           struct dpc_session_actions *actions);
/* The numeric class is another one now: hello again. */
void dpc_session_rejoin(struct dpc_session *session, int64_t now_ms,
                        struct dpc_session_actions *actions);
/* While `paused` nothing new is begun: no hello, and no lease is asked for. */
void dpc_session_pause(struct dpc_session *session, bool paused, int64_t now_ms,
                       struct dpc_session_actions *actions);
/* While it `rests`, because the owner of the machine wants it, no lease is asked for; the
 * connection stays, and without a lease nothing is said over it. */
void dpc_session_rest(struct dpc_session *session, bool rests, int64_t now_ms,
                      struct dpc_session_actions *actions);
/* While `held` the job in hand stands still, for its owner's sake; its pace goes on from before. */
void dpc_session_hold(struct dpc_session *session, bool held, int64_t now_ms);
/* How long the job in hand may still take, at the pace it had so far; INT64_MAX: not known. */
int64_t dpc_session_rest_ms(const struct dpc_session *session, int64_t now_ms);
/* Until the lease in hand has had the time that it came with, less what the job still takes: for so
 * long it may stand still. Below 0: it is late as it is. INT64_MAX: nobody knows, or there is no
 * lease. */
int64_t dpc_session_slack_ms(const struct dpc_session *session, int64_t now_ms);
/* The job that runs will be done, and the line free for what comes of it, in less than `ms`. One
 * that is held will not. */
bool dpc_session_ends_within(const struct dpc_session *session, int64_t ms, int64_t now_ms);
/* What the experiment takes of a lease that cannot be finished, and in which forms it travels. */
struct dpc_session_parts {
    bool allowed;    /* a part of a round */
    bool ship_state; /* path states with it */
    bool keep_state; /* they stay in this machine's cache */
    enum dpc_codec upload;
    enum dpc_moments moments;
    uint32_t dense_path; /* whose deltas and state are fp32, and those of its replicas behind it */
};
void dpc_session_allow_parts(struct dpc_session *session, const struct dpc_session_parts *parts);
/* The machine is this worker's for `left_ms` more, for `reason`: what is fetched goes back, of what
 * is computed as much is handed in as there is time for (parting.h), or it goes back; what is being
 * handed in goes on. */
void dpc_session_yield(struct dpc_session *session, const char *reason, int64_t left_ms,
                       int64_t now_ms, struct dpc_session_actions *actions);
/* Time went by: repeats, heartbeats, deadlines. Call it when dpc_session_wait_ms is over. */
void dpc_session_tick(struct dpc_session *session, int64_t now_ms,
                      struct dpc_session_actions *actions);
/* The last FETCH list is through (`code` 0) or failed for good. */
void dpc_session_fetched(struct dpc_session *session, int code, const char *text, int64_t now_ms,
                         struct dpc_session_actions *actions);
/* The last UPLOAD list, likewise. */
void dpc_session_uploaded(struct dpc_session *session, int code, const char *text, int64_t now_ms,
                          struct dpc_session_actions *actions);
/* How far the job is; for the next heartbeat. Less than before is left out: the job has ended. */
void dpc_session_progress(struct dpc_session *session, uint32_t steps_done, double tokens_per_s);
/* The job of lease `result->token` is done, at that speed; an old lease's is dropped. */
void dpc_session_finished(struct dpc_session *session, const struct dpc_msg_submit *result,
                          double tokens_per_s, int64_t now_ms, struct dpc_session_actions *actions);
/* It failed. DPC_ECORRUPT and DPC_ENOTFOUND (a blob of the cache, already dropped from it) are
 * fetched again, and so is what had no room beside what is being handed in; other failures give the
 * lease back with `text`. */
void dpc_session_failed(struct dpc_session *session, struct dpc_token token, int code,
                        const char *text, int64_t now_ms, struct dpc_session_actions *actions);
/* The owner wants it to end: does with what runs as dpc_session_yield does, finishes what is being
 * handed in when that takes less than DPC_SESSION_STOP_MS, leaves, exits with `status`. A second
 * call ends at once. */
void dpc_session_stop(struct dpc_session *session, int status, int64_t now_ms,
                      struct dpc_session_actions *actions);

/* The same when the next process is to go on with the leases (dpc_session_restore): what runs is
 * not given back, nor what could not be handed in. */
void dpc_session_suspend(struct dpc_session *session, int status, int64_t now_ms,
                         struct dpc_session_actions *actions);

/* Milliseconds until the next tick is due; at least 0. */
int64_t dpc_session_wait_ms(const struct dpc_session *session, int64_t now_ms);

/* --- Looking in. */
/* Of the lease that is fetched for or computed; where there is none, of the one that is handed in.
 * NONE: there is neither. */
enum dpc_session_work dpc_session_work(const struct dpc_session *session);
const char *dpc_session_work_name(enum dpc_session_work work);
/* The coordinator said welcome and has not fallen silent since. */
bool dpc_session_joined(const struct dpc_session *session);
/* Of the same; NULL: there is none. */
const struct dpc_msg_lease *dpc_session_lease(const struct dpc_session *session);
/* Nothing is fetched for or computed. */
bool dpc_session_is_free(const struct dpc_session *session);
/* What the results of the lease that is fetched for will take of the cache; 0: next to nothing, as
 * of all but training. */
uint64_t dpc_session_results_bytes(const struct dpc_session *session);
/* The one that is handed in, beside that or alone; NULL: none. */
const struct dpc_msg_lease *dpc_session_handing_in(const struct dpc_session *session);
/* Inner steps, or documents, of a lease. */
uint32_t dpc_session_units(const struct dpc_msg_lease *lease);

/* What came of leases since the session was created; the owner of the machine wants to know. */
struct dpc_session_counts {
    uint64_t accepted, superseded, refused; /* by what the coordinator said of them */
    uint64_t returned;                      /* given back */
    uint64_t tokens;                        /* trained, of accepted leases */
    char reason[256];                       /* of the last one that was not accepted */
};
const struct dpc_session_counts *dpc_session_counts(const struct dpc_session *session);

/* Pauses and limits, in milliseconds. */
enum {
    /* Lines for the log: so many at once, and one in so long. A lease takes two. */
    DPC_SESSION_NOTES_BURST = 2000,
    DPC_SESSION_NOTE_MS = 100,
    DPC_SESSION_HELLO_MS = 500,       /* first pause between hellos; then doubled */
    DPC_SESSION_HELLO_MS_MAX = 10000, /* bounded, so that a restart is noticed soon */
    DPC_SESSION_FAILURE_MS = 1000,    /* before asking after a failure; then doubled */
    DPC_SESSION_FAILURE_MS_MAX = 120000,
    DPC_SESSION_WAIT_MS_MIN = 50, /* whatever a WAIT says */
    DPC_SESSION_WAIT_MS_MAX = 300000,
    DPC_SESSION_FINISHED_MS = 30000, /* at least, once the experiment has ended */
    DPC_SESSION_HEARTBEAT_MS_MIN = 50,
    DPC_SESSION_HEARTBEAT_MS_MAX = 600000,
    DPC_SESSION_SILENCE_BEATS = 4,     /* heartbeats without any answer: silence */
    DPC_SESSION_SILENCE_MS_MIN = 2000, /* however quick the heartbeat */
    DPC_SESSION_STOP_MS = 20000,       /* for handing in what is finished */
    DPC_SESSION_FAREWELL_MS = 2000,    /* for the answer to a GIVE_BACK or LEAVE at the end */
    DPC_SESSION_REFETCH_MAX = DPC_LEVELS_MAX + 4, /* damaged blobs of one lease */
    DPC_SESSION_MISSING_MAX = 5,                  /* times that a submission may lack blobs */
};

#endif
