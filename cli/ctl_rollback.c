/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/ctl.h"

struct rollback_options {
    int64_t to, round;
};
static const struct rollback_options defaults = {.to = -1, .round = -1};

static const struct dpc_option options[] = {
    {.name = "to",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "VERSION",
     .help = "the version of MODULE to go back to",
     .offset = offsetof(struct rollback_options, to),
     .min = 0,
     .max = INT32_MAX},
    {.name = "round",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "R",
     .help = "all routed modules go back to what they were when round R began",
     .offset = offsetof(struct rollback_options, round),
     .min = 0,
     .max = INT32_MAX},
};

static void
print_reply(const struct dpc_json *reply)
{
    const struct dpc_json *rows = dpc_json_get(reply, "rollback");
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        printf("%s: version %" PRId64 " has the content of version %" PRId64 "%s\n",
               dpc_json_text(dpc_json_get(row, "module"), "?"),
               dpc_json_integer(dpc_json_get(row, "version"), -1),
               dpc_json_integer(dpc_json_get(row, "parent"), -1),
               dpc_json_bool(dpc_json_get(row, "appended"), false) ? "" : " already");
    }
    printf("%" PRId64 " leases were voided\n",
           dpc_json_integer(dpc_json_get(reply, "leases_voided"), 0));
}

static int
run(const struct dpc_call *call)
{
    const struct rollback_options *given = call->options;
    char argument[3 * DPC_NAME_MAX];
    bool one = call->arguments.count == 1 && given->to >= 0 && given->round < 0;
    bool all = call->arguments.count == 0 && given->to < 0 && given->round >= 0;
    if (!one && !all)
        return dpc_complain(call, DPC_EXIT_USAGE, "give MODULE and --to VERSION, or --round R");
    if (one)
        snprintf(argument, sizeof argument, "%.*s %" PRId64, 2 * DPC_NAME_MAX,
                 call->arguments.items[0], given->to);
    else
        snprintf(argument, sizeof argument, "%" PRId64, given->round);
    return dpc_ctl_ask(call, one ? "rollback" : "rollback-round", argument, print_reply);
}

const struct dpc_command dpc_command_rollback = {
    .name = "rollback",
    .arguments = "[MODULE]",
    .summary = "Give a module, or all, the content of an older version.",
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
