/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/owner/snooze.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/data/temp.h"

enum { NOW_S = 1783000000, HOUR = 3600 }; /* 2026-07-02 13:46:40 UTC */

struct rig {
    struct temp temp;
    struct dpc_snooze *snooze;
    int64_t now_ms, wall_s;
};

static struct rig
begin(void)
{
    struct rig rig = {.now_ms = 1000, .wall_s = NOW_S};
    temp_make(&rig.temp);
    rig.snooze = dpc_snooze_create(rig.temp.folder);
    return rig;
}

static void
end(struct rig *rig)
{
    dpc_snooze_destroy(rig->snooze);
    temp_remove(&rig->temp);
}

/* Another process of the worker looks from now on. */
static void
restart(struct rig *rig)
{
    dpc_snooze_destroy(rig->snooze);
    rig->snooze = dpc_snooze_create(rig->temp.folder);
    rig->now_ms = 500;
}

static void
pass(struct rig *rig, int64_t seconds)
{
    rig->now_ms += 1000 * seconds;
    rig->wall_s += seconds;
}

static void
give(struct rig *rig, int64_t seconds)
{
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_snooze_write(rig->temp.folder, rig->wall_s, seconds, &err), DPC_OK);
}

static int64_t
left_s(struct rig *rig)
{
    struct dpc_error err;
    int64_t left_ms = dpc_snooze_left_ms(rig->snooze, rig->now_ms, rig->wall_s, &err);
    CU_ASSERT_EQUAL(err.code, DPC_OK);
    CU_ASSERT_EQUAL(left_ms % 1000, 0);
    return left_ms / 1000;
}

static int64_t
parsed(const char *text)
{
    int64_t seconds = -1;
    int code = dpc_snooze_parse(text, NOW_S, &seconds);
    return code == DPC_OK ? seconds : -1;
}

static void
words(void)
{
    static const char *const wrong[] = {
        "",     "2",     "h",        "2x",     "0m",
        "-1h",  "32d",   "1h ",      "24:00",  "07:60",
        "7:00", "until", "until 2h", "07:00x", "99999999999999999999d",
        "on"};
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "UTC", 1), 0);
    CU_ASSERT_EQUAL(parsed("2h"), 2 * HOUR);
    CU_ASSERT_EQUAL(parsed("30m"), 1800);
    CU_ASSERT_EQUAL(parsed("1h30m5s"), 5405);
    CU_ASSERT_EQUAL(parsed("31d"), DPC_SNOOZE_S_MAX);
    CU_ASSERT_EQUAL(parsed("off"), 0);
    CU_ASSERT_EQUAL(parsed("14:00"), 800);
    CU_ASSERT_EQUAL(parsed("until 13:00"), 800 + 23 * HOUR);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CU_ASSERT_EQUAL(parsed(wrong[i]), -1);
}

/* From 2026-10-24 22:00 in Berlin the clock goes ten hours to 07:00. */
static void
until_a_time_behind_the_end_of_summer_time(void)
{
    int64_t seconds = 0;
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    CU_ASSERT_EQUAL(dpc_snooze_parse("07:00", 1792872000, &seconds), DPC_OK);
    CU_ASSERT_EQUAL(seconds, 10 * HOUR);
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "UTC", 1), 0);
}

static void
a_rest_begins_and_ends_by_itself(void)
{
    struct rig rig = begin();
    CU_ASSERT_EQUAL(left_s(&rig), 0);
    give(&rig, 2 * HOUR);
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR);
    pass(&rig, 2 * HOUR - 1);
    CU_ASSERT_EQUAL(left_s(&rig), 1);
    pass(&rig, 1);
    CU_ASSERT_EQUAL(left_s(&rig), 0);
    give(&rig, 60);
    CU_ASSERT_EQUAL(left_s(&rig), 60);
    give(&rig, 2 * HOUR); /* a longer one in its place */
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR);
    give(&rig, 0);
    CU_ASSERT_EQUAL(left_s(&rig), 0);
    give(&rig, 0); /* twice is once */
    end(&rig);
}

static void
a_rest_outlasts_the_process(void)
{
    struct rig rig = begin();
    give(&rig, 2 * HOUR);
    pass(&rig, HOUR);
    restart(&rig);
    CU_ASSERT_EQUAL(left_s(&rig), HOUR);
    pass(&rig, HOUR + 10);
    restart(&rig);
    CU_ASSERT_EQUAL(left_s(&rig), 0);
    end(&rig);
}

/* Whoever sets the clock, in whichever direction, changes nothing for who has seen the file. */
static void
a_clock_that_jumps_changes_nothing(void)
{
    struct rig rig = begin();
    give(&rig, 2 * HOUR);
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR);
    pass(&rig, HOUR);
    rig.wall_s += 1000 * HOUR;
    CU_ASSERT_EQUAL(left_s(&rig), HOUR);
    rig.wall_s -= 5000 * HOUR;
    CU_ASSERT_EQUAL(left_s(&rig), HOUR);
    end(&rig);
}

/* A machine without a battery for its clock starts in 1970, and learns the time later. */
static void
a_clock_that_lags_is_not_believed(void)
{
    struct rig rig = begin();
    give(&rig, 2 * HOUR);
    pass(&rig, HOUR);
    restart(&rig);
    int64_t right_s = rig.wall_s;
    rig.wall_s = 100;
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR);
    pass(&rig, 60);
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR - 60);
    rig.wall_s = right_s + 60;
    CU_ASSERT_EQUAL(left_s(&rig), HOUR - 60);
    /* Or never: no longer than the whole. */
    restart(&rig);
    rig.wall_s = 100;
    CU_ASSERT_EQUAL(left_s(&rig), 2 * HOUR);
    pass(&rig, 2 * HOUR);
    CU_ASSERT_EQUAL(left_s(&rig), 0);
    end(&rig);
}

static void
garbage_is_told_once_and_gives_no_rest(void)
{
    static const char *const garbage[] = {
        "",
        "\n",
        "2h",
        "dipaco-snooze",
        "dipaco-snooze 1783000000\n",
        "dipaco-snooze 1783000000 1783000000\n",
        "dipaco-snooze 1783003600 1783000000\n",
        "dipaco-snooze 1783000000 9783000000\n",
        "dipaco-snooze -5 1783000000\n",
        "dipaco-snooze 1783000000 1783003600 \n",
        "dipaco-snooze 1783000000 99999999999999999999\n",
        "dipaco-snooze 1783000000 1783003600",
        "dipaco-snooze 1783000000 1783003600\ndipaco-snooze 1783000000 1783003600\ndipaco-snooze "
        "1783000000 1783003600\ndipaco-snooze 1783000000 1783003600\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct rig rig = begin();
        struct dpc_error err = {0};
        temp_write_text(&rig.temp, "snooze", garbage[i]);
        CU_ASSERT_EQUAL(dpc_snooze_left_ms(rig.snooze, 1000, NOW_S, &err), 0);
        CU_ASSERT_NOT_EQUAL(err.code, DPC_OK);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/snooze\""));
        CU_ASSERT_EQUAL(left_s(&rig), 0); /* and nothing more is told */
        give(&rig, 60);
        CU_ASSERT_EQUAL(left_s(&rig), 60);
        end(&rig);
    }
}

static void
a_folder_that_is_not_there_is_named(void)
{
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_snooze_write("/nowhere at all", NOW_S, 60, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nowhere at all/snooze"));
}

/* Root gives a rest to a worker that runs as somebody else, whatever root's umask is. */
static void
who_runs_the_worker_may_read_it(void)
{
    struct rig rig = begin();
    struct stat facts;
    mode_t before = umask(077);
    give(&rig, 60);
    umask(before);
    CU_ASSERT_EQUAL(stat(temp_path(&rig.temp, "snooze"), &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 0777, 0644);
    end(&rig);
}

/* Root gives a rest in a folder that is somebody else's. */
static void
nobody_leads_it_to_another_file(void)
{
    struct rig rig = begin();
    char precious[600], link_path[600];
    struct stat facts;
    temp_write_text(&rig.temp, "precious", "precious\n");
    (void)snprintf(precious, sizeof precious, "%s/precious", rig.temp.folder);
    (void)snprintf(link_path, sizeof link_path, "%s/snooze.new", rig.temp.folder);
    CU_ASSERT_EQUAL(chmod(precious, 0600), 0);
    CU_ASSERT_EQUAL_FATAL(symlink(precious, link_path), 0);
    give(&rig, 60);
    CU_ASSERT_EQUAL(left_s(&rig), 60);
    CU_ASSERT_EQUAL_FATAL(stat(precious, &facts), 0);
    CU_ASSERT_EQUAL(facts.st_size, 9);
    CU_ASSERT_EQUAL(facts.st_mode & 07777, 0600);
    CU_ASSERT_EQUAL_FATAL(link(precious, link_path), 0);
    give(&rig, 90);
    CU_ASSERT_EQUAL_FATAL(stat(precious, &facts), 0);
    CU_ASSERT_EQUAL(facts.st_size, 9);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"nobody leads it to another file", nobody_leads_it_to_another_file},
    {"words", words},
    {"until a time behind the end of summer time", until_a_time_behind_the_end_of_summer_time},
    {"a rest begins and ends by itself", a_rest_begins_and_ends_by_itself},
    {"a rest outlasts the process", a_rest_outlasts_the_process},
    {"a clock that jumps changes nothing", a_clock_that_jumps_changes_nothing},
    {"a clock that lags is not believed", a_clock_that_lags_is_not_believed},
    {"garbage is told once and gives no rest", garbage_is_told_once_and_gives_no_rest},
    {"a folder that is not there is named", a_folder_that_is_not_there_is_named},
    {"who runs the worker may read it", who_runs_the_worker_may_read_it},
};

DPC_TEST_MAIN("worker/snooze", tests)
