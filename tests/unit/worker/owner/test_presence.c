/* SPDX-License-Identifier: Apache-2.0
 * Policy on a source of the test's own; and logind's answers over a system bus that the test plays
 * on a socket, at the address that DBUS_SYSTEM_BUS_ADDRESS says. */
#include "worker/owner/presence.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/data/temp.h"

enum { MINUTE = 60 * 1000 };

/* --- A source. */

struct played {
    int code;
    int64_t idle_ms;
    unsigned asked;
};

static int
play(void *context, int64_t *ret_idle_ms, struct dpc_error *err)
{
    struct played *played = context;
    played->asked++;
    if (played->code != DPC_OK)
        return dpc_error_set(err, played->code, "nobody is there to ask");
    *ret_idle_ms = played->idle_ms;
    return DPC_OK;
}

static int64_t
left(struct dpc_presence *presence, int64_t now_ms)
{
    struct dpc_error err;
    int64_t left_ms = -1;
    bool felt = dpc_presence_is_felt(presence, now_ms, &left_ms, &err);
    CU_ASSERT_EQUAL(err.code, DPC_OK);
    CU_ASSERT_EQUAL(felt, left_ms > 0);
    return left_ms;
}

static void
it_waits_until_nobody_has_come_for_long_enough(void)
{
    struct played played = {0};
    struct dpc_presence_source source = {play, &played};
    struct dpc_presence *presence = dpc_presence_create(10, &source);
    CU_ASSERT_EQUAL(left(presence, 0), INT64_MAX);
    played.idle_ms = 4 * MINUTE;
    CU_ASSERT_EQUAL(left(presence, DPC_PRESENCE_PERIOD_MS - 1), INT64_MAX); /* not asked again */
    CU_ASSERT_EQUAL(left(presence, MINUTE), 6 * MINUTE);
    played.idle_ms = 10 * MINUTE;
    CU_ASSERT_EQUAL(left(presence, 7 * MINUTE), 0);
    CU_ASSERT_EQUAL(played.asked, 3);
    played.idle_ms = 0;
    CU_ASSERT_EQUAL(left(presence, 7 * MINUTE + DPC_PRESENCE_PERIOD_MS), INT64_MAX);
    dpc_presence_destroy(presence);
}

static void
where_nobody_can_tell_nobody_is_there_and_that_is_told_once(void)
{
    struct played played = {.code = DPC_ENOTFOUND};
    struct dpc_presence_source source = {play, &played};
    struct dpc_presence *presence = dpc_presence_create(10, &source);
    struct dpc_error err;
    int64_t left_ms;
    CU_ASSERT_FALSE(dpc_presence_is_felt(presence, 1000, &left_ms, &err));
    CU_ASSERT_EQUAL(err.code, DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(left(presence, 1000 + DPC_PRESENCE_RETRY_MS - 1), 0);
    CU_ASSERT_EQUAL(played.asked, 1);
    CU_ASSERT_EQUAL(left(presence, 1000 + DPC_PRESENCE_RETRY_MS), 0);
    CU_ASSERT_EQUAL(played.asked, 2);
    played.code = DPC_OK;
    CU_ASSERT_EQUAL(left(presence, 1000 + 2 * DPC_PRESENCE_RETRY_MS), INT64_MAX);
    dpc_presence_destroy(presence);
}

/* --- A bus. */

struct bus {
    struct temp temp;
    int listener;
    pthread_t thread;
    atomic_bool ends;
    _Atomic int idle;
    _Atomic uint64_t since_us;
};

static int
say_hello(sd_bus_message *message, void *context, sd_bus_error *err)
{
    (void)context, (void)err;
    return sd_bus_reply_method_return(message, "s", ":1.1");
}

static int
say_idle(sd_bus *bus, const char *path, const char *interface, const char *property,
         sd_bus_message *reply, void *context, sd_bus_error *err)
{
    struct bus *played = context;
    (void)bus, (void)path, (void)interface, (void)err;
    return strcmp(property, "IdleHint") == 0 ? sd_bus_message_append(reply, "b", played->idle)
                                             : sd_bus_message_append(reply, "t", played->since_us);
}

static const sd_bus_vtable driver[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Hello", "", "s", say_hello, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable manager[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("IdleHint", "b", say_idle, 0, 0),
    SD_BUS_PROPERTY("IdleSinceHintMonotonic", "t", say_idle, 0, 0),
    SD_BUS_VTABLE_END,
};

/* Serves one connection. */
static void
serve(struct bus *played, int fd)
{
    sd_bus *bus = NULL;
    CU_ASSERT_FATAL(sd_bus_new(&bus) >= 0);
    CU_ASSERT(sd_bus_set_fd(bus, fd, fd) >= 0);
    CU_ASSERT(sd_bus_set_server(
                  bus, 1, SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f, 10)) >= 0);
    CU_ASSERT(sd_bus_set_anonymous(bus, 1) >= 0);
    CU_ASSERT(sd_bus_set_trusted(bus, 1) >= 0);
    CU_ASSERT(sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                       driver, played) >= 0);
    CU_ASSERT(sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1",
                                       "org.freedesktop.login1.Manager", manager, played) >= 0);
    CU_ASSERT(sd_bus_start(bus) >= 0);
    while (!played->ends) {
        int result = sd_bus_process(bus, NULL);
        if (result < 0)
            break;
        if (result == 0)
            (void)sd_bus_wait(bus, 20 * 1000);
    }
    sd_bus_flush_close_unref(bus);
}

static void *
serve_all(void *context)
{
    struct bus *played = context;
    int fd;
    while (!played->ends && (fd = accept(played->listener, NULL, NULL)) >= 0)
        serve(played, fd);
    return NULL;
}

static void
begin(struct bus *played)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[sizeof address.sun_path + 16];
    memset(played, 0, sizeof *played);
    temp_make(&played->temp);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s",
                   temp_path(&played->temp, "bus"));
    (void)snprintf(text, sizeof text, "unix:path=%s", address.sun_path);
    CU_ASSERT_EQUAL_FATAL(setenv("DBUS_SYSTEM_BUS_ADDRESS", text, 1), 0);
    played->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(played->listener >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(played->listener, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT_EQUAL_FATAL(listen(played->listener, 4), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&played->thread, NULL, serve_all, played), 0);
}

static void
end(struct bus *played)
{
    played->ends = true;
    (void)shutdown(played->listener, SHUT_RDWR);
    pthread_join(played->thread, NULL);
    close(played->listener);
    temp_remove(&played->temp);
}

static void
logind_is_asked(void)
{
    struct bus bus;
    begin(&bus);
    struct dpc_presence *presence = dpc_presence_create_of_logind(10);
    CU_ASSERT_EQUAL(left(presence, 0), INT64_MAX);
    bus.since_us = (uint64_t)dpc_clock_ns() / 1000 - (uint64_t)MINUTE * 1000 / 2;
    bus.idle = 1;
    int64_t left_ms = left(presence, MINUTE);
    CU_ASSERT(left_ms > 9 * MINUTE && left_ms <= 9 * MINUTE + MINUTE / 2);
    /* The bus is restarted: nobody takes that for an empty chair. */
    end(&bus);
    begin(&bus);
    CU_ASSERT_EQUAL(left(presence, 2 * MINUTE), INT64_MAX);
    bus.idle = 1; /* nobody has logged in since the machine started */
    bool just_started = dpc_clock_ns() / 1000000 < 10 * MINUTE;
    CU_ASSERT_EQUAL(left(presence, 3 * MINUTE) > 0, just_started);
    dpc_presence_destroy(presence);
    end(&bus);
}

static void
a_machine_without_a_bus_is_idle(void)
{
    struct dpc_error err;
    int64_t left_ms;
    CU_ASSERT_EQUAL_FATAL(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/at/all", 1), 0);
    struct dpc_presence *presence = dpc_presence_create_of_logind(10);
    CU_ASSERT_FALSE(dpc_presence_is_felt(presence, 0, &left_ms, &err));
    CU_ASSERT_NOT_EQUAL(err.code, DPC_OK);
    dpc_presence_destroy(presence);
}

static const struct dpc_test tests[] = {
    {"it waits until nobody has come for long enough",
     it_waits_until_nobody_has_come_for_long_enough},
    {"where nobody can tell nobody is there and that is told once",
     where_nobody_can_tell_nobody_is_there_and_that_is_told_once},
    {"logind is asked", logind_is_asked},
    {"a machine without a bus is idle", a_machine_without_a_bus_is_idle},
};

DPC_TEST_MAIN("worker/presence", tests)
