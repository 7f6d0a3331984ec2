/* SPDX-License-Identifier: Apache-2.0
 *
 * A core over a memory kv, with effects that wait until they are answered and books of what was
 * promised to whom. Each step is held against these: what must hold whatever workers say.
 *
 * Owns: the core, its store, effects that are not answered. Threads: one.
 */
#ifndef DPC_TESTS_FUZZ_CORE_RIG_H
#define DPC_TESTS_FUZZ_CORE_RIG_H

#include "coordinator/core/core.h"
#include "coordinator/core/why.h"

enum {
    RIG_EXPERIMENTS = 6,
    RIG_WORKERS = 4,
    RIG_KEPT = 4, /* leases that a worker remembers */
    RIG_INCARNATION = 77,
    RIG_HEARTBEAT_MS = 1000,
    RIG_SERIALS_MAX = 1024, /* that are kept book of */
    RIG_ROUNDS_MAX = 16,
    RIG_PATHS_MAX = 16,
    RIG_MODULES_MAX = 16,
    RIG_VERSIONS_MAX = 256,
    RIG_EFFECTS_MAX = 64,
};

/* A lease that left. */
struct rig_grant {
    bool left, accepted, revoked;
    uint8_t worker;
    enum dpc_task_kind kind;
    uint32_t path, round, steps_count;
};

struct rig_worker {
    uint32_t count; /* of all leases that it got */
    struct dpc_msg_lease leases[RIG_KEPT];
};

struct rig {
    const struct dpc_experiment *experiment;
    struct dpc_kv *kv;
    struct dpc_core *core;
    struct dpc_actions actions;
    int64_t now_ms;
    struct rig_worker workers[RIG_WORKERS];
    uint32_t effects_count;
    struct dpc_effect effects[RIG_EFFECTS_MAX]; /* their inputs are the rig's */
    uint32_t accepted;                          /* submissions */
    /* Books. */
    struct rig_grant *grants;                       /* [RIG_SERIALS_MAX] */
    uint64_t merged[RIG_PATHS_MAX][RIG_ROUNDS_MAX]; /* serial accepted first; strict mode */
    uint32_t rounds_done[RIG_PATHS_MAX];
    uint32_t versions[RIG_MODULES_MAX];
    struct dpc_hash published[RIG_MODULES_MAX];
};

const struct dpc_topology *rig_topology(const struct rig *rig);

void rig_start(struct rig *rig, uint8_t experiment);
void rig_stop(struct rig *rig);
/* The process ends and another begins, from what is on disk. */
void rig_crash(struct rig *rig);

void rig_key(uint8_t worker, uint8_t ret_key[static DPC_WORKER_KEY_BYTES]);
/* One event, of which the worker's lease is noted if it gets one. */
void rig_step(struct rig *rig, struct dpc_event *event, uint8_t worker);
/* What the effect brings, told once more if `again`; nothing to do without one. */
void rig_answer(struct rig *rig, uint8_t which, bool again);

/* What the worker owes for a lease, and what the coordinator finds in it. */
void rig_fill_submission(const struct rig *rig, const struct dpc_msg_lease *lease, uint8_t salt,
                         struct dpc_msg_submit *ret_submit, struct dpc_submission_check *ret_check);

#endif
