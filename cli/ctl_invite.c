/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/ctl.h"

enum { DAY_SECONDS = 24 * 3600 };

struct invite_options {
    int64_t uses, days;
    bool ask;
    const char *at, *note;
};
static const struct invite_options defaults = {.uses = 1, .days = 7};

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
     .offset = offsetof(struct invite_options, note)},
    {.name = "at",
     .kind = DPC_OPTION_TEXT,
     .value_name = "ENDPOINT",
     .help = "where workers reach the coordinator, tcp://HOST:PORT (default: what it "
             "advertises, or listens on)",
     .offset = offsetof(struct invite_options, at)},
};

/* The string alone on the standard output, for scripts and for mail. */
static void
print_reply(const struct dpc_json *reply)
{
    fprintf(stderr,
            "Invitation %s. Who has this string may join: keep it from others. On the machine:\n"
            "    dipaco-worker --dir FOLDER --join STRING\n",
            dpc_json_text(dpc_json_get(reply, "id"), "?"));
    puts(dpc_json_text(dpc_json_get(reply, "join"), ""));
}

static int
run(const struct dpc_call *call)
{
    const struct invite_options *given = call->options;
    struct dpc_buf argument;
    if (given->ask && given->uses != defaults.uses)
        return dpc_complain(call, DPC_EXIT_USAGE, "--ask goes without --uses: each machine waits");
    dpc_buf_init(&argument, DPC_TEXT_MAX);
    dpc_buf_printf(&argument, "%s %" PRId64 " %" PRId64 " %s", given->at ? given->at : "-",
                   given->ask ? 0 : given->uses, given->days * DAY_SECONDS,
                   given->note ? given->note : "");
    int status = dpc_ctl_ask(call, "invite", dpc_buf_text(&argument), print_reply);
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
