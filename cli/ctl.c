/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/run_folder.h"

static const struct dpc_option options[] = {
    {.name = "admin",
     .kind = DPC_OPTION_TEXT,
     .value_name = "ENDPOINT",
     .help = "the coordinator's admin socket (default " DPC_CTL_ADMIN_DEFAULT
             ", or $" DPC_CTL_ADMIN_VARIABLE ")",
     .offset = offsetof(struct dpc_ctl_globals, admin)},
    {.name = "dir",
     .kind = DPC_OPTION_TEXT,
     .value_name = "DIR",
     .help = "the coordinator of the dipaco run in this folder",
     .offset = offsetof(struct dpc_ctl_globals, dir)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct dpc_ctl_globals, json)},
};

static const struct dpc_command *const commands[] = {
    &dpc_command_status,      &dpc_command_workers,  &dpc_command_paths,   &dpc_command_modules,
    &dpc_command_versions,    &dpc_command_ledger,   &dpc_command_backup,  &dpc_command_rollback,
    &dpc_command_admit,       &dpc_command_replay,   &dpc_command_revoke,  &dpc_command_invite,
    &dpc_command_invitations, &dpc_command_withdraw, &dpc_command_members, &dpc_command_approve,
    &dpc_command_dismiss,     &dpc_command_drain,    &dpc_command_undrain, &dpc_command_why,
};

/* Two coordinators at once would be one of them too many: which was meant nobody can tell. */
static int
check_globals(const struct dpc_call *call)
{
    const struct dpc_ctl_globals *globals = call->globals;
    if (globals->admin && globals->dir)
        return dpc_complain(call, DPC_EXIT_USAGE,
                            "--admin and --dir each name a coordinator: leave one of them out");
    if (globals->admin && !dpc_admin_is_endpoint(globals->admin))
        return dpc_complain(call, DPC_EXIT_USAGE,
                            "--admin must look like ipc:///path/admin.sock, not \"%s\"",
                            globals->admin);
    return DPC_EXIT_OK;
}

const struct dpc_program dpc_program_dipacoctl = {
    .name = "dipacoctl",
    .summary = "Asks a running dipaco-coordinator.",
    .commands = commands,
    .commands_count = DPC_COUNT(commands),
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct dpc_ctl_globals),
    .check = check_globals,
};

static int
open_run(const char *folder, struct dpc_admin **ret_admin, struct dpc_error *err)
{
    char absolute[PATH_MAX], endpoint[DPC_ENDPOINT_MAX];
    if (!realpath(folder, absolute))
        return dpc_error_set_errno(err, errno, "could not open the folder \"%.200s\"", folder);
    int fd = open(absolute, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not open the folder \"%.200s\"", folder);
    /* The descriptor stays open as long as the link, which is as long as the program. */
    dpc_run_admin_endpoint(absolute, fd, endpoint);
    return dpc_admin_open(endpoint, ret_admin, err);
}

int
dpc_ctl_open(const struct dpc_call *call, struct dpc_admin **ret_admin, struct dpc_error *err)
{
    const struct dpc_ctl_globals *globals = call->globals;
    if (globals->dir)
        return open_run(globals->dir, ret_admin, err);
    const char *endpoint = globals->admin ? globals->admin : getenv(DPC_CTL_ADMIN_VARIABLE);
    return dpc_admin_open(endpoint && *endpoint ? endpoint : DPC_CTL_ADMIN_DEFAULT, ret_admin, err);
}

int
dpc_ctl_list(const struct dpc_call *call, const char *verb, const char *argument,
             const struct dpc_column *columns, size_t columns_count)
{
    const struct dpc_ctl_globals *globals = call->globals;
    struct dpc_admin *admin = NULL;
    struct dpc_json *reply = NULL;
    struct dpc_error err;
    int rc = dpc_ctl_open(call, &admin, &err);
    if (rc == DPC_OK)
        rc = dpc_admin_list(admin, verb, argument, "", &reply, &err);
    dpc_admin_close(admin);
    if (rc != DPC_OK)
        return dpc_complain_error(call, &err);
    if (globals->json)
        dpc_json_show(reply, stdout);
    else
        dpc_listing_print(dpc_json_get(reply, verb), columns, columns_count, stdout);
    dpc_json_destroy(reply);
    return DPC_EXIT_OK;
}

int
dpc_ctl_ask(const struct dpc_call *call, const char *verb, const char *argument,
            void (*print)(const struct dpc_json *reply))
{
    struct dpc_admin *admin = NULL;
    struct dpc_json *reply = NULL;
    struct dpc_error err;
    int rc = dpc_ctl_open(call, &admin, &err);
    if (rc == DPC_OK)
        rc = dpc_admin_ask(admin, verb, argument, DPC_ADMIN_TIMEOUT_MS, &reply, &err);
    dpc_admin_close(admin);
    return dpc_ctl_finish(call, rc, reply, print, &err);
}

int
dpc_ctl_finish(const struct dpc_call *call, int rc, struct dpc_json *reply,
               void (*print)(const struct dpc_json *reply), const struct dpc_error *err)
{
    const struct dpc_ctl_globals *globals = call->globals;
    if (rc == DPC_OK && globals->json)
        dpc_json_show(reply, stdout);
    else if (rc == DPC_OK)
        print(reply);
    dpc_json_destroy(reply);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(call, err);
}
