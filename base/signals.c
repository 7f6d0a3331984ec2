/* SPDX-License-Identifier: Apache-2.0
 * The handler writes the number into a pipe and touches nothing else. A full pipe drops it: there
 * are thousands before it that say as much. */
#include "base/signals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int write_fd = -1;
static int read_fd = -1;
static int caught[DPC_SIGNALS_MAX];
static size_t caught_count;

static void
on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(write_fd, &byte, 1);
    (void)written;
    errno = saved;
}

int
dpc_signals_open(const int *numbers, size_t count, int *ret_fd, struct dpc_error *err)
{
    int fds[2];
    assert(count <= DPC_SIGNALS_MAX);
    if (read_fd >= 0)
        return dpc_error_set(err, DPC_EBUSY, "signals are caught already");
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return dpc_error_set_errno(err, errno, "could not open a descriptor for signals");
    read_fd = fds[0];
    write_fd = fds[1];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (caught_count = 0; caught_count < count; caught_count++) {
        caught[caught_count] = numbers[caught_count];
        if (sigaction(numbers[caught_count], &action, NULL) < 0) {
            int code =
                dpc_error_set_errno(err, errno, "could not catch signal %d", numbers[caught_count]);
            dpc_signals_close();
            return code;
        }
    }
    *ret_fd = read_fd;
    return DPC_OK;
}

int
dpc_signals_take(void)
{
    unsigned char byte;
    return read_fd >= 0 && read(read_fd, &byte, 1) == 1 ? byte : 0;
}

void
dpc_signals_close(void)
{
    if (read_fd < 0)
        return;
    while (caught_count > 0)
        (void)signal(caught[--caught_count], SIG_DFL);
    close(write_fd);
    close(read_fd);
    write_fd = -1;
    read_fd = -1;
}
