/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker handed in since a round, and modules without it: the outer steps since then are
 * folded again from the contributions of the others. That is approximate, for what others handed in
 * later was learned from versions that held it.
 *
 * Owns: a task owns its results. Threads: any (executors). Not here: whether the module has moved
 * on meanwhile (core/revoke.c), and when (coordinator/revokes.c).
 */
#ifndef DPC_COORDINATOR_VERSIONS_REFOLD_H
#define DPC_COORDINATOR_VERSIONS_REFOLD_H

#include "coordinator/versions/replay.h"

enum dpc_refold_kind {
    DPC_REFOLD_FIND = 1, /* what is tainted, and whether any version holds it */
    DPC_REFOLD_CHECK,    /* also since when all is kept which it takes to fold again */
    DPC_REFOLD_MODULE,   /* fold one module again */
};

struct dpc_refold_task {
    enum dpc_refold_kind kind;
    uint8_t worker[DPC_WORKER_KEY_BYTES];
    uint32_t since; /* round of routed paths; the dense path's count from its warm start */
    /* Of the dense path, where that is later: it waits for nobody, and may be so far ahead that of
     * its rounds since then not all is kept. Found (CHECK), or given. */
    uint32_t dense_since;
    uint32_t *versions; /* [modules_count] present ones; of the task */
    uint32_t module;    /* MODULE */
    /* Ascending by lease. Found (FIND, CHECK), or given (MODULE); of the task. */
    uint32_t tainted_count, tainted_capacity;
    struct dpc_tainted *tainted;
    /* Results. */
    bool touched;                 /* a version (MODULE: this one) holds something of it */
    struct dpc_refolded refolded; /* MODULE, when touched; its entries are of the task */
};

/* DPC_EPERM when something of routed modules is not kept any more; the reason names the oldest
 * round that is possible. DPC_ELIMIT when the ledger's entry would be too long. DPC_ENOSPACE and
 * others as an outer step. */
int dpc_refold_run(const struct dpc_replay_source *source, struct dpc_refold_task *task,
                   struct dpc_error *err) DPC_MUST_CHECK;
void dpc_refold_done(struct dpc_refold_task *task);

#endif
