/* SPDX-License-Identifier: Apache-2.0
 * Three tables, by what a metric has samples of: itself, the words of one label, each worker (path,
 * module). The first two take theirs from `struct figures`, which one pass over the core's tables
 * fills. */
#include "coordinator/pages/metrics.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/why.h"
#include "proto/channel.h"

enum { PHASES = DPC_PHASE_REROUTE + 1, TASKS = DPC_TASK_REROUTE + 1 };

enum path_state { PATH_WAITING, PATH_READY, PATH_LEASED, PATH_DONE, PATH_STATES };
enum worker_state { WORKER_CONNECTED, WORKER_AWAY, WORKER_BARRED, WORKER_STATES };

struct figures {
    struct dpc_metrics_server server;
    double experiment_s, left_s;
    double rounds, rounds_min, rounds_max;
    double steps_done, steps;
    double tasks_done, tasks;
    double loss;
    double modules, replaced, drained;
    double failing;
    double tokens, leases_granted, tokens_per_s, leases_silent;
    double phases[PHASES];
    double paths[PATH_STATES];
    double outer_steps[DPC_LEVELS_MAX + 1]; /* behind the levels: the dense modules */
    double workers[WORKER_STATES];
    double submissions[3], contributions[3], gated[5], audits[2];
    double leases[TASKS];
    double network[2];
};

struct scrape {
    const struct dpc_core *core;
    const struct dpc_experiment *experiment;
    const struct dpc_topology *topology;
    int64_t now_ms;
    struct dpc_buf *out;
    struct figures figures;
};

/* --- Writing. */

static void
put_head(const struct scrape *scrape, const char *name, const char *type, const char *help)
{
    dpc_buf_printf(scrape->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A worker names itself, and an operator the experiment. */
static void
put_label(const struct scrape *scrape, const char *name, const char *value)
{
    dpc_buf_printf(scrape->out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            dpc_buf_put(scrape->out, "\\n", 2);
        else if (*value == '\\' || *value == '"')
            dpc_buf_printf(scrape->out, "\\%c", *value);
        else
            dpc_buf_put(scrape->out, value, 1);
    }
    dpc_buf_put(scrape->out, "\"", 1);
}

static void
put_value(const struct scrape *scrape, double value)
{
    dpc_buf_put(scrape->out, " ", 1);
    dpc_buf_put_real(scrape->out, value);
    dpc_buf_put(scrape->out, "\n", 1);
}

/* --- One sample. */

#define FIGURE(field) offsetof(struct figures, field)

static const struct metric {
    const char *name, *type, *help;
    size_t figure; /* in struct figures */
} metrics[] = {
    {"process_start_time_seconds", "gauge", "Start of the process, Unix time.",
     FIGURE(server.started_s)},
    {"process_cpu_seconds_total", "counter", "CPU time of the process.", FIGURE(server.cpu_s)},
    {"process_resident_memory_bytes", "gauge", "Resident memory of the process.",
     FIGURE(server.resident_bytes)},
    {"process_open_fds", "gauge", "Open file descriptors of the process.", FIGURE(server.open_fds)},
    {"dipaco_experiment_seconds_total", "counter",
     "Time spent on the experiment, all processes together.", FIGURE(experiment_s)},
    {"dipaco_left_seconds", "gauge", "Training time left at the pace so far.", FIGURE(left_s)},
    {"dipaco_rounds", "gauge", "Rounds that each routed path owes.", FIGURE(rounds)},
    {"dipaco_rounds_done_min", "gauge", "Rounds done by the routed path with the fewest.",
     FIGURE(rounds_min)},
    {"dipaco_rounds_done_max", "gauge", "Rounds done by the routed path with the most.",
     FIGURE(rounds_max)},
    {"dipaco_steps", "gauge", "Inner steps that all paths owe together.", FIGURE(steps)},
    {"dipaco_steps_done", "gauge", "Inner steps that all paths have done.", FIGURE(steps_done)},
    {"dipaco_tasks", "gauge", "Tasks of the present phase, if it has others than training.",
     FIGURE(tasks)},
    {"dipaco_tasks_done", "gauge", "Those of them that are done.", FIGURE(tasks_done)},
    {"dipaco_train_loss_nats", "gauge",
     "Train loss in nats a token, mean over the paths' last accepted leases.", FIGURE(loss)},
    {"dipaco_modules", "gauge", "Modules, dense ones included.", FIGURE(modules)},
    {"dipaco_versions_replaced_total", "counter",
     "Module versions that a rollback or a revoke put in the place of others.", FIGURE(replaced)},
    {"dipaco_task_failing", "gauge",
     "1 while a task is given to nobody any more, since it failed wherever it was tried.",
     FIGURE(failing)},
    {"dipaco_workers_drained", "gauge", "Workers that get no new lease: dipacoctl drain.",
     FIGURE(drained)},
    {"dipaco_leases_granted_total", "counter", "Leases granted.", FIGURE(leases_granted)},
    {"dipaco_leases_silent", "gauge", "Leases whose worker is not heard of.",
     FIGURE(leases_silent)},
    {"dipaco_tokens_total", "counter", "Tokens of accepted training.", FIGURE(tokens)},
    {"dipaco_tokens_per_second", "gauge", "Tokens a second, as workers at work tell it, summed.",
     FIGURE(tokens_per_s)},
    {"dipaco_disk_free_bytes", "gauge", "Free on the store's disk.",
     FIGURE(server.disk_free_bytes)},
    {"dipaco_disk_paused", "gauge", "1 while the store's disk is too full to go on.",
     FIGURE(server.paused)},
    {"dipaco_requests_put_off_total", "counter",
     "Requests of workers that were told to come again when there is room.",
     FIGURE(server.put_off)},
    {"dipaco_sweeps_total", "counter", "Sweeps of blobs that nothing needs, begun.",
     FIGURE(server.sweeps)},
    {"dipaco_blobs_kept_bytes", "gauge", "Blobs that the last sweep left.",
     FIGURE(server.kept_bytes)},
    {"dipaco_blobs_swept_bytes_total", "counter", "Blobs that sweeps removed.",
     FIGURE(server.swept_bytes)},
    {"dipaco_scrub_passes_total", "counter", "Times that all that is kept was read and compared.",
     FIGURE(server.scrub_passes)},
    {"dipaco_damaged_blobs", "gauge", "Blobs whose content is not what their name says.",
     FIGURE(server.damaged_blobs)},
    {"dipaco_backups_total", "counter", "Backups asked for.", FIGURE(server.backups)},
    {"dipaco_backup_failed", "gauge", "1 when the last backup failed.",
     FIGURE(server.backup_failed)},
    {"dipaco_backup_time_seconds", "gauge",
     "End of the last backup of this process that was made, Unix time.", FIGURE(server.backup_s)},
    {"dipaco_alarms_total", "counter",
     "Alarms, such as two different results of one task; the log says which.",
     FIGURE(server.alarms)},
    {"dipaco_peer_faults_total", "counter", "Messages of peers that were refused.",
     FIGURE(server.peer_faults)},
    {"dipaco_machines_pending", "gauge", "Machines that wait to be let in: dipacoctl members.",
     FIGURE(server.machines_pending)},
};

static double
figure_at(const struct scrape *scrape, size_t offset)
{
    double value;
    memcpy(&value, (const char *)&scrape->figures + offset, sizeof value);
    return value;
}

static void
put_metric(const struct scrape *scrape, const struct metric *metric)
{
    double value = figure_at(scrape, metric->figure);
    if (!isfinite(value))
        return;
    put_head(scrape, metric->name, metric->type, metric->help);
    dpc_buf_printf(scrape->out, "%s", metric->name);
    put_value(scrape, value);
}

/* --- One for each word of a label. */

/* NULL: there is no such word. */
typedef const char *word_fn(const struct scrape *scrape, uint32_t index);

static const char *
phase_word(const struct scrape *scrape, uint32_t index)
{
    (void)scrape;
    return index ? dpc_phase_name(index) : NULL;
}

static const char *
task_word(const struct scrape *scrape, uint32_t index)
{
    (void)scrape;
    return index ? dpc_task_name(index) : NULL;
}

static const char *
level_word(const struct scrape *scrape, uint32_t index)
{
    if (index == DPC_LEVELS_MAX)
        return "dense"; /* which no level may be called */
    return index < scrape->topology->levels_count ? scrape->experiment->levels[index].name : NULL;
}

static const char *const path_words[] = {"waiting", "ready", "leased", "done"};
static const char *const worker_words[] = {"connected", "away", "barred"};
static const char *const submission_words[] = {"merged", "superseded", "refused"};
static const char *const contribution_words[] = {"in_time", "late", "too_late"};
static const char *const gate_words[] = {"clipped", "opposed", "copy", "idle", "stale"};
static const char *const audit_words[] = {"agreed", "lost"};
static const char *const network_words[] = {"up", "down"};

#define WORDS(list) .words = (list), .count = sizeof(list) / sizeof *(list)

static const struct family {
    const char *name, *type, *help, *label;
    size_t figure;            /* the first of them */
    const char *const *words; /* NULL: `word` has them */
    uint32_t count;
    word_fn *word;
} families[] = {
    {"dipaco_phase", "gauge", "1 for the phase that the experiment is in.", "phase", FIGURE(phases),
     .word = phase_word, .count = PHASES},
    {"dipaco_paths", "gauge", "Paths by what they do now.", "state", FIGURE(paths),
     WORDS(path_words)},
    {"dipaco_outer_steps_total", "counter",
     "Outer steps of the modules of a level, and of the dense ones.", "level", FIGURE(outer_steps),
     .word = level_word, .count = DPC_LEVELS_MAX + 1},
    {"dipaco_workers", "gauge", "Workers that are known.", "state", FIGURE(workers),
     WORDS(worker_words)},
    {"dipaco_leases", "gauge", "Leases that stand.", "kind", FIGURE(leases), .word = task_word,
     .count = TASKS},
    {"dipaco_submissions_total", "counter",
     "Submissions by what became of them: training that was accepted, work that others did first, "
     "work that failed the check.",
     "verdict", FIGURE(submissions), WORDS(submission_words)},
    {"dipaco_contributions_total", "counter",
     "Contributions to modules since the process began, by when they came.", "lateness",
     FIGURE(contributions), WORDS(contribution_words)},
    {"dipaco_contributions_gated_total", "counter",
     "What the gates of trust: open found in contributions.", "reason", FIGURE(gated),
     WORDS(gate_words)},
    {"dipaco_audits_total", "counter",
     "Answers to audited tasks that others brought as well, and that they did not.", "outcome",
     FIGURE(audits), WORDS(audit_words)},
    {"dipaco_worker_traffic_bytes_total", "counter",
     "Bytes between workers and coordinator, as workers see them.", "direction", FIGURE(network),
     WORDS(network_words)},
};

static void
put_family(const struct scrape *scrape, const struct family *family)
{
    put_head(scrape, family->name, family->type, family->help);
    for (uint32_t i = 0; i < family->count; i++) {
        const char *word = family->words ? family->words[i] : family->word(scrape, i);
        if (!word)
            continue;
        dpc_buf_printf(scrape->out, "%s{", family->name);
        put_label(scrape, family->label, word);
        dpc_buf_printf(scrape->out, "}");
        put_value(scrape, figure_at(scrape, family->figure + i * sizeof(double)));
    }
}

/* --- One for each worker, path or module, while these are few. */

static const struct dpc_worker_record *
worker_at(const struct scrape *scrape, uint32_t index, bool *ret_connected)
{
    int64_t silent_ms;
    return dpc_core_worker_at(scrape->core, index, scrape->now_ms, &silent_ms, ret_connected);
}

/* Names may repeat, keys do not. */
static void
put_worker(const struct scrape *scrape, uint32_t index)
{
    char text[DPC_KEY_TEXT_MAX];
    bool connected;
    const struct dpc_worker_record *worker = worker_at(scrape, index, &connected);
    dpc_key_bytes_text(worker->key, text);
    put_label(scrape, "worker", worker->name);
    dpc_buf_put(scrape->out, ",", 1);
    put_label(scrape, "key", text);
}

static void
put_path(const struct scrape *scrape, uint32_t index)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_path_name(scrape->topology, index, name, sizeof name);
    put_label(scrape, "path", name);
}

static void
put_module(const struct scrape *scrape, uint32_t index)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_module_name(scrape->topology, index, name, sizeof name);
    put_label(scrape, "module", name);
}

static double
path_rounds(const struct scrape *scrape, uint32_t index)
{
    return dpc_core_path_made(scrape->core, index);
}

static double
path_tokens(const struct scrape *scrape, uint32_t index)
{
    return (double)dpc_core_path(scrape->core, index)->tokens_done;
}

static double
path_loss(const struct scrape *scrape, uint32_t index)
{
    return dpc_core_path_loss(scrape->core, index);
}

static double
path_best(const struct scrape *scrape, uint32_t index)
{
    const struct dpc_best_record *best = dpc_core_best(scrape->core, index);
    return best && best->found ? best->loss : NAN;
}

static double
module_version(const struct scrape *scrape, uint32_t index)
{
    const struct dpc_module_record *module = dpc_core_module(scrape->core, index);
    return module ? module->version : NAN;
}

static double
module_round(const struct scrape *scrape, uint32_t index)
{
    const struct dpc_module_record *module = dpc_core_module(scrape->core, index);
    return module ? dpc_module_round(module) : NAN;
}

static double
worker_connected(const struct scrape *scrape, uint32_t index)
{
    bool connected;
    (void)worker_at(scrape, index, &connected);
    return connected;
}

/* What a worker's record counts. */
#define WORKER_COUNT(field)                                                                        \
    static double worker_##field(const struct scrape *scrape, uint32_t index)                      \
    {                                                                                              \
        bool connected;                                                                            \
        return (double)worker_at(scrape, index, &connected)->field;                                \
    }
WORKER_COUNT(tokens)
WORKER_COUNT(leases)
WORKER_COUNT(merged)
WORKER_COUNT(superseded)
WORKER_COUNT(refused)
WORKER_COUNT(standing)

enum items { PATHS, MODULES, WORKERS };

static const struct item_metric {
    const char *name, *type, *help;
    enum items items;
    double (*value)(const struct scrape *scrape, uint32_t index); /* NaN: has none */
} item_metrics[] = {
    {"dipaco_path_rounds_done", "gauge", "Rounds that the path has done.", PATHS, path_rounds},
    {"dipaco_path_tokens_total", "counter", "Tokens that the path was trained on.", PATHS,
     path_tokens},
    {"dipaco_path_loss_nats", "gauge", "Train loss of the path's last accepted lease.", PATHS,
     path_loss},
    {"dipaco_path_best_loss_nats", "gauge", "Early-stop loss of the path's best round.", PATHS,
     path_best},
    {"dipaco_module_round", "gauge", "Outer steps that the module has behind it.", MODULES,
     module_round},
    {"dipaco_module_version", "gauge", "Version of the module.", MODULES, module_version},
    {"dipaco_worker_connected", "gauge", "1 while the worker is heard of.", WORKERS,
     worker_connected},
    {"dipaco_worker_barred", "gauge", "1: by the operator, 2: by an audit.", WORKERS,
     worker_standing},
    {"dipaco_worker_tokens_total", "counter", "Tokens of accepted training.", WORKERS,
     worker_tokens},
    {"dipaco_worker_leases_total", "counter", "Leases granted.", WORKERS, worker_leases},
    {"dipaco_worker_merged_total", "counter", "Submissions of training that were accepted.",
     WORKERS, worker_merged},
    {"dipaco_worker_superseded_total", "counter", "Submissions that others were before.", WORKERS,
     worker_superseded},
    {"dipaco_worker_refused_total", "counter", "Submissions that failed the check.", WORKERS,
     worker_refused},
};

static uint32_t
count_items(const struct scrape *scrape, enum items items)
{
    return items == PATHS     ? scrape->topology->paths_count
           : items == MODULES ? scrape->topology->modules_count
                              : dpc_core_workers_count(scrape->core);
}

static void
put_items(const struct scrape *scrape, const struct item_metric *metric)
{
    static void (*const put_labels[])(const struct scrape *, uint32_t) = {
        [PATHS] = put_path, [MODULES] = put_module, [WORKERS] = put_worker};
    uint32_t count = count_items(scrape, metric->items);
    if (count > DPC_SERIES_EACH_MAX)
        return;
    put_head(scrape, metric->name, metric->type, metric->help);
    for (uint32_t i = 0; i < count; i++) {
        double value = metric->value(scrape, i);
        if (!isfinite(value))
            continue;
        dpc_buf_printf(scrape->out, "%s{", metric->name);
        put_labels[metric->items](scrape, i);
        dpc_buf_printf(scrape->out, "}");
        put_value(scrape, value);
    }
}

/* --- Gathering. */

/* What is counted over processes never goes back, or it would be taken for a new beginning, and all
 * of it for what came since. So what ticks add up is told once it is on disk. */
static void
gather_run(struct scrape *scrape)
{
    struct figures *figures = &scrape->figures;
    const struct dpc_phase_record *phase = dpc_core_phase(scrape->core);
    const struct dpc_phase_record *kept = dpc_core_phase_on_disk(scrape->core);
    uint64_t steps_done, steps;
    uint32_t tasks_done, tasks, path, tries;
    dpc_core_progress(scrape->core, &steps_done, &steps);
    figures->experiment_s = (double)kept->seconds;
    figures->left_s = dpc_core_seconds_left(scrape->core);
    figures->steps_done = (double)steps_done;
    figures->steps = (double)steps;
    dpc_core_tasks(scrape->core, &tasks_done, &tasks);
    figures->tasks_done = tasks_done;
    figures->tasks = tasks;
    figures->loss = dpc_core_loss(scrape->core);
    figures->failing = dpc_core_failure(scrape->core, &path, &tries) != NULL;
    figures->phases[phase->phase] = 1;
    figures->network[0] = (double)kept->bytes_up;
    figures->network[1] = (double)kept->bytes_down;
    for (uint32_t i = 0; i < 3; i++)
        figures->contributions[i] = (double)dpc_core_contributions(scrape->core, i);
}

/* Leases first, since a path is leased by those on it. */
static void
gather_leases(struct scrape *scrape, bool *leased)
{
    struct figures *figures = &scrape->figures;
    struct dpc_lease_view view;
    for (uint32_t i = 0; i < dpc_core_leases_count(scrape->core); i++) {
        dpc_core_lease_at(scrape->core, i, scrape->now_ms, &view);
        figures->leases[view.kind]++;
        figures->tokens_per_s += view.handing_in ? 0 : view.tokens_per_s;
        figures->leases_silent += dpc_core_is_silent(scrape->core, view.silent_ms);
        if (view.kind == DPC_TASK_TRAIN)
            leased[view.path] = true;
    }
}

static enum path_state
path_state(const struct scrape *scrape, uint32_t path, bool leased)
{
    enum dpc_path_standing standing = dpc_core_path_standing(scrape->core, path);
    if (standing == DPC_PATH_DONE)
        return PATH_DONE;
    return leased ? PATH_LEASED : standing == DPC_PATH_READY ? PATH_READY : PATH_WAITING;
}

static void
gather_paths(struct scrape *scrape, const bool *leased)
{
    struct figures *figures = &scrape->figures;
    figures->rounds = scrape->experiment->outer.rounds;
    figures->rounds_min = INFINITY;
    for (uint32_t i = 0; i < scrape->topology->paths_count; i++) {
        figures->paths[path_state(scrape, i, leased[i])]++;
        if (i >= scrape->topology->routed_paths)
            continue;
        double done = dpc_core_path(scrape->core, i)->rounds_done;
        figures->rounds_min = fmin(figures->rounds_min, done);
        figures->rounds_max = fmax(figures->rounds_max, done);
    }
}

static void
gather_modules(struct scrape *scrape)
{
    struct figures *figures = &scrape->figures;
    const struct dpc_topology *topology = scrape->topology;
    figures->modules = topology->modules_count;
    for (uint32_t i = 0; i < topology->modules_count; i++) {
        const struct dpc_module_record *module = dpc_core_module(scrape->core, i);
        if (!module)
            continue;
        uint32_t level = dpc_topology_module_is_dense(topology, i)
                             ? DPC_LEVELS_MAX
                             : dpc_topology_module_level(topology, i);
        figures->outer_steps[level] += dpc_module_round(module);
        figures->replaced += (double)module->rollbacks;
    }
}

static void
add_counts(struct figures *figures, const struct dpc_worker_record *worker,
           const struct dpc_conduct_record *conduct)
{
    const uint64_t submissions[] = {worker->merged, worker->superseded, worker->refused};
    const uint64_t gated[] = {conduct->clipped, conduct->opposed, conduct->copies, conduct->idle,
                              conduct->stale};
    figures->tokens += (double)worker->tokens;
    figures->leases_granted += (double)worker->leases;
    for (size_t k = 0; k < sizeof submissions / sizeof *submissions; k++)
        figures->submissions[k] += (double)submissions[k];
    for (size_t k = 0; k < sizeof gated / sizeof *gated; k++)
        figures->gated[k] += (double)gated[k];
    figures->audits[0] += (double)(conduct->audited - conduct->failed);
    figures->audits[1] += (double)conduct->failed;
}

static void
gather_workers(struct scrape *scrape)
{
    struct figures *figures = &scrape->figures;
    for (uint32_t i = 0; i < dpc_core_workers_count(scrape->core); i++) {
        bool connected;
        const struct dpc_worker_record *worker = worker_at(scrape, i, &connected);
        figures->drained += worker->drained;
        figures->workers[worker->standing != DPC_STANDING_GOOD ? WORKER_BARRED
                         : connected                           ? WORKER_CONNECTED
                                                               : WORKER_AWAY]++;
        add_counts(figures, worker, dpc_core_conduct_at(scrape->core, i));
    }
    const struct dpc_conduct_record *conduct;
    const struct dpc_worker_record *forgotten = dpc_core_forgotten(scrape->core, &conduct);
    add_counts(figures, forgotten, conduct);
}

static void
gather(struct scrape *scrape)
{
    bool *leased = dpc_alloc(scrape->topology->paths_count, sizeof *leased);
    gather_run(scrape);
    gather_leases(scrape, leased);
    gather_paths(scrape, leased);
    gather_modules(scrape);
    gather_workers(scrape);
    dpc_free(leased);
}

/* --- All. */

static void
put_info(const struct scrape *scrape)
{
    put_head(scrape, "dipaco_info", "gauge", "What runs: 1, with labels.");
    dpc_buf_printf(scrape->out, "dipaco_info{");
    put_label(scrape, "version", scrape->figures.server.version);
    dpc_buf_put(scrape->out, ",", 1);
    put_label(scrape, "experiment", scrape->experiment->name);
    dpc_buf_put(scrape->out, ",", 1);
    put_label(scrape, "mode", scrape->experiment->mode == DPC_MODE_STRICT ? "strict" : "elastic");
    dpc_buf_put(scrape->out, ",", 1);
    put_label(scrape, "incarnation", scrape->figures.server.incarnation);
    dpc_buf_printf(scrape->out, "} 1\n");
}

void
dpc_metrics_write(const struct dpc_core *core, const struct dpc_experiment *experiment,
                  const struct dpc_metrics_server *server, int64_t now_ms, struct dpc_buf *out)
{
    struct scrape scrape = {
        .core = core,
        .experiment = experiment,
        .topology = dpc_core_topology(core),
        .now_ms = now_ms,
        .out = out,
        .figures = {.server = *server},
    };
    gather(&scrape);
    put_info(&scrape);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        put_metric(&scrape, &metrics[i]);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        put_family(&scrape, &families[i]);
    for (size_t i = 0; i < sizeof item_metrics / sizeof *item_metrics; i++)
        put_items(&scrape, &item_metrics[i]);
}
