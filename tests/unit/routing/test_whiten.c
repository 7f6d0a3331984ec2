/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/whiten.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/harness.h"

enum { POINTS = 600, DIM = 6 };

/* Correlated dimensions of very different width, with means of zero. */
static void
make_points(float points[POINTS][DIM])
{
    struct dpc_rng rng;
    double means[DIM] = {0};
    dpc_rng_init(&rng, 21, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++) {
        double before = 0;
        for (int k = 0; k < DIM; k++) {
            before = 0.9 * before + dpc_rng_normal(&rng);
            points[i][k] = (float)(before * (k + 1));
            means[k] += (double)points[i][k] / POINTS;
        }
    }
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < DIM; k++)
            points[i][k] -= (float)means[k];
    }
}

/* Of the mapped points. */
static double
covariance(float points[POINTS][DIM], const float *map, int a, int b)
{
    double sum = 0;
    for (int i = 0; i < POINTS; i++) {
        float mapped[DIM];
        dpc_whiten_apply(map, points[i], 0, DIM, mapped);
        sum += (double)mapped[a] * (double)mapped[b] / POINTS;
    }
    return sum;
}

static void
the_covariance_becomes_the_identity(void)
{
    static float points[POINTS][DIM];
    float map[DIM * (DIM + 1) / 2];
    struct dpc_error err;
    make_points(points);
    CU_ASSERT_EQUAL_FATAL(dpc_whiten_fit(&points[0][0], POINTS, DIM, 1e-9, map, &err), DPC_OK);
    for (int a = 0; a < DIM; a++) {
        for (int b = 0; b < DIM; b++)
            CU_ASSERT_DOUBLE_EQUAL(covariance(points, map, a, b), a == b, 1e-4);
    }
}

/* A dimension that is a copy of another, and fewer points than dimensions: the ridge stands in for
 * what is missing, and no direction gets a variance above 1. */
static void
directions_without_variance_stay_short(void)
{
    static float points[POINTS][DIM];
    float map[DIM * (DIM + 1) / 2];
    struct dpc_error err;
    make_points(points);
    for (int i = 0; i < POINTS; i++)
        points[i][5] = points[i][4];
    CU_ASSERT_EQUAL_FATAL(dpc_whiten_fit(&points[0][0], POINTS, DIM, 0.01, map, &err), DPC_OK);
    CU_ASSERT(covariance(points, map, 5, 5) < 0.01);
    CU_ASSERT_DOUBLE_EQUAL(covariance(points, map, 4, 4), 1, 0.05);
    CU_ASSERT_EQUAL_FATAL(dpc_whiten_fit(&points[0][0], 3, DIM, 0.01, map, &err), DPC_OK);
    for (int i = 0; i < DIM * (DIM + 1) / 2; i++)
        CU_ASSERT(isfinite(map[i]));
}

static void
a_slice_is_that_of_the_whole(void)
{
    static float points[POINTS][DIM];
    float map[DIM * (DIM + 1) / 2], whole[DIM], slice[2];
    struct dpc_error err;
    make_points(points);
    CU_ASSERT_EQUAL_FATAL(dpc_whiten_fit(&points[0][0], POINTS, DIM, 0.01, map, &err), DPC_OK);
    dpc_whiten_apply(map, points[7], 0, DIM, whole);
    dpc_whiten_apply(map, points[7], 3, 2, slice);
    CU_ASSERT_EQUAL(memcmp(whole + 3, slice, sizeof slice), 0);
}

static void
what_has_no_covariance_is_refused(void)
{
    static float points[POINTS][DIM];
    float map[DIM * (DIM + 1) / 2];
    struct dpc_error err;
    make_points(points);
    points[3][2] = INFINITY;
    CU_ASSERT_EQUAL(dpc_whiten_fit(&points[0][0], POINTS, DIM, 0.01, map, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "write routing.features: standard"));
}

static const struct dpc_test tests[] = {
    {"the covariance becomes the identity", the_covariance_becomes_the_identity},
    {"directions without variance stay short", directions_without_variance_stay_short},
    {"a slice is that of the whole", a_slice_is_that_of_the_whole},
    {"what has no covariance is refused", what_has_no_covariance_is_refused},
};
DPC_TEST_MAIN("routing/whiten", tests)
