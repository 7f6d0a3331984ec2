/* SPDX-License-Identifier: Apache-2.0
 *
 * What the core remembers, shared by its parts (core.c, leases.c, rounds.c, phases.c) and by nobody
 * else. Everything here but liveness is rebuilt from the store.
 */
#ifndef DPC_COORDINATOR_CORE_STATE_H
#define DPC_COORDINATOR_CORE_STATE_H

#include "coordinator/core/core.h"

struct core_module {
    struct dpc_module_record record;
    bool exists;    /* has its version 0 */
    bool folding;   /* a FOLD effect is under way */
    uint64_t bytes; /* of a version's tensor blob */
};

struct core_path {
    struct dpc_path_record record;
    /* The last accepted round: what its modules' next fold takes, and who delivered it. */
    struct dpc_hash deltas[DPC_LEVELS_MAX];
    uint64_t accepted_serial; /* 0: none */
    uint8_t accepted_worker[DPC_WORKER_KEY_BYTES];
    double loss;
};

struct core_lease {
    struct dpc_lease_record record;
    int64_t heard_ms, granted_ms;
    uint32_t steps_done;
    uint32_t steps_count;
    double tokens_per_s;
};

struct core_worker {
    struct dpc_worker_record record;
    int64_t heard_ms;
    bool connected;
    double tokens_per_s;
};

/* A chunk of documents to featurize or to evaluate. */
struct core_chunk {
    uint32_t path, from, to;
    bool done;
};

struct dpc_core {
    const struct dpc_experiment *experiment;
    struct dpc_topology topology;
    char *experiment_yaml;
    char *bulk_endpoint;
    uint64_t incarnation;
    uint32_t heartbeat_ms;
    uint32_t warm_rounds;

    struct dpc_phase_record phase;
    uint64_t elapsed_ms; /* below the record's whole seconds */
    /* The dense modules as the warm start left them: version `warm_rounds`. */
    struct dpc_version_record warm[DPC_LEVELS_MAX];
    struct core_module *modules; /* [topology.modules_count] */
    struct core_path *paths;     /* [topology.paths_count] */

    uint32_t leases_count, leases_capacity;
    struct core_lease *leases; /* by serial, ascending */
    uint32_t workers_count, workers_capacity;
    struct core_worker *workers;
    uint32_t chunks_count;
    struct core_chunk *chunks; /* of the phase, if it has any */

    double seconds_per_step; /* measured over accepted leases; 0: none yet */
};

/* --- core.c */
void core_put_phase(struct dpc_core *core, struct dpc_actions *actions);
struct dpc_effect *core_add_effect(struct dpc_actions *actions, enum dpc_effect_type type);
struct dpc_msg *core_reply(struct dpc_actions *actions, enum dpc_msg_type type);
/* A typed refusal, with a printf text. */
void core_reply_error(struct dpc_actions *actions, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool core_is_dense(const struct dpc_core *core, uint32_t path);

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
struct core_worker *core_find_worker(struct dpc_core *core, const uint8_t *key);
struct core_lease *core_find_lease(struct dpc_core *core, uint64_t serial);
/* The lease that a worker holds; NULL when it holds none. */
struct core_lease *core_find_lease_of(struct dpc_core *core, const uint8_t *worker);
void core_end_lease(struct dpc_core *core, struct core_lease *lease, struct dpc_actions *actions);
/* Ends every lease on the same task as `of` (itself too). */
void core_end_task_leases(struct dpc_core *core, const struct dpc_lease_record *of,
                          struct dpc_actions *actions);

/* --- rounds.c: submissions, readiness, outer steps. */
void core_on_submit(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
                    struct dpc_actions *actions);
void core_on_folded(struct dpc_core *core, const struct dpc_folded *folded,
                    struct dpc_actions *actions);
/* Starts the outer step of every module whose planned paths have delivered. */
void core_fold_what_is_complete(struct dpc_core *core, struct dpc_actions *actions);
bool core_round_is_ready(const struct dpc_core *core, uint32_t path);

/* --- compare.c: an alarm when strict mode gets two results of one task that differ. */
void core_compare_superseded(const struct dpc_core *core, const struct core_worker *worker,
                             const struct dpc_msg_submit *submit, struct dpc_actions *actions);

/* --- phases.c: from one phase to the next. */
void core_enter_phase(struct dpc_core *core, enum dpc_phase phase, struct dpc_actions *actions);
void core_on_prepared(struct dpc_core *core, const struct dpc_prepared *prepared,
                      struct dpc_actions *actions);
void core_on_sharded(struct dpc_core *core, const struct dpc_sharded *sharded,
                     struct dpc_actions *actions);
/* Moves on when the phase has nothing left to do. */
void core_advance(struct dpc_core *core, struct dpc_actions *actions);
/* Fills the chunk table of the present phase. */
void core_plan_chunks(struct dpc_core *core);

#endif
