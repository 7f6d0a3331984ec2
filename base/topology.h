/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules and paths of an experiment, numbered. Routed modules come first, level by level
 * (0 .. routed_modules-1); behind them stands one dense module per level. Routed paths are numbered
 * in mixed radix with the last level fastest (0 .. routed_paths-1); a level that has a module of its
 * own for each path is no digit of it. Behind them stands the dense path, which is composed of the
 * dense modules: it is the warm start, the routing model and the dense baseline.
 *
 * Owns: nothing; a pure function of the levels. Threads: read-only after _init.
 */
#ifndef DPC_BASE_TOPOLOGY_H
#define DPC_BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/experiment.h"

struct dpc_topology {
    uint32_t levels_count;
    uint32_t modules_per_level[DPC_LEVELS_MAX];
    uint32_t choices[DPC_LEVELS_MAX]; /* that paths have at a level: these, or 1 where each has its
                                         own */
    uint32_t first_module[DPC_LEVELS_MAX]; /* id of a level's module 0 */
    uint32_t routed_modules;               /* sum of K_l */
    uint32_t modules_count;                /* with the dense ones */
    uint32_t routed_paths;                 /* product of the choices */
    uint32_t paths_count;                  /* with the dense one */
    const struct dpc_experiment *experiment;
};

/* The experiment must outlive it. DPC_ELIMIT when modules or paths pass base/limits.h. */
int dpc_topology_init(struct dpc_topology *topology, const struct dpc_experiment *experiment,
                      struct dpc_error *err) DPC_MUST_CHECK;

uint32_t dpc_topology_dense_path(const struct dpc_topology *topology);
/* Id of the module that `path` takes at `level`. */
uint32_t dpc_topology_module(const struct dpc_topology *topology, uint32_t path, uint32_t level);
uint32_t dpc_topology_module_level(const struct dpc_topology *topology, uint32_t module);
bool dpc_topology_module_is_dense(const struct dpc_topology *topology, uint32_t module);
bool dpc_topology_uses(const struct dpc_topology *topology, uint32_t path, uint32_t module);
/* Number of routed paths (dense module: 1) through a module. */
uint32_t dpc_topology_paths_through(const struct dpc_topology *topology, uint32_t module);

/* The `index`-th of them, in the order of their numbers. */
uint32_t dpc_topology_path_through(const struct dpc_topology *topology, uint32_t module,
                                   uint32_t index);

/* "lower.1", "dense.lower"; "0-1", "dense". `size` at least 2 * DPC_NAME_MAX. */
void dpc_topology_module_name(const struct dpc_topology *topology, uint32_t module, char *ret_name,
                              size_t size);
void dpc_topology_path_name(const struct dpc_topology *topology, uint32_t path, char *ret_name,
                            size_t size);
/* The inverse; false when there is none of that name. */
bool dpc_topology_module_find(const struct dpc_topology *topology, const char *name,
                              uint32_t *ret_module);
bool dpc_topology_path_find(const struct dpc_topology *topology, const char *name,
                            uint32_t *ret_path);

#endif
