/* SPDX-License-Identifier: Apache-2.0
 *
 * RocksDB's C interface reports a failure as a line of English and nothing else. Here it becomes
 * one of our codes, in one place that a test can reach.
 *
 * Owns: nothing. Threads: any. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_ROCKS_STATUS_H
#define DPC_STORAGE_DB_ROCKS_STATUS_H

#include "base/error.h"

/* Code that stands for a status line of RocksDB ("Corruption: block checksum mismatch: ..."). */
int dpc_rocks_status_code(const char *status);

/* What a person can do about that code; "" when there is nothing to say. */
const char *dpc_rocks_way_out(int code);

#endif
