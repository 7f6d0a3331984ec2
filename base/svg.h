/* SPDX-License-Identifier: Apache-2.0
 *
 * Charts as SVG: lines over axes with round numbers, with a legend and one colour a series; and
 * rows of dots along one such axis.
 *
 * Owns: nothing. Threads: any. Limits: points that are not finite are left out.
 */
#ifndef DPC_BASE_SVG_H
#define DPC_BASE_SVG_H

#include "base/buf.h"

struct dpc_series {
    const char *name; /* NULL: drawn thin in the colour of the series before, not in the legend */
    const double *x, *y;
    size_t count;
};

void dpc_svg_chart(struct dpc_buf *out, const char *title, const char *x_label, const char *y_label,
                   const struct dpc_series *series, size_t series_count);

struct dpc_svg_row {
    const char *name;
    const double *values; /* a dot each, and a line between the outermost */
    size_t count;
    double figure; /* stands behind the row, such as its mean; none where it is not finite */
};

void dpc_svg_rows(struct dpc_buf *out, const char *title, const char *x_label,
                  const struct dpc_svg_row *rows, size_t rows_count);

#endif
