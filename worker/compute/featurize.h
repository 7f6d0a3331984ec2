/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `featurize`: routing features of documents [from, to) of the file of prefixes, by the
 * dense path (DiPaCo, section 2.4). The result is a tensor blob (base/tensor_blob.h) of (to - from)
 * x dim values, in the documents' order.
 *
 * Owns: nothing. Threads: the engine's. Limits: DPC_FEATURE_DOCUMENTS_MAX a task.
 */
#ifndef DPC_WORKER_COMPUTE_FEATURIZE_H
#define DPC_WORKER_COMPUTE_FEATURIZE_H

#include "worker/compute/engine.h"

enum { DPC_FEATURE_DOCUMENTS_MAX = 1 << 22 }; /* 16 GiB at a width of 1024 */

/* Runs it; `ret_submit` gets result, tokens, steps_count (documents) and seconds. Errors as
 * dpc_train_run; a document without tokens is DPC_EPROTO. */
int dpc_featurize_run(struct dpc_engine *engine, const struct dpc_task *task,
                      struct dpc_msg_submit *ret_submit, struct dpc_error *err) DPC_MUST_CHECK;

#endif
