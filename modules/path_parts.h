/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside modules/: what a path consists of. Letters as in ops/ops.h, and W = (H + 2 G) D, the width
 * of qkv.
 *
 * Work goes by slices, some whole sequences whose activations are kept for the backward pass. A
 * slice is cut into tiles of some rows: what stays within a row (norms, products, SwiGLU) is done
 * for a tile by one thread while the tile is in its cache; attention goes by heads, weight
 * gradients by rows of the weight. Between these stand the only waits, two a block and direction.
 * Tiles depend on the model alone, so that the number of threads changes no bit. With a whole table
 * a slice is one tile, and so on: every loop over units has one turn (struct dpc_cut).
 *
 * Rows of a slice are padded to what matrix products like. A padded row is zero from the embedding
 * on, adds nothing to any gradient, and is no target.
 *
 * Owns: nothing. Threads: see modules/path.h.
 */
#ifndef DPC_MODULES_PATH_PARTS_H
#define DPC_MODULES_PATH_PARTS_H

#include <stdbool.h>

#include "base/layout.h"
#include "modules/path.h"

enum {
    DPC_PAD_ROWS = 64, /* rows of a slice are a multiple, unless they are fewer */
};

/* How much a unit of work is. */
struct dpc_cut {
    size_t tile_rows;   /* of a slice */
    size_t weight_rows; /* of a weight's gradient */
    size_t columns;     /* of the embedding's gradient */
};

/* One block's weights. */
struct dpc_block_weights {
    const float *norm_attention, *norm_ffn;
    struct dpc_weights qkv, attention_out, gate_up, down;
};

/* One block's tensors within the gradients. */
struct dpc_block_grads {
    float *norm_attention, *qkv, *attention_out, *norm_ffn, *gate_up, *down;
};

/* What a block's forward pass leaves for its backward pass; N rows of a slice. The inputs of its
 * products are not kept: the backward pass makes them again on its way. */
struct dpc_block_acts {
    float *x;                 /* [N, C] the stream where the block begins */
    float *rstd1;             /* [N] */
    struct dpc_act *qkv;      /* [N, W], not rotated */
    float *lse;               /* [B, H, T] */
    struct dpc_act *attended; /* [N, C] */
    float *x2;                /* [N, C] the stream between attention and feed-forward */
    float *rstd2;             /* [N] */
    struct dpc_act *gate_up;  /* [N, 2, F] */
};

/* The stream after the last block, and its norm. */
struct dpc_final_acts {
    float *x;             /* [N, C] */
    float *rstd;          /* [N] */
    struct dpc_act *norm; /* [N, C] */
};

/* Gradients on their way back; N rows of a slice. A block's output has the stream's gradient dx[0],
 * its middle dx[1]. */
struct dpc_back_acts {
    float *dx[2];                  /* [N, C] */
    struct dpc_act *dx_act[2];     /* [N, C] the same as acts; dx itself when they are fp32 */
    struct dpc_act *dnorm;         /* [N, C] of the final norm's output */
    struct dpc_act *norm1, *norm2; /* [N, C] a block's norms, made again */
    struct dpc_act *activated;     /* [N, F], made again */
    struct dpc_act *dgate_up;      /* [N, 2, F] */
    struct dpc_act *dattended;     /* [N, C] */
    struct dpc_act *dqkv[2];       /* [N, W] of blocks with even and odd numbers */
    float *dgains1, *dgains2;      /* [tiles, C] of norm_attention (or norm_final), norm_ffn */
};

/* What one thread needs for one tile. */
struct dpc_thread_scratch {
    struct dpc_act *narrow; /* [tile_rows, C] */
    struct dpc_act *wide;   /* [tile_rows, F] */
    float *delta;           /* [tile_rows, C] */
    void *attention;
};

/* The loss works through the unmasked rows in chunks, so that [N, V] never exists. */
struct dpc_loss_acts {
    size_t rows_max;         /* of one chunk, a multiple of DPC_PAD_ROWS */
    struct dpc_act *rows;    /* [rows_max, C] final norms of unmasked rows */
    struct dpc_act *drows;   /* [rows_max, C] their gradients */
    float *logits;           /* [rows_max, V], rows head.stride apart */
    struct dpc_act *dlogits; /* the same, or NULL: their gradients stand where they began */
    float *losses;           /* [N] of the unmasked rows, in their order */
};

/* The unmasked rows of a slice, in host memory; [N] each. */
struct dpc_loss_rows {
    size_t count;
    int32_t *targets; /* -1 behind the last, up to a whole chunk */
    uint32_t *places; /* row of the slice */
    float *losses;    /* as they came back */
};

/* Positions first .. T-1 of B sequences; first > 0 only with B = 1, when the rows before stand in
 * qkv already. */
struct dpc_slice {
    size_t B, T, first;
    size_t rows;   /* B (T - first) */
    size_t padded; /* dpc_pad_rows(rows) */
};

static inline size_t
dpc_pad_rows(size_t rows)
{
    return rows < DPC_PAD_ROWS ? rows : (rows + DPC_PAD_ROWS - 1) / DPC_PAD_ROWS * DPC_PAD_ROWS;
}

static inline struct dpc_slice
dpc_slice_of(size_t B, size_t T, size_t first)
{
    size_t rows = B * (T - first);
    return (struct dpc_slice){
        .B = B, .T = T, .first = first, .rows = rows, .padded = dpc_pad_rows(rows)};
}

static inline size_t
dpc_units(size_t count, size_t unit)
{
    return (count + unit - 1) / unit;
}

/* Rows from .. from + count of a slice's padded rows. */
struct dpc_tile {
    size_t from, count;
};

struct dpc_path {
    struct dpc_experiment experiment;
    struct dpc_path_options options;
    const struct dpc_ops *ops;
    size_t C, H, G, D, W, F, V, T_max;
    float epsilon;
    struct dpc_cut cut;
    size_t slice_rows;      /* rows that the activations hold, a multiple of DPC_PAD_ROWS */
    size_t slice_sequences; /* of the full context that fit them */

    struct dpc_layout layouts[DPC_LEVELS_MAX];
    size_t module_offsets[DPC_LEVELS_MAX]; /* floats */
    size_t floats;

    size_t blocks_count;
    struct dpc_block_weights *weights; /* [blocks_count] */
    struct dpc_block_grads *grads_blocks;
    const float *embedding, *norm_final;
    struct dpc_weights head; /* of the embedding when they are tied */
    float *dembedding, *dnorm_final, *dhead;
    bool fresh; /* no slice has set the gradients yet: the first one overwrites them */

    struct dpc_block_acts *acts; /* [blocks_count]; what need not be kept shares memory */
    struct dpc_final_acts final;
    struct dpc_back_acts back;
    struct dpc_loss_acts loss;
    struct dpc_loss_rows unmasked;
    struct dpc_thread_scratch *scratch; /* [threads] */
    float *cosines, *sines;             /* [T_max, D/2] */
    float *params, *grads;
    void *arena;
    size_t arena_bytes;
};

/* Units of `tile_rows` that rows of a slice are cut into, and one of them. */
static inline size_t
dpc_path_tiles(const struct dpc_path *path, size_t rows)
{
    return dpc_units(rows, path->cut.tile_rows);
}

static inline struct dpc_tile
dpc_path_tile(const struct dpc_path *path, size_t rows, size_t unit)
{
    size_t from = unit * path->cut.tile_rows, left = rows - from;
    return (struct dpc_tile){from, left < path->cut.tile_rows ? left : path->cut.tile_rows};
}

/* Units of attention. */
static inline size_t
dpc_path_heads(const struct dpc_path *path, struct dpc_slice slice)
{
    return path->ops->whole ? 1 : slice.B * path->G;
}

/* --- Shapes and checks (path.c). */

/* Whole sequences of `length` that one slice takes. */
size_t dpc_path_slice_sequences(const struct dpc_path *path, size_t length);
/* DPC_EINVAL unless shape and tokens are in range; `targets` may be NULL. */
int dpc_path_check(const struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
                   uint32_t batch, uint32_t length) DPC_MUST_CHECK;
/* Packs the weights, where the table wants that. */
void dpc_path_pack(struct dpc_path *path);

/* --- A tile of one block (block.c); pointers are those of the slice. */

/* From the stream x (+ delta, NULL: nothing; rows of the tile alone) to acts->x and qkv. */
void dpc_block_attention_input(struct dpc_path *path, size_t block,
                               const struct dpc_block_acts *acts, const float *x,
                               const float *delta, struct dpc_slice slice, struct dpc_tile tile,
                               const struct dpc_thread_scratch *scratch);
/* One unit of attention: a head of keys and values of one sequence. */
void dpc_block_attend(struct dpc_path *path, const struct dpc_block_acts *acts,
                      struct dpc_slice slice, size_t unit,
                      const struct dpc_thread_scratch *scratch);
/* From attended to acts->x2 and gate_up. */
void dpc_block_ffn_input(struct dpc_path *path, size_t block, const struct dpc_block_acts *acts,
                         struct dpc_slice slice, struct dpc_tile tile,
                         const struct dpc_thread_scratch *scratch);
/* From gate_up to scratch->delta, which is still to be added to x2. */
void dpc_block_ffn_output(struct dpc_path *path, size_t block, const struct dpc_block_acts *acts,
                          struct dpc_tile tile, const struct dpc_thread_scratch *scratch);

/* The tile's own sum of a gain's gradient, zeroed: tiles are added in their order later, whichever
 * thread had them. */
float *dpc_path_fresh_gains(const struct dpc_path *path, float *dgains, struct dpc_tile tile);
/* From dx[0] to dx[1] and dattended; leaves what the weights' gradients need in path->back. */
void dpc_block_ffn_backward(struct dpc_path *path, size_t block, struct dpc_tile tile,
                            const struct dpc_thread_scratch *scratch);
/* One unit: from dattended to dqkv. */
void dpc_block_attend_backward(struct dpc_path *path, size_t block, struct dpc_slice slice,
                               size_t unit, const struct dpc_thread_scratch *scratch);
/* From dqkv and dx[1] to dx[0]. */
void dpc_block_attention_backward(struct dpc_path *path, size_t block, struct dpc_tile tile,
                                  const struct dpc_thread_scratch *scratch);

/* --- All of them (forward.c, backward.c). */

/* Tokens to path->final: the stream after the last block and its norm. `acts` has one row a block:
 * path->acts, or a generator's. */
void dpc_trunk_forward(struct dpc_path *path, const struct dpc_block_acts *acts,
                       const int32_t *tokens, struct dpc_slice slice);
/* From path->back.dnorm to the gradients of everything below. */
void dpc_trunk_backward(struct dpc_path *path, const int32_t *tokens, struct dpc_slice slice);

/* One weight's gradient dw[O,K] (+)= dy^T x over `rows` rows: unit `unit` of
 * dpc_units(O, cut.weight_rows). */
struct dpc_weight_gradient {
    float *dw;
    const struct dpc_act *dy, *x;
    size_t stride; /* from row to row of dy */
    size_t O, K;
};
void dpc_weight_gradient_unit(const struct dpc_path *path, const struct dpc_weight_gradient *job,
                              size_t rows, bool add, size_t unit);

/* The logits [V] of one row of path->final (step.c). */
void dpc_path_row_logits(const struct dpc_path *path, size_t row, float *ret_logits);

/* --- The loss (loss.c). */

/* The losses of path->final's rows. With `scale` not 0 also sets path->back.dnorm and the head's
 * gradient: scale x the gradient of their sum. */
void dpc_loss_slice(struct dpc_path *path, const int32_t *targets, struct dpc_slice slice,
                    float scale);
/* Waits for these losses: row n's is added to loss_sums[n / rows_per_sum] and counted in
 * counts[n / rows_per_sum]. */
void dpc_loss_sums(struct dpc_path *path, size_t rows_per_sum, double *loss_sums, uint64_t *counts);

#endif
