/* SPDX-License-Identifier: Apache-2.0
 * The file is one line: since when and until when, in seconds of the wall clock. Whoever may write
 * in the folder may give a rest, so the file is readable for all: root gives one to a worker that
 * runs as somebody else. */
#include "worker/owner/snooze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "worker/owner/hours.h"

static const char name_of_file[] = "snooze";
static const char mark[] = "dipaco-snooze ";

enum { FILE_BYTES_MAX = 128 };

struct dpc_snooze {
    char path[DPC_PATH_MAX];
    char text[FILE_BYTES_MAX]; /* of the file as it was last seen; empty: none */
    bool broken;               /* it makes no sense, which was told */
    int64_t since_s, until_s;  /* as it says */
    bool believed;             /* the wall clock, when the end was settled */
    int64_t ends_ms;           /* monotonic */
};

/* --- Words. */

static int64_t
unit_s(char letter)
{
    switch (letter) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 60 * 60;
    case 'd':
        return 24 * 60 * 60;
    default:
        return 0;
    }
}

/* "1h30m". */
static bool
parse_length(const char *text, int64_t *ret_seconds)
{
    int64_t seconds = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        long count = strtol(text, &end, 10);
        int64_t unit = unit_s(*end);
        if (unit == 0 || count > DPC_SNOOZE_S_MAX / unit)
            return false;
        seconds += count * unit;
        if (seconds > DPC_SNOOZE_S_MAX)
            return false;
        text = end + 1;
    }
    *ret_seconds = seconds;
    return *text == '\0' && seconds > 0;
}

/* Until the clock on the wall says "07:00" the next time, whatever summer time does meanwhile. */
static bool
parse_time(const char *text, int64_t wall_s, int64_t *ret_seconds)
{
    time_t then = (time_t)wall_s;
    struct tm parts;
    int minute;
    if (!dpc_hours_read_minute(&text, &minute) || *text || minute == 24 * 60)
        return false;
    tzset();
    for (int days = 0; days < 2; days++) {
        time_t now = (time_t)wall_s;
        if (!localtime_r(&now, &parts))
            return false;
        parts.tm_mday += days;
        parts.tm_hour = minute / 60;
        parts.tm_min = minute % 60;
        parts.tm_sec = 0;
        parts.tm_isdst = -1;
        then = mktime(&parts);
        if (then > now)
            break;
    }
    *ret_seconds = (int64_t)then - wall_s;
    return *ret_seconds > 0;
}

int
dpc_snooze_parse(const char *text, int64_t wall_s, int64_t *ret_seconds)
{
    if (strcmp(text, "off") == 0) {
        *ret_seconds = 0;
        return DPC_OK;
    }
    if (strncmp(text, "until ", 6) == 0)
        return parse_time(text + 6, wall_s, ret_seconds) ? DPC_OK : DPC_EINVAL;
    return parse_length(text, ret_seconds) || parse_time(text, wall_s, ret_seconds) ? DPC_OK
                                                                                    : DPC_EINVAL;
}

/* --- Writing. */

static int
write_file(const char *path, const char *text)
{
    size_t len = strlen(text);
    /* Root may write here where the worker is somebody else, who must not lead it elsewhere. */
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    errno = 0;
    bool written = fchmod(fd, 0644) == 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int errnum = written ? 0 : errno ? errno : ENOSPC;
    close(fd);
    return errnum;
}

int
dpc_snooze_write(const char *folder, int64_t wall_s, int64_t seconds, struct dpc_error *err)
{
    char path[DPC_PATH_MAX], temp[DPC_PATH_MAX], text[FILE_BYTES_MAX];
    if (dpc_path_join(folder, name_of_file, path, sizeof path) != DPC_OK ||
        dpc_path_join(folder, "snooze.new", temp, sizeof temp) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name of folder \"%s\" is too long", folder);
    if (seconds == 0) {
        if (unlink(path) == 0 || errno == ENOENT)
            return DPC_OK;
        return dpc_error_set_errno(err, errno, "could not remove \"%s\"", path);
    }
    (void)snprintf(text, sizeof text, "%s%lld %lld\n", mark, (long long)wall_s,
                   (long long)(wall_s + seconds));
    int errnum = write_file(temp, text);
    if (errnum == 0 && rename(temp, path) != 0)
        errnum = errno;
    if (errnum == 0)
        return DPC_OK;
    (void)unlink(temp);
    return dpc_error_set_errno(err, errnum, "could not write \"%s\"", path);
}

/* --- Looking. */

struct dpc_snooze *
dpc_snooze_create(const char *folder)
{
    struct dpc_snooze *snooze = dpc_alloc(1, sizeof *snooze);
    if (dpc_path_join(folder, name_of_file, snooze->path, sizeof snooze->path) != DPC_OK)
        snooze->path[0] = '\0';
    return snooze;
}

struct dpc_snooze *
dpc_snooze_destroy(struct dpc_snooze *snooze)
{
    return dpc_free(snooze);
}

static bool
parse_file(struct dpc_snooze *snooze)
{
    const char *at = snooze->text;
    char *end;
    if (strncmp(at, mark, sizeof mark - 1) != 0)
        return false;
    errno = 0;
    snooze->since_s = strtoll(at + sizeof mark - 1, &end, 10);
    if (*end != ' ')
        return false;
    snooze->until_s = strtoll(end, &end, 10);
    return errno == 0 && strcmp(end, "\n") == 0 && snooze->since_s > 0 &&
           snooze->until_s > snooze->since_s &&
           snooze->until_s - snooze->since_s <= DPC_SNOOZE_S_MAX;
}

static int64_t
within(int64_t value, int64_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

/* Settles when the rest ends. With a wall clock that lags behind the rest's own beginning, what it
 * says is waited for, but no longer than for the whole. */
static void
settle(struct dpc_snooze *snooze, int64_t now_ms, int64_t wall_s)
{
    int64_t left_s = within(snooze->until_s - wall_s, snooze->until_s - snooze->since_s);
    int64_t ends_ms = now_ms + 1000 * left_s;
    snooze->believed = wall_s >= snooze->since_s;
    if (snooze->believed || snooze->ends_ms == 0)
        snooze->ends_ms = ends_ms;
}

static void
take_file(struct dpc_snooze *snooze, const char *text, struct dpc_error *err)
{
    (void)snprintf(snooze->text, sizeof snooze->text, "%s", text);
    snooze->ends_ms = 0;
    snooze->believed = false;
    snooze->broken = *text && !parse_file(snooze);
    if (snooze->broken)
        dpc_error_set(err, DPC_EPARSE,
                      "\"%s\" makes no sense, so nothing is made of it: give the rest again with "
                      "--snooze",
                      snooze->path);
}

int64_t
dpc_snooze_left_ms(struct dpc_snooze *snooze, int64_t now_ms, int64_t wall_s, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len;
    struct dpc_error why = {0};
    int code =
        dpc_vfs_read_file(&dpc_vfs_posix, snooze->path, FILE_BYTES_MAX - 1, &bytes, &len, &why);
    /* An empty file makes no sense, either; a zero byte ends a text and then does not end right. */
    const char *text = code == DPC_ENOTFOUND      ? ""
                       : code == DPC_OK && *bytes ? (const char *)bytes
                                                  : "?";
    err->code = DPC_OK;
    if (strcmp(text, snooze->text) != 0) {
        take_file(snooze, text, err);
        if (code != DPC_OK && code != DPC_ENOTFOUND)
            *err = why;
    }
    dpc_free(bytes);
    if (!*snooze->text || snooze->broken)
        return 0;
    if (!snooze->believed)
        settle(snooze, now_ms, wall_s);
    return snooze->ends_ms > now_ms ? snooze->ends_ms - now_ms : 0;
}
