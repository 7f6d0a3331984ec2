/* SPDX-License-Identifier: Apache-2.0
 * A name of a path is a digit for each level that paths share; what a digit may be is known once
 * the levels are read, so it is checked behind them. */
#include "base/experiment_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"

enum { DIGIT_CHARACTERS_MAX = 4 };
_Static_assert(DPC_MODULES_MAX < 10000, "a digit fits its characters");

const char dpc_experiment_paths_needed[] =
    "all, or a list of 1 to 512 paths such as 0-1: of each level that paths share the number of a "
    "module";
_Static_assert(DPC_PATHS_LISTED_MAX == 512, "dpc_experiment_paths_needed says so");

/* --- Reading and printing. */

/* A number as a path's name has it; false when there is none. */
static bool
parse_digit(const char **text, uint16_t *ret_choice)
{
    size_t len = strspn(*text, "0123456789");
    if (len == 0 || len > DIGIT_CHARACTERS_MAX || (len > 1 && **text == '0'))
        return false;
    *ret_choice = (uint16_t)strtoul(*text, NULL, 10);
    *text += len;
    return true;
}

static bool
parse_path(const char *text, struct dpc_listed_path *ret_path)
{
    while (ret_path->digits < DPC_LEVELS_MAX &&
           parse_digit(&text, &ret_path->choices[ret_path->digits])) {
        ret_path->digits++;
        if (*text == 0)
            return true;
        if (*text++ != '-')
            return false;
    }
    return false;
}

static int
read_path(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *list,
          uint32_t index, struct dpc_experiment *experiment, struct dpc_error *err)
{
    char path[DPC_NAME_MAX];
    const char *text = dpc_yaml_text(node);
    if (text && parse_path(text, &experiment->listed[index]))
        return DPC_OK;
    (void)snprintf(path, sizeof path, "%s[%u]", list, index);
    return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL,
                             "is %.40s: needed is a path's name such as 0-1: of each level that "
                             "paths share the number of a module",
                             text && *text ? text : "no name");
}

int
dpc_experiment_read_paths(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                          const char *path, void *target, struct dpc_error *err)
{
    struct dpc_experiment *experiment = target;
    const char *text = dpc_yaml_text(node);
    size_t count = dpc_yaml_count(node);
    /* There may be a list already, which this one replaces. */
    memset(experiment->listed, 0, sizeof experiment->listed);
    experiment->listed_count = 0;
    if (text && strcmp(text, "all") == 0)
        return DPC_OK;
    if (dpc_yaml_kind(node) != DPC_YAML_LIST)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "is %.40s: needed is %s",
                                 text && *text ? text : "no list", dpc_experiment_paths_needed);
    if (count == 0 || count > DPC_PATHS_LISTED_MAX)
        return dpc_keys_error_at(yaml, node, path, err, DPC_ERANGE,
                                 "has %zu items: allowed are 1 to %d", count, DPC_PATHS_LISTED_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int code = read_path(yaml, dpc_yaml_at(yaml, node, i), path, i, experiment, err);
        if (code != DPC_OK)
            return code;
    }
    experiment->listed_count = (uint32_t)count;
    return DPC_OK;
}

void
dpc_experiment_print_paths(const void *target, struct dpc_buf *out)
{
    const struct dpc_experiment *experiment = target;
    if (experiment->listed_count == 0) {
        dpc_buf_printf(out, "all");
        return;
    }
    for (uint32_t i = 0; i < experiment->listed_count; i++) {
        const struct dpc_listed_path *path = &experiment->listed[i];
        dpc_buf_printf(out, i ? ", " : "[");
        for (uint32_t digit = 0; digit < path->digits; digit++)
            dpc_buf_printf(out, "%s%u", digit ? "-" : "", path->choices[digit]);
    }
    dpc_buf_printf(out, "]");
}

/* --- Rules. */

static int
check_entry(const struct dpc_experiment *experiment, uint32_t index, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    const struct dpc_listed_path *path = &experiment->listed[index];
    char key[DPC_NAME_MAX];
    uint32_t digit = 0;
    (void)snprintf(key, sizeof key, "paths[%u]", index);
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        const struct dpc_level *level = &experiment->levels[i];
        if (level->own)
            continue;
        if (digit < path->digits && path->choices[digit] >= level->modules)
            return dpc_keys_error(yaml, key, err, DPC_EINVAL,
                                  "takes module %u of level %s, which has %u, numbered from 0",
                                  path->choices[digit], level->name, level->modules);
        digit++;
    }
    if (digit != path->digits)
        return dpc_keys_error(yaml, key, err, DPC_EINVAL,
                              "names %u modules, and there are %u levels that paths share: write "
                              "one number for each of these",
                              path->digits, digit);
    return DPC_OK;
}

static bool
is_taken(const struct dpc_experiment *experiment, uint32_t digit, uint32_t choice)
{
    for (uint32_t i = 0; i < experiment->listed_count; i++) {
        if (experiment->listed[i].choices[digit] == choice)
            return true;
    }
    return false;
}

static int
check_cover(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    uint32_t digit = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        const struct dpc_level *level = &experiment->levels[i];
        for (uint32_t choice = 0; !level->own && choice < level->modules; choice++) {
            if (!is_taken(experiment, digit, choice))
                return dpc_keys_error(yaml, "paths", err, DPC_EINVAL,
                                      "leave out the module %s.%u, which nothing would train: list "
                                      "a path that takes it, or give level %s fewer modules",
                                      level->name, choice, level->name);
        }
        digit += !level->own;
    }
    return DPC_OK;
}

int
dpc_experiment_check_paths(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                           struct dpc_error *err)
{
    for (uint32_t i = 0; i < experiment->listed_count; i++) {
        int code = check_entry(experiment, i, yaml, err);
        if (code != DPC_OK)
            return code;
    }
    return experiment->listed_count ? check_cover(experiment, yaml, err) : DPC_OK;
}

bool
dpc_experiment_has_replicas(const struct dpc_experiment *experiment)
{
    for (uint32_t i = 0; i < experiment->listed_count; i++) {
        for (uint32_t before = 0; before < i; before++) {
            if (memcmp(&experiment->listed[before], &experiment->listed[i],
                       sizeof experiment->listed[i]) == 0)
                return true;
        }
    }
    return dpc_experiment_replicas(experiment) > 1;
}
