/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/unit/harness.h"

static void
log_one(enum dpc_log_level level, const char *text)
{
    dpc_log(level, "%s", text);
}

/* As a service manager says that the journal reads this descriptor. */
static void
name_stream(int fd)
{
    char name[64];
    struct stat facts;
    CU_ASSERT_EQUAL_FATAL(fstat(fd, &facts), 0);
    (void)snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)facts.st_dev,
                   (unsigned long long)facts.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
}

static bool to_journal;

/* What is written to standard error while one line is logged. */
static size_t
capture(enum dpc_log_level level, const char *text, char *ret_line, size_t size)
{
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    if (to_journal)
        name_stream(ends[1]);
    log_one(level, text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t len = read(ends[0], ret_line, size - 1);
    close(ends[0]);
    CU_ASSERT_FATAL(len >= 0);
    ret_line[len] = 0;
    return (size_t)len;
}

static void
levels_filter(void)
{
    char line[256];
    unsetenv("JOURNAL_STREAM");
    dpc_log_set_name("test");
    CU_ASSERT_EQUAL(capture(DPC_LOG_DEBUG, "x", line, sizeof line), 0);
    dpc_log_set_level(DPC_LOG_DEBUG);
    CU_ASSERT(capture(DPC_LOG_DEBUG, "x", line, sizeof line) > 0);
    dpc_log_set_level(DPC_LOG_ERROR);
    CU_ASSERT_EQUAL(capture(DPC_LOG_WARNING, "x", line, sizeof line), 0);
    dpc_log_set_level(DPC_LOG_INFO);
    CU_ASSERT(capture(DPC_LOG_WARNING, "a worker left worker=w1", line, sizeof line) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " test: warning: a worker left worker=w1\n"));
}

static void
the_journal_gets_priorities(void)
{
    char line[256];
    to_journal = true;
    capture(DPC_LOG_ERROR, "broken", line, sizeof line);
    to_journal = false;
    CU_ASSERT_STRING_EQUAL(line, "<3>broken\n");
    unsetenv("JOURNAL_STREAM");
}

/* As of a program that a service starts with its lines in a file. */
static void
another_stream_of_the_journal_is_not_ours(void)
{
    static const char *const streams[] = {"8:1", "", "journal"};
    char line[256];
    dpc_log_set_name("test");
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        setenv("JOURNAL_STREAM", streams[i], 1);
        capture(DPC_LOG_ERROR, "broken", line, sizeof line);
        CU_ASSERT_PTR_NOT_NULL(strstr(line, " test: error: broken\n"));
    }
    unsetenv("JOURNAL_STREAM");
}

static void
long_lines_are_cut_and_stay_one_line(void)
{
    char text[3 * DPC_LOG_LINE_MAX], line[2 * DPC_LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    size_t len = capture(DPC_LOG_ERROR, text, line, sizeof line);
    CU_ASSERT(len <= DPC_LOG_LINE_MAX && len > DPC_LOG_LINE_MAX - 8);
    CU_ASSERT_EQUAL(line[len - 1], '\n');
    CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), line + len - 1);
}

static void
level_names_are_known(void)
{
    enum dpc_log_level level;
    CU_ASSERT(dpc_log_level_parse("debug", &level) && level == DPC_LOG_DEBUG);
    CU_ASSERT(dpc_log_level_parse("error", &level) && level == DPC_LOG_ERROR);
    CU_ASSERT_FALSE(dpc_log_level_parse("loud", &level));
    CU_ASSERT_EQUAL(level, DPC_LOG_ERROR);
}

static void
a_limit_gives_a_burst_then_one_a_period(void)
{
    struct dpc_log_limit limit = {.burst = 3, .period_ms = 1000};
    uint32_t dropped = 99;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(dpc_log_allowed(&limit, 5000 + i, &dropped));
        CU_ASSERT_EQUAL(dropped, 0);
    }
    for (int i = 0; i < 10; i++)
        CU_ASSERT_FALSE(dpc_log_allowed(&limit, 5010 + i, &dropped));
    CU_ASSERT_TRUE(dpc_log_allowed(&limit, 6100, &dropped));
    CU_ASSERT_EQUAL(dropped, 10);
    CU_ASSERT_FALSE(dpc_log_allowed(&limit, 6200, &dropped));
    CU_ASSERT_TRUE(dpc_log_allowed(&limit, 7050, &dropped));
    CU_ASSERT_EQUAL(dropped, 1);
    CU_ASSERT_FALSE(dpc_log_allowed(&limit, 7060, &dropped));
    for (int i = 0; i < 3; i++) /* a long rest gives the whole burst back, and no more */
        CU_ASSERT_TRUE(dpc_log_allowed(&limit, 1000000, &dropped));
    CU_ASSERT_FALSE(dpc_log_allowed(&limit, 1000000, &dropped));
}

static const struct dpc_test tests[] = {
    {"levels filter", levels_filter},
    {"the journal gets priorities", the_journal_gets_priorities},
    {"another stream of the journal is not ours", another_stream_of_the_journal_is_not_ours},
    {"long lines are cut and stay one line", long_lines_are_cut_and_stay_one_line},
    {"level names are known", level_names_are_known},
    {"a limit: a burst, then one a period", a_limit_gives_a_burst_then_one_a_period},
};
DPC_TEST_MAIN("base/log", tests)
