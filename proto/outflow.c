/* SPDX-License-Identifier: Apache-2.0
 * As inflow.c, with the send that libzmq calls. CURVE and the framing make more of what is given,
 * so that a count may end early, by some hundredths of it. */
#include "proto/outflow.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "proto/tally.h"

enum { SMALL_BYTES = 4096 };

static struct dpc_tally unsent;

void
dpc_outflow_begin(int fd)
{
    dpc_tally_reset(&unsent, fd, true);
}

void
dpc_outflow_end(int fd)
{
    dpc_tally_reset(&unsent, fd, false);
}

bool
dpc_outflow_add(int fd, uint64_t bytes)
{
    uint64_t by_all, its;
    if (!dpc_tally_counts(&unsent, fd))
        return true;
    its = dpc_tally_add(&unsent, fd, bytes, &by_all);
    if (bytes <= SMALL_BYTES || by_all <= DPC_UNSENT_ALL_BYTES_MAX ||
        its <= DPC_UNSENT_CROWD_BYTES_MAX)
        return true;
    dpc_outflow_undo(fd, bytes);
    return false;
}

void
dpc_outflow_undo(int fd, uint64_t bytes)
{
    if (dpc_tally_counts(&unsent, fd))
        dpc_tally_take(&unsent, fd, bytes);
}

/* The C library's name, beside the declaration of which in sys/socket.h none of ours can stand. */
ssize_t dpc_outflow_send(int fd, const void *bytes, size_t size, int flags) __asm__("send");

ssize_t
dpc_outflow_send(int fd, const void *bytes, size_t size, int flags)
{
    ssize_t len = (ssize_t)syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
    if (len > 0)
        dpc_outflow_undo(fd, (uint64_t)len);
    return len;
}
