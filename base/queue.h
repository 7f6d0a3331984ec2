/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded queue of pointers between two threads, with a file descriptor that an event loop polls.
 *
 * Owns: its slots, never what the pointers point at (what is left at _destroy goes to `drop`).
 * Threads: any number may put and take. Limits: `capacity` items, then a put answers DPC_EBUSY.
 */
#ifndef DPC_BASE_QUEUE_H
#define DPC_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dpc_queue;

/* `drop` (may be NULL) releases items that nobody took. */
struct dpc_queue *dpc_queue_create(size_t capacity, void (*drop)(void *item));
struct dpc_queue *dpc_queue_destroy(struct dpc_queue *queue);

/* Readable while the queue holds items. Poll it, never read it. */
int dpc_queue_fd(const struct dpc_queue *queue);

/* DPC_OK, DPC_EBUSY when full, DPC_ECLOSED after _close: the item stays the caller's. */
int dpc_queue_put(struct dpc_queue *queue, void *item) DPC_MUST_CHECK;

/* The oldest item, or NULL when there is none. Never blocks. */
void *dpc_queue_take(struct dpc_queue *queue);

/* The oldest item; waits for one. NULL after _close, once the queue is empty. */
void *dpc_queue_wait(struct dpc_queue *queue);

/* No more puts; wakes all who wait. */
void dpc_queue_close(struct dpc_queue *queue);

#endif
