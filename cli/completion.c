/* SPDX-License-Identifier: Apache-2.0
 * Text is held back as long as it may still change: the beginning of a character, and what may
 * become one of the texts that end it. */
#include "cli/completion.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "cli/sample.h"
#include "cli/text.h"

/* --- Requests. */

static int
refuse(struct dpc_error *err, const char *key, const char *words)
{
    return dpc_error_set(err, DPC_EINVAL, "\"%.64s\" %s", key, words);
}

/* One text, or a list of one. */
static int
read_prompt(const struct dpc_json *value, struct dpc_completion_request *request,
            struct dpc_error *err)
{
    if (dpc_json_is_array(value) && dpc_json_count(value) == 1)
        value = dpc_json_at(value, 0);
    request->prompt = dpc_json_text_bytes(value, &request->prompt_len);
    return request->prompt ? DPC_OK : refuse(err, "prompt", "must be one text");
}

/* A text without a zero byte; NULL: it is none. */
static const char *
plain_text(const struct dpc_json *value)
{
    size_t len;
    const char *text = dpc_json_text_bytes(value, &len);
    return text && strlen(text) == len ? text : NULL;
}

static int
read_model(const struct dpc_json *value, struct dpc_completion_request *request,
           struct dpc_error *err)
{
    request->model = plain_text(value);
    return request->model ? DPC_OK : refuse(err, "model", "must be a text");
}

static int
read_number(const struct dpc_json *value, double min, double max, double *ret_number)
{
    double number = dpc_json_number(value, NAN);
    if (!(number >= min && number <= max))
        return DPC_EINVAL;
    *ret_number = number;
    return DPC_OK;
}

static int
read_whole(const struct dpc_json *value, double min, double max, uint64_t *ret_number)
{
    double number;
    if (read_number(value, min, max, &number) != DPC_OK || number != floor(number))
        return DPC_EINVAL;
    *ret_number = (uint64_t)number;
    return DPC_OK;
}

static int
read_tokens(const struct dpc_json *value, struct dpc_completion_request *request,
            struct dpc_error *err)
{
    uint64_t number;
    if (read_whole(value, 1, DPC_SERVE_TOKENS_MAX, &number) != DPC_OK)
        return dpc_error_set(err, DPC_EINVAL, "\"max_tokens\" must be a whole number from 1 to %d",
                             DPC_SERVE_TOKENS_MAX);
    request->tokens_max = (uint32_t)number;
    return DPC_OK;
}

static int
read_temperature(const struct dpc_json *value, struct dpc_completion_request *request,
                 struct dpc_error *err)
{
    return read_number(value, 0, 100, &request->settings.temperature) == DPC_OK
               ? DPC_OK
               : refuse(err, "temperature", "must be a number from 0 to 100");
}

static int
read_top_k(const struct dpc_json *value, struct dpc_completion_request *request,
           struct dpc_error *err)
{
    uint64_t number;
    if (read_whole(value, 0, DPC_VOCAB_MAX, &number) != DPC_OK)
        return refuse(err, "top_k", "must be a whole number from 0 to 65536");
    request->settings.top_k = (uint32_t)number;
    return DPC_OK;
}

static int
read_seed(const struct dpc_json *value, struct dpc_completion_request *request,
          struct dpc_error *err)
{
    return read_whole(value, 0, 0x1p53, &request->settings.seed) == DPC_OK
               ? DPC_OK
               : refuse(err, "seed", "must be a whole number from 0 to 2^53");
}

static int
read_stop(const struct dpc_json *value, struct dpc_completion_request *request,
          struct dpc_error *err)
{
    bool list = dpc_json_is_array(value);
    size_t count = list ? dpc_json_count(value) : 1;
    bool fine = count <= DPC_SERVE_STOPS_MAX;
    for (size_t i = 0; fine && i < count; i++) {
        const char *text = plain_text(list ? dpc_json_at(value, i) : value);
        fine = text && *text;
        request->stops[request->stops_count++] = text;
    }
    return fine ? DPC_OK
                : refuse(err, "stop",
                         "must be a text or a list of at most four, none of them empty");
}

static int
read_stream(const struct dpc_json *value, struct dpc_completion_request *request,
            struct dpc_error *err)
{
    request->stream = dpc_json_bool(value, false);
    return dpc_json_bool(value, true) == request->stream
               ? DPC_OK
               : refuse(err, "stream", "must be true or false");
}

/* What others take and this does not: only where it changes nothing, as the one number does, or
 * what is empty. */
static bool
is_neutral(const struct dpc_json *value, double neutral)
{
    size_t len;
    bool empty = dpc_json_text_bytes(value, &len)
                     ? len == 0
                     : dpc_json_is_object(value) && dpc_json_count(value) == 0;
    return dpc_json_is_null(value) || dpc_json_number(value, NAN) == neutral ||
           (neutral == 0 && !dpc_json_bool(value, true)) || (isnan(neutral) && empty);
}

static const struct {
    const char *name;
    int (*read)(const struct dpc_json *value, struct dpc_completion_request *request,
                struct dpc_error *err);
    double neutral; /* without `read`; NAN: no number is */
} keys[] = {
    {"prompt", read_prompt, 0},
    {"model", read_model, 0},
    {"max_tokens", read_tokens, 0},
    {"temperature", read_temperature, 0},
    {"top_k", read_top_k, 0},
    {"seed", read_seed, 0},
    {"stop", read_stop, 0},
    {"stream", read_stream, 0},
    {"n", NULL, 1},
    {"best_of", NULL, 1},
    {"top_p", NULL, 1},
    {"presence_penalty", NULL, 0},
    {"frequency_penalty", NULL, 0},
    {"echo", NULL, 0},
    {"logprobs", NULL, NAN},
    {"suffix", NULL, NAN},
    {"logit_bias", NULL, NAN},
};

struct reading {
    struct dpc_completion_request *request;
    struct dpc_error *err;
    int code;
};

static bool
read_key(void *context, const char *key, const struct dpc_json *value)
{
    struct reading *reading = context;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, key) != 0)
            continue;
        if (!keys[i].read)
            reading->code = is_neutral(value, keys[i].neutral)
                                ? DPC_OK
                                : refuse(reading->err, key, "is not supported: leave it out");
        else if (!dpc_json_is_null(value))
            reading->code = keys[i].read(value, reading->request, reading->err);
        return reading->code == DPC_OK;
    }
    /* The last event tells the usage anyway. */
    reading->code = strcmp(key, "user") == 0 || strcmp(key, "stream_options") == 0
                        ? DPC_OK
                        : refuse(reading->err, key,
                                 "is unknown: there are prompt, model, max_tokens, temperature, "
                                 "top_k, seed, stop and stream");
    return reading->code == DPC_OK;
}

int
dpc_completion_parse(const char *body, size_t len, struct dpc_completion_request *ret_request,
                     struct dpc_error *err)
{
    struct dpc_completion_request request = {
        .model = DPC_SERVE_ROUTED,
        .tokens_max = 100,
        .settings = {dpc_sample_defaults.temperature, dpc_sample_defaults.top_k,
                     dpc_sample_defaults.seed},
    };
    int code = dpc_json_parse_unique(len ? body : "", len, &request.json, err);
    if (code != DPC_OK)
        return code;
    struct reading reading = {&request, err, DPC_OK};
    if (!dpc_json_is_object(request.json))
        reading.code = dpc_error_set(err, DPC_EINVAL, "the request must be a JSON object");
    else
        dpc_json_each(request.json, read_key, &reading);
    if (reading.code == DPC_OK && !request.prompt)
        reading.code = refuse(err, "prompt", "is missing");
    if (reading.code != DPC_OK) {
        dpc_completion_request_done(&request);
        return reading.code;
    }
    *ret_request = request;
    return DPC_OK;
}

void
dpc_completion_request_done(struct dpc_completion_request *request)
{
    request->json = dpc_json_destroy(request->json);
}

/* --- Writing. */

struct dpc_completion {
    struct dpc_model *model;
    struct dpc_path *path;
    const struct dpc_tokenizer *tokenizer;
    struct dpc_generator *generator;
    struct dpc_buf text;
    size_t told; /* bytes of it that went out as events */
    bool told_end;
    char *stops[DPC_SERVE_STOPS_MAX];
    uint32_t stops_count;
    uint32_t prompt_tokens, tokens, tokens_max;
    const char *reason; /* that it is finished for; NULL: it is not */
    struct dpc_error err;
    char id[32], name[2 * DPC_NAME_MAX];
    int64_t created_s;
};

static int
choose_path(struct dpc_model *model, const char *name, const int32_t *tokens, uint32_t count,
            uint32_t *ret_path, struct dpc_error *err)
{
    if (strcmp(name, DPC_SERVE_ROUTED) == 0)
        return dpc_model_route(model, tokens, count, ret_path, err);
    if (dpc_topology_path_find(dpc_model_topology(model), name, ret_path))
        return DPC_OK;
    return dpc_error_set(err, DPC_ENOTFOUND,
                         "there is no model \"%.64s\": /v1/models lists those there are", name);
}

static int
begin(struct dpc_completion *completion, const struct dpc_completion_request *request,
      struct dpc_error *err)
{
    struct dpc_model *model = completion->model;
    struct dpc_path *composed = NULL;
    int32_t *tokens = NULL;
    uint32_t path = 0;
    if (request->prompt_len == 0)
        return refuse(err, "prompt", "is empty: paths go on from a text");
    int code = dpc_model_tokenizer(model, &completion->tokenizer, err);
    if (code == DPC_OK)
        code = dpc_tokenizer_encode_wide(completion->tokenizer, (const uint8_t *)request->prompt,
                                         request->prompt_len, &tokens, &completion->prompt_tokens,
                                         err);
    if (code == DPC_OK)
        code = choose_path(model, request->model, tokens, completion->prompt_tokens, &path, err);
    if (code == DPC_OK)
        code = dpc_model_path(model, path, &composed, err);
    if (code == DPC_OK) {
        dpc_model_hold(model, composed);
        completion->path = composed;
        dpc_topology_path_name(dpc_model_topology(model), path, completion->name,
                               sizeof completion->name);
        code = dpc_generator_create(composed, tokens, completion->prompt_tokens, &request->settings,
                                    &completion->generator);
        if (code != DPC_OK)
            dpc_error_set(err, code, "could not read the prompt: %s", dpc_error_words(code));
    }
    dpc_free(tokens);
    return code;
}

static bool
is_known(const struct dpc_model *model, const char *name)
{
    uint32_t path;
    return strcmp(name, DPC_SERVE_ROUTED) == 0 ||
           dpc_topology_path_find(dpc_model_topology(model), name, &path);
}

/* Beside a run that goes on versions are removed that it had when it was last looked at, and there
 * are others by now. What is not there yet is no fault of the request. */
static int
begin_again(struct dpc_completion *completion, const struct dpc_completion_request *request,
            struct dpc_error *err)
{
    int code = dpc_model_refresh(completion->model, err);
    if (code == DPC_OK)
        code = begin(completion, request, err);
    if (code == DPC_ENOTFOUND)
        code = err->code = DPC_ESTALE;
    return code;
}

/* What was read, and the path, are not needed any more. */
static void
let_go(struct dpc_completion *completion)
{
    completion->generator = dpc_generator_destroy(completion->generator);
    if (completion->path)
        dpc_model_let_go(completion->model, completion->path);
    completion->path = NULL;
}

int
dpc_completion_create(struct dpc_model *model, const struct dpc_completion_request *request,
                      uint64_t number, struct dpc_completion **ret_completion,
                      struct dpc_error *err)
{
    struct dpc_completion *completion = dpc_alloc(1, sizeof *completion);
    completion->model = model;
    completion->tokens_max = request->tokens_max;
    completion->created_s = (int64_t)time(NULL);
    (void)snprintf(completion->id, sizeof completion->id, "cmpl-%" PRIu64, number);
    dpc_buf_init(&completion->text, 0);
    for (uint32_t i = 0; i < request->stops_count; i++)
        completion->stops[completion->stops_count++] = dpc_strdup(request->stops[i]);
    int code = begin(completion, request, err);
    if (code == DPC_ESTALE || (code == DPC_ENOTFOUND && is_known(model, request->model)))
        code = begin_again(completion, request, err);
    if (code != DPC_OK) {
        dpc_completion_destroy(completion);
        return code;
    }
    *ret_completion = completion;
    return DPC_OK;
}

struct dpc_completion *
dpc_completion_destroy(struct dpc_completion *completion)
{
    if (!completion)
        return NULL;
    let_go(completion);
    for (uint32_t i = 0; i < completion->stops_count; i++)
        dpc_free(completion->stops[i]);
    dpc_buf_done(&completion->text);
    return dpc_free(completion);
}

static size_t
longest_stop(const struct dpc_completion *completion)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < completion->stops_count; i++) {
        size_t len = strlen(completion->stops[i]);
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* Cuts the text before the first of the texts that end it, when one has come with what stands
 * behind `before`. */
static bool
find_stop(struct dpc_completion *completion, size_t before)
{
    size_t longest = longest_stop(completion), from = before > longest ? before - longest : 0;
    const uint8_t *text = completion->text.data;
    size_t len = completion->text.len, first = len;
    for (uint32_t i = 0; i < completion->stops_count; i++) {
        const char *stop = completion->stops[i];
        const uint8_t *found = memmem(text + from, len - from, stop, strlen(stop));
        if (found && (size_t)(found - text) < first)
            first = (size_t)(found - text);
    }
    completion->text.len = first;
    return first < len;
}

/* What it is finished for; NULL: it goes on. */
static const char *
write_token(struct dpc_completion *completion)
{
    int32_t token;
    int code = dpc_generator_next(completion->generator, &token);
    if (code != DPC_OK) {
        (void)dpc_error_set(&completion->err, code, "could not write on: %s",
                            dpc_error_words(code));
        return "error";
    }
    size_t before = completion->text.len;
    dpc_tokenizer_decode(completion->tokenizer, &token, 1, &completion->text);
    completion->tokens++;
    if (find_stop(completion, before))
        return "stop";
    if (completion->tokens < completion->tokens_max)
        return NULL;
    /* The last token may have begun a character that it did not end. */
    completion->text.len = dpc_text_cut(completion->text.data, completion->text.len);
    return "length";
}

void
dpc_completion_step(struct dpc_completion *completion)
{
    if (completion->reason)
        return;
    completion->reason = write_token(completion);
    if (completion->reason)
        let_go(completion);
}

bool
dpc_completion_is_finished(const struct dpc_completion *completion)
{
    return completion->reason != NULL;
}

const char *
dpc_completion_error(const struct dpc_completion *completion)
{
    return completion->err.code ? completion->err.text : NULL;
}

void
dpc_completion_abandon(struct dpc_completion *completion)
{
    if (!completion->reason)
        completion->reason = "gone";
    let_go(completion);
}

/* --- Telling. */

void
dpc_completion_log(const struct dpc_completion *completion, double seconds, FILE *out)
{
    fprintf(out, "%s path=%s prompt_tokens=%" PRIu32 " tokens=%" PRIu32 " seconds=%.2f end=%s\n",
            completion->id, completion->name, completion->prompt_tokens, completion->tokens,
            seconds, completion->reason);
    fflush(out);
}

static struct dpc_json *
answer(const struct dpc_completion *completion, size_t from, size_t to, const char *reason)
{
    struct dpc_json *root = dpc_json_object(), *choices = dpc_json_array(),
                    *choice = dpc_json_object();
    dpc_json_set_text(root, "id", completion->id);
    dpc_json_set_text(root, "object", "text_completion");
    dpc_json_set_integer(root, "created", completion->created_s);
    dpc_json_set_text(root, "model", completion->name);
    dpc_text_set(choice, "text", completion->text.data + from, to - from);
    dpc_json_set_integer(choice, "index", 0);
    dpc_json_set(choice, "logprobs", NULL);
    if (reason)
        dpc_json_set_text(choice, "finish_reason", reason);
    else
        dpc_json_set(choice, "finish_reason", NULL);
    dpc_json_append(choices, choice);
    dpc_json_set(root, "choices", choices);
    return root;
}

static void
set_usage(const struct dpc_completion *completion, struct dpc_json *root)
{
    struct dpc_json *usage = dpc_json_object();
    dpc_json_set_integer(usage, "prompt_tokens", completion->prompt_tokens);
    dpc_json_set_integer(usage, "completion_tokens", completion->tokens);
    dpc_json_set_integer(usage, "total_tokens",
                         (int64_t)completion->prompt_tokens + completion->tokens);
    dpc_json_set(root, "usage", usage);
}

struct dpc_json *
dpc_completion_refusal(const char *words, bool ours)
{
    struct dpc_json *root = dpc_json_object(), *error = dpc_json_object();
    dpc_json_set_text(error, "message", words);
    dpc_json_set_text(error, "type", ours ? "server_error" : "invalid_request_error");
    dpc_json_set(root, "error", error);
    return root;
}

struct dpc_json *
dpc_completion_answer(const struct dpc_completion *completion)
{
    struct dpc_json *root = answer(completion, 0, completion->text.len, completion->reason);
    set_usage(completion, root);
    return root;
}

/* Up to where the text stands whatever comes. */
static size_t
settled(const struct dpc_completion *completion)
{
    size_t len = completion->text.len, longest = longest_stop(completion);
    if (completion->reason)
        return len;
    len = len > longest ? len - longest : 0; /* a stop may have begun in it */
    size_t whole = dpc_text_cut(completion->text.data, len);
    return whole > completion->told ? whole : completion->told;
}

static void
put_event(struct dpc_json *root, struct dpc_buf *out)
{
    char *text = dpc_json_print(root, false);
    dpc_buf_printf(out, "data: %s\n\n", text);
    dpc_free(text);
    dpc_json_destroy(root);
}

void
dpc_completion_put_events(struct dpc_completion *completion, struct dpc_buf *out)
{
    size_t to = settled(completion);
    if (to > completion->told) {
        put_event(answer(completion, completion->told, to, NULL), out);
        completion->told = to;
    }
    if (!completion->reason || completion->told_end)
        return;
    struct dpc_json *root;
    if (completion->err.code) {
        root = dpc_completion_refusal(completion->err.text, true);
    } else {
        root = answer(completion, to, to, completion->reason);
        set_usage(completion, root);
    }
    put_event(root, out);
    dpc_buf_printf(out, "data: [DONE]\n\n");
    completion->told_end = true;
}
