/* SPDX-License-Identifier: Apache-2.0
 * Reports as runs write them, of two seeds and with figures chosen for the test. */
#include "cli/comparison_report.h"

#include <math.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "cli/result.h"
#include "tests/unit/data/corpus.h"

static const char base[] = "experiment: base\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 16, heads: 2, context: 32}\n"
                           "levels:\n"
                           "  - {name: low, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: high, parts: [{blocks: 2}, head], modules: 2}\n"
                           "routing: {prefix: 8}\n"
                           "reroute: {every: [16], steps: 7}\n"
                           "inner: {batch: 4, steps: 10}\n"
                           "outer: {rounds: 6}\n"
                           "warm_start: {steps: 20}\n";

static const char rows[] =
    "comparison: small\n"
    "base: base.yaml\n"
    "seeds: [1, 2]\n"
    "rows:\n"
    "  - {name: dense, measure: dense}\n"
    "  - {name: grid, title: two by two}\n"
    "  - {name: again, every: 16}\n"
    "  - {name: flat, set: {levels: [{name: all, parts: [embedding, "
    "{blocks: 3}, head], modules: 4}],"
    " reroute: {every: never}}}\n"
    "  - {name: other, set: {outer: {rounds: 5}}}\n"
    "  - {name: longer, tokens_of: grid, against: grid, set: {reroute: {every: never}, "
    "levels: [{name: all, parts:"
    " [embedding, {blocks: 3}, head], modules: 1}]}}\n";

enum { DENSE, GRID, AGAIN, FLAT, OTHER, LONGER, ROWS };
enum { TOKENS = 33280, TARGETS = 100 };

struct rig {
    struct temp temp;
    struct dpc_comparison *comparison;
    struct dpc_comparison_runs runs;
};

static void
set_up(struct rig *rig)
{
    static const char *const texts[] = {"the first of two texts", "and the second one"};
    struct dpc_error err = {0};
    *rig = (struct rig){0};
    temp_make(&rig->temp);
    temp_make_folder(&rig->temp, "corpus");
    corpus_build(&rig->temp, "corpus/" DPC_TOKENS_FILE, texts, 2);
    temp_write_text(&rig->temp, "base.yaml", base);
    temp_write_text(&rig->temp, "compare.yaml", rows);
    CU_ASSERT_EQUAL_FATAL(
        dpc_comparison_load(temp_path(&rig->temp, "compare.yaml"), &rig->comparison, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(rig->comparison, &rig->runs, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(err.text, "");
}

static void
tear_down(struct rig *rig)
{
    dpc_comparison_runs_done(&rig->runs);
    dpc_comparison_destroy(rig->comparison);
    temp_remove(&rig->temp);
}

/* Two documents lose `nats` a token each. */
static double
lost(double perplexity)
{
    return TARGETS / 2.0 * log(perplexity);
}

/* A finished run: perplexities of its models, tokens of its paths, and what new routes read again.
 */
static void
finish_run(struct rig *rig, uint32_t row, uint32_t seed, double dense, double dipaco,
           double rerouted, int64_t tokens, int recomputed)
{
    static const char row_format[] =
        "{\"name\": \"%s\", \"ppl\": %.17g, \"bits_per_byte\": %.17g, \"documents\": 2, "
        "\"targets\": 100, \"steps\": %d, \"tokens\": %lld, \"params_path\": 1000, "
        "\"params_total\": %d}";
    const char *name = rig->runs.runs[rig->runs.of[row][seed]].name;
    char path[512], text[4096], one[512], two[512];
    (void)snprintf(text, sizeof text,
                   "path\tdocument\ttargets\tbytes\tnats\n0-1\t3\t50\t50\t%.17g\n"
                   "1-0\t4\t50\t50\t%.17g\ndense\t3\t50\t50\t%.17g\ndense\t4\t50\t50\t%.17g\n",
                   lost(dipaco), lost(dipaco), lost(dense), lost(dense));
    (void)snprintf(path, sizeof path, "runs/%s/report/documents.tsv", name);
    temp_write_text(&rig->temp, path, text);
    (void)snprintf(text, sizeof text,
                   "every\tdocument\ttargets\tbytes\tnats\n16\t3\t50\t50\t%.17g\n"
                   "16\t4\t50\t50\t%.17g\n",
                   lost(rerouted), lost(rerouted));
    (void)snprintf(path, sizeof path, "runs/%s/report/reroute.tsv", name);
    temp_write_text(&rig->temp, path, text);

    (void)snprintf(one, sizeof one, row_format, "dense", dense, log2(dense), 80, 10240LL, 1000);
    (void)snprintf(two, sizeof two, row_format, "dipaco", dipaco, log2(dipaco), 80,
                   (long long)tokens, 2000);
    (void)snprintf(text, sizeof text,
                   "{\"format\": 1, \"seconds\": %u, \"rows\": [%s, %s], \"reroute\": [{\"every\": "
                   "16, \"ppl\": %.17g, \"bits_per_byte\": %.17g, \"documents\": 2, \"targets\": "
                   "100, \"recomputed\": %d}]}",
                   10 + 20 * seed, one, two, rerouted, log2(rerouted), recomputed);
    (void)snprintf(path, sizeof path, "runs/%s/report/report.json", name);
    temp_write_text(&rig->temp, path, text);
}

static void
finish_all(struct rig *rig)
{
    finish_run(rig, GRID, 0, 6, 4, 3, TOKENS, 0);
    finish_run(rig, GRID, 1, 24, 9, 12, TOKENS, 50);
    for (uint32_t seed = 0; seed < 2; seed++) {
        finish_run(rig, FLAT, seed, 12, 5, 5, TOKENS, 0);
        finish_run(rig, OTHER, seed, 12, 7, 7, seed == 0 ? TOKENS - 2560 : TOKENS, 0);
        finish_run(rig, LONGER, seed, 12, 3, 3, TOKENS + 1280, 0);
    }
}

static struct dpc_comparison_results *
load(struct rig *rig)
{
    struct dpc_comparison_results *results = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_results_load(rig->comparison, &rig->runs,
                                                      temp_path(&rig->temp, "."), &results, &err),
                          DPC_OK);
    return results;
}

static double
figure(const struct dpc_json *row, const char *key)
{
    return dpc_json_number(dpc_json_get(row, key), NAN);
}

static bool
flag(const struct dpc_json *row, const char *key)
{
    return dpc_json_bool(dpc_json_get(row, key), false);
}

/* Perplexities of two seeds have a geometric mean, everything else an arithmetic one. */
static void
figures_are_means_over_seeds(void)
{
    struct rig rig;
    set_up(&rig);
    finish_all(&rig);
    struct dpc_comparison_results *results = load(&rig);
    struct dpc_json *json = dpc_comparison_results_json(results);
    const struct dpc_json *list = dpc_json_get(json, "rows");
    const struct dpc_experiment *experiment = &rig.runs.runs[0].experiment;
    CU_ASSERT_EQUAL(dpc_json_count(list), ROWS);
    const struct dpc_json *dense = dpc_json_at(list, DENSE), *grid = dpc_json_at(list, GRID);
    CU_ASSERT_DOUBLE_EQUAL(figure(dense, "ppl"), 12, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(figure(grid, "ppl"), 6, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(figure(grid, "bits_per_byte"), (2 + log2(9)) / 2, 1e-9);
    CU_ASSERT_EQUAL(figure(grid, "seconds"), 20);
    CU_ASSERT_EQUAL(figure(grid, "tokens"), TOKENS);
    CU_ASSERT_EQUAL(figure(dpc_json_at(list, OTHER), "tokens"), TOKENS - 1280);
    CU_ASSERT_EQUAL(figure(grid, "params_path"), 1000);
    CU_ASSERT_EQUAL(figure(grid, "params_total"), 2000);
    CU_ASSERT_EQUAL(figure(dense, "params_total"), 1000);
    CU_ASSERT_EQUAL(figure(dense, "round_bytes"), 0);
    CU_ASSERT(figure(grid, "round_bytes") > 4.0 * 4 * (double)dpc_layout_path_floats(experiment));
    CU_ASSERT_DOUBLE_EQUAL(figure(grid, "flops_per_token"), dpc_layout_forward_flops(experiment),
                           1);
    CU_ASSERT_DOUBLE_EQUAL(figure(grid, "train_flops"), TOKENS * dpc_layout_train_flops(experiment),
                           1);

    /* 1/2 and 1/3, and both seeds on the same side. */
    const struct dpc_json *step = dpc_json_get(grid, "against");
    CU_ASSERT_DOUBLE_EQUAL(figure(step, "percent"), -50, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(figure(step, "low"), -50, 1e-9);
    CU_ASSERT(flag(step, "shown"));
    CU_ASSERT_PTR_NULL(dpc_json_get(dense, "against"));
    dpc_json_destroy(json);
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

/* A network beside the path reads each token, and paths read some of them again. */
static void
new_routes_are_paid_for(void)
{
    struct rig rig;
    set_up(&rig);
    finish_all(&rig);
    struct dpc_comparison_results *results = load(&rig);
    struct dpc_json *json = dpc_comparison_results_json(results);
    const struct dpc_experiment *experiment = &rig.runs.runs[0].experiment;
    const struct dpc_json *row = dpc_json_at(dpc_json_get(json, "rows"), AGAIN);
    double network = (double)dpc_layout_path_floats(experiment);
    CU_ASSERT_DOUBLE_EQUAL(figure(row, "ppl"), 6, 1e-9);
    CU_ASSERT_EQUAL(figure(row, "params_path"), 1000 + network);
    CU_ASSERT_EQUAL(figure(row, "params_total"), 2000 + network);
    CU_ASSERT_DOUBLE_EQUAL(figure(row, "flops_per_token"),
                           2.25 * dpc_layout_forward_flops(experiment), 1);
    CU_ASSERT_DOUBLE_EQUAL(figure(row, "train_flops"),
                           (TOKENS + 7 * 4 * 32) * dpc_layout_train_flops(experiment), 1);
    /* One seed is better by a quarter, the other worse by a third. */
    CU_ASSERT_DOUBLE_EQUAL(figure(dpc_json_get(row, "against"), "percent"), 0, 1e-9);
    dpc_json_destroy(json);
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

/* Whoever asked, whoever was asked about, and whoever reads as many tokens. */
static void
blocks_are_of_equal_steps_and_equal_tokens(void)
{
    static const bool steps[ROWS] = {true, true, true, true, true, false};
    static const bool tokens[ROWS] = {false, true, true, true, false, true};
    struct rig rig;
    set_up(&rig);
    finish_all(&rig);
    struct dpc_comparison_results *results = load(&rig);
    struct dpc_json *json = dpc_comparison_results_json(results);
    for (size_t i = 0; i < ROWS; i++) {
        const struct dpc_json *row = dpc_json_at(dpc_json_get(json, "rows"), i);
        CU_ASSERT_EQUAL(flag(row, "equal_steps"), steps[i]);
        CU_ASSERT_EQUAL(flag(row, "equal_tokens"), tokens[i]);
    }
    dpc_json_destroy(json);
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

static bool
file_says(struct rig *rig, const char *name, const char *text)
{
    uint8_t *bytes;
    size_t len;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, temp_path(&rig->temp, name), 1 << 20, &bytes, &len, &err),
        DPC_OK);
    bool found = memmem(bytes, len, text, strlen(text));
    dpc_free(bytes);
    return found;
}

/* Table and picture say the same. */
static void
files_say_the_same_figures(void)
{
    struct rig rig;
    struct dpc_error err;
    set_up(&rig);
    finish_all(&rig);
    struct dpc_comparison_results *results = load(&rig);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_results_write(results, temp_path(&rig.temp, "."), &err),
                          DPC_OK);
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "| two by two | 6.000 | 2.585 | -50.0 %"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "**-50.0 % [-50.0, -50.0]** to two by two |"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.svg", ">6.000</text>"));
    CU_ASSERT_FALSE(file_says(&rig, "compare.md", "whose perplexities do not compare"));
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

static void
a_title_stays_in_its_cell(void)
{
    struct rig rig;
    struct dpc_error err = {0};
    set_up(&rig);
    finish_all(&rig);
    (void)snprintf(rig.comparison->rows[DENSE].title, sizeof rig.comparison->rows[DENSE].title,
                   "p(a|b)");
    (void)snprintf(rig.comparison->rows[GRID].title, sizeof rig.comparison->rows[GRID].title,
                   "2 | 2\\");
    struct dpc_comparison_results *results = load(&rig);
    CU_ASSERT_EQUAL(dpc_comparison_results_write(results, temp_path(&rig.temp, "."), &err), DPC_OK);
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "| bits per byte | to p(a\\|b) | step |"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "| p(a\\|b) | "));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "| 2 \\| 2\\\\ | 6.000 |"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "** to 2 \\| 2\\\\ |"));
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

/* Perplexities of other tokens do not compare: steps to them, and the picture, are of bits per
 * byte. */
static void
rows_of_other_tokens_compare_by_the_byte(void)
{
    struct rig rig;
    struct dpc_error err;
    set_up(&rig);
    finish_all(&rig);
    for (uint32_t seed = 0; seed < 2; seed++) {
        struct dpc_experiment *flat = &rig.runs.runs[rig.runs.of[FLAT][seed]].experiment;
        flat->data.tokenizer = DPC_TOKENIZER_SENTENCEPIECE;
    }
    struct dpc_comparison_results *results = load(&rig);
    struct dpc_json *json = dpc_comparison_results_json(results);
    const struct dpc_json *list = dpc_json_get(json, "rows"), *step;
    step = dpc_json_get(dpc_json_at(list, GRID), "against");
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(step, "of"), ""), "ppl");
    CU_ASSERT_DOUBLE_EQUAL(figure(step, "percent"), -50, 1e-9);
    step = dpc_json_get(dpc_json_at(list, FLAT), "against"); /* 5 and 5 to 3 and 12 */
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(step, "of"), ""), "bits_per_byte");
    double ratio = sqrt(log(5) / log(3) * log(5) / log(12));
    CU_ASSERT_DOUBLE_EQUAL(figure(step, "percent"), 100 * (ratio - 1), 1e-9);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_results_write(results, temp_path(&rig.temp, "."), &err),
                          DPC_OK);
    CU_ASSERT_TRUE(file_says(&rig, "compare.svg", "bits per byte"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "] b** to again |"));
    CU_ASSERT_TRUE(file_says(&rig, "compare.md", "whose perplexities do not compare"));
    dpc_json_destroy(json);
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

/* Nothing is said of a row that one seed lacks, and nothing of others to it. */
static void
unfinished_rows_are_told(void)
{
    struct rig rig;
    set_up(&rig);
    finish_run(&rig, GRID, 0, 6, 4, 3, TOKENS, 0);
    struct dpc_comparison_results *results = load(&rig);
    struct dpc_json *json = dpc_comparison_results_json(results);
    const struct dpc_json *row = dpc_json_at(dpc_json_get(json, "rows"), GRID);
    CU_ASSERT_FALSE(flag(row, "finished"));
    CU_ASSERT(isnan(figure(row, "ppl")));
    CU_ASSERT(isnan(figure(row, "flops_per_token")));
    CU_ASSERT_PTR_NULL(dpc_json_get(row, "against"));
    CU_ASSERT_TRUE(flag(dpc_json_at(dpc_json_get(row, "seeds"), 0), "finished"));
    CU_ASSERT_FALSE(flag(dpc_json_at(dpc_json_get(row, "seeds"), 1), "finished"));
    dpc_json_destroy(json);
    dpc_comparison_results_destroy(results);
    tear_down(&rig);
}

/* UBSan stops where sums overflow. */
static void
numbers_that_no_run_comes_to_are_damage(void)
{
    static const char *const numbers[] = {"9223372036854775807", "-1"};
    struct rig rig;
    set_up(&rig);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct dpc_comparison_results *results;
        struct dpc_error err = {0};
        char path[512], text[1024];
        finish_all(&rig);
        (void)snprintf(
            text, sizeof text,
            "{\"rows\": [{\"name\": \"dense\", \"documents\": 2}, {\"name\": \"dipaco\", "
            "\"params_path\": %s}], \"reroute\": [{\"every\": 16, \"targets\": 1}]}",
            numbers[i]);
        (void)snprintf(path, sizeof path, "runs/%s/report/report.json",
                       rig.runs.runs[rig.runs.of[AGAIN][1]].name);
        temp_write_text(&rig.temp, path, text);
        CU_ASSERT_EQUAL(dpc_comparison_results_load(rig.comparison, &rig.runs,
                                                    temp_path(&rig.temp, "."), &results, &err),
                        DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "numbers that no run comes to"));
    }
    tear_down(&rig);
}

/* The row lost its intervals without a word, as one that was measured on other documents. */
static void
losses_that_are_cut_off_are_damage(void)
{
    static const char *const names[] = {"documents", "reroute"};
    struct rig rig;
    set_up(&rig);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct dpc_comparison_results *results;
        struct dpc_error err = {0};
        char path[512];
        finish_all(&rig);
        (void)snprintf(path, sizeof path, "runs/%s/report/%s.tsv",
                       rig.runs.runs[rig.runs.of[AGAIN][1]].name, names[i]);
        temp_write_text(&rig.temp, path,
                        "path\tdocument\ttargets\tbytes\tnats\n16\t3\t50\t50\t90\n");
        CU_ASSERT_EQUAL(dpc_comparison_results_load(rig.comparison, &rig.runs,
                                                    temp_path(&rig.temp, "."), &results, &err),
                        DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "and report.json counts 2"));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, names[i]));
    }
    tear_down(&rig);
}

static const struct dpc_test tests[] = {
    {"figures are means over seeds", figures_are_means_over_seeds},
    {"new routes are paid for", new_routes_are_paid_for},
    {"blocks are of equal steps and equal tokens", blocks_are_of_equal_steps_and_equal_tokens},
    {"files say the same figures", files_say_the_same_figures},
    {"a title stays in its cell", a_title_stays_in_its_cell},
    {"rows of other tokens compare by the byte", rows_of_other_tokens_compare_by_the_byte},
    {"unfinished rows are told", unfinished_rows_are_told},
    {"losses that are cut off are damage", losses_that_are_cut_off_are_damage},
    {"numbers that no run comes to are damage", numbers_that_no_run_comes_to_are_damage},
};
DPC_TEST_MAIN("cli/comparison_report", tests)
