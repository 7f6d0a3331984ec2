/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon tells its service manager (sd_notify). Without one, nothing happens.
 *
 * Threads: any. Limits: none.
 */
#ifndef DPC_BASE_NOTIFY_H
#define DPC_BASE_NOTIFY_H

/* "READY=1": recovery is over, or the session stands. */
void dpc_notify_ready(void);
void dpc_notify_stopping(void);
/* One line for `systemctl status`. */
void dpc_notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Feeds the watchdog; call it on progress, never from a timer of its own. */
void dpc_notify_alive(void);

#endif
