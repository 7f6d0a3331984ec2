/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static const struct dpc_column columns[] = {
    {"worker", "name", DPC_CELL_TEXT},
    {"barred", "barred", DPC_CELL_TEXT},
    {"connected", "connected", DPC_CELL_YES},
    {"drained", "drained", DPC_CELL_YES},
    {">silent", "silent_ms", DPC_CELL_SECONDS},
    {"task", "kind", DPC_CELL_TEXT},
    {"path", "path", DPC_CELL_TEXT},
    {">round", "round", DPC_CELL_INTEGER},
    {">done", "steps_done", DPC_CELL_INTEGER},
    {">of", "steps_count", DPC_CELL_INTEGER},
    {">tokens/s", "tokens_per_s", DPC_CELL_COUNT},
    {"handing in", "handing_in_path", DPC_CELL_TEXT},
    {">tokens", "tokens", DPC_CELL_COUNT},
    {">leases", "leases", DPC_CELL_INTEGER},
    {">merged", "merged", DPC_CELL_INTEGER},
    {">superseded", "superseded", DPC_CELL_INTEGER},
    {">refused", "refused", DPC_CELL_INTEGER},
    {">clipped", "clipped", DPC_CELL_INTEGER},
    {">opposed", "opposed", DPC_CELL_INTEGER},
    {">copies", "copies", DPC_CELL_INTEGER},
    {">idle", "idle", DPC_CELL_INTEGER},
    {">stale", "stale", DPC_CELL_INTEGER},
    {">audited", "audited", DPC_CELL_INTEGER},
    {">failed", "failed", DPC_CELL_INTEGER},
};

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_list(call, "workers", "", columns, DPC_COUNT(columns));
}

const struct dpc_command dpc_command_workers = {
    .name = "workers",
    .arguments = "",
    .summary = "Who is there, what each works on, and what came of it.",
    .run = run,
};
