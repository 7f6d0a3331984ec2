/* SPDX-License-Identifier: Apache-2.0
 *
 * The routing's part of the report: what each sharding gave each path, how even that is, and how
 * many documents the router sends where the one before it sent them.
 *
 * Owns: its copy of the records. Threads: an executor. Not here: files.
 */
#ifndef DPC_COORDINATOR_REPORT_REPORT_ROUTING_H
#define DPC_COORDINATOR_REPORT_REPORT_ROUTING_H

#include "base/buf.h"
#include "base/json.h"
#include "base/topology.h"
#include "storage/db/records.h"

struct dpc_report_routing;

int dpc_report_routing_load(struct dpc_kv *kv, const struct dpc_topology *topology,
                            struct dpc_report_routing **ret_routing,
                            struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_report_routing *dpc_report_routing_destroy(struct dpc_report_routing *routing);

/* Documents were shared out among paths; else there is nothing to show to people. */
bool dpc_report_routing_has_choice(const struct dpc_report_routing *routing);
/* A list, one entry a sharding; the caller's. */
struct dpc_json *dpc_report_routing_json(const struct dpc_report_routing *routing);
void dpc_report_routing_markdown(const struct dpc_report_routing *routing, struct dpc_buf *out);
/* Of a routing that had a choice. */
void dpc_report_routing_svg(const struct dpc_report_routing *routing, const char *title,
                            struct dpc_buf *out);

#endif
