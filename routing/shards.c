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

/* What else may help: how the documents are routed says what can. */
static const char *
ways_out(const struct dpc_experiment *experiment)
{
    bool ranks = experiment->routing.init != DPC_ROUTING_METADATA &&
                 experiment->routing.init != DPC_ROUTING_HASH;
    bool asks_model = ranks && experiment->routing.features != DPC_FEATURES_NGRAMS;
    if (!ranks)
        return "lower routing.documents_min";
    if (experiment->routing.balance == DPC_BALANCE_CAPACITY)
        return asks_model ? "train the warm start longer, lower routing.documents_min, or lower "
                            "routing.capacity"
                          : "lower routing.documents_min, or lower routing.capacity";
    return asks_model ? "train the warm start longer, lower routing.documents_min, or set "
                        "routing.balance to capacity"
                      : "lower routing.documents_min, or set routing.balance to capacity";
}

/* Enough to be told apart by, and no document to train on. */
static int
refuse_untrained(const char *name, uint32_t documents, const char *all,
                 const struct dpc_experiment *experiment, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_EINVAL,
                         "path %s would get no document of the train split, and %u of the router "
                         "split (paths get %s of both): give more documents, use fewer modules, or "
                         "lower data.router (now %g)",
                         name, documents, all, experiment->data.router);
}

static int
refuse(const struct dpc_topology *topology, const struct dpc_shard_counts *counts, uint32_t path,
       struct dpc_error *err)
{
    const struct dpc_experiment *experiment = topology->experiment;
    uint32_t documents = fitted(&counts[path]), needed = experiment->routing.documents_min;
    char name[2 * DPC_NAME_MAX];
    struct dpc_buf all;
    dpc_buf_init(&all, DPC_ERROR_TEXT_MAX / 2);
    dpc_topology_path_name(topology, path, name, sizeof name);
    for (uint32_t i = 0; i < topology->routed_paths && i < COUNTS_SHOWN_MAX; i++)
        dpc_buf_printf(&all, "%s%u", i ? ", " : "", fitted(&counts[i]));
    if (topology->routed_paths > COUNTS_SHOWN_MAX)
        dpc_buf_printf(&all, ", ...");
    int code =
        documents >= needed
            ? refuse_untrained(name, documents, dpc_buf_text(&all), experiment, err)
            : dpc_error_set(err, DPC_EINVAL,
                            "path %s would get %u documents of the train and router splits, and "
                            "needs %u (paths get %s): give more documents, use fewer modules, %s",
                            name, documents, needed, dpc_buf_text(&all), ways_out(experiment));
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
