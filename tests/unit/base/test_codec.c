/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

enum { COUNT = 3 * DPC_CODEC_BLOCK + 77 };

/* Sizes over many powers of two, as deltas have them. */
static void
draw(float *ret_values)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 5, DPC_RNG_INIT, 0, 0, 0);
    for (int i = 0; i < COUNT; i++) {
        double size = exp2(-12 * dpc_rng_unit(&rng));
        ret_values[i] = (float)(dpc_rng_unit(&rng) < 0.5 ? -size : size);
    }
    ret_values[7] = 0;
}

static void
round_trip(enum dpc_codec codec, const float *values, size_t count, float *ret_back)
{
    uint8_t *bytes = dpc_alloc(dpc_codec_bytes(codec, count) + 1, 1);
    bytes[dpc_codec_bytes(codec, count)] = 0xa5;
    dpc_codec_encode(codec, values, count, bytes);
    CU_ASSERT_EQUAL(bytes[dpc_codec_bytes(codec, count)], 0xa5);
    dpc_codec_decode(codec, bytes, count, ret_back);
    dpc_free(bytes);
}

static void
bytes_are_as_documented(void)
{
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_FP32, 1000), 4000);
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_BF16, 1000), 2000);
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_INT8, 512), 2 * 260);
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_INT8, 513), 2 * 260 + 5);
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_NF4, 512), 2 * 132);
    CU_ASSERT_EQUAL(dpc_codec_bytes(DPC_CODEC_NF4, 515), 2 * 132 + 4 + 2);
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++)
        CU_ASSERT_EQUAL(dpc_codec_bytes(codec, 0), 0);
}

/* The formats are promises: these bytes stand on disks. */
static void
formats_are_as_documented(void)
{
    static const float values[5] = {1, -0.5f, 0.25f, 0, -0.125f};
    static const uint8_t bf16[10] = {0x80, 0x3f, 0x00, 0xbf, 0x80, 0x3e, 0, 0, 0x00, 0xbe};
    /* 127, -63.5, 31.75, 0, -15.875, of a scale of 1 / 127. */
    static const uint8_t int8[5] = {127, 0xc0, 32, 0, 0xf0};
    static const uint8_t nf4[3] = {0x2f, 0x7a, 0x06}; /* 1, -0.525, 0.246, 0, -0.091 of the scale */
    uint8_t bytes[20];
    float scale;
    dpc_codec_encode(DPC_CODEC_BF16, values, 5, bytes);
    CU_ASSERT(memcmp(bytes, bf16, sizeof bf16) == 0);
    dpc_codec_encode(DPC_CODEC_INT8, values, 5, bytes);
    memcpy(&scale, bytes, sizeof scale);
    CU_ASSERT_EQUAL(scale, 1.0f / 127.0f);
    CU_ASSERT(memcmp(bytes + sizeof scale, int8, sizeof int8) == 0);
    dpc_codec_encode(DPC_CODEC_NF4, values, 5, bytes);
    memcpy(&scale, bytes, sizeof scale);
    CU_ASSERT_DOUBLE_EQUAL(scale, 1.335446 / 1.344563, 1e-5);
    CU_ASSERT(memcmp(bytes + sizeof scale, nf4, sizeof nf4) == 0);
}

static void
fp32_loses_nothing(void)
{
    float values[COUNT], back[COUNT];
    draw(values);
    round_trip(DPC_CODEC_FP32, values, COUNT, back);
    CU_ASSERT(memcmp(values, back, sizeof values) == 0);
}

static void
bf16_is_within_half_a_last_place(void)
{
    float values[COUNT], back[COUNT];
    int wrong = 0;
    draw(values);
    round_trip(DPC_CODEC_BF16, values, COUNT, back);
    for (int i = 0; i < COUNT; i++)
        wrong += fabsf(back[i] - values[i]) > 0x1p-8f * fabsf(values[i]);
    CU_ASSERT_EQUAL(wrong, 0);
    /* To even, where two are as near; large ones do not become infinite unless they are nearer. */
    static const float halves[3] = {0x1.01p0f, 0x1.03p0f, 0x1.fep127f};
    round_trip(DPC_CODEC_BF16, halves, 3, back);
    CU_ASSERT_EQUAL(back[0], 1.0f);
    CU_ASSERT_EQUAL(back[1], 0x1.04p0f);
    CU_ASSERT_EQUAL(back[2], 0x1.fep127f);
}

static void
int8_is_within_half_a_step(void)
{
    float values[COUNT], back[COUNT];
    int wrong = 0;
    draw(values);
    round_trip(DPC_CODEC_INT8, values, COUNT, back);
    for (int from = 0; from < COUNT; from += DPC_CODEC_BLOCK) {
        int to = from + DPC_CODEC_BLOCK < COUNT ? from + DPC_CODEC_BLOCK : COUNT;
        float largest = 0;
        for (int i = from; i < to; i++)
            largest = fmaxf(largest, fabsf(values[i]));
        for (int i = from; i < to; i++)
            wrong += fabsf(back[i] - values[i]) > 0.5001f * largest / 127;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* Of 16 sizes of the largest value each value becomes the nearest one, and the block is as long in
 * its own direction as it came. */
static void
nf4_is_the_nearest_size(void)
{
    static const float one = 1;
    float values[COUNT], back[DPC_CODEC_BLOCK], sizes[16], largest = 0, scale;
    uint8_t bytes[4 + DPC_CODEC_BLOCK / 2];
    double along = 0, squares = 0;
    int wrong = 0;
    memcpy(bytes, &one, sizeof one);
    for (int i = 0; i < 8; i++)
        bytes[sizeof one + i] = (uint8_t)(0x10 + 0x22 * i);
    dpc_codec_decode(DPC_CODEC_NF4, bytes, 16, sizes);
    CU_ASSERT(sizes[0] == -1 && sizes[7] == 0 && sizes[15] == 1);
    draw(values);
    dpc_codec_encode(DPC_CODEC_NF4, values, DPC_CODEC_BLOCK, bytes);
    dpc_codec_decode(DPC_CODEC_NF4, bytes, DPC_CODEC_BLOCK, back);
    memcpy(&scale, bytes, sizeof scale);
    for (int i = 0; i < DPC_CODEC_BLOCK; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
        along += (double)values[i] * (double)back[i];
        squares += (double)back[i] * (double)back[i];
    }
    CU_ASSERT_DOUBLE_EQUAL(along, squares, 1e-6 * squares);
    for (int i = 0; i < DPC_CODEC_BLOCK; i++) {
        float size = values[i] / largest, best = 2;
        for (int k = 0; k < 16; k++)
            best = fminf(best, fabsf(size - sizes[k]));
        wrong += fabsf(size - back[i] / scale) > best + 1e-6f;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* All over the range, and where it begins and ends; a value in the middle of two sizes becomes the
 * smaller one, as a card has it. */
static void
nf4_is_the_nearest_size_everywhere(void)
{
    static const float sizes[] = DPC_CODEC_NF4_SIZES;
    enum { STEPS = 1 << 14, LAST = DPC_CODEC_NF4_SIZES_COUNT - 1 };
    int wrong = 0;
    for (int i = -STEPS; i <= STEPS + LAST; i++) {
        float values[2] = {1, (float)i / STEPS};
        uint8_t bytes[sizeof(float) + 1];
        int k = i - STEPS - 1, nearest = 0;
        if (k >= 0)
            values[1] = 0.5f * (sizes[k] + sizes[k + 1]);
        for (int size = 1; size <= LAST; size++)
            nearest += values[1] > 0.5f * (sizes[size - 1] + sizes[size]);
        dpc_codec_encode(DPC_CODEC_NF4, values, 2, bytes);
        wrong += bytes[sizeof(float)] >> 4 != nearest;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* Deltas of a small learning rate: forms are as fine as for large ones. */
static void
small_blocks_are_as_fine_as_large_ones(void)
{
    float values[COUNT], back[COUNT], small[COUNT], small_back[COUNT];
    draw(values);
    for (int i = 0; i < COUNT; i++)
        small[i] = 0x1p-98f * values[i]; /* the largest: 3e-30 */
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        int wrong = 0;
        round_trip(codec, values, DPC_CODEC_BLOCK, back);
        round_trip(codec, small, DPC_CODEC_BLOCK, small_back);
        for (int i = 0; i < DPC_CODEC_BLOCK; i++)
            wrong += small_back[i] != 0x1p-98f * back[i];
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

/* Whoever reads a part of a blob gets the same values. */
static void
blocks_are_decoded_alone(void)
{
    float values[COUNT], whole[COUNT], part[COUNT];
    draw(values);
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        uint8_t bytes[COUNT * sizeof(float)];
        dpc_codec_encode(codec, values, COUNT, bytes);
        dpc_codec_decode(codec, bytes, COUNT, whole);
        size_t from = 2 * DPC_CODEC_BLOCK;
        dpc_codec_decode(codec, bytes + dpc_codec_bytes(codec, from), COUNT - from, part);
        CU_ASSERT(memcmp(part, whole + from, (COUNT - from) * sizeof *part) == 0);
    }
}

static void
extremes_stay_finite(void)
{
    static const float rows[][3] = {
        {0, 0, 0}, {-0.0f, 0, 1e-45f}, {1e-39f, -1e-38f, 0}, {3.4e38f, -3.4e38f, 1e-30f}};
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
            float back[3];
            if (codec == DPC_CODEC_BF16 && row == 3)
                continue; /* nearer to infinity than to any value of 8 bits */
            round_trip(codec, rows[row], 3, back);
            for (int i = 0; i < 3; i++) {
                CU_ASSERT(isfinite(back[i]));
                CU_ASSERT(fabsf(back[i]) <= 1.01f * fabsf(rows[row][i]) + 1e-30f);
            }
        }
    }
}

static void
what_is_not_finite_stays_so(void)
{
    static const float values_that_are_not[] = {INFINITY, -INFINITY, NAN};
    float values[COUNT], back[COUNT];
    for (int codec = DPC_CODEC_BF16; codec < DPC_CODECS_COUNT; codec++) {
        for (size_t k = 0; k < 3; k++) {
            int finite = 0;
            draw(values);
            values[DPC_CODEC_BLOCK + 9] = values_that_are_not[k];
            round_trip(codec, values, COUNT, back);
            for (int i = 0; i < COUNT; i++)
                finite += isfinite(back[i]) != 0;
            CU_ASSERT_EQUAL(finite, COUNT - DPC_CODEC_BLOCK);
        }
    }
}

static const struct dpc_test tests[] = {
    {"bytes are as documented", bytes_are_as_documented},
    {"formats are as documented", formats_are_as_documented},
    {"fp32 loses nothing", fp32_loses_nothing},
    {"bf16 is within half a last place", bf16_is_within_half_a_last_place},
    {"int8 is within half a step", int8_is_within_half_a_step},
    {"nf4 is the nearest size", nf4_is_the_nearest_size},
    {"nf4 is the nearest size everywhere", nf4_is_the_nearest_size_everywhere},
    {"small blocks are as fine as large ones", small_blocks_are_as_fine_as_large_ones},
    {"blocks are decoded alone", blocks_are_decoded_alone},
    {"extremes stay finite", extremes_stay_finite},
    {"what is not finite stays so", what_is_not_finite_stays_so},
};
DPC_TEST_MAIN("base/codec", tests)
