/* SPDX-License-Identifier: Apache-2.0
 *
 * The op table: every numeric kernel of training, inference and the outer step, as one const struct
 * of functions. A backend is a table; dpc_ops_reference(DPC_FP32) is the naive one that all others
 * are tested against, and it stays.
 *
 * Letters: B sequences, T positions of a sequence, N = B x T rows, C width of the residual stream,
 * O outputs and K inputs of a matrix, H query heads, G heads of keys and values (G divides H), D
 * width of a head, F width of the feed-forward, V vocabulary. Matrices are row-major, outputs come
 * first. `+=` arguments must hold a value before; all others are overwritten. Outputs never alias
 * inputs unless the kernel says so.
 *
 * What feeds a matrix product is an "act": fp32 in a table of DPC_FP32, bf16 in one of DPC_BF16.
 * Parameters, the residual stream, its gradient, logits, norms and optimizer are fp32 in both;
 * arithmetic inside a kernel is fp32, and so is what a product sums.
 *
 * Kernels of the CPU compute in the calling thread on a piece of the work (some rows, one head,
 * some columns): modules/ cuts the pieces, so that they do not depend on the number of threads. A
 * table of a card is `whole`: a call takes all the rows, heads and columns there are and returns
 * before they are computed, calls are computed in their order, and what went wrong is known at
 * memory->finish.
 *
 * Tensors lie in the table's memory. What is listed in host memory for every table, and may change
 * when a call returns: tokens, targets, places, pieces, rates.
 *
 * Owns: nothing; scratch is passed in. oneDNN's products keep their compiled form for each thread
 * (ops/onednn.c). Threads: any number may call at once, of a whole table one. Limits: shapes are
 * the caller's duty (modules/ checks them against the experiment); offsets are size_t.
 *
 * Bits: every kernel is reproducible within a numeric class: the same bits for the same input, the
 * same table and the same kind of machine. Those marked [exact] give the same bits in every table
 * of the CPU, the reference included. tests/unit/ops/test_ops checks both.
 *
 * Not here: what a transformer is (modules/).
 */
#ifndef DPC_OPS_OPS_H
#define DPC_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"

enum dpc_dtype { DPC_FP32, DPC_BF16 };

/* Never defined: an act's place is dpc_act_at's business. */
struct dpc_act;

/* Where the tensors of a table lie. A table of the CPU computes in the process's own memory
 * (dpc_memory_host); nobody but its own kernels may touch a card's. */
struct dpc_memory {
    /* Zeroed, aligned to 256 bytes (the host: 64); NULL when there is none. */
    void *(*allocate)(size_t bytes);
    void (*release)(void *memory); /* takes NULL */
    void (*clear)(void *memory, size_t bytes);
    /* From and to the host, both in order with the kernels; when they return, the host's side may
     * be used again. A download that failed leaves zeros, and `finish` says so. */
    void (*upload)(void *to, const void *from_host, size_t bytes);
    void (*download)(void *to_host, const void *from, size_t bytes);
    /* Waits until all is computed. DPC_OK, or DPC_EDEVICE once anything failed: the card is of no
     * use any more until it is opened anew. */
    int (*finish)(void);
};

extern const struct dpc_memory dpc_memory_host;

/* qkv is [B, T, H + 2 G, D]: the heads of q, then of k, then of v; its gradient too. out is
 * [B, T, H, D]. */
struct dpc_attention_shape {
    size_t B, T, H, G, D;
};

/* What attention reads. */
struct dpc_attention {
    struct dpc_attention_shape shape;
    const struct dpc_act *qkv;
    const float *cosines, *sines; /* [T, D/2], dpc_rope_fill */
};

/* A matrix w[O,K] and its packed forms, one for y = x w^T and one for dx = dy w; NULL in tables
 * that pack nothing. */
struct dpc_weights {
    const float *values;
    size_t O, K;
    /* From row to row of y and dy; 0: O. Only a whole table takes more, which packs this many
     * outputs and gives those past O any value in y; in dy they are 0. */
    size_t stride;
    void *forward, *backward;
};

static inline size_t
dpc_outputs(const struct dpc_weights *w)
{
    return w->stride ? w->stride : w->O;
}

/* All heads of all sequences: the only unit of attention that a whole table takes. */
#define DPC_EVERY_UNIT SIZE_MAX

/* Some values of a vector of parameters. */
struct dpc_piece {
    size_t from, count;
    bool decay; /* AdamW's weight decay applies */
};

/* One AdamW step's numbers, equal for all tensors but the decay. In double, since 1 - beta loses
 * digits in fp32. */
struct dpc_adamw_rates {
    double lr;
    double beta1, beta2;
    double epsilon;
    double weight_decay;             /* of pieces that are decayed */
    double gradient_scale;           /* clipping: min(1, clip / norm) */
    double correction1, correction2; /* 1 - beta^t, t counted from 1 */
};

struct dpc_ops {
    const char *name;     /* "reference", "avx2", "avx512", ... */
    const char *products; /* who multiplies matrices: "naive", "openblas", "onednn" */
    enum dpc_dtype dtype;
    bool whole; /* see above */
    const struct dpc_memory *memory;

    /* --- Matrix products, as PyTorch's nn.Linear. */

    /* Bytes of each packed form of w, O = dpc_outputs(w). NULL: this table packs nothing, and has
     * no `pack` either. */
    size_t (*packed_bytes)(size_t O, size_t K);
    bool packed_once; /* one form serves both ways: `backward` is `forward` */
    /* Fills the packed forms from the values. Once per step. */
    void (*pack)(const struct dpc_weights *w);
    /* y[N,O] = x[N,K] w^T, to acts or to floats. */
    void (*linear_forward)(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w,
                           size_t N);
    void (*linear_forward_float)(float *y, const struct dpc_act *x, const struct dpc_weights *w,
                                 size_t N);
    /* dx[N,K] = dy[N,O] w. */
    void (*linear_backward_input)(struct dpc_act *dx, const struct dpc_act *dy,
                                  const struct dpc_weights *w, size_t N);
    /* dw[O,K] = dy[N,O]^T x[N,K], added to dw or replacing it; rows of dy begin `stride` acts
     * apart. */
    void (*linear_backward_weight)(float *dw, const struct dpc_act *dy, size_t stride,
                                   const struct dpc_act *x, size_t N, size_t O, size_t K, bool add);

    /* --- Rows. */

    /* to[i, :] = from[places[i], :] for i < count, zeros for count <= i < padded. [exact] */
    void (*gather_rows)(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                        size_t count, size_t padded, size_t C);
    /* to[places[i], :] = from[i, :] for i < count; places are distinct. [exact] */
    void (*scatter_rows)(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places,
                         size_t count, size_t C);
    /* sum[C] (+)= the rows of from[N,C], added in their order. [exact] */
    void (*sum_rows)(float *sum, const float *from, size_t N, size_t C, bool add);
    /* mean[C] of the rows of from[N,C], summed in double in their order. [exact] */
    void (*mean_rows)(float *mean, const float *from, size_t N, size_t C);

    /* --- Embedding: x[N,C] = table[tokens[n], :]. Tokens are below V. */
    void (*embedding_forward)(float *x, const float *table, const int32_t *tokens, size_t N,
                              size_t C); /* [exact] */
    /* Columns [first, last) of dtable[V,C] += dx, row by row in the order of positions. [exact] */
    void (*embedding_backward)(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                               size_t C, size_t first, size_t last);

    /* --- RMSNorm (Zhang and Sennrich 2019, eq. 4) with the residual add before it:
     * sum = x + delta; rstd = 1 / sqrt(mean(sum^2) + epsilon); out = sum rstd gain.
     * `delta` NULL: no add, and `sum` (may be NULL then) is not written. sum may be x. */
    void (*rmsnorm_forward)(struct dpc_act *out, float *sum, float *rstd, const float *x,
                            const float *delta, const float *gain, size_t N, size_t C,
                            float epsilon);
    /* dx[N,C] = dx_in (NULL: 0) + the norm's gradient, dgain[C] +=. Two by-products, so that nobody
     * has to store or read them a second time: dx as acts in `dx_act`, and the norm's output again
     * in `out`; NULL or dx itself: not wanted. */
    void (*rmsnorm_backward)(float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain,
                             const float *dx_in, const struct dpc_act *dout, const float *x,
                             const float *rstd, const float *gain, size_t N, size_t C);

    /* Bytes of scratch that one call of either attention kernel needs: linear in T. */
    size_t (*attention_scratch_bytes)(const struct dpc_attention_shape *shape);
    /* --- Causal attention, softmax(q k^T / sqrt(D)) v, on q and k rotated by their positions (Su
     * et al. 2021, in the half-rotation form of Hugging Face's Llama: pairs are (d, d + D/2)). One
     * `unit` below B x G is one head of keys and values of one sequence, with its H / G query
     * heads. Work goes by blocks of query rows, so that memory is linear in T
     * (attention_scratch_bytes); blocks above the diagonal are skipped. Only rows `first` ..
     * T-1 of out and lse[B,H,T] (log of the softmax's denominator, for the backward pass) are
     * computed: 0 for training, T-1 to extend a sequence by one token. */
    void (*attention_forward)(struct dpc_act *out, float *lse, const struct dpc_attention *in,
                              size_t unit, size_t first, void *scratch);
    /* Overwrites the unit's part of dqkv, which is the gradient of what was not rotated yet. */
    void (*attention_backward)(struct dpc_act *dqkv, const struct dpc_act *dout,
                               const struct dpc_act *out, const float *lse,
                               const struct dpc_attention *in, size_t unit, void *scratch);

    /* --- SwiGLU (Shazeer 2020): gate_up is [N, 2, F], out[N,F] = silu(gate) up. */
    void (*swiglu_forward)(struct dpc_act *out, const struct dpc_act *gate_up, size_t N, size_t F);
    /* Also sets `out` again. */
    void (*swiglu_backward)(struct dpc_act *dgate_up, struct dpc_act *out,
                            const struct dpc_act *dout, const struct dpc_act *gate_up, size_t N,
                            size_t F);

    /* --- Cross-entropy over rows of logits[N,V], in nats; a row with target < 0 is masked: loss 0,
     * gradient 0. Rows of logits and dlogits begin dpc_logits_stride apart. */
    void (*cross_entropy_forward)(float *losses, const float *logits, const int32_t *targets,
                                  size_t N, size_t V);
    /* The same, and dlogits[N,V] = scale x their gradient, 0 between V and the next row; the logits
     * are of no use afterwards. dlogits may begin where the logits do, but not in a whole table. */
    void (*cross_entropy_backward)(float *losses, struct dpc_act *dlogits, float *logits,
                                   const int32_t *targets, size_t N, size_t V, float scale);

    /* --- Optimizers. */

    /* sums[i] = sum of squares of piece i of `values`, in double. NaN or infinite exactly when a
     * value is. [exact] */
    void (*squared_norms)(double *sums, const float *values, const struct dpc_piece *pieces,
                          size_t count);
    /* One fused pass of AdamW (Loshchilov and Hutter 2019, decoupled decay; PyTorch's order of
     * operations) over those pieces of parameters, gradients and moments. */
    void (*adamw)(float *parameters, const float *gradients, float *m, float *v,
                  const struct dpc_piece *pieces, size_t count,
                  const struct dpc_adamw_rates *rates);

    /* --- The outer step (DiPaCo, section 2.5), whole modules at a time, in double. */

    /* sum += weight x delta. Fold contributions in one fixed order: then bits are the same. [exact]
     */
    void (*outer_accumulate)(double *sum, const float *delta, double weight, size_t count);
    /* With D = scale x sum: momentum = mu momentum + D (rounded to fp32, that value goes on);
     * theta = theta - lr (D + mu momentum), in place. Nesterov as PyTorch's SGD has it. [exact] */
    void (*outer_nesterov)(float *theta, float *momentum, const double *sum, size_t count,
                           double scale, double lr, double mu);

    /* --- The wire. */

    /* bytes[dpc_codec_bytes] = from - values in that form (base/codec.h). On a card all three are
     * aligned to 16 bytes. [exact] */
    void (*encode_difference)(uint8_t *bytes, const float *from, const float *values, size_t count,
                              enum dpc_codec codec);
};

/* The fastest table whose instructions run on this machine; NULL when there is none for `dtype`
 * (fp32 always has one). Chosen once; also tells BLAS and oneDNN to compute in the calling thread
 * only. */
const struct dpc_ops *dpc_ops_cpu(enum dpc_dtype dtype);

/* The naive loops. */
const struct dpc_ops *dpc_ops_reference(enum dpc_dtype dtype);

/* The CPU tables that run here, fastest first within a dtype, fp32 before bf16; NULL at and past
 * the end. For tests and benchmarks. */
const struct dpc_ops *dpc_ops_cpu_at(size_t index);

/* The kernels that BLAS chose ("Zen", "Cooperlake"): to be printed beside every figure. */
const char *dpc_ops_blas_kernel(void);

/* OpenBLAS's version ("0.3.21"). The same kernels of another version may give other bits. */
void dpc_ops_blas_version(char *ret_text, size_t size);

/* oneDNN's version and instruction set ("2.6.3-avx512_core_bf16"); "none" when it was not built in,
 * "blocked" when it may not run the code that it makes (a write-xor-execute filter). */
const char *dpc_ops_onednn_kernel(void);

/* Fills cosines[T, D/2] and sines[T, D/2]: angle = t / base^(2 d / D). D is even. */
void dpc_rope_fill(float *cosines, float *sines, size_t T, size_t D, double base);

/* From row to row of logits [N, V] and of their gradients. A vocabulary has any size; a card wants
 * rows that begin on 16 bytes. */
static inline size_t
dpc_logits_stride(bool whole, size_t V)
{
    return whole ? (V + 7) / 8 * 8 : V;
}

/* --- Acts. */

static inline size_t
dpc_act_bytes(const struct dpc_ops *ops)
{
    return ops->dtype == DPC_BF16 ? 2 : 4;
}

static inline struct dpc_act *
dpc_act_at(const struct dpc_ops *ops, const struct dpc_act *base, size_t index)
{
    return (struct dpc_act *)((const char *)base + index * dpc_act_bytes(ops));
}

/* One value of acts; bf16 is rounded to the nearest, ties to even. For tests and small things. */
float dpc_act_read(const struct dpc_ops *ops, const struct dpc_act *acts, size_t index);
void dpc_act_write(const struct dpc_ops *ops, struct dpc_act *acts, size_t index, float value);

#endif
