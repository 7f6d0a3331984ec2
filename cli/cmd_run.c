/* SPDX-License-Identifier: Apache-2.0
 * Everything on one machine: read the experiment, take the folder, train, show the result. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/vfs.h"
#include "cli/commands.h"
#include "cli/origin.h"
#include "cli/result.h"
#include "cli/run_folder.h"
#include "cli/sample.h"
#include "cli/text.h"
#include "cli/training.h"

struct run_options {
    const char *dir, *from;
    struct dpc_training_options training;
    bool fresh, json;
    struct dpc_texts prompts;
};
static const struct run_options defaults = {.training = DPC_TRAINING_DEFAULTS};

static const struct dpc_option options[] = {
    {.name = "dir",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DIR",
     .help = "folder of the run (default runs/NAME of the experiment)",
     .offset = offsetof(struct run_options, dir)},
    DPC_TRAINING_OPTIONS(offsetof(struct run_options, training)),
    {.name = "from",
     .kind = DPC_OPTION_TEXT,
     .value_name = "RUN",
     .help = "go on from another run's folder, DIR, as it stood after a round, DIR@ROUND (default: "
             "its newest), or after its warm start, DIR@warm",
     .offset = offsetof(struct run_options, from)},
    {.name = "fresh",
     .kind = DPC_OPTION_FLAG,
     .help = "begin anew: what an earlier run left in DIR is removed",
     .offset = offsetof(struct run_options, fresh)},
    {.name = "prompt",
     .kind = DPC_OPTION_TEXTS,
     .value_name = "TEXT",
     .help = "go on from this at the end (again for more; default: three held-out documents)",
     .offset = offsetof(struct run_options, prompts)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print the result as JSON",
     .offset = offsetof(struct run_options, json)},
};

struct run {
    const struct dpc_call *call;
    const struct run_options *given;
    char file[PATH_MAX]; /* of the experiment, absolute */
    struct dpc_experiment experiment;
    struct dpc_training training;
    struct dpc_run_folder folder;
};

static int
load_experiment(struct run *run)
{
    const char *file = run->call->arguments.items[0];
    struct dpc_error err;
    int rc = dpc_experiment_load(file, &run->experiment, &err);
    if (rc != DPC_OK)
        return dpc_complain(run->call, dpc_exit_of_experiment(rc), "%s", err.text);
    if (!realpath(file, run->file))
        return dpc_complain(run->call, DPC_EXIT_FAILED, "could not find \"%s\" again", file);
    return DPC_EXIT_OK;
}

/* --- At the end. */

static int
make_samples(const struct run *run, struct dpc_json *samples, struct dpc_error *err)
{
    struct dpc_model *model = NULL;
    int rc = dpc_model_open(run->folder.path, &model, err);
    if (rc == DPC_OK)
        rc = dpc_sample_make(model, &dpc_sample_defaults, &run->given->prompts, samples, err);
    dpc_model_close(model);
    return rc;
}

static int
write_samples(const char *folder, const struct dpc_buf *text, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int rc = dpc_path_join(folder, "samples.txt", path, sizeof path);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "the path \"%.200s/samples.txt\" is too long", folder);
    return dpc_vfs_write_file(&dpc_vfs_posix, path, text->data, text->len, err);
}

static void
print_result(const struct run *run, struct dpc_json *report, struct dpc_json *samples,
             struct dpc_buf *samples_text, const char *folder)
{
    if (run->given->json) {
        dpc_json_set(report, "samples", samples);
        dpc_json_set_text(report, "folder", folder);
        dpc_json_show(report, stdout);
        return;
    }
    printf("%s\n\n", run->experiment.name);
    dpc_result_print_rows(report, stdout);
    printf("\n%s\n", dpc_buf_text(samples_text));
    dpc_result_print_totals(report, folder, stdout);
    dpc_json_destroy(samples);
}

static int
show_result(struct run *run)
{
    char folder[DPC_PATH_MAX];
    struct dpc_json *report = NULL, *samples = dpc_json_array();
    struct dpc_buf text;
    struct dpc_error err;
    dpc_buf_init(&text, 0);
    int rc = dpc_run_folder_file(&run->folder, "report", folder, &err);
    if (rc == DPC_OK)
        rc = dpc_result_load(folder, &report, &err);
    if (rc == DPC_OK)
        rc = make_samples(run, samples, &err);
    if (rc == DPC_OK) {
        dpc_sample_print(samples, &text);
        rc = write_samples(folder, &text, &err);
    }
    if (rc == DPC_OK)
        print_result(run, report, samples, &text, folder);
    else
        dpc_json_destroy(samples);
    dpc_json_destroy(report);
    dpc_buf_done(&text);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(run->call, &err);
}

static int
run_in_folder(struct run *run)
{
    int signal;
    int status = dpc_training_run(&run->training, run->file, &run->experiment, &run->folder,
                                  run->given->fresh, &signal);
    return status == DPC_EXIT_OK ? show_result(run) : status;
}

static int
run_command(const struct dpc_call *call)
{
    struct run *run = dpc_alloc(1, sizeof *run);
    char folder[DPC_PATH_MAX];
    struct dpc_error err;
    run->call = call;
    run->given = call->options;
    int status = load_experiment(run);
    if (status == DPC_EXIT_OK)
        status = dpc_training_init(&run->training, call, &run->given->training);
    if (status == DPC_EXIT_OK && run->given->from &&
        dpc_origin_check(run->given->from, &err) != DPC_OK)
        status = dpc_complain(call, DPC_EXIT_USAGE, "%s", err.text);
    if (status == DPC_EXIT_OK) {
        run->training.from = run->given->from;
        int length = snprintf(folder, sizeof folder, "%s%s", run->given->dir ? "" : "runs/",
                              run->given->dir ? run->given->dir : run->experiment.name);
        if (length < 0 || length >= DPC_PATH_MAX) { /* what is left of it is another folder */
            status = dpc_complain(call, DPC_EXIT_FAILED,
                                  "the path of the folder \"%.200s\" is too long", folder);
        } else if (dpc_run_folder_open(folder, &run->folder, &err) != DPC_OK) {
            status = dpc_complain_error(call, &err);
        } else {
            status = run_in_folder(run);
            dpc_run_folder_close(&run->folder);
        }
    }
    dpc_free(run);
    return status;
}

const struct dpc_command dpc_command_run = {
    .name = "run",
    .arguments = "FILE",
    .summary = "Trains an experiment on this machine; the same command again goes on.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run_command,
};
