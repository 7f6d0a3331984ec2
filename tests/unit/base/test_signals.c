/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static bool
is_readable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static void
signals_come_in_order_through_the_descriptor(void)
{
    int fd;
    CU_ASSERT_EQUAL_FATAL(dpc_signals_open((int[]){SIGTERM, SIGHUP}, 2, &fd, NULL), DPC_OK);
    CU_ASSERT(!is_readable(fd));
    CU_ASSERT_EQUAL(dpc_signals_take(), 0);
    raise(SIGHUP);
    raise(SIGTERM);
    CU_ASSERT(is_readable(fd));
    CU_ASSERT_EQUAL(dpc_signals_take(), SIGHUP);
    CU_ASSERT_EQUAL(dpc_signals_take(), SIGTERM);
    CU_ASSERT_EQUAL(dpc_signals_take(), 0);
    CU_ASSERT(!is_readable(fd));
    dpc_signals_close();
}

static void *
take_a_signal_here(void *unused)
{
    (void)unused;
    pthread_kill(pthread_self(), SIGTERM);
    return NULL;
}

/* What a signalfd cannot do: the thread was there first, and never blocked anything. */
static void
a_signal_that_hits_another_thread_arrives(void)
{
    int fd;
    pthread_t thread;
    CU_ASSERT_EQUAL_FATAL(dpc_signals_open((int[]){SIGTERM}, 1, &fd, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, take_a_signal_here, NULL), 0);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(dpc_signals_take(), SIGTERM);
    dpc_signals_close();
}

static void
a_flood_does_not_block(void)
{
    int fd;
    CU_ASSERT_EQUAL_FATAL(dpc_signals_open((int[]){SIGHUP}, 1, &fd, NULL), DPC_OK);
    for (int i = 0; i < 100000; i++)
        raise(SIGHUP);
    CU_ASSERT_EQUAL(dpc_signals_take(), SIGHUP);
    dpc_signals_close();
}

static void
one_set_at_a_time_and_again_after_closing(void)
{
    int fd;
    CU_ASSERT_EQUAL_FATAL(dpc_signals_open((int[]){SIGHUP}, 1, &fd, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_signals_open((int[]){SIGTERM}, 1, &fd, NULL), DPC_EBUSY);
    dpc_signals_close();
    dpc_signals_close();
    CU_ASSERT_EQUAL(dpc_signals_take(), 0);
    CU_ASSERT(dpc_signals_open((int[]){SIGKILL}, 1, &fd, NULL) < 0);
    CU_ASSERT_EQUAL_FATAL(dpc_signals_open((int[]){SIGTERM}, 1, &fd, NULL), DPC_OK);
    dpc_signals_close();
}

static const struct dpc_test tests[] = {
    {"signals come in order through the descriptor", signals_come_in_order_through_the_descriptor},
    {"a signal that hits another thread arrives", a_signal_that_hits_another_thread_arrives},
    {"a flood does not block", a_flood_does_not_block},
    {"one set at a time, and again after closing", one_set_at_a_time_and_again_after_closing},
};
DPC_TEST_MAIN("base/signals", tests)
