/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/owner/hours.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/harness.h"

static struct dpc_hours
hours_of(const char *text)
{
    struct dpc_hours hours;
    CU_ASSERT_FATAL(dpc_hours_parse(text, &hours));
    return hours;
}

static void
live_in(const char *zone)
{
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", zone, 1), 0);
    tzset();
}

/* Seconds since 1970 of a date in UTC. */
static int64_t
utc(int year, int month, int day, int hour, int minute)
{
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute};
    return timegm(&parts);
}

static void
over_midnight(void)
{
    struct dpc_hours hours = hours_of("22:00-07:00");
    live_in("UTC");
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 1, 21, 59)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 1, 22, 0)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 2, 6, 59)));
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 2, 7, 0)));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 1, 12, 0) + 17),
                    utc(2026, 7, 1, 22, 0));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 1, 22, 0)), utc(2026, 7, 2, 7, 0));
}

/* 2026-07-03 is a Friday. */
static void
days_have_hours_of_their_own(void)
{
    struct dpc_hours hours = hours_of("mon-fri 20:00-06:00, sat,sun 00:00-24:00");
    live_in("UTC");
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 3, 19, 59)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 3, 20, 0)));
    /* The weekend follows without a gap; Sunday's night ends at midnight, before Monday. */
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 3, 20, 0)), utc(2026, 7, 6, 0, 0));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 6, 0, 0)), utc(2026, 7, 6, 20, 0));
    hours = hours_of("fri-mon 10:00-11:00");
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 3, 10, 0)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 5, 10, 0)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 6, 10, 0)));
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 7, 10, 0)));
    /* Saturday's night goes on over the end of the week. */
    hours = hours_of("sat 23:30-00:30");
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 5, 0, 29)));
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 4, 0, 29)));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 5, 0, 30)), utc(2026, 7, 11, 23, 30));
}

/* Berlin goes from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC, and back from 03:00 to 02:00 on
 * 2026-10-25 at 01:00 UTC. */
static void
summer_time_is_the_wall_clocks(void)
{
    struct dpc_hours hours = hours_of("01:00-05:00");
    live_in("CET-1CEST,M3.5.0,M10.5.0/3");
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 1, 10, 0, 0)));
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 1, 10, 4, 0)));
    CU_ASSERT_FALSE(dpc_hours_hold(&hours, utc(2026, 7, 10, 3, 0)));
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 9, 23, 0)));
    /* A night of three hours, and one of five. */
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 3, 29, 0, 0)), utc(2026, 3, 29, 3, 0));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 10, 24, 23, 0)), utc(2026, 10, 25, 4, 0));
    /* What the clock skips does not come; what it shows twice is meant twice. */
    hours = hours_of("02:15-02:30");
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 3, 28, 1, 30)), utc(2026, 3, 30, 0, 15));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 10, 25, 0, 30)), utc(2026, 10, 25, 1, 15));
}

static void
always_and_only_once(void)
{
    struct dpc_hours hours = hours_of("00:00-24:00");
    live_in("UTC");
    CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 1, 0, 0)));
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 1, 0, 0)), INT64_MAX);
    hours = hours_of("12:00-24:00, 00:00-12:00");
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 1, 0, 0)), INT64_MAX);
    hours = hours_of("wed 12:00-12:01");
    CU_ASSERT_EQUAL(dpc_hours_change_s(&hours, utc(2026, 7, 1, 12, 1)), utc(2026, 7, 8, 12, 0));
}

static void
what_makes_no_sense_is_refused(void)
{
    static const char *const wrong[] = {"",
                                        "night",
                                        "7-9",
                                        "22:00",
                                        "22:00-",
                                        "24:00-01:00",
                                        "10:00-10:00",
                                        "10:60-11:00",
                                        "10:00-24:01",
                                        "mon",
                                        "mon-",
                                        "mon- 1:00-2:00",
                                        "xyz 10:00-11:00",
                                        "10:00-11:00,",
                                        "10:00-11:00 12:00-13:00",
                                        "mon,10:00-11:00",
                                        "mon10:00-11:00",
                                        "-1:00-02:00",
                                        "10:00-11:00;",
                                        "1a:00-02:00"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct dpc_hours hours = {0};
        CU_ASSERT_FALSE(dpc_hours_parse(wrong[i], &hours));
        CU_ASSERT(dpc_hours_hold(&hours, utc(2026, 7, 1, 0, 0))); /* as it was: all hours */
    }
}

static const struct dpc_test tests[] = {
    {"over midnight", over_midnight},
    {"days have hours of their own", days_have_hours_of_their_own},
    {"summer time is the wall clock's", summer_time_is_the_wall_clocks},
    {"always and only once", always_and_only_once},
    {"what makes no sense is refused", what_makes_no_sense_is_refused},
};

DPC_TEST_MAIN("worker/hours", tests)
