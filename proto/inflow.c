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
#include "proto/tally.h"

enum {
    FRAME_EXTRA = 64, /* what CURVE and the framing put around a frame, and some */
    FORGIVEN_BYTES_A_S = 64,
};
_Static_assert(DPC_TALLY_PLACES >= 2 * 2 * DPC_WORKERS_MAX, "each worker has two connections");

static struct dpc_tally untaken;
static atomic_uint_fast64_t ended;
static struct {
    atomic_bool let_be;
    atomic_int_fast64_t forgiven_s; /* until when */
} places[DPC_TALLY_PLACES];

uint64_t
dpc_inflow_ended(void)
{
    return ended;
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
    if (!dpc_tally_has_place(fd))
        return false;
    atomic_store(&places[fd].forgiven_s, now_s());
    dpc_tally_reset(&untaken, fd, true);
    dpc_outflow_begin(fd);
    return true;
}

/* What came over a connection that had this descriptor before it makes this one's count smaller,
 * once, and by no more than one connection may leave. */
void
dpc_inflow_take(int fd, size_t frames, uint64_t bytes)
{
    dpc_tally_take(&untaken, fd, bytes + frames * (uint64_t)FRAME_EXTRA);
}

static void
forgive(int fd)
{
    int64_t now = now_s(), since = atomic_exchange(&places[fd].forgiven_s, now);
    if (now > since)
        dpc_tally_take(&untaken, fd, (uint64_t)(now - since) * FORGIVEN_BYTES_A_S);
}

void
dpc_inflow_let_be(int listener)
{
    if (dpc_tally_has_place(listener))
        atomic_store(&places[listener].let_be, true);
}

bool
dpc_inflow_begin_of(int listener, int fd)
{
    if (!dpc_tally_has_place(listener) || !places[listener].let_be)
        return dpc_inflow_begin(fd);
    dpc_inflow_end(fd); /* of whatever had it before */
    return true;
}

void
dpc_inflow_end(int fd)
{
    dpc_tally_reset(&untaken, fd, false);
    dpc_outflow_end(fd);
}

static bool
leaves_too_much(int fd, uint64_t len)
{
    uint64_t by_all, its = dpc_tally_add(&untaken, fd, len, &by_all);
    return its > (by_all > DPC_UNTAKEN_ALL_BYTES_MAX ? DPC_UNTAKEN_CROWD_BYTES_MAX
                                                     : DPC_UNTAKEN_BYTES_MAX);
}

/* The C library's name, beside the declaration of which in sys/socket.h none of ours can stand. */
ssize_t dpc_inflow_receive(int fd, void *bytes, size_t size, int flags) __asm__("recv");

/* 0 is what a connection gives that its other side has closed. */
ssize_t
dpc_inflow_receive(int fd, void *bytes, size_t size, int flags)
{
    ssize_t len = (ssize_t)syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
    bool counted = dpc_tally_counts(&untaken, fd) && !(flags & MSG_PEEK);
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
