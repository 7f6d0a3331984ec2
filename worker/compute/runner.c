/* SPDX-License-Identifier: Apache-2.0
 * Cancelling is a race by nature: the job may just have ended. So a result names its lease, and the
 * session drops what it no longer holds. `cancelled_to` makes the flag of one job its own: the
 * number of a job says whether it was queued before the last cancel. */
#include "worker/compute/runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "base/queue.h"
#include "worker/compute/evaluate.h"
#include "worker/compute/featurize.h"
#include "worker/compute/keep.h"
#include "worker/compute/reroute.h"
#include "worker/compute/train.h"

struct job {
    uint64_t number;
    struct dpc_experiment experiment;
    struct dpc_msg_lease lease;
};

struct dpc_runner {
    struct dpc_cache *cache;
    struct dpc_device *device; /* NULL: the processor */
    struct dpc_spill *spill;
    struct dpc_queue *jobs, *results;
    pthread_t thread;
    struct dpc_progress progress;
    pthread_mutex_t lock; /* numbers, `held`, and the setting of progress.cancelled and .cut */
    pthread_cond_t released;
    bool held, waits; /* the compute thread does, for the end of that */
    uint64_t queued, ended, cancelled_to, cut_to, running;
    struct dpc_engine_limits limits;
    struct dpc_engine *engine; /* the thread's */
};

typedef int (*task_fn)(struct dpc_engine *engine, const struct dpc_task *task,
                       struct dpc_msg_submit *ret_submit, struct dpc_error *err);

static task_fn
task_of(enum dpc_task_kind kind)
{
    switch (kind) {
    case DPC_TASK_TRAIN:
        return dpc_train_run;
    case DPC_TASK_FEATURIZE:
        return dpc_featurize_run;
    case DPC_TASK_EVALUATE:
    case DPC_TASK_SCORE:
    case DPC_TASK_TRACE:
        return dpc_evaluate_run;
    case DPC_TASK_REROUTE:
        return dpc_reroute_run;
    }
    return NULL;
}

static int
take_device(struct dpc_runner *runner, struct dpc_error *err)
{
    struct dpc_card *card = NULL;
    if (!runner->device)
        return DPC_OK;
    if (dpc_device_is_stale(runner->device))
        runner->engine = dpc_engine_destroy(runner->engine);
    int code = dpc_device_take(runner->device, &card, err);
    if (card != runner->limits.card)
        runner->engine = dpc_engine_destroy(runner->engine);
    runner->limits.card = card;
    return code;
}

/* The engine for a job: the one that is there, unless the experiment or the device became another.
 */
static int
prepare(struct dpc_runner *runner, const struct dpc_experiment *experiment, struct dpc_error *err)
{
    int code = take_device(runner, err);
    if (code != DPC_OK)
        return code;
    if (runner->engine && memcmp(&runner->engine->experiment, experiment, sizeof *experiment) == 0)
        return DPC_OK;
    runner->engine = dpc_engine_destroy(runner->engine);
    return dpc_engine_create(experiment, &runner->limits, &runner->engine, err);
}

static int
run_job(struct dpc_runner *runner, const struct job *job, struct dpc_msg_submit *ret_submit,
        struct dpc_error *err)
{
    task_fn run = task_of(job->lease.kind);
    struct dpc_task task = {
        .lease = &job->lease,
        .cache = runner->cache,
        .progress = &runner->progress,
        .spill = runner->spill,
    };
    if (!run)
        return dpc_error_set(err, DPC_EPROTO, "this release knows no task of kind %d",
                             (int)job->lease.kind);
    if (runner->spill)
        dpc_spill_begin_lease(runner->spill);
    int code = prepare(runner, &job->experiment, err);
    if (code == DPC_OK)
        code = run(runner->engine, &task, ret_submit, err);
    ret_submit->token = job->lease.token;
    if (code == DPC_OK)
        dpc_keep_result(runner->engine, &task, ret_submit);
    return code;
}

/* Whether the card is the reason why a job ended with `code`: a failure may be met first as memory
 * that is not to be had, or as values that are not finite. */
static bool
is_of_card(const struct dpc_runner *runner, int code)
{
    const struct dpc_card *card = runner->limits.card;
    if (!card || code == DPC_OK)
        return false;
    const struct dpc_ops *ops = dpc_card_ops(card, DPC_FP32, false);
    return code == DPC_EDEVICE || (ops && ops->memory->finish() == DPC_EDEVICE);
}

/* Gives up a card that failed, with all that lies in its memory. */
static int
lose_card(struct dpc_runner *runner, struct dpc_error *err)
{
    const struct dpc_card *card = runner->limits.card;
    dpc_error_set(err, DPC_EDEVICE, "%s failed: %.500s", dpc_card_info(card)->name,
                  dpc_card_failure(card));
    runner->engine = dpc_engine_destroy(runner->engine);
    runner->limits.card = NULL;
    dpc_device_lose(runner->device);
    return DPC_EDEVICE;
}

static int
run_job_or_lose_card(struct dpc_runner *runner, const struct job *job,
                     struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    int code = run_job(runner, job, ret_submit, err);
    if (is_of_card(runner, code))
        return lose_card(runner, err);
    if (code == DPC_OK && runner->limits.card)
        dpc_device_praise(runner->device);
    return code;
}

/* With the lock. A job that has to end does not wait for its owner. */
static bool
is_held(const struct dpc_runner *runner)
{
    return runner->held && !runner->progress.cancelled && !runner->progress.cut;
}

static void
wait_while_held(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    bool held = is_held(runner);
    pthread_mutex_unlock(&runner->lock);
    if (held && runner->progress.before_waiting)
        runner->progress.before_waiting(runner->progress.task_context);
    pthread_mutex_lock(&runner->lock);
    runner->waits = is_held(runner);
    while (is_held(runner))
        pthread_cond_wait(&runner->released, &runner->lock);
    runner->waits = false;
    pthread_mutex_unlock(&runner->lock);
}

static void
wait_between(void *context)
{
    struct dpc_runner *runner = context;
    wait_while_held(runner);
    if (runner->device)
        dpc_device_yield(runner->device, &runner->progress.cancelled, &runner->progress.cut,
                         runner->progress.before_waiting, runner->progress.task_context);
}

static void
begin(struct dpc_runner *runner, const struct job *job)
{
    pthread_mutex_lock(&runner->lock);
    runner->running = job->number;
    runner->progress.steps_done = runner->progress.steps_before = 0;
    runner->progress.tokens_per_s = 0;
    runner->progress.waited_ns = 0;
    runner->progress.keep = false;
    runner->progress.cut = job->number <= runner->cut_to;
    runner->progress.cancelled = job->number <= runner->cancelled_to;
    pthread_mutex_unlock(&runner->lock);
}

static void
end(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->running = 0;
    runner->ended++;
    runner->progress.steps_done = 0;
    runner->progress.tokens_per_s = 0;
    pthread_mutex_unlock(&runner->lock);
}

static void *
run_jobs(void *context)
{
    struct dpc_runner *runner = context;
    struct job *job;
    while ((job = dpc_queue_wait(runner->jobs)) != NULL) {
        struct dpc_job_result *result = dpc_alloc(1, sizeof *result);
        struct dpc_error err = {0};
        begin(runner, job);
        wait_while_held(runner);
        result->token = job->lease.token;
        result->code = runner->progress.cancelled
                           ? dpc_error_set(&err, DPC_ECANCELLED, "the lease was dropped")
                           : run_job_or_lose_card(runner, job, &result->submit, &err);
        result->tokens_per_s = runner->progress.tokens_per_s;
        if (runner->limits.card)
            (void)dpc_card_fallbacks(runner->limits.card, &result->fallback);
        memcpy(result->text, err.text, sizeof result->text);
        dpc_free(job);
        end(runner); /* before the result is out: who has the last one sees an idle runner */
        /* There is room: the loop takes results faster than jobs end. */
        if (dpc_queue_put(runner->results, result) != DPC_OK)
            dpc_free(result);
    }
    return NULL;
}

static void
drop(void *item)
{
    dpc_free(item);
}

struct dpc_runner *
dpc_runner_start(struct dpc_cache *cache, struct dpc_spill *spill, struct dpc_device *device,
                 uint32_t threads, uint64_t memory_bytes)
{
    struct dpc_runner *runner = dpc_alloc(1, sizeof *runner);
    runner->cache = cache;
    runner->device = device;
    runner->spill = spill;
    runner->progress.between = wait_between;
    runner->progress.context = runner;
    runner->limits.pool = dpc_pool_create(threads);
    runner->limits.memory_bytes = memory_bytes;
    runner->jobs = dpc_queue_create(DPC_RUNNER_JOBS_MAX, drop);
    runner->results = dpc_queue_create(4 * DPC_RUNNER_JOBS_MAX, drop);
    pthread_mutex_init(&runner->lock, NULL);
    pthread_cond_init(&runner->released, NULL);
    if (pthread_create(&runner->thread, NULL, run_jobs, runner) != 0)
        abort(); /* no thread at start-up: nothing can be computed */
    return runner;
}

struct dpc_runner *
dpc_runner_stop(struct dpc_runner *runner)
{
    if (!runner)
        return NULL;
    dpc_runner_cancel(runner);
    dpc_queue_close(runner->jobs);
    pthread_join(runner->thread, NULL);
    runner->engine = dpc_engine_destroy(runner->engine);
    dpc_pool_destroy(runner->limits.pool);
    dpc_queue_destroy(runner->jobs);
    dpc_queue_destroy(runner->results);
    pthread_cond_destroy(&runner->released);
    pthread_mutex_destroy(&runner->lock);
    return dpc_free(runner);
}

int
dpc_runner_run(struct dpc_runner *runner, const struct dpc_experiment *experiment,
               const struct dpc_msg_lease *lease)
{
    struct job *job = dpc_alloc(1, sizeof *job);
    memcpy(&job->experiment, experiment, sizeof *experiment);
    job->lease = *lease;
    pthread_mutex_lock(&runner->lock);
    job->number = ++runner->queued;
    pthread_mutex_unlock(&runner->lock);
    int code = dpc_queue_put(runner->jobs, job);
    if (code != DPC_OK) {
        pthread_mutex_lock(&runner->lock);
        runner->ended++;
        pthread_mutex_unlock(&runner->lock);
        dpc_free(job);
    }
    return code;
}

void
dpc_runner_cancel(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->cancelled_to = runner->queued;
    if (runner->running)
        runner->progress.cancelled = true;
    pthread_cond_signal(&runner->released);
    pthread_mutex_unlock(&runner->lock);
}

void
dpc_runner_suspend(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->progress.suspended = runner->running > runner->cancelled_to;
    pthread_mutex_unlock(&runner->lock);
    dpc_runner_cancel(runner);
}

void
dpc_runner_cut(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->cut_to = runner->queued; /* it may not have begun, behind one that was cancelled */
    runner->progress.cut = runner->running > runner->cancelled_to;
    pthread_cond_signal(&runner->released);
    pthread_mutex_unlock(&runner->lock);
}

void
dpc_runner_hold(struct dpc_runner *runner, bool held)
{
    pthread_mutex_lock(&runner->lock);
    runner->held = held;
    pthread_cond_signal(&runner->released);
    pthread_mutex_unlock(&runner->lock);
}

bool
dpc_runner_is_held(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    bool waits = runner->waits;
    pthread_mutex_unlock(&runner->lock);
    return waits;
}

void
dpc_runner_keep(struct dpc_runner *runner)
{
    runner->progress.keep = true;
}

bool
dpc_runner_is_idle(struct dpc_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    bool idle = runner->ended == runner->queued;
    pthread_mutex_unlock(&runner->lock);
    return idle;
}

int
dpc_runner_fd(const struct dpc_runner *runner)
{
    return dpc_queue_fd(runner->results);
}

struct dpc_job_result *
dpc_runner_result(struct dpc_runner *runner)
{
    return dpc_queue_take(runner->results);
}

uint32_t
dpc_runner_steps_done(const struct dpc_runner *runner)
{
    return runner->progress.steps_done;
}

uint64_t
dpc_runner_life(const struct dpc_runner *runner)
{
    return dpc_pool_loops(runner->limits.pool);
}

uint32_t
dpc_runner_steps_before(const struct dpc_runner *runner)
{
    return runner->progress.steps_before;
}

double
dpc_runner_tokens_per_s(const struct dpc_runner *runner)
{
    return runner->progress.tokens_per_s;
}
