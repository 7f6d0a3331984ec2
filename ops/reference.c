/* SPDX-License-Identifier: Apache-2.0
 * The naive loops, formula by formula, accumulated in double. Slow on purpose: this is what the
 * other tables are tested against, so that it must be plain to see that it is right. It stays. */
#include "ops/ops.h"

#include <math.h>
#include <string.h>

static void
linear_forward(float *y, const float *x, const float *w, size_t N, size_t O, size_t K)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t o = 0; o < O; o++) {
            double sum = 0;
            for (size_t i = 0; i < K; i++)
                sum += (double)x[n * K + i] * (double)w[o * K + i];
            y[n * O + o] = (float)sum;
        }
    }
}

static void
linear_backward_input(float *dx, const float *dy, const float *w, size_t N, size_t O, size_t K,
                      float beta)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t i = 0; i < K; i++) {
            double sum = beta != 0.0f ? (double)(beta * dx[n * K + i]) : 0.0;
            for (size_t o = 0; o < O; o++)
                sum += (double)dy[n * O + o] * (double)w[o * K + i];
            dx[n * K + i] = (float)sum;
        }
    }
}

static void
linear_backward_weight(float *dw, const float *dy, const float *x, size_t N, size_t O, size_t K,
                       float beta)
{
    for (size_t o = 0; o < O; o++) {
        for (size_t i = 0; i < K; i++) {
            double sum = beta != 0.0f ? (double)(beta * dw[o * K + i]) : 0.0;
            for (size_t n = 0; n < N; n++)
                sum += (double)dy[n * O + o] * (double)x[n * K + i];
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
embedding_backward(float *dtable, const float *dx, const int32_t *tokens, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t c = 0; c < C; c++)
            dtable[(size_t)tokens[n] * C + c] += dx[n * C + c];
    }
}

static void
rmsnorm_forward(float *out, float *sum, float *rstd, const float *x, const float *delta,
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
            out[n * C + c] = row[c] * rstd[n] * gain[c];
    }
}

static void
rmsnorm_backward(float *dx, float *dgain, const float *dout, const float *x, const float *rstd,
                 const float *gain, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        const float *dy = dout + n * C, *row = x + n * C;
        double r = (double)rstd[n], dot = 0;
        for (size_t c = 0; c < C; c++)
            dot += (double)gain[c] * (double)dy[c] * (double)row[c];
        for (size_t c = 0; c < C; c++) {
            dgain[c] += (float)((double)dy[c] * (double)row[c] * r);
            dx[n * C + c] += (float)(r * (double)gain[c] * (double)dy[c] -
                                     (double)row[c] * r * r * r * dot / (double)C);
        }
    }
}

/* Rotates the pairs of q and k by sign x the angle of their position. */
static void
rope(float *qkv, const float *cosines, const float *sines, struct dpc_attention_shape shape,
     float sign)
{
    size_t half = shape.D / 2;
    for (size_t n = 0; n < shape.B * shape.T; n++) {
        for (size_t h = 0; h < 2 * shape.H; h++) {
            float *head = qkv + (n * 3 * shape.H + h) * shape.D;
            for (size_t d = 0; d < half; d++) {
                float cosine = cosines[n % shape.T * half + d];
                float sine = sign * sines[n % shape.T * half + d];
                float a = head[d], b = head[d + half];
                head[d] = a * cosine - b * sine;
                head[d + half] = b * cosine + a * sine;
            }
        }
    }
}

static void
rope_forward(float *qkv, const float *cosines, const float *sines, struct dpc_attention_shape shape)
{
    rope(qkv, cosines, sines, shape, 1.0f);
}

static void
rope_backward(float *dqkv, const float *cosines, const float *sines,
              struct dpc_attention_shape shape)
{
    rope(dqkv, cosines, sines, shape, -1.0f);
}

/* Place of a vector of head h: part 0 is q, 1 is k, 2 is v. */
static size_t
at(struct dpc_attention_shape shape, size_t b, size_t t, size_t part, size_t h)
{
    return (((b * shape.T + t) * 3 + part) * shape.H + h) * shape.D;
}

static double
dot_product(const float *a, const float *b, size_t D)
{
    double sum = 0;
    for (size_t d = 0; d < D; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

static double
score(const float *qkv, struct dpc_attention_shape shape, size_t b, size_t h, size_t i, size_t j)
{
    return dot_product(qkv + at(shape, b, i, 0, h), qkv + at(shape, b, j, 1, h), shape.D) /
           sqrt((double)shape.D);
}

static void
attend_row(float *out, float *lse, const float *qkv, struct dpc_attention_shape shape, size_t b,
           size_t h, size_t i)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j <= i; j++)
        max = fmax(max, score(qkv, shape, b, h, i, j));
    for (size_t j = 0; j <= i; j++)
        sum += exp(score(qkv, shape, b, h, i, j) - max);
    *lse = (float)(max + log(sum));
    for (size_t d = 0; d < shape.D; d++) {
        double value = 0;
        for (size_t j = 0; j <= i; j++)
            value += exp(score(qkv, shape, b, h, i, j) - max) / sum *
                     (double)qkv[at(shape, b, j, 2, h) + d];
        out[d] = (float)value;
    }
}

static void
attention_forward(float *out, float *lse, const float *qkv, struct dpc_attention_shape shape,
                  size_t first, float *scratch)
{
    (void)scratch;
    for (size_t b = 0; b < shape.B; b++) {
        for (size_t h = 0; h < shape.H; h++) {
            for (size_t i = first; i < shape.T; i++)
                attend_row(out + ((b * shape.T + i) * shape.H + h) * shape.D,
                           lse + (b * shape.H + h) * shape.T + i, qkv, shape, b, h, i);
        }
    }
}

/* One query row's part in the gradients of its q and of all keys and values before it. */
static void
attend_row_backward(float *dqkv, const float *dout, const float *qkv, const float *out, float lse,
                    struct dpc_attention_shape shape, size_t b, size_t h, size_t i)
{
    double scale = 1.0 / sqrt((double)shape.D), mean = dot_product(dout, out, shape.D);
    for (size_t j = 0; j <= i; j++) {
        const float *q = qkv + at(shape, b, i, 0, h), *k = qkv + at(shape, b, j, 1, h);
        double p = exp(score(qkv, shape, b, h, i, j) - (double)lse);
        double dp = dot_product(dout, qkv + at(shape, b, j, 2, h), shape.D);
        double ds = p * (dp - mean) * scale;
        for (size_t d = 0; d < shape.D; d++) {
            dqkv[at(shape, b, i, 0, h) + d] += (float)(ds * (double)k[d]);
            dqkv[at(shape, b, j, 1, h) + d] += (float)(ds * (double)q[d]);
            dqkv[at(shape, b, j, 2, h) + d] += (float)(p * (double)dout[d]);
        }
    }
}

static void
attention_backward(float *dqkv, const float *dout, const float *qkv, const float *out,
                   const float *lse, struct dpc_attention_shape shape, float *scratch)
{
    (void)scratch;
    memset(dqkv, 0, shape.B * shape.T * 3 * shape.H * shape.D * sizeof *dqkv);
    for (size_t b = 0; b < shape.B; b++) {
        for (size_t h = 0; h < shape.H; h++) {
            for (size_t i = 0; i < shape.T; i++) {
                size_t row = ((b * shape.T + i) * shape.H + h) * shape.D;
                attend_row_backward(dqkv, dout + row, qkv, out + row,
                                    lse[(b * shape.H + h) * shape.T + i], shape, b, h, i);
            }
        }
    }
}

static double
sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void
swiglu_forward(float *out, const float *gate_up, size_t N, size_t F)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t f = 0; f < F; f++) {
            double gate = (double)gate_up[2 * n * F + f], up = (double)gate_up[2 * n * F + F + f];
            out[n * F + f] = (float)(gate * sigmoid(gate) * up);
        }
    }
}

static void
swiglu_backward(float *dgate_up, const float *dout, const float *gate_up, size_t N, size_t F)
{
    for (size_t n = 0; n < N; n++) {
        for (size_t f = 0; f < F; f++) {
            double gate = (double)gate_up[2 * n * F + f], up = (double)gate_up[2 * n * F + F + f];
            double s = sigmoid(gate), dy = (double)dout[n * F + f];
            dgate_up[2 * n * F + f] = (float)(dy * up * s * (1.0 + gate * (1.0 - s)));
            dgate_up[2 * n * F + F + f] = (float)(dy * gate * s);
        }
    }
}

static double
log_sum_exp(const float *row, size_t V)
{
    double max = -INFINITY, sum = 0;
    for (size_t v = 0; v < V; v++)
        max = fmax(max, (double)row[v]);
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
cross_entropy_backward(float *losses, float *logits, const int32_t *targets, size_t N, size_t V,
                       float scale)
{
    cross_entropy_forward(losses, logits, targets, N, V);
    for (size_t n = 0; n < N; n++) {
        float *row = logits + n * V;
        double lse = log_sum_exp(row, V);
        for (size_t v = 0; v < V; v++) {
            double hit = (int32_t)v == targets[n] ? 1.0 : 0.0;
            double gradient = exp((double)row[v] - lse) - hit;
            row[v] = targets[n] < 0 ? 0.0f : (float)((double)scale * gradient);
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
adamw(float *parameters, const float *gradients, float *m, float *v, size_t count,
      const struct dpc_adamw_rates *rates)
{
    for (size_t i = 0; i < count; i++) {
        double g = (double)gradients[i] * rates->gradient_scale;
        double first = rates->beta1 * (double)m[i] + (1.0 - rates->beta1) * g;
        double second = rates->beta2 * (double)v[i] + (1.0 - rates->beta2) * g * g;
        double decayed = (double)parameters[i] * (1.0 - rates->lr * rates->weight_decay);
        double denominator = sqrt(second / rates->correction2) + rates->epsilon;
        m[i] = (float)first;
        v[i] = (float)second;
        parameters[i] = (float)(decayed - rates->lr * first / rates->correction1 / denominator);
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

static const struct dpc_ops table = {
    .name = "reference",
    .linear_forward = linear_forward,
    .linear_backward_input = linear_backward_input,
    .linear_backward_weight = linear_backward_weight,
    .embedding_forward = embedding_forward,
    .embedding_backward = embedding_backward,
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_backward = rmsnorm_backward,
    .rope_forward = rope_forward,
    .rope_backward = rope_backward,
    .attention_forward = attention_forward,
    .attention_backward = attention_backward,
    .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward,
    .cross_entropy_forward = cross_entropy_forward,
    .cross_entropy_backward = cross_entropy_backward,
    .squared_norm = squared_norm,
    .adamw = adamw,
    .outer_accumulate = outer_accumulate,
    .outer_nesterov = outer_nesterov,
};

const struct dpc_ops *
dpc_ops_reference(void)
{
    return &table;
}
