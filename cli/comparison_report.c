/* SPDX-License-Identifier: Apache-2.0
 * Rows are gathered once (load_*) and told four times: JSON, Markdown, SVG, terminal. */
#include "cli/comparison_report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/svg.h"
#include "base/vfs.h"
#include "cli/losses.h"
#include "cli/plan.h"
#include "cli/result.h"
#include "cli/text.h"

enum { FORMAT = 1 };

/* A row with one seed. */
struct witness {
    bool finished;
    double perplexity, bits_per_byte, seconds;
    double passes; /* ways through a path of a token: more than one with new routes */
    int64_t documents, targets, steps, tokens;
    struct dpc_losses losses;
};

/* Its step from another row; `row` is -1 where there is none to be had. */
struct step {
    int row;
    enum dpc_losses_by by;
    struct dpc_difference log; /* of the ratio */
};

struct result {
    const struct dpc_comparison_row *row;
    const struct dpc_experiment *experiment;
    bool finished;         /* with every seed */
    int64_t steps, tokens; /* mean over the seeds that finished */
    int64_t params_path, params_total;
    double forward_flops;      /* of a token's way through the model, in the mean of its paths */
    uint64_t round_bytes;      /* 0 for a dense model, which needs none */
    struct witness *witnesses; /* [seeds] */
    struct step against, first;
};

struct dpc_comparison_results {
    const struct dpc_comparison *comparison;
    const struct dpc_comparison_runs *runs;
    uint32_t seeds;
    struct result rows[DPC_COMPARISON_ROWS_MAX];
};

/* --- Where runs lie. */

int
dpc_comparison_run_folder(const char *folder, const struct dpc_comparison_run *run,
                          char ret_path[DPC_PATH_MAX], struct dpc_error *err)
{
    int length = snprintf(ret_path, DPC_PATH_MAX, "%s/runs/%s", folder, run->name);
    if (length >= 0 && length < DPC_PATH_MAX)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s/runs/%s\" is too long", folder,
                         run->name);
}

static int
report_folder(const char *folder, const struct dpc_comparison_run *run, char ret_path[DPC_PATH_MAX],
              struct dpc_error *err)
{
    char run_folder[DPC_PATH_MAX];
    int rc = dpc_comparison_run_folder(folder, run, run_folder, err);
    if (rc == DPC_OK && dpc_path_join(run_folder, "report", ret_path, DPC_PATH_MAX) != DPC_OK)
        rc = dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s/report\" is too long", run_folder);
    return rc;
}

/* A report's JSON is written last. */
bool
dpc_comparison_run_is_finished(const char *folder, const struct dpc_comparison_run *run)
{
    char report[DPC_PATH_MAX], file[DPC_PATH_MAX];
    return report_folder(folder, run, report, NULL) == DPC_OK &&
           dpc_path_join(report, "report.json", file, sizeof file) == DPC_OK &&
           dpc_vfs_exists(&dpc_vfs_posix, file);
}

/* --- Gathering. */

static const struct dpc_json *
find_row(const struct dpc_json *report, const char *name)
{
    const struct dpc_json *rows = dpc_json_get(report, "rows");
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        if (strcmp(dpc_json_text(dpc_json_get(row, "name"), ""), name) == 0)
            return row;
    }
    return NULL;
}

static int64_t
integer(const struct dpc_json *row, const char *key)
{
    return dpc_json_integer(dpc_json_get(row, key), 0);
}

/* False where it is none that a run comes to: sums and products of them have room. */
static bool
take_count(const struct dpc_json *row, const char *key, int64_t *ret_count)
{
    static const int64_t most = (int64_t)1 << 53; /* a double holds these exactly */
    *ret_count = integer(row, key);
    return *ret_count >= 0 && *ret_count <= most;
}

static bool
take_row(struct result *result, struct witness *witness, const struct dpc_json *report,
         const struct dpc_json *row)
{
    witness->perplexity = dpc_json_number(dpc_json_get(row, "ppl"), NAN);
    witness->bits_per_byte = dpc_json_number(dpc_json_get(row, "bits_per_byte"), NAN);
    witness->seconds = dpc_json_number(dpc_json_get(report, "seconds"), NAN);
    witness->passes = 1;
    witness->finished = true;
    return take_count(row, "steps", &witness->steps) &&
           take_count(row, "tokens", &witness->tokens) &&
           take_count(row, "params_path", &result->params_path) &&
           take_count(row, "params_total", &result->params_total) &&
           take_count(row, "documents", &witness->documents) &&
           take_count(row, "targets", &witness->targets);
}

static const struct dpc_json *
find_rerouted(const struct dpc_json *report, uint32_t every)
{
    const struct dpc_json *rows = dpc_json_get(report, "reroute");
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        if (integer(dpc_json_at(rows, i), "every") == every)
            return dpc_json_at(rows, i);
    }
    return NULL;
}

/* Of the same model: what its documents lose with new routes, and what these cost: a network of a
 * path's size beside the path, and the tokens that paths read again. */
static bool
take_rerouted(struct result *result, struct witness *witness, const struct dpc_json *row)
{
    int64_t recomputed, targets;
    if (!take_count(row, "recomputed", &recomputed) || !take_count(row, "targets", &targets) ||
        targets == 0)
        return false;
    witness->perplexity = dpc_json_number(dpc_json_get(row, "ppl"), NAN);
    witness->bits_per_byte = dpc_json_number(dpc_json_get(row, "bits_per_byte"), NAN);
    witness->passes = 2 + (double)recomputed / (double)targets;
    result->params_path += (int64_t)dpc_layout_path_floats(result->experiment);
    result->params_total += (int64_t)dpc_layout_path_floats(result->experiment);
    return true;
}

/* A file that is cut off would look like one of other documents, with which nothing compares. */
static int
check_documents(const char *report_path, const struct dpc_losses *losses,
                const struct dpc_json *row, struct dpc_losses_of of, struct dpc_error *err)
{
    int64_t counted = integer(row, "documents");
    if (losses->count == counted)
        return DPC_OK;
    return dpc_error_set(err, DPC_ECORRUPT,
                         "\"%s/%s\" has %" PRIu32 " documents of the model, and report.json counts "
                         "%" PRId64 ": remove the run's folder to train it again",
                         report_path, of.every ? "reroute.tsv" : "documents.tsv", losses->count,
                         counted);
}

static int
load_witness(const char *report_path, struct result *result, struct witness *witness,
             struct dpc_error *err)
{
    struct dpc_losses_of of = {.dense = result->row->measure == DPC_MEASURE_DENSE,
                               .every = result->row->every};
    struct dpc_json *report = NULL;
    int rc = dpc_result_load(report_path, &report, err);
    if (rc != DPC_OK)
        return rc;
    const struct dpc_json *row = find_row(report, of.dense ? "dense" : "dipaco");
    const struct dpc_json *rerouted = of.every ? find_rerouted(report, of.every) : NULL;
    if (!row || (of.every && !rerouted))
        rc = dpc_error_set(err, DPC_ECORRUPT,
                           "\"%s/report.json\" has no row of the model: remove the run's folder to "
                           "train it again",
                           report_path);
    if (rc == DPC_OK)
        rc = dpc_losses_load(report_path, of, &witness->losses, err);
    if (rc == DPC_OK && (!take_row(result, witness, report, row) ||
                         (rerouted && !take_rerouted(result, witness, rerouted))))
        rc = dpc_error_set(err, DPC_ECORRUPT,
                           "\"%s/report.json\" has numbers that no run comes to: remove the run's "
                           "folder to train it again",
                           report_path);
    if (rc == DPC_OK)
        rc = check_documents(report_path, &witness->losses, rerouted ? rerouted : row, of, err);
    dpc_json_destroy(report);
    return rc;
}

/* What a token costs, and what one round of the routed paths sends and fetches, as `dipaco plan`
 * counts it. */
static int
take_plan(struct result *result, struct dpc_error *err)
{
    struct dpc_plan plan;
    struct dpc_experiment *alone;
    result->forward_flops = dpc_layout_forward_flops(result->experiment);
    if (result->row->measure == DPC_MEASURE_DENSE)
        return DPC_OK;
    alone = dpc_alloc(1, sizeof *alone);
    *alone = *result->experiment;
    alone->baseline.dense = false;
    int rc = dpc_plan_make(alone, &plan, err);
    if (rc == DPC_OK) {
        result->round_bytes = plan.round_bytes_up + plan.round_bytes_down;
        result->forward_flops = plan.forward_flops;
    }
    dpc_free(alone);
    return rc;
}

/* Which paths train when follows from the seed, with outer.sample, and in elastic mode from what
 * comes in time. */
static void
take_means(struct result *result, uint32_t seeds)
{
    double steps = 0, tokens = 0, finished = 0;
    for (uint32_t seed = 0; seed < seeds; seed++) {
        steps += (double)result->witnesses[seed].steps;
        tokens += (double)result->witnesses[seed].tokens;
        finished += result->witnesses[seed].finished;
    }
    result->steps = finished > 0 ? llround(steps / finished) : 0;
    result->tokens = finished > 0 ? llround(tokens / finished) : 0;
}

static int
load_result(struct dpc_comparison_results *results, uint32_t index, const char *folder,
            struct dpc_error *err)
{
    struct result *result = &results->rows[index];
    const uint32_t *of = results->runs->of[index];
    result->row = &results->comparison->rows[index];
    result->experiment = &results->runs->runs[of[0]].experiment;
    result->witnesses = dpc_alloc(results->seeds, sizeof *result->witnesses);
    result->finished = true;
    int rc = take_plan(result, err);
    for (uint32_t seed = 0; rc == DPC_OK && seed < results->seeds; seed++) {
        const struct dpc_comparison_run *run = &results->runs->runs[of[seed]];
        char report[DPC_PATH_MAX];
        if (!dpc_comparison_run_is_finished(folder, run)) {
            result->finished = false;
            continue;
        }
        rc = report_folder(folder, run, report, err);
        if (rc == DPC_OK)
            rc = load_witness(report, result, &result->witnesses[seed], err);
    }
    if (rc == DPC_OK)
        take_means(result, results->seeds);
    return rc;
}

/* --- Steps between rows. */

/* Bytes are bytes; which pieces there are only a corpus says. */
static bool
same_tokens(const struct result *one, const struct result *two)
{
    const struct dpc_experiment *a = one->experiment, *b = two->experiment;
    return a->data.tokenizer == b->data.tokenizer && (a->data.tokenizer == DPC_TOKENIZER_BYTES ||
                                                      strcmp(a->data.corpus, b->data.corpus) == 0);
}

static void
measure_step(const struct dpc_comparison_results *results, const struct result *result, int other,
             struct step *ret_step)
{
    struct dpc_losses *ones = dpc_alloc(results->seeds, sizeof *ones);
    struct dpc_losses *twos = dpc_alloc(results->seeds, sizeof *twos);
    bool match = other >= 0 && result->finished && results->rows[other].finished;
    enum dpc_losses_by by = DPC_LOSSES_BY_TOKEN;
    if (match && !same_tokens(result, &results->rows[other]))
        by = DPC_LOSSES_BY_BYTE;
    for (uint32_t seed = 0; match && seed < results->seeds; seed++) {
        ones[seed] = result->witnesses[seed].losses;
        twos[seed] = results->rows[other].witnesses[seed].losses;
        match = dpc_losses_match(&ones[seed], &twos[seed], by);
    }
    ret_step->row = match ? other : -1;
    ret_step->by = by;
    if (match)
        ret_step->log = dpc_losses_compare(ones, twos, results->seeds, by);
    dpc_free(ones);
    dpc_free(twos);
}

/* Of all rows: their perplexities compare. */
static bool
of_same_tokens(const struct dpc_comparison_results *results)
{
    bool same = true;
    for (uint32_t i = 1; i < results->comparison->rows_count; i++)
        same &= same_tokens(&results->rows[0], &results->rows[i]);
    return same;
}

static void
measure_steps(struct dpc_comparison_results *results)
{
    for (uint32_t i = 0; i < results->comparison->rows_count; i++) {
        struct result *result = &results->rows[i];
        int against = i ? dpc_comparison_find(results->comparison, result->row->against) : -1;
        measure_step(results, result, against, &result->against);
        measure_step(results, result, i ? 0 : -1, &result->first);
    }
}

int
dpc_comparison_results_load(const struct dpc_comparison *comparison,
                            const struct dpc_comparison_runs *runs, const char *folder,
                            struct dpc_comparison_results **ret_results, struct dpc_error *err)
{
    struct dpc_comparison_results *results = dpc_alloc(1, sizeof *results);
    int rc = DPC_OK;
    results->comparison = comparison;
    results->runs = runs;
    results->seeds = comparison->seeds_count ? comparison->seeds_count : 1;
    for (uint32_t i = 0; rc == DPC_OK && i < comparison->rows_count; i++)
        rc = load_result(results, i, folder, err);
    if (rc != DPC_OK) {
        dpc_comparison_results_destroy(results);
        return rc;
    }
    measure_steps(results);
    *ret_results = results;
    return DPC_OK;
}

struct dpc_comparison_results *
dpc_comparison_results_destroy(struct dpc_comparison_results *results)
{
    for (uint32_t i = 0; results && i < results->comparison->rows_count; i++) {
        struct result *result = &results->rows[i];
        for (uint32_t seed = 0; result->witnesses && seed < results->seeds; seed++)
            dpc_losses_done(&result->witnesses[seed].losses);
        dpc_free(result->witnesses);
    }
    return dpc_free(results);
}

/* --- Figures of a row. */

/* The geometric mean over seeds, so that rows compare as their differences do. */
static double
perplexity(const struct dpc_comparison_results *results, const struct result *result)
{
    double sum = 0;
    for (uint32_t seed = 0; seed < results->seeds; seed++)
        sum += log(result->witnesses[seed].perplexity);
    return result->finished ? exp(sum / results->seeds) : NAN;
}

static double
mean_of(const struct dpc_comparison_results *results, const struct result *result,
        size_t offset_in_witness)
{
    double sum = 0;
    for (uint32_t seed = 0; seed < results->seeds; seed++)
        sum += *(const double *)((const char *)&result->witnesses[seed] + offset_in_witness);
    return result->finished ? sum / results->seeds : NAN;
}

static double
bits_per_byte(const struct dpc_comparison_results *results, const struct result *result)
{
    return mean_of(results, result, offsetof(struct witness, bits_per_byte));
}

static double
seconds(const struct dpc_comparison_results *results, const struct result *result)
{
    return mean_of(results, result, offsetof(struct witness, seconds));
}

static double
token_flops(const struct dpc_comparison_results *results, const struct result *result)
{
    return result->forward_flops * mean_of(results, result, offsetof(struct witness, passes));
}

/* The warm start trains a model that takes a module at each level, and so is the router network. */
static double
train_flops(const struct result *result)
{
    const struct dpc_experiment *experiment = result->experiment;
    double step_tokens = (double)experiment->inner.batch * experiment->model.context;
    double warm = step_tokens * (double)dpc_experiment_warm_steps(experiment);
    double network = result->row->every ? step_tokens * experiment->reroute.steps : 0;
    return (warm + network) * dpc_layout_train_flops(experiment) +
           3 * ((double)result->tokens - warm) * result->forward_flops;
}

/* The logarithm of a ratio, as a change in percent. */
static double
percent(double log_ratio)
{
    return 100 * expm1(log_ratio);
}

static bool
is_shown(const struct step *step)
{
    return step->row >= 0 && (step->log.low > 0 || step->log.high < 0);
}

/* A row stands in the block of equal tokens when it asked for them or was asked about, and beside
 * those when its paths happen to read as many. */
static bool
has_equal_tokens(const struct dpc_comparison_results *results, uint32_t index)
{
    const struct dpc_comparison *comparison = results->comparison;
    int64_t tokens = results->rows[index].tokens;
    bool belongs = *comparison->rows[index].tokens_of;
    for (uint32_t i = 0; i < comparison->rows_count; i++) {
        int asked = dpc_comparison_find(comparison, comparison->rows[i].tokens_of);
        belongs |=
            asked == (int)index || (asked >= 0 && tokens && results->rows[asked].tokens == tokens);
    }
    return belongs;
}

static bool
has_equal_steps(const struct dpc_comparison_results *results, uint32_t index)
{
    return !*results->comparison->rows[index].tokens_of;
}

/* --- compare.json */

static struct dpc_json *
json_step(const struct dpc_comparison_results *results, const struct step *step)
{
    if (step->row < 0)
        return NULL;
    struct dpc_json *object = dpc_json_object();
    dpc_json_set_text(object, "row", results->comparison->rows[step->row].name);
    dpc_json_set_number(object, "percent", percent(step->log.mean));
    dpc_json_set_number(object, "low", percent(step->log.low));
    dpc_json_set_number(object, "high", percent(step->log.high));
    dpc_json_set_text(object, "of", step->by == DPC_LOSSES_BY_BYTE ? "bits_per_byte" : "ppl");
    dpc_json_set_bool(object, "shown", is_shown(step));
    return object;
}

static struct dpc_json *
json_seeds(const struct dpc_comparison_results *results, uint32_t index)
{
    struct dpc_json *list = dpc_json_array();
    for (uint32_t seed = 0; seed < results->seeds; seed++) {
        const struct witness *witness = &results->rows[index].witnesses[seed];
        const struct dpc_comparison_run *run = &results->runs->runs[results->runs->of[index][seed]];
        struct dpc_json *object = dpc_json_object();
        dpc_json_set_integer(object, "seed", (int64_t)run->experiment.seed);
        dpc_json_set_text(object, "run", run->name);
        dpc_json_set_bool(object, "finished", witness->finished);
        if (witness->finished) {
            dpc_json_set_number(object, "ppl", witness->perplexity);
            dpc_json_set_number(object, "bits_per_byte", witness->bits_per_byte);
            dpc_json_set_integer(object, "documents", witness->documents);
            dpc_json_set_integer(object, "targets", witness->targets);
            dpc_json_set_number(object, "seconds", witness->seconds);
        }
        dpc_json_append(list, object);
    }
    return list;
}

static struct dpc_json *
json_row(const struct dpc_comparison_results *results, uint32_t index)
{
    const struct result *result = &results->rows[index];
    struct dpc_json *object = dpc_json_object(), *step;
    dpc_json_set_text(object, "name", result->row->name);
    dpc_json_set_text(object, "title", result->row->title);
    dpc_json_set_bool(object, "finished", result->finished);
    dpc_json_set_number(object, "ppl", perplexity(results, result));
    dpc_json_set_number(object, "bits_per_byte", bits_per_byte(results, result));
    dpc_json_set_bool(object, "equal_steps", has_equal_steps(results, index));
    dpc_json_set_bool(object, "equal_tokens", has_equal_tokens(results, index));
    dpc_json_set_integer(object, "steps", result->steps);
    dpc_json_set_integer(object, "tokens", result->tokens);
    dpc_json_set_integer(object, "params_path", result->params_path);
    dpc_json_set_integer(object, "params_total", result->params_total);
    dpc_json_set_number(object, "train_flops", train_flops(result));
    dpc_json_set_number(object, "flops_per_token", token_flops(results, result));
    dpc_json_set_integer(object, "round_bytes", (int64_t)result->round_bytes);
    dpc_json_set_number(object, "seconds", seconds(results, result));
    if ((step = json_step(results, &result->against)))
        dpc_json_set(object, "against", step);
    if ((step = json_step(results, &result->first)))
        dpc_json_set(object, "to_first", step);
    dpc_json_set(object, "seeds", json_seeds(results, index));
    return object;
}

struct dpc_json *
dpc_comparison_results_json(const struct dpc_comparison_results *results)
{
    struct dpc_json *root = dpc_json_object(), *rows = dpc_json_array();
    dpc_json_set_integer(root, "format", FORMAT);
    dpc_json_set_text(root, "comparison", results->comparison->name);
    for (uint32_t i = 0; i < results->comparison->rows_count; i++)
        dpc_json_append(rows, json_row(results, i));
    dpc_json_set(root, "rows", rows);
    return root;
}

/* --- compare.md */

/* "-4.1 % [-5.0, -3.2]", or of bits per byte with "b" behind it; "" where there is nothing to
 * compare. */
static const char *
show_step(const struct step *step, char ret_text[64])
{
    ret_text[0] = 0;
    if (step->row >= 0)
        (void)snprintf(ret_text, 64, "%+.1f %% [%+.1f, %+.1f]%s", percent(step->log.mean),
                       percent(step->log.low), percent(step->log.high),
                       step->by == DPC_LOSSES_BY_BYTE ? " b" : "");
    return ret_text;
}

static void
put_figures(const struct dpc_comparison_results *results, const struct result *result,
            struct dpc_buf *out)
{
    char path[DPC_SHORT_TEXT_MAX], total[DPC_SHORT_TEXT_MAX], tokens[DPC_SHORT_TEXT_MAX];
    char bytes[DPC_SHORT_TEXT_MAX], time[DPC_SHORT_TEXT_MAX];
    dpc_buf_printf(out, " %" PRId64 " | %s | %.3g | %.3g | %s | %s | %s | %s |\n", result->steps,
                   dpc_text_count((double)result->tokens, tokens), train_flops(result),
                   token_flops(results, result), dpc_text_count((double)result->params_path, path),
                   dpc_text_count((double)result->params_total, total),
                   result->round_bytes ? dpc_text_bytes((double)result->round_bytes, bytes) : "-",
                   dpc_text_seconds(seconds(results, result), time));
}

static uint32_t
seeds_finished(const struct dpc_comparison_results *results, const struct result *result)
{
    uint32_t count = 0;
    for (uint32_t seed = 0; seed < results->seeds; seed++)
        count += result->witnesses[seed].finished;
    return count;
}

/* A bar in it would begin another cell, and a backslash at its end would keep this one open. */
static void
put_title(const struct dpc_comparison_row *row, struct dpc_buf *out)
{
    for (const char *at = row->title; *at; at++) {
        if (*at == '|' || *at == '\\')
            dpc_buf_put_u8(out, '\\');
        dpc_buf_put_u8(out, (uint8_t)*at);
    }
}

static void
put_row(const struct dpc_comparison_results *results, uint32_t index, struct dpc_buf *out)
{
    const struct result *result = &results->rows[index];
    char first[64], step[64];
    dpc_buf_printf(out, "| ");
    put_title(result->row, out);
    dpc_buf_printf(out, " | ");
    if (!result->finished) {
        dpc_buf_printf(out, "%" PRIu32 " of %" PRIu32 " seeds trained | | | | | | | | | | | |\n",
                       seeds_finished(results, result), results->seeds);
        return;
    }
    dpc_buf_printf(out, "%.3f | %.3f | %s |", perplexity(results, result),
                   bits_per_byte(results, result), show_step(&result->first, first));
    if (result->against.row > 0) {
        dpc_buf_printf(out, " %s%s%s to ", is_shown(&result->against) ? "**" : "",
                       show_step(&result->against, step), is_shown(&result->against) ? "**" : "");
        put_title(results->rows[result->against.row].row, out);
    }
    dpc_buf_printf(out, " |");
    put_figures(results, result, out);
}

static void
put_block(const struct dpc_comparison_results *results, const char *title,
          bool (*belongs)(const struct dpc_comparison_results *, uint32_t), struct dpc_buf *out)
{
    uint32_t members = 0;
    for (uint32_t i = 0; i < results->comparison->rows_count; i++)
        members += belongs(results, i);
    if (members == 0)
        return;
    dpc_buf_printf(out, "## %s\n\n| model | perplexity | bits per byte | to ", title);
    put_title(results->rows[0].row, out);
    dpc_buf_printf(out, " | step | steps of a path | tokens | training FLOPs | FLOPs a token | "
                        "parameters of a path | in total | bytes a round | time |\n"
                        "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < results->comparison->rows_count; i++) {
        if (belongs(results, i))
            put_row(results, i, out);
    }
    dpc_buf_printf(out, "\n");
}

static void
put_markdown(const struct dpc_comparison_results *results, struct dpc_buf *out)
{
    dpc_buf_printf(out, "# %s\n\n", results->comparison->name);
    put_block(results, "Equal steps of a path", has_equal_steps, out);
    put_block(results, "Equal tokens of all paths", has_equal_tokens, out);
    dpc_buf_printf(
        out,
        "![perplexities](compare.svg)\n\nHeld-out documents, the routing prefix left out for all. "
        "Perplexity is the geometric mean over %u seed%s. In brackets: 95 %% intervals of a paired "
        "bootstrap over documents; a step in bold has one that leaves 0 out. %sTime is that of the "
        "run, which a dense row shares with the paths beside it.\n",
        results->seeds, results->seeds == 1 ? "" : "s",
        of_same_tokens(results) ? ""
                                : "A step with a b behind it is between rows of other tokens, "
                                  "whose perplexities do not "
                                  "compare: it is one of bits per byte. ");
}

/* --- compare.svg */

static void
put_svg(const struct dpc_comparison_results *results, struct dpc_buf *out)
{
    uint32_t count = results->comparison->rows_count;
    bool bits = !of_same_tokens(results);
    struct dpc_svg_row *rows = dpc_alloc(count, sizeof *rows);
    double *values = dpc_alloc((size_t)count * results->seeds, sizeof *values);
    for (uint32_t i = 0; i < count; i++) {
        double *of_row = values + (size_t)i * results->seeds;
        for (uint32_t seed = 0; seed < results->seeds; seed++) {
            const struct witness *witness = &results->rows[i].witnesses[seed];
            double figure = bits ? witness->bits_per_byte : witness->perplexity;
            of_row[seed] = witness->finished ? figure : NAN;
        }
        rows[i] = (struct dpc_svg_row){results->comparison->rows[i].title, of_row, results->seeds,
                                       bits ? bits_per_byte(results, &results->rows[i])
                                            : perplexity(results, &results->rows[i])};
    }
    dpc_svg_rows(out, results->comparison->name,
                 bits ? "held-out bits per byte, a dot a seed"
                      : "held-out perplexity, a dot a seed",
                 rows, count);
    dpc_free(rows);
    dpc_free(values);
}

/* --- The files, and the terminal. */

static int
write_file(const char *folder, const char *name, const void *bytes, size_t len,
           struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    if (dpc_path_join(folder, name, path, sizeof path) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s/%s\" is too long", folder, name);
    return dpc_vfs_write_file(&dpc_vfs_posix, path, bytes, len, err);
}

int
dpc_comparison_results_write(const struct dpc_comparison_results *results, const char *folder,
                             struct dpc_error *err)
{
    struct dpc_buf markdown, svg;
    struct dpc_json *json = dpc_comparison_results_json(results);
    char *text = dpc_json_print(json, true);
    dpc_buf_init(&markdown, 0);
    dpc_buf_init(&svg, 0);
    put_markdown(results, &markdown);
    put_svg(results, &svg);
    int rc = write_file(folder, "compare.md", markdown.data, markdown.len, err);
    if (rc == DPC_OK)
        rc = write_file(folder, "compare.svg", svg.data, svg.len, err);
    if (rc == DPC_OK)
        rc = write_file(folder, "compare.json", text, strlen(text), err);
    dpc_buf_done(&markdown);
    dpc_buf_done(&svg);
    dpc_free(text);
    dpc_json_destroy(json);
    return rc;
}

void
dpc_comparison_results_print(const struct dpc_comparison_results *results, FILE *out)
{
    static const char *const titles[] = {"model",  ">held-out ppl", ">bits/byte",   ">step", "from",
                                         ">steps", ">tokens",       ">params/path", ">total"};
    struct dpc_table *table = dpc_table_create(titles, sizeof titles / sizeof *titles);
    for (uint32_t i = 0; i < results->comparison->rows_count; i++) {
        const struct result *result = &results->rows[i];
        char count[DPC_SHORT_TEXT_MAX], step[64];
        dpc_table_add(table, "%s", result->row->name);
        dpc_table_add(table, result->finished ? "%.3f" : "-", perplexity(results, result));
        dpc_table_add(table, result->finished ? "%.3f" : "-", bits_per_byte(results, result));
        dpc_table_add(table, "%s", show_step(&result->against, step));
        dpc_table_add(
            table, "%s",
            result->against.row < 0 ? "" : results->comparison->rows[result->against.row].name);
        dpc_table_add(table, "%" PRId64, result->steps);
        dpc_table_add(table, "%s", dpc_text_count((double)result->tokens, count));
        dpc_table_add(table, "%s", dpc_text_count((double)result->params_path, count));
        dpc_table_add(table, "%s", dpc_text_count((double)result->params_total, count));
    }
    dpc_table_print(table, out);
    dpc_table_destroy(table);
}
