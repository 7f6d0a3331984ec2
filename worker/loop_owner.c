/* SPDX-License-Identifier: Apache-2.0
 * How the worker stands: one line for the service manager, a file for the owner of the machine. */
#include "worker/loop_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/notify.h"

static int64_t
wall_s(void)
{
    return dpc_clock_now_ms(&dpc_clock_wall) / 1000;
}

/* --- Telling. */

/* Why no work is done or asked for; NULL: it is. */
static const char *
why_paused(const struct dpc_worker *worker)
{
    if (worker->notice_state != DPC_NOTICE_CALM)
        return "leaving: the cloud takes this machine back";
    if (!dpc_device_is_ready(worker->device))
        return "waiting for a card";
    if (dpc_device_is_yielding(worker->device))
        return "paused: others keep the card busy";
    return NULL;
}

static void
show_status(const struct dpc_worker *worker)
{
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    const char *work = dpc_session_work_name(dpc_session_work(worker->session));
    const char *paused = why_paused(worker);
    if (paused)
        dpc_notify_status("%s", paused);
    else if (!dpc_session_joined(worker->session))
        dpc_notify_status("no contact with %s, %s", worker->options->endpoint, work);
    else if (!lease)
        dpc_notify_status("%s", work);
    else
        dpc_notify_status("%s: %s path %u, round %u, %u done, %.0f tokens/s", work,
                          dpc_task_name(lease->kind), lease->path, lease->round,
                          dpc_runner_steps_done(worker->runner),
                          dpc_runner_tokens_per_s(worker->runner));
}

static void
fill_lease(const struct dpc_worker *worker, struct dpc_standing *standing)
{
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    standing->work = dpc_session_work(worker->session);
    standing->leased = lease != NULL;
    if (!lease)
        return;
    standing->kind = lease->kind;
    standing->path = lease->path;
    standing->round = lease->round;
    standing->units = lease->kind == DPC_TASK_TRAIN ? lease->steps_count : lease->to - lease->from;
    standing->pace.steps_done = dpc_runner_steps_done(worker->runner);
    standing->pace.tokens_per_s = dpc_runner_tokens_per_s(worker->runner);
}

static void
fill_device(const struct dpc_worker *worker, struct dpc_standing *standing)
{
    const struct dpc_card_info *card = dpc_device_info(worker->device);
    if (card)
        (void)snprintf(standing->device, sizeof standing->device, "%s", card->name);
    else if (dpc_device_is_ready(worker->device))
        (void)snprintf(standing->device, sizeof standing->device, "the processor, %u threads",
                       worker->options->threads);
    else
        (void)snprintf(standing->device, sizeof standing->device, "none");
}

static void
fill_standing(struct dpc_worker *worker, struct dpc_standing *standing)
{
    const char *paused = why_paused(worker);
    memset(standing, 0, sizeof *standing);
    (void)snprintf(standing->name, sizeof standing->name, "%s", worker->options->name);
    (void)snprintf(standing->endpoint, sizeof standing->endpoint, "%s", worker->options->endpoint);
    (void)snprintf(standing->paused, sizeof standing->paused, "%s", paused ? paused : "");
    standing->started_s = worker->started_s;
    standing->connected = worker->contact;
    standing->contact_s = worker->contact_s;
    standing->cache_limit = worker->options->cache_bytes;
    standing->pace.cache_bytes = dpc_cache_bytes(worker->cache);
    standing->counts = *dpc_session_counts(worker->session);
    fill_lease(worker, standing);
    fill_device(worker, standing);
}

static void
write_standing(struct dpc_worker *worker, int64_t ended_s)
{
    struct dpc_standing standing;
    struct dpc_error err = {0};
    fill_standing(worker, &standing);
    standing.ended_s = ended_s;
    int code = dpc_standing_write(worker->standing, &standing, loop_now(), wall_s(), &err);
    if (code != DPC_OK && !worker->standing_failed)
        dpc_log_warning("--status will tell old figures: %s", err.text);
    worker->standing_failed = code != DPC_OK;
}

void
loop_show(struct dpc_worker *worker)
{
    bool contact = worker->begun && dpc_session_joined(worker->session);
    if (contact != worker->contact)
        worker->contact_s = wall_s();
    worker->contact = contact;
    show_status(worker);
    write_standing(worker, 0);
}

/* --- Life. */

void
loop_owner_begin(struct dpc_worker *worker)
{
    struct dpc_error err = {0};
    worker->started_s = worker->contact_s = wall_s();
    worker->standing = dpc_standing_open(&dpc_vfs_posix, worker->options->folder, &err);
    if (err.code != DPC_OK)
        dpc_log_warning("what came of leases is counted from zero: %s", err.text);
}

void
loop_owner_end(struct dpc_worker *worker)
{
    if (worker->standing)
        write_standing(worker, wall_s());
    worker->standing = dpc_standing_close(worker->standing);
}
