/* SPDX-License-Identifier: Apache-2.0
 * Paths that skip a level, in an engine that also trains the whole ones: three levels, the middle
 * one with an identity. Path 5 is 0-x-1, path 12 the dense one. */
#include <math.h>

#include "base/alloc.h"
#include "data/batch.h"
#include "modules/compute.h"
#include "tests/unit/worker/compute/task_rig.h"
#include "worker/compute/train.h"

enum { SHORT = 5, DENSE = 12, SHORT_LEVELS = 1 | 4 };

static void
lease_path(struct task_rig *rig, uint32_t path)
{
    const struct dpc_topology *topology = &rig->engine->topology;
    struct dpc_msg_lease *lease = &rig->lease;
    *lease = (struct dpc_msg_lease){.token = {1, 2},
                                    .kind = DPC_TASK_TRAIN,
                                    .path = path,
                                    .round = 2,
                                    .levels_count = dpc_topology_path_length(topology, path),
                                    .step_first = 10,
                                    .steps_count = RIG_STEPS};
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        uint32_t module = dpc_topology_path_module(topology, path, i);
        uint32_t level = dpc_topology_module_level(topology, module);
        size_t count = dpc_layout_module_floats(&rig->experiment, level);
        float *values = dpc_alloc(count, sizeof *values);
        dpc_layout_fill_initial(&rig->experiment, level, values);
        lease->modules[i] = module;
        lease->versions[i] = rig_put_tensor(rig, values, count);
        dpc_free(values);
    }
    lease->data = rig_put(rig, rig->tokens.data, rig->tokens.len);
}

static void
begin(struct task_rig *rig, uint64_t memory_bytes)
{
    char cache[SCRATCH_PATH_MAX + 8];
    memset(rig, 0, sizeof *rig);
    scratch_make(rig->folder);
    (void)snprintf(cache, sizeof cache, "%s/cache", rig->folder);
    rig_experiment(&rig->experiment);
    rig->experiment.levels_count = 3;
    rig->experiment.levels[2] = rig->experiment.levels[1];
    rig->experiment.levels[1] =
        (struct dpc_level){.name = "middle", .blocks = 1, .modules = 2, .identity = true};
    CU_ASSERT_EQUAL_FATAL(
        dpc_cache_open(&dpc_vfs_posix, cache, RIG_CACHE_BYTES, &rig->cache, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_engine_create(&rig->experiment,
                          &(struct dpc_engine_limits){.memory_bytes = memory_bytes}, &rig->engine,
                          &rig->err),
        DPC_OK);
    rig_write_tokens(&rig->tokens, &DPC_VOCABULARY_BYTES);
    rig->task = (struct dpc_task){&rig->lease, rig->cache, &rig->progress, NULL};
    lease_path(rig, SHORT);
}

static void
must_run(struct task_rig *rig, struct dpc_msg_submit *ret_submit)
{
    int code = dpc_train_run(rig->engine, &rig->task, ret_submit, &rig->err);
    if (code != DPC_OK)
        CU_FAIL(rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
}

/* The short path as an experiment of two levels, trained by the test's own loop. */
static void
train_plainly(struct task_rig *rig, struct dpc_path *path)
{
    struct dpc_batch_sampler *sampler;
    struct dpc_tokens *tokens;
    struct dpc_adamw *adamw;
    int32_t inputs[4 * 12], targets[4 * 12];
    double loss, norm;
    uint64_t seen;
    CU_ASSERT_EQUAL_FATAL(dpc_adamw_create(path, &adamw, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokens_open_bytes("test", rig->tokens.data, rig->tokens.len, &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_batch_sampler_create(tokens, 4, 12, RIG_PREFIX, &sampler, NULL),
                          DPC_OK);
    for (uint32_t place = 10; place < 10 + RIG_STEPS; place++) {
        dpc_batch_fill(sampler, rig->experiment.seed, SHORT, 2, place, inputs, targets);
        CU_ASSERT_EQUAL(dpc_path_backward(path, inputs, targets, 4, 12, &loss, &seen), DPC_OK);
        CU_ASSERT_EQUAL(
            dpc_adamw_step(adamw, path, dpc_schedule_lr(&rig->experiment, place), &norm), DPC_OK);
    }
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(tokens);
    dpc_adamw_destroy(adamw);
}

static void
a_short_path_is_a_smaller_model(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_experiment taken;
    struct dpc_path *path;
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = 8, .use = DPC_PATH_TRAIN};
    begin(&rig, 0);
    must_run(&rig, &submit);
    CU_ASSERT_EQUAL(submit.parts_count, 2);
    CU_ASSERT(submit.parts[0].module == 0 && submit.parts[1].module == 5);
    dpc_experiment_take_levels(&rig.experiment, SHORT_LEVELS, &taken);
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(&taken, &options, &path, NULL), DPC_OK);
    for (uint32_t i = 0; i < 2; i++)
        dpc_layout_fill_initial(&rig.experiment, 2 * i, dpc_path_module_params(path, i));
    train_plainly(&rig, path);
    for (uint32_t i = 0; i < 2; i++) {
        size_t count = dpc_path_module_floats(path, i), wrong = 0;
        const float *delta, *trained = dpc_path_module_params(path, i);
        float *initial = dpc_alloc(count, sizeof *initial);
        uint8_t *bytes = rig_load(&rig, &submit.parts[i].delta);
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(bytes, submit.parts[i].delta.bytes, count, &delta, NULL), DPC_OK);
        dpc_layout_fill_initial(&rig.experiment, 2 * i, initial);
        for (size_t k = 0; k < count; k++)
            wrong += delta[k] != initial[k] - trained[k];
        CU_ASSERT_EQUAL(wrong, 0);
        dpc_free(bytes);
        dpc_free(initial);
    }
    CU_ASSERT_EQUAL(submit.state.bytes, dpc_tensor_blob_bytes(2 * dpc_path_floats(path)));
    dpc_path_destroy(path);
    rig_end(&rig);
}

static void
shapes_take_turns(void)
{
    struct task_rig rig;
    struct dpc_msg_submit first, other, again;
    begin(&rig, 0);
    must_run(&rig, &first);
    lease_path(&rig, DENSE);
    must_run(&rig, &other);
    CU_ASSERT_EQUAL(other.parts_count, 3);
    lease_path(&rig, SHORT);
    must_run(&rig, &again);
    CU_ASSERT(dpc_hash_equal(&first.state.hash, &again.state.hash));
    CU_ASSERT(dpc_hash_equal(&first.parts[1].delta.hash, &again.parts[1].delta.hash));
    rig_end(&rig);
}

/* Routed paths begin with the dense path's moments; a short one with those of its own levels. */
static void
a_short_path_takes_its_part_of_the_dense_state(void)
{
    struct task_rig rig;
    struct dpc_msg_submit dense, submit, fresh;
    begin(&rig, 0);
    must_run(&rig, &fresh);
    lease_path(&rig, DENSE);
    must_run(&rig, &dense);
    lease_path(&rig, SHORT);
    rig.lease.state = dense.state;
    must_run(&rig, &submit);
    CU_ASSERT(dpc_hash_equal(&submit.began, &dense.state.hash));
    CU_ASSERT_FALSE(dpc_hash_equal(&submit.state.hash, &fresh.state.hash));
    CU_ASSERT_EQUAL(submit.state.bytes, fresh.state.bytes);
    CU_ASSERT_EQUAL(dpc_adamw_steps(rig.engine->adamw), 2 * RIG_STEPS);
    rig.lease.state = rig.lease.versions[0]; /* no state of either size */
    CU_ASSERT_EQUAL(dpc_train_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig_end(&rig);
}

/* A machine that the whole model is too large for still trains a short path. */
static void
what_is_too_large_leaves_short_paths(void)
{
    struct task_rig rig;
    struct dpc_experiment taken;
    struct dpc_msg_submit submit;
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = 8, .use = DPC_PATH_TRAIN, .recompute = true};
    size_t least = 0;
    begin(&rig, 0);
    dpc_experiment_take_levels(&rig.experiment, SHORT_LEVELS, &taken);
    CU_ASSERT_EQUAL_FATAL(dpc_compute_bytes(&taken, &options, &least, NULL), DPC_OK);
    rig_end(&rig);
    begin(&rig, least);
    lease_path(&rig, DENSE);
    CU_ASSERT_EQUAL(dpc_train_run(rig.engine, &rig.task, &submit, &rig.err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "--memory-mib"));
    lease_path(&rig, SHORT);
    must_run(&rig, &submit);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"a short path is a smaller model", a_short_path_is_a_smaller_model},
    {"shapes take turns", shapes_take_turns},
    {"a short path takes its part of the dense state",
     a_short_path_takes_its_part_of_the_dense_state},
    {"what is too large leaves short paths", what_is_too_large_leaves_short_paths},
};
DPC_TEST_MAIN("worker/shapes", tests)
