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
    "module, or x";
_Static_assert(DPC_PATHS_LISTED_MAX == 512, "dpc_experiment_paths_needed says so");

/* --- Reading and printing. */

/* A number or x as a path's name has it; false when there is none. */
static bool
parse_digit(const char **text, uint16_t *ret_choice)
{
    size_t len = strspn(*text, "0123456789");
    if (**text == 'x') {
        *ret_choice = DPC_CHOICE_IDENTITY;
        ++*text;
        return true;
    }
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

static void
print_digit(uint16_t choice, const char *separator, struct dpc_buf *out)
{
    if (choice == DPC_CHOICE_IDENTITY)
        dpc_buf_printf(out, "%sx", separator);
    else
        dpc_buf_printf(out, "%s%u", separator, choice);
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
            print_digit(path->choices[digit], digit ? "-" : "", out);
    }
    dpc_buf_printf(out, "]");
}

/* --- Rules. */

/* An entry's choice at a level that is a digit. */
static int
check_choice(const struct dpc_level *level, uint16_t choice, const char *key,
             const struct dpc_yaml *yaml, struct dpc_error *err)
{
    if (choice == DPC_CHOICE_IDENTITY && !level->identity)
        return dpc_keys_error(
            yaml, key, err, DPC_EINVAL,
            "skips level %s, which has no identity: write the number of a module, "
            "or identity: true at the level",
            level->name);
    if (choice != DPC_CHOICE_IDENTITY && choice >= level->modules)
        return dpc_keys_error(yaml, key, err, DPC_EINVAL,
                              "takes module %u of level %s, which has %u, numbered from 0", choice,
                              level->name, level->modules);
    return DPC_OK;
}

static int
check_entry(const struct dpc_experiment *experiment, uint32_t index, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    const struct dpc_listed_path *path = &experiment->listed[index];
    char key[DPC_NAME_MAX];
    uint32_t digit = 0;
    uint64_t blocks = 0;
    (void)snprintf(key, sizeof key, "paths[%u]", index);
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        const struct dpc_level *level = &experiment->levels[i];
        bool counts = !level->own && digit < path->digits;
        int code = counts ? check_choice(level, path->choices[digit], key, yaml, err) : DPC_OK;
        if (code != DPC_OK)
            return code;
        blocks += counts && path->choices[digit] == DPC_CHOICE_IDENTITY ? 0 : level->blocks;
        digit += !level->own;
    }
    if (digit != path->digits)
        return dpc_keys_error(yaml, key, err, DPC_EINVAL,
                              "names %u modules, and there are %u levels that paths share: write "
                              "one number for each of these",
                              path->digits, digit);
    if (blocks == 0)
        return dpc_keys_error(yaml, key, err, DPC_EINVAL,
                              "takes no block at all: give it the module of a level that has some");
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

/* Of all combinations one takes the identity wherever it can. */
static int
check_shortest(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
               struct dpc_error *err)
{
    uint64_t blocks = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++)
        blocks += experiment->levels[i].identity ? 0 : experiment->levels[i].blocks;
    if (blocks)
        return DPC_OK;
    return dpc_keys_error(yaml, "levels", err, DPC_EINVAL,
                          "have blocks only where there is an identity, so that a path could be "
                          "without any: leave one of these out, or list the paths that there are");
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
    return experiment->listed_count ? check_cover(experiment, yaml, err)
                                    : check_shortest(experiment, yaml, err);
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
