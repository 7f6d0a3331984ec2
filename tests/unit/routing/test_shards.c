/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/shards.h"

#include <string.h>

#include "tests/unit/harness.h"

static const char yaml[] = "experiment: test\n"
                           "data: {corpus: corpus}\n"
                           "levels:\n"
                           "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n"
                           "routing: {documents_min: 50}\n";

static void
start(struct dpc_experiment *experiment, struct dpc_topology *topology)
{
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("test", yaml, strlen(yaml), experiment, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(topology, experiment, &err), DPC_OK);
}

static void
enough_everywhere_passes(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_error err;
    struct dpc_shard_counts counts[4];
    start(&experiment, &topology);
    for (int i = 0; i < 4; i++)
        counts[i] = (struct dpc_shard_counts){{[DPC_SPLIT_TRAIN] = 48, [DPC_SPLIT_ROUTER] = 2}};
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_OK);
}

static void
too_few_names_the_path_and_all_counts(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_error err;
    struct dpc_shard_counts counts[4];
    start(&experiment, &topology);
    for (int i = 0; i < 4; i++)
        counts[i] = (struct dpc_shard_counts){{[DPC_SPLIT_TRAIN] = 100, [DPC_SPLIT_TEST] = 99}};
    counts[2].documents[DPC_SPLIT_TRAIN] = 49;
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "path 1-0 would get 49 documents"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "100, 100, 49, 100"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "documents_min, or set routing.balance to capacity"));
    experiment.routing.balance = DPC_BALANCE_CAPACITY;
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "documents_min, or lower routing.capacity"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "train the warm start longer"));
    experiment.routing.features = DPC_FEATURES_NGRAMS; /* which no model is asked for */
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NULL(strstr(err.text, "warm start"));
    experiment.routing.balance = DPC_BALANCE_NONE;
    experiment.routing.init = DPC_ROUTING_METADATA; /* which knows no second choice */
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "use fewer modules, lower routing.documents_min"));
    CU_ASSERT_PTR_NULL(strstr(err.text, "balance"));
}

static void
nothing_to_train_on_is_refused(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_error err;
    struct dpc_shard_counts counts[4];
    start(&experiment, &topology);
    for (int i = 0; i < 4; i++)
        counts[i] = (struct dpc_shard_counts){{[DPC_SPLIT_TRAIN] = 100}};
    counts[3] = (struct dpc_shard_counts){{[DPC_SPLIT_ROUTER] = 100}};
    CU_ASSERT_EQUAL(dpc_shards_check(&topology, counts, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "path 1-1 would get no document of the train split"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "100, 100, 100, 100"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "lower data.router"));
    CU_ASSERT_PTR_NULL(strstr(err.text, "documents_min")); /* which it has */
}

static const struct dpc_test tests[] = {
    {"enough everywhere passes", enough_everywhere_passes},
    {"too few names the path and all counts", too_few_names_the_path_and_all_counts},
    {"nothing to train on is refused", nothing_to_train_on_is_refused},
};
DPC_TEST_MAIN("routing/shards", tests)
