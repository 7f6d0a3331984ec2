/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "tests/unit/harness.h"

/* Known answers of Random123's kat_vectors for philox4x32 with 10 rounds. */
static void
known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t words[4];
        dpc_philox(rows[i].counter, rows[i].key, words);
        for (int k = 0; k < 4; k++)
            CU_ASSERT_EQUAL(words[k], rows[i].words[k]);
    }
}

static void
same_key_same_stream(void)
{
    struct dpc_rng a, b;
    dpc_rng_init(&a, 7, DPC_RNG_TEST, 1, 2, 3);
    dpc_rng_init(&b, 7, DPC_RNG_TEST, 1, 2, 3);
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(dpc_rng_u32(&a), dpc_rng_u32(&b));
}

static void
each_coordinate_gives_another_stream(void)
{
    struct dpc_rng base, other[5];
    dpc_rng_init(&base, 7, DPC_RNG_TEST, 1, 2, 3);
    dpc_rng_init(&other[0], 8, DPC_RNG_TEST, 1, 2, 3);
    dpc_rng_init(&other[1], 7, DPC_RNG_BATCH, 1, 2, 3);
    dpc_rng_init(&other[2], 7, DPC_RNG_TEST, 2, 2, 3);
    dpc_rng_init(&other[3], 7, DPC_RNG_TEST, 1, 3, 3);
    dpc_rng_init(&other[4], 7, DPC_RNG_TEST, 1, 2, 4);
    uint64_t first = dpc_rng_u64(&base);
    for (int i = 0; i < 5; i++)
        CU_ASSERT_NOT_EQUAL(dpc_rng_u64(&other[i]), first);
}

static void
below_stays_below_and_is_even(void)
{
    struct dpc_rng rng;
    unsigned counts[7] = {0};
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t draw = dpc_rng_below(&rng, 7);
        CU_ASSERT_FATAL(draw < 7);
        counts[draw]++;
    }
    for (int i = 0; i < 7; i++)
        CU_ASSERT(counts[i] > 9600 && counts[i] < 10400);
}

static void
normal_has_mean_0_and_variance_1(void)
{
    struct dpc_rng rng;
    double sum = 0, squares = 0;
    enum { COUNT = 100000 };
    dpc_rng_init(&rng, 3, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < COUNT; i++) {
        double draw = dpc_rng_normal(&rng);
        sum += draw;
        squares += draw * draw;
    }
    CU_ASSERT_DOUBLE_EQUAL(sum / COUNT, 0.0, 0.02);
    CU_ASSERT_DOUBLE_EQUAL(squares / COUNT, 1.0, 0.02);
}

static const struct dpc_test tests[] = {
    {"known answers", known_answers},
    {"same key, same stream", same_key_same_stream},
    {"each coordinate gives another stream", each_coordinate_gives_another_stream},
    {"below stays below and is even", below_stays_below_and_is_even},
    {"normal has mean 0 and variance 1", normal_has_mean_0_and_variance_1},
};
DPC_TEST_MAIN("base/rng", tests)
