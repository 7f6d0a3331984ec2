/* SPDX-License-Identifier: Apache-2.0
 * The calls that walk over a batch slice by slice: gradients, scores, features, logits. */
#include "modules/path_parts.h"

#include <string.h>

static uint64_t
count_targets(const int32_t *targets, size_t count)
{
    uint64_t unmasked = 0;
    for (size_t n = 0; n < count; n++)
        unmasked += targets[n] >= 0;
    return unmasked;
}

static struct dpc_slice
slice_at(const struct dpc_path *path, size_t b, uint32_t batch, uint32_t length)
{
    size_t sequences = dpc_path_slice_sequences(path, length);
    if (sequences > batch - b)
        sequences = batch - b;
    return dpc_slice_of(sequences, length, 0);
}

int
dpc_path_backward(struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                  uint32_t batch, uint32_t length, double *ret_loss_sum, uint64_t *ret_targets)
{
    int status = path->options.use == DPC_PATH_TRAIN
                     ? dpc_path_check(path, tokens, targets, batch, length)
                     : DPC_EINVAL;
    if (status < 0)
        return status;
    uint64_t total = count_targets(targets, (size_t)batch * length), seen = 0;
    double loss_sum = 0;
    struct dpc_slice slice;
    dpc_path_pack(path);
    path->fresh = true;
    for (size_t b = 0; b < batch; b += slice.B) {
        slice = slice_at(path, b, batch, length);
        size_t at = b * length;
        if (count_targets(targets + at, slice.rows) == 0)
            continue;
        dpc_trunk_forward(path, path->acts, tokens + at, slice);
        dpc_loss_slice(path, targets + at, slice, 1.0f / (float)total);
        dpc_trunk_backward(path, tokens + at, slice);
        dpc_loss_sums(path, slice.rows, &loss_sum, &seen);
    }
    if (path->fresh)
        path->ops->memory->clear(path->grads, path->floats * sizeof *path->grads);
    *ret_loss_sum = loss_sum;
    *ret_targets = seen;
    return path->ops->memory->finish();
}

int
dpc_path_score(struct dpc_path *path, const int32_t *tokens, const int32_t *targets, uint32_t batch,
               uint32_t length, double *ret_loss_sums, uint64_t *ret_counts)
{
    return dpc_path_score_pieces(path, tokens, targets, batch, length, length, ret_loss_sums,
                                 ret_counts);
}

/* A piece that divides the length: sums then follow one another over all sequences. */
static int
check_pieces(const struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
             uint32_t batch, uint32_t length, uint32_t piece)
{
    int status = dpc_path_check(path, tokens, targets, batch, length);
    return status == DPC_OK && (piece == 0 || length % piece) ? DPC_EINVAL : status;
}

int
dpc_path_score_pieces(struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                      uint32_t batch, uint32_t length, uint32_t piece, double *ret_loss_sums,
                      uint64_t *ret_counts)
{
    int status = check_pieces(path, tokens, targets, batch, length, piece);
    if (status < 0)
        return status;
    size_t pieces = length / piece;
    memset(ret_loss_sums, 0, batch * pieces * sizeof *ret_loss_sums);
    memset(ret_counts, 0, batch * pieces * sizeof *ret_counts);
    struct dpc_slice slice;
    dpc_path_pack(path);
    for (size_t b = 0; b < batch; b += slice.B) {
        slice = slice_at(path, b, batch, length);
        dpc_trunk_forward(path, path->acts, tokens + b * length, slice);
        dpc_loss_slice(path, targets + b * length, slice, 0.0f);
        dpc_loss_sums(path, piece, ret_loss_sums + b * pieces, ret_counts + b * pieces);
    }
    return path->ops->memory->finish();
}

/* The mean of the first `length` rows of width C, by way of a row of scratch. */
static void
mean_rows(const struct dpc_path *path, float *ret_mean, const float *rows, size_t length)
{
    float *mean = path->scratch[0].delta;
    path->ops->mean_rows(mean, rows, length, path->C);
    path->ops->memory->download(ret_mean, mean, path->C * sizeof *ret_mean);
}

int
dpc_path_features(struct dpc_path *path, const int32_t *tokens, const uint32_t *lengths,
                  uint32_t batch, uint32_t length, float *ret_features)
{
    int status = dpc_path_check(path, tokens, NULL, batch, length);
    for (size_t b = 0; status == DPC_OK && b < batch; b++) {
        if (lengths[b] == 0 || lengths[b] > length)
            status = DPC_EINVAL;
    }
    if (status < 0)
        return status;
    struct dpc_slice slice;
    dpc_path_pack(path);
    for (size_t b = 0; b < batch; b += slice.B) {
        slice = slice_at(path, b, batch, length);
        dpc_trunk_forward(path, path->acts, tokens + b * length, slice);
        for (size_t i = 0; i < slice.B; i++)
            mean_rows(path, ret_features + (b + i) * path->C, path->final.x + i * length * path->C,
                      lengths[b + i]);
    }
    return path->ops->memory->finish();
}

void
dpc_path_row_logits(const struct dpc_path *path, size_t row, float *ret_logits)
{
    const struct dpc_ops *ops = path->ops;
    ops->linear_forward_float(path->loss.logits, dpc_act_at(ops, path->final.norm, row * path->C),
                              &path->head, 1);
    ops->memory->download(ret_logits, path->loss.logits, path->V * sizeof *ret_logits);
}

int
dpc_path_logits_pieces(struct dpc_path *path, const int32_t *tokens, uint32_t batch,
                       uint32_t length, uint32_t piece, float *ret_logits)
{
    int status = check_pieces(path, tokens, NULL, batch, length, piece);
    if (status < 0)
        return status;
    struct dpc_slice slice;
    dpc_path_pack(path);
    for (size_t b = 0; b < batch; b += slice.B) {
        slice = slice_at(path, b, batch, length);
        dpc_trunk_forward(path, path->acts, tokens + b * length, slice);
        for (size_t row = piece - 1; row < slice.rows; row += piece, ret_logits += path->V)
            dpc_path_row_logits(path, row, ret_logits);
    }
    return path->ops->memory->finish();
}

int
dpc_path_logits(struct dpc_path *path, const int32_t *tokens, uint32_t length, float *ret_logits)
{
    return dpc_path_logits_pieces(path, tokens, 1, length, length, ret_logits);
}
