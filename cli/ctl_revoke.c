/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/ctl.h"

struct revoke_options {
    int64_t since;
    bool retrain;
};
static const struct revoke_options defaults = {.since = -1};

static const struct dpc_option options[] = {
    {.name = "since",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "R",
     .help = "the first round whose contributions are taken out",
     .offset = offsetof(struct revoke_options, since),
     .min = 0,
     .max = INT32_MAX},
    {.name = "retrain",
     .kind = DPC_OPTION_FLAG,
     .help = "go back to where round R began instead of folding again",
     .offset = offsetof(struct revoke_options, retrain)},
};

static int
revoke(const struct dpc_call *call, struct dpc_json **ret_state, struct dpc_error *err)
{
    const struct revoke_options *given = call->options;
    struct dpc_admin *admin = NULL;
    char argument[4 * DPC_NAME_MAX];
    snprintf(argument, sizeof argument, "%" PRId64 " %s %.*s", given->since,
             given->retrain ? "retrain" : "refold", 2 * DPC_NAME_MAX, call->arguments.items[0]);
    int rc = dpc_ctl_open(call, &admin, err);
    if (rc == DPC_OK)
        rc = dpc_admin_run(admin, "revoke", argument, ": ask again, it does what is left to do",
                           ret_state, err);
    dpc_admin_close(admin);
    return rc;
}

static void
print_state(const struct dpc_json *state)
{
    int64_t since = dpc_json_integer(dpc_json_get(state, "since"), 0);
    int64_t dense_since = dpc_json_integer(dpc_json_get(state, "dense_since"), since);
    const struct dpc_json *rows = dpc_json_get(state, "revoke");
    bool retrain = dpc_json_bool(dpc_json_get(state, "retrain"), false);
    dpc_text_show(dpc_json_text(dpc_json_get(state, "worker"), "?"), stdout);
    printf(" is barred; since round %" PRId64 " it handed in %" PRId64 " rounds of paths\n", since,
           dpc_json_integer(dpc_json_get(state, "contributions"), 0));
    if (dense_since > since)
        printf("the dense path is far ahead, and its rounds before %" PRId64 " (without the warm "
               "start) are not kept any more: what it handed in for these stays\n",
               dense_since);
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        printf("%s: version %" PRId64, dpc_json_text(dpc_json_get(row, "module"), "?"),
               dpc_json_integer(dpc_json_get(row, "version"), -1));
        if (retrain)
            printf(" has the content of version %" PRId64 "\n",
                   dpc_json_integer(dpc_json_get(row, "parent"), -1));
        else
            printf(" is version %" PRId64 " without %" PRId64 " contributions\n",
                   dpc_json_integer(dpc_json_get(row, "parent"), -1),
                   dpc_json_integer(dpc_json_get(row, "left_out"), 0));
    }
    if (dpc_json_count(rows) == 0)
        printf("no version holds anything of it\n");
    else if (!retrain)
        printf("this is approximate: what others handed in later was learned from versions that "
               "held it; --retrain goes back instead\n");
    printf("%" PRId64 " leases were voided\n",
           dpc_json_integer(dpc_json_get(state, "leases_voided"), 0));
}

static int
run(const struct dpc_call *call)
{
    const struct revoke_options *given = call->options;
    struct dpc_json *state = NULL;
    struct dpc_error err;
    if (given->since < 0)
        return dpc_complain(call, DPC_EXIT_USAGE, "give WORKER and --since R");
    int rc = revoke(call, &state, &err);
    return dpc_ctl_finish(call, rc, state, print_state, &err);
}

const struct dpc_command dpc_command_revoke = {
    .name = "revoke",
    .arguments = "WORKER",
    .summary = "Bar a worker and take out what it handed in since a round.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
