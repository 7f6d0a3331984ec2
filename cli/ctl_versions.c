/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"module", "module", DPC_CELL_TEXT},     {">version", "version", DPC_CELL_INTEGER},
    {"cause", "cause", DPC_CELL_TEXT},       {">parent", "parent", DPC_CELL_INTEGER},
    {"hash", "hash", DPC_CELL_HASH},         {"master", "master", DPC_CELL_HASH},
    {"momentum", "momentum", DPC_CELL_HASH}, {">ledger", "ledger", DPC_CELL_INTEGER},
};

static int
run(const struct dpc_call *call)
{
    const char *module = call->arguments.count ? call->arguments.items[0] : "";
    return dpc_ctl_list(call, "versions", module, columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_versions = {
    .name = "versions",
    .arguments = "[MODULE]",
    .summary = "All versions of a module, or of every module.",
    .arguments_max = 1,
    .run = run,
};
