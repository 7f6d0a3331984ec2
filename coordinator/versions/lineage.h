/* SPDX-License-Identifier: Apache-2.0
 *
 * What a version was made of, from the records alone: the ledger names every contribution with its
 * weight, a version its parent and why there is one. With that any version can be computed again,
 * and computed as it would be without some contributions.
 *
 * Owns: folds and their inputs. Threads: any; the kv is only read. Not here: arithmetic (outer.h),
 * and whether the blobs are still kept.
 */
#ifndef DPC_COORDINATOR_VERSIONS_LINEAGE_H
#define DPC_COORDINATOR_VERSIONS_LINEAGE_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/topology.h"
#include "coordinator/core/core.h"
#include "storage/db/records.h"

struct dpc_lineage_source {
    struct dpc_kv *kv;
    const struct dpc_experiment *experiment;
    const struct dpc_topology *topology;
    size_t floats; /* of every module; 0: as its layout has it */
};

/* Leases whose contributions do not count: serials, ascending, each once. */
struct dpc_serials {
    size_t count, capacity;
    uint64_t *serials;
};
void dpc_serials_add(struct dpc_serials *set, uint64_t serial);
/* After the last _add. */
void dpc_serials_sort(struct dpc_serials *set);
bool dpc_serials_hold(const struct dpc_serials *set, uint64_t serial);
void dpc_serials_done(struct dpc_serials *set);

/* One outer step again, as its ledger entry says. Contributions of `without` (may be NULL) are left
 * out: then the weights of the others are normalised over them, and the rescale follows from these
 * as the experiment says. The caller dpc_free's the inputs. */
int dpc_lineage_fold(const struct dpc_lineage_source *source,
                     const struct dpc_version_record *version, const struct dpc_serials *without,
                     struct dpc_fold *ret_fold, struct dpc_error *err) DPC_MUST_CHECK;

/* A version without the contributions of `without`: the outer steps `folds`, each on what the one
 * before it made, on the content of `base`. Rollbacks are gone back over, and what former revokes
 * took out stays out. No folds: it is the content of `base` as it is. */
struct dpc_lineage {
    struct dpc_version_record base;
    uint32_t folds_count;
    struct dpc_fold *folds;
    /* Entries of the ledger that are left out and were in the version, oldest first. */
    uint32_t removed_count;
    struct dpc_ledger_entry *removed;
};
int dpc_lineage_trace(const struct dpc_lineage_source *source, uint32_t module, uint32_t version,
                      const struct dpc_serials *without, struct dpc_lineage *ret_lineage,
                      struct dpc_error *err) DPC_MUST_CHECK;
void dpc_lineage_done(struct dpc_lineage *lineage);

#endif
