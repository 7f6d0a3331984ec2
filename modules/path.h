/* SPDX-License-Identifier: Apache-2.0
 *
 * A path: one module per level, composed into a Llama-style language model (RMSNorm, rotary
 * positions, causal attention, SwiGLU, tied or untied head), with its gradients and activations.
 *
 * Parameters of all modules stand in one vector, level after level, each module as base/layout.h
 * says; gradients stand alike. They lie in the memory of the path's op table: the process's own, or
 * a card's.
 *
 * Owns: parameters, gradients and activations, laid out once by _create: no call allocates after
 * it. Threads: a path belongs to one thread at a time and computes in that thread and its pool; the
 * number of threads changes no bit. Limits: batches of up to `batch_max` sequences, lengths of up
 * to the experiment's context. Memory does not grow with the batch: it is worked through in slices
 * of some sequences. Not here: AdamW (modules/adamw.h), text generation (modules/generate.h), where
 * batches come from.
 */
#ifndef DPC_MODULES_PATH_H
#define DPC_MODULES_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"
#include "base/pool.h"
#include "ops/ops.h"

struct dpc_path;

enum dpc_path_use {
    DPC_PATH_TRAIN, /* everything */
    DPC_PATH_INFER, /* no gradients, no saved activations: _score, _features, _logits, generation */
};

struct dpc_path_options {
    const struct dpc_ops *ops; /* dpc_ops_cpu(dtype), or a card's */
    struct dpc_pool *pool;     /* NULL: the calling thread alone, as for every whole table; must
                                * outlive the path */
    uint32_t batch_max;        /* sequences */
    enum dpc_path_use use;
    bool recompute; /* keep only each block's input and make the rest again on the way back: less
                     * memory, a third more work, the same bits */
};

/* A path of `experiment` with all parameters 0. The experiment is copied. DPC_EINVAL when batch_max
 * is 0 or the levels do not begin with the embedding and end with the head; DPC_ENOMEM, naming the
 * size. Release with dpc_path_destroy. */
int dpc_path_create(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
                    struct dpc_path **ret_path, struct dpc_error *err) DPC_MUST_CHECK;

/* The bytes that such a path would hold (dpc_path_bytes), without making one. */
int dpc_path_plan(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
                  size_t *ret_bytes, struct dpc_error *err) DPC_MUST_CHECK;

/* Takes NULL and returns NULL. */
struct dpc_path *dpc_path_destroy(struct dpc_path *path);

/* Floats of the whole vector, and of the module at `level`. */
size_t dpc_path_floats(const struct dpc_path *path);
size_t dpc_path_module_floats(const struct dpc_path *path, uint32_t level);

/* The vectors themselves, in the memory of the path's table, valid until _destroy. Gradients: NULL
 * in a path for inference. */
float *dpc_path_params(struct dpc_path *path);
float *dpc_path_grads(struct dpc_path *path);
float *dpc_path_module_params(struct dpc_path *path, uint32_t level);

/* Copies between these and the caller's memory, whatever the table. Reading waits for what is being
 * computed: DPC_EDEVICE when that failed, and the values are none then. */
void dpc_path_write_params(struct dpc_path *path, const float *values);
void dpc_path_write_module(struct dpc_path *path, uint32_t level, const float *values);
/* What each level begins with (base/layout.h). */
void dpc_path_write_initial(struct dpc_path *path);
int dpc_path_read_params(struct dpc_path *path, float *ret_values) DPC_MUST_CHECK;
int dpc_path_read_grads(struct dpc_path *path, float *ret_values) DPC_MUST_CHECK;
/* values -= the module's parameters. Also DPC_ENOMEM. */
int dpc_path_subtract_module(struct dpc_path *path, uint32_t level, float *values) DPC_MUST_CHECK;
/* `values` less the parameters of the level's module in that form (base/codec.h), computed where
 * these are: what crosses a card's bus is the values and the form. The path trains, and its
 * gradients are of no use afterwards. DPC_EDEVICE. */
int dpc_path_encode_module(struct dpc_path *path, uint32_t level, const float *values,
                           enum dpc_codec codec, uint8_t *ret_bytes) DPC_MUST_CHECK;

/* Bytes of memory that the path holds. */
size_t dpc_path_bytes(const struct dpc_path *path);

/* All calls below take tokens [batch, length], and targets likewise: the token that should follow,
 * or any negative value where the position is masked. They return DPC_EINVAL for a batch or length
 * of 0 or beyond the path's, or a token or target >= vocab, and have changed nothing then; and
 * DPC_EDEVICE when a card failed: what they return is worth nothing then. */

/* Overwrites the gradients with those of the MEAN loss over unmasked targets. `*ret_loss_sum` takes
 * the sum of the losses in nats, `*ret_targets` their number; with none, loss and gradients are 0.
 * DPC_EINVAL too for a path for inference. Not finite parameters give not finite results. */
int dpc_path_backward(struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                      uint32_t batch, uint32_t length, double *ret_loss_sum,
                      uint64_t *ret_targets) DPC_MUST_CHECK;

/* Forward only: for each sequence the sum of its losses in nats and the number of its targets;
 * both arrays are [batch]. */
int dpc_path_score(struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                   uint32_t batch, uint32_t length, double *ret_loss_sums,
                   uint64_t *ret_counts) DPC_MUST_CHECK;

/* The same for each piece of `piece` positions, which divides `length`; both arrays are [batch,
 * length / piece]. Also DPC_EINVAL for one that does not. */
int dpc_path_score_pieces(struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                          uint32_t batch, uint32_t length, uint32_t piece, double *ret_loss_sums,
                          uint64_t *ret_counts) DPC_MUST_CHECK;

/* Routing features (DiPaCo, section 2.4): for each sequence the mean over its first lengths[i]
 * positions (1 .. length) of the last block's output, the residual stream before the final norm.
 * `ret_features` is [batch, dim]. */
int dpc_path_features(struct dpc_path *path, const int32_t *tokens, const uint32_t *lengths,
                      uint32_t batch, uint32_t length, float *ret_features) DPC_MUST_CHECK;

/* The logits that follow the last position of each piece: `ret_logits` is [batch, length / piece,
 * vocab]. */
int dpc_path_logits_pieces(struct dpc_path *path, const int32_t *tokens, uint32_t batch,
                           uint32_t length, uint32_t piece, float *ret_logits) DPC_MUST_CHECK;

/* The logits [vocab] that follow `length` tokens. */
int dpc_path_logits(struct dpc_path *path, const int32_t *tokens, uint32_t length,
                    float *ret_logits) DPC_MUST_CHECK;

#endif
