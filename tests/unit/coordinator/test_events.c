/* SPDX-License-Identifier: Apache-2.0
 * Lines of JSON in a real file: whole, in order, each with its time; a file that was moved away; a
 * disk that is full for a while. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/json.h"
#include "coordinator/events.h"
#include "tests/unit/harness.h"

struct place {
    char folder[64], path[80], moved[80];
};

static void
make_place(struct place *place)
{
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/dpc-events-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof place->path, "%s/events", place->folder);
    (void)snprintf(place->moved, sizeof place->moved, "%s/events.1", place->folder);
}

static void
remove_place(const struct place *place)
{
    (void)unlink(place->path);
    (void)unlink(place->moved);
    CU_ASSERT_EQUAL(rmdir(place->folder), 0);
}

static struct dpc_events *
open_events(const struct place *place)
{
    struct dpc_events *events = NULL;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_events_open(place->path, &events, &err), DPC_OK);
    return events;
}

static void
put_number(struct dpc_events *events, int64_t number)
{
    const struct dpc_event_field fields[] = {DPC_FIELD_NUMBER("number", number)};
    dpc_events_put(events, "number", fields, 1);
}

/* The `index`-th line of the file, parsed; NULL: it has none, or that is no JSON. */
static struct dpc_json *
read_line(const char *path, int index)
{
    char line[65536];
    struct dpc_json *root = NULL;
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    bool there = true;
    for (int i = 0; there && i <= index; i++)
        there = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    if (!there || dpc_json_parse(line, strlen(line), &root, NULL) != DPC_OK)
        return NULL;
    return root;
}

static int64_t
number_at(const char *path, int index)
{
    struct dpc_json *line = read_line(path, index);
    int64_t number = dpc_json_integer(dpc_json_get(line, "number"), -1);
    dpc_json_destroy(line);
    return number;
}

static void
test_times(void)
{
    static const struct {
        int64_t unix_ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {951782400007, "2000-02-29T00:00:00.007Z"},
                {1795968767999, "2026-11-29T16:12:47.999Z"},
                {4102444800000, "2100-01-01T00:00:00.000Z"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[DPC_EVENT_TIME_MAX];
        dpc_events_time(rows[i].unix_ms, text);
        CU_ASSERT_STRING_EQUAL(text, rows[i].text);
    }
}

static void
test_a_line_is_one_object(void)
{
    struct place place;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    const struct dpc_event_field fields[] = {DPC_FIELD_TEXT("name", "a\n\"b\" \xff"),
                                             DPC_FIELD_NUMBER("lease", INT64_MAX)};
    dpc_events_put(events, "worker_joins", fields, 2);
    dpc_events_put(events, "nothing", NULL, 0);
    struct dpc_json *line = read_line(place.path, 0);
    CU_ASSERT_EQUAL(dpc_json_count(line), 4);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(line, "event"), ""), "worker_joins");
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(line, "name"), ""), "a\n\"b\" \xef\xbf\xbd");
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(line, "lease"), 0), INT64_MAX);
    CU_ASSERT_EQUAL(strlen(dpc_json_text(dpc_json_get(line, "time"), "")),
                    strlen("2026-11-29T16:00:00.123Z"));
    dpc_json_destroy(line);
    line = read_line(place.path, 1);
    CU_ASSERT_EQUAL(dpc_json_count(line), 2);
    dpc_json_destroy(line);
    CU_ASSERT_PTR_NULL(read_line(place.path, 2));
    dpc_events_close(events);
    remove_place(&place);
}

static void
test_a_file_that_is_there_is_continued(void)
{
    struct place place;
    make_place(&place);
    for (int i = 0; i < 2; i++) {
        struct dpc_events *events = open_events(&place);
        put_number(events, i);
        dpc_events_close(events);
    }
    CU_ASSERT_EQUAL(number_at(place.path, 0), 0);
    CU_ASSERT_EQUAL(number_at(place.path, 1), 1);
    remove_place(&place);
}

static void
test_a_file_that_was_moved_away_is_begun_anew(void)
{
    struct place place;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    put_number(events, 1);
    CU_ASSERT_EQUAL(rename(place.path, place.moved), 0);
    put_number(events, 2);
    dpc_events_reopen(events);
    put_number(events, 3);
    CU_ASSERT_EQUAL(number_at(place.moved, 1), 2);
    CU_ASSERT_EQUAL(number_at(place.path, 0), 3);
    dpc_events_close(events);
    remove_place(&place);
}

static void
test_one_that_cannot_be_opened_again_goes_on_with_the_old_file(void)
{
    struct place place;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    CU_ASSERT_EQUAL(rename(place.path, place.moved), 0);
    CU_ASSERT_EQUAL(mkdir(place.path, 0700), 0);
    dpc_events_reopen(events);
    put_number(events, 4);
    CU_ASSERT_EQUAL(number_at(place.moved, 0), 4);
    CU_ASSERT_EQUAL(rmdir(place.path), 0);
    dpc_events_close(events);
    remove_place(&place);
}

/* A limit of the file's size stands for the disk: within a line it cuts it. */
static void
test_a_full_disk_costs_the_lines_that_did_not_fit(void)
{
    struct place place;
    struct rlimit limit, small;
    struct stat facts;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    put_number(events, 1);
    CU_ASSERT_EQUAL(stat(place.path, &facts), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = (rlim_t)facts.st_size + 10;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    put_number(events, 2);
    put_number(events, 3);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    put_number(events, 4);
    put_number(events, 5);
    CU_ASSERT_EQUAL(number_at(place.path, 0), 1);
    CU_ASSERT_PTR_NULL(read_line(place.path, 1)); /* what there is of number 2 */
    CU_ASSERT_EQUAL(number_at(place.path, 2), 4);
    CU_ASSERT_EQUAL(number_at(place.path, 3), 5);
    dpc_events_close(events);
    remove_place(&place);
}

/* In the place of the C library's, as far as this program calls it. */
static int interruptions;
ssize_t interrupted_write(int fd, const void *bytes, size_t len) __asm__("write");
ssize_t
interrupted_write(int fd, const void *bytes, size_t len)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, len);
}

static void
test_a_signal_costs_no_line(void)
{
    struct place place;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    interruptions = 2;
    put_number(events, 1);
    CU_ASSERT_EQUAL(interruptions, 0);
    CU_ASSERT_EQUAL(number_at(place.path, 0), 1);
    dpc_events_close(events);
    remove_place(&place);
}

/* A machine that went down within a line, or a disk that was full until the file was opened again.
 */
static void
test_a_line_without_an_end_spoils_no_other(void)
{
    struct place place;
    make_place(&place);
    struct dpc_events *events = open_events(&place);
    put_number(events, 1);
    for (int line = 1; line < 5; line += 2) {
        FILE *file = fopen(place.path, "a");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT(fputs("{\"time\":", file) >= 0);
        CU_ASSERT_EQUAL(fclose(file), 0);
        if (line == 1) {
            dpc_events_reopen(events);
        } else {
            dpc_events_close(events);
            events = open_events(&place);
        }
        put_number(events, line + 1);
        CU_ASSERT_EQUAL(number_at(place.path, line + 1), line + 1);
    }
    dpc_events_close(events);
    remove_place(&place);
}

static void
test_a_file_that_cannot_be_is_told(void)
{
    struct dpc_events *events = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_events_open("/nowhere/events", &events, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"/nowhere/events\""));
}

static void
a_pipe_without_a_reader_does_not_hang(void)
{
    struct place place;
    struct dpc_events *events = NULL;
    struct dpc_error err;
    make_place(&place);
    CU_ASSERT_EQUAL_FATAL(mkfifo(place.path, 0600), 0);
    CU_ASSERT_NOT_EQUAL(dpc_events_open(place.path, &events, &err), DPC_OK);
    CU_ASSERT_EQUAL(unlink(place.path), 0);
    events = open_events(&place);
    CU_ASSERT_EQUAL(unlink(place.path), 0);
    CU_ASSERT_EQUAL_FATAL(mkfifo(place.path, 0600), 0);
    dpc_events_reopen(events);
    put_number(events, 1);
    dpc_events_close(events);
    remove_place(&place);
}

static const struct dpc_test tests[] = {
    {"a pipe without a reader does not hang", a_pipe_without_a_reader_does_not_hang},
    {"times", test_times},
    {"a line is one object", test_a_line_is_one_object},
    {"a file that is there is continued", test_a_file_that_is_there_is_continued},
    {"a file that was moved away is begun anew", test_a_file_that_was_moved_away_is_begun_anew},
    {"one that cannot be opened again goes on with the old file",
     test_one_that_cannot_be_opened_again_goes_on_with_the_old_file},
    {"a full disk costs the lines that did not fit",
     test_a_full_disk_costs_the_lines_that_did_not_fit},
    {"a signal costs no line", test_a_signal_costs_no_line},
    {"a line without an end spoils no other", test_a_line_without_an_end_spoils_no_other},
    {"a file that cannot be is told", test_a_file_that_cannot_be_is_told},
};

DPC_TEST_MAIN("coordinator/events", tests)
