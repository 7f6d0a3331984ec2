/* SPDX-License-Identifier: Apache-2.0
 * A rest begins between two steps: the job in hand is held, its spill written. It goes on from
 * there when the rest is over, unless the lease cannot wait for that; then it is cut or goes back,
 * as on a cloud's notice, so that somebody else begins. What is being handed in goes on, and the
 * connection stays, so that a restart of the coordinator is noticed; without a lease nothing is
 * said over it. */
#include "worker/loop_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/notify.h"

/* --- Resting. */

enum {
    /* How long a job is held whose lease came without a time: nothing was measured yet. */
    PATIENCE_MS = 5 * 60 * 1000,
    /* For handing in a part, which is no work for the machine. */
    HAND_IN_MS = 10 * 60 * 1000,
};

/* The lease cannot wait for the end of the rest, or has waited for an end that nobody knows. */
static bool
lasts_too_long(const struct dpc_worker *worker)
{
    int64_t slack_ms = dpc_session_slack_ms(worker->session, loop_now());
    if (slack_ms == INT64_MAX)
        slack_ms = worker->rest_since_ms + PATIENCE_MS - loop_now();
    return worker->rest.left_ms == INT64_MAX ? slack_ms <= 0 : worker->rest.left_ms > slack_ms;
}

/* On a machine that a cloud takes back, what was nearly done is held to no good end. */
static void
part_if_need_be(struct dpc_worker *worker)
{
    char reason[DPC_OWNER_TEXT_MAX + 32];
    enum dpc_session_work work = dpc_session_work(worker->session);
    bool leaving = worker->notice_state == DPC_NOTICE_LEAVING;
    if ((work != DPC_WORK_FETCHING && work != DPC_WORK_RUNNING) ||
        !(leaving || lasts_too_long(worker)))
        return;
    (void)snprintf(reason, sizeof reason, "paused: %s", worker->rest.text);
    dpc_session_yield(worker->session, reason, leaving ? DPC_NOTICE_LEAD_MS / 2 : HAND_IN_MS,
                      loop_now(), &worker->actions);
    loop_act_all(worker);
}

static void
change_rest(struct dpc_worker *worker, const struct dpc_owner_verdict *rest)
{
    if (!rest->rests)
        dpc_log_info("the pause is over (%s), going on", worker->rest.text);
    else if (rest->left_ms == INT64_MAX)
        dpc_log_info("paused: %s", rest->text);
    else
        dpc_log_info("paused: %s, for %lld s", rest->text, (long long)rest->left_ms / 1000);
    worker->rest_since_ms = loop_now();
}

static void
hold_or_go_on(struct dpc_worker *worker)
{
    bool held = worker->rest.rests;
    dpc_runner_hold(worker->runner, held);
    dpc_session_hold(worker->session, held, loop_now());
    dpc_session_rest(worker->session, held || worker->used_up, loop_now(), &worker->actions);
    loop_act_all(worker);
}

/* The lease in hand is finished and handed in, whatever it takes: only then were its bytes of use.
 */
static void
watch_month(struct dpc_worker *worker)
{
    bool used_up = dpc_allowance_is_used_up(worker->allowance, loop_now(), dpc_clock_wall_s(),
                                            &worker->used_up_until_s);
    if (used_up != worker->used_up)
        dpc_log_info(used_up ? "no more work is asked for: this month's bytes are used up"
                             : "a new month begins, going on");
    worker->used_up = used_up;
}

static void
save_allowance(struct dpc_worker *worker, bool now)
{
    struct dpc_error err;
    int code = dpc_allowance_save(worker->allowance, loop_now(), now, &err);
    if (code != DPC_OK && !worker->allowance_failed)
        dpc_log_warning("a restart will not know this month's bytes: %s", err.text);
    worker->allowance_failed = code != DPC_OK;
}

void
loop_follow_owner(struct dpc_worker *worker)
{
    struct dpc_owner_verdict rest;
    dpc_owner_look(worker->owner, loop_now(), dpc_clock_wall_s(), &rest);
    if (rest.rests != worker->rest.rests)
        change_rest(worker, &rest);
    worker->rest = rest;
    watch_month(worker);
    save_allowance(worker, false);
    hold_or_go_on(worker);
    if (rest.rests && worker->begun && !worker->stopping)
        part_if_need_be(worker);
}

/* --- Telling. */

/* Why no work is done or asked for; NULL: it is. `*ret_until_s` is 0 where nobody knows the end. */
static const char *
why_paused(const struct dpc_worker *worker, int64_t *ret_until_s)
{
    *ret_until_s = 0;
    if (worker->notice_state != DPC_NOTICE_CALM)
        return "the cloud takes this machine back";
    if (worker->rest.rests && worker->rest.left_ms != INT64_MAX)
        *ret_until_s = dpc_clock_wall_s() + worker->rest.left_ms / 1000;
    if (worker->rest.rests)
        return worker->rest.text;
    if (!dpc_device_is_ready(worker->device))
        return "waiting for a card";
    if (worker->cut_told)
        return "no way for models and results to and from the coordinator (see the log)";
    if (dpc_device_is_yielding(worker->device))
        return "others keep the card busy";
    if (!worker->used_up || dpc_session_lease(worker->session))
        return NULL;
    *ret_until_s = worker->used_up_until_s;
    return "this month's bytes are used up (--month-gib)";
}

static void
show_status(const struct dpc_worker *worker)
{
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    const char *work = dpc_session_work_name(dpc_session_work(worker->session));
    int64_t until_s;
    const char *paused = why_paused(worker, &until_s);
    if (paused)
        dpc_notify_status("paused: %s", paused);
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

static struct dpc_standing_lease
name_lease(const struct dpc_msg_lease *lease)
{
    return (struct dpc_standing_lease){lease->kind, lease->path, lease->round};
}

static void
fill_lease(const struct dpc_worker *worker, struct dpc_standing *standing)
{
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    const struct dpc_msg_lease *other = dpc_session_handing_in(worker->session);
    standing->work = dpc_session_work(worker->session);
    standing->computing =
        !dpc_runner_is_idle(worker->runner) && !dpc_runner_is_held(worker->runner);
    standing->leased = lease != NULL;
    standing->hands_in = other && other != lease;
    if (standing->hands_in)
        standing->handing_in = name_lease(other);
    if (!lease)
        return;
    standing->lease = name_lease(lease);
    standing->units = dpc_session_units(lease);
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
fill_mirror(const struct dpc_worker *worker, struct dpc_standing *standing)
{
    if (!worker->mirror)
        return;
    (void)snprintf(standing->mirror, sizeof standing->mirror, "%s", worker->mirror_url);
    standing->mirror_paused = dpc_mirror_is_paused(worker->mirror, loop_now());
    standing->pace.mirror_bytes = dpc_mirror_bytes(worker->mirror);
}

static void
fill_standing(struct dpc_worker *worker, struct dpc_standing *standing)
{
    memset(standing, 0, sizeof *standing);
    const char *paused = why_paused(worker, &standing->paused_until_s);
    (void)snprintf(standing->name, sizeof standing->name, "%s", worker->options->name);
    (void)snprintf(standing->endpoint, sizeof standing->endpoint, "%s", worker->options->endpoint);
    (void)snprintf(standing->paused, sizeof standing->paused, "%s", paused ? paused : "");
    /* What is left and the wall clock are read one after the other: their sum is not still. */
    if (llabs(standing->paused_until_s - worker->paused_until_s) < 60)
        standing->paused_until_s = worker->paused_until_s;
    worker->paused_until_s = standing->paused_until_s;
    standing->started_s = worker->started_s;
    standing->connected = worker->contact;
    standing->contact_s = worker->contact_s;
    standing->cache_limit = worker->options->cache_bytes;
    standing->pace.bytes = dpc_allowance_count(worker->allowance, loop_now(), dpc_clock_wall_s());
    standing->month_limit = worker->options->allowance.month_gib * DPC_GIB;
    standing->pace.cache_bytes = dpc_cache_bytes(worker->cache);
    standing->counts = *dpc_session_counts(worker->session);
    fill_lease(worker, standing);
    fill_device(worker, standing);
    fill_mirror(worker, standing);
}

static void
write_standing(struct dpc_worker *worker, int64_t ended_s)
{
    struct dpc_standing standing;
    struct dpc_error err = {0};
    fill_standing(worker, &standing);
    standing.ended_s = ended_s;
    int code =
        dpc_standing_write(worker->standing, &standing, loop_now(), dpc_clock_wall_s(), &err);
    if (code != DPC_OK && !worker->standing_failed)
        dpc_log_warning("--status will tell old figures: %s", err.text);
    worker->standing_failed = code != DPC_OK;
}

static void
note_contact(struct dpc_worker *worker, bool contact)
{
    if (contact != worker->contact)
        worker->contact_s = dpc_clock_wall_s();
    worker->contact = contact;
}

void
loop_show(struct dpc_worker *worker)
{
    note_contact(worker, worker->begun && dpc_session_joined(worker->session));
    show_status(worker);
    write_standing(worker, 0);
}

/* --- Life. */

void
loop_owner_begin(struct dpc_worker *worker)
{
    struct dpc_error err = {0};
    worker->started_s = worker->contact_s = dpc_clock_wall_s();
    worker->standing = dpc_standing_open(&dpc_vfs_posix, worker->options->folder, &err);
    if (err.code != DPC_OK)
        dpc_log_warning("what came of leases is counted from zero: %s", err.text);
    err.code = DPC_OK;
    worker->allowance = dpc_allowance_open(&dpc_vfs_posix, worker->options->folder,
                                           &worker->options->allowance, &err);
    if (err.code != DPC_OK)
        dpc_log_warning("this month's bytes are counted from zero: %s", err.text);
}

void
loop_owner_end(struct dpc_worker *worker)
{
    save_allowance(worker, true);
    note_contact(worker, false);
    write_standing(worker, dpc_clock_wall_s());
    worker->standing = dpc_standing_close(worker->standing);
}
