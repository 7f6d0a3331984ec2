/* SPDX-License-Identifier: Apache-2.0
 *
 * The processors that this process may run on, and how many of them at once.
 *
 * Owns: nothing. Threads: any, but pin before other threads start: they inherit the set.
 * Limits: DPC_PROCESSORS_MAX.
 */
#ifndef DPC_BASE_PROCESSORS_H
#define DPC_BASE_PROCESSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { DPC_PROCESSORS_MAX = 1024 }; /* cpu_set_t's */

/* How many may be busy at once: all in the set, or as many as a limit of the control group comes
 * to, rounded up, where that is less. At least 1. */
uint32_t dpc_processors_count(void);

/* The part of them that falls to `share` of `shares`, as a list for dpc_processors_pin ("0-3"):
 * equal parts as far as they go, and one each, in turn, when there are more shares than processors.
 * Returns how many of the list may be busy at once. */
uint32_t dpc_processors_share(uint32_t share, uint32_t shares, char *ret_list, size_t size);

/* How many of them fall to each of `shares` at least; 1 when there are more shares. */
uint32_t dpc_processors_each(uint32_t shares);

/* Keeps the calling thread, and those that it starts, to a list such as "0-3,8". DPC_EINVAL for
 * what is no such list or names no processor that may be had. */
int dpc_processors_pin(const char *list, struct dpc_error *err) DPC_MUST_CHECK;

#endif
