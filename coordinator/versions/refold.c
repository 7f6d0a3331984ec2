/* SPDX-License-Identifier: Apache-2.0
 * Contributions are looked through once: a lease is tainted when the worker held it, or when it
 * handed in a part of a round that went on from a tainted one, for it holds that. Versions say by
 * their lineage which of these they hold. */
#include "coordinator/versions/refold.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/versions/outer.h"

/* --- What is tainted. */

/* Of the round, module and path in hand: parts of a round stand in the order in which they came. */
struct finding {
    const struct dpc_lineage_source *records;
    struct dpc_refold_task *task;
    uint32_t round, module, path;
    uint32_t parts_count;
    struct {
        uint32_t steps;
        bool tainted;
    } parts[DPC_PARTS_MAX];
};

/* Of the dense path, or of routed ones. */
static uint32_t
since_of(const struct dpc_refold_task *task, bool dense)
{
    return dense && task->dense_since > task->since ? task->dense_since : task->since;
}

static uint32_t
warm_rounds(const struct dpc_lineage_source *records, bool dense)
{
    const struct dpc_experiment *experiment = records->experiment;
    uint32_t steps = experiment->inner.steps;
    return dense ? (experiment->warm_start.steps + steps - 1) / steps : 0;
}

static void
add_tainted(struct dpc_refold_task *task, const struct dpc_contribution_record *record)
{
    if (task->tainted_count == task->tainted_capacity) {
        task->tainted_capacity = task->tainted_capacity ? 2 * task->tainted_capacity : 16;
        task->tainted = dpc_grow(task->tainted, task->tainted_capacity, sizeof *task->tainted);
    }
    task->tainted[task->tainted_count++] =
        (struct dpc_tainted){record->lease, record->path, record->round};
}

/* A part goes on from the last one before it that ended where it begins: not always the very last,
 * for several workers may be at work on a round. One that begins it anew holds none. */
static bool
holds_tainted(const struct finding *finding, const struct dpc_contribution_record *record)
{
    uint32_t i = record->from > 0 ? finding->parts_count : 0;
    while (i > 0 && finding->parts[i - 1].steps != record->from)
        i--;
    return i > 0 && finding->parts[i - 1].tainted;
}

static void
note_part(struct finding *finding, const struct dpc_contribution_record *record, bool tainted)
{
    if (finding->parts_count == DPC_PARTS_MAX)
        return; /* the core takes no more */
    finding->parts[finding->parts_count].steps = record->steps;
    finding->parts[finding->parts_count++].tainted = tainted;
}

static bool
look_at(void *context, const struct dpc_contribution_record *record)
{
    struct finding *finding = context;
    if (finding->round != record->round || finding->module != record->module ||
        finding->path != record->path)
        finding->parts_count = 0;
    finding->round = record->round;
    finding->module = record->module;
    finding->path = record->path;
    bool own = memcmp(record->worker, finding->task->worker, sizeof record->worker) == 0;
    bool dense = dpc_topology_path_is_dense(finding->records->topology, record->path);
    bool tainted =
        (own || holds_tainted(finding, record)) &&
        record->round >= since_of(finding->task, dense) + warm_rounds(finding->records, dense);
    if (tainted)
        add_tainted(finding->task, record);
    note_part(finding, record, tainted);
    return true;
}

static int
compare(const void *a, const void *b)
{
    const struct dpc_tainted *one = a, *two = b;
    return one->lease < two->lease ? -1 : one->lease > two->lease;
}

/* Each lease handed in a part a level. */
static int
find_tainted(const struct dpc_replay_source *source, struct dpc_refold_task *task,
             struct dpc_error *err)
{
    struct finding finding = {.records = &source->records, .task = task};
    uint32_t count = 0;
    task->tainted_count = 0;
    int code = dpc_scan_contributions(source->records.kv, look_at, &finding, err);
    if (task->tainted_count)
        qsort(task->tainted, task->tainted_count, sizeof *task->tainted, compare);
    for (uint32_t i = 0; i < task->tainted_count; i++) {
        if (count == 0 || task->tainted[i].lease != task->tainted[count - 1].lease)
            task->tainted[count++] = task->tainted[i];
    }
    task->tainted_count = count;
    return code;
}

/* What the dense path handed in is in no routed module, nor the other way round. */
static int
trace(const struct dpc_replay_source *source, const struct dpc_refold_task *task, uint32_t module,
      uint32_t since, struct dpc_lineage *ret_lineage, struct dpc_error *err)
{
    struct dpc_serials serials = {0};
    bool dense = dpc_topology_module_is_dense(source->records.topology, module);
    for (uint32_t i = 0; i < task->tainted_count; i++) {
        const struct dpc_tainted *tainted = &task->tainted[i];
        if (dpc_topology_path_is_dense(source->records.topology, tainted->path) == dense &&
            tainted->round >= since + warm_rounds(&source->records, dense))
            dpc_serials_add(&serials, tainted->lease);
    }
    int code = dpc_lineage_trace(&source->records, module, task->versions[module], &serials,
                                 ret_lineage, err);
    dpc_serials_done(&serials);
    if (code == DPC_OK && ret_lineage->removed_count > DPC_CONTRIBUTION_ENTRIES_MAX) {
        code =
            dpc_error_set(err, DPC_ELIMIT,
                          "module %u holds %u contributions of it since round %u, and a version "
                          "may leave out %d: take a later round",
                          module, ret_lineage->removed_count, since, DPC_CONTRIBUTION_ENTRIES_MAX);
        dpc_lineage_done(ret_lineage);
    }
    return code;
}

/* --- What is kept. */

/* DPC_ENOTFOUND: it is not; another error: that cannot be said now. */
static int
look_for(const struct dpc_replay_source *source, const struct dpc_hash *hash)
{
    uint64_t bytes;
    return dpc_hash_is_none(hash) ? DPC_OK : dpc_store_blob_size(source->store, hash, &bytes);
}

static int
is_kept(const struct dpc_replay_source *source, const struct dpc_lineage *lineage, bool *ret_kept,
        struct dpc_error *err)
{
    const struct dpc_version_record *base = &lineage->base;
    int code = look_for(source, &base->master);
    if (code == DPC_OK)
        code = look_for(source, &base->published);
    if (code == DPC_OK)
        code = look_for(source, &base->momentum);
    for (uint32_t i = 0; i < lineage->folds_count; i++) {
        for (uint32_t k = 0; k < lineage->folds[i].inputs_count && code == DPC_OK; k++)
            code = look_for(source, &lineage->folds[i].inputs[k].delta);
    }
    *ret_kept = code == DPC_OK;
    if (code == DPC_OK || code == DPC_ENOTFOUND)
        return DPC_OK;
    return dpc_error_set(err, code, "could not look for what is kept: %s", dpc_error_words(code));
}

/* Of the dense modules, or of routed ones, with what was handed in since that round. */
static int
are_kept(const struct dpc_replay_source *source, const struct dpc_refold_task *task, bool dense,
         uint32_t since, bool *ret_kept, struct dpc_error *err)
{
    const struct dpc_topology *topology = source->records.topology;
    *ret_kept = true;
    for (uint32_t i = 0; i < topology->modules_count; i++) {
        struct dpc_lineage lineage;
        if (dpc_topology_module_is_dense(topology, i) != dense)
            continue;
        int code = trace(source, task, i, since, &lineage, err);
        if (code != DPC_OK)
            return code;
        bool kept = true;
        if (lineage.removed_count > 0)
            code = is_kept(source, &lineage, &kept, err);
        *ret_kept &= kept;
        dpc_lineage_done(&lineage);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

/* The first round in which it handed in nothing any more: from there on nothing is taken out, so
 * all is kept that it takes. */
static uint32_t
end_of_tainted(const struct dpc_replay_source *source, const struct dpc_refold_task *task,
               bool dense)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < task->tainted_count; i++) {
        const struct dpc_tainted *tainted = &task->tainted[i];
        if (dpc_topology_path_is_dense(source->records.topology, tainted->path) == dense &&
            tainted->round >= end)
            end = tainted->round + 1;
    }
    return end - (end ? warm_rounds(&source->records, dense) : 0);
}

/* The oldest round, not before that of the task, since which all is kept; later rounds take less.
 * They are halved, since each look reads all records behind it. */
static int
find_oldest(const struct dpc_replay_source *source, const struct dpc_refold_task *task, bool dense,
            uint32_t *ret_oldest, struct dpc_error *err)
{
    uint32_t lacking = since_of(task, dense), oldest = end_of_tainted(source, task, dense);
    bool kept;
    int code = are_kept(source, task, dense, lacking, &kept, err);
    if (code == DPC_OK && kept)
        oldest = lacking;
    while (code == DPC_OK && lacking + 1 < oldest) {
        uint32_t middle = lacking + (oldest - lacking) / 2;
        code = are_kept(source, task, dense, middle, &kept, err);
        if (kept)
            oldest = middle;
        else
            lacking = middle;
    }
    *ret_oldest = oldest;
    return code;
}

/* Routed modules are what is trained, so that less than was asked for is refused there. The dense
 * model is beside them, and no reason against it. */
static int
check_kept(const struct dpc_replay_source *source, struct dpc_refold_task *task,
           struct dpc_error *err)
{
    uint32_t oldest, dense = 0;
    int code = find_oldest(source, task, false, &oldest, err);
    if (code == DPC_OK && oldest > task->since)
        return dpc_error_set(err, DPC_EPERM,
                             "what it takes to fold round %u again is not kept any more: the "
                             "oldest round possible is %u (keep_rounds says how many are kept)",
                             task->since, oldest);
    if (code == DPC_OK)
        code = find_oldest(source, task, true, &dense, err);
    if (code != DPC_OK || dense == since_of(task, true))
        return code;
    task->dense_since = dense;
    return find_tainted(source, task, err);
}

static int
look_for_tainted(const struct dpc_replay_source *source, struct dpc_refold_task *task,
                 struct dpc_error *err)
{
    const struct dpc_topology *topology = source->records.topology;
    task->touched = false;
    for (uint32_t i = 0; i < topology->modules_count && !task->touched; i++) {
        struct dpc_lineage lineage;
        bool dense = dpc_topology_module_is_dense(topology, i);
        int code = trace(source, task, i, since_of(task, dense), &lineage, err);
        if (code != DPC_OK)
            return code;
        task->touched = lineage.removed_count > 0;
        dpc_lineage_done(&lineage);
    }
    return DPC_OK;
}

/* --- One module. */

static int
refold(const struct dpc_replay_source *source, struct dpc_refold_task *task, struct dpc_error *err)
{
    struct dpc_lineage lineage;
    struct dpc_folded folded;
    struct dpc_version_record *version = &task->refolded.version;
    bool dense = dpc_topology_module_is_dense(source->records.topology, task->module);
    uint32_t since = since_of(task, dense);
    int code = trace(source, task, task->module, since, &lineage, err);
    if (code != DPC_OK)
        return code;
    folded = (struct dpc_folded){.master = lineage.base.master,
                                 .published = lineage.base.published,
                                 .momentum = lineage.base.momentum};
    task->touched = lineage.removed_count > 0;
    bool kept = true;
    if (task->touched)
        code = is_kept(source, &lineage, &kept, err);
    if (code == DPC_OK && !kept)
        code = dpc_error_set(err, DPC_EPERM,
                             "what it takes to fold module %u again since round %u is not kept any "
                             "more (keep_rounds says how many are kept)",
                             task->module, since);
    else if (code == DPC_OK && lineage.folds_count && task->touched)
        code = dpc_outer_chain(source->store, source->ops, lineage.folds, lineage.folds_count, true,
                               &folded, err);
    *version = (struct dpc_version_record){.module = task->module,
                                           .parent = task->versions[task->module],
                                           .master = folded.master,
                                           .published = folded.published,
                                           .momentum = folded.momentum};
    task->refolded.entries_count = lineage.removed_count;
    task->refolded.entries = lineage.removed;
    lineage.removed = NULL;
    dpc_lineage_done(&lineage);
    return code;
}

int
dpc_refold_run(const struct dpc_replay_source *source, struct dpc_refold_task *task,
               struct dpc_error *err)
{
    if (task->kind == DPC_REFOLD_MODULE)
        return refold(source, task, err);
    int code = find_tainted(source, task, err);
    if (code == DPC_OK && task->kind == DPC_REFOLD_CHECK)
        code = check_kept(source, task, err);
    return code == DPC_OK ? look_for_tainted(source, task, err) : code;
}

void
dpc_refold_done(struct dpc_refold_task *task)
{
    dpc_free(task->versions);
    dpc_free(task->tainted);
    dpc_free((struct dpc_ledger_entry *)task->refolded.entries);
    *task = (struct dpc_refold_task){0};
}
