/* SPDX-License-Identifier: Apache-2.0
 *
 * What a coordinator tells Prometheus: text exposition 0.0.4, from the core's accessors and what
 * the server counts beside it. docs/monitoring.md says what each metric is for.
 *
 * Owns: nothing. Threads: that of the core.
 * Limits: one pass over workers, paths, modules and leases. With more than DPC_SERIES_EACH_MAX
 * workers (paths, modules) there is no series for each of them, so that the number of series does
 * not grow with theirs.
 */
#ifndef DPC_COORDINATOR_PAGES_METRICS_H
#define DPC_COORDINATOR_PAGES_METRICS_H

#include "base/buf.h"
#include "coordinator/core/core.h"

/* What the core does not know. NaN: not known, and left out. */
struct dpc_metrics_server {
    const char *version, *incarnation;
    double started_s; /* Unix time */
    double cpu_s, resident_bytes, open_fds;
    double disk_free_bytes, paused, put_off;
    double sweeps, kept_bytes, swept_bytes;
    double scrub_passes, damaged_blobs;
    double backups, backup_failed, backup_s; /* the last one that was made, Unix time */
    double alarms, peer_faults, machines_pending;
};

void dpc_metrics_write(const struct dpc_core *core, const struct dpc_experiment *experiment,
                       const struct dpc_metrics_server *server, int64_t now_ms,
                       struct dpc_buf *out);

#endif
