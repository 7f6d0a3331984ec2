/* SPDX-License-Identifier: Apache-2.0
 *
 * Whitening: the linear map after which the dimensions of some points are free of correlation and
 * of variance 1, but for directions along which the points hardly differ, which stay short. It is
 * the inverse of the Cholesky factor of the points' covariance plus a ridge. Pure functions: sums
 * run in one fixed order, in double.
 *
 * Owns: nothing. Threads: any. Limits: dim at most DPC_WHITEN_DIM_MAX.
 */
#ifndef DPC_ROUTING_WHITEN_H
#define DPC_ROUTING_WHITEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Values of a map of `dim` dimensions: the lower triangle, row after row. */
static inline size_t
dpc_whiten_values(uint32_t dim)
{
    return (size_t)dim * (dim + 1) / 2;
}

/* Fits the map to `points` [count, dim], whose means are zero: `ret_map`
 * [dpc_whiten_values(dim)]. `ridge` is above zero, in units of the points' squares. DPC_EINVAL when
 * the points are too large or too far apart for it, DPC_ENOMEM. */
int dpc_whiten_fit(const float *points, uint32_t count, uint32_t dim, double ridge, float *ret_map,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* The dimensions from `first` on, `count` of them, of what the map makes of `point` [dim]. */
void dpc_whiten_apply(const float *map, const float *point, uint32_t first, uint32_t count,
                      float *ret_values);

#endif
