/* SPDX-License-Identifier: Apache-2.0
 * Labels that are the best of some classes only, as those of routing.score_paths are. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "routing/linear.h"
#include "tests/unit/harness.h"

enum { COUNT = 2560, SEEN = 3400, DIM = 16, CLASSES = 16, BLOCK = 32, FEW = 320 };

static float points[SEEN][DIM];
static float losses[SEEN][CLASSES];
static uint32_t labels[COUNT], asked[COUNT * CLASSES];
static float weights[2][CLASSES * DIM], bias[2][CLASSES];
static struct dpc_linear models[2] = {{CLASSES, DIM, weights[0], bias[0]},
                                      {CLASSES, DIM, weights[1], bias[1]}};

/* Points of unit length around a direction for each class, of which class c has a share that falls
 * as skew^c; a class loses least on the points of its own, and more the further another's are. */
static void
draw(uint64_t seed, double skew)
{
    static float directions[CLASSES][DIM];
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < CLASSES * DIM; i++)
        directions[i / DIM][i % DIM] = (float)dpc_rng_normal(&rng);
    for (int i = 0; i < SEEN; i++) {
        uint32_t own = 0;
        double squares = 0;
        while (own + 1 < CLASSES && dpc_rng_unit(&rng) < skew)
            own++;
        if (skew >= 1)
            own = (uint32_t)dpc_rng_below(&rng, CLASSES);
        for (int k = 0; k < DIM; k++) {
            points[i][k] = directions[own][k] + (float)(0.7 * dpc_rng_normal(&rng));
            squares += (double)points[i][k] * (double)points[i][k];
        }
        for (int k = 0; k < DIM; k++)
            points[i][k] /= (float)sqrt(squares);
        for (int c = 0; c < CLASSES; c++) {
            double dot = 0;
            for (int k = 0; k < DIM; k++)
                dot += (double)points[i][k] * (double)directions[c][k];
            losses[i][c] = (float)(-dot + 0.3 * dpc_rng_normal(&rng));
        }
    }
}

/* `count` different classes for each block of points, in rising order, and the best of them. */
static struct dpc_linear_sample
ask(uint32_t count)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, count, DPC_RNG_TEST, 1, 0, 0);
    for (uint32_t block = 0; block < COUNT / BLOCK; block++) {
        bool chosen[CLASSES] = {false};
        for (uint32_t left = count; left > 0;) {
            uint32_t c = (uint32_t)dpc_rng_below(&rng, CLASSES);
            left -= !chosen[c];
            chosen[c] = true;
        }
        for (uint32_t i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
            uint32_t found = 0;
            labels[i] = UINT32_MAX;
            for (uint32_t c = 0; c < CLASSES; c++) {
                if (!chosen[c])
                    continue;
                asked[i * count + found++] = c;
                if (labels[i] == UINT32_MAX || losses[i][c] < losses[i][labels[i]])
                    labels[i] = c;
            }
        }
    }
    return (struct dpc_linear_sample){.points = &points[0][0],
                                      .labels = labels,
                                      .count = COUNT,
                                      .asked = asked,
                                      .asked_count = count};
}

static uint32_t
best_of(const struct dpc_linear *linear, const float *point)
{
    double logits[CLASSES];
    uint32_t best = 0;
    dpc_linear_logits(linear, point, logits);
    for (uint32_t c = 1; c < CLASSES; c++)
        best = logits[c] > logits[best] ? c : best;
    return best;
}

/* A router as the coordinator fits it: weights, then the bias for the wanted shares. */
static void
fit(struct dpc_linear *linear, const struct dpc_linear_sample *sample)
{
    double wanted[CLASSES];
    dpc_linear_fit(linear, sample, NULL);
    dpc_linear_wanted(linear, sample, wanted);
    CU_ASSERT_EQUAL(dpc_linear_fit_bias(linear, sample->points, sample->count, wanted, wanted),
                    DPC_OK);
}

/* What the points behind the fitted ones lose where the router sends them, on the mean. */
static double
loss_of(const struct dpc_linear *linear)
{
    double sum = 0;
    for (int i = COUNT; i < SEEN; i++)
        sum += (double)losses[i][best_of(linear, points[i])];
    return sum / (SEEN - COUNT);
}

static double
loss_of_first(void)
{
    double sum = 0;
    for (int i = COUNT; i < SEEN; i++)
        sum += (double)losses[i][0];
    return sum / (SEEN - COUNT);
}

/* Routers that were fitted to the labels of `few` and of all classes: how many points they send to
 * the same, and what part of the gain over one class for all the first has. */
static void
compare(const char *name, uint32_t few, double *ret_same, double *ret_gain)
{
    struct dpc_linear_sample sample = ask(few);
    fit(&models[0], &sample);
    sample = ask(CLASSES);
    sample.asked = NULL;
    fit(&models[1], &sample);
    double same = 0;
    for (int i = COUNT; i < SEEN; i++)
        same += best_of(&models[0], points[i]) == best_of(&models[1], points[i]);
    *ret_same = same / (SEEN - COUNT);
    *ret_gain = (loss_of_first() - loss_of(&models[0])) / (loss_of_first() - loss_of(&models[1]));
    printf("%s: %u of %d asked agree in %.1f %%, and have %.1f %% of the gain\n", name, few,
           CLASSES, 100 * *ret_same, 100 * *ret_gain);
}

static void
some_classes_tell_nearly_what_all_do(void)
{
    double same, gain;
    draw(1, 1);
    compare("even classes", 4, &same, &gain);
    CU_ASSERT(same > 0.85 && gain > 0.95);
}

/* The largest has more points than it was asked for, so that its share of the labels is less. */
static void
uneven_classes_keep_their_shares(void)
{
    double same, gain;
    draw(2, 0.7);
    compare("uneven classes", 4, &same, &gain);
    CU_ASSERT(same > 0.85 && gain > 0.95);
}

static void
asking_all_is_the_same_to_the_bit(void)
{
    draw(3, 1);
    struct dpc_linear_sample sample = ask(CLASSES);
    sample.count = FEW;
    dpc_linear_fit(&models[0], &sample, NULL);
    sample.asked = NULL;
    dpc_linear_fit(&models[1], &sample, NULL);
    CU_ASSERT_EQUAL(memcmp(weights[0], weights[1], sizeof weights[0]), 0);
    CU_ASSERT_EQUAL(memcmp(bias[0], bias[1], sizeof bias[0]), 0);
}

/* Nobody is pushed away from a class that nobody was asked about. */
static void
a_class_that_was_not_asked_stays_where_it_is(void)
{
    draw(4, 1);
    struct dpc_linear_sample sample = ask(CLASSES - 1);
    sample.count = FEW;
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t c = 0; c < CLASSES - 1; c++)
            asked[i * (CLASSES - 1) + c] = c;
        labels[i] %= CLASSES - 1;
    }
    dpc_linear_fit(&models[0], &sample, NULL);
    for (int k = 0; k < DIM; k++)
        CU_ASSERT_EQUAL(weights[0][(CLASSES - 1) * DIM + k], 0);
    CU_ASSERT_EQUAL(bias[0][CLASSES - 1], 0);
}

/* With all asked the mean chances are the labels' shares, up to the penalty. */
static void
mean_chances_are_the_shares_when_all_are_asked(void)
{
    double wanted[CLASSES], shares[CLASSES], sum = 0;
    draw(5, 0.7);
    struct dpc_linear_sample sample = ask(CLASSES);
    sample.count = FEW;
    dpc_linear_fit(&models[0], &sample, NULL);
    dpc_linear_wanted(&models[0], &sample, wanted);
    sample.asked = NULL;
    dpc_linear_wanted(&models[0], &sample, shares);
    for (int c = 0; c < CLASSES; c++) {
        CU_ASSERT_DOUBLE_EQUAL(wanted[c], shares[c], 0.005 * FEW);
        sum += wanted[c];
    }
    CU_ASSERT_DOUBLE_EQUAL(sum, FEW, 1e-6 * FEW);
}

static const struct dpc_test tests[] = {
    {"some classes tell nearly what all do", some_classes_tell_nearly_what_all_do},
    {"uneven classes keep their shares", uneven_classes_keep_their_shares},
    {"asking all is the same to the bit", asking_all_is_the_same_to_the_bit},
    {"a class that was not asked stays where it is", a_class_that_was_not_asked_stays_where_it_is},
    {"mean chances are the shares when all are asked",
     mean_chances_are_the_shares_when_all_are_asked},
};
DPC_TEST_MAIN("routing/linear, classes asked", tests)
