/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/plan.h"
#include "cli/text.h"

struct plan_options {
    bool json;
};

static const struct dpc_option options[] = {
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct plan_options, json)},
};

static void
print_json(const struct dpc_plan *plan)
{
    struct dpc_json *root = dpc_json_object(), *levels = dpc_json_array();
    for (uint32_t i = 0; i < plan->levels_count; i++) {
        const struct dpc_plan_level *level = &plan->levels[i];
        struct dpc_json *row = dpc_json_object();
        dpc_json_set_text(row, "level", level->name);
        dpc_json_set_integer(row, "modules", level->modules);
        dpc_json_set_integer(row, "params_module", (int64_t)level->module_params);
        dpc_json_set_integer(row, "paths_through", level->paths_through);
        dpc_json_set_integer(row, "paths_through_least", level->paths_through_least);
        dpc_json_set_bool(row, "identity", level->identity);
        dpc_json_set_bool(row, "couples_all", level->couples_all);
        dpc_json_append(levels, row);
    }
    dpc_json_set(root, "levels", levels);
    dpc_json_set_integer(root, "paths", plan->paths);
    dpc_json_set_integer(root, "params_path", (int64_t)plan->path_params);
    dpc_json_set_integer(root, "params_path_least", (int64_t)plan->path_params_least);
    dpc_json_set_integer(root, "params_total", (int64_t)plan->total_params);
    dpc_json_set_integer(root, "path_steps", (int64_t)plan->path_steps);
    dpc_json_set_integer(root, "total_steps", (int64_t)plan->total_steps);
    dpc_json_set_integer(root, "path_tokens", (int64_t)plan->path_tokens);
    dpc_json_set_number(root, "flops_per_token", plan->forward_flops);
    dpc_json_set_number(root, "train_flops", plan->train_flops);
    dpc_json_set_integer(root, "phases", plan->phases);
    dpc_json_set_integer(root, "score_paths", plan->score_paths);
    dpc_json_set_integer(root, "scores", (int64_t)plan->scores);
    dpc_json_set_integer(root, "path_bytes_up", (int64_t)plan->path_bytes_up);
    dpc_json_set_integer(root, "path_bytes_down", (int64_t)plan->path_bytes_down);
    dpc_json_set_integer(root, "round_bytes_up", (int64_t)plan->round_bytes_up);
    dpc_json_set_integer(root, "round_bytes_down", (int64_t)plan->round_bytes_down);
    dpc_json_set_integer(root, "worker_bytes", (int64_t)plan->worker_bytes);
    dpc_json_set_integer(root, "worker_bytes_least", (int64_t)plan->worker_bytes_least);
    dpc_json_set_integer(root, "worker_bytes_short", (int64_t)plan->worker_bytes_short);
    dpc_json_set_bool(root, "worker_bytes_of_fp32", plan->counts_fp32);
    dpc_json_set_integer(root, "coordinator_bytes", (int64_t)plan->coordinator_bytes);
    dpc_json_set_integer(root, "keep_rounds", plan->keep_rounds);
    dpc_json_set_integer(root, "disk_bytes", (int64_t)plan->disk_bytes);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

/* "3", or "1 to 3" where modules differ. */
static const char *
through_text(const struct dpc_plan_level *level, char text[DPC_SHORT_TEXT_MAX])
{
    if (level->paths_through_least == level->paths_through)
        (void)snprintf(text, DPC_SHORT_TEXT_MAX, "%" PRIu32, level->paths_through);
    else
        (void)snprintf(text, DPC_SHORT_TEXT_MAX, "%" PRIu32 " to %" PRIu32,
                       level->paths_through_least, level->paths_through);
    return text;
}

static void
print_levels(const struct dpc_plan *plan)
{
    static const char *const titles[] = {"level", ">modules", ">params/module", ">paths through",
                                         "waits for"};
    struct dpc_table *table = dpc_table_create(titles, DPC_COUNT(titles));
    for (uint32_t i = 0; i < plan->levels_count; i++) {
        const struct dpc_plan_level *level = &plan->levels[i];
        char count[DPC_SHORT_TEXT_MAX], through[DPC_SHORT_TEXT_MAX];
        dpc_table_add(table, "%s", level->name);
        dpc_table_add(table, "%" PRIu32 "%s", level->modules, level->identity ? " + x" : "");
        dpc_table_add(table, "%s", dpc_text_count((double)level->module_params, count));
        dpc_table_add(table, "%s", through_text(level, through));
        if (level->couples_all)
            dpc_table_add(table, "all paths: every round waits for the slowest");
        else if (level->paths_through == 1)
            dpc_table_add(table, "nobody: it belongs to one path");
        else
            dpc_table_add(table, "the %s paths through the same module", through);
    }
    dpc_table_print(table, stdout);
    dpc_table_destroy(table);
}

/* What discriminative phases cost; nothing without any. */
static void
print_scores(const struct dpc_plan *plan)
{
    char count[DPC_SHORT_TEXT_MAX];
    if (plan->phases == 0)
        return;
    printf("scoring     %" PRIu32 " times %" PRIu32 " of %" PRIu32
           " paths a document of the router split",
           plan->phases, plan->score_paths, plan->paths);
    if (plan->scores)
        printf(", at most %s scores", dpc_text_count((double)plan->scores, count));
    printf("\n");
}

static void
print_text(const struct dpc_plan *plan)
{
    char one[DPC_SHORT_TEXT_MAX], two[DPC_SHORT_TEXT_MAX];
    bool differ = plan->path_params_least < plan->path_params;
    print_levels(plan);
    printf("\nparameters  %s%s", differ ? dpc_text_count((double)plan->path_params_least, one) : "",
           differ ? " to " : "");
    printf("%s a path, %s in total over %" PRIu32 " paths\n",
           dpc_text_count((double)plan->path_params, one),
           dpc_text_count((double)plan->total_params, two), plan->paths);
    printf("steps       %" PRIu64 " a path (%s tokens), %" PRIu64 " of all paths together\n",
           plan->path_steps, dpc_text_count((double)plan->path_tokens, one), plan->total_steps);
    printf("compute     %s FLOPs a token forward, %.3g to train all paths\n",
           dpc_text_count(plan->forward_flops, one), plan->train_flops);
    print_scores(plan);
    printf("wire        %s up a path and round, %s up of all; down at most %s%s\n",
           dpc_text_bytes((double)plan->path_bytes_up, one),
           dpc_text_bytes((double)plan->round_bytes_up, two),
           dpc_text_bytes((double)plan->round_bytes_down, (char[DPC_SHORT_TEXT_MAX]){0}),
           plan->by_changes ? " for workers that have the versions before" : "");
    printf(
        "memory      %s a worker, at least %s%s%s%s; %s the coordinator, and what documents take\n",
        dpc_text_bytes((double)plan->worker_bytes, one),
        dpc_text_bytes((double)plan->worker_bytes_least, two),
        differ ? "; for the smallest paths " : "",
        differ ? dpc_text_bytes((double)plan->worker_bytes_short, (char[DPC_SHORT_TEXT_MAX]){0})
               : "",
        plan->counts_fp32 ? " (in fp32: this machine cannot compute in bf16)" : "",
        dpc_text_bytes((double)plan->coordinator_bytes, (char[DPC_SHORT_TEXT_MAX]){0}));
    printf("disk        %s at the coordinator (keep_rounds %" PRIu32
           "), and about twice the corpus\n",
           dpc_text_bytes((double)plan->disk_bytes, one), plan->keep_rounds);
}

static int
run(const struct dpc_call *call)
{
    const struct plan_options *given = call->options;
    struct dpc_experiment experiment;
    struct dpc_plan plan;
    struct dpc_error err;
    int rc = dpc_experiment_load(call->arguments.items[0], &experiment, &err);
    if (rc != DPC_OK)
        return dpc_complain(call, dpc_exit_of_experiment(rc), "%s", err.text);
    rc = dpc_plan_make(&experiment, &plan, &err);
    if (rc != DPC_OK)
        return dpc_complain_error(call, &err);
    if (given->json)
        print_json(&plan);
    else
        print_text(&plan);
    return DPC_EXIT_OK;
}

const struct dpc_command dpc_command_plan = {
    .name = "plan",
    .arguments = "FILE",
    .summary = "What an experiment will cost: parameters, coupling, bytes, memory, disk.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct plan_options),
    .run = run,
};
