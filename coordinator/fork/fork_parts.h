/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of a fork share (fork.c: folders and blobs; fork_keys.c: which experiments go
 * together; fork_cut.c: where the source stood; fork_bests.c: early stopping; fork_revokes.c:
 * what was revoked since; fork_write.c: the records of the new store).
 *
 * Owns: what a cut holds, until fork_cut_done. Threads: one. Not here: anything that others call.
 */
#ifndef DPC_COORDINATOR_FORK_FORK_PARTS_H
#define DPC_COORDINATOR_FORK_FORK_PARTS_H

#include "base/topology.h"
#include "coordinator/core/core.h"
#include "coordinator/fork/fork.h"

/* A path where it is taken up. */
struct fork_path {
    struct dpc_path_record record;
    bool exists;
    /* The round that it begins anew: of its contributions from there on, the earliest. */
    bool went_on;
    struct dpc_hash began;
    bool says_began; /* some contribution does */
    uint64_t steps_dropped;
    uint32_t round, part_end; /* of the contribution looked at last */
};

struct fork_cut {
    const struct dpc_fork_source *source;
    const struct dpc_experiment *experiment; /* of the fork */
    struct dpc_experiment *old;
    struct dpc_topology topology;
    uint32_t warm_rounds;
    bool warm;                   /* at the end of the warm start: nothing routed is taken over */
    uint32_t first_round;        /* what is older is another store's, or was of other shards */
    uint32_t round, dense_round; /* that modules begin */
    uint64_t incarnation;
    struct dpc_phase_record phase;       /* of the source */
    uint32_t origins_count;              /* forks behind the source */
    uint64_t warm_tokens;                /* that the warm start read */
    uint32_t *newest;                    /* round of each module in the source */
    struct dpc_version_record *versions; /* of each module at the cut */
    bool *found;                         /* likewise */
    bool rolled_back;                    /* some module, at any time */
    struct fork_path *paths;
    struct dpc_best_record *bests; /* of each path, where `has_best` */
    bool *has_best;
    uint64_t steps_before,
        steps_kept; /* inner steps of all paths: in the source, and of the fork */
    struct dpc_forked forked;
};

/* --- fork_keys.c */
/* DPC_EPERM naming every key that must not differ, with both values. */
int fork_check_keys(const struct dpc_experiment *old, const struct dpc_experiment *now, bool warm,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* --- fork_cut.c */
/* Where the source stood; `round` may be DPC_FORK_NEWEST, the newest that can be had, or
 * DPC_FORK_WARM. `cut` was zeroed but for source and experiment; fork_cut_done also after an error.
 */
int fork_cut_find(struct fork_cut *cut, uint32_t round, struct dpc_error *err) DPC_MUST_CHECK;
void fork_cut_done(struct fork_cut *cut);
bool fork_cut_is_dense(const struct fork_cut *cut, uint32_t path);
/* Whether it belongs to the fork: of a warm start only what is dense does. */
bool fork_cut_takes_module(const struct fork_cut *cut, uint32_t module);
bool fork_cut_takes_path(const struct fork_cut *cut, uint32_t path);
/* The round that a module, or a path, begins at the cut. */
uint32_t fork_cut_module_round(const struct fork_cut *cut, uint32_t module);
uint32_t fork_cut_path_round(const struct fork_cut *cut, uint32_t path);
bool fork_cut_has(const struct fork_cut *cut, const struct dpc_hash *hash);

/* --- fork_bests.c */
/* Early stopping as it stood at the cut. */
int fork_find_bests(struct fork_cut *cut, struct dpc_error *err) DPC_MUST_CHECK;

/* --- fork_revokes.c */
/* What a revoke behind the cut has taken out, and the fork holds again, to be told. */
int fork_find_revoked(struct fork_cut *cut, struct dpc_error *err) DPC_MUST_CHECK;

/* --- fork_write.c */
int fork_write(struct fork_cut *cut, struct dpc_store *to, struct dpc_error *err) DPC_MUST_CHECK;

#endif
