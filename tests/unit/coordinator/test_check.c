/* SPDX-License-Identifier: Apache-2.0
 * What a worker may hand in wrongly, each named after the fault. */
#include "coordinator/check.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "data/routes.h"
#include "data/scores.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

/* dim 12: the width at which sizes computed modulo 2^64 once met. */
static const char yaml[] = "experiment: test\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 12, heads: 2, ffn: 16, context: 16}\n"
                           "levels:\n"
                           "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n"
                           "routing: {prefix: 4}\n";

struct bench {
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_store *store;
    char folder[SCRATCH_PATH_MAX];
};

static void
start(struct bench *bench)
{
    struct dpc_error err;
    scratch_make(bench->folder);
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("test", yaml, strlen(yaml), &bench->experiment, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&bench->topology, &bench->experiment, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&bench->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(&dpc_vfs_posix, bench->folder, &bench->blobs, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(bench->kv, bench->blobs, &bench->store, &err), DPC_OK);
}

static void
stop(struct bench *bench)
{
    dpc_store_close(bench->store);
    dpc_blobs_close(bench->blobs);
    dpc_kv_close(bench->kv);
    scratch_remove(bench->folder);
}

static struct dpc_blob_ref
put(struct bench *bench, const void *bytes, size_t len)
{
    struct dpc_error err;
    struct dpc_blob_ref ref = {.bytes = len};
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(bench->store, bytes, len, &ref.hash, &err), DPC_OK);
    return ref;
}

/* A tensor of `count` equal values; `last` may be another. */
static struct dpc_blob_ref
put_tensor_as(struct bench *bench, enum dpc_codec codec, size_t count, float value, float last)
{
    struct dpc_buf blob;
    float *values = dpc_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = i + 1 == count ? last : value;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, codec, values, count);
    struct dpc_blob_ref ref = put(bench, blob.data, blob.len);
    dpc_buf_done(&blob);
    dpc_free(values);
    return ref;
}

static struct dpc_blob_ref
put_tensor(struct bench *bench, size_t count, float value, float last)
{
    return put_tensor_as(bench, DPC_CODEC_FP32, count, value, last);
}

/* A state of a path at these levels, whose last value is `last`; byte `spoilt` of it is another one
 * (0: none). */
static struct dpc_blob_ref
put_state_of(struct bench *bench, uint32_t levels, float last, size_t spoilt)
{
    size_t count = dpc_layout_levels_floats(&bench->experiment, levels);
    struct dpc_buf state;
    dpc_buf_init(&state, 0);
    dpc_path_state_put_header(&state, 100, count);
    float *moments = dpc_buf_extend(&state, 2 * count * sizeof *moments);
    memset(moments, 0, 2 * count * sizeof *moments);
    moments[2 * count - 1] = last;
    if (spoilt)
        state.data[spoilt] ^= 0x80;
    struct dpc_blob_ref ref = put(bench, state.data, state.len);
    dpc_buf_done(&state);
    return ref;
}

static struct dpc_blob_ref
put_state(struct bench *bench, float last)
{
    return put_state_of(bench, 3, last, 0);
}

static struct dpc_submission_check
check(struct bench *bench, const struct dpc_msg_submit *submit)
{
    struct dpc_error err;
    struct dpc_submission_check found;
    CU_ASSERT_EQUAL_FATAL(dpc_check_submission(bench->store, &bench->experiment, &bench->topology,
                                               submit, &found, &err),
                          DPC_OK);
    return found;
}

/* A submission for path 0-0 with whole parts and state. */
static struct dpc_msg_submit
whole_training(struct bench *bench)
{
    struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN, .parts_count = 2};
    for (uint32_t level = 0; level < 2; level++) {
        submit.parts[level].module = 2 * level;
        submit.parts[level].delta =
            put_tensor(bench, dpc_layout_module_floats(&bench->experiment, level), 0.5f, 0.25f);
    }
    submit.state = put_state(bench, 0.5f);
    return submit;
}

static void
whole_submissions_pass(void)
{
    struct bench bench;
    start(&bench);
    struct dpc_msg_submit submit = whole_training(&bench);
    struct dpc_submission_check found = check(&bench, &submit);
    CU_ASSERT_EQUAL(found.missing_count, 0);
    CU_ASSERT_FALSE(found.damaged);
    submit = (struct dpc_msg_submit){.kind = DPC_TASK_FEATURIZE,
                                     .result = put_tensor(&bench, 5 * 12, 1.0f, 2.0f)};
    found = check(&bench, &submit);
    CU_ASSERT_FALSE(found.damaged);
    CU_ASSERT_EQUAL(found.rows, 5);
    struct dpc_score scores[3] = {{.id = 1, .targets = 2, .bytes = 2, .nats = 3.0},
                                  {.id = 4, .targets = 5, .bytes = 5, .nats = 4.5}};
    struct dpc_buf table;
    dpc_buf_init(&table, 0);
    dpc_scores_write(&table, scores, 3);
    submit = (struct dpc_msg_submit){.kind = DPC_TASK_EVALUATE,
                                     .result = put(&bench, table.data, table.len)};
    found = check(&bench, &submit);
    CU_ASSERT_FALSE(found.damaged);
    CU_ASSERT_EQUAL(found.rows, 3);
    CU_ASSERT_EQUAL(found.targets, 2 + 5);
    CU_ASSERT_EQUAL(found.nats, 3.0 + 4.5);
    dpc_buf_done(&table);
    stop(&bench);
}

/* Each is finite, and their sum would not be. */
static void
losses_that_no_network_has_are_refused(void)
{
    static const struct dpc_score rows[][2] = {
        {{.targets = 2, .bytes = 2, .nats = 1e308}, {.targets = 2, .bytes = 2, .nats = 1e308}},
        {{.targets = 2, .bytes = 2, .nats = 2.1e6}, {.targets = 2, .bytes = 2, .nats = 1}},
        {{.targets = 2, .bytes = 2, .nats = 1}, {.targets = 0, .bytes = 0, .nats = 1}},
        {{.targets = 2, .bytes = 2, .nats = 2e6}, {.targets = 0, .bytes = 0, .nats = 0}},
    };
    enum { COUNT = sizeof rows / sizeof *rows };
    struct bench bench;
    start(&bench);
    for (size_t i = 0; i < COUNT; i++) {
        struct dpc_buf table;
        dpc_buf_init(&table, 0);
        dpc_scores_write(&table, rows[i], 2);
        struct dpc_msg_submit submit = {.kind = DPC_TASK_EVALUATE,
                                        .result = put(&bench, table.data, table.len)};
        CU_ASSERT_EQUAL(check(&bench, &submit).damaged, i + 1 < COUNT);
        dpc_buf_done(&table);
    }
    stop(&bench);
}

/* A routed module's deltas come in the form that the experiment names, a dense one's as they are.
 */
static void
each_module_has_its_form(void)
{
    struct bench bench;
    start(&bench);
    size_t count = dpc_layout_module_floats(&bench.experiment, 0);
    for (int asked = 0; asked < DPC_CODECS_COUNT; asked++) {
        bench.experiment.transfer.upload = asked;
        for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
            struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN, .parts_count = 1};
            submit.parts[0].delta = put_tensor_as(&bench, codec, count, 0.5f, -0.25f);
            CU_ASSERT_EQUAL(check(&bench, &submit).damaged, codec != asked);
            submit.parts[0].module = bench.topology.routed_modules;
            CU_ASSERT_EQUAL(check(&bench, &submit).damaged, codec != DPC_CODEC_FP32);
        }
    }
    stop(&bench);
}

/* A routed path's state comes in the form that the experiment names, the dense one's as it is. */
static void
each_path_s_state_has_its_form(void)
{
    struct bench bench;
    struct dpc_error err;
    start(&bench);
    size_t count = dpc_layout_levels_floats(&bench.experiment, 3);
    struct dpc_blob_ref plain = put_state(&bench, 0.5f);
    for (int asked = 0; asked < DPC_MOMENTS_COUNT; asked++) {
        bench.experiment.transfer.moments = asked;
        for (int form = 0; form < DPC_MOMENTS_COUNT; form++) {
            struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN};
            struct dpc_buf coded;
            uint8_t *bytes;
            size_t len;
            dpc_buf_init(&coded, 0);
            CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(bench.store, &plain.hash, &bytes, &len, &err),
                                  DPC_OK);
            CU_ASSERT_EQUAL_FATAL(
                dpc_path_state_encode(bytes, len, count, form, NULL, &coded, &err), DPC_OK);
            submit.state = put(&bench, coded.data, coded.len);
            CU_ASSERT_EQUAL(check(&bench, &submit).damaged, form != asked);
            submit.path = dpc_topology_dense_path(&bench.topology);
            CU_ASSERT_EQUAL(check(&bench, &submit).damaged, form != DPC_MOMENTS_FP32);
            dpc_free(bytes);
            dpc_buf_done(&coded);
        }
    }
    stop(&bench);
}

/* Which a byte of an exponent can say. */
static void
an_infinite_moment_is_refused(void)
{
    struct bench bench;
    struct dpc_buf coded;
    struct dpc_error err;
    uint8_t *bytes;
    size_t len;
    start(&bench);
    bench.experiment.transfer.moments = DPC_MOMENTS_FP8;
    size_t count = dpc_layout_levels_floats(&bench.experiment, 3);
    struct dpc_blob_ref plain = put_state(&bench, 0.5f);
    dpc_buf_init(&coded, 0);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(bench.store, &plain.hash, &bytes, &len, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_encode(bytes, len, count, DPC_MOMENTS_FP8, NULL, &coded, &err), DPC_OK);
    coded.data[DPC_PATH_STATE_HEADER_BYTES] = 255;
    coded.data[DPC_PATH_STATE_HEADER_BYTES + 1] = 127;
    struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN,
                                    .state = put(&bench, coded.data, coded.len)};
    struct dpc_submission_check found = check(&bench, &submit);
    CU_ASSERT_TRUE(found.damaged && found.not_finite);
    dpc_free(bytes);
    dpc_buf_done(&coded);
    stop(&bench);
}

/* Infinite is what a scale, or a half of a value, can say. */
static void
encoded_values_are_finite(void)
{
    struct bench bench;
    start(&bench);
    size_t count = dpc_layout_module_floats(&bench.experiment, 0);
    for (int codec = DPC_CODEC_BF16; codec < DPC_CODECS_COUNT; codec++) {
        struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN, .parts_count = 1};
        struct dpc_buf blob;
        float *values = dpc_alloc(count, sizeof *values);
        bench.experiment.transfer.upload = codec;
        for (size_t i = 0; i < count; i++)
            values[i] = 0.5f;
        dpc_buf_init(&blob, 0);
        dpc_tensor_blob_write_as(&blob, codec, values, count);
        blob.data[DPC_TENSOR_BLOB_HEADER_BYTES + 1] = 0x7f; /* bf16: 0x7f.. */
        blob.data[DPC_TENSOR_BLOB_HEADER_BYTES + 2] = 0x80;
        blob.data[DPC_TENSOR_BLOB_HEADER_BYTES + 3] = 0x7f; /* f32: 0x7f80.... */
        if (codec == DPC_CODEC_BF16)
            blob.data[DPC_TENSOR_BLOB_HEADER_BYTES] = 0x80;
        submit.parts[0].delta = put(&bench, blob.data, blob.len);
        CU_ASSERT_TRUE(check(&bench, &submit).not_finite);
        dpc_buf_done(&blob);
        dpc_free(values);
    }
    stop(&bench);
}

/* Each route is a path, or none; and so many scores as a trace may have. */
static void
tables_of_pieces_pass(void)
{
    struct bench bench;
    struct dpc_buf table;
    start(&bench);
    struct dpc_route routes[5] = {{0, 0}, {3, 1}, {DPC_ROUTE_NONE, 0}, {1, 2}, {2, 0}};
    dpc_buf_init(&table, 0);
    dpc_routes_write(&table, routes, 5);
    struct dpc_msg_submit submit = {.kind = DPC_TASK_REROUTE,
                                    .result = put(&bench, table.data, table.len)};
    struct dpc_submission_check found = check(&bench, &submit);
    CU_ASSERT_FALSE(found.damaged);
    CU_ASSERT_EQUAL(found.rows, 5);
    submit.result = put(&bench, table.data, table.len - 1);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    submit.result = put(&bench, table.data, 4);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    routes[1].path = 4;
    dpc_buf_reset(&table);
    dpc_routes_write(&table, routes, 5);
    submit.result = put(&bench, table.data, table.len);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    struct dpc_score *scores = dpc_alloc(DPC_PIECES_PER_LEASE_MAX + 1, sizeof *scores);
    for (size_t more = 0; more < 2; more++) {
        dpc_buf_reset(&table);
        dpc_scores_write(&table, scores, DPC_PIECES_PER_LEASE_MAX + more);
        submit = (struct dpc_msg_submit){.kind = DPC_TASK_TRACE,
                                         .result = put(&bench, table.data, table.len)};
        CU_ASSERT_EQUAL(check(&bench, &submit).damaged, more);
    }
    submit.kind = DPC_TASK_EVALUATE; /* which has a row a document */
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    dpc_free(scores);
    dpc_buf_done(&table);
    stop(&bench);
}

static void
what_has_not_arrived_is_listed(void)
{
    struct bench bench;
    start(&bench);
    struct dpc_msg_submit submit = whole_training(&bench);
    dpc_hash_of("a", 1, &submit.parts[1].delta.hash);
    dpc_hash_of("b", 1, &submit.state.hash);
    struct dpc_submission_check found = check(&bench, &submit);
    CU_ASSERT_EQUAL(found.missing_count, 2);
    CU_ASSERT_TRUE(dpc_hash_equal(&found.missing[0], &submit.parts[1].delta.hash));
    CU_ASSERT_TRUE(dpc_hash_equal(&found.missing[1], &submit.state.hash));
    stop(&bench);
}

static void
wrong_shapes_and_values_are_refused(void)
{
    struct bench bench;
    start(&bench);
    for (int fault = 0; fault < 16; fault++) {
        struct dpc_msg_submit submit = whole_training(&bench);
        size_t floats = dpc_layout_module_floats(&bench.experiment, 0);
        switch (fault) {
        case 0:
            submit.parts[0].delta = put_tensor(&bench, floats - 1, 1, 1);
            break;
        case 1:
            submit.parts[0].delta = put_tensor(&bench, floats, 1, NAN);
            break;
        case 2:
            submit.parts[0].delta = put_tensor(&bench, floats, 1, -INFINITY);
            break;
        case 3:
            submit.parts[0].delta = put(&bench, "not a tensor", 12);
            break;
        case 4:
            submit.parts[0].module = 1000;
            break;
        case 5:
            submit.state = put_tensor(&bench, 10, 0, 0);
            break;
        case 6:
            submit.state = put_state(&bench, NAN);
            break;
        case 7: /* later leases would repeat the claim */
            submit.state.bytes += 4;
            break;
        case 8:
            submit.state.bytes = 0;
            break;
        case 9:
            submit.parts[1].delta.hash = dpc_hash_none;
            break;
        case 10: /* far from what training can do */
            submit.parts[0].delta = put_tensor(&bench, floats, 20, -20);
            break;
        case 11: /* whoever took its root would have no number */
            submit.state = put_state(&bench, -0.5f);
            break;
        case 12: /* format */
            submit.state = put_state_of(&bench, 3, 0.5f, 8);
            break;
        case 13: /* steps, past all that there can be */
            submit.state = put_state_of(&bench, 3, 0.5f, 23);
            break;
        case 14: /* values of a moment */
            submit.state = put_state_of(&bench, 3, 0.5f, 24);
            break;
        default:
            submit.parts[0].delta.bytes -= 4;
            break;
        }
        CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    }
    stop(&bench);
}

/* A claimed size below a header once made the count of values wrap around, and the check read far
 * past the blob. */
static void
features_smaller_than_a_header_are_refused(void)
{
    struct bench bench;
    start(&bench);
    struct dpc_msg_submit submit = {.kind = DPC_TASK_FEATURIZE,
                                    .result = put_tensor(&bench, 12, 1.0f, 2.0f)};
    for (uint64_t bytes = 0; bytes < 64; bytes++) {
        submit.result.bytes = bytes;
        CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    }
    submit.result.bytes = UINT64_MAX - 3;
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    stop(&bench);
}

static void
features_are_whole_rows(void)
{
    struct bench bench;
    start(&bench);
    uint32_t dim = bench.experiment.model.dim;
    struct dpc_msg_submit submit = {.kind = DPC_TASK_FEATURIZE,
                                    .result = put_tensor(&bench, (size_t)3 * dim, 1, 2)};
    struct dpc_submission_check found = check(&bench, &submit);
    CU_ASSERT(!found.damaged && found.rows == 3);
    submit.result = put_tensor(&bench, (size_t)3 * dim + 1, 1, 2);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    stop(&bench);
}

/* Where paths skip levels, a state is as large as its own path. */
static void
a_short_path_has_a_short_state(void)
{
    struct bench bench;
    start(&bench);
    dpc_topology_done(&bench.topology);
    bench.experiment.levels_count = 3;
    bench.experiment.levels[2] = bench.experiment.levels[1];
    bench.experiment.levels[1] =
        (struct dpc_level){.name = "middle", .blocks = 1, .modules = 1, .identity = true};
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&bench.topology, &bench.experiment, NULL), DPC_OK);
    uint32_t path;
    CU_ASSERT_FATAL(dpc_topology_path_find(&bench.topology, "0-x-0", &path));
    struct dpc_msg_submit submit = {.kind = DPC_TASK_TRAIN, .path = path, .parts_count = 2};
    for (uint32_t i = 0; i < 2; i++) {
        submit.parts[i].module = dpc_topology_path_module(&bench.topology, path, i);
        submit.parts[i].delta =
            put_tensor(&bench, dpc_layout_module_floats(&bench.experiment, 2 * i), 0.5f, 0.25f);
    }
    submit.state = put_state_of(&bench, 7, 0.5f, 0);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    submit.state = put_state_of(&bench, 5, 0.5f, 0);
    CU_ASSERT_FALSE(check(&bench, &submit).damaged);
    submit.path = bench.topology.paths_count;
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    stop(&bench);
}

/* Nothing in place of a result was once looked up as a blob, and not found ended the daemon. */
static void
no_result_is_refused(void)
{
    struct bench bench;
    start(&bench);
    struct dpc_msg_submit submit = {.kind = DPC_TASK_EVALUATE};
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    submit = (struct dpc_msg_submit){.kind = DPC_TASK_FEATURIZE};
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    stop(&bench);
}

/* What could not be looked at for want of descriptors was missing, or of a wrong size: a worker
 * gave up, or was refused, what it had computed. */
static void
what_cannot_be_looked_at_is_not_judged(void)
{
    struct bench bench;
    struct rlimit limit, none;
    struct dpc_error err;
    struct dpc_submission_check found;
    start(&bench);
    struct dpc_msg_submit submit = {.kind = DPC_TASK_EVALUATE, .result.bytes = 3};
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_put(bench.blobs, "xyz", 3, &submit.result.hash, &err), DPC_OK);
    CU_ASSERT_TRUE(check(&bench, &submit).damaged);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    int code = dpc_check_submission(bench.store, &bench.experiment, &bench.topology, &submit,
                                    &found, &err);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(code, DPC_EFILES);
    stop(&bench);
}

static const struct dpc_test tests[] = {
    {"what cannot be looked at is not judged", what_cannot_be_looked_at_is_not_judged},
    {"whole submissions pass", whole_submissions_pass},
    {"losses that no network has are refused", losses_that_no_network_has_are_refused},
    {"each module has its form", each_module_has_its_form},
    {"encoded values are finite", encoded_values_are_finite},
    {"each path's state has its form", each_path_s_state_has_its_form},
    {"an infinite moment is refused", an_infinite_moment_is_refused},
    {"tables of pieces pass", tables_of_pieces_pass},
    {"what has not arrived is listed", what_has_not_arrived_is_listed},
    {"wrong shapes and values are refused", wrong_shapes_and_values_are_refused},
    {"a short path has a short state", a_short_path_has_a_short_state},
    {"no result is refused", no_result_is_refused},
    {"features smaller than a header are refused", features_smaller_than_a_header_are_refused},
    {"features are whole rows", features_are_whole_rows},
};
DPC_TEST_MAIN("coordinator/check", tests)
