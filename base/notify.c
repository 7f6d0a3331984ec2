/* SPDX-License-Identifier: Apache-2.0
 * Over libsystemd, which answers at once when NOTIFY_SOCKET is not set. */
#include "base/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

void
dpc_notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void
dpc_notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void
dpc_notify_status(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)sd_notifyf(0, "STATUS=%s", text);
}

void
dpc_notify_alive(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}
