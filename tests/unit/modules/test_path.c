/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/path.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/gap.h"
#include "tests/unit/modules/model.h"

enum { BATCH = 4, LENGTH = 10, PREFIX = 3, COUNT = BATCH * LENGTH };

struct batch {
    int32_t tokens[COUNT], targets[COUNT];
};

static double
mean_loss(struct dpc_path *path, const struct batch *batch)
{
    double sums[BATCH], sum = 0;
    uint64_t counts[BATCH], count = 0;
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_score(path, batch->tokens, batch->targets, BATCH, LENGTH, sums, counts), DPC_OK);
    for (int b = 0; b < BATCH; b++) {
        sum += sums[b];
        count += counts[b];
    }
    return sum / (double)count;
}

/* Largest error over the gradients of one tensor, over the largest of them. */
static double
tensor_error(struct dpc_path *path, const struct batch *batch, float *values, const float *grads,
             size_t count)
{
    double error = 0, magnitude = 0;
    for (size_t i = 0; i < count; i += 1 + count / 40) {
        float before = values[i];
        values[i] = (float)((double)before + 5e-3);
        double up = mean_loss(path, batch), width = (double)values[i];
        values[i] = (float)((double)before - 5e-3);
        double down = mean_loss(path, batch);
        width -= (double)values[i];
        values[i] = before;
        error = larger_gap(error, fabs((up - down) / width - (double)grads[i]));
        magnitude = larger_gap(magnitude, fabs((double)grads[i]));
    }
    CU_ASSERT(magnitude > 0);
    return error / magnitude;
}

static void
check_gradients(const struct dpc_ops *ops, bool tied, uint32_t kv_heads)
{
    struct dpc_experiment experiment = small_experiment(tied);
    experiment.model.kv_heads = kv_heads;
    struct dpc_path *path = small_path(&experiment, ops, BATCH, DPC_PATH_TRAIN);
    struct batch batch;
    double loss_sum;
    uint64_t targets;
    small_batch(&experiment, BATCH, LENGTH, PREFIX, batch.tokens, batch.targets);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_backward(path, batch.tokens, batch.targets, BATCH, LENGTH, &loss_sum, &targets),
        DPC_OK);
    CU_ASSERT_EQUAL(targets, BATCH * (LENGTH - PREFIX));
    CU_ASSERT_DOUBLE_EQUAL(loss_sum / (double)targets, mean_loss(path, &batch), 1e-6);
    float *params = dpc_path_params(path), *grads = dpc_path_grads(path);
    for (uint32_t level = 0; level < experiment.levels_count; level++) {
        struct dpc_layout layout;
        dpc_layout_init(&layout, &experiment, level);
        for (uint32_t i = 0; i < layout.tensors_count; i++) {
            const struct dpc_tensor *tensor = &layout.tensors[i];
            double error =
                tensor_error(path, &batch, params + tensor->offset, grads + tensor->offset,
                             (size_t)tensor->rows * tensor->cols);
            if (!(error < 5e-3))
                printf("\n    %s of level %u on %s: error %.3g", dpc_tensor_name(tensor->kind),
                       level, ops->name, error);
            CU_ASSERT(error < 5e-3);
        }
        params += layout.floats_count;
        grads += layout.floats_count;
        dpc_layout_done(&layout);
    }
    dpc_path_destroy(path);
}

static void
gradients_are_difference_quotients(void)
{
    for (int tied = 0; tied < 2; tied++) {
        check_gradients(dpc_ops_reference(DPC_FP32), tied, 0);
        check_gradients(dpc_ops_cpu(DPC_FP32), tied, 0);
        check_gradients(dpc_ops_cpu(DPC_FP32), tied, 1);
    }
}

/* The arena is poisoned by other work first: what one call leaves behind must not reach the next.
 */
static void
calls_leave_nothing_behind(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_TRAIN);
    struct batch batch, other;
    double loss, loss_again, sums[BATCH];
    uint64_t targets, counts[BATCH];
    small_batch(&experiment, BATCH, LENGTH, PREFIX, batch.tokens, batch.targets);
    small_batch(&experiment, BATCH, LENGTH - 1, 0, other.tokens, other.targets);
    CU_ASSERT_EQUAL(
        dpc_path_backward(path, batch.tokens, batch.targets, BATCH, LENGTH, &loss, &targets), 0);
    size_t bytes = dpc_path_floats(path) * sizeof(float);
    float *first = dpc_alloc(bytes, 1);
    memcpy(first, dpc_path_grads(path), bytes);
    CU_ASSERT_EQUAL(dpc_path_backward(path, other.tokens, other.targets, BATCH, LENGTH - 1,
                                      &loss_again, &targets),
                    0);
    CU_ASSERT_EQUAL(dpc_path_score(path, other.tokens, other.targets, 2, LENGTH - 1, sums, counts),
                    0);
    CU_ASSERT(memcmp(first, dpc_path_grads(path), bytes) != 0);
    CU_ASSERT_EQUAL(
        dpc_path_backward(path, batch.tokens, batch.targets, BATCH, LENGTH, &loss_again, &targets),
        0);
    CU_ASSERT(memcmp(first, dpc_path_grads(path), bytes) == 0);
    CU_ASSERT(memcmp(&loss, &loss_again, sizeof loss) == 0);
    dpc_free(first);
    dpc_path_destroy(path);
}

/* A model of several tiles and slices, and what it makes of a batch. */
enum { WIDE_BATCH = 40, WIDE_LENGTH = 61 };

static struct dpc_experiment
wide_experiment(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    experiment.model.dim = 96;
    experiment.model.heads = 6;
    experiment.model.kv_heads = 3;
    experiment.model.ffn = 200;
    experiment.model.context = 64;
    experiment.model.vocab = 300;
    experiment.model.init_std = 0.1;
    return experiment;
}

/* Loss and gradients; release the latter with dpc_free. */
static float *
wide_gradients(const struct dpc_ops *ops, uint32_t threads, bool recompute, double *ret_loss)
{
    struct dpc_experiment experiment = wide_experiment();
    struct dpc_pool *pool = dpc_pool_create(threads);
    struct dpc_path_options options = {.ops = ops,
                                       .pool = pool,
                                       .batch_max = WIDE_BATCH,
                                       .use = DPC_PATH_TRAIN,
                                       .recompute = recompute};
    struct dpc_path *path = small_path_with(&experiment, &options);
    size_t bytes = 0, floats = dpc_path_floats(path);
    struct dpc_error err;
    int32_t *tokens = dpc_alloc(WIDE_BATCH * WIDE_LENGTH, sizeof *tokens);
    int32_t *targets = dpc_alloc(WIDE_BATCH * WIDE_LENGTH, sizeof *targets);
    uint64_t count;
    CU_ASSERT_EQUAL(dpc_path_plan(&experiment, &options, &bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(bytes, dpc_path_bytes(path));
    small_batch(&experiment, WIDE_BATCH, WIDE_LENGTH, PREFIX, tokens, targets);
    for (int turn = 0; turn < 2; turn++)
        CU_ASSERT_EQUAL(
            dpc_path_backward(path, tokens, targets, WIDE_BATCH, WIDE_LENGTH, ret_loss, &count),
            DPC_OK);
    *ret_loss /= (double)count;
    float *grads = dpc_alloc(floats, sizeof *grads);
    memcpy(grads, dpc_path_grads(path), floats * sizeof *grads);
    dpc_free(tokens);
    dpc_free(targets);
    dpc_path_destroy(path);
    dpc_pool_destroy(pool);
    return grads;
}

static void
neither_threads_nor_recomputation_change_a_bit(void)
{
    struct dpc_experiment experiment = wide_experiment();
    size_t bytes = dpc_layout_path_floats(&experiment) * sizeof(float);
    const struct dpc_ops *ops;
    for (size_t set = 0; (ops = dpc_ops_cpu_at(set)); set++) {
        double want_loss, loss;
        float *want = wide_gradients(ops, 1, false, &want_loss);
        for (int i = 1; i < 6; i++) {
            float *got = wide_gradients(ops, 1 + (uint32_t)i / 2, i % 2, &loss);
            CU_ASSERT(memcmp(got, want, bytes) == 0);
            CU_ASSERT(memcmp(&loss, &want_loss, sizeof loss) == 0);
            dpc_free(got);
        }
        dpc_free(want);
    }
}

static void
recomputation_takes_less_memory(void)
{
    struct dpc_experiment experiment = wide_experiment();
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = WIDE_BATCH, .use = DPC_PATH_TRAIN};
    struct dpc_error err;
    size_t kept = 0, again = 0;
    CU_ASSERT_EQUAL(dpc_path_plan(&experiment, &options, &kept, &err), DPC_OK);
    options.recompute = true;
    CU_ASSERT_EQUAL(dpc_path_plan(&experiment, &options, &again, &err), DPC_OK);
    CU_ASSERT(again < kept * 4 / 5);
}

/* bf16 has 8 bits: products of a whole network agree with fp32 to some of these. */
static void
bf16_is_near_fp32(void)
{
    struct dpc_experiment experiment = wide_experiment();
    size_t floats = dpc_layout_path_floats(&experiment);
    const struct dpc_ops *tables[] = {dpc_ops_reference(DPC_BF16), dpc_ops_cpu(DPC_BF16)};
    double loss32, loss16;
    float *fp32 = wide_gradients(dpc_ops_cpu(DPC_FP32), 2, false, &loss32);
    for (int t = 0; t < 2 && tables[t]; t++) {
        float *bf16 = wide_gradients(tables[t], 2, false, &loss16);
        double error = 0, size = 0, dot = 0, size16 = 0;
        for (size_t i = 0; i < floats; i++) {
            double a = (double)fp32[i], b = (double)bf16[i];
            error += (a - b) * (a - b);
            size += a * a;
            size16 += b * b;
            dot += a * b;
        }
        CU_ASSERT_DOUBLE_EQUAL(loss16, loss32, 2e-3 * loss32);
        CU_ASSERT(error > 0);
        CU_ASSERT(sqrt(error / size) < 0.03);
        CU_ASSERT(dot / sqrt(size * size16) > 0.999);
        dpc_free(bf16);
    }
    dpc_free(fp32);
}

/* A batch larger than a slice: the mean over all is the weighted mean over its sequences. */
static void
slices_add_up(void)
{
    enum { MANY = 1200 }; /* of 10 positions: six slices */
    struct dpc_experiment experiment = small_experiment(false);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), MANY, DPC_PATH_TRAIN);
    int32_t *tokens = dpc_alloc(MANY * LENGTH, sizeof *tokens);
    int32_t *targets = dpc_alloc(MANY * LENGTH, sizeof *targets);
    double *sum = dpc_alloc(dpc_path_floats(path), sizeof *sum), loss, total = 0;
    uint64_t count, total_count;
    small_batch(&experiment, MANY, LENGTH, PREFIX, tokens, targets);
    for (int i = 0; i < 5 * LENGTH; i++)
        targets[i] = -1; /* a sequence with no target at all, at the start of a slice */
    for (uint32_t b = 0; b < MANY; b += 60) {
        CU_ASSERT_EQUAL(dpc_path_backward(path, tokens + b * LENGTH, targets + b * LENGTH, 60,
                                          LENGTH, &loss, &count),
                        0);
        total += loss;
        for (size_t i = 0; i < dpc_path_floats(path); i++)
            sum[i] += (double)dpc_path_grads(path)[i] * (double)count;
    }
    CU_ASSERT_EQUAL(dpc_path_backward(path, tokens, targets, MANY, LENGTH, &loss, &total_count), 0);
    CU_ASSERT_EQUAL(total_count, (MANY - 5) * (LENGTH - PREFIX));
    CU_ASSERT_DOUBLE_EQUAL(loss, total, 1e-6 * total);
    for (size_t i = 0; i < dpc_path_floats(path); i++)
        CU_ASSERT_DOUBLE_EQUAL((double)dpc_path_grads(path)[i], sum[i] / (double)total_count, 2e-6);
    dpc_free(tokens);
    dpc_free(targets);
    dpc_free(sum);
    dpc_path_destroy(path);
}

static void
nothing_unmasked_gives_zero(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_TRAIN);
    struct batch batch;
    double loss = 1;
    uint64_t targets = 1;
    small_batch(&experiment, BATCH, LENGTH, LENGTH, batch.tokens, batch.targets);
    dpc_path_grads(path)[0] = 1;
    CU_ASSERT_EQUAL(
        dpc_path_backward(path, batch.tokens, batch.targets, BATCH, LENGTH, &loss, &targets), 0);
    CU_ASSERT_EQUAL(loss, 0);
    CU_ASSERT_EQUAL(targets, 0);
    CU_ASSERT_EQUAL(dpc_path_grads(path)[0], 0);
    dpc_path_destroy(path);
}

/* What a token does not see must not change what is said of it. */
static void
later_tokens_change_nothing(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_INFER);
    struct batch batch;
    uint32_t lengths[BATCH] = {4, 4, 4, 4};
    float before[BATCH * 16], after[BATCH * 16];
    small_batch(&experiment, BATCH, LENGTH, 0, batch.tokens, batch.targets);
    CU_ASSERT_EQUAL(dpc_path_features(path, batch.tokens, lengths, BATCH, LENGTH, before), 0);
    for (int b = 0; b < BATCH; b++)
        batch.tokens[b * LENGTH + 4] ^= 1;
    CU_ASSERT_EQUAL(dpc_path_features(path, batch.tokens, lengths, BATCH, LENGTH, after), 0);
    CU_ASSERT(memcmp(before, after, sizeof before) == 0);
    for (int b = 0; b < BATCH; b++)
        batch.tokens[b * LENGTH + 3] ^= 1;
    CU_ASSERT_EQUAL(dpc_path_features(path, batch.tokens, lengths, BATCH, LENGTH, after), 0);
    CU_ASSERT(memcmp(before, after, sizeof before) != 0);
    dpc_path_destroy(path);
}

/* Logits against the score of the same next token; and a path for inference against one that
 * trains. */
static void
score_and_logits_agree(void)
{
    struct dpc_experiment experiment = small_experiment(false);
    struct dpc_path *infer = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_INFER);
    struct dpc_path *train = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_TRAIN);
    CU_ASSERT(dpc_path_bytes(infer) < dpc_path_bytes(train));
    CU_ASSERT_PTR_NULL(dpc_path_grads(infer));
    struct batch batch;
    float logits[11];
    double sums[BATCH], sums_train[BATCH], total = 0;
    uint64_t counts[BATCH];
    small_batch(&experiment, BATCH, LENGTH, LENGTH - 1, batch.tokens, batch.targets);
    CU_ASSERT_EQUAL(dpc_path_score(infer, batch.tokens, batch.targets, BATCH, LENGTH, sums, counts),
                    0);
    CU_ASSERT_EQUAL(
        dpc_path_score(train, batch.tokens, batch.targets, BATCH, LENGTH, sums_train, counts), 0);
    for (int b = 0; b < BATCH; b++) {
        CU_ASSERT_EQUAL(sums[b], sums_train[b]);
        CU_ASSERT_EQUAL(counts[b], 1);
    }
    CU_ASSERT_EQUAL(dpc_path_logits(infer, batch.tokens + LENGTH, LENGTH, logits), 0);
    for (int v = 0; v < 11; v++)
        total += exp((double)logits[v]);
    double loss = log(total) - (double)logits[batch.targets[2 * LENGTH - 1]];
    CU_ASSERT_DOUBLE_EQUAL(loss, sums[1], 1e-5);
    dpc_path_destroy(infer);
    dpc_path_destroy(train);
}

/* Five positions a piece: sums of pieces are the whole, and each piece's logits are those behind
 * all that is before its end. */
static void
pieces_are_parts_of_the_whole(void)
{
    enum { PIECE = 5, PIECES = LENGTH / PIECE, VOCAB = 11 };
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_INFER);
    struct batch batch;
    double sums[BATCH], pieces[BATCH * PIECES];
    uint64_t counts[BATCH], pieces_counts[BATCH * PIECES];
    float logits[BATCH * PIECES * VOCAB], one[VOCAB];
    small_batch(&experiment, BATCH, LENGTH, PREFIX, batch.tokens, batch.targets);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_score(path, batch.tokens, batch.targets, BATCH, LENGTH, sums, counts), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_path_score_pieces(path, batch.tokens, batch.targets, BATCH, LENGTH,
                                                PIECE, pieces, pieces_counts),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_path_logits_pieces(path, batch.tokens, BATCH, LENGTH, PIECE, logits),
                          DPC_OK);
    for (int b = 0; b < BATCH; b++) {
        CU_ASSERT_DOUBLE_EQUAL(pieces[2 * b] + pieces[2 * b + 1], sums[b], 1e-9);
        CU_ASSERT_EQUAL(pieces_counts[2 * b] + pieces_counts[2 * b + 1], counts[b]);
        for (int piece = 0; piece < PIECES; piece++) {
            CU_ASSERT_EQUAL_FATAL(
                dpc_path_logits(path, batch.tokens + b * LENGTH, (piece + 1) * PIECE, one), DPC_OK);
            for (int v = 0; v < VOCAB; v++)
                CU_ASSERT_DOUBLE_EQUAL(logits[(b * PIECES + piece) * VOCAB + v], one[v], 1e-5);
        }
    }
    CU_ASSERT_EQUAL(dpc_path_score_pieces(path, batch.tokens, batch.targets, BATCH, LENGTH, 3,
                                          pieces, pieces_counts),
                    DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_path_logits_pieces(path, batch.tokens, BATCH, LENGTH, 0, logits),
                    DPC_EINVAL);
    dpc_path_destroy(path);
}

static void
bad_calls_are_refused(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_TRAIN);
    struct dpc_path *infer = small_path(&experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_INFER);
    struct batch batch;
    double loss, sums[BATCH];
    uint64_t targets, counts[BATCH];
    uint32_t lengths[BATCH] = {1, 2, 0, 1};
    float features[BATCH * 16], logits[11];
    small_batch(&experiment, BATCH, LENGTH, 0, batch.tokens, batch.targets);
    const struct {
        uint32_t batch, length;
        int32_t token, target;
    } rows[] = {{0, LENGTH, 0, 0},     {BATCH + 1, 1, 0, 0},   {BATCH, 0, 0, 0},
                {1, 13, 0, 0},         {BATCH, LENGTH, 11, 0}, {BATCH, LENGTH, -1, 0},
                {BATCH, LENGTH, 0, 11}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        batch.tokens[0] = rows[i].token;
        batch.targets[0] = rows[i].target;
        CU_ASSERT_EQUAL(dpc_path_backward(path, batch.tokens, batch.targets, rows[i].batch,
                                          rows[i].length, &loss, &targets),
                        DPC_EINVAL);
        CU_ASSERT_EQUAL(dpc_path_score(path, batch.tokens, batch.targets, rows[i].batch,
                                       rows[i].length, sums, counts),
                        DPC_EINVAL);
    }
    batch.tokens[0] = batch.targets[0] = 0;
    CU_ASSERT_EQUAL(
        dpc_path_backward(infer, batch.tokens, batch.targets, BATCH, LENGTH, &loss, &targets),
        DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_path_features(path, batch.tokens, lengths, BATCH, LENGTH, features),
                    DPC_EINVAL);
    lengths[2] = LENGTH + 1;
    CU_ASSERT_EQUAL(dpc_path_features(path, batch.tokens, lengths, BATCH, LENGTH, features),
                    DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_path_logits(path, batch.tokens, 13, logits), DPC_EINVAL);
    dpc_path_destroy(path);
    dpc_path_destroy(infer);
}

static void
expect_refused(const struct dpc_experiment *experiment, uint32_t batch_max)
{
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = batch_max, .use = DPC_PATH_TRAIN};
    struct dpc_path *path = NULL;
    struct dpc_error err;
    size_t bytes = 0;
    CU_ASSERT_EQUAL(dpc_path_create(experiment, &options, &path, &err), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_path_plan(experiment, &options, &bytes, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NULL(path);
}

static void
bad_shapes_are_refused(void)
{
    struct dpc_experiment good = small_experiment(true), bad;
    bad = good;
    bad.levels[0].embedding = false;
    expect_refused(&bad, 1);
    bad = good;
    bad.levels[1].head = false;
    expect_refused(&bad, 1);
    bad = good;
    bad.model.heads = 3;
    expect_refused(&bad, 1);
    bad = good;
    bad.model.heads = 4;
    bad.model.kv_heads = 3;
    expect_refused(&bad, 1);
    expect_refused(&good, 0);
    CU_ASSERT_PTR_NULL(dpc_path_destroy(NULL));
}

static void
modules_stand_in_level_order(void)
{
    struct dpc_experiment experiment = small_experiment(false);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    size_t lower = dpc_layout_module_floats(&experiment, 0);
    CU_ASSERT_EQUAL(dpc_path_module_floats(path, 0), lower);
    CU_ASSERT_PTR_EQUAL(dpc_path_module_params(path, 0), dpc_path_params(path));
    CU_ASSERT_PTR_EQUAL(dpc_path_module_params(path, 1), dpc_path_params(path) + lower);
    CU_ASSERT_EQUAL(dpc_path_floats(path), lower + dpc_path_module_floats(path, 1));
    CU_ASSERT_EQUAL(dpc_path_floats(path), dpc_layout_path_floats(&experiment));
    dpc_path_destroy(path);
}

static const struct dpc_test tests[] = {
    {"gradients are difference quotients", gradients_are_difference_quotients},
    {"calls leave nothing behind", calls_leave_nothing_behind},
    {"neither threads nor recomputation change a bit",
     neither_threads_nor_recomputation_change_a_bit},
    {"recomputation takes less memory", recomputation_takes_less_memory},
    {"bf16 is near fp32", bf16_is_near_fp32},
    {"slices add up", slices_add_up},
    {"nothing unmasked gives zero", nothing_unmasked_gives_zero},
    {"later tokens change nothing", later_tokens_change_nothing},
    {"score and logits agree", score_and_logits_agree},
    {"pieces are parts of the whole", pieces_are_parts_of_the_whole},
    {"bad calls are refused", bad_calls_are_refused},
    {"bad shapes are refused", bad_shapes_are_refused},
    {"modules stand in level order", modules_stand_in_level_order},
};
DPC_TEST_MAIN("modules/path", tests)
