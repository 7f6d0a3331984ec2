/* SPDX-License-Identifier: Apache-2.0
 *
 * How the keys of a level that are no plain values are read and printed, for
 * base/experiment_keys.c. What an experiment is made of, base/experiment.h says.
 *
 * Owns: nothing. Threads: any. Limits: DPC_BLOCKS_MAX, DPC_MODULES_MAX.
 */
#ifndef DPC_BASE_EXPERIMENT_LEVELS_H
#define DPC_BASE_EXPERIMENT_LEVELS_H

#include "base/experiment.h"
#include "base/yaml.h"

/* The functions of the rows, see struct dpc_key; `target` is a struct dpc_level. */
extern const char dpc_experiment_parts_needed[], dpc_experiment_modules_needed[];
int dpc_experiment_read_parts(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                              const char *path, void *target, struct dpc_error *err) DPC_MUST_CHECK;
void dpc_experiment_print_parts(const void *target, struct dpc_buf *out);
int dpc_experiment_read_modules(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                                const char *path, void *target,
                                struct dpc_error *err) DPC_MUST_CHECK;
void dpc_experiment_print_modules(const void *target, struct dpc_buf *out);

#endif
