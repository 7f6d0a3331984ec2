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
    dpc_linear_fit(&linear, &sample, NULL);
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
    dpc_linear_fit(&linear, &sample, NULL);
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

static uint32_t
rule_of(const float *point)
{
    return point[0] > 0 ? 0 : point[1] > 0 ? 1 : 2;
}

/* Of the points that are not among the labelled ones. */
static double
share_by_rule(uint32_t labelled, const uint32_t *turned)
{
    unsigned agree = 0;
    for (uint32_t i = labelled; i < COUNT; i++)
        agree += class_of(points[i]) == turned[rule_of(points[i])];
    return (double)agree / (COUNT - labelled);
}

/* The prior knows a rule. Ten labels by the same rule leave it where ten alone would tell little of
 * it; 300 by another one have their way. */
static void
few_labels_leave_what_the_prior_knows(void)
{
    static const uint32_t same[CLASSES] = {0, 1, 2}, turned[CLASSES] = {1, 2, 0};
    enum { FEW = 10, MANY = 300 };
    static float prior_weights[CLASSES * DIM], prior_bias[CLASSES];
    struct dpc_linear prior = {CLASSES, DIM, prior_weights, prior_bias};
    struct dpc_linear_sample some = sample;
    draw_points(5);
    for (int i = 0; i < COUNT; i++)
        labels[i] = rule_of(points[i]);
    dpc_linear_fit(&prior, &sample, NULL);
    some.count = FEW;
    dpc_linear_fit(&linear, &some, NULL);
    double alone = share_by_rule(FEW, same);
    dpc_linear_fit(&linear, &some, &prior);
    CU_ASSERT(alone < 0.75 && share_by_rule(FEW, same) > 0.9);
    for (int i = 0; i < COUNT; i++)
        labels[i] = turned[rule_of(points[i])];
    some.count = MANY;
    dpc_linear_fit(&linear, &some, &prior);
    CU_ASSERT(share_by_rule(MANY, turned) > 0.9);
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
        labels[i] = rule_of(points[i]);
    dpc_linear_fit(&linear, &sample, NULL);
    dpc_linear_wanted(&linear, &ten, wanted);
    CU_ASSERT(wanted[0] == 1 && wanted[1] == 4 && wanted[2] == 5);
    for (int c = 0; c < CLASSES; c++)
        wanted[c] *= COUNT / 10;
    CU_ASSERT_EQUAL(dpc_linear_fit_bias(&linear, &points[0][0], COUNT, wanted, wanted), DPC_OK);
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
        labels[i] = rule_of(points[i]);
    dpc_linear_fit(&linear, &sample, NULL);
}

static void
count_points(double ret_counts[CLASSES])
{
    memset(ret_counts, 0, CLASSES * sizeof *ret_counts);
    for (int i = 0; i < COUNT; i++)
        ret_counts[class_of(points[i])]++;
}

/* Bounds that hold move nothing; one that does not is met, and at the near end. */
static void
the_bias_goes_to_the_nearest_bound(void)
{
    double before[CLASSES], after[CLASSES];
    float bias_before[CLASSES];
    fit_of_three();
    count_points(before);
    memcpy(bias_before, bias, sizeof bias_before);
    double least[CLASSES] = {before[0] - 50, before[1], before[2] - 1};
    double most[CLASSES] = {before[0], before[1] + 1, before[2] + 90};
    CU_ASSERT_EQUAL(dpc_linear_fit_bias(&linear, &points[0][0], COUNT, least, most), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(bias_before, bias, sizeof bias_before), 0);
    least[0] = 0;
    most[0] = before[0] - 100;
    least[1] = least[2] = 0;
    most[1] = most[2] = COUNT;
    CU_ASSERT_EQUAL(dpc_linear_fit_bias(&linear, &points[0][0], COUNT, least, most), DPC_OK);
    count_points(after);
    CU_ASSERT(after[0] <= most[0] && after[0] > most[0] - 15);
}

/* One that went empty comes back. */
static void
no_class_falls_below_the_least(void)
{
    static const double least[CLASSES] = {50, 50, 50}, most[CLASSES] = {COUNT, COUNT, COUNT};
    double counts[CLASSES];
    fit_of_three();
    bias[2] = -100;
    count_points(counts);
    CU_ASSERT_EQUAL(counts[2], 0);
    CU_ASSERT_EQUAL(dpc_linear_fit_bias(&linear, &points[0][0], COUNT, least, most), DPC_OK);
    count_points(counts);
    CU_ASSERT(counts[2] >= 50);
}

static const struct dpc_test tests[] = {
    {"a linear rule is learned", a_linear_rule_is_learned},
    {"the fit has converged", the_fit_has_converged},
    {"few labels leave what the prior knows", few_labels_leave_what_the_prior_knows},
    {"the bias reaches the histogram", the_bias_reaches_the_histogram},
    {"the bias goes to the nearest bound", the_bias_goes_to_the_nearest_bound},
    {"no class falls below the least", no_class_falls_below_the_least},
};
DPC_TEST_MAIN("routing/linear", tests)
