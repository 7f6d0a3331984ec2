/* SPDX-License-Identifier: Apache-2.0
 *
 * The quickstart's experiment as a struct, for tests that need one but do not read files.
 */
#ifndef DPC_TESTS_SMALL_MODEL_H
#define DPC_TESTS_SMALL_MODEL_H

#include "base/experiment.h"

static inline void
small_model(struct dpc_experiment *experiment)
{
    *experiment = (struct dpc_experiment){
        .name = "small",
        .seed = 1,
        .model = {.dim = 128,
                  .heads = 4,
                  .ffn = 344,
                  .context = 256,
                  .vocab = 256,
                  .tie_embeddings = true,
                  .rope_base = 10000,
                  .norm_epsilon = 1e-5,
                  .init_std = 0.02},
        .levels_count = 2,
        .warm_start.replicas = 1,
        .levels = {{.name = "lower", .embedding = true, .blocks = 2, .modules = 2},
                   {.name = "upper", .blocks = 2, .head = true, .modules = 2}},
    };
}

#endif
