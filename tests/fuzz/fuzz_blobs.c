/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a worker or a coordinator hands over as the bytes of a tensor, a path state, a table or
 * a router: what is accepted is the same when it is written and read again, and can be used.
 *
 * The first byte of an input says which of them it is, the second how many values are expected.
 */
#include <math.h>

#include "base/experiment.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "data/routes.h"
#include "data/scores.h"
#include "routing/router.h"
#include "tests/fuzz/fuzz.h"

enum { KIND_TENSOR, KIND_STATE, KIND_SCORES, KIND_ROUTES, KIND_ROUTER, KINDS };
enum { HEAD_BYTES = 2, VALUES_EACH = 3, VALUES_MAX = 255 * VALUES_EACH, PATHS = 40 };

static bool
are_finite(const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++)
        finite = finite && isfinite(values[i]);
    return finite;
}

static void
require_same(const struct dpc_buf *a, const void *bytes, size_t len, const char *what)
{
    fuzz_require(!a->failed && a->len == len && (len == 0 || memcmp(a->data, bytes, len) == 0),
                 what);
}

static void
read_tensor(const uint8_t *bytes, size_t len, size_t count)
{
    float values[VALUES_MAX + 1], again[VALUES_MAX + 1];
    enum dpc_codec codec;
    struct dpc_buf out;
    if (dpc_tensor_blob_decode(bytes, len, count, values, NULL) != DPC_OK)
        return;
    fuzz_accepted++;
    fuzz_require(dpc_tensor_blob_read_header(bytes, len, count, &codec, NULL) == DPC_OK,
                 "a tensor's header is that of the tensor");
    dpc_buf_init(&out, 0);
    dpc_tensor_blob_write_as(&out, codec, values, count);
    fuzz_require(out.len == len, "a tensor is as long as it was");
    fuzz_require(dpc_tensor_blob_decode(out.data, out.len, count, again, NULL) == DPC_OK,
                 "a tensor that was written is read");
    fuzz_require(are_finite(values, count) == are_finite(again, count),
                 "a tensor is finite when what was read was");
    if ((codec == DPC_CODEC_FP32 || codec == DPC_CODEC_BF16) && are_finite(values, count))
        fuzz_require(memcmp(values, again, count * sizeof *values) == 0, "values are as read");
    dpc_buf_done(&out);
}

static void
read_state(const uint8_t *bytes, size_t len, size_t count)
{
    enum dpc_moments form, held;
    uint64_t steps;
    struct dpc_buf plain, coded, again;
    dpc_buf_init(&plain, 0);
    dpc_buf_init(&coded, 0);
    dpc_buf_init(&again, 0);
    if (dpc_path_state_decode(bytes, len, count, NULL, &plain, &form, NULL) == DPC_OK) {
        fuzz_accepted++;
        fuzz_require(form == dpc_path_state_form(bytes, len), "a state's form is known early");
        fuzz_require(dpc_path_state_read_header(plain.data, plain.len, count, &steps, NULL) ==
                         DPC_OK,
                     "a decoded state is one");
        fuzz_require(dpc_path_state_encode(plain.data, plain.len, count, form, NULL, &coded,
                                           NULL) == DPC_OK &&
                         coded.len == len,
                     "a decoded state can be encoded");
        fuzz_require(dpc_path_state_decode(coded.data, coded.len, count, NULL, &again, &held,
                                           NULL) == DPC_OK &&
                         held == form,
                     "an encoded state can be decoded");
        const uint8_t *moments = plain.data + DPC_PATH_STATE_HEADER_BYTES;
        /* A block with a value that is not finite holds nothing else, and nf4 fits a scale anew to
         * first moments. */
        bool whole = are_finite((const float *)(const void *)moments, 2 * count);
        if (whole && form != DPC_MOMENTS_NF4)
            require_same(&again, plain.data, again.len, "moments are as decoded");
        size_t second = DPC_PATH_STATE_HEADER_BYTES + count * sizeof(float);
        if (whole)
            fuzz_require(memcmp(again.data + second, plain.data + second, again.len - second) == 0,
                         "second moments are as decoded");
    }
    dpc_buf_done(&again);
    dpc_buf_done(&coded);
    dpc_buf_done(&plain);
}

static void
read_scores(const uint8_t *bytes, size_t len)
{
    struct dpc_score *scores;
    struct dpc_buf out;
    size_t count;
    if (dpc_scores_read(bytes, len, &scores, &count, NULL) != DPC_OK)
        return;
    fuzz_accepted++;
    dpc_buf_init(&out, 0);
    dpc_scores_write(&out, scores, count);
    require_same(&out, bytes, len, "scores are as read");
    dpc_buf_done(&out);
    dpc_free(scores);
}

static void
read_routes(const uint8_t *bytes, size_t len, size_t count)
{
    struct dpc_route *routes;
    struct dpc_buf out;
    if (dpc_routes_read(bytes, len, count, PATHS, &routes, NULL) != DPC_OK)
        return;
    fuzz_accepted++;
    for (size_t i = 0; i < count; i++)
        fuzz_require(routes[i].path < PATHS || routes[i].path == DPC_ROUTE_NONE,
                     "a route is to a path");
    dpc_buf_init(&out, 0);
    dpc_routes_write(&out, routes, count);
    require_same(&out, bytes, len, "routes are as read");
    dpc_buf_done(&out);
    dpc_free(routes);
}

static void
read_router(const uint8_t *bytes, size_t len)
{
    static const uint8_t key[DPC_CONTENT_KEY_BYTES] = {7};
    struct dpc_router *router;
    struct dpc_buf out;
    if (dpc_router_read(bytes, len, &router, NULL) != DPC_OK)
        return;
    fuzz_accepted++;
    dpc_buf_init(&out, 0);
    dpc_router_write(router, &out);
    require_same(&out, bytes, len, "a router is as read");
    float *feature = dpc_alloc(dpc_router_dim(router), sizeof *feature);
    for (uint32_t i = 0; i < dpc_router_dim(router); i++)
        feature[i] = (float)i - 3;
    fuzz_require(dpc_router_path(router, feature, key) < dpc_router_paths(router),
                 "a router chooses one of its paths");
    dpc_free(feature);
    dpc_buf_done(&out);
    dpc_router_destroy(router);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    size_t count = (size_t)data[1] * VALUES_EACH, len = size - HEAD_BYTES;
    /* Whoever decodes in place has the bytes aligned. */
    uint8_t *bytes = dpc_alloc(len, 1);
    memcpy(bytes, data + HEAD_BYTES, len);
    switch (data[0] % KINDS) {
    case KIND_TENSOR:
        read_tensor(bytes, len, count);
        break;
    case KIND_STATE:
        read_state(bytes, len, count);
        break;
    case KIND_SCORES:
        read_scores(bytes, len);
        break;
    case KIND_ROUTES:
        read_routes(bytes, len, count);
        break;
    default:
        read_router(bytes, len);
    }
    dpc_free(bytes);
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { SAMPLE = 100, DIM = 4, POINTS = 64 };

static void
begin(struct dpc_buf *out, uint8_t kind)
{
    dpc_buf_init(out, 0);
    dpc_buf_put_u8(out, kind);
    dpc_buf_put_u8(out, SAMPLE);
}

static void
end(struct fuzz *fuzz, struct dpc_buf *out)
{
    fuzz_valid(fuzz, out->data, out->len, HEAD_BYTES + DPC_PATH_STATE_HEADER_BYTES + 40);
    dpc_buf_done(out);
}

static void
add_vectors(struct fuzz *fuzz)
{
    enum { COUNT = SAMPLE * VALUES_EACH };
    float values[2 * COUNT];
    struct dpc_buf out, plain;
    for (int i = 0; i < 2 * COUNT; i++)
        values[i] = i < COUNT ? (float)(i - 100) / 512 : (float)i / 4096;
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        begin(&out, KIND_TENSOR);
        dpc_tensor_blob_write_as(&out, (enum dpc_codec)codec, values, COUNT);
        end(fuzz, &out);
    }
    dpc_buf_init(&plain, 0);
    dpc_path_state_put_header(&plain, 12, COUNT);
    dpc_buf_put(&plain, values, sizeof values);
    for (int form = DPC_MOMENTS_FP32; form < DPC_MOMENTS_COUNT; form++) {
        begin(&out, KIND_STATE);
        fuzz_require(dpc_path_state_encode(plain.data, plain.len, COUNT, (enum dpc_moments)form,
                                           NULL, &out, NULL) == DPC_OK,
                     "a state is encoded");
        end(fuzz, &out);
    }
    dpc_buf_done(&plain);
}

static void
add_tables(struct fuzz *fuzz)
{
    enum { COUNT = SAMPLE * VALUES_EACH };
    struct dpc_score scores[8];
    struct dpc_route routes[COUNT];
    struct dpc_buf out;
    for (uint32_t i = 0; i < 8; i++)
        scores[i] = (struct dpc_score){i, 7 * i, 9 * i, i / 3.0};
    for (int i = 0; i < COUNT; i++)
        routes[i] =
            (struct dpc_route){i % 3 ? (uint16_t)(i % PATHS) : DPC_ROUTE_NONE, (float)i / 8};
    begin(&out, KIND_SCORES);
    dpc_scores_write(&out, scores, 8);
    end(fuzz, &out);
    begin(&out, KIND_ROUTES);
    dpc_routes_write(&out, routes, COUNT);
    end(fuzz, &out);
}

/* Of this `routing.init` and form of the features. */
static void
add_router(struct fuzz *fuzz, const char *routing)
{
    float points[POINTS * DIM];
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_router *router;
    struct dpc_buf out;
    struct dpc_rng rng;
    char *yaml = dpc_format("experiment: x\ndata: {corpus: c}\nlevels:\n"
                            "  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"
                            "  - {name: b, parts: [{blocks: 1}, head], modules: 2}\n"
                            "routing: {%s}\n",
                            routing);
    dpc_rng_init(&rng, 3, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < POINTS * DIM; i++)
        points[i] = (float)dpc_rng_normal(&rng);
    struct dpc_router_sample sample = {.features = points, .count = POINTS, .dim = DIM};
    fuzz_require(dpc_experiment_parse("x", yaml, strlen(yaml), &experiment, NULL) == DPC_OK &&
                     dpc_topology_init(&topology, &experiment, NULL) == DPC_OK &&
                     dpc_router_fit(&topology, &sample, &router, NULL) == DPC_OK,
                 routing);
    begin(&out, KIND_ROUTER);
    dpc_router_write(router, &out);
    end(fuzz, &out);
    dpc_router_destroy(router);
    dpc_topology_done(&topology);
    dpc_free(yaml);
}

static void
add_inputs(struct fuzz *fuzz)
{
    add_vectors(fuzz);
    add_tables(fuzz);
    add_router(fuzz, "init: kmeans");
    add_router(fuzz, "init: product");
    add_router(fuzz, "init: hash");
    add_router(fuzz, "init: kmeans, features: whitened");
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 5000, add_inputs);
}

#endif
