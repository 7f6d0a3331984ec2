/* SPDX-License-Identifier: Apache-2.0
 *
 * A lease's training into the spill and out of it again: parameters, moments and sums of losses
 * between two steps. Bit by bit what they were, so that who goes on from there trains as if nothing
 * had happened.
 *
 * Owns: nothing. Threads: the engine's. Limits: the spill's. Not here: the file (spill.h).
 */
#ifndef DPC_WORKER_COMPUTE_KEEP_H
#define DPC_WORKER_COMPUTE_KEEP_H

#include "worker/compute/engine.h"

/* Writes what the engine holds after `steps_done` steps of the task's lease. A failure is logged,
 * the first one of a row; training goes on without. Nothing to do for a task without a spill. */
void dpc_keep_write(struct dpc_engine *engine, const struct dpc_task *task, uint32_t steps_done,
                    const struct dpc_tally *tally);

/* Steps of the task's lease that the spill brought into the engine, with their sums; 0 when it
 * holds none, and engine and sums are as they were. DPC_ENOMEM and DPC_EIO: the engine holds a
 * mixture. */
int dpc_keep_read(struct dpc_engine *engine, const struct dpc_task *task, uint32_t *ret_steps,
                  struct dpc_tally *ret_tally, struct dpc_error *err) DPC_MUST_CHECK;

/* The lease's result is there: what a restart has to hand in. Skipped when training it again would
 * cost less than DPC_SPILL_SHARE of such writes. */
void dpc_keep_result(const struct dpc_engine *engine, const struct dpc_task *task,
                     const struct dpc_msg_submit *submit);

#endif
