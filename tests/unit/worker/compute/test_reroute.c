/* SPDX-License-Identifier: Apache-2.0
 * Documents of two kinds of letters, which two paths are the best for: a network that has learned
 * to tell them apart finds the kind of others behind their first piece. */
#include "worker/compute/reroute.h"

#include "base/alloc.h"
#include "data/routes.h"
#include "tests/unit/worker/compute/task_rig.h"

enum { LEARNED = 16, KNOWN = 8, CONTEXT = 32, WINDOWS = 2, PIECES = 4, LENGTH = 70, OWN = 2 };

static uint16_t
kind_of(uint32_t doc)
{
    return (uint16_t)(doc * 7 % 3 == 0 ? 2 : 1);
}

/* The last document is short. */
static uint32_t
length_of(uint32_t doc)
{
    return doc + 1 == RIG_DOCUMENTS ? 20 : LENGTH;
}

static void
write_kinds(struct dpc_buf *out)
{
    struct dpc_tokens_writer writer;
    struct dpc_rng rng;
    dpc_rng_init(&rng, 4, DPC_RNG_TEST, 0, 0, 0);
    dpc_buf_reset(out);
    dpc_tokens_writer_init(&writer, memory_sink(out), &DPC_VOCABULARY_BYTES);
    for (uint32_t doc = 0; doc < RIG_DOCUMENTS; doc++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)doc}, text[LENGTH];
        for (uint32_t i = 0; i < length_of(doc); i++)
            text[i] = (uint8_t)((kind_of(doc) == 2 ? 'a' : 'q') + dpc_rng_below(&rng, 6));
        dpc_tokens_writer_document(&writer, 100 + doc, key, length_of(doc));
        dpc_tokens_writer_tokens(&writer, text, length_of(doc));
    }
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_writer_finish(&writer), DPC_OK);
    dpc_tokens_writer_done(&writer);
}

static void
put_routes(struct task_rig *rig, bool any)
{
    struct dpc_route routes[RIG_DOCUMENTS * PIECES] = {{0}};
    struct dpc_buf blob;
    for (uint32_t i = 0; i < LEARNED * PIECES; i++)
        routes[i].path = any && i % PIECES + 1 < PIECES ? kind_of(i / PIECES) : DPC_ROUTE_NONE;
    for (uint32_t i = LEARNED * PIECES; i < RIG_DOCUMENTS * PIECES; i++)
        routes[i].path = OWN;
    dpc_buf_init(&blob, 0);
    dpc_routes_write(&blob, routes, RIG_DOCUMENTS * PIECES);
    rig->lease.state = rig_put(rig, blob.data, blob.len);
    dpc_buf_done(&blob);
}

static void
begin(struct task_rig *rig, bool tied)
{
    memset(rig, 0, sizeof *rig);
    rig_experiment(&rig->experiment);
    rig->experiment.model.context = CONTEXT;
    rig->experiment.model.tie_embeddings = tied;
    rig->experiment.evaluation.windows = WINDOWS;
    rig->experiment.reroute.every_count = 1;
    rig->experiment.reroute.every[0] = DPC_PIECE_TOKENS;
    rig->experiment.reroute.steps = 60;
    rig->experiment.reroute.lr = 1e-2;
    rig_begin_with(rig, DPC_TASK_REROUTE);
    rig->lease.path = dpc_topology_dense_path(&rig->engine->topology);
    for (uint32_t level = 0; level < rig->lease.levels_count; level++)
        rig->lease.modules[level] =
            dpc_topology_module(&rig->engine->topology, rig->lease.path, level);
    write_kinds(&rig->tokens);
    rig->lease.data = rig_put(rig, rig->tokens.data, rig->tokens.len);
    rig->lease.step_first = KNOWN;
    rig->lease.from = LEARNED;
    put_routes(rig, true);
}

/* Routes of the documents behind those that were learned, all of which are on path OWN; dpc_free
 * them. */
static struct dpc_route *
run(struct task_rig *rig)
{
    struct dpc_msg_submit submit;
    struct dpc_route *routes = NULL;
    int code = dpc_reroute_run(rig->engine, &rig->task, &submit, &rig->err);
    if (code != DPC_OK)
        CU_FAIL(rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    CU_ASSERT_EQUAL(submit.steps_count, RIG_DOCUMENTS - LEARNED);
    uint8_t *bytes = rig_load(rig, &submit.result);
    CU_ASSERT_EQUAL_FATAL(dpc_routes_read(bytes, submit.result.bytes,
                                          (RIG_DOCUMENTS - LEARNED) * PIECES, 4, &routes,
                                          &rig->err),
                          DPC_OK);
    dpc_free(bytes);
    return routes;
}

static void
check_kinds(bool tied)
{
    struct task_rig rig;
    begin(&rig, tied);
    struct dpc_route *routes = run(&rig), *again = run(&rig);
    for (uint32_t doc = LEARNED; doc < RIG_DOCUMENTS; doc++) {
        for (uint32_t piece = 0; piece < PIECES; piece++) {
            size_t at = (doc - LEARNED) * PIECES + piece;
            bool read = piece / 2 * CONTEXT + 1 < length_of(doc);
            CU_ASSERT_EQUAL(routes[at].path, read ? kind_of(doc) : DPC_ROUTE_NONE);
            CU_ASSERT_EQUAL(routes[at].margin > 0, read && kind_of(doc) != OWN);
            CU_ASSERT_EQUAL(routes[at].path, again[at].path);
            CU_ASSERT_EQUAL(routes[at].margin, again[at].margin);
        }
    }
    dpc_free(routes);
    dpc_free(again);
    rig_end(&rig);
}

static void
kinds_are_told_apart(void)
{
    check_kinds(true);
    check_kinds(false);
}

/* The engine trains paths as before. */
static void
the_engine_is_a_path_s_again(void)
{
    struct task_rig rig;
    begin(&rig, true);
    size_t floats = dpc_path_floats(rig.engine->path);
    dpc_free(run(&rig));
    CU_ASSERT_EQUAL_FATAL(dpc_engine_load(rig.engine, &rig.task, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_path_floats(rig.engine->path), floats);
    rig_end(&rig);
}

static void
without_a_lesson_there_is_no_route(void)
{
    struct task_rig rig;
    begin(&rig, true);
    put_routes(&rig, false);
    struct dpc_route *routes = run(&rig);
    for (uint32_t i = 0; i < (RIG_DOCUMENTS - LEARNED) * PIECES; i++)
        CU_ASSERT_EQUAL(routes[i].path, DPC_ROUTE_NONE);
    dpc_free(routes);
    rig_end(&rig);
}

static void
refuses(struct task_rig *rig, int code, const char *word)
{
    struct dpc_msg_submit submit;
    CU_ASSERT_EQUAL(dpc_reroute_run(rig->engine, &rig->task, &submit, &rig->err), code);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig->err.text, word));
}

static void
leases_that_do_not_fit_are_refused(void)
{
    struct task_rig rig;
    begin(&rig, true);
    struct dpc_blob_ref routes = rig.lease.state;
    rig.lease.state = rig.lease.data; /* no table of routes */
    refuses(&rig, DPC_EPROTO, "table of routes");
    rig.lease.state = routes;
    rig.lease.to = RIG_DOCUMENTS - 1; /* a table of another size */
    refuses(&rig, DPC_EPROTO, "table of routes");
    rig.lease.to = RIG_DOCUMENTS + 1;
    refuses(&rig, DPC_EPROTO, "documents");
    rig.lease.to = RIG_DOCUMENTS;
    rig.lease.path = 1;
    refuses(&rig, DPC_EPROTO, "path 1");
    rig.lease.path = dpc_topology_dense_path(&rig.engine->topology);
    rig.engine->experiment.reroute.every_count = 0;
    refuses(&rig, DPC_EPROTO, "new routes");
    rig_end(&rig);
}

static void
it_ends_when_the_lease_does(void)
{
    struct task_rig rig;
    begin(&rig, true);
    rig.progress.cancelled = true;
    refuses(&rig, DPC_ECANCELLED, "dropped");
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"kinds are told apart", kinds_are_told_apart},
    {"the engine is a path's again", the_engine_is_a_path_s_again},
    {"without a lesson there is no route", without_a_lesson_there_is_no_route},
    {"leases that do not fit are refused", leases_that_do_not_fit_are_refused},
    {"it ends when the lease does", it_ends_when_the_lease_does},
};
DPC_TEST_MAIN("worker/reroute", tests)
