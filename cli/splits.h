/* SPDX-License-Identifier: Apache-2.0
 *
 * The experiment that says how a corpus's documents are split, for commands that work without one,
 * too.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_CLI_SPLITS_H
#define DPC_CLI_SPLITS_H

#include "base/error.h"
#include "base/experiment.h"

/* `file` NULL: one in which every key that splits read has its default. `*ret_experiment` is
 * released with dpc_free. */
int dpc_splits_load(const char *file, struct dpc_experiment **ret_experiment,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
