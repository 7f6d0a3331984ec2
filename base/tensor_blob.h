/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a module version and of a contribution's delta: a header of 64 bytes, then fp32
 * values, little-endian. Header: {"DPCTENS1", u32 type 0 (fp32), u32 0, u64 count, zeros}.
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
#include "base/error.h"

enum { DPC_TENSOR_BLOB_HEADER_BYTES = 64 };

/* Bytes of a blob of `count` values. */
size_t dpc_tensor_blob_bytes(size_t count);

/* Only the header, for a caller that writes the values from where they stand. */
void dpc_tensor_blob_header(size_t count, uint8_t ret_header[DPC_TENSOR_BLOB_HEADER_BYTES]);

/* Appends header and values; check out->failed. */
void dpc_tensor_blob_write(struct dpc_buf *out, const float *values, size_t count);

/* Checks a whole blob that must hold `count` values and points at them, inside `bytes`, which must
 * be aligned for floats. DPC_EUNSUPPORTED for another type of value, DPC_ECORRUPT for all else. */
int dpc_tensor_blob_read(const void *bytes, size_t len, size_t count, const float **ret_values,
                         struct dpc_error *err) DPC_MUST_CHECK;

#endif
