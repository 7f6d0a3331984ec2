/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/harness.h"

/* A service manager's end: a datagram socket in the abstract namespace. */
static int
listen_as_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CU_ASSERT_FATAL(fd >= 0);
    int len =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "dpc_notify_%d", (int)getpid());
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, size), 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    return fd;
}

static void
assert_told(int fd, const char *expected)
{
    char text[512];
    ssize_t len = recv(fd, text, sizeof text - 1, 0);
    CU_ASSERT_FATAL(len >= 0);
    text[len] = 0;
    CU_ASSERT_STRING_EQUAL(text, expected);
}

static void
the_manager_is_told(void)
{
    int fd = listen_as_manager();
    dpc_notify_ready();
    assert_told(fd, "READY=1");
    dpc_notify_status("round %d of %d", 3, 10);
    assert_told(fd, "STATUS=round 3 of 10");
    dpc_notify_alive();
    assert_told(fd, "WATCHDOG=1");
    dpc_notify_stopping();
    assert_told(fd, "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

static void
without_a_manager_nothing_happens(void)
{
    unsetenv("NOTIFY_SOCKET");
    dpc_notify_ready();
    dpc_notify_status("%s", "alone");
}

static int64_t
tell_seven(void *context)
{
    return *(int64_t *)context * 7;
}

static void
clocks_are_injected_and_go_forward(void)
{
    int64_t context = 6;
    struct dpc_clock clock = {tell_seven, &context};
    CU_ASSERT_EQUAL(dpc_clock_now_ms(&clock), 42);
    int64_t ms = dpc_clock_now_ms(&dpc_clock_system), ns = dpc_clock_ns();
    CU_ASSERT(ms > 0 && dpc_clock_now_ms(&dpc_clock_system) >= ms);
    CU_ASSERT(ns > 0 && dpc_clock_ns() >= ns);
}

static const struct dpc_test tests[] = {
    {"the manager is told", the_manager_is_told},
    {"without a manager nothing happens", without_a_manager_nothing_happens},
    {"clocks are injected and go forward", clocks_are_injected_and_go_forward},
};
DPC_TEST_MAIN("base/notify", tests)
