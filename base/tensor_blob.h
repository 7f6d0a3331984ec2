/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a module version and of a contribution's delta: a header of 64 bytes, then values in
 * one of the forms of base/codec.h, little-endian. Header: {"DPCTENS1", u32 codec, u32 0, u64
 * count, zeros}.
 *
 * Owns: nothing. Threads: any. Limits: the caller knows the count that a blob must have
 * (base/layout.h) and the transport bounds its bytes (DPC_BLOB_BYTES_MAX). Not here: whether values
 * are finite.
 */
#ifndef DPC_BASE_TENSOR_BLOB_H
#define DPC_BASE_TENSOR_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/pool.h"

enum { DPC_TENSOR_BLOB_HEADER_BYTES = 64 };

/* Bytes of a blob of `count` values: as fp32, and in any form. */
size_t dpc_tensor_blob_bytes(size_t count);
size_t dpc_tensor_blob_bytes_as(enum dpc_codec codec, size_t count);

/* Appends header and values: as fp32, and in any form. Check out->failed. */
void dpc_tensor_blob_write(struct dpc_buf *out, const float *values, size_t count);
void dpc_tensor_blob_write_as(struct dpc_buf *out, enum dpc_codec codec, const float *values,
                              size_t count);

/* Appends the header alone, and room for the bytes behind it, which the caller encodes there; NULL
 * when it failed. */
uint8_t *dpc_tensor_blob_begin(struct dpc_buf *out, enum dpc_codec codec, size_t count);

/* Checks a whole blob of fp32 that must hold `count` values and points at them, inside `bytes`,
 * which must be aligned for floats. DPC_EUNSUPPORTED for another form, DPC_ECORRUPT for all else.
 */
int dpc_tensor_blob_read(const void *bytes, size_t len, size_t count, const float **ret_values,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Checks a whole blob that must hold `count` values in any known form, and writes them out; _by: by
 * the threads of `pool` (NULL: the calling one). Errors are those of _read. */
int dpc_tensor_blob_decode(const void *bytes, size_t len, size_t count, float *ret_values,
                           struct dpc_error *err) DPC_MUST_CHECK;
int dpc_tensor_blob_decode_by(struct dpc_pool *pool, const void *bytes, size_t len, size_t count,
                              float *ret_values, struct dpc_error *err) DPC_MUST_CHECK;

/* The form of a blob that must hold `count` values and is `len` bytes long, by its first
 * DPC_TENSOR_BLOB_HEADER_BYTES. Errors are those of _read. */
int dpc_tensor_blob_read_header(const void *header, size_t len, size_t count,
                                enum dpc_codec *ret_codec, struct dpc_error *err) DPC_MUST_CHECK;

#endif
