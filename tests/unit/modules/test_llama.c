/* SPDX-License-Identifier: Apache-2.0
 *
 * A model of others in our arithmetic: tests/golden/llama.py wrote the folder, with its logits in
 * PyTorch. Heads are grouped, and the weights stand in bf16. */
#include <string.h>

#include "base/imported.h"
#include "base/safetensors.h"
#include "tests/unit/gap.h"
#include "tests/unit/modules/model.h"

enum { VOCAB = 64, CONTEXT = 32 };
static const double tolerance = 2e-6; /* of the largest logit */

static const char folder[] = DPC_GOLDEN_DIR "/llama",
                  logits_file[] = DPC_GOLDEN_DIR "/llama/logits.safetensors";

static struct dpc_experiment
golden_experiment(void)
{
    return (struct dpc_experiment){
        .name = "golden",
        .model = {.dim = 32,
                  .heads = 4,
                  .kv_heads = 2,
                  .ffn = 24,
                  .context = CONTEXT,
                  .vocab = VOCAB,
                  .rope_base = 10000.0,
                  .norm_epsilon = 1e-5},
        .levels_count = 2,
        .levels = {{.name = "lower", .embedding = true, .blocks = 2, .modules = 2},
                   {.name = "upper", .blocks = 1, .head = true, .modules = 2}},
    };
}

static void
load(const struct dpc_experiment *experiment, struct dpc_path *path)
{
    struct dpc_imported *imported = NULL;
    struct dpc_error err = {0};
    int code = dpc_imported_open(&dpc_vfs_posix, folder, experiment, &imported, &err);
    if (code != DPC_OK)
        fprintf(stderr, "\n%s\n", err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        float *values = dpc_alloc(dpc_layout_module_floats(experiment, level), sizeof *values);
        CU_ASSERT_EQUAL_FATAL(dpc_imported_read(imported, level, values, &err), DPC_OK);
        dpc_path_write_module(path, level, values);
        dpc_free(values);
    }
    dpc_imported_close(imported);
}

static void
expect_logits(struct dpc_path *path, const struct dpc_safetensors *golden, uint32_t length)
{
    int32_t tokens[CONTEXT];
    float want[VOCAB], got[VOCAB];
    struct dpc_error err;
    char name[16];
    (void)snprintf(name, sizeof name, "after.%u", length);
    for (uint32_t i = 0; i < length; i++)
        tokens[i] = (int32_t)(i * 37 % VOCAB);
    const struct dpc_safetensor *tensor = dpc_safetensors_find(golden, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    CU_ASSERT_EQUAL_FATAL(dpc_safetensor_values(tensor), VOCAB);
    CU_ASSERT_EQUAL_FATAL(dpc_safetensors_read(golden, tensor, want, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_path_logits(path, tokens, length, got), DPC_OK);
    double gap = largest_gap(got, want, VOCAB), largest = largest_size(want, VOCAB);
    printf("%s: %.2g of the largest logit off ", name, gap / largest);
    CU_ASSERT(gap <= tolerance * largest);
}

static void
expect_golden(const struct dpc_ops *ops)
{
    static const uint32_t lengths[] = {1, 7, 32};
    struct dpc_experiment experiment = golden_experiment();
    struct dpc_path_options options = {.ops = ops, .batch_max = 1, .use = DPC_PATH_INFER};
    struct dpc_path *path = NULL;
    struct dpc_safetensors *golden = NULL;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(&experiment, &options, &path, &err), DPC_OK);
    load(&experiment, path);
    CU_ASSERT_EQUAL_FATAL(dpc_safetensors_open(&dpc_vfs_posix, logits_file, &golden, &err), DPC_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        expect_logits(path, golden, lengths[i]);
    dpc_safetensors_close(golden);
    dpc_path_destroy(path);
}

static void
the_fast_kernels_agree_with_pytorch(void)
{
    expect_golden(dpc_ops_cpu(DPC_FP32));
}

static void
the_reference_agrees_with_pytorch(void)
{
    expect_golden(dpc_ops_reference(DPC_FP32));
}

static const struct dpc_test tests[] = {
    {"the fast kernels agree with PyTorch", the_fast_kernels_agree_with_pytorch},
    {"the reference agrees with PyTorch", the_reference_agrees_with_pytorch},
};
DPC_TEST_MAIN("modules/llama", tests)
