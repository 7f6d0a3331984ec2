/* SPDX-License-Identifier: Apache-2.0
 * A loop is open from its announcement under the lock until the caller finds no unit left. Threads
 * that wake while it is open enter it and take units from an atomic counter; the caller returns
 * when those that entered have left. Who wakes too late never enters: a core that somebody else
 * keeps busy delays nobody. */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/limits.h"

struct dpc_pool {
    pthread_mutex_t lock;
    pthread_cond_t begun, ended;
    pthread_t *handles; /* [threads - 1] */
    uint32_t threads;
    uint64_t turn;    /* number of the loop */
    bool open;        /* it may be entered */
    uint32_t working; /* threads that have entered and not left it, without the caller */
    bool stopped;
    dpc_pool_unit run;
    void *context;
    size_t units;
    atomic_size_t next;
    _Atomic uint64_t loops;
};

struct start {
    struct dpc_pool *pool;
    uint32_t thread;
};

static void
take_units(struct dpc_pool *pool, uint32_t thread)
{
    size_t unit;
    while ((unit = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->units)
        pool->run(pool->context, unit, thread);
}

/* Enters the next loop and returns its number; 0 when the pool stops. */
static uint64_t
enter(struct dpc_pool *pool, uint64_t last)
{
    uint64_t turn = 0;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopped && (!pool->open || pool->turn == last))
        pthread_cond_wait(&pool->begun, &pool->lock);
    if (!pool->stopped) {
        turn = pool->turn;
        pool->working++;
    }
    pthread_mutex_unlock(&pool->lock);
    return turn;
}

static void
leave(struct dpc_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (--pool->working == 0)
        pthread_cond_signal(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
}

static void *
work(void *argument)
{
    struct start start = *(struct start *)argument;
    struct dpc_pool *pool = start.pool;
    uint64_t turn = 0;
    dpc_free(argument);
    while ((turn = enter(pool, turn)) != 0) {
        take_units(pool, start.thread);
        leave(pool);
    }
    return NULL;
}

struct dpc_pool *
dpc_pool_create(uint32_t threads)
{
    assert(threads >= 1);
    if (threads > DPC_POOL_THREADS_MAX)
        threads = DPC_POOL_THREADS_MAX;
    struct dpc_pool *pool = dpc_alloc(1, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begun, NULL);
    pthread_cond_init(&pool->ended, NULL);
    pool->handles = dpc_alloc(threads, sizeof *pool->handles);
    pool->threads = 1;
    while (pool->threads < threads) {
        struct start *start = dpc_alloc(1, sizeof *start);
        *start = (struct start){.pool = pool, .thread = pool->threads};
        if (pthread_create(&pool->handles[pool->threads - 1], NULL, work, start) != 0) {
            dpc_free(start);
            break;
        }
        pool->threads++;
    }
    return pool;
}

struct dpc_pool *
dpc_pool_destroy(struct dpc_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->stopped = true;
    pthread_cond_broadcast(&pool->begun);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i + 1 < pool->threads; i++)
        pthread_join(pool->handles[i], NULL);
    pthread_cond_destroy(&pool->ended);
    pthread_cond_destroy(&pool->begun);
    pthread_mutex_destroy(&pool->lock);
    dpc_free(pool->handles);
    return dpc_free(pool);
}

uint32_t
dpc_pool_threads(const struct dpc_pool *pool)
{
    return pool ? pool->threads : 1;
}

uint64_t
dpc_pool_loops(const struct dpc_pool *pool)
{
    return atomic_load_explicit(&pool->loops, memory_order_relaxed);
}

void
dpc_pool_run(struct dpc_pool *pool, dpc_pool_unit run, void *context, size_t units)
{
    if (pool)
        atomic_fetch_add_explicit(&pool->loops, 1, memory_order_relaxed);
    if (dpc_pool_threads(pool) == 1 || units <= 1) {
        for (size_t unit = 0; unit < units; unit++)
            run(context, unit, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->run = run;
    pool->context = context;
    pool->units = units;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->turn++;
    pool->open = true;
    pthread_cond_broadcast(&pool->begun);
    pthread_mutex_unlock(&pool->lock);
    take_units(pool, 0);
    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    while (pool->working > 0)
        pthread_cond_wait(&pool->ended, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
