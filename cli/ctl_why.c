/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/ctl.h"

/* Each line says why the one before it is so. */
static void
print_chain(const struct dpc_json *reply)
{
    const struct dpc_json *links = dpc_json_get(reply, "why");
    for (size_t i = 0; i < dpc_json_count(links); i++) {
        fputs(i ? "  " : "", stdout);
        dpc_text_show(dpc_json_text(dpc_json_get(dpc_json_at(links, i), "text"), ""), stdout);
        printf("\n");
    }
}

static bool
takes(const char *kind)
{
    return strcmp(kind, "worker") == 0 || strcmp(kind, "path") == 0 || strcmp(kind, "module") == 0;
}

/* --- Names that are near to one that there is not. */

static const struct listing {
    const char *verb, *kind, *key;
} listings[] = {
    {"workers", "worker", "name"},
    {"paths", "path", "path"},
    {"modules", "module", "module"},
};

/* The nearest in a listing, behind the words that are there; whether there is one. */
static bool
add_nearest(struct dpc_admin *admin, const struct listing *listing, const char *wanted,
            const char *words, struct dpc_buf *text)
{
    struct dpc_json *reply = NULL;
    struct dpc_error unheard;
    struct dpc_nearest nearest = {.wanted = wanted};
    if (dpc_admin_list(admin, listing->verb, "", "", &reply, &unheard) != DPC_OK)
        return false;
    const struct dpc_json *rows = dpc_json_get(reply, listing->verb);
    for (size_t i = 0; i < dpc_json_count(rows); i++)
        dpc_nearest_offer(&nearest,
                          dpc_json_text(dpc_json_get(dpc_json_at(rows, i), listing->key), ""));
    if (nearest.best) {
        dpc_buf_printf(text, "%s%s \"", words, listing->kind);
        dpc_text_clean(nearest.best, strlen(nearest.best), text);
        dpc_buf_printf(text, "\"");
    }
    dpc_json_destroy(reply);
    return nearest.best != NULL;
}

/* Of the kind that was asked for, or of each. */
static void
add_near_names(struct dpc_admin *admin, const char *kind, const char *wanted, struct dpc_error *err)
{
    struct dpc_buf text;
    bool some = false;
    dpc_buf_init(&text, 0);
    for (size_t i = 0; i < DPC_COUNT(listings); i++) {
        if (strcmp(kind, "any") == 0 || strcmp(kind, listings[i].kind) == 0)
            some |=
                add_nearest(admin, &listings[i], wanted, some ? " or " : "; did you mean ", &text);
    }
    size_t len = strlen(err->text);
    (void)snprintf(err->text + len, sizeof err->text - len, "%s%s", dpc_buf_text(&text),
                   some ? "?" : "; dipacoctl workers, paths and modules list them");
    dpc_buf_done(&text);
}

static int
run(const struct dpc_call *call)
{
    const struct dpc_texts *given = &call->arguments;
    bool two = given->count == 2;
    const char *kind = two ? given->items[0] : "any", *name = given->items[two];
    struct dpc_admin *admin = NULL;
    struct dpc_json *reply = NULL;
    struct dpc_error err;
    if (two && !takes(kind))
        return dpc_complain(call, DPC_EXIT_USAGE, "give NAME, or worker, path or module and NAME");
    char *argument = dpc_format("%s %s", kind, name);
    int rc = dpc_ctl_open(call, &admin, &err);
    if (rc == DPC_OK)
        rc = dpc_admin_ask(admin, "why", argument, DPC_ADMIN_TIMEOUT_MS, &reply, &err);
    if (rc == DPC_ENOTFOUND)
        add_near_names(admin, kind, name, &err);
    dpc_free(argument);
    dpc_admin_close(admin);
    return dpc_ctl_finish(call, rc, reply, print_chain, &err);
}

const struct dpc_command dpc_command_why = {
    .name = "why",
    .arguments = "[worker|path|module] NAME",
    .summary = "Why a worker idles, a path waits or a module has not closed its round.",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
