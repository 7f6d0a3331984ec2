/* SPDX-License-Identifier: Apache-2.0 */
#include "base/experiment_levels.h"

#include <string.h>

#include "base/keys.h"

/* --- Parts of a level: "[embedding, {blocks: 2}, head]". */

const char dpc_experiment_parts_needed[] =
    "a list of embedding, {blocks: N} and head, in this order";
static const struct dpc_range blocks_range = {.min = 1, .max = DPC_BLOCKS_MAX};

/* "embedding" or "head": each once, in the order of a network. */
static int
add_word_part(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
              struct dpc_level *level, struct dpc_error *err)
{
    const char *word = dpc_yaml_text(node);
    bool empty = !level->embedding && !level->blocks && !level->head;
    if (strcmp(word, "embedding") == 0 && empty)
        level->embedding = true;
    else if (strcmp(word, "embedding") == 0)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL,
                                 "has the embedding behind another part: it must be the first");
    else if (strcmp(word, "head") == 0 && !level->head)
        level->head = true;
    else if (strcmp(word, "head") == 0)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "has two heads");
    else
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL,
                                 "has the part \"%.40s\": needed is %s", word,
                                 dpc_experiment_parts_needed);
    return DPC_OK;
}

static int
add_blocks(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
           struct dpc_level *level, struct dpc_error *err)
{
    uint64_t blocks;
    const char *key = dpc_yaml_kind(node) == DPC_YAML_MAP && dpc_yaml_count(node) == 1
                          ? dpc_yaml_text(dpc_yaml_key_at(yaml, node, 0))
                          : NULL;
    if (!key || strcmp(key, "blocks") != 0)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL,
                                 "has an unknown part: needed is %s", dpc_experiment_parts_needed);
    int code = dpc_keys_read_uint(dpc_yaml_at(yaml, node, 0), &blocks_range, &blocks);
    if (code != DPC_OK)
        return dpc_keys_error_at(
            yaml, node, path, err, code,
            "has a bad number of blocks: needed is a whole number from 1 to %d", DPC_BLOCKS_MAX);
    if (level->blocks)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL,
                                 "has blocks twice: write their sum once");
    level->blocks = (uint32_t)blocks;
    return DPC_OK;
}

int
dpc_experiment_read_parts(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                          const char *path, void *target, struct dpc_error *err)
{
    struct dpc_level *level = target;
    size_t count = dpc_yaml_count(node);
    if (dpc_yaml_kind(node) != DPC_YAML_LIST || count == 0)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "needs at least one part: %s",
                                 dpc_experiment_parts_needed);
    for (size_t i = 0; i < count; i++) {
        const struct dpc_yaml_node *part = dpc_yaml_at(yaml, node, i);
        if (level->head)
            return dpc_keys_error_at(yaml, part, path, err, DPC_EINVAL,
                                     "has a part behind the head: the head must be the last");
        int code = dpc_yaml_text(part) ? add_word_part(yaml, part, path, level, err)
                                       : add_blocks(yaml, part, path, level, err);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

void
dpc_experiment_print_parts(const void *target, struct dpc_buf *out)
{
    const struct dpc_level *level = target;
    const char *separator = "";
    dpc_buf_printf(out, "[");
    if (level->embedding) {
        dpc_buf_printf(out, "embedding");
        separator = ", ";
    }
    if (level->blocks) {
        dpc_buf_printf(out, "%s{blocks: %u}", separator, level->blocks);
        separator = ", ";
    }
    if (level->head)
        dpc_buf_printf(out, "%shead", separator);
    dpc_buf_printf(out, "]");
}

/* --- How many modules: a number, or "path". */

const char dpc_experiment_modules_needed[] = "a whole number from 1 to 4096, or path";
_Static_assert(DPC_MODULES_MAX == 4096, "dpc_experiment_modules_needed says so");
static const struct dpc_range modules_range = {.min = 1, .max = DPC_MODULES_MAX};

int
dpc_experiment_read_modules(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                            const char *path, void *target, struct dpc_error *err)
{
    struct dpc_level *level = target;
    const char *text = dpc_yaml_text(node);
    uint64_t modules = 1;
    if (text && strcmp(text, "identity") == 0)
        return dpc_keys_error_at(
            yaml, node, path, err, DPC_EINVAL,
            "is identity, which is a key of its own: write a number of modules "
            "and, beside it, identity: true");
    level->own = text && strcmp(text, "path") == 0;
    int code = level->own ? DPC_OK : dpc_keys_read_uint(node, &modules_range, &modules);
    if (code != DPC_OK)
        return dpc_keys_error_at(yaml, node, path, err, code, "is %.40s: needed is %s",
                                 text ? text : "no word", dpc_experiment_modules_needed);
    level->modules = (uint32_t)modules;
    return DPC_OK;
}

void
dpc_experiment_print_modules(const void *target, struct dpc_buf *out)
{
    const struct dpc_level *level = target;
    if (level->own)
        dpc_buf_printf(out, "path");
    else
        dpc_buf_printf(out, "%u", level->modules);
}
