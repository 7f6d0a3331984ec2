/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path_state.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

enum { COUNT = 2 * DPC_CODEC_BLOCK + 33, STEPS = 1234 };

/* First moments over 12 powers of two, second ones over 24, as gradients of such sizes make them.
 */
static void
draw(struct dpc_buf *ret_state)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 8, DPC_RNG_INIT, 0, 0, 0);
    dpc_buf_init(ret_state, 0);
    dpc_path_state_put_header(ret_state, STEPS, COUNT);
    float *moments = dpc_buf_extend(ret_state, 2 * COUNT * sizeof *moments);
    for (int i = 0; i < COUNT; i++) {
        double size = exp2(-20 - 12 * dpc_rng_unit(&rng));
        moments[i] = (float)(i % 2 ? size : -size);
        moments[COUNT + i] = (float)(size * size);
    }
    moments[3] = moments[COUNT + 3] = 0;
}

static const float *
moments_of(const struct dpc_buf *state)
{
    return (const float *)(const void *)(state->data + DPC_PATH_STATE_HEADER_BYTES);
}

static void
round_trip(const struct dpc_buf *state, enum dpc_moments form, struct dpc_buf *ret_back)
{
    struct dpc_buf coded;
    struct dpc_error err;
    enum dpc_moments held = DPC_MOMENTS_FP32;
    dpc_buf_init(&coded, 0);
    dpc_buf_init(ret_back, 0);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_encode(state->data, state->len, COUNT, form, NULL, &coded, &err), DPC_OK);
    CU_ASSERT_EQUAL(coded.len, dpc_path_state_bytes_as(form, COUNT));
    CU_ASSERT_EQUAL(dpc_path_state_form(coded.data, coded.len), form);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_decode(coded.data, coded.len, COUNT, NULL, ret_back, &held, &err), DPC_OK);
    CU_ASSERT_EQUAL(held, form);
    dpc_buf_done(&coded);
}

static void
bytes_are_as_documented(void)
{
    CU_ASSERT_EQUAL(dpc_path_state_bytes(1000), 64 + 8000);
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_BF16, 1000), 64 + 4000);
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_FP8, 1000), 64 + 2 * (1000 + 4));
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_FP8, 256), 64 + 2 * (256 + 1));
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_FP8, 0), 64);
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_NF4, 256), 64 + 132 + 129);
    CU_ASSERT_EQUAL(dpc_path_state_bytes_as(DPC_MOMENTS_NF4, 259), 64 + 138 + 129 + 3);
}

/* The format is a promise: these bytes stand on disks. */
static void
fp8_is_as_documented(void)
{
    /* 1 has the exponent 127: a first moment's code is 15 x 8, a second one's 31 x 8. 1.125 is one
     * eighth above, a half one power below; what rounds to 2 is the next power's. */
    static const float moments[8] = {1, -1.125f, 0.5f, 0x1p-15f, 1.125f, 1, 0x1p-30f, 0x1p-31f};
    static const uint8_t expected[10] = {127, 120, 0x80 + 121, 112, 0, 127, 249, 248, 8, 1};
    struct dpc_buf state, coded;
    struct dpc_error err;
    dpc_buf_init(&state, 0);
    dpc_buf_init(&coded, 0);
    dpc_path_state_put_header(&state, 5, 4);
    dpc_buf_put(&state, moments, sizeof moments);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_encode(state.data, state.len, 4, DPC_MOMENTS_FP8, NULL, &coded, &err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(coded.len, 64 + 10);
    CU_ASSERT_EQUAL(coded.data[12], DPC_MOMENTS_FP8);
    CU_ASSERT(memcmp(coded.data + 64, expected, sizeof expected) == 0);
    dpc_buf_done(&state);
    dpc_buf_done(&coded);
}

static void
nf4_is_as_documented(void)
{
    /* Of first moments the bytes of base/codec.h. The largest second one, 1.5, is nearest to 2 of
     * the powers of two, which is code 15 of those from 2^-13 on; 0.7 is below the root of a half.
     */
    static const float moments[10] = {1,    -0.5f, 0.25f,          0,        1,
                                      1.5f, 0.7f,  0x1.6a1p0f / 2, 0x1p-13f, 1e-30f};
    static const uint8_t expected[4] = {128, 0xdf, 0x1e, 0x01};
    struct dpc_buf state, coded;
    uint8_t first[4 + 3];
    dpc_buf_init(&state, 0);
    dpc_buf_init(&coded, 0);
    dpc_path_state_put_header(&state, 5, 5);
    dpc_buf_put(&state, moments, sizeof moments);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_encode(state.data, state.len, 5, DPC_MOMENTS_NF4, NULL, &coded, NULL),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(coded.len, 64 + sizeof first + sizeof expected);
    CU_ASSERT_EQUAL(coded.data[12], DPC_MOMENTS_NF4);
    dpc_codec_encode(DPC_CODEC_NF4, moments, 5, first);
    CU_ASSERT(memcmp(coded.data + 64, first, sizeof first) == 0);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(coded.data[64 + 7 + i], expected[i]);
    dpc_buf_done(&state);
    dpc_buf_done(&coded);
}

static void
fp32_loses_nothing(void)
{
    struct dpc_buf state, back;
    draw(&state);
    round_trip(&state, DPC_MOMENTS_FP32, &back);
    CU_ASSERT(back.len == state.len && memcmp(back.data, state.data, state.len) == 0);
    dpc_buf_done(&state);
    dpc_buf_done(&back);
}

/* What AdamW divides by another keeps its size within a few percent, over all powers of two. */
static void
check_form(enum dpc_moments form, double loses)
{
    struct dpc_buf state, back;
    uint64_t steps = 0;
    int wrong = 0;
    draw(&state);
    round_trip(&state, form, &back);
    CU_ASSERT_EQUAL(dpc_path_state_read_header(back.data, back.len, COUNT, &steps, NULL), DPC_OK);
    CU_ASSERT_EQUAL(steps, STEPS);
    const float *before = moments_of(&state), *after = moments_of(&back);
    for (int i = 0; i < 2 * COUNT; i++)
        wrong += fabs((double)after[i] - (double)before[i]) > loses * fabs((double)before[i]);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(memcmp(before, after, COUNT * sizeof *before) != 0);
    dpc_buf_done(&state);
    dpc_buf_done(&back);
}

/* What AdamW divides by the root of is within a root of two where it is told at all. */
static void
nf4_keeps_second_moments_within_a_root_of_two(void)
{
    struct dpc_buf state, back;
    int wrong = 0;
    draw(&state);
    round_trip(&state, DPC_MOMENTS_NF4, &back);
    const float *before = moments_of(&state) + COUNT, *after = moments_of(&back) + COUNT;
    for (int from = 0; from < COUNT; from += DPC_CODEC_BLOCK) {
        int to = from + DPC_CODEC_BLOCK < COUNT ? from + DPC_CODEC_BLOCK : COUNT;
        float largest = 0, ratio;
        for (int i = from; i < to; i++)
            largest = fmaxf(largest, before[i]);
        for (int i = from; i < to; i++) {
            ratio = before[i] > 0 ? after[i] / before[i] : after[i] + 1;
            wrong += ratio < 0.7071f || (ratio > 1.4143f && before[i] > largest * 0x1p-14f);
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
    dpc_buf_done(&state);
    dpc_buf_done(&back);
}

static void
forms_keep_moments_in_relation(void)
{
    check_form(DPC_MOMENTS_BF16, 0x1p-8);
    check_form(DPC_MOMENTS_FP8, 0x1p-4);
}

/* Coded once, a state is what it is, whoever hands it on. */
static void
a_second_time_loses_nothing(void)
{
    for (enum dpc_moments form = DPC_MOMENTS_BF16; form < DPC_MOMENTS_COUNT; form++) {
        struct dpc_buf state, once, twice;
        draw(&state);
        round_trip(&state, form, &once);
        round_trip(&once, form, &twice);
        CU_ASSERT(memcmp(once.data, twice.data, once.len) == 0);
        dpc_buf_done(&state);
        dpc_buf_done(&once);
        dpc_buf_done(&twice);
    }
}

static void
check_extreme(enum dpc_moments form, double loses, const float moments[2])
{
    struct dpc_buf state, coded, back;
    enum dpc_moments held;
    dpc_buf_init(&state, 0);
    dpc_buf_init(&coded, 0);
    dpc_buf_init(&back, 0);
    dpc_path_state_put_header(&state, 5, 1);
    dpc_buf_put(&state, moments, 2 * sizeof *moments);
    CU_ASSERT_EQUAL(dpc_path_state_encode(state.data, state.len, 1, form, NULL, &coded, NULL),
                    DPC_OK);
    CU_ASSERT_EQUAL(dpc_path_state_decode(coded.data, coded.len, 1, NULL, &back, &held, NULL),
                    DPC_OK);
    for (int i = 0; i < 2; i++) {
        double after = (double)moments_of(&back)[i], before = (double)moments[i];
        CU_ASSERT(isfinite(after));
        CU_ASSERT(fabs(after - before) <= loses * fabs(before) + 1e-30);
    }
    dpc_buf_done(&state);
    dpc_buf_done(&coded);
    dpc_buf_done(&back);
}

static void
extremes_stay_finite(void)
{
    static const float rows[][2] = {{0, 0},
                                    {1e-45f, 1e-45f},
                                    {-0.0f, 1e-38f},
                                    {3.4028235e38f, 3.4028235e38f},
                                    {-1e-30f, 1e30f}};
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        check_extreme(DPC_MOMENTS_FP8, 0x1p-4, rows[row]);
        check_extreme(DPC_MOMENTS_NF4, 0.51, rows[row]); /* the largest power is half the last */
    }
}

/* What a step divides by the root of is never 0 where it was not, however small in its block; what
 * is not finite is found by whoever looks. */
static void
check_small_and_infinite(enum dpc_moments form, float least)
{
    static const float moments[4] = {1, 1e-5f, 1, 1e-10f};
    struct dpc_buf state, back;
    dpc_buf_init(&state, 0);
    dpc_path_state_put_header(&state, STEPS, COUNT);
    float *values = dpc_buf_extend(&state, 2 * COUNT * sizeof *values);
    memset(values, 0, 2 * COUNT * sizeof *values);
    memcpy(values, moments, 2 * sizeof *moments);
    memcpy(values + COUNT, moments + 2, 2 * sizeof *moments);
    values[COUNT - 1] = NAN;
    values[2 * COUNT - 1] = INFINITY;
    round_trip(&state, form, &back);
    const float *after = moments_of(&back);
    CU_ASSERT(after[COUNT] == 1 && after[COUNT + 1] > 0 && after[COUNT + 1] < least);
    CU_ASSERT_EQUAL(after[COUNT + 2], 0);
    CU_ASSERT(!isfinite(after[COUNT - 1]) && !isfinite(after[2 * COUNT - 1]));
    CU_ASSERT(isfinite(after[0]));
    dpc_buf_done(&state);
    dpc_buf_done(&back);
}

static void
small_second_moments_and_infinite_ones_stay(void)
{
    check_small_and_infinite(DPC_MOMENTS_FP8, 1e-9f);
    check_small_and_infinite(DPC_MOMENTS_NF4, 0x1p-13f);
}

static void
threads_change_nothing(void)
{
    enum { MANY = 2 * DPC_CODEC_PART + COUNT };
    struct dpc_pool *pool = dpc_pool_create(3);
    struct dpc_buf state;
    dpc_buf_init(&state, 0);
    dpc_path_state_put_header(&state, STEPS, MANY);
    float *moments = dpc_buf_extend(&state, 2 * MANY * sizeof *moments);
    for (int i = 0; i < 2 * MANY; i++)
        moments[i] = (float)(i % 1000) * 1e-5f;
    for (enum dpc_moments form = DPC_MOMENTS_FP32; form < DPC_MOMENTS_COUNT; form++) {
        struct dpc_buf coded[2], back[2];
        for (int i = 0; i < 2; i++) {
            struct dpc_pool *by = i ? pool : NULL;
            enum dpc_moments held;
            dpc_buf_init(&coded[i], 0);
            dpc_buf_init(&back[i], 0);
            CU_ASSERT_EQUAL_FATAL(
                dpc_path_state_encode(state.data, state.len, MANY, form, by, &coded[i], NULL),
                DPC_OK);
            CU_ASSERT_EQUAL_FATAL(
                dpc_path_state_decode(coded[i].data, coded[i].len, MANY, by, &back[i], &held, NULL),
                DPC_OK);
        }
        CU_ASSERT(memcmp(coded[0].data, coded[1].data, coded[0].len) == 0);
        CU_ASSERT(memcmp(back[0].data, back[1].data, back[0].len) == 0);
        for (int i = 0; i < 2; i++) {
            dpc_buf_done(&coded[i]);
            dpc_buf_done(&back[i]);
        }
    }
    dpc_buf_done(&state);
    dpc_pool_destroy(pool);
}

static void
damage_is_refused(void)
{
    struct dpc_buf state, coded, back;
    struct dpc_error err;
    enum dpc_moments form;
    uint64_t steps;
    draw(&state);
    dpc_buf_init(&coded, 0);
    dpc_buf_init(&back, 0);
    CU_ASSERT_EQUAL(
        dpc_path_state_encode(state.data, state.len, COUNT, DPC_MOMENTS_FP8, NULL, &coded, &err),
        DPC_OK);
#define REFUSED(expected, count)                                                                   \
    CU_ASSERT_EQUAL(dpc_path_state_decode(coded.data, coded.len, count, NULL, &back, &form, &err), \
                    expected)
    REFUSED(DPC_ECORRUPT, COUNT + 1);
    CU_ASSERT_EQUAL(dpc_path_state_read_header(coded.data, coded.len, COUNT, &steps, &err),
                    DPC_EUNSUPPORTED);
    coded.data[12] = DPC_MOMENTS_BF16; /* then it is too short */
    REFUSED(DPC_ECORRUPT, COUNT);
    coded.data[12] = 77;
    REFUSED(DPC_EUNSUPPORTED, COUNT);
    CU_ASSERT_EQUAL(dpc_path_state_form(coded.data, coded.len), DPC_MOMENTS_FP32);
    coded.data[12] = DPC_MOMENTS_FP8;
    coded.data[8] = 2;
    REFUSED(DPC_EVERSION, COUNT);
    coded.data[8] = 1;
    coded.data[0] = 'X';
    REFUSED(DPC_ECORRUPT, COUNT);
    coded.data[0] = 'D';
    coded.len--;
    REFUSED(DPC_ECORRUPT, COUNT);
    coded.len = 10;
    REFUSED(DPC_ECORRUPT, COUNT);
    CU_ASSERT_EQUAL(dpc_path_state_form(coded.data, coded.len), DPC_MOMENTS_FP32);
    CU_ASSERT_EQUAL(back.len, 0);
#undef REFUSED
    dpc_buf_done(&state);
    dpc_buf_done(&coded);
    dpc_buf_done(&back);
}

static const struct dpc_test tests[] = {
    {"bytes are as documented", bytes_are_as_documented},
    {"fp8 is as documented", fp8_is_as_documented},
    {"nf4 is as documented", nf4_is_as_documented},
    {"fp32 loses nothing", fp32_loses_nothing},
    {"nf4 keeps second moments within a root of two",
     nf4_keeps_second_moments_within_a_root_of_two},
    {"forms keep moments in relation", forms_keep_moments_in_relation},
    {"a second time loses nothing", a_second_time_loses_nothing},
    {"extremes stay finite", extremes_stay_finite},
    {"small second moments and infinite ones stay", small_second_moments_and_infinite_ones_stay},
    {"threads change nothing", threads_change_nothing},
    {"damage is refused", damage_is_refused},
};
DPC_TEST_MAIN("base/path_state", tests)
