/* SPDX-License-Identifier: Apache-2.0
 *
 * The compute thread: takes jobs, runs them one after another in its engine, and gives results back
 * through a queue that the event loop polls. A job ends early, between two steps, when it is
 * cancelled.
 *
 * Owns: the thread, the pool that it computes with and the engine, which it makes anew when a job
 * comes with another experiment or the device has become another one; a card that failed is closed
 * (DPC_EDEVICE). Threads: all calls from the event loop. Limits:
 * DPC_RUNNER_JOBS_MAX jobs waiting.
 */
#ifndef DPC_WORKER_COMPUTE_RUNNER_H
#define DPC_WORKER_COMPUTE_RUNNER_H

#include "worker/compute/device.h"
#include "worker/compute/engine.h"

struct dpc_runner;

enum { DPC_RUNNER_JOBS_MAX = 8 };

struct dpc_job_result {
    int code; /* DPC_OK: `submit` holds, its token set; else `text` says why */
    struct dpc_token token;
    struct dpc_msg_submit submit;
    double tokens_per_s;  /* measured over the whole job */
    const char *fallback; /* an op that the CPU computed in the card's place; NULL: none */
    char text[DPC_ERROR_TEXT_MAX];
};

/* Starts the thread, which computes with `threads` in all, within `memory_bytes` (0: no limit), or
 * on the card that `device` has chosen. Cache, spill (NULL: nothing is kept over a restart) and
 * device (NULL: the processor) must outlive it. */
struct dpc_runner *dpc_runner_start(struct dpc_cache *cache, struct dpc_spill *spill,
                                    struct dpc_device *device, uint32_t threads,
                                    uint64_t memory_bytes);
/* Cancels what runs and waits for the thread: at most one step. */
struct dpc_runner *dpc_runner_stop(struct dpc_runner *runner);

/* Queues a job; the experiment and the lease are copied. DPC_EBUSY. */
int dpc_runner_run(struct dpc_runner *runner, const struct dpc_experiment *experiment,
                   const struct dpc_msg_lease *lease) DPC_MUST_CHECK;
/* All jobs so far end with DPC_ECANCELLED, if they have not ended yet. */
void dpc_runner_cancel(struct dpc_runner *runner);

/* The same at the end of the process, when the lease goes on in the next one: a training job writes
 * its spill first. */
void dpc_runner_suspend(struct dpc_runner *runner);
/* The job that runs, if it trains, ends well at its next step, with fewer of them. */
void dpc_runner_cut(struct dpc_runner *runner);
/* The job that runs, if it trains, writes its spill at its next step. */
void dpc_runner_keep(struct dpc_runner *runner);

/* While it is held no job begins, and the one that runs waits between two steps, its spill written;
 * a cancel or a cut ends the waiting. */
void dpc_runner_hold(struct dpc_runner *runner, bool held);
/* A job waits for that to end, and nothing is computed. */
bool dpc_runner_is_held(struct dpc_runner *runner);

/* No job runs and none waits. */
bool dpc_runner_is_idle(struct dpc_runner *runner);

/* Readable while results wait; dpc_runner_result takes one, to be released with dpc_free, or NULL.
 */
int dpc_runner_fd(const struct dpc_runner *runner);
struct dpc_job_result *dpc_runner_result(struct dpc_runner *runner);

/* Grows while something is computed on the processor, within a step, too. */
uint64_t dpc_runner_life(const struct dpc_runner *runner);
/* Of the job that runs now; 0 when none does. */
uint32_t dpc_runner_steps_done(const struct dpc_runner *runner);
/* Those among them that an earlier process did. */
uint32_t dpc_runner_steps_before(const struct dpc_runner *runner);
double dpc_runner_tokens_per_s(const struct dpc_runner *runner);

#endif
