/* SPDX-License-Identifier: Apache-2.0 */
#include "base/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/base/memory_vfs.h"
#include "tests/unit/harness.h"

enum { FILE_MAX = 4096 };

/* A file of that header and as much data, zeros. */
static size_t
make(uint8_t *ret_bytes, const char *header, size_t data_bytes)
{
    size_t len = strlen(header);
    memset(ret_bytes, 0, FILE_MAX);
    for (size_t i = 0; i < 8; i++)
        ret_bytes[i] = (uint8_t)((uint64_t)len >> (8 * i));
    memcpy(ret_bytes + 8, header, len);
    return 8 + len + data_bytes;
}

static int
open_bytes(const void *bytes, size_t len, struct dpc_safetensors **ret_file, struct dpc_error *err)
{
    static struct memory_files files;
    static struct dpc_vfs vfs;
    files.count = 0;
    memory_add(&files, "m", bytes, len);
    vfs = memory_vfs(&files);
    return dpc_safetensors_open(&vfs, "m", ret_file, err);
}

static const float values[] = {1.5f, -2.0f, 0.0f, 3e38f, 1e-40f, 0.1f};
enum { COUNT = sizeof values / sizeof *values };

/* Two tensors, the second empty; the first of COUNT values. */
static size_t
write_two(enum dpc_safetensors_type type, uint8_t *ret_bytes)
{
    struct dpc_safetensor tensors[] = {
        {.name = "b.weight", .type = type, .dims_count = 2, .dims = {2, COUNT / 2}},
        {.name = "a.none", .type = type, .dims_count = 1, .dims = {0}}};
    struct dpc_buf header;
    dpc_buf_init(&header, 0);
    uint64_t bytes = dpc_safetensors_place(tensors, 2);
    dpc_safetensors_put_header(tensors, 2, "pt", &header);
    CU_ASSERT_EQUAL(bytes, COUNT * dpc_safetensors_value_bytes(type));
    CU_ASSERT_EQUAL(header.len % 8, 0);
    memcpy(ret_bytes, header.data, header.len);
    dpc_safetensors_encode(type, values, COUNT, ret_bytes + header.len);
    size_t len = header.len + bytes;
    dpc_buf_done(&header);
    return len;
}

static void
what_is_written_is_read(void)
{
    uint8_t bytes[FILE_MAX];
    struct dpc_safetensors *file;
    struct dpc_error err;
    float back[COUNT];
    size_t len = write_two(DPC_SAFETENSORS_F32, bytes);
    CU_ASSERT_EQUAL_FATAL(open_bytes(bytes, len, &file, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_safetensors_count(file), 2);
    CU_ASSERT_STRING_EQUAL(dpc_safetensors_at(file, 0)->name, "a.none");
    const struct dpc_safetensor *tensor = dpc_safetensors_find(file, "b.weight");
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    CU_ASSERT(tensor->dims_count == 2 && tensor->dims[0] == 2 && tensor->dims[1] == 3);
    CU_ASSERT_EQUAL(dpc_safetensors_read(file, tensor, back, &err), DPC_OK);
    CU_ASSERT(memcmp(back, values, sizeof values) == 0);
    CU_ASSERT_PTR_NULL(dpc_safetensors_find(file, "c"));
    CU_ASSERT_PTR_NULL(dpc_safetensors_find(file, ""));
    dpc_safetensors_close(file);
}

/* The form is other people's: these are the bytes that their library writes. */
static void
the_header_is_as_others_write_it(void)
{
    static const char expected[] = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":"
                                   "\"BF16\",\"shape\":[2,1],\"data_offsets\":[0,4]}}";
    struct dpc_safetensor tensor = {
        .name = "w", .type = DPC_SAFETENSORS_BF16, .dims_count = 2, .dims = {2, 1}};
    struct dpc_buf header;
    dpc_buf_init(&header, 0);
    (void)dpc_safetensors_place(&tensor, 1);
    dpc_safetensors_put_header(&tensor, 1, "pt", &header);
    size_t len = header.data[0];
    CU_ASSERT_EQUAL(header.len, 8 + len);
    CU_ASSERT(memcmp(header.data + 8, expected, sizeof expected - 1) == 0);
    for (size_t i = 8 + sizeof expected - 1; i < header.len; i++)
        CU_ASSERT_EQUAL(header.data[i], ' ');
    dpc_buf_done(&header);
}

static void
bf16_is_rounded_to_the_nearest(void)
{
    static const struct {
        float value;
        uint16_t bits;
    } rows[] = {{1.0f, 0x3F80},        {1.00390625f, 0x3F80}, {1.01171875f, 0x3F82},
                {1.00390637f, 0x3F81}, {-2.5f, 0xC020},       {3.4e38f, 0x7F80},
                {1e-40f, 0x0001},      {-0.0f, 0x8000},       {INFINITY, 0x7F80}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t bits;
        dpc_safetensors_encode(DPC_SAFETENSORS_BF16, &rows[i].value, 1, &bits);
        CU_ASSERT_EQUAL(bits, rows[i].bits);
    }
}

static void
halves_are_read_exactly(void)
{
    static const uint16_t f16[] = {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x83FF, 0x0400, 0x8000, 0x3555};
    static const float f16_values[] = {1.0f,        -2.0f,    65504.0f, 0x1p-24f,
                                       -0x3FFp-24f, 0x1p-14f, -0.0f,    0x1.554p-2f};
    static const uint16_t bf16[] = {0x3F80, 0xC020, 0x0001};
    static const float bf16_values[] = {1.0f, -2.5f, 0x1p-133f};
    uint8_t bytes[FILE_MAX];
    struct dpc_safetensors *file;
    struct dpc_error err;
    float back[8];
    size_t len = make(bytes,
                      "{\"h\":{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,16]},"
                      "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}}",
                      22);
    memcpy(bytes + len - 22, f16, sizeof f16);
    memcpy(bytes + len - 6, bf16, sizeof bf16);
    CU_ASSERT_EQUAL_FATAL(open_bytes(bytes, len, &file, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_safetensors_read(file, dpc_safetensors_find(file, "h"), back, &err),
                    DPC_OK);
    CU_ASSERT(memcmp(back, f16_values, sizeof f16_values) == 0);
    CU_ASSERT_EQUAL(dpc_safetensors_read(file, dpc_safetensors_find(file, "b"), back, &err),
                    DPC_OK);
    CU_ASSERT(memcmp(back, bf16_values, sizeof bf16_values) == 0);
    dpc_safetensors_close(file);
}

static void
what_is_not_finite_is_refused(void)
{
    static const struct {
        enum dpc_safetensors_type type;
        uint32_t bits;
    } rows[] = {{DPC_SAFETENSORS_F32, 0x7F800000},
                {DPC_SAFETENSORS_F32, 0xFFC00000},
                {DPC_SAFETENSORS_BF16, 0x7FC0},
                {DPC_SAFETENSORS_BF16, 0xFF80}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[FILE_MAX];
        struct dpc_safetensors *file;
        struct dpc_error err;
        float back[COUNT];
        size_t len = write_two(rows[i].type, bytes),
               size = dpc_safetensors_value_bytes(rows[i].type);
        memcpy(bytes + len - size, &rows[i].bits, size);
        CU_ASSERT_EQUAL_FATAL(open_bytes(bytes, len, &file, &err), DPC_OK);
        CU_ASSERT_EQUAL(
            dpc_safetensors_read(file, dpc_safetensors_find(file, "b.weight"), back, &err),
            DPC_ENOTFINITE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "b.weight of \"m\""));
        dpc_safetensors_close(file);
    }
}

#define TENSOR(name, dtype, shape, offsets)                                                        \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" TENSOR("w", dtype, shape, offsets) "}"

static const struct {
    const char *header;
    size_t data_bytes;
    int code;
    const char *text;
} hostile[] = {
    {"{}", 4, DPC_ECORRUPT, "its tensors take 0 bytes, and there are 4"},
    {"", 0, DPC_EPARSE, "its header: line"},
    {"[]", 0, DPC_EPARSE, "is no JSON object"},
    {"{\"w\":", 0, DPC_EPARSE, "its header: line"},
    {"{\"w\x1b[31m\":1}", 0, DPC_EPARSE, "its header: line"},
    {"{\"w\":1}", 0, DPC_ECORRUPT, "tensor w has no dtype"},
    {"{\"\\u001b[31m\":1}", 0, DPC_ECORRUPT, "it names a tensor by what is no text"},
    {"{\"\":1}", 0, DPC_ECORRUPT, "it names a tensor by what is no text"},
    {"{" TENSOR("w", "\"F32\"", "[1]", "[0,4]") "," TENSOR("w", "\"F32\"", "[1]", "[4,8]") "}", 8,
     DPC_EPARSE, "duplicate"},
    {ONE("\"I64\"", "[1]", "[0,8]"), 8, DPC_EUNSUPPORTED, "the type I64: F32, BF16 and F16"},
    {ONE("7", "[1]", "[0,8]"), 8, DPC_ECORRUPT, "tensor w has no dtype"},
    {ONE("\"F32\"", "[-1]", "[0,4]"), 4, DPC_ECORRUPT, "a shape that is none, or too large"},
    {ONE("\"F32\"", "[1.5]", "[0,4]"), 4, DPC_ECORRUPT, "a shape that is none"},
    {ONE("\"F32\"", "\"1\"", "[0,4]"), 4, DPC_ECORRUPT, "a shape that is none"},
    {ONE("\"F32\"", "{\"a\":1}", "[0,4]"), 4, DPC_ECORRUPT, "a shape that is none"},
    {ONE("\"F32\"", "[1,1,1,1,1]", "[0,4]"), 4, DPC_ECORRUPT, "a shape that is none"},
    {ONE("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, DPC_ECORRUPT, "too large"},
    {ONE("\"F32\"", "[0,9007199254740992]", "[0,4]"), 4, DPC_ECORRUPT, "not what its shape takes"},
    {ONE("\"F32\"", "[1]", "[0]"), 4, DPC_ECORRUPT, "data_offsets that are none"},
    {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, DPC_ECORRUPT, "data_offsets that are none"},
    {ONE("\"F32\"", "[1]", "[4,0]"), 4, DPC_ECORRUPT, "data_offsets that are none"},
    {ONE("\"F32\"", "[1]", "[-4,0]"), 4, DPC_ECORRUPT, "data_offsets that are none"},
    {ONE("\"F32\"", "[1]", "{\"0\":0,\"1\":4}"), 4, DPC_ECORRUPT, "data_offsets that are none"},
    {ONE("\"F32\"", "[1]", "[0,9223372036854775808]"), 4, DPC_EPARSE, "its header: line"},
    {ONE("\"F32\"", "[2]", "[0,4]"), 4, DPC_ECORRUPT, "has 4 bytes, which is not what its shape"},
    {ONE("\"F32\"", "[1]", "[0,4]"), 3, DPC_ECORRUPT, "its tensors take 4 bytes, and there are 3"},
    {ONE("\"F32\"", "[1]", "[0,4]"), 5, DPC_ECORRUPT, "its tensors take 4 bytes, and there are 5"},
    {ONE("\"F32\"", "[1]", "[4,8]"), 8, DPC_ECORRUPT, "tensor w stands behind a hole"},
    {"{" TENSOR("v", "\"F32\"", "[2]", "[0,8]") "," TENSOR("w", "\"F32\"", "[2]", "[4,12]") "}", 12,
     DPC_ECORRUPT, "tensor w overlaps another"},
    {"{" TENSOR("v", "\"F32\"", "[1]", "[0,4]") "," TENSOR("w", "\"F32\"", "[1]", "[0,4]") "}", 4,
     DPC_ECORRUPT, "overlaps another"},
};

static void
hostile_headers_are_refused(void)
{
    uint8_t bytes[FILE_MAX];
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct dpc_safetensors *file = NULL;
        struct dpc_error err = {0};
        size_t len = make(bytes, hostile[i].header, hostile[i].data_bytes);
        int code = open_bytes(bytes, len, &file, &err);
        if (code != hostile[i].code || !strstr(err.text, hostile[i].text))
            fprintf(stderr, "\n%s\n  gives %d: %s\n", hostile[i].header, code, err.text);
        CU_ASSERT_EQUAL(code, hostile[i].code);
        CU_ASSERT_EQUAL(err.code, hostile[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, hostile[i].text));
        for (const char *at = err.text; *at; at++)
            CU_ASSERT(*at >= ' ' && *at <= '~');
        if (code == DPC_OK)
            dpc_safetensors_close(file);
    }
}

static void
lengths_beyond_the_file_are_refused(void)
{
    uint8_t bytes[FILE_MAX];
    struct dpc_safetensors *file;
    struct dpc_error err;
    size_t len = write_two(DPC_SAFETENSORS_F32, bytes);
    for (size_t cut = 0; cut < len; cut++) {
        int code = open_bytes(bytes, cut, &file, &err);
        CU_ASSERT_EQUAL(code, DPC_ECORRUPT);
    }
    for (size_t i = 2; i < 8; i++) {
        uint8_t kept = bytes[i];
        bytes[i] = 0xFF;
        CU_ASSERT_EQUAL(open_bytes(bytes, len, &file, &err), DPC_ECORRUPT);
        bytes[i] = kept;
    }
    CU_ASSERT_EQUAL(dpc_safetensors_open(&dpc_vfs_posix, "/nowhere", &file, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NULL(dpc_safetensors_close(NULL));
}

/* A file that is as large as it says, and holds a header beyond the limit: nothing is read of it.
 */
static int
huge_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    (void)file;
    *ret_bytes = (uint64_t)1 << 40;
    return DPC_OK;
}

static void
a_header_beyond_the_limit_is_refused(void)
{
    static const uint8_t length[8] = {1, 0, 0, 1}; /* 16 MiB and 1 */
    struct memory_files files = {0};
    struct dpc_vfs_ops ops = memory_ops;
    struct dpc_vfs vfs = {.ops = &ops, .context = &files};
    struct dpc_safetensors *file;
    struct dpc_error err;
    ops.size = huge_size;
    memory_add(&files, "m", length, sizeof length);
    CU_ASSERT_EQUAL(dpc_safetensors_open(&vfs, "m", &file, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has 16777217 bytes: at most 16777216 are read"));
}

static const struct dpc_test tests[] = {
    {"what is written is read", what_is_written_is_read},
    {"the header is as others write it", the_header_is_as_others_write_it},
    {"bf16 is rounded to the nearest", bf16_is_rounded_to_the_nearest},
    {"halves are read exactly", halves_are_read_exactly},
    {"what is not finite is refused", what_is_not_finite_is_refused},
    {"hostile headers are refused", hostile_headers_are_refused},
    {"lengths beyond the file are refused", lengths_beyond_the_file_are_refused},
    {"a header beyond the limit is refused", a_header_beyond_the_limit_is_refused},
};
DPC_TEST_MAIN("base/safetensors", tests)
