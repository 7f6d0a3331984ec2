/* SPDX-License-Identifier: Apache-2.0
 * Two bounded queues with threads between them. The second holds as much as the first and all
 * threads together, so that a finished job always has a place. */
#include "coordinator/executor.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/queue.h"

enum {
    /* Of kinds of which there is one at a time (coordinator/jobs.h). */
    EXECUTOR_SINGLE_JOBS_MAX = 16,
    /* Checks, and an outer step of every module with another of each that a rollback made idle
     * while it waited: outer steps always find a place. */
    EXECUTOR_JOBS_MAX = DPC_CHECKS_MAX + 2 * DPC_MODULES_MAX + EXECUTOR_SINGLE_JOBS_MAX,
    EXECUTOR_THREADS_MAX = 64,
};

struct dpc_executor {
    struct dpc_queue *waiting, *finished;
    void (*run)(void *job);
    void (*drop)(void *job);
    atomic_bool stopping;
    size_t inside; /* put and not yet taken; the loop's own count */
    unsigned threads_count;
    pthread_t threads[EXECUTOR_THREADS_MAX];
};

static void *
work(void *context)
{
    struct dpc_executor *executor = context;
    void *job;
    while ((job = dpc_queue_wait(executor->waiting)) != NULL) {
        if (executor->stopping) {
            executor->drop(job);
            continue;
        }
        executor->run(job);
        int code = dpc_queue_put(executor->finished, job);
        assert(code == DPC_OK);
        (void)code;
    }
    return NULL;
}

struct dpc_executor *
dpc_executor_create(unsigned threads, void (*run)(void *job), void (*drop)(void *job))
{
    assert(threads > 0 && threads <= EXECUTOR_THREADS_MAX);
    struct dpc_executor *executor = dpc_alloc(1, sizeof *executor);
    executor->waiting = dpc_queue_create(EXECUTOR_JOBS_MAX, drop);
    executor->finished = dpc_queue_create(EXECUTOR_JOBS_MAX, drop);
    executor->run = run;
    executor->drop = drop;
    /* Signals are the loop's. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&executor->threads[executor->threads_count], NULL, work, executor) == 0)
            executor->threads_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert(executor->threads_count > 0);
    return executor;
}

struct dpc_executor *
dpc_executor_destroy(struct dpc_executor *executor)
{
    if (!executor)
        return NULL;
    executor->stopping = true;
    dpc_queue_close(executor->waiting);
    for (unsigned i = 0; i < executor->threads_count; i++)
        pthread_join(executor->threads[i], NULL);
    dpc_queue_destroy(executor->waiting);
    dpc_queue_destroy(executor->finished);
    return dpc_free(executor);
}

int
dpc_executor_put(struct dpc_executor *executor, void *job)
{
    if (executor->inside == EXECUTOR_JOBS_MAX)
        return DPC_EBUSY;
    int code = dpc_queue_put(executor->waiting, job);
    if (code == DPC_OK)
        executor->inside++;
    return code;
}

void *
dpc_executor_take(struct dpc_executor *executor)
{
    void *job = dpc_queue_take(executor->finished);
    if (job)
        executor->inside--;
    return job;
}

bool
dpc_executor_is_idle(const struct dpc_executor *executor)
{
    return executor->inside == 0;
}

int
dpc_executor_fd(const struct dpc_executor *executor)
{
    return dpc_queue_fd(executor->finished);
}
