/* SPDX-License-Identifier: Apache-2.0
 * One module at a time, so that memory is two modules whatever their number. */
#include "coordinator/versions/beginnings.h"

#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "base/upcycle.h"

/* A copy of a tensor blob's values; dpc_free it. */
static int
load(struct dpc_store *store, const struct dpc_hash *hash, size_t count, float **ret_values,
     struct dpc_error *err)
{
    uint8_t *blob;
    size_t len;
    const float *values;
    int code = dpc_store_blob_load_named(store, hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_read(blob, len, count, &values, err);
    float *copy = code == DPC_OK ? dpc_try_alloc_vector(count, sizeof *copy) : NULL;
    if (copy)
        memcpy(copy, values, count * sizeof *copy);
    else if (code == DPC_OK)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    dpc_free(blob);
    if (code == DPC_OK)
        *ret_values = copy;
    return code;
}

static int
make(struct dpc_store *store, const struct dpc_lineage_source *records, uint32_t module,
     const struct dpc_hash *dense, bool puts, struct dpc_hash *ret_content, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = records->experiment;
    uint32_t level = dpc_topology_module_level(records->topology, module);
    size_t count = dpc_layout_module_floats(experiment, level);
    float *values;
    struct dpc_buf blob;
    int code = load(store, dense, count, &values, err);
    if (code != DPC_OK)
        return code;
    dpc_upcycle_module(experiment, level, module, values);
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, count);
    dpc_free(values);
    if (blob.failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    else if (puts)
        code = dpc_store_blob_put(store, blob.data, blob.len, ret_content, err);
    else
        dpc_hash_of(blob.data, blob.len, ret_content);
    dpc_buf_done(&blob);
    return code;
}

int
dpc_beginnings_name(struct dpc_store *store, const struct dpc_lineage_source *records,
                    uint32_t module, const struct dpc_hash *dense, struct dpc_hash *ret_content,
                    struct dpc_error *err)
{
    return make(store, records, module, dense, false, ret_content, err);
}

static int
make_one(struct dpc_store *store, const struct dpc_lineage_source *records, uint32_t module,
         struct dpc_hash *ret_content, struct dpc_error *err)
{
    const struct dpc_topology *topology = records->topology;
    uint32_t level = dpc_topology_module_level(topology, module);
    uint32_t dense = dpc_topology_module(topology, dpc_topology_dense_path(topology), level);
    struct dpc_version_record version;
    int code = dpc_load_version(records->kv, dense, dpc_experiment_warm_rounds(records->experiment),
                                &version, err);
    if (code == DPC_OK && dpc_upcycle_changes(records->experiment, level))
        return make(store, records, module, &version.master, true, ret_content, err);
    if (code == DPC_OK)
        *ret_content = version.master;
    return code;
}

int
dpc_beginnings_make(struct dpc_store *store, const struct dpc_lineage_source *records,
                    struct dpc_hash **ret_contents, struct dpc_error *err)
{
    uint32_t count = records->topology->routed_modules;
    int code = DPC_OK;
    *ret_contents = NULL;
    if (records->experiment->warm_start.init == DPC_BEGIN_COPY)
        return DPC_OK;
    struct dpc_hash *contents = dpc_alloc(count, sizeof *contents);
    for (uint32_t module = 0; module < count && code == DPC_OK; module++)
        code = make_one(store, records, module, &contents[module], err);
    if (code == DPC_OK)
        *ret_contents = contents;
    else
        dpc_free(contents);
    return code;
}
