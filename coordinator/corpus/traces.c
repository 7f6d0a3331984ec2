/* SPDX-License-Identifier: Apache-2.0
 * Results come in the order of paths and of documents, and every path's leases were cut alike: so
 * the results of block b are every blocks_count-th of the list. */
#include "coordinator/corpus/traces.h"

#include "base/alloc.h"
#include "data/scores.h"

struct dpc_traces {
    struct dpc_store *store;
    uint32_t paths, blocks_count;
    size_t pieces;
    uint32_t count;
    struct dpc_result_record *results; /* [count] */
};

static bool
gather(void *context, const struct dpc_result_record *record)
{
    struct dpc_traces *traces = context;
    if (record->kind != DPC_TASK_TRACE || record->path >= traces->paths)
        return true;
    traces->results = dpc_grow(traces->results, traces->count + 1u, sizeof *traces->results);
    traces->results[traces->count++] = *record;
    traces->blocks_count += record->path == 0;
    return true;
}

/* Each path's blocks follow one another from `first` up to `documents`, cut as the first path's. */
static bool
is_whole(const struct dpc_traces *traces, uint32_t first, uint32_t documents)
{
    if (traces->count != (uint64_t)traces->blocks_count * traces->paths)
        return false;
    for (uint32_t i = 0; i < traces->count; i++) {
        const struct dpc_result_record *result = &traces->results[i];
        uint32_t block = i % traces->blocks_count;
        bool last = block + 1 == traces->blocks_count;
        if (result->path != i / traces->blocks_count || result->from >= result->to ||
            result->from != (block ? traces->results[block - 1].to : first) ||
            result->to != traces->results[block].to || (last && result->to != documents))
            return false;
    }
    return traces->count > 0;
}

int
dpc_traces_open(const struct dpc_world *world, const struct dpc_phase_record *phase,
                struct dpc_traces **ret_traces, struct dpc_error *err)
{
    struct dpc_traces *traces = dpc_alloc(1, sizeof *traces);
    traces->store = world->store;
    traces->paths = world->topology->routed_paths;
    traces->pieces = (size_t)dpc_experiment_pieces(world->experiment);
    int code = dpc_scan_results(dpc_store_kv(world->store), gather, traces, err);
    if (code == DPC_OK && !is_whole(traces, phase->traced_train, phase->traced_documents))
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "the store has not the traces of %u documents under %u paths",
                             phase->traced_documents - phase->traced_train, traces->paths);
    if (code != DPC_OK) {
        dpc_traces_close(traces);
        return code;
    }
    *ret_traces = traces;
    return DPC_OK;
}

struct dpc_traces *
dpc_traces_close(struct dpc_traces *traces)
{
    if (!traces)
        return NULL;
    dpc_free(traces->results);
    return dpc_free(traces);
}

/* The first path says what the rows are; another one's must be of the same. */
static bool
take_rows(const struct dpc_score *scores, uint32_t path, struct dpc_traces_block *block)
{
    size_t count = (block->to - block->from) * block->pieces;
    for (size_t i = 0; i < count; i++) {
        if (path == 0) {
            block->targets[i] = scores[i].targets;
            block->bytes[i] = scores[i].bytes;
            block->ids[i / block->pieces] = scores[i].id;
        }
        if (scores[i].targets != block->targets[i] || scores[i].bytes != block->bytes[i] ||
            scores[i].id != block->ids[i / block->pieces])
            return false;
        block->nats[path * count + i] = scores[i].nats;
    }
    return true;
}

static int
read_path(const struct dpc_traces *traces, const struct dpc_result_record *result,
          struct dpc_traces_block *block, struct dpc_error *err)
{
    uint8_t *blob;
    size_t len, count = 0;
    struct dpc_score *scores = NULL;
    int code = dpc_store_blob_load_named(traces->store, &result->result, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_scores_read(blob, len, &scores, &count, err);
    dpc_free(blob);
    if (code == DPC_OK && (count != (block->to - block->from) * block->pieces ||
                           !take_rows(scores, result->path, block)))
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "the traces of documents %u to %u under path %u are of others than "
                             "those under path 0",
                             block->from, block->to, result->path);
    dpc_free(scores);
    return code;
}

static void
block_done(struct dpc_traces_block *block)
{
    dpc_free(block->nats);
    dpc_free(block->targets);
    dpc_free(block->bytes);
    dpc_free(block->ids);
}

/* Release with block_done, also when this fails. */
static int
read_block(const struct dpc_traces *traces, uint32_t index, struct dpc_traces_block *block,
           struct dpc_error *err)
{
    const struct dpc_result_record *first = &traces->results[index];
    *block = (struct dpc_traces_block){
        .from = first->from, .to = first->to, .paths = traces->paths, .pieces = traces->pieces};
    size_t rows = (block->to - block->from) * block->pieces;
    block->nats = dpc_try_alloc(rows * block->paths, sizeof *block->nats);
    block->targets = dpc_try_alloc(rows, sizeof *block->targets);
    block->bytes = dpc_try_alloc(rows, sizeof *block->bytes);
    block->ids = dpc_try_alloc(block->to - block->from, sizeof *block->ids);
    int code = block->nats && block->targets && block->bytes && block->ids
                   ? DPC_OK
                   : dpc_error_set(err, DPC_ENOMEM, "no memory for traces of %u documents",
                                   block->to - block->from);
    for (uint32_t path = 0; code == DPC_OK && path < traces->paths; path++)
        code = read_path(traces, &first[(size_t)path * traces->blocks_count], block, err);
    return code;
}

int
dpc_traces_visit(const struct dpc_traces *traces, uint32_t from, uint32_t to,
                 void (*visit)(void *context, const struct dpc_traces_block *block, uint32_t doc),
                 void *context, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; code == DPC_OK && i < traces->blocks_count; i++) {
        struct dpc_traces_block block;
        if (traces->results[i].to <= from || traces->results[i].from >= to)
            continue;
        code = read_block(traces, i, &block, err);
        uint32_t doc = block.from > from ? block.from : from;
        for (; code == DPC_OK && doc < block.to && doc < to; doc++)
            visit(context, &block, doc - block.from);
        block_done(&block);
    }
    return code;
}
