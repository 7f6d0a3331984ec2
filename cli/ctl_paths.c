/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"path", "path", DPC_CELL_TEXT},
    {"state", "state", DPC_CELL_TEXT},
    {">round", "round", DPC_CELL_INTEGER},
    {">of", "rounds_total", DPC_CELL_INTEGER},
    {">steps", "steps_done", DPC_CELL_COUNT},
    {">documents", "documents", DPC_CELL_INTEGER},
    {">tokens", "tokens", DPC_CELL_COUNT},
    {">loss", "loss", DPC_CELL_NUMBER},
    {">best", "best_round", DPC_CELL_INTEGER},
    {"worker", "worker", DPC_CELL_TEXT},
    {"waits for", "waiting_for", DPC_CELL_LIST},
};

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_list(call, "paths", "", columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_paths = {
    .name = "paths",
    .arguments = "",
    .summary = "How far each path is, on what, and which modules it waits for.",
    .run = run,
};
