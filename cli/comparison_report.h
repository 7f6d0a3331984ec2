/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of a comparison so far, out of the reports of its runs: compare.json
 * (docs/report-format.md), compare.md and compare.svg, and a table for the terminal.
 *
 * Owns: results own their losses; comparison and runs must outlive them. Threads: one.
 */
#ifndef DPC_CLI_COMPARISON_REPORT_H
#define DPC_CLI_COMPARISON_REPORT_H

#include <stdio.h>

#include "base/json.h"
#include "cli/comparison.h"

struct dpc_comparison_results;

/* Reads the reports of the runs below `folder`/runs that have finished. DPC_ECORRUPT,
 * DPC_EVERSION. */
int dpc_comparison_results_load(const struct dpc_comparison *comparison,
                                const struct dpc_comparison_runs *runs, const char *folder,
                                struct dpc_comparison_results **ret_results,
                                struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL and returns NULL. */
struct dpc_comparison_results *dpc_comparison_results_destroy(
    struct dpc_comparison_results *results);

/* The three files into `folder`. */
int dpc_comparison_results_write(const struct dpc_comparison_results *results, const char *folder,
                                 struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_json *dpc_comparison_results_json(const struct dpc_comparison_results *results);
void dpc_comparison_results_print(const struct dpc_comparison_results *results, FILE *out);

/* Folder of a run, and whether its report is complete. */
int dpc_comparison_run_folder(const char *folder, const struct dpc_comparison_run *run,
                              char ret_path[DPC_PATH_MAX], struct dpc_error *err) DPC_MUST_CHECK;
bool dpc_comparison_run_is_finished(const char *folder, const struct dpc_comparison_run *run);

#endif
