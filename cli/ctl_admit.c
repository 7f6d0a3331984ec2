/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"
#include "cli/ctl.h"

static void
print_reply(const struct dpc_json *reply)
{
    const char *was = dpc_json_text(dpc_json_get(reply, "was"), "");
    const char *name = dpc_json_text(dpc_json_get(reply, "worker"), "?");
    bool drained = dpc_json_bool(dpc_json_get(reply, "drained"), false);
    dpc_text_show(name, stdout);
    printf(" may work%s%s%s\n", was[0] ? " again; it was " : " already", was,
           drained ? "; it is drained: dipacoctl undrain gives it leases" : "");
}

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_ask(call, "admit", call->arguments.items[0], print_reply);
}

const struct dpc_command dpc_command_admit = {
    .name = "admit",
    .arguments = "WORKER",
    .summary = "Let a worker that was barred work again.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
