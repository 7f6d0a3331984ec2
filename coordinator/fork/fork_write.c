/* SPDX-License-Identifier: Apache-2.0
 * The records of a fork, in the order: experiment and tables, history, the phase last. Entries of
 * the ledger come from all modules in the order of their steps, and modules that were ahead at the
 * cut have later ones between those that are kept: from there on they are numbered and linked anew.
 */
#include "coordinator/fork/fork_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* A batch is committed when it has grown to this. */
static const size_t batch_bytes = 4 * (size_t)DPC_MIB;

struct renumbered {
    uint64_t old, now;
};

struct writer {
    struct fork_cut *cut;
    struct dpc_store *to;
    struct dpc_kv_batch batch;
    struct dpc_phase_record phase; /* of the fork */
    size_t entries_count, entries_capacity;
    struct renumbered *entries; /* of the ledger, ascending */
    struct dpc_buf barred;      /* keys of workers, one behind the other */
    struct dpc_error *err;
    int code;
};

static int
flush(struct writer *writer)
{
    if (writer->code == DPC_OK && writer->batch.operations.failed)
        writer->code = dpc_error_set(writer->err, DPC_ENOMEM, "no memory for a batch of records");
    if (writer->code == DPC_OK)
        writer->code = dpc_store_commit(writer->to, &writer->batch, writer->err);
    dpc_kv_batch_reset(&writer->batch);
    return writer->code;
}

/* After each record; false ends a scan. */
static bool
go_on(struct writer *writer)
{
    if (writer->batch.operations.len >= batch_bytes)
        flush(writer);
    return writer->code == DPC_OK;
}

static bool
keeps_version(const struct writer *writer, uint32_t module, uint32_t version)
{
    const struct fork_cut *cut = writer->cut;
    return module < cut->topology.modules_count && fork_cut_takes_module(cut, module) &&
           version <= cut->versions[module].version;
}

/* --- Tables. */

static void
put_experiment(struct writer *writer)
{
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(writer->cut->experiment, &yaml);
    dpc_put_experiment(&writer->batch, (const char *)yaml.data, yaml.len);
    dpc_buf_done(&yaml);
}

static void
put_modules(struct writer *writer)
{
    for (uint32_t i = 0; i < writer->cut->topology.modules_count; i++) {
        const struct dpc_version_record *version = &writer->cut->versions[i];
        if (!fork_cut_takes_module(writer->cut, i))
            continue;
        struct dpc_module_record module = {
            .module = i,
            .version = version->version,
            .master = version->master,
            .published = version->published,
            .momentum = version->momentum,
            .rollbacks = version->rollbacks,
        };
        dpc_put_module(&writer->batch, &module);
    }
}

static void
put_paths(struct writer *writer)
{
    struct fork_cut *cut = writer->cut;
    for (uint32_t i = 0; i < cut->topology.paths_count && go_on(writer); i++) {
        if (cut->paths[i].exists)
            dpc_put_path(&writer->batch, &cut->paths[i].record);
        if (cut->has_best[i])
            dpc_put_best(&writer->batch, &cut->bests[i]);
    }
}

/* Whoever has contributed keeps its name and standing, and stays drained. What it is counted for is
 * another store's.
 */
static bool
put_worker(void *context, const struct dpc_worker_record *worker)
{
    static const uint8_t nobody[DPC_WORKER_KEY_BYTES];
    struct writer *writer = context;
    if (memcmp(worker->key, nobody, sizeof nobody) == 0)
        return true; /* the sum over those that are forgotten */
    struct dpc_worker_record named = {.standing = worker->standing, .drained = worker->drained};
    memcpy(named.key, worker->key, sizeof named.key);
    memcpy(named.name, worker->name, sizeof named.name);
    dpc_put_worker(&writer->batch, &named);
    if (worker->standing != DPC_STANDING_GOOD)
        dpc_buf_put(&writer->barred, worker->key, sizeof worker->key);
    return go_on(writer);
}

static bool
put_origin(void *context, const struct dpc_origin_record *origin)
{
    struct writer *writer = context;
    dpc_put_origin(&writer->batch, origin);
    return go_on(writer);
}

static void
put_own_origin(struct writer *writer)
{
    const struct fork_cut *cut = writer->cut;
    struct dpc_origin_record origin = {
        .number = cut->origins_count,
        .round = cut->round,
        .incarnation = cut->incarnation,
        .lr = cut->old->outer.lr,
        .momentum = cut->old->outer.momentum,
        .rescale = cut->old->outer.rescale,
        .warm_start = cut->warm,
        .warm_tokens = cut->warm_tokens,
    };
    dpc_put_origin(&writer->batch, &origin);
}

/* --- History. */

static bool
put_entry(void *context, const struct dpc_ledger_record *entry)
{
    struct writer *writer = context;
    struct dpc_ledger_record again = *entry;
    if (!keeps_version(writer, entry->module, entry->version))
        return true;
    if (writer->entries_count == writer->entries_capacity) {
        writer->entries_capacity = writer->entries_capacity ? 2 * writer->entries_capacity : 64;
        writer->entries =
            dpc_grow(writer->entries, writer->entries_capacity, sizeof *writer->entries);
    }
    again.sequence = writer->phase.ledger_next++;
    again.previous = writer->phase.ledger_head;
    writer->entries[writer->entries_count++] = (struct renumbered){entry->sequence, again.sequence};
    dpc_put_ledger(&writer->batch, &again, &writer->phase.ledger_head);
    return go_on(writer);
}

static int
compare(const void *a, const void *b)
{
    const struct renumbered *one = a, *two = b;
    return one->old < two->old ? -1 : one->old > two->old;
}

static bool
put_version(void *context, const struct dpc_version_record *version)
{
    struct writer *writer = context;
    struct dpc_version_record again = *version;
    struct renumbered wanted = {.old = version->ledger};
    if (!keeps_version(writer, version->module, version->version))
        return true;
    const struct renumbered *found = writer->entries_count
                                         ? bsearch(&wanted, writer->entries, writer->entries_count,
                                                   sizeof *writer->entries, compare)
                                         : NULL;
    again.ledger = found && version->cause != DPC_CAUSE_INITIAL ? found->now : 0;
    if (!found && version->cause != DPC_CAUSE_INITIAL)
        writer->code = dpc_error_set(writer->err, DPC_ECORRUPT,
                                     "the ledger does not have the version %u of module %u",
                                     version->version, version->module);
    dpc_put_version(&writer->batch, &again);
    return go_on(writer);
}

/* A revoke takes out nothing of the warm start. Each submission once: by the path's first module.
 */
static void
count_barred(struct writer *writer, const struct dpc_contribution_record *contribution)
{
    struct fork_cut *cut = writer->cut;
    if (!fork_cut_is_dense(cut, contribution->path) || contribution->round >= cut->warm_rounds ||
        contribution->module != dpc_topology_path_module(&cut->topology, contribution->path, 0))
        return;
    for (size_t at = 0; at < writer->barred.len; at += DPC_WORKER_KEY_BYTES) {
        if (memcmp(writer->barred.data + at, contribution->worker, DPC_WORKER_KEY_BYTES) == 0)
            cut->forked.barred++;
    }
}

/* Of rounds that are over, but for what would have been merged behind the cut. */
static bool
put_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    struct writer *writer = context;
    uint32_t round = contribution->path < writer->cut->topology.paths_count
                         ? fork_cut_path_round(writer->cut, contribution->path)
                         : 0;
    bool pending = contribution->late == DPC_LATE && contribution->round + 1 == round;
    if (contribution->round >= round || pending)
        return true;
    count_barred(writer, contribution);
    dpc_put_contribution(&writer->batch, contribution);
    return go_on(writer);
}

static bool
put_result(void *context, const struct dpc_result_record *result)
{
    struct writer *writer = context;
    bool past = result->kind == DPC_TASK_FEATURIZE ||
                (result->kind == DPC_TASK_SCORE && result->phase <= writer->phase.routing_phases);
    if (past)
        dpc_put_result(&writer->batch, result);
    return go_on(writer);
}

static bool
put_shard(void *context, const struct dpc_shard_record *shard)
{
    struct writer *writer = context;
    dpc_put_shard(&writer->batch, shard);
    return go_on(writer);
}

static bool
put_candidate(void *context, const struct dpc_candidate_record *candidate)
{
    struct writer *writer = context;
    const struct fork_cut *cut = writer->cut;
    if (candidate->path < cut->topology.paths_count &&
        candidate->number < cut->bests[candidate->path].candidates_count)
        dpc_put_candidate(&writer->batch, candidate);
    return go_on(writer);
}

/* --- The phase. Time and traffic of what is taken over are the share of its steps, so that sums
 * and what is still to come mean what they mean elsewhere. */

/* Documents are still to be routed. */
static void
forget_routing(struct writer *writer)
{
    const struct dpc_phase_record *was = &writer->cut->phase;
    struct dpc_phase_record phase = {
        .phase = dpc_phase_after_warm_start(writer->cut->experiment),
        .next_serial = was->next_serial,
        .corpus = was->corpus,
        .tokenizer = was->tokenizer,
        .prefixes = was->prefixes,
        .prefixes_bytes = was->prefixes_bytes,
        .documents = was->documents,
        .warm_state = was->warm_state,
        .warm_state_bytes = was->warm_state_bytes,
    };
    memcpy(phase.numeric_class, was->numeric_class, sizeof phase.numeric_class);
    writer->phase = phase;
}

static void
begin_phase(struct writer *writer)
{
    const struct fork_cut *cut = writer->cut;
    double share = cut->steps_before ? (double)cut->steps_kept / (double)cut->steps_before : 0;
    writer->phase = cut->phase;
    writer->phase.phase = DPC_PHASE_TRAIN;
    if (cut->warm)
        forget_routing(writer);
    writer->phase.ledger_next = 0;
    writer->phase.ledger_head = dpc_hash_none;
    writer->phase.seconds = (uint64_t)(share * (double)cut->phase.seconds);
    writer->phase.bytes_up = (uint64_t)(share * (double)cut->phase.bytes_up);
    writer->phase.bytes_down = (uint64_t)(share * (double)cut->phase.bytes_down);
    if (cut->old->compute != cut->experiment->compute)
        memset(writer->phase.numeric_class, 0, sizeof writer->phase.numeric_class);
}

/* What routing came to, and what was measured for it. */
static int
put_routing(struct writer *writer)
{
    struct dpc_kv *kv = writer->cut->source->kv;
    int code = dpc_scan_results(kv, put_result, writer, writer->err);
    return code == DPC_OK ? dpc_scan_shards(kv, put_shard, writer, writer->err) : code;
}

static int
put_all(struct writer *writer)
{
    struct dpc_kv *kv = writer->cut->source->kv;
    put_experiment(writer);
    put_modules(writer);
    put_paths(writer);
    int code = dpc_scan_workers(kv, put_worker, writer, writer->err);
    if (code == DPC_OK && !writer->cut->warm) /* they tell of routed modules */
        code = dpc_scan_origins(kv, put_origin, writer, writer->err);
    put_own_origin(writer);
    if (code == DPC_OK)
        code = dpc_scan_ledger(kv, 0, put_entry, writer, writer->err);
    if (code == DPC_OK)
        code = dpc_scan_versions(kv, put_version, writer, writer->err);
    if (code == DPC_OK)
        code = dpc_scan_contributions(kv, put_contribution, writer, writer->err);
    if (code == DPC_OK && !writer->cut->warm)
        code = put_routing(writer);
    if (code == DPC_OK)
        code = dpc_scan_candidates(kv, put_candidate, writer, writer->err);
    dpc_put_phase(&writer->batch, &writer->phase);
    return code == DPC_OK ? flush(writer) : code;
}

int
fork_write(struct fork_cut *cut, struct dpc_store *to, struct dpc_error *err)
{
    struct writer writer = {.cut = cut, .to = to, .err = err};
    dpc_kv_batch_init(&writer.batch);
    dpc_buf_init(&writer.barred, 0);
    begin_phase(&writer);
    int code = put_all(&writer);
    dpc_kv_batch_done(&writer.batch);
    dpc_buf_done(&writer.barred);
    dpc_free(writer.entries);
    return code;
}
