/* SPDX-License-Identifier: Apache-2.0
 *
 * What computing needs and keeps over leases: one path with its gradients and activations, its
 * optimizer, and the buffers of a batch, laid out for an experiment, and again only for a path that
 * takes modules at other levels. The tasks (train.h, featurize.h, evaluate.h) compute in it.
 *
 * Owns: all of that. Threads: the compute thread's alone, but for `struct dpc_progress`, which the
 * event loop reads. Limits: memory, DPC_ENOMEM. Not here: when a task runs (runner.h).
 */
#ifndef DPC_WORKER_COMPUTE_ENGINE_H
#define DPC_WORKER_COMPUTE_ENGINE_H

#include <stdatomic.h>

#include "base/experiment.h"
#include "base/topology.h"
#include "data/tokens.h"
#include "modules/adamw.h"
#include "modules/path.h"
#include "ops/card.h"
#include "worker/blobs/cache.h"
#include "worker/compute/spill.h"

/* What the owner of the machine gives. */
struct dpc_engine_limits {
    struct dpc_pool *pool; /* NULL: one thread; must outlive the engine */
    uint64_t memory_bytes; /* for what an engine lays out; 0: no limit */
    /* Computes, within its own memory; NULL: the CPU. Must outlive the engine. */
    const struct dpc_card *card;
};

struct dpc_engine {
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_engine_limits limits;
    const struct dpc_ops *ops;
    uint32_t levels; /* that the path takes modules at, as bits */
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    float *received; /* the path's parameters as they came; deltas are taken against them */
    uint32_t batch_max;
    int32_t *tokens, *targets;    /* [batch_max, context] */
    struct dpc_tokens *documents; /* of the last lease, open for the next one; NULL: none */
    struct dpc_hash documents_hash;
    struct dpc_buf blob; /* where results are put together */
    bool keep_failed;    /* the last write of a spill did, and the log knows */
};

/* What the loop may know of a running task, and how it ends one: between two steps. */
struct dpc_progress {
    _Atomic uint32_t steps_done; /* inner steps, or documents */
    _Atomic double tokens_per_s;
    _Atomic uint32_t steps_before; /* of them done by a process that is gone */
    atomic_bool cancelled;
    atomic_bool cut;                /* it ends with the steps that it has, one at least */
    atomic_bool suspended;          /* beside `cancelled`: the process ends, the lease does not */
    atomic_bool keep;               /* at the next step, whether that is due or not */
    void (*between)(void *context); /* two steps, in the compute thread; NULL: nothing */
    void *context;
    int64_t waited_ns; /* in `between`, since the task began */
    /* The task's own: called before `between` waits. NULL: nothing. */
    void (*before_waiting)(void *context);
    void *task_context;
};

/* What a task gets. The lease is not trusted: dpc_engine_load checks it against the experiment. */
struct dpc_task {
    const struct dpc_msg_lease *lease;
    struct dpc_cache *cache;
    struct dpc_progress *progress;
    struct dpc_spill *spill; /* NULL: a restart begins anew */
};

/* An engine that fits `experiment`, which is copied. What does not fit the memory is computed again
 * instead of kept (dpc_path_options.recompute). DPC_ELIMIT when that does not fit either, naming
 * the sizes; DPC_EUNSUPPORTED when this machine has no kernels for the experiment's numbers. */
int dpc_engine_create(const struct dpc_experiment *experiment,
                      const struct dpc_engine_limits *limits, struct dpc_engine **ret_engine,
                      struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_engine *dpc_engine_destroy(struct dpc_engine *engine);

/* Checks path, levels and modules of the lease, gives the path its shape, and loads its module
 * versions into it. A blob that is not what it says: DPC_EPROTO. Damage of a cached one:
 * DPC_ECORRUPT. DPC_ELIMIT as _create, for this path. */
int dpc_engine_load(struct dpc_engine *engine, const struct dpc_task *task,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* Makes the path that was loaded into the router network: a path of `network`, which has the same
 * levels and a head of its own, with the trunk as it was received, a head of zeros and an optimizer
 * that has done no step. The next _load makes it a path of the experiment again. DPC_ENOMEM, and
 * DPC_ELIMIT as _create. */
int dpc_engine_become_router(struct dpc_engine *engine, const struct dpc_experiment *network,
                             struct dpc_error *err) DPC_MUST_CHECK;

/* Opens the lease's token file, and checks its vocabulary and that documents [from, to) are in it.
 * They stay the engine's, until the next call: a lease of the file that the one before had does not
 * look through it again. It may hold all of the corpus, of which a lease reads 512 documents. */
int dpc_engine_open_tokens(struct dpc_engine *engine, const struct dpc_task *task,
                           const struct dpc_tokens **ret_tokens,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* Takes the optimizer's state from a path state blob: the path's own, in whatever form it
 * travelled, or that of the dense path, with which paths begin, and of which a path that skips
 * levels takes the rest. Errors are those of dpc_adamw_read. */
int dpc_engine_read_state(struct dpc_engine *engine, const uint8_t *bytes, size_t len,
                          struct dpc_error *err) DPC_MUST_CHECK;

/* Puts `engine->blob` into the cache. */
int dpc_engine_put(struct dpc_engine *engine, const struct dpc_task *task,
                   struct dpc_blob_ref *ret_ref, struct dpc_error *err) DPC_MUST_CHECK;

/* Of computing since `start_ns` (dpc_clock_ns), which is behind the task's begin: without waits. */
double dpc_progress_seconds(const struct dpc_progress *progress, int64_t start_ns);

/* Says how far the task is: `steps` done since `start_ns`, over `tokens` tokens;
 * then waits, when `between` does. */
void dpc_progress_report(struct dpc_progress *progress, uint32_t steps, uint64_t tokens,
                         int64_t start_ns);

#endif
