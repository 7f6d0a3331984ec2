/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/comparison.h"

#include <stdlib.h>

#include "tests/unit/base/llama_folder.h"
#include "tests/unit/data/corpus.h"

static const char base[] = "experiment: base\n"
                           "seed: 5\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 16, heads: 2, context: 32}\n"
                           "levels:\n"
                           "  - {name: low, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: high, parts: [{blocks: 2}, head], modules: 2}\n"
                           "routing: {prefix: 8}\n"
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
    "  - name: flat\n"
    "    against: dense\n"
    "    set:\n"
    "      model: {dim: 24}\n"
    "      levels: [{name: all, parts: [embedding, {blocks: 3}, head], modules: 4}]\n"
    "  - name: longer\n"
    "    tokens_of: grid\n"
    "    set:\n"
    "      levels: [{name: all, parts: [embedding, {blocks: 3}, head], modules: 1}]\n";

static struct temp temp;

/* The folder with a base and its corpus. */
static void
set_up(void)
{
    static const char *const texts[] = {"the first of two texts", "and the second one"};
    temp_make(&temp);
    temp_make_folder(&temp, "corpus");
    corpus_build(&temp, "corpus/" DPC_TOKENS_FILE, texts, 2);
    temp_write_text(&temp, "base.yaml", base);
}

static struct dpc_comparison *
load(const char *text, struct dpc_error *err)
{
    struct dpc_comparison *comparison = NULL;
    *err = (struct dpc_error){0};
    temp_write_text(&temp, "compare.yaml", text);
    if (dpc_comparison_load(temp_path(&temp, "compare.yaml"), &comparison, err) == DPC_OK)
        CU_ASSERT_PTR_NOT_NULL(comparison);
    return comparison;
}

static struct dpc_comparison *
load_rows(void)
{
    struct dpc_error err;
    struct dpc_comparison *comparison = load(rows, &err);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(comparison);
    return comparison;
}

static void
rows_are_read(void)
{
    set_up();
    struct dpc_comparison *comparison = load_rows();
    CU_ASSERT_EQUAL(comparison->rows_count, 4);
    CU_ASSERT_EQUAL(comparison->seeds_count, 2);
    CU_ASSERT_EQUAL(comparison->rows[0].measure, DPC_MEASURE_DENSE);
    CU_ASSERT_STRING_EQUAL(comparison->rows[0].against, "");
    CU_ASSERT_STRING_EQUAL(comparison->rows[1].title, "two by two");
    CU_ASSERT_STRING_EQUAL(comparison->rows[1].against, "dense");
    CU_ASSERT_STRING_EQUAL(comparison->rows[2].against, "dense");
    CU_ASSERT_STRING_EQUAL(comparison->rows[3].against, "flat");
    CU_ASSERT_EQUAL(dpc_comparison_find(comparison, "longer"), 3);
    CU_ASSERT_EQUAL(dpc_comparison_find(comparison, "wider"), -1);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

static void
rows_that_ask_for_the_same_share_a_run(void)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison = load_rows();
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
    CU_ASSERT_EQUAL(runs.count, 3 * 2);
    for (uint32_t seed = 0; seed < 2; seed++) {
        const struct dpc_comparison_run *shared = &runs.runs[runs.of[0][seed]];
        CU_ASSERT_EQUAL(runs.of[0][seed], runs.of[1][seed]);
        CU_ASSERT_NOT_EQUAL(runs.of[1][seed], runs.of[2][seed]);
        CU_ASSERT_TRUE(shared->experiment.baseline.dense);
        CU_ASSERT_FALSE(runs.runs[runs.of[2][seed]].experiment.baseline.dense);
        CU_ASSERT_EQUAL(shared->experiment.seed, seed + 1);
        CU_ASSERT_EQUAL(shared->experiment.data.corpus[0], '/');
    }
    CU_ASSERT_STRING_NOT_EQUAL(runs.runs[0].name, runs.runs[1].name);
    dpc_comparison_runs_done(&runs);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

static void
keys_of_a_row_stand_over_the_base(void)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison = load_rows();
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
    const struct dpc_experiment *grid = &runs.runs[runs.of[1][0]].experiment;
    const struct dpc_experiment *flat = &runs.runs[runs.of[2][0]].experiment;
    CU_ASSERT_EQUAL(flat->levels_count, 1);
    CU_ASSERT_EQUAL(flat->levels[0].blocks, 3);
    CU_ASSERT_EQUAL(flat->model.dim, 24);
    CU_ASSERT_EQUAL(flat->model.ffn, 64); /* 8/3 of its own dim, not of the base's */
    CU_ASSERT_EQUAL(flat->inner.batch, grid->inner.batch);
    CU_ASSERT_EQUAL(grid->levels_count, 2);
    dpc_comparison_runs_done(&runs);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

/* Without seeds of all rows. */
static void
a_row_may_have_a_seed_of_its_own(void)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison = load("comparison: c\nbase: base.yaml\nrows:\n  - {name: "
                                             "a}\n  - {name: b, set: {seed: 9}}\n",
                                             &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(comparison);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
    CU_ASSERT_EQUAL(runs.count, 2);
    CU_ASSERT_EQUAL(runs.runs[runs.of[0][0]].experiment.seed, 5);
    CU_ASSERT_EQUAL(runs.runs[runs.of[1][0]].experiment.seed, 9);
    dpc_comparison_runs_done(&runs);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

/* It was said to need a file name. */
static void
a_title_is_a_line_of_text(void)
{
    static const char *const bad[] = {"\"\"", "\"a\\nb\"", "[a]"};
    struct dpc_error err = {0};
    set_up();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "comparison: c\nbase: base.yaml\nrows:\n  - {name: a, title: %s}\n", bad[i]);
        CU_ASSERT_PTR_NULL(load(text, &err));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "needed is a line of text of at most 1023 bytes"));
    }
    temp_remove(&temp);
}

/* Four paths of 6 rounds of 10 steps are 240 steps: 24 rounds of one path. */
static void
equal_tokens_make_more_rounds(void)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison = load_rows();
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
    CU_ASSERT_EQUAL(runs.runs[runs.of[1][1]].experiment.outer.rounds, 6);
    CU_ASSERT_EQUAL(runs.runs[runs.of[3][1]].experiment.outer.rounds, 24);
    dpc_comparison_runs_done(&runs);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

/* Those of the dense model's 6 rounds, which once were those of the four paths beside it. */
static void
equal_tokens_may_be_a_dense_model_s(void)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison =
        load("comparison: c\nbase: base.yaml\nrows:\n  - {name: dense, measure: dense}\n"
             "  - {name: pair, tokens_of: dense, set: {paths: [0-0, 1-1]}}\n",
             &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(comparison);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
    CU_ASSERT_EQUAL(runs.runs[runs.of[0][0]].experiment.outer.rounds, 6);
    CU_ASSERT_EQUAL(runs.runs[runs.of[1][0]].experiment.outer.rounds, 3);
    dpc_comparison_runs_done(&runs);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

static void
another_corpus_is_another_run(void)
{
    static const char *const other[] = {"one text that stands alone"};
    struct dpc_comparison_runs before, after;
    struct dpc_error err = {0};
    set_up();
    struct dpc_comparison *comparison = load_rows();
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &before, &err), DPC_OK);
    corpus_build(&temp, "corpus/" DPC_TOKENS_FILE, other, 1);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &after, &err), DPC_OK);
    CU_ASSERT_EQUAL(before.count, after.count);
    CU_ASSERT_STRING_NOT_EQUAL(before.runs[0].name, after.runs[0].name);
    dpc_comparison_runs_done(&before);
    dpc_comparison_runs_done(&after);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

static void
write_model(enum dpc_safetensors_type type)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("base", base, strlen(base), &experiment, &err),
                          DPC_OK);
    llama_folder_make(&folder, &experiment, 1, type);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_make_folder(&dpc_vfs_posix, temp_path(&temp, "model"), &err),
                          DPC_OK);
    temp_write_text(&temp, "model/config.json", folder.config);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_write_file(&dpc_vfs_posix,
                                             temp_path(&temp, "model/model.safetensors"),
                                             folder.weights[0].data, folder.weights[0].len, &err),
                          DPC_OK);
    llama_folder_done(&folder);
}

/* What is rounded to bf16 is another model. */
static void
another_model_to_begin_as_is_another_run(void)
{
    struct dpc_comparison_runs before, after;
    struct dpc_error err = {0};
    set_up();
    write_model(DPC_SAFETENSORS_F32);
    struct dpc_comparison *comparison =
        load("comparison: c\nbase: base.yaml\nrows:\n  - {name: plain}\n"
             "  - {name: imported, set: {warm_start: {steps: 0, from: model}}}\n",
             &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(comparison);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &before, &err), DPC_OK);
    write_model(DPC_SAFETENSORS_BF16);
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(comparison, &after, &err), DPC_OK);
    CU_ASSERT_EQUAL(before.runs[1].experiment.warm_start.from[0], '/');
    CU_ASSERT_STRING_EQUAL(before.runs[0].name, after.runs[0].name);
    CU_ASSERT_STRING_NOT_EQUAL(before.runs[1].name, after.runs[1].name);
    dpc_comparison_runs_done(&before);
    dpc_comparison_runs_done(&after);
    dpc_comparison_destroy(comparison);
    temp_remove(&temp);
}

/* --- What is refused, each with the place and the way out. */

/* A file of the source tree, for srcdir or from it. */
static void
copy_example(const char *name)
{
    const char *folder = getenv("srcdir");
    char *from = dpc_format("%s/examples/%s", folder ? folder : ".", name);
    char *to = dpc_format("examples/%s", name);
    uint8_t *bytes = NULL;
    size_t len;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, from, DPC_CONFIG_BYTES_MAX, &bytes, &len, &err), DPC_OK);
    temp_write_text(&temp, to, (const char *)bytes);
    dpc_free(bytes);
    dpc_free(from);
    dpc_free(to);
}

/* The tables in examples/, with another corpus in the place of theirs. */
static void
examples_can_be_made(void)
{
    static const char *const folders[] = {"examples", ".cache", ".cache/corpus", ".cache/english"};
    static const char *const bases[] = {"compare-base.yaml", "compare-english-base.yaml",
                                        "quickstart.yaml"};
    static const char *const tables[] = {"compare.yaml", "compare-english.yaml",
                                         "compare-ablations.yaml", "compare-quickstart.yaml"};
    static const char *const texts[] = {"the first of two texts", "and the second one"};
    temp_make(&temp);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        temp_make_folder(&temp, folders[i]);
    corpus_build(&temp, ".cache/corpus/" DPC_TOKENS_FILE, texts, 2);
    corpus_build(&temp, ".cache/english/" DPC_TOKENS_FILE, texts, 2);
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        copy_example(bases[i]);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct dpc_comparison *comparison = NULL;
        struct dpc_comparison_runs runs;
        struct dpc_error err = {0};
        copy_example(tables[i]);
        char *name = dpc_format("examples/%s", tables[i]);
        int code = dpc_comparison_load(temp_path(&temp, name), &comparison, &err);
        CU_ASSERT_STRING_EQUAL(err.text, "");
        CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
        code = dpc_comparison_make_runs(comparison, &runs, &err);
        CU_ASSERT_STRING_EQUAL(err.text, "");
        CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
        CU_ASSERT(runs.count >= comparison->rows_count / 2);
        dpc_comparison_runs_done(&runs);
        dpc_comparison_destroy(comparison);
        dpc_free(name);
    }
    temp_remove(&temp);
}

static void
mistakes_are_named(void)
{
    static const struct {
        const char *text, *needed;
    } mistakes[] = {
        {"base: base.yaml\nrows: [{name: a}]\n", "\"comparison\" is missing"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a}, {name: a}]\n",
         "each row needs its own"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a, against: b}]\n",
         "no row before this one"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a, against: b}, {name: b}]\n",
         "no row before this one"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a}, {name: b, tokens_of: c}]\n",
         "name a row that has no tokens_of itself"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a}, {name: b, tokens_of: a, measure: "
         "dense}]\n",
         "counts tokens of routed paths"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a, every: 64, measure: dense}]\n",
         "a dense model has no routes"},
        {"comparison: c\nbase: base.yaml\nseeds: [1, 1]\nrows: [{name: a}]\n", "one seed twice"},
        {"comparison: c\nbase: base.yaml\nseeds: []\nrows: [{name: a}]\n", "1 to 16"},
        {"comparison: c\nbase: base.yaml\nrows: [{name: a, set: 7}]\n",
         "compare.yaml:3: \"rows[0].set\" needs a map"},
        {"comparison: c\nbase: base.yaml\nseeds: [1]\nrows: [{name: a}, {name: b, set: {seed: "
         "2}}]\n",
         "compare.yaml:4: \"rows[1].set.seed\" has no effect"},
    };
    set_up();
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct dpc_error err;
        CU_ASSERT_PTR_NULL(load(mistakes[i].text, &err));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, mistakes[i].needed));
    }
    temp_remove(&temp);
}

static void
mistakes_in_a_row_name_the_row(void)
{
    static const struct {
        const char *set, *needed;
    } mistakes[] = {
        {"{outer: {roundz: 3}}", "did you mean \"rows[1].set.outer.rounds\"?"},
        {"{outer: {rounds: 0}}", "compare.yaml:5: \"rows[1].set.outer.rounds\" is 0"},
        {"{routing: {prefix: 32}}", "less than model.context"},
        {"{data: {corpus: nowhere}}", "could not find the corpus"},
        {"{warm_start: {from: nowhere}}", "could not find the model"},
    };
    set_up();
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct dpc_comparison_runs runs;
        struct dpc_error err;
        char text[256];
        (void)snprintf(text, sizeof text,
                       "comparison: c\nbase: base.yaml\nrows:\n  - {name: a}\n  - {name: odd, set: "
                       "%s}\n",
                       mistakes[i].set);
        struct dpc_comparison *comparison = load(text, &err);
        CU_ASSERT_PTR_NOT_NULL_FATAL(comparison);
        CU_ASSERT_NOT_EQUAL(dpc_comparison_make_runs(comparison, &runs, &err), DPC_OK);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "row \"odd\""));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, mistakes[i].needed));
        dpc_comparison_destroy(comparison);
    }
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"rows are read", rows_are_read},
    {"rows that ask for the same share a run", rows_that_ask_for_the_same_share_a_run},
    {"keys of a row stand over the base", keys_of_a_row_stand_over_the_base},
    {"a row may have a seed of its own", a_row_may_have_a_seed_of_its_own},
    {"a title is a line of text", a_title_is_a_line_of_text},
    {"equal tokens make more rounds", equal_tokens_make_more_rounds},
    {"equal tokens may be a dense model's", equal_tokens_may_be_a_dense_model_s},
    {"another corpus is another run", another_corpus_is_another_run},
    {"another model to begin as is another run", another_model_to_begin_as_is_another_run},
    {"examples can be made", examples_can_be_made},
    {"mistakes are named", mistakes_are_named},
    {"mistakes in a row name the row", mistakes_in_a_row_name_the_row},
};
DPC_TEST_MAIN("cli/comparison", tests)
