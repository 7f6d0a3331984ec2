/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for what is too long for the server's loop: outer steps, clustering, reports, checks of
 * submissions. A job is given in, runs on some thread, and comes back to the loop.
 *
 * Owns: its threads; a job while it is inside. Threads: one loop puts and takes.
 * Limits: EXECUTOR_JOBS_MAX jobs inside. Not here: what jobs do (coordinator/jobs.h).
 */
#ifndef DPC_COORDINATOR_EXECUTOR_H
#define DPC_COORDINATOR_EXECUTOR_H

#include <stdbool.h>

#include "base/error.h"

struct dpc_executor;

/* `run` is called with each job, on one of `threads` threads at a time; `drop` releases jobs that
 * nobody took when the executor is destroyed. */
struct dpc_executor *dpc_executor_create(unsigned threads, void (*run)(void *job),
                                         void (*drop)(void *job));
/* Waits for the jobs that run; those that have not begun are dropped. Takes NULL. */
struct dpc_executor *dpc_executor_destroy(struct dpc_executor *executor);

/* DPC_EBUSY when it is full: the job stays the caller's. */
int dpc_executor_put(struct dpc_executor *executor, void *job) DPC_MUST_CHECK;
/* A finished job, or NULL. */
void *dpc_executor_take(struct dpc_executor *executor);
/* No job inside. */
bool dpc_executor_is_idle(const struct dpc_executor *executor);
/* Readable while a finished job waits. */
int dpc_executor_fd(const struct dpc_executor *executor);

#endif
