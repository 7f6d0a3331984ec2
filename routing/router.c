/* SPDX-License-Identifier: Apache-2.0
 * Features are standardised and scaled to unit length, or whitened, before they are compared. The
 * raw hidden states of a young model have a few wide dimensions that drown the others: over the
 * 3,123 manual pages in five languages, clusters of raw features share 0.37 of their information
 * with the language, of standardised ones 0.54, and the shards are far more even. Standardised
 * dimensions still say the same thing many times over; whitened, what is said once counts as much.
 *
 * Reading trusts nothing: counts are held against base/limits.h and the length before memory is
 * asked for. */
#include "routing/router.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "routing/kmeans.h"
#include "routing/router_parts.h"
#include "routing/whiten.h"

static const char magic[8] = {'D', 'P', 'C', 'R', 'O', 'U', 'T', '1'};
static const char magic_whitened[8] = {'D', 'P', 'C', 'R', 'O', 'U', 'T', '2'};

/* --- Its shape. */

/* Paths, 0 when they pass the limit; and floats. */
static uint32_t
measure(enum router_kind kind, enum router_form form, uint32_t dim, uint32_t parts_count,
        const uint32_t *clusters, size_t *ret_values)
{
    uint64_t paths = 1;
    *ret_values = kind == ROUTER_HASH ? 0 : 2 * (size_t)dim;
    if (form != FORM_STANDARD)
        *ret_values += dpc_whiten_values(dim);
    for (uint32_t i = 0; i < parts_count; i++) {
        uint32_t part_dim = dim / parts_count + (i < dim % parts_count);
        paths *= clusters[i];
        if (paths == 0 || paths > DPC_PATHS_MAX)
            return 0;
        if (kind != ROUTER_HASH)
            *ret_values += (size_t)clusters[i] * part_dim;
    }
    if (kind == ROUTER_LINEAR)
        *ret_values += paths;
    return (uint32_t)paths;
}

struct dpc_router *
dpc_router_create(enum router_kind kind, enum router_form form, uint32_t dim, uint32_t parts_count,
                  const uint32_t *clusters)
{
    struct dpc_router *router = dpc_alloc(1, sizeof *router);
    router->kind = kind;
    router->form = form;
    router->dim = dim;
    router->parts_count = parts_count;
    router->paths = measure(kind, form, dim, parts_count, clusters, &router->values_count);
    router->values = dpc_alloc(router->values_count + 1, sizeof *router->values);
    router->mean = router->values;
    router->scale = router->mean + dim;
    router->map = router->scale + dim;
    float *next = router->map + (form == FORM_STANDARD ? 0 : dpc_whiten_values(dim));
    for (uint32_t i = 0, first = 0; kind != ROUTER_HASH && i < parts_count; i++) {
        struct router_part *part = &router->parts[i];
        *part = (struct router_part){.first = first,
                                     .dim = dim / parts_count + (i < dim % parts_count),
                                     .clusters = clusters[i],
                                     .centroids = next};
        first += part->dim;
        next += (size_t)part->clusters * part->dim;
    }
    router->bias = next;
    return router;
}

struct dpc_router *
dpc_router_destroy(struct dpc_router *router)
{
    if (router)
        dpc_free(router->values);
    return dpc_free(router);
}

/* --- As bytes. */

void
dpc_router_write(const struct dpc_router *router, struct dpc_buf *out)
{
    bool whitened = router->form != FORM_STANDARD;
    dpc_buf_put(out, whitened ? magic_whitened : magic, sizeof magic);
    dpc_buf_put_u32(out, router->kind);
    if (whitened)
        dpc_buf_put_u32(out, router->form);
    dpc_buf_put_u32(out, router->paths);
    dpc_buf_put_u32(out, router->dim);
    if (router->kind == ROUTER_PRODUCT) {
        dpc_buf_put_u32(out, router->parts_count);
        for (uint32_t i = 0; i < router->parts_count; i++)
            dpc_buf_put_u32(out, router->parts[i].clusters);
    }
    for (size_t i = 0; i < router->values_count; i++) {
        uint32_t bits;
        memcpy(&bits, &router->values[i], sizeof bits);
        dpc_buf_put_u32(out, bits);
    }
}

static int
read_values(struct dpc_reader *reader, struct dpc_router *router)
{
    for (size_t i = 0; i < router->values_count; i++) {
        uint32_t bits = dpc_reader_u32(reader);
        memcpy(&router->values[i], &bits, sizeof bits);
        if (!isfinite(router->values[i]))
            return DPC_ECORRUPT;
    }
    return dpc_reader_finish(reader);
}

/* How many parts, and the clusters of each; false when they cannot be. */
static bool
read_parts(struct dpc_reader *reader, enum router_kind kind, uint32_t paths, uint32_t *ret_count,
           uint32_t *ret_clusters)
{
    *ret_count = 1;
    ret_clusters[0] = paths;
    if (kind != ROUTER_PRODUCT)
        return true;
    *ret_count = dpc_reader_u32(reader);
    if (*ret_count == 0 || *ret_count > DPC_LEVELS_MAX)
        return false;
    for (uint32_t i = 0; i < *ret_count; i++)
        ret_clusters[i] = dpc_reader_u32(reader);
    return true;
}

static bool
shape_is_sound(const struct dpc_reader *reader, enum router_kind kind, enum router_form form,
               uint32_t paths, uint32_t dim, uint32_t parts_count, const uint32_t *clusters)
{
    size_t values;
    uint32_t dim_max = form == FORM_STANDARD ? DPC_DIM_MAX : DPC_WHITEN_DIM_MAX;
    return paths > 0 && dim > 0 && dim <= dim_max && parts_count <= dim &&
           measure(kind, form, dim, parts_count, clusters, &values) == paths &&
           (size_t)(reader->end - reader->at) == values * sizeof(float);
}

int
dpc_router_read(const void *bytes, size_t len, struct dpc_router **ret_router,
                struct dpc_error *err)
{
    struct dpc_reader reader;
    uint32_t parts_count, clusters[DPC_LEVELS_MAX];
    dpc_reader_init(&reader, bytes, len);
    const uint8_t *head = dpc_reader_bytes(&reader, sizeof magic);
    bool whitened = head && memcmp(head, magic_whitened, sizeof magic) == 0;
    if (!head || (!whitened && memcmp(head, magic, sizeof magic) != 0))
        return dpc_error_set(err, DPC_ECORRUPT, "these bytes are no router");
    uint32_t kind = dpc_reader_u32(&reader);
    uint32_t form = whitened ? dpc_reader_u32(&reader) : FORM_STANDARD;
    uint32_t paths = dpc_reader_u32(&reader), dim = dpc_reader_u32(&reader);
    if (kind < ROUTER_KMEANS || kind > ROUTER_HASH)
        return dpc_error_set(err, DPC_EVERSION,
                             "the router is of kind %u, which this release does not know", kind);
    if (whitened && (form < FORM_WHITENED || form > FORM_WHITENED_UNIT || kind == ROUTER_HASH))
        return dpc_error_set(err, DPC_EVERSION,
                             "the router's features are of form %u, which this release does not "
                             "know",
                             form);
    if (!read_parts(&reader, (enum router_kind)kind, paths, &parts_count, clusters) ||
        !shape_is_sound(&reader, (enum router_kind)kind, (enum router_form)form, paths, dim,
                        parts_count, clusters))
        return dpc_error_set(err, DPC_ECORRUPT, "the router is damaged: its size does not fit");
    struct dpc_router *router = dpc_router_create((enum router_kind)kind, (enum router_form)form,
                                                  dim, parts_count, clusters);
    if (read_values(&reader, router) != DPC_OK) {
        dpc_router_destroy(router);
        return dpc_error_set(err, DPC_ECORRUPT, "the router is damaged: a value is not finite");
    }
    *ret_router = router;
    return DPC_OK;
}

uint32_t
dpc_router_paths(const struct dpc_router *router)
{
    return router->paths;
}

uint32_t
dpc_router_dim(const struct dpc_router *router)
{
    return router->dim;
}

/* --- Asking it. */

void
dpc_router_standardise(const struct dpc_router *router, const float *feature, float *ret_values)
{
    for (uint32_t k = 0; k < router->dim; k++)
        ret_values[k] = (feature[k] - router->mean[k]) * router->scale[k];
}

void
dpc_router_normalise(const struct dpc_router *router, const struct router_part *part,
                     const float *feature, float *scratch, float *ret_point)
{
    dpc_router_standardise(router, feature, scratch);
    if (router->form == FORM_STANDARD)
        memcpy(ret_point, scratch + part->first, part->dim * sizeof *ret_point);
    else
        dpc_whiten_apply(router->map, scratch, part->first, part->dim, ret_point);
    if (router->form != FORM_WHITENED)
        dpc_kmeans_scale_to_unit(ret_point, part->dim);
}

/* Adds a part's distances: paths count in mixed radix, the last part fastest, as levels do. Runs of
 * `stride` paths have the same cluster. */
static void
add_distances(const struct dpc_router *router, const struct router_part *part, uint32_t stride,
              const float *point, float *distances, float *costs)
{
    for (uint32_t cluster = 0; cluster < part->clusters; cluster++)
        distances[cluster] = (float)dpc_kmeans_squared_distance(
            point, part->centroids + (size_t)cluster * part->dim, part->dim);
    for (uint32_t path = 0, cluster = 0; path < router->paths; path += stride) {
        for (uint32_t i = 0; i < stride; i++)
            costs[path + i] += distances[cluster];
        cluster = cluster + 1 < part->clusters ? cluster + 1 : 0;
    }
}

static void
cost_by_centroids(const struct dpc_router *router, const float *feature, float *point, float *costs)
{
    uint32_t stride = router->paths;
    float *distances = dpc_alloc(router->paths, sizeof *distances);
    memset(costs, 0, router->paths * sizeof *costs);
    for (uint32_t i = 0; i < router->parts_count; i++) {
        const struct router_part *part = &router->parts[i];
        stride /= part->clusters;
        dpc_router_normalise(router, part, feature, point + router->dim, point);
        add_distances(router, part, stride, point, distances, costs);
    }
    dpc_free(distances);
}

static void
cost_by_weights(const struct dpc_router *router, const float *feature, float *point, float *costs)
{
    dpc_router_normalise(router, &router->parts[0], feature, point + router->dim, point);
    for (uint32_t path = 0; path < router->paths; path++) {
        const float *weights = router->parts[0].centroids + (size_t)path * router->dim;
        double sum = (double)router->bias[path];
        for (uint32_t k = 0; k < router->dim; k++)
            sum += (double)weights[k] * (double)point[k];
        costs[path] = (float)-sum;
    }
}

/* The key also decides the split, by a draw of its own. */
static void
cost_by_key(const struct dpc_router *router, const uint8_t *key, float *costs)
{
    uint64_t bits = dpc_hash_draw("dipaco hash route 1", key, DPC_CONTENT_KEY_BYTES);
    for (uint32_t path = 0; path < router->paths; path++)
        costs[path] = path == bits % router->paths ? 0 : 1;
}

void
dpc_router_costs(const struct dpc_router *router, const float *feature,
                 const uint8_t key[DPC_CONTENT_KEY_BYTES], float *ret_costs)
{
    float *point = dpc_alloc(2 * (size_t)router->dim, sizeof *point); /* and scratch behind it */
    if (router->kind == ROUTER_HASH)
        cost_by_key(router, key, ret_costs);
    else if (router->kind == ROUTER_LINEAR)
        cost_by_weights(router, feature, point, ret_costs);
    else
        cost_by_centroids(router, feature, point, ret_costs);
    dpc_free(point);
}

uint32_t
dpc_router_path(const struct dpc_router *router, const float *feature,
                const uint8_t key[DPC_CONTENT_KEY_BYTES])
{
    uint32_t best = 0;
    float *costs = dpc_alloc(router->paths, sizeof *costs);
    dpc_router_costs(router, feature, key, costs);
    for (uint32_t path = 1; path < router->paths; path++) {
        if (costs[path] < costs[best])
            best = path;
    }
    dpc_free(costs);
    return best;
}
