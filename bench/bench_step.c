/* SPDX-License-Identifier: Apache-2.0
 * Times whole training steps (gradients, norm, AdamW) of one path, with the CPU's peak measured in
 * the same run, before the steps and after them: the higher one counts. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "bench/configs.h"
#include "bench/peak.h"
#include "modules/adamw.h"
#include "modules/path.h"

static const double peak_seconds = 0.5;

struct options {
    struct dpc_bench_config config;
    const struct dpc_ops *ops;
    long steps, threads, batch;
    bool recompute, json;
};

struct run {
    struct dpc_pool *pool;
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    int32_t *tokens, *targets;
    const struct dpc_bench_config *config;
    double loss, seconds, seconds_least, peak, copy_gb_s;
};

static int
run_init(struct run *run, const struct options *given)
{
    const struct dpc_bench_config *config = &given->config;
    struct dpc_experiment experiment = dpc_bench_experiment(config);
    struct dpc_error err = {0};
    size_t count = (size_t)config->batch * config->context;
    *run = (struct run){.config = config, .pool = NULL};
    if (!given->ops->whole)
        run->pool = dpc_pool_create((uint32_t)given->threads);
    struct dpc_path_options options = {.ops = given->ops,
                                       .pool = run->pool,
                                       .batch_max = config->batch,
                                       .use = DPC_PATH_TRAIN,
                                       .recompute = given->recompute};
    int status = dpc_path_create(&experiment, &options, &run->path, &err);
    if (status == DPC_OK)
        status = dpc_adamw_create(run->path, &run->adamw, &err);
    if (status < 0) {
        fprintf(stderr, "%s\n", err.text);
        return status;
    }
    dpc_path_write_initial(run->path);
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
    dpc_pool_destroy(run->pool);
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
 * slow. */
static int
time_steps(struct run *run, int steps)
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
    run->seconds = seconds[steps / 2];
    run->seconds_least = seconds[0];
    dpc_free(seconds);
    return status;
}

static int
measure_peak(struct run *run, const struct options *given)
{
    struct dpc_peak peak;
    int status = given->ops->whole
                     ? dpc_peak_measure_card(given->ops, &peak)
                     : dpc_peak_measure((uint32_t)given->threads, peak_seconds, &peak);
    if (status != DPC_OK)
        return status;
    double gflops = given->ops->dtype == DPC_BF16 ? peak.bf16_gflops : peak.fp32_gflops;
    run->peak = gflops > run->peak ? gflops : run->peak;
    run->copy_gb_s = peak.copy_gb_s;
    return DPC_OK;
}

static int
measure(struct run *run, const struct options *given)
{
    int status = measure_peak(run, given);
    if (status == DPC_OK)
        status = time_steps(run, (int)given->steps);
    return status == DPC_OK ? measure_peak(run, given) : status;
}

static int64_t
rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

static struct dpc_json *
result_of(const struct run *run, const struct options *given)
{
    const struct dpc_bench_config *config = run->config;
    const struct dpc_ops *ops = given->ops;
    double tokens = (double)config->batch * config->context;
    double gflops = dpc_bench_flops_per_token(config) * tokens / run->seconds * 1e-9;
    struct dpc_json *json = dpc_json_object();
    dpc_json_set_text(json, "config", config->name);
    dpc_json_set_text(json, "dtype", ops->dtype == DPC_BF16 ? "bf16" : "fp32");
    dpc_json_set_integer(json, "batch", config->batch);
    dpc_json_set_integer(json, "threads", dpc_pool_threads(run->pool));
    dpc_json_set_text(json, "ops", ops->name);
    dpc_json_set_text(json, "products", ops->products);
    dpc_json_set_text(json, "blas_kernel", dpc_ops_blas_kernel());
    dpc_json_set_text(json, "onednn", dpc_ops_onednn_kernel());
    dpc_json_set_bool(json, "recompute", given->recompute);
    dpc_json_set_integer(json, "parameters", (int64_t)dpc_path_floats(run->path));
    dpc_json_set_integer(json, "steps", given->steps);
    dpc_json_set_number(json, "step_ms", run->seconds * 1e3);
    dpc_json_set_number(json, "step_ms_least", run->seconds_least * 1e3);
    dpc_json_set_number(json, "tokens_per_s", tokens / run->seconds);
    dpc_json_set_number(json, "flops_per_token", dpc_bench_flops_per_token(config));
    dpc_json_set_number(json, "gflops", gflops);
    dpc_json_set_number(json, "peak_gflops", run->peak);
    if (ops->whole)
        dpc_json_set_number(json, "copy_gb_s", run->copy_gb_s);
    dpc_json_set_number(json, "fraction_of_peak", run->peak > 0 ? gflops / run->peak : 0);
    dpc_json_set_integer(json, "path_bytes", (int64_t)dpc_path_bytes(run->path));
    dpc_json_set_integer(json, "rss_bytes", rss_bytes());
    dpc_json_set_number(json, "loss", run->loss);
    return json;
}

static void
print_result(const struct run *run, const struct options *given)
{
    double tokens = (double)run->config->batch * run->config->context / run->seconds;
    double gflops = dpc_bench_flops_per_token(run->config) * tokens * 1e-9;
    if (given->json) {
        struct dpc_json *json = result_of(run, given);
        char *text = dpc_json_print(json, true);
        puts(text);
        dpc_free(text);
        dpc_json_destroy(json);
        return;
    }
    printf("%-10s %s, %ld threads, %s+%s (BLAS %s): %.0f tokens/s, %.1f of %.1f GFLOP/s (%.1f %%), "
           "%lld MiB\n",
           run->config->name, given->ops->dtype == DPC_BF16 ? "bf16" : "fp32", given->threads,
           given->ops->name, given->ops->products, dpc_ops_blas_kernel(), tokens, gflops, run->peak,
           100 * gflops / run->peak, (long long)(rss_bytes() >> 20));
}

static int
usage(void)
{
    fprintf(stderr, "usage: bench_step [--config quickstart|compare|A|B|C|P] [--dtype fp32|bf16]\n"
                    "                  [--threads N] [--steps N] [--batch N] [--ops TABLE] "
                    "[--recompute] [--json]\n");
    return 2;
}

/* false: wrong usage. */
static bool
parse(int argc, char **argv, struct options *given)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"steps", required_argument, NULL, 's'},
                                            {"ops", required_argument, NULL, 'o'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"recompute", no_argument, NULL, 'r'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"json", no_argument, NULL, 'j'},
                                            {0}};
    const char *table = NULL, *dtype = "fp32", *config = "quickstart";
    int option;
    *given = (struct options){.steps = 20, .threads = 1};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 's')
            given->steps = strtol(optarg, NULL, 10);
        else if (option == 'b')
            given->batch = strtol(optarg, NULL, 10);
        else if (option == 'o')
            table = optarg;
        else if (option == 't')
            given->threads = strtol(optarg, NULL, 10);
        else if (option == 'd')
            dtype = optarg;
        else if (option == 'r')
            given->recompute = true;
        else if (option == 'j')
            given->json = true;
        else
            return false;
    }
    bool bf16 = strcmp(dtype, "bf16") == 0;
    const struct dpc_bench_config *named = dpc_bench_config_named(config);
    if (!named)
        return false;
    given->config = *named;
    given->config.batch = given->batch > 0 ? (uint32_t)given->batch : named->batch;
    given->ops = dpc_bench_ops_named(table, bf16 ? DPC_BF16 : DPC_FP32);
    return given->ops && given->batch >= 0 && given->batch <= 4096 &&
           (bf16 || strcmp(dtype, "fp32") == 0) && given->threads >= 1 &&
           given->threads <= DPC_POOL_THREADS_MAX && given->steps >= 1 && given->steps <= 1000000 &&
           optind == argc;
}

int
main(int argc, char **argv)
{
    struct options given;
    struct run run;
    if (!parse(argc, argv, &given))
        return usage();
    int status = run_init(&run, &given);
    if (status == DPC_OK) {
        status = measure(&run, &given);
        if (status == DPC_OK)
            print_result(&run, &given);
        else if (dpc_bench_finish(given.ops) == DPC_OK)
            fprintf(stderr, "could not measure steps: %s\n", dpc_error_words(status));
    }
    run_done(&run);
    return status == DPC_OK ? 0 : 1;
}
