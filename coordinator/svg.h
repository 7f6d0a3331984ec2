/* SPDX-License-Identifier: Apache-2.0
 *
 * A line chart as SVG: axes with round numbers, a legend, one colour a series.
 *
 * Owns: nothing. Threads: any. Limits: points that are not finite are left out.
 */
#ifndef DPC_COORDINATOR_SVG_H
#define DPC_COORDINATOR_SVG_H

#include "base/buf.h"

struct dpc_series {
    const char *name; /* NULL: drawn thin in the colour of the series before, not in the legend */
    const double *x, *y;
    size_t count;
};

void dpc_svg_chart(struct dpc_buf *out, const char *title, const char *x_label, const char *y_label,
                   const struct dpc_series *series, size_t series_count);

#endif
