/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/router.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
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

static const struct dpc_kmeans_options three = {.seed = 1, .restarts = 3};
static const uint8_t key[DPC_CONTENT_KEY_BYTES] = {1, 2, 3};

static const char two_by_two[] = "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                                 "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n";

static const uint32_t *sample_rows; /* where points of samples stand; NULL: one after the other */

/* A router of these levels with these keys; `labels` are for metadata. */
static struct dpc_router *
fit_levels(const float *points, uint32_t count, uint64_t seed, const char *levels,
           const char *routing, const uint32_t *labels)
{
    struct dpc_error err = {0};
    struct dpc_router *router = NULL;
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    char yaml[512];
    (void)snprintf(yaml, sizeof yaml,
                   "experiment: test\n"
                   "seed: %llu\n"
                   "data: {corpus: corpus}\n"
                   "levels:\n%s"
                   "routing: {%s}\n",
                   (unsigned long long)seed, levels, routing);
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("test", yaml, strlen(yaml), &experiment, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, &err), DPC_OK);
    struct dpc_router_sample sample = {
        .features = points, .count = count, .dim = DIM, .rows = sample_rows, .labels = labels};
    CU_ASSERT_EQUAL_FATAL(dpc_router_fit(&topology, &sample, &router, &err), DPC_OK);
    return router;
}

static struct dpc_router *
fit_routing(const float *points, uint32_t count, uint64_t seed, const char *routing,
            const uint32_t *labels)
{
    return fit_levels(points, count, seed, two_by_two, routing, labels);
}

static struct dpc_router *
fit_init(const float *points, uint32_t count, uint64_t seed, const char *init,
         const uint32_t *labels)
{
    char routing[64];
    (void)snprintf(routing, sizeof routing, "init: %s", init);
    return fit_routing(points, count, seed, routing, labels);
}

static struct dpc_router *
fit(const float *points, uint32_t count, uint64_t seed)
{
    return fit_init(points, count, seed, "kmeans", NULL);
}

/* Of points of which every CLUSTERS-th is of a kind those that go where the first of their kind
 * goes. */
static uint32_t
count_agreeing(float points[POINTS][DIM], const char *routing)
{
    uint32_t agree = 0;
    struct dpc_router *router = fit_routing(&points[0][0], POINTS, 1, routing, NULL);
    for (int i = 0; i < POINTS; i++)
        agree += dpc_router_path(router, points[i], key) ==
                 dpc_router_path(router, points[i % CLUSTERS], key);
    dpc_router_destroy(router);
    return agree;
}

static void
clouds_are_found(void)
{
    static float points[POINTS][DIM];
    make_clouds(points);
    struct dpc_router *router = fit(&points[0][0], POINTS, 1);
    uint32_t path_of_cloud[CLUSTERS];
    for (uint32_t cloud = 0; cloud < CLUSTERS; cloud++) {
        path_of_cloud[cloud] = dpc_router_path(router, points[cloud], key);
        for (uint32_t other = 0; other < cloud; other++)
            CU_ASSERT_NOT_EQUAL(path_of_cloud[cloud], path_of_cloud[other]);
    }
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), path_of_cloud[i % CLUSTERS]);
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
    CU_ASSERT(count_agreeing(points, "init: kmeans") > POINTS * 9 / 10);
}

static void
check_same_bytes(const float *points, const char *routing)
{
    struct dpc_buf a, b;
    dpc_buf_init(&a, 0);
    dpc_buf_init(&b, 0);
    struct dpc_router *first = fit_routing(points, POINTS, 5, routing, NULL);
    struct dpc_router *second = fit_routing(points, POINTS, 5, routing, NULL);
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
the_same_seed_gives_the_same_bytes(void)
{
    static float points[POINTS][DIM];
    make_clouds(points);
    check_same_bytes(&points[0][0], "init: kmeans");
    check_same_bytes(&points[0][0], "init: kmeans, features: whitened, restarts: 3");
}

/* Those of documents that the router may not see stand between them. */
static void
points_need_not_stand_one_after_the_other(void)
{
    static const char *const routings[] = {"init: kmeans", "init: product",
                                           "init: kmeans, features: whitened"};
    static float points[POINTS][DIM], apart[2 * POINTS][DIM];
    uint32_t rows[POINTS];
    make_clouds(points);
    for (uint32_t i = 0; i < POINTS; i++) {
        rows[i] = 2 * i + 1;
        memcpy(apart[2 * i + 1], points[i], sizeof points[i]);
        for (int k = 0; k < DIM; k++)
            apart[2 * i][k] = NAN;
    }
    for (size_t i = 0; i < sizeof routings / sizeof *routings; i++) {
        struct dpc_buf a, b;
        dpc_buf_init(&a, 0);
        dpc_buf_init(&b, 0);
        struct dpc_router *router = fit_routing(&points[0][0], POINTS, 5, routings[i], NULL);
        dpc_router_write(router, &a);
        dpc_router_destroy(router);
        sample_rows = rows;
        router = fit_routing(&apart[0][0], POINTS, 5, routings[i], NULL);
        sample_rows = NULL;
        dpc_router_write(router, &b);
        dpc_router_destroy(router);
        CU_ASSERT_EQUAL_FATAL(a.len, b.len);
        CU_ASSERT_EQUAL(memcmp(a.data, b.data, a.len), 0);
        dpc_buf_done(&a);
        dpc_buf_done(&b);
    }
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
        CU_ASSERT_EQUAL(dpc_kmeans_fit(&points[0][0], POINTS, DIM, 7,
                                       &(struct dpc_kmeans_options){.seed = seed, .restarts = 1},
                                       centroids, &one, &err),
                        DPC_OK);
        CU_ASSERT_EQUAL(dpc_kmeans_fit(&points[0][0], POINTS, DIM, 7,
                                       &(struct dpc_kmeans_options){.seed = seed, .restarts = 10},
                                       centroids, &ten, &err),
                        DPC_OK);
        CU_ASSERT(ten <= one);
    }
}

/* Whole numbers, so that many distances are equal. */
static void
hash_of_clusters(uint32_t values, uint32_t dim, uint32_t clusters, char ret_hex[DPC_HASH_HEX_MAX])
{
    static float points[POINTS * 45], centroids[45 * 45];
    struct dpc_rng rng;
    struct dpc_hash hash;
    double inertia;
    dpc_rng_init(&rng, 12, DPC_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < (size_t)POINTS * dim; i++)
        points[i] = (float)dpc_rng_below(&rng, values);
    CU_ASSERT_EQUAL(
        dpc_kmeans_fit(points, POINTS, dim, clusters, &three, centroids, &inertia, NULL), DPC_OK);
    dpc_hash_of(centroids, (size_t)clusters * dim * sizeof *centroids, &hash);
    dpc_hash_hex(&hash, ret_hex, 17);
}

/* A run's shards follow from its file: these are what came of measuring one centroid after the
 * other, to the end. */
static void
clusters_have_the_bits_of_plain_distances(void)
{
    static const struct {
        uint32_t values, dim, clusters;
        const char *hash;
    } rows[] = {{4, 2, 5, "b7ae870128c490c2"},
                {3, 45, 13, "2c36f8dbe4f786a1"},
                {100, 33, 8, "f58117b95435a035"},
                {2, 7, 45, "b74484969629d6fe"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hash[DPC_HASH_HEX_MAX];
        hash_of_clusters(rows[i].values, rows[i].dim, rows[i].clusters, hash);
        CU_ASSERT_STRING_EQUAL(hash, rows[i].hash);
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
    CU_ASSERT_EQUAL(dpc_kmeans_fit(&points[0][0], 60, DIM, 3, &three, centroids, &inertia, &err),
                    DPC_OK);
    CU_ASSERT_DOUBLE_EQUAL(inertia, 0, 1e-12);
}

static void
what_cannot_be_clustered_is_refused(void)
{
    float points[3 * DIM] = {0}, centroids[4 * DIM];
    double inertia;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_kmeans_fit(points, 3, DIM, 4, &three, centroids, &inertia, &err),
                    DPC_EINVAL);
    points[DIM] = NAN;
    CU_ASSERT_EQUAL(dpc_kmeans_fit(points, 3, DIM, 2, &three, centroids, &inertia, &err),
                    DPC_EINVAL);
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
        CU_ASSERT_EQUAL(dpc_router_path(read, points[i], key),
                        dpc_router_path(router, points[i], key));
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

/* Halves of the feature tell two things apart: each level's module stands for one of them. */
static void
product_clusters_each_half_by_itself(void)
{
    static float points[POINTS][DIM];
    struct dpc_rng rng;
    uint32_t path_of[4];
    dpc_rng_init(&rng, 13, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < DIM; k++) {
            int bit = k < DIM / 2 ? i / 2 % 2 : i % 2;
            points[i][k] = (float)(k % 2 == bit ? 10 : 0) + (float)dpc_rng_normal(&rng);
        }
    }
    struct dpc_router *router = fit_init(&points[0][0], POINTS, 1, "product", NULL);
    CU_ASSERT_EQUAL(dpc_router_paths(router), 4);
    for (int i = 0; i < 4; i++)
        path_of[i] = dpc_router_path(router, points[i], key);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), path_of[i % 4]);
    /* Points that share a half share that level's module. */
    CU_ASSERT_EQUAL(path_of[0] / 2, path_of[1] / 2);
    CU_ASSERT_EQUAL(path_of[0] % 2, path_of[2] % 2);
    CU_ASSERT_NOT_EQUAL(path_of[0] / 2, path_of[2] / 2);
    CU_ASSERT_NOT_EQUAL(path_of[0] % 2, path_of[1] % 2);
    /* A level without a choice takes no part of the features. */
    struct dpc_router *wider =
        fit_levels(&points[0][0], POINTS, 1,
                   "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                   "  - {name: middle, parts: [{blocks: 1}], modules: 1}\n"
                   "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n",
                   "init: product", NULL);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(wider, points[i], key), path_of[i % 4]);
    dpc_router_destroy(wider);
    dpc_router_destroy(router);
}

static void
spherical_clusters_are_found_too(void)
{
    static float points[POINTS][DIM];
    make_clouds(points);
    struct dpc_router *router = fit_init(&points[0][0], POINTS, 1, "spherical", NULL);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key),
                        dpc_router_path(router, points[i % CLUSTERS], key));
    dpc_router_destroy(router);
}

static void
spherical_centroids_have_unit_length(void)
{
    static float points[POINTS][DIM];
    float centroids[CLUSTERS * DIM];
    struct dpc_error err;
    struct dpc_kmeans_options options = {.seed = 1, .restarts = 3, .spherical = true};
    double inertia;
    make_clouds(points);
    CU_ASSERT_EQUAL(
        dpc_kmeans_fit(&points[0][0], POINTS, DIM, CLUSTERS, &options, centroids, &inertia, &err),
        DPC_OK);
    for (int cluster = 0; cluster < CLUSTERS; cluster++) {
        double squares = 0;
        for (int k = 0; k < DIM; k++)
            squares += (double)centroids[cluster * DIM + k] * (double)centroids[cluster * DIM + k];
        CU_ASSERT_DOUBLE_EQUAL(squares, 1, 1e-5);
    }
}

/* The routes of texts without the field: the path whose documents they are most like. */
static void
metadata_routes_new_texts_to_the_nearest_mean(void)
{
    static float points[POINTS][DIM];
    static uint32_t labels[POINTS];
    make_clouds(points);
    for (uint32_t i = 0; i < POINTS; i++)
        labels[i] = (i + 1) % CLUSTERS;
    struct dpc_router *router = fit_init(&points[0][0], POINTS, 1, "metadata", labels);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), labels[i]);
    dpc_router_destroy(router);
}

static void
hash_looks_at_the_key_alone_and_is_even(void)
{
    static float points[POINTS][DIM];
    unsigned counts[4] = {0};
    make_clouds(points);
    struct dpc_router *router = fit_init(&points[0][0], POINTS, 1, "hash", NULL);
    for (int i = 0; i < 4000; i++) {
        uint8_t other[DPC_CONTENT_KEY_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8)};
        uint32_t path = dpc_router_path(router, points[i % POINTS], other);
        CU_ASSERT_EQUAL(path, dpc_router_path(router, points[0], other));
        counts[path]++;
    }
    for (int path = 0; path < 4; path++)
        CU_ASSERT(counts[path] > 900 && counts[path] < 1100);
    dpc_router_destroy(router);
}

static void
the_linear_router_learns_its_labels(void)
{
    static float points[POINTS][DIM];
    static uint32_t labels[POINTS];
    struct dpc_error err;
    struct dpc_router *router;
    make_clouds(points);
    for (uint32_t i = 0; i < POINTS; i++)
        labels[i] = 3 - i % CLUSTERS;
    struct dpc_router_sample few = {
        .features = &points[0][0], .count = 40, .dim = DIM, .labels = labels};
    struct dpc_router_sample all = {.features = &points[0][0], .count = POINTS, .dim = DIM};
    for (int features = DPC_FEATURES_STANDARD; features <= DPC_FEATURES_WHITENED; features++) {
        CU_ASSERT_EQUAL_FATAL(dpc_router_fit_linear(CLUSTERS, (enum dpc_routing_features)features,
                                                    &few, &all, &router, &err),
                              DPC_OK);
        for (int i = 0; i < POINTS; i++)
            CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), labels[i]);
        dpc_router_destroy(router);
    }
    points[7][1] = NAN;
    CU_ASSERT_EQUAL(
        dpc_router_fit_linear(CLUSTERS, DPC_FEATURES_WHITENED, &few, &all, &router, &err),
        DPC_EINVAL);
}

/* Half as many labels of one kind as the documents have is chance: a bias that met the labels'
 * shares of all documents moved some that were right. */
static void
chance_in_the_labels_moves_nobody(void)
{
    static float points[POINTS][DIM];
    static float some[40][DIM];
    static uint32_t labels[40];
    struct dpc_error err;
    struct dpc_router *router;
    make_clouds(points);
    for (uint32_t i = 0, taken = 0; taken < 40; i++) {
        if (i % CLUSTERS == 0 && i / CLUSTERS % 2)
            continue;
        labels[taken] = i % CLUSTERS;
        memcpy(some[taken++], points[i], sizeof points[i]);
    }
    struct dpc_router_sample few = {
        .features = &some[0][0], .count = 40, .dim = DIM, .labels = labels, .least = 20};
    struct dpc_router_sample all = {.features = &points[0][0], .count = POINTS, .dim = DIM};
    CU_ASSERT_EQUAL_FATAL(
        dpc_router_fit_linear(CLUSTERS, DPC_FEATURES_STANDARD, &few, &all, &router, &err), DPC_OK);
    for (uint32_t i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), i % CLUSTERS);
    dpc_router_destroy(router);
}

/* Labels that features say little about: the likeliest of all would take nearly every document, and
 * the bias gives each path its share all the same. */
static void
paths_get_their_labels_shares(void)
{
    static float points[POINTS][DIM];
    static uint32_t labels[POINTS];
    uint32_t wanted[CLUSTERS] = {0}, got[CLUSTERS] = {0};
    struct dpc_rng rng;
    struct dpc_error err;
    struct dpc_router *router;
    dpc_rng_init(&rng, 21, DPC_RNG_TEST, 0, 0, 0);
    for (uint32_t i = 0; i < POINTS; i++) {
        labels[i] = i % 10 < 7 ? 0 : i % 10 - 6;
        wanted[labels[i]]++;
        for (uint32_t k = 0; k < DIM; k++)
            points[i][k] = (float)((k == labels[i] ? 0.3 : 0.0) + dpc_rng_normal(&rng));
    }
    struct dpc_router_sample all = {
        .features = &points[0][0], .count = POINTS, .dim = DIM, .labels = NULL};
    struct dpc_router_sample labelled = all;
    labelled.labels = labels;
    CU_ASSERT_EQUAL_FATAL(
        dpc_router_fit_linear(CLUSTERS, DPC_FEATURES_STANDARD, &labelled, &all, &router, &err),
        DPC_OK);
    for (uint32_t i = 0; i < POINTS; i++)
        got[dpc_router_path(router, points[i], key)]++;
    for (uint32_t path = 0; path < CLUSTERS; path++)
        CU_ASSERT_EQUAL(got[path], wanted[path]);
    dpc_router_destroy(router);
}

/* Four things that each lift one dimension by 2, and beside them one of no interest that moves
 * all dimensions together by much more: standardised, points cluster by it, whitened they do not.
 */
static void
whitening_sees_past_what_moves_all_dimensions(void)
{
    static float points[POINTS][DIM];
    struct dpc_rng rng;
    dpc_rng_init(&rng, 14, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++) {
        double together = 5 * dpc_rng_normal(&rng);
        for (int k = 0; k < DIM; k++)
            points[i][k] =
                (float)(together + (k % CLUSTERS == i % CLUSTERS) * 2.0 + dpc_rng_normal(&rng) / 4);
    }
    CU_ASSERT(count_agreeing(points, "init: kmeans") < POINTS * 3 / 4);
    CU_ASSERT(count_agreeing(points, "init: kmeans, features: whitened") > POINTS * 9 / 10);
}

/* Four things lift a dimension each by 2; as many dimensions that mean nothing differ by 0.1.
 * Standardised they say as much; n-grams keep their widths. */
static void
narrow_ngrams_are_not_blown_up(void)
{
    static float points[POINTS][DIM];
    struct dpc_rng rng;
    dpc_rng_init(&rng, 15, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < CLUSTERS; k++)
            points[i][k] = (float)((k == i % CLUSTERS) * 2.0 + dpc_rng_normal(&rng) / 2);
        for (int k = CLUSTERS; k < DIM; k++)
            points[i][k] = (i / CLUSTERS + k) % 4 ? 0 : 0.1F;
    }
    CU_ASSERT(count_agreeing(points, "init: kmeans") < POINTS * 9 / 10);
    CU_ASSERT(count_agreeing(points, "init: kmeans, features: ngrams") > POINTS * 19 / 20);
}

static void
metadata_routes_whitened_texts_too(void)
{
    static float points[POINTS][DIM];
    static uint32_t labels[POINTS];
    make_clouds(points);
    for (uint32_t i = 0; i < POINTS; i++)
        labels[i] = (i + 1) % CLUSTERS;
    struct dpc_router *router =
        fit_routing(&points[0][0], POINTS, 1, "init: metadata, features: whitened", labels);
    for (int i = 0; i < POINTS; i++)
        CU_ASSERT_EQUAL(dpc_router_path(router, points[i], key), labels[i]);
    dpc_router_destroy(router);
}

/* What releases before whitening wrote: two paths at (-1) and (1) of one dimension. */
static void
an_older_router_is_read(void)
{
    static const float values[] = {/* mean */ 3, /* scale */ 0.5F, /* centroids */ -1, 1};
    struct dpc_buf bytes, again;
    struct dpc_router *router;
    struct dpc_error err;
    dpc_buf_init(&bytes, 0);
    dpc_buf_init(&again, 0);
    dpc_buf_put(&bytes, "DPCROUT1", 8);
    dpc_buf_put_u32(&bytes, 1);
    dpc_buf_put_u32(&bytes, 2);
    dpc_buf_put_u32(&bytes, 1);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        dpc_buf_put_u32(&bytes, bits);
    }
    CU_ASSERT_EQUAL_FATAL(dpc_router_read(bytes.data, bytes.len, &router, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_router_path(router, (float[]){2.9F}, key), 0);
    CU_ASSERT_EQUAL(dpc_router_path(router, (float[]){3.1F}, key), 1);
    /* It is also written as it was, for older releases and since its hash names it. */
    dpc_router_write(router, &again);
    CU_ASSERT_EQUAL_FATAL(again.len, bytes.len);
    CU_ASSERT_EQUAL(memcmp(again.data, bytes.data, bytes.len), 0);
    dpc_router_destroy(router);
    dpc_buf_done(&bytes);
    dpc_buf_done(&again);
}

/* Magic, kind, form, paths, dim. */
static void
a_damaged_whitened_router_is_refused(void)
{
    static float points[POINTS][DIM];
    struct dpc_buf bytes;
    struct dpc_router *read;
    struct dpc_error err;
    make_clouds(points);
    dpc_buf_init(&bytes, 0);
    struct dpc_router *router =
        fit_routing(&points[0][0], POINTS, 1, "init: kmeans, features: whitened", NULL);
    dpc_router_write(router, &bytes);
    CU_ASSERT_EQUAL(memcmp(bytes.data, "DPCROUT2", 8), 0);
    for (size_t i = 0; i < 24; i++) {
        bytes.data[i] ^= 0x41;
        CU_ASSERT_NOT_EQUAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_OK);
        bytes.data[i] ^= 0x41;
    }
    bytes.data[12] = 0; /* a form of its own file */
    CU_ASSERT_EQUAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_EVERSION);
    bytes.data[12] = 1;
    memset(bytes.data + 24 + 2 * DIM * sizeof(float), 0xff, sizeof(float)); /* of the map */
    CU_ASSERT_EQUAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_ECORRUPT);
    dpc_router_destroy(router);
    dpc_buf_done(&bytes);
}

static void
every_kind_comes_back_from_its_bytes(void)
{
    static const char *const routings[] = {
        "init: spherical",
        "init: product",
        "init: hash",
        "init: kmeans, features: whitened",
        "init: kmeans, features: ngrams",
        "init: spherical, features: whitened",
        "init: product, features: whitened, restarts: 2",
        "init: hash, features: whitened",
    };
    static float points[POINTS][DIM];
    struct dpc_error err;
    make_clouds(points);
    for (size_t n = 0; n < sizeof routings / sizeof *routings; n++) {
        struct dpc_router *read, *router = fit_routing(&points[0][0], POINTS, 1, routings[n], NULL);
        struct dpc_buf bytes;
        dpc_buf_init(&bytes, 0);
        dpc_router_write(router, &bytes);
        CU_ASSERT_EQUAL_FATAL(dpc_router_read(bytes.data, bytes.len, &read, &err), DPC_OK);
        for (int i = 0; i < POINTS; i++)
            CU_ASSERT_EQUAL(dpc_router_path(read, points[i], key),
                            dpc_router_path(router, points[i], key));
        dpc_router_destroy(read);
        for (size_t len = 0; len < bytes.len; len++)
            CU_ASSERT_NOT_EQUAL(dpc_router_read(bytes.data, len, &read, &err), DPC_OK);
        dpc_router_destroy(router);
        dpc_buf_done(&bytes);
    }
}

/* Every eighth of very many is of two clouds, the others pull elsewhere: who sees all of them finds
 * these. */
static void
clusters_are_made_of_some_of_very_many(void)
{
    enum { SEEN = 1 << 16, MANY = 8 * SEEN };
    static const char two[] =
        "  - {name: all, parts: [embedding, {blocks: 1}, head], modules: 2}\n";
    float(*points)[DIM] = dpc_alloc(MANY, sizeof *points);
    struct dpc_rng rng;
    dpc_rng_init(&rng, 5, DPC_RNG_TEST, 0, 0, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        for (uint32_t k = 0; k < 2; k++)
            points[i][k] = (float)dpc_rng_normal(&rng);
        points[i][i % 8 ? 1 : 0] += i / 8 % 2 ? 30 : -30;
    }
    const float left[DIM] = {-30, 20}, right[DIM] = {30, 20};
    struct dpc_router *some = fit_levels(&points[0][0], MANY, 1, two, "init: kmeans", NULL);
    CU_ASSERT_NOT_EQUAL(dpc_router_path(some, left, key), dpc_router_path(some, right, key));
    dpc_router_destroy(some);
    /* As many as are seen are seen all. */
    struct dpc_router *whole = fit_levels(&points[0][0], SEEN, 1, two, "init: kmeans", NULL);
    CU_ASSERT_EQUAL(dpc_router_path(whole, left, key), dpc_router_path(whole, right, key));
    dpc_router_destroy(whole);
    dpc_free(points);
}

static const struct dpc_test tests[] = {
    {"clouds are found", clouds_are_found},
    {"a wide dimension does not drown the others", a_wide_dimension_does_not_drown_the_others},
    {"the same seed gives the same bytes", the_same_seed_gives_the_same_bytes},
    {"points need not stand one after the other", points_need_not_stand_one_after_the_other},
    {"more restarts are never worse", more_restarts_are_never_worse},
    {"clusters are made of some of very many", clusters_are_made_of_some_of_very_many},
    {"clusters have the bits of plain distances", clusters_have_the_bits_of_plain_distances},
    {"copies leave no cluster empty", copies_leave_no_cluster_empty},
    {"what cannot be clustered is refused", what_cannot_be_clustered_is_refused},
    {"bytes come back as the same router", bytes_come_back_as_the_same_router},
    {"product clusters each half by itself", product_clusters_each_half_by_itself},
    {"spherical clusters are found too", spherical_clusters_are_found_too},
    {"spherical centroids have unit length", spherical_centroids_have_unit_length},
    {"metadata routes new texts to the nearest mean",
     metadata_routes_new_texts_to_the_nearest_mean},
    {"hash looks at the key alone and is even", hash_looks_at_the_key_alone_and_is_even},
    {"the linear router learns its labels", the_linear_router_learns_its_labels},
    {"chance in the labels moves nobody", chance_in_the_labels_moves_nobody},
    {"paths get their labels' shares", paths_get_their_labels_shares},
    {"whitening sees past what moves all dimensions",
     whitening_sees_past_what_moves_all_dimensions},
    {"narrow n-grams are not blown up", narrow_ngrams_are_not_blown_up},
    {"metadata routes whitened texts too", metadata_routes_whitened_texts_too},
    {"an older router is read", an_older_router_is_read},
    {"a damaged whitened router is refused", a_damaged_whitened_router_is_refused},
    {"every kind comes back from its bytes", every_kind_comes_back_from_its_bytes},
};
DPC_TEST_MAIN("routing/router", tests)
