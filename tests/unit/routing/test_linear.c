/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/linear.h"

#include <math.h>

#include "base/rng.h"
#include "tests/unit/harness.h"

enum { COUNT = 600, DIM = 6, CLASSES = 3 };

static float points[COUNT][DIM], weights[CLASSES * DIM], bias[CLASSES];
static uint32_t labels[COUNT];
static struct dpc_linear linear = {CLASSES, DIM, weights, bias};
static const struct dpc_linear_sample sample = {
    .points = &points[0][0], .labels = labels, .count = COUNT};

/* Points of unit length at random. */
static void
draw_points(uint64_t seed)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < COUNT; i++) {
        double squares = 0;
        for (int k = 0; k < DIM; k++) {
            points[i][k] = (float)dpc_rng_normal(&rng);
            squares += (double)points[i][k] * (double)points[i][k];
        }
        for (int k = 0; k < DIM; k++)
            points[i][k] /= (float)sqrt(squares);
    }
}

static uint32_t
class_of(const float *point)
{
    double logits[CLASSES];
    uint32_t best = 0;
    dpc_linear_logits(&linear, point, logits);
    for (uint32_t c = 1; c < CLASSES; c++) {
        if (logits[c] > logits[best])
            best = c;
    }
    return best;
}

static void
a_linear_rule_is_learned(void)
{
    unsigned right = 0;
    draw_points(1);
    for (int i = 0; i < COUNT; i++)
        labels[i] = points[i][0] > points[i][1] ? 0 : points[i][2] > 0 ? 1 : 2;
    dpc_linear_fit(&linear, &sample);
    for (int i = 0; i < COUNT; i++)
        right += class_of(points[i]) == labels[i];
    CU_ASSERT(right > COUNT * 9 / 10);
}

/* At the optimum the mean of the predicted chances is that of the labels: the bias's slope is zero
 * up to its penalty. */
static void
the_fit_has_converged(void)
{
    double slope[CLASSES] = {0};
    draw_points(2);
    for (int i = 0; i < COUNT; i++)
        labels[i] = points[i][0] > 0.3F ? 0 : points[i][3] > 0 ? 1 : 2;
    dpc_linear_fit(&linear, &sample);
    for (int i = 0; i < COUNT; i++) {
        double logits[CLASSES], sum = 0;
        dpc_linear_logits(&linear, points[i], logits);
        for (int c = 0; c < CLASSES; c++)
            sum += exp(logits[c]);
        for (uint32_t c = 0; c < CLASSES; c++)
            slope[c] += (exp(logits[c]) / sum - (labels[i] == c)) / COUNT;
    }
    for (int c = 0; c < CLASSES; c++)
        CU_ASSERT_DOUBLE_EQUAL(slope[c] + 1e-4 * (double)bias[c], 0, 1e-5);
}

static void
the_bias_reaches_the_histogram(void)
{
    static const uint32_t some[10] = {0, 1, 1, 1, 1, 2, 2, 2, 2, 2};
    static const struct dpc_linear_sample ten = {
        .points = &points[0][0], .labels = some, .count = 10};
    uint32_t counts[CLASSES] = {0};
    double wanted[CLASSES];
    draw_points(3);
    for (int i = 0; i < COUNT; i++)
        labels[i] = points[i][0] > 0 ? 0 : points[i][1] > 0 ? 1 : 2;
    dpc_linear_fit(&linear, &sample);
    dpc_linear_wanted(&linear, &ten, COUNT, 200, wanted);
    CU_ASSERT_DOUBLE_EQUAL(wanted[0], 60, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(wanted[1], 240, 1e-9);
    dpc_linear_fit_bias(&linear, &points[0][0], COUNT, wanted, UINT32_MAX, 0);
    for (int i = 0; i < COUNT; i++)
        counts[class_of(points[i])]++;
    for (int c = 0; c < CLASSES; c++)
        CU_ASSERT_DOUBLE_EQUAL(counts[c], wanted[c], 3);
}

/* Of a half and two quarters. */
static void
fit_of_three(void)
{
    draw_points(4);
    for (int i = 0; i < COUNT; i++)
        labels[i] = points[i][0] > 0 ? 0 : points[i][1] > 0 ? 1 : 2;
    dpc_linear_fit(&linear, &sample);
}

static void
count_points(double ret_counts[CLASSES])
{
    memset(ret_counts, 0, CLASSES * sizeof *ret_counts);
    for (int i = 0; i < COUNT; i++)
        ret_counts[class_of(points[i])]++;
}

/* Two standard errors of a share of 100 labels are a tenth of all points, or less. */
static void
the_bias_follows_no_chance(void)
{
    enum { LABELS = 100 };
    double before[CLASSES], after[CLASSES];
    float bias_before[CLASSES];
    fit_of_three();
    count_points(before);
    memcpy(bias_before, bias, sizeof bias_before);
    double near[CLASSES] = {before[0] + 0.06 * COUNT, before[1] - 0.03 * COUNT,
                            before[2] - 0.03 * COUNT};
    dpc_linear_fit_bias(&linear, &points[0][0], COUNT, near, LABELS, 0);
    CU_ASSERT_EQUAL(memcmp(bias_before, bias, sizeof bias_before), 0);
    double far[CLASSES] = {before[0] - 0.3 * COUNT, before[1] + 0.15 * COUNT,
                           before[2] + 0.15 * COUNT};
    dpc_linear_fit_bias(&linear, &points[0][0], COUNT, far, LABELS, 0);
    count_points(after);
    for (int c = 0; c < CLASSES; c++) {
        double share = far[c] / COUNT;
        CU_ASSERT(fabs(after[c] - far[c]) <= 2 * COUNT * sqrt(share * (1 - share) / LABELS) + 3);
    }
    CU_ASSERT(after[0] > far[0] + 0.03 * COUNT);
}

/* Few labels would let a class go empty: not below what it needs. */
static void
no_class_falls_below_the_least(void)
{
    enum { LABELS = 20, LEAST = 50 };
    double counts[CLASSES];
    fit_of_three();
    bias[2] = -100;
    count_points(counts);
    CU_ASSERT_EQUAL(counts[2], 0);
    double wanted[CLASSES] = {0.55 * COUNT, 0.35 * COUNT, 0.1 * COUNT};
    CU_ASSERT(0.1 * COUNT > LEAST && 0.1 - 2 * sqrt(0.09 / LABELS) < 0);
    dpc_linear_fit_bias(&linear, &points[0][0], COUNT, wanted, LABELS, LEAST);
    count_points(counts);
    CU_ASSERT(counts[2] >= LEAST - 3);
}

static const struct dpc_test tests[] = {
    {"a linear rule is learned", a_linear_rule_is_learned},
    {"the fit has converged", the_fit_has_converged},
    {"the bias reaches the histogram", the_bias_reaches_the_histogram},
    {"the bias follows no chance", the_bias_follows_no_chance},
    {"no class falls below the least", no_class_falls_below_the_least},
};
DPC_TEST_MAIN("routing/linear", tests)
