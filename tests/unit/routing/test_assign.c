/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/assign.h"

#include <math.h>
#include <stdbool.h>

#include "base/rng.h"
#include "tests/unit/harness.h"

enum { COUNT_MAX = 300, PATHS_MAX = 12, CHOICES_MAX = 3 };

static float costs[COUNT_MAX * PATHS_MAX];
static uint32_t chosen[COUNT_MAX * CHOICES_MAX];

/* Costs in which the first path is the favourite of most. */
static void
draw_costs(struct dpc_rng *rng, uint32_t count, uint32_t paths)
{
    for (uint32_t i = 0; i < count * paths; i++)
        costs[i] = (float)(dpc_rng_unit(rng) + (i % paths ? 0.5 : 0));
}

static void
balance_never_exceeds_the_capacity(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < 300; trial++) {
        uint32_t count = 1 + (uint32_t)dpc_rng_below(&rng, COUNT_MAX);
        uint32_t paths = 1 + (uint32_t)dpc_rng_below(&rng, PATHS_MAX);
        uint32_t choices = 1 + (uint32_t)dpc_rng_below(&rng, paths < 3 ? paths : CHOICES_MAX);
        struct dpc_assign_options options = {.choices = choices,
                                             .capacity = 1 + dpc_rng_unit(&rng)};
        uint32_t filled[PATHS_MAX] = {0}, first[PATHS_MAX] = {0};
        draw_costs(&rng, count, paths);
        dpc_assign(costs, count, paths, &options, chosen);
        for (uint32_t i = 0; i < count * choices; i++) {
            CU_ASSERT(chosen[i] < paths || (chosen[i] == DPC_ASSIGN_NONE && i % choices));
            for (uint32_t other = i - i % choices; other < i; other++)
                CU_ASSERT(chosen[i] == DPC_ASSIGN_NONE || chosen[i] != chosen[other]);
            if (chosen[i] != DPC_ASSIGN_NONE)
                filled[chosen[i]]++;
            if (i % choices == 0)
                first[chosen[i]]++;
        }
        for (uint32_t path = 0; path < paths; path++) {
            CU_ASSERT(filled[path] <= dpc_assign_capacity(count, paths, choices, options.capacity));
            CU_ASSERT(first[path] <= dpc_assign_capacity(count, paths, 1, options.capacity));
        }
    }
}

static void
without_capacity_all_get_their_cheapest(void)
{
    struct dpc_rng rng;
    struct dpc_assign_options options = {.choices = 3};
    dpc_rng_init(&rng, 2, DPC_RNG_TEST, 0, 0, 0);
    draw_costs(&rng, 100, 7);
    dpc_assign(costs, 100, 7, &options, chosen);
    for (uint32_t i = 0; i < 100; i++) {
        const float *cost = costs + i * 7;
        uint32_t cheaper = 0;
        for (uint32_t path = 0; path < 7; path++)
            cheaper += cost[path] < cost[chosen[3 * i + 2]];
        CU_ASSERT_EQUAL(cheaper, 2);
        CU_ASSERT(cost[chosen[3 * i]] <= cost[chosen[3 * i + 1]]);
        CU_ASSERT(cost[chosen[3 * i + 1]] <= cost[chosen[3 * i + 2]]);
    }
}

/* All want path 0, which has room for two of the four: those who lose most by path 1 get it. */
static void
who_loses_most_chooses_first(void)
{
    static const float four[] = {0, 1, 0, 4, 0, 2, 0, 3};
    struct dpc_assign_options options = {.choices = 1, .capacity = 1};
    dpc_assign(four, 4, 2, &options, chosen);
    CU_ASSERT_EQUAL(chosen[0], 1);
    CU_ASSERT_EQUAL(chosen[1], 0);
    CU_ASSERT_EQUAL(chosen[2], 1);
    CU_ASSERT_EQUAL(chosen[3], 0);
}

/* Path 0 holds three, path 1 one: that which loses most by path 0. */
static void
a_path_may_have_a_room_of_its_own(void)
{
    static const float four[] = {1, 0, 4, 0, 2, 0, 3, 0};
    static const uint32_t rooms[] = {3, 1};
    struct dpc_assign_options options = {.choices = 1, .rooms = rooms};
    dpc_assign(four, 4, 2, &options, chosen);
    CU_ASSERT_EQUAL(chosen[0], 0);
    CU_ASSERT_EQUAL(chosen[1], 1);
    CU_ASSERT_EQUAL(chosen[2], 0);
    CU_ASSERT_EQUAL(chosen[3], 0);
}

/* Of each document as many random paths as `asked` says keep their cost. */
static void
forget_costs(struct dpc_rng *rng, uint32_t count, uint32_t paths, uint32_t asked)
{
    for (uint32_t i = 0; i < count; i++) {
        float *cost = costs + (size_t)i * paths;
        for (uint32_t left = paths; left > asked;) {
            uint32_t path = (uint32_t)dpc_rng_below(rng, paths);
            left -= cost[path] < INFINITY;
            cost[path] = INFINITY;
        }
    }
}

/* The document that came to `path` last could not go to one with fewer. */
static bool
somebody_had_to(uint32_t path, const uint32_t *filled, uint32_t count, uint32_t paths)
{
    bool had_to = false;
    for (uint32_t i = 0; i < count; i++) {
        bool fewer = false;
        for (uint32_t other = 0; other < paths; other++)
            fewer |= costs[i * paths + other] < INFINITY && filled[other] + 1 < filled[path];
        had_to |= chosen[i] == path && !fewer;
    }
    return had_to;
}

/* Documents whose paths are all full go over the capacity. */
static void
labels_are_among_the_asked(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 3, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < 300; trial++) {
        uint32_t count = 1 + (uint32_t)dpc_rng_below(&rng, COUNT_MAX);
        uint32_t paths = 2 + (uint32_t)dpc_rng_below(&rng, PATHS_MAX - 1);
        uint32_t asked = 1 + (uint32_t)dpc_rng_below(&rng, paths), filled[PATHS_MAX] = {0};
        struct dpc_assign_options options = {
            .choices = 1, .capacity = trial % 3 ? 1 + dpc_rng_unit(&rng) / 2 : 0};
        draw_costs(&rng, count, paths);
        forget_costs(&rng, count, paths, asked);
        dpc_assign(costs, count, paths, &options, chosen);
        for (uint32_t i = 0; i < count; i++) {
            CU_ASSERT_FATAL(chosen[i] < paths && costs[i * paths + chosen[i]] < INFINITY);
            filled[chosen[i]]++;
        }
        uint32_t room = dpc_assign_capacity(count, paths, 1, options.capacity);
        for (uint32_t path = 0; path < paths && options.capacity > 0; path++)
            CU_ASSERT(filled[path] <= room || somebody_had_to(path, filled, count, paths));
    }
}

static void
a_document_without_costs_goes_somewhere(void)
{
    static const float none[] = {INFINITY, INFINITY, INFINITY, 1};
    struct dpc_assign_options options = {.choices = 1, .capacity = 1};
    dpc_assign(none, 2, 2, &options, chosen);
    CU_ASSERT_EQUAL(chosen[0], 0);
    CU_ASSERT_EQUAL(chosen[1], 1);
}

static const struct dpc_test tests[] = {
    {"labels are among the asked", labels_are_among_the_asked},
    {"a document without costs goes somewhere", a_document_without_costs_goes_somewhere},
    {"balance never exceeds the capacity", balance_never_exceeds_the_capacity},
    {"without capacity all get their cheapest", without_capacity_all_get_their_cheapest},
    {"who loses most chooses first", who_loses_most_chooses_first},
    {"a path may have a room of its own", a_path_may_have_a_room_of_its_own},
};
DPC_TEST_MAIN("routing/assign", tests)
