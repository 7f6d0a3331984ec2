/* SPDX-License-Identifier: Apache-2.0
 *
 * Multinomial logistic regression with an L2 penalty on the weights, and a bias that makes the
 * predicted classes as frequent as they should be (DiPaCo, section 2.4.2: without it paths go
 * empty). Pure functions: sums run in one fixed order.
 *
 * Owns: nothing. Threads: any. Limits: points must be finite and at most of unit length, on which
 * the length of the fit's steps rests.
 */
#ifndef DPC_ROUTING_LINEAR_H
#define DPC_ROUTING_LINEAR_H

#include <stdint.h>

/* The caller's arrays. */
struct dpc_linear {
    uint32_t classes, dim;
    float *weights; /* [classes, dim] */
    float *bias;    /* [classes] */
};

/* Fits to `points` [count, dim] with `labels` [count] below `classes`. */
void dpc_linear_fit(struct dpc_linear *linear, const float *points, const uint32_t *labels,
                    uint32_t count);

/* Moves the bias until the classes of `points` have the shares of `labels` [labels_count], as near
 * as it comes. */
void dpc_linear_fit_bias(struct dpc_linear *linear, const float *points, uint32_t count,
                         const uint32_t *labels, uint32_t labels_count);

/* bias + weights . point of each class. */
void dpc_linear_logits(const struct dpc_linear *linear, const float *point, double *ret_logits);

#endif
