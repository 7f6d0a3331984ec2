/* SPDX-License-Identifier: Apache-2.0
 * The routing prefix enters no loss, in training and in evaluation alike.
 *
 * Its tokens are read, though, so that other ones change what follows. Here two tokens have one
 * embedding and different rows in a head of its own: as inputs they are the same, as targets they
 * are not. Where one takes the other's place in the prefix nothing may change; right behind it, all
 * must. */
#include <string.h>

#include "base/alloc.h"
#include "data/scores.h"
#include "tests/unit/worker/compute/task_rig.h"
#include "worker/compute/evaluate.h"
#include "worker/compute/train.h"

enum { ONE = 'b', OTHER = 'e', DOCUMENTS = 6, TOKENS = 10 }; /* one window: training begins at 0 */

/* Documents of a few letters, in which the token at `place` of each is `token`. */
static void
write_documents(struct task_rig *rig, uint32_t place, uint8_t token)
{
    struct dpc_tokens_writer writer;
    struct dpc_rng rng;
    dpc_rng_init(&rng, 9, DPC_RNG_TEST, 0, 0, 0);
    dpc_buf_done(&rig->tokens);
    dpc_buf_init(&rig->tokens, 0);
    dpc_tokens_writer_init(&writer, memory_sink(&rig->tokens), &DPC_VOCABULARY_BYTES);
    for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)doc}, text[TOKENS];
        for (uint32_t i = 0; i < TOKENS; i++)
            text[i] = (uint8_t)('a' + dpc_rng_below(&rng, 6));
        text[place] = token;
        dpc_tokens_writer_document(&writer, doc, key, TOKENS);
        dpc_tokens_writer_tokens(&writer, text, TOKENS);
    }
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_writer_finish(&writer), DPC_OK);
    dpc_tokens_writer_done(&writer);
    rig->lease.data = rig_put(rig, rig->tokens.data, rig->tokens.len);
}

static void
begin(struct task_rig *rig, enum dpc_task_kind kind)
{
    memset(rig, 0, sizeof *rig);
    rig_experiment(&rig->experiment);
    rig->experiment.model.tie_embeddings = false;
    rig->experiment.inner.clip = 1e6; /* the embedding's gradient moves no other weight then */
    rig_begin_with(rig, kind);
    uint32_t dim = rig->experiment.model.dim;
    size_t count = dpc_path_module_floats(rig->engine->path, 0);
    float *values = dpc_alloc(count, sizeof *values);
    dpc_layout_fill_initial(&rig->experiment, 0, values);
    memcpy(values + (size_t)OTHER * dim, values + (size_t)ONE * dim, dim * sizeof *values);
    rig->lease.versions[0] = rig_put_tensor(rig, values, count);
    dpc_free(values);
    rig->lease.steps_count = kind == DPC_TASK_TRAIN ? 1 : 0;
    rig->lease.to = kind == DPC_TASK_TRAIN ? 0 : DOCUMENTS;
}

/* One step: its loss, and how it moves the level that holds the head. */
static double
train(struct task_rig *rig, uint32_t place, uint8_t token, struct dpc_hash *ret_delta)
{
    struct dpc_msg_submit submit;
    write_documents(rig, place, token);
    CU_ASSERT_EQUAL_FATAL(dpc_train_run(rig->engine, &rig->task, &submit, &rig->err), DPC_OK);
    *ret_delta = submit.parts[1].delta.hash;
    return submit.loss;
}

static void
training_counts_no_token_of_the_prefix(void)
{
    struct task_rig rig;
    struct dpc_hash one, other;
    begin(&rig, DPC_TASK_TRAIN);
    for (uint32_t place = 0; place < RIG_PREFIX; place++) {
        double loss = train(&rig, place, ONE, &one);
        CU_ASSERT_EQUAL(loss, train(&rig, place, OTHER, &other));
        CU_ASSERT_TRUE(dpc_hash_equal(&one, &other));
    }
    double loss = train(&rig, RIG_PREFIX, ONE, &one);
    CU_ASSERT_NOT_EQUAL(loss, train(&rig, RIG_PREFIX, OTHER, &other));
    CU_ASSERT_FALSE(dpc_hash_equal(&one, &other));
    rig_end(&rig);
}

static struct dpc_score *
evaluate(struct task_rig *rig, uint32_t place, uint8_t token)
{
    struct dpc_msg_submit submit;
    struct dpc_score *scores = NULL;
    size_t count;
    write_documents(rig, place, token);
    CU_ASSERT_EQUAL_FATAL(dpc_evaluate_run(rig->engine, &rig->task, &submit, &rig->err), DPC_OK);
    uint8_t *bytes = rig_load(rig, &submit.result);
    CU_ASSERT_EQUAL_FATAL(dpc_scores_read(bytes, submit.result.bytes, &scores, &count, &rig->err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(count, DOCUMENTS);
    dpc_free(bytes);
    return scores;
}

/* How many documents score otherwise with the other token at that place. */
static uint32_t
count_changed(struct task_rig *rig, uint32_t place)
{
    uint32_t changed = 0;
    struct dpc_score *one = evaluate(rig, place, ONE), *other = evaluate(rig, place, OTHER);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        CU_ASSERT_EQUAL(one[i].targets, TOKENS - RIG_PREFIX);
        CU_ASSERT_EQUAL(other[i].targets, TOKENS - RIG_PREFIX);
        changed += one[i].nats != other[i].nats;
    }
    dpc_free(one);
    dpc_free(other);
    return changed;
}

static void
check_scores(enum dpc_task_kind kind)
{
    struct task_rig rig;
    begin(&rig, kind);
    for (uint32_t place = 0; place < RIG_PREFIX; place++)
        CU_ASSERT_EQUAL(count_changed(&rig, place), 0);
    CU_ASSERT_EQUAL(count_changed(&rig, RIG_PREFIX), DOCUMENTS);
    rig_end(&rig);
}

static void
evaluation_counts_no_token_of_the_prefix(void)
{
    check_scores(DPC_TASK_EVALUATE);
    check_scores(DPC_TASK_SCORE);
}

static const struct dpc_test tests[] = {
    {"training counts no token of the prefix", training_counts_no_token_of_the_prefix},
    {"evaluation counts no token of the prefix", evaluation_counts_no_token_of_the_prefix},
};
DPC_TEST_MAIN("worker/prefix", tests)
