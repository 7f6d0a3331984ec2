/* SPDX-License-Identifier: Apache-2.0
 * Times what a lease takes beside its steps: versions and path state in, deltas and path state out,
 * of a worker's own code over a cache on the disk. Of the shape only the parameters matter: a step
 * is made short, and taken off. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/layout.h"
#include "base/path_state.h"
#include "base/rng.h"
#include "base/tensor_blob.h"
#include "bench/configs.h"
#include "data/tokens_writer.h"
#include "worker/compute/train.h"

enum { CONTEXT = 16, DOCUMENTS = 8, DOCUMENT_TOKENS = 64, STEPS = 2 };

struct options {
    const struct dpc_bench_config *config;
    uint32_t threads;
    long runs;
    bool plain;
};

/* When the steps of a run were done. */
struct times {
    int64_t steps_ns[STEPS];
    uint32_t steps;
};

struct bench {
    struct dpc_experiment experiment;
    char folder[64];
    struct dpc_pool *pool;
    struct dpc_cache *cache;
    struct dpc_engine *engine;
    struct dpc_progress progress;
    struct dpc_msg_lease lease;
    struct times times;
    struct dpc_error err;
};

static void
draw(uint32_t seed, double size, float *ret_values, size_t count)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < count; i++)
        ret_values[i] = (float)(size * (dpc_rng_unit(&rng) - 0.5));
}

/* --- What a lease names. */

static int
put(struct bench *bench, const struct dpc_buf *blob, struct dpc_blob_ref *ret_ref)
{
    if (blob->failed)
        return dpc_error_set(&bench->err, DPC_ENOMEM, "no memory for a blob");
    return dpc_cache_put(bench->cache, blob->data, blob->len, ret_ref, &bench->err);
}

static int
put_tensor(struct bench *bench, enum dpc_codec codec, const float *values, size_t count,
           struct dpc_blob_ref *ret_ref)
{
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, codec, values, count);
    int code = put(bench, &blob, ret_ref);
    dpc_buf_done(&blob);
    return code;
}

/* The name of base + change, which the worker makes. */
static int
name_version(struct bench *bench, uint32_t level, size_t count, float *base, const float *change)
{
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    for (size_t i = 0; i < count; i++)
        base[i] += change[i];
    dpc_tensor_blob_write(&blob, base, count);
    bench->lease.versions[level].bytes = blob.len;
    if (!blob.failed)
        dpc_hash_of(blob.data, blob.len, &bench->lease.versions[level].hash);
    int code =
        blob.failed ? dpc_error_set(&bench->err, DPC_ENOMEM, "no memory for a version") : DPC_OK;
    dpc_buf_done(&blob);
    return code;
}

/* A version that nobody has: whole, or by its difference to one that is here. */
static int
make_version(struct bench *bench, uint32_t level, uint32_t seed)
{
    enum dpc_codec download = bench->experiment.transfer.download;
    size_t count = dpc_layout_module_floats(&bench->experiment, level);
    float *base = dpc_alloc(count, sizeof *base), *change = dpc_alloc(count, sizeof *change);
    struct dpc_msg_lease *lease = &bench->lease;
    draw(seed, 0.04, base, count);
    draw(seed + 1, 0.004, change, count);
    lease->modules[level] = dpc_topology_path_module(&bench->engine->topology, 0, level);
    struct dpc_blob_ref *whole =
        download == DPC_CODEC_FP32 ? &lease->versions[level] : &lease->bases[level];
    int code = put_tensor(bench, DPC_CODEC_FP32, base, count, whole);
    if (code == DPC_OK && download != DPC_CODEC_FP32)
        code = put_tensor(bench, download, change, count, &lease->changes[level]);
    if (code == DPC_OK && download != DPC_CODEC_FP32) {
        uint8_t *bytes = dpc_alloc(dpc_codec_bytes(download, count), 1);
        dpc_codec_encode(download, change, count, bytes);
        dpc_codec_decode(download, bytes, count, change);
        dpc_free(bytes);
        code = name_version(bench, level, count, base, change);
    }
    dpc_free(base);
    dpc_free(change);
    return code;
}

static int
make_state(struct bench *bench, uint32_t seed)
{
    size_t count = dpc_layout_path_floats(&bench->experiment);
    struct dpc_buf plain, coded;
    dpc_buf_init(&plain, 0);
    dpc_buf_init(&coded, 0);
    dpc_path_state_put_header(&plain, 100, count);
    float *moments = dpc_buf_extend(&plain, 2 * count * sizeof *moments);
    if (!moments)
        return dpc_error_set(&bench->err, DPC_ENOMEM, "no memory for a path state");
    draw(seed, 1e-4, moments, 2 * count);
    for (size_t i = count; i < 2 * count; i++)
        moments[i] *= moments[i];
    int code = dpc_path_state_encode(plain.data, plain.len, count,
                                     bench->experiment.transfer.moments, NULL, &coded, &bench->err);
    if (code == DPC_OK)
        code = put(bench, &coded, &bench->lease.state);
    dpc_buf_done(&plain);
    dpc_buf_done(&coded);
    return code;
}

static int
write_to(void *context, const void *bytes, size_t len, uint64_t offset)
{
    struct dpc_buf *out = context;
    if (offset < out->len)
        memcpy(out->data + offset, bytes, len); /* the header, which comes last */
    else
        dpc_buf_put(out, bytes, len);
    return out->failed ? DPC_ENOMEM : DPC_OK;
}

static int
make_tokens(struct bench *bench)
{
    uint32_t size = bench->experiment.model.vocab;
    uint8_t *lengths = dpc_alloc(size, 1);
    memset(lengths, 1, size);
    const struct dpc_vocabulary vocabulary = {
        .size = size, .width = 2, .model = {{1}}, .lengths = lengths};
    struct dpc_tokens_writer writer;
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_tokens_writer_init(&writer, (struct dpc_tokens_sink){write_to, &blob}, &vocabulary);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)i}, tokens[2 * DOCUMENT_TOKENS] = {0};
        for (size_t k = 0; k < DOCUMENT_TOKENS; k++)
            tokens[2 * k] = (uint8_t)(i * 31 + k * 7);
        dpc_tokens_writer_document(&writer, i, key, DOCUMENT_TOKENS);
        dpc_tokens_writer_tokens(&writer, tokens, sizeof tokens);
    }
    int code = dpc_tokens_writer_finish(&writer);
    dpc_tokens_writer_done(&writer);
    dpc_free(lengths);
    code = code == DPC_OK ? put(bench, &blob, &bench->lease.data)
                          : dpc_error_set(&bench->err, code, "could not write tokens");
    dpc_buf_done(&blob);
    return code;
}

/* --- One run. */

static void
note_step(void *context)
{
    struct times *times = context;
    if (times->steps < STEPS)
        times->steps_ns[times->steps++] = dpc_clock_ns();
}

static int
run_lease(struct bench *bench, uint32_t seed, double *ret_before, double *ret_after)
{
    struct dpc_task task = {&bench->lease, bench->cache, &bench->progress, NULL};
    struct dpc_msg_submit submit;
    int code = DPC_OK;
    bench->lease = (struct dpc_msg_lease){.kind = DPC_TASK_TRAIN,
                                          .levels_count = bench->experiment.levels_count,
                                          .steps_count = STEPS};
    for (uint32_t level = 0; code == DPC_OK && level < bench->lease.levels_count; level++)
        code = make_version(bench, level, seed + 10 * level);
    if (code == DPC_OK)
        code = make_state(bench, seed);
    if (code == DPC_OK)
        code = make_tokens(bench);
    if (code != DPC_OK)
        return code;
    bench->times.steps = 0;
    int64_t from_ns = dpc_clock_ns();
    code = dpc_train_run(bench->engine, &task, &submit, &bench->err);
    int64_t to_ns = dpc_clock_ns();
    dpc_cache_unpin(bench->cache, DPC_CACHE_LEASE);
    int64_t step_ns = bench->times.steps_ns[1] - bench->times.steps_ns[0];
    *ret_before = (double)(bench->times.steps_ns[0] - step_ns - from_ns) * 1e-9;
    *ret_after = (double)(to_ns - bench->times.steps_ns[1]) * 1e-9;
    return code;
}

static int
begin(struct bench *bench, const struct options *given)
{
    struct dpc_bench_config config = *given->config;
    config.context = CONTEXT;
    config.batch = 1;
    *bench =
        (struct bench){.experiment = dpc_bench_experiment(&config), .folder = "bench-lease-XXXXXX"};
    bench->experiment.inner.steps = STEPS;
    bench->experiment.outer.rounds = 1;
    bench->experiment.warm_start.replicas = 1;
    bench->experiment.routing.prefix = 1;
    if (!given->plain) {
        bench->experiment.transfer.upload = DPC_CODEC_NF4;
        bench->experiment.transfer.download = DPC_CODEC_INT8;
        bench->experiment.transfer.moments = DPC_MOMENTS_NF4;
    }
    bench->pool = dpc_pool_create(given->threads);
    bench->progress.between = note_step;
    bench->progress.context = &bench->times;
    if (!mkdtemp(bench->folder))
        return dpc_error_set(&bench->err, DPC_EIO, "could not make a folder here");
    int code = dpc_cache_open(&dpc_vfs_posix, bench->folder, UINT64_C(1) << 40, &bench->cache,
                              &bench->err);
    if (code == DPC_OK)
        code =
            dpc_engine_create(&bench->experiment, &(struct dpc_engine_limits){.pool = bench->pool},
                              &bench->engine, &bench->err);
    return code;
}

static void
end(struct bench *bench)
{
    dpc_engine_destroy(bench->engine);
    dpc_cache_close(bench->cache);
    dpc_pool_destroy(bench->pool);
    (void)dpc_vfs_remove_tree(bench->folder, NULL);
}

/* --- All of them. */

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *values, long count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static int
measure(struct bench *bench, const struct options *given, struct dpc_json *json)
{
    double *before = dpc_alloc((size_t)given->runs, sizeof *before);
    double *after = dpc_alloc((size_t)given->runs, sizeof *after), none;
    /* The first one lays memory out, and nobody counts it. */
    int code = run_lease(bench, 1, &none, &none);
    for (long i = 0; i < given->runs && code == DPC_OK; i++)
        code = run_lease(bench, (uint32_t)(1000 * (i + 1)), &before[i], &after[i]);
    dpc_json_set_text(json, "config", given->config->name);
    dpc_json_set_text(json, "forms", given->plain ? "fp32" : "nf4, int8, nf4");
    dpc_json_set_integer(json, "threads", given->threads);
    dpc_json_set_integer(json, "parameters", (int64_t)dpc_layout_path_floats(&bench->experiment));
    dpc_json_set_number(json, "before_s", median(before, given->runs));
    dpc_json_set_number(json, "after_s", median(after, given->runs));
    dpc_free(before);
    dpc_free(after);
    return code;
}

/* false: wrong usage. */
static bool
parse(int argc, char **argv, struct options *given)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"fp32", no_argument, NULL, 'f'},
                                            {0}};
    const char *config = "P";
    int option;
    long threads = 1;
    *given = (struct options){.runs = 5};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 't')
            threads = strtol(optarg, NULL, 10);
        else if (option == 'r')
            given->runs = strtol(optarg, NULL, 10);
        else if (option == 'f')
            given->plain = true;
        else
            return false;
    }
    given->config = dpc_bench_config_named(config);
    given->threads = (uint32_t)threads;
    return given->config && threads >= 1 && threads <= DPC_POOL_THREADS_MAX && given->runs >= 1 &&
           given->runs <= 1000 && optind == argc;
}

int
main(int argc, char **argv)
{
    struct options given;
    struct bench bench;
    if (!parse(argc, argv, &given)) {
        fprintf(stderr, "usage: bench_lease [--config quickstart|compare|A|B|C|P] [--threads N] "
                        "[--runs N] [--fp32]\n");
        return 2;
    }
    struct dpc_json *json = dpc_json_object();
    int code = begin(&bench, &given);
    if (code == DPC_OK)
        code = measure(&bench, &given, json);
    char *text = dpc_json_print(json, true);
    if (code == DPC_OK)
        puts(text);
    else
        fprintf(stderr, "%s\n", bench.err.text);
    dpc_free(text);
    dpc_json_destroy(json);
    end(&bench);
    return code == DPC_OK ? 0 : 1;
}
