/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside modules/: what a path consists of. Letters as in ops/ops.h.
 *
 * Work goes by slices: some whole sequences, whose activations are small enough to stay in cache.
 * The residual stream's additions are done by the norm that follows: a block takes the stream and
 * the `delta` that its predecessor computed but did not add, and leaves its own.
 *
 * Owns: nothing. Threads: see modules/path.h.
 */
#ifndef DPC_MODULES_PATH_PARTS_H
#define DPC_MODULES_PATH_PARTS_H

#include <stdbool.h>

#include "base/layout.h"
#include "modules/path.h"

/* One block's tensors within the parameters or within the gradients. */
struct dpc_block_tensors {
    float *norm_attention, *qkv, *attention_out, *norm_ffn, *gate_up, *down;
};

/* Tensors that stand outside the blocks. `head` is `embedding` when they are tied. */
struct dpc_edge_tensors {
    float *embedding, *norm_final, *head;
};

/* What a block's forward pass leaves for its backward pass; N rows of a slice. */
struct dpc_block_acts {
    float *x;         /* [N, C] the stream where the block begins */
    float *rstd1;     /* [N] */
    float *norm1;     /* [N, C] */
    float *qkv;       /* [N, 3, C], rotated */
    float *lse;       /* [B, H, T] */
    float *attended;  /* [N, C] */
    float *x2;        /* [N, C] the stream between attention and feed-forward */
    float *rstd2;     /* [N] */
    float *norm2;     /* [N, C] */
    float *gate_up;   /* [N, 2, F] */
    float *activated; /* [N, F] */
};

/* The stream after the last block, and its norm. */
struct dpc_final_acts {
    float *x;    /* [N, C] */
    float *rstd; /* [N] */
    float *norm; /* [N, C] */
};

/* Gradients on their way back; N rows of a slice. */
struct dpc_back_acts {
    float *dx;      /* [N, C] of the stream */
    float *dnorm;   /* [N, C] */
    float *dwide;   /* [N, max(3 C, 2 F)] of qkv or gate_up */
    float *dnarrow; /* [N, max(C, F)] of attended or activated */
};

/* The loss works through the unmasked rows in chunks, so that [N, V] never exists. */
struct dpc_loss_acts {
    size_t rows_max;  /* of one chunk */
    float *rows;      /* [rows_max, C] final norms of unmasked rows */
    float *drows;     /* [rows_max, C] their gradients */
    float *logits;    /* [rows_max, V], then their gradients */
    float *losses;    /* [rows_max] */
    int32_t *targets; /* [rows_max] */
    uint32_t *places; /* [rows_max] row of the slice */
};

/* Positions first .. T-1 of B sequences; first > 0 only with B = 1, when the rows before stand in
 * qkv already. */
struct dpc_slice {
    size_t B, T, first;
};

static inline size_t
dpc_slice_rows(struct dpc_slice slice)
{
    return slice.B * (slice.T - slice.first);
}

struct dpc_path {
    struct dpc_experiment experiment;
    const struct dpc_ops *ops;
    enum dpc_path_use use;
    uint32_t batch_max;
    size_t C, H, D, F, V, T_max;
    float epsilon;
    size_t slice_rows; /* rows that the activations hold */

    struct dpc_layout layouts[DPC_LEVELS_MAX];
    size_t module_offsets[DPC_LEVELS_MAX]; /* floats */
    size_t floats;

    size_t blocks_count;
    struct dpc_block_tensors *params_blocks, *grads_blocks; /* [blocks_count] */
    struct dpc_edge_tensors params_edge, grads_edge;
    struct dpc_block_acts *acts; /* [blocks_count]; for inference all share one memory */
    struct dpc_final_acts final;
    struct dpc_back_acts back;
    struct dpc_loss_acts loss;
    float *delta;           /* [N, C] what the next norm adds to the stream */
    float *cosines, *sines; /* [T_max, D/2] */
    float *scratch;         /* of attention */
    float *params, *grads;
    float *arena;
    size_t arena_floats;
};

/* --- Shapes and checks (path.c). */
struct dpc_attention_shape dpc_path_shape(const struct dpc_path *path, size_t B, size_t T);
/* Whole sequences of `length` that one slice takes. */
size_t dpc_path_slice_sequences(const struct dpc_path *path, size_t length);
/* DPC_EINVAL unless shape and tokens are in range; `targets` may be NULL. */
int dpc_path_check(const struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                   uint32_t batch, uint32_t length) DPC_MUST_CHECK;

/* --- One block (block.c). */

/* x: the stream that the predecessor left, delta: what is still to be added to it (NULL: nothing).
 * Leaves its own delta in path->delta and the stream in acts->x2. */
void dpc_block_forward(struct dpc_path *path, const struct dpc_block_tensors *weights,
                       const struct dpc_block_acts *acts, const float *x, const float *delta,
                       struct dpc_slice slice);
/* path->back.dx: gradient of the block's output, replaced by that of its input. Adds to `grads`. */
void dpc_block_backward(struct dpc_path *path, const struct dpc_block_tensors *weights,
                        const struct dpc_block_tensors *grads, const struct dpc_block_acts *acts,
                        struct dpc_slice slice);

/* --- All of them (trunk.c). */

/* Tokens to path->final: the stream after the last block and its norm. `acts` has one row a block:
 * path->acts, or a session's. */
void dpc_trunk_forward(struct dpc_path *path, const struct dpc_block_acts *acts,
                       const int32_t *tokens, struct dpc_slice slice);
/* From path->back.dnorm, the gradient of path->final.norm, to the gradients of everything below. */
void dpc_trunk_backward(struct dpc_path *path, const int32_t *tokens, struct dpc_slice slice);

/* --- The loss (loss.c). */

/* Over the N rows of path->final: row n's loss is added to loss_sums[n / rows_per_sum] and counted
 * in counts[n / rows_per_sum]. With `scale` not 0 also sets path->back.dnorm and adds to the head's
 * gradient: scale x the gradient of the sum. */
void dpc_loss_slice(struct dpc_path *path, const int32_t *targets, size_t N, size_t rows_per_sum,
                    float scale, double *loss_sums, uint64_t *counts);

#endif
