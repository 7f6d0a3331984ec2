/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/ngrams.h"

#include <math.h>
#include <stdbool.h>

#include "base/rng.h"
#include "tests/unit/harness.h"

enum { PREFIX = 64 };

static double
squares(const float *features)
{
    double sum = 0;
    for (int k = 0; k < DPC_NGRAMS_DIM; k++)
        sum += (double)features[k] * (double)features[k];
    return sum;
}

static bool
same(const float *a, const float *b)
{
    for (int k = 0; k < DPC_NGRAMS_DIM; k++) {
        if (a[k] != b[k])
            return false;
    }
    return true;
}

/* One dimension for a token, one more for each pair; what occurs n times counts sqrt(n). */
static void
tokens_and_pairs_are_counted(void)
{
    static const int32_t one[] = {7}, many[] = {7, 7, 7, 7};
    float features[DPC_NGRAMS_DIM];
    dpc_ngrams_features(one, 0, features);
    CU_ASSERT_EQUAL(squares(features), 0);
    dpc_ngrams_features(one, 1, features);
    CU_ASSERT_EQUAL(squares(features), 1);
    dpc_ngrams_features(many, 4, features);
    CU_ASSERT_DOUBLE_EQUAL(squares(features), 4 + 3, 1e-5);
}

/* Of a pair the order counts; of pairs it does not. */
static void
the_order_of_neighbours_counts(void)
{
    static const int32_t ab[] = {1, 2}, ba[] = {2, 1};
    static const int32_t left[] = {1, 2, 1, 3, 1}, right[] = {1, 3, 1, 2, 1};
    float a[DPC_NGRAMS_DIM], b[DPC_NGRAMS_DIM];
    dpc_ngrams_features(ab, 2, a);
    dpc_ngrams_features(ba, 2, b);
    CU_ASSERT_FALSE(same(a, b));
    dpc_ngrams_features(left, 5, a);
    dpc_ngrams_features(right, 5, b);
    CU_ASSERT(same(a, b));
}

/* A stored router means these places and signs. */
static void
the_hash_never_changes(void)
{
    static const int32_t tokens[] = {65, 66};
    static const struct {
        int place;
        float value;
    } known[] = {{/* 65 */ 177, 1}, {/* 66 */ 89, 1}, {/* 65 66 */ 104, -1}};
    float features[DPC_NGRAMS_DIM];
    dpc_ngrams_features(tokens, 2, features);
    CU_ASSERT_EQUAL(squares(features), 3);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(features[known[i].place], known[i].value);
}

/* Places and signs are even: over many tokens and pairs no dimension stands out. */
static void
the_hash_is_even(void)
{
    struct dpc_rng rng;
    float features[DPC_NGRAMS_DIM];
    double sums[DPC_NGRAMS_DIM] = {0}, counts[DPC_NGRAMS_DIM] = {0};
    dpc_rng_init(&rng, 5, DPC_RNG_TEST, 0, 0, 0);
    enum { DRAWS = 25600 };
    for (int i = 0; i < DRAWS; i++) {
        int32_t token = (int32_t)dpc_rng_below(&rng, 65536);
        dpc_ngrams_features(&token, 1, features);
        for (int k = 0; k < DPC_NGRAMS_DIM; k++) {
            sums[k] += (double)features[k];
            counts[k] += fabs((double)features[k]);
        }
    }
    for (int k = 0; k < DPC_NGRAMS_DIM; k++) {
        CU_ASSERT(fabs(counts[k] - 100) < 60);
        CU_ASSERT(fabs(sums[k]) < 60);
    }
}

/* Two kinds of text that share an alphabet: prefixes of one kind are nearer to each other. */
static void
texts_of_a_kind_are_near(void)
{
    struct dpc_rng rng;
    static float features[40][DPC_NGRAMS_DIM];
    dpc_rng_init(&rng, 6, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 40; i++) {
        int32_t tokens[PREFIX] = {0};
        for (int t = 1; t < PREFIX; t++)
            tokens[t] = (tokens[t - 1] * (i % 2 ? 3 : 5) + (int32_t)dpc_rng_below(&rng, 3)) % 16;
        dpc_ngrams_features(tokens, PREFIX, features[i]);
    }
    int right = 0;
    for (int i = 2; i < 40; i++) {
        double products[2] = {0};
        for (int kind = 0; kind < 2; kind++) {
            for (int k = 0; k < DPC_NGRAMS_DIM; k++)
                products[kind] += (double)features[i][k] * (double)features[kind][k];
        }
        right += (products[1] > products[0]) == (i % 2);
    }
    CU_ASSERT_EQUAL(right, 38);
}

static const struct dpc_test tests[] = {
    {"tokens and pairs are counted", tokens_and_pairs_are_counted},
    {"the order of neighbours counts", the_order_of_neighbours_counts},
    {"the hash never changes", the_hash_never_changes},
    {"the hash is even", the_hash_is_even},
    {"texts of a kind are near", texts_of_a_kind_are_near},
};
DPC_TEST_MAIN("routing/ngrams", tests)
