/* SPDX-License-Identifier: Apache-2.0
 * What a revoke has taken out of the source, and a fork of a round from before it holds again: of
 * workers that are barred, what the versions at the cut were made of and the newest ones were not.
 * What such a worker handed in before the round from which on it was revoked stands in both. */
#include <string.h>

#include "base/alloc.h"
#include "coordinator/fork/fork_parts.h"
#include "coordinator/versions/lineage.h"

struct barred {
    uint8_t key[DPC_WORKER_KEY_BYTES];
    char name[DPC_NAME_MAX];
    uint32_t contributions, since; /* that come back; the first round of these */
};

struct search {
    struct fork_cut *cut;
    uint32_t barred_count, barred_capacity, *newest; /* version of each module */
    struct barred *barred;
    struct dpc_serials serials; /* of leases of theirs; first all, then those that come back */
};

static struct barred *
find_barred(const struct search *search, const uint8_t *key)
{
    for (uint32_t i = 0; i < search->barred_count; i++) {
        if (memcmp(search->barred[i].key, key, sizeof search->barred[i].key) == 0)
            return &search->barred[i];
    }
    return NULL;
}

static bool
add_barred(void *context, const struct dpc_worker_record *worker)
{
    struct search *search = context;
    struct barred barred = {.since = UINT32_MAX};
    if (worker->standing == DPC_STANDING_GOOD)
        return true;
    if (search->barred_count == search->barred_capacity) {
        search->barred_capacity = search->barred_capacity ? 2 * search->barred_capacity : 4;
        search->barred = dpc_grow(search->barred, search->barred_capacity, sizeof *search->barred);
    }
    memcpy(barred.key, worker->key, sizeof barred.key);
    memcpy(barred.name, worker->name, sizeof barred.name);
    search->barred[search->barred_count++] = barred;
    return true;
}

static bool
add_lease(void *context, const struct dpc_contribution_record *contribution)
{
    struct search *search = context;
    if (find_barred(search, contribution->worker))
        dpc_serials_add(&search->serials, contribution->lease);
    return true;
}

static bool
note_newest(void *context, const struct dpc_module_record *module)
{
    struct search *search = context;
    if (module->module < search->cut->topology.modules_count)
        search->newest[module->module] = module->version;
    return true;
}

/* Adds what the version holds of them. */
static int
trace(const struct search *search, uint32_t module, uint32_t version, struct dpc_serials *ret_held,
      struct dpc_error *err)
{
    struct dpc_lineage lineage;
    struct dpc_lineage_source source = {search->cut->source->kv, search->cut->old,
                                        &search->cut->topology, 0};
    int code = dpc_lineage_trace(&source, module, version, &search->serials, &lineage, err);
    if (code != DPC_OK)
        return code;
    for (uint32_t i = 0; i < lineage.removed_count; i++)
        dpc_serials_add(ret_held, lineage.removed[i].lease);
    dpc_serials_sort(ret_held);
    dpc_lineage_done(&lineage);
    return DPC_OK;
}

static int
compare_module(const struct search *search, uint32_t module, struct dpc_serials *again,
               struct dpc_error *err)
{
    struct dpc_serials then = {0}, now = {0};
    int code = trace(search, module, search->cut->versions[module].version, &then, err);
    if (code == DPC_OK && then.count)
        code = trace(search, module, search->newest[module], &now, err);
    for (size_t i = 0; code == DPC_OK && i < then.count; i++) {
        if (!dpc_serials_hold(&now, then.serials[i]))
            dpc_serials_add(again, then.serials[i]);
    }
    dpc_serials_done(&then);
    dpc_serials_done(&now);
    return code;
}

/* Each submission once: by the path's first module. Rounds count as a revoke counts them; of the
 * warm start it takes out nothing. */
static bool
count_again(void *context, const struct dpc_contribution_record *contribution)
{
    struct search *search = context;
    const struct fork_cut *cut = search->cut;
    struct barred *barred = find_barred(search, contribution->worker);
    uint32_t before = fork_cut_is_dense(cut, contribution->path) ? cut->warm_rounds : 0;
    if (!barred || !dpc_serials_hold(&search->serials, contribution->lease) ||
        contribution->round < before ||
        contribution->module != dpc_topology_path_module(&cut->topology, contribution->path, 0))
        return true;
    barred->contributions++;
    if (contribution->round - before < barred->since)
        barred->since = contribution->round - before;
    return true;
}

static void
tell(struct search *search)
{
    struct dpc_forked *forked = &search->cut->forked;
    for (uint32_t i = 0; i < search->barred_count; i++) {
        const struct barred *barred = &search->barred[i];
        if (!barred->contributions)
            continue;
        if (!forked->again_workers++ || barred->since < forked->again_since) {
            forked->again_since = barred->since;
            memcpy(forked->again_name, barred->name, sizeof forked->again_name);
        }
        forked->again += barred->contributions;
    }
}

static int
look(struct search *search, struct dpc_error *err)
{
    struct fork_cut *cut = search->cut;
    struct dpc_serials again = {0};
    int code = dpc_scan_contributions(cut->source->kv, add_lease, search, err);
    if (code == DPC_OK)
        code = dpc_scan_modules(cut->source->kv, note_newest, search, err);
    dpc_serials_sort(&search->serials);
    for (uint32_t i = 0; code == DPC_OK && i < cut->topology.modules_count; i++) {
        if (cut->versions[i].version < search->newest[i])
            code = compare_module(search, i, &again, err);
    }
    dpc_serials_sort(&again);
    dpc_serials_done(&search->serials);
    search->serials = again;
    if (code == DPC_OK)
        code = dpc_scan_contributions(cut->source->kv, count_again, search, err);
    if (code == DPC_OK)
        tell(search);
    return code;
}

int
fork_find_revoked(struct fork_cut *cut, struct dpc_error *err)
{
    struct search search = {.cut = cut};
    if (cut->warm) /* of which a revoke takes out nothing */
        return DPC_OK;
    int code = dpc_scan_workers(cut->source->kv, add_barred, &search, err);
    search.newest = dpc_alloc(cut->topology.modules_count, sizeof *search.newest);
    if (code == DPC_OK && search.barred_count)
        code = look(&search, err);
    dpc_serials_done(&search.serials);
    dpc_free(search.newest);
    dpc_free(search.barred);
    return code;
}
