/* SPDX-License-Identifier: Apache-2.0
 *
 * One answer of `dipaco serve`: a request for text as OpenAI's completions have it, and the text
 * that a path writes for it, token by token.
 *
 * Owns: a completion its generator, and a hold on its path. Threads: those of the model.
 * Limits: DPC_SERVE_TOKENS_MAX tokens, DPC_SERVE_STOPS_MAX texts that end it.
 * Not here: HTTP (cli/serve.h).
 */
#ifndef DPC_CLI_COMPLETION_H
#define DPC_CLI_COMPLETION_H

#include <stdio.h>

#include "base/json.h"
#include "cli/model.h"
#include "modules/generate.h"

enum { DPC_SERVE_STOPS_MAX = 4 };

/* What a model that chooses its path is called in requests. */
#define DPC_SERVE_ROUTED "dipaco"

struct dpc_completion_request {
    struct dpc_json *json; /* texts point into it */
    const char *model;     /* DPC_SERVE_ROUTED, or the name of a path */
    const char *prompt;
    size_t prompt_len;
    const char *stops[DPC_SERVE_STOPS_MAX];
    uint32_t stops_count;
    uint32_t tokens_max;
    struct dpc_generator_settings settings;
    bool stream;
};

/* Of a body in JSON: `prompt`, which is needed, and `model`, `max_tokens`, `temperature`, `top_k`,
 * `seed`, `stop`, `stream`. DPC_EPARSE, DPC_EINVAL for a value that cannot be or a key that is not
 * known, with what can be. */
int dpc_completion_parse(const char *body, size_t len, struct dpc_completion_request *ret_request,
                         struct dpc_error *err) DPC_MUST_CHECK;
void dpc_completion_request_done(struct dpc_completion_request *request);

struct dpc_completion;

/* Routes the prompt, or takes the path that the request names, and reads it. The request may be
 * released afterwards. DPC_EINVAL, DPC_ELIMIT, DPC_ENOTFOUND for a path that is none, DPC_EBUSY;
 * DPC_ESTALE when what the run was is gone, and looking at it again did not help. */
int dpc_completion_create(struct dpc_model *model, const struct dpc_completion_request *request,
                          uint64_t number, struct dpc_completion **ret_completion,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_completion *dpc_completion_destroy(struct dpc_completion *completion);

/* Writes one token, unless it is finished; with the last one it lets its path go. A failure
 * finishes it, too. */
void dpc_completion_step(struct dpc_completion *completion);
bool dpc_completion_is_finished(const struct dpc_completion *completion);
/* What it failed for; NULL: it did not. */
const char *dpc_completion_error(const struct dpc_completion *completion);
/* Whatever it still had to write: nobody reads it. */
void dpc_completion_abandon(struct dpc_completion *completion);

/* All of it, when it is finished. To be released with dpc_json_destroy. */
struct dpc_json *dpc_completion_answer(const struct dpc_completion *completion);
/* A line for whoever serves: who wrote, how much, and why it ended. When it is finished. */
void dpc_completion_log(const struct dpc_completion *completion, double seconds, FILE *out);
/* {"error": ...} as clients read it. */
struct dpc_json *dpc_completion_refusal(const char *words, bool ours);

/* Appends what came since the last call as server-sent events: text that cannot change any more,
 * and at the end the reason, or the error, and [DONE]. Nothing where there is nothing. */
void dpc_completion_put_events(struct dpc_completion *completion, struct dpc_buf *out);

#endif
