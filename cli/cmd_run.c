/* SPDX-License-Identifier: Apache-2.0
 * Everything on one machine. What this file does in order: read the experiment, take the folder,
 * compare, look at the corpus, supervise, show the result. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/vfs.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/run_folder.h"
#include "cli/sample.h"
#include "cli/supervisor.h"
#include "cli/text.h"
#include "data/tokens.h"
#include "ops/card.h"

enum { PROMPTS_DEFAULT = 3 };

struct run_options {
    const char *dir, *device, *card_plugin;
    int64_t workers;
    bool fresh, json;
    struct dpc_texts prompts;
};
static const struct run_options defaults = {.workers = 2, .device = "cpu"};

static const struct dpc_option options[] = {
    {.name = "dir",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DIR",
     .help = "folder of the run (default runs/NAME of the experiment)",
     .offset = offsetof(struct run_options, dir)},
    {.name = "workers",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "worker processes (default 2)",
     .offset = offsetof(struct run_options, workers),
     .min = 1,
     .max = DPC_SUPERVISED_WORKERS_MAX},
    {.name = "device",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DEVICE",
     .help = "what workers compute with: cpu (default), auto, cuda (each a card, in turn) or "
             "cuda:N; of "
             "a list, such as cuda,cpu, each takes one in turn",
     .offset = offsetof(struct run_options, device)},
    {.name = "card-plugin",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FILE",
     .help = "what computes on cards (default " DPC_CARD_PLUGIN_FILE " where it was installed)",
     .offset = offsetof(struct run_options, card_plugin)},
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
    char file[PATH_MAX];        /* of the experiment, absolute */
    char card_plugin[PATH_MAX]; /* likewise; "": the usual one */
    uint32_t cards;             /* that workers take in turn; 0: none are */
    struct dpc_experiment experiment;
    struct dpc_run_folder folder;
    struct dpc_progress progress;
};

/* --- Before anything runs. */

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

/* A corpus that is missing, empty or too short is told before any process is started. */
static int
check_corpus(struct run *run, struct dpc_error *err)
{
    char folder[DPC_PATH_MAX], corpus[DPC_PATH_MAX];
    dpc_path_folder(run->file, folder, sizeof folder);
    int rc = dpc_path_join(folder, run->experiment.data.corpus, corpus, sizeof corpus);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "the path of the corpus \"%.200s\" is too long",
                             run->experiment.data.corpus);
    struct dpc_tokens *tokens = NULL;
    uint32_t *docs = NULL, docs_count, too_short;
    rc = dpc_tokens_open(corpus, &tokens, err);
    if (rc == DPC_ENOTFOUND)
        dpc_error_prefix(err, rc,
                         "there is no corpus (make one with dipaco data import SRC... --out DIR)");
    if (rc == DPC_OK)
        rc = dpc_tokens_longer_than(tokens, run->experiment.routing.prefix, &docs, &docs_count,
                                    &too_short, err);
    dpc_free(docs);
    dpc_tokens_close(tokens);
    return rc;
}

static bool
has_begun(const struct run *run)
{
    char file[DPC_PATH_MAX];
    return dpc_run_folder_file(&run->folder, "experiment.yaml", file, NULL) == DPC_OK &&
           dpc_vfs_exists(&dpc_vfs_posix, file);
}

/* Nothing of a first start stays behind when its corpus is no good: the file may still change. */
static int
prepare(struct run *run)
{
    struct dpc_error err;
    struct dpc_buf changes;
    dpc_buf_init(&changes, 0);
    int rc = DPC_OK;
    if (run->given->fresh)
        rc = dpc_run_folder_clear(&run->folder, &err);
    if (rc == DPC_OK && !has_begun(run))
        rc = check_corpus(run, &err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_claim(&run->folder, &run->experiment, &changes, &err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_prepare(&run->folder, (uint32_t)run->given->workers, &err);
    int status = DPC_EXIT_OK;
    if (rc != DPC_OK)
        status = dpc_complain_error(run->call, &err);
    if (changes.len)
        fputs(dpc_buf_text(&changes), stderr);
    dpc_buf_done(&changes);
    return status;
}

static bool
is_device(const char *word)
{
    const char *number = strncmp(word, "cuda:", 5) == 0 ? word + 5 : "";
    return strcmp(word, "cpu") == 0 || strcmp(word, "auto") == 0 || strcmp(word, "cuda") == 0 ||
           (*number && strspn(number, "0123456789") == strlen(number));
}

/* Every word of the list is a device; `*ret_cards`: one of them is "cuda". */
static bool
are_devices(const char *list, bool *ret_cards)
{
    char word[DPC_NAME_MAX];
    *ret_cards = false;
    for (uint32_t i = 0; i < dpc_device_words(list); i++) {
        dpc_device_word(list, i, word, sizeof word);
        if (!is_device(word))
            return false;
        *ret_cards = *ret_cards || strcmp(word, "cuda") == 0;
    }
    return true;
}

/* Workers run in another folder, so that the plug-in's name has to be absolute. */
static int
find_cards(struct run *run)
{
    const struct run_options *given = run->given;
    struct dpc_error err;
    bool cards;
    if (!are_devices(given->device, &cards))
        return dpc_complain(run->call, DPC_EXIT_USAGE,
                            "--device takes cpu, auto, cuda or cuda:N, or a list of these, not "
                            "\"%s\"",
                            given->device);
    if (given->card_plugin && !realpath(given->card_plugin, run->card_plugin))
        return dpc_complain(run->call, DPC_EXIT_FAILED, "could not find plug-in \"%s\"",
                            given->card_plugin);
    if (cards &&
        dpc_card_probe(*run->card_plugin ? run->card_plugin : NULL, &run->cards, &err) != DPC_OK)
        return dpc_complain_error(run->call, &err);
    return DPC_EXIT_OK;
}

/* --- While it runs. */

static void
on_status(void *context, const struct dpc_json *status)
{
    dpc_progress_show(&((struct run *)context)->progress, status);
}

static void
on_note(void *context, const char *text)
{
    dpc_progress_note(&((struct run *)context)->progress, text);
}

static int
supervise(struct run *run)
{
    struct dpc_supervisor_options supervisor = {
        .folder = &run->folder,
        .experiment_file = run->file,
        .workers_count = (uint32_t)run->given->workers,
        .device = run->given->device,
        .cards = run->cards,
        .card_plugin = *run->card_plugin ? run->card_plugin : NULL,
        .on_status = on_status,
        .on_note = on_note,
        .context = run,
    };
    struct dpc_run_outcome outcome;
    struct dpc_error err = {0};
    dpc_progress_init(&run->progress, stderr);
    dpc_supervise(&supervisor, &outcome, &err);
    dpc_progress_done(&run->progress);
    if (outcome.end == DPC_RUN_FAILED)
        return dpc_complain(run->call, outcome.exit_code, "%s", err.text);
    if (outcome.end == DPC_RUN_STOPPED)
        return dpc_complain(run->call, outcome.exit_code,
                            "stopped by SIG%s; the same command goes on",
                            sigabbrev_np(outcome.signal));
    return DPC_EXIT_OK;
}

/* --- At the end. */

static int
make_samples(const struct run *run, struct dpc_json *samples, struct dpc_error *err)
{
    struct dpc_model *model = NULL;
    int rc = dpc_model_open(run->folder.path, &model, err);
    for (uint32_t i = 0; rc == DPC_OK && i < run->given->prompts.count; i++) {
        const char *prompt = run->given->prompts.items[i];
        rc = dpc_sample_add(model, &dpc_sample_defaults, prompt, strlen(prompt), i, samples, err);
    }
    if (rc == DPC_OK && run->given->prompts.count == 0)
        rc = dpc_sample_held_out(model, &dpc_sample_defaults, PROMPTS_DEFAULT, samples, err);
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
    struct dpc_run_state state;
    struct dpc_error err;
    int status = prepare(run);
    if (status != DPC_EXIT_OK)
        return status;
    if (dpc_run_state_load(&run->folder, &state, &err) != DPC_OK)
        return dpc_complain_error(run->call, &err);
    if (!state.finished)
        status = supervise(run);
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
        status = find_cards(run);
    if (status == DPC_EXIT_OK) {
        snprintf(folder, sizeof folder, "%s%s", run->given->dir ? "" : "runs/",
                 run->given->dir ? run->given->dir : run->experiment.name);
        if (dpc_run_folder_open(folder, &run->folder, &err) != DPC_OK) {
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
