/* SPDX-License-Identifier: Apache-2.0
 * Figures of shardings against ones worked out by hand. */
#include "coordinator/report/report_routing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

enum { PATHS = 4 };

/* Train documents of the paths, and how many of all documents stay: 20 are routed to each. */
struct sharding {
    uint64_t documents[PATHS], stayed[PATHS];
};

static struct dpc_report_routing *
load(const struct sharding *shardings, uint32_t count)
{
    static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n";
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_report_routing *routing = NULL;
    struct dpc_kv_batch batch;
    struct dpc_kv *kv;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("test", yaml, sizeof yaml - 1, &experiment, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    dpc_kv_batch_init(&batch);
    for (uint32_t phase = 0; phase < count; phase++) {
        for (uint32_t path = 0; path < PATHS; path++) {
            struct dpc_shard_record record = {.phase = phase,
                                              .path = path,
                                              .train_documents = shardings[phase].documents[path],
                                              .routed = 20,
                                              .stayed = shardings[phase].stayed[path]};
            dpc_put_shard(&batch, &record);
        }
    }
    CU_ASSERT_EQUAL_FATAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    CU_ASSERT_EQUAL_FATAL(dpc_report_routing_load(kv, &topology, &routing, &err), DPC_OK);
    kv->ops->close(kv);
    dpc_topology_done(&topology);
    return routing;
}

static double
figure(const struct dpc_json *list, size_t at, const char *key)
{
    return dpc_json_number(dpc_json_get(dpc_json_at(list, at), key), NAN);
}

static const struct sharding halves = {.documents = {8, 4, 2, 2}};
static const struct sharding evened = {.documents = {4, 4, 4, 4}, .stayed = {20, 12, 20, 8}};

/* 1/2, 1/4, 1/8, 1/8 have an entropy of 1/2 + 1/2 + 3/8 + 3/8 bits. */
static void
figures_are_of_each_sharding(void)
{
    struct dpc_report_routing *routing = load((struct sharding[]){halves, evened}, 2);
    struct dpc_json *list = dpc_report_routing_json(routing);
    CU_ASSERT_EQUAL_FATAL(dpc_json_count(list), 2);
    CU_ASSERT_DOUBLE_EQUAL(figure(list, 0, "entropy_bits"), 1.75, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(figure(list, 1, "entropy_bits"), 2, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(figure(list, 1, "entropy_bits_max"), 2, 1e-12);
    CU_ASSERT(isnan(figure(list, 0, "agreement")));
    CU_ASSERT_DOUBLE_EQUAL(figure(list, 1, "agreement"), 60.0 / 80, 1e-12);
    const struct dpc_json *documents = dpc_json_get(dpc_json_at(list, 0), "train_documents");
    CU_ASSERT_EQUAL(dpc_json_count(documents), PATHS);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(documents, 1), NAN), 4);
    dpc_json_destroy(list);
    dpc_report_routing_destroy(routing);
}

/* A path without documents adds nothing to the entropy. */
static void
empty_paths_are_counted(void)
{
    struct sharding lopsided = {.documents = {16, 0, 0, 0}};
    struct dpc_report_routing *routing = load(&lopsided, 1);
    struct dpc_json *list = dpc_report_routing_json(routing);
    struct dpc_buf out;
    CU_ASSERT_EQUAL(figure(list, 0, "entropy_bits"), 0);
    dpc_buf_init(&out, 0);
    dpc_report_routing_markdown(routing, &out);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&out), "| 0 | 0 | 16 | 0.000 of 2.000 | - |"));
    dpc_buf_done(&out);
    dpc_json_destroy(list);
    dpc_report_routing_destroy(routing);
}

static size_t
count_of(struct dpc_buf *text, const char *word)
{
    size_t count = 0;
    for (const char *at = dpc_buf_text(text); (at = strstr(at, word)); at++)
        count++;
    return count;
}

/* One sharding is drawn over the paths, several over the phases with a line for each path. */
static void
each_routing_has_its_picture(void)
{
    for (uint32_t count = 1; count <= 2; count++) {
        struct dpc_report_routing *routing = load((struct sharding[]){halves, evened}, count);
        struct dpc_buf out;
        CU_ASSERT_TRUE(dpc_report_routing_has_choice(routing));
        dpc_buf_init(&out, 0);
        dpc_report_routing_svg(routing, "test", &out);
        CU_ASSERT_EQUAL(count_of(&out, "<polyline"), count == 1 ? 2 : 2 + PATHS);
        CU_ASSERT_EQUAL(count_of(&out, "largest first"), count == 1);
        CU_ASSERT_EQUAL(count_of(&out, "nan"), 0);
        dpc_buf_done(&out);
        dpc_report_routing_destroy(routing);
    }
}

static const struct dpc_test tests[] = {
    {"figures are of each sharding", figures_are_of_each_sharding},
    {"empty paths are counted", empty_paths_are_counted},
    {"each routing has its picture", each_routing_has_its_picture},
};
DPC_TEST_MAIN("coordinator/report_routing", tests)
