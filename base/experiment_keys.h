/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of an experiment's keys, for base/experiment.c: fields of struct dpc_experiment,
 * without the rules between them.
 *
 * Owns: nothing. Threads: constant.
 */
#ifndef DPC_BASE_EXPERIMENT_KEYS_H
#define DPC_BASE_EXPERIMENT_KEYS_H

#include "base/keys.h"

extern const struct dpc_keys dpc_experiment_keys;

#endif
