/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `reroute` (DiPaCo, section 2.4.3): trains the router network, and lets it choose. The
 * network is the dense model of the lease with an output for each path in the place of one for each
 * token; its target behind a piece is the path that the lease's routes say, and its answer there
 * the path of the largest output.
 *
 * Owns: nothing. Threads: the engine's. Limits: memory: the network, beside no path. Not here:
 * which path was the best (coordinator/corpus/reroute.h).
 */
#ifndef DPC_WORKER_COMPUTE_REROUTE_H
#define DPC_WORKER_COMPUTE_REROUTE_H

#include "worker/compute/engine.h"

/* Trains on documents [0, from) of the lease's file for `reroute.steps` steps, then hands in a
 * table of routes (data/routes.h) of [from, to): dpc_experiment_pieces a document, none behind its
 * end, and none at all where there was nothing to learn from. Margins are over the routes that the
 * lease has for these. `ret_submit` gets result, tokens,
 * steps_count (documents) and seconds. Errors as dpc_train_run. */
int dpc_reroute_run(struct dpc_engine *engine, const struct dpc_task *task,
                    struct dpc_msg_submit *ret_submit, struct dpc_error *err) DPC_MUST_CHECK;

#endif
