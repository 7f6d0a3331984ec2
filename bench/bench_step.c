/* SPDX-License-Identifier: Apache-2.0
 * Times whole training steps (gradients, norm, AdamW) of one path in one thread, and prints one
 * JSON object. The model's floating-point operations are 6 a matrix parameter and token (the tied
 * head counts, the embedding's look-up does not), and the causal half of attention. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/layout.h"
#include "base/rng.h"
#include "modules/adamw.h"
#include "modules/path.h"

struct config {
    const char *name;
    uint32_t blocks, dim, heads, ffn, context, batch, vocab;
};

/* quickstart is examples/quickstart.yaml's path; the others are larger, up to GPT-2's smallest
 * model (B) and to long sequences (P). */
static const struct config configs[] = {
    {"quickstart", 4, 128, 4, 344, 256, 8, 256}, {"A", 4, 256, 4, 688, 256, 8, 4096},
    {"C", 6, 384, 6, 1024, 256, 8, 8192},        {"B", 12, 768, 12, 2048, 256, 4, 50257},
    {"P", 12, 896, 14, 2392, 1024, 1, 32000},
};

static struct dpc_experiment
experiment_of(const struct config *config)
{
    struct dpc_experiment experiment = {
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
    return experiment;
}

static double
flops_per_token(const struct config *config)
{
    double dim = config->dim, blocks = config->blocks;
    double block = 4.0 * dim * dim + 3.0 * dim * config->ffn;
    double matrices = blocks * block + dim * config->vocab;
    return 6.0 * matrices + 6.0 * blocks * dim * config->context;
}

struct run {
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    int32_t *tokens, *targets;
    const struct config *config;
    double loss;
};

static int
run_init(struct run *run, const struct config *config, const struct dpc_ops *ops)
{
    struct dpc_experiment experiment = experiment_of(config);
    struct dpc_error err = {0};
    size_t count = (size_t)config->batch * config->context;
    *run = (struct run){.config = config};
    int status = dpc_path_create(&experiment, ops, config->batch, DPC_PATH_TRAIN, &run->path, &err);
    if (status == DPC_OK)
        status = dpc_adamw_create(run->path, &run->adamw, &err);
    if (status < 0) {
        fprintf(stderr, "%s\n", err.text);
        return status;
    }
    for (uint32_t level = 0; level < experiment.levels_count; level++)
        dpc_layout_fill_initial(&experiment, level, dpc_path_module_params(run->path, level));
    run->tokens = dpc_alloc(count, sizeof *run->tokens);
    run->targets = dpc_alloc(count, sizeof *run->targets);
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < count; i++) {
        run->tokens[i] = (int32_t)dpc_rng_below(&rng, config->vocab);
        run->targets[i] = (int32_t)dpc_rng_below(&rng, config->vocab);
    }
    return DPC_OK;
}

static void
run_done(struct run *run)
{
    dpc_path_destroy(run->path);
    dpc_adamw_destroy(run->adamw);
    dpc_free(run->tokens);
    dpc_free(run->targets);
}

static int
step(struct run *run)
{
    uint64_t targets;
    double loss_sum, norm;
    int status = dpc_path_backward(run->path, run->tokens, run->targets, run->config->batch,
                                   run->config->context, &loss_sum, &targets);
    if (status == DPC_OK)
        status = dpc_adamw_step(run->adamw, run->path, 1e-3, &norm);
    if (status == DPC_OK)
        run->loss = loss_sum / (double)targets;
    return status;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a step, and the least, after two steps that nobody counts: fresh memory is
 * slow. Negative: failed. */
static double
median_seconds(struct run *run, int steps, double *ret_least)
{
    double *seconds = dpc_alloc((size_t)steps, sizeof *seconds);
    int status = DPC_OK;
    for (int i = -2; i < steps && status == DPC_OK; i++) {
        int64_t start = dpc_clock_ns();
        status = step(run);
        if (i >= 0)
            seconds[i] = (double)(dpc_clock_ns() - start) * 1e-9;
    }
    qsort(seconds, (size_t)steps, sizeof *seconds, compare_doubles);
    double median = status == DPC_OK ? seconds[steps / 2] : -1.0;
    *ret_least = seconds[0];
    dpc_free(seconds);
    return median;
}

static void
print_result(const struct run *run, const struct dpc_ops *ops, int steps, double seconds,
             double least)
{
    const struct config *config = run->config;
    double tokens = (double)config->batch * config->context;
    struct dpc_json *json = dpc_json_object();
    dpc_json_set_text(json, "config", config->name);
    dpc_json_set_text(json, "dtype", "fp32");
    dpc_json_set_integer(json, "threads", 1);
    dpc_json_set_text(json, "ops", ops->name);
    dpc_json_set_text(json, "blas_kernel", dpc_ops_blas_kernel());
    dpc_json_set_integer(json, "parameters", (int64_t)dpc_path_floats(run->path));
    dpc_json_set_integer(json, "steps", steps);
    dpc_json_set_number(json, "step_ms", seconds * 1e3);
    dpc_json_set_number(json, "step_ms_least", least * 1e3);
    dpc_json_set_number(json, "tokens_per_s", tokens / seconds);
    dpc_json_set_number(json, "flops_per_token", flops_per_token(config));
    dpc_json_set_number(json, "gflops", flops_per_token(config) * tokens / seconds * 1e-9);
    dpc_json_set_integer(json, "path_bytes", (int64_t)dpc_path_bytes(run->path));
    dpc_json_set_number(json, "loss", run->loss);
    char *text = dpc_json_print(json, true);
    puts(text);
    dpc_free(text);
    dpc_json_destroy(json);
}

static const struct config *
config_named(const char *name)
{
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        if (strcmp(configs[i].name, name) == 0)
            return &configs[i];
    }
    return NULL;
}

static const struct dpc_ops *
ops_named(const char *name)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = dpc_ops_cpu_at(i)); i++) {
        if (strcmp(ops->name, name) == 0)
            return ops;
    }
    return strcmp(name, "reference") == 0 ? dpc_ops_reference() : NULL;
}

static int
usage(void)
{
    fprintf(stderr, "usage: bench_step [--config quickstart|A|B|C|P] [--steps N] "
                    "[--ops avx512|avx2|baseline|reference]\n");
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"steps", required_argument, NULL, 's'},
                                            {"ops", required_argument, NULL, 'o'},
                                            {0}};
    const struct config *config = &configs[0];
    const struct dpc_ops *ops = dpc_ops_cpu();
    long steps = 20;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            config = config_named(optarg);
        else if (option == 's')
            steps = strtol(optarg, NULL, 10);
        else if (option == 'o')
            ops = ops_named(optarg);
        else
            return usage();
    }
    if (!config || !ops || steps < 1 || steps > 1000000 || optind != argc)
        return usage();
    struct run run;
    double seconds = -1.0, least = 0;
    if (run_init(&run, config, ops) == DPC_OK)
        seconds = median_seconds(&run, (int)steps, &least);
    if (seconds > 0)
        print_result(&run, ops, (int)steps, seconds, least);
    run_done(&run);
    return seconds > 0 ? 0 : 1;
}
