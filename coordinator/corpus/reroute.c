/* SPDX-License-Identifier: Apache-2.0
 * A document leaves its own path for a piece where the network is surer of another by a margin. The
 * margin is the one that does best on router documents that the network has not learned from; with
 * a network that has learned nothing it is beyond all, and documents stay. */
#include "coordinator/corpus/reroute.h"

#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "coordinator/corpus/traces.h"
#include "data/routes.h"

/* --- What is to be learned. */

/* The path of the least loss on pieces [from, to) of a document; none where no token counts. */
static uint16_t
best_path(const struct dpc_traces_block *block, uint32_t doc, size_t from, size_t to)
{
    uint64_t targets = 0;
    double least = 0;
    uint16_t best = DPC_ROUTE_NONE;
    for (size_t piece = from; piece < to; piece++)
        targets += block->targets[doc * block->pieces + piece];
    for (uint32_t path = 0; targets && path < block->paths; path++) {
        double nats = 0;
        for (size_t piece = from; piece < to; piece++)
            nats += dpc_traces_nats(block, path, doc, piece);
        if (best == DPC_ROUTE_NONE || nats < least) {
            best = (uint16_t)path;
            least = nats;
        }
    }
    return best;
}

struct labelling {
    size_t ahead;             /* pieces */
    struct dpc_route *routes; /* [traced documents, pieces] */
};

static void
label_document(void *context, const struct dpc_traces_block *block, uint32_t doc)
{
    const struct labelling *labelling = context;
    size_t pieces = block->pieces;
    for (size_t piece = 0; piece < pieces; piece++) {
        size_t end = piece + 1 + labelling->ahead;
        labelling->routes[(block->from + doc) * pieces + piece].path =
            best_path(block, doc, piece + 1, end < pieces ? end : pieces);
    }
}

static int
label_traced(const struct dpc_world *world, const struct dpc_phase_record *phase,
             struct dpc_route *routes, struct dpc_error *err)
{
    struct labelling labelling = {world->experiment->reroute.ahead / DPC_PIECE_TOKENS, routes};
    struct dpc_traces *traces = NULL;
    int code = dpc_traces_open(world, phase, &traces, err);
    if (code == DPC_OK)
        code = dpc_traces_visit(traces, phase->traced_train, phase->traced_learned, label_document,
                                &labelling, err);
    dpc_traces_close(traces);
    return code;
}

/* `count` routes of a blob, to be released with dpc_free. */
static int
load_routes(const struct dpc_world *world, const struct dpc_hash *hash, uint64_t count,
            struct dpc_route **ret_routes, struct dpc_error *err)
{
    uint8_t *blob;
    size_t len;
    int code = dpc_store_blob_load_named(world->store, hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_routes_read(blob, len, count, world->topology->routed_paths, ret_routes, err);
    dpc_free(blob);
    return code;
}

int
dpc_reroute_put(struct dpc_store *store, const struct dpc_route *routes, size_t count,
                struct dpc_blob_ref *ret_routes, struct dpc_error *err)
{
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_routes_write(&blob, routes, count);
    ret_routes->bytes = blob.len;
    int code = blob.failed ? dpc_error_set(err, DPC_ENOMEM, "no memory for %zu routes", count)
                           : dpc_store_blob_put(store, blob.data, blob.len, &ret_routes->hash, err);
    dpc_buf_done(&blob);
    return code;
}

/* The documents' own paths are the first of as many routes as each has. In a fork that is a table
 * of labels, of whose documents those of before are labelled anew and the others have their own
 * path all along. */
static size_t
routes_each(const struct dpc_phase_record *phase)
{
    uint64_t once = dpc_routes_bytes(phase->traced_documents);
    uint64_t head = dpc_routes_bytes(0);
    bool several = once > head && phase->routes_bytes > once;
    return several ? (size_t)((phase->routes_bytes - head) / (once - head)) : 1;
}

int
dpc_reroute_label(const struct dpc_world *world, const struct dpc_phase_record *phase,
                  struct dpc_blob_ref *ret_routes, struct dpc_error *err)
{
    size_t pieces = (size_t)dpc_experiment_pieces(world->experiment);
    size_t count = phase->traced_documents * pieces, each = routes_each(phase);
    struct dpc_route *own = NULL, *routes = dpc_try_alloc(count + 1, sizeof *routes);
    if (!routes)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu routes", count);
    int code = load_routes(world, &phase->routes, phase->traced_documents * each, &own, err);
    for (size_t i = 0; code == DPC_OK && i < count; i++)
        routes[i] = own[i / pieces * each];
    if (code == DPC_OK)
        code = label_traced(world, phase, routes, err);
    if (code == DPC_OK)
        code = dpc_reroute_put(world->store, routes, count, ret_routes, err);
    dpc_free(own);
    dpc_free(routes);
    return code;
}

/* --- What documents cost. */

static const double margins[] = {0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, INFINITY};
enum { MARGINS = sizeof margins / sizeof *margins };

struct evaluating {
    const struct dpc_world *world;
    const struct dpc_phase_record *phase;
    struct dpc_traces *traces;
    struct dpc_result_record result; /* of the network */
    bool found;
    struct dpc_route *own;    /* [traced documents, pieces]; of those that were not learned */
    struct dpc_route *routes; /* [traced documents - learned, pieces]: the network's */
    struct dpc_rerouted *rows;
    uint32_t rows_count;
    double nats[DPC_REROUTES_MAX + 1][MARGINS]; /* of router documents */
    struct dpc_buf *tsv;
};

/* Pieces up to the last one with a token that counts: behind it there is nothing to route for. */
static size_t
pieces_read(const struct dpc_traces_block *block, uint32_t doc)
{
    size_t count = block->pieces;
    while (count && block->targets[doc * block->pieces + count - 1] == 0)
        count--;
    return count;
}

/* A document of the block with a new route after every row->every tokens, added to the row. */
static double
follow(const struct evaluating *evaluating, const struct dpc_traces_block *block, uint32_t doc,
       double margin, struct dpc_rerouted *row)
{
    const struct dpc_experiment *experiment = evaluating->world->experiment;
    size_t at = (size_t)(block->from + doc) * block->pieces;
    size_t learned = (size_t)evaluating->phase->traced_learned * block->pieces;
    const struct dpc_route *routes = evaluating->routes + (at - learned);
    uint16_t own = evaluating->own[at].path, path = own;
    size_t pieces = pieces_read(block, doc);
    double nats = 0;
    for (size_t piece = 0; piece < pieces; piece++) {
        size_t token = piece * DPC_PIECE_TOKENS;
        if (row->every && piece && token % row->every == 0 && token >= experiment->routing.prefix) {
            const struct dpc_route *route = &routes[piece - 1];
            bool sure = route->path != DPC_ROUTE_NONE && route->margin > margin;
            uint16_t next = sure ? route->path : own;
            row->switches += next != path;
            row->recomputed += next != path ? token % experiment->model.context : 0;
            path = next;
        }
        nats += dpc_traces_nats(block, path, doc, piece);
        row->targets += block->targets[doc * block->pieces + piece];
        row->bytes += block->bytes[doc * block->pieces + piece];
    }
    row->nats += nats;
    row->documents++;
    return nats;
}

/* A router document under every margin. */
static void
try_margins(void *context, const struct dpc_traces_block *block, uint32_t doc)
{
    struct evaluating *evaluating = context;
    for (uint32_t i = 0; i < evaluating->rows_count; i++) {
        struct dpc_rerouted row = {.every = evaluating->rows[i].every};
        for (uint32_t k = 0; k < MARGINS; k++)
            evaluating->nats[i][k] += follow(evaluating, block, doc, margins[k], &row);
    }
}

/* Among equals the larger: staying costs nothing. */
static void
choose_margins(struct evaluating *evaluating)
{
    for (uint32_t i = 0; i < evaluating->rows_count; i++) {
        uint32_t best = MARGINS - 1;
        for (uint32_t k = MARGINS - 1; k-- > 0;)
            best = evaluating->nats[i][k] < evaluating->nats[i][best] ? k : best;
        evaluating->rows[i].margin = margins[best];
    }
}

static void
evaluate_document(void *context, const struct dpc_traces_block *block, uint32_t doc)
{
    struct evaluating *evaluating = context;
    for (uint32_t i = 0; i < evaluating->rows_count; i++) {
        struct dpc_rerouted *row = &evaluating->rows[i];
        uint64_t targets = row->targets, bytes = row->bytes;
        double nats = follow(evaluating, block, doc, row->margin, row);
        dpc_buf_printf(evaluating->tsv, "%u\t%u\t%" PRIu64 "\t%" PRIu64 "\t%.17g\n", row->every,
                       block->ids[doc], row->targets - targets, row->bytes - bytes, nats);
    }
}

static bool
find_result(void *context, const struct dpc_result_record *record)
{
    struct evaluating *evaluating = context;
    if (record->kind != DPC_TASK_REROUTE)
        return true;
    evaluating->result = *record;
    evaluating->found = true;
    return false;
}

static int
load(struct evaluating *evaluating, struct dpc_error *err)
{
    const struct dpc_world *world = evaluating->world;
    const struct dpc_phase_record *phase = evaluating->phase;
    uint64_t pieces = dpc_experiment_pieces(world->experiment);
    int code = dpc_scan_results(dpc_store_kv(world->store), find_result, evaluating, err);
    if (code == DPC_OK && (!evaluating->found || evaluating->result.from != phase->traced_learned ||
                           evaluating->result.to != phase->traced_documents))
        code =
            dpc_error_set(err, DPC_ECORRUPT, "the store has not the new routes of its documents");
    if (code == DPC_OK)
        code = load_routes(world, &phase->routes, phase->traced_documents * pieces,
                           &evaluating->own, err);
    if (code == DPC_OK)
        code = load_routes(world, &evaluating->result.result,
                           (phase->traced_documents - phase->traced_learned) * pieces,
                           &evaluating->routes, err);
    return code == DPC_OK ? dpc_traces_open(world, phase, &evaluating->traces, err) : code;
}

int
dpc_reroute_evaluate(const struct dpc_world *world, const struct dpc_phase_record *phase,
                     struct dpc_rerouted ret_rows[DPC_REROUTES_MAX + 1], uint32_t *ret_count,
                     struct dpc_buf *tsv, struct dpc_error *err)
{
    struct evaluating evaluating = {.world = world,
                                    .phase = phase,
                                    .rows = ret_rows,
                                    .rows_count = world->experiment->reroute.every_count + 1,
                                    .tsv = tsv};
    *ret_count = 0;
    if (phase->traced_documents == 0)
        return DPC_OK;
    for (uint32_t i = 0; i < evaluating.rows_count; i++)
        ret_rows[i] =
            (struct dpc_rerouted){.every = i ? world->experiment->reroute.every[i - 1] : 0};
    dpc_buf_printf(tsv, "every\tdocument\ttargets\tbytes\tnats\n");
    int code = load(&evaluating, err);
    if (code == DPC_OK)
        code = dpc_traces_visit(evaluating.traces, phase->traced_learned, phase->traced_router,
                                try_margins, &evaluating, err);
    choose_margins(&evaluating);
    if (code == DPC_OK)
        code = dpc_traces_visit(evaluating.traces, phase->traced_router, phase->traced_documents,
                                evaluate_document, &evaluating, err);
    dpc_traces_close(evaluating.traces);
    dpc_free(evaluating.routes);
    dpc_free(evaluating.own);
    if (code == DPC_OK)
        *ret_count = evaluating.rows_count;
    return code;
}
