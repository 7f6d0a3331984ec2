/* SPDX-License-Identifier: Apache-2.0
 * Rounded to 3 bits of mantissa a float is a number of 11 bits, exponent and mantissa, whose order
 * is that of the values: a code of fp8 is what it is more than the number that means 0. */
#include "base/path_state.h"

#include <string.h>

#include "base/codec.h"
#include "base/limits.h"

enum { FORMAT = 1, FIELDS_BYTES = 32 };
static const char magic[8] = "DPCSTAT1";

/* Powers of two that fp8 has below the one of the largest value. */
enum { FIRST_BELOW = 15, SECOND_BELOW = 31 };
enum {
    MANTISSA = 3,
    ROUND = 1 << 19,
    SHIFT = 20,
    LARGEST = (254 << MANTISSA) + 7,
    SIGN = 0x80,
    NOT_FINITE = 0x7f800000
};

struct header {
    enum dpc_moments form;
    uint64_t steps;
};

/* Of a form that is not by blocks of its own. */
static enum dpc_codec
codec_of(enum dpc_moments form)
{
    return form == DPC_MOMENTS_BF16 ? DPC_CODEC_BF16 : DPC_CODEC_FP32;
}

static size_t
moment_bytes(enum dpc_moments form, size_t count)
{
    if (form == DPC_MOMENTS_FP8)
        return count + (count + DPC_CODEC_BLOCK - 1) / DPC_CODEC_BLOCK;
    return dpc_codec_bytes(codec_of(form), count);
}

size_t
dpc_path_state_bytes(size_t count)
{
    return dpc_path_state_bytes_as(DPC_MOMENTS_FP32, count);
}

size_t
dpc_path_state_bytes_as(enum dpc_moments form, size_t count)
{
    return DPC_PATH_STATE_HEADER_BYTES + 2 * moment_bytes(form, count);
}

/* --- fp8. */

/* Past LARGEST where the value is not finite. */
static uint32_t
rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0x7fffffff;
    uint32_t number = (bits + ROUND) >> SHIFT;
    return bits >= NOT_FINITE ? LARGEST + 1 : number < LARGEST ? number : LARGEST;
}

static uint8_t
code_of(float value, uint32_t zero, uint32_t below)
{
    uint32_t number = rounded(value), code = number > zero ? number - zero : 0;
    if (below == FIRST_BELOW)
        return (uint8_t)(code | (value < 0 ? SIGN : 0));
    /* A step is divided by its root: one that is there stays there. */
    return (uint8_t)(code == 0 && value > 0 ? 1 : code);
}

static void
encode_block(const float *values, size_t count, uint32_t below, uint8_t *ret_bytes)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = rounded(values[i]);
        largest = number > largest ? number : largest;
    }
    if (largest > LARGEST) { /* all bits: what is decoded is not finite either */
        memset(ret_bytes, 0xff, 1 + count);
        return;
    }
    uint32_t exponent = largest >> MANTISSA;
    exponent = exponent > below ? exponent : below;
    uint32_t zero = (exponent - below) << MANTISSA;
    ret_bytes[0] = (uint8_t)exponent;
    for (size_t i = 0; i < count; i++)
        ret_bytes[1 + i] = code_of(values[i], zero, below);
}

static void
decode_block(const uint8_t *bytes, size_t count, uint32_t below, float *ret_values)
{
    uint32_t exponent = bytes[0] > below ? bytes[0] : below, zero = (exponent - below) << MANTISSA;
    for (size_t i = 0; i < count; i++) {
        uint32_t sign = below == FIRST_BELOW ? bytes[1 + i] & SIGN : 0, code = bytes[1 + i] - sign;
        uint32_t bits = code ? (code + zero) << SHIFT | sign << 24 : 0;
        memcpy(&ret_values[i], &bits, sizeof bits);
    }
}

static size_t
block_at(size_t count, size_t at)
{
    return count - at < DPC_CODEC_BLOCK ? count - at : DPC_CODEC_BLOCK;
}

static void
encode_moment(enum dpc_moments form, const float *values, size_t count, uint32_t below,
              uint8_t *ret_bytes)
{
    if (form != DPC_MOMENTS_FP8) {
        dpc_codec_encode(codec_of(form), values, count, ret_bytes);
        return;
    }
    for (size_t at = 0; at < count; at += DPC_CODEC_BLOCK)
        encode_block(values + at, block_at(count, at), below, ret_bytes + moment_bytes(form, at));
}

static void
decode_moment(enum dpc_moments form, const uint8_t *bytes, size_t count, uint32_t below,
              float *ret_values)
{
    if (form != DPC_MOMENTS_FP8) {
        dpc_codec_decode(codec_of(form), bytes, count, ret_values);
        return;
    }
    for (size_t at = 0; at < count; at += DPC_CODEC_BLOCK)
        decode_block(bytes + moment_bytes(form, at), block_at(count, at), below, ret_values + at);
}

/* --- Whole states. */

static void
put_header(struct dpc_buf *out, enum dpc_moments form, uint64_t steps, size_t count)
{
    static const uint8_t zeros[DPC_PATH_STATE_HEADER_BYTES - FIELDS_BYTES];
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, form);
    dpc_buf_put_u64(out, steps);
    dpc_buf_put_u64(out, count);
    dpc_buf_put(out, zeros, sizeof zeros);
}

void
dpc_path_state_put_header(struct dpc_buf *out, uint64_t steps, size_t count)
{
    put_header(out, DPC_MOMENTS_FP32, steps, count);
}

static int
read_header(const void *bytes, size_t len, size_t count, struct header *ret_header,
            struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    const uint8_t *begin = dpc_reader_bytes(&reader, sizeof magic);
    if (!begin || memcmp(begin, magic, sizeof magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "could not read a path state: it is none");
    uint32_t format = dpc_reader_u32(&reader), form = dpc_reader_u32(&reader);
    uint64_t steps = dpc_reader_u64(&reader), has = dpc_reader_u64(&reader);
    if (!reader.failed && format != FORMAT)
        return dpc_error_set(err, DPC_EVERSION,
                             "could not read a path state: it has format %u, this program reads %u",
                             format, (unsigned)FORMAT);
    if (!reader.failed && form > DPC_MOMENTS_FP8)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a path state: moments of form %u are not known here",
                             form);
    if (reader.failed || has != count || len != dpc_path_state_bytes_as(form, count))
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a path state: %zu bytes for %llu values, but the path "
                             "has %zu values and needs %zu bytes",
                             len, (unsigned long long)has, count,
                             dpc_path_state_bytes_as(reader.failed ? 0 : form, count));
    if (steps > DPC_STEPS_TOTAL_MAX)
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a path state: it says %llu steps, and at most %d are "
                             "possible",
                             (unsigned long long)steps, DPC_STEPS_TOTAL_MAX);
    *ret_header = (struct header){form, steps};
    return DPC_OK;
}

int
dpc_path_state_read_header(const void *bytes, size_t len, size_t count, uint64_t *ret_steps,
                           struct dpc_error *err)
{
    struct header header;
    int code = read_header(bytes, len, count, &header, err);
    if (code == DPC_OK && header.form != DPC_MOMENTS_FP32)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a path state: moments of form %u where fp32 must be",
                             header.form);
    if (code == DPC_OK)
        *ret_steps = header.steps;
    return code;
}

enum dpc_moments
dpc_path_state_form(const void *bytes, size_t len)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    (void)dpc_reader_bytes(&reader, sizeof magic);
    (void)dpc_reader_u32(&reader);
    uint32_t form = dpc_reader_u32(&reader);
    return !reader.failed && form <= DPC_MOMENTS_FP8 ? form : DPC_MOMENTS_FP32;
}

int
dpc_path_state_encode(const void *bytes, size_t len, size_t count, enum dpc_moments form,
                      struct dpc_buf *out, struct dpc_error *err)
{
    uint64_t steps = 0;
    int code = dpc_path_state_read_header(bytes, len, count, &steps, err);
    if (code != DPC_OK)
        return code;
    const uint8_t *behind = (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES;
    const float *moments = (const float *)(const void *)behind;
    put_header(out, form, steps, count);
    uint8_t *made = dpc_buf_extend(out, 2 * moment_bytes(form, count));
    if (!made)
        return DPC_OK;
    encode_moment(form, moments, count, FIRST_BELOW, made);
    encode_moment(form, moments + count, count, SECOND_BELOW, made + moment_bytes(form, count));
    return DPC_OK;
}

int
dpc_path_state_decode(const void *bytes, size_t len, size_t count, struct dpc_buf *out,
                      enum dpc_moments *ret_form, struct dpc_error *err)
{
    struct header header;
    int code = read_header(bytes, len, count, &header, err);
    if (code != DPC_OK)
        return code;
    const uint8_t *moments = (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES;
    put_header(out, DPC_MOMENTS_FP32, header.steps, count);
    float *made = dpc_buf_extend(out, 2 * count * sizeof *made);
    *ret_form = header.form;
    if (!made)
        return DPC_OK;
    decode_moment(header.form, moments, count, FIRST_BELOW, made);
    decode_moment(header.form, moments + moment_bytes(header.form, count), count, SECOND_BELOW,
                  made + count);
    return DPC_OK;
}
