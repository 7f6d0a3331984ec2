/* SPDX-License-Identifier: Apache-2.0
 * An entry has several contributions: its table has a row for each. One that does not fit into a
 * page of the listing comes in several, of which one is made again. */
#include <inttypes.h>
#include <math.h>

#include "cli/commands.h"
#include "cli/ctl.h"

struct ledger_options {
    int64_t after;
};
static const struct ledger_options defaults = {.after = -1};

static const struct dpc_option options[] = {
    {.name = "after",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "only entries behind sequence number N",
     .offset = offsetof(struct ledger_options, after),
     .min = 0,
     .max = 9e15},
};

static const char *
text(const struct dpc_json *object, const char *key)
{
    return dpc_json_text(dpc_json_get(object, key), "?");
}

static int64_t
integer(const struct dpc_json *object, const char *key)
{
    return dpc_json_integer(dpc_json_get(object, key), -1);
}

static double
number(const struct dpc_json *object, const char *key)
{
    return dpc_json_number(dpc_json_get(object, key), NAN);
}

static void
add_step(struct dpc_table *table, const struct dpc_json *record)
{
    dpc_table_add(table, "%" PRId64, integer(record, "sequence"));
    dpc_table_add(table, "%s", text(record, "module"));
    dpc_table_add(table, "%" PRId64, integer(record, "version"));
    dpc_table_add(table, "%.12s", text(record, "master"));
}

/* What is left of a weight is what a gate or a revoke let through. */
static void
add_entry(struct dpc_table *table, const struct dpc_json *record, const struct dpc_json *entry)
{
    add_step(table, record);
    dpc_table_add(table, "%.4f", number(record, "rescale"));
    dpc_table_add(table, "%s", text(entry, "path"));
    dpc_table_add(table, "%" PRId64, integer(entry, "steps"));
    dpc_table_add(table, "%.4f", number(entry, "weight"));
    dpc_table_add(table, "%.4g", number(entry, "scale"));
    dpc_table_add(table, "%" PRId64, integer(entry, "late"));
    dpc_table_add(table, "%s", text(entry, "worker"));
    dpc_table_add(table, "%" PRId64, integer(entry, "lease"));
    dpc_table_add(table, "%.12s", text(entry, "delta"));
}

/* A beginning, a rollback, or a round that nobody brought anything of. */
static void
add_bare(struct dpc_table *table, const struct dpc_json *record)
{
    enum { OF_ENTRIES = 9 };
    add_step(table, record);
    for (int i = 0; i < OF_ENTRIES; i++)
        dpc_table_add(table, "-");
}

static void
print_ledger(const struct dpc_json *reply)
{
    static const char *const titles[] = {">entry", "module", ">version", "made",   ">rescale",
                                         "path",   ">steps", ">weight",  ">scale", ">late",
                                         "worker", ">lease", "delta"};
    const struct dpc_json *records = dpc_json_get(reply, "ledger");
    struct dpc_table *table = dpc_table_create(titles, DPC_COUNT(titles));
    for (size_t i = 0; i < dpc_json_count(records); i++) {
        const struct dpc_json *record = dpc_json_at(records, i);
        const struct dpc_json *entries = dpc_json_get(record, "entries");
        for (size_t j = 0; j < dpc_json_count(entries); j++)
            add_entry(table, record, dpc_json_at(entries, j));
        if (dpc_json_count(entries) == 0)
            add_bare(table, record);
    }
    dpc_table_print(table, stdout);
    dpc_table_destroy(table);
}

static struct dpc_json *
join_parts(const struct dpc_json *records)
{
    struct dpc_json *joined = dpc_json_array(), *entries = NULL;
    int64_t last = -1;
    for (size_t i = 0; i < dpc_json_count(records); i++) {
        const struct dpc_json *record = dpc_json_at(records, i);
        if (integer(record, "sequence") != last) {
            struct dpc_json *copy = dpc_json_copy(record);
            entries = dpc_json_array();
            dpc_json_set(copy, "entries", entries);
            dpc_json_append(joined, copy);
        }
        last = integer(record, "sequence");
        dpc_json_append_all(entries, dpc_json_get(record, "entries"));
    }
    return joined;
}

static int
run(const struct dpc_call *call)
{
    const struct ledger_options *given = call->options;
    char after[24] = "";
    /* A page of the ledger begins at the sequence number that is asked for. */
    if (given->after >= 0)
        snprintf(after, sizeof after, "%" PRId64, given->after + 1);
    struct dpc_admin *admin = NULL;
    struct dpc_json *reply = NULL;
    struct dpc_error err;
    int rc = dpc_ctl_open(call, &admin, &err);
    if (rc == DPC_OK)
        rc = dpc_admin_list(admin, "ledger", "", after, &reply, &err);
    dpc_admin_close(admin);
    if (rc == DPC_OK)
        dpc_json_set(reply, "ledger", join_parts(dpc_json_get(reply, "ledger")));
    return dpc_ctl_finish(call, rc, reply, print_ledger, &err);
}

const struct dpc_command dpc_command_ledger = {
    .name = "ledger",
    .arguments = "",
    .summary = "Who contributed what to which version, step by step.",
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = run,
};
