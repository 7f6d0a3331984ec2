/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress of a run for people: one live line on a terminal, elsewhere a plain line whenever the
 * phase or the round changes.
 *
 * Owns: the live line. Threads: one. Not here: log lines.
 */
#ifndef DPC_CLI_PROGRESS_H
#define DPC_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/json.h"

enum { DPC_PROGRESS_LINE_MAX = 512 };

struct dpc_progress {
    FILE *out;
    bool live;
    bool shown;      /* a live line stands and must be wiped before anything else is printed */
    char stage[128]; /* phase and rounds of the last plain line */
};

void dpc_progress_init(struct dpc_progress *progress, FILE *out);
/* `status` as the coordinator's admin channel gives it. */
void dpc_progress_show(struct dpc_progress *progress, const struct dpc_json *status);
/* A line of its own, above the live one. */
void dpc_progress_note(struct dpc_progress *progress, const char *text);
/* Wipes the live line. */
void dpc_progress_done(struct dpc_progress *progress);

/* The line itself, without a newline. */
void dpc_progress_line(const struct dpc_json *status, char ret_line[DPC_PROGRESS_LINE_MAX]);

#endif
