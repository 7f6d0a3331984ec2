/* SPDX-License-Identifier: Apache-2.0
 * The error carries the whole picture, since one small path says little without the others. */
#include "routing/shards.h"

#include "base/buf.h"

enum { COUNTS_SHOWN_MAX = 16 };

static uint32_t
fitted(const struct dpc_shard_counts *counts)
{
    return counts->documents[DPC_SPLIT_TRAIN] + counts->documents[DPC_SPLIT_ROUTER];
}

static int
refuse(const struct dpc_topology *topology, const struct dpc_shard_counts *counts, uint32_t path,
       struct dpc_error *err)
{
    char name[2 * DPC_NAME_MAX];
    bool balanced = topology->experiment->routing.balance == DPC_BALANCE_CAPACITY;
    struct dpc_buf all;
    dpc_buf_init(&all, DPC_ERROR_TEXT_MAX / 2);
    dpc_topology_path_name(topology, path, name, sizeof name);
    for (uint32_t i = 0; i < topology->routed_paths && i < COUNTS_SHOWN_MAX; i++)
        dpc_buf_printf(&all, "%s%u", i ? ", " : "", fitted(&counts[i]));
    if (topology->routed_paths > COUNTS_SHOWN_MAX)
        dpc_buf_printf(&all, ", ...");
    int code =
        dpc_error_set(err, DPC_EINVAL,
                      "path %s would get %u documents of the train and router splits, and needs "
                      "%u (paths get %s): give more documents, use fewer modules, train the warm "
                      "start longer, lower routing.documents_min, or %s",
                      name, fitted(&counts[path]), topology->experiment->routing.documents_min,
                      dpc_buf_text(&all),
                      balanced ? "lower routing.capacity" : "set routing.balance to capacity");
    dpc_buf_done(&all);
    return code;
}

int
dpc_shards_check(const struct dpc_topology *topology, const struct dpc_shard_counts *counts,
                 struct dpc_error *err)
{
    for (uint32_t path = 0; path < topology->routed_paths; path++) {
        if (fitted(&counts[path]) < topology->experiment->routing.documents_min ||
            counts[path].documents[DPC_SPLIT_TRAIN] == 0)
            return refuse(topology, counts, path, err);
    }
    return DPC_OK;
}
