/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of paths of an experiment's file: how it is read, printed and checked, for
 * base/experiment_keys.c and base/experiment.c. What paths follow from it, base/topology.h says.
 *
 * Owns: nothing. Threads: any. Limits: DPC_PATHS_LISTED_MAX.
 */
#ifndef DPC_BASE_EXPERIMENT_PATHS_H
#define DPC_BASE_EXPERIMENT_PATHS_H

#include <stdbool.h>

#include "base/experiment.h"
#include "base/yaml.h"

/* The functions of the key's row, see struct dpc_key; `target` is a struct dpc_experiment. Levels
 * may stand behind the list in the file, so that reading looks at the form of names alone. */
extern const char dpc_experiment_paths_needed[];
int dpc_experiment_read_paths(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                              const char *path, void *target, struct dpc_error *err) DPC_MUST_CHECK;
void dpc_experiment_print_paths(const void *target, struct dpc_buf *out);

/* Names must be those of paths, and every module must be on one: DPC_EINVAL, naming the entry or
 * the module. */
int dpc_experiment_check_paths(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                               struct dpc_error *err) DPC_MUST_CHECK;

/* There are paths that take the same module of every level that paths share. */
bool dpc_experiment_has_replicas(const struct dpc_experiment *experiment);

#endif
