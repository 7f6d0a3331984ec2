/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals as a descriptor that an event loop polls. Not signalfd: that needs the signals blocked in
 * every thread, and a library may start threads before main does (OpenBLAS does); a signal that is
 * delivered there would end the process. A handler runs in whichever thread it likes.
 *
 * Owns: the process's handlers for these signals and a pipe. Threads: all calls from one.
 * Limits: DPC_SIGNALS_MAX signals; one set a process.
 */
#ifndef DPC_BASE_SIGNALS_H
#define DPC_BASE_SIGNALS_H

#include <stddef.h>

#include "base/error.h"

enum { DPC_SIGNALS_MAX = 8 };

/* Catches these signals from now on; `*ret_fd` is readable while one waits. DPC_EBUSY when some are
 * caught already. */
int dpc_signals_open(const int *numbers, size_t count, int *ret_fd,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* The next signal that came, or 0. Many of one kind may have become one. */
int dpc_signals_take(void);
/* Back to the default actions. */
void dpc_signals_close(void);

#endif
