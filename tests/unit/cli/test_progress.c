/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static struct dpc_json *
status_of(const char *text)
{
    struct dpc_json *status = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &status, NULL), DPC_OK);
    return status;
}

static void
test_line(void)
{
    char line[DPC_PROGRESS_LINE_MAX];
    struct dpc_json *status = status_of(
        "{\"phase\":\"train\",\"rounds_total\":10,\"rounds_done_min\":3,\"rounds_done_max\":4,"
        "\"steps_done\":500,\"steps_total\":1000,\"loss\":1.25,\"workers_connected\":2,"
        "\"bytes_up\":2048,\"bytes_down\":1048576,\"seconds\":75,\"eta_seconds\":130.2,"
        "\"paused\":\"\"}");
    dpc_progress_line(status, line);
    CU_ASSERT_STRING_EQUAL(line,
                           "train       rounds 3-4/10  50%  2:10 left  loss 1.250  2 workers  "
                           "1:15  2.0 KiB up, 1.0 MiB down");
    dpc_json_destroy(status);
    status = status_of("{\"phase\":\"featurize\",\"tasks_done\":3,\"tasks_total\":12,\"workers_"
                       "connected\":1,\"loss\":null,\"eta_seconds\":null,"
                       "\"paused\":\"no workers\"}");
    dpc_progress_line(status, line);
    CU_ASSERT_STRING_EQUAL(
        line, "featurize   3/12 tasks  paused: no workers  1 worker  0:00  0 B up, 0 B down");
    dpc_json_destroy(status);
}

static void
test_plain_lines_only_on_change(void)
{
    static const char *const texts[] = {
        "{\"phase\":\"train\",\"rounds_total\":2,\"rounds_done_min\":0,\"steps_done\":1}",
        "{\"phase\":\"train\",\"rounds_total\":2,\"rounds_done_min\":0,\"steps_done\":2}",
        "{\"phase\":\"train\",\"rounds_total\":2,\"rounds_done_min\":1,\"steps_done\":3}",
        "{\"phase\":\"evaluate\",\"rounds_total\":2,\"rounds_done_min\":1,\"tasks_total\":30}",
        "{\"phase\":\"evaluate\",\"rounds_done_min\":1,\"tasks_done\":2,\"tasks_total\":30}",
        "{\"phase\":\"evaluate\",\"rounds_done_min\":1,\"tasks_done\":3,\"tasks_total\":30}",
    };
    struct dpc_progress progress;
    FILE *out = tmpfile();
    dpc_progress_init(&progress, out);
    CU_ASSERT_FALSE(progress.live);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct dpc_json *status = status_of(texts[i]);
        dpc_progress_show(&progress, status);
        dpc_json_destroy(status);
    }
    dpc_progress_note(&progress, "a note");
    dpc_progress_done(&progress);
    rewind(out);
    char text[2048];
    text[fread(text, 1, sizeof text - 1, out)] = '\0';
    fclose(out);
    size_t lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    CU_ASSERT_EQUAL(lines, 5);
    CU_ASSERT_PTR_NULL(strchr(text, '\r'));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\na note\n"));
}

static const struct dpc_test tests[] = {
    {"the line", test_line},
    {"plain lines only on change", test_plain_lines_only_on_change},
};
DPC_TEST_MAIN("cli/progress", tests)
