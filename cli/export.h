/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths of a run as other programs read them: a folder with a Hugging Face LlamaForCausalLM
 * (model.safetensors, config.json), the tokenizer as files of the tokenizers library, and a README
 * that says what it is.
 *
 * Owns: nothing. Threads: one. Memory: the path once, in the model.
 */
#ifndef DPC_CLI_EXPORT_H
#define DPC_CLI_EXPORT_H

#include "base/safetensors.h"
#include "cli/model.h"

struct dpc_export_settings {
    enum dpc_safetensors_type type; /* F32 or BF16 */
    bool force;                     /* into a folder that holds something */
};

/* Writes a path, at its best round so far with early stopping, into `folder`, which is made where
 * it is missing. config.json comes last: a folder without it is not whole. DPC_EPERM when the
 * folder is not empty. `*ret_values` takes the number of parameters. */
int dpc_export_path(struct dpc_model *model, uint32_t path, const char *folder,
                    const struct dpc_export_settings *settings, uint64_t *ret_values,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
