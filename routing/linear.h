/* SPDX-License-Identifier: Apache-2.0
 *
 * Multinomial logistic regression with an L2 penalty on the weights, and a bias that makes the
 * predicted classes as frequent as they should be (DiPaCo, section 2.4.2: without it paths go
 * empty). That is asked of the labelled points themselves: what a class gets of others is no fault,
 * since labels are few, and their shares of all points off by chance. Pure functions: sums run in
 * one fixed order.
 *
 * A label may be the best of some classes only, those that were asked, A. Then the likelihood of
 * label y is exp(z_y) / sum over c in A of exp(z_c): logits z of classes that were not asked have
 * no part in it and get no slope, so that no point is pushed away from what nobody compared it
 * with. In a logit model the best of A is y with just this chance, whatever A is (Luce, "Individual
 * choice behavior", 1959, section 1.C); so where A is drawn without a look at the point, the
 * weights that come out are those of all classes being asked, with less to go by. The labels'
 * shares are not: they are flatter, since a class is more easily the best of a few, and never of
 * more points than it was asked for. So the wanted shares are then the mean chances among all
 * classes; with all asked these are the labels' shares, since there the slope of the bias is zero.
 *
 * Owns: nothing. Threads: any. Limits: points must be finite and at most of unit length, on which
 * the length of the fit's steps rests.
 */
#ifndef DPC_ROUTING_LINEAR_H
#define DPC_ROUTING_LINEAR_H

#include <stdint.h>

#include "base/error.h"

/* The caller's arrays. */
struct dpc_linear {
    uint32_t classes, dim;
    float *weights; /* [classes, dim] */
    float *bias;    /* [classes] */
};

struct dpc_linear_sample {
    const float *points;    /* [count, dim] */
    const uint32_t *labels; /* [count] below `classes` */
    uint32_t count;
    const uint32_t *asked; /* [count, asked_count] different classes, the label one of them, in
                            * rising order; NULL: all were asked */
    uint32_t asked_count;
};

/* With `prior` (NULL: none), of the same sizes, the penalty is on how far weights and bias are from
 * its own, and weighs as much as a fixed number of documents: few labels leave most as it was, many
 * have their way. */
void dpc_linear_fit(struct dpc_linear *linear, const struct dpc_linear_sample *sample,
                    const struct dpc_linear *prior);

/* How many of the sample's points each class should have, `ret_wanted` [classes], once it is
 * fitted: those with its label; where not all classes were asked, the sum of its chances. */
void dpc_linear_wanted(const struct dpc_linear *linear, const struct dpc_linear_sample *sample,
                       double *ret_wanted);

/* Moves the bias until each class has between `least` and `most` [classes] of `points`
 * [count, dim], as near as it comes. DPC_ENOMEM. */
int dpc_linear_fit_bias(struct dpc_linear *linear, const float *points, uint32_t count,
                        const double *least, const double *most) DPC_MUST_CHECK;

/* bias + weights . point of each class. */
void dpc_linear_logits(const struct dpc_linear *linear, const float *point, double *ret_logits);

#endif
