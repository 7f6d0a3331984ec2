/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server finds out about a submission before the core sees it: did its blobs arrive, have
 * they the right shape, are their values finite?
 *
 * Owns: nothing. Threads: any (it reads whole blobs, so it is an executor's job).
 * Not here: fencing by lease and round (core/submissions.c), judging by norms of others.
 */
#ifndef DPC_COORDINATOR_CHECK_H
#define DPC_COORDINATOR_CHECK_H

#include "base/experiment.h"
#include "coordinator/core/core.h"
#include "storage/db/store.h"

/* Never fails on what a worker sent: faults stand in `ret_check`. An error is the store's. */
int dpc_check_submission(struct dpc_store *store, const struct dpc_experiment *experiment,
                         const struct dpc_topology *topology, const struct dpc_msg_submit *submit,
                         struct dpc_submission_check *ret_check,
                         struct dpc_error *err) DPC_MUST_CHECK;

#endif
