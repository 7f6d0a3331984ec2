/* SPDX-License-Identifier: Apache-2.0
 * The loop: wait, take what came, let the core decide, carry it out. Everything that decides lies
 * in core/; everything slow lies in the executor. */
#include "coordinator/server.h"
#include "coordinator/state.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/layout.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/tensor_blob.h"
#include "data/scores.h"
#include "proto/join.h"

/* Outer steps of different modules run side by side; more threads than that only compete with the
 * workers of a small machine. */
enum { EXECUTOR_THREADS = 2, TICK_MS = 500 };

/* --- What the executor gives back. */

/* "clipped,copy"; "": it came through untouched. */
static void
name_marks(uint32_t marks, char *ret_text, size_t size)
{
    static const struct {
        enum dpc_mark mark;
        const char *word;
    } words[] = {{DPC_MARK_CLIPPED, "clipped"},
                 {DPC_MARK_OPPOSED, "opposed"},
                 {DPC_MARK_COPY, "copy"},
                 {DPC_MARK_IDLE, "idle"},
                 {DPC_MARK_OWNER, "owner"}};
    ret_text[0] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t used = strlen(ret_text);
        if (marks & words[i].mark)
            (void)snprintf(ret_text + used, size - used, "%s%s", used ? "," : "", words[i].word);
    }
}

/* What was done to a contribution, and the numbers that it was done for. To have trained much is no
 * reason to be told of. */
static void
log_judged(struct dpc_server *server, const char *module, const struct dpc_fold *fold,
           const struct dpc_judged *judged, const struct dpc_fold_input *input)
{
    char marks[64], key[DPC_KEY_TEXT_MAX];
    uint32_t not_logged = 0;
    bool told = judged->marks & ~(uint32_t)DPC_MARK_OWNER;
    if (told && !dpc_log_allowed(&server->gated, dpc_clock_now_ms(&dpc_clock_system), &not_logged))
        return;
    dpc_key_bytes_text(input->worker, key);
    name_marks(judged->marks, marks, sizeof marks);
    dpc_log(told ? DPC_LOG_WARNING : DPC_LOG_DEBUG,
            "contribution judged module=%s version=%u path=%u marks=%s scale=%.4g norm=%.4g "
            "cosine=%.3f copy_of=%u worker=%s not_logged=%u",
            module, fold->version, judged->path, marks, judged->scale, judged->norm, judged->cosine,
            judged->marks & DPC_MARK_COPY ? judged->copy_of : judged->path, key, not_logged);
}

static void
log_fold(struct dpc_server *server, const struct dpc_job *job, const struct dpc_folded *folded)
{
    char name[2 * DPC_NAME_MAX], hash[13];
    dpc_topology_module_name(dpc_core_topology(server->core), folded->module, name, sizeof name);
    dpc_hash_hex(&folded->published, hash, sizeof hash);
    dpc_log_info("outer step module=%s version=%u contributions=%u hash=%s", name, folded->version,
                 job->fold.inputs_count, hash);
    for (uint32_t i = 0; i < folded->judged_count; i++)
        log_judged(server, name, &job->fold, &folded->judged[i], &job->fold.inputs[i]);
}

/* Does it end with an error that is not the daemon's? */
static bool
may_fail(struct dpc_server *server, const struct dpc_job *job)
{
    if (job->type == DPC_JOB_BACKUP || job->type == DPC_JOB_REFOLD)
        return !dpc_store_is_broken(server->store);
    bool lacks = job->code == DPC_ENOMEM || job->code == DPC_EFILES;
    if (job->type == DPC_JOB_SWEEP)
        return server_ran_out(server, job->code, job->error.text) ||
               (lacks && !dpc_store_is_broken(server->store));
    return job->type == DPC_JOB_CHECK &&
           (lacks || job->code == DPC_ELIMIT || job->code == DPC_ENOTFOUND);
}

/* A path of a small shard may have none: nobody can say which of its rounds is best. */
static void
log_early_stop(const struct dpc_server *server, const struct dpc_sharded *sharded)
{
    uint32_t count = 0;
    if (!server->experiment.early_stopping)
        return;
    for (uint32_t i = 0; i < sharded->paths_count; i++)
        count += sharded->paths[i].early_stop_documents == 0;
    if (count)
        dpc_log_warning("no early-stop documents paths=%u of=%u: these take their newest versions; "
                        "more documents or a larger data.early_stop gives them some",
                        count, sharded->paths_count);
}

static void
finish_job(struct dpc_server *server, struct dpc_job *job)
{
    struct dpc_event event = {0};
    if (job->code != DPC_OK && !may_fail(server, job)) {
        /* The experiment and the corpus do not fit each other: a person must mend that. */
        bool unfit =
            job->code == DPC_EINVAL || job->code == DPC_ESTALE || job->code == DPC_ENOTFOUND;
        if (unfit && (job->type == DPC_JOB_PREPARE || job->type == DPC_JOB_SHARD))
            job->error.code = DPC_EPERM;
        server_fail(server, &job->error);
        return;
    }
    switch (job->type) {
    case DPC_JOB_CHECK:
        server_submit(server, job);
        return;
    case DPC_JOB_SWEEP:
        server_swept(server, job);
        return;
    case DPC_JOB_SCRUB:
        server_scrubbed(server, job);
        return;
    case DPC_JOB_BACKUP:
        server_backed_up(server, job);
        return;
    case DPC_JOB_REPLAY:
        server_replayed(server, job);
        return;
    case DPC_JOB_REFOLD:
        server_refolded(server, job);
        return;
    case DPC_JOB_PREPARE:
        event.type = DPC_EVENT_PREPARED;
        event.prepared = job->prepared;
        break;
    case DPC_JOB_SHARD:
        event.type = DPC_EVENT_SHARDED;
        event.sharded = job->sharded;
        log_early_stop(server, &job->sharded);
        break;
    case DPC_JOB_FOLD:
        event.type = DPC_EVENT_FOLDED;
        event.folded = job->folded;
        server->sweeps.folds++;
        log_fold(server, job, &job->folded);
        server->folded = job;
        break;
    case DPC_JOB_LABEL:
        event.type = DPC_EVENT_LABELLED;
        event.labelled = job->labelled;
        break;
    case DPC_JOB_REPORT:
        event.type = DPC_EVENT_REPORTED;
        break;
    case DPC_JOB_ARRIVAL: /* which are bulk.c's own */
    case DPC_JOB_VERIFY:
        return;
    }
    server_step(server, &event, NULL, 0);
    server->folded = NULL;
}

/* Could it not store its result, or could its result not be committed now? */
static bool
waits_for_room(struct dpc_server *server, const struct dpc_job *job)
{
    if (job->type >= DPC_JOB_CHECK) /* that stores nothing which must be committed */
        return false;
    return job->code == DPC_OK ? !server_has_room(server)
                               : server_ran_out(server, job->code, job->error.text);
}

static void
take_finished(struct dpc_server *server)
{
    struct dpc_job *job;
    while ((job = dpc_executor_take(server->executor)) != NULL) {
        server_forget_job(server, job);
        if (waits_for_room(server, job)) {
            server_put_job_off(server, job);
            continue;
        }
        finish_job(server, job);
        dpc_job_drop(job);
    }
    if (server->failure == DPC_OK) {
        server_begin_backup(server);
        server_go_on_revoke(server);
        server_sweep(server);
        server_scrub(server);
    }
}

/* --- Ticks and signals. */

static void
take_signals(struct dpc_server *server)
{
    int number;
    struct dpc_error err = {0};
    while ((number = dpc_signals_take()) != 0) {
        if (number != SIGHUP) {
            dpc_log_info("stopping signal=%d", number);
            server->stopping = true;
            continue;
        }
        if (server_authorize_workers(server, &err) != DPC_OK)
            dpc_log_warning("%s", err.text);
        if (server->events)
            dpc_events_reopen(server->events);
    }
}

int
dpc_server_run(struct dpc_server *server, struct dpc_error *err)
{
    dpc_core_resume(server->core, &server->actions);
    server_carry_out(server, NULL, NULL, 0);
    dpc_notify_ready();
    dpc_log_info("ready control=%s bulk=%s phase=%s", dpc_listener_endpoint(server->control),
                 dpc_listener_endpoint(server->bulk),
                 dpc_phase_name(dpc_core_phase(server->core)->phase));
    server->serial_noted = dpc_core_phase(server->core)->next_serial - 1;
    SERVER_NOTE(server, "coordinator_begins", DPC_FIELD_TEXT("version", PACKAGE_VERSION),
                DPC_FIELD_TEXT("experiment", server->experiment.name),
                DPC_FIELD_TEXT("phase", dpc_phase_name(dpc_core_phase(server->core)->phase)));
    struct dpc_poll_item items[] = {
        {.listener = server->control, .fd = -1}, {.listener = server->bulk, .fd = -1},
        {.listener = server->admin, .fd = -1},   {.fd = dpc_executor_fd(server->executor)},
        {.fd = server_reading_fd(server)},       {.fd = server->signals},
        {.fd = server_web_fd(server)},
    };
    size_t items_count = sizeof items / sizeof *items - (server->http ? 0 : 1);
    while (!server->stopping && server->failure == DPC_OK) {
        int64_t next_ms = server_reading_has_ended(server)
                              ? 0
                              : server->ticked_ms + TICK_MS - dpc_clock_now_ms(&dpc_clock_system);
        next_ms = server_web_wait_ms(server, next_ms > 0 ? next_ms : 0);
        if (dpc_channel_poll(items, items_count, next_ms) == DPC_OK) {
            server_serve_control(server);
            server_serve_bulk(server);
            server_serve_admin(server);
            server_take_read(server);
            take_finished(server);
            take_signals(server);
        }
        server_serve_web(server);
        if (dpc_clock_now_ms(&dpc_clock_system) - server->ticked_ms >= TICK_MS)
            server_tick(server, false);
    }
    dpc_notify_stopping();
    server_tick(server, true);
    SERVER_NOTE(server, "coordinator_stops", DPC_FIELD_TEXT("reason", server->failure_text.text));
    if (server->failure != DPC_OK && err)
        *err = server->failure_text;
    return server->failure;
}

/* --- Life. */

static int
open_listeners(struct dpc_server *server, const struct dpc_server_options *options,
               const struct dpc_keypair *key, struct dpc_error *err)
{
    int code = dpc_listener_open(server->net, DPC_CHANNEL_CONTROL, options->control_endpoint, key,
                                 &server->control, err);
    if (code == DPC_OK)
        code = dpc_listener_open(server->net, DPC_CHANNEL_BULK, options->bulk_endpoint, key,
                                 &server->bulk, err);
    if (code == DPC_OK)
        code = dpc_listener_open(server->net, DPC_CHANNEL_ADMIN, options->admin_endpoint, NULL,
                                 &server->admin, err);
    return code;
}

/* What join strings name, unless they are told another place. */
static int
find_advertised(struct dpc_server *server, const char *option, struct dpc_error *err)
{
    if (option) {
        (void)snprintf(server->advertised, sizeof server->advertised, "%s", option);
        return dpc_join_check_endpoint(option, err);
    }
    if (dpc_endpoint_resolve(dpc_listener_endpoint(server->control), "", server->advertised,
                             sizeof server->advertised) != DPC_OK)
        server->advertised[0] = '\0';
    return DPC_OK;
}

/* One that may not be read is still the one that workers know: no other may take its place. */
static int
take_key(const char *path, struct dpc_keypair *ret_key, struct dpc_error *err)
{
    int code = dpc_keypair_load(path, ret_key, err);
    if (code != DPC_ENOTFOUND)
        return code;
    dpc_keypair_generate(ret_key);
    return dpc_keypair_save(path, ret_key, err);
}

/* Who may connect is known before anybody can: a machine that is turned away may end for good. */
static int
open_net(struct dpc_server *server, const struct dpc_server_options *options, struct dpc_error *err)
{
    struct dpc_keypair key;
    int code = take_key(options->key_file, &key, err);
    if (code == DPC_OK)
        code = dpc_net_create(&server->net, err);
    if (code == DPC_OK)
        code = server_authorize_workers(server, err);
    if (code == DPC_OK)
        code = server_begin_members(server, err);
    if (code == DPC_OK)
        code = open_listeners(server, options, &key, err);
    if (code == DPC_OK)
        code = find_advertised(server, options->advertised, err);
    if (options->mirror)
        (void)snprintf(server->mirror, sizeof server->mirror, "%s", options->mirror);
    server->public_key = key.public_key;
    explicit_bzero(&key, sizeof key);
    return code;
}

/* The largest blob that a worker of this experiment has reason to upload: a path's state, or the
 * features or scores of a chunk. New routes of all held-out documents may be larger
 * (largest_now in bulk.c). */
static uint64_t
largest_upload(const struct dpc_experiment *experiment)
{
    uint64_t state = dpc_tensor_blob_bytes(2 * dpc_layout_path_floats(experiment));
    uint64_t features =
        dpc_tensor_blob_bytes((size_t)experiment->model.dim * DPC_DOCUMENTS_PER_LEASE_MAX);
    uint64_t scores =
        DPC_SCORES_HEADER_BYTES + (uint64_t)DPC_SCORES_ENTRY_BYTES * DPC_PIECES_PER_LEASE_MAX;
    uint64_t tables = features > scores ? features : scores;
    return state > tables ? state : tables;
}

static int
keep_path(const char *path, char ret_path[DPC_PATH_MAX], struct dpc_error *err)
{
    if (strlen(path) >= DPC_PATH_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s...\" is too long", path);
    (void)snprintf(ret_path, DPC_PATH_MAX, "%s", path);
    return DPC_OK;
}

static int
keep_paths(struct dpc_server *server, const struct dpc_server_options *options,
           struct dpc_error *err)
{
    int code = keep_path(options->workers_folder, server->world.workers_folder, err);
    if (code == DPC_OK)
        code = keep_path(options->report_folder, server->world.report, err);
    if (code == DPC_OK)
        code = keep_path(options->folder, server->world.store_folder, err);
    return code == DPC_OK ? keep_path(options->key_file, server->world.key_file, err) : code;
}

int
dpc_server_create(const struct dpc_server_options *options, struct dpc_server **ret_server,
                  struct dpc_error *err)
{
    struct dpc_server *server = dpc_alloc(1, sizeof *server);
    dpc_actions_init(&server->actions);
    server->peer_faults = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    server->alarms = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    server->copied = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    server->noted = (struct dpc_log_limit){.burst = 10000, .period_ms = 10};
    server->crowded = server->flooded = (struct dpc_log_limit){.burst = 1, .period_ms = 60000};
    server->said = (struct dpc_log_limit){.burst = 1000, .period_ms = 1000};
    server->gated = (struct dpc_log_limit){.burst = 20, .period_ms = 60000};
    server->chunk = dpc_alloc(DPC_CHUNK_BYTES_MAX, 1);
    server->signals = -1;
    server->world.ops = dpc_ops_cpu(DPC_FP32);
    server->started_s = dpc_clock_wall_s();
    (void)signal(SIGPIPE, SIG_IGN);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int code = keep_paths(server, options, err);
    if (code == DPC_OK)
        code = dpc_signals_open(signals, sizeof signals / sizeof *signals, &server->signals, err);
    if (code == DPC_OK)
        code = dpc_experiment_load(options->experiment_file, &server->experiment, err);
    if (code == DPC_OK)
        code = server_open_store(server, options, err);
    if (code == DPC_OK)
        code = open_net(server, options, err);
    if (code == DPC_OK)
        code = server_recover(server, err);
    if (code == DPC_OK && options->http_address)
        code = server_open_web(server, options->http_address, err);
    if (code == DPC_OK && options->events_file)
        code = dpc_events_open(options->events_file, &server->events, err);
    if (code != DPC_OK) {
        dpc_server_destroy(server);
        return code;
    }
    server->blob_bytes_max = largest_upload(&server->experiment);
    server->executor = dpc_executor_create(EXECUTOR_THREADS, dpc_job_run, dpc_job_drop);
    server_begin_reading(server);
    server->ticked_ms = dpc_clock_now_ms(&dpc_clock_system);
    *ret_server = server;
    return DPC_OK;
}

bool
dpc_server_is_idle(const struct dpc_server *server)
{
    return !server->executor ||
           (dpc_executor_is_idle(server->executor) && server_reading_is_idle(server));
}

struct dpc_server *
dpc_server_destroy(struct dpc_server *server)
{
    if (!server)
        return NULL;
    server_close_web(server);
    dpc_events_close(server->events);
    server_end_reading(server); /* before the executor: its jobs use the store as well */
    dpc_executor_destroy(server->executor);
    server_drop_waiting(server);
    server_drop_replay(server);
    server_drop_revoke(server);
    dpc_listener_close(server->control);
    dpc_listener_close(server->bulk);
    dpc_listener_close(server->admin);
    dpc_net_destroy(server->net);
    dpc_keep_destroy(server->scrub.keep);
    dpc_core_destroy(server->core);
    dpc_store_close(server->store);
    dpc_actions_done(&server->actions);
    if (server->signals >= 0)
        dpc_signals_close();
    dpc_free(server->chunk);
    dpc_free(server->worker_keys);
    dpc_members_destroy(server->members);
    return dpc_free(server);
}
