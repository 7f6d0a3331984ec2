/* SPDX-License-Identifier: Apache-2.0
 *
 * k-means (Lloyd) with k-means++ seeding (Arthur and Vassilvitskii, SODA 2007), several restarts
 * and repair of empty clusters. A pure function of features and seed: sums run in one fixed order.
 *
 * Owns: nothing. Threads: any. Limits: clusters at most DPC_PATHS_MAX.
 * Not here: what the clusters mean (routing/router.h).
 */
#ifndef DPC_ROUTING_KMEANS_H
#define DPC_ROUTING_KMEANS_H

#include <stdint.h>

#include "base/error.h"

/* Clusters `features` [count, dim] into `clusters` centroids [clusters, dim]: of `restarts` runs
 * the one whose sum of squared distances is least, which `*ret_inertia` takes. DPC_EINVAL with
 * fewer points than clusters, or with a feature that is not finite. */
int dpc_kmeans_fit(const float *features, uint32_t count, uint32_t dim, uint32_t clusters,
                   uint64_t seed, uint32_t restarts, float *ret_centroids, double *ret_inertia,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* The nearest centroid; among equals the first. `*ret_distance` (may be NULL): its square. */
uint32_t dpc_kmeans_nearest(const float *centroids, uint32_t clusters, uint32_t dim,
                            const float *feature, double *ret_distance);

#endif
