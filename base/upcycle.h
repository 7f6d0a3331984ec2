/* SPDX-License-Identifier: Apache-2.0
 *
 * How routed modules begin (`warm_start.init`): as copies of the dense module of their level, or as
 * copies of which something is drawn anew, so that the modules of a level differ from their first
 * step on.
 * - noise: to each matrix normal noise is added, of `warm_start.noise` times the standard deviation
 *   of its values;
 * - drop (Drop-Upcycling, arXiv 2502.19261, section 3): of each feed-forward a share
 *   `warm_start.drop` of the inner units is drawn. Their weights, which are rows of the gate and of
 *   the up matrix and columns of the down matrix, are drawn from a normal of the mean and standard
 *   deviation that these rows, or columns, of the one matrix had.
 * Every module of a level is treated alike, its first one too, each with draws of its own.
 *
 * Owns: nothing. Threads: any. Limits: base/layout.h's. Not here: blobs
 * (coordinator/versions/beginnings.h).
 */
#ifndef DPC_BASE_UPCYCLE_H
#define DPC_BASE_UPCYCLE_H

#include "base/experiment.h"

/* False: modules of `level` begin as copies, either because the experiment says so or because there
 * is one module alone, which has none to differ from. */
bool dpc_upcycle_changes(const struct dpc_experiment *experiment, uint32_t level);

/* Changes `floats`, a copy of the dense module of `level` with dpc_layout_module_floats values,
 * into what the routed module of that number (base/topology.h) begins with. A pure function of its
 * arguments. */
void dpc_upcycle_module(const struct dpc_experiment *experiment, uint32_t level, uint32_t module,
                        float *floats);

#endif
