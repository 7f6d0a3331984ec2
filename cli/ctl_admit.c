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
    printf("%s may work%s%s\n", dpc_buf_text(&clean), was[0] ? " again; it was " : " already", was);
    dpc_buf_done(&clean);
}

static int
run(const struct dpc_call *call)
{
    struct dpc_admin *admin = NULL;
    struct dpc_json *reply = NULL;
    struct dpc_error err;
    int rc = dpc_ctl_open(call, &admin, &err);
    if (rc == DPC_OK)
        rc = dpc_admin_ask(admin, "admit", call->arguments.items[0], DPC_ADMIN_TIMEOUT_MS, &reply,
                           &err);
    dpc_admin_close(admin);
    return dpc_ctl_finish(call, rc, reply, print_reply, &err);
}

const struct dpc_command dpc_command_admit = {
    .name = "admit",
    .arguments = "WORKER",
    .summary = "Let a worker that was barred work again.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
