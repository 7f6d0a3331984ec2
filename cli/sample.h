/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that a trained model wrote: each prompt is routed by its first tokens, and the path that it
 * is routed to goes on from it.
 *
 * Owns: nothing. Threads: one. A pure function of (store, prompt, settings) within a numeric class.
 */
#ifndef DPC_CLI_SAMPLE_H
#define DPC_CLI_SAMPLE_H

#include "base/buf.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/model.h"

struct dpc_sample_settings {
    uint32_t tokens;
    double temperature;
    uint32_t top_k; /* 0: all */
    uint64_t seed;
    const char *path; /* name; NULL: routed */
};

extern const struct dpc_sample_settings dpc_sample_defaults;

/* Appends {"path", "prompt", "text"} to the array `samples` for each prompt, the texts as they are
 * but for what JSON cannot hold; equal prompts differ in what follows. Without prompts they are the
 * beginnings (as long as the routing prefix) of up to three held-out documents, from as many
 * different paths as there are. */
int dpc_sample_make(struct dpc_model *model, const struct dpc_sample_settings *settings,
                    const struct dpc_texts *prompts, struct dpc_json *samples,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* For people: the path, then prompt and text, the prompt within brackets, cleaned for a terminal.
 */
void dpc_sample_print(const struct dpc_json *samples, struct dpc_buf *out);

#endif
