/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `train`: inner steps of AdamW on one path, from the received versions and path state to
 * one delta a module, received - trained (DiPaCo, section 2.5), and the path state after it.
 *
 * A pure function of the lease's blobs, the experiment and (seed, path, round, step), within a
 * numeric class: two runs give the same bits, and so do two leases of half the steps with the state
 * between.
 *
 * Owns: nothing. Threads: the engine's.
 */
#ifndef DPC_WORKER_COMPUTE_TRAIN_H
#define DPC_WORKER_COMPUTE_TRAIN_H

#include "worker/compute/engine.h"

/* Runs it, to its end or until it is cut; `ret_submit` gets all but token, kind, path and round.
 * DPC_ECANCELLED; DPC_ENOTFINITE names the step where loss or gradient went off; DPC_ECORRUPT,
 * DPC_ENOTFOUND: a cached blob is not there (any more). */
int dpc_train_run(struct dpc_engine *engine, const struct dpc_task *task,
                  struct dpc_msg_submit *ret_submit, struct dpc_error *err) DPC_MUST_CHECK;

#endif
