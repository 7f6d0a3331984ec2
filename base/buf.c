/* SPDX-License-Identifier: Apache-2.0
 * Integers are put byte by byte, so that the format is the same on every machine. */
#include "base/buf.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { FIRST_CAPACITY = 256 };

void
dpc_buf_init(struct dpc_buf *buf, size_t limit)
{
    *buf = (struct dpc_buf){.limit = limit};
}

void
dpc_buf_done(struct dpc_buf *buf)
{
    dpc_free(buf->data);
    *buf = (struct dpc_buf){.limit = buf->limit};
}

void
dpc_buf_reset(struct dpc_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* Makes room for `more` bytes, or marks the buffer failed. */
static bool
reserve(struct dpc_buf *buf, size_t more)
{
    size_t need;
    if (buf->failed || __builtin_add_overflow(buf->len, more, &need) ||
        (buf->limit && need > buf->limit)) {
        buf->failed = true;
        return false;
    }
    if (need <= buf->capacity)
        return true;
    size_t capacity = buf->capacity > FIRST_CAPACITY ? buf->capacity : FIRST_CAPACITY;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity + capacity / 2;
    uint8_t *data = dpc_try_grow(buf->data, capacity, 1);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void
dpc_buf_put(struct dpc_buf *buf, const void *bytes, size_t len)
{
    if (len && reserve(buf, len)) {
        memcpy(buf->data + buf->len, bytes, len);
        buf->len += len;
    }
}

void *
dpc_buf_extend(struct dpc_buf *buf, size_t len)
{
    if (!reserve(buf, len))
        return NULL;
    buf->len += len;
    return buf->data + buf->len - len;
}

static void
put_little_endian(struct dpc_buf *buf, uint64_t value, size_t width)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    dpc_buf_put(buf, bytes, width);
}

void
dpc_buf_put_u8(struct dpc_buf *buf, uint8_t value)
{
    put_little_endian(buf, value, 1);
}

void
dpc_buf_put_u16(struct dpc_buf *buf, uint16_t value)
{
    put_little_endian(buf, value, 2);
}

void
dpc_buf_put_u32(struct dpc_buf *buf, uint32_t value)
{
    put_little_endian(buf, value, 4);
}

void
dpc_buf_put_u64(struct dpc_buf *buf, uint64_t value)
{
    put_little_endian(buf, value, 8);
}

void
dpc_buf_put_f64(struct dpc_buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little_endian(buf, bits, 8);
}

void
dpc_buf_put_block(struct dpc_buf *buf, const void *bytes, size_t len)
{
    if (len > UINT32_MAX) {
        buf->failed = true;
        return;
    }
    if (!reserve(buf, len + sizeof(uint32_t))) /* both or neither */
        return;
    dpc_buf_put_u32(buf, (uint32_t)len);
    dpc_buf_put(buf, bytes, len);
}

void
dpc_buf_printf(struct dpc_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    if (reserve(buf, (size_t)length + 1)) {
        (void)vsnprintf((char *)buf->data + buf->len, (size_t)length + 1, format, again);
        buf->len += (size_t)length;
    }
    va_end(again);
}

void
dpc_buf_put_real(struct dpc_buf *buf, double value)
{
    enum { PLAIN_DIGITS = 15 }; /* with fewer %g turns 60 into 6e+01 */
    char text[40];
    int digits = 1;
    do {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
    } while (strtod(text, NULL) != value && digits++ < DBL_DECIMAL_DIG);
    if (digits < PLAIN_DIGITS && fabs(value) >= 1 && fabs(value) < 1e15)
        (void)snprintf(text, sizeof text, "%.*g", PLAIN_DIGITS, value);
    dpc_buf_put(buf, text, strlen(text));
}

const char *
dpc_buf_text(struct dpc_buf *buf)
{
    if (buf->len == buf->capacity) {
        buf->data = dpc_grow(buf->data, buf->capacity + 1, 1);
        buf->capacity++;
    }
    buf->data[buf->len] = 0;
    return (const char *)buf->data;
}

void
dpc_reader_init(struct dpc_reader *reader, const void *bytes, size_t len)
{
    reader->at = bytes;
    /* Nothing may be added to NULL, not even 0. */
    reader->end = len ? reader->at + len : reader->at;
    reader->failed = false;
}

const uint8_t *
dpc_reader_bytes(struct dpc_reader *reader, size_t len)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < len) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += len;
    return bytes;
}

static uint64_t
get_little_endian(struct dpc_reader *reader, size_t width)
{
    const uint8_t *bytes = dpc_reader_bytes(reader, width);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t
dpc_reader_u8(struct dpc_reader *reader)
{
    return (uint8_t)get_little_endian(reader, 1);
}

uint16_t
dpc_reader_u16(struct dpc_reader *reader)
{
    return (uint16_t)get_little_endian(reader, 2);
}

uint32_t
dpc_reader_u32(struct dpc_reader *reader)
{
    return (uint32_t)get_little_endian(reader, 4);
}

uint64_t
dpc_reader_u64(struct dpc_reader *reader)
{
    return get_little_endian(reader, 8);
}

double
dpc_reader_f64(struct dpc_reader *reader)
{
    uint64_t bits = get_little_endian(reader, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

const uint8_t *
dpc_reader_block(struct dpc_reader *reader, size_t *ret_len)
{
    size_t len = dpc_reader_u32(reader);
    const uint8_t *bytes = dpc_reader_bytes(reader, len);
    *ret_len = bytes ? len : 0;
    return bytes;
}

void
dpc_reader_text(struct dpc_reader *reader, char *ret_text, size_t size)
{
    size_t len;
    const uint8_t *bytes = dpc_reader_block(reader, &len);
    ret_text[0] = 0;
    if (!bytes)
        return;
    if (len >= size || memchr(bytes, 0, len)) {
        reader->failed = true;
        return;
    }
    memcpy(ret_text, bytes, len);
    ret_text[len] = 0;
}

int
dpc_reader_finish(const struct dpc_reader *reader)
{
    return reader->failed || reader->at != reader->end ? DPC_ECORRUPT : DPC_OK;
}
