/* SPDX-License-Identifier: Apache-2.0
 *
 * The tasks `evaluate`, `score` and `trace`: the loss of a path on documents [from, to) of a token
 * file, as a score table (data/scores.h). Of each document the first `evaluation.windows` windows
 * are read (or `routing.score_windows`); its routing prefix is masked: it chose the path. The table
 * of a trace has a row for each piece of a document, dpc_experiment_pieces of them whether it is as
 * long or not; a piece's loss is that behind all that the window has before it.
 *
 * Owns: nothing. Threads: the engine's.
 */
#ifndef DPC_WORKER_COMPUTE_EVALUATE_H
#define DPC_WORKER_COMPUTE_EVALUATE_H

#include "worker/compute/engine.h"

/* Runs it; `ret_submit` gets result, tokens, steps_count (documents) and seconds. Errors as
 * dpc_train_run. */
int dpc_evaluate_run(struct dpc_engine *engine, const struct dpc_task *task,
                     struct dpc_msg_submit *ret_submit, struct dpc_error *err) DPC_MUST_CHECK;

#endif
