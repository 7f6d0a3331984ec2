/* SPDX-License-Identifier: Apache-2.0
 * A bit for each minute of the week: ranges over midnight, over Saturday night and over each other
 * are nothing special. The time zone is asked what the clock shows, never computed with; that is
 * also how the next change is found, minute by minute. */
#include "worker/owner/hours.h"

#include <string.h>
#include <time.h>

enum { DAY = 24 * 60, ALL_DAYS = 0x7f };

/* --- Reading. */

static const char *
skip_blanks(const char *at)
{
    return at + strspn(at, " ");
}

/* 0 .. 6; -1: no day. */
static int
read_day(const char **at)
{
    static const char names[] = "sunmontuewedthufrisat";
    for (int day = 0; day < 7; day++) {
        if (strncmp(*at, names + 3 * (size_t)day, 3) == 0) {
            *at += 3;
            return day;
        }
    }
    return -1;
}

/* "mon", "mon-fri", "sat,sun" and all of them in a row; none: all days. */
static bool
read_days(const char **at, unsigned *ret_days)
{
    unsigned days = 0;
    int first = read_day(at);
    while (first >= 0) {
        int last = first;
        if (**at == '-') {
            ++*at;
            last = read_day(at);
            if (last < 0)
                return false;
        }
        for (int day = first; day != last; day = (day + 1) % 7)
            days |= 1u << day;
        days |= 1u << last;
        if (**at != ',')
            break;
        ++*at;
        first = read_day(at);
        if (first < 0)
            return false;
    }
    *ret_days = days ? days : ALL_DAYS;
    return !days || **at == ' ';
}

bool
dpc_hours_read_minute(const char **at, int *ret_minute)
{
    const char *text = *at;
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return false;
    }
    int hour = 10 * (text[0] - '0') + text[1] - '0', minute = 10 * (text[3] - '0') + text[4] - '0';
    *at += 5;
    *ret_minute = 60 * hour + minute;
    return minute < 60 && *ret_minute <= DAY;
}

static bool
read_range(const char **at, unsigned *ret_days, int *ret_from, int *ret_to)
{
    *at = skip_blanks(*at);
    if (!read_days(at, ret_days))
        return false;
    *at = skip_blanks(*at);
    if (!dpc_hours_read_minute(at, ret_from) || **at != '-')
        return false;
    ++*at;
    if (!dpc_hours_read_minute(at, ret_to) || *ret_from == *ret_to || *ret_from == DAY)
        return false;
    *at = skip_blanks(*at);
    return **at == ',' || **at == '\0';
}

static void
mark(struct dpc_hours *hours, unsigned days, int from, int to)
{
    int length = to > from ? to - from : to + DAY - from;
    for (int day = 0; day < 7; day++) {
        for (int i = 0; (days >> day & 1) && i < length; i++) {
            int minute = (day * DAY + from + i) % DPC_HOURS_MINUTES;
            hours->minutes[minute / 8] |= (uint8_t)(1u << minute % 8);
        }
    }
}

bool
dpc_hours_parse(const char *text, struct dpc_hours *ret_hours)
{
    struct dpc_hours hours = {.are_some = true};
    const char *at = text;
    for (;;) {
        unsigned days;
        int from, to;
        if (!read_range(&at, &days, &from, &to))
            return false;
        mark(&hours, days, from, to);
        if (*at == '\0')
            break;
        at++;
    }
    *ret_hours = hours;
    return true;
}

/* --- Asking. */

static bool
holds(const struct dpc_hours *hours, int64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    if (!hours->are_some || !localtime_r(&seconds, &parts))
        return true;
    int minute = parts.tm_wday * DAY + parts.tm_hour * 60 + parts.tm_min;
    return hours->minutes[minute / 8] >> minute % 8 & 1;
}

bool
dpc_hours_hold(const struct dpc_hours *hours, int64_t wall_s)
{
    tzset(); /* the owner may have travelled */
    return holds(hours, wall_s);
}

int64_t
dpc_hours_change_s(const struct dpc_hours *hours, int64_t wall_s)
{
    int64_t at_s = wall_s - wall_s % 60;
    bool now = dpc_hours_hold(hours, wall_s);
    /* A day more than a week: summer time may skip the one minute that there is. */
    for (int i = 0; i < DPC_HOURS_MINUTES + DAY; i++) {
        at_s += 60;
        if (holds(hours, at_s) != now)
            return at_s;
    }
    return INT64_MAX;
}
