/* SPDX-License-Identifier: Apache-2.0
 * The gates on deltas whose relation is known: honest ones share a direction and differ by noise of
 * their own. */
#include "coordinator/versions/gates.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

enum { COUNT = 3001, MANY = 70 };
#define COMMON 0.5

struct bench {
    uint32_t inputs_count;
    float values[MANY][COUNT];
    struct dpc_fold_input inputs[MANY];
    struct dpc_judged judged[MANY];
    double common; /* length of what all share, beside 1 of noise*/
};

static struct bench bench;

static double
normal(uint32_t stream, uint32_t place)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 3, DPC_RNG_TEST, stream, place, 0);
    return dpc_rng_normal(&rng);
}

/* Cosines between any two of about 0.2 where `common` is COMMON; each by a worker of its own, all
 * of the same weight. */
static void
start_with(uint32_t inputs_count, double common)
{
    bench.common = common;
    bench.inputs_count = inputs_count;
    for (uint32_t i = 0; i < inputs_count; i++) {
        struct dpc_fold_input input = {.path = 10 + i, .weight = 1.0 / inputs_count, .scale = 1};
        dpc_hash_of(&i, sizeof i, &input.delta);
        memset(input.worker, (int)i + 1, sizeof input.worker);
        bench.inputs[i] = input;
        for (uint32_t place = 0; place < COUNT; place++)
            bench.values[i][place] =
                (float)(0.01 * (bench.common * normal(1000, place) + normal(i, place)));
    }
}

static void
start(uint32_t inputs_count)
{
    start_with(inputs_count, COMMON);
}

static int
read_values(void *context, uint32_t index, size_t first, size_t count, float *ret_values,
            struct dpc_error *err)
{
    struct bench *from = context;
    if (index >= from->inputs_count || first + count > COUNT)
        return dpc_error_set(err, DPC_EIO, "out of what there is");
    memcpy(ret_values, from->values[index] + first, count * sizeof *ret_values);
    return DPC_OK;
}

static void
judge(void)
{
    struct dpc_error err;
    struct dpc_gate_source source = {&bench, read_values};
    CU_ASSERT_EQUAL_FATAL(
        dpc_gates_judge(&source, bench.inputs, bench.inputs_count, COUNT, bench.judged, &err),
        DPC_OK);
}

static void
multiply(uint32_t index, double factor)
{
    for (uint32_t place = 0; place < COUNT; place++)
        bench.values[index][place] *= (float)factor;
}

static bool
is_untouched(uint32_t index)
{
    return bench.judged[index].scale == 1 && bench.judged[index].marks == 0 &&
           bench.judged[index].path == 10 + index;
}

static void
honest_ones_pass_as_they_came(void)
{
    for (uint32_t count = 1; count <= MANY; count += count < 8 ? 1 : 31) {
        start(count);
        judge();
        for (uint32_t i = 0; i < count; i++)
            CU_ASSERT_TRUE(is_untouched(i));
    }
}

/* The median of the others and all that follows from it, the plain way. */
static double
cosine_in_plain(uint32_t index)
{
    double product = 0, squares = 0, medians = 0;
    for (uint32_t place = 0; place < COUNT; place++) {
        double others[MANY], own = (double)bench.values[index][place];
        uint32_t count = 0;
        for (uint32_t i = 0; i < bench.inputs_count; i++) {
            uint32_t k = count;
            if (i == index)
                continue;
            for (; k > 0 && others[k - 1] > (double)bench.values[i][place]; k--)
                others[k] = others[k - 1];
            others[k] = (double)bench.values[i][place];
            count++;
        }
        double median = (others[(count - 1) / 2] + others[count / 2]) / 2;
        product += own * median;
        squares += own * own;
        medians += median * median;
    }
    return product / sqrt(squares * medians);
}

static void
the_median_leaves_out_the_one_that_is_judged(void)
{
    for (uint32_t count = 2; count <= 7; count++) {
        start(count);
        for (uint32_t i = 0; i < count; i++) /* equal values as well */
            memset(bench.values[i] + 100, 0, 50 * sizeof(float));
        judge();
        for (uint32_t i = 0; i < count; i++)
            CU_ASSERT_DOUBLE_EQUAL(bench.judged[i].cosine, cosine_in_plain(i), 1e-12);
    }
    start(40); /* sorted in another way */
    judge();
    CU_ASSERT_DOUBLE_EQUAL(bench.judged[39].cosine, cosine_in_plain(39), 1e-12);
}

static void
one_that_points_against_the_others_counts_nothing(void)
{
    start(4);
    multiply(2, -1);
    judge();
    CU_ASSERT_EQUAL(bench.judged[2].scale, 0);
    CU_ASSERT_EQUAL(bench.judged[2].marks, DPC_MARK_OPPOSED);
    CU_ASSERT(bench.judged[2].cosine < -0.2);
    CU_ASSERT_TRUE(is_untouched(0) && is_untouched(1) && is_untouched(3));
    start(3); /* there is no majority among so few */
    multiply(2, -1);
    judge();
    CU_ASSERT_TRUE(is_untouched(2));
}

static void
own(uint32_t index, int owner)
{
    memset(bench.inputs[index].worker, owner, sizeof bench.inputs[index].worker);
}

/* One with two of four once could outvote the two others, who were honest. */
static void
nobody_is_outvoted_by_one_owner(void)
{
    start_with(4, 2);
    own(2, 200);
    own(3, 200);
    multiply(2, -1);
    multiply(3, -1);
    judge();
    CU_ASSERT_TRUE(is_untouched(0) && is_untouched(1));
    CU_ASSERT_EQUAL(bench.judged[2].marks, DPC_MARK_OPPOSED);
    CU_ASSERT_EQUAL(bench.judged[3].marks, DPC_MARK_OPPOSED);
    own(1, 200); /* three of four: nobody can tell, but they weigh no more than half */
    multiply(1, -1);
    judge();
    CU_ASSERT_TRUE(is_untouched(0));
    for (uint32_t i = 1; i < 4; i++)
        CU_ASSERT_EQUAL(bench.judged[i].marks, DPC_MARK_OWNER);
}

static void
one_that_is_too_large_is_clipped_to_the_median(void)
{
    for (uint32_t count = 2; count <= 5; count++) {
        start(count);
        multiply(1, 100);
        judge();
        CU_ASSERT_EQUAL(bench.judged[1].marks, DPC_MARK_CLIPPED);
        /* Honest norms are alike here: what is left is about GATE_CLIP of them. */
        CU_ASSERT_DOUBLE_EQUAL(bench.judged[1].scale * 100, GATE_CLIP, 0.2);
        CU_ASSERT_TRUE(is_untouched(0));
    }
    start(4); /* both at once: it is left out */
    multiply(1, -100);
    judge();
    CU_ASSERT_EQUAL(bench.judged[1].marks, DPC_MARK_CLIPPED | DPC_MARK_OPPOSED);
    CU_ASSERT_EQUAL(bench.judged[1].scale, 0);
}

static void
noise_of_the_same_norm_is_neither(void)
{
    start(4);
    for (uint32_t place = 0; place < COUNT; place++)
        bench.values[3][place] = (float)(0.011 * normal(77, place));
    judge();
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT_TRUE(is_untouched(i));
}

static void
a_copy_counts_once(void)
{
    start(4);
    bench.inputs[3].delta = bench.inputs[1].delta;
    judge();
    CU_ASSERT_EQUAL(bench.judged[3].marks, DPC_MARK_COPY);
    CU_ASSERT_EQUAL(bench.judged[3].scale, 0);
    CU_ASSERT_EQUAL(bench.judged[3].copy_of, 11);
    CU_ASSERT_TRUE(is_untouched(1));
    start(5); /* nearly the same, and smaller */
    for (uint32_t place = 0; place < COUNT; place++)
        bench.values[2][place] = 0.7f * bench.values[0][place] + (float)(3e-4 * normal(9, place));
    memcpy(bench.values[4], bench.values[2], sizeof bench.values[4]);
    judge();
    CU_ASSERT_TRUE(is_untouched(0));
    CU_ASSERT_EQUAL(bench.judged[2].marks, DPC_MARK_COPY);
    CU_ASSERT_EQUAL(bench.judged[4].copy_of, 10);
    CU_ASSERT_EQUAL(bench.judged[4].scale, 0);
}

static void
one_that_moves_next_to_nothing_is_told(void)
{
    start(5);
    multiply(0, 0.01);
    multiply(3, 0);
    judge();
    CU_ASSERT_EQUAL(bench.judged[0].marks, DPC_MARK_IDLE);
    CU_ASSERT_EQUAL(bench.judged[0].scale, 1);
    CU_ASSERT_EQUAL(bench.judged[3].marks, DPC_MARK_IDLE);
    CU_ASSERT_TRUE(is_untouched(1));
    start(2); /* nobody moved: there is no median to hold them against */
    multiply(0, 0);
    multiply(1, 0);
    judge();
    CU_ASSERT_TRUE(is_untouched(0) && is_untouched(1));
}

/* Half of them are parts of a round, which once halved what a whole one may be. */
static void
parts_of_a_round_are_held_against_their_steps(void)
{
    start(4);
    for (uint32_t i = 0; i < 4; i++)
        bench.inputs[i].steps = i < 2 ? 3 : 60;
    multiply(0, 0.05);
    multiply(1, 0.0001);
    judge();
    CU_ASSERT_TRUE(is_untouched(0) && is_untouched(2) && is_untouched(3));
    CU_ASSERT_EQUAL(bench.judged[1].marks, DPC_MARK_IDLE);
    multiply(0, 100); /* 5 times a whole one's */
    judge();
    CU_ASSERT_EQUAL(bench.judged[0].marks, DPC_MARK_CLIPPED);
    CU_ASSERT_DOUBLE_EQUAL(bench.judged[0].scale * 5, GATE_CLIP * sqrt(0.05), 0.05);
}

static double
weight_of(uint8_t owner)
{
    double sum = 0;
    for (uint32_t i = 0; i < bench.inputs_count; i++)
        sum +=
            bench.inputs[i].worker[0] == owner ? bench.inputs[i].weight * bench.judged[i].scale : 0;
    return sum;
}

static void
an_owner_weighs_at_most_half(void)
{
    start(4);
    for (uint32_t i = 0; i < 3; i++)
        own(i, 9);
    judge();
    CU_ASSERT_DOUBLE_EQUAL(weight_of(9), 0.5, 1e-12);
    CU_ASSERT_EQUAL(bench.judged[1].marks, DPC_MARK_OWNER);
    CU_ASSERT_TRUE(is_untouched(3));
    own(3, 9); /* there are no others */
    judge();
    CU_ASSERT_DOUBLE_EQUAL(weight_of(9), 1, 1e-12);
    start(4); /* what is left out makes nobody another */
    for (uint32_t i = 0; i < 3; i++)
        own(i, 9);
    bench.inputs[3].delta = bench.inputs[0].delta;
    judge();
    CU_ASSERT_DOUBLE_EQUAL(weight_of(9), 0.75, 1e-12);
}

/* Nothing depends on how much is read at a time, or on what was read before. */
static void
the_same_again_gives_the_same(void)
{
    struct dpc_judged before[MANY];
    start(MANY);
    multiply(5, 40);
    multiply(6, -1);
    judge();
    memcpy(before, bench.judged, sizeof before);
    judge();
    for (uint32_t i = 0; i < MANY; i++)
        CU_ASSERT_TRUE(before[i].scale == bench.judged[i].scale &&
                       before[i].cosine == bench.judged[i].cosine);
}

static void
a_delta_that_cannot_be_read_ends_it(void)
{
    struct dpc_error err;
    struct dpc_gate_source source = {&bench, read_values};
    start(4);
    CU_ASSERT_EQUAL(dpc_gates_judge(&source, bench.inputs, 4, COUNT + 1, bench.judged, &err),
                    DPC_EIO);
}

static const struct dpc_test tests[] = {
    {"honest ones pass as they came", honest_ones_pass_as_they_came},
    {"the median leaves out the one that is judged", the_median_leaves_out_the_one_that_is_judged},
    {"one that points against the others counts nothing",
     one_that_points_against_the_others_counts_nothing},
    {"nobody is outvoted by one owner", nobody_is_outvoted_by_one_owner},
    {"one that is too large is clipped to the median",
     one_that_is_too_large_is_clipped_to_the_median},
    {"noise of the same norm is neither", noise_of_the_same_norm_is_neither},
    {"a copy counts once", a_copy_counts_once},
    {"one that moves next to nothing is told", one_that_moves_next_to_nothing_is_told},
    {"parts of a round are held against their steps",
     parts_of_a_round_are_held_against_their_steps},
    {"an owner weighs at most half", an_owner_weighs_at_most_half},
    {"the same again gives the same", the_same_again_gives_the_same},
    {"a delta that cannot be read ends it", a_delta_that_cannot_be_read_ends_it},
};
DPC_TEST_MAIN("coordinator/gates", tests)
