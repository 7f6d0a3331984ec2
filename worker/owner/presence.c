/* SPDX-License-Identifier: Apache-2.0
 * Two properties of logind over the system bus, asked by the loop itself: an answer takes a
 * fraction of a millisecond, and a bus that hangs is let alone for a minute. */
#include "worker/owner/presence.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/alloc.h"
#include "base/clock.h"

struct dpc_presence {
    struct dpc_presence_source source;
    struct sd_bus *bus; /* of logind's source; NULL: not connected */
    int64_t wanted_ms;
    int64_t look_at_ms;
    bool used;           /* somebody is there */
    int64_t quiet_at_ms; /* else: when it has been quiet for long enough */
    bool told;           /* that nobody can tell */
};

/* --- logind. */

static int
ask(struct sd_bus *bus, const char *property, char type, void *ret_value, struct dpc_error *err)
{
    sd_bus_error why = SD_BUS_ERROR_NULL;
    int code = DPC_OK;
    int result = sd_bus_get_property_trivial(
        bus, "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
        property, &why, type, ret_value);
    if (result < 0 && why.message)
        code = dpc_error_set(err, DPC_EFOREIGN, "could not ask logind for %s: %.300s", property,
                             why.message);
    else if (result < 0)
        code = dpc_error_set_errno(err, -result, "could not ask logind for %s", property);
    sd_bus_error_free(&why);
    return code;
}

/* The first call would wait for the bus's greeting as long as that takes. */
static int
wait_for_bus(struct sd_bus *bus)
{
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + DPC_PRESENCE_TIMEOUT_MS;
    int result;
    while ((result = sd_bus_is_ready(bus)) == 0) {
        int64_t left_ms = end_ms - dpc_clock_now_ms(&dpc_clock_system);
        result = sd_bus_process(bus, NULL);
        if (result == 0 && left_ms <= 0)
            return -ETIMEDOUT;
        if (result == 0)
            result = sd_bus_wait(bus, (uint64_t)left_ms * 1000);
        if (result < 0 && result != -EINTR)
            return result;
    }
    return result;
}

static int
connect_bus(struct dpc_presence *presence, struct dpc_error *err)
{
    int result = sd_bus_open_system(&presence->bus);
    if (result < 0) {
        presence->bus = NULL;
        return dpc_error_set_errno(err, -result, "could not connect to the system bus");
    }
    (void)sd_bus_set_method_call_timeout(presence->bus, (uint64_t)DPC_PRESENCE_TIMEOUT_MS * 1000);
    result = wait_for_bus(presence->bus);
    return result < 0 ? dpc_error_set_errno(err, -result, "could not connect to the system bus")
                      : DPC_OK;
}

/* logind counts from the last input, or from when a desktop found that there was none. */
static int
ask_once(struct dpc_presence *presence, int64_t *ret_idle_ms, struct dpc_error *err)
{
    int idle = 0;
    uint64_t since_us = 0;
    int code = presence->bus ? DPC_OK : connect_bus(presence, err);
    if (code == DPC_OK)
        code = ask(presence->bus, "IdleHint", SD_BUS_TYPE_BOOLEAN, &idle, err);
    if (code == DPC_OK && idle)
        code = ask(presence->bus, "IdleSinceHintMonotonic", SD_BUS_TYPE_UINT64, &since_us, err);
    if (code != DPC_OK) {
        presence->bus = sd_bus_close_unref(presence->bus);
        return code;
    }
    int64_t idle_ms = (dpc_clock_ns() / 1000 - (int64_t)since_us) / 1000;
    *ret_idle_ms = !idle ? 0 : idle_ms > 1 ? idle_ms : 1;
    return DPC_OK;
}

/* The bus may have been restarted since the last question. */
static int
ask_logind(void *context, int64_t *ret_idle_ms, struct dpc_error *err)
{
    struct dpc_presence *presence = context;
    bool connected = presence->bus != NULL;
    int code = ask_once(presence, ret_idle_ms, err);
    return code != DPC_OK && connected ? ask_once(presence, ret_idle_ms, err) : code;
}

/* --- Life. */

struct dpc_presence *
dpc_presence_create(uint32_t minutes, const struct dpc_presence_source *source)
{
    struct dpc_presence *presence = dpc_alloc(1, sizeof *presence);
    presence->source = *source;
    presence->wanted_ms = (int64_t)minutes * 60 * 1000;
    presence->look_at_ms = INT64_MIN;
    return presence;
}

struct dpc_presence *
dpc_presence_create_of_logind(uint32_t minutes)
{
    struct dpc_presence_source source = {.read = ask_logind};
    struct dpc_presence *presence = dpc_presence_create(minutes, &source);
    presence->source.context = presence;
    return presence;
}

struct dpc_presence *
dpc_presence_destroy(struct dpc_presence *presence)
{
    if (!presence)
        return NULL;
    presence->bus = sd_bus_close_unref(presence->bus);
    return dpc_free(presence);
}

static void
look(struct dpc_presence *presence, int64_t now_ms, struct dpc_error *err)
{
    struct dpc_error why = {0};
    int64_t idle_ms = 0;
    int code = presence->source.read(presence->source.context, &idle_ms, &why);
    presence->used = code == DPC_OK && idle_ms == 0;
    presence->quiet_at_ms = code == DPC_OK ? now_ms + presence->wanted_ms - idle_ms : now_ms;
    presence->look_at_ms =
        now_ms + (code == DPC_OK ? DPC_PRESENCE_PERIOD_MS : DPC_PRESENCE_RETRY_MS);
    if (code != DPC_OK && !presence->told)
        *err = why;
    presence->told = code != DPC_OK;
}

bool
dpc_presence_is_felt(struct dpc_presence *presence, int64_t now_ms, int64_t *ret_left_ms,
                     struct dpc_error *err)
{
    err->code = DPC_OK;
    if (now_ms >= presence->look_at_ms)
        look(presence, now_ms, err);
    int64_t left_ms = presence->quiet_at_ms - now_ms;
    *ret_left_ms = presence->used ? INT64_MAX : left_ms > 0 ? left_ms : 0;
    return *ret_left_ms > 0;
}
