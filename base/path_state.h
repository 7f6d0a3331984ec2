/* SPDX-License-Identifier: Apache-2.0
 *
 * A path state as bytes: what AdamW has gathered, so that another worker goes on. Little-endian:
 * {"DPCSTAT1", u32 format 1, u32 form, u64 steps, u64 count}, zeros up to
 * DPC_PATH_STATE_HEADER_BYTES, then [count] first moments and [count] second moments, in one of
 * these forms:
 *
 * - fp32: as they are.
 *
 * - bf16: as base/codec.h has it.
 *
 * - nf4: first moments as base/codec.h has it. Of second moments blocks of
 * DPC_CODEC_BLOCK values: a byte, the exponent e of the largest as fp32 has it, then four bits
 * each, the lower ones first: 0, or a power of two above 2^(e - 15), the nearest one by its ratio.
 *
 * - fp8: blocks of DPC_CODEC_BLOCK values: a byte, the exponent e of the largest as fp32 has it,
 * then a byte for each value, rounded to 3 bits of mantissa: of a first moment the sign and 4 bits
 * of exponent, above 2^(e - 15), of a second moment, which has no sign, 5 bits, above 2^(e - 31).
 * Both keep their relation over many powers of two, which is what AdamW's step is made of.
 *
 * What is smaller than a code tells is 0, or, of second moments that are not 0, the least that is
 * not. A block with a value that is not finite has all bits set, and decodes to such values.
 *
 * Owns: nothing. Threads: any. Not here: what the moments are for (modules/adamw.h), and which form
 * they travel in when (the experiment's `transfer`).
 */
#ifndef DPC_BASE_PATH_STATE_H
#define DPC_BASE_PATH_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/pool.h"

enum { DPC_PATH_STATE_HEADER_BYTES = 64 };

/* As states have it: never renumbered. */
enum dpc_moments {
    DPC_MOMENTS_FP32 = 0,
    DPC_MOMENTS_BF16 = 1,
    DPC_MOMENTS_FP8 = 2,
    DPC_MOMENTS_NF4 = 3,
    DPC_MOMENTS_COUNT
};

/* Of a state with `count` values in each of its two moments: as fp32, and in any form. */
size_t dpc_path_state_bytes(size_t count);
size_t dpc_path_state_bytes_as(enum dpc_moments form, size_t count);

/* Of a state as fp32; the moments are the caller's to put behind it. */
void dpc_path_state_put_header(struct dpc_buf *out, uint64_t steps, size_t count);

/* Checks that it is a state of `count` values as fp32. DPC_ECORRUPT, also for more steps than an
 * experiment may have; DPC_EVERSION, DPC_EUNSUPPORTED for another form. What the moments are is not
 * looked at. */
int dpc_path_state_read_header(const void *bytes, size_t len, size_t count, uint64_t *ret_steps,
                               struct dpc_error *err) DPC_MUST_CHECK;

/* The form that a state's header names; fp32 where it names none that there is. */
enum dpc_moments dpc_path_state_form(const void *bytes, size_t len);

/* Appends a state as fp32 in another form, computed by the threads of `pool` (NULL: the calling
 * one); check out->failed. Errors are those of _read_header. */
int dpc_path_state_encode(const void *bytes, size_t len, size_t count, enum dpc_moments form,
                          struct dpc_pool *pool, struct dpc_buf *out,
                          struct dpc_error *err) DPC_MUST_CHECK;

/* Appends a state in any form as fp32, likewise. `*ret_form` is what it was. */
int dpc_path_state_decode(const void *bytes, size_t len, size_t count, struct dpc_pool *pool,
                          struct dpc_buf *out, enum dpc_moments *ret_form,
                          struct dpc_error *err) DPC_MUST_CHECK;

#endif
