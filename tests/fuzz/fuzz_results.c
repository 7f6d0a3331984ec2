/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in the report of a run that a comparison reads: it is refused with a reason, or
 * told in all four ways.
 *
 * The first byte of an input says which of the report's files it is; the others are sound.
 */
#include <sys/stat.h>

#include "base/json.h"
#include "cli/comparison_report.h"
#include "data/builder.h"
#include "data/tokens.h"
#include "tests/fuzz/folder.h"

static const char base[] = "experiment: base\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 16, heads: 2, context: 32}\n"
                           "levels:\n"
                           "  - {name: low, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: high, parts: [{blocks: 2}, head], modules: 2}\n"
                           "routing: {prefix: 8}\nreroute: {every: [16], steps: 7}\n"
                           "inner: {batch: 4, steps: 10}\nouter: {rounds: 6}\n"
                           "warm_start: {steps: 20}\n";
static const char rows[] = "comparison: small\nbase: base.yaml\nrows:\n"
                           "  - {name: dense, measure: dense}\n"
                           "  - {name: grid}\n"
                           "  - {name: again, every: 16}\n"
                           "  - {name: other, tokens_of: grid, set: {outer: {lr: 0.5}}}\n";

/* Of each run. */
static const struct {
    const char *name, *text;
} files[] = {
    {"report.json",
     "{\"format\": 1, \"seconds\": 30.5, \"rows\": [{\"name\": \"dense\", \"ppl\": 12.5, "
     "\"bits_per_byte\": 3.64, \"documents\": 2, \"targets\": 100, \"steps\": 80, \"tokens\": "
     "10240, \"params_path\": 1000, \"params_total\": 1000}, {\"name\": \"dipaco\", \"ppl\": 7.5, "
     "\"bits_per_byte\": 2.9, \"documents\": 2, \"targets\": 100, \"steps\": 80, \"tokens\": "
     "33280, \"params_path\": 1000, \"params_total\": 2000}], \"reroute\": [{\"every\": 16, "
     "\"ppl\": 7.25, \"bits_per_byte\": 2.8, \"documents\": 2, \"targets\": 100, \"recomputed\": "
     "50}]}"},
    {"documents.tsv", "path\tdocument\ttargets\tbytes\tnats\n0-1\t3\t50\t50\t100.5\n"
                      "1-0\t4\t50\t50\t101\ndense\t3\t50\t50\t120\ndense\t4\t50\t50\t122.25\n"},
    {"reroute.tsv", "every\tdocument\ttargets\tbytes\tnats\n16\t3\t50\t50\t99\n"
                    "16\t4\t50\t50\t98.5\n"},
};
enum { FILES = sizeof files / sizeof *files };

static struct {
    struct dpc_comparison *comparison;
    struct dpc_comparison_runs runs;
    FILE *nowhere;
} rig;

static void
make_folder(const char *name)
{
    fuzz_require(mkdir(fuzz_folder_path(name), 0700) == 0, name);
}

static void
build_corpus(void)
{
    static const char text[] = "a text";
    struct dpc_builder *builder;
    make_folder("corpus");
    fuzz_require(dpc_builder_open(&dpc_vfs_posix, fuzz_folder_path("corpus/" DPC_TOKENS_FILE),
                                  dpc_tokenizer_bytes(), &builder, NULL) == DPC_OK &&
                     dpc_builder_add(builder, (const uint8_t *)text, sizeof text - 1, NULL, NULL) ==
                         DPC_OK &&
                     dpc_builder_finish(builder, NULL) == DPC_OK,
                 "a corpus is built");
    dpc_builder_close(builder);
}

/* A file of the report of run `run`. */
static void
write_file(uint32_t run, uint32_t file, const void *bytes, size_t len)
{
    char *name = dpc_format("runs/%s/report/%s", rig.runs.runs[run].name, files[file].name);
    fuzz_folder_write(name, bytes, len);
    dpc_free(name);
}

static void
finish_run(uint32_t run)
{
    char *name = dpc_format("runs/%s", rig.runs.runs[run].name);
    char *report = dpc_format("%s/report", name);
    make_folder(name);
    make_folder(report);
    for (uint32_t i = 0; i < FILES; i++)
        write_file(run, i, files[i].text, strlen(files[i].text));
    dpc_free(report);
    dpc_free(name);
}

static void
end_rig(void)
{
    dpc_comparison_runs_done(&rig.runs);
    dpc_comparison_destroy(rig.comparison);
    fclose(rig.nowhere);
}

static void
start_rig(void)
{
    struct dpc_error err = {0};
    fuzz_folder_make();
    build_corpus();
    make_folder("runs");
    fuzz_folder_write("base.yaml", base, sizeof base - 1);
    const char *file = fuzz_folder_write("compare.yaml", rows, sizeof rows - 1);
    int code = dpc_comparison_load(file, &rig.comparison, &err);
    if (code == DPC_OK)
        code = dpc_comparison_make_runs(rig.comparison, &rig.runs, &err);
    fuzz_require(code == DPC_OK, err.text);
    for (uint32_t i = 0; i < rig.runs.count; i++)
        finish_run(i);
    rig.nowhere = fopen("/dev/null", "w");
    fuzz_require(rig.nowhere && atexit(end_rig) == 0, "a rig ends");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_comparison_results *results;
    struct dpc_error err = {0};
    if (size == 0)
        return 0;
    if (!rig.comparison)
        start_rig();
    uint32_t file = data[0] % FILES;
    write_file(0, file, data + 1, size - 1);
    int code = dpc_comparison_results_load(rig.comparison, &rig.runs, fuzz_folder, &results, &err);
    fuzz_require(code == DPC_OK || (err.code == code && *err.text), "a refusal says why");
    if (code == DPC_OK) {
        fuzz_accepted++;
        dpc_comparison_results_print(results, rig.nowhere);
        dpc_json_destroy(dpc_comparison_results_json(results));
        fuzz_require(dpc_comparison_results_write(results, fuzz_folder, &err) == DPC_OK, err.text);
        dpc_comparison_results_destroy(results);
    }
    write_file(0, file, files[file].text, strlen(files[file].text));
    return 0;
}

#ifndef DPC_LIBFUZZER

static void
add_inputs(struct fuzz *fuzz)
{
    for (uint32_t i = 0; i < FILES; i++) {
        char *input = dpc_format("%c%s", (int)(i + FILES), files[i].text);
        fuzz_valid(fuzz, input, strlen(input), 0);
        dpc_free(input);
    }
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 100, add_inputs);
}

#endif
