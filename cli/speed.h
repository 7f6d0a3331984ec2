/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a worker on this machine's CPU trains a path: measured, for a guess at how long
 * something will take.
 *
 * Owns: nothing. Threads: the caller's, for about a second, and those that it is to measure with.
 */
#ifndef DPC_CLI_SPEED_H
#define DPC_CLI_SPEED_H

#include "base/error.h"
#include "base/experiment.h"

/* Floating-point operations a second of so many threads together, over forward and backward passes
 * of some batches of random tokens. DPC_ENOMEM, DPC_EUNSUPPORTED. */
int dpc_speed_measure(const struct dpc_experiment *experiment, uint32_t threads,
                      double *ret_flops_per_second, struct dpc_error *err) DPC_MUST_CHECK;

#endif
