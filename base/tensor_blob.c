/* SPDX-License-Identifier: Apache-2.0
 * The header is as long as a cache line, so that values in a mapped or aligned blob are aligned
 * too. */
#include "base/tensor_blob.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs hold floats as memory does");

static const char tensor_magic[8] = {'D', 'P', 'C', 'T', 'E', 'N', 'S', '1'};

size_t
dpc_tensor_blob_bytes(size_t count)
{
    return dpc_tensor_blob_bytes_as(DPC_CODEC_FP32, count);
}

size_t
dpc_tensor_blob_bytes_as(enum dpc_codec codec, size_t count)
{
    return DPC_TENSOR_BLOB_HEADER_BYTES + dpc_codec_bytes(codec, count);
}

void
dpc_tensor_blob_write(struct dpc_buf *out, const float *values, size_t count)
{
    dpc_tensor_blob_write_as(out, DPC_CODEC_FP32, values, count);
}

uint8_t *
dpc_tensor_blob_begin(struct dpc_buf *out, enum dpc_codec codec, size_t count)
{
    static const uint8_t zeros[DPC_TENSOR_BLOB_HEADER_BYTES];
    size_t begin = out->len;
    dpc_buf_put(out, tensor_magic, sizeof tensor_magic);
    dpc_buf_put_u32(out, codec);
    dpc_buf_put_u32(out, 0);
    dpc_buf_put_u64(out, count);
    dpc_buf_put(out, zeros, DPC_TENSOR_BLOB_HEADER_BYTES - (out->len - begin));
    return dpc_buf_extend(out, dpc_codec_bytes(codec, count));
}

void
dpc_tensor_blob_write_as(struct dpc_buf *out, enum dpc_codec codec, const float *values,
                         size_t count)
{
    uint8_t *bytes = dpc_tensor_blob_begin(out, codec, count);
    if (bytes)
        dpc_codec_encode(codec, values, count, bytes);
}

int
dpc_tensor_blob_read_header(const void *header, size_t len, size_t count, enum dpc_codec *ret_codec,
                            struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, header,
                    len < DPC_TENSOR_BLOB_HEADER_BYTES ? len : DPC_TENSOR_BLOB_HEADER_BYTES);
    const uint8_t *magic = dpc_reader_bytes(&reader, sizeof tensor_magic);
    if (!magic || memcmp(magic, tensor_magic, sizeof tensor_magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "could not read a tensor blob: it is none");
    uint32_t codec = dpc_reader_u32(&reader);
    (void)dpc_reader_u32(&reader);
    uint64_t held = dpc_reader_u64(&reader);
    if (!reader.failed && codec >= DPC_CODECS_COUNT)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a tensor blob: values of form %u are not known here",
                             codec);
    /* No form has more values than eight to a byte: a count whose bytes would not fit a size_t must
     * not meet `len` by wrapping around. */
    if (reader.failed || held != count || count / 8 > len ||
        len != dpc_tensor_blob_bytes_as(codec, count))
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a tensor blob: %zu bytes for %llu values, expected "
                             "%zu values",
                             len, (unsigned long long)held, count);
    *ret_codec = codec;
    return DPC_OK;
}

int
dpc_tensor_blob_read(const void *bytes, size_t len, size_t count, const float **ret_values,
                     struct dpc_error *err)
{
    enum dpc_codec codec;
    int code = dpc_tensor_blob_read_header(bytes, len, count, &codec, err);
    if (code != DPC_OK)
        return code;
    if (codec != DPC_CODEC_FP32)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a tensor blob: values of form %u where fp32 must be",
                             codec);
    const uint8_t *values = (const uint8_t *)bytes + DPC_TENSOR_BLOB_HEADER_BYTES;
    assert((uintptr_t)values % _Alignof(float) == 0);
    *ret_values = (const float *)(const void *)values;
    return DPC_OK;
}

struct decoding {
    enum dpc_codec codec;
    const uint8_t *bytes;
    size_t count;
    float *values;
};

static void
decode_part(void *context, size_t unit, uint32_t thread)
{
    const struct decoding *of = context;
    size_t at = unit * DPC_CODEC_PART, rest = of->count - at;
    (void)thread;
    dpc_codec_decode(of->codec, of->bytes + dpc_codec_bytes(of->codec, at),
                     rest < DPC_CODEC_PART ? rest : DPC_CODEC_PART, of->values + at);
}

int
dpc_tensor_blob_decode_by(struct dpc_pool *pool, const void *bytes, size_t len, size_t count,
                          float *ret_values, struct dpc_error *err)
{
    const uint8_t *values = (const uint8_t *)bytes + DPC_TENSOR_BLOB_HEADER_BYTES;
    struct decoding decoding = {.bytes = values, .count = count, .values = ret_values};
    int code = dpc_tensor_blob_read_header(bytes, len, count, &decoding.codec, err);
    if (code == DPC_OK)
        dpc_pool_run(pool, decode_part, &decoding, (count + DPC_CODEC_PART - 1) / DPC_CODEC_PART);
    return code;
}

int
dpc_tensor_blob_decode(const void *bytes, size_t len, size_t count, float *ret_values,
                       struct dpc_error *err)
{
    return dpc_tensor_blob_decode_by(NULL, bytes, len, count, ret_values, err);
}
