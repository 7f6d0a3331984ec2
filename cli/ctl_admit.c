/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"
#include "cli/ctl.h"

static void
print_reply(const struct dpc_json *reply)
{
    const char *was = dpc_json_text(dpc_json_get(reply, "was"), "");
    const char *name = dpc_json_text(dpc_json_get(reply, "worker"), "?");
    struct dpc_buf clean; /* it is what the worker calls itself */
    dpc_buf_init(&clean, 0);
    dpc_text_clean(name, strlen(name), &clean);
    bool drained = dpc_json_bool(dpc_json_get(reply, "drained"), false);
    printf("%s may work%s%s%s\n", dpc_buf_text(&clean), was[0] ? " again; it was " : " already",
           was, drained ? "; it is drained: dipacoctl undrain gives it leases" : "");
    dpc_buf_done(&clean);
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
