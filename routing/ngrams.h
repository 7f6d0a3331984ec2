/* SPDX-License-Identifier: Apache-2.0
 *
 * Routing features without a model (`routing.features: ngrams`): how often each token and each pair
 * of neighbours stands in a prefix, hashed into DPC_NGRAMS_DIM dimensions with a sign, so that
 * collisions cancel out on average (Weinberger et al., Feature Hashing for Large Scale Multitask
 * Learning, 2009); of each dimension the square root with its sign, so that a pair that is repeated
 * does not drown the others.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_ROUTING_NGRAMS_H
#define DPC_ROUTING_NGRAMS_H

#include <stdint.h>

#include "base/limits.h"

/* Of `tokens` [count]; `ret_features` [DPC_NGRAMS_DIM]. */
void dpc_ngrams_features(const int32_t *tokens, uint32_t count, float *ret_features);

#endif
