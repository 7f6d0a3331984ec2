/* SPDX-License-Identifier: Apache-2.0
 *
 * A router: from the feature of a document's prefix to the path that trains on it and answers for
 * it (DiPaCo, section 2.4). The feature is the mean over the prefix of the last block's hidden
 * states of the warm-started dense model (modules/path.h, dpc_path_features), or what the prefix's
 * tokens alone say (routing/ngrams.h). Generative routers are the nearest of k centroids, or a
 * tuple of such choices, one a level; the discriminative one is a linear classifier
 * (routing/linear.h); the hash router looks at the content's key alone.
 *
 * Each ranks all paths by a cost, least first, so that balance and overlap (routing/assign.h) are
 * the same for all.
 *
 * Owns: its values. Threads: read-only after fitting or reading.
 */
#ifndef DPC_ROUTING_ROUTER_H
#define DPC_ROUTING_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/topology.h"
#include "data/split.h"

struct dpc_router;

/* Documents that a router is fitted on. */
struct dpc_router_sample {
    const float *features; /* [count, dim], or with `rows` those of more documents */
    uint32_t count, dim;
    const uint32_t *rows;   /* [count] where each one's features stand; NULL: one after the other */
    const uint32_t *labels; /* [count] the path of each (metadata, discriminative), else NULL */
    /* Discriminative, where a label is the best of some paths only (routing/linear.h). */
    const uint32_t *asked; /* [count, asked_count]; NULL: of all */
    uint32_t asked_count;
    uint32_t least; /* documents of the other sample that each path is to get */
};

/* Fits the router of `routing.init` to the documents that training may see. With metadata it holds
 * the mean of each path's features, for texts that come without the field. DPC_EINVAL with fewer
 * documents than clusters, or a feature that is not finite. Of more documents than 65,536 and 256
 * for each cluster k-means sees that many, in even distances. */
int dpc_router_fit(const struct dpc_topology *topology, const struct dpc_router_sample *sample,
                   struct dpc_router **ret_router, struct dpc_error *err) DPC_MUST_CHECK;
/* The discriminative router (section 2.4.2): a linear classifier of `sample`, whose bias is then
 * moved until it gives the sample's documents their labels' shares (dpc_linear_wanted), and of
 * `all` each path `least`. Labels of `all` (NULL: none) are the paths that have them now, from
 * which the classifier departs as far as the sample's labels bear out. The form of the features is
 * fitted to `all`. */
int dpc_router_fit_linear(uint32_t paths, enum dpc_routing_features features,
                          const struct dpc_router_sample *sample,
                          const struct dpc_router_sample *all, struct dpc_router **ret_router,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_router *dpc_router_destroy(struct dpc_router *router);

/* As bytes (magic "DPCROUT1", kind, paths, dim, for product also the clusters of each part; then
 * mean, scale, centroids or weights and bias), and back; DPC_ECORRUPT or DPC_EVERSION for anything
 * else. With whitened features the magic is "DPCROUT2", the form of the features stands behind the
 * kind, and the map (routing/whiten.h) behind the scale. */
void dpc_router_write(const struct dpc_router *router, struct dpc_buf *out);
int dpc_router_read(const void *bytes, size_t len, struct dpc_router **ret_router,
                    struct dpc_error *err) DPC_MUST_CHECK;

uint32_t dpc_router_paths(const struct dpc_router *router);
uint32_t dpc_router_dim(const struct dpc_router *router);

/* What each path costs for a document with this feature [dim] and content key: `ret_costs` [paths],
 * least is best. */
void dpc_router_costs(const struct dpc_router *router, const float *feature,
                      const uint8_t key[DPC_CONTENT_KEY_BYTES], float *ret_costs);
/* The path that costs least; among equals the first. */
uint32_t dpc_router_path(const struct dpc_router *router, const float *feature,
                         const uint8_t key[DPC_CONTENT_KEY_BYTES]);

#endif
