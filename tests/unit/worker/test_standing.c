/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/data/temp.h"
#include "worker/standing.h"

enum { START_S = 1700000000 };

struct rig {
    struct temp temp;
    struct dpc_standing_file *file;
    struct dpc_standing standing;
    int64_t now_ms;
};

static struct rig
begin(void)
{
    struct rig rig = {.now_ms = 5000};
    struct dpc_error err = {0};
    temp_make(&rig.temp);
    rig.file = dpc_standing_open(&dpc_vfs_posix, rig.temp.folder, &err);
    CU_ASSERT_EQUAL(err.code, DPC_OK);
    memset(&rig.standing, 0, sizeof rig.standing);
    (void)snprintf(rig.standing.name, sizeof rig.standing.name, "w");
    (void)snprintf(rig.standing.endpoint, sizeof rig.standing.endpoint, "tcp://host:7600");
    (void)snprintf(rig.standing.device, sizeof rig.standing.device, "the processor");
    rig.standing.started_s = START_S;
    return rig;
}

static void
end(struct rig *rig)
{
    dpc_standing_close(rig->file);
    temp_remove(&rig->temp);
}

static void
write_after(struct rig *rig, int64_t ms)
{
    struct dpc_error err;
    rig->now_ms += ms;
    CU_ASSERT_EQUAL(dpc_standing_write(rig->file, &rig->standing, rig->now_ms,
                                       START_S + rig->now_ms / 1000, &err),
                    DPC_OK);
}

/* What the folder shows, as text or JSON, contains `words`. */
static bool
shows(struct rig *rig, bool running, bool json, const char *words)
{
    char *text;
    struct dpc_error err;
    if (dpc_standing_show(&dpc_vfs_posix, rig->temp.folder, running, json, START_S + 60, &text,
                          &err) != DPC_OK)
        return false;
    bool found = strstr(text, words) != NULL;
    dpc_free(text);
    return found;
}

static bool
shows_later(struct rig *rig, int64_t wall_s, const char *words)
{
    char *text;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        dpc_standing_show(&dpc_vfs_posix, rig->temp.folder, false, false, wall_s, &text, &err),
        DPC_OK);
    bool found = strstr(text, words) != NULL;
    dpc_free(text);
    return found;
}

/* It began on a 14th of November, and nobody turned the page since. */
static void
a_worker_that_ended_tells_no_old_bytes_as_those_of_today(void)
{
    enum { DAY_S = 24 * 3600 };
    struct rig rig = begin();
    rig.standing.ended_s = START_S;
    write_after(&rig, 0);
    CU_ASSERT(shows_later(&rig, START_S, "down today; 0.0 up, 0.0 down this month"));
    CU_ASSERT(shows_later(&rig, START_S + 3 * DAY_S,
                          "down on its last day; 0.0 up, 0.0 down this month"));
    CU_ASSERT(shows_later(&rig, START_S + 30 * DAY_S,
                          "down on its last day; 0.0 up, 0.0 down in its last month"));
    CU_ASSERT(shows_later(&rig, START_S + 365 * DAY_S,
                          "down on its last day; 0.0 up, 0.0 down in its last month"));
    end(&rig);
}

static void
nobody_has_worked(void)
{
    struct rig rig = begin();
    char *text;
    struct dpc_error err;
    CU_ASSERT_EQUAL(
        dpc_standing_show(&dpc_vfs_posix, rig.temp.folder, false, false, 0, &text, &err),
        DPC_ENOTFOUND);
    end(&rig);
}

static void
figures_are_shown(void)
{
    struct rig rig = begin();
    rig.standing.connected = rig.standing.leased = true;
    rig.standing.work = DPC_WORK_RUNNING;
    rig.standing.lease = (struct dpc_standing_lease){DPC_TASK_TRAIN, .path = 3, .round = 4};
    rig.standing.units = 500;
    rig.standing.hands_in = true;
    rig.standing.handing_in = (struct dpc_standing_lease){DPC_TASK_TRAIN, .path = 2, .round = 1};
    rig.standing.pace.steps_done = 120;
    rig.standing.pace.tokens_per_s = 1234.4;
    rig.standing.pace.bytes.month_up = 3 << 20;
    rig.standing.month_limit = (uint64_t)10 << 30;
    rig.standing.counts.refused = 2;
    (void)snprintf(rig.standing.counts.reason, sizeof rig.standing.counts.reason, "refused: norm");
    (void)snprintf(rig.standing.paused, sizeof rig.standing.paused, "the owner said so");
    rig.standing.paused_until_s = START_S + 7200;
    write_after(&rig, 0);
    CU_ASSERT(shows(&rig, true, false, "figures 55 s old"));
    CU_ASSERT(shows(&rig, true, false, "tcp://host:7600, connected since "));
    CU_ASSERT(shows(&rig, true, false, "running: train path 3, round 4, 120 of 500, 1234 tok"));
    CU_ASSERT(shows(&rig, true, false, "\nhanding in      train path 2, round 1\n"));
    CU_ASSERT(shows(&rig, true, false, "3.0 up, 0.0 down this month of 10240"));
    CU_ASSERT(shows(&rig, true, false, "2 refused"));
    CU_ASSERT(shows(&rig, true, false, "refused: norm"));
    CU_ASSERT(shows(&rig, true, false, "the owner said so, until 20"));
    CU_ASSERT(shows(&rig, true, true, "\"running\": true"));
    CU_ASSERT(shows(&rig, true, true, "\"paused_until_s\": 1700007200"));
    CU_ASSERT(shows(&rig, false, false, "was killed after"));
    rig.standing.ended_s = START_S + 30;
    write_after(&rig, 1);
    CU_ASSERT(shows(&rig, false, false, "it ended"));
    end(&rig);
}

/* Progress alone is written more seldom than anything else. */
static void
writes_are_spared(void)
{
    struct rig rig = begin();
    write_after(&rig, 0);
    rig.standing.leased = true;
    write_after(&rig, DPC_STANDING_CHANGE_MS - 1);
    CU_ASSERT_FALSE(shows(&rig, true, true, "\"lease\""));
    write_after(&rig, 1);
    CU_ASSERT(shows(&rig, true, true, "\"lease\""));
    rig.standing.pace.steps_done = 7;
    write_after(&rig, DPC_STANDING_PACE_MS - 1);
    CU_ASSERT(shows(&rig, true, true, "\"done\": 0"));
    write_after(&rig, 1);
    CU_ASSERT(shows(&rig, true, true, "\"done\": 7"));
    CU_ASSERT(shows(&rig, true, true, "\"written_s\": 1700000011"));
    write_after(&rig, DPC_STANDING_STILL_MS - 1); /* nothing has moved */
    CU_ASSERT(shows(&rig, true, true, "\"written_s\": 1700000011"));
    write_after(&rig, 1);
    CU_ASSERT(shows(&rig, true, true, "\"written_s\": 1700000071"));
    end(&rig);
}

static void
counts_go_on_over_a_restart(void)
{
    struct rig rig = begin();
    struct dpc_error err = {0};
    rig.standing.counts.accepted = 5;
    rig.standing.counts.tokens = 1000;
    (void)snprintf(rig.standing.counts.reason, sizeof rig.standing.counts.reason, "stale: late");
    write_after(&rig, 0);
    dpc_standing_close(rig.file);
    rig.file = dpc_standing_open(&dpc_vfs_posix, rig.temp.folder, &err);
    memset(&rig.standing.counts, 0, sizeof rig.standing.counts);
    rig.standing.counts.accepted = 1;
    write_after(&rig, 0);
    CU_ASSERT(shows(&rig, true, true, "\"accepted\": 6"));
    CU_ASSERT(shows(&rig, true, true, "\"tokens_trained\": 1000"));
    CU_ASSERT(shows(&rig, true, false, "stale: late"));
    end(&rig);
}

static void
garbage_is_told_and_replaced(void)
{
    static const char *const garbage[] = {"", "{", "[]", "{\"leases\": {\"accepted\": -5}}"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct rig rig = begin();
        struct dpc_error err = {0};
        dpc_standing_close(rig.file);
        temp_write_text(&rig.temp, "status.json", garbage[i]);
        rig.file = dpc_standing_open(&dpc_vfs_posix, rig.temp.folder, &err);
        CU_ASSERT_EQUAL(err.code == DPC_OK, i == 3);
        CU_ASSERT_EQUAL(strstr(err.text, "status.json") != NULL, i < 3);
        write_after(&rig, 0);
        CU_ASSERT(shows(&rig, true, true, "\"accepted\": 0"));
        end(&rig);
    }
}

/* UBSan stops where a difference overflows; a count that was full became negative. */
static void
numbers_past_all_bounds_are_shown(void)
{
    static const char text[] =
        "{\"written_s\": -9223372036854775808, \"started_s\": 9223372036854775807, "
        "\"paused\": \"x\", \"paused_until_s\": -9223372036854775808, "
        "\"leases\": {\"accepted\": 9223372036854775807}, \"bytes\": {\"cache\": -1}}";
    struct rig rig = begin();
    struct dpc_error err = {0};
    dpc_standing_close(rig.file);
    temp_write_text(&rig.temp, "status.json", text);
    CU_ASSERT(shows(&rig, true, false, "figures 9223372036854775807 s old"));
    CU_ASSERT(shows(&rig, true, true, "\"age_s\": 9223372036854775807"));
    rig.file = dpc_standing_open(&dpc_vfs_posix, rig.temp.folder, &err);
    rig.standing.counts.accepted = 1;
    write_after(&rig, 0);
    CU_ASSERT(shows(&rig, true, true, "\"accepted\": 9223372036854775807"));
    end(&rig);
}

/* Root may ask what a worker of somebody else writes. */
static void
a_terminal_obeys_nothing_of_it(void)
{
    static const char text[] =
        "{\"name\": \"w\\nworker forged\", \"coordinator\": \"\\u001b[2J\", \"device\": "
        "\"\\u009bm \\u00e9\", \"work\": \"a\\r\", \"leases\": {\"last_reason\": \"b\\u007f\"}, "
        "\"paused\": \"\\u0007\", \"mirror\": \"\\t\", \"lease\": {\"kind\": \"\\b\"}, "
        "\"handing_in\": {\"kind\": \"\\f\"}}";
    struct rig rig = begin();
    char *shown;
    struct dpc_error err;
    temp_write_text(&rig.temp, "status.json", text);
    CU_ASSERT_EQUAL_FATAL(
        dpc_standing_show(&dpc_vfs_posix, rig.temp.folder, true, false, START_S, &shown, &err),
        DPC_OK);
    for (const char *at = shown; *at; at++)
        CU_ASSERT(*at == '\n' || ((unsigned char)*at >= ' ' && *at != 0x7F));
    CU_ASSERT_PTR_NULL(strstr(shown, "\xc2\x9b"));
    CU_ASSERT_PTR_NOT_NULL(strstr(shown, "w?worker forged, runs"));
    CU_ASSERT_PTR_NOT_NULL(strstr(shown, "\nlast reason     b?\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(shown, "?m \xc3\xa9\n"));
    dpc_free(shown);
    end(&rig);
}

static void
a_write_that_fails_is_tried_again(void)
{
    struct rig rig = begin();
    struct dpc_error err;
    temp_make_folder(&rig.temp, "status.json");
    temp_write_text(&rig.temp, "status.json/full", "");
    rig.standing.counts.accepted = 1;
    CU_ASSERT_NOT_EQUAL(dpc_standing_write(rig.file, &rig.standing, rig.now_ms, START_S, &err),
                        DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not write"));
    CU_ASSERT_EQUAL(dpc_vfs_remove_tree(temp_path(&rig.temp, "status.json"), &err), DPC_OK);
    write_after(&rig, DPC_STANDING_CHANGE_MS);
    CU_ASSERT(shows(&rig, true, true, "\"accepted\": 1"));
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a worker that ended tells no old bytes as those of today",
     a_worker_that_ended_tells_no_old_bytes_as_those_of_today},
    {"nobody has worked", nobody_has_worked},
    {"figures are shown", figures_are_shown},
    {"writes are spared", writes_are_spared},
    {"counts go on over a restart", counts_go_on_over_a_restart},
    {"garbage is told and replaced", garbage_is_told_and_replaced},
    {"numbers past all bounds are shown", numbers_past_all_bounds_are_shown},
    {"a terminal obeys nothing of it", a_terminal_obeys_nothing_of_it},
    {"a write that fails is tried again", a_write_that_fails_is_tried_again},
};

DPC_TEST_MAIN("worker/standing", tests)
