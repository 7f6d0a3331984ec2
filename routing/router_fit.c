/* SPDX-License-Identifier: Apache-2.0
 * One row a kind of `routing.init`: what stands in its router, and how its centroids come about. */
#include "routing/router.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "routing/kmeans.h"
#include "routing/linear.h"
#include "routing/router_parts.h"
#include "routing/whiten.h"

/* Variance 1 is that of a standardised dimension. Whitening blows noise up along directions in
 * which features hardly differ; there the ridge keeps it small. */
static const double ridge = 0.01;

static const float *
feature_of(const struct dpc_router_sample *sample, uint32_t index)
{
    uint32_t row = sample->rows ? sample->rows[index] : index;
    return sample->features + (size_t)row * sample->dim;
}

/* Mean and 1 / standard deviation of each dimension; a constant one is left out of all distances.
 * Of n-grams the scale is 1: how much a dimension varies is what it has to say, and rare ones would
 * be blown up. Documents are read one after the other, as they lie. */
static void
fit_scale(struct dpc_router *router, enum dpc_routing_features features,
          const struct dpc_router_sample *sample)
{
    double *means = dpc_alloc(2 * (size_t)router->dim, sizeof *means);
    double *squares = means + router->dim;
    for (uint32_t i = 0; i < sample->count; i++) {
        const float *feature = feature_of(sample, i);
        for (uint32_t k = 0; k < router->dim; k++)
            means[k] += (double)feature[k];
    }
    for (uint32_t k = 0; k < router->dim; k++)
        means[k] /= sample->count;
    for (uint32_t i = 0; i < sample->count; i++) {
        const float *feature = feature_of(sample, i);
        for (uint32_t k = 0; k < router->dim; k++) {
            double off = (double)feature[k] - means[k];
            squares[k] += off * off;
        }
    }
    for (uint32_t k = 0; k < router->dim; k++) {
        router->mean[k] = (float)means[k];
        router->scale[k] = squares[k] > 0 ? (float)(1 / sqrt(squares[k] / sample->count)) : 0;
        if (features == DPC_FEATURES_NGRAMS)
            router->scale[k] = 1;
    }
    dpc_free(means);
}

/* All documents as points of one part; NULL without memory. */
static float *
make_points(const struct dpc_router *router, const struct router_part *part,
            const struct dpc_router_sample *sample)
{
    float *points = dpc_try_alloc((size_t)sample->count * part->dim, sizeof *points);
    float *scratch = dpc_alloc(router->dim, sizeof *scratch);
    for (uint32_t i = 0; points && i < sample->count; i++)
        dpc_router_normalise(router, part, feature_of(sample, i), scratch,
                             points + (size_t)i * part->dim);
    dpc_free(scratch);
    return points;
}

static int
no_memory(const struct dpc_router_sample *sample, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ENOMEM, "no memory for the features of %u documents",
                         sample->count);
}

/* What brings features into the router's form. */
static int
fit_form(struct dpc_router *router, enum dpc_routing_features features,
         const struct dpc_router_sample *sample, struct dpc_error *err)
{
    fit_scale(router, features, sample);
    if (router->form == FORM_STANDARD)
        return DPC_OK;
    float *points = dpc_try_alloc((size_t)sample->count * router->dim, sizeof *points);
    if (!points)
        return no_memory(sample, err);
    for (uint32_t i = 0; i < sample->count; i++)
        dpc_router_standardise(router, feature_of(sample, i), points + (size_t)i * router->dim);
    int code = dpc_whiten_fit(points, sample->count, router->dim, ridge, router->map, err);
    dpc_free(points);
    return code;
}

/* Clusters hardly move with more points than some hundreds each, and the time grows with all. */
enum { CLUSTERED_MIN = 1 << 16, CLUSTERED_EACH = 256 };

/* The documents that so many clusters are made of: all, or some in even distances, whose rows the
 * caller dpc_free's. */
static struct dpc_router_sample
thin_out(const struct dpc_router_sample *all, uint32_t clusters, uint32_t **ret_rows)
{
    struct dpc_router_sample some = *all;
    uint32_t most = CLUSTERED_EACH * clusters;
    if (most < CLUSTERED_MIN)
        most = CLUSTERED_MIN;
    *ret_rows = NULL;
    if (all->count <= most)
        return some;
    *ret_rows = dpc_alloc(most, sizeof **ret_rows);
    for (uint32_t i = 0; i < most; i++) {
        uint32_t index = (uint32_t)((uint64_t)i * all->count / most);
        (*ret_rows)[i] = all->rows ? all->rows[index] : index;
    }
    some.rows = *ret_rows;
    some.count = most;
    return some;
}

/* Clusters each part by itself. */
static int
fit_clusters(struct dpc_router *router, const struct dpc_router_sample *sample,
             const struct dpc_experiment *experiment, struct dpc_error *err)
{
    int code = DPC_OK;
    bool spherical = experiment->routing.init == DPC_ROUTING_SPHERICAL;
    double inertia;
    for (uint32_t i = 0; code == DPC_OK && i < router->parts_count; i++) {
        struct router_part *part = &router->parts[i];
        struct dpc_kmeans_options options = {.seed = experiment->seed + i,
                                             .restarts = experiment->routing.restarts,
                                             .spherical = spherical};
        uint32_t *rows;
        struct dpc_router_sample some = thin_out(sample, part->clusters, &rows);
        float *points = make_points(router, part, &some);
        code = points ? dpc_kmeans_fit(points, some.count, part->dim, part->clusters, &options,
                                       part->centroids, &inertia, err)
                      : no_memory(&some, err);
        dpc_free(points);
        dpc_free(rows);
    }
    return code;
}

/* The mean of the points of each label; one without documents stays at the origin. */
static int
fit_means(struct dpc_router *router, const struct dpc_router_sample *sample, struct dpc_error *err)
{
    struct router_part *part = &router->parts[0];
    float *points = make_points(router, part, sample);
    uint32_t *counts = dpc_alloc(router->paths, sizeof *counts);
    for (uint32_t i = 0; points && i < sample->count; i++) {
        float *mean = part->centroids + (size_t)sample->labels[i] * part->dim;
        counts[sample->labels[i]]++;
        for (uint32_t k = 0; k < part->dim; k++)
            mean[k] += points[(size_t)i * part->dim + k];
    }
    for (uint32_t path = 0; points && path < router->paths; path++) {
        for (uint32_t k = 0; counts[path] && k < part->dim; k++)
            part->centroids[(size_t)path * part->dim + k] /= (float)counts[path];
    }
    dpc_free(counts);
    if (!points)
        return no_memory(sample, err);
    dpc_free(points);
    return DPC_OK;
}

/* k-means refuses these itself; the other fits count on it. */
static int
check_finite(const struct dpc_router_sample *sample, struct dpc_error *err)
{
    for (uint32_t i = 0; i < sample->count; i++) {
        const float *feature = feature_of(sample, i);
        for (uint32_t k = 0; k < sample->dim; k++) {
            if (!isfinite(feature[k]))
                return dpc_error_set(err, DPC_EINVAL, "a feature of document %u is not finite", i);
        }
    }
    return DPC_OK;
}

static enum router_form
form_of(enum dpc_routing_features features, bool unit)
{
    if (features != DPC_FEATURES_WHITENED)
        return FORM_STANDARD;
    return unit ? FORM_WHITENED_UNIT : FORM_WHITENED;
}

/* All but the values: its kind, its form and its parts. */
static struct dpc_router *
create(const struct dpc_topology *topology, uint32_t dim)
{
    static const enum router_kind kinds[] = {
        [DPC_ROUTING_KMEANS] = ROUTER_KMEANS,   [DPC_ROUTING_SPHERICAL] = ROUTER_KMEANS,
        [DPC_ROUTING_PRODUCT] = ROUTER_PRODUCT, [DPC_ROUTING_METADATA] = ROUTER_KMEANS,
        [DPC_ROUTING_HASH] = ROUTER_HASH,
    };
    enum dpc_routing_init init = topology->experiment->routing.init;
    bool product = init == DPC_ROUTING_PRODUCT;
    uint32_t clusters[DPC_LEVELS_MAX] = {topology->routed_paths};
    uint32_t parts = 0;
    enum router_form form = FORM_STANDARD;
    if (init != DPC_ROUTING_HASH)
        form = form_of(topology->experiment->routing.features, init == DPC_ROUTING_SPHERICAL);
    /* A level of one module has nothing to choose and needs no features. */
    for (uint32_t level = 0; product && level < topology->levels_count; level++) {
        if (topology->choices[level] > 1)
            clusters[parts++] = topology->choices[level];
    }
    return dpc_router_create(kinds[init], form, dim, parts ? parts : 1, clusters);
}

int
dpc_router_fit(const struct dpc_topology *topology, const struct dpc_router_sample *sample,
               struct dpc_router **ret_router, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = topology->experiment;
    enum dpc_routing_init init = experiment->routing.init;
    int code = check_finite(sample, err);
    if (code != DPC_OK)
        return code;
    struct dpc_router *router = create(topology, sample->dim);
    if (init != DPC_ROUTING_HASH)
        code = fit_form(router, experiment->routing.features, sample, err);
    if (code == DPC_OK && init == DPC_ROUTING_METADATA)
        code = fit_means(router, sample, err);
    else if (code == DPC_OK && init != DPC_ROUTING_HASH)
        code = fit_clusters(router, sample, experiment, err);
    if (code != DPC_OK)
        dpc_router_destroy(router);
    else
        *ret_router = router;
    return code;
}

/* The labels' shares of their own points, and of all points as many as each path needs. */
static int
fit_bias(struct dpc_linear *linear, const struct dpc_linear_sample *labelled, const float *points,
         uint32_t count, double needed)
{
    double *least = dpc_alloc(2 * (size_t)linear->classes, sizeof *least);
    double *most = least + linear->classes;
    dpc_linear_wanted(linear, labelled, least);
    for (uint32_t c = 0; c < linear->classes; c++) {
        most[c] = ceil(least[c]);
        least[c] = floor(least[c]);
    }
    int code = dpc_linear_fit_bias(linear, labelled->points, labelled->count, least, most);
    for (uint32_t c = 0; c < linear->classes; c++) {
        least[c] = fmin(needed, floor((double)count / linear->classes));
        most[c] = count;
    }
    if (code == DPC_OK)
        code = dpc_linear_fit_bias(linear, points, count, least, most);
    dpc_free(least);
    return code;
}

/* The paths of some of `all` documents as they are, in even distances, as a linear router would
 * have it; NULL without labels. */
static struct dpc_linear *
fit_prior(const struct dpc_linear *like, const struct dpc_router_sample *all, const float *points)
{
    enum { DOCUMENTS_MAX = 4096 };
    if (!all->labels)
        return NULL;
    uint32_t count = all->count < DOCUMENTS_MAX ? all->count : DOCUMENTS_MAX;
    float *some = dpc_alloc((size_t)count * like->dim, sizeof *some);
    uint32_t *labels = dpc_alloc(count, sizeof *labels);
    struct dpc_linear *prior = dpc_alloc(1, sizeof *prior);
    *prior = *like;
    prior->weights = dpc_alloc((size_t)like->classes * like->dim, sizeof *prior->weights);
    prior->bias = dpc_alloc(like->classes, sizeof *prior->bias);
    for (uint32_t i = 0; i < count; i++) {
        size_t index = (uint64_t)i * all->count / count;
        memcpy(some + (size_t)i * like->dim, points + index * like->dim, like->dim * sizeof *some);
        labels[i] = all->labels[index];
    }
    dpc_linear_fit(prior, &(struct dpc_linear_sample){some, labels, count, NULL, 0}, NULL);
    dpc_free(some);
    dpc_free(labels);
    return prior;
}

static void
drop_prior(struct dpc_linear *prior)
{
    if (!prior)
        return;
    dpc_free(prior->weights);
    dpc_free(prior->bias);
    dpc_free(prior);
}

/* Of the linear router, whose form is fitted. */
static int
fit_weights(struct dpc_router *router, const struct dpc_router_sample *sample,
            const struct dpc_router_sample *all, struct dpc_error *err)
{
    const struct router_part *part = &router->parts[0];
    int code = DPC_OK;
    float *points = make_points(router, part, sample);
    float *all_points = make_points(router, part, all);
    if (points && all_points) {
        struct dpc_linear linear = {router->paths, router->dim, part->centroids, router->bias};
        struct dpc_linear_sample labelled = {points, sample->labels, sample->count, sample->asked,
                                             sample->asked_count};
        struct dpc_linear *prior = fit_prior(&linear, all, all_points);
        dpc_linear_fit(&linear, &labelled, prior);
        drop_prior(prior);
        code = fit_bias(&linear, &labelled, all_points, all->count, sample->least);
    } else {
        code = DPC_ENOMEM;
    }
    if (code != DPC_OK)
        (void)no_memory(all, err);
    dpc_free(points);
    dpc_free(all_points);
    return code;
}

int
dpc_router_fit_linear(uint32_t paths, enum dpc_routing_features features,
                      const struct dpc_router_sample *sample, const struct dpc_router_sample *all,
                      struct dpc_router **ret_router, struct dpc_error *err)
{
    int code = check_finite(all, err);
    if (code != DPC_OK)
        return code;
    struct dpc_router *router =
        dpc_router_create(ROUTER_LINEAR, form_of(features, true), sample->dim, 1, &paths);
    code = fit_form(router, features, all, err);
    if (code == DPC_OK)
        code = fit_weights(router, sample, all, err);
    if (code != DPC_OK)
        dpc_router_destroy(router);
    else
        *ret_router = router;
    return code;
}
