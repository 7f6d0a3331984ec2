/* SPDX-License-Identifier: Apache-2.0
 *
 * A growable byte buffer, and little-endian writing into and bounded reading from bytes. Records,
 * blob headers and token files are written and read through these, so that a byte order or a length
 * is checked in one place.
 *
 * Owns: its bytes. Threads: one at a time. Limits: `limit` bytes, then the buffer is `failed` and
 * stays as it was; the writer checks once, at the end.
 */
#ifndef DPC_BASE_BUF_H
#define DPC_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
    size_t limit; /* bytes; 0: no limit of its own */
    bool failed;
};

/* An empty buffer; `limit` in bytes, 0 for none. */
void dpc_buf_init(struct dpc_buf *buf, size_t limit);
void dpc_buf_done(struct dpc_buf *buf);
/* Empties it and clears `failed`; the memory stays. */
void dpc_buf_reset(struct dpc_buf *buf);

void dpc_buf_put(struct dpc_buf *buf, const void *bytes, size_t len);
/* Makes it `len` bytes longer; the caller writes them. NULL when it failed. Valid until the next
 * call. */
void *dpc_buf_extend(struct dpc_buf *buf, size_t len);
void dpc_buf_put_u8(struct dpc_buf *buf, uint8_t value);
void dpc_buf_put_u16(struct dpc_buf *buf, uint16_t value);
void dpc_buf_put_u32(struct dpc_buf *buf, uint32_t value);
void dpc_buf_put_u64(struct dpc_buf *buf, uint64_t value);
void dpc_buf_put_f64(struct dpc_buf *buf, double value);
/* A length (u32), then the bytes. */
void dpc_buf_put_block(struct dpc_buf *buf, const void *bytes, size_t len);
void dpc_buf_printf(struct dpc_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A finite number in the fewest digits that read back as the same double: "0.1", "1e-08", "60". */
void dpc_buf_put_real(struct dpc_buf *buf, double value);
/* The bytes with a zero behind them (not counted in `len`), for use as a C string. */
const char *dpc_buf_text(struct dpc_buf *buf);

/* Reads forward through bytes that the caller keeps. After a read past the end `failed` is set and
 * every read gives zero: decode everything, then check once. */
struct dpc_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void dpc_reader_init(struct dpc_reader *reader, const void *bytes, size_t len);
const uint8_t *dpc_reader_bytes(struct dpc_reader *reader, size_t len); /* NULL when too few */
uint8_t dpc_reader_u8(struct dpc_reader *reader);
uint16_t dpc_reader_u16(struct dpc_reader *reader);
uint32_t dpc_reader_u32(struct dpc_reader *reader);
uint64_t dpc_reader_u64(struct dpc_reader *reader);
double dpc_reader_f64(struct dpc_reader *reader);
/* A length (u32) and as many bytes; points into the input. */
const uint8_t *dpc_reader_block(struct dpc_reader *reader, size_t *ret_len);
/* A text of at most `size` - 1 bytes without a zero byte inside; a longer one fails the reader. */
void dpc_reader_text(struct dpc_reader *reader, char *ret_text, size_t size);
/* DPC_OK when nothing failed and every byte was read, else DPC_ECORRUPT. */
int dpc_reader_finish(const struct dpc_reader *reader) DPC_MUST_CHECK;

#endif
