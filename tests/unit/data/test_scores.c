/* SPDX-License-Identifier: Apache-2.0 */
#include "data/scores.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static const struct dpc_score rows[] = {
    {.id = 7, .targets = 100, .bytes = 130, .nats = 212.5},
    {.id = 0, .targets = 0, .bytes = 0, .nats = 0},
    {.id = UINT32_MAX, .targets = UINT32_MAX, .bytes = UINT32_MAX, .nats = 1e300},
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct dpc_buf
table(size_t count)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_scores_write(&out, rows, count);
    CU_ASSERT_EQUAL_FATAL(out.len, DPC_SCORES_HEADER_BYTES + count * DPC_SCORES_ENTRY_BYTES);
    return out;
}

static int
reads(const struct dpc_buf *bytes, size_t len)
{
    struct dpc_score *scores = NULL;
    size_t count;
    struct dpc_error err = {0};
    int code = dpc_scores_read(bytes->data, len, &scores, &count, &err);
    CU_ASSERT_EQUAL(code == DPC_OK, scores != NULL);
    CU_ASSERT_EQUAL(code == DPC_OK, err.text[0] == '\0');
    dpc_free(scores);
    return code;
}

static void
there_and_back(void)
{
    for (size_t rows_count = 0; rows_count <= ROWS; rows_count++) {
        struct dpc_buf bytes = table(rows_count);
        struct dpc_score *scores;
        size_t count;
        CU_ASSERT_EQUAL_FATAL(dpc_scores_read(bytes.data, bytes.len, &scores, &count, NULL),
                              DPC_OK);
        CU_ASSERT_EQUAL_FATAL(count, rows_count);
        for (size_t i = 0; i < count; i++) {
            CU_ASSERT_EQUAL(scores[i].id, rows[i].id);
            CU_ASSERT_EQUAL(scores[i].targets, rows[i].targets);
            CU_ASSERT_EQUAL(scores[i].bytes, rows[i].bytes);
            CU_ASSERT_EQUAL(scores[i].nats, rows[i].nats);
        }
        dpc_free(scores);
        dpc_buf_done(&bytes);
    }
}

static void
every_cut_is_damage(void)
{
    struct dpc_buf bytes = table(ROWS);
    for (size_t len = 0; len < bytes.len; len++)
        CU_ASSERT_EQUAL(reads(&bytes, len), DPC_ECORRUPT);
    dpc_buf_put_u8(&bytes, 0);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_ECORRUPT);
    dpc_buf_done(&bytes);
}

static void
put_u32(struct dpc_buf *bytes, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes->data[at + i] = (uint8_t)(value >> 8 * i);
}

static void
headers_that_lie(void)
{
    struct dpc_buf bytes = table(ROWS);
    bytes.data[0] ^= 1;
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_ECORRUPT);
    bytes.data[0] ^= 1;
    put_u32(&bytes, 8, 2);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_EVERSION);
    put_u32(&bytes, 8, 1);
    put_u32(&bytes, 12, ROWS + 1);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_ECORRUPT);
    put_u32(&bytes, 12, UINT32_MAX);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_ELIMIT);
    dpc_buf_done(&bytes);
}

static void
losses_that_are_none(void)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, -1.0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dpc_score score = {.id = 1, .targets = 1, .bytes = 1, .nats = bad[i]};
        struct dpc_buf bytes;
        dpc_buf_init(&bytes, 0);
        dpc_scores_write(&bytes, &score, 1);
        CU_ASSERT_EQUAL(reads(&bytes, bytes.len), DPC_ECORRUPT);
        dpc_buf_done(&bytes);
    }
}

static const struct dpc_test tests[] = {
    {"there and back", there_and_back},
    {"every cut is damage", every_cut_is_damage},
    {"headers that lie", headers_that_lie},
    {"losses that are none", losses_that_are_none},
};
DPC_TEST_MAIN("data/scores", tests)
