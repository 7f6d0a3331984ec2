/* SPDX-License-Identifier: Apache-2.0
 *
 * Our models as the rest of the world has them: a path is a Hugging Face LlamaForCausalLM, with the
 * same arithmetic (RMSNorm, rotary positions that turn the halves of a head, SwiGLU), and here
 * stands which of its tensors is which part of our modules (base/layout.h), and its config.json.
 * Theirs has matrices of their own for q, k and v, and for gate and up, which are rows of one of
 * ours; all are [outputs, inputs], so that values are copied as they stand.
 *
 * Owns: the table. Threads: read-only after _init. Not here: files (base/safetensors.h,
 * base/imported.h).
 */
#ifndef DPC_BASE_LLAMA_H
#define DPC_BASE_LLAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"
#include "base/json.h"
#include "base/safetensors.h"

struct dpc_llama_tensor {
    char name[DPC_NAME_MAX]; /* "model.layers.3.self_attn.q_proj.weight" */
    uint32_t level;
    size_t offset;       /* floats from the start of the level's module */
    uint32_t rows, cols; /* a vector has rows 0 */
};

struct dpc_llama {
    uint32_t count;
    struct dpc_llama_tensor *tensors; /* level after level, in the order of base/layout.h */
};

/* All tensors of a path that takes a module at every level of `experiment`. Release with _done. */
void dpc_llama_init(struct dpc_llama *llama, const struct dpc_experiment *experiment);
void dpc_llama_done(struct dpc_llama *llama);

/* Values of one. */
size_t dpc_llama_values(const struct dpc_llama_tensor *tensor);

/* The config.json of such a path, whose values stand in files as `type`; dpc_json_destroy it. */
struct dpc_json *dpc_llama_config(const struct dpc_experiment *experiment,
                                  enum dpc_safetensors_type type);

/* Whether a model of that config.json is one that the experiment's dense path can be: DPC_EINVAL
 * with every key that differs and both values; `name` stands for the file. Keys that are left out
 * have the values that Hugging Face's LlamaConfig gives them. */
int dpc_llama_check(const char *name, const struct dpc_json *config,
                    const struct dpc_experiment *experiment, struct dpc_error *err) DPC_MUST_CHECK;

#endif
