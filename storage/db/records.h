/* SPDX-License-Identifier: Apache-2.0
 *
 * The typed records of a coordinator's store. Each has put (into a batch), load (one) and scan (all
 * of its kind, in key order). The coordinator's core writes batches and is rebuilt from these
 * alone.
 *
 * Owns: nothing; records are plain values. Threads: as the kv.
 * A record of a newer schema or of the wrong length is DPC_ECORRUPT or DPC_EVERSION, never a guess.
 */
#ifndef DPC_STORAGE_DB_RECORDS_H
#define DPC_STORAGE_DB_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/limits.h"
#include "storage/db/kv.h"

/* Raised when the meaning of records changes; a store with a larger number is refused. */
enum { DPC_SCHEMA_VERSION = 1 };

enum {
    DPC_WORKER_KEY_BYTES = 32,
    /* In an entry of the ledger: of each path what came in time, and what came late. */
    DPC_CONTRIBUTION_ENTRIES_MAX = 2 * DPC_PATHS_MAX,
};

/* One: what this store is. */
struct dpc_store_record {
    uint32_t schema;
    uint64_t incarnation; /* random at creation and after each restore */
};

/* One: where the experiment stands. */
struct dpc_phase_record {
    uint32_t phase;              /* coordinator/core/core.h */
    uint64_t next_serial;        /* of lease tokens */
    uint64_t ledger_next;        /* sequence of the next ledger entry */
    struct dpc_hash ledger_head; /* hash of the last ledger entry */
    struct dpc_hash corpus;      /* of the token file that training began with */
    struct dpc_hash prefixes;    /* token file: first tokens of all documents */
    uint64_t prefixes_bytes;
    uint32_t documents;               /* in `prefixes` */
    struct dpc_hash router;           /* routing/kmeans.h, once fitted */
    struct dpc_hash warm_state;       /* path state at the end of the warm start */
    uint64_t seconds;                 /* spent on the experiment so far, all sessions together */
    uint64_t bytes_up, bytes_down;    /* over the wire so far, seen from the workers */
    char numeric_class[DPC_NAME_MAX]; /* strict mode: that of the first worker; "": none yet */
    uint64_t warm_state_bytes;        /* 0 before format 2 */
    uint32_t routing_phases;          /* discriminative ones that are over */
    struct dpc_hash scored;           /* token file of the router split, which they score */
    uint64_t scored_bytes;
    uint32_t scored_documents;
    /* New routes at evaluation; 0 before format 3. */
    struct dpc_hash traced; /* token file: documents of train, then router's, then held-out ones */
    uint64_t traced_bytes;
    uint32_t traced_documents; /* in all */
    /* The first ones: those of train; with them those of router that the network learns from; with
     * them those that it is set by. */
    uint32_t traced_train, traced_learned, traced_router;
    struct dpc_hash routes; /* the paths that they are on; once traced, a route for each piece */
    uint64_t routes_bytes;
    struct dpc_hash tokenizer; /* its file; none: tokens are bytes. So before format 4 */
};

/* A fork: this store was made of another one, as that stood when so many rounds of routed paths
 * were over. Older forks of which that one was made itself come before it. */
struct dpc_origin_record {
    uint32_t number; /* counts them, from 0 */
    uint32_t round;
    uint64_t incarnation; /* of the store that it was made of */
    /* What outer steps up to that round were made with; the present experiment may differ. */
    double lr, momentum;
    uint32_t rescale;    /* enum dpc_outer_rescale */
    uint32_t warm_start; /* 1: the warm start alone was taken; 0 before format 2 */
    /* That the warm start read, all its replicas together, whose batches may have been others than
     * those of the present experiment; 0 before format 3. */
    uint64_t warm_tokens;
};

/* Current version of a module. `version` counts its versions; 0 is where training began. Most are
 * outer steps; `rollbacks` counts those that are not. */
struct dpc_module_record {
    uint32_t module;
    uint32_t version;
    struct dpc_hash master, published; /* tensor blobs */
    struct dpc_hash momentum;          /* none: zero */
    uint64_t rollbacks;                /* among the versions; 0 before format 2 */
    uint64_t serial_first; /* leases below were taken from versions that a rollback discarded */
    /* Where `published` is a version before it, `changed`, plus a difference: the blob of that.
     * None: it is not; so before format 3. */
    struct dpc_hash change, changed;
};

/* Outer steps that a module has behind it, which is the round that its version begins. */
static inline uint32_t
dpc_module_round(const struct dpc_module_record *module)
{
    return (uint32_t)(module->version - module->rollbacks);
}

enum dpc_version_cause {
    DPC_CAUSE_INITIAL = 1, /* drawn, or the end of the warm start */
    DPC_CAUSE_OUTER_STEP = 2,
    DPC_CAUSE_ROLLBACK = 3, /* the content of `parent` again */
    /* That of `parent` without the contributions that its ledger entry lists, with scale 0. */
    DPC_CAUSE_REVOKE = 4,
};

/* Immutable: a (module, version) of this incarnation names one content for ever. */
struct dpc_version_record {
    uint32_t module;
    uint32_t version;
    enum dpc_version_cause cause;
    uint32_t parent; /* version it was made from */
    struct dpc_hash master, published, momentum;
    uint64_t ledger;    /* sequence of its ledger entry */
    uint64_t rollbacks; /* among the versions up to this one; 0 before format 2 */
};

/* The round that it begins. */
static inline uint32_t
dpc_version_round(const struct dpc_version_record *version)
{
    return (uint32_t)(version->version - version->rollbacks);
}

struct dpc_path_record {
    uint32_t path;
    uint32_t rounds_done;  /* accepted submissions */
    uint64_t steps_done;   /* inner steps since the start, warm start included */
    uint64_t tokens_done;  /* as the core counts them: steps x batch x context */
    struct dpc_hash state; /* path state; none: zero moments */
    uint64_t state_bytes;
    struct dpc_hash shard; /* token file of its train documents */
    uint64_t shard_bytes;
    uint64_t shard_documents, shard_tokens;
    struct dpc_hash test; /* token file of its held-out documents */
    uint64_t test_bytes;
    uint32_t test_documents;
    /* Of the round under way, elastic mode; 0 before format 2. */
    uint32_t part_steps; /* inner steps that were handed in and that the next lease goes on from */
    uint32_t parts;      /* contributions that were handed in */
    /* One plus the last round that closed somewhere before anything of it was handed in, while
     * somebody was at work on it; 0: none. */
    uint32_t missed;
    struct dpc_hash kept; /* path state that stays with the worker `keeper`; none: none does */
    uint64_t kept_bytes;
    uint8_t keeper[DPC_WORKER_KEY_BYTES];
    /* Mean tokens of a window that training draws from the shard; 0 before format 3. */
    double window_tokens;
};

/* When a contribution came: before its module closed the round, or, elastic mode, after. */
enum dpc_lateness {
    DPC_IN_TIME = 0,
    DPC_LATE = 1,    /* merged with the next round */
    DPC_TOO_LATE = 2 /* not merged */
};

/* A worker's accepted delta for one module in one round. It holds what parts of the round before it
 * held as well (elastic mode). */
struct dpc_contribution_record {
    uint32_t round;
    uint32_t path;
    uint32_t module;
    struct dpc_hash delta;
    uint64_t bytes;
    double norm;
    uint32_t steps;         /* of the round, from its first */
    double loss, loss_last; /* nats a token */
    uint64_t lease;         /* serial */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint32_t part;         /* of the round, from 0; 0 before format 2 */
    uint32_t late;         /* enum dpc_lateness; 0 before format 2 */
    uint32_t from;         /* step of the round that it went on from; 0: its first */
    struct dpc_hash began; /* path state that its training began with; none: zero moments */
};

/* Steps that it adds to those of its path, of which the contribution before it was of `round` and
 * ended at its step `end` (0: there was none). Where all of a round stands behind a part of it that
 * another worker brought, the part's steps count once. */
static inline uint32_t
dpc_contribution_adds(const struct dpc_contribution_record *contribution, uint32_t round,
                      uint32_t end)
{
    bool again = contribution->round == round && contribution->from < end &&
                 end < contribution->steps;
    return contribution->steps - (again ? end : contribution->from);
}

struct dpc_lease_record {
    uint64_t serial;
    uint32_t kind; /* enum dpc_task_kind */
    uint32_t path;
    uint32_t round;
    uint32_t from, to; /* documents, or steps of the round; both 0: all its steps */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint32_t time_left_ms; /* at the time of writing; a restart begins with this much */
    struct dpc_hash state; /* path state that it names; none before format 2 */
};

/* Whether a worker may work. */
enum dpc_standing {
    DPC_STANDING_GOOD = 0,
    DPC_STANDING_REVOKED = 1,     /* barred by the operator */
    DPC_STANDING_QUARANTINED = 2, /* barred by an audit */
};

struct dpc_worker_record {
    uint8_t key[DPC_WORKER_KEY_BYTES]; /* of zeros: the sum over those that are forgotten */
    char name[DPC_NAME_MAX];
    uint64_t tokens, leases, merged, superseded, refused;
    uint64_t accepted; /* serial of its last accepted lease; 0: none, or from before format 2 */
    enum dpc_standing standing; /* good before format 3 */
    uint32_t drained; /* 1: it finishes what it holds, and gets no more; 0 before format 4 */
};

/* Lets machines become workers that do not know a key of ours yet. Times are the wall clock's, in
 * seconds since 1970. */
struct dpc_invitation_record {
    uint8_t key[DPC_WORKER_KEY_BYTES]; /* public half of the pair that its holder connects with */
    uint64_t created_s, expires_s;
    uint32_t asks;      /* 1: the operator has to say yes to each machine; 0: all are taken */
    uint32_t uses_left; /* machines that it still takes; not counted where it asks */
    char note[DPC_NAME_MAX];
};

enum dpc_member_state {
    DPC_MEMBER_PENDING = 1, /* the operator has not said anything yet */
    DPC_MEMBER_TAKEN = 2,   /* it may connect as a worker */
    DPC_MEMBER_REFUSED = 3, /* it may not, nor by another invitation */
};

/* A machine that came with an invitation. */
struct dpc_member_record {
    uint8_t key[DPC_WORKER_KEY_BYTES]; /* its own, public */
    enum dpc_member_state state;
    uint64_t since_s;                         /* of the state */
    uint8_t invitation[DPC_WORKER_KEY_BYTES]; /* the key of the one that it came with */
    char name[DPC_NAME_MAX];                  /* which it gave itself */
    char address[DPC_NAME_MAX];               /* from where it came first; "": not known */
};

/* An accepted contribution that a module does not merge any more. */
struct dpc_void_record {
    uint64_t lease;
    uint32_t module;
};

/* What gates and audits found in what a worker handed in; there is none while it is nothing. */
struct dpc_conduct_record {
    uint8_t key[DPC_WORKER_KEY_BYTES]; /* as of a worker's record */
    uint64_t clipped; /* contributions that were too large */
    uint64_t opposed; /* that pointed against the others, and were left out */
    uint64_t copies;  /* that were another's, nearly or wholly, and were left out */
    uint64_t idle;    /* that moved next to nothing */
    uint64_t stale;   /* submissions that were refused since they had been handed in before */
    uint64_t audited; /* tasks that others repeated, with the same outcome or another */
    uint64_t failed;  /* audits that it lost */
};

/* A finished featurize, evaluate or score task. */
struct dpc_result_record {
    uint32_t kind;
    uint32_t path;
    uint32_t from, to;
    struct dpc_hash result;
    uint64_t bytes;
    uint32_t phase; /* discriminative phase that the scores are for, from 1; 0: no scores */
};

/* A path's shard, as a sharding made it. */
struct dpc_shard_record {
    uint32_t phase; /* discriminative phases over, this one among them; 0: the first sharding */
    uint32_t path;
    uint64_t train_documents, train_tokens;
    uint64_t routed; /* of all documents those that the router sends here, */
    uint64_t stayed; /* and of these the ones that the router before it sent here, too */
};

/* Early stopping: a path's early-stop documents, which of its rounds is evaluated on them, and
 * which was the best so far. A round's weights are those that its modules had when the round was
 * over. */
struct dpc_best_record {
    uint32_t path;
    struct dpc_hash documents; /* token file; none: the path has no such documents */
    uint64_t documents_bytes;
    uint32_t documents_count;
    uint32_t next_round; /* to be evaluated: 0 is where training began */
    /* Of that one, what leases have brought so far. */
    uint32_t read; /* documents */
    uint64_t targets;
    double nats;
    uint32_t candidates_count; /* rounds evaluated so far, and the number of the next */
    uint32_t first;            /* number of the first that competes; those before it were of other
                                * documents, or of versions that a rollback discarded */
    uint32_t found;            /* 0: none that competes was evaluated yet */
    uint32_t round;
    double loss;                       /* nats a target */
    uint32_t versions[DPC_LEVELS_MAX]; /* of the path's modules, in its order */
};

/* A round of a path, evaluated on its early-stop documents. */
struct dpc_candidate_record {
    uint32_t path;
    uint32_t number; /* counts those of the path, from 0, in the order of their rounds */
    uint32_t round;
    uint32_t phase; /* discriminative phase that gave the path its documents; 0: the first
                     * sharding, and the dense path */
    uint32_t documents;
    uint64_t targets;
    double nats; /* over all targets */
};

/* One outer step: who contributed what to which version; nobody to a rollback. `previous` chains
 * the entries. */
struct dpc_ledger_entry {
    uint32_t path;
    uint64_t lease;
    struct dpc_hash delta;
    double weight; /* as merged: they sum to 1 over the entries */
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint32_t steps; /* inner steps of the round that the delta holds; 0 before format 2 */
    uint32_t late;  /* rounds that it came late */
    double scale;   /* factor on the delta beside the weight: 1 as it came, 0 left out */
};
struct dpc_ledger_record {
    uint64_t sequence;
    uint32_t module;
    uint32_t version; /* that this step made */
    double rescale;   /* factor on the weighted sum; with rda on that of directions */
    struct dpc_hash master, momentum;
    struct dpc_hash previous; /* hash of the record before this one */
    uint32_t entries_count;
    struct dpc_ledger_entry *entries; /* of the caller (put), of the visitor's call (scan) */
};

/* --- Putting. All into a batch, nothing on disk yet. */
void dpc_put_store(struct dpc_kv_batch *batch, const struct dpc_store_record *record);
void dpc_put_phase(struct dpc_kv_batch *batch, const struct dpc_phase_record *record);
/* Canonical YAML of the experiment. */
void dpc_put_experiment(struct dpc_kv_batch *batch, const char *yaml, size_t len);
void dpc_put_origin(struct dpc_kv_batch *batch, const struct dpc_origin_record *record);
void dpc_put_module(struct dpc_kv_batch *batch, const struct dpc_module_record *record);
void dpc_put_version(struct dpc_kv_batch *batch, const struct dpc_version_record *record);
void dpc_put_path(struct dpc_kv_batch *batch, const struct dpc_path_record *record);
void dpc_put_contribution(struct dpc_kv_batch *batch, const struct dpc_contribution_record *record);
void dpc_put_lease(struct dpc_kv_batch *batch, const struct dpc_lease_record *record);
void dpc_remove_lease(struct dpc_kv_batch *batch, uint64_t serial);
void dpc_put_worker(struct dpc_kv_batch *batch, const struct dpc_worker_record *record);
void dpc_remove_worker(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES]);
void dpc_put_invitation(struct dpc_kv_batch *batch, const struct dpc_invitation_record *record);
void dpc_remove_invitation(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES]);
void dpc_put_member(struct dpc_kv_batch *batch, const struct dpc_member_record *record);
void dpc_remove_member(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES]);
void dpc_put_void(struct dpc_kv_batch *batch, const struct dpc_void_record *record);
void dpc_put_conduct(struct dpc_kv_batch *batch, const struct dpc_conduct_record *record);
void dpc_remove_conduct(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES]);
void dpc_put_result(struct dpc_kv_batch *batch, const struct dpc_result_record *record);
void dpc_put_shard(struct dpc_kv_batch *batch, const struct dpc_shard_record *record);
void dpc_put_best(struct dpc_kv_batch *batch, const struct dpc_best_record *record);
void dpc_put_candidate(struct dpc_kv_batch *batch, const struct dpc_candidate_record *record);
/* Also gives the entry's hash, which the next one names as `previous`. */
void dpc_put_ledger(struct dpc_kv_batch *batch, const struct dpc_ledger_record *record,
                    struct dpc_hash *ret_hash);

/* --- Loading one. DPC_ENOTFOUND when there is none. */
int dpc_load_store(struct dpc_kv *kv, struct dpc_store_record *ret,
                   struct dpc_error *err) DPC_MUST_CHECK;
int dpc_load_phase(struct dpc_kv *kv, struct dpc_phase_record *ret,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* Fresh memory with a final zero; dpc_free it. */
int dpc_load_experiment(struct dpc_kv *kv, char **ret_yaml, size_t *ret_len,
                        struct dpc_error *err) DPC_MUST_CHECK;
int dpc_load_version(struct dpc_kv *kv, uint32_t module, uint32_t version,
                     struct dpc_version_record *ret, struct dpc_error *err) DPC_MUST_CHECK;

/* Its entries are the caller's to dpc_free. */
int dpc_load_ledger(struct dpc_kv *kv, uint64_t sequence, struct dpc_ledger_record *ret,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* --- Scanning all, in key order; stops early when `visit` returns false. Order of keys: origins by
 * number; modules by id; versions by (module, version); paths by id; contributions by (round,
 * module, path, part); leases by serial; workers, invitations, members and conducts by key; voids
 * by (lease, module); results by (kind, path, from, phase); shards by (phase, path); bests by path;
 * candidates by (path, number); ledger by sequence. */
int dpc_scan_origins(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_origin_record *),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_modules(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_module_record *),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_versions(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_version_record *),
                      void *context, struct dpc_error *err) DPC_MUST_CHECK;
/* Of one module, from version `version_first` on. */
int dpc_scan_versions_of(struct dpc_kv *kv, uint32_t module, uint32_t version_first,
                         bool (*visit)(void *, const struct dpc_version_record *), void *context,
                         struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_paths(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_path_record *),
                   void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_contributions(struct dpc_kv *kv,
                           bool (*visit)(void *, const struct dpc_contribution_record *),
                           void *context, struct dpc_error *err) DPC_MUST_CHECK;
/* Of `round` and all later ones. */
int dpc_scan_contributions_from(struct dpc_kv *kv, uint32_t round,
                                bool (*visit)(void *, const struct dpc_contribution_record *),
                                void *context, struct dpc_error *err) DPC_MUST_CHECK;
/* Of `round` alone, to modules from `module_first` on. */
int dpc_scan_contributions_of(struct dpc_kv *kv, uint32_t round, uint32_t module_first,
                              bool (*visit)(void *, const struct dpc_contribution_record *),
                              void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_leases(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_lease_record *),
                    void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_workers(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_worker_record *),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_invitations(struct dpc_kv *kv,
                         bool (*visit)(void *, const struct dpc_invitation_record *), void *context,
                         struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_members(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_member_record *),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_voids(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_void_record *),
                   void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_conducts(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_conduct_record *),
                      void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_results(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_result_record *),
                     void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_shards(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_shard_record *),
                    void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_bests(struct dpc_kv *kv, bool (*visit)(void *, const struct dpc_best_record *),
                   void *context, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_scan_candidates(struct dpc_kv *kv,
                        bool (*visit)(void *, const struct dpc_candidate_record *), void *context,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* From `sequence_first` on. Checks the chain of hashes: a gap or a difference is DPC_ECORRUPT. */
int dpc_scan_ledger(struct dpc_kv *kv, uint64_t sequence_first,
                    bool (*visit)(void *, const struct dpc_ledger_record *), void *context,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
