/* SPDX-License-Identifier: Apache-2.0
 *
 * The core: every decision of the coordinator, as a pure state machine. It does no I/O and has no
 * clock and no randomness of its own. The server feeds it events and carries out what it answers,
 * in this order: commit the batch, synced; then send the reply; then start the effects. A reply
 * that promises anything is therefore true on disk before it leaves.
 *
 * An experiment goes through its phases with no hand on it:
 *   prepare -> warm_start -> featurize -> shard -> train -> evaluate -> report -> finished
 * where train is left routing.phases times (train -> score -> fit -> train) to route all documents
 * anew by what paths have learned, and for new routes at evaluation left by way of three more
 * (train -> trace -> label -> reroute -> evaluate); and each phase is made of leases (train,
 * featurize, score, trace, reroute, evaluate) and of effects that the server runs (prepare, shard,
 * fold, label, report). Both can be lost at any instant: what is not in the store has not happened,
 * and dpc_core_resume asks for it again.
 *
 * A path is *ready* when all its modules have made as many outer steps as it has rounds done; so it
 * waits for the rows and columns that it shares, not for everybody (ARCHITECTURE.md, the life of a
 * round).
 *
 * Owns: its tables, rebuilt from the store alone. Threads: one (the server's loop).
 * Limits: base/limits.h. Not here: sockets, files, folding, clustering, reports.
 */
#ifndef DPC_COORDINATOR_CORE_CORE_H
#define DPC_COORDINATOR_CORE_CORE_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/topology.h"
#include "proto/message.h"
#include "storage/db/records.h"

enum dpc_phase {
    DPC_PHASE_PREPARE = 1,
    DPC_PHASE_WARM_START = 2,
    DPC_PHASE_FEATURIZE = 3,
    DPC_PHASE_SHARD = 4,
    DPC_PHASE_TRAIN = 5,
    DPC_PHASE_EVALUATE = 6,
    DPC_PHASE_REPORT = 7,
    DPC_PHASE_FINISHED = 8,
    /* Between two parts of training, routing.phases times. */
    DPC_PHASE_SCORE = 9,
    DPC_PHASE_FIT = 10,
    /* Between training and evaluation, where that has new routes. */
    DPC_PHASE_TRACE = 11,
    DPC_PHASE_LABEL = 12,
    DPC_PHASE_REROUTE = 13,
};
/* Training is over: what paths are does not change any more. */
bool dpc_phase_is_late(enum dpc_phase phase);
const char *dpc_phase_name(enum dpc_phase phase);
enum dpc_phase dpc_phase_after_warm_start(const struct dpc_experiment *experiment);

/* --- Events. */

enum dpc_event_type {
    DPC_EVENT_TICK = 1,
    /* a worker's message; each is answered by one reply */
    DPC_EVENT_HELLO,
    DPC_EVENT_ASK,
    DPC_EVENT_HEARTBEAT,
    DPC_EVENT_SUBMIT,
    DPC_EVENT_GIVE_BACK,
    DPC_EVENT_LEAVE,
    /* an effect is done; its results are blobs in the store */
    DPC_EVENT_PREPARED,
    DPC_EVENT_SHARDED,
    DPC_EVENT_LABELLED,
    DPC_EVENT_FOLDED,
    DPC_EVENT_REPORTED,
    /* the operator's */
    DPC_EVENT_ROLLBACK,
    DPC_EVENT_STANDING, /* of the event's worker */
    DPC_EVENT_REVOKE,   /* what the event's worker handed in */
    DPC_EVENT_DRAIN,    /* the event's worker, or all of them */
};

/* What the server found out about a submission before the core sees it. */
struct dpc_submission_check {
    uint32_t missing_count; /* blobs that have not arrived */
    struct dpc_hash missing[DPC_LEVELS_MAX + 2];
    uint32_t rows;    /* in the result: of documents, or of their pieces (trace, reroute) */
    uint64_t targets; /* that the rows count (evaluate, score, trace), */
    double nats;      /* and the sum of their losses */
    bool damaged;     /* a blob is not what it must be: shape, finite values, norm */
    bool not_finite;  /* in particular that */
    char text[160];   /* why */
};

struct dpc_prepared {
    struct dpc_hash corpus;
    struct dpc_hash tokenizer;               /* its file; none: tokens are bytes */
    struct dpc_hash modules[DPC_LEVELS_MAX]; /* initial dense modules: tensor blobs */
    struct dpc_blob_ref prefixes;            /* first tokens of all usable documents */
    uint32_t documents;                      /* in `prefixes` */
    struct dpc_blob_ref train;               /* all train documents: the dense path's shard */
    uint64_t train_documents, train_tokens;
    struct dpc_blob_ref test; /* all held-out documents */
    uint32_t test_documents;
    struct dpc_blob_ref early_stop; /* all early-stop documents */
    uint32_t early_stop_documents;
};

struct dpc_shard {
    struct dpc_blob_ref train, test, early_stop;
    uint64_t train_documents, train_tokens;
    double window_tokens; /* mean tokens of a window that training draws */
    uint32_t test_documents, early_stop_documents;
    uint64_t routed, stayed; /* as in struct dpc_shard_record */
};

struct dpc_sharded {
    struct dpc_hash router;
    struct dpc_blob_ref scored; /* documents of the router split; none without phases */
    uint32_t scored_documents;
    /* New routes at evaluation; as in struct dpc_phase_record. */
    struct dpc_blob_ref traced, routes;
    uint32_t traced_documents, traced_train, traced_learned, traced_router;
    uint32_t paths_count;
    const struct dpc_shard *paths; /* of the caller, [paths_count] */
    /* SHARD: what routed modules begin with, of the caller; NULL: copies of the dense ones. */
    const struct dpc_hash *modules;
};

/* Why a contribution counts less than it came with, or is told although it does not
 * (coordinator/versions/gates.h). */
enum dpc_mark {
    DPC_MARK_CLIPPED = 1,
    DPC_MARK_OPPOSED = 2,
    DPC_MARK_COPY = 4,
    DPC_MARK_IDLE = 8,
    DPC_MARK_OWNER = 16,
};

/* What the gates made of one input of an outer step. */
struct dpc_judged {
    uint32_t path;
    double scale;        /* factor on its weight */
    uint32_t marks;      /* of enum dpc_mark; 0: as it came */
    double norm, cosine; /* of the delta; with the median of the others */
    uint32_t copy_of;    /* the path with the same delta (COPY) */
};

struct dpc_folded {
    uint32_t module;
    uint32_t version; /* that was made */
    struct dpc_hash master, published, momentum;
    struct dpc_hash change;    /* `published` less that of before; none: it is `master` */
    double rescale;            /* of a step with `rda`, which only who makes it knows */
    uint32_t judged_count;     /* inputs of the step, in their order; 0: there were no gates */
    struct dpc_judged *judged; /* whoever asked for the step dpc_free's it */
};

/* To give modules the content of older versions, all at once. */
struct dpc_rollback {
    uint32_t versions_count;
    const struct dpc_version_record *versions; /* of the caller; their blobs are in the store */
};

/* A contribution that is revoked, or that holds one: a later part of the same round. */
struct dpc_tainted {
    uint64_t lease;
    uint32_t path, round;
};

/* A module as it would be without tainted contributions. */
struct dpc_refolded {
    struct dpc_version_record version; /* module, content, and as `parent` what it was made from */
    uint32_t entries_count;
    const struct dpc_ledger_entry *entries; /* what was left out; of the caller */
};

/* The event's worker is barred. What is tainted and not merged yet stays out; modules get older
 * versions, or versions without what is tainted. All of the caller. */
struct dpc_revoke {
    uint32_t tainted_count;
    const struct dpc_tainted *tainted; /* ascending by lease */
    struct dpc_rollback rollback;
    uint32_t refolded_count;
    const struct dpc_refolded *refolded; /* one whose module has moved on is dropped */
    const char *name; /* of a worker that is not known any more; else NULL will do */
};

struct dpc_event {
    enum dpc_event_type type;
    uint8_t worker[DPC_WORKER_KEY_BYTES]; /* of the messages */
    union {
        struct {
            uint64_t bytes_up, bytes_down; /* over the wire since the last tick */
            uint64_t elapsed_ms;
            bool last; /* the server stops after this one */
        } tick;
        struct {
            const struct dpc_msg_hello *message;
        } hello;
        struct dpc_msg_ask ask;
        struct {
            const struct dpc_msg_heartbeat *message;
        } heartbeat;
        struct {
            const struct dpc_msg_submit *message;
            const struct dpc_submission_check *check;
        } submit;
        struct {
            const struct dpc_msg_give_back *message;
        } give_back;
        struct dpc_prepared prepared;
        struct dpc_sharded sharded;
        struct dpc_blob_ref labelled; /* routes of the documents that the router network learns */
        struct dpc_folded folded;
        struct dpc_rollback rollback;
        enum dpc_standing standing;
        struct dpc_revoke revoke;
        struct {
            bool drained; /* from now on */
            bool all;     /* who is not barred */
        } drain;
    };
};

/* --- Actions. */

enum dpc_effect_type {
    DPC_EFFECT_PREPARE = 1, /* corpus and initial weights; answered by PREPARED */
    DPC_EFFECT_SHARD,       /* features (and scores) to router to shards; SHARDED */
    DPC_EFFECT_FOLD,        /* one outer step of one module; FOLDED */
    DPC_EFFECT_REPORT,      /* report.json, .md, .svg; REPORTED */
    DPC_EFFECT_LABEL,       /* traces to the best routes; LABELLED */
};

struct dpc_fold_input {
    uint32_t path;
    struct dpc_hash delta;
    double weight;  /* they sum to 1 over the inputs */
    double scale;   /* factor on the delta beside it; 1: as it came */
    uint32_t steps; /* inner steps of the round that it holds */
    uint32_t late;  /* rounds that it came late */
    uint64_t lease; /* serial */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
};

struct dpc_fold {
    uint32_t module;
    uint32_t version; /* to make */
    size_t count;     /* floats of the module */
    struct dpc_hash master, published, momentum;
    double lr, mu, rescale;
    bool rda;                /* by lengths and directions, whatever `rescale` is */
    bool gated;              /* by the gates of `trust: open` */
    enum dpc_codec download; /* dpc_topology_download */
    uint32_t inputs_count;
    struct dpc_fold_input *inputs; /* in canonical path order; the taker dpc_free's it */
};

/* Learning rate, momentum and form of a module's outer steps. */
void dpc_fold_set_rates(struct dpc_fold *fold, const struct dpc_experiment *experiment, bool dense);
/* Weights that sum to 1 over the inputs, at least one, and the rescale that follows from them. */
void dpc_fold_normalise(struct dpc_fold *fold, enum dpc_outer_rescale rescale);

struct dpc_effect {
    enum dpc_effect_type type;
    struct dpc_fold fold; /* FOLD */
};

struct dpc_actions {
    struct dpc_kv_batch batch; /* commit first */
    bool has_reply;            /* then send this to the event's worker; `request` is the server's */
    struct dpc_msg reply;
    char reply_text[256];               /* what texts of `reply` point at */
    char alarm[384];                    /* for people, at once; "": none */
    struct dpc_worker_record forgotten; /* has made room for another; name "": nobody */
    uint32_t effects_count, effects_capacity;
    struct dpc_effect *effects; /* then start these */
};
void dpc_actions_init(struct dpc_actions *actions);
void dpc_actions_reset(struct dpc_actions *actions);
/* Also releases the inputs of effects that were not taken. */
void dpc_actions_done(struct dpc_actions *actions);

/* --- The core. */

struct dpc_core;

struct dpc_core_options {
    uint64_t incarnation;
    uint32_t heartbeat_ms;
    const char *experiment_yaml; /* canonical; copied */
    const char *bulk_endpoint;   /* copied */
    const char *mirror;          /* copied; "" or NULL: none */
    uint32_t workers_max;        /* that are known at a time: DPC_WORKERS_MAX, but in tests */
};

/* A core for `experiment` (which must outlive it), rebuilt from what `kv` holds (nothing: begins).
 * DPC_ECORRUPT when records contradict one another. */
int dpc_core_create(const struct dpc_experiment *experiment, const struct dpc_core_options *options,
                    struct dpc_kv *kv, int64_t now_ms, struct dpc_core **ret_core,
                    struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_core *dpc_core_destroy(struct dpc_core *core);

/* After _create: the effects that were under way when the last process ended. */
void dpc_core_resume(struct dpc_core *core, struct dpc_actions *actions);

/* One event. `actions` must be reset; what a worker says wrong becomes a typed reply, never a
 * failure. */
void dpc_core_step(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                   struct dpc_actions *actions);

/* DPC_OK when a rollback would be carried out now; else the reason and what to do. */
int dpc_core_check_rollback(const struct dpc_core *core, struct dpc_error *err) DPC_MUST_CHECK;

/* True while an outer step of the module is under way that merges one of these; what is revoked
 * then is found in the version that it makes. */
bool dpc_core_folds_tainted(const struct dpc_core *core, uint32_t module,
                            const struct dpc_tainted *tainted, uint32_t tainted_count);
/* The outer step is still what its module waits for: no rollback has made it idle meanwhile. */
bool dpc_core_wants(const struct dpc_core *core, const struct dpc_fold *fold);

/* --- Looking in (admin listings, report, tests). Read-only. */

const struct dpc_phase_record *dpc_core_phase(const struct dpc_core *core);
/* The same without what ticks have added since: a process that is killed goes on from here. */
const struct dpc_phase_record *dpc_core_phase_on_disk(const struct dpc_core *core);
const struct dpc_topology *dpc_core_topology(const struct dpc_core *core);
const struct dpc_module_record *dpc_core_module(const struct dpc_core *core, uint32_t module);
const struct dpc_path_record *dpc_core_path(const struct dpc_core *core, uint32_t path);
/* Early stopping: which of the path's rounds is best so far; NULL when nobody measures it. */
const struct dpc_best_record *dpc_core_best(const struct dpc_core *core, uint32_t path);
/* Rounds that a path owes in all: the dense path's warm start counts. */
uint32_t dpc_core_path_rounds(const struct dpc_core *core, uint32_t path);
/* The same for people, and how many of them it has behind it: a replica of the dense path owes
 * those of the warm start, and is past all others. */
uint32_t dpc_core_path_owes(const struct dpc_core *core, uint32_t path);
uint32_t dpc_core_path_made(const struct dpc_core *core, uint32_t path);
/* The path trains in this round; a function of the experiment alone. Of a routed path: */
bool dpc_experiment_plans(const struct dpc_experiment *experiment, uint32_t path, uint32_t round);
/* Of any. */
bool dpc_core_plans(const struct dpc_core *core, uint32_t path, uint32_t round);
/* Those of them that it may train before the next discriminative phase. */
uint32_t dpc_core_rounds_open(const struct dpc_core *core, uint32_t path);
/* Inner steps of a path's round. */
uint32_t dpc_core_round_steps(const struct dpc_core *core, uint32_t path, uint32_t round);
/* Place of its first step in the schedule. */
uint64_t dpc_core_round_place(const struct dpc_core *core, uint32_t path, uint32_t round);
/* Rounds of the dense path that are the warm start. */
uint32_t dpc_core_warm_rounds(const struct dpc_core *core);
struct dpc_lease_view {
    uint64_t serial;
    enum dpc_task_kind kind;
    uint32_t path, round, from, to;
    uint32_t steps_done, steps_count;
    int64_t silent_ms, age_ms;
    int64_t left_ms; /* of its time; -1: it was given as long as it takes */
    double tokens_per_s;
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    bool handing_in; /* the worker is done with it, and has asked for another one */
};
/* Serial of the lease, or of the audit, that the worker holds; of two the older one, which it hands
 * in; 0: neither. */
uint64_t dpc_core_held_by(const struct dpc_core *core,
                          const uint8_t worker[static DPC_WORKER_KEY_BYTES]);
/* Does the worker hold the lease or the audit with this token? Else nothing that it hands in under
 * it is looked at. */
bool dpc_core_expects(struct dpc_core *core, const uint8_t worker[static DPC_WORKER_KEY_BYTES],
                      struct dpc_token token);
uint32_t dpc_core_leases_count(const struct dpc_core *core);
void dpc_core_lease_at(const struct dpc_core *core, uint32_t index, int64_t now_ms,
                       struct dpc_lease_view *ret_view);
/* Those of one worker, audits left out, the one that it is at work on first; how many. */
uint32_t dpc_core_leases_of(const struct dpc_core *core,
                            const uint8_t worker[static DPC_WORKER_KEY_BYTES], int64_t now_ms,
                            struct dpc_lease_view ret_views[static DPC_LEASES_MAX]);
/* Is a worker that has said nothing for so long taken to be away? */
bool dpc_core_is_silent(const struct dpc_core *core, int64_t silent_ms);
uint32_t dpc_core_workers_count(const struct dpc_core *core);
/* How long a worker has been away, for the choice of who makes room for another. */
struct dpc_absence {
    bool heard;        /* since the core began; others went before those that were */
    int64_t heard_ms;  /* on the core's clock; of those, when the core began, or 0: not known */
    uint64_t accepted; /* serial of its last lease that was accepted */
};
/* False: the worker is there or was a while ago, holds something, waits for an audit's outcome or
 * is drained. One that is not known has been away for ever. */
bool dpc_core_is_gone(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                      int64_t now_ms, struct dpc_absence *ret_absence);
bool dpc_absence_is_longer(const struct dpc_absence *absence, const struct dpc_absence *other);
/* What workers that made room had been counted for, as sums; standings and names mean nothing. */
const struct dpc_worker_record *dpc_core_forgotten(const struct dpc_core *core,
                                                   const struct dpc_conduct_record **ret_conduct);
/* What gates and audits found about the worker at that place. */
const struct dpc_conduct_record *dpc_core_conduct_at(const struct dpc_core *core, uint32_t index);
/* `*ret_silent_ms`: since it was heard of; -1: it was not since the core began. */
const struct dpc_worker_record *dpc_core_worker_at(const struct dpc_core *core, uint32_t index,
                                                   int64_t now_ms, int64_t *ret_silent_ms,
                                                   bool *ret_connected);
/* A message of the worker came over the connection of that number, which each process that connects
 * draws anew (0: not known). True when that shows, for the first time in a while, that several
 * processes work with its key at once: no restart does, nor a connection that breaks. */
bool dpc_core_note_connection(struct dpc_core *core,
                              const uint8_t worker[static DPC_WORKER_KEY_BYTES], uint64_t number,
                              int64_t now_ms);
/* Do they, as far as is known? */
bool dpc_core_is_copied(const struct dpc_core *core,
                        const uint8_t worker[static DPC_WORKER_KEY_BYTES], int64_t now_ms);
/* Elastic mode: milliseconds until the module closes its round without those that it still waits
 * for; -1: it waits for more of them, however long. */
int64_t dpc_core_closes_in(const struct dpc_core *core, uint32_t module, int64_t now_ms);
/* The first task that is not leased any more, since it failed wherever it was tried: why, its path,
 * and how often it was tried; NULL when there is none. */
const char *dpc_core_failure(const struct dpc_core *core, uint32_t *ret_path, uint32_t *ret_tries);
/* Inner steps that all paths have behind them, and that they owe. */
void dpc_core_progress(const struct dpc_core *core, uint64_t *ret_steps_done,
                       uint64_t *ret_steps_total);
/* Tasks of the present phase beside training: chunks of documents to featurize, score, trace, route
 * or evaluate; 0 of 0 in a phase that has none. */
void dpc_core_tasks(const struct dpc_core *core, uint32_t *ret_done, uint32_t *ret_total);
/* What is left of training at the pace so far, seconds; NaN before the first step. */
double dpc_core_seconds_left(const struct dpc_core *core);
/* Contributions to modules, since _create, that came so. */
uint64_t dpc_core_contributions(const struct dpc_core *core, enum dpc_lateness lateness);
/* Train loss of a path's last accepted lease (its last tenth), nats a token; NaN when none. */
double dpc_core_path_loss(const struct dpc_core *core, uint32_t path);
/* The mean of these over the paths. */
double dpc_core_loss(const struct dpc_core *core);

#endif
