/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/ctl.h"

/* How often each verdict came out. */
static const struct verdict {
    const char *name, *words;
    bool fails;
} verdicts[] = {
    {"ok", "ok", false},
    {"given", "the beginning, made of nothing", false},
    {"not_kept", "not kept any more", false},
    {"differs", "DIFFERS", true},
    {"damaged", "DAMAGED", true},
    {"not_read", "NOT READ", true},
};

struct replay {
    const struct dpc_ctl_globals *globals;
    struct dpc_admin *admin;
    struct dpc_json *rows; /* all of them, with --json */
    int64_t number, seen;
    int64_t counts[DPC_COUNT(verdicts)];
};

static size_t
verdict_of(const struct dpc_json *row)
{
    const char *name = dpc_json_text(dpc_json_get(row, "verdict"), "");
    size_t i = 0;
    while (i + 1 < DPC_COUNT(verdicts) && strcmp(verdicts[i].name, name) != 0)
        i++;
    return i;
}

static void
print_row(const struct dpc_json *row, const struct verdict *verdict)
{
    const char *text = dpc_json_text(dpc_json_get(row, "text"), "");
    const char *cause = dpc_json_text(dpc_json_get(row, "cause"), "?");
    printf("%s version %" PRId64 " (%s", dpc_json_text(dpc_json_get(row, "module"), "?"),
           dpc_json_integer(dpc_json_get(row, "version"), -1), cause);
    if (strcmp(cause, "rollback") == 0 || strcmp(cause, "revoke") == 0)
        printf(" of version %" PRId64, dpc_json_integer(dpc_json_get(row, "parent"), -1));
    printf("): %s%s%s\n", verdict->words, *text ? ": " : "", text);
}

static void
take_rows(struct replay *replay, const struct dpc_json *rows)
{
    size_t count = dpc_json_count(rows);
    for (size_t i = 0; i < count; i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        size_t verdict = verdict_of(row);
        replay->counts[verdict]++;
        if (replay->globals->json)
            dpc_json_append(replay->rows, dpc_json_copy(row));
        else
            print_row(row, &verdicts[verdict]);
    }
    replay->seen += (int64_t)count;
}

/* True in `*ret_running` while there is more to come. */
static int
ask_state(struct replay *replay, bool *ret_running, struct dpc_error *err)
{
    char from[24];
    struct dpc_json *state = NULL;
    snprintf(from, sizeof from, "%" PRId64, replay->seen);
    int rc = dpc_admin_ask(replay->admin, "replay-state", from, DPC_ADMIN_TIMEOUT_MS, &state, err);
    if (rc != DPC_OK)
        return rc;
    *ret_running = dpc_json_bool(dpc_json_get(state, "running"), false);
    if (dpc_json_integer(dpc_json_get(state, "number"), 0) == replay->number)
        take_rows(replay, dpc_json_get(state, "replay"));
    else
        rc = dpc_error_set(err, DPC_ESTALE,
                           "the coordinator was started again meanwhile, or another replay was "
                           "asked for: ask again");
    dpc_json_destroy(state);
    return rc;
}

static int
wait_for_end(struct replay *replay, struct dpc_error *err)
{
    bool running = true;
    for (;;) {
        int64_t before = replay->seen;
        int rc = ask_state(replay, &running, err);
        if (rc != DPC_OK || !running)
            return rc;
        if (replay->seen > before)
            continue;
        rc = dpc_admin_pause(replay->admin, err);
        if (rc != DPC_OK)
            return rc;
    }
}

static int
replay_all(const struct dpc_call *call, struct replay *replay, struct dpc_error *err)
{
    char argument[3 * DPC_NAME_MAX] = "";
    struct dpc_json *begun = NULL;
    size_t count = call->arguments.count;
    if (count)
        snprintf(argument, sizeof argument, "%.*s%s%.*s", 2 * DPC_NAME_MAX,
                 call->arguments.items[0], count > 1 ? " " : "", DPC_NAME_MAX / 2,
                 count > 1 ? call->arguments.items[1] : "");
    int rc = dpc_ctl_open(call, &replay->admin, err);
    if (rc == DPC_OK)
        rc = dpc_admin_ask(replay->admin, "replay", argument, DPC_ADMIN_TIMEOUT_MS, &begun, err);
    if (rc == DPC_OK) {
        replay->number = dpc_json_integer(dpc_json_get(begun, "number"), 0);
        rc = wait_for_end(replay, err);
    }
    dpc_json_destroy(begun);
    dpc_admin_close(replay->admin);
    return rc;
}

/* Takes the rows. */
static void
show(struct replay *replay)
{
    struct dpc_json *root = dpc_json_object();
    for (size_t i = 0; i < DPC_COUNT(verdicts); i++) {
        if (replay->globals->json)
            dpc_json_set_integer(root, verdicts[i].name, replay->counts[i]);
        else if (replay->counts[i])
            printf("%" PRId64 " %s\n", replay->counts[i], verdicts[i].words);
    }
    dpc_json_set(root, "replay", replay->rows);
    if (replay->globals->json)
        dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static int
run(const struct dpc_call *call)
{
    struct replay replay = {.globals = call->globals, .rows = dpc_json_array()};
    struct dpc_error err;
    int rc = replay_all(call, &replay, &err);
    if (rc != DPC_OK) {
        dpc_json_destroy(replay.rows);
        return dpc_complain_error(call, &err);
    }
    show(&replay);
    int64_t failed = 0;
    for (size_t i = 0; i < DPC_COUNT(verdicts); i++)
        failed += verdicts[i].fails ? replay.counts[i] : 0;
    return failed ? DPC_EXIT_FAILED : DPC_EXIT_OK;
}

const struct dpc_command dpc_command_replay = {
    .name = "replay",
    .arguments = "[MODULE [VERSION]]",
    .summary = "Compute versions again from ledger and contributions, and compare.",
    .arguments_max = 2,
    .run = run,
};
