/* SPDX-License-Identifier: Apache-2.0
 * A sorted list of hashes. The tables of the core are read at one instant; records of history never
 * change, so it does not matter when they are read. */
#include "coordinator/core/keep.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"
#include "coordinator/core/state.h"

struct dpc_keep {
    uint32_t rounds; /* keep_rounds */
    bool features;   /* are still to be read */
    bool states;     /* of paths are with the coordinator */
    uint32_t scored; /* discriminative phases whose scores are used */
    uint32_t modules_count, routed_modules, paths_count;
    uint32_t dense_rounds; /* that dense paths have at most */
    bool routed;           /* modules have begun */
    uint32_t *begun;       /* the round that all modules have got to: routed, or dense ones */
    /* The oldest round that anybody is at work on, of each module and path; UINT32_MAX: none. In
     * elastic mode others may have gone on meanwhile. */
    uint32_t *module_leased, *path_leased;
    size_t count, capacity;
    struct dpc_hash *hashes;
};

static void
add(struct dpc_keep *keep, const struct dpc_hash *hash)
{
    if (dpc_hash_is_none(hash))
        return;
    if (keep->count == keep->capacity) {
        keep->capacity = keep->capacity ? 2 * keep->capacity : 256;
        keep->hashes = dpc_grow(keep->hashes, keep->capacity, sizeof *keep->hashes);
    }
    keep->hashes[keep->count++] = *hash;
}

static void
add_content(struct dpc_keep *keep, const struct dpc_hash *master, const struct dpc_hash *published,
            const struct dpc_hash *momentum)
{
    add(keep, master);
    add(keep, published);
    add(keep, momentum);
}

static void
lower(uint32_t *value, uint32_t to)
{
    *value = *value < to ? *value : to;
}

/* What some have got to is over everywhere only when the last of them has: rollbacks of a round and
 * forks take the same one of all. */
static void
even_out(uint32_t *rounds, uint32_t count)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        lower(&least, rounds[i]);
    for (uint32_t i = 0; i < count; i++)
        rounds[i] = least;
}

static void
add_modules(struct dpc_keep *keep, const struct dpc_core *core)
{
    for (uint32_t i = 0; i < keep->modules_count; i++) {
        const struct dpc_module_record *module = &core->modules[i].record;
        keep->begun[i] = dpc_module_round(module);
        add_content(keep, &module->master, &module->published, &module->momentum);
        add(keep, &module->change);
        for (uint32_t late = 0; late < core->modules[i].late_count; late++)
            add(keep, &core->modules[i].late[late].hash);
    }
    even_out(keep->begun, keep->routed_modules);
    even_out(keep->begun + keep->routed_modules, keep->modules_count - keep->routed_modules);
    for (uint32_t level = 0; level < core->topology.levels_count; level++)
        add_content(keep, &core->warm[level].master, &core->warm[level].published,
                    &core->warm[level].momentum);
}

/* What its modules have yet to merge, and what the next part of a round goes on from; the rest is
 * history. */
static void
add_deltas(struct dpc_keep *keep, const struct dpc_core *core, uint32_t path_id)
{
    const struct core_path *path = &core->paths[path_id];
    uint32_t length = dpc_topology_path_length(&core->topology, path_id);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(&core->topology, path_id, i);
        uint32_t level = dpc_topology_module_level(&core->topology, module);
        const struct core_delta *delta = &path->deltas[level];
        if (delta->serial && delta->round >= dpc_module_round(&core->modules[module].record))
            add(keep, &delta->hash);
        if (path->record.part_steps)
            add(keep, &path->latest[level]);
    }
}

static void
add_paths(struct dpc_keep *keep, const struct dpc_core *core)
{
    for (uint32_t i = 0; i < keep->paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        add(keep, &path->record.state);
        add(keep, &path->record.shard);
        add(keep, &path->record.test);
        add_deltas(keep, core, i);
        for (const struct core_lease *lease = path->leases; lease; lease = lease->next)
            add(keep, &lease->record.state);
    }
}

/* Early stopping: each path's best round, however old, what it is measured on, and rounds that are
 * yet to be measured. */
static void
add_bests(struct dpc_keep *keep, const struct dpc_core *core)
{
    for (uint32_t i = 0; core->bests && i < keep->paths_count; i++) {
        const struct dpc_hash *versions = core_best_versions(core, i);
        add(keep, &core->bests[i].record.documents);
        uint32_t length = dpc_topology_path_length(&core->topology, i);
        for (uint32_t k = 0; versions && k < length; k++) {
            if (!DPC_PLANTED(DPC_PLANTED_BEST_SWEPT))
                add(keep, &versions[k]);
        }
    }
    for (uint32_t i = 0; i < keep->modules_count; i++) {
        for (uint32_t k = 0; k < core->modules[i].past_count; k++)
            add(keep, &core->modules[i].past[k].published);
    }
}

/* What workers that repeat a task have to fetch. */
static void
add_audits(struct dpc_keep *keep, const struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->audits_count; i++) {
        const struct core_audit *audit = &core->audits[i];
        add(keep, &audit->data.hash);
        add(keep, &audit->state.hash);
        for (uint32_t k = 0; k < core->topology.levels_count; k++)
            add(keep, &audit->versions[k].hash);
    }
}

void
dpc_keep_forget_leases(struct dpc_keep *keep)
{
    memset(keep->module_leased, 0xff, keep->modules_count * sizeof *keep->module_leased);
    memset(keep->path_leased, 0xff, keep->paths_count * sizeof *keep->path_leased);
}

static void
note_leases(struct dpc_keep *keep, const struct dpc_core *core)
{
    keep->module_leased = dpc_alloc(keep->modules_count, sizeof *keep->module_leased);
    keep->path_leased = dpc_alloc(keep->paths_count, sizeof *keep->path_leased);
    dpc_keep_forget_leases(keep);
    for (uint32_t i = 0; i < core->leases_count; i++) {
        const struct dpc_lease_record *lease = &core->leases[i]->record;
        if (lease->kind != DPC_TASK_TRAIN)
            continue;
        lower(&keep->path_leased[lease->path], lease->round);
        uint32_t length = dpc_topology_path_length(&core->topology, lease->path);
        for (uint32_t k = 0; k < length; k++)
            lower(&keep->module_leased[dpc_topology_path_module(&core->topology, lease->path, k)],
                  lease->round);
    }
}

struct dpc_keep *
dpc_keep_create(const struct dpc_core *core)
{
    struct dpc_keep *keep = dpc_alloc(1, sizeof *keep);
    keep->rounds = core->experiment->keep_rounds;
    keep->features = core->phase.phase <= DPC_PHASE_SHARD ||
                     core->phase.routing_phases < core->experiment->routing.phases;
    keep->states = core->experiment->transfer.path_state == DPC_STATE_SHIP;
    keep->scored = core->phase.routing_phases;
    keep->modules_count = core->topology.modules_count;
    keep->routed_modules = core->topology.routed_modules;
    keep->paths_count = core->topology.paths_count;
    keep->dense_rounds = dpc_core_path_rounds(core, dpc_topology_dense_path(&core->topology));
    keep->routed = core->modules[0].exists;
    keep->begun = dpc_alloc(keep->modules_count, sizeof *keep->begun);
    add(keep, &core->phase.prefixes);
    add(keep, &core->phase.tokenizer);
    add(keep, &core->phase.router);
    add(keep, &core->phase.scored);
    if (!DPC_PLANTED(DPC_PLANTED_TRACED_SWEPT))
        add(keep, &core->phase.traced);
    add(keep, &core->phase.routes);
    add(keep, &core->phase.warm_state);
    add_modules(keep, core);
    add_paths(keep, core);
    add_audits(keep, core);
    add_bests(keep, core);
    note_leases(keep, core);
    return keep;
}

struct dpc_keep *
dpc_keep_destroy(struct dpc_keep *keep)
{
    if (!keep)
        return NULL;
    dpc_free(keep->begun);
    dpc_free(keep->module_leased);
    dpc_free(keep->path_leased);
    dpc_free(keep->hashes);
    return dpc_free(keep);
}

/* --- History. A record that was committed after the tables were read is newer than they say. */

static bool
is_recent(const struct dpc_keep *keep, uint32_t number, uint32_t newest)
{
    return number >= newest || newest - number <= keep->rounds;
}

/* The first round that is recent. */
static uint32_t
least_recent(const struct dpc_keep *keep, uint32_t newest)
{
    return newest > keep->rounds ? newest - keep->rounds : 0;
}

static bool
add_version(void *context, const struct dpc_version_record *version)
{
    struct dpc_keep *keep = context;
    bool pinned = version->version == 0 && version->module < keep->routed_modules;
    if (pinned || version->module >= keep->modules_count ||
        dpc_version_round(version) >= keep->module_leased[version->module] ||
        is_recent(keep, dpc_version_round(version), keep->begun[version->module]))
        add_content(keep, &version->master, &version->published, &version->momentum);
    return true;
}

static bool
add_one_version(void *context, const struct dpc_version_record *version)
{
    (void)add_version(context, version);
    return false;
}

/* Earlier ones are passed over, but for a module's first, which may be pinned. A version's number
 * is never below the round that it begins. */
static int
scan_versions(struct dpc_keep *keep, struct dpc_kv *kv, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; i < keep->modules_count && code == DPC_OK; i++) {
        uint32_t first = least_recent(keep, keep->begun[i]);
        lower(&first, keep->module_leased[i]);
        if (first > 0)
            code = dpc_scan_versions_of(kv, i, 0, add_one_version, keep, err);
        if (code == DPC_OK)
            code = dpc_scan_versions_of(kv, i, first, add_version, keep, err);
    }
    return code;
}

/* Rounds are counted as modules do: a path may have gone on to one that is far ahead, where it does
 * not train in all of them (outer.sample). With the state that the round began with its path
 * can be taken up again at that round by a fork (coordinator/fork/fork.h). */
static bool
add_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    struct dpc_keep *keep = context;
    if (contribution->path < keep->paths_count && contribution->module < keep->modules_count &&
        contribution->round < keep->path_leased[contribution->path] &&
        !is_recent(keep, contribution->round, keep->begun[contribution->module]))
        return true;
    add(keep, &contribution->delta);
    if (keep->states && contribution->from == 0)
        add(keep, &contribution->began);
    return true;
}

/* To these modules: no contribution of an earlier round is kept. What a path is leased for its
 * modules are. */
static uint32_t
find_oldest(const struct dpc_keep *keep, uint32_t module_first, uint32_t module_end)
{
    uint32_t oldest = UINT32_MAX;
    for (uint32_t i = module_first; i < module_end; i++) {
        lower(&oldest, least_recent(keep, keep->begun[i]));
        lower(&oldest, keep->module_leased[i]);
    }
    return oldest;
}

/* Earlier rounds are passed over, or each sweep would take longer than the one before. Dense
 * modules may have ended long before routed ones or have yet to get as far: of rounds that are too
 * old for these only the dense ones are looked at, which stand behind the others. */
static int
scan_contributions(struct dpc_keep *keep, struct dpc_kv *kv, struct dpc_error *err)
{
    int code = DPC_OK;
    uint32_t dense = find_oldest(keep, keep->routed_modules, keep->modules_count);
    uint32_t first = keep->routed ? find_oldest(keep, 0, keep->routed_modules) : dense;
    for (uint32_t round = dense; round < first && round < keep->dense_rounds && code == DPC_OK;
         round++)
        code =
            dpc_scan_contributions_of(kv, round, keep->routed_modules, add_contribution, keep, err);
    if (code == DPC_OK)
        code = dpc_scan_contributions_from(kv, first, add_contribution, keep, err);
    return code;
}

/* Without early stopping nobody reads them but a fork that has it. */
static bool
add_documents(void *context, const struct dpc_best_record *best)
{
    add(context, &best->documents);
    return true;
}

/* Features are read by each sharding, scores of a discriminative phase by the one that ends it, all
 * else by the report, which may be written again. */
static bool
add_result(void *context, const struct dpc_result_record *result)
{
    struct dpc_keep *keep = context;
    bool needed = result->kind == DPC_TASK_FEATURIZE ? keep->features
                  : result->kind == DPC_TASK_SCORE   ? result->phase > keep->scored
                                                     : true;
    if (needed)
        add(keep, &result->result);
    return true;
}

static int
compare(const void *a, const void *b)
{
    return dpc_hash_compare(a, b);
}

static void
complete(struct dpc_keep *keep)
{
    size_t count = 0;
    if (keep->count)
        qsort(keep->hashes, keep->count, sizeof *keep->hashes, compare);
    for (size_t i = 0; i < keep->count; i++) {
        if (count == 0 || !dpc_hash_equal(&keep->hashes[i], &keep->hashes[count - 1]))
            keep->hashes[count++] = keep->hashes[i];
    }
    keep->count = count;
}

int
dpc_keep_history(struct dpc_keep *keep, struct dpc_kv *kv, struct dpc_error *err)
{
    int code = scan_versions(keep, kv, err);
    if (code == DPC_OK)
        code = scan_contributions(keep, kv, err);
    if (code == DPC_OK)
        code = dpc_scan_results(kv, add_result, keep, err);
    if (code == DPC_OK)
        code = dpc_scan_bests(kv, add_documents, keep, err);
    complete(keep);
    return code;
}

bool
dpc_keep_holds(const struct dpc_keep *keep, const struct dpc_hash *hash)
{
    return keep->count &&
           bsearch(hash, keep->hashes, keep->count, sizeof *keep->hashes, compare) != NULL;
}

size_t
dpc_keep_count(const struct dpc_keep *keep)
{
    return keep->count;
}

const struct dpc_hash *
dpc_keep_at(const struct dpc_keep *keep, size_t index)
{
    return &keep->hashes[index];
}
