/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/owner/allowance.h"

#include <time.h>

#include "base/rng.h"
#include "tests/unit/data/temp.h"

enum { KIB = 1024, NOW_S = 1783000000, DAY = 24 * 3600 }; /* 2026-07-02 13:46:40 UTC */

struct rig {
    struct temp temp;
    struct dpc_allowance_options options;
    struct dpc_allowance *allowance;
    struct dpc_transfer_gate gate;
};

static void
open_again(struct rig *rig)
{
    struct dpc_error err = {0};
    dpc_allowance_close(rig->allowance);
    rig->allowance = dpc_allowance_open(&dpc_vfs_posix, rig->temp.folder, &rig->options, &err);
    rig->gate = dpc_allowance_gate(rig->allowance);
    CU_ASSERT_EQUAL(err.code, DPC_OK);
}

static struct rig
begin(uint64_t up_kib_s, uint64_t down_kib_s, uint64_t month_gib)
{
    struct rig rig = {.options = {up_kib_s, down_kib_s, month_gib}};
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "UTC", 1), 0);
    temp_make(&rig.temp);
    open_again(&rig);
    return rig;
}

static void
end(struct rig *rig)
{
    dpc_allowance_close(rig->allowance);
    temp_remove(&rig->temp);
}

static size_t
may(struct rig *rig, bool up, size_t len, int64_t now_ms)
{
    return rig->gate.may(rig->gate.context, up, len, now_ms);
}

static void
move(struct rig *rig, bool up, size_t len)
{
    rig->gate.moved(rig->gate.context, up, len);
}

static void
save(struct rig *rig, int64_t now_ms, bool now)
{
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_allowance_save(rig->allowance, now_ms, now, &err), DPC_OK);
}

/* Where both clocks went on together. */
static struct dpc_allowance_bytes
count_at(struct rig *rig, int64_t wall_s)
{
    return dpc_allowance_count(rig->allowance, 1000 * wall_s, wall_s);
}

static uint64_t
month_up(struct rig *rig, int64_t now_ms, int64_t wall_s)
{
    return dpc_allowance_count(rig->allowance, now_ms, wall_s).month_up;
}

static void
without_a_rate_everything_may(void)
{
    struct rig rig = begin(0, 0, 0);
    int64_t until_s;
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(may(&rig, i % 2, DPC_TRANSFER_CHUNK, 1), DPC_TRANSFER_CHUNK);
        move(&rig, i % 2, DPC_TRANSFER_CHUNK);
    }
    CU_ASSERT_FALSE(
        dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (NOW_S), NOW_S, &until_s));
    end(&rig);
}

/* 100 KiB a second: a burst of one second, then 102.4 bytes a millisecond, to the byte. */
static void
a_bucket_is_exact(void)
{
    struct rig rig = begin(100, 0, 0);
    CU_ASSERT_EQUAL(may(&rig, true, DPC_TRANSFER_CHUNK, 1000), 100 * KIB);
    move(&rig, true, 100 * KIB);
    CU_ASSERT_EQUAL(may(&rig, true, DPC_TRANSFER_CHUNK, 1000), 0);
    /* Too little is left to grow, up to a quarter; the last piece of a blob may be small. */
    CU_ASSERT_EQUAL(may(&rig, true, DPC_TRANSFER_CHUNK, 1249), 0);
    CU_ASSERT_EQUAL(may(&rig, true, 25497, 1249), 25497);
    CU_ASSERT_EQUAL(may(&rig, true, 25498, 1249), 0);
    CU_ASSERT_EQUAL(may(&rig, true, DPC_TRANSFER_CHUNK, 1250), 25600);
    move(&rig, true, 25600);
    CU_ASSERT_EQUAL(may(&rig, true, 1, 1250), 0);
    /* The other way has no limit. */
    CU_ASSERT_EQUAL(may(&rig, false, DPC_TRANSFER_CHUNK, 1250), DPC_TRANSFER_CHUNK);
    /* A year of sleep is one burst. */
    CU_ASSERT_EQUAL(may(&rig, true, DPC_TRANSFER_CHUNK, 1250 + (int64_t)365 * DAY * 1000),
                    100 * KIB);
    end(&rig);
}

static void
a_small_rate_still_moves_whole_messages(void)
{
    struct rig rig = begin(0, 1, 0);
    CU_ASSERT_EQUAL(may(&rig, false, DPC_TRANSFER_CHUNK, 1000), DPC_ALLOWANCE_BURST_BYTES);
    move(&rig, false, DPC_ALLOWANCE_BURST_BYTES);
    CU_ASSERT_EQUAL(may(&rig, false, DPC_TRANSFER_CHUNK, 1000 + 3999), 0);
    CU_ASSERT_EQUAL(may(&rig, false, DPC_TRANSFER_CHUNK, 1000 + 4000), 4 * KIB);
    end(&rig);
}

/* Whatever is asked for, and when. */
static void
no_stretch_of_time_has_more_than_its_rate(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 5, DPC_RNG_TEST, 1, 0, 0);
    for (int round = 0; round < 50; round++) {
        uint64_t kib_s = 1 + dpc_rng_below(&rng, 3000);
        uint64_t burst =
            kib_s * KIB > DPC_ALLOWANCE_BURST_BYTES ? kib_s * KIB : DPC_ALLOWANCE_BURST_BYTES;
        struct rig rig = begin(kib_s, 0, 0);
        uint64_t all = 0;
        int64_t now_ms = 1000;
        for (int i = 0; i < 2000; i++) {
            now_ms += (int64_t)dpc_rng_below(&rng, 200);
            size_t len = 1 + (size_t)dpc_rng_below(&rng, DPC_TRANSFER_CHUNK);
            size_t given = may(&rig, true, len, now_ms);
            CU_ASSERT_FATAL(given <= len);
            move(&rig, true, given);
            all += given;
            CU_ASSERT_FATAL(all * 1000 <= burst * 1000 + kib_s * KIB * (uint64_t)(now_ms - 1000));
        }
        CU_ASSERT(all > 0);
        end(&rig);
    }
}

static void
months_begin_anew(void)
{
    struct rig rig = begin(0, 0, 1);
    int64_t until_s = 0;
    (void)count_at(&rig, NOW_S);
    move(&rig, true, (size_t)1 << 29);
    move(&rig, false, ((size_t)1 << 29) - 1);
    CU_ASSERT_FALSE(
        dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (NOW_S), NOW_S, &until_s));
    move(&rig, false, 1);
    CU_ASSERT(dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (NOW_S), NOW_S, &until_s));
    CU_ASSERT_EQUAL(until_s, 1785542400); /* 2026-08-01 00:00 UTC */
    struct dpc_allowance_bytes bytes = count_at(&rig, NOW_S + DAY);
    CU_ASSERT_EQUAL(bytes.day_up, 0);
    CU_ASSERT_EQUAL(bytes.month_up, (uint64_t)1 << 29);
    CU_ASSERT(dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (until_s - 1), until_s - 1,
                                       &until_s));
    CU_ASSERT_FALSE(
        dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (until_s), until_s, &until_s));
    CU_ASSERT_EQUAL(count_at(&rig, until_s).month_down, 0);
    end(&rig);
}

/* December, where the local month begins before UTC's. */
static void
the_year_ends_by_the_local_calendar(void)
{
    struct rig rig = begin(0, 0, 1);
    int64_t until_s = 0, new_year_s = 1798758000; /* 2026-12-31 23:00 UTC */
    CU_ASSERT_EQUAL_FATAL(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    (void)count_at(&rig, new_year_s - DAY);
    move(&rig, true, (size_t)1 << 30);
    CU_ASSERT(dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (new_year_s - 1),
                                       new_year_s - 1, &until_s));
    CU_ASSERT_EQUAL(until_s, new_year_s);
    CU_ASSERT_FALSE(dpc_allowance_is_used_up(rig.allowance, INT64_C(1000) * (new_year_s),
                                             new_year_s, &until_s));
    end(&rig);
}

static void
counts_outlast_a_restart(void)
{
    struct rig rig = begin(0, 0, 1);
    (void)count_at(&rig, NOW_S);
    move(&rig, true, 1000);
    save(&rig, DPC_ALLOWANCE_SAVE_MS, false);
    move(&rig, false, 500);
    save(&rig, DPC_ALLOWANCE_SAVE_MS + 1, false); /* not due yet, and lost with the process */
    open_again(&rig);
    CU_ASSERT_EQUAL(count_at(&rig, NOW_S).month_up, 1000);
    CU_ASSERT_EQUAL(count_at(&rig, NOW_S).day_down, 0);
    move(&rig, false, 500);
    save(&rig, 1, true);
    open_again(&rig);
    CU_ASSERT_EQUAL(count_at(&rig, NOW_S).day_down, 500);
    open_again(&rig);
    CU_ASSERT_EQUAL(count_at(&rig, NOW_S + 31 * DAY).month_up, 0);
    end(&rig);
}

static void
a_clock_that_is_wrong_takes_nothing_away(void)
{
    enum { HOUR_MS = 3600 * 1000 };
    struct rig rig = begin(0, 0, 1);
    CU_ASSERT_EQUAL(month_up(&rig, 1000, NOW_S), 0);
    move(&rig, true, 1000);
    /* Not set yet after a start, then right. */
    CU_ASSERT_EQUAL(month_up(&rig, 2000, 100), 1000);
    CU_ASSERT_EQUAL(month_up(&rig, 3000, NOW_S), 1000);
    /* Behind by a month for an hour. */
    CU_ASSERT_EQUAL(month_up(&rig, 4000, NOW_S - 31 * DAY), 1000);
    move(&rig, true, 500);
    CU_ASSERT_EQUAL(month_up(&rig, HOUR_MS, NOW_S), 1500);
    /* Ahead by a month for an hour. */
    CU_ASSERT_EQUAL(month_up(&rig, HOUR_MS + 1000, NOW_S + 31 * DAY), 0);
    move(&rig, true, 70);
    CU_ASSERT_EQUAL(month_up(&rig, 2 * HOUR_MS, NOW_S), 1570);
    /* Ahead when it began, and set right: the month that it was ahead of begins from nothing. */
    CU_ASSERT_EQUAL(month_up(&rig, 3 * HOUR_MS, NOW_S - 31 * DAY), 1570);
    CU_ASSERT_EQUAL(month_up(&rig, 31 * 24 * (int64_t)HOUR_MS, NOW_S), 0);
    end(&rig);
}

static void
garbage_is_told_and_counts_from_zero(void)
{
    static const char *const garbage[] = {
        "",
        "[",
        "[]",
        "{\"day\": 20260702}",
        "{\"day\": 20260702, \"day_up\": -1, \"day_down\": 0, \"month_up\": 0, \"month_down\": 0}",
        "{\"day\": 1e30, \"day_up\": 0, \"day_down\": 0, \"month_up\": 0, \"month_down\": 0}"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct rig rig = begin(0, 0, 1);
        struct dpc_error err = {0};
        temp_write_text(&rig.temp, "traffic.json", garbage[i]);
        dpc_allowance_close(rig.allowance);
        rig.allowance = dpc_allowance_open(&dpc_vfs_posix, rig.temp.folder, &rig.options, &err);
        CU_ASSERT_NOT_EQUAL(err.code, DPC_OK);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "traffic.json"));
        CU_ASSERT_EQUAL(count_at(&rig, NOW_S).month_up, 0);
        save(&rig, 1, true);
        open_again(&rig);
        end(&rig);
    }
}

static const struct dpc_test tests[] = {
    {"without a rate everything may", without_a_rate_everything_may},
    {"a bucket is exact", a_bucket_is_exact},
    {"a small rate still moves whole messages", a_small_rate_still_moves_whole_messages},
    {"no stretch of time has more than its rate", no_stretch_of_time_has_more_than_its_rate},
    {"months begin anew", months_begin_anew},
    {"the year ends by the local calendar", the_year_ends_by_the_local_calendar},
    {"counts outlast a restart", counts_outlast_a_restart},
    {"a clock that is wrong takes nothing away", a_clock_that_is_wrong_takes_nothing_away},
    {"garbage is told and counts from zero", garbage_is_told_and_counts_from_zero},
};

DPC_TEST_MAIN("worker/allowance", tests)
