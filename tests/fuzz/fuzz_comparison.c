/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in the file of a comparison: what is accepted has rows that refer to each other
 * as they may, and what is to be trained for it are experiments that print as files of the same.
 * Its base and its corpora are sound, as others read those.
 */
#include <sys/stat.h>

#include "cli/comparison.h"
#include "data/builder.h"
#include "data/tokens.h"
#include "tests/fuzz/folder.h"

static const char base[] = "experiment: base\n"
                           "seed: 5\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 16, heads: 2, context: 32}\n"
                           "levels:\n"
                           "  - {name: low, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: high, parts: [{blocks: 2}, head], modules: 2}\n"
                           "routing: {prefix: 8}\n"
                           "reroute: {every: [16], ahead: 16}\n"
                           "inner: {batch: 4, steps: 10}\n"
                           "outer: {rounds: 6}\n"
                           "warm_start: {steps: 20}\n";

static void
build_corpus(void)
{
    static const char *const texts[] = {"the first of two texts", "and the second one"};
    struct dpc_builder *builder;
    fuzz_require(mkdir(fuzz_folder_path("corpus"), 0700) == 0 &&
                     dpc_builder_open(&dpc_vfs_posix, fuzz_folder_path("corpus/" DPC_TOKENS_FILE),
                                      dpc_tokenizer_bytes(), &builder, NULL) == DPC_OK,
                 "a corpus begins");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fuzz_require(dpc_builder_add(builder, (const uint8_t *)texts[i], strlen(texts[i]), NULL,
                                     NULL) == DPC_OK,
                     "a text is added");
    fuzz_require(dpc_builder_finish(builder, NULL) == DPC_OK, "a corpus is built");
    dpc_builder_close(builder);
}

static void
check_row(const struct dpc_comparison *comparison, uint32_t index)
{
    const struct dpc_comparison_row *row = &comparison->rows[index];
    int against = dpc_comparison_find(comparison, row->against);
    int tokens_of = dpc_comparison_find(comparison, row->tokens_of);
    fuzz_require(dpc_comparison_find(comparison, row->name) == (int)index, "a row is found");
    fuzz_require(*row->title, "a row has a title");
    fuzz_require(index == 0 ? !*row->against : against >= 0 && against < (int)index,
                 "a row is measured from one before it");
    fuzz_require(!*row->tokens_of || (tokens_of >= 0 && !*comparison->rows[tokens_of].tokens_of),
                 "a row takes tokens of one that takes none");
}

static void
check_run(const struct dpc_comparison_run *run)
{
    static struct dpc_experiment again;
    struct dpc_buf yaml;
    struct dpc_error err;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(&run->experiment, &yaml);
    fuzz_require(!yaml.failed, "a run's experiment is printed");
    int code = dpc_experiment_parse("run", (const char *)yaml.data, yaml.len, &again, &err);
    fuzz_require(code == DPC_OK, code == DPC_OK ? "" : err.text);
    fuzz_require(again.seed == run->experiment.seed &&
                     again.outer.rounds == run->experiment.outer.rounds,
                 "a run's file says the same");
    fuzz_require(*run->name && !strchr(run->name, '/'), "a run's folder has a name");
    dpc_buf_done(&yaml);
}

static void
make_runs(const struct dpc_comparison *comparison)
{
    struct dpc_comparison_runs runs;
    struct dpc_error err = {0};
    if (dpc_comparison_make_runs(comparison, &runs, &err) != DPC_OK) {
        fuzz_require(err.code != DPC_OK && *err.text, "a refusal says why");
        return;
    }
    fuzz_accepted++;
    uint32_t seeds = comparison->seeds_count ? comparison->seeds_count : 1;
    for (uint32_t row = 0; row < comparison->rows_count; row++) {
        for (uint32_t i = 0; i < seeds; i++)
            fuzz_require(runs.of[row][i] < runs.count, "each row and seed has a run");
    }
    for (uint32_t i = 0; i < runs.count; i++)
        check_run(&runs.runs[i]);
    dpc_comparison_runs_done(&runs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_comparison *comparison;
    struct dpc_error err = {0};
    if (!*fuzz_folder) {
        fuzz_folder_make();
        build_corpus();
        fuzz_folder_write("base.yaml", base, sizeof base - 1);
    }
    const char *file = fuzz_folder_write("compare.yaml", data, size);
    if (dpc_comparison_load(file, &comparison, &err) != DPC_OK) {
        fuzz_require(err.code != DPC_OK && *err.text, "a refusal says why");
        return 0;
    }
    fuzz_require(comparison->rows_count >= 1 && comparison->rows_count <= DPC_COMPARISON_ROWS_MAX &&
                     comparison->seeds_count <= DPC_COMPARISON_SEEDS_MAX,
                 "rows and seeds have room");
    for (uint32_t i = 0; i < comparison->rows_count; i++)
        check_row(comparison, i);
    make_runs(comparison);
    dpc_comparison_destroy(comparison);
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const files[] = {
    "comparison: small\nbase: base.yaml\nseeds: [1, 2]\nrows:\n"
    "  - {name: dense, measure: dense}\n"
    "  - {name: grid, title: two by two}\n"
    "  - {name: anew, every: 16}\n"
    "  - name: flat\n    against: dense\n    set:\n      model: {dim: 24}\n"
    "      levels: [{name: all, parts: [embedding, {blocks: 3}, head], modules: 4}]\n"
    "  - name: longer\n    tokens_of: grid\n    set:\n      reroute: {every: never}\n"
    "      levels: [{name: all, parts: [embedding, {blocks: 3}, head], modules: 1}]\n",
    "comparison: one\nbase: ./base.yaml\nrows:\n"
    "  - {name: a, set: {routing: {phases: 1}, outer: {lr: .5, momentum: 0.9, rounds: 4}}}\n"
    "  - {name: b, tokens_of: a, set: {inner: {batch: 2, steps: 7}, data: {corpus: ./corpus}}}\n",
};

static void
add_inputs(struct fuzz *fuzz)
{
    fuzz_valid_texts(fuzz, files, sizeof files / sizeof *files);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 2000, add_inputs);
}

#endif
