/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor_blob.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static const float values[] = {1.5f, -2.0f, 0.0f, 3e38f, 1e-40f};
enum { COUNT = sizeof values / sizeof *values };

static void
what_is_written_is_read(void)
{
    struct dpc_buf blob;
    const float *back = NULL;
    struct dpc_error err;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, COUNT);
    CU_ASSERT_FALSE(blob.failed);
    CU_ASSERT_EQUAL(blob.len, dpc_tensor_blob_bytes(COUNT));
    CU_ASSERT_EQUAL(blob.len, 64 + 4 * COUNT);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_read(blob.data, blob.len, COUNT, &back, &err), DPC_OK);
    CU_ASSERT(memcmp(back, values, sizeof values) == 0);
    dpc_buf_done(&blob);
}

/* The format is a promise: these bytes stand on disks. */
static void
the_header_is_as_documented(void)
{
    static const uint8_t expected[DPC_TENSOR_BLOB_HEADER_BYTES] = {
        'D', 'P', 'C', 'T', 'E', 'N', 'S', '1', 3, 0, 0, 0, 0, 0, 0, 0, COUNT};
    struct dpc_buf blob;
    enum dpc_codec codec;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, DPC_CODEC_NF4, values, COUNT);
    CU_ASSERT_EQUAL(blob.len, dpc_tensor_blob_bytes_as(DPC_CODEC_NF4, COUNT));
    CU_ASSERT(memcmp(blob.data, expected, sizeof expected) == 0);
    CU_ASSERT_EQUAL(dpc_tensor_blob_read_header(blob.data, blob.len, COUNT, &codec, NULL), DPC_OK);
    CU_ASSERT_EQUAL(codec, DPC_CODEC_NF4);
    dpc_buf_done(&blob);
}

static void
other_forms_are_decoded(void)
{
    static const float some[] = {1.5f, -2.0f, 0.0f, 0.75f};
    struct dpc_buf blob;
    struct dpc_error err;
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        float back[4];
        const float *plain = NULL;
        dpc_buf_init(&blob, 0);
        dpc_tensor_blob_write_as(&blob, codec, some, 4);
        CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_decode(blob.data, blob.len, 4, back, &err), DPC_OK);
        for (int i = 0; i < 4; i++)
            CU_ASSERT_DOUBLE_EQUAL(back[i], some[i], 0.3);
        CU_ASSERT_EQUAL(dpc_tensor_blob_read(blob.data, blob.len, 4, &plain, &err),
                        codec == DPC_CODEC_FP32 ? DPC_OK : DPC_EUNSUPPORTED);
        /* The length is that of the form that the header names. */
        blob.data[8] ^= 1;
        CU_ASSERT_EQUAL(dpc_tensor_blob_decode(blob.data, blob.len, 4, back, &err), DPC_ECORRUPT);
        dpc_buf_done(&blob);
    }
}

/* Parts are decoded by many threads, the last of them not a whole one. */
static void
threads_change_nothing(void)
{
    enum { MANY = 2 * DPC_CODEC_PART + 77 };
    float *some = dpc_alloc(MANY, sizeof *some), *alone = dpc_alloc(MANY, sizeof *alone);
    float *by_three = dpc_alloc(MANY, sizeof *by_three);
    struct dpc_pool *pool = dpc_pool_create(3);
    for (int i = 0; i < MANY; i++)
        some[i] = (float)(i % 1000) * 1e-3f - 0.5f;
    for (int codec = 0; codec < DPC_CODECS_COUNT; codec++) {
        struct dpc_buf blob;
        dpc_buf_init(&blob, 0);
        dpc_tensor_blob_write_as(&blob, codec, some, MANY);
        CU_ASSERT_EQUAL(dpc_tensor_blob_decode(blob.data, blob.len, MANY, alone, NULL), DPC_OK);
        CU_ASSERT_EQUAL(dpc_tensor_blob_decode_by(pool, blob.data, blob.len, MANY, by_three, NULL),
                        DPC_OK);
        CU_ASSERT(memcmp(alone, by_three, MANY * sizeof *alone) == 0);
        dpc_buf_done(&blob);
    }
    dpc_pool_destroy(pool);
    dpc_free(by_three);
    dpc_free(alone);
    dpc_free(some);
}

static void
damage_is_refused(void)
{
    static const struct {
        size_t at;
        int code;
    } rows[] = {{0, DPC_ECORRUPT},
                {7, DPC_ECORRUPT},
                {9, DPC_EUNSUPPORTED},
                {8, DPC_ECORRUPT},
                {16, DPC_ECORRUPT}};
    struct dpc_buf blob;
    struct dpc_error err;
    const float *back = NULL;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, COUNT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        blob.data[rows[i].at] ^= 1;
        CU_ASSERT_EQUAL(dpc_tensor_blob_read(blob.data, blob.len, COUNT, &back, &err),
                        rows[i].code);
        CU_ASSERT_EQUAL(err.code, rows[i].code);
        blob.data[rows[i].at] ^= 1;
    }
    for (size_t len = 0; len < blob.len; len++)
        CU_ASSERT_EQUAL(dpc_tensor_blob_read(blob.data, len, COUNT, &back, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_tensor_blob_read(blob.data, blob.len, COUNT + 1, &back, &err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NULL(back);
    dpc_buf_done(&blob);
}

static const struct dpc_test tests[] = {
    {"what is written is read", what_is_written_is_read},
    {"the header is as documented", the_header_is_as_documented},
    {"other forms are decoded", other_forms_are_decoded},
    {"threads change nothing", threads_change_nothing},
    {"damage is refused", damage_is_refused},
};
DPC_TEST_MAIN("base/tensor_blob", tests)
