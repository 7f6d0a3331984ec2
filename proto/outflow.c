/* SPDX-License-Identifier: Apache-2.0
 * As inflow.c, with the send that libzmq calls. CURVE and the framing make more of what is given,
 * so that a count may end early, by some hundredths of it. */
#include "proto/outflow.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "proto/inflow.h"

enum { SMALL_BYTES = 4096 };

static atomic_uint_fast64_t unsent_by_all;
static struct {
    atomic_bool counted;
    atomic_uint_fast64_t unsent;
} places[DPC_INFLOW_PLACES];

static bool
has_place(int fd)
{
    return fd >= 0 && fd < DPC_INFLOW_PLACES;
}

static void
reset(int fd, bool counted)
{
    if (!has_place(fd))
        return;
    atomic_store(&places[fd].counted, counted);
    atomic_fetch_sub(&unsent_by_all, atomic_exchange(&places[fd].unsent, 0));
}

void
dpc_outflow_begin(int fd)
{
    reset(fd, true);
}

void
dpc_outflow_end(int fd)
{
    reset(fd, false);
}

bool
dpc_outflow_add(int fd, uint64_t bytes)
{
    if (!has_place(fd) || !places[fd].counted)
        return true;
    uint64_t unsent = atomic_fetch_add(&places[fd].unsent, bytes) + bytes;
    uint64_t by_all = atomic_fetch_add(&unsent_by_all, bytes) + bytes;
    if (bytes <= SMALL_BYTES || by_all <= DPC_UNSENT_ALL_BYTES_MAX ||
        unsent <= DPC_UNSENT_CROWD_BYTES_MAX)
        return true;
    dpc_outflow_undo(fd, bytes);
    return false;
}

void
dpc_outflow_undo(int fd, uint64_t bytes)
{
    if (!has_place(fd) || !places[fd].counted)
        return;
    uint64_t before = atomic_load(&places[fd].unsent), less;
    do
        less = bytes < before ? bytes : before;
    while (!atomic_compare_exchange_weak(&places[fd].unsent, &before, before - less));
    atomic_fetch_sub(&unsent_by_all, less);
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
