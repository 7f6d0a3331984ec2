/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"module", "module", DPC_CELL_TEXT},       {">level", "level", DPC_CELL_TEXT},
    {">version", "version", DPC_CELL_INTEGER}, {"hash", "hash", DPC_CELL_HASH},
    {">paths", "paths", DPC_CELL_INTEGER},     {">parameters", "parameters", DPC_CELL_COUNT},
    {"pending", "pending", DPC_CELL_LIST},     {">closes in", "closes_ms", DPC_CELL_SECONDS},
};

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_list(call, "modules", "", columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_modules = {
    .name = "modules",
    .arguments = "",
    .summary = "The current version of each module, and what its next one waits for.",
    .run = run,
};
