/* SPDX-License-Identifier: Apache-2.0
 * Without a list everything follows from the number of modules of each level by counting: nothing
 * is stored per path, so that 65,536 paths cost no memory. Replicas are counted, too. */
#include "base/topology.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static bool
is_own(const struct dpc_topology *topology, uint32_t level)
{
    return topology->experiment->levels[level].own;
}

/* --- Making one. */

static int
count_modules(struct dpc_topology *topology, struct dpc_error *err)
{
    uint64_t modules = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        uint32_t count = topology->experiment->levels[level].modules;
        topology->modules_per_level[level] = count;
        bool identity = topology->experiment->levels[level].identity;
        topology->choices[level] = is_own(topology, level) ? 1 : count + identity;
        topology->skips |= identity;
        topology->first_module[level] = (uint32_t)modules;
        modules += count;
    }
    if (modules + topology->levels_count > DPC_MODULES_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "the levels have %llu modules with one dense module each; at most %d "
                             "are possible",
                             (unsigned long long)(modules + topology->levels_count),
                             DPC_MODULES_MAX);
    topology->routed_modules = (uint32_t)modules;
    topology->modules_count = topology->routed_modules + topology->levels_count;
    return DPC_OK;
}

static int
count_paths(struct dpc_topology *topology, struct dpc_error *err)
{
    uint64_t combinations = topology->experiment->listed_count;
    for (uint32_t level = 0; level < topology->levels_count && !topology->experiment->listed_count;
         level++) {
        combinations = (level ? combinations : 1) * topology->choices[level];
        if (combinations > DPC_PATHS_MAX)
            return dpc_error_set(err, DPC_ELIMIT,
                                 "the levels make %llu paths or more (the product of their "
                                 "modules); at most %d are possible",
                                 (unsigned long long)combinations, DPC_PATHS_MAX);
    }
    topology->replicas = dpc_experiment_replicas(topology->experiment);
    if (combinations * topology->replicas > DPC_PATHS_MAX)
        return dpc_error_set(
            err, DPC_ELIMIT,
            "%llu combinations of modules with %u replicas each are %llu paths; at "
            "most %d are possible",
            (unsigned long long)combinations, topology->replicas,
            (unsigned long long)(combinations * topology->replicas), DPC_PATHS_MAX);
    topology->combinations = (uint32_t)combinations;
    topology->routed_paths = topology->combinations * topology->replicas;
    topology->dense_paths = topology->experiment->warm_start.replicas;
    topology->paths_count = topology->routed_paths + topology->dense_paths;
    return DPC_OK;
}

/* Paths that differ only in the levels behind `level`: the weight of its digit in a path's number.
 */
static uint32_t
stride(const struct dpc_topology *topology, uint32_t level)
{
    uint32_t paths = 1;
    for (uint32_t behind = level + 1; behind < topology->levels_count; behind++)
        paths *= topology->choices[behind];
    return paths;
}

/* Which of the digits of names the level is. */
static uint32_t
digit_of(const struct dpc_topology *topology, uint32_t level)
{
    uint32_t digit = 0;
    for (uint32_t before = 0; before < level; before++)
        digit += !is_own(topology, before);
    return digit;
}

/* The module's index among those of a level that is a digit; as many as these: the identity. */
static uint32_t
choice(const struct dpc_topology *topology, uint32_t combination, uint32_t level)
{
    const struct dpc_experiment *experiment = topology->experiment;
    if (experiment->listed_count) {
        uint16_t listed = experiment->listed[combination].choices[digit_of(topology, level)];
        return listed == DPC_CHOICE_IDENTITY ? topology->modules_per_level[level] : listed;
    }
    return combination / stride(topology, level) % topology->choices[level];
}

/* The shared module that a combination takes at a level. */
static uint32_t
module_of(const struct dpc_topology *topology, uint32_t combination, uint32_t level)
{
    uint32_t taken = choice(topology, combination, level);
    assert(taken < topology->choices[level]);
    return taken < topology->modules_per_level[level] ? topology->first_module[level] + taken
                                                      : DPC_TOPOLOGY_NONE;
}

/* Place `index` of the table of combinations by levels: the shared module there, if any. */
static uint32_t
module_at(const struct dpc_topology *topology, size_t index)
{
    uint32_t level = (uint32_t)(index % topology->levels_count);
    return is_own(topology, level)
               ? DPC_TOPOLOGY_NONE
               : module_of(topology, (uint32_t)(index / topology->levels_count), level);
}

/* By counting: how many stand in front of each module's, then each into its place. */
static void
index_list(struct dpc_topology *topology)
{
    size_t count = (size_t)topology->combinations * topology->levels_count;
    uint32_t *first = dpc_alloc(topology->routed_modules + 2, sizeof *first);
    topology->first_through = first;
    topology->through = dpc_alloc(count, sizeof *topology->through);
    for (size_t i = 0; i < count; i++) {
        uint32_t module = module_at(topology, i);
        if (module != DPC_TOPOLOGY_NONE)
            first[module + 2]++;
    }
    for (uint32_t module = 0; module < topology->routed_modules; module++)
        first[module + 2] += first[module + 1];
    for (size_t i = 0; i < count; i++) {
        uint32_t module = module_at(topology, i);
        if (module != DPC_TOPOLOGY_NONE)
            topology->through[first[module + 1]++] = (uint32_t)i / topology->levels_count;
    }
}

int
dpc_topology_init(struct dpc_topology *topology, const struct dpc_experiment *experiment,
                  struct dpc_error *err)
{
    struct dpc_topology made = {.levels_count = experiment->levels_count, .experiment = experiment};
    int code = count_modules(&made, err);
    if (code == DPC_OK)
        code = count_paths(&made, err);
    if (code != DPC_OK)
        return code;
    if (experiment->listed_count)
        index_list(&made);
    *topology = made;
    return DPC_OK;
}

void
dpc_topology_done(struct dpc_topology *topology)
{
    topology->through = dpc_free(topology->through);
    topology->first_through = dpc_free(topology->first_through);
}

/* --- Paths and modules. */

uint32_t
dpc_topology_dense_path(const struct dpc_topology *topology)
{
    return topology->routed_paths;
}

bool
dpc_topology_path_is_dense(const struct dpc_topology *topology, uint32_t path)
{
    return path >= topology->routed_paths;
}

uint32_t
dpc_topology_module(const struct dpc_topology *topology, uint32_t path, uint32_t level)
{
    assert(path < topology->paths_count && level < topology->levels_count);
    if (dpc_topology_path_is_dense(topology, path))
        return topology->routed_modules + level;
    return is_own(topology, level) ? topology->first_module[level] + path
                                   : module_of(topology, path / topology->replicas, level);
}

uint32_t
dpc_topology_path_levels(const struct dpc_topology *topology, uint32_t path)
{
    uint32_t levels = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++)
        levels |= (uint32_t)(dpc_topology_module(topology, path, level) != DPC_TOPOLOGY_NONE)
                  << level;
    return levels;
}

uint32_t
dpc_topology_path_length(const struct dpc_topology *topology, uint32_t path)
{
    return topology->skips ? (uint32_t)__builtin_popcount(dpc_topology_path_levels(topology, path))
                           : topology->levels_count;
}

uint32_t
dpc_topology_path_module(const struct dpc_topology *topology, uint32_t path, uint32_t index)
{
    uint32_t level = 0;
    while (topology->skips &&
           (dpc_topology_module(topology, path, level) == DPC_TOPOLOGY_NONE || index-- > 0))
        level++;
    return dpc_topology_module(topology, path, topology->skips ? level : index);
}

uint32_t
dpc_topology_module_level(const struct dpc_topology *topology, uint32_t module)
{
    assert(module < topology->modules_count);
    if (dpc_topology_module_is_dense(topology, module))
        return module - topology->routed_modules;
    uint32_t level = topology->levels_count - 1;
    while (topology->first_module[level] > module)
        level--;
    return level;
}

bool
dpc_topology_module_is_dense(const struct dpc_topology *topology, uint32_t module)
{
    return module >= topology->routed_modules;
}

enum dpc_codec
dpc_topology_upload(const struct dpc_topology *topology, uint32_t module)
{
    return dpc_topology_module_is_dense(topology, module) ? DPC_CODEC_FP32
                                                          : topology->experiment->transfer.upload;
}

enum dpc_codec
dpc_topology_download(const struct dpc_topology *topology, uint32_t module)
{
    return dpc_topology_module_is_dense(topology, module) ? DPC_CODEC_FP32
                                                          : topology->experiment->transfer.download;
}

enum dpc_moments
dpc_topology_moments(const struct dpc_topology *topology, uint32_t path)
{
    return dpc_topology_path_is_dense(topology, path) ? DPC_MOMENTS_FP32
                                                      : topology->experiment->transfer.moments;
}

bool
dpc_topology_uses(const struct dpc_topology *topology, uint32_t path, uint32_t module)
{
    uint32_t level = dpc_topology_module_level(topology, module);
    return dpc_topology_module(topology, path, level) == module;
}

/* Combinations through a module of a level that is a digit. */
static uint32_t
combinations_through(const struct dpc_topology *topology, uint32_t module, uint32_t level)
{
    if (topology->first_through)
        return topology->first_through[module + 1] - topology->first_through[module];
    return topology->combinations / topology->choices[level];
}

static uint32_t
combination_through(const struct dpc_topology *topology, uint32_t module, uint32_t level,
                    uint32_t index)
{
    if (topology->through)
        return topology->through[topology->first_through[module] + index];
    /* The digits before the level's, the level's own, and those behind it. */
    uint32_t behind = stride(topology, level), count = topology->choices[level];
    uint32_t own = module - topology->first_module[level];
    return (index / behind * count + own) * behind + index % behind;
}

uint32_t
dpc_topology_paths_through(const struct dpc_topology *topology, uint32_t module)
{
    if (dpc_topology_module_is_dense(topology, module))
        return topology->dense_paths;
    uint32_t level = dpc_topology_module_level(topology, module);
    return is_own(topology, level)
               ? 1
               : combinations_through(topology, module, level) * topology->replicas;
}

uint32_t
dpc_topology_path_through(const struct dpc_topology *topology, uint32_t module, uint32_t index)
{
    assert(index < dpc_topology_paths_through(topology, module));
    if (dpc_topology_module_is_dense(topology, module))
        return dpc_topology_dense_path(topology) + index;
    uint32_t level = dpc_topology_module_level(topology, module), replicas = topology->replicas;
    if (is_own(topology, level))
        return module - topology->first_module[level];
    return combination_through(topology, module, level, index / replicas) * replicas +
           index % replicas;
}

/* --- Names. */

void
dpc_topology_module_name(const struct dpc_topology *topology, uint32_t module, char *ret_name,
                         size_t size)
{
    uint32_t level = dpc_topology_module_level(topology, module);
    const char *name = topology->experiment->levels[level].name;
    if (dpc_topology_module_is_dense(topology, module))
        (void)snprintf(ret_name, size, "dense.%s", name);
    else
        (void)snprintf(ret_name, size, "%s.%u", name, module - topology->first_module[level]);
}

/* The path's number among those of its combination, and how many these are. */
static uint32_t
count_replicas(const struct dpc_topology *topology, uint32_t path, uint32_t *ret_count)
{
    const struct dpc_listed_path *listed = topology->experiment->listed;
    uint32_t combination = path / topology->replicas, count = !topology->through, before = 0;
    for (uint32_t i = 0; topology->through && i < topology->combinations; i++) {
        bool same = memcmp(&listed[i], &listed[combination], sizeof *listed) == 0;
        count += same;
        before += same && i < combination;
    }
    *ret_count = count * topology->replicas;
    return before * topology->replicas + path % topology->replicas;
}

static size_t
write_digit(const struct dpc_topology *topology, uint32_t path, uint32_t level, char *text,
            size_t size)
{
    uint32_t taken = choice(topology, path / topology->replicas, level);
    if (taken == topology->modules_per_level[level])
        return (size_t)snprintf(text, size, "x");
    return (size_t)snprintf(text, size, "%u", taken);
}

void
dpc_topology_path_name(const struct dpc_topology *topology, uint32_t path, char *ret_name,
                       size_t size)
{
    assert(path < topology->paths_count && size >= 2 * DPC_NAME_MAX);
    uint32_t dense = dpc_topology_dense_path(topology);
    if (path >= dense) {
        (void)snprintf(ret_name, size, path == dense ? "dense" : "dense.%u", path - dense);
        return;
    }
    size_t used = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        if (used && !is_own(topology, level))
            ret_name[used++] = '-';
        if (!is_own(topology, level))
            used += write_digit(topology, path, level, ret_name + used, size - used);
    }
    uint32_t replicas, replica = count_replicas(topology, path, &replicas);
    if (replicas > 1)
        (void)snprintf(ret_name + used, size - used, ".%u", replica);
}

bool
dpc_topology_module_find(const struct dpc_topology *topology, const char *name,
                         uint32_t *ret_module)
{
    for (uint32_t module = 0; module < topology->modules_count; module++) {
        char known[2 * DPC_NAME_MAX];
        dpc_topology_module_name(topology, module, known, sizeof known);
        if (strcmp(known, name) == 0) {
            *ret_module = module;
            return true;
        }
    }
    return false;
}

static uint64_t
read_digit(const struct dpc_topology *topology, uint32_t level, const char **name)
{
    char *end;
    if (**name == 'x') {
        ++*name;
        return topology->modules_per_level[level];
    }
    uint64_t digit = strtoul(*name, &end, 10);
    *name = end;
    return digit;
}

/* The number of the combination with these digits, or any number; `*name` stands behind them then.
 */
static uint32_t
read_digits(const struct dpc_topology *topology, const char **name)
{
    uint64_t combination = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        if (is_own(topology, level))
            continue;
        combination = combination * topology->choices[level] + read_digit(topology, level, name);
        combination %= topology->combinations;
        *name += **name == '-';
    }
    return (uint32_t)combination;
}

/* The number of the routed path of that name, or any number: the caller compares the name. */
static uint32_t
read_path_name(const struct dpc_topology *topology, const char *name)
{
    uint32_t combination = read_digits(topology, &name);
    uint64_t replica = *name == '.' ? strtoul(name + 1, NULL, 10) : 0;
    return (uint32_t)((combination * (uint64_t)topology->replicas + replica % topology->replicas) %
                      topology->routed_paths);
}

static bool
is_called(const struct dpc_topology *topology, uint32_t path, const char *name)
{
    char known[2 * DPC_NAME_MAX];
    dpc_topology_path_name(topology, path, known, sizeof known);
    return strcmp(known, name) == 0;
}

/* A list is looked through, and so are the dense paths: they are few, and people ask. */
bool
dpc_topology_path_find(const struct dpc_topology *topology, const char *name, uint32_t *ret_path)
{
    bool dense = strncmp(name, "dense", 5) == 0;
    uint32_t path = dense               ? dpc_topology_dense_path(topology)
                    : topology->through ? 0
                                        : read_path_name(topology, name);
    uint32_t end = dense               ? topology->paths_count
                   : topology->through ? topology->routed_paths
                                       : path + 1;
    while (path < end && !is_called(topology, path, name))
        path++;
    if (path == end)
        return false;
    *ret_path = path;
    return true;
}
