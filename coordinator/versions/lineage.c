/* SPDX-License-Identifier: Apache-2.0
 * From a version down to where it began, by parents: outer steps merge, a rollback is what its
 * parent was, a revoke is its parent without the leases that its ledger entry lists. A lease is
 * merged in one step of a lineage at most, so whether a contribution of it counts follows from the
 * revokes above that step alone. The chain to be folded again begins above the newest version that
 * holds nothing of what is left out, for what is older need not be kept any more. */
#include "coordinator/versions/lineage.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"

/* --- Sets of serials. */

void
dpc_serials_add(struct dpc_serials *set, uint64_t serial)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? 2 * set->capacity : 16;
        set->serials = dpc_grow(set->serials, set->capacity, sizeof *set->serials);
    }
    set->serials[set->count++] = serial;
}

static int
compare(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return one < two ? -1 : one > two;
}

void
dpc_serials_sort(struct dpc_serials *set)
{
    size_t count = 0;
    if (set->count)
        qsort(set->serials, set->count, sizeof *set->serials, compare);
    for (size_t i = 0; i < set->count; i++) {
        if (count == 0 || set->serials[i] != set->serials[count - 1])
            set->serials[count++] = set->serials[i];
    }
    set->count = count;
}

bool
dpc_serials_hold(const struct dpc_serials *set, uint64_t serial)
{
    return set && set->count &&
           bsearch(&serial, set->serials, set->count, sizeof serial, compare) != NULL;
}

void
dpc_serials_done(struct dpc_serials *set)
{
    dpc_free(set->serials);
    *set = (struct dpc_serials){0};
}

/* --- One step. */

/* The rates of outer steps up to some round are those of the experiment that this store was forked
 * from (struct dpc_origin_record). */
struct rates {
    uint32_t round; /* that the step made */
    bool found;
    struct dpc_origin_record origin;
};

static bool
look_for_rates(void *context, const struct dpc_origin_record *origin)
{
    struct rates *rates = context;
    rates->found = rates->round <= origin->round;
    rates->origin = *origin;
    return !rates->found;
}

static int
set_rates(const struct dpc_lineage_source *source, const struct dpc_version_record *version,
          struct dpc_fold *fold, enum dpc_outer_rescale *ret_rescale, struct dpc_error *err)
{
    bool dense = dpc_topology_module_is_dense(source->topology, version->module);
    struct rates rates = {.round = dpc_version_round(version)};
    dpc_fold_set_rates(fold, source->experiment, dense);
    *ret_rescale = dense ? DPC_RESCALE_NONE : source->experiment->outer.rescale;
    int code = dpc_scan_origins(source->kv, look_for_rates, &rates, err);
    if (code != DPC_OK || dense || !rates.found)
        return code;
    fold->lr = rates.origin.lr;
    fold->mu = rates.origin.momentum;
    fold->rda = rates.origin.rescale == DPC_RESCALE_RDA;
    *ret_rescale = rates.origin.rescale;
    return DPC_OK;
}

static int
load_entry(const struct dpc_lineage_source *source, const struct dpc_version_record *version,
           struct dpc_ledger_record *ret_record, struct dpc_error *err)
{
    int code = dpc_load_ledger(source->kv, version->ledger, ret_record, err);
    if (code != DPC_OK)
        return code;
    if (ret_record->module == version->module && ret_record->version == version->version)
        return DPC_OK;
    dpc_free(ret_record->entries);
    return dpc_error_set(err, DPC_ECORRUPT,
                         "entry %llu of the ledger is about another version: restore the store "
                         "from a backup",
                         (unsigned long long)version->ledger);
}

static void
list_inputs(const struct dpc_ledger_record *record, const struct dpc_serials *without,
            enum dpc_outer_rescale rescale, struct dpc_fold *fold)
{
    fold->rescale = record->rescale;
    fold->inputs = dpc_alloc(record->entries_count + 1u, sizeof *fold->inputs); /* never none */
    for (uint32_t i = 0; i < record->entries_count; i++) {
        const struct dpc_ledger_entry *entry = &record->entries[i];
        if (dpc_serials_hold(without, entry->lease))
            continue;
        fold->inputs[fold->inputs_count++] = (struct dpc_fold_input){.path = entry->path,
                                                                     .delta = entry->delta,
                                                                     .weight = entry->weight,
                                                                     .scale = entry->scale,
                                                                     .steps = entry->steps,
                                                                     .late = entry->late};
    }
    if (fold->inputs_count && fold->inputs_count < record->entries_count)
        dpc_fold_normalise(fold, rescale);
}

static void
describe(const struct dpc_lineage_source *source, const struct dpc_version_record *version,
         const struct dpc_version_record *parent, struct dpc_fold *fold)
{
    uint32_t level = dpc_topology_module_level(source->topology, version->module);
    *fold = (struct dpc_fold){
        .module = version->module,
        .version = version->version,
        .count =
            source->floats ? source->floats : dpc_layout_module_floats(source->experiment, level),
        .master = parent->master,
        .published = parent->published,
        .momentum = parent->momentum,
    };
}

int
dpc_lineage_fold(const struct dpc_lineage_source *source, const struct dpc_version_record *version,
                 const struct dpc_serials *without, struct dpc_fold *ret_fold,
                 struct dpc_error *err)
{
    struct dpc_ledger_record record;
    struct dpc_version_record parent;
    struct dpc_fold fold;
    enum dpc_outer_rescale rescale = DPC_RESCALE_NONE;
    int code = dpc_load_version(source->kv, version->module, version->parent, &parent, err);
    if (code == DPC_OK) {
        describe(source, version, &parent, &fold);
        code = set_rates(source, version, &fold, &rescale, err);
    }
    if (code == DPC_OK)
        code = load_entry(source, version, &record, err);
    if (code != DPC_OK)
        return code;
    list_inputs(&record, without, rescale, &fold);
    *ret_fold = fold;
    dpc_free(record.entries);
    return DPC_OK;
}

/* --- A whole lineage. */

/* A contribution that does not count: it was merged at one place and revoked at a newer one, -1 for
 * what is to be left out now. Places count from the version on downwards. */
struct hit {
    int64_t merged_at, revoked_at;
    struct dpc_ledger_entry entry;
};

struct trace {
    const struct dpc_lineage_source *source;
    const struct dpc_serials *without;
    uint32_t versions_count, versions_capacity;
    struct dpc_version_record *versions; /* newest first */
    uint32_t revokes_count, revokes_capacity;
    struct revoke {
        int64_t at;
        struct dpc_serials serials;
    } * revokes; /* newest first */
    uint32_t hits_count, hits_capacity;
    struct hit *hits; /* newest first */
};

static void
trace_done(struct trace *trace)
{
    for (uint32_t i = 0; i < trace->revokes_count; i++)
        dpc_serials_done(&trace->revokes[i].serials);
    dpc_free(trace->revokes);
    dpc_free(trace->versions);
    dpc_free(trace->hits);
}

/* Where the revoke stands that took the lease out of what is below `at`; false: it counts. */
static bool
find_revoke(const struct trace *trace, uint64_t lease, int64_t at, int64_t *ret_revoked_at)
{
    for (uint32_t i = 0; i < trace->revokes_count; i++) {
        *ret_revoked_at = trace->revokes[i].at;
        if (*ret_revoked_at < at && dpc_serials_hold(&trace->revokes[i].serials, lease))
            return true;
    }
    *ret_revoked_at = -1;
    return dpc_serials_hold(trace->without, lease);
}

static void
note_revoke(struct trace *trace, const struct dpc_ledger_record *record)
{
    if (trace->revokes_count == trace->revokes_capacity) {
        trace->revokes_capacity = trace->revokes_capacity ? 2 * trace->revokes_capacity : 4;
        trace->revokes = dpc_grow(trace->revokes, trace->revokes_capacity, sizeof *trace->revokes);
    }
    struct revoke *revoke = &trace->revokes[trace->revokes_count++];
    *revoke = (struct revoke){.at = trace->versions_count - 1};
    for (uint32_t i = 0; i < record->entries_count; i++)
        dpc_serials_add(&revoke->serials, record->entries[i].lease);
    dpc_serials_sort(&revoke->serials);
}

static void
note_step(struct trace *trace, const struct dpc_ledger_record *record)
{
    struct hit hit = {.merged_at = trace->versions_count - 1};
    for (uint32_t i = 0; i < record->entries_count; i++) {
        hit.entry = record->entries[i];
        if (!find_revoke(trace, hit.entry.lease, hit.merged_at, &hit.revoked_at))
            continue;
        if (trace->hits_count == trace->hits_capacity) {
            trace->hits_capacity = trace->hits_capacity ? 2 * trace->hits_capacity : 16;
            trace->hits = dpc_grow(trace->hits, trace->hits_capacity, sizeof *trace->hits);
        }
        trace->hits[trace->hits_count++] = hit;
    }
}

static void
add_version(struct trace *trace, const struct dpc_version_record *version)
{
    if (trace->versions_count == trace->versions_capacity) {
        trace->versions_capacity = trace->versions_capacity ? 2 * trace->versions_capacity : 64;
        trace->versions =
            dpc_grow(trace->versions, trace->versions_capacity, sizeof *trace->versions);
    }
    trace->versions[trace->versions_count++] = *version;
}

static int
go_down(struct trace *trace, uint32_t module, uint32_t number, struct dpc_error *err)
{
    for (;;) {
        struct dpc_version_record version;
        struct dpc_ledger_record record;
        int code = dpc_load_version(trace->source->kv, module, number, &version, err);
        if (code != DPC_OK)
            return code;
        add_version(trace, &version);
        if (version.cause == DPC_CAUSE_INITIAL)
            return DPC_OK;
        if (version.parent >= number)
            return dpc_error_set(err, DPC_ECORRUPT,
                                 "version %u of module %u is said to come from version %u: restore "
                                 "the store from a backup",
                                 number, module, version.parent);
        number = version.parent;
        if (version.cause == DPC_CAUSE_ROLLBACK)
            continue;
        code = load_entry(trace->source, &version, &record, err);
        if (code != DPC_OK)
            return code;
        if (version.cause == DPC_CAUSE_REVOKE)
            note_revoke(trace, &record);
        else
            note_step(trace, &record);
        dpc_free(record.entries);
    }
}

/* The newest place whose content is as it must be: nothing that was revoked above it was merged at
 * or below it. */
static int64_t
find_base(const struct trace *trace)
{
    int64_t base = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < trace->hits_count; i++) {
            const struct hit *hit = &trace->hits[i];
            if (hit->revoked_at < base && base <= hit->merged_at) {
                base = hit->merged_at + 1;
                moved = true;
            }
        }
    }
    return base;
}

static void
list_removed(const struct trace *trace, struct dpc_lineage *lineage)
{
    lineage->removed = dpc_alloc(trace->hits_count + 1u, sizeof *lineage->removed);
    for (uint32_t i = trace->hits_count; i-- > 0;) {
        if (trace->hits[i].revoked_at < 0)
            lineage->removed[lineage->removed_count++] = trace->hits[i].entry;
    }
}

/* All that does not count at the steps above the base. */
static void
join_sets(const struct trace *trace, struct dpc_serials *all)
{
    for (uint32_t i = 0; i < trace->hits_count; i++)
        dpc_serials_add(all, trace->hits[i].entry.lease);
    dpc_serials_sort(all);
}

static int
list_folds(const struct trace *trace, int64_t base, struct dpc_lineage *lineage,
           struct dpc_error *err)
{
    struct dpc_serials all = {0};
    int code = DPC_OK;
    join_sets(trace, &all);
    lineage->base = trace->versions[base];
    lineage->folds = dpc_alloc((size_t)base + 1, sizeof *lineage->folds);
    for (int64_t i = base - 1; i >= 0 && code == DPC_OK; i--) {
        struct dpc_fold *fold = &lineage->folds[lineage->folds_count];
        if (trace->versions[i].cause != DPC_CAUSE_OUTER_STEP)
            continue;
        code = dpc_lineage_fold(trace->source, &trace->versions[i], &all, fold, err);
        if (code == DPC_OK && fold->inputs_count == 0)
            dpc_free(fold->inputs); /* a round that merged nothing changed nothing */
        else if (code == DPC_OK)
            lineage->folds_count++;
    }
    if (lineage->folds_count) {
        lineage->folds->master = lineage->base.master;
        lineage->folds->published = lineage->base.published;
        lineage->folds->momentum = lineage->base.momentum;
    }
    dpc_serials_done(&all);
    return code;
}

int
dpc_lineage_trace(const struct dpc_lineage_source *source, uint32_t module, uint32_t version,
                  const struct dpc_serials *without, struct dpc_lineage *ret_lineage,
                  struct dpc_error *err)
{
    struct trace trace = {.source = source, .without = without};
    *ret_lineage = (struct dpc_lineage){0};
    int code = go_down(&trace, module, version, err);
    if (code == DPC_OK) {
        list_removed(&trace, ret_lineage);
        code = list_folds(&trace, find_base(&trace), ret_lineage, err);
    }
    trace_done(&trace);
    if (code != DPC_OK)
        dpc_lineage_done(ret_lineage);
    return code;
}

void
dpc_lineage_done(struct dpc_lineage *lineage)
{
    for (uint32_t i = 0; i < lineage->folds_count; i++)
        dpc_free(lineage->folds[i].inputs);
    dpc_free(lineage->folds);
    dpc_free(lineage->removed);
    *lineage = (struct dpc_lineage){0};
}
