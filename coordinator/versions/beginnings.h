/* SPDX-License-Identifier: Apache-2.0
 *
 * What routed modules begin with: the dense modules as the warm start left them, or what
 * `warm_start.init` makes of these (base/upcycle.h).
 *
 * Owns: nothing. Threads: any (executors). A pure function of the experiment and of the dense
 * modules, so it may be done again. Not here: putting versions into records (core/phases.c).
 */
#ifndef DPC_COORDINATOR_VERSIONS_BEGINNINGS_H
#define DPC_COORDINATOR_VERSIONS_BEGINNINGS_H

#include "coordinator/versions/lineage.h"
#include "storage/db/store.h"

/* Contents of all routed modules, by number (dpc_free them), in the store; NULL: each is its
 * level's dense module as it is. */
int dpc_beginnings_make(struct dpc_store *store, const struct dpc_lineage_source *records,
                        struct dpc_hash **ret_contents, struct dpc_error *err) DPC_MUST_CHECK;

/* The content of one of them, made of `dense`, only named. DPC_ENOTFOUND when `dense` is not in the
 * store. */
int dpc_beginnings_name(struct dpc_store *store, const struct dpc_lineage_source *records,
                        uint32_t module, const struct dpc_hash *dense, struct dpc_hash *ret_content,
                        struct dpc_error *err) DPC_MUST_CHECK;

#endif
