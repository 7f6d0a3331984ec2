/* SPDX-License-Identifier: Apache-2.0
 *
 * Small experiments and paths for the tests of modules/.
 */
#ifndef DPC_TESTS_UNIT_MODULES_MODEL_H
#define DPC_TESTS_UNIT_MODULES_MODEL_H

#include <math.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/rng.h"
#include "modules/path.h"
#include "tests/unit/harness.h"

/* Two levels of one and two blocks; weights are large so that nothing is nearly linear. */
static inline struct dpc_experiment
small_experiment(bool tied)
{
    return (struct dpc_experiment){
        .name = "small",
        .seed = 5,
        .model = {.dim = 16,
                  .heads = 2,
                  .ffn = 24,
                  .context = 12,
                  .vocab = 11,
                  .tie_embeddings = tied,
                  .rope_base = 10000.0,
                  .norm_epsilon = 1e-5,
                  .init_std = 0.3},
        .levels_count = 2,
        .levels = {{.name = "lower", .embedding = true, .blocks = 1, .modules = 2},
                   {.name = "upper", .blocks = 2, .head = true, .modules = 2}},
        .inner = {.lr = 1e-2,
                  .lr_end = 0.1,
                  .warmup = 3,
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.99,
                  .epsilon = 1e-8,
                  .clip = 1.0,
                  .batch = 4,
                  .steps = 5},
        .outer = {.rounds = 3},
        .warm_start = {.steps = 4, .replicas = 1},
    };
}

static inline struct dpc_path *
small_path_with(const struct dpc_experiment *experiment, const struct dpc_path_options *options)
{
    struct dpc_path *path = NULL;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(experiment, options, &path, &err), DPC_OK);
    dpc_path_write_initial(path);
    return path;
}

static inline struct dpc_path *
small_path(const struct dpc_experiment *experiment, const struct dpc_ops *ops, uint32_t batch_max,
           enum dpc_path_use use)
{
    return small_path_with(
        experiment, &(struct dpc_path_options){.ops = ops, .batch_max = batch_max, .use = use});
}

/* Tokens below the vocabulary; targets masked over each sequence's first `prefix` positions. */
static inline void
small_batch(const struct dpc_experiment *experiment, uint32_t batch, uint32_t length,
            uint32_t prefix, int32_t *tokens, int32_t *targets)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 9, DPC_RNG_TEST, batch, length, 0);
    for (uint32_t n = 0; n < batch * length; n++) {
        tokens[n] = (int32_t)dpc_rng_below(&rng, experiment->model.vocab);
        targets[n] =
            n % length < prefix ? -1 : (int32_t)dpc_rng_below(&rng, experiment->model.vocab);
    }
}

#endif
