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

/* A slice of the feature with centroids of its own; all but product routers have one. */
struct router_part {
    uint32_t first, dim; /* of the feature */
    uint32_t clusters;
    float *centroids; /* [clusters, dim]; of a linear router its weights */
};

struct dpc_router {
    enum router_kind kind;
    uint32_t paths, dim;
    uint32_t parts_count;
    struct router_part parts[DPC_LEVELS_MAX];
    size_t values_count;
    float *values; /* one vector: mean [dim], scale [dim], the parts' centroids, bias */
    float *mean, *scale;
    float *bias; /* [paths], linear only */
};

/* One with values of zero. `clusters` [parts_count]: their product is the number of paths. */
struct dpc_router *dpc_router_create(enum router_kind kind, uint32_t dim, uint32_t parts_count,
                                     const uint32_t *clusters);
/* Standardises the dimensions of a part and scales it to unit length: `ret_point` [part->dim]. */
void dpc_router_normalise(const struct dpc_router *router, const struct router_part *part,
                          const float *feature, float *ret_point);

#endif
