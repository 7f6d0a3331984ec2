/* SPDX-License-Identifier: Apache-2.0
 * Windows of many documents share a batch, as in a worker, but here the sums need not be told apart
 * by document. */
#include "cli/evaluate.h"

#include <math.h>

#include "base/alloc.h"
#include "data/batch.h"
#include "data/tokens.h"

struct windows {
    struct dpc_path *path;
    const struct dpc_experiment *experiment;
    uint32_t count;
    int32_t *tokens, *targets; /* [DPC_MODEL_BATCH_MAX, context] */
    double *sums;              /* [DPC_MODEL_BATCH_MAX] */
    uint64_t *counts;          /* [DPC_MODEL_BATCH_MAX] */
    struct dpc_evaluation evaluation;
};

static int
score_windows(struct windows *windows, struct dpc_error *err)
{
    if (windows->count == 0)
        return DPC_OK;
    int rc = dpc_path_score(windows->path, windows->tokens, windows->targets, windows->count,
                            windows->experiment->model.context, windows->sums, windows->counts);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "could not score held-out text: %s", dpc_error_words(rc));
    for (uint32_t i = 0; i < windows->count; i++) {
        windows->evaluation.nats += windows->sums[i];
        windows->evaluation.targets += windows->counts[i];
    }
    windows->count = 0;
    return DPC_OK;
}

static int
add_document(struct windows *windows, const struct dpc_tokens *tokens, uint32_t doc,
             struct dpc_error *err)
{
    const struct dpc_experiment *experiment = windows->experiment;
    uint32_t context = experiment->model.context;
    uint32_t count = dpc_batch_windows(tokens, doc, context, experiment->evaluation.windows);
    int rc = DPC_OK;
    for (uint32_t window = 0; rc == DPC_OK && window < count; window++) {
        size_t at = (size_t)windows->count * context;
        if (dpc_batch_window(tokens, doc, window, context, experiment->routing.prefix,
                             windows->tokens + at, windows->targets + at) == 0)
            continue;
        windows->evaluation.bytes += dpc_vocabulary_text_bytes(dpc_tokens_vocabulary(tokens),
                                                               windows->targets + at, context);
        if (++windows->count == DPC_MODEL_BATCH_MAX)
            rc = score_windows(windows, err);
    }
    windows->evaluation.documents++;
    return rc;
}

static int
score_documents(struct dpc_model *model, uint32_t path, const struct dpc_tokens *tokens,
                struct dpc_evaluation *ret_evaluation, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = dpc_model_experiment(model);
    struct windows windows = {.experiment = experiment};
    int rc = dpc_model_path_of_now(model, path, &windows.path, err);
    if (rc != DPC_OK)
        return rc;
    size_t places = (size_t)DPC_MODEL_BATCH_MAX * experiment->model.context;
    windows.tokens = dpc_alloc(places, sizeof *windows.tokens);
    windows.targets = dpc_alloc(places, sizeof *windows.targets);
    windows.sums = dpc_alloc(DPC_MODEL_BATCH_MAX, sizeof *windows.sums);
    windows.counts = dpc_alloc(DPC_MODEL_BATCH_MAX, sizeof *windows.counts);
    for (uint32_t doc = 0; rc == DPC_OK && doc < dpc_tokens_documents(tokens); doc++)
        rc = add_document(&windows, tokens, doc, err);
    if (rc == DPC_OK)
        rc = score_windows(&windows, err);
    dpc_free(windows.tokens);
    dpc_free(windows.targets);
    dpc_free(windows.sums);
    dpc_free(windows.counts);
    if (rc == DPC_OK)
        *ret_evaluation = windows.evaluation;
    return rc;
}

int
dpc_evaluate_path(struct dpc_model *model, uint32_t path, struct dpc_evaluation *ret_evaluation,
                  struct dpc_error *err)
{
    struct dpc_tokens *tokens = NULL;
    uint8_t *bytes = NULL;
    int rc = dpc_model_test_documents(model, path, &bytes, &tokens, err);
    if (rc == DPC_OK)
        rc = score_documents(model, path, tokens, ret_evaluation, err);
    dpc_tokens_close(tokens);
    dpc_free(bytes);
    return rc;
}

void
dpc_evaluation_add(struct dpc_evaluation *into, const struct dpc_evaluation *from)
{
    into->nats += from->nats;
    into->targets += from->targets;
    into->bytes += from->bytes;
    into->documents += from->documents;
}

double
dpc_evaluation_perplexity(const struct dpc_evaluation *evaluation)
{
    return evaluation->targets ? exp(evaluation->nats / (double)evaluation->targets) : NAN;
}

double
dpc_evaluation_bits_per_byte(const struct dpc_evaluation *evaluation)
{
    return evaluation->bytes ? evaluation->nats / M_LN2 / (double)evaluation->bytes : NAN;
}
