/* SPDX-License-Identifier: Apache-2.0
 * A round is one job in all threads at once, let go together at a gate; its rate is the work
 * of all over the time from the first start to the last end, since a training step waits for its
 * slowest thread too. The job's length comes from a first round, which also warms the CPU up. */
#include "bench/peak.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/peak_loops.h"

enum {
    ROUNDS = 11,                    /* whose median counts */
    ARRAY_FLOATS = 8 * 1024 * 1024, /* a thread's, 32 MiB: three are more than its share of an L3 */
};

enum gate { SHUT, OPEN, CANCELLED };

struct worker {
    pthread_t thread;
    atomic_int *gate;
    void (*job)(struct worker *worker, uint64_t count); /* does it `count` times */
    uint64_t count;
    int64_t start_ns, end_ns;
    const struct dpc_peak_loop *loop; /* job_loop's */
    float *a, *b, *c;                 /* the others' arrays, ARRAY_FLOATS each */
    volatile float sink;
};

static void
job_loop(struct worker *worker, uint64_t count)
{
    worker->sink = worker->loop->run(count);
}

static void
job_copy(struct worker *worker, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        memcpy(worker->a, worker->b, ARRAY_FLOATS * sizeof(float));
        worker->sink = worker->a[i % ARRAY_FLOATS];
    }
}

static void
job_triad(struct worker *worker, uint64_t count)
{
    float *restrict a = worker->a;
    const float *restrict b = worker->b, *restrict c = worker->c;
    for (uint64_t i = 0; i < count; i++) {
#pragma GCC ivdep
        for (size_t j = 0; j < ARRAY_FLOATS; j++)
            a[j] = b[j] + 3.0f * c[j];
        worker->sink = a[i % ARRAY_FLOATS];
    }
}

static void *
worker_main(void *context)
{
    struct worker *worker = context;
    int gate;
    while ((gate = atomic_load(worker->gate)) == SHUT)
        sched_yield();
    worker->start_ns = dpc_clock_ns();
    if (gate == OPEN)
        worker->job(worker, worker->count);
    worker->end_ns = dpc_clock_ns();
    return NULL;
}

static double
seconds_of(const struct worker *workers, uint32_t threads)
{
    int64_t start = workers[0].start_ns, end = workers[0].end_ns;
    for (uint32_t i = 1; i < threads; i++) {
        start = workers[i].start_ns < start ? workers[i].start_ns : start;
        end = workers[i].end_ns > end ? workers[i].end_ns : end;
    }
    return (double)(end - start) * 1e-9;
}

static int
run_round(struct worker *workers, uint32_t threads, uint64_t count, double *ret_seconds)
{
    atomic_int gate = SHUT;
    uint32_t started = 0;
    for (; started < threads; started++) {
        struct worker *worker = &workers[started];
        worker->gate = &gate;
        worker->count = count;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
    }
    atomic_store(&gate, started == threads ? OPEN : CANCELLED);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (started < threads)
        return DPC_EIO;
    *ret_seconds = seconds_of(workers, threads);
    return DPC_OK;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sets how often all threads together do their job in a second. */
static int
measure_rate(struct worker *workers, uint32_t threads, double seconds, double *ret_per_second)
{
    double each = seconds / (ROUNDS + 1), elapsed, rounds[ROUNDS];
    uint64_t count = 1;
    int status = run_round(workers, threads, count, &elapsed);
    while (status == DPC_OK && elapsed < each / 2) {
        count *= 2;
        status = run_round(workers, threads, count, &elapsed);
    }
    for (size_t i = 0; i < ROUNDS && status == DPC_OK; i++)
        status = run_round(workers, threads, count, &rounds[i]);
    if (status < 0)
        return status;
    qsort(rounds, ROUNDS, sizeof *rounds, compare_doubles);
    *ret_per_second = (double)count * threads / rounds[ROUNDS / 2];
    return DPC_OK;
}

static void
workers_destroy(struct worker *workers, uint32_t threads)
{
    for (uint32_t i = 0; i < threads; i++) {
        dpc_free(workers[i].a);
        dpc_free(workers[i].b);
        dpc_free(workers[i].c);
    }
    dpc_free(workers);
}

static int
measure_loop(struct worker *workers, uint32_t threads, double seconds,
             const struct dpc_peak_loop *loop, double *ret_gflops)
{
    double per_second;
    for (uint32_t i = 0; i < threads; i++) {
        workers[i].job = job_loop;
        workers[i].loop = loop;
    }
    int status = measure_rate(workers, threads, seconds, &per_second);
    if (status == DPC_OK)
        *ret_gflops = per_second * loop->flops_per_iteration * 1e-9;
    return status;
}

int
dpc_peak_measure(uint32_t threads, double seconds, struct dpc_peak *ret_peak)
{
    if (threads < 1 || threads > DPC_PEAK_THREADS_MAX)
        return DPC_ELIMIT;
    struct dpc_peak_set set = dpc_peak_widest();
    struct dpc_peak peak = {.isa = set.isa, .threads = threads};
    struct worker *workers = dpc_alloc(threads, sizeof *workers);
    int status = measure_loop(workers, threads, seconds, &set.fp32, &peak.fp32_gflops);
    if (status == DPC_OK && set.bf16.run)
        status = measure_loop(workers, threads, seconds, &set.bf16, &peak.bf16_gflops);
    workers_destroy(workers, threads);
    if (status == DPC_OK)
        *ret_peak = peak;
    return status;
}

/* Each array is written once here: memory that nobody has touched is one page of zeros, in cache.
 */
static bool
take_arrays(struct worker *worker)
{
    size_t bytes = ARRAY_FLOATS * sizeof(float);
    float **arrays[] = {&worker->a, &worker->b, &worker->c};
    for (size_t i = 0; i < 3; i++) {
        *arrays[i] = dpc_try_alloc_vector(ARRAY_FLOATS, sizeof(float));
        if (!*arrays[i])
            return false;
        memset(*arrays[i], 1, bytes);
    }
    return true;
}

static int
measure_job(struct worker *workers, uint32_t threads, double seconds,
            void (*job)(struct worker *, uint64_t), double arrays, double *ret_gb_s)
{
    double per_second;
    for (uint32_t i = 0; i < threads; i++)
        workers[i].job = job;
    int status = measure_rate(workers, threads, seconds, &per_second);
    if (status == DPC_OK)
        *ret_gb_s = per_second * arrays * ARRAY_FLOATS * sizeof(float) * 1e-9;
    return status;
}

int
dpc_peak_measure_memory(uint32_t threads, double seconds, struct dpc_peak *ret_peak)
{
    if (threads < 1 || threads > DPC_PEAK_THREADS_MAX)
        return DPC_ELIMIT;
    struct worker *workers = dpc_alloc(threads, sizeof *workers);
    double copy = 0, triad = 0;
    int status = DPC_OK;
    for (uint32_t i = 0; i < threads && status == DPC_OK; i++)
        status = take_arrays(&workers[i]) ? DPC_OK : DPC_ENOMEM;
    if (status == DPC_OK)
        status = measure_job(workers, threads, seconds, job_copy, 2, &copy);
    if (status == DPC_OK)
        status = measure_job(workers, threads, seconds, job_triad, 3, &triad);
    workers_destroy(workers, threads);
    if (status == DPC_OK) {
        ret_peak->copy_gb_s = copy;
        ret_peak->triad_gb_s = triad;
    }
    return status;
}

void
dpc_peak_cpu_model(char *ret_model, size_t size)
{
    char line[256];
    snprintf(ret_model, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(ret_model, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(file);
}
