/* SPDX-License-Identifier: Apache-2.0
 * Folders as a release without `routing.restarts` would have written them. */
#include "cli/comparison_names.h"

#include <stdlib.h>

#include "base/alloc.h"
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
static const char rows[] = "comparison: small\n"
                           "base: base.yaml\n"
                           "rows:\n"
                           "  - {name: dense, measure: dense}\n"
                           "  - {name: wide, set: {model: {dim: 24}}}\n";
static const char new_key[] = "  restarts: 10\n";
static const char losses[] = "path\tdocument\ttargets\tbytes\tnats\n"
                             "0-0\t0\t4\t4\t2.5\n"
                             "dense\t0\t4\t4\t3.5\n";

struct rig {
    struct temp temp;
    struct dpc_comparison *comparison;
    struct dpc_comparison_runs runs;
    char names[2][64];          /* of the runs, as this release has them */
    char told[512];             /* the last that was */
    char old[64], folder[1024]; /* an old run's name and folder */
};

static void
make_runs(struct rig *rig)
{
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_comparison_make_runs(rig->comparison, &rig->runs, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(rig->runs.count, 2);
    for (uint32_t i = 0; i < 2; i++)
        (void)snprintf(rig->names[i], sizeof rig->names[i], "%s", rig->runs.runs[i].name);
}

static void
begin(struct rig *rig)
{
    static const char *const texts[] = {"the first of two texts", "and the second one"};
    struct dpc_error err = {0};
    memset(rig, 0, sizeof *rig);
    temp_make(&rig->temp);
    temp_make_folder(&rig->temp, "corpus");
    temp_make_folder(&rig->temp, "runs");
    corpus_build(&rig->temp, "corpus/" DPC_TOKENS_FILE, texts, 2);
    temp_write_text(&rig->temp, "base.yaml", base);
    temp_write_text(&rig->temp, "compare.yaml", rows);
    CU_ASSERT_EQUAL_FATAL(
        dpc_comparison_load(temp_path(&rig->temp, "compare.yaml"), &rig->comparison, &err), DPC_OK);
    make_runs(rig);
}

static void
end(struct rig *rig)
{
    dpc_comparison_runs_done(&rig->runs);
    dpc_comparison_destroy(rig->comparison);
    temp_remove(&rig->temp);
}

/* The experiment as text, with another line in place of one; dpc_free it. */
static char *
print(const struct dpc_experiment *experiment, const char *line, const char *other)
{
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, 0);
    dpc_experiment_print(experiment, &yaml);
    const char *text = dpc_buf_text(&yaml), *at = strstr(text, line);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *changed = dpc_format("%.*s%s%s", (int)(at - text), text, other, at + strlen(line));
    dpc_buf_done(&yaml);
    return changed;
}

/* The name that a release gave which printed `text` for the experiment called "row" without a dense
 * model beside. */
static void
name_old(struct rig *rig, const struct dpc_experiment *experiment, const char *text)
{
    struct dpc_hash both[2], hash;
    char hex[DPC_HASH_HEX_MAX];
    struct dpc_tokens *corpus = corpus_open(&rig->temp, "corpus");
    dpc_hash_of(text, strlen(text), &both[0]);
    dpc_tokens_hash(corpus, &both[1]);
    dpc_tokens_close(corpus);
    dpc_hash_of(both, sizeof both, &hash);
    dpc_hash_hex(&hash, hex, sizeof hex);
    (void)snprintf(rig->old, sizeof rig->old, "%s-%llu-%.8s%s", experiment->name,
                   (unsigned long long)experiment->seed, hex,
                   experiment->baseline.dense ? "-dense" : "");
    (void)snprintf(rig->folder, sizeof rig->folder, "runs/%s", rig->old);
}

static void
put(struct rig *rig, const char *name, const char *text)
{
    char *path = dpc_format("%s/%s", rig->folder, name);
    temp_write_text(&rig->temp, path, text);
    dpc_free(path);
}

/* A finished run of a release that had `other` in place of the new key's line. */
static void
make_old(struct rig *rig, uint32_t index, const char *other)
{
    const struct dpc_experiment *experiment = &rig->runs.runs[index].experiment;
    struct dpc_experiment *plain = dpc_alloc(1, sizeof *plain);
    *plain = *experiment;
    plain->baseline.dense = false;
    (void)snprintf(plain->name, sizeof plain->name, "row");
    char *hashed = print(plain, new_key, other), *text = print(experiment, new_key, other);
    char *report;
    name_old(rig, experiment, hashed);
    report = dpc_format("%s/report", rig->folder);
    temp_make_folder(&rig->temp, rig->folder);
    temp_make_folder(&rig->temp, report);
    put(rig, "experiment.yaml", text);
    put(rig, "report/documents.tsv", losses);
    put(rig, "report/report.json", "{\"format\": 1, \"rows\": []}\n");
    dpc_free(report);
    dpc_free(hashed);
    dpc_free(text);
    dpc_free(plain);
}

static void
note(void *context, const char *text)
{
    struct rig *rig = context;
    (void)snprintf(rig->told, sizeof rig->told, "%s", text);
}

static void
find(struct rig *rig)
{
    *rig->told = '\0';
    dpc_comparison_find_finished(&rig->runs, rig->temp.folder, note, rig);
}

/* All runs are called as this release would call them. */
static bool
found_nothing(struct rig *rig)
{
    find(rig);
    return strcmp(rig->runs.runs[0].name, rig->names[0]) == 0 &&
           strcmp(rig->runs.runs[1].name, rig->names[1]) == 0;
}

static void
a_run_without_a_new_key_is_found(void)
{
    struct rig rig;
    begin(&rig);
    CU_ASSERT_TRUE(found_nothing(&rig));
    for (uint32_t i = 0; i < 2; i++) { /* with a dense model beside it, and without */
        make_old(&rig, i, "");
        CU_ASSERT_STRING_NOT_EQUAL(rig.old, rig.names[i]);
        find(&rig);
        CU_ASSERT_STRING_EQUAL(rig.runs.runs[i].name, rig.old);
        CU_ASSERT_PTR_NOT_NULL(strstr(rig.told, "an earlier release has trained it as"));
    }
    find(&rig);
    CU_ASSERT_STRING_EQUAL(rig.told, "");
    end(&rig);
}

static void
a_run_of_its_own_name_comes_first(void)
{
    struct rig rig;
    begin(&rig);
    make_old(&rig, 0, "");
    make_old(&rig, 0, new_key);
    CU_ASSERT_STRING_EQUAL(rig.old, rig.names[0]);
    CU_ASSERT_TRUE(found_nothing(&rig));
    CU_ASSERT_STRING_EQUAL(rig.told, "");
    end(&rig);
}

static void
another_value_is_another_run(void)
{
    struct rig rig;
    begin(&rig);
    make_old(&rig, 0, "  restarts: 9\n");
    CU_ASSERT_TRUE(found_nothing(&rig));
    CU_ASSERT_STRING_EQUAL(rig.told, "");
    end(&rig);
}

static void
a_run_that_has_not_finished_is_not_taken(void)
{
    struct rig rig;
    begin(&rig);
    make_old(&rig, 0, "");
    char *report = dpc_format("%s/report/report.json", rig.folder);
    CU_ASSERT_EQUAL(remove(temp_path(&rig.temp, report)), 0);
    dpc_free(report);
    CU_ASSERT_TRUE(found_nothing(&rig));
    end(&rig);
}

static void
another_corpus_is_not_trusted(void)
{
    static const char *const other[] = {"one text that stands alone"};
    struct rig rig;
    begin(&rig);
    make_old(&rig, 0, "");
    corpus_build(&rig.temp, "corpus/" DPC_TOKENS_FILE, other, 1);
    dpc_comparison_runs_done(&rig.runs);
    make_runs(&rig);
    CU_ASSERT_TRUE(found_nothing(&rig));
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.told, "is left alone: its name is not that of its"));
    end(&rig);
}

/* A value was changed behind the name's back, to the one that is wanted. */
static void
a_changed_file_is_not_trusted(void)
{
    struct rig rig;
    begin(&rig);
    make_old(&rig, 0, "  restarts: 9\n");
    char *text = print(&rig.runs.runs[0].experiment, new_key, "");
    put(&rig, "experiment.yaml", text);
    dpc_free(text);
    CU_ASSERT_TRUE(found_nothing(&rig));
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.told, "is left alone: its name is not that of its"));
    end(&rig);
}

/* It keeps nobody from the others. */
static void
a_damaged_run_is_left_alone(void)
{
    static const struct {
        const char *file, *text, *told;
    } damages[] = {
        {"experiment.yaml", "experiment: [", "experiment.yaml"},
        {"experiment.yaml", "", "experiment.yaml"},
        {"report/report.json", "{\"form", "report.json"},
        {"report/documents.tsv", "path\n0-0\t\xff\n", "documents.tsv"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct rig rig;
        begin(&rig);
        make_old(&rig, 0, "");
        put(&rig, damages[i].file, damages[i].text);
        CU_ASSERT_TRUE(found_nothing(&rig));
        CU_ASSERT_PTR_NOT_NULL(strstr(rig.told, "is left alone"));
        CU_ASSERT_PTR_NOT_NULL(strstr(rig.told, damages[i].told));
        make_old(&rig, 1, "");
        find(&rig);
        CU_ASSERT_STRING_EQUAL(rig.runs.runs[1].name, rig.old);
        end(&rig);
    }
}

static const struct dpc_test tests[] = {
    {"a run without a new key is found", a_run_without_a_new_key_is_found},
    {"a run of its own name comes first", a_run_of_its_own_name_comes_first},
    {"another value is another run", another_value_is_another_run},
    {"a run that has not finished is not taken", a_run_that_has_not_finished_is_not_taken},
    {"another corpus is not trusted", another_corpus_is_not_trusted},
    {"a changed file is not trusted", a_changed_file_is_not_trusted},
    {"a damaged run is left alone", a_damaged_run_is_left_alone},
};
DPC_TEST_MAIN("cli/comparison_names", tests)
