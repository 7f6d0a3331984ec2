/* SPDX-License-Identifier: Apache-2.0
 *
 * What the core remembers, shared by its parts and by nobody else. Everything here but liveness is
 * rebuilt from the store.
 */
#ifndef DPC_COORDINATOR_CORE_STATE_H
#define DPC_COORDINATOR_CORE_STATE_H

#include "coordinator/core/core.h"
#include "coordinator/core/heap.h"
#include "coordinator/core/seen.h"
#include "coordinator/core/why.h"

enum { CORE_NOBODY = UINT32_MAX };

/* What a path handed in for one module. */
struct core_delta {
    struct dpc_hash hash;
    uint64_t serial; /* of its lease; 0: nothing yet */
    uint32_t path, round;
    uint32_t steps; /* of the round that it holds */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
};

/* The last version of a round of a module (best.c). */
struct core_past {
    uint32_t round, version;
    struct dpc_hash published;
};

struct core_module {
    struct dpc_module_record record;
    bool exists;    /* has its version 0 */
    bool folding;   /* a FOLD effect is under way */
    uint64_t bytes; /* of a version's tensor blob */
    uint64_t delta_bytes, change_bytes;
    uint32_t delivered; /* paths through it that have this round behind them */
    /* Elastic mode, see elastic.c. */
    int64_t begun_ms;  /* when the present round began, or this process */
    int64_t closes_ms; /* from then on it waits for nobody; INT64_MAX: not known */
    uint32_t late_count, late_capacity;
    struct core_delta *late; /* by path; they go into the round behind theirs */
    /* Early stopping: of each round that some path is yet to be evaluated at, and the present. */
    uint32_t past_count, past_capacity;
    struct core_past *past; /* by round */
};

/* Tries of a path's present round that ended with a value that is not finite (failures.c). */
struct core_failure {
    uint32_t tries;
    uint32_t workers; /* changes of worker from try to try, the first included */
    uint8_t worker[DPC_WORKER_KEY_BYTES]; /* of the last */
    char text[256];
};

struct core_path {
    struct dpc_path_record record;
    /* Of each level the last that came in time: what its module's fold takes. Nothing at levels
     * that the path skips; likewise below. */
    struct core_delta *deltas;
    /* The last submission that was accepted, and who brought it. */
    struct dpc_hash latest[DPC_LEVELS_MAX];
    uint64_t accepted_serial;       /* 0: none */
    struct dpc_hash accepted_began; /* path state that it was trained from; none: zero moments */
    uint8_t accepted_worker[DPC_WORKER_KEY_BYTES];
    double loss;
    struct core_lease *leases; /* on its training */
    /* Index of the worker that trained it last, and its neighbours among that one's paths. */
    uint32_t trained_by, before, behind;
    struct core_failure *failure; /* NULL: none */
};

/* Early stopping (best.c). */
struct core_best {
    struct dpc_best_record record;
    struct dpc_hash versions[DPC_LEVELS_MAX]; /* published forms of the best round */
    struct core_lease *leases;                /* on the evaluation of its next round */
    struct core_failure *failure;             /* of that; NULL: none */
};

/* What the task of a lease is one of. */
enum core_sort {
    CORE_TRAINING, /* a path */
    CORE_CHUNKING, /* a chunk of the phase */
    CORE_RATING,   /* a path, whose next round is evaluated for early stopping */
};

struct core_lease {
    struct dpc_lease_record record;
    enum core_sort sort;
    int64_t heard_ms, granted_ms, progressed_ms;
    bool restored;                   /* granted by a process before this one: when is not known */
    bool handing_in;                 /* its worker is done with it, and has asked for another one */
    uint32_t steps_done, steps_most; /* as last told; the most that ever was */
    uint32_t steps_count;
    double tokens_per_s;
    uint32_t task;           /* path or chunk, by the sort */
    uint64_t went_on_from;   /* serial of the lease that brought the part before; 0: not known */
    struct core_lease *next; /* on the same task */
};

enum { CORE_TASK_KINDS = DPC_TASK_REROUTE + 1 };

/* Measured over accepted leases of a kind; 0: none yet (times.c). */
struct core_pace {
    double unit_ms; /* computing a step or a document */
    double rest_ms; /* of a lease, beside computing */
};

/* What one worker brought for an audited task. */
struct core_answer {
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint64_t serial;                               /* of its lease */
    struct dpc_hash deltas[DPC_LEVELS_MAX], state; /* of the path's modules in their order */
};

/* At most so many at a time: what they name is kept from the sweep. */
enum { CORE_AUDITS_MAX = 16 };

/* An accepted task that is given out again, with all that its lease named (audits.c). */
struct core_audit {
    uint32_t path, round;
    uint64_t step_first;
    struct dpc_blob_ref versions[DPC_LEVELS_MAX], data, state;
    char numeric_class[DPC_NAME_MAX];
    uint32_t answers_count; /* the accepted one first */
    struct core_answer answers[3];
    /* Who is at work on it; serial 0: nobody. */
    uint64_t serial;
    bool handed_in; /* its worker is done, and has asked for other work */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    int64_t heard_ms;
};

/* Of a worker's submissions the last that were not accepted (why.c). */
struct core_refusals {
    uint32_t count; /* of all */
    struct dpc_refusal last[DPC_REFUSALS_KEPT];
};

enum { CORE_CONNECTIONS = 8 };

/* That messages of a worker came over (copies.c). */
struct core_connections {
    uint64_t numbers[CORE_CONNECTIONS]; /* the last heard of first; 0: none */
    uint64_t newest;                    /* of them, the last that was new */
    int64_t first_ms, last_ms;          /* when an older one was heard of behind it; 0: never */
};

struct core_worker {
    struct dpc_worker_record record;
    struct dpc_conduct_record conduct; /* on disk once there is anything to tell */
    int64_t heard_ms;
    bool heard; /* since the start */
    bool connected;
    double tokens_per_s;
    char numeric_class[DPC_NAME_MAX]; /* of its last hello; "": none since the start */
    struct core_lease *lease;         /* that it is at work on; NULL: none, or an audit's */
    struct core_lease *handing_in;    /* one from before, whose results come; NULL: none */
    /* core_path_bytes of the smallest path that did not fit its memory since its last hello; 0:
     * none. It gets smaller ones alone. */
    uint64_t too_large;
    uint32_t fruitless;                   /* leases in a row that came to nothing (leases.c) */
    int64_t not_before_ms;                /* it gets no other one */
    int64_t write_after_ms;               /* what its word alone changes (waits.c) */
    uint32_t first_trained, last_trained; /* its paths, the longest ago first */
    struct core_refusals *refusals;       /* NULL: none since the start */
    struct core_connections connections;
};

/* A chunk of documents to featurize or to evaluate. */
struct core_chunk {
    uint32_t path, from, to;
    bool done;
    struct core_lease *leases;
    struct core_failure *failure; /* NULL: none */
};

/* Tasks of one sort, see tasks.c. */
struct core_tasks {
    struct core_heap waiting; /* by merit */
    struct core_heap watched; /* by the instant from which their leases count as silent */
};

struct dpc_core {
    const struct dpc_experiment *experiment;
    struct dpc_topology topology;
    char *experiment_yaml;
    char *bulk_endpoint, *mirror;
    uint64_t incarnation;
    uint32_t heartbeat_ms;
    uint32_t warm_rounds;

    struct dpc_phase_record phase, phase_on_disk;
    int64_t now_ms;      /* of the event in hand */
    uint64_t elapsed_ms; /* below the record's whole seconds */
    /* The dense modules as the warm start left them: version `warm_rounds`. */
    struct dpc_version_record warm[DPC_LEVELS_MAX];
    struct core_module *modules; /* [topology.modules_count] */
    struct core_path *paths;     /* [topology.paths_count] */
    struct core_delta *deltas;   /* of the paths, [topology.levels_count] each */

    uint32_t leases_count, leases_capacity;
    struct core_lease **leases; /* by serial, ascending */
    uint32_t workers_count, workers_capacity, workers_max;
    struct core_worker *workers;
    uint32_t helpers_count;      /* of them: those that are connected and not drained */
    int64_t silent_looked_ms;    /* when it was last looked who of them is silent */
    uint32_t failures_count;     /* paths that have one */
    uint32_t worker_slots_count; /* a power of two */
    uint32_t *worker_slots;      /* see tables.c */
    /* Sums over the workers that made room for others (gone.c). */
    struct dpc_worker_record forgotten;
    struct dpc_conduct_record forgotten_conduct;
    uint32_t chunks_count, chunks_left;
    struct core_chunk *chunks; /* of the phase, if it has any; by (path, from) */
    struct core_tasks training, chunking, rating;
    struct core_best *bests; /* [topology.paths_count]; NULL: there is no early stopping */
    uint32_t voids_count, voids_capacity;
    struct dpc_void_record *voids; /* ascending by lease and module */
    uint32_t audits_count;
    struct core_audit audits[CORE_AUDITS_MAX]; /* the oldest first */
    struct core_seen seen;                     /* deltas of accepted contributions; trust: open */

    struct core_pace paces[CORE_TASK_KINDS];  /* by enum dpc_task_kind */
    uint64_t contributions[DPC_TOO_LATE + 1]; /* since it was made, by enum dpc_lateness */
};

/* --- actions.c: what a step asks of the server. */
void core_put_phase(struct dpc_core *core, struct dpc_actions *actions);
/* The next entry of the ledger: gives it its sequence and its link to the one before. */
void core_put_ledger(struct dpc_core *core, struct dpc_ledger_record *record,
                     struct dpc_actions *actions);
struct dpc_effect *core_add_effect(struct dpc_actions *actions, enum dpc_effect_type type);
struct dpc_msg *core_reply(struct dpc_actions *actions, enum dpc_msg_type type);
/* A typed refusal, with a printf text. */
void core_reply_error(struct dpc_actions *actions, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The answer to a submission. */
struct dpc_msg *core_reply_submitted(struct dpc_actions *actions, struct dpc_token token,
                                     enum dpc_verdict verdict);

/* --- schedule.c: which rounds paths train in; more of it in core.h. */
bool core_is_dense(const struct dpc_core *core, uint32_t path);
/* Of the dense path: there for the warm start alone, after which no round plans it. */
bool core_is_replica(const struct dpc_core *core, uint32_t path);
/* The first round from this one on in which the path trains; behind the last: as many as it has. */
uint32_t core_next_round(const struct dpc_core *core, uint32_t path, uint32_t round);
/* Rounds that the module owes, as does each path through it. */
uint32_t core_module_rounds(const struct dpc_core *core, uint32_t module);
/* Tokens of that many inner steps, as the core counts them. */
uint64_t core_tokens_of(const struct dpc_core *core, uint32_t steps);

/* --- restore.c */
/* Fills tables that are empty from what the store holds. DPC_ECORRUPT when records contradict one
 * another. */
int core_restore(struct dpc_core *core, struct dpc_kv *kv, int64_t now_ms,
                 struct dpc_error *err) DPC_MUST_CHECK;

/* --- why.c: decisions that come with their reason. */
/* What comes of asking; LEASE: nothing is in the way, but there may be no task. NULL: unknown. */
enum dpc_ask core_judge_ask(const struct dpc_core *core, const struct core_worker *worker,
                            int64_t now_ms);
/* What a worker that gets no lease is told; else "". */
void core_tell_ask(const struct dpc_core *core, const struct core_worker *worker, enum dpc_ask ask,
                   int64_t now_ms, char ret_text[static DPC_WHY_TEXT_MAX]);
void core_note_refusal(const struct dpc_core *core, struct core_worker *worker,
                       const struct dpc_msg_submit *submit, enum dpc_verdict verdict,
                       const char *text);

/* --- waits.c: how long a worker waits before it asks again, or is written of. */
/* After which one that gets no lease is to ask again. */
uint32_t core_retry_after(const struct dpc_core *core, const struct core_worker *worker,
                          enum dpc_ask ask, int64_t now_ms);
/* A lease of the worker's came to nothing; with the second in a row it gets the next one later. */
void core_note_fruitless(const struct dpc_core *core, struct core_worker *worker);
/* May the record of a worker change for nothing but that it said something? Not again at once. */
bool core_may_write_of(const struct dpc_core *core, struct core_worker *worker);

/* --- classes.c: who computes the same. */
/* `known` is as much of a class as a record keeps. */
bool core_is_class(const char *known, const char *numeric_class);
/* May workers of this class get leases now? `worker`, who says so, may be NULL. */
bool core_class_is_welcome(const struct dpc_core *core, const struct core_worker *worker,
                           const char *numeric_class);
void core_tell_class(const struct dpc_core *core, const struct core_worker *worker,
                     const char *numeric_class, char *ret_text, size_t size);
/* Strict mode: what the worker handed in is accepted, and all else is of its numeric class. */
void core_keep_class(struct dpc_core *core, const struct core_worker *worker);

/* --- leases.c: who works on what. */
void core_on_hello(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                   struct dpc_actions *actions);
void core_on_ask(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                 struct dpc_actions *actions);
void core_on_heartbeat(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                       struct dpc_actions *actions);
void core_on_give_back(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                       struct dpc_actions *actions);
void core_on_leave(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                   struct dpc_actions *actions);

/* --- standing.c: who may work. */
/* From now on it gets no lease, those that it holds are void, and what it still hands in is
 * refused. What it handed in before stands. Nothing to do when it is barred already. */
void core_bar_worker(struct dpc_core *core, struct core_worker *worker, enum dpc_standing standing,
                     struct dpc_actions *actions);
void core_on_standing(struct dpc_core *core, const struct dpc_event *event,
                      struct dpc_actions *actions);
/* A drained worker finishes what it holds; others may back that up, as ever. */
void core_on_drain(struct dpc_core *core, const struct dpc_event *event,
                   struct dpc_actions *actions);
/* Something of it came just now. */
static inline void
core_note_heard(struct core_worker *worker, int64_t now_ms)
{
    worker->heard = true;
    worker->heard_ms = now_ms;
}

/* Why, and whom to ask, for people. */
void core_tell_barred(const struct core_worker *worker, char *ret_text, size_t size);

/* --- gone.c: who has gone, and makes room for others. */
/* One that was killed says nothing of it. */
void core_note_silent(struct dpc_core *core);
/* One that is not known, from now on; NULL: there is no place, and nobody who may be forgotten.
 * Pointers to others do not last. */
struct core_worker *core_take_in(struct dpc_core *core, const uint8_t *key,
                                 struct dpc_actions *actions);
/* Is that the record of the sum, not of a worker? */
bool core_restore_forgotten(struct dpc_core *core, const struct dpc_worker_record *record);
void core_restore_forgotten_conduct(struct dpc_core *core, const struct dpc_conduct_record *record);

/* --- copies.c: two processes with one key. */
bool core_is_copied(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms);

/* --- tables.c: workers and leases, found without looking through all. */
struct core_worker *core_find_worker(const struct dpc_core *core, const uint8_t *key);
/* One that is not there yet; pointers to others do not last. */
struct core_worker *core_add_worker(struct dpc_core *core, const struct dpc_worker_record *record);
/* Another in the place of one that has no lease and no path. */
void core_replace_worker(struct dpc_core *core, struct core_worker *worker,
                         const struct dpc_worker_record *record);
struct core_lease *core_find_lease(struct dpc_core *core, uint64_t serial);
/* Of the sort, on the path or chunk number `task`; the caller places the task again. */
struct core_lease *core_add_lease(struct dpc_core *core, const struct dpc_lease_record *record,
                                  enum core_sort sort, uint32_t task);
/* The worker hands in its lease from now on. */
void core_note_handing_in(struct core_worker *worker);
void core_end_lease(struct dpc_core *core, struct core_lease *lease, struct dpc_actions *actions);
/* Ends every lease on the same task as `of`, and `of` itself. */
void core_end_task_leases(struct dpc_core *core, const struct core_lease *of,
                          struct dpc_actions *actions);
void core_free_tables(struct dpc_core *core);

/* --- tasks.c: what is next. Each call places tasks anew after a change. */
void core_refresh_path(struct dpc_core *core, uint32_t path);
void core_refresh_paths(struct dpc_core *core);
void core_refresh_chunk(struct dpc_core *core, uint32_t chunk);
void core_refresh_rating(struct dpc_core *core, uint32_t path);
void core_refresh_task(struct dpc_core *core, enum core_sort sort, uint32_t task);
/* A sign of life for a lease. */
void core_hear_of(struct dpc_core *core, struct core_lease *lease, int64_t now_ms);
/* `worker` has trained the path last, from now on. */
void core_note_trained(struct dpc_core *core, uint32_t path, struct core_worker *worker);
/* It has trained none last, from now on. */
void core_leave_paths(struct dpc_core *core, struct core_worker *worker);
/* Until others may have the task; 0: they may; -1: nobody may. */
int64_t core_open_in(const struct dpc_core *core, enum core_sort sort, uint32_t task,
                     int64_t now_ms);
/* The task that this worker should do, of which sort it is, and its number as path or chunk; false:
 * none waits. */
bool core_choose(struct dpc_core *core, const struct core_worker *worker, int64_t now_ms,
                 struct dpc_lease_record *ret_task, enum core_sort *ret_sort, uint32_t *ret_index);
/* What would be chosen for it now: DPC_ASK_LEASE, _TOO_LARGE or _NOTHING. */
enum dpc_ask core_foresee_choice(const struct dpc_core *core, const struct core_worker *worker,
                                 int64_t now_ms);
/* Tasks that somebody holds, and how long until the first of them is for others, too; INT64_MAX:
 * none is held. `but` is a lease that does not stand any more and counts for nothing; NULL: none.
 */
uint32_t core_tasks_held(const struct dpc_core *core, const struct core_lease *but, int64_t now_ms,
                         int64_t *ret_until_ms);
/* Those that wait for somebody, where so many are held; and those that failed wherever they were
 * tried. */
uint32_t core_tasks_ready(const struct dpc_core *core, uint32_t held);
uint32_t core_tasks_failing(const struct dpc_core *core);
/* As far as the worker has said, it has the memory for the path. */
bool core_fits(const struct dpc_core *core, const struct core_worker *worker, uint32_t path);

/* --- times.c: how long a task should take, and how large it is. */
/* Of the versions of its modules. */
uint64_t core_path_bytes(const struct dpc_core *core, uint32_t path);
/* Inner steps or documents. */
uint32_t core_units(const struct dpc_core *core, const struct dpc_lease_record *task);
void core_measure(struct dpc_core *core, const struct core_lease *lease,
                  const struct dpc_msg_submit *submit, int64_t now_ms);
/* Time that a lease on the task is given; UINT32_MAX while nothing is known. */
uint32_t core_time_for(const struct dpc_core *core, const struct dpc_lease_record *task);
/* The first instant from which another worker that begins would be through with it much earlier, as
 * measured so far, unless the lease makes progress. */
int64_t core_behind_from(const struct dpc_core *core, const struct core_lease *lease);
/* It has not left, and was heard of lately. */
bool core_is_there(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms);

/* --- failures.c: tasks that fail wherever they are tried. Who notes or forgets one places the task
 * again. */
void core_note_failure(struct dpc_core *core, const struct core_lease *lease, const char *text);
void core_forget_failure(struct dpc_core *core, enum core_sort sort, uint32_t task);
/* Of all chunks. */
void core_forget_chunk_failures(struct dpc_core *core);
/* A worker says hello or is heard of again, or leaves. */
void core_set_connected(struct dpc_core *core, struct core_worker *worker, bool connected);
void core_set_drained(struct dpc_core *core, struct core_worker *worker, bool drained);
/* More often than it takes to know: who goes on is no help. */
bool core_fails_often(const struct dpc_core *core, const struct core_lease *lease);
bool core_fails_everywhere(const struct dpc_core *core, enum core_sort sort, uint32_t task);
/* NULL: none. */
const struct core_failure *core_failure_of(const struct dpc_core *core, enum core_sort sort,
                                           uint32_t task);

/* --- submissions.c: what workers hand in. */
void core_on_submit(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                    struct dpc_actions *actions);
/* A contribution on record, into the tables. */
void core_take_contribution(struct dpc_core *core, const struct dpc_contribution_record *record);

/* --- rounds.c: readiness, outer steps. */
void core_on_folded(struct dpc_core *core, const struct dpc_folded *folded,
                    struct dpc_actions *actions);
/* Starts the outer step of every module whose planned paths have delivered. */
void core_fold_what_is_complete(struct dpc_core *core, struct dpc_actions *actions);
/* Counts the paths that have a module's present round behind them; submissions keep it up to date.
 */
void core_count_delivered(struct dpc_core *core, uint32_t module);
/* A new version of a module, whose round it may end. `change`: what its published form is more than
 * that of the version before; none: no such difference is known. */
void core_append_version(struct dpc_core *core, struct dpc_version_record *version,
                         const struct dpc_hash *change, struct dpc_actions *actions);
/* It was trained from a version of the module that still counts. */
bool core_is_merged(const struct dpc_core *core, const struct core_delta *delta, uint32_t module);
bool core_round_is_ready(const struct dpc_core *core, uint32_t path);
/* For the path's next round. */
enum dpc_lack core_lack_of(const struct dpc_core *core, uint32_t path, uint32_t module);
enum dpc_module_standing core_judge_module(const struct dpc_core *core, uint32_t module);

/* --- elastic.c: modules that do not wait for everybody. In strict mode all of it is idle. */
/* How late a contribution of the path to one of its modules would be now. */
enum dpc_lateness core_lateness(const struct dpc_core *core, uint32_t path, uint32_t module,
                                uint32_t round);
/* Keeps a late one for the next round, in place of an earlier part of it. */
void core_add_late(struct core_module *module, const struct core_delta *delta);
/* The late one of a path that the module's present round takes; NULL: none. */
const struct core_delta *core_find_late(const struct core_module *module, uint32_t path);
/* Who has something of its present round, or is still at it, has changed. */
void core_refresh_closing(struct dpc_core *core, uint32_t module);
void core_refresh_closing_along(struct dpc_core *core, uint32_t path);
/* A lease on this round of the path has ended: if the path missed it, modules that wait for what
 * was still to come may wait in vain. */
void core_refresh_overdue(struct dpc_core *core, uint32_t path, uint32_t round);
enum dpc_module_standing core_judge_closing(const struct dpc_core *core, uint32_t module);
/* Of the paths through a module in its present round: who trains in it, has handed in all of it,
 * has it behind it. */
void core_count_paths(const struct dpc_core *core, uint32_t module, struct dpc_why_module *why);
/* A round has begun: paths through the module that did not get there have missed the one before. */
void core_catch_up(struct dpc_core *core, uint32_t module, struct dpc_actions *actions);
/* Somebody may yet merge what a lease on this round of the path brings. */
bool core_is_wanted(const struct dpc_core *core, uint32_t path, uint32_t round);
/* Inner steps that a lease on the path gives this worker: all that are left, or a share of them. */
uint32_t core_lease_steps(const struct dpc_core *core, const struct core_worker *worker,
                          uint32_t path);
/* What the lease said when it was granted can be said again. */
bool core_stands(const struct dpc_core *core, const struct core_lease *lease);

/* --- best.c: early stopping. Without it all of this is idle. */
/* Rounds of the path that are over and not evaluated on its early-stop documents. */
uint32_t core_rounds_unrated(const struct dpc_core *core, uint32_t path);
/* No path has any; the dense one may, unless asked for. */
bool core_all_are_rated(const struct dpc_core *core, bool dense_too);
/* A version that is the present one from now on. */
void core_note_past(struct dpc_core *core, const struct dpc_version_record *version);
/* The choice begins, with these documents and the versions as they are; 0 documents, or a dense
 * path that ends with the warm start: there is none. */
void core_begin_best(struct dpc_core *core, uint32_t path, const struct dpc_blob_ref *documents,
                     uint32_t documents_count, struct dpc_actions *actions);
/* `version` has taken the place of one that is discarded. */
void core_discard_best(struct dpc_core *core, uint32_t path,
                       const struct dpc_version_record *version, struct dpc_actions *actions);
/* Versions and data of a lease of the sort rating. */
void core_fill_rating(const struct dpc_core *core, const struct dpc_lease_record *task,
                      struct dpc_msg_lease *lease);
void core_accept_rating(struct dpc_core *core, const struct core_lease *lease,
                        const struct dpc_submission_check *check, struct dpc_actions *actions);
/* Published forms of the path's best round, in its order; NULL: the newest are to be taken. */
const struct dpc_hash *core_best_versions(const struct dpc_core *core, uint32_t path);
/* After modules and paths. */
int core_restore_bests(struct dpc_core *core, struct dpc_kv *kv,
                       struct dpc_error *err) DPC_MUST_CHECK;

/* --- trust.c: what the gates found, kept as the conduct of workers. */
/* One of these deltas was handed in for another task before: nothing was trained for it. */
bool core_is_stale(const struct dpc_core *core, const struct dpc_msg_submit *submit);
/* Nobody does so by mistake: the worker is barred, for it would ask for the same task again. */
void core_note_stale(struct dpc_core *core, struct core_worker *worker,
                     struct dpc_actions *actions);
/* An accepted delta, which must not come again. */
void core_note_delta(struct dpc_core *core, const struct dpc_contribution_record *record);
/* Of the input number `index` of an outer step. */
double core_judged_scale(const struct dpc_folded *folded, uint32_t index);
void core_note_judged(struct dpc_core *core, const struct dpc_fold *fold,
                      const struct dpc_folded *folded, struct dpc_actions *actions);

void core_put_conduct(const struct core_worker *worker, struct dpc_actions *actions);

/* --- audits.c: tasks that are given out again, to see whether others bring the same. */
/* The worker's submission for this lease is about to be accepted: is it to be repeated? */
void core_consider_audit(struct dpc_core *core, const struct core_lease *lease,
                         const struct dpc_msg_submit *submit, const struct core_worker *worker);
/* Replies with the lease of one that the worker may take, or has taken; of those that are overdue
 * alone, if asked so. False: there is none. */
bool core_grant_audit(struct dpc_core *core, struct core_worker *worker, bool overdue,
                      int64_t now_ms, struct dpc_actions *actions);
/* It would be granted one. */
bool core_has_audit_for(const struct dpc_core *core, const struct core_worker *worker,
                        int64_t now_ms);
/* The audit that the worker is at work on under this token; NULL: none. */
struct core_audit *core_find_audit(struct dpc_core *core, const struct core_worker *worker,
                                   struct dpc_token token);
/* The audit that the worker holds, under whatever serial; NULL: none. */
const struct core_audit *core_audit_held_by(const struct dpc_core *core,
                                            const struct core_worker *worker);
/* Is it at work on one, or is what it brought held against others' still? */
bool core_is_audited(const struct dpc_core *core, const struct core_worker *worker);
/* The worker has done the one that it holds, and hands it in. */
void core_note_audit_handed_in(struct dpc_core *core, const struct core_worker *worker);
/* It goes on with no other one than those of the serials. */
void core_leave_audit(struct dpc_core *core, const struct core_worker *worker, uint64_t held_serial,
                      uint64_t handed_in_serial);
/* A rollback has discarded what the module's paths were trained from. */
void core_drop_audits(struct dpc_core *core, uint32_t module);
/* The worker's submission for it: answered, and held against the others'. */
void core_on_audited(struct dpc_core *core, struct core_audit *audit, struct core_worker *worker,
                     const struct dpc_msg_submit *submit, struct dpc_actions *actions);

/* --- rollback.c: older versions again. */
/* Has the module the content of this version now? */
bool core_has_content(const struct dpc_core *core, const struct dpc_version_record *version);
/* The content of this version again. */
void core_roll_back(struct dpc_core *core, const struct dpc_version_record *version,
                    struct dpc_actions *actions);
/* A version, of the present round, that takes the place of the present one: what hangs on that is
 * fenced off. `left_out` is what the ledger says about it. */
void core_replace_version(struct dpc_core *core, struct dpc_version_record *version,
                          const struct dpc_ledger_entry *left_out, uint32_t left_out_count,
                          struct dpc_actions *actions);
/* Leases on the path are void, and it begins with fresh moments. */
void core_reset_path(struct dpc_core *core, uint32_t path, struct dpc_actions *actions);
void core_on_rollback(struct dpc_core *core, const struct dpc_rollback *rollback,
                      struct dpc_actions *actions);

/* --- revoke.c: contributions that do not count any more. */
void core_on_revoke(struct dpc_core *core, const struct dpc_event *event,
                    struct dpc_actions *actions);
void core_add_void(struct dpc_core *core, const struct dpc_void_record *record);
bool core_is_void(const struct dpc_core *core, uint64_t lease, uint32_t module);

/* --- compare.c: an alarm when strict mode gets two results of one task that differ. */
void core_compare_superseded(const struct dpc_core *core, const struct core_worker *worker,
                             const struct dpc_msg_submit *submit, struct dpc_actions *actions);

/* --- phases.c: from one phase to the next. */
/* The phase is an effect of the coordinator's. */
bool core_works_alone(const struct dpc_core *core);
void core_add_phase_effect(const struct dpc_core *core, struct dpc_actions *actions);
void core_enter_phase(struct dpc_core *core, enum dpc_phase phase, struct dpc_actions *actions);
void core_on_prepared(struct dpc_core *core, const struct dpc_prepared *prepared,
                      struct dpc_actions *actions);
void core_on_sharded(struct dpc_core *core, const struct dpc_sharded *sharded,
                     struct dpc_actions *actions);
/* Moves on when the phase has nothing left to do. */
void core_advance(struct dpc_core *core, struct dpc_actions *actions);
/* Fills the chunk table of the present phase, in which no lease may stand any more. */
void core_plan_chunks(struct dpc_core *core);
/* What a lease on a chunk of the present phase is for. */
enum dpc_task_kind core_chunk_kind(const struct dpc_core *core);
/* `phase` of its result. */
uint32_t core_chunk_phase(const struct dpc_core *core);
/* Rows of the result that a task of a chunk owes. */
uint64_t core_rows_of(const struct dpc_core *core, const struct dpc_lease_record *task);
void core_on_labelled(struct dpc_core *core, const struct dpc_blob_ref *routes,
                      struct dpc_actions *actions);
/* The chunk with these bounds; NULL when there is none. */
struct core_chunk *core_find_chunk(struct dpc_core *core, uint32_t path, uint32_t from,
                                   uint32_t to);
void core_finish_chunk(struct dpc_core *core, struct core_chunk *chunk);

#endif
