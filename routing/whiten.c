/* SPDX-License-Identifier: Apache-2.0
 * Covariance + ridge = L L', and inverse(L) is the map. Any rotation of it whitens as well and
 * gives the same distances; this one is a triangle, which halves its file, and needs no
 * eigenvectors, whose signs and order would have to be settled. */
#include "routing/whiten.h"

#include <math.h>
#include <stdbool.h>

#include "base/alloc.h"

static double *
at(double *triangle, uint32_t row, uint32_t column)
{
    return &triangle[dpc_whiten_values(row) + column];
}

static void
add_covariance(const float *points, uint32_t count, uint32_t dim, double ridge, double *triangle)
{
    for (uint32_t i = 0; i < count; i++) {
        const float *point = points + (size_t)i * dim;
        for (uint32_t row = 0; row < dim; row++) {
            double value = (double)point[row] / count, *sums = at(triangle, row, 0);
            for (uint32_t column = 0; column <= row; column++)
                sums[column] += value * (double)point[column];
        }
    }
    for (uint32_t row = 0; row < dim; row++)
        *at(triangle, row, row) += ridge;
}

/* Cholesky in place. False where a pivot is not above zero: with the ridge only numbers that are
 * too large, or not finite, make it so. */
static bool
factor(double *triangle, uint32_t dim)
{
    for (uint32_t row = 0; row < dim; row++) {
        double *r = at(triangle, row, 0);
        for (uint32_t column = 0; column <= row; column++) {
            const double *c = at(triangle, column, 0);
            double rest = r[column];
            for (uint32_t k = 0; k < column; k++)
                rest -= r[k] * c[k];
            if (column == row && !(rest > 0 && isfinite(rest)))
                return false;
            r[column] = column == row ? sqrt(rest) : rest / c[column];
        }
    }
    return true;
}

/* Inverse in place, from the first row on: row i of it is made of the rows above, already inverse,
 * and of row i of the factor. */
static void
invert(double *triangle, uint32_t dim)
{
    double *made = dpc_alloc(dim, sizeof *made);
    for (uint32_t row = 0; row < dim; row++) {
        double *r = at(triangle, row, 0);
        for (uint32_t column = 0; column < row; column++)
            made[column] = 0;
        for (uint32_t k = 0; k < row; k++) {
            const double *inverse = at(triangle, k, 0);
            for (uint32_t column = 0; column <= k; column++)
                made[column] -= r[k] * inverse[column];
        }
        for (uint32_t column = 0; column < row; column++)
            r[column] = made[column] / r[row];
        r[row] = 1 / r[row];
    }
    dpc_free(made);
}

int
dpc_whiten_fit(const float *points, uint32_t count, uint32_t dim, double ridge, float *ret_map,
               struct dpc_error *err)
{
    int code = DPC_OK;
    double *triangle = dpc_try_alloc(dpc_whiten_values(dim), sizeof *triangle);
    if (!triangle)
        return dpc_error_set(err, DPC_ENOMEM,
                             "no memory to whiten features of %u dimensions: "
                             "write routing.features: standard",
                             dim);
    add_covariance(points, count, dim, ridge, triangle);
    if (factor(triangle, dim)) {
        invert(triangle, dim);
        for (size_t i = 0; i < dpc_whiten_values(dim); i++)
            ret_map[i] = (float)triangle[i];
    } else {
        code = dpc_error_set(err, DPC_EINVAL,
                             "the features are too large to be whitened: write "
                             "routing.features: standard");
    }
    dpc_free(triangle);
    return code;
}

void
dpc_whiten_apply(const float *map, const float *point, uint32_t first, uint32_t count,
                 float *ret_values)
{
    for (uint32_t i = 0; i < count; i++) {
        const float *row = map + dpc_whiten_values(first + i);
        double sum = 0;
        for (uint32_t k = 0; k <= first + i; k++)
            sum += (double)row[k] * (double)point[k];
        ret_values[i] = (float)sum;
    }
}
