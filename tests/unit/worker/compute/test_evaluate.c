/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/evaluate.h"

#include "base/alloc.h"
#include "data/batch.h"
#include "data/scores.h"
#include "tests/unit/worker/compute/task_rig.h"

static struct dpc_score *
run(struct task_rig *rig, size_t *ret_count)
{
    struct dpc_msg_submit submit;
    struct dpc_score *scores = NULL;
    int code = dpc_evaluate_run(rig->engine, &rig->task, &submit, &rig->err);
    if (code != DPC_OK)
        CU_FAIL(rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    uint8_t *bytes = rig_load(rig, &submit.result);
    CU_ASSERT_EQUAL_FATAL(
        dpc_scores_read(bytes, submit.result.bytes, &scores, ret_count, &rig->err), DPC_OK);
    dpc_free(bytes);
    uint64_t targets = 0;
    for (size_t i = 0; i < *ret_count; i++)
        targets += scores[i].targets;
    CU_ASSERT_EQUAL(submit.tokens, targets);
    CU_ASSERT_EQUAL(submit.steps_count, *ret_count);
    return scores;
}

/* One document by itself: its first three windows of 12 tokens, its first 4 tokens masked. */
static void
score_plainly(struct task_rig *rig, const struct dpc_tokens *tokens, uint32_t doc,
              struct dpc_score *ret_score)
{
    int32_t inputs[12], targets[12];
    *ret_score = (struct dpc_score){.id = 100 + doc};
    for (uint32_t window = 0; window < 3; window++) {
        double nats = 0;
        uint64_t count = 0;
        uint32_t had = dpc_tokens_copy(tokens, doc, window * 12, 12, inputs);
        for (uint32_t t = 0; t < 12; t++) {
            int32_t next;
            uint32_t at = window * 12 + t + 1;
            bool counts = dpc_tokens_copy(tokens, doc, at, 1, &next) == 1 && at >= RIG_PREFIX;
            targets[t] = counts ? next : -1;
            if (t >= had)
                inputs[t] = 0;
        }
        CU_ASSERT_EQUAL(dpc_path_score(rig->engine->path, inputs, targets, 1, 12, &nats, &count),
                        DPC_OK);
        ret_score->nats += nats;
        ret_score->targets += (uint32_t)count;
    }
}

static void
every_document_as_if_alone(void)
{
    struct task_rig rig;
    struct dpc_tokens *tokens;
    size_t count;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokens_open_bytes("test", rig.tokens.data, rig.tokens.len, &tokens, NULL), DPC_OK);
    struct dpc_score *scores = run(&rig, &count);
    CU_ASSERT_EQUAL_FATAL(count, RIG_DOCUMENTS);
    bool capped = false;
    for (uint32_t doc = 0; doc < RIG_DOCUMENTS; doc++) {
        struct dpc_score alone;
        score_plainly(&rig, tokens, doc, &alone);
        CU_ASSERT_EQUAL(scores[doc].id, alone.id);
        CU_ASSERT_EQUAL(scores[doc].targets, alone.targets);
        CU_ASSERT_EQUAL(scores[doc].bytes, alone.targets);
        CU_ASSERT(scores[doc].targets > 0);
        CU_ASSERT_DOUBLE_EQUAL(scores[doc].nats, alone.nats, 1e-4 * alone.nats);
        capped |= dpc_tokens_count(tokens, doc) > 3 * 12 + 1;
    }
    CU_ASSERT(capped); /* a document with more windows than are read was among them */
    dpc_free(scores);
    dpc_tokens_close(tokens);
    rig_end(&rig);
}

static void
parts_of_a_file_sum_to_the_whole(void)
{
    struct task_rig rig;
    size_t count, first_count, last_count;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    struct dpc_score *whole = run(&rig, &count);
    rig.lease.to = 9;
    struct dpc_score *first = run(&rig, &first_count);
    rig.lease.from = 9;
    rig.lease.to = RIG_DOCUMENTS;
    struct dpc_score *last = run(&rig, &last_count);
    CU_ASSERT_EQUAL_FATAL(first_count, 9);
    CU_ASSERT_EQUAL_FATAL(first_count + last_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct dpc_score *part = i < 9 ? &first[i] : &last[i - 9];
        CU_ASSERT_EQUAL(part->id, whole[i].id);
        CU_ASSERT_EQUAL(part->targets, whole[i].targets);
        CU_ASSERT_DOUBLE_EQUAL(part->nats, whole[i].nats, 1e-4 * whole[i].nats);
    }
    dpc_free(last);
    dpc_free(first);
    dpc_free(whole);
    rig_end(&rig);
}

/* A document of three windows or more, evaluated on three and scored on two. */
static void
scoring_has_its_own_number_of_windows(void)
{
    struct task_rig rig;
    size_t count;
    uint32_t fewer = 0;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    struct dpc_score *whole = run(&rig, &count);
    rig.lease.kind = DPC_TASK_SCORE;
    struct dpc_score *same = run(&rig, &count);
    rig.engine->experiment.routing.score_windows = 2;
    struct dpc_score *scored = run(&rig, &count);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(same[i].targets, whole[i].targets);
        CU_ASSERT(scored[i].targets <= whole[i].targets);
        fewer += scored[i].targets < whole[i].targets;
    }
    CU_ASSERT(fewer > 0);
    dpc_free(scored);
    dpc_free(same);
    dpc_free(whole);
    rig_end(&rig);
}

/* Bytes of text behind the tokens that count, when the first 96 are read. */
static uint64_t
bytes_that_count(const struct dpc_tokens *tokens, uint32_t doc)
{
    int32_t copy[97];
    uint32_t count = dpc_tokens_copy(tokens, doc, 0, 97, copy);
    return dpc_vocabulary_text_bytes(dpc_tokens_vocabulary(tokens), copy + RIG_PREFIX,
                                     count - RIG_PREFIX);
}

/* A trace is an evaluation, cut into pieces; each tells the bytes that its tokens stand for. */
static void
pieces_sum_to_their_document(void)
{
    enum { PIECES = 6 };
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_score *pieces = NULL;
    size_t count, pieces_count;
    uint8_t lengths[256];
    struct dpc_tokens *tokens;
    for (int i = 0; i < 256; i++)
        lengths[i] = (uint8_t)(1 + i % 3);
    memset(&rig, 0, sizeof rig);
    rig_experiment(&rig.experiment);
    rig.experiment.model.context = 32;
    rig.experiment.reroute.every_count = 1;
    rig_begin_with_pieces(
        &rig, DPC_TASK_EVALUATE,
        &(struct dpc_vocabulary){
            .size = 256, .width = 2, .model = {.bytes = {1}}, .lengths = lengths});
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokens_open_bytes("test", rig.tokens.data, rig.tokens.len, &tokens, NULL), DPC_OK);
    struct dpc_score *whole = run(&rig, &count);
    rig.lease.kind = DPC_TASK_TRACE;
    CU_ASSERT_EQUAL_FATAL(dpc_evaluate_run(rig.engine, &rig.task, &submit, &rig.err), DPC_OK);
    uint8_t *bytes = rig_load(&rig, &submit.result);
    CU_ASSERT_EQUAL_FATAL(
        dpc_scores_read(bytes, submit.result.bytes, &pieces, &pieces_count, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(pieces_count, count * PIECES);
    for (size_t i = 0; i < count; i++) {
        double nats = 0;
        uint32_t targets = 0, text_bytes = 0;
        for (size_t k = i * PIECES; k < (i + 1) * PIECES; k++) {
            CU_ASSERT_EQUAL(pieces[k].id, whole[i].id);
            CU_ASSERT(pieces[k].targets <= DPC_PIECE_TOKENS);
            nats += pieces[k].nats;
            targets += pieces[k].targets;
            text_bytes += pieces[k].bytes;
        }
        CU_ASSERT_EQUAL(text_bytes, whole[i].bytes);
        CU_ASSERT_EQUAL(text_bytes, bytes_that_count(tokens, (uint32_t)i));
        CU_ASSERT_EQUAL(targets, whole[i].targets);
        CU_ASSERT_DOUBLE_EQUAL(nats, whole[i].nats, 1e-9 * whole[i].nats);
        CU_ASSERT_EQUAL(pieces[i * PIECES].targets, /* the first 4 tokens chose the path */
                        whole[i].targets < DPC_PIECE_TOKENS - 3 ? whole[i].targets
                                                                : DPC_PIECE_TOKENS - 3);
    }
    rig.engine->experiment.reroute.every_count = 0;
    CU_ASSERT_EQUAL(dpc_evaluate_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    dpc_tokens_close(tokens);
    dpc_free(bytes);
    dpc_free(pieces);
    dpc_free(whole);
    rig_end(&rig);
}

static void
documents_past_the_end_are_refused(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    rig.lease.to = RIG_DOCUMENTS + 1;
    CU_ASSERT_EQUAL(dpc_evaluate_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig.lease.from = 5;
    rig.lease.to = 4;
    CU_ASSERT_EQUAL(dpc_evaluate_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig_end(&rig);
}

static void
a_cancelled_lease_ends(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    rig.progress.cancelled = true;
    CU_ASSERT_EQUAL(dpc_evaluate_run(rig.engine, &rig.task, &submit, &rig.err), DPC_ECANCELLED);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"every document as if alone", every_document_as_if_alone},
    {"parts of a file sum to the whole", parts_of_a_file_sum_to_the_whole},
    {"pieces sum to their document", pieces_sum_to_their_document},
    {"scoring has its own number of windows", scoring_has_its_own_number_of_windows},
    {"documents past the end are refused", documents_past_the_end_are_refused},
    {"a cancelled lease ends", a_cancelled_lease_ends},
};
DPC_TEST_MAIN("worker/evaluate", tests)
