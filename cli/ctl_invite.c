/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/ctl.h"

enum { DAY_SECONDS = 24 * 3600 };

struct invite_options {
    int64_t uses, days;
    bool ask;
    const char *at, *note;
};
static const struct invite_options defaults = {.days = 7};

static const struct dpc_option options[] = {
    {.name = "uses",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "NUMBER",
     .help = "how many machines may join with it (default 1)",
     .offset = offsetof(struct invite_options, uses),
     .min = 1,
     .max = DPC_WORKERS_MAX},
    {.name = "ask",
     .kind = DPC_OPTION_FLAG,
     .help = "any number may come, and each waits for \"dipacoctl approve\"",
     .offset = offsetof(struct invite_options, ask)},
    {.name = "days",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "NUMBER",
     .help = "how long it holds (default 7)",
     .offset = offsetof(struct invite_options, days),
     .min = 1,
     .max = 3650},
    {.name = "note",
     .kind = DPC_OPTION_TEXT,
     .value_name = "TEXT",
     .help = "for whom it is, for your listings",
     .may_be_empty = true,
     .offset = offsetof(struct invite_options, note)},
    {.name = "at",
     .kind = DPC_OPTION_TEXT,
     .value_name = "ENDPOINT",
     .help = "where workers reach the coordinator, tcp://HOST:PORT (default: what it "
             "advertises, or listens on)",
     .offset = offsetof(struct invite_options, at)},
};

static bool
is_loopback(const char *endpoint)
{
    return strncmp(endpoint, "tcp://127.", 10) == 0 || strncmp(endpoint, "tcp://[::1]", 11) == 0 ||
           strncmp(endpoint, "tcp://localhost:", 16) == 0;
}

/* The string alone on the standard output, for scripts and for mail. */
static void
print_reply(const struct dpc_json *reply)
{
    const char *id = dpc_json_text(dpc_json_get(reply, "id"), "?");
    int64_t uses = dpc_json_integer(dpc_json_get(reply, "uses_left"), 0);
    if (dpc_json_bool(dpc_json_get(reply, "asks"), false))
        fprintf(stderr,
                "Invitation %s. Whoever comes with this string waits until you say \"dipacoctl "
                "approve\".\n",
                id);
    else
        fprintf(stderr,
                "Invitation %s, for %" PRId64 " machine%s. Who has this string may join: keep it "
                "from others.\n",
                id, uses, uses == 1 ? "" : "s");
    if (is_loopback(dpc_json_text(dpc_json_get(reply, "endpoint"), "")))
        fputs("It is for this machine alone: --at says where others reach it.\n", stderr);
    fputs("On the machine:  dipaco-worker --dir FOLDER --join STRING\n", stderr);
    puts(dpc_json_text(dpc_json_get(reply, "join"), ""));
}

/* The exit code of what is wrong with the options; -1: nothing. */
static int
check(const struct dpc_call *call, const struct invite_options *given)
{
    if (given->ask && given->uses)
        return dpc_complain(call, DPC_EXIT_USAGE, "--ask goes without --uses: each machine waits");
    if (given->at && (!*given->at || strpbrk(given->at, " \t\n")))
        return dpc_complain(call, DPC_EXIT_USAGE, "--at takes an endpoint: tcp://HOST:PORT");
    if (given->note && strlen(given->note) >= DPC_NAME_MAX)
        return dpc_complain(call, DPC_EXIT_USAGE, "--note takes at most %d bytes",
                            DPC_NAME_MAX - 1);
    return -1;
}

static int
run(const struct dpc_call *call)
{
    const struct invite_options *given = call->options;
    struct dpc_buf argument;
    int status = check(call, given);
    if (status >= 0)
        return status;
    int64_t uses = given->ask ? 0 : given->uses ? given->uses : 1;
    dpc_buf_init(&argument, DPC_TEXT_MAX);
    dpc_buf_printf(&argument, "%s %" PRId64 " %" PRId64 " %s", given->at ? given->at : "-", uses,
                   given->days * DAY_SECONDS, given->note ? given->note : "");
    status = argument.failed ? dpc_complain(call, DPC_EXIT_USAGE, "--at is too long")
                             : dpc_ctl_ask(call, "invite", dpc_buf_text(&argument), print_reply);
    dpc_buf_done(&argument);
    return status;
}

const struct dpc_command dpc_command_invite = {
    .name = "invite",
    .arguments = "",
    .summary = "Make a join string, with which machines become workers.",
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
