/* SPDX-License-Identifier: Apache-2.0
 *
 * How an experiment goes, as one page of HTML that needs nothing else: from what dipacoctl lists,
 * and the losses. All text in it is escaped, since workers name themselves.
 *
 * Owns: nothing. Threads: any. Limits: the rows that the listings have.
 */
#ifndef DPC_COORDINATOR_PAGES_PAGE_H
#define DPC_COORDINATOR_PAGES_PAGE_H

#include "base/buf.h"
#include "base/json.h"
#include "coordinator/pages/curve.h"

struct dpc_page {
    const struct dpc_json *status, *paths, *workers; /* as dipacoctl's listings of these names */
    bool more_paths, more_workers;                   /* there are more than these rows */
    const struct dpc_curve *curve;
};

void dpc_page_write(const struct dpc_page *page, struct dpc_buf *out);

#endif
