/* SPDX-License-Identifier: Apache-2.0
 * Windows of many documents share a batch; `rows` remembers whose each row is. Which windows share
 * one is a function of the lease alone, so the bits are, too. */
#include "worker/evaluate.h"

#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "data/batch.h"
#include "data/scores.h"

struct evaluation {
    struct dpc_engine *engine;
    const struct dpc_task *task;
    const struct dpc_tokens *tokens;
    struct dpc_score *scores; /* [to - from] */
    uint32_t *rows;           /* [batch_max] index into scores */
    double *sums;             /* [batch_max] */
    uint64_t *counts;         /* [batch_max] */
    uint32_t rows_count;
    uint64_t tokens_done;
};

/* Scores the rows that have gathered. */
static int
flush(struct evaluation *evaluation, struct dpc_error *err)
{
    struct dpc_engine *engine = evaluation->engine;
    uint32_t context = engine->experiment.model.context;
    if (evaluation->rows_count == 0)
        return DPC_OK;
    int code = dpc_path_score(engine->path, engine->tokens, engine->targets, evaluation->rows_count,
                              context, evaluation->sums, evaluation->counts);
    for (uint32_t row = 0; code == DPC_OK && row < evaluation->rows_count; row++) {
        struct dpc_score *score = &evaluation->scores[evaluation->rows[row]];
        if (!isfinite(evaluation->sums[row]))
            code = DPC_ENOTFINITE;
        score->nats += evaluation->sums[row];
        score->targets += (uint32_t)evaluation->counts[row];
    }
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the loss of path %u could not be evaluated: %s",
                             evaluation->task->lease->path, dpc_error_words(code));
    evaluation->tokens_done += (uint64_t)evaluation->rows_count * context;
    evaluation->rows_count = 0;
    return DPC_OK;
}

static int
add_document(struct evaluation *evaluation, uint32_t doc, struct dpc_error *err)
{
    struct dpc_engine *engine = evaluation->engine;
    const struct dpc_experiment *experiment = &engine->experiment;
    uint32_t context = experiment->model.context, index = doc - evaluation->task->lease->from;
    bool routes = evaluation->task->lease->kind == DPC_TASK_SCORE;
    uint32_t windows_max = routes && experiment->routing.score_windows
                               ? experiment->routing.score_windows
                               : experiment->evaluation.windows;
    uint32_t windows = dpc_batch_windows(evaluation->tokens, doc, context, windows_max);
    evaluation->scores[index].id = dpc_tokens_id(evaluation->tokens, doc);
    for (uint32_t window = 0; window < windows; window++) {
        size_t at = (size_t)evaluation->rows_count * context;
        if (dpc_batch_window(evaluation->tokens, doc, window, context, experiment->routing.prefix,
                             engine->tokens + at, engine->targets + at) == 0)
            continue;
        evaluation->rows[evaluation->rows_count++] = index;
        if (evaluation->rows_count == engine->batch_max) {
            int code = flush(evaluation, err);
            if (code != DPC_OK)
                return code;
        }
    }
    return DPC_OK;
}

static int
add_documents(struct evaluation *evaluation, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = evaluation->task->lease;
    struct dpc_progress *progress = evaluation->task->progress;
    int64_t start_ns = dpc_clock_ns();
    for (uint32_t doc = lease->from; doc < lease->to; doc++) {
        if (progress->cancelled)
            return dpc_error_set(err, DPC_ECANCELLED, "the lease was dropped");
        int code = add_document(evaluation, doc, err);
        if (code != DPC_OK)
            return code;
        dpc_progress_report(progress, doc + 1 - lease->from, evaluation->tokens_done, start_ns);
    }
    return flush(evaluation, err);
}

static int
put_table(struct evaluation *evaluation, struct dpc_msg_submit *submit, struct dpc_error *err)
{
    struct dpc_engine *engine = evaluation->engine;
    size_t count = evaluation->task->lease->to - evaluation->task->lease->from;
    for (size_t i = 0; i < count; i++) {
        /* A byte tokenizer's token is a byte; others will have to look at the text. */
        evaluation->scores[i].bytes = evaluation->scores[i].targets;
        submit->tokens += evaluation->scores[i].targets;
    }
    submit->steps_count = (uint32_t)count;
    dpc_buf_reset(&engine->blob);
    dpc_scores_write(&engine->blob, evaluation->scores, count);
    return dpc_engine_put(engine, evaluation->task, &submit->result, err);
}

static int
evaluate(struct evaluation *evaluation, struct dpc_msg_submit *submit, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = evaluation->task->lease;
    uint32_t documents = lease->to - lease->from, batch = evaluation->engine->batch_max;
    if (documents > DPC_SCORES_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %u documents", documents);
    evaluation->scores = dpc_try_alloc(documents ? documents : 1, sizeof *evaluation->scores);
    evaluation->rows = dpc_try_alloc(batch, sizeof *evaluation->rows);
    evaluation->sums = dpc_try_alloc(batch, sizeof *evaluation->sums);
    evaluation->counts = dpc_try_alloc(batch, sizeof *evaluation->counts);
    int code = DPC_ENOMEM;
    if (evaluation->scores && evaluation->rows && evaluation->sums && evaluation->counts) {
        code = add_documents(evaluation, err);
        if (code == DPC_OK)
            code = put_table(evaluation, submit, err);
    } else {
        dpc_error_set(err, code, "could not evaluate %u documents: %s", documents,
                      dpc_error_words(code));
    }
    dpc_free(evaluation->counts);
    dpc_free(evaluation->sums);
    dpc_free(evaluation->rows);
    dpc_free(evaluation->scores);
    return code;
}

int
dpc_evaluate_run(struct dpc_engine *engine, const struct dpc_task *task,
                 struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct dpc_msg_submit submit = {0};
    struct dpc_tokens *tokens = NULL;
    int64_t start_ns = dpc_clock_ns();
    int code = dpc_engine_load(engine, task, err);
    if (code == DPC_OK)
        code = dpc_engine_open_tokens(engine, task, &tokens, err);
    if (code == DPC_OK) {
        struct evaluation evaluation = {.engine = engine, .task = task, .tokens = tokens};
        code = evaluate(&evaluation, &submit, err);
    }
    dpc_tokens_close(tokens);
    if (code != DPC_OK)
        return code;
    submit.seconds = (double)(dpc_clock_ns() - start_ns) / 1e9;
    *ret_submit = submit;
    return DPC_OK;
}
