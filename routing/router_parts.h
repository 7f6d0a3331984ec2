/* SPDX-License-Identifier: Apache-2.0
 *
 * A router's inside, for those who fit it (router_fit.c) and those who ask it (router.c).
 *
 * Owns: nothing. Threads: as the router.
 */
#ifndef DPC_ROUTING_ROUTER_PARTS_H
#define DPC_ROUTING_ROUTER_PARTS_H

#include "routing/router.h"

/* Values stand in blobs; never renumber. */
enum router_kind {
    ROUTER_KMEANS = 1,
    ROUTER_PRODUCT = 2,
    ROUTER_LINEAR = 3,
    ROUTER_HASH = 4,
};

/* What features become before they are compared; values stand in blobs, never renumber. The length
 * of a whitened feature says how odd the document is, and k-means does better with it than without
 * (docs/results.md); angles and the linear router need length 1. */
enum router_form {
    FORM_STANDARD = 0, /* at unit length */
    FORM_WHITENED = 1,
    FORM_WHITENED_UNIT = 2, /* at unit length */
};

/* A slice of the feature with centroids of its own; all but product routers have one. */
struct router_part {
    uint32_t first, dim; /* of the feature */
    uint32_t clusters;
    float *centroids; /* [clusters, dim]; of a linear router its weights */
};

struct dpc_router {
    enum router_kind kind;
    enum router_form form;
    uint32_t paths, dim;
    uint32_t parts_count;
    struct router_part parts[DPC_LEVELS_MAX];
    size_t values_count;
    float *values; /* one vector: mean [dim], scale [dim], map, the parts' centroids, bias */
    float *mean, *scale;
    float *map;  /* [dpc_whiten_values(dim)], whitened only */
    float *bias; /* [paths], linear only */
};

/* One with values of zero. `clusters` [parts_count]: their product is the number of paths. */
struct dpc_router *dpc_router_create(enum router_kind kind, enum router_form form, uint32_t dim,
                                     uint32_t parts_count, const uint32_t *clusters);
/* Mean 0 and variance 1 in each dimension: `ret_values` [dim]. */
void dpc_router_standardise(const struct dpc_router *router, const float *feature,
                            float *ret_values);
/* A part of the feature in the router's form: `ret_point` [part->dim]. `scratch` [dim] is not the
 * same memory. */
void dpc_router_normalise(const struct dpc_router *router, const struct router_part *part,
                          const float *feature, float *scratch, float *ret_point);

#endif
