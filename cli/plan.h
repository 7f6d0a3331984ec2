/* SPDX-License-Identifier: Apache-2.0
 *
 * What an experiment will cost, from its file alone: parameters, who waits for whom, bytes of a
 * round, memory, disk.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_CLI_PLAN_H
#define DPC_CLI_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"

struct dpc_plan_level {
    const char *name;
    uint32_t modules;
    bool identity; /* and paths that take none of them */
    size_t module_params;
    uint32_t paths_through; /* most routed paths through one of its modules, and the fewest */
    uint32_t paths_through_least;
    bool couples_all; /* every path waits for every other */
};

struct dpc_plan {
    uint32_t levels_count;
    struct dpc_plan_level levels[DPC_LEVELS_MAX];
    uint32_t paths;           /* routed */
    size_t path_params;       /* what inference needs, with the largest path */
    size_t path_params_least; /* and with the smallest, where paths skip levels */
    uint32_t smallest;        /* that path */
    uint32_t largest;         /* and the one of path_params */
    size_t dense_params;      /* of a path through all levels */
    uint64_t paths_params;    /* of all routed paths, each counted whole */
    size_t total_params;      /* of all routed modules */
    double forward_flops;     /* of a token, in the mean of the routed paths (base/layout.h) */
    uint64_t path_bytes_up;   /* of the largest path in one round: deltas and path state */
    uint64_t path_bytes_down; /* new versions, and the path state when the worker lacks it */
    bool by_changes;          /* versions are counted as differences to those before them, which the
                               * worker must have (transfer.download) */
    /* With outer.sample these are of an average round, and of a path that is drawn as often as on
     * average. */
    uint64_t round_bytes_up;     /* of all paths, the dense baseline included */
    uint64_t round_bytes_down;   /* at most */
    uint64_t path_steps;         /* inner steps of a path, warm start included */
    uint64_t total_steps;        /* inner steps of everybody */
    uint64_t path_tokens;        /* tokens that a path reads */
    double train_flops;          /* of total_steps */
    uint32_t phases;             /* discriminative ones, */
    uint32_t score_paths;        /* paths that score a document in each, */
    uint64_t scores;             /* and what they score in all of them at most; 0: the file does not
                                  * bound the documents */
    uint64_t worker_bytes;       /* memory of a worker; with recompute: auto it keeps activations */
    uint64_t worker_bytes_least; /* of one that computes them again where it may */
    uint64_t worker_bytes_short; /* likewise, with the smallest path */
    bool counts_fp32; /* these three do, since this machine has no bf16, which takes less */
    uint64_t coordinator_bytes; /* its memory; what routing takes by documents comes on top */
    uint32_t keep_rounds;
    uint64_t disk_bytes; /* of the coordinator's store at most, the corpus's own copies left out */
};

/* Floating-point operations of the warm start, which are part of train_flops. */
double dpc_plan_warm_flops(const struct dpc_experiment *experiment);

/* DPC_ELIMIT as dpc_topology_init; DPC_ENOMEM when one path does not fit into memory. */
int dpc_plan_make(const struct dpc_experiment *experiment, struct dpc_plan *ret_plan,
                  struct dpc_error *err) DPC_MUST_CHECK;

#endif
