/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator: one coordinator's core over a kv, many worker sessions and the network between
 * them, in one thread, with a clock of its own and every fault drawn from one seed. The core, the
 * sessions, the message codec, transfers, the store, blob files, the worker's cache, the records
 * and the outer step are the real ones; sockets, disks and training are not: training is a pure
 * function on 64 floats a module.
 *
 * Owns: everything of one run. Threads: one. Limits: SIM_WORKERS_MAX, SIM_EVENTS_MAX.
 * Not here: RocksDB (disk.h has the kv seam in memory).
 */
#ifndef DPC_TESTS_SIM_SIM_H
#define DPC_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "coordinator/core/why.h"
#include "coordinator/versions/refold.h"
#include "coordinator/verified.h"
#include "base/planted.h"
#include "storage/db/store.h"
#include "tests/sim/disk.h"
#include "tests/sim/markers.h"
#include "worker/blobs/cache.h"
#include "worker/session/session.h"
#include "worker/compute/spill.h"

enum {
    SIM_WORKERS_MAX = 16,
    SIM_EVENTS_MAX = 4096, /* that wait at one time; more means that something runs away */
    SIM_FLOATS = 64,       /* of a module */
    SIM_PIECES = 16,       /* of a document: dpc_experiment_pieces of what plans say */
    SIM_HEARTBEAT_MS = 1000,
    SIM_PATHS_MAX = 68, /* 64 routed ones, and 4 of the warm start */
    SIM_MODULES_MAX = 32,
    SIM_ROUNDS_MAX = 24,      /* of the dense path: warm start, rollbacks and all */
    SIM_INDEX_PATHS_MAX = 10, /* with more, indices are checked at some events only */
    SIM_VERIFIED_MAX = 64, /* blobs that the coordinator knows to be whole: few, so that they go */
    SIM_NOBODY = UINT32_MAX,
    SIM_INLINE_BYTES_MAX = 96, /* of a blob in the kv: tensors are files, states are not */
};

/* --- What a seed means (plan.c). */

struct sim_plan {
    uint64_t seed;
    bool faults;
    /* What is computed; the same without faults. */
    char yaml[2048];
    uint32_t documents, test_documents;
    /* By whom and through what. */
    uint32_t workers;
    uint32_t known;               /* that the core knows at a time; others are forgotten, or wait */
    double loss, duplication;     /* of messages */
    int64_t delay_ms;             /* mean of a message's */
    double crash_point;           /* chance that the coordinator ends inside a step */
    int64_t chaos_ms;             /* mean pause between faults */
    int64_t heal_ms;              /* from then on there are none */
    int64_t step_ms, transfer_ms; /* means */
    double transfer_failure, blob_loss;
    double not_finite; /* chance that a job ends with a value that is not finite */
    int64_t effect_ms;
    double disk_chance; /* that a fault from outside is one of a disk */
    uint32_t operations_mean,
        worker_operations_mean; /* until a process ends inside one; 0: never */
    double read_failure;
    bool lies;            /* the coordinator's disk may lose what it acknowledged */
    uint32_t cache_bytes; /* a worker's budget */
    bool elastic, sampled, early_stopping, listed;
    uint32_t levels;
    bool skips;         /* paths may skip a level */
    bool weak;          /* the first worker has no memory for paths that do not */
    bool one_lease;     /* workers take the coordinator for one that grants no second one */
    uint32_t rollbacks; /* that the operator asks for while paths are trained */
    uint32_t revokes;   /* likewise */
    bool bars, drains;  /* workers now and then */
    bool audits;        /* accepted tasks are given out again */
    bool open;          /* trust: versions depend on who trained what */
    int64_t limit_ms;   /* the experiment must have ended by then */
};
/* The same plan for the same seed. `faults` false: the reference, one worker and a quiet world. */
void sim_plan_draw(struct sim_plan *plan, uint64_t seed, bool faults);
void sim_plan_print(const struct sim_plan *plan);

/* --- Events that wait (queue.c). */

enum sim_event_type {
    SIM_TO_COORDINATOR = 1, /* payload: a frame */
    SIM_TO_WORKER,
    SIM_SUBMISSION, /* its check is done; payload: struct dpc_msg_submit */
    SIM_EFFECT,     /* payload: struct sim_effect */
    SIM_TICK,       /* of the coordinator */
    SIM_COORDINATOR_START,
    SIM_WAKE, /* a session's next tick */
    SIM_FETCHED,
    SIM_UPLOADED,
    SIM_JOB_DONE,
    SIM_SPILL, /* in the middle of a job */
    SIM_WORKER_START,
    SIM_WORKER_AWAKE, /* out of sleep */
    SIM_CONNECTED,    /* a worker's new connection stands */
    SIM_REPAIR,       /* a partition ends */
    SIM_PREEMPTED,    /* a worker's machine goes, some time after the notice */
    SIM_DISK_REPAIR,  /* of a worker's disk, or of the coordinator's (SIM_NOBODY) */
    SIM_CHAOS,
};

struct sim_event {
    int64_t at_ms;
    uint64_t order; /* of being added: breaks ties */
    enum sim_event_type type;
    uint32_t worker;
    uint32_t life;   /* of the process that it is for: what a former one waited for is lost */
    uint32_t number; /* of the wake-up, transfer or job */
    uint64_t request;
    void *payload; /* released behind the event */
    size_t len;
};

struct sim_queue {
    struct sim_event *events; /* a heap */
    uint32_t count, capacity;
    uint64_t orders;
};
void sim_queue_add(struct sim_queue *queue, struct sim_event event);
/* False when it is empty. The taker releases the payload. */
bool sim_queue_take(struct sim_queue *queue, struct sim_event *ret_event);
void sim_queue_done(struct sim_queue *queue);

/* --- The parts. */

struct sim_wire; /* transfer.c */

struct sim_worker {
    uint8_t key[DPC_WORKER_KEY_BYTES];
    char name[16];
    struct dpc_session *session; /* NULL: down */
    struct sim_disk *disk;       /* it outlives the process, unless it is lost */
    struct dpc_cache *cache;     /* on it */
    struct dpc_spill *spill;     /* on it, too */
    struct sim_wire *wire;
    struct dpc_transfer *transfer_ends; /* over it */
    uint32_t life, wake, job;
    bool asleep, cut_up, cut_down;
    double slowness;
    int64_t clock_ms; /* what its clock is ahead of ours */
    struct sim_moves {
        uint32_t number;
        struct dpc_session_blobs blobs;
    } down, up;
    bool change_gone;       /* a difference of the lease was, so that versions are fetched whole */
    struct dpc_token begun; /* the last job that this process began, and did not give up */
    int64_t job_begin_ms, job_ms;
    uint32_t job_steps, job_before; /* all of them, and those that an earlier process did */
    uint32_t cut_steps;             /* it ends after so many; 0: after all */
    struct dpc_msg_lease lease;     /* of the job */
    struct dpc_msg_submit result;   /* of the last job: memory of the process */
};

/* What the operator has revoked last, or is about to (revoke.c). */
struct sim_revoke {
    bool active, barred, settled, retrain;
    bool complete;      /* and nothing of it was left */
    uint32_t rollbacks; /* of the run by then */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint32_t since, dense_since, turns;
    uint32_t life; /* of the coordinator that was asked */
    uint32_t tainted_count;
    struct dpc_tainted *tainted;
    uint32_t tasks_count, told;
    struct dpc_refold_task tasks[SIM_MODULES_MAX]; /* done, and to be told */
    uint32_t versions_count;
    struct dpc_version_record versions[SIM_MODULES_MAX];
};

struct sim_coordinator {
    struct dpc_experiment experiment;
    struct dpc_topology topology; /* of it: workers know it when there is no core */
    char *yaml;
    struct sim_disk *disk; /* this and the next two outlive the process */
    struct dpc_kv *kv;     /* its records, without faults; the store goes through a handle */
    struct sim_history history;
    bool begun;              /* a core was rebuilt from it before */
    bool lied;               /* the last writes are lost, which the next start must notice */
    struct dpc_store *store; /* NULL: down */
    struct dpc_core *core;   /* NULL: down */
    int broken;              /* why the process must end; DPC_OK: it must not */
    char broken_text[DPC_ERROR_TEXT_MAX];
    struct dpc_verified *verified; /* by this process */
    uint32_t rollbacks, revokes;   /* so far */
    struct sim_revoke revoke;
    bool tampered; /* the submission in hand has other bits than were computed */
    struct dpc_actions actions;
    uint32_t life;
    int64_t clock_ms, ticked_ms;
    uint64_t state; /* sim_state_hash as of the last commit */
    bool paused;    /* by a full disk, since then */
    int64_t paused_ms;
    uint32_t sweeps;
    uint64_t horizon; /* touches of the store when the last sweep, or this process, began */
};

struct sim_effect {
    struct dpc_effect asked;
    struct dpc_fold_input inputs[SIM_PATHS_MAX]; /* what it points at */
    bool put_off;                                /* for want of room: it has yet to be done */
    struct dpc_event event;
    struct dpc_shard shards[SIM_PATHS_MAX];
    struct dpc_hash modules[SIM_MODULES_MAX];
};

/* What the checker remembers of what was promised (check.c). */
struct sim_round {               /* of a path */
    bool accepted, acknowledged; /* on disk; told so */
    bool disputed;               /* an audit was answered with other bits */
    uint64_t serial, first_serial;
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    struct dpc_hash parts[DPC_LEVELS_MAX];
};
struct sim_grant { /* a lease whose grant has left the coordinator */
    bool left, accepted, acknowledged;
    bool audit, audited; /* the task was accepted before; this answer is in */
    bool rating;         /* an evaluation for early stopping */
    struct dpc_msg_lease lease;
    uint32_t worker, life, accepted_life;
};
/* What was accepted in elastic mode, where a round may come in parts (elastic.c). */
struct sim_part {
    bool acknowledged;
    uint32_t path, round, steps;
    uint64_t serial, before; /* that of the part which it went on from; 0: none */
    struct dpc_hash deltas[DPC_LEVELS_MAX];
    enum dpc_lateness late[DPC_LEVELS_MAX]; /* as the disk says */
    uint32_t merged[DPC_LEVELS_MAX];        /* how often, as the ledger says */
};
/* Early stopping (best.c): of a round that is evaluated what was read so far, and those that were.
 */
struct sim_rating {
    uint32_t read; /* documents */
    uint64_t targets;
    double nats;
};
struct sim_candidate {
    uint32_t path, round;
    bool out; /* it does not compete any more */
    double loss;
    uint32_t versions[DPC_LEVELS_MAX];
};
struct sim_memory {
    struct sim_round rounds[SIM_PATHS_MAX][SIM_ROUNDS_MAX];
    bool exists[SIM_MODULES_MAX][SIM_ROUNDS_MAX];
    struct dpc_version_record versions[SIM_MODULES_MAX][SIM_ROUNDS_MAX];
    /* By module and version: leases with a lower serial were taken from discarded versions. */
    uint64_t serial_first[SIM_MODULES_MAX][SIM_ROUNDS_MAX];
    bool asked[SIM_MODULES_MAX][SIM_ROUNDS_MAX];      /* this outer step, by any life */
    uint64_t inputs[SIM_MODULES_MAX][SIM_ROUNDS_MAX]; /* what the last of them was to take */
    uint32_t parts_count, parts_capacity;
    struct sim_part *parts;
    struct sim_rating ratings[SIM_PATHS_MAX];
    uint32_t candidates_count, candidates_capacity;
    struct sim_candidate *candidates; /* in the order in which they came */
    uint32_t phases;                  /* discriminative ones that are over */
    uint32_t rounds_done[SIM_PATHS_MAX];
    uint32_t leases_count;
    bool forgotten[SIM_WORKERS_MAX];  /* by the core */
    bool lied[SIM_WORKERS_MAX];       /* brought other bits to an audit */
    uint32_t lies;                    /* told so far */
    uint64_t latest[SIM_WORKERS_MAX]; /* serial of the last lease that left for a worker */
    uint64_t serials;                 /* the first that no lease had before the present event */
    uint64_t grants_count;
    struct sim_grant *grants; /* by serial */
};

struct sim {
    struct sim_plan plan;
    bool tracing;
    struct dpc_rng rng;
    struct sim_queue queue;
    int64_t now_ms;
    int64_t healed_ms;
    int64_t accepted_ms; /* when a submission was told accepted last */
    uint64_t trace;      /* hash of all that happened */
    uint64_t events_count;
    struct dpc_msg_arena *arena;
    struct sim_coordinator coordinator;
    struct sim_worker workers[SIM_WORKERS_MAX];
    struct dpc_session_actions actions;
    struct sim_memory *memory;
    uint32_t markers[SIM_MARKERS];
    char failure[512]; /* "": none */
    struct dpc_hash outcome;
};

/* --- sim.c: one run. */
void sim_init(struct sim *sim, const struct sim_plan *plan, bool tracing);
/* True when the experiment ended and nothing was broken; else `failure` says what. */
bool sim_run(struct sim *sim);
void sim_done(struct sim *sim);
/* Keeps the first failure. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Into the hash of all that happened. */
void sim_trace(struct sim *sim, const void *bytes, size_t len);
/* A line for people, when tracing. */
void sim_note(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_mark(struct sim *sim, enum sim_marker marker);
bool sim_healed(const struct sim *sim);
bool sim_chance(struct sim *sim, double chance);
/* Around `mean_ms`, most below, a few far above. */
int64_t sim_draw_ms(struct sim *sim, int64_t mean_ms);
void sim_add(struct sim *sim, int64_t delay_ms, struct sim_event event);

/* --- network.c */
void sim_send_up(struct sim *sim, uint32_t worker, const struct dpc_msg *msg);
void sim_send_down(struct sim *sim, uint32_t worker, uint32_t life, const struct dpc_msg *msg);
/* NULL when it cannot be decoded, which fails the run. */
bool sim_decode(struct sim *sim, const struct sim_event *event, struct dpc_msg *ret_msg);

/* --- coordinator.c: what the server does around the core. */
void sim_coordinator_init(struct sim *sim);
void sim_coordinator_done(struct sim *sim);
void sim_coordinator_start(struct sim *sim);
void sim_coordinator_crash(struct sim *sim, int64_t down_ms);
void sim_coordinator_jump(struct sim *sim, int64_t by_ms);
void sim_coordinator_event(struct sim *sim, const struct sim_event *event);
/* The disk or what lies on it failed the coordinator: it ends as soon as it may. */
void sim_coordinator_broke(struct sim *sim, int code, const char *text);
/* Ends it if it must, and fails the run if no fault explains why. True: it has ended. */
bool sim_coordinator_end_if_broken(struct sim *sim);

/* --- effects.c: the executor's work, done at once and answered later. */
void sim_start_effects(struct sim *sim);
/* One that has come to its end: true when its event may be handled now. Without room it is put off,
 * and done again with room. */
bool sim_effect_is_done(struct sim *sim, const struct sim_event *event);
struct dpc_hash sim_put_blob(struct sim *sim, const void *bytes, size_t len);
bool sim_has_blob(struct sim *sim, const struct dpc_hash *hash);
struct dpc_hash sim_put_tensor(struct sim *sim, uint64_t key);

/* --- reroute.c: new routes at evaluation. */
void sim_label(struct sim *sim, struct dpc_event *event);
void sim_check_reroute_lease(struct sim *sim, const struct dpc_msg_lease *lease);

/* --- space.c: a full disk pauses the coordinator. */
/* Is there room to commit and to store? Pauses, or goes on. */
bool sim_has_room(struct sim *sim);
/* True when `code` is a full disk and no more than that; then it is paused. */
bool sim_ran_out(struct sim *sim, int code);

/* --- rollback.c: the operator wants older versions back. */
/* False: not now. */
bool sim_draw_rollback(struct sim *sim, struct dpc_version_record ret_versions[SIM_MODULES_MAX],
                       uint32_t *ret_count);

/* --- elastic.c: rounds that come in parts, and modules that do not wait. */
/* Behind the commit of a step. */
void sim_note_progress(struct sim *sim, uint32_t path, uint32_t rounds_done);
void sim_note_accepted(struct sim *sim, const struct dpc_msg_submit *submit,
                       const struct sim_grant *grant);
void sim_note_acknowledged(struct sim *sim, uint64_t serial);
/* A lease goes on exactly where a part of its round ended. */
/* To the leases of `serials`, sorted, those that went on from parts of theirs. */
void sim_add_behind(const struct sim *sim, struct dpc_serials *serials);
void sim_check_begins(struct sim *sim, const struct dpc_msg_lease *lease);
/* The disk: in this order. */
void sim_audit_part(struct sim *sim, const struct dpc_contribution_record *record);
void sim_audit_merged(struct sim *sim, const struct dpc_ledger_record *record,
                      const struct dpc_version_record *version);
void sim_audit_parts(struct sim *sim, uint32_t contributions);
uint64_t sim_inputs_hash(uint64_t hash, uint32_t path, uint64_t lease, const struct dpc_hash *delta,
                         double weight);

/* --- standing.c: the operator bars and drains workers, and takes them back. */
/* False: not now. */
bool sim_draw_standing(struct sim *sim, struct dpc_event *ret_event);
/* Likewise, for draining and for wanting them again. */
bool sim_draw_drain(struct sim *sim, struct dpc_event *ret_event);
/* A barred worker holds no lease and is told no; a drained one gets nothing new. */
void sim_check_standings(struct sim *sim, const struct dpc_event *event);

/* --- why.c: what the operator is told is what the worker is told. */
/* Behind a step in which a worker asked; `before` was foreseen. */
void sim_check_why(struct sim *sim, const struct dpc_event *event, int64_t now_ms,
                   const struct dpc_why_worker *before);

/* --- revoke.c: the operator takes out what a worker handed in. */
/* True: the core is to be told; asked again until there is nothing more to tell. */
bool sim_next_revoke(struct sim *sim, struct dpc_event *ret_event);
void sim_revoke_done(struct sim *sim);
/* A version that was folded again comes out again. */
void sim_check_refolded(struct sim *sim, const struct dpc_version_record *version);
/* At the end so do all whose contributions are still kept. */
void sim_check_replays(struct sim *sim);
/* Nothing that was revoked last stands in any module. */
void sim_check_revoked(struct sim *sim);
bool sim_is_void(const struct sim *sim, uint64_t lease, uint32_t module);

/* --- audits.c: accepted tasks that are given out again. */
bool sim_is_audit(const struct sim *sim, const struct dpc_msg_submit *submit);
/* It names what the accepted lease named. */
void sim_check_audit_lease(struct sim *sim, const struct dpc_msg_lease *lease);
/* An answer was told accepted: other bits are noticed, and held against whose they are. */
void sim_check_audited(struct sim *sim, const struct dpc_event *event);

/* --- best.c: early stopping. */
/* An evaluation that is granted now is one for early stopping. */
bool sim_is_rating(const struct sim *sim, const struct dpc_msg_lease *lease);
/* It names the versions that its round ended with. */
void sim_check_rating_lease(struct sim *sim, const struct dpc_msg_lease *lease);
/* One was accepted. */
void sim_note_rated(struct sim *sim, const struct dpc_event *event, const struct sim_grant *grant);
/* The version has taken the place of one that is discarded. */
void sim_note_discarded(struct sim *sim, const struct dpc_version_record *version);
/* Each path takes the round of the least loss. */
void sim_check_bests(struct sim *sim);
/* The disk: what was acknowledged is there; adds bests and what they were chosen from. */
void sim_audit_bests(struct sim *sim, struct dpc_buf *outcome);

/* --- sweep.c: blobs that nothing needs are removed. */
void sim_sweep(struct sim *sim);

/* --- worker.c: what the daemon does around the session. */
void sim_worker_start(struct sim *sim, uint32_t index);
void sim_worker_crash(struct sim *sim, uint32_t index, int64_t down_ms);
void sim_worker_stop(struct sim *sim, uint32_t index);
/* Told to stop, and gone in `notice_ms` whether it has stopped or not. */
void sim_worker_preempt(struct sim *sim, uint32_t index, int64_t notice_ms);
/* Its monotonic clock goes on elsewhere, as after a machine was moved or suspended. */
void sim_worker_jump(struct sim *sim, uint32_t index, int64_t by_ms);
void sim_worker_event(struct sim *sim, const struct sim_event *event);
void sim_worker_done(struct sim_worker *worker);
/* An error that the disk explains, or a failure of the run. */
void sim_worker_excuse(struct sim *sim, const struct sim_worker *worker, int code,
                       const char *text);

/* --- spill.c: what a job has come to, on the worker's disk. */
uint32_t sim_job_steps_done(const struct sim *sim, const struct sim_worker *worker);
void sim_spill_steps(struct sim *sim, struct sim_worker *worker);
void sim_spill_result(struct sim *sim, struct sim_worker *worker);
/* Before the session starts. */
void sim_spill_restore(struct sim *sim, struct sim_worker *worker);
/* Steps of the job's lease that need not be done again. */
uint32_t sim_spill_take_up(struct sim *sim, struct sim_worker *worker);

/* --- transfer.c */
void sim_transfer_open(struct sim *sim, struct sim_worker *worker);
void sim_transfer_close(struct sim_worker *worker);
/* Moves the worker's list. DPC_EAGAIN: a coordinator that ended meanwhile or whose disk is full
 * leaves the rest for another time. */
int sim_transfer(struct sim *sim, struct sim_worker *worker, bool uploads, struct dpc_error *err);

/* --- training.c: a pure function of the lease and of what it names, from the cache and into it. */
/* The core takes a module to be as large as its layout has it; what stands in for it has
 * SIM_FLOATS. So sizes change with the side: what a lease says on the way to a worker, and what a
 * submission says on the way back. */
void sim_shrink_lease(const struct sim *sim, struct dpc_msg_lease *lease);
void sim_grow_submission(const struct sim *sim, struct dpc_msg_submit *submit);
/* A hash over all that the result may depend on. */
struct dpc_hash sim_job_inputs(const struct dpc_msg_lease *lease);
int sim_train(struct sim *sim, const struct dpc_msg_lease *lease, struct sim_worker *worker,
              struct dpc_error *err);

/* --- chaos.c */
void sim_chaos(struct sim *sim);
void sim_heal(struct sim *sim);
/* A worker from the coordinator, for a while: what goes up, what goes down, or both. */
void sim_cut(struct sim *sim, uint32_t index, bool up, bool down, int64_t mean_ms);
/* For a while. SIM_NOBODY: the coordinator's. */
void sim_fill_disk(struct sim *sim, uint32_t index);
/* Room again, and every flipped bit turned back. */
void sim_repair_disk(struct sim *sim, uint32_t index);

/* --- check.c: invariants. */
uint64_t sim_state_hash(const struct dpc_core *core);
/* Before a batch is written: history is only added to. */
void sim_check_batch(struct sim *sim, const struct dpc_kv_batch *batch);
/* After a step's commit, before anything leaves. */
void sim_check_step(struct sim *sim, const struct dpc_event *event);
/* Just before the reply leaves. */
void sim_check_reply(struct sim *sim, const struct dpc_event *event);
/* The disk as a new process would find it: all that was acknowledged is there. */
void sim_check_disk(struct sim *sim);
/* So are the blobs that its records name and that a sweep keeps (audit_blobs.c). */
void sim_check_blobs(struct sim *sim);
/* As it lies on the disk, whatever reads meet. */
bool sim_find_blob(struct sim *sim, const struct dpc_hash *hash, uint64_t *ret_bytes);
/* Forks of what the coordinator has left (forks.c). */
void sim_check_forks(struct sim *sim);
/* In particular those of the round that each path takes. */
void sim_check_best_blobs(struct sim *sim);
/* The core's indices are what looking through all its tables finds (audit_index.c). */
void sim_check_index(struct sim *sim);
void sim_check_bounds(struct sim *sim);
/* The number of the worker with this key. */
uint32_t sim_worker_of(const struct sim *sim, const uint8_t *key);
struct dpc_hash sim_outcome(struct sim *sim);

#endif
