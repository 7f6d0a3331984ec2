/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole paths against PyTorch: tests/golden/make_golden.py wrote the file and says what is in it.
 * Run once per table, the reference included. The environment's DPC_GOLDEN_DIR is where the file is
 * on another machine than the one that compiled this. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "modules/adamw.h"
#include "tests/unit/card.h"
#include "tests/unit/gap.h"
#include "tests/unit/modules/model.h"

enum { DIM = 32, VOCAB = 32, CONTEXT = 16, BATCH = 4, STEPS = 10, FILE_BYTES_MAX = 300 * 1024 };
/* Relative to the largest value of a tensor. What is computed in bf16 keeps 8 bits a product; AdamW
 * turns a small gradient's rounded sign into a whole step, so that its moves are not compared. */
static const double tolerance_fp32 = 1e-4, tolerance_bf16 = 4e-2;

struct golden {
    uint8_t *bytes;
    size_t len;
    const char *prefix; /* "tied" or "untied" */
};

struct section_header {
    char name[24];
    uint32_t type, count;
};

static void
golden_load(struct golden *golden)
{
    char name[4096];
    const char *folder = getenv("DPC_GOLDEN_DIR");
    (void)snprintf(name, sizeof name, "%s/path.bin", folder ? folder : DPC_GOLDEN_DIR);
    FILE *file = fopen(name, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    golden->bytes = dpc_alloc(FILE_BYTES_MAX, 1);
    golden->len = fread(golden->bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    CU_ASSERT_FATAL(golden->len > 8 && memcmp(golden->bytes, "DPCGOLD1", 8) == 0);
}

/* The values of a section, which must have `count`. */
static const void *
section(const struct golden *golden, const char *name, size_t count)
{
    char full[sizeof(((struct section_header *)0)->name)] = {0};
    snprintf(full, sizeof full, "%s.%s", golden->prefix, name);
    for (size_t at = 8; at + sizeof(struct section_header) <= golden->len;) {
        struct section_header header;
        memcpy(&header, golden->bytes + at, sizeof header);
        at += sizeof header;
        if (strncmp(header.name, full, sizeof header.name) == 0) {
            CU_ASSERT_EQUAL_FATAL(header.count, count);
            return golden->bytes + at;
        }
        at += (size_t)header.count * 4;
    }
    CU_FAIL_FATAL("no such section in the golden file");
    return NULL;
}

static struct dpc_experiment
golden_experiment(bool tied)
{
    return (struct dpc_experiment){
        .name = "golden",
        .model = {.dim = DIM,
                  .heads = 4,
                  .ffn = 24,
                  .context = CONTEXT,
                  .vocab = VOCAB,
                  .tie_embeddings = tied,
                  .rope_base = 10000.0,
                  .norm_epsilon = 1e-5},
        .levels_count = 2,
        .levels = {{.name = "lower", .embedding = true, .blocks = 1, .modules = 2},
                   {.name = "upper", .blocks = 1, .head = true, .modules = 2}},
        .inner = {.lr = 1e-2,
                  .lr_end = 0.1,
                  .warmup = 3,
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.99,
                  .epsilon = 1e-8,
                  .clip = 1.5,
                  .batch = BATCH,
                  .steps = 5},
        .outer = {.rounds = 2},
        .warm_start = {.steps = 2},
    };
}

/* murmur3's finalizer. */
static uint32_t
hashed(uint32_t x)
{
    x += 0x9E3779B9u;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return x ^ x >> 16;
}

/* The weights that make_golden.py computes too, all exact in fp32. */
static void
fill_weights(struct dpc_path *path, const struct dpc_experiment *experiment)
{
    uint32_t n = 0;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        struct dpc_layout layout;
        dpc_layout_init(&layout, experiment, level);
        float *values = dpc_alloc(layout.floats_count, sizeof *values);
        for (uint32_t i = 0; i < layout.tensors_count; i++) {
            const struct dpc_tensor *tensor = &layout.tensors[i];
            for (size_t k = 0; k < (size_t)tensor->rows * tensor->cols; k++)
                values[tensor->offset + k] = (float)(hashed(n++) >> 16) / 65536.0f * 0.5f - 0.25f +
                                             (tensor->rows == 1 ? 1.0f : 0.0f);
        }
        dpc_path_write_module(path, level, values);
        dpc_free(values);
        dpc_layout_done(&layout);
    }
}

static double
difference(const float *got, const float *want, size_t count)
{
    return largest_gap(got, want, count) / largest_size(want, count);
}

static void
expect_close(const char *what, const struct dpc_ops *ops, const float *got, const float *want,
             size_t count)
{
    double gap = difference(got, want, count);
    bool coarse = ops->dtype == DPC_BF16 || strstr(ops->products, "tf32");
    double tolerance = coarse ? tolerance_bf16 : tolerance_fp32;
    if (!(gap <= tolerance))
        printf("\n    %s on %s+%s: %.3g", what, ops->name, ops->products, gap);
    CU_ASSERT(gap <= tolerance);
}

/* Tensor by tensor, so that a large one does not hide a small one. */
static void
expect_close_tensors(const char *what, const struct dpc_ops *ops,
                     const struct dpc_experiment *experiment, const float *got, const float *want)
{
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        struct dpc_layout layout;
        dpc_layout_init(&layout, experiment, level);
        for (uint32_t i = 0; i < layout.tensors_count; i++) {
            const struct dpc_tensor *tensor = &layout.tensors[i];
            char name[80];
            snprintf(name, sizeof name, "%s of %s", what, dpc_tensor_name(tensor->kind));
            expect_close(name, ops, got + tensor->offset, want + tensor->offset,
                         (size_t)tensor->rows * tensor->cols);
        }
        got += layout.floats_count;
        want += layout.floats_count;
        dpc_layout_done(&layout);
    }
}

static void
check_forward(const struct golden *golden, const struct dpc_ops *ops, struct dpc_path *path)
{
    const int32_t *tokens = section(golden, "tokens", STEPS * BATCH * CONTEXT);
    const int32_t *targets = section(golden, "targets", STEPS * BATCH * CONTEXT);
    const uint32_t *lengths = section(golden, "lengths", BATCH);
    double sums[BATCH];
    uint64_t counts[BATCH];
    float logits[VOCAB], features[BATCH * DIM], sums_fp32[BATCH];
    CU_ASSERT_EQUAL(dpc_path_score(path, tokens, targets, BATCH, CONTEXT, sums, counts), DPC_OK);
    for (int b = 0; b < BATCH; b++) {
        sums_fp32[b] = (float)sums[b];
        CU_ASSERT_EQUAL(counts[b], b == 0 ? 16 : 11);
    }
    expect_close("loss sums", ops, sums_fp32, section(golden, "loss_sums", BATCH), BATCH);
    CU_ASSERT_EQUAL(dpc_path_logits(path, tokens, CONTEXT, logits), DPC_OK);
    expect_close("logits", ops, logits, section(golden, "logits", VOCAB), VOCAB);
    CU_ASSERT_EQUAL(dpc_path_features(path, tokens, lengths, BATCH, CONTEXT, features), DPC_OK);
    expect_close("features", ops, features, section(golden, "features", BATCH * DIM), BATCH * DIM);
}

/* Ten steps of gradients, schedule, clipping and AdamW. */
static void
check_training(const struct golden *golden, const struct dpc_ops *ops,
               const struct dpc_experiment *experiment, struct dpc_path *path)
{
    size_t floats = dpc_path_floats(path);
    const int32_t *tokens = section(golden, "tokens", STEPS * BATCH * CONTEXT);
    const int32_t *targets = section(golden, "targets", STEPS * BATCH * CONTEXT);
    float means[STEPS], norms[STEPS], rates[STEPS];
    struct dpc_adamw *adamw = NULL;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_adamw_create(path, &adamw, &err), DPC_OK);
    float *moves = dpc_alloc(floats, sizeof *moves), *values = dpc_alloc(floats, sizeof *values);
    CU_ASSERT_EQUAL(dpc_path_read_params(path, moves), DPC_OK);
    for (uint32_t step = 0; step < STEPS; step++) {
        double loss, norm, lr = dpc_schedule_lr(experiment, step);
        uint64_t count;
        CU_ASSERT_EQUAL(dpc_path_backward(path, tokens + step * BATCH * CONTEXT,
                                          targets + step * BATCH * CONTEXT, BATCH, CONTEXT, &loss,
                                          &count),
                        DPC_OK);
        CU_ASSERT_EQUAL(dpc_path_read_grads(path, values), DPC_OK);
        if (step == 0)
            expect_close_tensors("gradient", ops, experiment, values,
                                 section(golden, "grads", floats));
        CU_ASSERT_EQUAL(dpc_adamw_step(adamw, path, lr, &norm), DPC_OK);
        means[step] = (float)(loss / (double)count);
        norms[step] = (float)norm;
        rates[step] = (float)lr;
    }
    CU_ASSERT_EQUAL(dpc_path_read_params(path, values), DPC_OK);
    for (size_t i = 0; i < floats; i++)
        moves[i] = values[i] - moves[i];
    expect_close("mean losses", ops, means, section(golden, "mean_losses", STEPS), STEPS);
    expect_close("norms", ops, norms, section(golden, "norms", STEPS), STEPS);
    expect_close("rates", ops, rates, section(golden, "rates", STEPS), STEPS);
    if (ops->dtype == DPC_FP32 && !strstr(ops->products, "tf32"))
        expect_close_tensors("ten steps", ops, experiment, moves, section(golden, "moves", floats));
    dpc_free(moves);
    dpc_free(values);
    dpc_adamw_destroy(adamw);
}

static void
check(const struct dpc_ops *ops, bool tied)
{
    struct golden golden = {.prefix = tied ? "tied" : "untied"};
    struct dpc_experiment experiment = golden_experiment(tied);
    struct dpc_path *path = NULL;
    struct dpc_error err;
    golden_load(&golden);
    struct dpc_path_options options = {.ops = ops, .batch_max = BATCH, .use = DPC_PATH_TRAIN};
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(&experiment, &options, &path, &err), DPC_OK);
    fill_weights(path, &experiment);
    check_forward(&golden, ops, path);
    check_training(&golden, ops, &experiment, path);
    dpc_path_destroy(path);
    dpc_free(golden.bytes);
}

#ifdef DPC_TEST_ON_CARD
static void
check_all(bool tied)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = test_card_table(i)); i++)
        check(ops, tied);
}
#else
static void
check_all(bool tied)
{
    const struct dpc_ops *ops;
    check(dpc_ops_reference(DPC_FP32), tied);
    check(dpc_ops_reference(DPC_BF16), tied);
    for (size_t set = 0; (ops = dpc_ops_cpu_at(set)); set++)
        check(ops, tied);
}
#endif

static void
tied_path_is_as_in_pytorch(void)
{
    check_all(true);
}

static void
untied_path_is_as_in_pytorch(void)
{
    check_all(false);
}

static const struct dpc_test tests[] = {
    {"tied path is as in PyTorch", tied_path_is_as_in_pytorch},
    {"untied path is as in PyTorch", untied_path_is_as_in_pytorch},
};
#ifdef DPC_TEST_ON_CARD
DPC_TEST_MAIN_ON_CARD("modules/golden on a card", tests)
#else
DPC_TEST_MAIN("modules/golden", tests)
#endif
