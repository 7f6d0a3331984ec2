/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"invitation", "id", DPC_CELL_TEXT},   {">uses left", "uses_left", DPC_CELL_INTEGER},
    {"asks", "asks", DPC_CELL_YES},        {"made", "created", DPC_CELL_DATE},
    {"expires", "expires", DPC_CELL_DATE}, {"note", "note", DPC_CELL_TEXT},
};

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_list(call, "invitations", "", columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_invitations = {
    .name = "invitations",
    .arguments = "",
    .summary = "Join strings that still hold.",
    .run = run,
};
