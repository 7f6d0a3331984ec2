/* SPDX-License-Identifier: Apache-2.0
 *
 * The group `reroute` of an experiment's file: how its list is read and printed, and its rules, for
 * base/experiment_keys.c and base/experiment.c.
 *
 * Owns: nothing. Threads: any. Limits: DPC_REROUTES_MAX.
 */
#ifndef DPC_BASE_EXPERIMENT_REROUTE_H
#define DPC_BASE_EXPERIMENT_REROUTE_H

#include "base/experiment.h"
#include "base/yaml.h"

/* The functions of the row `reroute.every`, see struct dpc_key; `target` is a struct
 * dpc_experiment. */
extern const char dpc_experiment_reroute_needed[];
int dpc_experiment_read_reroute(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                                const char *path, void *target,
                                struct dpc_error *err) DPC_MUST_CHECK;
void dpc_experiment_print_reroute(const void *target, struct dpc_buf *out);

/* New routes need several paths, documents to learn them from, and windows of whole pieces:
 * DPC_EINVAL, saying what to change. */
int dpc_experiment_check_reroute(const struct dpc_experiment *experiment,
                                 const struct dpc_yaml *yaml, struct dpc_error *err) DPC_MUST_CHECK;

#endif
