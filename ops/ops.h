/* SPDX-License-Identifier: Apache-2.0
 *
 * The op table: every numeric kernel of training, inference and the outer step, as one const struct
 * of functions. A backend is a table; dpc_ops_reference() is the naive one that all others are
 * tested against, and it stays.
 *
 * Letters: B sequences, T positions of a sequence, N = B x T rows, C width of the residual stream,
 * O outputs and K inputs of a matrix, H heads, D width of a head (C = H x D), F width of the
 * feed-forward, V vocabulary. Matrices are row-major, vectors of fp32, outputs come first.
 * An argument that is `+=` must hold a value before; all others are overwritten. Outputs never
 * alias inputs unless the kernel says so.
 *
 * Owns: nothing; kernels keep no state, allocate nothing and start no threads: scratch is passed
 * in. Threads: any number may call at once. Limits: shapes are the caller's duty (modules/ checks
 * them against the experiment); offsets are size_t.
 *
 * Bits: a kernel gives the same bits for the same input and the same table on the same machine
 * class
 * ("reproducible within a numeric class"). Those marked [exact] give the same bits in every table,
 * the reference included.
 *
 * Not here: what a transformer is (modules/).
 */
#ifndef DPC_OPS_OPS_H
#define DPC_OPS_OPS_H

#include <stddef.h>
#include <stdint.h>

/* Shape of an attention call. qkv is [B, T, 3, H, D], its gradient too; out is [B, T, H, D]. */
struct dpc_attention_shape {
    size_t B, T, H, D;
};

/* One AdamW step's numbers, equal for all tensors but the decay. In double, since 1 - beta loses
 * digits in fp32. */
struct dpc_adamw_rates {
    double lr;
    double beta1, beta2;
    double epsilon;
    double weight_decay;             /* 0 for what is not decayed */
    double gradient_scale;           /* clipping: min(1, clip / norm) */
    double correction1, correction2; /* 1 - beta^t, t counted from 1 */
};

struct dpc_ops {
    const char *name; /* "reference", "baseline", "avx2", "avx512" */

    /* --- Matrices: y[N,O] = x[N,K] w[O,K]^T, as PyTorch's nn.Linear. BLAS in all but the
     * reference. */

    /* y[N,O] = x w^T. */
    void (*linear_forward)(float *y, const float *x, const float *w, size_t N, size_t O, size_t K);
    /* dx[N,K] = dy[N,O] w[O,K] + beta dx; beta 0 overwrites. */
    void (*linear_backward_input)(float *dx, const float *dy, const float *w, size_t N, size_t O,
                                  size_t K, float beta);
    /* dw[O,K] = dy^T x + beta dw; beta 0 overwrites. */
    void (*linear_backward_weight)(float *dw, const float *dy, const float *x, size_t N, size_t O,
                                   size_t K, float beta);

    /* --- Embedding: x[N,C] = table[tokens[n], :]. Tokens are below V. */
    void (*embedding_forward)(float *x, const float *table, const int32_t *tokens, size_t N,
                              size_t C); /* [exact] */
    /* dtable[V,C] += dx, row by row in the order of positions. [exact] */
    void (*embedding_backward)(float *dtable, const float *dx, const int32_t *tokens, size_t N,
                               size_t C);

    /* --- RMSNorm (Zhang and Sennrich 2019, eq. 4) with the residual add before it:
     * sum = x + delta; rstd = 1 / sqrt(mean(sum^2) + epsilon); out = sum rstd gain.
     * `delta` NULL: no add, and `sum` (may be NULL then) is not written. sum may be x. */
    void (*rmsnorm_forward)(float *out, float *sum, float *rstd, const float *x, const float *delta,
                            const float *gain, size_t N, size_t C, float epsilon);
    /* dx[N,C] += the norm's gradient (so that dx carries the residual stream's), dgain[C] +=. */
    void (*rmsnorm_backward)(float *dx, float *dgain, const float *dout, const float *x,
                             const float *rstd, const float *gain, size_t N, size_t C);

    /* --- Rotary positions (Su et al. 2021) in the half-rotation form of Hugging Face's Llama:
     * pairs are (d, d + D/2). In place on the q and k of qkv; cosines and sines are [T, D/2]. */
    void (*rope_forward)(float *qkv, const float *cosines, const float *sines,
                         struct dpc_attention_shape shape);
    /* The inverse rotation, in place on dqkv. */
    void (*rope_backward)(float *dqkv, const float *cosines, const float *sines,
                          struct dpc_attention_shape shape);

    /* --- Causal attention, softmax(q k^T / sqrt(D)) v. Work goes by blocks of query rows, so that
     * memory is linear in T (dpc_attention_scratch_floats); blocks above the diagonal are skipped.
     * Only rows `first` .. T-1 of out and lse[B,H,T] (log of the softmax's denominator, for the
     * backward pass) are computed: 0 for training, T-1 to extend a sequence by one token. */
    void (*attention_forward)(float *out, float *lse, const float *qkv,
                              struct dpc_attention_shape shape, size_t first, float *scratch);
    void (*attention_backward)(float *dqkv, const float *dout, const float *qkv, const float *out,
                               const float *lse, struct dpc_attention_shape shape, float *scratch);

    /* --- SwiGLU (Shazeer 2020): gate_up is [N, 2, F], out[N,F] = silu(gate) up. */
    void (*swiglu_forward)(float *out, const float *gate_up, size_t N, size_t F);
    void (*swiglu_backward)(float *dgate_up, const float *dout, const float *gate_up, size_t N,
                            size_t F);

    /* --- Cross-entropy over rows of logits[N,V], in nats; a row with target < 0 is masked: loss 0,
     * gradient 0. */
    void (*cross_entropy_forward)(float *losses, const float *logits, const int32_t *targets,
                                  size_t N, size_t V);
    /* The same, and the logits are replaced by scale x their gradient. */
    void (*cross_entropy_backward)(float *losses, float *logits, const int32_t *targets, size_t N,
                                   size_t V, float scale);

    /* --- Optimizers. */

    /* Sum of squares in double. NaN or infinite exactly when a value is. [exact] */
    double (*squared_norm)(const float *values, size_t count);
    /* One fused pass of AdamW (Loshchilov and Hutter 2019, decoupled decay; PyTorch's order of
     * operations) over parameters, gradients and moments. */
    void (*adamw)(float *parameters, const float *gradients, float *m, float *v, size_t count,
                  const struct dpc_adamw_rates *rates);

    /* --- The outer step (DiPaCo, section 2.5), whole modules at a time, in double. */

    /* sum += weight x delta. Fold contributions in one fixed order: then bits are the same. [exact]
     */
    void (*outer_accumulate)(double *sum, const float *delta, double weight, size_t count);
    /* With D = scale x sum: momentum = mu momentum + D (rounded to fp32, that value goes on);
     * theta = theta - lr (D + mu momentum), in place. Nesterov as PyTorch's SGD has it. [exact] */
    void (*outer_nesterov)(float *theta, float *momentum, const double *sum, size_t count,
                           double scale, double lr, double mu);
};

/* The widest table whose instructions run on this machine, chosen once. Also tells BLAS to compute
 * in the calling thread only. */
const struct dpc_ops *dpc_ops_cpu(void);

/* The naive loops. */
const struct dpc_ops *dpc_ops_reference(void);

/* The CPU tables that run here, widest first; NULL at and past the end. For tests and benchmarks.
 */
const struct dpc_ops *dpc_ops_cpu_at(size_t index);

/* The kernels that BLAS chose ("Zen", "Cooperlake"): to be printed beside every figure. */
const char *dpc_ops_blas_kernel(void);

/* Floats of scratch that both attention kernels need for any table: linear in T. */
size_t dpc_attention_scratch_floats(size_t T, size_t D);

/* Fills cosines[T, D/2] and sines[T, D/2]: angle = t / base^(2 d / D). D is even. */
void dpc_rope_fill(float *cosines, float *sines, size_t T, size_t D, double base);

#endif
