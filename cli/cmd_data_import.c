/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/processors.h"
#include "cli/commands.h"
#include "cli/splits.h"
#include "cli/text.h"
#include "data/import.h"
#include "data/json_fields.h"
#include "data/metadata.h"

enum { PROGRESS_PERIOD_MS = 200, VOCAB_DEFAULT = 8192 };

struct import_options {
    const char *out, *text_field, *metadata, *tokenizer, *experiment;
    int64_t vocab; /* 0: not given */
    int kind;
    bool json;
};

static const struct dpc_option options[] = {
    {.name = "out",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DIR",
     .help = "the corpus folder to make (needed)",
     .offset = offsetof(struct import_options, out)},
    {.name = "kind",
     .kind = DPC_OPTION_CHOICE,
     .value_name = "auto|text|jsonl|man",
     .help = "what the files are (default auto: by name and content)",
     .offset = offsetof(struct import_options, kind),
     .choices = dpc_import_kind_names},
    {.name = "text-field",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FIELD",
     .help = "where the text of a JSON line stands (default text)",
     .offset = offsetof(struct import_options, text_field)},
    {.name = "metadata",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FIELD,COLUMN=FIELD...",
     .help = "other fields of JSON lines, for routing.init: metadata",
     .offset = offsetof(struct import_options, metadata)},
    {.name = "tokenizer",
     .kind = DPC_OPTION_TEXT,
     .value_name = "bytes|unigram|bpe|FILE",
     .help =
         "what tokens are: bytes (default), pieces of a vocabulary trained on these texts, or of "
         "a model file of SentencePiece",
     .offset = offsetof(struct import_options, tokenizer)},
    {.name = "vocab",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "pieces to train (default 8192)",
     .offset = offsetof(struct import_options, vocab),
     .min = 2,
     .max = DPC_VOCAB_MAX},
    {.name = "experiment",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FILE",
     .help = "train them on what this experiment does not hold out (else on what the defaults do "
             "not)",
     .offset = offsetof(struct import_options, experiment)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct import_options, json)},
};

struct progress {
    bool live, shown;
    int64_t due_ms;
};

static bool
show_progress(void *context, const struct dpc_import_stats *stats)
{
    struct progress *progress = context;
    int64_t now = dpc_clock_now_ms(&dpc_clock_system);
    if (!progress->live || (now < progress->due_ms && stats->stage != DPC_IMPORT_TRAINING))
        return true;
    char bytes[DPC_SHORT_TEXT_MAX];
    fprintf(stderr, "\r\033[K");
    if (stats->stage == DPC_IMPORT_SAMPLING)
        fprintf(stderr, "%" PRIu64 "/%" PRIu64 " files, for the vocabulary", stats->files,
                stats->files_total);
    else if (stats->stage == DPC_IMPORT_TRAINING)
        fprintf(stderr, "training the vocabulary on %s",
                dpc_text_bytes((double)stats->sampled_bytes, bytes));
    else
        fprintf(stderr, "%" PRIu64 "/%" PRIu64 " files, %" PRIu64 " documents, %s", stats->files,
                stats->files_total, stats->documents, dpc_text_bytes((double)stats->bytes, bytes));
    fflush(stderr);
    progress->shown = true;
    progress->due_ms = now + PROGRESS_PERIOD_MS;
    return true;
}

/* Counts by name: shown when they are not zero, in JSON always. */
struct count {
    const char *name, *words;
    uint64_t value;
};

static void
print_json(const struct count *counts, size_t counts_count, const char *out)
{
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_text(root, "corpus", out);
    for (size_t i = 0; i < counts_count; i++)
        dpc_json_set_integer(root, counts[i].name, (int64_t)counts[i].value);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static void
print_stats(const struct dpc_import_stats *stats, const char *out, bool pieces, bool json)
{
    const struct count counts[] = {
        {"documents", "documents", stats->documents},
        {"tokens", "tokens", stats->tokens},
        {"bytes", "bytes of text", stats->bytes},
        {"vocab", "tokens in the vocabulary", stats->vocab},
        {"sampled_bytes", "bytes of text that it was trained on", stats->sampled_bytes},
        {"files", "files read", stats->files},
        {"texts", "texts", stats->texts},
        {"json_lines", "JSON lines", stats->json_lines},
        {"manpages", "manual pages", stats->manpages},
        {"duplicates", "left out: equal to an earlier text", stats->duplicates},
        {"links", "left out: symbolic links", stats->links},
        {"redirects", "left out: pages that only name another", stats->redirects},
        {"binary", "left out: with a zero byte", stats->binary},
        {"empty", "left out: empty", stats->empty},
        {"without_text", "left out: JSON lines without a text", stats->without_text},
        {"no_json", "left out: lines that are no JSON", stats->no_json},
        {"invalid_utf8", "not UTF-8 throughout", stats->invalid_utf8},
    };
    if (json) {
        print_json(counts, DPC_COUNT(counts), out);
        return;
    }
    for (size_t i = 0; i < DPC_COUNT(counts); i++) {
        if (i < 2 || counts[i].value)
            printf("%12" PRIu64 "  %s\n", counts[i].value, counts[i].words);
    }
    printf("corpus: %s\n", out);
    if (pieces)
        printf("its experiments need data.tokenizer: {kind: sentencepiece, vocab: %" PRIu32 "}\n",
               stats->vocab);
}

/* On standard error, so that counts stay what a program reads. */
static void
tell_oddities(const struct dpc_call *call, const struct dpc_import_stats *stats)
{
    if (stats->no_json)
        (void)dpc_complain(
            call, DPC_EXIT_OK, "left out %" PRIu64 " line%s without JSON, the first of them %s",
            stats->no_json, stats->no_json == 1 ? "" : "s", stats->no_json_first.text);
    if (stats->metadata_is_stale)
        (void)dpc_complain(call, DPC_EXIT_OK,
                           "documents have other ids now, by which %s knows them: write it again, "
                           "or let --metadata write it",
                           DPC_METADATA_FILE);
}

static int
choose_tokenizer(const struct dpc_call *call, struct dpc_import_tokenizer *ret_tokenizer)
{
    static const char *const names[] = {"bytes", "unigram", "bpe"};
    static const enum dpc_import_tokenizer_kind kinds[] = {DPC_IMPORT_BYTES, DPC_IMPORT_UNIGRAM,
                                                           DPC_IMPORT_BPE};
    const struct import_options *given = call->options;
    struct dpc_import_tokenizer tokenizer = {.vocab = given->vocab ? (uint32_t)given->vocab
                                                                   : VOCAB_DEFAULT};
    if (given->tokenizer) {
        tokenizer.kind = DPC_IMPORT_TOKENIZER_FILE;
        tokenizer.file = given->tokenizer;
    }
    for (size_t i = 0; given->tokenizer && i < DPC_COUNT(names); i++) {
        if (strcmp(given->tokenizer, names[i]) == 0)
            tokenizer = (struct dpc_import_tokenizer){.kind = kinds[i], .vocab = tokenizer.vocab};
    }
    bool trained = tokenizer.kind == DPC_IMPORT_UNIGRAM || tokenizer.kind == DPC_IMPORT_BPE;
    if (!trained && (given->vocab || given->experiment))
        return dpc_complain(call, DPC_EXIT_USAGE,
                            "--%s is for a vocabulary that is trained: give --tokenizer unigram or "
                            "bpe, too",
                            given->vocab ? "vocab" : "experiment");
    *ret_tokenizer = tokenizer;
    return DPC_EXIT_OK;
}

static int
check_metadata(const struct dpc_call *call)
{
    const struct import_options *given = call->options;
    struct dpc_json_fields fields;
    struct dpc_error err;
    int code = dpc_json_fields_init(&fields, given->metadata, &err);
    dpc_json_fields_done(&fields);
    return code == DPC_OK ? DPC_EXIT_OK
                          : dpc_complain(call, DPC_EXIT_USAGE, "--metadata: %s", err.text);
}

static int
import(const struct dpc_call *call, const struct dpc_import_tokenizer *tokenizer)
{
    const struct import_options *given = call->options;
    struct progress progress = {.live = isatty(STDERR_FILENO) == 1};
    struct dpc_import_options import = {
        .sources = call->arguments.items,
        .sources_count = call->arguments.count,
        .out = given->out,
        .kind = (enum dpc_import_kind)given->kind,
        .text_field = given->text_field,
        .metadata = given->metadata,
        .tokenizer = *tokenizer,
        .threads = dpc_processors_count(),
        .progress = show_progress,
        .progress_context = &progress,
    };
    struct dpc_import_stats stats;
    struct dpc_error err;
    int rc = dpc_import(&import, &stats, &err);
    if (progress.shown)
        fprintf(stderr, "\r\033[K");
    if (rc != DPC_OK)
        return dpc_complain_error(call, &err);
    tell_oddities(call, &stats);
    print_stats(&stats, given->out, tokenizer->kind != DPC_IMPORT_BYTES, given->json);
    return DPC_EXIT_OK;
}

static int
run(const struct dpc_call *call)
{
    const struct import_options *given = call->options;
    struct dpc_import_tokenizer tokenizer;
    struct dpc_experiment *experiment;
    struct dpc_error err;
    if (!given->out)
        return dpc_complain(call, DPC_EXIT_USAGE, "--out DIR is missing: where the corpus goes");
    int exit = check_metadata(call);
    if (exit == DPC_EXIT_OK)
        exit = choose_tokenizer(call, &tokenizer);
    if (exit != DPC_EXIT_OK)
        return exit;
    int rc = dpc_splits_load(given->experiment, &experiment, &err);
    if (rc != DPC_OK)
        return dpc_complain(call, dpc_exit_of_experiment(rc), "%s", err.text);
    tokenizer.experiment = experiment;
    exit = import(call, &tokenizer);
    dpc_free(experiment);
    return exit;
}

const struct dpc_command dpc_command_data_import = {
    .name = "data import",
    .arguments = "SRC...",
    .summary = "Makes a corpus of files and folders: texts, JSON lines, manual pages.",
    .arguments_min = 1,
    .arguments_max = DPC_ARGUMENTS_MAX,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct import_options),
    .run = run,
};
