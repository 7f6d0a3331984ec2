/* SPDX-License-Identifier: Apache-2.0
 *
 * Early stopping's part of the report: how each path's rounds did on its early-stop documents, and
 * which of them was taken. Rounds count from the end of the warm start, which is round 0, for the
 * dense path as for the others.
 *
 * Owns: its copy of the records. Threads: an executor. Not here: files.
 */
#ifndef DPC_COORDINATOR_REPORT_REPORT_BEST_H
#define DPC_COORDINATOR_REPORT_REPORT_BEST_H

#include "base/buf.h"
#include "base/experiment.h"
#include "base/json.h"
#include "base/topology.h"
#include "storage/db/records.h"

struct dpc_report_best;

int dpc_report_best_load(struct dpc_kv *kv, const struct dpc_topology *topology,
                         const struct dpc_experiment *experiment, struct dpc_report_best **ret_best,
                         struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_report_best *dpc_report_best_destroy(struct dpc_report_best *best);

/* Of the path; without early stopping null, and an empty list. */
void dpc_report_best_set(const struct dpc_report_best *best, uint32_t path,
                         struct dpc_json *object);
/* What the table of paths has more with early stopping: the last cell of its head, of the line
 * below it, and of a path. */
void dpc_report_best_head(const struct dpc_report_best *best, struct dpc_buf *out);
void dpc_report_best_rule(const struct dpc_report_best *best, struct dpc_buf *out);
void dpc_report_best_cell(const struct dpc_report_best *best, uint32_t path, struct dpc_buf *out);

#endif
