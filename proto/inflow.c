/* SPDX-License-Identifier: Apache-2.0
 * libzmq has no option for this and tells nobody of a message that is not whole, so this stands in
 * for the recv that it calls, as accept.c does for accept4, and counts by descriptor. Bytes that
 * are no message's (the handshake, libzmq's heartbeats) are few: each frame that is taken is
 * counted with more around it than it had, and a connection that is idle for months is forgiven
 * some bytes a second, several times what heartbeats are. */
#include "proto/inflow.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "proto/outflow.h"

enum {
    FRAME_EXTRA = 64, /* what CURVE and the framing put around a frame, and some */
    FORGIVEN_BYTES_A_S = 64,
};
_Static_assert(DPC_INFLOW_PLACES >= 2 * 2 * DPC_WORKERS_MAX, "each worker has two connections");

static atomic_uint_fast64_t untaken_by_all, ended;
static struct {
    atomic_bool counted, let_be;
    atomic_int_fast64_t forgiven_s; /* until when */
    atomic_uint_fast64_t untaken;
} places[DPC_INFLOW_PLACES];

uint64_t
dpc_inflow_ended(void)
{
    return ended;
}

static void
set_untaken(int fd, uint64_t bytes)
{
    uint64_t before = atomic_exchange(&places[fd].untaken, bytes);
    atomic_fetch_add(&untaken_by_all, bytes - before);
}

static int64_t
now_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0 ? now.tv_sec : 0;
}

bool
dpc_inflow_begin(int fd)
{
    if (fd < 0 || fd >= DPC_INFLOW_PLACES)
        return false;
    set_untaken(fd, 0);
    atomic_store(&places[fd].forgiven_s, now_s());
    atomic_store(&places[fd].counted, true);
    dpc_outflow_begin(fd);
    return true;
}

static void
subtract(int fd, uint64_t bytes)
{
    uint64_t before = atomic_load(&places[fd].untaken), less;
    do
        less = bytes < before ? bytes : before;
    while (!atomic_compare_exchange_weak(&places[fd].untaken, &before, before - less));
    atomic_fetch_sub(&untaken_by_all, less);
}

/* What came over a connection that had this descriptor before it makes this one's count smaller,
 * once, and by no more than one connection may leave. */
void
dpc_inflow_take(int fd, size_t frames, uint64_t bytes)
{
    if (fd >= 0 && fd < DPC_INFLOW_PLACES)
        subtract(fd, bytes + frames * (uint64_t)FRAME_EXTRA);
}

static void
forgive(int fd)
{
    int64_t now = now_s(), since = atomic_exchange(&places[fd].forgiven_s, now);
    if (now > since)
        subtract(fd, (uint64_t)(now - since) * FORGIVEN_BYTES_A_S);
}

void
dpc_inflow_let_be(int listener)
{
    if (listener >= 0 && listener < DPC_INFLOW_PLACES)
        atomic_store(&places[listener].let_be, true);
}

bool
dpc_inflow_begin_of(int listener, int fd)
{
    if (listener < 0 || listener >= DPC_INFLOW_PLACES || !places[listener].let_be)
        return dpc_inflow_begin(fd);
    dpc_inflow_end(fd); /* of whatever had it before */
    return true;
}

void
dpc_inflow_end(int fd)
{
    if (fd < 0 || fd >= DPC_INFLOW_PLACES)
        return;
    atomic_store(&places[fd].counted, false);
    set_untaken(fd, 0);
    dpc_outflow_end(fd);
}

static bool
leaves_too_much(int fd, uint64_t len)
{
    uint64_t most = DPC_UNTAKEN_BYTES_MAX;
    if (atomic_fetch_add(&untaken_by_all, len) + len > DPC_UNTAKEN_ALL_BYTES_MAX)
        most = DPC_UNTAKEN_CROWD_BYTES_MAX;
    return atomic_fetch_add(&places[fd].untaken, len) + len > most;
}

/* The C library's name, beside the declaration of which in sys/socket.h none of ours can stand. */
ssize_t dpc_inflow_receive(int fd, void *bytes, size_t size, int flags) __asm__("recv");

/* 0 is what a connection gives that its other side has closed. */
ssize_t
dpc_inflow_receive(int fd, void *bytes, size_t size, int flags)
{
    ssize_t len = (ssize_t)syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
    bool counted = fd >= 0 && fd < DPC_INFLOW_PLACES && !(flags & MSG_PEEK) && places[fd].counted;
    if (!counted || (len < 0 && (errno == EAGAIN || errno == EINTR)))
        return len;
    forgive(fd);
    if (len > 0 && !leaves_too_much(fd, (uint64_t)len))
        return len;
    if (len > 0)
        atomic_fetch_add(&ended, 1);
    dpc_inflow_end(fd);
    return len > 0 ? 0 : len;
}
