/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon tells its service manager (sd_notify). Without one, nothing happens.
 *
 * Threads: any. Limits: none.
 */
#ifndef DPC_BASE_NOTIFY_H
#define DPC_BASE_NOTIFY_H

#include <stdint.h>

/* "READY=1": recovery is over, or the session stands. */
void dpc_notify_ready(void);
void dpc_notify_stopping(void);
/* One line for `systemctl status`. */
void dpc_notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Feeds the watchdog; call it on progress, never from a timer of its own. */
void dpc_notify_alive(void);
/* Half the watchdog's period in ms, or 0 when there is no watchdog. */
int64_t dpc_notify_alive_period_ms(void);

#endif
