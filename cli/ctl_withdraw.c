/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/ctl.h"

static void
print_reply(const struct dpc_json *reply)
{
    printf("invitation %s holds no more; machines that joined with it stay\n",
           dpc_json_text(dpc_json_get(reply, "id"), "?"));
    double pending = dpc_json_number(dpc_json_get(reply, "pending"), 0);
    if (pending > 0)
        printf("%.0f that came with it still wait: dipacoctl members lists them\n", pending);
}

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_ask(call, "withdraw", call->arguments.items[0], print_reply);
}

const struct dpc_command dpc_command_withdraw = {
    .name = "withdraw",
    .arguments = "INVITATION",
    .summary = "End an invitation before its time.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
