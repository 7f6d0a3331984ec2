/* SPDX-License-Identifier: Apache-2.0
 * Figures of a small experiment, worked out by hand. */
#include "cli/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "tests/unit/harness.h"

/* dim 16, ffn 24, vocabulary 256: a block is 2*16 norms + 4*16*16 attention + 3*16*24 ffn = 2208.
 */
enum { BLOCK = 2 * 16 + 4 * 16 * 16 + 3 * 16 * 24, EMBEDDING = 256 * 16 };

static const char yaml[] =
    "experiment: planned\n"
    "data: {corpus: c}\n"
    "model: {dim: 16, heads: 2, ffn: 24, context: 32, tie_embeddings: true}\n"
    "levels:\n"
    "  - {name: low, parts: [embedding, {blocks: 1}], modules: 1}\n"
    "  - {name: high, parts: [{blocks: 2}, head], modules: 3}\n"
    "routing: {prefix: 8}\n"
    "inner: {batch: 4, steps: 10}\n"
    "outer: {rounds: 5}\n"
    "warm_start: {steps: 20}\n";

static struct dpc_plan plan;

static struct dpc_experiment experiment;

static void
test_make(void)
{
    struct dpc_error err = {0};
    int rc = dpc_experiment_parse("planned", yaml, sizeof yaml - 1, &experiment, &err);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_EQUAL_FATAL(rc, DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&experiment, &plan, &err), DPC_OK);
}

static void
test_parameters(void)
{
    size_t low = EMBEDDING + BLOCK, high = 2 * BLOCK + 16;
    CU_ASSERT_EQUAL(plan.levels_count, 2);
    CU_ASSERT_EQUAL(plan.levels[0].module_params, low);
    CU_ASSERT_EQUAL(plan.levels[1].module_params, high);
    CU_ASSERT_EQUAL(plan.paths, 3);
    CU_ASSERT_EQUAL(plan.path_params, low + high);
    CU_ASSERT_EQUAL(plan.total_params, low + 3 * high);
}

static void
test_coupling(void)
{
    CU_ASSERT_TRUE(plan.levels[0].couples_all);
    CU_ASSERT_FALSE(plan.levels[1].couples_all);
    CU_ASSERT_EQUAL(plan.levels[0].paths_through, 3);
    CU_ASSERT_EQUAL(plan.levels[1].paths_through, 1);
    CU_ASSERT_EQUAL(plan.levels[0].paths_through_least, 3);
}

static void
test_work(void)
{
    CU_ASSERT_EQUAL(plan.path_steps, 20 + 5 * 10);
    CU_ASSERT_EQUAL(plan.total_steps, 20 + 4 * 5 * 10); /* three paths and the dense one */
    CU_ASSERT_EQUAL(plan.path_tokens, 70 * 4 * 32);
}

/* A quarter of the three paths trains in a round; the dense one always does. */
static void
test_sample(void)
{
    struct dpc_plan sampled;
    struct dpc_error err;
    experiment.outer.sample = 0.25;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&experiment, &sampled, &err), DPC_OK);
    experiment.outer.sample = 1;
    CU_ASSERT_EQUAL(sampled.path_steps, 20 + 13); /* 12.5 */
    CU_ASSERT_EQUAL(sampled.total_steps, 20 + 38 + 50);
    CU_ASSERT_EQUAL(sampled.path_tokens, 33 * 4 * 32);
    CU_ASSERT_EQUAL(sampled.path_bytes_up, plan.path_bytes_up);
    CU_ASSERT_EQUAL(sampled.round_bytes_up,
                    (plan.round_bytes_up - plan.path_bytes_up) / 4 + plan.path_bytes_up);
}

static void
test_bytes(void)
{
    uint64_t params = plan.path_params;
    CU_ASSERT_EQUAL(plan.path_bytes_up, 4 * params + 2 * 64 + 8 * params + 64);
    CU_ASSERT_EQUAL(plan.round_bytes_up, 4 * plan.path_bytes_up);
    CU_ASSERT(plan.worker_bytes > 16 * params);
    CU_ASSERT_EQUAL(plan.worker_bytes_short, plan.worker_bytes_least);
}

/* What the experiment says of activations holds for every worker. */
static void
test_recompute(void)
{
    struct dpc_plan kept, again;
    struct dpc_error err;
    experiment.recompute = DPC_RECOMPUTE_NONE;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&experiment, &kept, &err), DPC_OK);
    experiment.recompute = DPC_RECOMPUTE_BLOCK;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&experiment, &again, &err), DPC_OK);
    experiment.recompute = DPC_RECOMPUTE_AUTO;
    CU_ASSERT(plan.worker_bytes_least < plan.worker_bytes);
    CU_ASSERT_EQUAL(kept.worker_bytes, plan.worker_bytes);
    CU_ASSERT_EQUAL(kept.worker_bytes_least, plan.worker_bytes);
    CU_ASSERT_EQUAL(kept.worker_bytes_short, plan.worker_bytes);
    CU_ASSERT_EQUAL(again.worker_bytes, plan.worker_bytes_least);
    CU_ASSERT_EQUAL(again.worker_bytes_least, plan.worker_bytes_least);
}

/* A worker scores more sequences at a time than a small batch has. */
static void
test_small_batch(void)
{
    struct dpc_experiment one = experiment, eight = experiment;
    struct dpc_plan small, large;
    struct dpc_error err;
    one.inner.batch = 1;
    eight.inner.batch = 8;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&one, &small, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&eight, &large, &err), DPC_OK);
    CU_ASSERT_EQUAL(small.worker_bytes, large.worker_bytes);
}

/* Forms of deltas and versions, and a path state that stays where it is; the dense path's are fp32.
 */
static void
test_forms(void)
{
    struct dpc_experiment coded = experiment;
    struct dpc_plan forms;
    struct dpc_error err;
    uint64_t up = 0, down = 0;
    coded.transfer.upload = DPC_CODEC_NF4;
    coded.transfer.download = DPC_CODEC_INT8;
    coded.transfer.path_state = DPC_STATE_RESET;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&coded, &forms, &err), DPC_OK);
    for (int level = 0; level < 2; level++) {
        size_t params = plan.levels[level].module_params, blocks = (params + 255) / 256;
        up += 64 + 4 * blocks + (params + 1) / 2;
        down += 64 + 4 * blocks + params;
    }
    CU_ASSERT_EQUAL(forms.path_bytes_up, up);
    CU_ASSERT_EQUAL(forms.path_bytes_down, down);
    uint64_t dense = 4 * plan.path_params + 2 * 64;
    CU_ASSERT_EQUAL(forms.round_bytes_up, 3 * up + dense);
    CU_ASSERT_EQUAL(forms.round_bytes_down, 3 * down + dense);
    CU_ASSERT_TRUE(forms.by_changes && !plan.by_changes);
    uint64_t path = 4 * plan.path_params;
    CU_ASSERT_EQUAL(forms.disk_bytes,
                    6 * 12 * plan.total_params +
                        3 * dpc_codec_bytes(DPC_CODEC_INT8, plan.total_params) + 7 * path +
                        5 * (dpc_codec_bytes(DPC_CODEC_NF4, plan.paths_params) + path));
    coded.transfer.path_state = DPC_STATE_SHIP;
    coded.transfer.moments = DPC_MOMENTS_FP8;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&coded, &forms, &err), DPC_OK);
    size_t state = dpc_path_state_bytes_as(DPC_MOMENTS_FP8, plan.path_params);
    CU_ASSERT_EQUAL(forms.path_bytes_up, up + state);
    CU_ASSERT_EQUAL(forms.round_bytes_up, 3 * (up + state) + dense + 64 + 8 * plan.path_params);
}

/* keep_rounds is 3: five rounds of contributions lie on the disk, six versions, and the
 * path states of six rounds. */
static void
test_disk(void)
{
    uint64_t path = 4 * plan.path_params, paths = 3 + 1;
    CU_ASSERT_EQUAL(plan.keep_rounds, 3);
    CU_ASSERT_EQUAL(plan.disk_bytes,
                    6 * 8 * plan.total_params + 7 * path + paths * 5 * path + paths * 6 * 2 * path);
}

/* Of the three modules of `high`; the one of `low` begins as a copy. */
static void
test_beginnings(void)
{
    struct dpc_experiment upcycled = experiment;
    struct dpc_plan drawn;
    struct dpc_error err = {0};
    upcycled.warm_start.init = DPC_BEGIN_DROP;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&upcycled, &drawn, &err), DPC_OK);
    CU_ASSERT_EQUAL(drawn.disk_bytes, plan.disk_bytes + 3 * 4 * plan.levels[1].module_params);
}

/* Each path pins one more version of each of its modules. */
static void
test_disk_of_early_stopping(void)
{
    struct dpc_plan stopping;
    struct dpc_error err;
    experiment.early_stopping = true;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&experiment, &stopping, &err), DPC_OK);
    CU_ASSERT_EQUAL(stopping.disk_bytes - plan.disk_bytes, (3 + 1) * 4 * plan.path_params);
}

/* Where paths are listed, modules of a level differ in how many take them. */
static void
test_listed(void)
{
    struct dpc_experiment several;
    struct dpc_plan listed;
    struct dpc_error err = {0};
    char *text = dpc_format("%spaths: [0-0, 0-1, 0-1, 0-2]\nreplicas: 2\n", yaml);
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("planned", text, strlen(text), &several, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&several, &listed, &err), DPC_OK);
    CU_ASSERT_EQUAL(listed.paths, 8);
    CU_ASSERT_TRUE(listed.levels[0].couples_all);
    CU_ASSERT_FALSE(listed.levels[1].couples_all);
    CU_ASSERT_EQUAL(listed.levels[1].paths_through, 4);
    CU_ASSERT_EQUAL(listed.levels[1].paths_through_least, 2);
    CU_ASSERT_EQUAL(listed.total_params, plan.total_params);
    CU_ASSERT_EQUAL(listed.round_bytes_up, 9 * plan.path_bytes_up);
    dpc_free(text);
}

/* Paths that skip a level are smaller, and so is what they need. */
static void
test_identity(void)
{
    static const char text[] =
        "experiment: planned\n"
        "data: {corpus: c}\n"
        "model: {dim: 16, heads: 2, ffn: 24, context: 32, tie_embeddings: true}\n"
        "levels:\n"
        "  - {name: low, parts: [embedding, {blocks: 1}], modules: 1}\n"
        "  - {name: mid, parts: [{blocks: 3}], modules: 2, identity: true}\n"
        "  - {name: high, parts: [head], modules: 1}\n"
        "routing: {prefix: 8}\n"
        "inner: {batch: 4, steps: 10}\n";
    struct dpc_experiment several;
    struct dpc_plan short_ones;
    struct dpc_error err = {0};
    size_t least = EMBEDDING + BLOCK + 16, most = least + 3 * BLOCK;
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("planned", text, sizeof text - 1, &several, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&several, &short_ones, &err), DPC_OK);
    CU_ASSERT_EQUAL(short_ones.paths, 3);
    CU_ASSERT(short_ones.path_params == most && short_ones.path_params_least == least);
    CU_ASSERT_EQUAL(short_ones.total_params, least + 2 * 3 * BLOCK);
    CU_ASSERT(short_ones.levels[1].identity && !short_ones.levels[1].couples_all);
    CU_ASSERT_EQUAL(short_ones.levels[1].paths_through, 1);
    uint64_t long_bytes = 12 * most + 4 * 64, short_bytes = 12 * least + 3 * 64;
    CU_ASSERT_EQUAL(short_ones.path_bytes_up, long_bytes);
    CU_ASSERT_EQUAL(short_ones.round_bytes_up, 3 * long_bytes + short_bytes);
    double most_flops = dpc_layout_forward_flops(&several);
    double least_flops = dpc_layout_levels_forward_flops(&several, 1 | 4);
    CU_ASSERT_DOUBLE_EQUAL(short_ones.forward_flops, (2 * most_flops + least_flops) / 3,
                           1e-6 * most_flops);
    /* Of the dense model's steps and of three paths'. */
    double each = several.outer.rounds * 10.0, dense = several.warm_start.steps + each;
    double flops = 3 * 4 * 32 * (dense * most_flops + each * (2 * most_flops + least_flops));
    CU_ASSERT_DOUBLE_EQUAL(short_ones.train_flops, flops, 1e-9 * flops);
    CU_ASSERT(short_ones.worker_bytes_short < short_ones.worker_bytes_least);
}

/* Of two levels that no path takes both of: whoever trains no dense model never holds them all. */
static void
test_memory_of_the_largest(void)
{
    static const char text[] =
        "experiment: planned\n"
        "data: {corpus: c}\n"
        "model: {dim: 16, heads: 2, ffn: 24, context: 32, tie_embeddings: true}\n"
        "levels:\n"
        "  - {name: low, parts: [embedding, {blocks: 1}], modules: 1}\n"
        "  - {name: one, parts: [{blocks: 3}], modules: 1, identity: true}\n"
        "  - {name: two, parts: [{blocks: 3}], modules: 1, identity: true}\n"
        "  - {name: high, parts: [head], modules: 1}\n"
        "paths: [0-0-x-0, 0-x-0-0]\n"
        "routing: {prefix: 8}\n"
        "inner: {batch: 4, steps: 10}\n";
    struct dpc_experiment either;
    struct dpc_plan dense, routed;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("planned", text, sizeof text - 1, &either, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&either, &dense, &err), DPC_OK);
    either.warm_start.steps = 0;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&either, &routed, &err), DPC_OK);
    CU_ASSERT_EQUAL(routed.worker_bytes, dense.worker_bytes);
    either.baseline.dense = false;
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&either, &routed, &err), DPC_OK);
    CU_ASSERT(routed.worker_bytes < dense.worker_bytes);
    CU_ASSERT_EQUAL(routed.worker_bytes_short, routed.worker_bytes_least);
}

/* Documents times paths, or documents times those that are asked. */
static void
test_scores(void)
{
    struct dpc_experiment several;
    struct dpc_plan scoring;
    struct dpc_error err = {0};
    static const struct {
        const char *keys;
        uint32_t paths;
        uint64_t scores;
    } rows[] = {
        {"phases: 2", 3, 0},
        {"phases: 2, score_documents: 1000", 3, 6000},
        {"phases: 2, score_documents: 1000, score_paths: 2", 2, 4000},
    };
    CU_ASSERT(plan.phases == 0 && plan.score_paths == 0 && plan.scores == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char keys[128];
        (void)snprintf(keys, sizeof keys, "routing: {prefix: 8, %s}", rows[i].keys);
        const char *at = strstr(yaml, "routing: {prefix: 8}");
        char *text = dpc_format("%.*s%s%s", (int)(at - yaml), yaml, keys,
                                at + strlen("routing: {prefix: 8}"));
        CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("planned", text, strlen(text), &several, &err),
                              DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&several, &scoring, &err), DPC_OK);
        CU_ASSERT_EQUAL(scoring.phases, 2);
        CU_ASSERT_EQUAL(scoring.score_paths, rows[i].paths);
        CU_ASSERT_EQUAL(scoring.scores, rows[i].scores);
        dpc_free(text);
    }
}

/* Two outer steps of the largest module. */
static void
test_coordinator(void)
{
    static const char forms[] = "transfer: {upload: nf4, download: int8, moments: nf4}\n";
    struct dpc_error err = {0};
    struct dpc_experiment other;
    struct dpc_plan formed;
    size_t low = EMBEDDING + BLOCK;
    char *text = dpc_format("%s%s", yaml, forms);
    CU_ASSERT_EQUAL(plan.coordinator_bytes, 64 * DPC_MIB + 2 * 24 * low);
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("t", text, strlen(text), &other, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&other, &formed, &err), DPC_OK);
    CU_ASSERT_EQUAL(formed.coordinator_bytes, 64 * DPC_MIB + 2 * 30 * low);
    dpc_free(text);
}

/* DiPaCo, section 4: 64 paths of 150 million parameters, 1.2 thousand million in all, 64,000 steps
 * behind 24,000 of warm start. */
static void
test_paper(void)
{
    struct dpc_experiment paper;
    struct dpc_plan big;
    struct dpc_error err = {0};
    const char *folder = getenv("srcdir");
    char *file = dpc_format("%s/examples/paper.yaml", folder ? folder : ".");
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_load(file, &paper, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_plan_make(&paper, &big, &err), DPC_OK);
    CU_ASSERT_EQUAL(big.paths, 64);
    CU_ASSERT_DOUBLE_EQUAL((double)big.path_params, 150e6, 10e6);
    CU_ASSERT_DOUBLE_EQUAL((double)big.total_params, 1.2e9, 0.05e9);
    CU_ASSERT_DOUBLE_EQUAL((double)big.path_steps, 88000, 100);
    dpc_free(file);
}

static const struct dpc_test tests[] = {
    {"a plan is made", test_make},
    {"parameters", test_parameters},
    {"levels that couple all paths", test_coupling},
    {"steps and tokens", test_work},
    {"a sample of the paths trains in a round", test_sample},
    {"bytes and memory", test_bytes},
    {"memory of the coordinator", test_coordinator},
    {"recompute", test_recompute},
    {"memory of a small batch", test_small_batch},
    {"forms of what travels", test_forms},
    {"scores", test_scores},
    {"disk", test_disk},
    {"what routed modules begin with", test_beginnings},
    {"disk of early stopping", test_disk_of_early_stopping},
    {"paths of a list", test_listed},
    {"paths that skip a level", test_identity},
    {"memory of the largest path", test_memory_of_the_largest},
    {"the paper's grid", test_paper},
};
DPC_TEST_MAIN("cli/plan", tests)
