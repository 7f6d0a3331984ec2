/* SPDX-License-Identifier: Apache-2.0
 * Two subcommands, each of which undoes the other. */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/ctl.h"

struct drain_options {
    bool all;
};

static const struct dpc_option options[] = {
    {.name = "all",
     .kind = DPC_OPTION_FLAG,
     .help = "all workers that are known and not barred",
     .offset = offsetof(struct drain_options, all)},
};

static int64_t
count_of(const struct dpc_json *reply, const char *key)
{
    return dpc_json_integer(dpc_json_get(reply, key), 0);
}

/* Of one worker, or, where the reply names none, of all. */
static void
print_reply(const struct dpc_json *reply, const char *what_one, const char *what_all)
{
    const char *name = dpc_json_text(dpc_json_get(reply, "worker"), "");
    dpc_text_show(name, stdout);
    if (*name)
        printf(" %s%s", what_one, count_of(reply, "already") ? " already" : "");
    else
        printf("%" PRId64 " workers %s, %" PRId64 " already, %" PRId64 " are barred",
               count_of(reply, "changed"), what_all, count_of(reply, "already"),
               count_of(reply, "barred"));
}

static void
print_drained(const struct dpc_json *reply)
{
    int64_t holding = count_of(reply, "holding");
    print_reply(reply, "is drained", "are drained");
    if (*dpc_json_text(dpc_json_get(reply, "worker"), ""))
        printf("; %s\n", holding ? "it finishes the lease that it holds" : "it holds no lease");
    else
        printf("; %" PRId64 " finish the leases that they hold\n", holding);
}

static void
print_undrained(const struct dpc_json *reply)
{
    print_reply(reply, "gets leases", "get leases");
    printf("\n");
}

static int
ask(const struct dpc_call *call, const char *verb, void (*print)(const struct dpc_json *reply))
{
    const struct drain_options *given = call->options;
    if (given->all == (call->arguments.count == 1))
        return dpc_complain(call, DPC_EXIT_USAGE, "give WORKER, or --all");
    const char *argument = given->all ? "" : call->arguments.items[0];
    if (!given->all && !*argument)
        return dpc_complain(call, DPC_EXIT_USAGE, "the name of the worker is empty");
    return dpc_ctl_ask(call, verb, argument, print);
}

static int
run_drain(const struct dpc_call *call)
{
    return ask(call, "drain", print_drained);
}

static int
run_undrain(const struct dpc_call *call)
{
    return ask(call, "undrain", print_undrained);
}

const struct dpc_command dpc_command_drain = {
    .name = "drain",
    .arguments = "[WORKER]",
    .summary = "Let a worker finish what it holds and give it no more.",
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct drain_options),
    .run = run_drain,
};

const struct dpc_command dpc_command_undrain = {
    .name = "undrain",
    .arguments = "[WORKER]",
    .summary = "Give a drained worker leases again.",
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct drain_options),
    .run = run_undrain,
};
