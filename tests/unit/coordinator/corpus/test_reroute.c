/* SPDX-License-Identifier: Apache-2.0
 * New routes over traces that are made up: two paths, documents of three windows of two pieces, in
 * which now one path loses less and now the other. */
#include "coordinator/corpus/reroute.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/routes.h"
#include "data/scores.h"
#include "storage/blob/blob.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/put_result.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/data/temp.h"
#include "tests/unit/harness.h"

enum {
    TRAIN = 2,
    LEARNED = 4,
    ROUTER = 6,
    ALL = 10,
    PATHS = 2,
    PIECES = 6,
    BLOCK = 4,
    LAST = PIECES - 1
};

static const char yaml[] = "experiment: test\n"
                           "data: {corpus: corpus}\n"
                           "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                           "levels:\n"
                           "  - {name: all, parts: [embedding, {blocks: 1}, head], modules: 2}\n"
                           "routing: {prefix: 8}\n"
                           "evaluation: {windows: 3}\n"
                           "reroute: {every: [16, 32, 64], ahead: 32}\n";

struct rig {
    struct temp temp;
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_world world;
    struct dpc_phase_record phase;
    struct dpc_error err;
};

/* Pieces of a document that have tokens that count; the last document is short. */
static size_t
pieces_of(uint32_t doc)
{
    return doc + 1 == ALL ? 3 : PIECES;
}

static uint32_t
targets_of(uint32_t doc, size_t piece)
{
    if (piece >= pieces_of(doc))
        return 0;
    return piece ? 16 : 9; /* the prefix */
}

/* A path is better on pieces of its parity, and on documents of its parity much better. */
static double
nats_of(uint32_t path, uint32_t doc, size_t piece)
{
    double each = 1.0 + 0.1 * (double)piece;
    each += path == piece % 2 ? 0 : 0.2;
    each += path == doc % 2 ? 0 : 1;
    return each * targets_of(doc, piece);
}

static void
put_trace(struct rig *rig, uint32_t path, uint32_t from, uint32_t to)
{
    struct dpc_result_record result = {
        .kind = DPC_TASK_TRACE, .path = path, .from = from, .to = to};
    struct dpc_score scores[BLOCK * PIECES];
    struct dpc_buf blob;
    size_t count = 0;
    for (uint32_t doc = from; doc < to; doc++) {
        for (size_t piece = 0; piece < PIECES; piece++)
            scores[count++] = (struct dpc_score){.id = 100 + doc,
                                                 .targets = targets_of(doc, piece),
                                                 .bytes = 3 * targets_of(doc, piece),
                                                 .nats = nats_of(path, doc, piece)};
    }
    dpc_buf_init(&blob, 0);
    dpc_scores_write(&blob, scores, count);
    put_result(rig->world.store, &result, &blob);
}

/* Every document is on the path that it is worse on, but for the last ones. */
static uint16_t
own_of(uint32_t doc)
{
    return (uint16_t)(doc + 2 < ALL ? 1 - doc % 2 : doc % 2);
}

/* What the network says: the document's parity, by so much surer; `sense` false: the other one. */
static void
put_routes(struct rig *rig, float margin, bool sense)
{
    struct dpc_result_record result = {
        .kind = DPC_TASK_REROUTE, .path = PATHS, .from = LEARNED, .to = ALL};
    struct dpc_route routes[(ALL - LEARNED) * PIECES];
    struct dpc_buf blob;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        uint32_t doc = LEARNED + (uint32_t)(i / PIECES);
        uint16_t path = (uint16_t)(doc % 2 == sense);
        routes[i] = (struct dpc_route){path, path == own_of(doc) ? 0 : margin};
        if (i % PIECES >= pieces_of(doc))
            routes[i] = (struct dpc_route){.path = DPC_ROUTE_NONE};
    }
    dpc_buf_init(&blob, 0);
    dpc_routes_write(&blob, routes, sizeof routes / sizeof *routes);
    put_result(rig->world.store, &result, &blob);
}

/* The traced file's routes: of each document, or of each of its pieces. */
static void
put_own(struct rig *rig, size_t each)
{
    struct dpc_route routes[ALL * PIECES] = {{0}};
    struct dpc_buf blob;
    for (size_t i = 0; i < ALL * each; i++)
        routes[i].path = own_of((uint32_t)(i / each));
    dpc_buf_init(&blob, 0);
    dpc_routes_write(&blob, routes, ALL * each);
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_put(rig->world.store, blob.data, blob.len, &rig->phase.routes, &rig->err),
        DPC_OK);
    rig->phase.routes_bytes = blob.len;
    dpc_buf_done(&blob);
}

static void
begin(struct rig *rig)
{
    *rig = (struct rig){0};
    temp_make(&rig->temp);
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("t.yaml", yaml, strlen(yaml), &rig->experiment, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&rig->topology, &rig->experiment, &rig->err), DPC_OK);
    rig->world.experiment = &rig->experiment;
    rig->world.topology = &rig->topology;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&rig->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_blobs_open(&dpc_vfs_posix, temp_path(&rig->temp, "blobs"), &rig->blobs, &rig->err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(rig->kv, rig->blobs, &rig->world.store, &rig->err),
                          DPC_OK);
    rig->phase = (struct dpc_phase_record){.traced_documents = ALL,
                                           .traced_train = TRAIN,
                                           .traced_learned = LEARNED,
                                           .traced_router = ROUTER};
    for (uint32_t path = 0; path < PATHS; path++) {
        put_trace(rig, path, TRAIN, TRAIN + BLOCK);
        put_trace(rig, path, TRAIN + BLOCK, ALL);
    }
}

static void
end(struct rig *rig)
{
    dpc_store_close(rig->world.store);
    dpc_blobs_close(rig->blobs);
    dpc_kv_close(rig->kv);
    dpc_topology_done(&rig->topology);
    temp_remove(&rig->temp);
}

static void
check_labels(size_t each)
{
    struct rig rig;
    struct dpc_blob_ref ref;
    uint8_t *blob;
    struct dpc_route *routes;
    size_t len;
    begin(&rig);
    put_own(&rig, each);
    CU_ASSERT_EQUAL_FATAL(dpc_reroute_label(&rig.world, &rig.phase, &ref, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(rig.world.store, &ref.hash, &blob, &len, &rig.err),
                          DPC_OK);
    CU_ASSERT_EQUAL(ref.bytes, len);
    CU_ASSERT_EQUAL_FATAL(dpc_routes_read(blob, len, ALL * PIECES, PATHS, &routes, &rig.err),
                          DPC_OK);
    for (uint32_t doc = 0; doc < ALL; doc++) {
        for (size_t piece = 0; piece < PIECES; piece++) {
            bool learned = doc >= TRAIN && doc < LEARNED;
            uint16_t best = piece == LAST ? DPC_ROUTE_NONE : (uint16_t)(doc % 2);
            CU_ASSERT_EQUAL(routes[doc * PIECES + piece].path, learned ? best : own_of(doc));
        }
    }
    dpc_free(routes);
    dpc_free(blob);
    end(&rig);
}

/* In a fork of a run that had labelled them, documents have a route for each piece already. */
static void
labels_are_the_best_paths_ahead(void)
{
    check_labels(1);
    check_labels(PIECES);
}

static double
sum_of(uint32_t doc, size_t from, size_t to, uint32_t path)
{
    double nats = 0;
    for (size_t piece = from; piece < to; piece++)
        nats += nats_of(path, doc, piece);
    return nats;
}

/* What held-out documents cost when the wrong ones leave their path where a route is due. */
static void
check_rows(const struct dpc_rerouted *rows, uint32_t count, bool leave)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t first = i == 0 || !leave ? PIECES : rows[i].every / DPC_PIECE_TOKENS;
        double nats = 0;
        uint64_t switches = 0;
        for (uint32_t doc = ROUTER; doc < ALL; doc++) {
            bool wrong = own_of(doc) != doc % 2;
            size_t at = wrong && first < pieces_of(doc) ? first : pieces_of(doc);
            nats += sum_of(doc, 0, at, own_of(doc)) + sum_of(doc, at, PIECES, 1 - own_of(doc));
            switches += at < pieces_of(doc);
        }
        CU_ASSERT_EQUAL(rows[i].every, i ? 8u << i : 0);
        CU_ASSERT_DOUBLE_EQUAL(rows[i].nats, nats, 1e-9);
        CU_ASSERT_EQUAL(rows[i].switches, switches);
        CU_ASSERT_EQUAL(rows[i].documents, ALL - ROUTER);
        CU_ASSERT_EQUAL(rows[i].targets, 3 * (9 + 5 * 16) + 9 + 2 * 16);
        CU_ASSERT_EQUAL(rows[i].bytes, 3 * rows[i].targets);
    }
}

static uint32_t
evaluate(struct rig *rig, struct dpc_rerouted *rows, struct dpc_buf *tsv)
{
    uint32_t count = 0;
    dpc_buf_init(tsv, 0);
    CU_ASSERT_EQUAL_FATAL(
        dpc_reroute_evaluate(&rig->world, &rig->phase, rows, &count, tsv, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(count, 4);
    return count;
}

/* The margin is below that of a network that is right about router documents. */
static void
documents_change_paths_where_a_route_is_due(void)
{
    struct rig rig;
    struct dpc_rerouted rows[DPC_REROUTES_MAX + 1];
    struct dpc_buf tsv;
    begin(&rig);
    put_own(&rig, PIECES);
    put_routes(&rig, 1.25f, true);
    uint32_t count = evaluate(&rig, rows, &tsv), lines = 0;
    check_rows(rows, count, true);
    CU_ASSERT_EQUAL(rows[0].margin, INFINITY);
    for (uint32_t i = 1; i < count; i++)
        CU_ASSERT_EQUAL(rows[i].margin, 1);
    CU_ASSERT_EQUAL(rows[1].recomputed, 2 * 16); /* half a window in */
    CU_ASSERT_EQUAL(rows[2].recomputed, 0);      /* where one begins */
    for (const char *at = dpc_buf_text(&tsv); *at; at++)
        lines += *at == '\n';
    CU_ASSERT_EQUAL(lines, 1 + count * (ALL - ROUTER));
    dpc_buf_done(&tsv);
    end(&rig);
}

/* Then every distance gives what never gives. */
static void
a_network_that_is_wrong_is_not_followed(void)
{
    struct rig rig;
    struct dpc_rerouted rows[DPC_REROUTES_MAX + 1];
    struct dpc_buf tsv;
    begin(&rig);
    put_own(&rig, PIECES);
    put_routes(&rig, 7, false);
    uint32_t count = evaluate(&rig, rows, &tsv);
    check_rows(rows, count, false);
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL(rows[i].margin, INFINITY);
    dpc_buf_done(&tsv);
    end(&rig);
}

static void
refuses(struct rig *rig, const char *word)
{
    struct dpc_rerouted rows[DPC_REROUTES_MAX + 1];
    uint32_t count = 7;
    struct dpc_buf tsv;
    dpc_buf_init(&tsv, 0);
    CU_ASSERT_EQUAL(dpc_reroute_evaluate(&rig->world, &rig->phase, rows, &count, &tsv, &rig->err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig->err.text, word));
    CU_ASSERT_EQUAL(count, 0);
    dpc_buf_done(&tsv);
}

static void
what_is_missing_is_told(void)
{
    struct rig rig;
    begin(&rig);
    put_own(&rig, 1);
    refuses(&rig, "has not the new routes");
    put_routes(&rig, 1, true);
    refuses(&rig, "table of routes"); /* by document */
    put_own(&rig, PIECES);
    rig.phase.traced_documents++;
    refuses(&rig, "has not the new routes");
    rig.phase.traced_documents--;
    put_trace(&rig, 1, ALL, ALL + 1);
    refuses(&rig, "traces");
    end(&rig);
}

static void
an_experiment_without_has_no_rows(void)
{
    struct rig rig;
    struct dpc_rerouted rows[DPC_REROUTES_MAX + 1];
    uint32_t count = 7;
    struct dpc_buf tsv;
    begin(&rig);
    dpc_buf_init(&tsv, 0);
    rig.phase = (struct dpc_phase_record){0};
    CU_ASSERT_EQUAL(dpc_reroute_evaluate(&rig.world, &rig.phase, rows, &count, &tsv, &rig.err),
                    DPC_OK);
    CU_ASSERT(count == 0 && tsv.len == 0);
    dpc_buf_done(&tsv);
    end(&rig);
}

/* --- The core. */

static const char yaml_reroute[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                             "reroute: {every: [16, 64]}\n"
                                             "inner: {steps: 4, batch: 2}\n"
                                             "outer: {rounds: 2}\n"
                                             "warm_start: {steps: 10}\n";

/* Every path traces what is to be learned and what is to be routed; one worker learns, from the
 * routes that followed from that; then comes what comes without. */
static void
new_routes_come_between_training_and_evaluation(void)
{
    struct driver driver;
    struct dpc_error err;
    uint32_t traced[4] = {0}, rerouted = 0;
    driver_start_training(&driver, yaml_reroute);
    for (int i = 0; i < 400 && driver_phase(&driver) != DPC_PHASE_EVALUATE; i++) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        if (lease.kind == DPC_TASK_TRACE) {
            CU_ASSERT(lease.path < 4 && lease.from >= 30 && lease.to <= 150);
            CU_ASSERT(lease.to - lease.from <= 32);
            traced[lease.path] += lease.to - lease.from;
            CU_ASSERT_EQUAL(dpc_core_check_rollback(driver.core, &err), DPC_EPERM);
        }
        if (lease.kind == DPC_TASK_REROUTE) {
            rerouted++;
            CU_ASSERT_EQUAL(lease.path, dpc_topology_dense_path(dpc_core_topology(driver.core)));
            CU_ASSERT(lease.step_first == 30 && lease.from == 80 && lease.to == 150);
            CU_ASSERT_EQUAL(lease.state.bytes, 8); /* what was labelled */
        }
        if (i % 7 == 3)
            driver_crash(&driver);
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_EVALUATE);
    for (int path = 0; path < 4; path++)
        CU_ASSERT_EQUAL(traced[path], 120);
    CU_ASSERT_EQUAL(rerouted, 1);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"labels are the best paths ahead", labels_are_the_best_paths_ahead},
    {"documents change paths where a route is due", documents_change_paths_where_a_route_is_due},
    {"a network that is wrong is not followed", a_network_that_is_wrong_is_not_followed},
    {"what is missing is told", what_is_missing_is_told},
    {"an experiment without has no rows", an_experiment_without_has_no_rows},
    {"new routes come between training and evaluation",
     new_routes_come_between_training_and_evaluation},
};
DPC_TEST_MAIN("coordinator/reroute", tests)
