/* SPDX-License-Identifier: Apache-2.0
 * Early stopping: a path takes the best of its rounds, as measured on the early-stop documents of
 * its shard. Training goes on as if nobody measured. A round is evaluated with the versions that
 * the path's modules had when it was over, and a path's rounds are evaluated one after the other;
 * so which is best follows from the losses alone, and of two that are equal it is the older.
 * Modules may be rounds ahead by then: what is yet to be evaluated is remembered (`past`), and a
 * sweep leaves it (keep.c). With new documents, and with versions that a rollback discarded, the
 * choice begins anew: losses on other documents do not compare, and of what was lost nothing is
 * taken. */
#include "coordinator/core/state.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* The `index`-th of the path's modules: versions of a path stand in that order. */
static struct core_module *
module_of(const struct dpc_core *core, uint32_t path, uint32_t index)
{
    return &core->modules[dpc_topology_path_module(&core->topology, path, index)];
}

static uint32_t
length_of(const struct dpc_core *core, uint32_t path)
{
    return dpc_topology_path_length(&core->topology, path);
}

/* --- Rounds that are over. */

/* The last round that all of the path's modules have behind them. */
static uint32_t
rounds_over(const struct dpc_core *core, uint32_t path)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < length_of(core, path); i++) {
        uint32_t round = dpc_module_round(&module_of(core, path, i)->record);
        least = round < least ? round : least;
    }
    return least;
}

/* The first round whose versions are all present or still to come. */
static uint32_t
newest_round(const struct dpc_core *core, uint32_t path)
{
    uint32_t newest = core_is_dense(core, path) ? core->warm_rounds : 0;
    for (uint32_t i = 0; i < length_of(core, path); i++) {
        uint32_t round = dpc_module_round(&module_of(core, path, i)->record);
        newest = round > newest ? round : newest;
    }
    return newest;
}

uint32_t
core_rounds_unrated(const struct dpc_core *core, uint32_t path)
{
    const struct dpc_best_record *record = core->bests ? &core->bests[path].record : NULL;
    if (!record || record->documents_count == 0)
        return 0;
    uint32_t over = rounds_over(core, path);
    return over >= record->next_round ? over - record->next_round + 1 : 0;
}

bool
core_all_are_rated(const struct dpc_core *core, bool dense_too)
{
    const struct core_tasks *rating = &core->rating;
    uint32_t dense = dpc_topology_dense_path(&core->topology);
    uint32_t open = rating->waiting.count + rating->watched.count;
    if (core->bests && !dense_too)
        open -= core_heap_has(&rating->waiting, dense) || core_heap_has(&rating->watched, dense);
    for (uint32_t i = 0; core->bests && core->failures_count && i < core->topology.paths_count; i++)
        open += (dense_too || i != dense) && core_fails_everywhere(core, CORE_RATING, i);
    return open == 0;
}

/* --- Versions that are yet to be evaluated. */

static const struct core_past *
find_past(const struct core_module *module, uint32_t round)
{
    for (uint32_t i = module->past_count; i-- > 0;) {
        if (module->past[i].round == round)
            return &module->past[i];
    }
    return NULL;
}

/* The present version stays: it may be that of a round which is evaluated again. */
static void
forget_past(struct dpc_core *core, uint32_t module_id)
{
    struct core_module *module = &core->modules[module_id];
    uint32_t count = dpc_topology_paths_through(&core->topology, module_id);
    uint32_t least = UINT32_MAX, gone = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, module_id, i);
        const struct dpc_best_record *record = &core->bests[path].record;
        if (record->documents_count && record->next_round < least)
            least = record->next_round;
    }
    while (gone + 1 < module->past_count && module->past[gone].round < least)
        gone++;
    module->past_count -= gone;
    memmove(module->past, module->past + gone, module->past_count * sizeof *module->past);
}

static void
forget_past_along(struct dpc_core *core, uint32_t path)
{
    for (uint32_t i = 0; i < length_of(core, path); i++)
        forget_past(core, module_of(core, path, i)->record.module);
}

void
core_note_past(struct dpc_core *core, const struct dpc_version_record *version)
{
    struct core_module *module = &core->modules[version->module];
    struct core_past past = {dpc_version_round(version), version->version, version->published};
    if (!core->bests)
        return;
    if (module->past_count && module->past[module->past_count - 1].round == past.round)
        module->past_count--; /* a rollback has taken its place */
    if (module->past_count == module->past_capacity) {
        module->past_capacity = module->past_capacity ? 2 * module->past_capacity : 4;
        module->past = dpc_grow(module->past, module->past_capacity, sizeof *module->past);
    }
    module->past[module->past_count++] = past;
    forget_past(core, version->module);
}

/* --- Beginning, and beginning anew. */

static void
forget_best(struct dpc_best_record *record)
{
    record->found = 0;
    record->first = record->candidates_count;
    record->round = 0;
    record->loss = 0;
    memset(record->versions, 0, sizeof record->versions);
}

/* What was read of another round, or of other versions, counts nothing. */
static void
go_on_with_newest(struct dpc_core *core, uint32_t path, struct dpc_actions *actions)
{
    struct dpc_best_record *record = &core->bests[path].record;
    record->next_round = newest_round(core, path);
    record->read = 0;
    record->targets = 0;
    record->nats = 0;
    dpc_put_best(&actions->batch, record);
    core_forget_failure(core, CORE_RATING, path);
    forget_past_along(core, path);
    core_refresh_rating(core, path);
}

/* Nobody measures anything here, but a fork of this store may. */
static void
note_documents(const struct dpc_core *core, uint32_t path, const struct dpc_blob_ref *documents,
               uint32_t documents_count, struct dpc_actions *actions)
{
    struct dpc_best_record record = {
        .path = path,
        .documents = documents->hash,
        .documents_bytes = documents->bytes,
        .documents_count = documents_count,
        .next_round = newest_round(core, path),
    };
    dpc_put_best(&actions->batch, &record);
}

void
core_begin_best(struct dpc_core *core, uint32_t path, const struct dpc_blob_ref *documents,
                uint32_t documents_count, struct dpc_actions *actions)
{
    if (!core->bests) {
        note_documents(core, path, documents, documents_count, actions);
        return;
    }
    struct dpc_best_record *record = &core->bests[path].record;
    bool goes_on =
        path != dpc_topology_dense_path(&core->topology) || core->experiment->baseline.dense;
    record->documents = documents->hash;
    record->documents_bytes = documents->bytes;
    record->documents_count = goes_on ? documents_count : 0;
    forget_best(record);
    go_on_with_newest(core, path, actions);
}

void
core_discard_best(struct dpc_core *core, uint32_t path, const struct dpc_version_record *version,
                  struct dpc_actions *actions)
{
    if (!core->bests || core->bests[path].record.documents_count == 0)
        return;
    struct core_best *best = &core->bests[path];
    uint32_t index = 0;
    while (module_of(core, path, index)->record.module != version->module)
        index++;
    /* What is revoked may stand in any version but the first. */
    uint32_t kept = version->cause == DPC_CAUSE_ROLLBACK ? version->parent : 0;
    while (best->leases)
        core_end_lease(core, best->leases, actions);
    if (best->record.found && best->record.versions[index] > kept)
        forget_best(&best->record);
    go_on_with_newest(core, path, actions);
}

/* --- Leases and what they bring. */

void
core_fill_rating(const struct dpc_core *core, const struct dpc_lease_record *task,
                 struct dpc_msg_lease *lease)
{
    const struct dpc_best_record *record = &core->bests[task->path].record;
    lease->levels_count = length_of(core, task->path);
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        const struct core_module *module = module_of(core, task->path, i);
        const struct core_past *past = find_past(module, task->round);
        assert(past); /* it was there when the lease was granted, and the lease is ended with it */
        lease->modules[i] = module->record.module;
        lease->versions[i] = (struct dpc_blob_ref){past->published, module->bytes};
    }
    lease->data = (struct dpc_blob_ref){record->documents, record->documents_bytes};
}

const struct dpc_hash *
core_best_versions(const struct dpc_core *core, uint32_t path)
{
    return core->bests && core->bests[path].record.found ? core->bests[path].versions : NULL;
}

static void
take_best(struct dpc_core *core, struct core_best *best, double loss)
{
    struct dpc_best_record *record = &best->record;
    record->found = 1;
    record->round = record->next_round;
    record->loss = loss;
    for (uint32_t i = 0; i < length_of(core, record->path); i++) {
        const struct core_past *past =
            find_past(module_of(core, record->path, i), record->next_round);
        record->versions[i] = past->version;
        best->versions[i] = past->published;
    }
}

/* All of the round's documents were read. */
static void
end_rating(struct dpc_core *core, struct core_best *best, struct dpc_actions *actions)
{
    struct dpc_best_record *record = &best->record;
    double loss = record->targets ? record->nats / (double)record->targets : INFINITY;
    struct dpc_candidate_record candidate = {
        .path = record->path,
        .number = record->candidates_count++,
        .round = record->next_round,
        .phase = core_is_dense(core, record->path) ? 0 : core->phase.routing_phases,
        .documents = record->documents_count,
        .targets = record->targets,
        .nats = record->nats};
    dpc_put_candidate(&actions->batch, &candidate);
    if (!record->found || loss < record->loss)
        take_best(core, best, loss);
    record->next_round++;
    record->read = 0;
    record->targets = 0;
    record->nats = 0;
    forget_past_along(core, record->path);
}

void
core_accept_rating(struct dpc_core *core, const struct core_lease *lease,
                   const struct dpc_submission_check *check, struct dpc_actions *actions)
{
    struct core_best *best = &core->bests[lease->task];
    best->record.read = lease->record.to;
    best->record.targets += check->targets;
    best->record.nats += check->nats;
    if (best->record.read == best->record.documents_count)
        end_rating(core, best, actions);
    dpc_put_best(&actions->batch, &best->record);
    core_forget_failure(core, CORE_RATING, lease->task);
    core_refresh_rating(core, lease->task);
}

/* --- From the store. */

struct restore {
    struct dpc_core *core;
    bool unknown; /* a path that the experiment does not have */
};

static bool
restore_best(void *context, const struct dpc_best_record *record)
{
    struct restore *restore = context;
    restore->unknown |= record->path >= restore->core->topology.paths_count;
    if (!restore->unknown)
        restore->core->bests[record->path].record = *record;
    return !restore->unknown;
}

static bool
restore_past(void *context, const struct dpc_version_record *version)
{
    struct dpc_core *core = context;
    if (version->module < core->topology.modules_count)
        core_note_past(core, version);
    return true;
}

static int
load_versions(struct dpc_core *core, struct core_best *best, struct dpc_kv *kv,
              struct dpc_error *err)
{
    int code = DPC_OK;
    uint32_t count = best->record.found ? length_of(core, best->record.path) : 0;
    for (uint32_t i = 0; code == DPC_OK && i < count; i++) {
        struct dpc_version_record version;
        uint32_t module = module_of(core, best->record.path, i)->record.module;
        code = dpc_load_version(kv, module, best->record.versions[i], &version, err);
        if (code == DPC_OK)
            best->versions[i] = version.published;
    }
    return code;
}

/* Are the versions known of every round of the path that is over and not evaluated? */
static bool
past_is_whole(const struct dpc_core *core, uint32_t path)
{
    uint32_t first = core->bests[path].record.next_round;
    uint32_t count = core_rounds_unrated(core, path);
    bool whole = true;
    for (uint32_t i = 0; i < length_of(core, path); i++) {
        for (uint32_t k = 0; k < count && whole; k++)
            whole = find_past(module_of(core, path, i), first + k);
    }
    return whole && core->bests[path].record.read <= core->bests[path].record.documents_count;
}

int
core_restore_bests(struct dpc_core *core, struct dpc_kv *kv, struct dpc_error *err)
{
    struct restore restore = {.core = core};
    if (!core->bests)
        return DPC_OK;
    int code = dpc_scan_bests(kv, restore_best, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_versions(kv, restore_past, core, err);
    for (uint32_t i = 0; i < core->topology.paths_count && code == DPC_OK; i++) {
        code = load_versions(core, &core->bests[i], kv, err);
        restore.unknown |= !past_is_whole(core, i);
    }
    if (code == DPC_OK && restore.unknown)
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "the store names rounds of paths that it does not have; restore a "
                             "backup of it");
    return code;
}

const struct dpc_best_record *
dpc_core_best(const struct dpc_core *core, uint32_t path)
{
    return core->bests && core->bests[path].record.documents_count ? &core->bests[path].record
                                                                   : NULL;
}
