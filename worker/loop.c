/* SPDX-License-Identifier: Apache-2.0
 * One turn: wait, give the session what came, carry out its actions, move transfers on, let time
 * pass. `act` may not call the session: what an action brings about (a transfer that is done at
 * once, say) is found by the next turn. */
#include "worker/loop_parts.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/exit.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/topology.h"
#include "modules/compute.h"
#include "worker/compute/versions.h"

enum {
    CONNECT_MS = 50,
    PROGRESS_MS = 1000,
    ALONE_AGAIN_MS = 10 * 60 * 1000, /* as ALONE_MS, before it is told once more */
    RUNNER_END_MS = 3000,            /* for a step that is under way when the worker ends */
};

static int64_t
now(void)
{
    return loop_now();
}

/* --- Joining. */

static void
allow_parts(struct dpc_worker *worker)
{
    const struct dpc_experiment *experiment = &worker->experiment;
    struct dpc_topology topology;
    struct dpc_session_parts parts = {
        .allowed = experiment->mode == DPC_MODE_ELASTIC,
        .ship_state = experiment->transfer.path_state == DPC_STATE_SHIP,
        .keep_state = experiment->transfer.path_state == DPC_STATE_LOCAL,
        .upload = experiment->transfer.upload,
        .moments = experiment->transfer.moments,
        .dense_path = UINT32_MAX,
    };
    /* One that does not fit is told by the first lease. */
    if (dpc_topology_init(&topology, experiment, NULL) == DPC_OK) {
        parts.dense_path = dpc_topology_dense_path(&topology);
        dpc_topology_done(&topology);
    }
    dpc_session_allow_parts(worker->session, &parts);
}

/* Reads the experiment of a welcome, unless it is the one that is known. */
static int
take_experiment(struct dpc_worker *worker, const char *yaml, struct dpc_error *err)
{
    struct dpc_experiment experiment;
    if (worker->experiment_yaml && strcmp(worker->experiment_yaml, yaml) == 0)
        return DPC_OK;
    memset(&experiment, 0, sizeof experiment);
    int code =
        dpc_experiment_parse("the coordinator's experiment", yaml, strlen(yaml), &experiment, err);
    if (code != DPC_OK)
        return code;
    memcpy(&worker->experiment, &experiment, sizeof experiment);
    dpc_free(worker->experiment_yaml);
    worker->experiment_yaml = dpc_strdup(yaml);
    allow_parts(worker);
    return DPC_OK;
}

static void
join(struct dpc_worker *worker, const struct dpc_session_action *action)
{
    struct dpc_error err = {0};
    int code = take_experiment(worker, action->join.experiment, &err);
    if (code == DPC_ENOMEM) { /* which says nothing of the experiment: the next process tries */
        dpc_log_error("could not join: %s", err.text);
        worker->stop_status = DPC_EXIT_FAILED;
        return;
    }
    if (code != DPC_OK) {
        dpc_log_error("could not join: %s; install the coordinator's release here", err.text);
        worker->stop_status = DPC_EXIT_REFUSED;
        return;
    }
    if (loop_connect_bulk(worker, action->join.bulk_endpoint, &err) != DPC_OK) {
        dpc_log_error("could not join: %s", err.text);
        worker->stop_status = DPC_EXIT_FAILED;
        return;
    }
    dpc_log_info("session stands experiment=%s bulk=%s", worker->experiment.name,
                 worker->bulk_endpoint);
    loop_choose_mirror(worker, action->join.mirror);
    if (!worker->ready)
        dpc_notify_ready();
    worker->ready = true;
}

/* --- Carrying out actions. */

static void
drop_lease(struct dpc_worker *worker)
{
    dpc_runner_cancel(worker->runner);
    dpc_spill_remove(worker->spill);
    loop_forget_blobs(worker, &worker->down);
    dpc_cache_unpin(worker->cache, DPC_CACHE_LEASE);
}

/* No job runs, and none is queued: its result is what brought this about. */
static void
pass_lease(struct dpc_worker *worker, const struct dpc_session_blobs *results)
{
    dpc_cache_pin(worker->cache, DPC_CACHE_HANDING_IN, results->refs, results->count);
    dpc_cache_unpin(worker->cache, DPC_CACHE_LEASE);
    dpc_spill_pass(worker->spill);
}

static void
drop_passed(struct dpc_worker *worker)
{
    dpc_spill_remove_passed(worker->spill);
    loop_forget_blobs(worker, &worker->up);
    dpc_cache_unpin(worker->cache, DPC_CACHE_HANDING_IN);
}

static void
start_job(struct dpc_worker *worker, const struct dpc_msg_lease *lease)
{
    worker->steps_seen = 0;
    if (dpc_runner_run(worker->runner, &worker->experiment, lease) == DPC_OK)
        return;
    /* Eight cancelled jobs that have not ended: something is very slow. The session tries later. */
    worker->unstarted = lease->token;
}

static void
act(struct dpc_worker *worker, const struct dpc_session_action *action)
{
    switch (action->type) {
    case DPC_SESSION_SEND: {
        /* What cannot leave now is repeated in its time. */
        int code = dpc_link_send(worker->control, &action->msg);
        dpc_log_debug("sent type=%s code=%d", dpc_msg_name(action->msg.type), code);
        break;
    }
    case DPC_SESSION_JOIN:
        join(worker, action);
        break;
    case DPC_SESSION_FETCH: {
        struct dpc_session_blobs blobs = action->blobs;
        const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
        if (lease)
            dpc_versions_choose(worker->cache, lease, &blobs);
        loop_fetch_blobs(worker, &blobs);
        break;
    }
    case DPC_SESSION_PASS:
        pass_lease(worker, &action->blobs);
        break;
    case DPC_SESSION_UPLOAD:
        loop_upload_blobs(worker, &action->blobs);
        break;
    case DPC_SESSION_START:
        start_job(worker, &action->lease);
        break;
    case DPC_SESSION_CUT:
        dpc_runner_cut(worker->runner);
        break;
    case DPC_SESSION_DROP:
        drop_lease(worker);
        break;
    case DPC_SESSION_DROP_PASSED:
        drop_passed(worker);
        break;
    case DPC_SESSION_LOG:
        dpc_log(action->log.level, "%s", action->log.text);
        break;
    case DPC_SESSION_REFUSED:
        /* Another device may be of the class that is wanted: watch_device says hello with it. */
        if (!dpc_device_refuse(worker->device))
            worker->status = DPC_EXIT_REFUSED;
        break;
    case DPC_SESSION_EXIT:
        worker->status = action->status;
        break;
    }
}

void
loop_act_all(struct dpc_worker *worker)
{
    for (uint32_t i = 0; i < worker->actions.count && worker->status == STATUS_RUNNING; i++)
        act(worker, &worker->actions.items[i]);
    worker->actions.count = 0;
    if (worker->stop_status == STATUS_RUNNING || worker->status != STATUS_RUNNING)
        return;
    int status = worker->stop_status;
    worker->stop_status = STATUS_RUNNING;
    dpc_session_stop(worker->session, status, now(), &worker->actions);
    loop_act_all(worker);
}

/* --- What comes in. */

void
loop_report_garbage(struct dpc_worker *worker, const char *channel, const struct dpc_error *err)
{
    uint32_t dropped;
    if (dpc_log_allowed(&worker->garbage, now(), &dropped))
        dpc_log_warning("a message was dropped channel=%s reason=\"%s\" not_logged=%u", channel,
                        err->text, dropped);
}

static void
receive_control(struct dpc_worker *worker)
{
    for (int i = 0; i < MESSAGES_PER_TURN && worker->status == STATUS_RUNNING; i++) {
        struct dpc_error err = {0};
        struct dpc_msg msg;
        int code = dpc_link_receive(worker->control, &msg, &err);
        if (code == DPC_EAGAIN)
            return;
        if (code != DPC_OK) {
            loop_report_garbage(worker, "control", &err);
            continue;
        }
        dpc_session_message(worker->session, &msg, now(), &worker->actions);
        loop_act_all(worker);
    }
}

/* A second Ctrl-C means now. SIGTERM is said as often as one likes: whoever supervises this worker
 * may send it beside the terminal's own signal. */
static void
take_signals(struct dpc_worker *worker)
{
    int number;
    while ((number = dpc_signals_take()) != 0) {
        worker->interrupts += number == SIGINT;
        if (worker->stopping && !(number == SIGINT && worker->interrupts > 1))
            continue;
        dpc_log_info("stopping signal=%d work=%s", number,
                     dpc_session_work_name(dpc_session_work(worker->session)));
        dpc_notify_stopping();
        worker->stopping = true;
        if (worker->options->keep_lease)
            dpc_session_suspend(worker->session, 0, now(), &worker->actions);
        else
            dpc_session_stop(worker->session, 0, now(), &worker->actions);
        loop_act_all(worker);
    }
}

static void
take_results(struct dpc_worker *worker)
{
    struct dpc_job_result *result;
    while ((result = dpc_runner_result(worker->runner)) != NULL) {
        if (result->fallback && !worker->fallback_told)
            dpc_log_warning("the card lacks a kernel, which the processor computes slowly op=%s",
                            result->fallback);
        worker->fallback_told = worker->fallback_told || result->fallback;
        if (result->code == DPC_OK) {
            dpc_session_finished(worker->session, &result->submit, result->tokens_per_s, now(),
                                 &worker->actions);
            loop_act_all(worker);
        } else if (result->code != DPC_ECANCELLED) {
            dpc_session_failed(worker->session, result->token, result->code, result->text, now(),
                               &worker->actions);
            loop_act_all(worker);
        }
        dpc_free(result);
    }
}

/* --- Beginning. */

typedef int (*load_fn)(struct dpc_spill *spill, struct dpc_spill_record *ret_record,
                       struct dpc_error *err);

/* A lease that the last process left behind, unless it was another kind of process. What is there
 * of it is taken up; 0: nothing. */
static enum dpc_spill_stage
restore_lease(struct dpc_worker *worker, load_fn load)
{
    struct dpc_spill_record record;
    struct dpc_error err = {0};
    int code = load(worker->spill, &record, &err);
    if (code == DPC_ENOTFOUND)
        return 0;
    if (code == DPC_EFILES || code == DPC_ENOMEM) { /* the next process may be better off */
        dpc_log_error("the last run's lease cannot be taken up now: %s", err.text);
        worker->status = DPC_EXIT_FAILED;
        return 0;
    }
    if (code != DPC_OK) {
        dpc_log_warning("the last run's lease is given up: %s", err.text);
        return 0;
    }
    bool finished = record.stage == DPC_SPILL_FINISHED;
    dpc_log_info("the last run's lease is taken up path=%u round=%u %s=%u", record.lease.path,
                 record.lease.round, finished ? "finished" : "steps_done",
                 finished ? 1 : record.steps_done);
    dpc_session_restore(worker->session, &record.lease, record.steps_done,
                        finished ? &record.submit : NULL);
    return record.stage;
}

/* Of two results the second one waits for the first, in its file. */
static void
restore_leases(struct dpc_worker *worker)
{
    enum dpc_spill_stage passed = restore_lease(worker, dpc_spill_load_passed);
    if (worker->status == STATUS_RUNNING &&
        restore_lease(worker, dpc_spill_load) == DPC_SPILL_FINISHED && !passed)
        dpc_spill_pass(worker->spill);
}

void
loop_begin_session(struct dpc_worker *worker)
{
    worker->begun = true;
    dpc_log_info("worker begins name=%s connect=%s numeric_class=%s threads=%" PRIu32
                 " memory_mib=%" PRIu64,
                 worker->options->name, worker->options->endpoint, worker->numeric_class,
                 worker->options->threads, worker->options->memory_bytes / DPC_MIB);
    restore_leases(worker);
    if (worker->status != STATUS_RUNNING)
        return;
    /* A connection that stands already is none that comes: one hello is enough for it. */
    worker->epoch = dpc_link_epoch(worker->control);
    dpc_session_start(worker->session, now(), &worker->actions);
    loop_act_all(worker);
}

/* --- A cloud that takes this machine back. */

/* Half of what is left of this machine's time is for handing in. */
static void
leave_in_time(struct dpc_worker *worker, const char *text)
{
    if (dpc_session_ends_within(worker->session, DPC_NOTICE_LEAD_MS / 2, now())) {
        dpc_runner_keep(worker->runner);
        return;
    }
    dpc_session_yield(worker->session, text, DPC_NOTICE_LEAD_MS, now(), &worker->actions);
    loop_act_all(worker);
}

static void
follow_notice(struct dpc_worker *worker)
{
    char text[DPC_NOTICE_TEXT_MAX];
    enum dpc_notice_state state = dpc_notice_take(worker->notice, text);
    if (state == worker->notice_state || worker->stopping)
        return;
    worker->notice_state = state;
    if (state == DPC_NOTICE_CALM)
        dpc_log_info("the cloud's notice was withdrawn, going on");
    else
        dpc_log_warning("no work is asked for any more: %s", text);
    if (worker->begun)
        loop_pause_or_go_on(worker);
    if (state == DPC_NOTICE_LEAVING)
        leave_in_time(worker, text);
}

/* --- Turns. */

/* Tells the session of a new connection, and people of one that will not come by itself. */
static void
watch_link(struct dpc_worker *worker)
{
    enum dpc_link_state state = dpc_link_state(worker->control);
    uint64_t epoch = dpc_link_epoch(worker->control);
    if (state != worker->link_state && state == DPC_LINK_REFUSED)
        dpc_log_warning("the coordinator does not know this worker's key: ask its operator for a "
                        "join string, or give them the .pub file beside the key; trying on");
    if (state != worker->link_state && state == DPC_LINK_MISMATCH)
        dpc_log_warning("what answers at %s breaks off, or is not the coordinator whose key this "
                        "worker has; trying on",
                        worker->options->endpoint);
    worker->link_state = state;
    if (epoch == worker->epoch)
        return;
    worker->epoch = epoch;
    dpc_session_connected(worker->session, now(), &worker->actions);
    loop_act_all(worker);
}

static void
fail_unstarted(struct dpc_worker *worker)
{
    struct dpc_token token = worker->unstarted;
    if (token.serial == 0 && token.incarnation == 0)
        return;
    worker->unstarted = (struct dpc_token){0};
    dpc_session_failed(worker->session, token, DPC_EBUSY, "the compute thread is busy", now(),
                       &worker->actions);
    loop_act_all(worker);
}

static void
note_progress(struct dpc_worker *worker)
{
    if (dpc_session_work(worker->session) == DPC_WORK_RUNNING)
        dpc_session_progress(worker->session, dpc_runner_steps_done(worker->runner),
                             dpc_runner_tokens_per_s(worker->runner));
}

static void
note_yielding(struct dpc_worker *worker)
{
    bool yielding = dpc_device_is_yielding(worker->device);
    if (yielding != worker->yielding)
        dpc_log_info(yielding ? "paused: others keep the card busy"
                              : "the card is quiet, going on");
    worker->yielding = yielding;
}

/* A name that is wrong, a closed port or a coordinator that is away look the same from here. */
static void
warn_if_alone(struct dpc_worker *worker)
{
    if (!worker->begun || worker->link_state != DPC_LINK_CONNECTING) {
        worker->alone_told_ms = 0;
        return;
    }
    if (worker->alone_told_ms == 0)
        worker->alone_told_ms = now() + ALONE_MS;
    if (now() < worker->alone_told_ms)
        return;
    dpc_log_warning("no contact with the coordinator at %s: is the name right, does it run, and "
                    "does a firewall let both of its ports through? Trying on",
                    worker->options->endpoint);
    worker->alone_told_ms = now() + ALONE_AGAIN_MS;
}

/* Tells the service manager. A job on which nothing is computed lets the watchdog bite, and a card
 * that ends no step; a step of many minutes on the processor, and waiting for the coordinator or
 * for others on the card, do not. */
static void
show_progress(struct dpc_worker *worker)
{
    uint32_t steps = dpc_runner_steps_done(worker->runner);
    uint64_t life = dpc_runner_life(worker->runner);
    if (now() < worker->progress_at_ms)
        return;
    worker->progress_at_ms = now() + PROGRESS_MS;
    loop_follow_owner(worker);
    note_yielding(worker);
    warn_if_alone(worker);
    loop_watch_bulk(worker);
    if (dpc_session_work(worker->session) != DPC_WORK_RUNNING || steps != worker->steps_seen ||
        life != worker->life_seen || worker->yielding || worker->rest.rests)
        dpc_notify_alive();
    worker->steps_seen = steps;
    worker->life_seen = life;
    loop_show(worker);
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
turn_ms(const struct dpc_worker *worker)
{
    int64_t wait_ms = least(dpc_session_wait_ms(worker->session, now()), PROGRESS_MS);
    wait_ms = least(wait_ms, loop_transfer_wait_ms(worker));
    if (worker->unstarted.serial)
        wait_ms = 0;
    if (!dpc_session_joined(worker->session) && dpc_device_is_ready(worker->device))
        wait_ms = least(wait_ms, CONNECT_MS); /* a new connection does not wake the poll */
    return wait_ms;
}

/* After a sync that failed every lease would come to nothing here, one after another. */
static void
stop_if_disk_failed(struct dpc_worker *worker)
{
    if (worker->disk_failed ||
        (!dpc_cache_is_broken(worker->cache) && !dpc_spill_is_broken(worker->spill)))
        return;
    worker->disk_failed = true;
    dpc_log_error("what was written to \"%s\" did not stay there: check that its disk is sound and "
                  "that nobody removes its folders, and start again",
                  worker->options->folder);
    worker->stop_status = DPC_EXIT_FAILED;
    loop_act_all(worker);
}

static void
turn(struct dpc_worker *worker)
{
    struct dpc_poll_item items[] = {
        {.link = worker->control, .fd = -1},
        {.fd = dpc_runner_fd(worker->runner)},
        {.fd = worker->signal_fd},
        {.fd = worker->notice ? dpc_notice_fd(worker->notice) : worker->signal_fd},
        {.fd = worker->mirror ? dpc_mirror_fd(worker->mirror) : worker->signal_fd},
        {.link = worker->bulk, .fd = -1},
    };
    size_t count = worker->bulk ? 6 : 5;
    int code = dpc_channel_poll(items, count, turn_ms(worker));
    if (code != DPC_OK && code != DPC_EAGAIN) {
        dpc_log_error("could not wait for messages: %s", dpc_error_words(code));
        worker->status = 1;
        return;
    }
    note_progress(worker);
    if (items[2].readable)
        take_signals(worker);
    if (worker->notice && items[3].readable)
        follow_notice(worker);
    if (count == 6 && items[5].readable)
        loop_receive_bulk(worker);
    if (items[0].readable)
        receive_control(worker);
    if (items[1].readable)
        take_results(worker);
    watch_link(worker);
    loop_follow_transfers(worker);
    fail_unstarted(worker);
    stop_if_disk_failed(worker);
    loop_watch_device(worker);
    show_progress(worker);
    if (worker->status == STATUS_RUNNING && dpc_session_wait_ms(worker->session, now()) == 0) {
        dpc_session_tick(worker->session, now(), &worker->actions);
        loop_act_all(worker);
    }
}

/* The job that runs ends at its next step; wait for that, but not for ever. One whose lease was not
 * given back (no contact, or its owner wants it so) is for the next process. */
static void
await_runner(struct dpc_worker *worker)
{
    bool goes_on = dpc_session_work(worker->session) == DPC_WORK_RUNNING;
    int64_t until_ms = now() + (goes_on ? DPC_SESSION_STOP_MS : RUNNER_END_MS);
    if (goes_on)
        dpc_runner_suspend(worker->runner);
    else
        dpc_runner_cancel(worker->runner);
    while (!dpc_runner_is_idle(worker->runner) && now() < until_ms) {
        struct dpc_poll_item item = {.fd = dpc_runner_fd(worker->runner)};
        int code = dpc_channel_poll(&item, 1, until_ms - now());
        if (code == DPC_OK)
            dpc_free(dpc_runner_result(worker->runner));
    }
}

bool
dpc_worker_is_idle(struct dpc_worker *worker)
{
    return dpc_runner_is_idle(worker->runner);
}

int
dpc_worker_run(struct dpc_worker *worker)
{
    if (dpc_compute_is_blocked())
        dpc_log_warning("oneDNN may not run the code that it makes, as under "
                        "MemoryDenyWriteExecute: computing in fp32 through OpenBLAS");
    worker->notice = dpc_notice_start(&worker->options->notice);
    if (worker->notice)
        dpc_log_info("notices are watched for cloud=%s",
                     dpc_cloud_name(dpc_notice_cloud(worker->notice)));
    dpc_notify_status("looking for %s", worker->options->endpoint);
    loop_owner_begin(worker);
    loop_follow_owner(worker);
    loop_watch_device(worker);
    while (worker->status == STATUS_RUNNING)
        turn(worker);
    await_runner(worker);
    loop_owner_end(worker);
    dpc_log_info("worker ends status=%d", worker->status);
    return worker->status;
}

/* --- Life. */

static void
make_session(struct dpc_worker *worker)
{
    struct dpc_session_options options = {
        .name = worker->options->name,
        .build = PACKAGE_VERSION,
        .numeric_class = worker->numeric_class,
        .up_bytes_per_s_max = worker->options->allowance.up_kib_s * 1024,
    };
    dpc_random_bytes(&options.seed, sizeof options.seed);
    worker->session = dpc_session_create(&options);
}

/* Whoever started this worker may have chosen that a terminal which closes ends nothing (nohup). */
static int
catch_signals(struct dpc_worker *worker, struct dpc_error *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction hangup;
    bool ignored = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    return dpc_signals_open(signals, ignored ? 2 : 3, &worker->signal_fd, err);
}

int
dpc_worker_create(const struct dpc_worker_options *options, struct dpc_worker **ret_worker,
                  struct dpc_error *err)
{
    struct dpc_worker *worker = dpc_alloc(1, sizeof *worker);
    char folder[DPC_PATH_MAX];
    worker->options = options;
    worker->status = worker->stop_status = STATUS_RUNNING;
    worker->signal_fd = -1;
    worker->garbage = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    int code = dpc_path_join(options->folder, "cache", folder, sizeof folder);
    if (code != DPC_OK)
        dpc_error_set(err, code, "the name of the folder is too long: %s", options->folder);
    if (code == DPC_OK)
        code = catch_signals(worker, err);
    if (code == DPC_OK)
        code = dpc_cache_open(&dpc_vfs_posix, folder, options->cache_bytes, &worker->cache, err);
    if (code == DPC_OK)
        code = dpc_spill_create(&dpc_vfs_posix, options->folder, &worker->spill, err);
    if (code == DPC_OK)
        code = dpc_net_create(&worker->net, err);
    if (code == DPC_OK)
        code = dpc_link_open(worker->net, DPC_CHANNEL_CONTROL, options->endpoint, &options->keypair,
                             &options->server_key, &worker->control, err);
    if (code != DPC_OK) {
        dpc_worker_destroy(worker);
        return code;
    }
    worker->files = dpc_cache_files(worker->cache);
    worker->owner = dpc_owner_create(&options->owner, options->folder);
    worker->device = dpc_device_create(&options->device);
    worker->runner = dpc_runner_start(worker->cache, worker->spill, worker->device,
                                      options->threads, options->memory_bytes);
    make_session(worker);
    *ret_worker = worker;
    return DPC_OK;
}

struct dpc_worker *
dpc_worker_destroy(struct dpc_worker *worker)
{
    if (!worker)
        return NULL;
    worker->runner = dpc_runner_stop(worker->runner);
    worker->owner = dpc_owner_destroy(worker->owner);
    worker->notice = dpc_notice_stop(worker->notice);
    worker->device = dpc_device_destroy(worker->device);
    worker->session = dpc_session_destroy(worker->session);
    worker->mirror = dpc_mirror_close(worker->mirror);
    worker->down.transfer = dpc_transfer_destroy(worker->down.transfer);
    worker->up.transfer = dpc_transfer_destroy(worker->up.transfer);
    worker->bulk = dpc_link_close(worker->bulk);
    worker->control = dpc_link_close(worker->control);
    worker->net = dpc_net_destroy(worker->net);
    worker->allowance = dpc_allowance_close(worker->allowance);
    worker->spill = dpc_spill_destroy(worker->spill);
    worker->cache = dpc_cache_close(worker->cache);
    dpc_signals_close();
    dpc_free(worker->experiment_yaml);
    return dpc_free(worker);
}
