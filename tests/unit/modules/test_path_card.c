/* SPDX-License-Identifier: Apache-2.0
 * Whole paths on a card beside the same paths on the CPU. */
#include <string.h>

#include "base/alloc.h"
#include "modules/adamw.h"
#include "modules/generate.h"
#include "modules/trial.h"
#include "tests/unit/card.h"
#include "tests/unit/modules/model.h"

enum { STEPS = 4 };

/* What is run (with DPC_TEST_SMALL in the environment the smallest alone are trained): shapes that
 * make one chunk and several, shared keys, lengths that need padding. */
struct setup {
    uint32_t dim, heads, kv_heads, ffn, context, vocab, batch, length, prefix;
    bool tied;
};
static const struct setup setups[] = {
    {16, 2, 0, 24, 12, 11, 4, 10, 3, true},        {96, 6, 3, 200, 64, 300, 40, 61, 3, false},
    {128, 2, 2, 344, 256, 256, 12, 256, 64, true}, {72, 3, 1, 40, 100, 77, 30, 99, 0, true},
    {18, 3, 1, 6, 12, 10, 4, 10, 3, true}, /* nothing begins where a vector of 16 bytes does */
};

/* The one with several chunks and shared keys. */
static struct setup
middle(void)
{
    struct setup setup = setups[1];
    if (getenv("DPC_TEST_SMALL")) {
        setup.batch = 2;
        setup.length = 21;
    }
    return setup;
}

struct run {
    struct dpc_experiment experiment;
    struct setup setup;
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    int32_t *tokens, *targets;
    size_t floats;
};

static void
run_init(struct run *run, const struct dpc_ops *ops, struct setup setup, bool recompute)
{
    struct dpc_error err;
    *run = (struct run){.experiment = small_experiment(setup.tied), .setup = setup};
    run->experiment.model.dim = setup.dim;
    run->experiment.model.heads = setup.heads;
    run->experiment.model.kv_heads = setup.kv_heads;
    run->experiment.model.ffn = setup.ffn;
    run->experiment.model.context = setup.context;
    run->experiment.model.vocab = setup.vocab;
    run->experiment.model.init_std = setup.dim > 16 ? 0.08 : 0.3;
    run->path = small_path_with(
        &run->experiment,
        &(struct dpc_path_options){
            .ops = ops, .batch_max = setup.batch, .use = DPC_PATH_TRAIN, .recompute = recompute});
    run->floats = dpc_path_floats(run->path);
    CU_ASSERT_EQUAL_FATAL(dpc_adamw_create(run->path, &run->adamw, &err), DPC_OK);
    size_t count = (size_t)setup.batch * setup.length;
    run->tokens = dpc_alloc(count, sizeof *run->tokens);
    run->targets = dpc_alloc(count, sizeof *run->targets);
    small_batch(&run->experiment, setup.batch, setup.length, setup.prefix, run->tokens,
                run->targets);
}

static void
run_done(struct run *run)
{
    dpc_free(run->tokens);
    dpc_free(run->targets);
    dpc_adamw_destroy(run->adamw);
    dpc_path_destroy(run->path);
}

/* Mean loss; the gradients stay in the path. */
static double
gradients(struct run *run)
{
    double sum;
    uint64_t count;
    CU_ASSERT_EQUAL(dpc_path_backward(run->path, run->tokens, run->targets, run->setup.batch,
                                      run->setup.length, &sum, &count),
                    DPC_OK);
    CU_ASSERT_EQUAL(count, run->setup.batch * (run->setup.length - run->setup.prefix));
    return sum / (double)count;
}

static float *
read_grads(struct run *run)
{
    float *values = dpc_alloc(run->floats, sizeof *values);
    CU_ASSERT_EQUAL(dpc_path_read_grads(run->path, values), DPC_OK);
    return values;
}

static float *
read_params(struct run *run)
{
    float *values = dpc_alloc(run->floats, sizeof *values);
    CU_ASSERT_EQUAL(dpc_path_read_params(run->path, values), DPC_OK);
    return values;
}

/* The limits: fp32 in another order of sums; TF32 and bf16 in their digits. Cards may cut operands
 * off at TF32's digits instead of rounding: up to 4.4e-3 where gradients have few terms. */
static double
limit_of(const struct dpc_ops *ops)
{
    if (ops->dtype == DPC_BF16)
        return 0.02;
    return strstr(ops->products, "tf32") ? 8e-3 : 1e-5;
}

static void
expect_near(const char *what, const struct dpc_ops *ops, double got, double limit)
{
    if (!(got <= limit))
        printf("\n    %s on %s+%s: off by %.3g", what, ops->name, ops->products, got);
    CU_ASSERT(got <= limit);
}

static void
check_training(const struct dpc_ops *ops, struct setup setup)
{
    struct run card, cpu;
    double norm, norm_cpu;
    run_init(&card, ops, setup, false);
    run_init(&cpu, dpc_ops_reference(ops->dtype), setup, false);
    for (int step = 0; step < STEPS; step++) {
        double loss = gradients(&card), want = gradients(&cpu);
        expect_near("loss", ops, fabs(loss - want) / want, limit_of(ops));
        if (step == 0) {
            float *got = read_grads(&card), *grads = read_grads(&cpu);
            expect_near("gradients", ops, dpc_trial_distance(got, grads, card.floats),
                        limit_of(ops));
            dpc_free(got);
            dpc_free(grads);
        }
        CU_ASSERT_EQUAL(dpc_adamw_step(card.adamw, card.path, 1e-3, &norm), DPC_OK);
        CU_ASSERT_EQUAL(dpc_adamw_step(cpu.adamw, cpu.path, 1e-3, &norm_cpu), DPC_OK);
        expect_near("norm", ops, fabs(norm - norm_cpu) / norm_cpu, 3 * limit_of(ops));
    }
    float *got = read_params(&card), *want = read_params(&cpu);
    expect_near("trained parameters", ops, dpc_trial_distance(got, want, card.floats),
                limit_of(ops));
    dpc_free(got);
    dpc_free(want);
    run_done(&card);
    run_done(&cpu);
}

static void
training_agrees_with_the_reference(void)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = test_card_table(i)); i++) {
        for (size_t k = 0; k < sizeof setups / sizeof *setups; k++) {
            if (setups[k].dim <= 18 || !getenv("DPC_TEST_SMALL"))
                check_training(ops, setups[k]);
        }
    }
}

/* Whatever ran between, and with activations computed again. */
static void
the_same_batch_gives_the_same_bits(void)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = test_card_table(i)); i++) {
        struct run first, again;
        run_init(&first, ops, middle(), false);
        run_init(&again, ops, middle(), true);
        double loss = gradients(&first), loss_again = gradients(&again), sums[8];
        uint64_t counts[8];
        float *grads = read_grads(&first), *grads_again = read_grads(&again);
        CU_ASSERT(memcmp(grads, grads_again, first.floats * sizeof *grads) == 0);
        CU_ASSERT(loss == loss_again);
        CU_ASSERT_EQUAL(
            dpc_path_score(first.path, first.tokens, first.targets, 2, 17, sums, counts), DPC_OK);
        CU_ASSERT(gradients(&first) == loss);
        dpc_free(grads_again);
        grads_again = read_grads(&first);
        CU_ASSERT(memcmp(grads, grads_again, first.floats * sizeof *grads) == 0);
        dpc_free(grads);
        dpc_free(grads_again);
        run_done(&first);
        run_done(&again);
    }
}

static void
reading_agrees_with_the_reference(void)
{
    enum { DIM = 96, VOCAB = 300, BATCH_MAX = 40 };
    const struct dpc_ops *ops;
    const uint32_t batch = middle().batch, length = middle().length;
    for (size_t i = 0; (ops = test_card_table(i)); i++) {
        static float features[2][BATCH_MAX * DIM], logits[2][VOCAB], sums[2][BATCH_MAX];
        for (int k = 0; k < 2; k++) {
            struct run run;
            uint32_t lengths[BATCH_MAX];
            double wide[BATCH_MAX];
            uint64_t counts[BATCH_MAX];
            run_init(&run, k == 0 ? ops : dpc_ops_reference(ops->dtype), middle(), false);
            for (uint32_t b = 0; b < batch; b++)
                lengths[b] = 1 + b;
            CU_ASSERT_EQUAL(
                dpc_path_features(run.path, run.tokens, lengths, batch, length, features[k]),
                DPC_OK);
            CU_ASSERT_EQUAL(dpc_path_logits(run.path, run.tokens, 20, logits[k]), DPC_OK);
            CU_ASSERT_EQUAL(
                dpc_path_score(run.path, run.tokens, run.targets, batch, length, wide, counts),
                DPC_OK);
            for (uint32_t b = 0; b < batch; b++)
                sums[k][b] = (float)wide[b];
            run_done(&run);
        }
        expect_near("features", ops, dpc_trial_distance(features[0], features[1], batch * DIM),
                    limit_of(ops));
        expect_near("logits", ops, dpc_trial_distance(logits[0], logits[1], VOCAB), limit_of(ops));
        expect_near("scores", ops, dpc_trial_distance(sums[0], sums[1], batch), limit_of(ops));
    }
}

/* Token by token, with kept keys: the same as whole passes over the window. */
static void
a_text_is_written(void)
{
    enum { COUNT_MAX = 40, VOCAB = 300, PROMPT = 7 };
    const uint32_t count = getenv("DPC_TEST_SMALL") ? 8 : COUNT_MAX;
    struct run run;
    int32_t text[PROMPT + COUNT_MAX];
    float logits[VOCAB];
    run_init(&run, test_card_table(0), middle(), false);
    memcpy(text, run.tokens, PROMPT * sizeof *text);
    CU_ASSERT_EQUAL(dpc_generate(run.path, text, PROMPT, count, 0.0, 0, 1, text + PROMPT), DPC_OK);
    for (uint32_t i = 0; i < count; i++) {
        int32_t best = 0;
        CU_ASSERT_EQUAL(dpc_path_logits(run.path, text, PROMPT + i, logits), DPC_OK);
        for (int32_t v = 1; v < VOCAB; v++)
            best = logits[v] > logits[best] ? v : best;
        CU_ASSERT_EQUAL(text[PROMPT + i], best);
    }
    run_done(&run);
}

static void
a_state_moves_between_card_and_cpu(void)
{
    struct run card, cpu;
    struct dpc_buf there, back;
    struct dpc_error err;
    double norm;
    dpc_buf_init(&there, 0);
    dpc_buf_init(&back, 0);
    run_init(&card, test_card_table(0), middle(), false);
    run_init(&cpu, dpc_ops_cpu(DPC_FP32), middle(), false);
    (void)gradients(&card);
    CU_ASSERT_EQUAL(dpc_adamw_step(card.adamw, card.path, 1e-3, &norm), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_write(card.adamw, &there), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_read(cpu.adamw, there.data, there.len, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_write(cpu.adamw, &back), DPC_OK);
    CU_ASSERT(there.len == back.len && memcmp(there.data, back.data, there.len) == 0);
    float *params = read_params(&card), *moved = dpc_alloc(card.floats, sizeof *moved);
    size_t upper = dpc_path_module_floats(card.path, 0);
    memcpy(moved, params, card.floats * sizeof *moved);
    CU_ASSERT_EQUAL(dpc_path_subtract_module(card.path, 1, moved + upper), DPC_OK);
    for (size_t i = upper; i < card.floats; i++)
        CU_ASSERT_EQUAL_FATAL(moved[i], 0);
    dpc_free(params);
    dpc_free(moved);
    dpc_buf_done(&there);
    dpc_buf_done(&back);
    run_done(&card);
    run_done(&cpu);
}

/* What a card encodes is what the host would have, of the same difference. */
static void
check_encoding(struct setup setup)
{
    struct run run;
    run_init(&run, test_card_table(0), setup, false);
    float *params = read_params(&run), *received = dpc_alloc(run.floats, sizeof *received);
    float *difference = dpc_alloc(run.floats, sizeof *difference);
    size_t upper = dpc_path_module_floats(run.path, 0), count = run.floats - upper;
    for (size_t i = 0; i < run.floats; i++) {
        received[i] = params[i] + 1e-3f * (float)((int)(i * 7919 % 201) - 100);
        difference[i] = received[i] - params[i];
    }
    for (enum dpc_codec codec = DPC_CODEC_FP32; codec < DPC_CODECS_COUNT; codec++) {
        size_t len = dpc_codec_bytes(codec, count);
        uint8_t *card = dpc_alloc(len, 1), *host = dpc_alloc(len, 1);
        dpc_codec_encode(codec, difference + upper, count, host);
        CU_ASSERT_EQUAL(dpc_path_encode_module(run.path, 1, received + upper, codec, card), DPC_OK);
        CU_ASSERT(memcmp(card, host, len) == 0);
        dpc_free(card);
        dpc_free(host);
    }
    dpc_free(params);
    dpc_free(received);
    dpc_free(difference);
    run_done(&run);
}

/* Also of a path that is smaller than two blocks of a form. */
static void
a_delta_is_encoded_on_the_card(void)
{
    static const struct setup least = {2, 1, 1, 1, 2, 2, 1, 2, 1, true};
    check_encoding(middle());
    check_encoding(least);
}

static void
it_passes_its_trial(void)
{
    struct dpc_error err = {0};
    double off = -1;
    int code = dpc_trial_card(test_card(), &off, &err);
    printf("\n    off by %.2g %s", off, err.text);
    CU_ASSERT_EQUAL(code, DPC_OK);
    CU_ASSERT(off >= 0);
}

static void
a_gradient_that_is_not_finite_is_seen(void)
{
    struct run run;
    double norm, sum;
    uint64_t count;
    run_init(&run, test_card_table(0), setups[0], false);
    float *params = read_params(&run);
    params[run.floats / 2] = NAN;
    dpc_path_write_params(run.path, params);
    CU_ASSERT_EQUAL(dpc_path_backward(run.path, run.tokens, run.targets, 4, 10, &sum, &count),
                    DPC_OK);
    CU_ASSERT(!isfinite(sum));
    CU_ASSERT_EQUAL(dpc_adamw_step(run.adamw, run.path, 1e-3, &norm), DPC_ENOTFINITE);
    dpc_free(params);
    run_done(&run);
}

static const struct dpc_test tests[] = {
    {"it passes its trial", it_passes_its_trial},
    {"training agrees with the reference", training_agrees_with_the_reference},
    {"the same batch gives the same bits", the_same_batch_gives_the_same_bits},
    {"reading agrees with the reference", reading_agrees_with_the_reference},
    {"a text is written", a_text_is_written},
    {"a state moves between card and CPU", a_state_moves_between_card_and_cpu},
    {"a delta is encoded on the card", a_delta_is_encoded_on_the_card},
    {"a gradient that is not finite is seen", a_gradient_that_is_not_finite_is_seen},
};
DPC_TEST_MAIN_ON_CARD("modules/path on a card", tests)
