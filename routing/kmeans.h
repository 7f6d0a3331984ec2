/* SPDX-License-Identifier: Apache-2.0
 *
 * k-means (Lloyd) with k-means++ seeding (Arthur and Vassilvitskii, SODA 2007), several restarts
 * and repair of empty clusters. A pure function of features and seed: sums run in one fixed order.
 *
 * With `spherical` centroids stay on the unit sphere (Dhillon and Modha, 2001).
 *
 * Owns: nothing. Threads: any. Limits: clusters at most DPC_PATHS_MAX.
 * Not here: what the clusters mean (routing/router.h).
 */
#ifndef DPC_ROUTING_KMEANS_H
#define DPC_ROUTING_KMEANS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_kmeans_options {
    uint64_t seed;
    uint32_t restarts;
    bool spherical; /* centroids keep unit length: the nearest is that of the largest cosine */
};

/* Clusters `features` [count, dim] into `clusters` centroids [clusters, dim]: of the restarts
 * the one whose sum of squared distances is least, which `*ret_inertia` takes. DPC_EINVAL with
 * fewer points than clusters, or with a feature that is not finite. */
int dpc_kmeans_fit(const float *features, uint32_t count, uint32_t dim, uint32_t clusters,
                   const struct dpc_kmeans_options *options, float *ret_centroids,
                   double *ret_inertia, struct dpc_error *err) DPC_MUST_CHECK;

/* Summed in double, from the first dimension to the last. */
double dpc_kmeans_squared_distance(const float *a, const float *b, uint32_t dim);

/* Puts a point on the unit sphere; the origin stays where it is. */
void dpc_kmeans_scale_to_unit(float *point, uint32_t dim);

#endif
