/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/export.h"

struct export_options {
    const char *path, *out;
    int type;
    bool all, force;
};

static const char *const types[] = {"f32", "bf16", NULL};

static const struct dpc_option options[] = {
    {.name = "path",
     .kind = DPC_OPTION_TEXT,
     .value_name = "NAME",
     .help = "this path, such as 0-1 or dense",
     .offset = offsetof(struct export_options, path)},
    {.name = "all",
     .kind = DPC_OPTION_FLAG,
     .help = "every path, the dense one too, each into a folder of its name below FOLDER",
     .offset = offsetof(struct export_options, all)},
    {.name = "out",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FOLDER",
     .help = "where it goes (needed)",
     .offset = offsetof(struct export_options, out)},
    {.name = "dtype",
     .kind = DPC_OPTION_CHOICE,
     .value_name = "f32|bf16",
     .help = "form of the weights in the file (default f32, which is what they are)",
     .offset = offsetof(struct export_options, type),
     .choices = types},
    {.name = "force",
     .kind = DPC_OPTION_FLAG,
     .help = "write over what is in FOLDER",
     .offset = offsetof(struct export_options, force)},
};

static int
export_one(struct dpc_model *model, uint32_t path, const char *folder,
           const struct export_options *given, struct dpc_error *err)
{
    static const enum dpc_safetensors_type by_choice[] = {DPC_SAFETENSORS_F32,
                                                          DPC_SAFETENSORS_BF16};
    struct dpc_export_settings settings = {by_choice[given->type], given->force};
    char name[2 * DPC_NAME_MAX];
    uint64_t values;
    int rc = dpc_export_path(model, path, folder, &settings, &values, err);
    if (rc != DPC_OK)
        return rc;
    dpc_topology_path_name(dpc_model_topology(model), path, name, sizeof name);
    printf("%s: %s, %" PRIu64 " parameters\n", name, folder, values);
    return DPC_OK;
}

/* Replicas of the dense path, behind it, are the same model. */
static int
export_all(struct dpc_model *model, const struct export_options *given, struct dpc_error *err)
{
    const struct dpc_topology *topology = dpc_model_topology(model);
    uint32_t dense = dpc_topology_dense_path(topology);
    int rc = DPC_OK;
    for (uint32_t path = 0; rc == DPC_OK && path <= dense; path++) {
        char name[2 * DPC_NAME_MAX], folder[DPC_PATH_MAX];
        dpc_topology_path_name(topology, path, name, sizeof name);
        if (dpc_path_join(given->out, name, folder, sizeof folder) != DPC_OK)
            return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s/%s\" is too long", given->out,
                                 name);
        rc = export_one(model, path, folder, given, err);
    }
    return rc;
}

static int
export_named(struct dpc_model *model, const struct export_options *given, struct dpc_error *err)
{
    uint32_t path;
    int rc = dpc_model_find_path(model, given->path, &path, err);
    return rc == DPC_OK ? export_one(model, path, given->out, given, err) : rc;
}

static int
run(const struct dpc_call *call)
{
    const struct export_options *given = call->options;
    struct dpc_model *model = NULL;
    struct dpc_error err;
    if (!given->out)
        return dpc_complain(call, DPC_EXIT_USAGE, "--out FOLDER is missing: where the model goes");
    if (!given->path == !given->all)
        return dpc_complain(call, DPC_EXIT_USAGE,
                            "it takes --path NAME, such as 0-1 or dense, or --all");
    int rc = dpc_model_open(call->arguments.items[0], &model, &err);
    if (rc == DPC_OK)
        rc = given->all ? export_all(model, given, &err) : export_named(model, given, &err);
    dpc_model_close(model);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(call, &err);
}

const struct dpc_command dpc_command_export = {
    .name = "export",
    .arguments = "DIR",
    .summary = "Writes paths of a run as LlamaForCausalLM, for other programs.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct export_options),
    .run = run,
};
