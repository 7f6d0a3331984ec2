/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/owner/power.h"

#include "tests/unit/data/temp.h"

static void
supply(struct temp *temp, const char *name, const char *file, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", name, file);
    temp_write_text(temp, path, text);
}

static void
battery(struct temp *temp, const char *name, const char *status, const char *capacity)
{
    supply(temp, name, "type", "Battery\n");
    supply(temp, name, "status", status);
    supply(temp, name, "capacity", capacity);
}

static void
mains(struct temp *temp, const char *online)
{
    supply(temp, "AC", "type", "Mains\n");
    supply(temp, "AC", "online", online);
}

static void
a_laptop_is_plugged_in_and_out(void)
{
    struct temp temp;
    temp_make(&temp);
    battery(&temp, "BAT0", "Charging\n", "80\n");
    mains(&temp, "1\n");
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 80);
    battery(&temp, "BAT0", "Discharging\n", "79\n");
    mains(&temp, "0\n");
    CU_ASSERT(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 79);
    /* One that is full, or that does not say, is not being used. */
    battery(&temp, "BAT0", "Not charging\n", "100\n");
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    /* A charger that is too weak: mains all the same. */
    battery(&temp, "BAT0", "Discharging\n", "60\n");
    mains(&temp, "1\n");
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    mains(&temp, "2\n"); /* whose voltage the machine sets */
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    mains(&temp, "0\n");
    CU_ASSERT(dpc_power_look(temp.folder).on_battery);
    temp_remove(&temp);
}

static void
two_batteries_are_one(void)
{
    struct temp temp;
    temp_make(&temp);
    battery(&temp, "BAT0", "Unknown\n", "20\n");
    battery(&temp, "BAT1", "Discharging\n", "61\n");
    CU_ASSERT(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 40);
    CU_ASSERT(dpc_power_look(temp.folder).known);
    battery(&temp, "BAT0", "Unknown\n", "103\n"); /* fuller than full */
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 80);
    temp_remove(&temp);
}

static void
mice_do_not_count(void)
{
    struct temp temp;
    temp_make(&temp);
    battery(&temp, "hidpp_battery_0", "Discharging\n", "5\n");
    supply(&temp, "hidpp_battery_0", "scope", "Device\n");
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 100);
    temp_remove(&temp);
}

static void
what_cannot_be_told_is_mains(void)
{
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_FALSE(dpc_power_look("/nowhere at all").on_battery);
    temp_write_text(&temp, "stray", "Battery\n");
    supply(&temp, "BAT0", "type", "Battery\n");
    supply(&temp, "BAT0", "capacity", "full\n");
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).on_battery);
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 100);
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).known);
    supply(&temp, "BAT0", "capacity", "4711\n");
    CU_ASSERT_EQUAL(dpc_power_look(temp.folder).percent, 100);
    CU_ASSERT_FALSE(dpc_power_look(temp.folder).known);
    temp_remove(&temp);
}

static void
words(void)
{
    static const char *const wrong[] = {"", "maybe", "101", "-1", "5%", " 5", "+5"};
    uint32_t percent = 7;
    CU_ASSERT(dpc_power_parse("yes", &percent));
    CU_ASSERT_EQUAL(percent, 0);
    CU_ASSERT(dpc_power_parse("no", &percent));
    CU_ASSERT_EQUAL(percent, DPC_POWER_NEVER);
    CU_ASSERT(dpc_power_parse("100", &percent));
    CU_ASSERT_EQUAL(percent, 100);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CU_ASSERT_FALSE(dpc_power_parse(wrong[i], &percent));
}

static const struct dpc_test tests[] = {
    {"a laptop is plugged in and out", a_laptop_is_plugged_in_and_out},
    {"two batteries are one", two_batteries_are_one},
    {"mice do not count", mice_do_not_count},
    {"what cannot be told is mains", what_cannot_be_told_is_mains},
    {"words", words},
};

DPC_TEST_MAIN("worker/power", tests)
