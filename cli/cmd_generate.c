/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/sample.h"
#include "cli/text.h"

enum { TOKENS_MAX = 1000000 };

struct generate_options {
    struct dpc_texts prompts;
    int64_t tokens, top_k, seed;
    double temperature; /* negative: not given */
    const char *path;
    bool json;
};
/* -1: as dpc_sample_defaults says. */
static const struct generate_options defaults = {
    .tokens = -1, .top_k = -1, .seed = -1, .temperature = -1};

static const struct dpc_option options[] = {
    {.name = "prompt",
     .kind = DPC_OPTION_TEXTS,
     .value_name = "TEXT",
     .help = "go on from this (again for more; default: three held-out documents)",
     .offset = offsetof(struct generate_options, prompts)},
    {.name = "tokens",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "tokens to write (default 300)",
     .offset = offsetof(struct generate_options, tokens),
     .min = 1,
     .max = TOKENS_MAX},
    {.name = "temperature",
     .kind = DPC_OPTION_NUMBER,
     .value_name = "T",
     .help = "0: the likeliest each time (default 0.8)",
     .offset = offsetof(struct generate_options, temperature),
     .min = 0,
     .max = 100},
    {.name = "top-k",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "draw among the N likeliest; 0: all (default 40)",
     .offset = offsetof(struct generate_options, top_k),
     .min = 0,
     .max = DPC_VOCAB_MAX},
    {.name = "seed",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "of the draws (default 1)",
     .offset = offsetof(struct generate_options, seed),
     .min = 0,
     .max = 9e15},
    {.name = "path",
     .kind = DPC_OPTION_TEXT,
     .value_name = "NAME",
     .help = "this path, such as 0-1 or dense, instead of routing",
     .offset = offsetof(struct generate_options, path)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct generate_options, json)},
};

static struct dpc_sample_settings
settings_of(const struct generate_options *given)
{
    struct dpc_sample_settings settings = dpc_sample_defaults;
    if (given->tokens >= 0)
        settings.tokens = (uint32_t)given->tokens;
    if (given->top_k >= 0)
        settings.top_k = (uint32_t)given->top_k;
    if (given->seed >= 0)
        settings.seed = (uint64_t)given->seed;
    if (given->temperature >= 0)
        settings.temperature = given->temperature;
    settings.path = given->path;
    return settings;
}

static int
make_samples(struct dpc_model *model, const struct generate_options *given,
             struct dpc_json *samples, struct dpc_error *err)
{
    struct dpc_sample_settings settings = settings_of(given);
    int rc = dpc_sample_make(model, &settings, &given->prompts, samples, err);
    if (rc == DPC_OK && dpc_json_count(samples) == 0)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there are no held-out documents yet to go on from: give a --prompt");
    return rc;
}

static void
print_samples(struct dpc_json *samples, bool json)
{
    struct dpc_buf text;
    if (json) {
        struct dpc_json *root = dpc_json_object();
        dpc_json_set(root, "samples", samples);
        dpc_json_show(root, stdout);
        dpc_json_destroy(root);
        return;
    }
    dpc_buf_init(&text, 0);
    dpc_sample_print(samples, &text);
    fputs(dpc_buf_text(&text), stdout);
    dpc_buf_done(&text);
    dpc_json_destroy(samples);
}

static int
run(const struct dpc_call *call)
{
    const struct generate_options *given = call->options;
    struct dpc_model *model = NULL;
    struct dpc_json *samples = dpc_json_array();
    struct dpc_error err;
    int rc = dpc_model_open(call->arguments.items[0], &model, &err);
    if (rc == DPC_OK)
        rc = make_samples(model, given, samples, &err);
    dpc_model_close(model);
    if (rc != DPC_OK) {
        dpc_json_destroy(samples);
        return dpc_complain_error(call, &err);
    }
    print_samples(samples, given->json);
    return DPC_EXIT_OK;
}

const struct dpc_command dpc_command_generate = {
    .name = "generate",
    .arguments = "DIR",
    .summary = "Lets a path of a run go on from a prompt.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
