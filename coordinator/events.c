/* SPDX-License-Identifier: Apache-2.0
 * One write a line on a descriptor that appends. A line that was cut by a full disk is ended before
 * the next one, so that a reader loses it and no other. */
#include "coordinator/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

struct dpc_events {
    char *path;
    int fd;
    uint64_t lost; /* lines, since the last one that was written */
    bool cut;      /* the file ends within a line */
};

static int
open_file(const char *path)
{
    /* A pipe without a reader, or a full one, costs lines and not the loop. */
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640);
}

/* What an earlier process, or a full disk, left without an end; of a pipe nobody knows. */
static bool
ends_within_line(int written, const char *path)
{
    char last = '\n';
    struct stat facts;
    if (fstat(written, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0)
        return false;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    (void)!pread(fd, &last, 1, facts.st_size - 1);
    (void)close(fd);
    return last != '\n';
}

int
dpc_events_open(const char *path, struct dpc_events **ret_events, struct dpc_error *err)
{
    int fd = open_file(path);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not open the file of events \"%s\"", path);
    struct dpc_events *events = dpc_alloc(1, sizeof *events);
    events->path = dpc_strdup(path);
    events->fd = fd;
    events->cut = ends_within_line(fd, path);
    *ret_events = events;
    return DPC_OK;
}

struct dpc_events *
dpc_events_close(struct dpc_events *events)
{
    if (!events)
        return NULL;
    (void)close(events->fd);
    dpc_free(events->path);
    return dpc_free(events);
}

void
dpc_events_reopen(struct dpc_events *events)
{
    int fd = open_file(events->path);
    if (fd < 0) {
        dpc_log_warning("could not open the file of events \"%s\" again: %s", events->path,
                        strerror(errno));
        return;
    }
    (void)close(events->fd);
    events->fd = fd;
    events->cut = ends_within_line(fd, events->path);
}

void
dpc_events_time(int64_t unix_ms, char ret_text[DPC_EVENT_TIME_MAX])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    size_t len = strftime(ret_text, DPC_EVENT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text + len, DPC_EVENT_TIME_MAX - len, ".%03dZ", (int)(unix_ms % 1000));
}

static void
note_lost(struct dpc_events *events, int errnum)
{
    if (events->lost++ == 0)
        dpc_log_warning("events are lost file=\"%s\" reason=\"%s\"", events->path,
                        strerror(errnum));
}

static void
note_written(struct dpc_events *events)
{
    if (events->lost)
        dpc_log_info("events are written again file=\"%s\" lost=%llu", events->path,
                     (unsigned long long)events->lost);
    events->lost = 0;
}

/* `line` begins with a line feed, which is written where a line was cut. */
static void
append(struct dpc_events *events, const char *line, size_t len)
{
    const char *begin = events->cut ? line : line + 1;
    size_t count = events->cut ? len : len - 1;
    ssize_t written;
    do /* some file systems let a signal in before the first byte */
        written = write(events->fd, begin, count);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)count) {
        events->cut = false;
        note_written(events);
        return;
    }
    events->cut |= written > 0;
    note_lost(events, written < 0 ? errno : ENOSPC);
}

void
dpc_events_put(struct dpc_events *events, const char *event, const struct dpc_event_field *fields,
               size_t fields_count)
{
    char time_text[DPC_EVENT_TIME_MAX];
    struct dpc_json *object = dpc_json_object();
    dpc_events_time(dpc_clock_now_ms(&dpc_clock_wall), time_text);
    dpc_json_set_text(object, "time", time_text);
    dpc_json_set_text(object, "event", event);
    for (size_t i = 0; i < fields_count; i++) {
        if (fields[i].text)
            dpc_json_set_text(object, fields[i].key, fields[i].text);
        else
            dpc_json_set_integer(object, fields[i].key, fields[i].number);
    }
    char *text = dpc_json_print(object, false);
    char *line = dpc_format("\n%s\n", text);
    append(events, line, strlen(line));
    dpc_free(line);
    dpc_free(text);
    dpc_json_destroy(object);
}
