/* SPDX-License-Identifier: Apache-2.0
 * The rows of the report, computed again: each path on its own held-out documents, "dipaco" over
 * all routed paths together. */
#include <inttypes.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/evaluate.h"
#include "cli/text.h"

struct eval_options {
    const char *path;
    bool json;
};

static const struct dpc_option options[] = {
    {.name = "path",
     .kind = DPC_OPTION_TEXT,
     .value_name = "NAME",
     .help = "only this path, such as 0-1 or dense",
     .offset = offsetof(struct eval_options, path)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct eval_options, json)},
};

struct row {
    char name[2 * DPC_NAME_MAX];
    struct dpc_evaluation evaluation;
};

struct rows {
    struct row *rows;
    uint32_t count;
};

/* A path without held-out documents has a row without figures. */
static int
add_path(struct dpc_model *model, uint32_t path, struct rows *rows, struct dpc_error *err)
{
    struct row *row = &rows->rows[rows->count];
    dpc_topology_path_name(dpc_model_topology(model), path, row->name, sizeof row->name);
    int rc = DPC_OK;
    if (dpc_model_path_record(model, path)->test_documents)
        rc = dpc_evaluate_path(model, path, &row->evaluation, err);
    if (rc == DPC_OK)
        rows->count++;
    return rc;
}

static int
add_all(struct dpc_model *model, struct rows *rows, struct dpc_error *err)
{
    const struct dpc_topology *topology = dpc_model_topology(model);
    struct row total = {.name = "dipaco"};
    int rc = DPC_OK;
    for (uint32_t path = 0; rc == DPC_OK && path < topology->routed_paths; path++) {
        rc = add_path(model, path, rows, err);
        if (rc == DPC_OK)
            dpc_evaluation_add(&total.evaluation, &rows->rows[rows->count - 1].evaluation);
    }
    if (rc == DPC_OK)
        rc = add_path(model, dpc_topology_dense_path(topology), rows, err);
    if (rc == DPC_OK && total.evaluation.documents == 0)
        return dpc_error_set(
            err, DPC_ENOTFOUND,
            "no held-out documents were routed yet: the run has not come that far");
    if (rc == DPC_OK)
        rows->rows[rows->count++] = total;
    return rc;
}

static int
evaluate(struct dpc_model *model, const char *name, struct rows *rows, struct dpc_error *err)
{
    uint32_t path;
    if (!name)
        return add_all(model, rows, err);
    int rc = dpc_model_find_path(model, name, &path, err);
    return rc == DPC_OK ? add_path(model, path, rows, err) : rc;
}

static void
print_json(const struct rows *rows)
{
    struct dpc_json *root = dpc_json_object(), *list = dpc_json_array();
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct dpc_evaluation *evaluation = &rows->rows[i].evaluation;
        struct dpc_json *row = dpc_json_object();
        dpc_json_set_text(row, "name", rows->rows[i].name);
        dpc_json_set_number(row, "ppl", dpc_evaluation_perplexity(evaluation));
        dpc_json_set_number(row, "bits_per_byte", dpc_evaluation_bits_per_byte(evaluation));
        dpc_json_set_integer(row, "documents", evaluation->documents);
        dpc_json_set_integer(row, "targets", (int64_t)evaluation->targets);
        dpc_json_append(list, row);
    }
    dpc_json_set(root, "rows", list);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static void
print_text(const struct rows *rows)
{
    static const char *const titles[] = {"path", ">held-out ppl", ">bits/byte", ">documents",
                                         ">tokens"};
    struct dpc_table *table = dpc_table_create(titles, DPC_COUNT(titles));
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct dpc_evaluation *evaluation = &rows->rows[i].evaluation;
        dpc_table_add(table, "%s", rows->rows[i].name);
        dpc_table_add(table, evaluation->targets ? "%.3f" : "-",
                      dpc_evaluation_perplexity(evaluation));
        dpc_table_add(table, evaluation->targets ? "%.3f" : "-",
                      dpc_evaluation_bits_per_byte(evaluation));
        dpc_table_add(table, "%" PRIu32, evaluation->documents);
        dpc_table_add(table, "%" PRIu64, evaluation->targets);
    }
    dpc_table_print(table, stdout);
    dpc_table_destroy(table);
}

static int
run(const struct dpc_call *call)
{
    const struct eval_options *given = call->options;
    struct dpc_model *model = NULL;
    struct rows rows = {0};
    struct dpc_error err;
    int rc = dpc_model_open(call->arguments.items[0], &model, &err);
    if (rc == DPC_OK) {
        rows.rows = dpc_alloc(dpc_model_topology(model)->paths_count + 1, sizeof *rows.rows);
        rc = evaluate(model, given->path, &rows, &err);
    }
    dpc_model_close(model);
    if (rc == DPC_OK && given->json)
        print_json(&rows);
    else if (rc == DPC_OK)
        print_text(&rows);
    dpc_free(rows.rows);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(call, &err);
}

const struct dpc_command dpc_command_eval = {
    .name = "eval",
    .arguments = "DIR",
    .summary = "Held-out perplexity of the paths of a run, computed again from its store.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct eval_options),
    .run = run,
};
