/* SPDX-License-Identifier: Apache-2.0 */
#include "base/layout.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/base/small_model.h"
#include "tests/unit/harness.h"

/* The reference run's figure: a path of 0.82 million parameters. */
static void
quickstart_path_has_824448_parameters(void)
{
    struct dpc_experiment experiment;
    small_model(&experiment);
    CU_ASSERT_EQUAL(dpc_layout_module_floats(&experiment, 0), 32768 + 2 * 197888);
    CU_ASSERT_EQUAL(dpc_layout_module_floats(&experiment, 1), 2 * 197888 + 128);
    CU_ASSERT_EQUAL(dpc_layout_path_floats(&experiment), 824448);
    experiment.model.tie_embeddings = false;
    CU_ASSERT_EQUAL(dpc_layout_path_floats(&experiment), 824448 + 256 * 128);
}

/* Four blocks of 4 x 128 x 128 and 3 x 128 x 344 weights, the tied head, attention over half of 256
 * positions. */
static void
flops_count_products_and_attention(void)
{
    struct dpc_experiment experiment;
    small_model(&experiment);
    double weights = 4 * (4 * 128 * 128 + 3 * 128 * 344) + 128 * 256;
    double attention = 4 * 2 * 2 * 128 * (256 / 2.0);
    CU_ASSERT_EQUAL(experiment.model.context, 256);
    CU_ASSERT_EQUAL(dpc_layout_forward_flops(&experiment), 2 * weights + attention);
    CU_ASSERT_EQUAL(dpc_layout_train_flops(&experiment), 6 * weights + 3 * attention);
    /* Two of the blocks; the head is of every path. */
    double blocks = 2 * (weights - 128 * 256) + attention;
    CU_ASSERT_EQUAL(dpc_layout_levels_forward_flops(&experiment, 1), blocks / 2 + 2 * 128 * 256);
}

static void
tensors_follow_each_other_without_a_gap(void)
{
    struct dpc_experiment experiment;
    small_model(&experiment);
    experiment.model.tie_embeddings = false;
    for (uint32_t level = 0; level < 2; level++) {
        struct dpc_layout layout;
        size_t offset = 0;
        dpc_layout_init(&layout, &experiment, level);
        for (uint32_t i = 0; i < layout.tensors_count; i++) {
            const struct dpc_tensor *tensor = &layout.tensors[i];
            CU_ASSERT_EQUAL(tensor->offset, offset);
            CU_ASSERT_EQUAL(tensor->decay, strncmp(dpc_tensor_name(tensor->kind), "norm", 4) != 0);
            CU_ASSERT_EQUAL(tensor->rows == 1, !tensor->decay);
            offset += (size_t)tensor->rows * tensor->cols;
        }
        CU_ASSERT_EQUAL(layout.floats_count, offset);
        dpc_layout_done(&layout);
    }
}

static void
shapes_are_outputs_by_inputs(void)
{
    struct dpc_experiment experiment;
    struct dpc_layout layout;
    small_model(&experiment);
    experiment.model.tie_embeddings = false;
    dpc_layout_init(&layout, &experiment, 1);
    static const struct {
        enum dpc_tensor_kind kind;
        uint32_t rows, cols;
    } rows[] = {
        {DPC_TENSOR_NORM_ATTENTION, 1, 128},  {DPC_TENSOR_QKV, 384, 128},
        {DPC_TENSOR_ATTENTION_OUT, 128, 128}, {DPC_TENSOR_NORM_FFN, 1, 128},
        {DPC_TENSOR_GATE_UP, 688, 128},       {DPC_TENSOR_DOWN, 128, 344},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct dpc_tensor *tensor = dpc_layout_find(&layout, rows[i].kind, 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
        CU_ASSERT_EQUAL(tensor->rows, rows[i].rows);
        CU_ASSERT_EQUAL(tensor->cols, rows[i].cols);
    }
    const struct dpc_tensor *head = dpc_layout_find(&layout, DPC_TENSOR_HEAD, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(head);
    CU_ASSERT(head->rows == 256 && head->cols == 128);
    CU_ASSERT_PTR_NULL(dpc_layout_find(&layout, DPC_TENSOR_EMBEDDING, 0));
    CU_ASSERT_PTR_NULL(dpc_layout_find(&layout, DPC_TENSOR_QKV, 2));
    dpc_layout_done(&layout);
}

/* Standard deviation of `count` values. */
static double
deviation(const float *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares / (double)count);
}

static void
initial_weights_have_their_deviations(void)
{
    struct dpc_experiment experiment;
    struct dpc_layout layout;
    small_model(&experiment);
    dpc_layout_init(&layout, &experiment, 0);
    float *weights = dpc_alloc(layout.floats_count, sizeof *weights);
    dpc_layout_fill_initial(&experiment, 0, weights);
    for (uint32_t i = 0; i < layout.tensors_count; i++) {
        const struct dpc_tensor *tensor = &layout.tensors[i];
        double expected = tensor->decay ? 0.02 : 1.0;
        if (tensor->kind == DPC_TENSOR_ATTENTION_OUT || tensor->kind == DPC_TENSOR_DOWN)
            expected /= sqrt(8.0);
        double found = deviation(weights + tensor->offset, (size_t)tensor->rows * tensor->cols);
        CU_ASSERT_DOUBLE_EQUAL(found / expected, 1.0, 0.03);
    }
    dpc_free(weights);
    dpc_layout_done(&layout);
}

static void
initial_weights_are_a_function_of_seed_and_level(void)
{
    struct dpc_experiment experiment;
    small_model(&experiment);
    experiment.levels[1] = experiment.levels[0]; /* the same shapes in both */
    size_t count = dpc_layout_module_floats(&experiment, 0);
    float *a = dpc_alloc(count, sizeof *a), *b = dpc_alloc(count, sizeof *b);
    dpc_layout_fill_initial(&experiment, 0, a);
    dpc_layout_fill_initial(&experiment, 0, b);
    CU_ASSERT_EQUAL(memcmp(a, b, count * sizeof *a), 0);
    dpc_layout_fill_initial(&experiment, 1, b);
    CU_ASSERT_NOT_EQUAL(a[0], b[0]);
    experiment.seed = 2;
    dpc_layout_fill_initial(&experiment, 0, b);
    CU_ASSERT_NOT_EQUAL(a[0], b[0]);
    dpc_free(a);
    dpc_free(b);
}

static int
parse(uint32_t blocks, const char *more, struct dpc_error *err)
{
    struct dpc_experiment experiment;
    char yaml[512];
    (void)snprintf(yaml, sizeof yaml,
                   "experiment: test\n"
                   "data: {corpus: corpus}\n"
                   "model: {dim: 16384, heads: 128, ffn: 32768}\n"
                   "levels:\n"
                   "  - {name: lower, parts: [embedding, {blocks: %u}], modules: 2}\n"
                   "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n"
                   "%s",
                   blocks, more);
    return dpc_experiment_parse("test", yaml, strlen(yaml), &experiment, err);
}

/* Blocks of 2.7 billion parameters. Such paths were trained for a whole lease, and then what they
 * came to was refused for want of memory. */
static void
what_is_too_large_to_be_handed_in_is_no_experiment(void)
{
    static const char reset[] = "transfer: {path_state: reset}\n";
    struct dpc_error err;
    CU_ASSERT_EQUAL(parse(2, "", &err), DPC_OK);
    CU_ASSERT_EQUAL(parse(3, "", &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"levels\" make paths of 10741"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "transfer.path_state: reset"));
    CU_ASSERT_EQUAL(parse(3, reset, &err), DPC_OK);
    CU_ASSERT_EQUAL(parse(6, reset, &err), DPC_OK);
    CU_ASSERT_EQUAL(parse(7, reset, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"levels\" make a module of"));
}

static const struct dpc_test tests[] = {
    {"quickstart path has 824,448 parameters", quickstart_path_has_824448_parameters},
    {"flops count products and attention", flops_count_products_and_attention},
    {"tensors follow each other without a gap", tensors_follow_each_other_without_a_gap},
    {"shapes are outputs by inputs", shapes_are_outputs_by_inputs},
    {"initial weights have their deviations", initial_weights_have_their_deviations},
    {"initial weights: function of seed and level",
     initial_weights_are_a_function_of_seed_and_level},
    {"what is too large to be handed in is no experiment",
     what_is_too_large_to_be_handed_in_is_no_experiment},
};
DPC_TEST_MAIN("base/layout", tests)
