/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/router.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "routing/kmeans.h"
#include "tests/unit/harness.h"

enum { POINTS = 400, DIM = 8, CLUSTERS = 4 };

/* Four well separated clouds; point i belongs to cloud i % CLUSTERS. */
static void
make_clouds(float points[POINTS][DIM])
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 11, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < DIM; k++)
            points[i][k] =
                (float)((k % CLUSTERS == i % CLUSTERS ? 10.0 : 0.0) + dpc_rng_normal(&rng));
    }
}

static struct dpc_router *
fit(const float *points, uint32_t count, uint64_t seed)
{
    struct dpc_error err;
    struct dpc_router *router;
    CU_ASSERT_EQUAL_FATAL(dpc_router_fit(points, count, DIM, CLUSTERS, seed, &router, &err),
                          DPC_OK);
    return router;
}

static void
clouds_are_found(void)
{
    static float points[POINTS][DIM];
    make_clouds(points);
    struct dpc_router *router = fit(&points[0][0], POINTS, 1);
    uint32_t path_of_cloud[CLUSTERS];
    for (uint32_t cloud = 0; cloud < CLUSTERS; cloud++) {
        path_of_cloud[cloud] = dpc_router_path(router, points[cloud]);
        for (uint32_t other = 0; other < cloud; other++)
            CU_ASSERT_NOT_EQUAL(path_of_cloud[cloud], path_of_cloud[other]);
    }
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i]), path_of_cloud[i % CLUSTERS]);
    dpc_router_destroy(router);
}

/* One dimension of wide noise says nothing; the clouds are found all the same. */
static void
a_wide_dimension_does_not_drown_the_others(void)
{
    static float points[POINTS][DIM];
    struct dpc_rng rng;
    make_clouds(points);
    dpc_rng_init(&rng, 12, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++)
        points[i][DIM - 1] = (float)(10000 * dpc_rng_normal(&rng));
    struct dpc_router *router = fit(&points[0][0], POINTS, 1);
    unsigned agree = 0;
    for (int i = 0; i < POINTS; i++)
        agree += dpc_router_path(router, points[i]) ==
                 dpc_router_path(router, points[i % CLUSTERS]);
    CU_ASSERT(agree > POINTS * 9 / 10);
    dpc_router_destroy(router);
}

static void
the_same_seed_gives_the_same_bytes(void)
{
    static float points[POINTS][DIM];
    struct dpc_buf a, b;
    make_clouds(points);
    dpc_buf_init(&a, 0);
    dpc_buf_init(&b, 0);
    struct dpc_router *first = fit(&points[0][0], POINTS, 5);
    struct dpc_router *second = fit(&points[0][0], POINTS, 5);
    dpc_router_write(first, &a);
    dpc_router_write(second, &b);
    CU_ASSERT_EQUAL(a.len, b.len);
    CU_ASSERT_EQUAL(memcmp(a.data, b.data, a.len), 0);
    dpc_router_destroy(first);
    dpc_router_destroy(second);
    dpc_buf_done(&a);
    dpc_buf_done(&b);
}

static void
more_restarts_are_never_worse(void)
{
    static float points[POINTS][DIM];
    struct dpc_error err;
    float centroids[7 * DIM];
    double one, ten;
    make_clouds(points);
    for (uint64_t seed = 0; seed < 5; seed++) {
        CU_ASSERT_EQUAL(
            dpc_kmeans_fit(&points[0][0], POINTS, DIM, 7, seed, 1, centroids, &one, &err), DPC_OK);
        CU_ASSERT_EQUAL(
            dpc_kmeans_fit(&points[0][0], POINTS, DIM, 7, seed, 10, centroids, &ten, &err), DPC_OK);
        CU_ASSERT(ten <= one);
    }
}

/* Three distinct points for three clusters, each many times: every cluster is used. */
static void
copies_leave_no_cluster_empty(void)
{
    float points[60][DIM] = {{0}};
    float centroids[3 * DIM];
    double inertia;
    struct dpc_error err;
    for (int i = 0; i < 60; i++)
        points[i][0] = (float)(i < 58 ? 0 : i - 50);
    CU_ASSERT_EQUAL(dpc_kmeans_fit(&points[0][0], 60, DIM, 3, 1, 3, centroids, &inertia, &err),
                    DPC_OK);
    CU_ASSERT_DOUBLE_EQUAL(inertia, 0, 1e-12);
}

static void
what_cannot_be_clustered_is_refused(void)
{
    float points[3 * DIM] = {0}, centroids[4 * DIM];
    double inertia;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_kmeans_fit(points, 3, DIM, 4, 1, 1, centroids, &inertia, &err), DPC_EINVAL);
    points[DIM] = NAN;
    CU_ASSERT_EQUAL(dpc_kmeans_fit(points, 3, DIM, 2, 1, 1, centroids, &inertia, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "document 1"));
}

static void
bytes_come_back_as_the_same_router(void)
{
    static float points[POINTS][DIM];
    struct dpc_buf bytes;
    struct dpc_router *read;
    struct dpc_error err;
    make_clouds(points);
    dpc_buf_init(&bytes, 0);
    struct dpc_router *router = fit(&points[0][0], POINTS, 1);
    dpc_router_write(router, &bytes);
    CU_ASSERT_EQUAL_FATAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_router_paths(read), CLUSTERS);
    CU_ASSERT_EQUAL(dpc_router_dim(read), DIM);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(read, points[i]), dpc_router_path(router, points[i]));
    dpc_router_destroy(read);
    /* Every shorter form, and a flip in each byte of the head, is refused. */
    for (size_t len = 0; len < bytes.len; len++)
        CU_ASSERT_NOT_EQUAL(dpc_router_read(bytes.data, len, &read, &err), DPC_OK);
    for (size_t i = 0; i < 20; i++) {
        bytes.data[i] ^= 0x41;
        CU_ASSERT_NOT_EQUAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_OK);
        bytes.data[i] ^= 0x41;
    }
    dpc_router_destroy(router);
    dpc_buf_done(&bytes);
}

static const struct dpc_test tests[] = {
    {"clouds are found", clouds_are_found},
    {"a wide dimension does not drown the others", a_wide_dimension_does_not_drown_the_others},
    {"the same seed gives the same bytes", the_same_seed_gives_the_same_bytes},
    {"more restarts are never worse", more_restarts_are_never_worse},
    {"copies leave no cluster empty", copies_leave_no_cluster_empty},
    {"what cannot be clustered is refused", what_cannot_be_clustered_is_refused},
    {"bytes come back as the same router", bytes_come_back_as_the_same_router},
};
DPC_TEST_MAIN("routing/router", tests)
