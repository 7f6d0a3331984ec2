/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static void
print_reply(const struct dpc_json *reply)
{
    printf("machine %s (%s) may not connect any more; what it handed in stays\n",
           dpc_json_text(dpc_json_get(reply, "name"), "?"),
           dpc_json_text(dpc_json_get(reply, "id"), "?"));
    if (dpc_json_bool(dpc_json_get(reply, "invited_still"), false))
        printf("who owns it can come again with another key while the invitation holds: dipacoctl "
               "withdraw %s\n",
               dpc_json_text(dpc_json_get(reply, "invitation"), "?"));
}

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_ask(call, "dismiss", call->arguments.items[0], print_reply);
}

const struct dpc_command dpc_command_dismiss = {
    .name = "dismiss",
    .arguments = "MACHINE",
    .summary = "Turn away a machine that came with an invitation.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
