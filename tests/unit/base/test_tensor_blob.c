/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor_blob.h"

#include <string.h>

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
        'D', 'P', 'C', 'T', 'E', 'N', 'S', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0x04, 0x03, 0x02, 0x01};
    uint8_t header[DPC_TENSOR_BLOB_HEADER_BYTES];
    dpc_tensor_blob_header(0x01020304, header);
    CU_ASSERT(memcmp(header, expected, sizeof expected) == 0);
}

static void
damage_is_refused(void)
{
    static const struct {
        size_t at;
        int code;
    } rows[] = {{0, DPC_ECORRUPT}, {7, DPC_ECORRUPT}, {8, DPC_EUNSUPPORTED}, {16, DPC_ECORRUPT}};
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
    {"damage is refused", damage_is_refused},
};
DPC_TEST_MAIN("base/tensor_blob", tests)
