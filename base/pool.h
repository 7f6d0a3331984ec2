/* SPDX-License-Identifier: Apache-2.0
 *
 * A pool of threads for loops whose turns do not depend on each other. All arithmetic of a process
 * that is worth more than one thread goes through one pool: two pools fight over the cores.
 *
 * Waiting threads sleep. On a machine that somebody else uses as well, a spinning thread takes the
 * core from the one that it waits for.
 *
 * Owns: its threads. Threads: one caller at a time; the caller works too. Limits:
 * DPC_POOL_THREADS_MAX. Not here: what gives the same bits with any number of threads (callers make
 * units that do not depend on it).
 */
#ifndef DPC_BASE_POOL_H
#define DPC_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

struct dpc_pool;

/* One turn of the loop. `thread` is below dpc_pool_threads() and belongs to this call alone until
 * it returns: an index of scratch. */
typedef void (*dpc_pool_unit)(void *context, size_t unit, uint32_t thread);

/* `threads` with the caller, at least 1. Fewer when the system gives no more, and never more than
 * DPC_POOL_THREADS_MAX. */
struct dpc_pool *dpc_pool_create(uint32_t threads);
/* Takes NULL and returns NULL. */
struct dpc_pool *dpc_pool_destroy(struct dpc_pool *pool);

/* 1 for NULL. */
uint32_t dpc_pool_threads(const struct dpc_pool *pool);

/* Loops begun so far, for any thread to see that its caller goes on. */
uint64_t dpc_pool_loops(const struct dpc_pool *pool);

/* Calls run(context, unit, thread) once for each unit below `units`, handed out in rising order,
 * and returns when all have returned. NULL: in the calling thread. */
void dpc_pool_run(struct dpc_pool *pool, dpc_pool_unit run, void *context, size_t units);

#endif
