/* SPDX-License-Identifier: Apache-2.0
 *
 * What a task needs, very small: an experiment, an engine, a cache in a folder of the test's own,
 * and a lease on a path whose module versions and token file lie in that cache.
 *
 * Owns: all of it. Threads: one.
 */
#ifndef DPC_TESTS_WORKER_TASK_RIG_H
#define DPC_TESTS_WORKER_TASK_RIG_H

#include <string.h>

#include "base/layout.h"
#include "base/rng.h"
#include "base/tensor_blob.h"
#include "data/tokens_writer.h"
#include "tests/unit/data/memory_sink.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"
#include "worker/compute/engine.h"

enum { RIG_DOCUMENTS = 23, RIG_STEPS = 6, RIG_PREFIX = 4, RIG_CACHE_BYTES = 64 << 20 };

struct task_rig {
    char folder[SCRATCH_PATH_MAX];
    struct dpc_experiment experiment;
    struct dpc_cache *cache;
    struct dpc_engine *engine;
    struct dpc_progress progress;
    struct dpc_msg_lease lease;
    struct dpc_task task;
    struct dpc_buf tokens; /* the token file */
    struct dpc_error err;
};

static inline void
rig_experiment(struct dpc_experiment *experiment)
{
    *experiment = (struct dpc_experiment){
        .name = "tiny",
        .seed = 3,
        .model = {.dim = 16,
                  .heads = 2,
                  .ffn = 24,
                  .context = 12,
                  .vocab = 256,
                  .tie_embeddings = true,
                  .rope_base = 10000.0,
                  .norm_epsilon = 1e-5,
                  .init_std = 0.2},
        .levels_count = 2,
        .levels = {{.name = "lower", .embedding = true, .blocks = 1, .modules = 2},
                   {.name = "upper", .blocks = 1, .head = true, .modules = 2}},
        .routing = {.prefix = RIG_PREFIX},
        .inner = {.lr = 1e-2,
                  .lr_end = 0.1,
                  .warmup = 3,
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.99,
                  .epsilon = 1e-8,
                  .clip = 1.0,
                  .batch = 4,
                  .steps = RIG_STEPS},
        .outer = {.rounds = 3},
        .warm_start = {.steps = 4, .replicas = 1},
        .evaluation = {.windows = 3},
    };
}

/* Documents of 6 to 75 tokens: none without a target, some longer than all windows together. */
static inline void
rig_write_tokens(struct dpc_buf *out, const struct dpc_vocabulary *vocabulary)
{
    struct dpc_tokens_writer writer;
    struct dpc_rng rng;
    dpc_rng_init(&rng, 4, DPC_RNG_TEST, 0, 0, 0);
    dpc_buf_init(out, 0);
    dpc_tokens_writer_init(&writer, memory_sink(out), vocabulary);
    for (uint32_t doc = 0; doc < RIG_DOCUMENTS; doc++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)doc}, text[2 * 80] = {0};
        uint32_t count = 6 + (doc * 37) % 70;
        for (uint32_t i = 0; i < count; i++)
            text[i * vocabulary->width] = (uint8_t)('a' + dpc_rng_below(&rng, 1 + i % 5));
        dpc_tokens_writer_document(&writer, 100 + doc, key, count);
        dpc_tokens_writer_tokens(&writer, text, (size_t)count * vocabulary->width);
    }
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_writer_finish(&writer), DPC_OK);
    dpc_tokens_writer_done(&writer);
}

static inline struct dpc_blob_ref
rig_put(struct task_rig *rig, const void *bytes, size_t len)
{
    struct dpc_blob_ref ref = {.bytes = 0};
    CU_ASSERT_EQUAL_FATAL(dpc_cache_put(rig->cache, bytes, len, &ref, &rig->err), DPC_OK);
    return ref;
}

static inline struct dpc_blob_ref
rig_put_tensor(struct task_rig *rig, const float *values, size_t count)
{
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, count);
    struct dpc_blob_ref ref = rig_put(rig, blob.data, blob.len);
    dpc_buf_done(&blob);
    return ref;
}

/* The lease of path 1 (modules lower.0 and upper.1), with initial weights as its versions. */
static inline void
rig_make_lease(struct task_rig *rig, enum dpc_task_kind kind)
{
    struct dpc_msg_lease *lease = &rig->lease;
    *lease = (struct dpc_msg_lease){
        .token = {1, 2}, .kind = kind, .path = 1, .round = 2, .levels_count = 2};
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        float *values = dpc_path_module_params(rig->engine->path, level);
        dpc_layout_fill_initial(&rig->experiment, level, values);
        lease->modules[level] = dpc_topology_module(&rig->engine->topology, lease->path, level);
        lease->versions[level] =
            rig_put_tensor(rig, values, dpc_path_module_floats(rig->engine->path, level));
    }
    if (kind == DPC_TASK_TRAIN) {
        lease->step_first = 10;
        lease->steps_count = RIG_STEPS;
    } else {
        lease->to = RIG_DOCUMENTS;
    }
    lease->data = rig_put(rig, rig->tokens.data, rig->tokens.len);
}

/* `rig` holds the experiment and nothing else; the vocabulary is as large as the experiment's. */
static inline void
rig_begin_with_pieces(struct task_rig *rig, enum dpc_task_kind kind,
                      const struct dpc_vocabulary *vocabulary)
{
    char cache[SCRATCH_PATH_MAX + 8];
    scratch_make(rig->folder);
    (void)snprintf(cache, sizeof cache, "%s/cache", rig->folder);
    CU_ASSERT_EQUAL_FATAL(
        dpc_cache_open(&dpc_vfs_posix, cache, RIG_CACHE_BYTES, &rig->cache, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_engine_create(&rig->experiment, &(struct dpc_engine_limits){0},
                                            &rig->engine, &rig->err),
                          DPC_OK);
    rig_write_tokens(&rig->tokens, vocabulary);
    rig_make_lease(rig, kind);
    rig->task = (struct dpc_task){&rig->lease, rig->cache, &rig->progress, NULL};
}

/* The same with bytes. */
static inline void
rig_begin_with(struct task_rig *rig, enum dpc_task_kind kind)
{
    rig_begin_with_pieces(rig, kind, &DPC_VOCABULARY_BYTES);
}

static inline void
rig_begin(struct task_rig *rig, enum dpc_task_kind kind)
{
    memset(rig, 0, sizeof *rig);
    rig_experiment(&rig->experiment);
    rig_begin_with(rig, kind);
}

static inline void
rig_end(struct task_rig *rig)
{
    dpc_engine_destroy(rig->engine);
    dpc_cache_close(rig->cache);
    dpc_buf_done(&rig->tokens);
    scratch_remove(rig->folder);
}

/* A blob of the cache that must be there; dpc_free it. */
static inline uint8_t *
rig_load(struct task_rig *rig, const struct dpc_blob_ref *ref)
{
    uint8_t *bytes = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_cache_load(rig->cache, ref, &bytes, &rig->err), DPC_OK);
    return bytes;
}

#endif
