/* SPDX-License-Identifier: Apache-2.0
 *
 * The outer step of one module (DiPaCo section 2.5, DiLoCo algorithm 1): contributions are folded
 * in canonical path order, so the bits do not depend on the order in which they arrived.
 *
 * With weights a_i that sum to 1, scales c_i (1: as it came) and rescale s:
 * D = s x sum_i a_i c_i delta_i; m = mu m + D;
 * theta = theta_old - lr (D + mu m).
 *
 * With rda (Decoupled DiLoCo, arXiv 2604.21428) and several contributions D = n u / |u|, the mean
 * length n = sum_i a_i c_i |delta_i| in the mean direction u = sum_i a_i c_i delta_i / |delta_i|. A
 * delta of zero has no direction. D = 0 where all are zero, or where directions cancel.
 *
 * Where versions travel in a form that loses something (transfer.download) what is published is p =
 * p_old + Q(theta - p_old): whoever has p_old needs Q(..) alone, and what a form loses in one step
 * it makes up for in the next. Contributions are deltas to p, and added to theta all the same.
 *
 * Owns: nothing. Threads: any (executors), on different modules. Not here: who is merged and with
 * which weight (core/rounds.c).
 */
#ifndef DPC_COORDINATOR_VERSIONS_OUTER_H
#define DPC_COORDINATOR_VERSIONS_OUTER_H

#include "base/error.h"
#include "coordinator/core/core.h"
#include "ops/ops.h"
#include "storage/db/store.h"

/* Reads master, momentum and deltas from the store and puts the new blobs there; nothing else
 * changes, so it may be done again. DPC_ECORRUPT when a blob is not what it must be. */
int dpc_outer_fold(struct dpc_store *store, const struct dpc_ops *ops, const struct dpc_fold *fold,
                   struct dpc_folded *ret_folded, struct dpc_error *err) DPC_MUST_CHECK;

/* Several steps of one module, at least one: each goes on where the one before ended, with the same
 * bits as if that had been stored. Without `puts` the result is named and not stored. */
int dpc_outer_chain(struct dpc_store *store, const struct dpc_ops *ops,
                    const struct dpc_fold *folds, uint32_t folds_count, bool puts,
                    struct dpc_folded *ret_folded, struct dpc_error *err) DPC_MUST_CHECK;

#endif
