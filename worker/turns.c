/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"

struct dpc_turns {
    int fd;
    bool taken;
};

int
dpc_turns_open(const char *path, struct dpc_turns **ret_turns, struct dpc_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not open \"%s\" (--turns)", path);
    if (flock(fd, LOCK_SH | LOCK_NB) != 0 && errno != EWOULDBLOCK) {
        int errnum = errno;
        close(fd);
        return dpc_error_set_errno(
            err, errnum, "could not lock \"%s\" (--turns takes a file of a local disk)", path);
    }
    (void)flock(fd, LOCK_UN);
    struct dpc_turns *turns = dpc_alloc(1, sizeof *turns);
    turns->fd = fd;
    *ret_turns = turns;
    return DPC_OK;
}

struct dpc_turns *
dpc_turns_close(struct dpc_turns *turns)
{
    if (turns)
        close(turns->fd);
    return dpc_free(turns);
}

bool
dpc_turns_take(struct dpc_turns *turns)
{
    if (!turns->taken)
        turns->taken = flock(turns->fd, LOCK_EX | LOCK_NB) == 0;
    return turns->taken;
}

void
dpc_turns_give(struct dpc_turns *turns)
{
    if (turns->taken)
        (void)flock(turns->fd, LOCK_UN);
    turns->taken = false;
}
