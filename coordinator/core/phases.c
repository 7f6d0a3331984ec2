/* SPDX-License-Identifier: Apache-2.0
 * From one phase to the next. A phase ends when its work is in the store; entering one plans its
 * chunks or asks for its effect. */
#include "coordinator/core/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"
#include "coordinator/core/asked.h"

/* Documents of one lease: enough pieces for several workers. Evaluating reads a document's first
 * windows, as scoring does, featurizing only its prefix. */
enum { FEATURIZE_CHUNK = DPC_DOCUMENTS_PER_LEASE_MAX, EVALUATE_CHUNK = DPC_ASKED_DOCUMENTS };

/* A lease's table has at most DPC_PIECES_PER_LEASE_MAX rows. */
static uint32_t
trace_chunk(const struct dpc_core *core)
{
    uint32_t most = DPC_PIECES_PER_LEASE_MAX / (uint32_t)dpc_experiment_pieces(core->experiment);
    return most < EVALUATE_CHUNK ? most : EVALUATE_CHUNK;
}

uint64_t
core_rows_of(const struct dpc_core *core, const struct dpc_lease_record *task)
{
    bool pieces = task->kind == DPC_TASK_TRACE || task->kind == DPC_TASK_REROUTE;
    return (task->to - task->from) *
           (pieces ? dpc_experiment_pieces(core->experiment) : (uint64_t)1);
}

static void
add_chunks_from(struct dpc_core *core, uint32_t path, uint32_t first, uint32_t documents,
                uint32_t size)
{
    uint32_t count = (documents - first + size - 1) / size;
    core->chunks = dpc_grow(core->chunks, core->chunks_count + count, sizeof *core->chunks);
    for (uint32_t from = first; from < documents; from += size) {
        uint32_t to = documents - from < size ? documents : from + size;
        core->chunks[core->chunks_count++] =
            (struct core_chunk){.path = path, .from = from, .to = to};
    }
}

static void
add_chunks(struct dpc_core *core, uint32_t path, uint32_t documents, uint32_t size)
{
    add_chunks_from(core, path, 0, documents, size);
}

/* Chunks stand by path, then by document. */
static int
by_place(const void *a, const void *b)
{
    const struct core_chunk *left = a, *right = b;
    if (left->path != right->path)
        return left->path < right->path ? -1 : 1;
    return left->from < right->from ? -1 : left->from > right->from;
}

/* Of each block the paths that are asked alone. */
static void
add_asked_chunks(struct dpc_core *core, uint32_t count)
{
    struct dpc_asked asked;
    uint32_t documents = core->phase.scored_documents, blocks = dpc_asked_blocks(documents);
    core->chunks = dpc_grow(core->chunks, (size_t)blocks * count, sizeof *core->chunks);
    uint64_t seed = core->experiment->seed;
    if (DPC_PLANTED(DPC_PLANTED_OTHERS_ASKED))
        seed += core->phase.next_serial;
    dpc_asked_init(&asked, seed, core_chunk_phase(core), core->topology.routed_paths, count);
    for (uint32_t block = 0; block < blocks; block++) {
        const uint32_t *paths = dpc_asked_next(&asked);
        uint32_t from = block * DPC_ASKED_DOCUMENTS, left = documents - from;
        uint32_t to = from + (left < DPC_ASKED_DOCUMENTS ? left : DPC_ASKED_DOCUMENTS);
        for (uint32_t i = 0; i < count; i++)
            core->chunks[core->chunks_count++] =
                (struct core_chunk){.path = paths[i], .from = from, .to = to};
    }
    dpc_asked_done(&asked);
    qsort(core->chunks, core->chunks_count, sizeof *core->chunks, by_place);
}

static void
add_score_chunks(struct dpc_core *core)
{
    uint32_t count = dpc_experiment_score_paths(core->experiment);
    if (count < core->topology.routed_paths) {
        add_asked_chunks(core, count);
        return;
    }
    for (uint32_t path = 0; path < core->topology.routed_paths; path++)
        add_chunks(core, path, core->phase.scored_documents, EVALUATE_CHUNK);
}

void
core_plan_chunks(struct dpc_core *core)
{
    uint32_t phase = core->phase.phase, dense = dpc_topology_dense_path(&core->topology);
    core_forget_chunk_failures(core);
    core->chunks_count = 0;
    if (phase == DPC_PHASE_SCORE)
        add_score_chunks(core);
    for (uint32_t path = 0; phase == DPC_PHASE_TRACE && path < core->topology.routed_paths; path++)
        add_chunks_from(core, path, core->phase.traced_train, core->phase.traced_documents,
                        trace_chunk(core));
    if (phase == DPC_PHASE_FEATURIZE)
        add_chunks(core, dense, core->phase.documents, FEATURIZE_CHUNK);
    if (phase == DPC_PHASE_REROUTE)
        add_chunks_from(core, dense, core->phase.traced_learned, core->phase.traced_documents,
                        core->phase.traced_documents); /* one network routes them all */
    for (uint32_t path = 0; phase == DPC_PHASE_EVALUATE && path < core->topology.paths_count;
         path++) {
        if (!core_is_dense(core, path) || (path == dense && core->experiment->baseline.dense))
            add_chunks(core, path, core->paths[path].record.test_documents, EVALUATE_CHUNK);
    }
    core->chunks_left = core->chunks_count;
    core_heap_init(&core->chunking.waiting, core->chunks_count);
    core_heap_init(&core->chunking.watched, core->chunks_count);
    for (uint32_t i = 0; i < core->chunks_count; i++)
        core_refresh_chunk(core, i);
}

enum dpc_task_kind
core_chunk_kind(const struct dpc_core *core)
{
    switch ((enum dpc_phase)core->phase.phase) {
    case DPC_PHASE_FEATURIZE:
        return DPC_TASK_FEATURIZE;
    case DPC_PHASE_SCORE:
        return DPC_TASK_SCORE;
    case DPC_PHASE_TRACE:
        return DPC_TASK_TRACE;
    case DPC_PHASE_REROUTE:
        return DPC_TASK_REROUTE;
    default:
        return DPC_TASK_EVALUATE;
    }
}

uint32_t
core_chunk_phase(const struct dpc_core *core)
{
    return core_chunk_kind(core) == DPC_TASK_SCORE ? core->phase.routing_phases + 1 : 0;
}

struct core_chunk *
core_find_chunk(struct dpc_core *core, uint32_t path, uint32_t from, uint32_t to)
{
    uint32_t low = 0, high = core->chunks_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct core_chunk *chunk = &core->chunks[middle];
        if (chunk->path < path || (chunk->path == path && chunk->from < from))
            low = middle + 1;
        else
            high = middle;
    }
    struct core_chunk *found = &core->chunks[low];
    return low < core->chunks_count && found->path == path && found->from == from && found->to == to
               ? found
               : NULL;
}

void
core_finish_chunk(struct dpc_core *core, struct core_chunk *chunk)
{
    uint32_t index = (uint32_t)(chunk - core->chunks);
    core->chunks_left -= !chunk->done;
    chunk->done = true;
    core_forget_failure(core, CORE_CHUNKING, index);
    core_refresh_chunk(core, index);
}

/* What the coordinator itself does in the phase. */
static const enum dpc_effect_type effect_of[] = {
    [DPC_PHASE_PREPARE] = DPC_EFFECT_PREPARE, [DPC_PHASE_SHARD] = DPC_EFFECT_SHARD,
    [DPC_PHASE_REPORT] = DPC_EFFECT_REPORT,   [DPC_PHASE_FIT] = DPC_EFFECT_SHARD,
    [DPC_PHASE_LABEL] = DPC_EFFECT_LABEL,     [DPC_PHASE_REROUTE] = 0,
};

bool
core_works_alone(const struct dpc_core *core)
{
    return effect_of[core->phase.phase] != 0;
}

void
core_add_phase_effect(const struct dpc_core *core, struct dpc_actions *actions)
{
    if (core_works_alone(core))
        core_add_effect(actions, effect_of[core->phase.phase]);
}

void
core_enter_phase(struct dpc_core *core, enum dpc_phase phase, struct dpc_actions *actions)
{
    core->phase.phase = phase;
    core_plan_chunks(core);
    core_refresh_paths(core);
    core_put_phase(core, actions);
    core_add_phase_effect(core, actions);
}

/* The first version of a module. */
static void
put_initial(struct dpc_core *core, uint32_t module_id, const struct dpc_hash *content,
            struct dpc_actions *actions)
{
    struct core_module *module = &core->modules[module_id];
    struct dpc_version_record version = {
        .module = module_id, .cause = DPC_CAUSE_INITIAL, .master = *content, .published = *content};
    module->record.version = 0;
    module->record.master = module->record.published = *content;
    module->record.momentum = dpc_hash_none;
    module->exists = true;
    module->begun_ms = core->now_ms;
    dpc_put_version(&actions->batch, &version);
    core_note_past(core, &version);
    dpc_put_module(&actions->batch, &module->record);
    if (dpc_topology_module_is_dense(&core->topology, module_id) && core->warm_rounds == 0)
        core->warm[dpc_topology_module_level(&core->topology, module_id)] = version;
}

/* All train documents are everybody's: each draws its own batches of them. */
static void
begin_dense(struct dpc_core *core, uint32_t path_id, const struct dpc_prepared *prepared,
            struct dpc_actions *actions)
{
    struct dpc_path_record *path = &core->paths[path_id].record;
    path->rounds_done = core_next_round(core, path_id, 0);
    path->shard = prepared->train.hash;
    path->shard_bytes = prepared->train.bytes;
    path->shard_documents = prepared->train_documents;
    path->shard_tokens = prepared->train_tokens;
    if (!core_is_replica(core, path_id)) {
        path->test = prepared->test.hash;
        path->test_bytes = prepared->test.bytes;
        path->test_documents = prepared->test_documents;
    }
    dpc_put_path(&actions->batch, path);
}

void
core_on_prepared(struct dpc_core *core, const struct dpc_prepared *prepared,
                 struct dpc_actions *actions)
{
    if (core->phase.phase != DPC_PHASE_PREPARE)
        return;
    uint32_t dense = dpc_topology_dense_path(&core->topology);
    for (uint32_t level = 0; level < core->topology.levels_count; level++)
        put_initial(core, dpc_topology_module(&core->topology, dense, level),
                    &prepared->modules[level], actions);
    for (uint32_t path = dense; path < core->topology.paths_count; path++)
        begin_dense(core, path, prepared, actions);
    for (uint32_t level = 0; level < core->topology.levels_count; level++)
        core_count_delivered(core, dpc_topology_module(&core->topology, dense, level));
    core->phase.corpus = prepared->corpus;
    core->phase.tokenizer = prepared->tokenizer;
    core->phase.prefixes = prepared->prefixes.hash;
    core->phase.prefixes_bytes = prepared->prefixes.bytes;
    core->phase.documents = prepared->documents;
    core_begin_best(core, dense, &prepared->early_stop, prepared->early_stop_documents, actions);
    core_enter_phase(core, DPC_PHASE_WARM_START, actions);
    core_advance(core, actions);
}

/* Routed modules begin as copies of the dense ones, or as what was made of these; routed paths with
 * the dense path's state. */
static void
begin_routed(struct dpc_core *core, const struct dpc_sharded *sharded, struct dpc_actions *actions)
{
    uint32_t dense = dpc_topology_dense_path(&core->topology);
    if (core->phase.warm_state_bytes == 0 && !dpc_hash_is_none(&core->phase.warm_state))
        /* A store of format 1: states were of one size. */
        core->phase.warm_state_bytes = core->paths[dense].record.state_bytes;
    for (uint32_t module = 0; module < core->topology.routed_modules; module++) {
        uint32_t level = dpc_topology_module_level(&core->topology, module);
        const struct dpc_hash *copy = &core->warm[level].master;
        put_initial(core, module, sharded->modules ? &sharded->modules[module] : copy, actions);
    }
    for (uint32_t i = 0; i < sharded->paths_count; i++) {
        struct dpc_path_record *path = &core->paths[i].record;
        path->rounds_done = core_next_round(core, i, 0);
        path->steps_done = core->experiment->warm_start.steps;
        path->state = core->phase.warm_state;
        path->state_bytes = core->phase.warm_state_bytes;
    }
}

/* In elastic mode rounds may have gone on without somebody who still trains: on documents that are
 * the path's no longer, and that nobody keeps for a fetch. */
static void
end_leases_on_old_shard(struct dpc_core *core, uint32_t path, struct dpc_actions *actions)
{
    while (core->paths[path].leases)
        core_end_lease(core, core->paths[path].leases, actions);
}

static void
put_shards(struct dpc_core *core, const struct dpc_sharded *sharded, struct dpc_actions *actions)
{
    for (uint32_t i = 0; i < sharded->paths_count; i++) {
        struct dpc_path_record *path = &core->paths[i].record;
        end_leases_on_old_shard(core, i, actions);
        const struct dpc_shard *shard = &sharded->paths[i];
        path->shard = shard->train.hash;
        path->shard_bytes = shard->train.bytes;
        path->shard_documents = shard->train_documents;
        path->shard_tokens = shard->train_tokens;
        path->window_tokens = shard->window_tokens;
        path->test = shard->test.hash;
        path->test_bytes = shard->test.bytes;
        path->test_documents = shard->test_documents;
        dpc_put_path(&actions->batch, path);
        core_begin_best(core, i, &shard->early_stop, shard->early_stop_documents, actions);
        dpc_put_shard(&actions->batch,
                      &(struct dpc_shard_record){.phase = core->phase.routing_phases,
                                                 .path = i,
                                                 .train_documents = shard->train_documents,
                                                 .train_tokens = shard->train_tokens,
                                                 .routed = shard->routed,
                                                 .stayed = shard->stayed});
    }
    core->phase.router = sharded->router;
    core->phase.scored = sharded->scored.hash;
    core->phase.scored_bytes = sharded->scored.bytes;
    core->phase.scored_documents = sharded->scored_documents;
    core->phase.traced = sharded->traced.hash;
    core->phase.traced_bytes = sharded->traced.bytes;
    core->phase.traced_documents = sharded->traced_documents;
    core->phase.traced_train = sharded->traced_train;
    core->phase.traced_learned = sharded->traced_learned;
    core->phase.traced_router = sharded->traced_router;
    core->phase.routes = sharded->routes.hash;
    core->phase.routes_bytes = sharded->routes.bytes;
}

void
core_on_sharded(struct dpc_core *core, const struct dpc_sharded *sharded,
                struct dpc_actions *actions)
{
    if (core->phase.phase == DPC_PHASE_SHARD) {
        begin_routed(core, sharded, actions);
    } else if (core->phase.phase == DPC_PHASE_FIT) {
        core->phase.routing_phases++;
    } else {
        return;
    }
    put_shards(core, sharded, actions);
    for (uint32_t module = 0; module < core->topology.routed_modules; module++) {
        core->modules[module].begun_ms = core->now_ms; /* a round takes what training takes */
        core_count_delivered(core, module);
        core_refresh_closing(core, module);
    }
    core_enter_phase(core, DPC_PHASE_TRAIN, actions);
    core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}

void
core_on_labelled(struct dpc_core *core, const struct dpc_blob_ref *routes,
                 struct dpc_actions *actions)
{
    if (core->phase.phase != DPC_PHASE_LABEL)
        return;
    if (!DPC_PLANTED(DPC_PLANTED_ROUTES_OLD)) {
        core->phase.routes = routes->hash;
        core->phase.routes_bytes = routes->bytes;
    }
    core_enter_phase(core, DPC_PHASE_REROUTE, actions);
}

static bool
warm_start_is_over(const struct dpc_core *core)
{
    uint32_t dense = dpc_topology_dense_path(&core->topology);
    for (uint32_t level = 0; level < core->topology.levels_count; level++) {
        if (core->modules[dpc_topology_module(&core->topology, dense, level)].record.version <
            core->warm_rounds)
            return false;
    }
    return true;
}

static bool
training_is_over(const struct dpc_core *core)
{
    for (uint32_t module = 0; module < core->topology.modules_count; module++) {
        if (dpc_module_round(&core->modules[module].record) < core_module_rounds(core, module))
            return false;
    }
    return true;
}

/* Routed paths have trained as far as the next discriminative phase; the dense one goes on. What
 * came late may still be merged in a round behind that, in which nobody trains: versions stay what
 * they are until documents are sharded anew. */
static bool
phase_of_routing_is_due(const struct dpc_core *core)
{
    if (core->phase.routing_phases >= core->experiment->routing.phases)
        return false;
    for (uint32_t i = 0; i < core->topology.routed_modules; i++) {
        const struct core_module *module = &core->modules[i];
        uint32_t path = dpc_topology_path_through(&core->topology, i, 0);
        if (module->folding || dpc_module_round(&module->record) < dpc_core_rounds_open(core, path))
            return false;
    }
    return true;
}

/* Where no model computes features there is nothing to lease. */
enum dpc_phase
dpc_phase_after_warm_start(const struct dpc_experiment *experiment)
{
    return experiment->routing.features == DPC_FEATURES_NGRAMS ? DPC_PHASE_SHARD
                                                               : DPC_PHASE_FEATURIZE;
}

/* Nobody goes on from the states of the replicas. */
static void
end_warm_start(struct dpc_core *core, struct dpc_actions *actions)
{
    uint32_t dense = dpc_topology_dense_path(&core->topology);
    core->phase.warm_state = core->paths[dense].record.state;
    core->phase.warm_state_bytes = core->paths[dense].record.state_bytes;
    for (uint32_t i = dense + 1; i < core->topology.paths_count; i++) {
        struct dpc_path_record *path = &core->paths[i].record;
        path->state = dpc_hash_none;
        path->state_bytes = 0;
        dpc_put_path(&actions->batch, path);
    }
    core_enter_phase(core, dpc_phase_after_warm_start(core->experiment), actions);
}

void
core_advance(struct dpc_core *core, struct dpc_actions *actions)
{
    switch ((enum dpc_phase)core->phase.phase) {
    case DPC_PHASE_WARM_START:
        if (warm_start_is_over(core))
            end_warm_start(core, actions);
        break;
    case DPC_PHASE_FEATURIZE:
        if (core->chunks_left == 0)
            core_enter_phase(core, DPC_PHASE_SHARD, actions);
        break;
    case DPC_PHASE_TRAIN:
        if (phase_of_routing_is_due(core) && core_all_are_rated(core, false))
            core_enter_phase(core, DPC_PHASE_SCORE, actions);
        else if (training_is_over(core) && core_all_are_rated(core, true))
            core_enter_phase(
                core, core->phase.traced_documents ? DPC_PHASE_TRACE : DPC_PHASE_EVALUATE, actions);
        break;
    case DPC_PHASE_TRACE:
        if (core->chunks_left == 0)
            core_enter_phase(core, DPC_PHASE_LABEL, actions);
        break;
    case DPC_PHASE_REROUTE:
        if (core->chunks_left == 0)
            core_enter_phase(core, DPC_PHASE_EVALUATE, actions);
        break;
    case DPC_PHASE_SCORE:
        if (core->chunks_left == 0)
            core_enter_phase(core, DPC_PHASE_FIT, actions);
        break;
    case DPC_PHASE_EVALUATE:
        if (core->chunks_left == 0)
            core_enter_phase(core, DPC_PHASE_REPORT, actions);
        break;
    case DPC_PHASE_PREPARE:
    case DPC_PHASE_SHARD:
    case DPC_PHASE_FIT:
    case DPC_PHASE_LABEL:
    case DPC_PHASE_REPORT:
    case DPC_PHASE_FINISHED:
        break;
    }
}
