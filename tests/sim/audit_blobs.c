/* SPDX-License-Identifier: Apache-2.0
 * What the records name must lie on the disk, whole, whenever a process begins: a record is only
 * written behind the blobs that it names, and a sweep leaves what is still needed. */
#include <stdio.h>

#include "base/alloc.h"
#include "coordinator/core/keep.h"
#include "coordinator/core/state.h"
#include "tests/sim/sim.h"

static bool
is_in_kv(struct sim *sim, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    struct dpc_kv *kv = sim->coordinator.kv;
    struct dpc_error err;
    uint8_t *bytes;
    size_t len;
    if (kv->ops->get(kv, DPC_KV_BLOB, hash->bytes, sizeof hash->bytes, &bytes, &len, &err) !=
        DPC_OK)
        return false;
    dpc_free(bytes);
    *ret_bytes = len;
    return true;
}

/* NULL: there is none. */
static const struct dpc_buf *
find_file(struct sim *sim, const struct dpc_hash *hash, bool *ret_flipped)
{
    char hex[DPC_HASH_HEX_MAX], path[128];
    dpc_hash_hex(hash, hex, sizeof hex);
    (void)snprintf(path, sizeof path, "/d/store/blobs/%.2s/%s", hex, hex);
    return sim_disk_peek(sim->coordinator.disk, path, ret_flipped);
}

bool
sim_find_blob(struct sim *sim, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    bool flipped;
    if (is_in_kv(sim, hash, ret_bytes))
        return true;
    const struct dpc_buf *file = find_file(sim, hash, &flipped);
    *ret_bytes = file ? file->len : 0;
    return file != NULL;
}

static void
audit_blob(struct sim *sim, const struct dpc_hash *hash, const char *what, uint32_t of)
{
    bool flipped = false;
    uint64_t bytes;
    if (dpc_hash_is_none(hash) || is_in_kv(sim, hash, &bytes))
        return;
    const struct dpc_buf *file = find_file(sim, hash, &flipped);
    struct dpc_hash actual = dpc_hash_none;
    if (file)
        dpc_hash_of(file->data, file->len, &actual);
    if (!flipped && !dpc_hash_equal(&actual, hash))
        sim_fail(sim, "the records name the %s %u, and the disk %s", what, of,
                 file ? "holds other bytes" : "does not hold it");
}

/* What the next outer step of the module takes. */
static void
audit_deltas(struct sim *sim, uint32_t path_id)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct core_path *path = &core->paths[path_id];
    uint32_t length = dpc_topology_path_length(&core->topology, path_id);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(&core->topology, path_id, i);
        uint32_t level = dpc_topology_module_level(&core->topology, module);
        const struct core_delta *delta = &path->deltas[level];
        const struct core_delta *late = core_find_late(&core->modules[module], path_id);
        if (delta->serial && delta->round == dpc_module_round(&core->modules[module].record))
            audit_blob(sim, &delta->hash, "contribution of path", path_id);
        if (late)
            audit_blob(sim, &late->hash, "late contribution of path", path_id);
        if (path->record.part_steps)
            audit_blob(sim, &path->latest[level], "part of path", path_id);
    }
}

/* What a sweep must have left: history of a few rounds beside what the core names. */
static void
audit_kept(struct sim *sim)
{
    struct dpc_error err;
    struct dpc_keep *keep = dpc_keep_create(sim->coordinator.core);
    dpc_keep_forget_leases(keep);
    if (dpc_keep_history(keep, sim->coordinator.kv, &err) != DPC_OK)
        sim_fail(sim, "it could not be told what a sweep keeps: %s", err.text);
    for (size_t i = 0; i < dpc_keep_count(keep); i++)
        audit_blob(sim, dpc_keep_at(keep, i), "kept blob", (uint32_t)i);
    dpc_keep_destroy(keep);
}

void
sim_check_best_blobs(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct dpc_hash *versions = core_best_versions(core, i);
        uint32_t length = dpc_topology_path_length(&core->topology, i);
        for (uint32_t k = 0; versions && k < length; k++)
            audit_blob(sim, &versions[k], "best round of path", i);
    }
}

void
sim_check_blobs(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        const struct core_module *module = &core->modules[i];
        if (!module->exists)
            continue;
        audit_blob(sim, &module->record.master, "master of module", i);
        audit_blob(sim, &module->record.published, "published form of module", i);
        audit_blob(sim, &module->record.momentum, "momentum of module", i);
        audit_blob(sim, &module->record.change, "difference of module", i);
    }
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        audit_blob(sim, &core->paths[i].record.state, "state of path", i);
        audit_blob(sim, &core->paths[i].record.shard, "shard of path", i);
        audit_deltas(sim, i);
    }
    sim_check_best_blobs(sim);
    audit_kept(sim);
}
