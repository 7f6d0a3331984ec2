/* SPDX-License-Identifier: Apache-2.0
 * The hash is part of what a stored router means: it never changes. */
#include "routing/ngrams.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* SplitMix64's finaliser (Steele, Lea, Flood, 2014). */
static uint64_t
mix(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9;
    value ^= value >> 27;
    value *= 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static void
count_gram(uint64_t gram, float *features)
{
    uint64_t hash = mix(gram + 0x9e3779b97f4a7c15);
    bool minus = hash >> 63;
    features[hash % DPC_NGRAMS_DIM] += minus ? -1.0F : 1.0F;
}

void
dpc_ngrams_features(const int32_t *tokens, uint32_t count, float *ret_features)
{
    memset(ret_features, 0, DPC_NGRAMS_DIM * sizeof *ret_features);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t token = (uint32_t)tokens[i];
        count_gram(token, ret_features);
        if (i > 0) /* no pair looks like a token: its upper half is not zero */
            count_gram(((uint64_t)(uint32_t)tokens[i - 1] + 1) << 32 | token, ret_features);
    }
    for (uint32_t k = 0; k < DPC_NGRAMS_DIM; k++)
        ret_features[k] = copysignf(sqrtf(fabsf(ret_features[k])), ret_features[k]);
}
