/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the server share (server.c: the loop; effects.c: what the core asks for; rpc.c:
 * messages; recover.c: opening the store against the experiment file; enrol.c: who may connect;
 * admin.c: listings).
 */
#ifndef DPC_COORDINATOR_STATE_H
#define DPC_COORDINATOR_STATE_H

#include "base/json.h"
#include "base/log.h"
#include "coordinator/core/core.h"
#include "coordinator/pages/curve.h"
#include "coordinator/events.h"
#include "coordinator/executor.h"
#include "coordinator/pages/http.h"
#include "coordinator/jobs.h"
#include "coordinator/members.h"
#include "coordinator/server.h"
#include "proto/channel.h"

/* When blobs that nothing needs are removed (sweeps.c). */
struct dpc_sweeps {
    uint64_t epoch;          /* sweeps begun */
    uint32_t jobs_inside[2]; /* of this epoch and of the one before it, by the epoch's parity */
    uint64_t horizon;        /* touches of the store when the last one began */
    uint32_t folds;          /* outer steps since then */
    bool asked;              /* the disk is short: sweep although it is early */
    bool busy;
    bool known;             /* one has ended */
    struct dpc_swept last;  /* what the last one did */
    uint64_t removed_bytes; /* by all of this process */
};

/* A full disk (space.c). */
struct dpc_space {
    bool paused;
    bool swept, sweep_failed;        /* since then */
    int64_t paused_ms;               /* since when */
    uint64_t free_bytes;             /* as last asked */
    uint64_t put_off;                /* requests of workers that were told to come again */
    char reason[DPC_ERROR_TEXT_MAX]; /* why, where something failed; "": the disk is short */
    uint32_t waiting_count;
    struct dpc_job **waiting; /* jobs that begin again when there is room */
};

/* The last backup that was asked for (backups.c). */
struct dpc_backups {
    uint64_t number;
    bool wanted, busy; /* waits for a sweep to end; is being made */
    char folder[DPC_PATH_MAX];
    int code;
    struct dpc_error error;
    struct dpc_backup_counts counts;
    int64_t made_s; /* when the last one was that succeeded, Unix time; 0: none yet */
};

/* The last replay that was asked for (replays.c). */
struct dpc_replays {
    uint64_t number;
    bool running;
    bool one;                     /* version only */
    uint32_t module, modules_end; /* whose versions are at hand, and where it ends */
    uint32_t next, versions_end;  /* of that module */
    uint32_t rows_count, rows_capacity;
    struct dpc_replayed {
        uint32_t module, version, parent, contributions;
        enum dpc_version_cause cause;
        enum dpc_replay_verdict verdict;
        char *text; /* NULL: nothing is wrong */
    } * rows;
};

/* The last revoke that was asked for (revokes.c). */
struct dpc_revokes {
    uint64_t number;
    bool running, busy; /* with a job */
    bool barred;        /* the worker is, and what it handed in and was not merged is void */
    bool settled;       /* and nobody goes on from it any more */
    bool put_off;       /* what is to be told to the core waits until modules are trained again */
    bool retrain;
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    char name[DPC_NAME_MAX]; /* its own; of one that is not known any more, its key */
    bool forgotten;          /* it is not: known by its contributions alone */
    uint32_t since;
    uint32_t dense_since; /* of the dense path, not before `since` */
    uint32_t tainted_count;
    struct dpc_tainted *tainted;
    uint32_t module, tries; /* which is folded again now, for how many times */
    uint32_t leases_voided;
    uint32_t rows_count;
    struct dpc_revoked {
        uint32_t module, version, parent, left_out;
    } * rows;
    int code;
    struct dpc_error error;
};

/* The scrubber (scrub.c). */
struct dpc_scrub {
    struct dpc_keep *keep; /* what the present pass reads; NULL: none is under way */
    size_t next;
    bool busy;
    int64_t due_ms;
    uint64_t bytes;                  /* read in this pass */
    uint32_t passes, found, damaged; /* ended; bad blobs of this pass, and of the last one */
    char text[DPC_ERROR_TEXT_MAX];   /* of the last that was found */
};

struct dpc_server {
    struct dpc_experiment experiment;
    struct dpc_world world;
    struct dpc_store *store;
    struct dpc_core *core;
    struct dpc_actions actions;
    struct dpc_executor *executor;
    struct dpc_sweeps sweeps;
    struct dpc_space space;
    struct dpc_backups backups;
    struct dpc_scrub scrub;
    struct dpc_replays replays;
    struct dpc_revokes revokes;
    struct dpc_http *http;        /* NULL: none */
    struct dpc_curve *curve;      /* for its pages */
    int64_t started_s;            /* Unix time */
    struct dpc_events *events;    /* NULL: none */
    const struct dpc_job *folded; /* whose outer step the core hears of now */
    uint64_t serial_noted;        /* of the last lease that is among the events */
    struct dpc_net *net;
    struct dpc_listener *control, *bulk, *admin;
    int signals;                 /* base/signals.h; -1: not open */
    struct dpc_key public_key;   /* its own */
    struct dpc_key *worker_keys; /* those of files, which may connect */
    uint32_t worker_keys_count;
    struct dpc_members *members;       /* those that came with an invitation */
    char mirror[DPC_ENDPOINT_MAX];     /* of the blobs, for workers; "": none */
    char advertised[DPC_ENDPOINT_MAX]; /* where workers reach the control channel; "": not known */
    uint8_t *chunk;                    /* DPC_CHUNK_BYTES_MAX, for answers with a body */
    struct dpc_job *checks[DPC_CHECKS_MAX]; /* of submissions, at work or waiting; the executor's */
    uint32_t checks_count;
    struct dpc_reading *reading; /* bulk.c */
    uint64_t blob_bytes_max;     /* no upload of this experiment is larger */
    struct dpc_traffic traffic;  /* at the last tick */
    int64_t ticked_ms;
    bool stopping;
    int failure; /* what ends the daemon; DPC_OK: nothing */
    struct dpc_error failure_text;
    struct dpc_log_limit peer_faults, alarms, gated, noted, copied, crowded, flooded, said;
    uint64_t turned_away, floods_count; /* connections, as far as they are told */
    uint64_t peer_faults_count, alarms_count;
    char alarm[sizeof((struct dpc_actions *)0)->alarm]; /* the last one */
};

/* What comes of a worker's key that is used twice, and the way out. */
#define SERVER_COPIED_TEXT                                                                         \
    "they are given the same lease, and one of them trains it for nothing; stop one of them, and " \
    "let its machine join with an empty --dir, for a key of its own"

/* --- effects.c: what the core asks for. */
/* Commit, reply, effects: in this order, or nothing. `event` NULL: the core goes on from where it
 * was. */
void server_carry_out(struct dpc_server *server, const struct dpc_event *event,
                      const struct dpc_peer *peer, uint64_t request);
/* One event through the core: commit, reply to `peer` (NULL for events without one), effects. */
void server_step(struct dpc_server *server, const struct dpc_event *event,
                 const struct dpc_peer *peer, uint64_t request);
/* Ends the daemon with this error after the present turn of the loop. */
void server_fail(struct dpc_server *server, const struct dpc_error *error);
/* True when the executor has it. Else it is dropped, and that ends the daemon unless it was a
 * check, which is asked for again. */
bool server_start_job(struct dpc_server *server, struct dpc_job *job);
/* Bytes that crossed the wire and time that has passed, into the core; `last`: what it adds up is
 * to be committed, for the process ends. */
void server_tick(struct dpc_server *server, bool last);

/* --- sweeps.c */
/* Books of what is inside the executor: each job, when it goes in and when it has been finished. */
void server_note_job(struct dpc_server *server, struct dpc_job *job);
void server_forget_job(struct dpc_server *server, const struct dpc_job *job);
/* Starts a sweep when there is something to sweep and the last one is far enough back. */
void server_sweep(struct dpc_server *server);
void server_swept(struct dpc_server *server, const struct dpc_job *sweep);
/* What the last one left; false before one has ended. */
bool server_kept_bytes(const struct dpc_server *server, uint64_t *ret_bytes);

/* --- scrub.c */
/* Starts the next piece of it when it is due. */
void server_scrub(struct dpc_server *server);
void server_scrubbed(struct dpc_server *server, struct dpc_job *job);
/* In the last pass, or already in the present one. */
uint32_t server_damaged_blobs(const struct dpc_server *server);

/* --- backups.c */
/* DPC_EBUSY while one is being made. */
int server_ask_backup(struct dpc_server *server, const char *folder,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Starts the one that is wanted as soon as no sweep is under way. */
void server_begin_backup(struct dpc_server *server);
void server_backed_up(struct dpc_server *server, const struct dpc_job *job);
void server_tell_backup(const struct dpc_server *server, struct dpc_json *root);

/* --- rollbacks.c: `argument` is "MODULE VERSION" or "ROUND"; tells in `root` what was done. */
int server_roll_back_module(struct dpc_server *server, const char *argument, struct dpc_json *root,
                            struct dpc_error *err) DPC_MUST_CHECK;
int server_roll_back_round(struct dpc_server *server, const char *argument, struct dpc_json *root,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* The versions that the routed modules began the round with, and the dense ones theirs, unless
 * `dense_round` is NULL. It counts from the end of the warm start, and where it is not kept any
 * more it becomes the first that is. The caller dpc_free's them. */
int server_choose_round(struct dpc_server *server, uint32_t round, uint32_t *dense_round,
                        struct dpc_version_record **ret_versions, uint32_t *ret_count,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* All of `text`, digits only. */
bool server_read_number(const char *text, uint32_t *ret_number);

/* --- revokes.c */
/* DPC_EBUSY while one is under way; tells its number. */
int server_ask_revoke(struct dpc_server *server, const char *argument, struct dpc_json *root,
                      struct dpc_error *err) DPC_MUST_CHECK;
void server_refolded(struct dpc_server *server, struct dpc_job *job);
/* Starts the next piece of it, if it waits for nothing. */
void server_go_on_revoke(struct dpc_server *server);
void server_tell_revoke(const struct dpc_server *server, struct dpc_json *root);
void server_drop_revoke(struct dpc_server *server);

/* --- replays.c: `argument` is "", "MODULE" or "MODULE VERSION". */
/* DPC_EBUSY while one is under way; tells its number. */
int server_ask_replay(struct dpc_server *server, const char *argument, struct dpc_json *root,
                      struct dpc_error *err) DPC_MUST_CHECK;
void server_replayed(struct dpc_server *server, const struct dpc_job *job);
/* What came out, from the row on that `argument` numbers. */
int server_tell_replay(struct dpc_server *server, const char *argument, struct dpc_json *root,
                       struct dpc_error *err) DPC_MUST_CHECK;
void server_drop_replay(struct dpc_server *server);

/* --- standings.c */
/* The worker with this name or key. */
int server_find_worker(struct dpc_server *server, const char *text,
                       struct dpc_worker_record *ret_worker, struct dpc_error *err) DPC_MUST_CHECK;
/* What the worker with this key calls itself; "?": there is none. */
const char *server_worker_name(const struct dpc_server *server, const uint8_t *key);
/* The same, or the key of one that is not known any more, in `ret_text`. */
const char *server_name_or_key(const struct dpc_server *server, const uint8_t *key,
                               char ret_text[static DPC_KEY_TEXT_MAX]);
/* Takes a barred worker in again. */
int server_admit(struct dpc_server *server, const char *argument, struct dpc_json *root,
                 struct dpc_error *err) DPC_MUST_CHECK;
/* From now on the worker gets no new lease, or may get one again; "" for `argument`: all workers
 * that are not barred. Tells how many that concerns. */
int server_drain(struct dpc_server *server, const char *argument, bool drained,
                 struct dpc_json *root, struct dpc_error *err) DPC_MUST_CHECK;
/* "" when it may work. */
const char *server_standing_name(enum dpc_standing standing);

/* --- why.c: `argument` is "worker NAME", "path NAME", "module NAME" or "any NAME". Changes
 * nothing. */
int server_why(struct dpc_server *server, const char *argument, struct dpc_json *root,
               struct dpc_error *err) DPC_MUST_CHECK;

/* --- space.c */
/* Is there room to commit and to store? Asks the disk; pauses, or goes on. */
bool server_has_room(struct dpc_server *server);
/* Likewise, with the reason: for what the operator asks for and the core would commit. */
int server_check_room(struct dpc_server *server, struct dpc_error *err) DPC_MUST_CHECK;
/* True when `code` is a disk that is full and no more than that; then the server is paused, and
 * what failed, as `reason` tells, is to be tried again when there is room. */
bool server_ran_out(struct dpc_server *server, int code, const char *reason);
/* Takes the job. */
void server_put_job_off(struct dpc_server *server, struct dpc_job *job);
void server_drop_waiting(struct dpc_server *server);
/* Why it is paused: in numbers, or what failed although the store's disk has room. */
void server_tell_space(const struct dpc_server *server, char *ret_text, size_t size);

/* --- rpc.c */
/* Takes what waits on a listener, up to a share of the loop's turn. */
void server_serve_control(struct dpc_server *server);
void server_serve_bulk(struct dpc_server *server);
void server_serve_admin(struct dpc_server *server);
/* Counted, and told as often as the log bears. */
void server_note_peer_fault(struct dpc_server *server, const struct dpc_peer *peer,
                            const char *text);
/* The answer to what is refused; the peer's fault, unless `code` is DPC_EAGAIN. */
void server_reply_error(struct dpc_server *server, struct dpc_listener *listener,
                        const struct dpc_peer *peer, uint64_t request, int code, const char *text);
/* A checked submission goes on to the core. */
void server_submit(struct dpc_server *server, struct dpc_job *check);

/* --- bulk.c */
void server_begin_reading(struct dpc_server *server);
/* Before the store is closed. */
void server_end_reading(struct dpc_server *server);
/* FETCH, OFFER or PUT; the answer may come from server_take_read. */
void server_answer_bulk(struct dpc_server *server, const struct dpc_peer *peer,
                        const struct dpc_msg *msg);
/* Answers who waits for what has been read, up to a share of the loop's turn; more waits while
 * _has_ended. */
void server_take_read(struct dpc_server *server);
bool server_reading_has_ended(const struct dpc_server *server);
/* Readable while something has been. */
int server_reading_fd(const struct dpc_server *server);
bool server_reading_is_idle(const struct dpc_server *server);

/* --- recover.c */
/* Opens the store and compares the experiment file with the stored one. */
int server_open_store(struct dpc_server *server, const struct dpc_server_options *options,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Makes the core, once the listeners' endpoints are known. */
int server_recover(struct dpc_server *server, struct dpc_error *err) DPC_MUST_CHECK;

/* --- enrol.c: who may connect */
/* The folder's keys may, and those that came with an invitation and are let in. A file that cannot
 * be read changes nothing. */
int server_authorize_workers(struct dpc_server *server, struct dpc_error *err) DPC_MUST_CHECK;
/* Once the store is open: those with an invitation, and who came with one. */
int server_begin_members(struct dpc_server *server, struct dpc_error *err) DPC_MUST_CHECK;
void server_expire_members(struct dpc_server *server);
/* ENROL. */
void server_enrol(struct dpc_server *server, const struct dpc_peer *peer,
                  const struct dpc_msg *msg);
/* `argument` is "ENDPOINT USES SECONDS NOTE": ENDPOINT "-" where workers are told to go anyway,
 * USES 0 to ask the operator about each machine, NOTE may be empty. Tells the join string, once. */
int server_invite(struct dpc_server *server, const char *argument, struct dpc_json *root,
                  struct dpc_error *err) DPC_MUST_CHECK;
void server_list_invitations(const struct dpc_server *server, struct dpc_json *root);
int server_withdraw(struct dpc_server *server, const char *argument, struct dpc_json *root,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* From row `after` on, so many; returns where the next page begins, 0 when there is none. */
uint64_t server_list_members(const struct dpc_server *server, uint64_t after, uint32_t rows,
                             struct dpc_json *root);
/* Lets one in, or turns it away. */
int server_judge_member(struct dpc_server *server, const char *argument,
                        enum dpc_member_state state, struct dpc_json *root,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* --- notes.c: what happened, for --events; without it nothing is written. */
void server_note_event(struct dpc_server *server, const char *event,
                       const struct dpc_event_field *fields, size_t fields_count);
/* SERVER_NOTE(server, "phase", DPC_FIELD_TEXT("phase", name), ...) */
#define SERVER_NOTE(server, event, ...)                                                            \
    server_note_event((server), (event), (const struct dpc_event_field[]){__VA_ARGS__},            \
                      sizeof((const struct dpc_event_field[]){__VA_ARGS__}) /                      \
                          sizeof(struct dpc_event_field))
/* A step that is committed, with the core's answer to it. */
void server_note_step(struct dpc_server *server, const struct dpc_event *event);

/* --- web.c */
/* Pages for browsers and Prometheus on a loopback address; after recovery. */
int server_open_web(struct dpc_server *server, const char *address,
                    struct dpc_error *err) DPC_MUST_CHECK;
void server_close_web(struct dpc_server *server);
/* -1: there is none, and the rest does nothing. */
int server_web_fd(const struct dpc_server *server);
int64_t server_web_wait_ms(const struct dpc_server *server, int64_t most);
void server_serve_web(struct dpc_server *server);

/* --- admin.c */
/* "?" when it is none. */
const char *server_cause_name(enum dpc_version_cause cause);
/* Where a page begins: at a row, and within the entry of the ledger that a row is. */
struct server_place {
    uint64_t row;
    uint32_t entry;
};
struct server_question {
    const char *verb, *argument;
    struct server_place after;
    uint32_t rows; /* of workers, paths or modules at most; 0: as many as a page has */
};
/* The listing, or what was done, as a tree that the caller destroys; `*ret_next`: where the next
 * page begins, all 0: there is none. */
int server_tell(struct dpc_server *server, const struct server_question *question,
                struct dpc_json **ret_root, struct server_place *ret_next,
                struct dpc_error *err) DPC_MUST_CHECK;
/* Answers one admin request as JSON into `out`; an error is the asker's. */
int server_list(struct dpc_server *server, const struct dpc_msg_admin_request *request,
                struct dpc_buf *out, char *ret_next, size_t next_size,
                struct dpc_error *err) DPC_MUST_CHECK;

#endif
