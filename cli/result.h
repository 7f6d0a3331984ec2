/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a run: report.json as a table, the samples, the bytes, where the report lies.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_CLI_RESULT_H
#define DPC_CLI_RESULT_H

#include <stdio.h>

#include "base/error.h"
#include "base/json.h"

/* Reads FOLDER/report.json. DPC_EVERSION when its format is newer than ours. */
int dpc_result_load(const char *folder, struct dpc_json **ret_report,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* The table of rows, and under it how the last stands to the dense one. */
void dpc_result_print_rows(const struct dpc_json *report, FILE *out);
void dpc_result_print_totals(const struct dpc_json *report, const char *folder, FILE *out);

#endif
