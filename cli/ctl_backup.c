/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/vfs.h"
#include "cli/commands.h"
#include "cli/ctl.h"

/* The coordinator has a working directory of its own. */
static int
make_absolute(const char *folder, char ret_path[DPC_PATH_MAX], struct dpc_error *err)
{
    char here[PATH_MAX] = "";
    bool known = folder[0] == '/' || getcwd(here, sizeof here);
    if (known && dpc_path_join(here, folder, ret_path, DPC_PATH_MAX) == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT, "the name of the folder \"%.200s\" is too long", folder);
}

static int
make_backup(const struct dpc_call *call, struct dpc_json **ret_state, struct dpc_error *err)
{
    struct dpc_admin *admin = NULL;
    char folder[DPC_PATH_MAX];
    int rc = make_absolute(call->arguments.items[0], folder, err);
    if (rc == DPC_OK)
        rc = dpc_ctl_open(call, &admin, err);
    if (rc == DPC_OK)
        rc = dpc_admin_run(admin, "backup", folder,
                           " and knows nothing of the backup: empty the folder and ask again",
                           ret_state, err);
    dpc_admin_close(admin);
    return rc;
}

static void
print_state(const struct dpc_json *state)
{
    char all[DPC_SHORT_TEXT_MAX], copied[DPC_SHORT_TEXT_MAX];
    printf("backup: %s\n", dpc_json_text(dpc_json_get(state, "folder"), ""));
    printf("%.0f blobs in files, %s, of which %s were copied and the rest linked\n",
           dpc_json_number(dpc_json_get(state, "blobs"), 0),
           dpc_text_bytes(dpc_json_number(dpc_json_get(state, "bytes"), 0), all),
           dpc_text_bytes(dpc_json_number(dpc_json_get(state, "copied_bytes"), 0), copied));
}

/* A coordinator may see other files than we do: a service has a /tmp of its own. */
static void
warn_of_elsewhere(const struct dpc_json *state)
{
    const char *folder = dpc_json_text(dpc_json_get(state, "folder"), "");
    if (access(folder, F_OK) == 0 || errno != ENOENT)
        return;
    fprintf(stderr,
            "dipacoctl backup: the coordinator has made it in a \"%s\" of its own, which is not "
            "seen from here; where that is the /tmp of its service it goes when that stops, so "
            "name another folder\n",
            folder);
}

static int
run(const struct dpc_call *call)
{
    struct dpc_json *state = NULL;
    struct dpc_error err;
    int rc = make_backup(call, &state, &err);
    if (rc == DPC_OK)
        warn_of_elsewhere(state);
    return dpc_ctl_finish(call, rc, state, print_state, &err);
}

const struct dpc_command dpc_command_backup = {
    .name = "backup",
    .arguments = "FOLDER",
    .summary = "Copy the store into a new folder while training goes on.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
