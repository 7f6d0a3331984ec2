/* SPDX-License-Identifier: Apache-2.0
 * By cause: an outer step is folded again with the weights of its ledger entry, a rollback must be
 * what its parent is, a revoke the steps behind it without what it took out, a routed module must
 * begin as the dense one stood when the warm start ended, or as what `warm_start.init` makes of it.
 */
#include "coordinator/versions/replay.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/upcycle.h"
#include "coordinator/versions/beginnings.h"
#include "coordinator/versions/outer.h"

const char *
dpc_replay_verdict_name(enum dpc_replay_verdict verdict)
{
    static const char *const names[] = {
        [DPC_REPLAY_OK] = "ok",
        [DPC_REPLAY_GIVEN] = "given",
        [DPC_REPLAY_NOT_KEPT] = "not_kept",
        [DPC_REPLAY_DIFFERS] = "differs",
        [DPC_REPLAY_DAMAGED] = "damaged",
        [DPC_REPLAY_NOT_READ] = "not_read",
    };
    return names[verdict];
}

struct replay {
    const struct dpc_replay_source *source;
    struct dpc_version_record version, parent;
    struct dpc_replay_row *row;
    struct dpc_error err;
};

static void
decide(struct replay *replay, enum dpc_replay_verdict verdict, const char *text)
{
    replay->row->verdict = verdict;
    (void)snprintf(replay->row->text, sizeof replay->row->text, "%s", text);
}

/* A blob that went between the question and the reading was swept. */
static void
decide_by_error(struct replay *replay, int code)
{
    if (code == DPC_ENOTFOUND)
        decide(replay, DPC_REPLAY_NOT_KEPT, "");
    else if (code == DPC_EFILES || code == DPC_ENOMEM)
        decide(replay, DPC_REPLAY_NOT_READ, replay->err.text);
    else
        decide(replay, DPC_REPLAY_DAMAGED, replay->err.text);
}

static void
compare(struct replay *replay, const struct dpc_hash *master, const struct dpc_hash *published,
        const struct dpc_hash *momentum)
{
    const struct dpc_version_record *version = &replay->version;
    const char *part = !dpc_hash_equal(master, &version->master)         ? "master weights"
                       : !dpc_hash_equal(momentum, &version->momentum)   ? "momentum"
                       : !dpc_hash_equal(published, &version->published) ? "published weights"
                                                                         : NULL;
    char text[128] = "";
    if (part)
        (void)snprintf(text, sizeof text, "other %s come out than the store says", part);
    decide(replay, part ? DPC_REPLAY_DIFFERS : DPC_REPLAY_OK, text);
}

/* What cannot be looked for now, whoever reads it cannot read either, and says why. */
static bool
is_there(struct replay *replay, const struct dpc_hash *hash)
{
    uint64_t bytes;
    return dpc_hash_is_none(hash) ||
           dpc_store_blob_size(replay->source->store, hash, &bytes) != DPC_ENOTFOUND;
}

static bool
are_there(struct replay *replay, const struct dpc_fold *folds, uint32_t folds_count)
{
    bool there = is_there(replay, &folds->master) && is_there(replay, &folds->momentum);
    for (uint32_t i = 0; i < folds_count; i++) {
        for (uint32_t k = 0; k < folds[i].inputs_count && there; k++)
            there = is_there(replay, &folds[i].inputs[k].delta);
    }
    return there;
}

static void
fold_again(struct replay *replay, const struct dpc_fold *folds, uint32_t folds_count)
{
    struct dpc_folded folded;
    const struct dpc_replay_source *source = replay->source;
    for (uint32_t i = 0; i < folds_count; i++)
        replay->row->contributions += folds[i].inputs_count;
    if (!are_there(replay, folds, folds_count)) {
        decide(replay, DPC_REPLAY_NOT_KEPT, "");
        return;
    }
    int code = dpc_outer_chain(source->store, source->ops, folds, folds_count, false, &folded,
                               &replay->err);
    if (code == DPC_OK)
        compare(replay, &folded.master, &folded.published, &folded.momentum);
    else
        decide_by_error(replay, code);
}

/* --- By cause. */

static void
replay_copy(struct replay *replay)
{
    const struct dpc_version_record *parent = &replay->parent;
    compare(replay, &parent->master, &parent->published, &parent->momentum);
}

static void
replay_step(struct replay *replay)
{
    struct dpc_fold fold;
    int code =
        dpc_lineage_fold(&replay->source->records, &replay->version, NULL, &fold, &replay->err);
    if (code != DPC_OK) {
        decide(replay, DPC_REPLAY_DAMAGED, replay->err.text);
        return;
    }
    if (fold.inputs_count)
        fold_again(replay, &fold, 1);
    else /* a round that merged nothing changed nothing */
        replay_copy(replay);
    dpc_free(fold.inputs);
}

static int
load_removed(struct replay *replay, struct dpc_serials *ret_removed)
{
    struct dpc_ledger_record record;
    int code =
        dpc_load_ledger(replay->source->records.kv, replay->version.ledger, &record, &replay->err);
    if (code != DPC_OK)
        return code;
    for (uint32_t i = 0; i < record.entries_count; i++)
        dpc_serials_add(ret_removed, record.entries[i].lease);
    dpc_serials_sort(ret_removed);
    dpc_free(record.entries);
    return DPC_OK;
}

static void
replay_revoke(struct replay *replay)
{
    struct dpc_serials removed = {0};
    struct dpc_lineage lineage;
    int code = load_removed(replay, &removed);
    if (code == DPC_OK)
        code = dpc_lineage_trace(&replay->source->records, replay->version.module,
                                 replay->version.parent, &removed, &lineage, &replay->err);
    dpc_serials_done(&removed);
    if (code != DPC_OK) {
        decide(replay, DPC_REPLAY_DAMAGED, replay->err.text);
        return;
    }
    if (lineage.folds_count)
        fold_again(replay, lineage.folds, lineage.folds_count);
    else
        compare(replay, &lineage.base.master, &lineage.base.published, &lineage.base.momentum);
    dpc_lineage_done(&lineage);
}

/* --- Where it begins. */

static void
begin_again(struct replay *replay)
{
    struct dpc_hash content;
    const struct dpc_replay_source *source = replay->source;
    if (!is_there(replay, &replay->parent.master)) {
        decide(replay, DPC_REPLAY_NOT_KEPT, "");
        return;
    }
    int code = dpc_beginnings_name(source->store, &source->records, replay->version.module,
                                   &replay->parent.master, &content, &replay->err);
    if (code == DPC_OK)
        compare(replay, &content, &content, &replay->version.momentum);
    else
        decide_by_error(replay, code);
}

/* The dense modules are drawn or imported; the routed ones begin as these stood at the end of the
 * warm start, or as what the experiment makes of that. */
static void
replay_initial(struct replay *replay)
{
    const struct dpc_lineage_source *records = &replay->source->records;
    uint32_t module = replay->version.module;
    uint32_t level = dpc_topology_module_level(records->topology, module);
    if (dpc_topology_module_is_dense(records->topology, module)) {
        decide(replay, DPC_REPLAY_GIVEN, "");
        return;
    }
    uint32_t dense =
        dpc_topology_module(records->topology, dpc_topology_dense_path(records->topology), level);
    int code = dpc_load_version(records->kv, dense, dpc_experiment_warm_rounds(records->experiment),
                                &replay->parent, &replay->err);
    if (code != DPC_OK)
        decide(replay, DPC_REPLAY_DAMAGED, replay->err.text);
    else if (dpc_upcycle_changes(records->experiment, level))
        begin_again(replay);
    else
        compare(replay, &replay->parent.master, &replay->parent.published,
                &replay->version.momentum);
}

void
dpc_replay_version(const struct dpc_replay_source *source, struct dpc_replay_row *row)
{
    static void (*const by_cause[])(struct replay *) = {
        [DPC_CAUSE_INITIAL] = replay_initial,
        [DPC_CAUSE_OUTER_STEP] = replay_step,
        [DPC_CAUSE_ROLLBACK] = replay_copy,
        [DPC_CAUSE_REVOKE] = replay_revoke,
    };
    struct replay replay = {.source = source, .row = row};
    int code = dpc_load_version(source->records.kv, row->module, row->version, &replay.version,
                                &replay.err);
    if (code == DPC_OK && replay.version.cause != DPC_CAUSE_INITIAL)
        code = dpc_load_version(source->records.kv, row->module, replay.version.parent,
                                &replay.parent, &replay.err);
    if (code != DPC_OK) {
        decide(&replay, DPC_REPLAY_DAMAGED, replay.err.text);
        return;
    }
    row->cause = replay.version.cause;
    row->parent = replay.version.parent;
    by_cause[row->cause](&replay);
}
