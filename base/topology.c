/* SPDX-License-Identifier: Apache-2.0
 * Everything follows from the number of modules of each level by counting: nothing is stored per
 * path, so that 65,536 paths cost no memory. */
#include "base/topology.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
dpc_topology_init(struct dpc_topology *topology, const struct dpc_experiment *experiment,
                  struct dpc_error *err)
{
    struct dpc_topology made = {.levels_count = experiment->levels_count, .experiment = experiment};
    uint64_t modules = 0, paths = 1;
    for (uint32_t level = 0; level < made.levels_count; level++) {
        uint32_t count = experiment->levels[level].modules;
        made.modules_per_level[level] = count;
        made.choices[level] = experiment->levels[level].own ? 1 : count;
        made.first_module[level] = (uint32_t)modules;
        modules += count;
        paths *= made.choices[level];
        if (modules + made.levels_count > DPC_MODULES_MAX)
            return dpc_error_set(err, DPC_ELIMIT,
                                 "the levels have %llu modules or more with one dense module each; "
                                 "at most %d are possible",
                                 (unsigned long long)(modules + made.levels_count),
                                 DPC_MODULES_MAX);
        if (paths > DPC_PATHS_MAX)
            return dpc_error_set(
                err, DPC_ELIMIT,
                "the levels make %llu paths or more (the product of their modules); "
                "at most %d are possible",
                (unsigned long long)paths, DPC_PATHS_MAX);
    }
    made.routed_modules = (uint32_t)modules;
    made.modules_count = made.routed_modules + made.levels_count;
    made.routed_paths = (uint32_t)paths;
    made.paths_count = made.routed_paths + 1;
    *topology = made;
    return DPC_OK;
}

uint32_t
dpc_topology_dense_path(const struct dpc_topology *topology)
{
    return topology->routed_paths;
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

/* The module's index among those of its level. */
static uint32_t
digit(const struct dpc_topology *topology, uint32_t path, uint32_t level)
{
    return path / stride(topology, level) % topology->choices[level];
}

static bool
is_own(const struct dpc_topology *topology, uint32_t level)
{
    return topology->experiment->levels[level].own;
}

uint32_t
dpc_topology_module(const struct dpc_topology *topology, uint32_t path, uint32_t level)
{
    assert(path < topology->paths_count && level < topology->levels_count);
    if (path == topology->routed_paths)
        return topology->routed_modules + level;
    return topology->first_module[level] +
           (is_own(topology, level) ? path : digit(topology, path, level));
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

bool
dpc_topology_uses(const struct dpc_topology *topology, uint32_t path, uint32_t module)
{
    uint32_t level = dpc_topology_module_level(topology, module);
    return dpc_topology_module(topology, path, level) == module;
}

uint32_t
dpc_topology_paths_through(const struct dpc_topology *topology, uint32_t module)
{
    if (dpc_topology_module_is_dense(topology, module))
        return 1;
    uint32_t level = dpc_topology_module_level(topology, module);
    return is_own(topology, level) ? 1 : topology->routed_paths / topology->choices[level];
}

uint32_t
dpc_topology_path_through(const struct dpc_topology *topology, uint32_t module, uint32_t index)
{
    assert(index < dpc_topology_paths_through(topology, module));
    if (dpc_topology_module_is_dense(topology, module))
        return dpc_topology_dense_path(topology);
    /* The digits before the level's, the level's own, and those behind it. */
    uint32_t level = dpc_topology_module_level(topology, module);
    uint32_t behind = stride(topology, level), count = topology->choices[level];
    uint32_t own = module - topology->first_module[level];
    if (is_own(topology, level))
        return own;
    return (index / behind * count + own) * behind + index % behind;
}

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

void
dpc_topology_path_name(const struct dpc_topology *topology, uint32_t path, char *ret_name,
                       size_t size)
{
    assert(path < topology->paths_count && size >= 2 * DPC_NAME_MAX);
    if (path == topology->routed_paths) {
        (void)snprintf(ret_name, size, "dense");
        return;
    }
    size_t used = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        if (!is_own(topology, level))
            used += (size_t)snprintf(ret_name + used, size - used, "%s%u", used ? "-" : "",
                                     digit(topology, path, level));
    }
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

/* The number of the routed path with these digits, or any number: the caller compares the name. */
static uint32_t
read_path_name(const struct dpc_topology *topology, const char *name)
{
    uint64_t path = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        char *end;
        if (is_own(topology, level))
            continue;
        path = path * topology->choices[level] + strtoul(name, &end, 10);
        path %= topology->routed_paths;
        name = *end ? end + 1 : end;
    }
    return (uint32_t)path;
}

bool
dpc_topology_path_find(const struct dpc_topology *topology, const char *name, uint32_t *ret_path)
{
    char known[2 * DPC_NAME_MAX];
    uint32_t path =
        strcmp(name, "dense") == 0 ? topology->routed_paths : read_path_name(topology, name);
    dpc_topology_path_name(topology, path, known, sizeof known);
    if (strcmp(known, name) != 0)
        return false;
    *ret_path = path;
    return true;
}
