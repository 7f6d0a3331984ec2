/* SPDX-License-Identifier: Apache-2.0
 *
 * A path state as bytes: what AdamW has gathered, so that another worker goes on. Little-endian:
 * {"DPCSTAT1", u32 format 1, u32 0, u64 steps, u64 count}, zeros up to DPC_PATH_STATE_HEADER_BYTES,
 * then f32 first moments [count] and f32 second moments [count].
 *
 * Owns: nothing. Threads: any. Not here: what the moments are for (modules/adamw.h).
 */
#ifndef DPC_BASE_PATH_STATE_H
#define DPC_BASE_PATH_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum { DPC_PATH_STATE_HEADER_BYTES = 64 };

/* Of a state with `count` values in each of its two moments. */
size_t dpc_path_state_bytes(size_t count);

/* The moments are the caller's to put behind it. */
void dpc_path_state_put_header(struct dpc_buf *out, uint64_t steps, size_t count);

/* Checks that it is a state of `count` values. DPC_ECORRUPT, also for more steps than an experiment
 * may have; DPC_EVERSION. What the moments are is not looked at. */
int dpc_path_state_read_header(const void *bytes, size_t len, size_t count, uint64_t *ret_steps,
                               struct dpc_error *err) DPC_MUST_CHECK;

#endif
