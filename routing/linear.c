/* SPDX-License-Identifier: Apache-2.0
 * Full-batch gradient steps with Nesterov's momentum. Points are at most of unit length, so that
 * with the bias the loss curves by at most 1 and a step of 1 / (1 + penalty) is safe. The penalty
 * makes it strongly convex: an error shrinks by 1 - sqrt(penalty) a step, to 6e-6 or less in STEPS.
 */
#include "routing/linear.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* The penalty is small, since unit-length points in a hundred dimensions need long weights, and
 * not zero, since a few documents in as many dimensions can be separated by weights without end. */
#define PENALTY 1e-4
/* Half of it times the squared distance from a prior is added to the nats of all documents together
 * (docs/results.md). */
#define PRIOR 0.05
enum { STEPS = 1200, BIAS_STEPS = 400 };

/* Parameters are one vector: a row of dim weights and a bias each class. */
struct fit {
    uint32_t classes, dim;
    const struct dpc_linear_sample *sample;
    size_t size;
    double penalty;
    double *prior;               /* [size] */
    double *at, *ahead, *before; /* [size] */
    double *gradient;            /* [size] */
    uint32_t *all;               /* [classes] each class, for points that all were asked for */
    double *chances;             /* [classes] of those that were asked */
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

/* The classes that were asked for a point. */
static const uint32_t *
asked_for(const struct fit *fit, uint32_t index, uint32_t *ret_count)
{
    const struct dpc_linear_sample *sample = fit->sample;
    *ret_count = sample->asked ? sample->asked_count : fit->classes;
    return sample->asked ? sample->asked + (size_t)index * sample->asked_count : fit->all;
}

static void
add_gradient_of(struct fit *fit, uint32_t index)
{
    const float *point = fit->sample->points + (size_t)index * fit->dim;
    uint32_t count, label = fit->sample->labels[index];
    const uint32_t *asked = asked_for(fit, index, &count);
    size_t row = fit->dim + 1;
    for (uint32_t i = 0; i < count; i++) {
        const double *weights = fit->ahead + asked[i] * row;
        double logit = weights[fit->dim];
        for (uint32_t k = 0; k < fit->dim; k++)
            logit += weights[k] * (double)point[k];
        fit->chances[i] = logit;
    }
    softmax(fit->chances, count);
    for (uint32_t i = 0; i < count; i++) {
        double *gradient = fit->gradient + asked[i] * row;
        double off = (fit->chances[i] - (label == asked[i])) / fit->sample->count;
        for (uint32_t k = 0; k < fit->dim; k++)
            gradient[k] += off * (double)point[k];
        gradient[fit->dim] += off;
    }
}

static void
step(struct fit *fit)
{
    double penalty = fit->penalty;
    double root = sqrt(penalty / (1 + penalty)), momentum = (1 - root) / (1 + root);
    memset(fit->gradient, 0, fit->size * sizeof *fit->gradient);
    for (uint32_t i = 0; i < fit->sample->count; i++)
        add_gradient_of(fit, i);
    for (size_t i = 0; i < fit->size; i++) {
        double slope = fit->gradient[i] + penalty * (fit->ahead[i] - fit->prior[i]);
        fit->before[i] = fit->at[i];
        fit->at[i] = fit->ahead[i] - slope / (1 + penalty);
        fit->ahead[i] = fit->at[i] + momentum * (fit->at[i] - fit->before[i]);
    }
}

/* Weights as one vector, and back. */
static void
take_prior(const struct dpc_linear *prior, double *ret_values)
{
    size_t dim = prior->dim;
    for (uint32_t c = 0; c < prior->classes; c++) {
        for (size_t k = 0; k < dim; k++)
            *ret_values++ = (double)prior->weights[c * dim + k];
        *ret_values++ = (double)prior->bias[c];
    }
}

static void
give_weights(const double *values, struct dpc_linear *linear)
{
    size_t dim = linear->dim;
    for (uint32_t c = 0; c < linear->classes; c++) {
        for (size_t k = 0; k < dim; k++)
            linear->weights[c * dim + k] = (float)*values++;
        linear->bias[c] = (float)*values++;
    }
}

void
dpc_linear_fit(struct dpc_linear *linear, const struct dpc_linear_sample *sample,
               const struct dpc_linear *prior)
{
    size_t size = linear->classes * ((size_t)linear->dim + 1);
    struct fit fit = {.classes = linear->classes,
                      .dim = linear->dim,
                      .sample = sample,
                      .size = size,
                      .penalty = prior ? fmax(PENALTY, PRIOR / sample->count) : PENALTY,
                      .prior = dpc_alloc(5 * size, sizeof(double)),
                      .all = dpc_alloc(linear->classes, sizeof(uint32_t)),
                      .chances = dpc_alloc(linear->classes, sizeof(double))};
    fit.at = fit.prior + size;
    fit.ahead = fit.at + size;
    fit.before = fit.ahead + size;
    fit.gradient = fit.before + size;
    for (uint32_t c = 0; c < linear->classes; c++)
        fit.all[c] = c;
    if (prior) {
        take_prior(prior, fit.prior);
        memcpy(fit.at, fit.prior, size * sizeof *fit.at);
        memcpy(fit.ahead, fit.prior, size * sizeof *fit.ahead);
    }
    for (int i = 0; i < STEPS; i++)
        step(&fit);
    give_weights(fit.at, linear);
    dpc_free(fit.prior);
    dpc_free(fit.all);
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

void
dpc_linear_wanted(const struct dpc_linear *linear, const struct dpc_linear_sample *sample,
                  double *ret_wanted)
{
    double *chances = dpc_alloc(linear->classes, sizeof *chances);
    memset(ret_wanted, 0, linear->classes * sizeof *ret_wanted);
    for (uint32_t i = 0; i < sample->count; i++) {
        if (!sample->asked) {
            ret_wanted[sample->labels[i]]++;
            continue;
        }
        dpc_linear_logits(linear, sample->points + (size_t)i * linear->dim, chances);
        softmax(chances, linear->classes);
        for (uint32_t c = 0; c < linear->classes; c++)
            ret_wanted[c] += chances[c];
    }
    dpc_free(chances);
}

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

/* Within them a class's count is right. */
struct bounds {
    const double *least, *most; /* [classes] */
};

/* The nearest count that is right. */
static double
aim(const double *counts, struct bounds bounds, uint32_t class)
{
    return fmin(fmax(counts[class], bounds.least[class]), bounds.most[class]);
}

static double
miss(const double *counts, struct bounds bounds, uint32_t classes)
{
    double sum = 0;
    for (uint32_t c = 0; c < classes; c++)
        sum += fabs(counts[c] - aim(counts, bounds, c));
    return sum;
}

/* Which way a class has to go, and how far at a time. */
struct move {
    double step;
    int direction;
};

/* Farther when it went this way before, half as far when it turns (Riedmiller, Braun, "RPROP",
 * 1993); nowhere when it is there. */
static double
next_move(struct move *move, double count, double to)
{
    int direction = (to > count) - (to < count);
    if (direction * move->direction > 0)
        move->step *= 1.2;
    else if (direction * move->direction < 0)
        move->step *= 0.5;
    move->direction = direction;
    return direction * move->step;
}

/* The best bias on the way is kept. */
static void
move_bias(struct dpc_linear *linear, const double *raw, uint32_t count, struct bounds bounds)
{
    uint32_t classes = linear->classes;
    double *bias = dpc_alloc(2 * (size_t)classes, sizeof *bias), *counts = bias + classes;
    struct move *moves = dpc_alloc(classes, sizeof *moves);
    double least = INFINITY;
    for (uint32_t c = 0; c < classes; c++) {
        bias[c] = (double)linear->bias[c];
        moves[c].step = 0.1;
    }
    for (int i = 0; i < BIAS_STEPS && least > 0; i++) {
        count_classes(raw, count, classes, bias, counts);
        double off = miss(counts, bounds, classes);
        for (uint32_t c = 0; off < least && c < classes; c++)
            linear->bias[c] = (float)bias[c];
        least = fmin(off, least);
        for (uint32_t c = 0; c < classes; c++)
            bias[c] += next_move(&moves[c], counts[c], aim(counts, bounds, c));
    }
    dpc_free(moves);
    dpc_free(bias);
}

int
dpc_linear_fit_bias(struct dpc_linear *linear, const float *points, uint32_t count,
                    const double *least, const double *most)
{
    uint32_t classes = linear->classes;
    double *raw = dpc_try_alloc((size_t)count * classes + 1, sizeof *raw);
    if (!raw)
        return DPC_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        dpc_linear_logits(linear, points + (size_t)i * linear->dim, raw + (size_t)i * classes);
        for (uint32_t c = 0; c < classes; c++)
            raw[(size_t)i * classes + c] -= (double)linear->bias[c];
    }
    move_bias(linear, raw, count, (struct bounds){least, most});
    dpc_free(raw);
    return DPC_OK;
}
