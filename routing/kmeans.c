/* SPDX-License-Identifier: Apache-2.0
 * Distances and sums are kept in double, and each is added up in the order of its dimensions, so
 * that the bits do not depend on vector instructions: those to several centroids are added up side
 * by side, and no further than tells that a point is nearer to another one. */
#include "routing/kmeans.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

enum {
    ROUNDS_MAX = 200,
    LANES = 8,    /* centroids side by side: a sum alone waits for each of its additions */
    STRETCH = 32, /* dimensions between two looks at whether any of these can still be nearest */
};

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef double doubles __attribute__((vector_size(LANES * sizeof(double))));

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
    float *blocks;     /* [clusters / LANES, dim, LANES], the same while points are assigned */
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

void
dpc_kmeans_scale_to_unit(float *point, uint32_t dim)
{
    double squares = 0;
    for (uint32_t i = 0; i < dim; i++)
        squares += (double)point[i] * (double)point[i];
    float factor = squares > 0 ? (float)(1 / sqrt(squares)) : 0;
    for (uint32_t i = 0; i < dim; i++)
        point[i] *= factor;
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

/* --- The nearest centroid of each point. */

static uint32_t
blocks_of(uint32_t clusters)
{
    return (clusters + LANES - 1) / LANES;
}

/* Lanes behind the last cluster are the last one's again, which is nearer than itself to nothing.
 */
static void
lay_side_by_side(struct run *run)
{
    float *at = run->blocks;
    for (uint32_t block = 0; block < blocks_of(run->clusters); block++) {
        for (uint32_t k = 0; k < run->dim; k++) {
            for (uint32_t lane = 0; lane < LANES; lane++) {
                uint32_t cluster = block * LANES + lane, last = run->clusters - 1;
                *at++ = run->centroids[(size_t)(cluster < last ? cluster : last) * run->dim + k];
            }
        }
    }
}

/* Of some dimensions, in each lane as dpc_kmeans_squared_distance adds them. */
static void
add_stretch(const float *block, const float *feature, uint32_t dim, doubles *sums)
{
    doubles added = *sums;
    floats centroids;
    for (uint32_t k = 0; k < dim; k++) {
        memcpy(&centroids, block + (size_t)k * LANES, sizeof centroids);
        doubles difference = __builtin_convertvector(centroids, doubles) - (double)feature[k];
        added += difference * difference;
    }
    *sums = added;
}

/* Squared distances to the centroids of a block; false when all are above `least`, which they are
 * once the sums are. */
static bool
measure_block(const float *block, const float *feature, uint32_t dim, double least,
              double ret_distances[LANES])
{
    doubles sums = {0};
    for (uint32_t from = 0; from < dim; from += STRETCH) {
        bool any = false;
        add_stretch(block + (size_t)from * LANES, feature + from,
                    dim - from < STRETCH ? dim - from : STRETCH, &sums);
        for (uint32_t lane = 0; lane < LANES; lane++)
            any |= sums[lane] <= least;
        if (!any)
            return false;
    }
    memcpy(ret_distances, &sums, sizeof sums);
    return true;
}

/* Centroid by centroid. */
static uint32_t
nearest_of_few(const struct run *run, const float *feature, double *ret_distance)
{
    uint32_t best = 0;
    double least = INFINITY;
    for (uint32_t cluster = 0; cluster < run->clusters; cluster++) {
        double distance = dpc_kmeans_squared_distance(run->centroids + (size_t)cluster * run->dim,
                                                      feature, run->dim);
        if (distance < least) {
            least = distance;
            best = cluster;
        }
    }
    *ret_distance = least;
    return best;
}

/* A point's centroid is mostly the one that it had, so that is the
 * one which others have to be nearer than; of equals it is the first. */
static uint32_t
nearest_of(const struct run *run, uint32_t index, double *ret_distance)
{
    const float *feature = point(run, index);
    if (run->clusters < LANES) /* most lanes would idle */
        return nearest_of_few(run, feature, ret_distance);
    uint32_t best = run->nearest[index] < run->clusters ? run->nearest[index] : 0;
    double least =
        dpc_kmeans_squared_distance(run->centroids + (size_t)best * run->dim, feature, run->dim);
    for (uint32_t block = 0; block < blocks_of(run->clusters); block++) {
        double distances[LANES];
        if (!measure_block(run->blocks + (size_t)block * LANES * run->dim, feature, run->dim, least,
                           distances))
            continue;
        for (uint32_t lane = 0; lane < LANES; lane++) {
            uint32_t cluster = block * LANES + lane;
            if (distances[lane] < least || (distances[lane] == least && cluster < best)) {
                least = distances[lane];
                best = cluster;
            }
        }
    }
    *ret_distance = least;
    return best;
}

/* True when a point changed its cluster. */
static bool
assign_points(struct run *run)
{
    bool changed = false;
    run->inertia = 0;
    lay_side_by_side(run);
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t nearest = nearest_of(run, i, &run->distances[i]);
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
            dpc_kmeans_scale_to_unit(run->centroids + (size_t)cluster * run->dim, run->dim);
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
        .blocks = dpc_alloc((size_t)blocks_of(clusters) * LANES * dim, sizeof *run.blocks),
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
    dpc_free(run.blocks);
    return DPC_OK;
}
