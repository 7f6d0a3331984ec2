/* SPDX-License-Identifier: Apache-2.0
 * A table of experiments: read, say what it costs, train what is missing one run after the other,
 * tell. A run whose report is there is not trained again, and a warm start that several runs of one
 * command share is trained by the first of them. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/processors.h"
#include "base/vfs.h"
#include "cli/commands.h"
#include "cli/comparison_names.h"
#include "cli/comparison_report.h"
#include "cli/plan.h"
#include "cli/speed.h"
#include "cli/text.h"
#include "cli/training.h"

struct compare_options {
    const char *dir;
    struct dpc_training_options training;
    bool plan, json;
};
static const struct compare_options defaults = {.training = DPC_TRAINING_DEFAULTS};

static const struct dpc_option options[] = {
    {.name = "dir",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DIR",
     .help = "folder of the comparison (default compare/NAME of the file)",
     .offset = offsetof(struct compare_options, dir)},
    DPC_TRAINING_OPTIONS(offsetof(struct compare_options, training)),
    {.name = "plan",
     .kind = DPC_OPTION_FLAG,
     .help = "say what it would cost, and end; with --json on standard output",
     .offset = offsetof(struct compare_options, plan)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print the result as JSON",
     .offset = offsetof(struct compare_options, json)},
};

struct compare {
    const struct dpc_call *call;
    const struct compare_options *given;
    struct dpc_training training;
    struct dpc_comparison *comparison;
    struct dpc_comparison_runs runs;
    char folder[DPC_PATH_MAX]; /* absolute */
    bool *trained;             /* runs of this command that have ended well */
    bool held;                 /* the last one tried is under way elsewhere */
    uint32_t failed;
};

/* --- What it costs. */

struct cost {
    uint32_t left; /* runs to be trained */
    double flops, seconds;
    uint64_t disk_bytes;
    const struct dpc_experiment *timed; /* the last one whose speed was measured; NULL: none */
    double speed;                       /* its floating-point operations a second, of a worker */
};

/* Rows mostly differ in other things than in what a worker computes, and seeds always do. */
static int
measure_speed(const struct compare *compare, const struct dpc_experiment *experiment,
              struct cost *cost, struct dpc_error *err)
{
    uint32_t threads = dpc_processors_each((uint32_t)compare->given->training.workers);
    const struct dpc_experiment *timed = cost->timed;
    if (timed && timed->compute == experiment->compute &&
        timed->inner.batch == experiment->inner.batch &&
        memcmp(&timed->model, &experiment->model, sizeof timed->model) == 0 &&
        dpc_layout_train_flops(timed) == dpc_layout_train_flops(experiment))
        return DPC_OK;
    cost->timed = experiment;
    return dpc_speed_measure(experiment, threads, &cost->speed, err);
}

/* Workers share the processors: more of them than processors do not make it faster. */
static int
add_cost(const struct compare *compare, const struct dpc_experiment *experiment, bool shared,
         struct cost *cost, struct dpc_error *err)
{
    struct dpc_plan plan;
    int rc = dpc_plan_make(experiment, &plan, err);
    if (rc == DPC_OK)
        rc = measure_speed(compare, experiment, cost, err);
    if (rc != DPC_OK)
        return rc;
    double at_once = fmin(plan.paths + experiment->baseline.dense,
                          fmin((double)compare->given->training.workers, dpc_processors_count()));
    double flops = plan.train_flops - (shared ? dpc_plan_warm_flops(experiment) : 0);
    cost->left++;
    cost->flops += flops;
    cost->seconds += flops / cost->speed / at_once;
    cost->disk_bytes += plan.disk_bytes;
    return DPC_OK;
}

/* Over the same documents, and with an optimizer state that is not a worker's alone. */
static bool
can_share(const struct dpc_experiment *a, const struct dpc_experiment *b)
{
    return dpc_experiment_shares_warm_start(a, b) && strcmp(a->data.corpus, b->data.corpus) == 0 &&
           a->transfer.path_state == DPC_STATE_SHIP && b->transfer.path_state == DPC_STATE_SHIP;
}

/* A run whose warm start run `index` begins with, of those for which `can` holds; NULL: none. Only
 * of this command: in strict mode a run goes on only under the release that began it. */
static const struct dpc_comparison_run *
find_warm_start(const struct compare *compare, uint32_t index, const bool *can)
{
    const struct dpc_comparison_run *runs = compare->runs.runs;
    for (uint32_t i = 0; i < index; i++) {
        if (can[i] && can_share(&runs[i].experiment, &runs[index].experiment))
            return &runs[i];
    }
    return NULL;
}

static int
add_costs(const struct compare *compare, struct cost *cost, struct dpc_error *err)
{
    bool *left = dpc_alloc(compare->runs.count, sizeof *left);
    int rc = DPC_OK;
    for (uint32_t i = 0; rc == DPC_OK && i < compare->runs.count; i++) {
        left[i] = !dpc_comparison_run_is_finished(compare->folder, &compare->runs.runs[i]);
        if (left[i])
            rc = add_cost(compare, &compare->runs.runs[i].experiment,
                          find_warm_start(compare, i, left) != NULL, cost, err);
    }
    dpc_free(left);
    return rc;
}

/* The result of --plan --json, in the words of `dipaco plan`. */
static void
print_cost(const struct compare *compare, const struct cost *cost)
{
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_text(root, "comparison", compare->comparison->name);
    dpc_json_set_integer(root, "rows", compare->comparison->rows_count);
    dpc_json_set_integer(root, "runs", compare->runs.count);
    dpc_json_set_integer(root, "runs_left", cost->left);
    dpc_json_set_number(root, "train_flops", cost->flops);
    dpc_json_set_integer(root, "disk_bytes", (int64_t)cost->disk_bytes);
    dpc_json_set_number(root, "seconds", cost->seconds);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static int
tell_cost(const struct compare *compare, struct dpc_error *err)
{
    struct cost cost = {0};
    char disk[DPC_SHORT_TEXT_MAX], time[DPC_SHORT_TEXT_MAX];
    int rc = add_costs(compare, &cost, err);
    if (rc != DPC_OK)
        return rc;
    fprintf(stderr,
            "%" PRIu32 " rows, %" PRIu32 " runs, %" PRIu32
            " of them to be trained: %.3g FLOPs, %s of disk, about %s here\n",
            compare->comparison->rows_count, compare->runs.count, cost.left, cost.flops,
            dpc_text_bytes((double)cost.disk_bytes, disk), dpc_text_seconds(cost.seconds, time));
    if (compare->given->plan && compare->given->json)
        print_cost(compare, &cost);
    return DPC_OK;
}

/* --- Training. */

static int
write_experiment(const struct compare *compare, const struct dpc_comparison_run *run,
                 char ret_file[DPC_PATH_MAX], struct dpc_error *err)
{
    struct dpc_buf yaml;
    int length =
        snprintf(ret_file, DPC_PATH_MAX, "%s/experiments/%s.yaml", compare->folder, run->name);
    if (length < 0 || length >= DPC_PATH_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s/experiments\" is too long",
                             compare->folder);
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(&run->experiment, &yaml);
    int rc = dpc_vfs_write_file(&dpc_vfs_posix, ret_file, yaml.data, yaml.len, err);
    dpc_buf_done(&yaml);
    return rc;
}

static int
write_results(const struct compare *compare, struct dpc_comparison_results **ret_results,
              struct dpc_error *err)
{
    int rc = dpc_comparison_results_load(compare->comparison, &compare->runs, compare->folder,
                                         ret_results, err);
    return rc == DPC_OK ? dpc_comparison_results_write(*ret_results, compare->folder, err) : rc;
}

/* An exit code, and what stopped it. */
static int
train(struct compare *compare, uint32_t index, int *ret_signal)
{
    const struct dpc_comparison_run *run = &compare->runs.runs[index];
    const struct dpc_comparison_run *sharing = find_warm_start(compare, index, compare->trained);
    char file[DPC_PATH_MAX], path[DPC_PATH_MAX], warm_start[DPC_PATH_MAX];
    struct dpc_run_folder folder;
    struct dpc_error err;
    *ret_signal = 0;
    int rc = write_experiment(compare, run, file, &err);
    if (rc == DPC_OK)
        rc = dpc_comparison_run_folder(compare->folder, run, path, &err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_open(path, &folder, &err);
    compare->held = rc == DPC_EBUSY;
    if (rc != DPC_OK)
        return dpc_complain_error(compare->call, &err);
    bool shares =
        sharing && dpc_comparison_run_folder(compare->folder, sharing, warm_start, &err) == DPC_OK;
    compare->training.warm_start = shares ? warm_start : NULL;
    int status =
        dpc_training_run(&compare->training, file, &run->experiment, &folder, false, ret_signal);
    dpc_run_folder_close(&folder);
    compare->trained[index] = status == DPC_EXIT_OK;
    return status;
}

/* Some failures stay: a run in strict mode goes on only under the release that began it. What is
 * under way elsewhere has not failed, and nobody should remove it. */
static void
tell_failed(struct compare *compare, const struct dpc_comparison_run *run)
{
    char path[DPC_PATH_MAX];
    struct dpc_error err;
    compare->failed++;
    if (compare->held)
        fprintf(stderr,
                "%s: %s, seed %" PRIu64 ", is left to who trains it: once that has ended, the same "
                "command goes on\n",
                compare->call->name, run->experiment.name, run->experiment.seed);
    else if (dpc_comparison_run_folder(compare->folder, run, path, &err) == DPC_OK)
        fprintf(stderr,
                "%s: %s, seed %" PRIu64 ", failed: the same command tries it again; to begin it "
                "anew, remove \"%s\"\n",
                compare->call->name, run->experiment.name, run->experiment.seed, path);
}

/* A run that fails leaves its row empty; the others go on. */
static int
train_all(struct compare *compare)
{
    for (uint32_t i = 0; i < compare->runs.count; i++) {
        const struct dpc_comparison_run *run = &compare->runs.runs[i];
        struct dpc_comparison_results *results = NULL;
        struct dpc_error err;
        int signal = 0;
        if (dpc_comparison_run_is_finished(compare->folder, run))
            continue;
        fprintf(stderr, "run %" PRIu32 " of %" PRIu32 ": %s, seed %" PRIu64 "\n", i + 1,
                compare->runs.count, run->experiment.name, run->experiment.seed);
        int status = train(compare, i, &signal);
        if (signal)
            return status;
        if (status != DPC_EXIT_OK)
            tell_failed(compare, run);
        int rc = write_results(compare, &results, &err);
        dpc_comparison_results_destroy(results);
        if (rc != DPC_OK)
            return dpc_complain_error(compare->call, &err);
    }
    return DPC_EXIT_OK;
}

/* --- At the end. */

static int
tell(const struct compare *compare)
{
    struct dpc_comparison_results *results = NULL;
    struct dpc_error err;
    int rc = write_results(compare, &results, &err);
    if (rc == DPC_OK && compare->given->json) {
        struct dpc_json *json = dpc_comparison_results_json(results);
        dpc_json_show(json, stdout);
        dpc_json_destroy(json);
    } else if (rc == DPC_OK) {
        dpc_comparison_results_print(results, stdout);
        printf("\ncomparison: %s/compare.md (compare.json, compare.svg)\n", compare->folder);
    }
    dpc_comparison_results_destroy(results);
    if (rc != DPC_OK)
        return dpc_complain_error(compare->call, &err);
    if (compare->failed)
        return dpc_complain(compare->call, DPC_EXIT_FAILED,
                            "%" PRIu32 " of %" PRIu32 " runs failed, and their rows are empty; the "
                            "same command tries them again",
                            compare->failed, compare->runs.count);
    return DPC_EXIT_OK;
}

/* --- In order. */

static int
open_folder(struct compare *compare, struct dpc_error *err)
{
    static const char *const inside[] = {"experiments", "runs"};
    char path[DPC_PATH_MAX], absolute[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s", compare->given->dir ? "" : "compare/",
                          compare->given->dir ? compare->given->dir : compare->comparison->name);
    if (length < 0 || length >= DPC_PATH_MAX) /* what is left of it is another folder */
        return dpc_error_set(err, DPC_ELIMIT, "the path of the folder \"%.200s\" is too long",
                             path);
    int rc = dpc_vfs_make_folder(&dpc_vfs_posix, path, err);
    if (rc == DPC_OK && !realpath(path, absolute))
        rc = dpc_error_set_errno(err, errno, "could not use the folder \"%.200s\"", path);
    if (rc == DPC_OK && strlen(absolute) >= sizeof compare->folder)
        rc = dpc_error_set(err, DPC_ELIMIT, "the path of the folder \"%.200s\" is too long", path);
    if (rc == DPC_OK)
        (void)snprintf(compare->folder, sizeof compare->folder, "%s", absolute);
    for (size_t i = 0; rc == DPC_OK && i < DPC_COUNT(inside); i++) {
        if (dpc_path_join(compare->folder, inside[i], path, sizeof path) != DPC_OK)
            rc = dpc_error_set(err, DPC_ELIMIT, "the path of the folder \"%.200s\" is too long",
                               compare->folder);
        else
            rc = dpc_vfs_make_folder(&dpc_vfs_posix, path, err);
    }
    return rc;
}

static void
tell_found(void *context, const char *text)
{
    const struct compare *compare = context;
    fprintf(stderr, "%s: %s\n", compare->call->name, text);
}

static int
compare_in_folder(struct compare *compare)
{
    struct dpc_error err;
    int rc = open_folder(compare, &err);
    if (rc == DPC_OK)
        dpc_comparison_find_finished(&compare->runs, compare->folder, tell_found, compare);
    if (rc == DPC_OK)
        rc = tell_cost(compare, &err);
    if (rc != DPC_OK)
        return dpc_complain_error(compare->call, &err);
    if (compare->given->plan)
        return DPC_EXIT_OK;
    compare->trained = dpc_alloc(compare->runs.count, sizeof *compare->trained);
    int status = train_all(compare);
    return status == DPC_EXIT_OK ? tell(compare) : status;
}

static int
run(const struct dpc_call *call)
{
    struct compare *compare = dpc_alloc(1, sizeof *compare);
    struct dpc_error err;
    compare->call = call;
    compare->given = call->options;
    int status = dpc_training_init(&compare->training, call, &compare->given->training);
    if (status == DPC_EXIT_OK) {
        int rc = dpc_comparison_load(call->arguments.items[0], &compare->comparison, &err);
        if (rc == DPC_OK)
            rc = dpc_comparison_make_runs(compare->comparison, &compare->runs, &err);
        status = rc == DPC_OK ? compare_in_folder(compare)
                              : dpc_complain(call, dpc_exit_of_experiment(rc), "%s", err.text);
    }
    dpc_free(compare->trained);
    dpc_comparison_runs_done(&compare->runs);
    dpc_comparison_destroy(compare->comparison);
    dpc_free(compare);
    return status;
}

const struct dpc_command dpc_command_compare = {
    .name = "compare",
    .arguments = "FILE",
    .summary = "Trains a table of experiments and says how far its rows are apart.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
