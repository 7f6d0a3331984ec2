/* SPDX-License-Identifier: Apache-2.0
 * What a report says of paths that trained in some rounds only, or in parts of rounds. */
#include "coordinator/report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "storage/db/store.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/data/temp.h"
#include "tests/unit/harness.h"

enum { PATHS = 4, REPORT_BYTES_MAX = 1 << 20 };

struct rig {
    struct temp temp;
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_world world;
    struct dpc_kv_batch batch; /* records of the run */
    struct dpc_error err;
};

static void
begin(struct rig *rig)
{
    static const char yaml[] = SMALL_2X2 "inner: {steps: 100}\n"
                                         "warm_start: {steps: 100}\n"
                                         "routing: {prefix: 8}\n";
    *rig = (struct rig){0};
    temp_make(&rig->temp);
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("test", yaml, sizeof yaml - 1, &rig->experiment, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&rig->topology, &rig->experiment, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&rig->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_blobs_open(&dpc_vfs_posix, temp_path(&rig->temp, "blobs"), &rig->blobs, &rig->err),
        DPC_OK);
    rig->world.experiment = &rig->experiment;
    rig->world.topology = &rig->topology;
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(rig->kv, rig->blobs, &rig->world.store, &rig->err),
                          DPC_OK);
    (void)snprintf(rig->world.report, sizeof rig->world.report, "%s",
                   temp_path(&rig->temp, "report"));
    dpc_kv_batch_init(&rig->batch);
}

static void
end(struct rig *rig)
{
    dpc_kv_batch_done(&rig->batch);
    dpc_store_close(rig->world.store);
    dpc_blobs_close(rig->blobs);
    dpc_kv_close(rig->kv);
    dpc_topology_done(&rig->topology);
    temp_remove(&rig->temp);
}

static void
put_path(struct rig *rig, uint32_t path, uint64_t documents, uint64_t steps)
{
    struct dpc_path_record record = {
        .path = path, .shard_documents = documents, .steps_done = steps};
    dpc_put_path(&rig->batch, &record);
}

/* What a path handed in of a round's steps `from` to `to`, at a loss in bits a token. */
static void
put_part_as(struct rig *rig, uint32_t part, uint32_t path, uint32_t round, uint32_t from,
            uint32_t to, double loss)
{
    struct dpc_contribution_record record = {.round = round,
                                             .path = path,
                                             .module = dpc_topology_module(&rig->topology, path, 0),
                                             .part = part,
                                             .from = from,
                                             .steps = to,
                                             .loss_last = loss * M_LN2};
    dpc_put_contribution(&rig->batch, &record);
}

static void
put_part(struct rig *rig, uint32_t path, uint32_t round, uint32_t from, uint32_t to, double loss)
{
    put_part_as(rig, from > 0, path, round, from, to, loss);
}

static void
write_report(struct rig *rig)
{
    struct dpc_phase_record phase = {.phase = DPC_PHASE_REPORT};
    CU_ASSERT_EQUAL_FATAL(dpc_store_commit(rig->world.store, &rig->batch, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_report_write(&rig->world, &phase, &rig->err), DPC_OK);
}

/* A file of the report as text; dpc_free it. */
static char *
load(struct rig *rig, const char *name)
{
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(dpc_path_join(rig->world.report, name, path, sizeof path), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, path, REPORT_BYTES_MAX, &bytes, &len, &rig->err), DPC_OK);
    return (char *)bytes;
}

/* --- Lines of a picture. */

enum { POINTS_MAX = 8 };

struct line {
    double x[POINTS_MAX], y[POINTS_MAX]; /* pixels */
    size_t count;
};

static struct line
line_of(const char *svg, uint32_t number)
{
    static const char head[] = "points=\"";
    struct line line = {0};
    const char *at = svg;
    for (uint32_t i = 0; i <= number; i++) {
        at = strstr(at, head);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        at += sizeof head - 1;
    }
    int len;
    while (line.count < POINTS_MAX &&
           sscanf(at, "%lf,%lf %n", &line.x[line.count], &line.y[line.count], &len) == 2) {
        line.count++;
        at += len;
    }
    return line;
}

/* The value at a pixel of an axis, of which two pixels and their values are known. */
static double
value_at(double pixel, const double pixels[2], const double values[2])
{
    return values[0] + (pixel - pixels[0]) / (pixels[1] - pixels[0]) * (values[1] - values[0]);
}

/* Paths of 1, 2, 3 and 4 documents: two train in the first round; the others in the second, one of
 * them in two parts; the last one alone in the third. */
static void
put_sampled_run(struct rig *rig)
{
    static const uint64_t steps[PATHS] = {200, 200, 400, 300};
    for (uint32_t path = 0; path < PATHS; path++)
        put_path(rig, path, path + 1, steps[path]);
    put_part(rig, 0, 0, 0, 100, 8);
    put_part(rig, 1, 0, 0, 100, 5);
    put_part(rig, 2, 1, 0, 100, 4);
    put_part(rig, 3, 1, 0, 25, 6);
    put_part(rig, 3, 1, 25, 100, 2);
    put_part(rig, 3, 2, 0, 100, 1);
}

static void
the_mean_is_of_the_paths_that_trained_in_a_round(void)
{
    enum { MEAN = 1, FIRST_PATH = 2, ROUNDS = 3 };
    static const double steps[ROUNDS] = {130, 200, 240}, losses[ROUNDS] = {6, 24 / 7.0, 1};
    struct rig rig;
    begin(&rig);
    put_sampled_run(&rig);
    write_report(&rig);
    char *svg = load(&rig, "loss.svg");
    struct line mean = line_of(svg, MEAN), first = line_of(svg, FIRST_PATH);
    struct line last = line_of(svg, FIRST_PATH + PATHS - 1);
    CU_ASSERT_EQUAL_FATAL(first.count, 1);
    CU_ASSERT_EQUAL_FATAL(last.count, 3);
    CU_ASSERT_EQUAL_FATAL(mean.count, ROUNDS);
    const double x[2] = {last.x[0], last.x[2]}, y[2] = {first.y[0], last.y[2]};
    for (int i = 0; i < ROUNDS; i++) {
        CU_ASSERT_DOUBLE_EQUAL(value_at(mean.x[i], x, (const double[]){125, 300}), steps[i], 0.1);
        CU_ASSERT_DOUBLE_EQUAL(value_at(mean.y[i], y, (const double[]){8, 1}), losses[i], 0.01);
    }
    dpc_free(svg);
    end(&rig);
}

static void
the_path_that_trained_most_tells_the_steps(void)
{
    struct rig rig;
    struct dpc_json *root;
    begin(&rig);
    put_sampled_run(&rig);
    write_report(&rig);
    char *text = load(&rig, "report.json");
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, &rig.err), DPC_OK);
    const struct dpc_json *rows = dpc_json_get(root, "rows");
    const struct dpc_json *row = dpc_json_at(rows, dpc_json_count(rows) - 1);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(row, "name"), ""), "dipaco");
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(row, "steps"), 0), 400);
    dpc_json_destroy(root);
    dpc_free(text);
    end(&rig);
}

/* Two workers had the round: a part of one, then the whole of the other. */
static void
a_part_that_is_replaced_moves_the_curve_once(void)
{
    enum { PIECES = 3 };
    static const double steps[PIECES] = {160, 200, 300};
    struct rig rig;
    struct dpc_json *root;
    begin(&rig);
    put_path(&rig, 0, 1, 300);
    put_part_as(&rig, 0, 0, 0, 0, 60, 8);
    put_part_as(&rig, 1, 0, 0, 0, 100, 7);
    put_part_as(&rig, 0, 0, 1, 0, 100, 6);
    write_report(&rig);
    char *text = load(&rig, "report.json");
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, &rig.err), DPC_OK);
    const struct dpc_json *path = dpc_json_at(dpc_json_get(root, "paths"), 0);
    const struct dpc_json *curve = dpc_json_get(path, "train_bits_per_token");
    CU_ASSERT_EQUAL_FATAL(dpc_json_count(curve), PIECES);
    for (size_t i = 0; i < PIECES; i++)
        CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(dpc_json_at(curve, i), 0), 0), steps[i]);
    dpc_json_destroy(root);
    dpc_free(text);
    end(&rig);
}

/* The row of a model in report.json. */
static int64_t
told_tokens(struct rig *rig, const char *name)
{
    struct dpc_json *root;
    int64_t tokens = -1;
    char *text = load(rig, "report.json");
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, &rig->err), DPC_OK);
    const struct dpc_json *rows = dpc_json_get(root, "rows");
    for (size_t i = 0; i < dpc_json_count(rows); i++) {
        const struct dpc_json *row = dpc_json_at(rows, i);
        if (strcmp(dpc_json_text(dpc_json_get(row, "name"), ""), name) == 0)
            tokens = dpc_json_integer(dpc_json_get(row, "tokens"), -1);
    }
    dpc_json_destroy(root);
    dpc_free(text);
    return tokens;
}

/* A fork with other batches once counted those of its source's warm start as its own. */
static void
tokens_of_a_warm_start_are_those_that_it_read(void)
{
    struct rig rig;
    begin(&rig);
    put_sampled_run(&rig);
    write_report(&rig);
    CU_ASSERT_EQUAL(told_tokens(&rig, "dipaco"),
                    100 * rig.experiment.inner.batch * rig.experiment.model.context);
    dpc_kv_batch_reset(&rig.batch);
    dpc_put_origin(&rig.batch, &(struct dpc_origin_record){.round = 1, .warm_tokens = 4711});
    write_report(&rig);
    CU_ASSERT_EQUAL(told_tokens(&rig, "dipaco"), 4711);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"the mean is of the paths that trained in a round",
     the_mean_is_of_the_paths_that_trained_in_a_round},
    {"the path that trained most tells the steps", the_path_that_trained_most_tells_the_steps},
    {"a part that is replaced moves the curve once", a_part_that_is_replaced_moves_the_curve_once},
    {"tokens of a warm start are those that it read",
     tokens_of_a_warm_start_are_those_that_it_read},
};
DPC_TEST_MAIN("coordinator/report", tests)
