/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"id", "id", DPC_CELL_TEXT},           {"name", "name", DPC_CELL_TEXT},
    {"state", "state", DPC_CELL_TEXT},     {"since", "since", DPC_CELL_DATE},
    {"address", "address", DPC_CELL_TEXT}, {"invitation", "invitation", DPC_CELL_TEXT},
};

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_list(call, "members", "", columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_members = {
    .name = "members",
    .arguments = "",
    .summary = "Machines that came with an invitation: in, pending or out.",
    .run = run,
};
