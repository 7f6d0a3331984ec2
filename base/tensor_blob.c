/* SPDX-License-Identifier: Apache-2.0
 * The header is as long as a cache line, so that values in a mapped or aligned blob are aligned
 * too. */
#include "base/tensor_blob.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs hold floats as memory does");

enum { TYPE_FP32 = 0 };

static const char tensor_magic[8] = "DPCTENS1";

size_t
dpc_tensor_blob_bytes(size_t count)
{
    return DPC_TENSOR_BLOB_HEADER_BYTES + count * sizeof(float);
}

void
dpc_tensor_blob_header(size_t count, uint8_t ret_header[DPC_TENSOR_BLOB_HEADER_BYTES])
{
    memset(ret_header, 0, DPC_TENSOR_BLOB_HEADER_BYTES);
    memcpy(ret_header, tensor_magic, sizeof tensor_magic);
    ret_header[8] = TYPE_FP32;
    for (size_t i = 0; i < 8; i++)
        ret_header[16 + i] = (uint8_t)((uint64_t)count >> (8 * i));
}

void
dpc_tensor_blob_write(struct dpc_buf *out, const float *values, size_t count)
{
    uint8_t header[DPC_TENSOR_BLOB_HEADER_BYTES];
    dpc_tensor_blob_header(count, header);
    dpc_buf_put(out, header, sizeof header);
    dpc_buf_put(out, values, count * sizeof *values);
}

int
dpc_tensor_blob_read(const void *bytes, size_t len, size_t count, const float **ret_values,
                     struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    const uint8_t *magic = dpc_reader_bytes(&reader, sizeof tensor_magic);
    if (!magic || memcmp(magic, tensor_magic, sizeof tensor_magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "could not read a tensor blob: it is none");
    uint32_t type = dpc_reader_u32(&reader);
    (void)dpc_reader_u32(&reader);
    uint64_t held = dpc_reader_u64(&reader);
    if (!reader.failed && type != TYPE_FP32)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a tensor blob: values of type %u are not known here",
                             type);
    /* A count whose bytes would not fit a size_t must not meet `len` by wrapping around. */
    if (reader.failed || held != count || len < DPC_TENSOR_BLOB_HEADER_BYTES ||
        count != (len - DPC_TENSOR_BLOB_HEADER_BYTES) / sizeof(float) ||
        len != dpc_tensor_blob_bytes(count))
        return dpc_error_set(
            err, DPC_ECORRUPT,
            "could not read a tensor blob: %zu bytes for %llu values, expected %zu "
            "bytes for %zu values",
            len, (unsigned long long)held, dpc_tensor_blob_bytes(count), count);
    const uint8_t *values = (const uint8_t *)bytes + DPC_TENSOR_BLOB_HEADER_BYTES;
    assert((uintptr_t)values % _Alignof(float) == 0);
    *ret_values = (const float *)(const void *)values;
    return DPC_OK;
}
