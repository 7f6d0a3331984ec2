/* SPDX-License-Identifier: Apache-2.0
 * Sums are kept in double: with tens of thousands of contributions the order would otherwise show.
 */
#include "coordinator/versions/outer.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "coordinator/versions/gates.h"

/* A mean of unit vectors that is shorter than this is what rounding leaves of directions that
 * cancel; 65,536 that have nothing to do with one another leave 4e-3. */
#define COHERENCE_MIN 1e-6

/* One module at work. Blobs are mapped into memory of ours, checked against their names. */
struct step {
    struct dpc_store *store;
    const struct dpc_ops *ops;
    size_t count; /* floats of the module */
    float *theta, *momentum;
    float *delta;          /* the contribution at hand */
    float *published;      /* NULL: it is `theta` */
    struct dpc_buf change; /* of the last step */
    double *sum;
    struct dpc_judged *judged; /* [inputs_count]; NULL: there are no gates */
    /* Of the outer step at hand. */
    bool directed;          /* `sum` is of directions */
    double weights, length; /* with `directed`: sums of weights, and of weights times lengths */
    double rescale;         /* as the ledger has it */
};

static void
step_done(struct step *step)
{
    dpc_free(step->theta);
    dpc_free(step->momentum);
    dpc_free(step->delta);
    dpc_free(step->published);
    dpc_buf_done(&step->change);
    dpc_free(step->sum);
    dpc_free(step->judged);
}

/* The values of a tensor blob of the module's shape. */
static int
load(const struct step *step, const struct dpc_hash *hash, float *ret_values, struct dpc_error *err)
{
    uint8_t *blob;
    size_t len;
    int code = dpc_store_blob_load_named(step->store, hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_decode(blob, len, step->count, ret_values, err);
    dpc_free(blob);
    return code;
}

/* Hash none: they stay zero. */
static int
load_any(const struct step *step, const struct dpc_hash *hash, float *ret_values,
         struct dpc_error *err)
{
    return dpc_hash_is_none(hash) ? DPC_OK : load(step, hash, ret_values, err);
}

/* What a direction of this length weighs in `sum`: one without length is none. */
static double
add_length(struct step *step, const float *delta, double weight)
{
    const struct dpc_piece whole = {.count = step->count};
    double squares;
    step->ops->squared_norms(&squares, delta, &whole, 1);
    step->weights += weight;
    step->length += weight * sqrt(squares);
    return squares > 0 ? weight / sqrt(squares) : 0;
}

/* `scale` is the whole factor beside the weight, multiplied as the ledger has it. */
static int
add_contribution(struct step *step, const struct dpc_fold_input *input, double scale,
                 struct dpc_error *err)
{
    int code = load(step, &input->delta, step->delta, err);
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "contribution of path %u", input->path);
    double weight = input->weight * scale;
    if (step->directed)
        weight = add_length(step, step->delta, weight);
    step->ops->outer_accumulate(step->sum, step->delta, weight, step->count);
    return DPC_OK;
}

/* --- Gates. */

struct deltas {
    struct dpc_store *store;
    const struct dpc_fold *fold;
};

static int
read_codec(const struct deltas *deltas, const struct dpc_hash *delta, enum dpc_codec *ret_codec,
           struct dpc_error *err)
{
    uint8_t header[DPC_TENSOR_BLOB_HEADER_BYTES];
    uint64_t bytes;
    int code = dpc_store_blob_size(deltas->store, delta, &bytes);
    if (code == DPC_OK)
        code = dpc_store_blob_read(deltas->store, delta, 0, header, sizeof header);
    if (code == DPC_ENOTFOUND)
        return dpc_store_blob_lost(delta, err);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read its header: %s", dpc_error_words(code));
    return dpc_tensor_blob_read_header(header, bytes, deltas->fold->count, ret_codec, err);
}

/* Some values of a tensor blob, with those before them that are in the same block. */
static int
read_values(const struct deltas *deltas, const struct dpc_hash *delta, enum dpc_codec codec,
            size_t first, size_t count, float *ret_values, struct dpc_error *err)
{
    size_t before = first % DPC_CODEC_BLOCK, begin = first - before;
    size_t end = first + count;
    /* Whole blocks, but for the blob's last one. */
    end += (DPC_CODEC_BLOCK - end % DPC_CODEC_BLOCK) % DPC_CODEC_BLOCK;
    end = end < deltas->fold->count ? end : deltas->fold->count;
    size_t len = dpc_codec_bytes(codec, end - begin);
    uint8_t *bytes = dpc_try_alloc(len, 1);
    float *values = dpc_try_alloc_vector(end - begin, sizeof *values);
    int code = bytes && values ? DPC_OK : DPC_ENOMEM;
    if (code == DPC_OK)
        code = dpc_store_blob_read(deltas->store, delta, dpc_tensor_blob_bytes_as(codec, begin),
                                   bytes, len);
    if (code == DPC_OK) {
        dpc_codec_decode(codec, bytes, end - begin, values);
        memcpy(ret_values, values + before, count * sizeof *values);
    }
    dpc_free(values);
    dpc_free(bytes);
    return code == DPC_OK
               ? code
               : dpc_error_set(err, code, "could not read its values: %s", dpc_error_words(code));
}

/* Whether the blob is what its name says is found when it is added. */
static int
read_delta(void *context, uint32_t index, size_t first, size_t count, float *ret_values,
           struct dpc_error *err)
{
    const struct deltas *deltas = context;
    const struct dpc_fold_input *input = &deltas->fold->inputs[index];
    enum dpc_codec codec;
    int code = read_codec(deltas, &input->delta, &codec, err);
    if (code == DPC_OK)
        code = read_values(deltas, &input->delta, codec, first, count, ret_values, err);
    return code == DPC_OK ? code
                          : dpc_error_prefix(err, code, "contribution of path %u", input->path);
}

static int
pass_gates(struct step *step, const struct dpc_fold *fold, struct dpc_error *err)
{
    struct deltas deltas = {step->store, fold};
    struct dpc_gate_source source = {&deltas, read_delta};
    step->judged = dpc_free(step->judged);
    if (!fold->gated)
        return DPC_OK;
    step->judged = dpc_alloc(fold->inputs_count, sizeof *step->judged);
    return dpc_gates_judge(&source, fold->inputs, fold->inputs_count, fold->count, step->judged,
                           err);
}

static int
no_memory(const struct step *step, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu values", step->count);
}

/* Puts the blob, or only names it. */
static int
name_blob(const struct step *step, const struct dpc_buf *blob, bool puts, struct dpc_hash *ret_hash,
          struct dpc_error *err)
{
    if (blob->failed)
        return no_memory(step, err);
    if (puts)
        return dpc_store_blob_put(step->store, blob->data, blob->len, ret_hash, err);
    dpc_hash_of(blob->data, blob->len, ret_hash);
    return DPC_OK;
}

static int
name(const struct step *step, const float *values, bool puts, struct dpc_hash *ret_hash,
     struct dpc_error *err)
{
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, step->count);
    int code = name_blob(step, &blob, puts, ret_hash, err);
    dpc_buf_done(&blob);
    return code;
}

static int
begin(struct step *step, const struct dpc_fold *fold, struct dpc_error *err)
{
    step->theta = dpc_try_alloc_vector(step->count, sizeof *step->theta);
    step->momentum = dpc_try_alloc_vector(step->count, sizeof *step->momentum);
    step->delta = dpc_try_alloc_vector(step->count, sizeof *step->delta);
    step->sum = dpc_try_alloc_vector(step->count, sizeof *step->sum);
    if (!step->theta || !step->momentum || !step->delta || !step->sum)
        return no_memory(step, err);
    int code = load_any(step, &fold->master, step->theta, err);
    if (code == DPC_OK)
        code = load_any(step, &fold->momentum, step->momentum, err);
    if (code != DPC_OK || fold->download == DPC_CODEC_FP32)
        return code;
    step->published = dpc_try_alloc_vector(step->count, sizeof *step->published);
    if (!step->published)
        return no_memory(step, err);
    return load(step, &fold->published, step->published, err);
}

/* The contribution of one path alone is its own mean in either form: plain, it keeps its bits. */
static void
begin_sum(struct step *step, const struct dpc_fold *fold)
{
    memset(step->sum, 0, step->count * sizeof *step->sum);
    step->directed = fold->rda && fold->inputs_count > 1;
    step->weights = step->length = 0;
    step->rescale = fold->rescale;
}

/* The factor on `sum`. Directions give the way and the mean length how far; what the ledger notes
 * is how much longer than the mean delta that makes the step where all are of one length. */
static double
factor_of(struct step *step)
{
    double squares = 0;
    if (!step->directed)
        return step->rescale;
    for (size_t i = 0; i < step->count; i++)
        squares += step->sum[i] * step->sum[i];
    double coherent = sqrt(squares);
    bool cancels = coherent <= COHERENCE_MIN * step->weights;
    step->rescale = cancels ? 0 : step->weights / coherent;
    return cancels ? 0 : step->length / coherent;
}

/* The version goes out as far as the form tells it. */
static int
publish(struct step *step, const struct dpc_fold *fold, struct dpc_error *err)
{
    float *difference = step->delta;
    if (!step->published)
        return DPC_OK;
    for (size_t i = 0; i < step->count; i++)
        difference[i] = step->theta[i] - step->published[i];
    dpc_buf_reset(&step->change);
    dpc_tensor_blob_write_as(&step->change, fold->download, difference, step->count);
    if (step->change.failed)
        return no_memory(step, err);
    dpc_codec_decode(fold->download, step->change.data + DPC_TENSOR_BLOB_HEADER_BYTES, step->count,
                     difference);
    for (size_t i = 0; i < step->count; i++)
        step->published[i] += difference[i];
    return DPC_OK;
}

static int
fold_all(struct step *step, const struct dpc_fold *fold, struct dpc_error *err)
{
    int code = pass_gates(step, fold, err);
    begin_sum(step, fold);
    for (uint32_t i = 0; i < fold->inputs_count && code == DPC_OK; i++) {
        double judged = step->judged ? step->judged[i].scale : 1;
        code = add_contribution(step, &fold->inputs[i], fold->inputs[i].scale * judged, err);
    }
    if (code != DPC_OK)
        return code;
    step->ops->outer_nesterov(step->theta, step->momentum, step->sum, step->count, factor_of(step),
                              fold->lr, fold->mu);
    if (fold->mu == 0) /* as in a store, which keeps none then: see name_all */
        memset(step->momentum, 0, step->count * sizeof *step->momentum);
    return publish(step, fold, err);
}

static int
name_all(const struct step *step, const struct dpc_fold *last, bool puts,
         struct dpc_folded *ret_folded, struct dpc_error *err)
{
    struct dpc_folded folded = {
        .module = last->module, .version = last->version, .rescale = step->rescale};
    int code = name(step, step->theta, puts, &folded.master, err);
    /* Without momentum there is nothing to keep: the next step begins from zero as well. */
    if (code == DPC_OK && last->mu != 0)
        code = name(step, step->momentum, puts, &folded.momentum, err);
    folded.published = folded.master;
    if (code == DPC_OK && step->published)
        code = name(step, step->published, puts, &folded.published, err);
    if (code == DPC_OK && step->published && puts)
        code = name_blob(step, &step->change, true, &folded.change, err);
    if (code == DPC_OK)
        *ret_folded = folded;
    return code;
}

int
dpc_outer_chain(struct dpc_store *store, const struct dpc_ops *ops, const struct dpc_fold *folds,
                uint32_t folds_count, bool puts, struct dpc_folded *ret_folded,
                struct dpc_error *err)
{
    const struct dpc_fold *last = &folds[folds_count - 1];
    struct step step = {.store = store, .ops = ops, .count = folds->count};
    int code = begin(&step, folds, err);
    for (uint32_t i = 0; i < folds_count && code == DPC_OK; i++)
        code = fold_all(&step, &folds[i], err);
    if (code == DPC_OK)
        code = name_all(&step, last, puts, ret_folded, err);
    if (code == DPC_OK && step.judged) {
        ret_folded->judged = step.judged;
        ret_folded->judged_count = last->inputs_count;
        step.judged = NULL;
    }
    step_done(&step);
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "could not make version %u of module %u", last->version,
                                last->module);
    return DPC_OK;
}

int
dpc_outer_fold(struct dpc_store *store, const struct dpc_ops *ops, const struct dpc_fold *fold,
               struct dpc_folded *ret_folded, struct dpc_error *err)
{
    return dpc_outer_chain(store, ops, fold, 1, true, ret_folded, err);
}
