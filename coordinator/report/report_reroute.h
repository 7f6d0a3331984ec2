/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the report about new routes at evaluation: what each distance between two routes
 * gives, and what switching costs.
 *
 * Owns: its figures. Threads: an executor. Not here: files.
 */
#ifndef DPC_COORDINATOR_REPORT_REPORT_REROUTE_H
#define DPC_COORDINATOR_REPORT_REPORT_REROUTE_H

#include "base/json.h"
#include "coordinator/corpus/world.h"

struct dpc_report_reroute;

int dpc_report_reroute_load(const struct dpc_world *world, const struct dpc_phase_record *phase,
                            struct dpc_report_reroute **ret_reroute,
                            struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_report_reroute *dpc_report_reroute_destroy(struct dpc_report_reroute *reroute);

/* The experiment has new routes; without them there is nothing to write. */
bool dpc_report_reroute_has_rows(const struct dpc_report_reroute *reroute);
/* A list, one entry a distance; the caller's. */
struct dpc_json *dpc_report_reroute_json(const struct dpc_report_reroute *reroute);
void dpc_report_reroute_markdown(const struct dpc_report_reroute *reroute, struct dpc_buf *out);
/* The lines of reroute.tsv, valid until _destroy. */
const struct dpc_buf *dpc_report_reroute_tsv(const struct dpc_report_reroute *reroute);

#endif
