/* SPDX-License-Identifier: Apache-2.0
 * quickstart is examples/quickstart.yaml's path, compare that of examples/compare-base.yaml, whose
 * heads are 24 wide, no multiple of a vector; the others are larger, up to GPT-2's smallest model
 * (B) and to long sequences (P). */
#include "bench/configs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/layout.h"
#include "ops/card.h"

static const struct dpc_bench_config configs[] = {
    {"quickstart", 4, 128, 4, 344, 256, 8, 256}, {"compare", 4, 96, 4, 256, 128, 16, 256},
    {"A", 4, 256, 4, 688, 256, 8, 4096},         {"C", 6, 384, 6, 1024, 256, 8, 8192},
    {"B", 12, 768, 12, 2048, 256, 4, 50257},     {"P", 12, 896, 14, 2392, 1024, 1, 32000},
};

const struct dpc_bench_config *
dpc_bench_config_named(const char *name)
{
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        if (strcmp(configs[i].name, name) == 0)
            return &configs[i];
    }
    return NULL;
}

struct dpc_experiment
dpc_bench_experiment(const struct dpc_bench_config *config)
{
    return (struct dpc_experiment){
        .name = "bench",
        .seed = 1,
        .model = {.dim = config->dim,
                  .heads = config->heads,
                  .ffn = config->ffn,
                  .context = config->context,
                  .vocab = config->vocab,
                  .tie_embeddings = true,
                  .rope_base = 10000.0,
                  .norm_epsilon = 1e-5,
                  .init_std = 0.02},
        .levels_count = 2,
        .levels = {{.name = "lower", .embedding = true, .blocks = config->blocks / 2, .modules = 1},
                   {.name = "upper",
                    .blocks = config->blocks - config->blocks / 2,
                    .head = true,
                    .modules = 1}},
        .inner = {.lr = 1e-3,
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.95,
                  .epsilon = 1e-8,
                  .clip = 1.0,
                  .batch = config->batch},
    };
}

double
dpc_bench_flops_per_token(const struct dpc_bench_config *config)
{
    struct dpc_experiment experiment = dpc_bench_experiment(config);
    return dpc_layout_train_flops(&experiment);
}

static struct dpc_card *card;

/* The first card's table, of the plug-in that DPC_CARD_PLUGIN names; says on stderr why there is
 * none. The card stays open. */
static const struct dpc_ops *
card_table(enum dpc_dtype dtype, bool tf32)
{
    struct dpc_error err;
    if (!card && dpc_card_open(getenv("DPC_CARD_PLUGIN"), 0, 0, &card, &err) != DPC_OK) {
        fprintf(stderr, "%s\n", err.text);
        return NULL;
    }
    return dpc_card_ops(card, dtype, tf32);
}

const struct dpc_ops *
dpc_bench_ops_named(const char *name, enum dpc_dtype dtype)
{
    const struct dpc_ops *ops;
    if (!name)
        return dpc_ops_cpu(dtype);
    if (strcmp(name, "cuda") == 0 || strcmp(name, "cuda+tf32") == 0)
        return card_table(dtype, strcmp(name, "cuda+tf32") == 0);
    for (size_t i = 0; (ops = dpc_ops_cpu_at(i)); i++) {
        char whole[64];
        (void)snprintf(whole, sizeof whole, "%s+%s", ops->name, ops->products);
        if (ops->dtype == dtype && strcmp(whole, name) == 0)
            return ops;
    }
    return strcmp(name, "reference") == 0 ? dpc_ops_reference(dtype) : NULL;
}

int
dpc_bench_finish(const struct dpc_ops *ops)
{
    int code = ops->memory->finish();
    if (code != DPC_OK)
        fprintf(stderr, "%s failed: %s\n", card ? dpc_card_info(card)->name : ops->name,
                card ? dpc_card_failure(card) : dpc_error_words(code));
    return code;
}
