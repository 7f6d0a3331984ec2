/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sample.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/text.h"
#include "modules/generate.h"

enum { HELD_OUT_PROMPTS = 3 };

const struct dpc_sample_settings dpc_sample_defaults = {
    .tokens = 300, .temperature = 0.8, .top_k = 40, .seed = 1};

/* --- Tokens and text. */

/* The prompt as tokens, in fresh memory. */
static int
encode(struct dpc_model *model, const char *text, size_t len, int32_t **ret_tokens,
       uint32_t *ret_count, struct dpc_error *err)
{
    const struct dpc_tokenizer *tokenizer;
    if (len == 0)
        return dpc_error_set(err, DPC_EINVAL, "the prompt is empty");
    if (len > DPC_CONFIG_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "the prompt has %zu bytes; at most %zu are read", len,
                             (size_t)DPC_CONFIG_BYTES_MAX);
    int rc = dpc_model_tokenizer(model, &tokenizer, err);
    if (rc == DPC_OK)
        rc = dpc_tokenizer_encode_wide(tokenizer, (const uint8_t *)text, len, ret_tokens, ret_count,
                                       err);
    return rc;
}

static int
decode(struct dpc_model *model, const int32_t *tokens, uint32_t count, struct dpc_buf *out,
       struct dpc_error *err)
{
    const struct dpc_tokenizer *tokenizer;
    int rc = dpc_model_tokenizer(model, &tokenizer, err);
    if (rc == DPC_OK)
        dpc_tokenizer_decode(tokenizer, tokens, count, out);
    return rc;
}

/* --- One sample. */

static int
choose_path(struct dpc_model *model, const struct dpc_sample_settings *settings,
            const int32_t *tokens, uint32_t count, uint32_t *ret_path, struct dpc_error *err)
{
    if (!settings->path)
        return dpc_model_route(model, tokens, count, ret_path, err);
    return dpc_model_find_path(model, settings->path, ret_path, err);
}

static int
write_on(struct dpc_model *model, const struct dpc_sample_settings *settings, uint32_t path,
         const int32_t *tokens, uint32_t count, uint32_t index, struct dpc_buf *ret_text,
         struct dpc_error *err)
{
    struct dpc_path *composed = NULL;
    int rc = dpc_model_path_of_now(model, path, &composed, err);
    if (rc != DPC_OK)
        return rc;
    int32_t *written = dpc_alloc(settings->tokens, sizeof *written);
    rc = dpc_generate(composed, tokens, count, settings->tokens, settings->temperature,
                      settings->top_k, settings->seed + index, written);
    if (rc == DPC_OK)
        rc = decode(model, written, settings->tokens, ret_text, err);
    else
        rc = dpc_error_set(err, rc, "could not write text: %s", dpc_error_words(rc));
    dpc_free(written);
    return rc;
}

/* `prompt`: the text of the tokens. */
static int
add_sample(struct dpc_model *model, const struct dpc_sample_settings *settings, uint32_t path,
           const int32_t *tokens, uint32_t count, const char *prompt, size_t prompt_len,
           uint32_t index, struct dpc_json *samples, struct dpc_error *err)
{
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    int rc = write_on(model, settings, path, tokens, count, index, &text, err);
    if (rc == DPC_OK) {
        char name[2 * DPC_NAME_MAX];
        struct dpc_json *sample = dpc_json_object();
        dpc_topology_path_name(dpc_model_topology(model), path, name, sizeof name);
        dpc_json_set_text(sample, "path", name);
        dpc_text_set(sample, "prompt", prompt, prompt_len);
        /* The last token may have begun a character that it did not end. */
        dpc_text_set(sample, "text", text.data, dpc_text_cut(text.data, text.len));
        dpc_json_append(samples, sample);
    }
    dpc_buf_done(&text);
    return rc;
}

static int
add_prompt(struct dpc_model *model, const struct dpc_sample_settings *settings, const char *prompt,
           uint32_t index, struct dpc_json *samples, struct dpc_error *err)
{
    int32_t *tokens = NULL;
    uint32_t count = 0, path = 0;
    size_t len = strlen(prompt);
    int rc = encode(model, prompt, len, &tokens, &count, err);
    if (rc == DPC_OK)
        rc = choose_path(model, settings, tokens, count, &path, err);
    if (rc == DPC_OK)
        rc = add_sample(model, settings, path, tokens, count, prompt, len, index, samples, err);
    dpc_free(tokens);
    return rc;
}

/* --- Prompts from held-out documents. */

struct held_out {
    struct dpc_model *model;
    const struct dpc_sample_settings *settings;
    struct dpc_json *samples;
    uint32_t index;
    bool found;
};

/* Document number `doc` of the path, when it has so many. That path goes on from it, as it is
 * evaluated on it: its beginning alone does not always tell it (routing.init: metadata or hash).
 * Its own tokens are gone on from: those of its beginning's text could be others. */
static int
add_held_out(struct held_out *held_out, uint32_t path, uint32_t doc, struct dpc_error *err)
{
    struct dpc_model *model = held_out->model;
    uint32_t prefix = dpc_model_experiment(model)->routing.prefix;
    uint8_t *bytes = NULL;
    struct dpc_tokens *documents = NULL;
    int rc = dpc_model_test_documents(model, path, &bytes, &documents, err);
    if (rc == DPC_OK && doc < dpc_tokens_documents(documents)) {
        struct dpc_buf text;
        int32_t *tokens = dpc_alloc(prefix, sizeof *tokens);
        dpc_buf_init(&text, 0);
        uint32_t count = dpc_tokens_copy(documents, doc, 0, prefix, tokens);
        rc = decode(model, tokens, count, &text, err);
        size_t len = dpc_text_cut(text.data, text.len);
        held_out->found = true;
        if (rc == DPC_OK && held_out->settings->path)
            rc = dpc_model_find_path(model, held_out->settings->path, &path, err);
        if (rc == DPC_OK && len > 0)
            rc = add_sample(model, held_out->settings, path, tokens, count, (const char *)text.data,
                            len, held_out->index++, held_out->samples, err);
        dpc_buf_done(&text);
        dpc_free(tokens);
    }
    dpc_tokens_close(documents);
    dpc_free(bytes);
    return rc;
}

static int
add_documents(struct dpc_model *model, const struct dpc_sample_settings *settings,
              struct dpc_json *samples, struct dpc_error *err)
{
    const struct dpc_topology *topology = dpc_model_topology(model);
    struct held_out held_out = {
        .model = model, .settings = settings, .samples = samples, .found = true};
    int rc = DPC_OK;
    /* The first of each path, then the second of each. */
    for (uint32_t doc = 0; rc == DPC_OK && held_out.found && held_out.index < HELD_OUT_PROMPTS;
         doc++) {
        held_out.found = false;
        for (uint32_t path = 0;
             rc == DPC_OK && path < topology->routed_paths && held_out.index < HELD_OUT_PROMPTS;
             path++) {
            if (dpc_model_path_record(model, path)->test_documents)
                rc = add_held_out(&held_out, path, doc, err);
        }
    }
    return rc;
}

int
dpc_sample_make(struct dpc_model *model, const struct dpc_sample_settings *settings,
                const struct dpc_texts *prompts, struct dpc_json *samples, struct dpc_error *err)
{
    if (prompts->count == 0)
        return add_documents(model, settings, samples, err);
    int rc = DPC_OK;
    for (uint32_t i = 0; rc == DPC_OK && i < prompts->count; i++)
        rc = add_prompt(model, settings, prompts->items[i], i, samples, err);
    return rc;
}

/* --- Showing. */

/* Cleaned, and indented, so that no line of it can be taken for one of ours. */
static void
put_text(const char *text, struct dpc_buf *out)
{
    struct dpc_buf clean;
    dpc_buf_init(&clean, 0);
    dpc_text_clean(text, strlen(text), &clean);
    for (const char *at = dpc_buf_text(&clean); *at; at++) {
        dpc_buf_put_u8(out, (uint8_t)*at);
        if (*at == '\n')
            dpc_buf_put(out, "  ", 2);
    }
    dpc_buf_done(&clean);
}

void
dpc_sample_print(const struct dpc_json *samples, struct dpc_buf *out)
{
    for (size_t i = 0; i < dpc_json_count(samples); i++) {
        const struct dpc_json *sample = dpc_json_at(samples, i);
        dpc_buf_printf(out, "path %s\n", dpc_json_text(dpc_json_get(sample, "path"), "?"));
        dpc_buf_put(out, "  [", 3);
        put_text(dpc_json_text(dpc_json_get(sample, "prompt"), ""), out);
        dpc_buf_put(out, "]", 1);
        put_text(dpc_json_text(dpc_json_get(sample, "text"), ""), out);
        dpc_buf_put(out, "\n", 1);
    }
}
