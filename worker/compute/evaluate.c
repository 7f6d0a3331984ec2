/* SPDX-License-Identifier: Apache-2.0
 * Windows of many documents share a batch; `places` remembers whose each one is. Which windows
 * share one is a function of the lease alone, so the bits are, too. */
#include "worker/compute/evaluate.h"

#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "data/batch.h"
#include "data/scores.h"

/* What a table has a row of: documents, or their pieces. */
struct evaluation {
    struct dpc_engine *engine;
    const struct dpc_task *task;
    const struct dpc_tokens *tokens;
    uint32_t windows_max;     /* of a document */
    uint32_t piece;           /* positions that are summed up: a whole window, or less of it */
    uint32_t rows_a_window;   /* of the table: 0, where all windows share one; or its pieces */
    uint32_t rows_a_document; /* of the table */
    size_t scores_count;      /* rows of the table */
    struct dpc_score *scores; /* [scores_count] */
    size_t *places;           /* [batch_max] first row of the window's */
    double *sums;             /* [batch_max, pieces] */
    uint64_t *counts;         /* [batch_max, pieces] */
    uint32_t windows_count;   /* that have gathered */
    uint64_t tokens_done;
};

/* Piece number `i` of the windows that have gathered. */
static int
add_sum(const struct evaluation *evaluation, size_t i)
{
    const struct dpc_engine *engine = evaluation->engine;
    size_t pieces = engine->experiment.model.context / evaluation->piece;
    struct dpc_score *score = &evaluation->scores[evaluation->places[i / pieces] + i % pieces];
    score->nats += evaluation->sums[i];
    score->targets += (uint32_t)evaluation->counts[i];
    score->bytes += (uint32_t)dpc_vocabulary_text_bytes(dpc_tokens_vocabulary(evaluation->tokens),
                                                        engine->targets + i * evaluation->piece,
                                                        evaluation->piece);
    return isfinite(evaluation->sums[i]) ? DPC_OK : DPC_ENOTFINITE;
}

/* Scores the windows that have gathered. */
static int
flush(struct evaluation *evaluation, struct dpc_error *err)
{
    struct dpc_engine *engine = evaluation->engine;
    uint32_t context = engine->experiment.model.context, pieces = context / evaluation->piece;
    if (evaluation->windows_count == 0)
        return DPC_OK;
    int code = dpc_path_score_pieces(engine->path, engine->tokens, engine->targets,
                                     evaluation->windows_count, context, evaluation->piece,
                                     evaluation->sums, evaluation->counts);
    for (size_t i = 0; code == DPC_OK && i < (size_t)evaluation->windows_count * pieces; i++)
        code = add_sum(evaluation, i);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the loss of path %u could not be evaluated: %s",
                             evaluation->task->lease->path, dpc_error_words(code));
    evaluation->tokens_done += (uint64_t)evaluation->windows_count * context;
    evaluation->windows_count = 0;
    return DPC_OK;
}

static int
add_document(struct evaluation *evaluation, uint32_t doc, struct dpc_error *err)
{
    struct dpc_engine *engine = evaluation->engine;
    const struct dpc_experiment *experiment = &engine->experiment;
    uint32_t context = experiment->model.context;
    size_t first = (size_t)(doc - evaluation->task->lease->from) * evaluation->rows_a_document;
    uint32_t windows = dpc_batch_windows(evaluation->tokens, doc, context, evaluation->windows_max);
    for (size_t i = 0; i < evaluation->rows_a_document; i++)
        evaluation->scores[first + i].id = dpc_tokens_id(evaluation->tokens, doc);
    for (uint32_t window = 0; window < windows; window++) {
        size_t at = (size_t)evaluation->windows_count * context;
        if (dpc_batch_window(evaluation->tokens, doc, window, context, experiment->routing.prefix,
                             engine->tokens + at, engine->targets + at) == 0)
            continue;
        evaluation->places[evaluation->windows_count++] =
            first + (size_t)window * evaluation->rows_a_window;
        if (evaluation->windows_count == engine->batch_max) {
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
    for (size_t i = 0; i < evaluation->scores_count; i++)
        submit->tokens += evaluation->scores[i].targets;
    submit->steps_count = evaluation->task->lease->to - evaluation->task->lease->from;
    dpc_buf_reset(&engine->blob);
    dpc_scores_write(&engine->blob, evaluation->scores, evaluation->scores_count);
    return dpc_engine_put(engine, evaluation->task, &submit->result, err);
}

static int
evaluate(struct evaluation *evaluation, struct dpc_msg_submit *submit, struct dpc_error *err)
{
    const struct dpc_engine *engine = evaluation->engine;
    size_t batch = engine->batch_max, count = evaluation->scores_count;
    size_t sums = batch * (engine->experiment.model.context / evaluation->piece);
    if (count > DPC_SCORES_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %zu scores", count);
    evaluation->scores = dpc_try_alloc(count ? count : 1, sizeof *evaluation->scores);
    evaluation->places = dpc_try_alloc(batch, sizeof *evaluation->places);
    evaluation->sums = dpc_try_alloc(sums, sizeof *evaluation->sums);
    evaluation->counts = dpc_try_alloc(sums, sizeof *evaluation->counts);
    int code = DPC_ENOMEM;
    if (evaluation->scores && evaluation->places && evaluation->sums && evaluation->counts) {
        code = add_documents(evaluation, err);
        if (code == DPC_OK)
            code = put_table(evaluation, submit, err);
    } else {
        dpc_error_set(err, code, "could not hold %zu scores: %s", count, dpc_error_words(code));
    }
    dpc_free(evaluation->counts);
    dpc_free(evaluation->sums);
    dpc_free(evaluation->places);
    dpc_free(evaluation->scores);
    return code;
}

/* How much of a document is read, and what a row of the table stands for. */
static void
choose_rows(struct evaluation *evaluation)
{
    const struct dpc_experiment *experiment = &evaluation->engine->experiment;
    const struct dpc_msg_lease *lease = evaluation->task->lease;
    uint32_t context = experiment->model.context;
    evaluation->windows_max = experiment->evaluation.windows;
    evaluation->piece = context;
    evaluation->rows_a_document = 1;
    if (lease->kind == DPC_TASK_SCORE && experiment->routing.score_windows)
        evaluation->windows_max = experiment->routing.score_windows;
    if (lease->kind == DPC_TASK_TRACE) {
        evaluation->piece = DPC_PIECE_TOKENS;
        evaluation->rows_a_window = context / DPC_PIECE_TOKENS;
        evaluation->rows_a_document = (uint32_t)dpc_experiment_pieces(experiment);
    }
    evaluation->scores_count = (size_t)(lease->to - lease->from) * evaluation->rows_a_document;
}

static int
check_kind(const struct dpc_engine *engine, const struct dpc_msg_lease *lease,
           struct dpc_error *err)
{
    if (lease->kind != DPC_TASK_TRACE || engine->experiment.reroute.every_count)
        return DPC_OK;
    return dpc_error_set(err, DPC_EPROTO,
                         "the lease is for new routes, and the experiment has none");
}

int
dpc_evaluate_run(struct dpc_engine *engine, const struct dpc_task *task,
                 struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct dpc_msg_submit submit = {0};
    const struct dpc_tokens *tokens = NULL;
    int64_t start_ns = dpc_clock_ns();
    int code = check_kind(engine, task->lease, err);
    if (code == DPC_OK)
        code = dpc_engine_load(engine, task, err);
    if (code == DPC_OK)
        code = dpc_engine_open_tokens(engine, task, &tokens, err);
    if (code == DPC_OK) {
        struct evaluation evaluation = {.engine = engine, .task = task, .tokens = tokens};
        choose_rows(&evaluation);
        code = evaluate(&evaluation, &submit, err);
    }
    if (code != DPC_OK)
        return code;
    submit.seconds = dpc_progress_seconds(task->progress, start_ns);
    *ret_submit = submit;
    return DPC_OK;
}
