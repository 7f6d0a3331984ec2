/* SPDX-License-Identifier: Apache-2.0
 * A line is composed in a fixed buffer and leaves in one write, so that lines of threads never mix.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"

static _Atomic int max_level = DPC_LOG_INFO;
static const char *_Atomic program_name = "dipaco";

void
dpc_log_set_level(enum dpc_log_level level)
{
    max_level = level;
}

void
dpc_log_set_name(const char *name)
{
    program_name = name;
}

bool
dpc_log_level_parse(const char *text, enum dpc_log_level *ret_level)
{
    static const struct {
        const char *name;
        enum dpc_log_level level;
    } names[] = {{"error", DPC_LOG_ERROR},
                 {"warning", DPC_LOG_WARNING},
                 {"info", DPC_LOG_INFO},
                 {"debug", DPC_LOG_DEBUG}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, text) == 0) {
            *ret_level = names[i].level;
            return true;
        }
    }
    return false;
}

/* Whether the journal reads standard error. A service hands the variable down to all that is
 * started below it, whose lines may go to files and terminals: it names the stream that is meant.
 */
static bool
journal_reads(void)
{
    unsigned long long device, inode;
    struct stat facts;
    const char *stream = getenv("JOURNAL_STREAM");
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode;
}

/* Wall time for a person's eye only; nothing decides by it. */
static size_t
write_head(char *line, size_t size, enum dpc_log_level level)
{
    if (journal_reads())
        return (size_t)snprintf(line, size, "<%d>", (int)level);
    struct timespec now;
    struct tm local;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(stamp, sizeof stamp, "%H:%M:%S", &local);
    static const char *const words[] = {
        [DPC_LOG_ERROR] = "error: ", [DPC_LOG_WARNING] = "warning: "};
    const char *word = level <= DPC_LOG_WARNING && words[level] ? words[level] : "";
    return (size_t)snprintf(line, size, "%s.%03ld %s: %s", stamp, now.tv_nsec / 1000000,
                            program_name, word);
}

void
dpc_log(enum dpc_log_level level, const char *format, ...)
{
    if ((int)level > max_level)
        return;
    char line[DPC_LOG_LINE_MAX];
    size_t used = write_head(line, sizeof line, level);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    if (more > 0)
        used += (size_t)more;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used++] = '\n';
    /* A log that cannot be written has nowhere to say so. */
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
}

bool
dpc_log_allowed(struct dpc_log_limit *limit, int64_t now_ms, uint32_t *ret_dropped)
{
    int64_t regained = (now_ms - limit->window_start_ms) / limit->period_ms;
    if (regained >= limit->used) {
        limit->used = 0;
        limit->window_start_ms = now_ms;
    } else if (regained > 0) {
        limit->used -= (uint32_t)regained;
        limit->window_start_ms += regained * limit->period_ms;
    }
    if (limit->used >= limit->burst) {
        limit->dropped++;
        return false;
    }
    limit->used++;
    *ret_dropped = limit->dropped;
    limit->dropped = 0;
    return true;
}
