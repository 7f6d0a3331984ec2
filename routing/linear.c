/* SPDX-License-Identifier: Apache-2.0
 * Full-batch gradient steps with Nesterov's momentum. Points are at most of unit length, so that
 * with the bias the loss curves by at most 1 and a step of 1 / (1 + PENALTY) is safe. The penalty
 * makes it strongly convex: an error shrinks by 1 - sqrt(PENALTY) a step, to 6e-6 in STEPS. */
#include "routing/linear.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* The penalty is small, since unit-length points in a hundred dimensions need long weights, and
 * not zero, since a few documents in as many dimensions can be separated by weights without end. */
#define PENALTY 1e-4
enum { STEPS = 1200, BIAS_STEPS = 400 };

/* Parameters are one vector: a row of dim weights and a bias each class. */
struct fit {
    uint32_t classes, dim;
    const float *points;
    const uint32_t *labels;
    uint32_t count;
    size_t size;
    double *at, *ahead, *before; /* [size] */
    double *gradient;            /* [size] */
    double *chances;             /* [classes] */
};

static void
softmax(double *values, uint32_t count)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < count; i++)
        most = fmax(most, values[i]);
    for (uint32_t i = 0; i < count; i++)
        sum += values[i] = exp(values[i] - most);
    for (uint32_t i = 0; i < count; i++)
        values[i] /= sum;
}

static void
add_gradient_of(struct fit *fit, uint32_t index)
{
    const float *point = fit->points + (size_t)index * fit->dim;
    size_t row = fit->dim + 1;
    for (uint32_t c = 0; c < fit->classes; c++) {
        const double *weights = fit->ahead + c * row;
        double logit = weights[fit->dim];
        for (uint32_t k = 0; k < fit->dim; k++)
            logit += weights[k] * (double)point[k];
        fit->chances[c] = logit;
    }
    softmax(fit->chances, fit->classes);
    for (uint32_t c = 0; c < fit->classes; c++) {
        double *gradient = fit->gradient + c * row;
        double off = (fit->chances[c] - (fit->labels[index] == c)) / fit->count;
        for (uint32_t k = 0; k < fit->dim; k++)
            gradient[k] += off * (double)point[k];
        gradient[fit->dim] += off;
    }
}

static void
step(struct fit *fit)
{
    double root = sqrt(PENALTY / (1 + PENALTY)), momentum = (1 - root) / (1 + root);
    memset(fit->gradient, 0, fit->size * sizeof *fit->gradient);
    for (uint32_t i = 0; i < fit->count; i++)
        add_gradient_of(fit, i);
    for (size_t i = 0; i < fit->size; i++) {
        double slope = fit->gradient[i] + PENALTY * fit->ahead[i];
        fit->before[i] = fit->at[i];
        fit->at[i] = fit->ahead[i] - slope / (1 + PENALTY);
        fit->ahead[i] = fit->at[i] + momentum * (fit->at[i] - fit->before[i]);
    }
}

void
dpc_linear_fit(struct dpc_linear *linear, const float *points, const uint32_t *labels,
               uint32_t count)
{
    size_t row = linear->dim + 1, size = linear->classes * row;
    struct fit fit = {.classes = linear->classes,
                      .dim = linear->dim,
                      .points = points,
                      .labels = labels,
                      .count = count,
                      .size = size,
                      .at = dpc_alloc(4 * size, sizeof(double)),
                      .chances = dpc_alloc(linear->classes, sizeof(double))};
    fit.ahead = fit.at + size;
    fit.before = fit.ahead + size;
    fit.gradient = fit.before + size;
    for (int i = 0; i < STEPS; i++)
        step(&fit);
    for (uint32_t c = 0; c < linear->classes; c++) {
        for (uint32_t k = 0; k < linear->dim; k++)
            linear->weights[(size_t)c * linear->dim + k] = (float)fit.at[c * row + k];
        linear->bias[c] = (float)fit.at[c * row + linear->dim];
    }
    dpc_free(fit.at);
    dpc_free(fit.chances);
}

void
dpc_linear_logits(const struct dpc_linear *linear, const float *point, double *ret_logits)
{
    for (uint32_t c = 0; c < linear->classes; c++) {
        const float *weights = linear->weights + (size_t)c * linear->dim;
        ret_logits[c] = (double)linear->bias[c];
        for (uint32_t k = 0; k < linear->dim; k++)
            ret_logits[c] += (double)weights[k] * (double)point[k];
    }
}

/* --- The bias. */

/* Counts the points of each class, whose logits without bias are `raw` [count, classes]. */
static void
count_classes(const double *raw, uint32_t count, uint32_t classes, const double *bias,
              double *ret_counts)
{
    memset(ret_counts, 0, classes * sizeof *ret_counts);
    for (uint32_t i = 0; i < count; i++) {
        const double *logits = raw + (size_t)i * classes;
        uint32_t best = 0;
        for (uint32_t c = 1; c < classes; c++) {
            if (logits[c] + bias[c] > logits[best] + bias[best])
                best = c;
        }
        ret_counts[best]++;
    }
}

static double
miss(const double *counts, const double *wanted, uint32_t classes)
{
    double sum = 0;
    for (uint32_t c = 0; c < classes; c++)
        sum += fabs(counts[c] - wanted[c]);
    return sum;
}

/* A class that has too few points rises, by less from step to step; the best bias is kept. */
static void
move_bias(struct dpc_linear *linear, const double *raw, uint32_t count, const double *wanted)
{
    uint32_t classes = linear->classes;
    double *bias = dpc_alloc(2 * (size_t)classes, sizeof *bias), *counts = bias + classes;
    double least = INFINITY;
    for (uint32_t c = 0; c < classes; c++)
        bias[c] = (double)linear->bias[c];
    for (int i = 0; i < BIAS_STEPS; i++) {
        count_classes(raw, count, classes, bias, counts);
        double off = miss(counts, wanted, classes);
        for (uint32_t c = 0; off < least && c < classes; c++)
            linear->bias[c] = (float)bias[c];
        least = fmin(off, least);
        for (uint32_t c = 0; c < classes; c++)
            bias[c] += log((wanted[c] + 1) / (counts[c] + 1)) / (1 + 0.1 * i);
    }
    dpc_free(bias);
}

void
dpc_linear_fit_bias(struct dpc_linear *linear, const float *points, uint32_t count,
                    const uint32_t *labels, uint32_t labels_count)
{
    uint32_t classes = linear->classes;
    double *wanted = dpc_alloc(classes, sizeof *wanted);
    double *raw = dpc_try_alloc((size_t)count * classes, sizeof *raw);
    for (uint32_t i = 0; i < labels_count; i++)
        wanted[labels[i]] += (double)count / labels_count;
    for (uint32_t i = 0; raw && i < count; i++) {
        dpc_linear_logits(linear, points + (size_t)i * linear->dim, raw + (size_t)i * classes);
        for (uint32_t c = 0; c < classes; c++)
            raw[(size_t)i * classes + c] -= (double)linear->bias[c];
    }
    if (raw)
        move_bias(linear, raw, count, wanted);
    dpc_free(raw);
    dpc_free(wanted);
}
