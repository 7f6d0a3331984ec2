/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/generate.h"

#include <string.h>

#include "tests/unit/modules/model.h"

enum { CONTEXT = 12, VOCAB = 11, COUNT = 40 };

static int32_t
likeliest(const float *logits)
{
    int32_t best = 0;
    for (int32_t v = 1; v < VOCAB; v++) {
        if (logits[v] > logits[best])
            best = v;
    }
    return best;
}

/* What dpc_generate must do at temperature 0, from whole forward passes over the window, of which
 * `kept` tokens stay once it is full. */
static void
greedy_keeping(uint32_t kept, struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len,
               int32_t *ret_tokens)
{
    int32_t window[CONTEXT];
    uint32_t count = prompt_len;
    float logits[VOCAB];
    memcpy(window, prompt, prompt_len * sizeof *prompt);
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(dpc_path_logits(path, window, count, logits), DPC_OK);
        ret_tokens[i] = likeliest(logits);
        if (count == CONTEXT) {
            count = kept;
            memmove(window, window + CONTEXT - count, count * sizeof *window);
        }
        window[count++] = ret_tokens[i];
    }
}

static void
greedy(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len, int32_t *ret_tokens)
{
    greedy_keeping(CONTEXT / 2, path, prompt, prompt_len, ret_tokens);
}

static const int32_t prompt[] = {3, 1, 4, 1, 5};

/* In a path for inference and in one that trains, whose activations stand apart. */
static void
kept_keys_change_nothing(void)
{
    for (int use = DPC_PATH_TRAIN; use <= DPC_PATH_INFER; use++) {
        struct dpc_experiment experiment = small_experiment(use == DPC_PATH_TRAIN);
        struct dpc_path *path =
            small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, (enum dpc_path_use)use);
        int32_t got[COUNT], want[COUNT];
        greedy(path, prompt, 5, want);
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 0.0, 0, 1, got), DPC_OK);
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 0.9, 1, 1, got), DPC_OK);
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
        dpc_path_destroy(path);
    }
}

/* Weights so large that what follows depends on all tokens: with one kept more or less the text is
 * another one. */
static void
a_full_window_keeps_its_newer_half(void)
{
    struct dpc_experiment experiment = small_experiment(false);
    experiment.model.init_std = 1;
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    int32_t got[COUNT], want[COUNT], other[COUNT];
    greedy(path, prompt, 5, want);
    for (uint32_t kept = CONTEXT / 2 - 1; kept <= CONTEXT / 2 + 1; kept += 2) {
        greedy_keeping(kept, path, prompt, 5, other);
        CU_ASSERT(memcmp(other, want, sizeof other) != 0);
    }
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 0.0, 0, 1, got), DPC_OK);
    CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    dpc_path_destroy(path);
}

/* The first call of all in a path: weights are packed by then, as after any other call. */
static void
the_first_call_sees_the_weights(void)
{
    const struct dpc_ops *ops;
    for (size_t set = 0; (ops = dpc_ops_cpu_at(set)); set++) {
        struct dpc_experiment experiment = small_experiment(true);
        struct dpc_path *path = small_path(&experiment, ops, 1, DPC_PATH_INFER);
        int32_t first[COUNT], again[COUNT];
        float logits[11];
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 0.0, 0, 1, first), DPC_OK);
        CU_ASSERT_EQUAL(dpc_path_logits(path, prompt, 5, logits), DPC_OK);
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 0.0, 0, 1, again), DPC_OK);
        CU_ASSERT(memcmp(first, again, sizeof first) == 0);
        dpc_path_destroy(path);
    }
}

static void
a_long_prompt_is_read_from_its_end(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    int32_t tokens[30], targets[30], got[COUNT], want[COUNT];
    small_batch(&experiment, 3, 10, 0, tokens, targets);
    greedy(path, tokens + 30 - CONTEXT, CONTEXT, want);
    CU_ASSERT_EQUAL(dpc_generate(path, tokens, 30, COUNT, 0.0, 0, 1, got), DPC_OK);
    CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    dpc_path_destroy(path);
}

static void
a_seed_gives_one_text(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    int32_t a[COUNT], b[COUNT], c[COUNT];
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 1.0, 0, 7, a), DPC_OK);
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 1.0, 0, 7, b), DPC_OK);
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, COUNT, 1.0, 0, 8, c), DPC_OK);
    CU_ASSERT(memcmp(a, b, sizeof a) == 0);
    CU_ASSERT(memcmp(a, c, sizeof a) != 0);
    dpc_path_destroy(path);
}

/* First tokens over many seeds have the model's probabilities, within four standard deviations. */
static void
draws_follow_the_probabilities(void)
{
    enum { DRAWS = 4000, TOP = 4 };
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    float logits[VOCAB];
    double sum = 0, temperature = 2.0;
    int counts[VOCAB] = {0}, ranks[VOCAB];
    CU_ASSERT_EQUAL(dpc_path_logits(path, prompt, 5, logits), DPC_OK);
    for (int v = 0; v < VOCAB; v++) {
        ranks[v] = 0;
        for (int w = 0; w < VOCAB; w++)
            ranks[v] += logits[w] > logits[v];
        sum += ranks[v] < TOP ? exp((double)logits[v] / temperature) : 0.0;
    }
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        int32_t token;
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, 1, temperature, TOP, seed, &token), DPC_OK);
        counts[token]++;
    }
    for (int v = 0; v < VOCAB; v++) {
        double p = ranks[v] < TOP ? exp((double)logits[v] / temperature) / sum : 0.0;
        CU_ASSERT(fabs(counts[v] - p * DRAWS) <= 4.0 * sqrt(p * (1.0 - p) * DRAWS));
    }
    dpc_path_destroy(path);
}

static void
bad_calls_are_refused(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    int32_t bad[] = {VOCAB}, out[2];
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 0, 1, 1.0, 0, 1, out), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_generate(path, bad, 1, 1, 1.0, 0, 1, out), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, 1, -1.0, 0, 1, out), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, 1, NAN, 0, 1, out), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, 0, 1.0, 0, 1, out), DPC_OK);
    dpc_path_params(path)[0] = NAN;
    dpc_path_params(path)[3 * 16] = NAN; /* a token of the prompt */
    CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5, 1, 1.0, 0, 1, out), DPC_ENOTFINITE);
    dpc_path_destroy(path);
}

/* Three on one path, a token each in turn, write what each writes alone. */
static void
generators_take_turns_on_a_path(void)
{
    enum { WRITERS = 3 };
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 1, DPC_PATH_INFER);
    struct dpc_generator *generators[WRITERS];
    int32_t alone[WRITERS][COUNT], turns[WRITERS][COUNT];
    for (uint32_t i = 0; i < WRITERS; i++) {
        struct dpc_generator_settings settings = {0.9, 4, 7 + i};
        CU_ASSERT_EQUAL(dpc_generate(path, prompt, 5 - i, COUNT, 0.9, 4, 7 + i, alone[i]), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_generator_create(path, prompt, 5 - i, &settings, &generators[i]),
                              DPC_OK);
    }
    for (int at = 0; at < COUNT; at++) {
        for (int i = 0; i < WRITERS; i++)
            CU_ASSERT_EQUAL(dpc_generator_next(generators[i], &turns[i][at]), DPC_OK);
    }
    CU_ASSERT_EQUAL(memcmp(turns, alone, sizeof turns), 0);
    for (int i = 0; i < WRITERS; i++)
        dpc_generator_destroy(generators[i]);
    dpc_path_destroy(path);
}

static const struct dpc_test tests[] = {
    {"generators take turns on a path", generators_take_turns_on_a_path},
    {"a full window keeps its newer half", a_full_window_keeps_its_newer_half},
    {"the first call sees the weights", the_first_call_sees_the_weights},
    {"kept keys change nothing", kept_keys_change_nothing},
    {"a long prompt is read from its end", a_long_prompt_is_read_from_its_end},
    {"a seed gives one text", a_seed_gives_one_text},
    {"draws follow the probabilities", draws_follow_the_probabilities},
    {"bad calls are refused", bad_calls_are_refused},
};
DPC_TEST_MAIN("modules/generate", tests)
