/* SPDX-License-Identifier: Apache-2.0
 * Distances and sums are kept in double: some thousands of documents in some hundred dimensions
 * take a blink, and the bits do not depend on the order of vector instructions. */
#include "routing/kmeans.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

enum { ROUNDS_MAX = 200 };

/* One run over the points. */
struct run {
    const float *features;
    uint32_t count, dim, clusters;
    bool spherical;
    uint32_t *nearest; /* [count] */
    double *distances; /* [count] to the nearest, squared */
    double *sums;      /* [clusters, dim] */
    uint32_t *sizes;   /* [clusters] */
    float *centroids;  /* [clusters, dim] */
    double inertia;
};

double
dpc_kmeans_squared_distance(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        double difference = (double)a[i] - (double)b[i];
        sum += difference * difference;
    }
    return sum;
}

uint32_t
dpc_kmeans_nearest(const float *centroids, uint32_t clusters, uint32_t dim, const float *feature,
                   double *ret_distance)
{
    uint32_t best = 0;
    double least = INFINITY;
    for (uint32_t cluster = 0; cluster < clusters; cluster++) {
        double distance =
            dpc_kmeans_squared_distance(centroids + (size_t)cluster * dim, feature, dim);
        if (distance < least) {
            least = distance;
            best = cluster;
        }
    }
    if (ret_distance)
        *ret_distance = least;
    return best;
}

static const float *
point(const struct run *run, uint32_t index)
{
    return run->features + (size_t)index * run->dim;
}

static void
set_centroid(struct run *run, uint32_t cluster, uint32_t index)
{
    memcpy(run->centroids + (size_t)cluster * run->dim, point(run, index),
           run->dim * sizeof(float));
}

/* A point with a chance in proportion to its squared distance from the centroids so far. */
static uint32_t
draw_far_point(const struct run *run, struct dpc_rng *rng)
{
    double total = 0;
    for (uint32_t i = 0; i < run->count; i++)
        total += run->distances[i];
    double mark = dpc_rng_unit(rng) * total;
    for (uint32_t i = 0; i < run->count; i++) {
        mark -= run->distances[i];
        if (mark < 0)
            return i;
    }
    return (uint32_t)dpc_rng_below(rng, run->count); /* all points lie on centroids */
}

/* k-means++. */
static void
seed_centroids(struct run *run, struct dpc_rng *rng)
{
    set_centroid(run, 0, (uint32_t)dpc_rng_below(rng, run->count));
    for (uint32_t i = 0; i < run->count; i++)
        run->distances[i] = dpc_kmeans_squared_distance(run->centroids, point(run, i), run->dim);
    for (uint32_t cluster = 1; cluster < run->clusters; cluster++) {
        set_centroid(run, cluster, draw_far_point(run, rng));
        const float *centroid = run->centroids + (size_t)cluster * run->dim;
        for (uint32_t i = 0; i < run->count; i++)
            run->distances[i] = fmin(
                run->distances[i], dpc_kmeans_squared_distance(centroid, point(run, i), run->dim));
    }
}

/* True when a point changed its cluster. */
static bool
assign_points(struct run *run)
{
    bool changed = false;
    run->inertia = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t nearest = dpc_kmeans_nearest(run->centroids, run->clusters, run->dim,
                                              point(run, i), &run->distances[i]);
        changed |= nearest != run->nearest[i];
        run->nearest[i] = nearest;
        run->inertia += run->distances[i];
    }
    return changed;
}

/* An empty cluster takes the point that lies farthest from its own centroid. */
static void
fill_empty_cluster(struct run *run, uint32_t cluster)
{
    uint32_t farthest = 0;
    for (uint32_t i = 1; i < run->count; i++) {
        if (run->distances[i] > run->distances[farthest])
            farthest = i;
    }
    run->distances[farthest] = 0;
    set_centroid(run, cluster, farthest);
}

/* Unit length, unless all its points cancel out. */
static void
put_on_sphere(float *centroid, uint32_t dim)
{
    double squares = 0;
    for (uint32_t k = 0; k < dim; k++)
        squares += (double)centroid[k] * (double)centroid[k];
    float factor = squares > 0 ? (float)(1 / sqrt(squares)) : 1;
    for (uint32_t k = 0; k < dim; k++)
        centroid[k] *= factor;
}

static void
move_centroids(struct run *run)
{
    memset(run->sums, 0, (size_t)run->clusters * run->dim * sizeof *run->sums);
    memset(run->sizes, 0, run->clusters * sizeof *run->sizes);
    for (uint32_t i = 0; i < run->count; i++) {
        double *sum = run->sums + (size_t)run->nearest[i] * run->dim;
        const float *feature = point(run, i);
        run->sizes[run->nearest[i]]++;
        for (uint32_t k = 0; k < run->dim; k++)
            sum[k] += (double)feature[k];
    }
    for (uint32_t cluster = 0; cluster < run->clusters; cluster++) {
        if (!run->sizes[cluster]) {
            fill_empty_cluster(run, cluster);
            continue;
        }
        for (uint32_t k = 0; k < run->dim; k++) {
            size_t at = (size_t)cluster * run->dim + k;
            run->centroids[at] = (float)(run->sums[at] / run->sizes[cluster]);
        }
        if (run->spherical)
            put_on_sphere(run->centroids + (size_t)cluster * run->dim, run->dim);
    }
}

static void
run_once(struct run *run, struct dpc_rng *rng)
{
    seed_centroids(run, rng);
    memset(run->nearest, 0xff, run->count * sizeof *run->nearest);
    for (int round = 0; round < ROUNDS_MAX && assign_points(run); round++)
        move_centroids(run);
    assign_points(run);
}

static int
check(const float *features, uint32_t count, uint32_t dim, uint32_t clusters, struct dpc_error *err)
{
    if (count < clusters || clusters == 0)
        return dpc_error_set(err, DPC_EINVAL, "%u documents cannot make %u clusters", count,
                             clusters);
    for (size_t i = 0; i < (size_t)count * dim; i++) {
        if (!isfinite(features[i]))
            return dpc_error_set(err, DPC_EINVAL, "a feature of document %zu is not finite",
                                 i / dim);
    }
    return DPC_OK;
}

int
dpc_kmeans_fit(const float *features, uint32_t count, uint32_t dim, uint32_t clusters,
               const struct dpc_kmeans_options *options, float *ret_centroids, double *ret_inertia,
               struct dpc_error *err)
{
    int code = check(features, count, dim, clusters, err);
    if (code != DPC_OK)
        return code;
    size_t values = (size_t)clusters * dim;
    struct run run = {
        .features = features,
        .count = count,
        .dim = dim,
        .clusters = clusters,
        .spherical = options->spherical,
        .nearest = dpc_alloc(count, sizeof *run.nearest),
        .distances = dpc_alloc(count, sizeof *run.distances),
        .sums = dpc_alloc(values, sizeof *run.sums),
        .sizes = dpc_alloc(clusters, sizeof *run.sizes),
        .centroids = dpc_alloc(values, sizeof *run.centroids),
    };
    *ret_inertia = INFINITY;
    for (uint32_t restart = 0; restart < options->restarts; restart++) {
        struct dpc_rng rng;
        dpc_rng_init(&rng, options->seed, DPC_RNG_KMEANS, 0, restart, 0);
        run_once(&run, &rng);
        if (run.inertia < *ret_inertia) {
            *ret_inertia = run.inertia;
            memcpy(ret_centroids, run.centroids, values * sizeof *ret_centroids);
        }
    }
    dpc_free(run.nearest);
    dpc_free(run.distances);
    dpc_free(run.sums);
    dpc_free(run.sizes);
    dpc_free(run.centroids);
    return DPC_OK;
}
