/* SPDX-License-Identifier: Apache-2.0
 * Times what routing a document costs, by the number of paths and the kind of the router, in one
 * thread. Centroids and features are random: how long it takes does not depend on them. */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "routing/router_parts.h"

enum { DIM = 128, DOCUMENTS = 64, ROUNDS = 5 };
static const double round_seconds = 0.1;

struct shape {
    const char *name;
    enum router_kind kind;
    uint32_t parts, clusters[3];
};

static const struct shape shapes[] = {
    {"kmeans", ROUTER_KMEANS, 1, {16}},           {"kmeans", ROUTER_KMEANS, 1, {256}},
    {"kmeans", ROUTER_KMEANS, 1, {4096}},         {"linear", ROUTER_LINEAR, 1, {256}},
    {"product", ROUTER_PRODUCT, 2, {16, 16}},     {"product", ROUTER_PRODUCT, 3, {16, 16, 16}},
    {"product", ROUTER_PRODUCT, 3, {32, 32, 32}},
};

static void
fill(float *values, size_t count, uint32_t stream)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, stream, 0, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)dpc_rng_normal(&rng);
}

/* The fastest of some rounds, so that a busy machine counts less. */
static double
time_document(const struct dpc_router *router, const float *features)
{
    static const uint8_t key[DPC_CONTENT_KEY_BYTES] = {1};
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = dpc_clock_ns(), now;
        uint64_t count = 0, sum = 0;
        do {
            sum += dpc_router_path(router, features + count % DOCUMENTS * DIM, key);
            count++;
            now = dpc_clock_ns();
        } while ((double)(now - start) < round_seconds * 1e9);
        double seconds = (double)(now - start) / 1e9 / (double)count;
        best = sum < UINT64_MAX && seconds < best ? seconds : best;
    }
    return best;
}

static struct dpc_json *
measure(const struct shape *shape, const float *features)
{
    struct dpc_router *router =
        dpc_router_create(shape->kind, FORM_STANDARD, DIM, shape->parts, shape->clusters);
    struct dpc_json *row = dpc_json_object();
    fill(router->values, router->values_count, 1);
    dpc_json_set_text(row, "router", shape->name);
    dpc_json_set_integer(row, "paths", router->paths);
    dpc_json_set_integer(row, "dim", DIM);
    dpc_json_set_number(row, "us_per_document", 1e6 * time_document(router, features));
    dpc_router_destroy(router);
    return row;
}

int
main(void)
{
    struct dpc_json *rows = dpc_json_array();
    float *features = dpc_alloc((size_t)DOCUMENTS * DIM, sizeof *features);
    fill(features, (size_t)DOCUMENTS * DIM, 0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        dpc_json_append(rows, measure(&shapes[i], features));
    char *text = dpc_json_print(rows, true);
    puts(text);
    dpc_free(text);
    dpc_free(features);
    dpc_json_destroy(rows);
    return 0;
}
