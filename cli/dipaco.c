/* SPDX-License-Identifier: Apache-2.0
 * The researcher's program. */
#include "cli/commands.h"

static const struct dpc_command *const commands[] = {
    &dpc_command_run,   &dpc_command_compare, &dpc_command_plan,        &dpc_command_generate,
    &dpc_command_eval,  &dpc_command_export,  &dpc_command_data_import, &dpc_command_data_info,
    &dpc_command_serve, &dpc_command_doctor,  &dpc_command_version,
};

const struct dpc_program dpc_program_dipaco = {
    .name = "dipaco",
    .summary = "Trains modular language models and asks them.",
    .commands = commands,
    .commands_count = DPC_COUNT(commands),
};
