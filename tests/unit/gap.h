/* SPDX-License-Identifier: Apache-2.0
 *
 * How far numbers are from what they should be. A NaN among them stays: fmax would drop it, and
 * with it a kernel that writes one.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_TESTS_UNIT_GAP_H
#define DPC_TESTS_UNIT_GAP_H

#include <math.h>
#include <stddef.h>

/* The larger of two gaps, NaN when one is. */
static inline double
larger_gap(double a, double b)
{
    return a >= b || isnan(a) ? a : b;
}

/* The largest |got - want|. */
static inline double
largest_gap(const float *got, const float *want, size_t count)
{
    double gap = 0;
    for (size_t i = 0; i < count; i++)
        gap = larger_gap(gap, fabs((double)got[i] - (double)want[i]));
    return gap;
}

/* The largest |value|. */
static inline double
largest_size(const float *values, size_t count)
{
    double size = 0;
    for (size_t i = 0; i < count; i++)
        size = larger_gap(size, fabs((double)values[i]));
    return size;
}

#endif
