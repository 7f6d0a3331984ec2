/* SPDX-License-Identifier: Apache-2.0
 * In this order: the options, the folder and the corpus before anything runs, the children. */
#include "cli/training.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/imported.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "cli/origin.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "data/sentencepiece.h"
#include "data/tokens.h"
#include "modules/compute.h"

/* --- Devices. */

/* "": the word numbers none. */
static const char *
card_number(const char *word)
{
    return strncmp(word, "cuda:", 5) == 0 ? word + 5 : "";
}

static bool
is_device(const char *word)
{
    const char *number = card_number(word);
    return strcmp(word, "cpu") == 0 || strcmp(word, "auto") == 0 || strcmp(word, "cuda") == 0 ||
           (*number && strspn(number, "0123456789") == strlen(number));
}

/* What a list of devices asks of this machine. */
struct wanted {
    bool cards;
    unsigned long last; /* number of the highest card that it names */
};

/* Every word of the list is a device. */
static bool
are_devices(const char *list, struct wanted *ret_wanted)
{
    char word[DPC_NAME_MAX];
    *ret_wanted = (struct wanted){0};
    for (uint32_t i = 0; i < dpc_device_words(list); i++) {
        dpc_device_word(list, i, word, sizeof word);
        if (!is_device(word))
            return false;
        unsigned long card = strtoul(card_number(word), NULL, 10);
        ret_wanted->cards = ret_wanted->cards || strncmp(word, "cuda", 4) == 0;
        ret_wanted->last = card > ret_wanted->last ? card : ret_wanted->last;
    }
    return true;
}

/* A worker waits for a card that comes late; who starts a run is there, and is told. */
static int
probe_cards(struct dpc_training *training, const struct wanted *wanted, struct dpc_error *err)
{
    const char *plugin = *training->card_plugin ? training->card_plugin : NULL;
    if (!wanted->cards)
        return DPC_OK;
    int rc = dpc_card_probe(plugin, &training->cards, err);
    if (rc != DPC_OK || wanted->last < training->cards)
        return rc;
    return dpc_error_set(err, DPC_ENOTFOUND,
                         "there is no card cuda:%lu to compute with: the last one of this machine "
                         "is cuda:%" PRIu32,
                         wanted->last, training->cards - 1);
}

/* Workers run in another folder, so that the plug-in's name has to be absolute. */
int
dpc_training_init(struct dpc_training *training, const struct dpc_call *call,
                  const struct dpc_training_options *given)
{
    struct dpc_error err;
    struct wanted wanted;
    *training = (struct dpc_training){.call = call, .given = given};
    if (!are_devices(given->device, &wanted))
        return dpc_complain(call, DPC_EXIT_USAGE,
                            "--device takes cpu, auto, cuda or cuda:N, or a list of these, not "
                            "\"%s\"",
                            given->device);
    if (given->card_plugin && !realpath(given->card_plugin, training->card_plugin))
        return dpc_complain(call, DPC_EXIT_FAILED, "could not find plug-in \"%s\"",
                            given->card_plugin);
    if (probe_cards(training, &wanted, &err) != DPC_OK)
        return dpc_complain_error(call, &err);
    return DPC_EXIT_OK;
}

/* --- Before anything runs. */

/* What falls to each worker of the memory that they share; 0: not known. */
static uint64_t
worker_memory_mib(const struct dpc_training *training)
{
    return dpc_cgroup_compute_bytes() / (uint64_t)training->given->workers / DPC_MIB;
}

static int
check_memory(const struct dpc_training *training, const struct dpc_experiment *experiment,
             struct dpc_error *err)
{
    uint64_t each = worker_memory_mib(training), workers = (uint64_t)training->given->workers;
    struct dpc_plan plan;
    int rc = dpc_plan_make(experiment, &plan, err);
    if (rc != DPC_OK || each == 0 || plan.worker_bytes_least / DPC_MIB < each)
        return rc;
    uint64_t needed = plan.worker_bytes_least / DPC_MIB + 1, fit = each * workers / needed;
    char way_out[DPC_LABEL_MAX] = "make model or inner.batch smaller";
    if (fit > 0)
        snprintf(way_out, sizeof way_out, "--workers %" PRIu64 " fits", fit);
    return dpc_error_set(err, DPC_ELIMIT,
                         "a worker of this experiment needs %" PRIu64 " MiB of memory, and each of "
                         "%" PRIu64 " may have %" PRIu64 ", of nine tenths of this machine's: %s",
                         needed, workers, each, way_out);
}

/* The processor computes, and is to compute in a way or in memory that it has not: each worker
 * would give back whatever it gets, again and again. What cards can do is seen by those who have
 * them, and a run that has finished computes nothing. */
static int
check_compute(const struct dpc_training *training, const struct dpc_experiment *experiment,
              const struct dpc_run_folder *folder, bool fresh, struct dpc_error *err)
{
    const struct dpc_ops *ops;
    struct dpc_run_state state;
    char word[DPC_NAME_MAX];
    for (uint32_t i = 0; i < dpc_device_words(training->given->device); i++) {
        dpc_device_word(training->given->device, i, word, sizeof word);
        if (strcmp(word, "cpu") != 0)
            return DPC_OK;
    }
    if (!fresh && (dpc_run_state_load(folder, &state, err) != DPC_OK || state.finished))
        return DPC_OK;
    int rc = dpc_compute_choose(experiment->compute, NULL, &ops, err);
    return rc == DPC_OK ? check_memory(training, experiment, err) : rc;
}

/* What the experiment file names, seen from its folder. */
static int
find_beside(const char *file, const char *name, const char *what, char ret_path[DPC_PATH_MAX],
            struct dpc_error *err)
{
    char folder[DPC_PATH_MAX];
    dpc_path_folder(file, folder, sizeof folder);
    int rc = dpc_path_join(folder, name, ret_path, DPC_PATH_MAX);
    return rc == DPC_OK
               ? rc
               : dpc_error_set(err, rc, "the path of the %s \"%.200s\" is too long", what, name);
}

/* A corpus that is missing, empty or too short is told before any process is started. */
static int
open_corpus(const char *file, const struct dpc_experiment *experiment,
            struct dpc_tokens **ret_tokens, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    uint32_t *docs = NULL, docs_count;
    int rc = find_beside(file, experiment->data.corpus, "corpus", path, err);
    if (rc == DPC_OK)
        rc = dpc_tokens_open(path, ret_tokens, err);
    if (rc == DPC_ENOTFOUND)
        dpc_error_prefix(err, rc,
                         "there is no corpus (make one with dipaco data import SRC... --out DIR)");
    if (rc == DPC_OK)
        rc = dpc_tokens_check_vocabulary(*ret_tokens, experiment, err);
    if (rc == DPC_OK)
        rc = dpc_tokens_longer_than(*ret_tokens, experiment->routing.prefix, &docs, &docs_count,
                                    err);
    if (rc == DPC_OK)
        rc = dpc_tokens_check_paths(*ret_tokens, experiment, err);
    dpc_free(docs);
    return rc;
}

/* So is a tokenizer that could not turn what was trained into text. */
static int
check_tokenizer(const struct dpc_tokens *tokens, struct dpc_error *err)
{
    struct dpc_tokenizer *tokenizer = NULL;
    uint8_t *bytes;
    size_t len;
    int rc = dpc_tokens_load_tokenizer(tokens, &bytes, &len, err);
    if (rc == DPC_OK && bytes)
        rc = dpc_sentencepiece_read(DPC_TOKENIZER_FILE, bytes, len, &tokenizer, err);
    if (rc == DPC_OK && tokenizer &&
        !dpc_vocabulary_equal(&tokenizer->vocabulary, dpc_tokens_vocabulary(tokens)))
        rc = dpc_error_set(err, DPC_ECORRUPT,
                           "corpus \"%.200s\" has a vocabulary of another size than its "
                           "tokenizer: import its texts again",
                           dpc_tokens_name(tokens));
    dpc_tokenizer_destroy(tokenizer);
    dpc_free(bytes);
    return rc;
}

/* And a model that the dense one is to begin as, and that does not fit. */
static int
check_imported(const char *file, const struct dpc_experiment *experiment,
               const struct dpc_tokens *tokens, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct dpc_imported *imported = NULL;
    if (!dpc_experiment_imports(experiment))
        return DPC_OK;
    int rc = find_beside(file, experiment->warm_start.from, "model", path, err);
    if (rc != DPC_OK)
        return rc;
    rc = dpc_imported_open(&dpc_vfs_posix, path, experiment, &imported, err);
    dpc_imported_close(imported);
    if (rc == DPC_OK)
        rc = dpc_tokens_check_imported(tokens, path, err);
    return rc == DPC_OK ? rc : dpc_error_prefix(err, rc, "warm_start.from");
}

static bool
has(const struct dpc_run_folder *folder, const char *name)
{
    char file[DPC_PATH_MAX];
    return dpc_run_folder_file(folder, name, file, NULL) == DPC_OK &&
           dpc_vfs_exists(&dpc_vfs_posix, file);
}

static bool
has_begun(const struct dpc_run_folder *folder)
{
    return has(folder, "experiment.yaml");
}

static int
check_inputs(const char *file, const struct dpc_experiment *experiment, struct dpc_error *err)
{
    struct dpc_tokens *tokens = NULL;
    int rc = open_corpus(file, experiment, &tokens, err);
    if (rc == DPC_OK)
        rc = check_tokenizer(tokens, err);
    if (rc == DPC_OK)
        rc = check_imported(file, experiment, tokens, err);
    dpc_tokens_close(tokens);
    return rc;
}

static void
tell_notes(struct dpc_buf *notes)
{
    if (notes->len)
        fprintf(stderr, "%s\n", dpc_buf_text(notes));
    dpc_buf_done(notes);
}

/* What was begun before stands. */
static int
take_origin(const struct dpc_training *training, const char *file,
            const struct dpc_run_folder *folder, struct dpc_error *err)
{
    struct dpc_buf notes;
    if (has_begun(folder))
        return dpc_origin_agree(training->from, folder, err);
    dpc_buf_init(&notes, 0);
    int rc = dpc_origin_take(training->from, file, folder, &notes, err);
    tell_notes(&notes);
    return rc;
}

/* One that cannot be had is trained. */
static int
take_warm_start(const struct dpc_training *training, const char *file,
                const struct dpc_run_folder *folder, struct dpc_error *err)
{
    char place[DPC_PATH_MAX];
    struct dpc_buf notes;
    dpc_buf_init(&notes, 0);
    int rc = DPC_ELIMIT;
    if (snprintf(place, sizeof place, "%s@" DPC_ORIGIN_WARM, training->warm_start) <
        (int)sizeof place)
        rc = dpc_origin_take(place, file, folder, &notes, err);
    else
        (void)dpc_error_set(err, rc, "its path is too long");
    if (rc == DPC_OK)
        fprintf(stderr, "warm start: that of %s\n", training->warm_start);
    else
        fprintf(stderr, "warm start: that of %s could not be taken, so it is trained: %s\n",
                training->warm_start, err->text);
    tell_notes(&notes);
    return rc == DPC_OK ? DPC_OK : dpc_run_folder_clear_store(folder, err);
}

/* A fork was killed before this folder had its experiment: nothing ever ran on what it left. */
static bool
holds_fork_alone(const struct dpc_run_folder *folder)
{
    return has(folder, DPC_ORIGIN_LOG) && !has(folder, "run.json") && !has_begun(folder);
}

/* What would stop the new run is told while the earlier one is still there. What a fork refuses
 * the coordinator tells. */
static int
clear(const struct dpc_training *training, const char *file,
      const struct dpc_experiment *experiment, const struct dpc_run_folder *folder,
      struct dpc_error *err)
{
    int rc = check_inputs(file, experiment, err);
    if (rc == DPC_OK && training->from)
        rc = dpc_origin_look(training->from, file, folder, err);
    return rc == DPC_OK ? dpc_run_folder_clear(folder, err) : rc;
}

/* Nothing of a first start stays behind when its corpus or model is no good: the file may still
 * change. */
static int
prepare(const struct dpc_training *training, const char *file,
        const struct dpc_experiment *experiment, const struct dpc_run_folder *folder, bool fresh)
{
    struct dpc_error err;
    struct dpc_buf changes;
    dpc_buf_init(&changes, 0);
    int rc = check_compute(training, experiment, folder, fresh, &err);
    if (rc != DPC_OK)
        return dpc_complain_error(training->call, &err);
    if (fresh || holds_fork_alone(folder))
        rc = clear(training, file, experiment, folder, &err);
    else if (!has_begun(folder))
        rc = check_inputs(file, experiment, &err);
    if (rc == DPC_OK && training->from)
        rc = take_origin(training, file, folder, &err);
    if (rc == DPC_OK && training->warm_start && !has_begun(folder))
        rc = take_warm_start(training, file, folder, &err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_claim(folder, experiment, &changes, &err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_prepare(folder, (uint32_t)training->given->workers, &err);
    int status = DPC_EXIT_OK;
    if (rc != DPC_OK)
        status = dpc_complain_error(training->call, &err);
    if (changes.len)
        fputs(dpc_buf_text(&changes), stderr);
    dpc_buf_done(&changes);
    return status;
}

/* --- While it runs. */

struct watch {
    struct dpc_progress progress;
    bool prepared; /* workers may be at work */
};

static void
on_status(void *context, const struct dpc_json *status)
{
    struct watch *watch = context;
    const char *phase = dpc_json_text(dpc_json_get(status, "phase"), "prepare");
    watch->prepared = watch->prepared || strcmp(phase, "prepare") != 0;
    dpc_progress_show(&watch->progress, status);
}

static void
on_note(void *context, const char *text)
{
    struct watch *watch = context;
    dpc_progress_note(&watch->progress, text);
}

/* Neither experiment nor store, whose coordinator alone could tell that the file is no good. */
static bool
is_new(const struct dpc_training *training, const struct dpc_run_folder *folder, bool fresh)
{
    bool forks = training->from || training->warm_start;
    return !forks && (fresh || (!has_begun(folder) && !has(folder, "coordinator")));
}

/* `first`: nothing was there before this start. Where its coordinator fails before there is
 * anything to train the file may still change. */
static int
supervise(const struct dpc_training *training, const char *file,
          const struct dpc_run_folder *folder, bool first, int *ret_signal)
{
    struct watch watch = {.prepared = false};
    struct dpc_supervisor_options supervisor = {
        .folder = folder,
        .experiment_file = file,
        .workers_count = (uint32_t)training->given->workers,
        .memory_mib = worker_memory_mib(training),
        .device = training->given->device,
        .cards = training->cards,
        .card_plugin = *training->card_plugin ? training->card_plugin : NULL,
        .on_status = on_status,
        .on_note = on_note,
        .context = &watch,
    };
    struct dpc_run_outcome outcome;
    struct dpc_error err = {0};
    dpc_progress_init(&watch.progress, stderr);
    dpc_supervise(&supervisor, &outcome, &err);
    dpc_progress_done(&watch.progress);
    if (outcome.end == DPC_RUN_FAILED) {
        struct dpc_error left;
        if (first && !watch.prepared && dpc_run_folder_unclaim(folder, &left) != DPC_OK)
            (void)dpc_complain(training->call, outcome.exit_code, "%s", left.text);
        return dpc_complain(training->call, outcome.exit_code, "%s", err.text);
    }
    if (outcome.end == DPC_RUN_STOPPED) {
        *ret_signal = outcome.signal;
        return dpc_complain(training->call, outcome.exit_code,
                            "stopped by SIG%s; the same command goes on",
                            sigabbrev_np(outcome.signal));
    }
    return DPC_EXIT_OK;
}

/* Over the store of a finished run a coordinator has nothing left to do, so that it would be waited
 * for in vain: not even a report that somebody has removed is written again. */
static int
check_report(const struct dpc_training *training, const struct dpc_run_folder *folder)
{
    if (has(folder, "report/report.json"))
        return DPC_EXIT_OK;
    return dpc_complain(training->call, DPC_EXIT_FAILED,
                        "could not find \"%s/report/report.json\": the run has finished, and "
                        "nothing writes its report again; put it back, or remove the folder to "
                        "train anew",
                        folder->path);
}

int
dpc_training_run(const struct dpc_training *training, const char *file,
                 const struct dpc_experiment *experiment, const struct dpc_run_folder *folder,
                 bool fresh, int *ret_signal)
{
    struct dpc_run_state state;
    struct dpc_error err;
    *ret_signal = 0;
    bool first = is_new(training, folder, fresh);
    int status = prepare(training, file, experiment, folder, fresh);
    if (status != DPC_EXIT_OK)
        return status;
    if (dpc_run_state_load(folder, &state, &err) != DPC_OK)
        return dpc_complain_error(training->call, &err);
    return state.finished ? check_report(training, folder)
                          : supervise(training, file, folder, first, ret_signal);
}
