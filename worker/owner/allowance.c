/* SPDX-License-Identifier: Apache-2.0
 * A bucket for each way: it fills at the rate, holds what may go in one burst, and is emptied by
 * what moves. Its level is in bytes times milliseconds of a second, so that nothing is rounded. Too
 * little of it is left to grow, since a piece of a few bytes costs as much as one of kilobytes. */
#include "worker/owner/allowance.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/limits.h"

static const char name_of_file[] = "traffic.json";

enum {
    MS = 1000,
    PIECES = 4,                      /* of a full bucket */
    RELEASED_S = 1767225600,         /* 2026: no clock that is right says less */
    EXCURSION_MS = 24 * 3600 * 1000, /* of a wall clock that is set right again */
    FULL_MS_MAX = 60000,             /* longer than the emptiest bucket takes to fill */
    FILE_BYTES_MAX = 4096,
};

struct bucket {
    uint64_t rate;  /* bytes a second; 0: no limit */
    uint64_t most;  /* bytes */
    uint64_t level; /* bytes * MS */
    int64_t at_ms;  /* 0: full */
};

struct dpc_allowance {
    const struct dpc_vfs *vfs;
    char path[DPC_PATH_MAX];
    struct bucket up, down;
    uint64_t month_most; /* bytes; 0: no limit */
    int64_t day, month;  /* that is counted: 20261129, 202611 */
    struct dpc_allowance_bytes bytes;
    /* The month before the wall clock's last jump or turn of the page. */
    int64_t left_month, left_ms;
    uint64_t left_up, left_down; /* which were not taken along */
    bool changed;                /* since it was saved */
    int64_t saved_ms;
};

/* --- Rates. */

static struct bucket
make_bucket(uint64_t kib_s)
{
    uint64_t rate = kib_s * 1024, most = rate * DPC_ALLOWANCE_BURST_MS / MS;
    if (most < DPC_ALLOWANCE_BURST_BYTES)
        most = DPC_ALLOWANCE_BURST_BYTES;
    return (struct bucket){.rate = rate, .most = most, .level = most * MS};
}

static void
fill(struct bucket *bucket, int64_t now_ms)
{
    int64_t passed_ms = bucket->at_ms ? now_ms - bucket->at_ms : 0;
    bucket->at_ms = now_ms;
    if (passed_ms <= 0)
        return;
    bucket->level += bucket->rate * (uint64_t)(passed_ms < FULL_MS_MAX ? passed_ms : FULL_MS_MAX);
    if (bucket->level > bucket->most * MS)
        bucket->level = bucket->most * MS;
}

static size_t
may(void *context, bool up, size_t len, int64_t now_ms)
{
    struct dpc_allowance *allowance = context;
    struct bucket *bucket = up ? &allowance->up : &allowance->down;
    if (bucket->rate == 0)
        return len;
    fill(bucket, now_ms);
    size_t there = (size_t)(bucket->level / MS), piece = (size_t)(bucket->most / PIECES);
    if (there >= len)
        return len;
    return there >= piece ? there : 0;
}

static void
moved(void *context, bool up, size_t len)
{
    struct dpc_allowance *allowance = context;
    struct bucket *bucket = up ? &allowance->up : &allowance->down;
    struct dpc_allowance_bytes *bytes = &allowance->bytes;
    uint64_t taken = (uint64_t)len * MS;
    bucket->level -= taken < bucket->level ? taken : bucket->level;
    *(up ? &bytes->day_up : &bytes->day_down) += len;
    *(up ? &bytes->month_up : &bytes->month_down) += len;
    allowance->changed = true;
}

struct dpc_transfer_gate
dpc_allowance_gate(struct dpc_allowance *allowance)
{
    return (struct dpc_transfer_gate){.may = may, .moved = moved, .context = allowance};
}

/* --- The calendar. */

static bool
local_time(int64_t wall_s, struct tm *ret_parts)
{
    time_t seconds = (time_t)wall_s;
    tzset();
    return localtime_r(&seconds, ret_parts) != NULL;
}

static void
leave_month(struct dpc_allowance *allowance, int64_t now_ms, bool takes_along)
{
    struct dpc_allowance_bytes *bytes = &allowance->bytes;
    allowance->left_month = allowance->month;
    allowance->left_ms = now_ms;
    allowance->left_up = takes_along ? 0 : bytes->month_up;
    allowance->left_down = takes_along ? 0 : bytes->month_down;
    if (!takes_along)
        bytes->month_up = bytes->month_down = 0;
}

/* A month begins from nothing. One that is gone back to goes on with what was counted since, and
 * one that is come back to within a day, from a clock that was wrong, with what was counted before.
 */
static void
turn_month(struct dpc_allowance *allowance, int64_t month, int64_t now_ms)
{
    bool comes_back = month == allowance->left_month && now_ms - allowance->left_ms < EXCURSION_MS;
    if (comes_back) {
        allowance->bytes.month_up += allowance->left_up;
        allowance->bytes.month_down += allowance->left_down;
        allowance->left_month = 0;
    } else {
        leave_month(allowance, now_ms, month < allowance->month);
    }
    allowance->month = month;
}

/* A clock that has not been set yet turns no page. */
static void
turn_pages(struct dpc_allowance *allowance, int64_t now_ms, int64_t wall_s)
{
    struct tm parts;
    struct dpc_allowance_bytes *bytes = &allowance->bytes;
    if (wall_s < RELEASED_S || !local_time(wall_s, &parts))
        return;
    int64_t month = (parts.tm_year + 1900) * 100 + parts.tm_mon + 1;
    int64_t day = month * 100 + parts.tm_mday;
    if (day == allowance->day)
        return;
    if (day > allowance->day)
        bytes->day_up = bytes->day_down = 0;
    if (month != allowance->month)
        turn_month(allowance, month, now_ms);
    allowance->day = day;
    allowance->changed = true;
}

struct dpc_allowance_bytes
dpc_allowance_count(struct dpc_allowance *allowance, int64_t now_ms, int64_t wall_s)
{
    turn_pages(allowance, now_ms, wall_s);
    return allowance->bytes;
}

static int64_t
next_month_s(int64_t wall_s)
{
    struct tm parts;
    if (!local_time(wall_s, &parts))
        return wall_s;
    struct tm next = {.tm_year = parts.tm_year, .tm_mon = parts.tm_mon + 1, .tm_mday = 1};
    next.tm_isdst = -1;
    return mktime(&next);
}

bool
dpc_allowance_is_used_up(struct dpc_allowance *allowance, int64_t now_ms, int64_t wall_s,
                         int64_t *ret_until_s)
{
    struct dpc_allowance_bytes bytes = dpc_allowance_count(allowance, now_ms, wall_s);
    if (!allowance->month_most || bytes.month_up + bytes.month_down < allowance->month_most)
        return false;
    *ret_until_s = next_month_s(wall_s);
    return true;
}

/* --- The file. */

static bool
take(const struct dpc_json *root, const char *key, int64_t most, int64_t *ret_value)
{
    *ret_value = dpc_json_integer(dpc_json_get(root, key), -1);
    return *ret_value >= 0 && *ret_value <= most;
}

static int
parse(struct dpc_allowance *allowance, const char *text, size_t len, struct dpc_error *err)
{
    struct dpc_json *root;
    int64_t up, down, month_up, month_down;
    const int64_t many = INT64_MAX / 4;
    int code = dpc_json_parse(text, len, &root, err);
    if (code != DPC_OK)
        return code;
    if (take(root, "day", 99991231, &allowance->day) && take(root, "day_up", many, &up) &&
        take(root, "day_down", many, &down) && take(root, "month_up", many, &month_up) &&
        take(root, "month_down", many, &month_down)) {
        allowance->month = allowance->day / 100;
        allowance->bytes = (struct dpc_allowance_bytes){(uint64_t)up, (uint64_t)down,
                                                        (uint64_t)month_up, (uint64_t)month_down};
    } else {
        allowance->day = 0;
        code = dpc_error_set(err, DPC_EPARSE, "it lacks a day or a count");
    }
    dpc_json_destroy(root);
    return code;
}

static int
load(struct dpc_allowance *allowance, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code =
        dpc_vfs_read_file(allowance->vfs, allowance->path, FILE_BYTES_MAX, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    code = parse(allowance, (const char *)bytes, len, err);
    dpc_free(bytes);
    return code == DPC_OK ? code
                          : dpc_error_prefix(err, code, "could not read \"%s\"", allowance->path);
}

struct dpc_allowance *
dpc_allowance_open(const struct dpc_vfs *vfs, const char *folder,
                   const struct dpc_allowance_options *options, struct dpc_error *err)
{
    struct dpc_allowance *allowance = dpc_alloc(1, sizeof *allowance);
    allowance->vfs = vfs;
    allowance->up = make_bucket(options->up_kib_s);
    allowance->down = make_bucket(options->down_kib_s);
    allowance->month_most = options->month_gib * DPC_GIB;
    int code = dpc_path_join(folder, name_of_file, allowance->path, sizeof allowance->path);
    if (code != DPC_OK)
        dpc_error_set(err, code, "the name of folder \"%s\" is too long", folder);
    else if (load(allowance, err) == DPC_ENOTFOUND)
        err->code = DPC_OK;
    return allowance;
}

struct dpc_allowance *
dpc_allowance_close(struct dpc_allowance *allowance)
{
    return dpc_free(allowance);
}

int
dpc_allowance_save(struct dpc_allowance *allowance, int64_t now_ms, bool now, struct dpc_error *err)
{
    const struct dpc_allowance_bytes *bytes = &allowance->bytes;
    if (!allowance->changed || (!now && now_ms - allowance->saved_ms < DPC_ALLOWANCE_SAVE_MS))
        return DPC_OK;
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_integer(root, "day", allowance->day);
    dpc_json_set_integer(root, "day_up", (int64_t)bytes->day_up);
    dpc_json_set_integer(root, "day_down", (int64_t)bytes->day_down);
    dpc_json_set_integer(root, "month_up", (int64_t)bytes->month_up);
    dpc_json_set_integer(root, "month_down", (int64_t)bytes->month_down);
    char *text = dpc_json_print(root, true);
    int code = dpc_vfs_write_file(allowance->vfs, allowance->path, text, strlen(text), err);
    dpc_free(text);
    dpc_json_destroy(root);
    allowance->saved_ms = now_ms;
    allowance->changed = code != DPC_OK;
    return code;
}
