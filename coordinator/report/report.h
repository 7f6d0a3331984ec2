/* SPDX-License-Identifier: Apache-2.0
 *
 * The report of a finished experiment, from the store alone: report.json (docs/report-format.md),
 * report.md, documents.tsv (the loss of each held-out document) and loss.svg, with several paths
 * also routing.svg.
 *
 * Owns: nothing. Threads: an executor. May be done again: the same store gives the same report.
 */
#ifndef DPC_COORDINATOR_REPORT_REPORT_H
#define DPC_COORDINATOR_REPORT_REPORT_H

#include "coordinator/corpus/world.h"

int dpc_report_write(const struct dpc_world *world, const struct dpc_phase_record *phase,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
