/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/result.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/vfs.h"
#include "tests/unit/harness.h"

static char folder[] = "/tmp/dipaco-test-XXXXXX";
static char file[64];

static int
load(const char *text, struct dpc_json **ret_report, struct dpc_error *err)
{
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_write_file(&dpc_vfs_posix, file, text, strlen(text), err),
                          DPC_OK);
    return dpc_result_load(folder, ret_report, err);
}

static void
test_missing(void)
{
    struct dpc_json *report = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/report.json", folder);
    CU_ASSERT_EQUAL(dpc_result_load(folder, &report, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "report.json"));
}

static void
test_newer_and_broken(void)
{
    struct dpc_json *report = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(load("{\"format\":2}", &report, &err), DPC_EVERSION);
    CU_ASSERT_EQUAL(load("{\"format\":", &report, &err), DPC_EPARSE);
    CU_ASSERT_PTR_NULL(report);
}

static void
test_table(void)
{
    struct dpc_json *report = NULL;
    struct dpc_error err = {0};
    int rc = load("{\"format\":1,\"rows\":["
                  "{\"name\":\"dense\",\"ppl\":8,\"bits_per_byte\":3,\"steps\":800,"
                  "\"tokens\":1638400,\"params_path\":820000,\"params_total\":820000},"
                  "{\"name\":\"dipaco\",\"ppl\":7,\"bits_per_byte\":2.807,\"steps\":800,"
                  "\"tokens\":6553600,\"params_path\":820000,\"params_total\":1640000}],"
                  "\"bytes_up\":1048576,\"bytes_down\":2097152,\"seconds\":100}",
                  &report, &err);
    CU_ASSERT_EQUAL_FATAL(rc, DPC_OK);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    dpc_result_print_rows(report, out);
    dpc_result_print_totals(report, "there", out);
    fclose(out);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "dense "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "-12.5%\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "1.0 MiB up, 2.0 MiB down; time: 1:40"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "there/report.md"));
    dpc_free(text);
    dpc_json_destroy(report);
    unlink(file);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct dpc_test tests[] = {
    {"a missing report", test_missing},
    {"a newer and a broken report", test_newer_and_broken},
    {"the table", test_table},
};
DPC_TEST_MAIN("cli/result", tests)
