/* SPDX-License-Identifier: Apache-2.0
 *
 * A router: from the feature of a document's prefix to the path that trains on it and answers for
 * it (DiPaCo, section 2.4). The feature is the mean over the prefix of the last block's hidden
 * states of the warm-started dense model (modules/path.h, dpc_path_features). This one is
 * generative routing: the nearest of k centroids, cluster i is path i.
 *
 * Owns: its centroids. Threads: read-only after fitting or reading.
 */
#ifndef DPC_ROUTING_ROUTER_H
#define DPC_ROUTING_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct dpc_router;

/* Fits `paths` clusters to `features` [count, dim]: the documents that training may see. */
int dpc_router_fit(const float *features, uint32_t count, uint32_t dim, uint32_t paths,
                   uint64_t seed, struct dpc_router **ret_router,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_router *dpc_router_destroy(struct dpc_router *router);

/* As bytes (magic "DPCROUT1", kind, paths, dim, mean, scale, centroids), and back; DPC_ECORRUPT or
 * DPC_EVERSION for anything else. */
void dpc_router_write(const struct dpc_router *router, struct dpc_buf *out);
int dpc_router_read(const void *bytes, size_t len, struct dpc_router **ret_router,
                    struct dpc_error *err) DPC_MUST_CHECK;

uint32_t dpc_router_paths(const struct dpc_router *router);
uint32_t dpc_router_dim(const struct dpc_router *router);

/* The path of a feature [dim]. */
uint32_t dpc_router_path(const struct dpc_router *router, const float *feature);

#endif
