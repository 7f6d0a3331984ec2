/* SPDX-License-Identifier: Apache-2.0
 *
 * What the folder of a comparison's run is called: the row, the seed, and the beginning of a hash
 * over the experiment as text, the corpus and the model that it begins as, so that a changed row is
 * another run and what it was trained as stays where it is.
 *
 * A release with new keys writes more text for the same experiment. So what an earlier one has
 * finished is looked for by what it is: its own experiment file, read by this release (a key that
 * it lacks has its default), says the same. It is trusted where the folder's name is still that of
 * its text and of what is there now.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_CLI_COMPARISON_NAMES_H
#define DPC_CLI_COMPARISON_NAMES_H

#include "cli/comparison.h"

/* A hash over what two rows may share a run for: all but the name, and whether a dense model is
 * trained beside. */
void dpc_comparison_content(const struct dpc_experiment *experiment, struct dpc_hash *ret_hash);

/* Fills run->name by its content, its experiment, its corpus and the model that it begins as. Those
 * of dpc_tokens_open and dpc_imported_open. */
int dpc_comparison_name_run(struct dpc_comparison_run *run, struct dpc_error *err) DPC_MUST_CHECK;

/* Runs that have not finished below `folder`/runs get the name of one there that is the same and
 * has. `tell` hears of each that was found, and why one that says the same is not trusted. */
void dpc_comparison_find_finished(struct dpc_comparison_runs *runs, const char *folder,
                                  void (*tell)(void *context, const char *text), void *context);

#endif
