/* SPDX-License-Identifier: Apache-2.0
 *
 * A model in a folder in memory, as an export writes it: value i of the whole is i / 64.
 */
#ifndef DPC_TESTS_LLAMA_FOLDER_H
#define DPC_TESTS_LLAMA_FOLDER_H

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/llama.h"
#include "tests/unit/base/memory_vfs.h"

struct llama_folder {
    char *config;
    struct dpc_buf weights[2]; /* all of it, or a half each */
    struct memory_files files;
    struct dpc_vfs vfs;
};

static inline void
tiny_llama(struct dpc_experiment *experiment)
{
    *experiment = (struct dpc_experiment){
        .name = "tiny",
        .model = {.dim = 8,
                  .heads = 2,
                  .kv_heads = 1,
                  .ffn = 4,
                  .context = 16,
                  .vocab = 16,
                  .rope_base = 10000,
                  .norm_epsilon = 1e-5},
        .levels_count = 2,
        .warm_start.replicas = 1,
        .levels = {{.name = "lower", .embedding = true, .blocks = 1, .modules = 2},
                   {.name = "upper", .blocks = 1, .head = true, .modules = 2}},
    };
}

/* Tensors `from` up to `to` of the list. */
static inline void
llama_write(const struct dpc_llama *llama, uint32_t from, uint32_t to,
            enum dpc_safetensors_type type, struct dpc_buf *out)
{
    struct dpc_safetensor tensors[64];
    uint32_t value = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct dpc_llama_tensor *ours = &llama->tensors[i];
        tensors[i - from] =
            (struct dpc_safetensor){.type = type,
                                    .dims_count = ours->rows ? 2 : 1,
                                    .dims = {ours->rows ? ours->rows : ours->cols, ours->cols}};
        (void)snprintf(tensors[i - from].name, sizeof tensors->name, "%s", ours->name);
    }
    dpc_buf_init(out, 0);
    (void)dpc_safetensors_place(tensors, to - from);
    dpc_safetensors_put_header(tensors, to - from, "pt", out);
    for (uint32_t i = 0; i < to; i++) {
        for (size_t k = 0; k < dpc_llama_values(&llama->tensors[i]); k++) {
            float number = (float)value++ / 64;
            uint8_t bytes[sizeof number];
            dpc_safetensors_encode(type, &number, 1, bytes);
            if (i >= from)
                dpc_buf_put(out, bytes, dpc_safetensors_value_bytes(type));
        }
    }
}

/* `parts`: 1 or 2 files. */
static inline void
llama_folder_make(struct llama_folder *folder, const struct dpc_experiment *experiment,
                  uint32_t parts, enum dpc_safetensors_type type)
{
    static const char *const names[2][2] = {{"m/model.safetensors"},
                                            {"m/a.safetensors", "m/b.bin"}};
    static const char index[] =
        "{\"weight_map\": {\"x\": \"a.safetensors\", \"y\": \"b.bin\", \"z\": \"a.safetensors\"}}";
    struct dpc_llama llama;
    *folder = (struct llama_folder){.config = NULL};
    struct dpc_json *config = dpc_llama_config(experiment, type);
    folder->config = dpc_json_print(config, true);
    dpc_json_destroy(config);
    folder->vfs = memory_vfs(&folder->files);
    memory_add(&folder->files, "m/config.json", folder->config, strlen(folder->config));
    dpc_llama_init(&llama, experiment);
    for (uint32_t part = 0; part < parts; part++) {
        llama_write(&llama, part * (llama.count / 2),
                    part + 1 == parts ? llama.count : llama.count / 2, type,
                    &folder->weights[part]);
        memory_add(&folder->files, names[parts - 1][part], folder->weights[part].data,
                   folder->weights[part].len);
    }
    if (parts == 2)
        memory_add(&folder->files, "m/model.safetensors.index.json", index, sizeof index - 1);
    dpc_llama_done(&llama);
}

static inline void
llama_folder_done(struct llama_folder *folder)
{
    dpc_free(folder->config);
    dpc_buf_done(&folder->weights[0]);
    dpc_buf_done(&folder->weights[1]);
}

#endif
