/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives a core without sockets or training: a memory kv below it, effects that answer with hashes
 * of their inputs, and workers that are a few fields. With a store set before driver_start,
 * modules, deltas and outer steps are real tensors. A driver can throw the core away after every
 * event and build it again from the kv, as a crash would.
 */
#ifndef DPC_TESTS_CORE_DRIVER_H
#define DPC_TESTS_CORE_DRIVER_H

#include "coordinator/core/core.h"
#include "storage/db/store.h"

struct driver {
    struct dpc_experiment experiment;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_store *store; /* over `kv` and `blobs`; NULL: contents are hashes only */
    struct dpc_core *core;
    struct dpc_actions actions;
    int64_t now_ms;
    const char *numeric_class; /* that workers say hello with */
    uint32_t workers_max;      /* 0: DPC_WORKERS_MAX */
    bool crash_after_each;     /* rebuild the core after every event */
    bool hold_folds;           /* leave FOLD effects in `folds` instead of answering them */
    /* Nats a target of an evaluation; NULL: a function of the path, its documents and versions. */
    double (*loss_of)(const struct dpc_msg_lease *lease);
    uint32_t folds_count;
    struct dpc_folded folds[64];
    uint32_t folded_total;
    struct dpc_hash *beginnings; /* of routed modules; NULL: copies of the dense ones */
};

void driver_start(struct driver *driver, const char *yaml);
/* The same with a store whose blobs stand in `folder`. */
void driver_start_with_store(struct driver *driver, const char *yaml, const char *folder);
void driver_stop(struct driver *driver);
/* Throws the core away and builds it again from the store alone. */
void driver_crash(struct driver *driver);
/* One event; answers the effects that it brings. The reply stands in driver->actions. */
void driver_step(struct driver *driver, const struct dpc_event *event);
void driver_release_folds(struct driver *driver);

/* Worker number `worker` says something; the core's reply is returned. */
const struct dpc_msg *driver_hello(struct driver *driver, uint8_t worker, struct dpc_token held);
const struct dpc_msg *driver_ask(struct driver *driver, uint8_t worker);
/* While it hands in that lease. */
const struct dpc_msg *driver_ask_handing_in(struct driver *driver, uint8_t worker,
                                            struct dpc_token handing_in);
/* The lease that it gets when it asks: there must be one. */
struct dpc_msg_lease driver_lease(struct driver *driver, uint8_t worker);
const struct dpc_msg *driver_heartbeat(struct driver *driver, uint8_t worker,
                                       struct dpc_token token);
/* Hands in what `lease` owes: contents are a pure function of the task. */
const struct dpc_msg *driver_submit(struct driver *driver, uint8_t worker,
                                    const struct dpc_msg_lease *lease);
/* What it finds in the result of a lease on documents. */
struct dpc_submission_check driver_check(const struct driver *driver,
                                         const struct dpc_msg_lease *lease);
void driver_fill_submission(struct driver *driver, const struct dpc_msg_lease *lease,
                            struct dpc_msg_submit *ret_submit);
const struct dpc_msg *driver_submit_message(struct driver *driver, uint8_t worker,
                                            const struct dpc_msg_submit *submit,
                                            const struct dpc_submission_check *check);

enum dpc_phase driver_phase(const struct driver *driver);
/* The worker, who has said hello, does all that there is until the train phase; then it begins. */
void driver_reach_training(struct driver *driver, uint8_t worker);
/* Starts, and has worker 0 bring it there. */
void driver_start_training(struct driver *driver, const char *yaml);
/* Runs with `workers` workers until the experiment is finished; false when it gets stuck. */
bool driver_finish(struct driver *driver, uint8_t workers);
/* A hash over all versions of all modules. */
struct dpc_hash driver_outcome(struct driver *driver);

#endif
