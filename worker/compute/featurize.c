/* SPDX-License-Identifier: Apache-2.0
 * Documents are taken in batches, in order; one shorter than the prefix is averaged over what it
 * has. */
#include "worker/compute/featurize.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/tensor_blob.h"

/* Features of `count` documents from `doc` on. */
static int
compute_batch(struct dpc_engine *engine, const struct dpc_tokens *tokens, uint32_t doc,
              uint32_t count, uint32_t *lengths, float *ret_features, struct dpc_error *err)
{
    uint32_t prefix = engine->experiment.routing.prefix;
    memset(engine->tokens, 0, (size_t)count * prefix * sizeof *engine->tokens);
    for (uint32_t i = 0; i < count; i++) {
        lengths[i] =
            dpc_tokens_copy(tokens, doc + i, 0, prefix, engine->tokens + (size_t)i * prefix);
        if (lengths[i] == 0)
            return dpc_error_set(err, DPC_EPROTO, "document %u has no tokens", doc + i);
    }
    int code =
        dpc_path_features(engine->path, engine->tokens, lengths, count, prefix, ret_features);
    for (size_t i = 0; code == DPC_OK && i < (size_t)count * engine->experiment.model.dim; i++) {
        if (!isfinite(ret_features[i]))
            code = DPC_ENOTFINITE;
    }
    if (code != DPC_OK)
        return dpc_error_set(err, code, "features of documents %u to %u could not be computed: %s",
                             doc, doc + count, dpc_error_words(code));
    return DPC_OK;
}

static int
compute(struct dpc_engine *engine, const struct dpc_task *task, const struct dpc_tokens *tokens,
        uint32_t *lengths, float *ret_features, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = task->lease;
    int64_t start_ns = dpc_clock_ns();
    uint32_t count;
    for (uint32_t doc = lease->from; doc < lease->to; doc += count) {
        if (task->progress->cancelled)
            return dpc_error_set(err, DPC_ECANCELLED, "the lease was dropped");
        count = lease->to - doc < engine->batch_max ? lease->to - doc : engine->batch_max;
        int code = compute_batch(engine, tokens, doc, count, lengths, ret_features, err);
        if (code != DPC_OK)
            return code;
        ret_features += (size_t)count * engine->experiment.model.dim;
        uint32_t done = doc + count - lease->from;
        dpc_progress_report(task->progress, done,
                            (uint64_t)done * engine->experiment.routing.prefix, start_ns);
    }
    return DPC_OK;
}

static int
featurize(struct dpc_engine *engine, const struct dpc_task *task, const struct dpc_tokens *tokens,
          struct dpc_msg_submit *submit, struct dpc_error *err)
{
    size_t documents = task->lease->to - task->lease->from;
    size_t values = documents * engine->experiment.model.dim;
    if (documents == 0 || documents > DPC_FEATURE_DOCUMENTS_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %zu documents", documents);
    float *features = dpc_try_alloc(values, sizeof *features);
    uint32_t *lengths = dpc_try_alloc(engine->batch_max, sizeof *lengths);
    int code =
        features && lengths
            ? compute(engine, task, tokens, lengths, features, err)
            : dpc_error_set(err, DPC_ENOMEM, "could not hold features of %zu documents", documents);
    if (code == DPC_OK) {
        dpc_buf_reset(&engine->blob);
        dpc_tensor_blob_write(&engine->blob, features, values);
        code = dpc_engine_put(engine, task, &submit->result, err);
    }
    dpc_free(lengths);
    dpc_free(features);
    submit->steps_count = (uint32_t)documents;
    submit->tokens = documents * engine->experiment.routing.prefix;
    return code;
}

int
dpc_featurize_run(struct dpc_engine *engine, const struct dpc_task *task,
                  struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct dpc_msg_submit submit = {0};
    const struct dpc_tokens *tokens = NULL;
    int64_t start_ns = dpc_clock_ns();
    int code = dpc_engine_load(engine, task, err);
    if (code == DPC_OK)
        code = dpc_engine_open_tokens(engine, task, &tokens, err);
    if (code == DPC_OK)
        code = featurize(engine, task, tokens, &submit, err);
    if (code != DPC_OK)
        return code;
    submit.seconds = dpc_progress_seconds(task->progress, start_ns);
    *ret_submit = submit;
    return DPC_OK;
}
