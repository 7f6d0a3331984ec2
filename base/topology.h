/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules and paths of an experiment, numbered. Routed modules come first, level by level
 * (0 .. routed_modules-1); behind them stands one dense module per level. Routed paths are the
 * combinations of modules, each `replicas` times in a row (0 .. routed_paths-1). Combinations stand
 * in the order of the experiment's list, or, without one, in mixed radix with the last level
 * fastest; a level that has a module of its own for each path is no digit of it, and at one that
 * has an identity a path may take no module, as its last choice. Behind them stands the dense path,
 * which is composed of the dense modules: it is the warm start, the routing model and the dense
 * baseline. Behind that stand its replicas, which are there for the warm start alone
 * (`warm_start.replicas`).
 *
 * Paths that take the same modules of all shared levels are replicas: "0-1.0", "0-1.1". One that
 * has none is called by its digits alone, "0-1". The identity's digit is x, "0-x-1".
 *
 * Owns: an index of the list's paths by module; without a list nothing, it is a pure function of
 * the levels then. Threads: read-only between _init and _done. Limits: DPC_PATHS_MAX,
 * DPC_PATHS_LISTED_MAX, DPC_MODULES_MAX.
 */
#ifndef DPC_BASE_TOPOLOGY_H
#define DPC_BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/experiment.h"

struct dpc_topology {
    uint32_t levels_count;
    uint32_t modules_per_level[DPC_LEVELS_MAX];
    uint32_t choices[DPC_LEVELS_MAX]; /* that combinations have at a level: these and the identity,
                                         or 1 where each path has its own */
    uint32_t first_module[DPC_LEVELS_MAX]; /* id of a level's module 0 */
    uint32_t routed_modules;               /* sum of K_l */
    uint32_t modules_count;                /* with the dense ones */
    uint32_t combinations;                 /* listed, or the product of the choices */
    uint32_t replicas;                     /* of each */
    uint32_t routed_paths;                 /* combinations x replicas */
    uint32_t dense_paths;                  /* the dense one and its replicas */
    uint32_t paths_count;                  /* with these */
    bool skips;                            /* there are identities */
    /* With a list: the combinations through module m, ascending, are through[first_through[m]] to
     * before through[first_through[m + 1]]. NULL without. */
    uint32_t *through, *first_through;
    const struct dpc_experiment *experiment;
};

/* The experiment must outlive it; its list of paths was checked (base/experiment.h). DPC_ELIMIT
 * when modules or paths pass base/limits.h. Release with _done. */
int dpc_topology_init(struct dpc_topology *topology, const struct dpc_experiment *experiment,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Takes one that is all zeros, too. */
void dpc_topology_done(struct dpc_topology *topology);

uint32_t dpc_topology_dense_path(const struct dpc_topology *topology);
/* That one, or a replica of it. */
bool dpc_topology_path_is_dense(const struct dpc_topology *topology, uint32_t path);
/* No module: the path goes straight on. */
enum { DPC_TOPOLOGY_NONE = UINT32_MAX };
/* Id of the module that `path` takes at `level`, or DPC_TOPOLOGY_NONE. */
uint32_t dpc_topology_module(const struct dpc_topology *topology, uint32_t path, uint32_t level);
/* The levels at which it takes one, as bits; the dense path takes one at each. */
uint32_t dpc_topology_path_levels(const struct dpc_topology *topology, uint32_t path);
/* Its modules from input to output: their number, and the id of the `index`-th. */
uint32_t dpc_topology_path_length(const struct dpc_topology *topology, uint32_t path);
uint32_t dpc_topology_path_module(const struct dpc_topology *topology, uint32_t path,
                                  uint32_t index);
uint32_t dpc_topology_module_level(const struct dpc_topology *topology, uint32_t module);
bool dpc_topology_module_is_dense(const struct dpc_topology *topology, uint32_t module);
/* The form in which a module's deltas travel. Those of dense modules are what they are: their step
 * is the mean of the deltas, round for round (core/rounds.c), and would keep what a form loses. */
enum dpc_codec dpc_topology_upload(const struct dpc_topology *topology, uint32_t module);
/* And that in which its versions' differences do; fp32: there are none. */
enum dpc_codec dpc_topology_download(const struct dpc_topology *topology, uint32_t module);
/* And that of a path's moments where its state travels; dense paths' are what others begin with.
 */
enum dpc_moments dpc_topology_moments(const struct dpc_topology *topology, uint32_t path);
bool dpc_topology_uses(const struct dpc_topology *topology, uint32_t path, uint32_t module);
/* Number of routed paths, or of dense ones, through a module. */
uint32_t dpc_topology_paths_through(const struct dpc_topology *topology, uint32_t module);

/* The `index`-th of them, in the order of their numbers. */
uint32_t dpc_topology_path_through(const struct dpc_topology *topology, uint32_t module,
                                   uint32_t index);

/* "lower.1", "dense.lower"; "0-1", "0-1.2", "dense", "dense.1". `size` at least 2 * DPC_NAME_MAX. */
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
