/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/owner/owner.h"

#include "tests/unit/data/temp.h"
#include "worker/owner/power.h"
#include "worker/owner/snooze.h"

enum { NOW_S = 1783000000, HOUR = 3600 }; /* 2026-07-02 13:46:40 UTC, a Thursday */

static char power[600]; /* the folder, whose name an owner keeps */

struct rig {
    struct temp temp;
    struct dpc_owner *owner;
};

static struct rig
begin(const char *hours, uint32_t battery_percent_min)
{
    struct rig rig;
    temp_make(&rig.temp);
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "UTC", 1), 0);
    (void)snprintf(power, sizeof power, "%s/power", rig.temp.folder);
    struct dpc_owner_options options = {.battery_percent_min = battery_percent_min,
                                        .power_folder = power};
    CU_ASSERT_FATAL(!hours || dpc_hours_parse(hours, &options.hours));
    rig.owner = dpc_owner_create(&options, rig.temp.folder);
    return rig;
}

static void
end(struct rig *rig)
{
    dpc_owner_destroy(rig->owner);
    temp_remove(&rig->temp);
}

static void
unplug(struct rig *rig, const char *capacity)
{
    temp_write_text(&rig->temp, "power/BAT0/type", "Battery\n");
    temp_write_text(&rig->temp, "power/BAT0/status", "Discharging\n");
    temp_write_text(&rig->temp, "power/BAT0/capacity", capacity);
}

static void
snooze(struct rig *rig, int64_t seconds)
{
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_snooze_write(rig->temp.folder, NOW_S, seconds, &err), DPC_OK);
}

static struct dpc_owner_verdict
look(struct rig *rig, int64_t wall_s)
{
    struct dpc_owner_verdict verdict;
    dpc_owner_look(rig->owner, 1000, wall_s, &verdict);
    return verdict;
}

static void
nothing_said_is_nothing_forbidden(void)
{
    struct rig rig = begin(NULL, 0);
    unplug(&rig, "5\n");
    CU_ASSERT_FALSE(look(&rig, NOW_S).rests);
    end(&rig);
}

static void
a_battery_is_spared_below_its_charge(void)
{
    struct rig rig = begin(NULL, 50);
    CU_ASSERT_FALSE(look(&rig, NOW_S).rests);
    unplug(&rig, "50\n");
    CU_ASSERT_FALSE(look(&rig, NOW_S).rests);
    unplug(&rig, "49\n");
    struct dpc_owner_verdict verdict = look(&rig, NOW_S);
    CU_ASSERT(verdict.rests);
    CU_ASSERT_STRING_EQUAL(verdict.text, "on battery, charged to 49 %");
    CU_ASSERT_EQUAL(verdict.left_ms, INT64_MAX);
    end(&rig);
    rig = begin(NULL, DPC_POWER_NEVER);
    unplug(&rig, "100\n");
    CU_ASSERT(look(&rig, NOW_S).rests);
    end(&rig);
}

static void
hours_say_when_they_end(void)
{
    struct rig rig = begin("22:00-07:00", 0);
    struct dpc_owner_verdict verdict = look(&rig, NOW_S);
    CU_ASSERT(verdict.rests);
    CU_ASSERT_EQUAL(verdict.left_ms, 1000 * (8 * HOUR + 13 * 60 + 20));
    CU_ASSERT_FALSE(look(&rig, NOW_S + 9 * HOUR).rests);
    /* The clock is set back: the end is another one. */
    CU_ASSERT_EQUAL(look(&rig, NOW_S - HOUR).left_ms, 1000 * (9 * HOUR + 13 * 60 + 20));
    end(&rig);
}

/* The longest counts, and one whose end is known tells more than one whose end is not. */
static void
of_several_reasons_the_longest_is_told(void)
{
    struct rig rig = begin("22:00-07:00", DPC_POWER_NEVER);
    unplug(&rig, "80\n");
    snooze(&rig, 60);
    CU_ASSERT_PTR_NOT_NULL(strstr(look(&rig, NOW_S).text, "outside the hours"));
    snooze(&rig, 20 * HOUR);
    CU_ASSERT_PTR_NOT_NULL(strstr(look(&rig, NOW_S).text, "snoozed"));
    CU_ASSERT_EQUAL(look(&rig, NOW_S).left_ms, 20 * HOUR * 1000);
    snooze(&rig, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(look(&rig, NOW_S + 9 * HOUR).text, "on battery"));
    end(&rig);
}

/* It would be worked flat. */
static void
a_battery_of_which_nobody_knows_the_charge_is_spared(void)
{
    struct rig rig = begin(NULL, 60);
    unplug(&rig, "");
    CU_ASSERT(look(&rig, NOW_S).rests);
    CU_ASSERT_STRING_EQUAL(look(&rig, NOW_S).text, "on a battery whose charge cannot be read");
    temp_write_text(&rig.temp, "power/BAT0/status", "Charging\n");
    CU_ASSERT_FALSE(look(&rig, NOW_S).rests);
    end(&rig);
    rig = begin(NULL, 0);
    unplug(&rig, "");
    CU_ASSERT_FALSE(look(&rig, NOW_S).rests);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"nothing said is nothing forbidden", nothing_said_is_nothing_forbidden},
    {"a battery is spared below its charge", a_battery_is_spared_below_its_charge},
    {"a battery of which nobody knows the charge is spared",
     a_battery_of_which_nobody_knows_the_charge_is_spared},
    {"hours say when they end", hours_say_when_they_end},
    {"of several reasons the longest is told", of_several_reasons_the_longest_is_told},
};

DPC_TEST_MAIN("worker/owner", tests)
