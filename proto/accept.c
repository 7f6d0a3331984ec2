/* SPDX-License-Identifier: Apache-2.0
 * libzmq aborts the process when a local connection comes and no descriptor is left (its listener
 * for ipc takes EMFILE for a bug), and spins on one of tcp that it cannot take. It has no option
 * for either, so this stands in for the accept4 that it calls: a program's own function comes
 * before the C library's.
 *
 * Connections may take all descriptors but the last ones, since a store that can open no file is
 * worse than a worker that comes again; an operator's may take half of those. Where there is none
 * at all a spare one is given up for as long as it takes to turn the connection away: one that
 * stays in the queue would wake the listener for ever. */
#include "proto/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/inflow.h"

enum {
    KEPT_MAX = 64, /* descriptors for files, but at most a KEPT_SHARE-th of all */
    KEPT_SHARE = 4,
    PAUSE_MS = 10, /* without even a spare one: who waits is asked for again at this pace */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int spare = -1;
static atomic_uint_fast64_t turned_away;

uint64_t
dpc_accept_turned_away(void)
{
    return turned_away;
}

static void
take_spare(void)
{
    if (spare < 0)
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
dpc_accept_begin(void)
{
    pthread_mutex_lock(&lock);
    take_spare();
    pthread_mutex_unlock(&lock);
}

/* Numbers are given from below: a high one says that all below it are taken. */
static bool
is_one_too_many(int fd)
{
    struct rlimit limit;
    int domain = 0;
    socklen_t size = sizeof domain;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    rlim_t kept = limit.rlim_cur / KEPT_SHARE < KEPT_MAX ? limit.rlim_cur / KEPT_SHARE : KEPT_MAX;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    if (domain == AF_UNIX)
        kept /= 2;
    return (rlim_t)fd + kept >= limit.rlim_cur;
}

/* ECONNABORTED: the connection was gone before it was taken, which every server bears. */
static int
turn_away(int fd)
{
    atomic_fetch_add(&turned_away, 1);
    (void)close(fd);
    errno = ECONNABORTED;
    return -1;
}

static int
turn_away_with_spare(int listener, int flags)
{
    pthread_mutex_lock(&lock);
    if (spare >= 0)
        (void)close(spare);
    spare = -1;
    int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, flags);
    int errnum = errno;
    if (fd >= 0) {
        (void)turn_away(fd);
        errnum = ECONNABORTED;
    } else if (errnum == EMFILE || errnum == ENFILE) {
        errnum = ECONNABORTED;
        (void)poll(NULL, 0, PAUSE_MS);
    }
    take_spare();
    pthread_mutex_unlock(&lock);
    errno = errnum;
    return -1;
}

/* The C library's name, beside the declaration of which in sys/socket.h none of ours can stand. */
int dpc_accept_take(int listener, struct sockaddr *address, socklen_t *len,
                    int flags) __asm__("accept4");

int
dpc_accept_take(int listener, struct sockaddr *address, socklen_t *len, int flags)
{
    int fd = (int)syscall(SYS_accept4, listener, address, len, flags);
    if (fd >= 0)
        return is_one_too_many(fd) || !dpc_inflow_begin_of(listener, fd) ? turn_away(fd) : fd;
    return errno == EMFILE || errno == ENFILE ? turn_away_with_spare(listener, flags) : -1;
}
