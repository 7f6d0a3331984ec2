/* SPDX-License-Identifier: Apache-2.0
 * Each wish is a function that says whether it wants a rest, why and for how long. */
#include "worker/owner/owner.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "worker/owner/power.h"
#include "worker/owner/presence.h"
#include "worker/owner/snooze.h"

struct dpc_owner {
    struct dpc_owner_options options;
    struct dpc_snooze *snooze;
    struct dpc_presence *presence; /* NULL: nobody asks for it */
    int64_t minute;   /* of the wall clock, of the last search for the next change of hours */
    int64_t change_s; /* that */
};

/* Fills text and time left where it wants a rest. */
typedef bool (*wish_fn)(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
                        struct dpc_owner_verdict *verdict);

static bool
is_snoozed(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
           struct dpc_owner_verdict *verdict)
{
    struct dpc_error err;
    verdict->left_ms = dpc_snooze_left_ms(owner->snooze, now_ms, wall_s, &err);
    if (err.code != DPC_OK)
        dpc_log_warning("%s", err.text);
    (void)snprintf(verdict->text, sizeof verdict->text, "snoozed by its owner");
    return verdict->left_ms > 0;
}

/* The search for the end is long, and made once a minute: then neither a clock that was set nor a
 * journey to another time zone leaves a wrong one. */
static bool
is_outside_hours(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
                 struct dpc_owner_verdict *verdict)
{
    (void)now_ms;
    const struct dpc_hours *hours = &owner->options.hours;
    if (dpc_hours_hold(hours, wall_s))
        return false;
    if (wall_s / 60 != owner->minute)
        owner->change_s = dpc_hours_change_s(hours, wall_s);
    owner->minute = wall_s / 60;
    verdict->left_ms = owner->change_s == INT64_MAX ? INT64_MAX : 1000 * (owner->change_s - wall_s);
    (void)snprintf(verdict->text, sizeof verdict->text, "outside the hours that its owner gave it");
    return true;
}

/* A charge that cannot be read, as where a worn battery has forgotten how much it holds, may be the
 * last of it. */
static bool
is_on_battery(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
              struct dpc_owner_verdict *verdict)
{
    (void)now_ms, (void)wall_s;
    if (owner->options.battery_percent_min == 0)
        return false;
    struct dpc_power power = dpc_power_look(owner->options.power_folder);
    verdict->left_ms = INT64_MAX;
    if (power.known)
        (void)snprintf(verdict->text, sizeof verdict->text, "on battery, charged to %u %%",
                       power.percent);
    else
        (void)snprintf(verdict->text, sizeof verdict->text,
                       "on a battery whose charge cannot be read");
    return power.on_battery && (!power.known || power.percent < owner->options.battery_percent_min);
}

static bool
is_used(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s, struct dpc_owner_verdict *verdict)
{
    struct dpc_error err;
    (void)wall_s;
    if (!owner->presence)
        return false;
    bool felt = dpc_presence_is_felt(owner->presence, now_ms, &verdict->left_ms, &err);
    if (err.code != DPC_OK)
        dpc_log_warning("this machine counts as idle (--idle): %s", err.text);
    (void)snprintf(verdict->text, sizeof verdict->text, "somebody uses this machine");
    return felt;
}

static const wish_fn wishes[] = {is_snoozed, is_outside_hours, is_on_battery, is_used};

struct dpc_owner *
dpc_owner_create(const struct dpc_owner_options *options, const char *folder)
{
    struct dpc_owner *owner = dpc_alloc(1, sizeof *owner);
    owner->options = *options;
    owner->snooze = dpc_snooze_create(folder);
    if (options->idle_minutes)
        owner->presence = dpc_presence_create_of_logind((uint32_t)options->idle_minutes);
    return owner;
}

struct dpc_owner *
dpc_owner_destroy(struct dpc_owner *owner)
{
    if (!owner)
        return NULL;
    owner->snooze = dpc_snooze_destroy(owner->snooze);
    owner->presence = dpc_presence_destroy(owner->presence);
    return dpc_free(owner);
}

/* An end that is known tells more than one that is not. */
static bool
lasts_longer(const struct dpc_owner_verdict *one, const struct dpc_owner_verdict *other)
{
    if (one->left_ms == INT64_MAX || other->left_ms == INT64_MAX)
        return one->left_ms != INT64_MAX;
    return one->left_ms > other->left_ms;
}

void
dpc_owner_look(struct dpc_owner *owner, int64_t now_ms, int64_t wall_s,
               struct dpc_owner_verdict *ret_verdict)
{
    struct dpc_owner_verdict all = {.rests = false};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        struct dpc_owner_verdict one = {.rests = true};
        if (wishes[i](owner, now_ms, wall_s, &one) && (!all.rests || lasts_longer(&one, &all)))
            all = one;
    }
    *ret_verdict = all;
}
