/* SPDX-License-Identifier: Apache-2.0
 * What a coordinator sends is checked here once, for all tasks: a lease that does not fit the
 * experiment is a fault of theirs (DPC_EPROTO), and is given back with the reason. */
#include "worker/compute/engine.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/layout.h"
#include "modules/compute.h"
#include "worker/compute/versions.h"

/* Keeps activations where they fit, and else computes them again, unless the experiment says which.
 */
static int
fit(const struct dpc_experiment *experiment, const struct dpc_engine_limits *limits,
    struct dpc_path_options *options, struct dpc_error *err)
{
    enum dpc_recompute wanted = experiment->recompute;
    uint64_t memory_bytes =
        limits->card ? dpc_card_memory_bytes(limits->card) : limits->memory_bytes;
    size_t bytes = 0;
    for (int turn = wanted == DPC_RECOMPUTE_BLOCK; turn <= (wanted != DPC_RECOMPUTE_NONE); turn++) {
        options->recompute = turn > 0;
        int code = limits->card ? dpc_compute_card_bytes(experiment, options, &bytes, err)
                                : dpc_compute_bytes(experiment, options, &bytes, err);
        if (code != DPC_OK)
            return code;
        if (memory_bytes == 0 || bytes <= memory_bytes)
            return DPC_OK;
    }
    return dpc_error_set(err, DPC_ELIMIT,
                         "the experiment needs %llu MiB of %smemory and this worker may take "
                         "%llu: raise %s",
                         (unsigned long long)(bytes >> 20) + 1, limits->card ? "the card's " : "",
                         (unsigned long long)(memory_bytes >> 20),
                         limits->card ? "--device-memory, or give back what others hold of it"
                                      : "--memory-mib");
}

static void
drop_path(struct dpc_engine *engine)
{
    engine->received = dpc_free(engine->received);
    engine->adamw = dpc_adamw_destroy(engine->adamw);
    engine->path = dpc_path_destroy(engine->path);
    engine->levels = 0;
}

/* A path of the levels of `taken`. */
static int
lay_out(struct dpc_engine *engine, const struct dpc_experiment *taken, struct dpc_error *err)
{
    const struct dpc_engine_limits *limits = &engine->limits;
    /* A whole table computes for the calling thread alone. */
    struct dpc_path_options options = {.ops = engine->ops,
                                       .pool = limits->card ? NULL : limits->pool,
                                       .batch_max = engine->batch_max,
                                       .use = DPC_PATH_TRAIN};
    int code = fit(taken, limits, &options, err);
    if (code == DPC_OK)
        code = dpc_path_create(taken, &options, &engine->path, err);
    if (code == DPC_OK)
        code = dpc_adamw_create(engine->path, &engine->adamw, err);
    if (code != DPC_OK)
        return code;
    engine->received = dpc_try_alloc_vector(dpc_path_floats(engine->path), sizeof(float));
    if (!engine->received)
        return dpc_error_set(err, DPC_ENOMEM, "could not lay out a path of %zu parameters: %s",
                             dpc_path_floats(engine->path), dpc_error_words(DPC_ENOMEM));
    return DPC_OK;
}

/* The former shape goes first, so that two never take memory at a time. */
static int
shape(struct dpc_engine *engine, uint32_t levels, struct dpc_error *err)
{
    if (engine->path && engine->levels == levels)
        return DPC_OK;
    drop_path(engine);
    struct dpc_experiment *taken = dpc_alloc(1, sizeof *taken);
    dpc_experiment_take_levels(&engine->experiment, levels, taken);
    int code = lay_out(engine, taken, err);
    dpc_free(taken);
    if (code == DPC_OK)
        engine->levels = levels;
    else
        drop_path(engine);
    return code;
}

/* Where paths differ in their shape, the first lease says which one is needed. */
static int
allocate(struct dpc_engine *engine, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &engine->experiment;
    size_t positions = (size_t)engine->batch_max * experiment->model.context;
    uint32_t dense = dpc_topology_dense_path(&engine->topology);
    int code = dpc_compute_choose(experiment->compute, engine->limits.card, &engine->ops, err);
    if (code == DPC_OK && !engine->topology.skips)
        code = shape(engine, dpc_topology_path_levels(&engine->topology, dense), err);
    if (code != DPC_OK)
        return code;
    engine->tokens = dpc_try_alloc(positions, sizeof(int32_t));
    engine->targets = dpc_try_alloc(positions, sizeof(int32_t));
    if (!engine->tokens || !engine->targets)
        return dpc_error_set(err, DPC_ENOMEM, "could not lay out a batch of %zu tokens: %s",
                             positions, dpc_error_words(DPC_ENOMEM));
    return DPC_OK;
}

int
dpc_engine_create(const struct dpc_experiment *experiment, const struct dpc_engine_limits *limits,
                  struct dpc_engine **ret_engine, struct dpc_error *err)
{
    struct dpc_engine *engine = dpc_alloc(1, sizeof *engine);
    engine->experiment = *experiment;
    engine->limits = *limits;
    engine->batch_max = dpc_compute_batch(experiment);
    dpc_buf_init(&engine->blob, DPC_BLOB_BYTES_MAX);
    int code = dpc_topology_init(&engine->topology, &engine->experiment, err);
    if (code == DPC_OK)
        code = allocate(engine, err);
    if (code != DPC_OK) {
        dpc_engine_destroy(engine);
        return code;
    }
    *ret_engine = engine;
    return DPC_OK;
}

struct dpc_engine *
dpc_engine_destroy(struct dpc_engine *engine)
{
    if (!engine)
        return NULL;
    dpc_tokens_close(engine->documents);
    dpc_buf_done(&engine->blob);
    dpc_free(engine->targets);
    dpc_free(engine->tokens);
    drop_path(engine);
    dpc_topology_done(&engine->topology);
    return dpc_free(engine);
}

static int
check_lease(const struct dpc_engine *engine, const struct dpc_msg_lease *lease,
            struct dpc_error *err)
{
    const struct dpc_topology *topology = &engine->topology;
    if (lease->path >= topology->paths_count ||
        lease->levels_count != dpc_topology_path_length(topology, lease->path))
        return dpc_error_set(err, DPC_EPROTO,
                             "the lease does not fit the experiment: path %u, %u levels",
                             lease->path, lease->levels_count);
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        if (lease->modules[i] != dpc_topology_path_module(topology, lease->path, i))
            return dpc_error_set(err, DPC_EPROTO,
                                 "the lease does not fit the experiment: module %u is not that "
                                 "of path %u at place %u",
                                 lease->modules[i], lease->path, i);
    }
    return DPC_OK;
}

/* Into the path what was received less what a part of the round that came before has moved it by.
 */
static int
write_difference(struct dpc_engine *engine, const struct dpc_task *task, uint32_t level,
                 const float *received, size_t count, struct dpc_error *err)
{
    float *values = dpc_try_alloc(count, sizeof *values);
    if (!values)
        return dpc_error_set(err, DPC_ENOMEM, "could not go on with the round: %s",
                             dpc_error_words(DPC_ENOMEM));
    int code = dpc_versions_read(task->cache, &task->lease->begins[level], count, values, err);
    if (code == DPC_OK) {
        for (size_t i = 0; i < count; i++)
            values[i] = received[i] - values[i];
        dpc_path_write_module(engine->path, level, values);
    }
    dpc_free(values);
    return code;
}

/* The version into `received`, and what the lease begins from into the path. */
static int
load_module(struct dpc_engine *engine, const struct dpc_task *task, uint32_t level, float *received,
            struct dpc_error *err)
{
    size_t count = dpc_path_module_floats(engine->path, level);
    int code = dpc_versions_load(task->cache, task->lease, level, count, received, err);
    if (code == DPC_OK && !dpc_hash_is_none(&task->lease->begins[level].hash))
        code = write_difference(engine, task, level, received, count, err);
    else if (code == DPC_OK)
        dpc_path_write_module(engine->path, level, received);
    if (code == DPC_EPROTO)
        return dpc_error_prefix(err, code, "module %u at level %u", task->lease->modules[level],
                                level);
    return code;
}

int
dpc_engine_load(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_error *err)
{
    int code = check_lease(engine, task->lease, err);
    if (code == DPC_OK)
        code = shape(engine, dpc_topology_path_levels(&engine->topology, task->lease->path), err);
    float *received = engine->received;
    for (uint32_t level = 0; code == DPC_OK && level < task->lease->levels_count; level++) {
        code = load_module(engine, task, level, received, err);
        received += dpc_path_module_floats(engine->path, level);
    }
    return code;
}

/* A level's module of the network: what was received up to the head, and zeros for that. */
static int
write_network_module(struct dpc_engine *engine, const struct dpc_experiment *network,
                     uint32_t level, const float *received)
{
    struct dpc_layout layout;
    dpc_layout_init(&layout, network, level);
    const struct dpc_tensor *head = dpc_layout_find(&layout, DPC_TENSOR_HEAD, 0);
    float *values = dpc_try_alloc_vector(layout.floats_count, sizeof *values);
    if (values) {
        memset(values, 0, layout.floats_count * sizeof *values);
        memcpy(values, received, (head ? head->offset : layout.floats_count) * sizeof *values);
        dpc_path_write_module(engine->path, level, values);
    }
    dpc_layout_done(&layout);
    dpc_free(values);
    return values ? DPC_OK : DPC_ENOMEM;
}

static int
write_network(struct dpc_engine *engine, const struct dpc_experiment *network,
              const float *received, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t level = 0; code == DPC_OK && level < network->levels_count; level++) {
        code = write_network_module(engine, network, level, received);
        received += dpc_layout_module_floats(&engine->experiment, level);
    }
    return code == DPC_OK ? code
                          : dpc_error_set(err, code, "could not make the router network: %s",
                                          dpc_error_words(code));
}

int
dpc_engine_become_router(struct dpc_engine *engine, const struct dpc_experiment *network,
                         struct dpc_error *err)
{
    float *received = engine->received;
    engine->received = NULL;
    drop_path(engine);
    int code = lay_out(engine, network, err);
    if (code == DPC_OK)
        code = write_network(engine, network, received, err);
    if (code != DPC_OK)
        drop_path(engine);
    dpc_free(received);
    return code;
}

static int
no_memory_for_state(struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ENOMEM, "could not take a path state: %s",
                         dpc_error_words(DPC_ENOMEM));
}

static int
read_coded_state(struct dpc_engine *engine, const uint8_t *bytes, size_t len, struct dpc_error *err)
{
    struct dpc_buf plain;
    enum dpc_moments form;
    dpc_buf_init(&plain, 0);
    int code = dpc_path_state_decode(bytes, len, dpc_path_floats(engine->path), engine->limits.pool,
                                     &plain, &form, err);
    if (code == DPC_OK && plain.failed)
        code = no_memory_for_state(err);
    if (code == DPC_OK)
        code = dpc_adamw_read(engine->adamw, plain.data, plain.len, err);
    dpc_buf_done(&plain);
    return code;
}

int
dpc_engine_read_state(struct dpc_engine *engine, const uint8_t *bytes, size_t len,
                      struct dpc_error *err)
{
    struct dpc_adamw_span spans[DPC_LEVELS_MAX];
    struct dpc_buf own;
    uint32_t count = 0;
    size_t from = 0;
    if (dpc_path_state_form(bytes, len) != DPC_MOMENTS_FP32)
        return read_coded_state(engine, bytes, len, err);
    if (len == dpc_adamw_state_bytes(engine->adamw) || !engine->topology.skips)
        return dpc_adamw_read(engine->adamw, bytes, len, err);
    for (uint32_t level = 0; level < engine->experiment.levels_count; level++) {
        size_t floats = dpc_layout_module_floats(&engine->experiment, level);
        if (engine->levels >> level & 1)
            spans[count++] = (struct dpc_adamw_span){from, floats};
        from += floats;
    }
    dpc_buf_init(&own, DPC_BLOB_BYTES_MAX);
    int code = dpc_adamw_narrow(bytes, len, from, spans, count, &own, err);
    if (code == DPC_OK && own.failed)
        code = no_memory_for_state(err);
    if (code == DPC_OK)
        code = dpc_adamw_read(engine->adamw, own.data, own.len, err);
    dpc_buf_done(&own);
    return code;
}

static int
check_tokens(const struct dpc_engine *engine, const struct dpc_msg_lease *lease,
             const struct dpc_tokens *tokens, struct dpc_error *err)
{
    uint32_t vocab = dpc_tokens_vocabulary(tokens)->size, documents = dpc_tokens_documents(tokens);
    if (vocab != engine->experiment.model.vocab)
        return dpc_error_set(err, DPC_EPROTO, "the token file has a vocabulary of %u, the model %u",
                             vocab, engine->experiment.model.vocab);
    if (lease->from > lease->to || lease->to > documents)
        return dpc_error_set(err, DPC_EPROTO,
                             "the lease names documents %u to %u of a file that has %u",
                             lease->from, lease->to, documents);
    return DPC_OK;
}

/* Checked whole, unless they are the last lease's. */
static int
open_documents(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_error *err)
{
    const struct dpc_blob_ref *data = &task->lease->data;
    char path[DPC_PATH_MAX];
    if (engine->documents && dpc_hash_equal(&engine->documents_hash, &data->hash) &&
        dpc_cache_has(task->cache, data))
        return DPC_OK;
    engine->documents = dpc_tokens_close(engine->documents);
    int code = dpc_cache_path(task->cache, data, path, sizeof path, err);
    if (code != DPC_OK)
        return code;
    code = dpc_tokens_open(path, &engine->documents, err);
    if (code == DPC_OK)
        engine->documents_hash = data->hash;
    return code == DPC_ECORRUPT ? DPC_EPROTO : code; /* as its hash says, and yet no token file */
}

int
dpc_engine_open_tokens(struct dpc_engine *engine, const struct dpc_task *task,
                       const struct dpc_tokens **ret_tokens, struct dpc_error *err)
{
    int code = open_documents(engine, task, err);
    if (code == DPC_OK)
        code = check_tokens(engine, task->lease, engine->documents, err);
    if (code == DPC_OK)
        *ret_tokens = engine->documents;
    return code;
}

int
dpc_engine_put(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_blob_ref *ret_ref,
               struct dpc_error *err)
{
    if (engine->blob.failed)
        return dpc_error_set(err, DPC_ENOMEM, "could not put a result together: %s",
                             dpc_error_words(DPC_ENOMEM));
    return dpc_cache_put(task->cache, engine->blob.data, engine->blob.len, ret_ref, err);
}

double
dpc_progress_seconds(const struct dpc_progress *progress, int64_t start_ns)
{
    return (double)(dpc_clock_ns() - start_ns - progress->waited_ns) / 1e9;
}

void
dpc_progress_report(struct dpc_progress *progress, uint32_t steps, uint64_t tokens,
                    int64_t start_ns)
{
    double seconds = dpc_progress_seconds(progress, start_ns);
    progress->steps_done = steps;
    if (seconds > 0)
        progress->tokens_per_s = (double)tokens / seconds;
    if (!progress->between)
        return;
    int64_t from_ns = dpc_clock_ns();
    progress->between(progress->context);
    progress->waited_ns += dpc_clock_ns() - from_ns;
}
