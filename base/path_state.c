/* SPDX-License-Identifier: Apache-2.0
 * Rounded to 3 bits of mantissa, or to none, a float is a number of exponent and mantissa, whose
 * order is that of the values: a code is what it is more than the number that means 0. */
#include "base/path_state.h"

#include <string.h>

#include "base/codec.h"
#include "base/limits.h"

enum { FORMAT = 1, FIELDS_BYTES = 32 };
static const char magic[8] = {'D', 'P', 'C', 'S', 'T', 'A', 'T', '1'};

enum { NOT_FINITE = 0x7f800000, LARGEST_EXPONENT = 254 };

/* Of fp8. */
enum {
    FIRST_BELOW = 15, /* powers of two below the one of the largest value */
    SECOND_BELOW = 31,
    MANTISSA = 3,
    SHIFT = 20,
    HALF = 1 << 19,
    LARGEST = (LARGEST_EXPONENT << MANTISSA) + 7,
    SIGN = 0x80
};

/* Of the second moments of nf4: a power of two is nearest from the root of two below it on. */
enum { POWERS_BELOW = 15, POWER_SHIFT = 23, TO_POWER = 0x800000 - 0x3504f3 };

/* In the order in which they lie. */
enum vector { FIRST, SECOND };

struct header {
    enum dpc_moments form;
    uint64_t steps;
};

/* Of a form, or a vector of it, that is not by blocks of its own. */
static enum dpc_codec
codec_of(enum dpc_moments form)
{
    static const enum dpc_codec codecs[] = {
        [DPC_MOMENTS_BF16] = DPC_CODEC_BF16, [DPC_MOMENTS_NF4] = DPC_CODEC_NF4};
    return codecs[form];
}

static bool
is_powers(enum dpc_moments form, enum vector vector)
{
    return form == DPC_MOMENTS_NF4 && vector == SECOND;
}

static size_t
vector_bytes(enum dpc_moments form, enum vector vector, size_t count)
{
    size_t blocks = (count + DPC_CODEC_BLOCK - 1) / DPC_CODEC_BLOCK;
    if (form == DPC_MOMENTS_FP8)
        return blocks + count;
    return is_powers(form, vector) ? blocks + (count + 1) / 2
                                   : dpc_codec_bytes(codec_of(form), count);
}

size_t
dpc_path_state_bytes(size_t count)
{
    return dpc_path_state_bytes_as(DPC_MOMENTS_FP32, count);
}

size_t
dpc_path_state_bytes_as(enum dpc_moments form, size_t count)
{
    return DPC_PATH_STATE_HEADER_BYTES + vector_bytes(form, FIRST, count) +
           vector_bytes(form, SECOND, count);
}

/* --- fp8. */

/* Past LARGEST where the value is not finite. */
static uint32_t
rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0x7fffffff;
    uint32_t number = (bits + HALF) >> SHIFT;
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
encode_fp8(const float *values, size_t count, uint32_t below, uint8_t *ret_bytes)
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
decode_fp8(const uint8_t *bytes, size_t count, uint32_t below, float *ret_values)
{
    uint32_t exponent = bytes[0] > below ? bytes[0] : below, zero = (exponent - below) << MANTISSA;
    for (size_t i = 0; i < count; i++) {
        uint32_t sign = below == FIRST_BELOW ? bytes[1 + i] & SIGN : 0, code = bytes[1 + i] - sign;
        uint32_t bits = code ? (code + zero) << SHIFT | sign << 24 : 0;
        memcpy(&ret_values[i], &bits, sizeof bits);
    }
}

/* --- Powers of two. */

/* The exponent of the nearest one, past LARGEST_EXPONENT where the value is not finite. */
static uint32_t
power(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0x7fffffff;
    uint32_t exponent = (bits + TO_POWER) >> POWER_SHIFT, largest = LARGEST_EXPONENT;
    if (bits >= NOT_FINITE)
        return largest + 1;
    return exponent < largest ? exponent : largest;
}

static void
encode_powers(const float *values, size_t count, uint8_t *ret_bytes)
{
    uint32_t largest = POWERS_BELOW;
    for (size_t i = 0; i < count; i++) {
        uint32_t exponent = power(values[i]);
        largest = exponent > largest ? exponent : largest;
    }
    if (largest > LARGEST_EXPONENT) {
        memset(ret_bytes, 0xff, 1 + (count + 1) / 2);
        return;
    }
    uint32_t zero = largest - POWERS_BELOW;
    memset(ret_bytes, 0, 1 + (count + 1) / 2);
    ret_bytes[0] = (uint8_t)largest;
    for (size_t i = 0; i < count; i++) {
        uint32_t exponent = power(values[i]), code = exponent > zero ? exponent - zero : 0;
        code += code == 0 && values[i] > 0;
        ret_bytes[1 + i / 2] |= (uint8_t)(code << i % 2 * 4);
    }
}

static void
decode_powers(const uint8_t *bytes, size_t count, float *ret_values)
{
    uint32_t exponent = bytes[0], below = POWERS_BELOW,
             zero = exponent > below ? exponent - below : 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t code = bytes[1 + i / 2] >> i % 2 * 4 & 15;
        uint32_t bits = code ? (code + zero) << POWER_SHIFT : 0;
        memcpy(&ret_values[i], &bits, sizeof bits);
    }
}

/* --- Vectors. */

/* One that is coded: values into bytes, or the other way round. */
struct coding {
    void (*block)(const struct coding *of, size_t at);
    enum dpc_moments form;
    enum vector vector;
    size_t count;
    const void *from;
    void *to;
};

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void
encode_block(const struct coding *of, size_t at)
{
    const float *values = (const float *)of->from + at;
    uint8_t *bytes = (uint8_t *)of->to + vector_bytes(of->form, of->vector, at);
    size_t count = min_size(of->count - at, DPC_CODEC_BLOCK);
    if (is_powers(of->form, of->vector))
        encode_powers(values, count, bytes);
    else if (of->form == DPC_MOMENTS_FP8)
        encode_fp8(values, count, of->vector == SECOND ? SECOND_BELOW : FIRST_BELOW, bytes);
    else
        dpc_codec_encode(codec_of(of->form), values, count, bytes);
}

static void
decode_block(const struct coding *of, size_t at)
{
    const uint8_t *bytes = (const uint8_t *)of->from + vector_bytes(of->form, of->vector, at);
    float *values = (float *)of->to + at;
    size_t count = min_size(of->count - at, DPC_CODEC_BLOCK);
    if (is_powers(of->form, of->vector))
        decode_powers(bytes, count, values);
    else if (of->form == DPC_MOMENTS_FP8)
        decode_fp8(bytes, count, of->vector == SECOND ? SECOND_BELOW : FIRST_BELOW, values);
    else
        dpc_codec_decode(codec_of(of->form), bytes, count, values);
}

static void
code_part(void *context, size_t unit, uint32_t thread)
{
    const struct coding *of = context;
    size_t end = min_size(of->count, (unit + 1) * DPC_CODEC_PART);
    (void)thread;
    for (size_t at = unit * DPC_CODEC_PART; at < end; at += DPC_CODEC_BLOCK)
        of->block(of, at);
}

static void
code_vector(struct dpc_pool *pool, struct coding coding)
{
    dpc_pool_run(pool, code_part, &coding, (coding.count + DPC_CODEC_PART - 1) / DPC_CODEC_PART);
}

/* --- Whole states. */

static void
put_header(struct dpc_buf *out, const struct header *header, size_t count)
{
    static const uint8_t zeros[DPC_PATH_STATE_HEADER_BYTES - FIELDS_BYTES];
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, header->form);
    dpc_buf_put_u64(out, header->steps);
    dpc_buf_put_u64(out, count);
    dpc_buf_put(out, zeros, sizeof zeros);
}

void
dpc_path_state_put_header(struct dpc_buf *out, uint64_t steps, size_t count)
{
    const struct header header = {.steps = steps};
    put_header(out, &header, count);
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
    if (!reader.failed && form >= DPC_MOMENTS_COUNT)
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

static int
read_plain_header(const void *bytes, size_t len, size_t count, struct header *ret_header,
                  struct dpc_error *err)
{
    int code = read_header(bytes, len, count, ret_header, err);
    if (code == DPC_OK && ret_header->form != DPC_MOMENTS_FP32)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "could not read a path state: moments of form %u where fp32 must be",
                             ret_header->form);
    return code;
}

int
dpc_path_state_read_header(const void *bytes, size_t len, size_t count, uint64_t *ret_steps,
                           struct dpc_error *err)
{
    struct header header;
    int code = read_plain_header(bytes, len, count, &header, err);
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
    return !reader.failed && form < DPC_MOMENTS_COUNT ? form : DPC_MOMENTS_FP32;
}

int
dpc_path_state_encode(const void *bytes, size_t len, size_t count, enum dpc_moments form,
                      struct dpc_pool *pool, struct dpc_buf *out, struct dpc_error *err)
{
    struct header header;
    int code = read_plain_header(bytes, len, count, &header, err);
    if (code != DPC_OK)
        return code;
    const uint8_t *behind = (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES;
    const float *values = (const float *)(const void *)behind;
    header.form = form;
    put_header(out, &header, count);
    uint8_t *made =
        dpc_buf_extend(out, dpc_path_state_bytes_as(form, count) - DPC_PATH_STATE_HEADER_BYTES);
    if (!made)
        return DPC_OK;
    code_vector(pool, (struct coding){encode_block, form, FIRST, count, values, made});
    made += vector_bytes(form, FIRST, count);
    code_vector(pool, (struct coding){encode_block, form, SECOND, count, values + count, made});
    return DPC_OK;
}

int
dpc_path_state_decode(const void *bytes, size_t len, size_t count, struct dpc_pool *pool,
                      struct dpc_buf *out, enum dpc_moments *ret_form, struct dpc_error *err)
{
    struct header header;
    int code = read_header(bytes, len, count, &header, err);
    if (code != DPC_OK)
        return code;
    const uint8_t *from = (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES;
    *ret_form = header.form;
    header.form = DPC_MOMENTS_FP32;
    put_header(out, &header, count);
    float *made = dpc_buf_extend(out, 2 * count * sizeof *made);
    if (!made)
        return DPC_OK;
    code_vector(pool, (struct coding){decode_block, *ret_form, FIRST, count, from, made});
    from += vector_bytes(*ret_form, FIRST, count);
    code_vector(pool, (struct coding){decode_block, *ret_form, SECOND, count, from, made + count});
    return DPC_OK;
}
