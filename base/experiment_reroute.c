/* SPDX-License-Identifier: Apache-2.0
 * Distances are whole pieces, since losses are kept by piece. */
#include "base/experiment_reroute.h"

#include <string.h>

#include "base/keys.h"

const char dpc_experiment_reroute_needed[] =
    "never, or a list of 1 to 8 rising multiples of 16 (tokens), such as [16, 64]";
_Static_assert(DPC_REROUTES_MAX == 8 && DPC_PIECE_TOKENS == 16,
               "dpc_experiment_reroute_needed says so");

/* --- Reading and printing. */

static int
read_every(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
           struct dpc_experiment *experiment, struct dpc_error *err)
{
    static const struct dpc_range range = {.min = DPC_PIECE_TOKENS, .max = DPC_CONTEXT_MAX};
    uint32_t count = experiment->reroute.every_count;
    uint64_t tokens;
    if (dpc_keys_read_uint(node, &range, &tokens) != DPC_OK || tokens % DPC_PIECE_TOKENS ||
        (count && tokens <= experiment->reroute.every[count - 1]))
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "needs %s",
                                 dpc_experiment_reroute_needed);
    experiment->reroute.every[experiment->reroute.every_count++] = (uint32_t)tokens;
    return DPC_OK;
}

int
dpc_experiment_read_reroute(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                            const char *path, void *target, struct dpc_error *err)
{
    struct dpc_experiment *experiment = target;
    const char *text = dpc_yaml_text(node);
    size_t count = dpc_yaml_count(node);
    /* There may be a list already, which this one replaces. */
    memset(experiment->reroute.every, 0, sizeof experiment->reroute.every);
    experiment->reroute.every_count = 0;
    if (text && strcmp(text, "never") == 0)
        return DPC_OK;
    if (dpc_yaml_kind(node) != DPC_YAML_LIST || count == 0 || count > DPC_REROUTES_MAX)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "needs %s",
                                 dpc_experiment_reroute_needed);
    int code = DPC_OK;
    for (size_t i = 0; code == DPC_OK && i < count; i++)
        code = read_every(yaml, dpc_yaml_at(yaml, node, i), path, experiment, err);
    return code;
}

void
dpc_experiment_print_reroute(const void *target, struct dpc_buf *out)
{
    const struct dpc_experiment *experiment = target;
    uint32_t count = experiment->reroute.every_count;
    for (uint32_t i = 0; i < count; i++)
        dpc_buf_printf(out, "%s%u", i ? ", " : "[", experiment->reroute.every[i]);
    dpc_buf_printf(out, count ? "]" : "never");
}

/* --- Rules. */

/* The network gives each path one of the outputs that the model has for its vocabulary. */
static int
check_paths(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    uint32_t paths = dpc_experiment_paths(experiment);
    if (paths < 2)
        return dpc_keys_error(yaml, "reroute.every", err, DPC_EINVAL,
                              "chooses between paths, and there is one: write never, or give a "
                              "level more modules");
    if (paths > DPC_REROUTE_PATHS_MAX)
        return dpc_keys_error(yaml, "reroute.every", err, DPC_EINVAL,
                              "chooses between %u paths, and at most %d are possible: write never, "
                              "or make fewer paths",
                              paths, DPC_REROUTE_PATHS_MAX);
    if (paths > experiment->model.vocab)
        return dpc_keys_error(yaml, "reroute.every", err, DPC_EINVAL,
                              "chooses between %u paths, and a model of %u tokens has outputs for "
                              "as many: write never, or make fewer paths",
                              paths, experiment->model.vocab);
    return DPC_OK;
}

/* A document that ends before its second route has one, as with never. */
static int
check_every(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    uint32_t longest = experiment->reroute.every[experiment->reroute.every_count - 1];
    uint64_t read = (uint64_t)experiment->evaluation.windows * experiment->model.context;
    if (longest < read)
        return DPC_OK;
    return dpc_keys_error(yaml, "reroute.every", err, DPC_EINVAL,
                          "has %u, and evaluation.windows, %u of %u tokens, reads %llu of a "
                          "document: leave it out, or raise evaluation.windows",
                          longest, experiment->evaluation.windows, experiment->model.context,
                          (unsigned long long)read);
}

static int
check_pieces(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
             struct dpc_error *err)
{
    if (experiment->model.context % DPC_PIECE_TOKENS)
        return dpc_keys_error(yaml, "model.context", err, DPC_EINVAL,
                              "is %u, and reroute.every cuts windows into pieces of %d tokens: "
                              "make it a multiple of that",
                              experiment->model.context, DPC_PIECE_TOKENS);
    if (dpc_experiment_pieces(experiment) > DPC_PIECES_PER_LEASE_MAX)
        return dpc_keys_error(yaml, "evaluation.windows", err, DPC_ELIMIT,
                              "makes %llu pieces of %d tokens of a document for reroute.every: at "
                              "most %d are possible, lower it",
                              (unsigned long long)dpc_experiment_pieces(experiment),
                              DPC_PIECE_TOKENS, DPC_PIECES_PER_LEASE_MAX);
    if (experiment->reroute.ahead % DPC_PIECE_TOKENS)
        return dpc_keys_error(yaml, "reroute.ahead", err, DPC_EINVAL,
                              "is %u: needed is a multiple of %d", experiment->reroute.ahead,
                              DPC_PIECE_TOKENS);
    return DPC_OK;
}

int
dpc_experiment_check_reroute(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                             struct dpc_error *err)
{
    if (experiment->reroute.every_count == 0)
        return DPC_OK;
    if (experiment->data.router <= 0)
        return dpc_keys_error(yaml, "data.router", err, DPC_EINVAL,
                              "is 0, and reroute.every learns from the documents of that split: "
                              "raise it, to 0.04 for example");
    int code = check_paths(experiment, yaml, err);
    if (code == DPC_OK)
        code = check_every(experiment, yaml, err);
    return code == DPC_OK ? check_pieces(experiment, yaml, err) : code;
}
