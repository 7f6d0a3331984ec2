/* SPDX-License-Identifier: Apache-2.0
 *
 * What the subcommands of dipacoctl share: which coordinator is asked, and listings as tables.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_CLI_CTL_H
#define DPC_CLI_CTL_H

#include "cli/admin.h"
#include "cli/command.h"
#include "cli/text.h"

struct dpc_ctl_globals {
    const char *admin; /* endpoint; NULL: DPC_CTL_ADMIN_DEFAULT, or $DIPACO_ADMIN */
    const char *dir;   /* folder of a `dipaco run`; NULL: none */
    bool json;
};

#define DPC_CTL_ADMIN_DEFAULT  "ipc:///run/dipaco-coordinator/admin.sock"
#define DPC_CTL_ADMIN_VARIABLE "DIPACO_ADMIN"

/* A link to the coordinator that the globals name. */
int dpc_ctl_open(const struct dpc_call *call, struct dpc_admin **ret_admin,
                 struct dpc_error *err) DPC_MUST_CHECK;

/* The end of a subcommand that asked for one thing: shows the reply, as JSON or through `print`, or
 * complains about `err`. Takes the reply, which may be NULL after a failure; returns an exit code.
 */
int dpc_ctl_finish(const struct dpc_call *call, int rc, struct dpc_json *reply,
                   void (*print)(const struct dpc_json *reply), const struct dpc_error *err);

/* A whole subcommand: asks once for `verb` and shows the reply. Returns an exit code. */
int dpc_ctl_ask(const struct dpc_call *call, const char *verb, const char *argument,
                void (*print)(const struct dpc_json *reply));

/* A whole subcommand: asks for the listing `verb` and prints it. Returns an exit code. */
int dpc_ctl_list(const struct dpc_call *call, const char *verb, const char *argument,
                 const struct dpc_column *columns, size_t columns_count);

#endif
