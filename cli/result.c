/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/result.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "cli/text.h"

enum { REPORT_FORMAT = 1 };
#define REPORT_BYTES_MAX (64 * DPC_MIB)

int
dpc_result_load(const char *folder, struct dpc_json **ret_report, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    int rc = dpc_path_join(folder, "report.json", path, sizeof path);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "the path \"%.200s/report.json\" is too long", folder);
    rc = dpc_vfs_read_file(&dpc_vfs_posix, path, REPORT_BYTES_MAX, &text, &len, err);
    if (rc != DPC_OK)
        return rc;
    struct dpc_json *report = NULL;
    rc = dpc_json_parse((const char *)text, len, &report, err);
    dpc_free(text);
    if (rc != DPC_OK)
        return dpc_error_prefix(err, rc, "could not read \"%s\"", path);
    int64_t format = dpc_json_integer(dpc_json_get(report, "format"), REPORT_FORMAT);
    if (format > REPORT_FORMAT) {
        dpc_json_destroy(report);
        return dpc_error_set(err, DPC_EVERSION, "\"%s\" has format %lld; this program reads %d",
                             path, (long long)format, REPORT_FORMAT);
    }
    *ret_report = report;
    return DPC_OK;
}

static double
number(const struct dpc_json *row, const char *key)
{
    return dpc_json_number(dpc_json_get(row, key), 0);
}

static double
dense_perplexity(const struct dpc_json *rows)
{
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        if (strcmp(dpc_json_text(dpc_json_get(row, "name"), ""), "dense") == 0)
            return number(row, "ppl");
    }
    return 0;
}

static void
add_row(struct dpc_table *table, const struct dpc_json *row, double dense)
{
    char tokens[DPC_SHORT_TEXT_MAX], path[DPC_SHORT_TEXT_MAX], total[DPC_SHORT_TEXT_MAX];
    const char *name = dpc_json_text(dpc_json_get(row, "name"), "?");
    dpc_table_add(table, "%s", name);
    dpc_table_add(table, "%.3f", number(row, "ppl"));
    dpc_table_add(table, "%.3f", number(row, "bits_per_byte"));
    dpc_table_add(table, "%.0f", number(row, "steps"));
    dpc_table_add(table, "%s", dpc_text_count(number(row, "tokens"), tokens));
    dpc_table_add(table, "%s", dpc_text_count(number(row, "params_path"), path));
    dpc_table_add(table, "%s", dpc_text_count(number(row, "params_total"), total));
    if (dense > 0 && strcmp(name, "dense") != 0)
        dpc_table_add(table, "%+.1f%%", 100 * (number(row, "ppl") / dense - 1));
    else
        dpc_table_add(table, "-");
}

void
dpc_result_print_rows(const struct dpc_json *report, FILE *out)
{
    static const char *const titles[] = {"model",   ">held-out ppl", ">bits/byte",    ">steps",
                                         ">tokens", ">params/path",  ">params total", ">to dense"};
    const struct dpc_json *rows = dpc_json_get(report, "rows");
    double dense = dense_perplexity(rows);
    struct dpc_table *table = dpc_table_create(titles, sizeof titles / sizeof *titles);
    for (size_t i = 0; i < dpc_json_count(rows); i++)
        add_row(table, dpc_json_at(rows, i), dense);
    dpc_table_print(table, out);
    dpc_table_destroy(table);
}

void
dpc_result_print_totals(const struct dpc_json *report, const char *folder, FILE *out)
{
    char up[DPC_SHORT_TEXT_MAX], down[DPC_SHORT_TEXT_MAX], time[DPC_SHORT_TEXT_MAX];
    fprintf(out, "over the wire: %s up, %s down; time: %s\n",
            dpc_text_bytes(number(report, "bytes_up"), up),
            dpc_text_bytes(number(report, "bytes_down"), down),
            dpc_text_seconds(number(report, "seconds"), time));
    fprintf(out, "report: %s/report.md (report.json, loss.svg, samples.txt)\n", folder);
}
