/* SPDX-License-Identifier: Apache-2.0
 * The naive loops, formula by formula, accumulated in double. Slow on purpose: this is what the
 * other tables are tested against, so that it must be plain to see that it is right. It stays.
 * Compiled twice: with DPC_ACT_BF16 acts are bf16, rounded once where they are stored. */
#include "ops/tables.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bf16.h"

#ifdef DPC_ACT_BF16
#define TABLE dpc_reference_bf16_table
#define DTYPE DPC_BF16
typedef uint16_t act;

static double
get(const struct dpc_act *acts, size_t index)
{
    return (double)dpc_bf16_to_float(((const act *)acts)[index]);
}

static void
put(struct dpc_act *acts, size_t index, double value)
{
    ((act *)acts)[index] = dpc_bf16_from_float((float)value);
}

/* A weight as it enters a product. */
static double
weight(float value)
{
    return (double)dpc_bf16_to_float(dpc_bf16_from_float(value));
}
#else
#define TABLE dpc_reference_fp32_table
#define DTYPE DPC_FP32
typedef float act;

static double
get(const struct dpc_act *acts, size_t index)
{
    return (double)((const act *)acts)[index];
}

static void
put(struct dpc_act *acts, size_t index, double value)
{
    ((act *)acts)[index] = (float)value;
}

static double
weight(float value)
{
    return (double)value;
}
#endif

static double
output(const struct dpc_act *x, const struct dpc_weights *w, size_t n, size_t o)
{
    double sum = 0;
    for (size_t i = 0; i < w->K; i++)
        sum += get(x, n * w->K + i) * weight(w->values[o * w->K + i]);
    return sum;
}

static void
linear_forward(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t o = 0; o < w->O; o++)
            put(y, n * w->O + o, output(x, w, n, o));
    }
}

static void
linear_forward_float(float *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t o = 0; o < w->O; o++)
            y[n * w->O + o] = (float)output(x, w, n, o);
    }
}

static void
linear_backward_input(struct dpc_act *dx, const struct dpc_act *dy, const struct dpc_weights *w,
                      size_t N)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t i = 0; i < w->K; i++) {
            double sum = 0;
            for (size_t o = 0; o < w->O; o++)
                sum += get(dy, n * w->O + o) * weight(w->values[o * w->K + i]);
            put(dx, n * w->K + i, sum);
        }
    }
}

static void
linear_backward_weight(float *dw, const struct dpc_act *dy, size_t stride, const struct dpc_act *x,
                       size_t N, size_t O, size_t K, bool add)
{
    for (size_t o = 0; o < O; o++) {
        for (size_t i = 0; i < K; i++) {
            double sum = add ? (double)dw[o * K + i] : 0.0;
            for (size_t n = 0; n < N; n++)
                sum += get(dy, n * stride + o) * get(x, n * K + i);
            dw[o * K + i] = (float)sum;
        }
    }
}

static void
embedding_forward(float *x, const float *table, const int32_t *tokens, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t c = 0; c < C; c++)
            x[n * C + c] = table[(size_t)tokens[n] * C + c];
    }
}

static void
embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N, size_t C,
                   size_t first, size_t last)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t c = first; c < last; c++)
            dtable[(size_t)tokens[n] * C + c] += dx[n * C + c];
    }
}

static void
rmsnorm_forward(struct dpc_act *out, float *sum, float *rstd, const float *x, const float *delta,
                const float *gain, size_t N, size_t C, float epsilon)
{
    for (size_t n = 0; n < N; n++) {
        double squares = 0;
        for (size_t c = 0; c < C; c++) {
            float value = x[n * C + c] + (delta ? delta[n * C + c] : 0.0f);
            if (delta)
                sum[n * C + c] = value;
            squares += (double)value * (double)value;
        }
        rstd[n] = (float)(1.0 / sqrt(squares / (double)C + (double)epsilon));
        const float *row = (delta ? sum : x) + n * C;
        for (size_t c = 0; c < C; c++)
            put(out, n * C + c, (double)row[c] * (double)rstd[n] * (double)gain[c]);
    }
}

static void
rmsnorm_backward(float *dx, struct dpc_act *dx_act, struct dpc_act *out, float *dgain,
                 const float *dx_in, const struct dpc_act *dout, const float *x, const float *rstd,
                 const float *gain, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        const float *row = x + n * C;
        double r = (double)rstd[n], dot = 0;
        for (size_t c = 0; c < C; c++)
            dot += (double)gain[c] * get(dout, n * C + c) * (double)row[c];
        for (size_t c = 0; c < C; c++) {
            size_t i = n * C + c;
            double dy = get(dout, i), before = dx_in ? (double)dx_in[i] : 0.0;
            dgain[c] += (float)(dy * (double)row[c] * r);
            dx[i] = (float)(before + r * (double)gain[c] * dy -
                            (double)row[c] * r * r * r * dot / (double)C);
            if (dx_act && (void *)dx_act != (void *)dx)
                put(dx_act, i, (double)dx[i]);
            if (out)
                put(out, i, (double)row[c] * r * (double)gain[c]);
        }
    }
}

/* --- Attention: one head at a time, copied to doubles and rotated. */

/* Where a unit's heads stand in rows of qkv and of out. */
struct place {
    size_t T, D, stride, width, row, q, k, v;
};

static struct place
place_of(struct dpc_attention_shape s, size_t unit, size_t h)
{
    size_t b = unit / s.G, g = unit % s.G, query = g * (s.H / s.G) + h;
    return (struct place){
        .T = s.T,
        .D = s.D,
        .stride = (s.H + 2 * s.G) * s.D,
        .width = s.H * s.D,
        .row = b * s.T,
        .q = query * s.D,
        .k = (s.H + g) * s.D,
        .v = (s.H + s.G + g) * s.D,
    };
}

/* Turns head[T,D] by sign x the angle of each position. */
static void
rotate(double *head, const struct dpc_attention *in, double sign)
{
    size_t D = in->shape.D, half = D / 2;
    for (size_t t = 0; t < in->shape.T; t++) {
        for (size_t d = 0; d < half; d++) {
            double cosine = (double)in->cosines[t * half + d];
            double sine = sign * (double)in->sines[t * half + d];
            double a = head[t * D + d], b = head[t * D + d + half];
            head[t * D + d] = a * cosine - b * sine;
            head[t * D + d + half] = b * cosine + a * sine;
        }
    }
}

/* The column `offset` of rows that begin `stride` apart, as doubles [T,D]; release with dpc_free.
 */
static double *
head_of(const struct dpc_act *acts, struct place p, size_t stride, size_t offset)
{
    double *head = dpc_alloc(p.T * p.D, sizeof *head);
    for (size_t t = 0; t < p.T; t++) {
        for (size_t d = 0; d < p.D; d++)
            head[t * p.D + d] = get(acts, (p.row + t) * stride + offset + d);
    }
    return head;
}

static double *
rotated_head(const struct dpc_attention *in, struct place p, size_t offset)
{
    double *head = head_of(in->qkv, p, p.stride, offset);
    rotate(head, in, 1.0);
    return head;
}

static double
dot_product(const double *a, const double *b, size_t D)
{
    double sum = 0;
    for (size_t d = 0; d < D; d++)
        sum += a[d] * b[d];
    return sum;
}

static double
score(const double *q, const double *k, size_t D)
{
    return dot_product(q, k, D) / sqrt((double)D);
}

static double
log_sum_scores(const double *q, const double *keys, size_t count, size_t D)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < count; j++)
        max = fmax(max, score(q, keys + j * D, D));
    for (size_t j = 0; j < count; j++)
        sum += exp(score(q, keys + j * D, D) - max);
    return max + log(sum);
}

static void
attend_head(struct dpc_act *out, float *lse, const struct dpc_attention *in, struct place p,
            size_t first)
{
    double *q = rotated_head(in, p, p.q), *k = rotated_head(in, p, p.k);
    double *v = head_of(in->qkv, p, p.stride, p.v);
    for (size_t i = first; i < p.T; i++) {
        double sum = log_sum_scores(q + i * p.D, k, i + 1, p.D);
        lse[i] = (float)sum;
        for (size_t d = 0; d < p.D; d++) {
            double value = 0;
            for (size_t j = 0; j <= i; j++)
                value += exp(score(q + i * p.D, k + j * p.D, p.D) - sum) * v[j * p.D + d];
            put(out, (p.row + i) * p.width + p.q + d, value);
        }
    }
    dpc_free(q);
    dpc_free(k);
    dpc_free(v);
}

/* The lse of query head `h` of the unit's group. */
static size_t
lse_of(struct dpc_attention_shape s, size_t unit, size_t h)
{
    return ((unit / s.G) * s.H + unit % s.G * (s.H / s.G) + h) * s.T;
}

static void
attention_forward(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
                  size_t first, void *scratch)
{
    (void)scratch;
    for (size_t h = 0; h < in->shape.H / in->shape.G; h++)
        attend_head(out, lse + lse_of(in->shape, unit, h), in, place_of(in->shape, unit, h), first);
}

static void
put_head(struct dpc_act *dqkv, const double *head, struct place p, size_t offset)
{
    for (size_t t = 0; t < p.T; t++) {
        for (size_t d = 0; d < p.D; d++)
            put(dqkv, (p.row + t) * p.stride + offset + d, head[t * p.D + d]);
    }
}

/* One query head's gradients: sets those of its q, adds to those of k and v. */
static void
attend_head_backward(struct dpc_act *dqkv, double *dk, double *dv, const struct dpc_act *dout_acts,
                     const struct dpc_act *out_acts, const float *lse,
                     const struct dpc_attention *in, struct place p)
{
    double *q = rotated_head(in, p, p.q), *k = rotated_head(in, p, p.k);
    double *v = head_of(in->qkv, p, p.stride, p.v), *dq = dpc_alloc(p.T * p.D, sizeof *dq);
    double *out = head_of(out_acts, p, p.width, p.q), *dout = head_of(dout_acts, p, p.width, p.q);
    for (size_t i = 0; i < p.T; i++) {
        double mean = dot_product(out + i * p.D, dout + i * p.D, p.D);
        for (size_t j = 0; j <= i; j++) {
            double probability = exp(score(q + i * p.D, k + j * p.D, p.D) - (double)lse[i]);
            double ds = probability * (dot_product(dout + i * p.D, v + j * p.D, p.D) - mean) /
                        sqrt((double)p.D);
            for (size_t d = 0; d < p.D; d++) {
                dq[i * p.D + d] += ds * k[j * p.D + d];
                dk[j * p.D + d] += ds * q[i * p.D + d];
                dv[j * p.D + d] += probability * dout[i * p.D + d];
            }
        }
    }
    rotate(dq, in, -1.0);
    put_head(dqkv, dq, p, p.q);
    double *const all[] = {q, k, v, dq, out, dout};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dpc_free(all[i]);
}

static void
attention_backward(struct dpc_act *dqkv, const struct dpc_act *dout, const struct dpc_act *out,
                   const float *lse, const struct dpc_attention *in, size_t unit, void *scratch)
{
    struct place p = place_of(in->shape, unit, 0);
    double *dk = dpc_alloc(p.T * p.D, sizeof *dk), *dv = dpc_alloc(p.T * p.D, sizeof *dv);
    (void)scratch;
    for (size_t h = 0; h < in->shape.H / in->shape.G; h++)
        attend_head_backward(dqkv, dk, dv, dout, out, lse + lse_of(in->shape, unit, h), in,
                             place_of(in->shape, unit, h));
    rotate(dk, in, -1.0);
    put_head(dqkv, dk, p, p.k);
    put_head(dqkv, dv, p, p.v);
    dpc_free(dk);
    dpc_free(dv);
}

static double
sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void
swiglu_forward(struct dpc_act *out, const struct dpc_act *gate_up, size_t N, size_t F)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t f = 0; f < F; f++) {
            double gate = get(gate_up, 2 * n * F + f), up = get(gate_up, 2 * n * F + F + f);
            put(out, n * F + f, gate * sigmoid(gate) * up);
        }
    }
}

static void
swiglu_backward(struct dpc_act *dgate_up, struct dpc_act *out, const struct dpc_act *dout,
                const struct dpc_act *gate_up, size_t N, size_t F)
{
    swiglu_forward(out, gate_up, N, F);
    for (size_t n = 0; n < N; n++) {
        for (size_t f = 0; f < F; f++) {
            double gate = get(gate_up, 2 * n * F + f), up = get(gate_up, 2 * n * F + F + f);
            double s = sigmoid(gate), dy = get(dout, n * F + f);
            put(dgate_up, 2 * n * F + f, dy * up * s * (1.0 + gate * (1.0 - s)));
            put(dgate_up, 2 * n * F + F + f, dy * gate * s);
        }
    }
}

static double
log_sum_exp(const float *row, size_t V)
{
    double max = -INFINITY, sum = 0;
    for (size_t v = 0; v < V; v++) /* no fmax: GCC 12 fails over it on 64-bit Arm */
        max = (double)row[v] > max ? (double)row[v] : max;
    for (size_t v = 0; v < V; v++)
        sum += exp((double)row[v] - max);
    return max + log(sum);
}

static void
cross_entropy_forward(float *losses, const float *logits, const int32_t *targets, size_t N,
                      size_t V)
{
    for (size_t n = 0; n < N; n++) {
        const float *row = logits + n * V;
        losses[n] = 0;
        if (targets[n] >= 0)
            losses[n] = (float)(log_sum_exp(row, V) - (double)row[targets[n]]);
    }
}

static void
cross_entropy_backward(float *losses, struct dpc_act *dlogits, float *logits,
                       const int32_t *targets, size_t N, size_t V, float scale)
{
    cross_entropy_forward(losses, logits, targets, N, V);
    for (size_t n = 0; n < N; n++) {
        const float *row = logits + n * V;
        double lse = log_sum_exp(row, V);
        for (size_t v = 0; v < V; v++) {
            double hit = (int32_t)v == targets[n] ? 1.0 : 0.0;
            double gradient = exp((double)row[v] - lse) - hit;
            put(dlogits, n * V + v, targets[n] < 0 ? 0.0 : (double)scale * gradient);
        }
    }
}

/* The sixteen partial sums are the definition: every table adds in this order. */
static double
squared_norm(const float *values, size_t count)
{
    double parts[16] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        parts[i % 16] += (double)values[i] * (double)values[i];
    for (size_t k = 0; k < 16; k++)
        sum += parts[k];
    return sum;
}

static void
squared_norms(double *sums, const float *values, const struct dpc_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] = squared_norm(values + pieces[i].from, pieces[i].count);
}

static void
adamw_piece(float *parameters, const float *gradients, float *m, float *v, struct dpc_piece piece,
            const struct dpc_adamw_rates *rates)
{
    double decay = piece.decay ? rates->weight_decay : 0.0;
    for (size_t i = piece.from; i < piece.from + piece.count; i++) {
        double g = (double)gradients[i] * rates->gradient_scale;
        double first = rates->beta1 * (double)m[i] + (1.0 - rates->beta1) * g;
        double second = rates->beta2 * (double)v[i] + (1.0 - rates->beta2) * g * g;
        double decayed = (double)parameters[i] * (1.0 - rates->lr * decay);
        double denominator = sqrt(second / rates->correction2) + rates->epsilon;
        m[i] = (float)first;
        v[i] = (float)second;
        parameters[i] = (float)(decayed - rates->lr * first / rates->correction1 / denominator);
    }
}

static void
adamw(float *parameters, const float *gradients, float *m, float *v, const struct dpc_piece *pieces,
      size_t count, const struct dpc_adamw_rates *rates)
{
    for (size_t i = 0; i < count; i++)
        adamw_piece(parameters, gradients, m, v, pieces[i], rates);
}

static void
gather_rows(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places, size_t count,
            size_t padded, size_t C)
{
    for (size_t i = 0; i < padded; i++) {
        for (size_t c = 0; c < C; c++)
            put(to, i * C + c, i < count ? get(from, places[i] * C + c) : 0.0);
    }
}

static void
scatter_rows(struct dpc_act *to, const struct dpc_act *from, const uint32_t *places, size_t count,
             size_t C)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < C; c++)
            put(to, places[i] * C + c, get(from, i * C + c));
    }
}

static void
sum_rows(float *sum, const float *from, size_t N, size_t C, bool add)
{
    for (size_t c = 0; c < C; c++) {
        sum[c] = add ? sum[c] : 0.0f;
        for (size_t n = 0; n < N; n++)
            sum[c] += from[n * C + c];
    }
}

static void
mean_rows(float *mean, const float *from, size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t n = 0; n < N; n++)
            sum += (double)from[n * C + c];
        mean[c] = (float)(sum / (double)N);
    }
}

static void
outer_accumulate(double *sum, const float *delta, double weight, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] = sum[i] + weight * (double)delta[i];
}

static void
outer_nesterov(float *theta, float *momentum, const double *sum, size_t count, double scale,
               double lr, double mu)
{
    for (size_t i = 0; i < count; i++) {
        double gradient = scale * sum[i];
        momentum[i] = (float)(mu * (double)momentum[i] + gradient);
        theta[i] = (float)((double)theta[i] - lr * (gradient + mu * (double)momentum[i]));
    }
}

/* The naive form of the forms themselves is base/codec.c. */
static void
encode_difference(uint8_t *bytes, const float *from, const float *values, size_t count,
                  enum dpc_codec codec)
{
    float *difference = dpc_alloc(count, sizeof *difference);
    for (size_t i = 0; i < count; i++)
        difference[i] = from[i] - values[i];
    dpc_codec_encode(codec, difference, count, bytes);
    dpc_free(difference);
}

const struct dpc_ops TABLE = {
    .name = "reference",
    .products = "naive",
    .dtype = DTYPE,
    .memory = &dpc_memory_host,
    .linear_forward = linear_forward,
    .linear_forward_float = linear_forward_float,
    .linear_backward_input = linear_backward_input,
    .linear_backward_weight = linear_backward_weight,
    .embedding_forward = embedding_forward,
    .embedding_backward = embedding_backward,
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_backward = rmsnorm_backward,
    .gather_rows = gather_rows,
    .scatter_rows = scatter_rows,
    .sum_rows = sum_rows,
    .mean_rows = mean_rows,
    .attention_scratch_bytes = dpc_attention_scratch_bytes,
    .attention_forward = attention_forward,
    .attention_backward = attention_backward,
    .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward,
    .cross_entropy_forward = cross_entropy_forward,
    .cross_entropy_backward = cross_entropy_backward,
    .squared_norms = squared_norms,
    .adamw = adamw,
    .outer_accumulate = outer_accumulate,
    .outer_nesterov = outer_nesterov,
    .encode_difference = encode_difference,
};
