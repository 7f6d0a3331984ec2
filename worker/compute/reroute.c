/* SPDX-License-Identifier: Apache-2.0
 * A sequence is a window as evaluation reads it, so that the network sees of a document what the
 * paths had seen when their losses were taken. Which windows a step takes follows from its number:
 * the result is a function of the lease. */
#include "worker/compute/reroute.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "data/batch.h"
#include "data/routes.h"

/* A window of a document. */
struct place {
    uint32_t doc, window;
};

struct rerouting {
    struct dpc_engine *engine;
    const struct dpc_task *task;
    struct dpc_experiment *network;
    const struct dpc_tokens *tokens;
    uint32_t paths;
    size_t pieces, window_pieces; /* of a document, of a window */
    struct dpc_route *given;      /* [to, pieces]: to learn, and behind `from` documents' own */
    struct dpc_route *routes;     /* [to - from, pieces] */
    struct place *places;         /* windows that have targets */
    uint32_t places_count;        /* in all */
    uint32_t places_known;        /* of them those whose routes were not found by tracing */
    double done, all; /* sequences read, and to be read: learning from one counts three times */
    uint64_t tokens_done;
    int64_t start_ns;
};

/* --- The network. */

/* Its schedule is its own: a warm-up of a tenth, then a cosine. */
static void
describe_network(struct rerouting *rerouting)
{
    const struct dpc_experiment *experiment = &rerouting->engine->experiment;
    struct dpc_experiment *network = rerouting->network;
    memcpy(network, experiment, sizeof *network);
    network->listed_count = 0;
    network->model.tie_embeddings = false;
    network->inner.lr = experiment->reroute.lr;
    network->inner.warmup = (experiment->reroute.steps + 9) / 10;
    network->warm_start.steps = experiment->reroute.steps;
    network->outer.rounds = 0;
}

/* --- Windows. */

/* Fills row `row` of the batch; false where the window has no token that counts. */
static bool
take_window(const struct rerouting *rerouting, struct place place, uint32_t row)
{
    const struct dpc_experiment *experiment = &rerouting->engine->experiment;
    size_t at = (size_t)row * experiment->model.context;
    return dpc_batch_window(rerouting->tokens, place.doc, place.window, experiment->model.context,
                            experiment->routing.prefix, rerouting->engine->tokens + at,
                            rerouting->engine->targets + at) > 0;
}

static const struct dpc_route *
given_for(const struct rerouting *rerouting, struct place place)
{
    return rerouting->given + place.doc * rerouting->pieces +
           place.window * rerouting->window_pieces;
}

/* In place of the tokens that follow, the path of the piece: behind each of its tokens, although it
 * is asked for behind the last alone, since that teaches sooner. */
static void
put_targets(const struct rerouting *rerouting, struct place place, uint32_t row)
{
    uint32_t context = rerouting->engine->experiment.model.context;
    int32_t *targets = rerouting->engine->targets + (size_t)row * context;
    const struct dpc_route *given = given_for(rerouting, place);
    for (uint32_t i = 0; i < context; i++) {
        uint16_t path = given[i / DPC_PIECE_TOKENS].path;
        targets[i] = path == DPC_ROUTE_NONE ? DPC_TARGET_NONE : path;
    }
}

static uint32_t
windows_of(const struct rerouting *rerouting, uint32_t doc)
{
    const struct dpc_experiment *experiment = &rerouting->engine->experiment;
    return dpc_batch_windows(rerouting->tokens, doc, experiment->model.context,
                             experiment->evaluation.windows);
}

static bool
has_targets(const struct rerouting *rerouting, struct place place)
{
    const struct dpc_route *given = given_for(rerouting, place);
    for (size_t piece = 0; piece < rerouting->window_pieces; piece++) {
        if (given[piece].path != DPC_ROUTE_NONE)
            return true;
    }
    return false;
}

/* Also counts what there is to do. */
static void
list_places(struct rerouting *rerouting)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    const struct dpc_experiment *experiment = &rerouting->engine->experiment;
    for (uint32_t doc = 0; doc < lease->to; doc++) {
        uint32_t windows = windows_of(rerouting, doc);
        rerouting->all += doc < lease->from ? 0 : windows;
        for (uint32_t window = 0; doc < lease->from && window < windows; window++) {
            struct place place = {doc, window};
            if (!has_targets(rerouting, place) || !take_window(rerouting, place, 0))
                continue;
            rerouting->places[rerouting->places_count++] = place;
            rerouting->places_known += doc < lease->step_first;
        }
    }
    if (rerouting->places_count)
        rerouting->all += 3.0 * experiment->reroute.steps * experiment->inner.batch;
}

/* --- Learning. */

/* A lease's steps are documents to be routed; learning is a part of the way to them. */
static int
report(struct rerouting *rerouting, uint32_t sequences, double each, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    struct dpc_progress *progress = rerouting->task->progress;
    rerouting->done += sequences * each;
    rerouting->tokens_done += (uint64_t)sequences * rerouting->engine->experiment.model.context;
    double share = rerouting->all > 0 ? rerouting->done / rerouting->all : 1;
    dpc_progress_report(progress, (uint32_t)(fmin(share, 1) * (lease->to - lease->from)),
                        rerouting->tokens_done, rerouting->start_ns);
    return progress->cancelled ? dpc_error_set(err, DPC_ECANCELLED, "the lease was dropped")
                               : DPC_OK;
}

/* Half of a batch is of documents whose best routes are known, however few these are. */
static struct place
draw_place(const struct rerouting *rerouting, uint32_t row, struct dpc_rng *rng)
{
    uint32_t known = rerouting->places_known, traced = rerouting->places_count - known;
    bool of_known = traced == 0 || (known && row % 2);
    return of_known ? rerouting->places[dpc_rng_below(rng, known)]
                    : rerouting->places[known + dpc_rng_below(rng, traced)];
}

static int
learn_step(struct rerouting *rerouting, uint32_t step, struct dpc_error *err)
{
    struct dpc_engine *engine = rerouting->engine;
    uint32_t batch = engine->experiment.inner.batch;
    double loss, norm;
    uint64_t targets;
    struct dpc_rng rng;
    dpc_rng_init(&rng, engine->experiment.seed, DPC_RNG_REROUTE, step, 0, 0);
    for (uint32_t row = 0; row < batch; row++) {
        struct place place = draw_place(rerouting, row, &rng);
        take_window(rerouting, place, row);
        put_targets(rerouting, place, row);
    }
    int code = dpc_path_backward(engine->path, engine->tokens, engine->targets, batch,
                                 engine->experiment.model.context, &loss, &targets);
    if (code == DPC_OK && !isfinite(loss))
        code = DPC_ENOTFINITE;
    if (code == DPC_OK)
        code = dpc_adamw_step(engine->adamw, engine->path,
                              dpc_schedule_lr(rerouting->network, step), &norm);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "step %u of the router network: %s", step,
                             dpc_error_words(code));
    return report(rerouting, batch, 3, err);
}

/* --- Choosing. */

static struct dpc_route
best_of(const float *logits, uint32_t paths, uint16_t own)
{
    uint32_t best = 0;
    for (uint32_t path = 1; path < paths; path++) {
        if (logits[path] > logits[best])
            best = path;
    }
    float margin = own < paths ? logits[best] - logits[own] : 0;
    return (struct dpc_route){(uint16_t)best, isfinite(margin) ? margin : 0};
}

/* Routes of the windows of one batch. */
static int
choose_batch(struct rerouting *rerouting, const struct place *places, uint32_t count, float *logits,
             struct dpc_error *err)
{
    struct dpc_engine *engine = rerouting->engine;
    const struct dpc_experiment *experiment = &engine->experiment;
    size_t window_pieces = rerouting->window_pieces, vocab = experiment->model.vocab;
    int code = dpc_path_logits_pieces(engine->path, engine->tokens, count,
                                      experiment->model.context, DPC_PIECE_TOKENS, logits);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the router network could not choose: %s",
                             dpc_error_words(code));
    for (uint32_t i = 0; i < count; i++) {
        size_t doc = places[i].doc - rerouting->task->lease->from;
        const struct dpc_route *own = given_for(rerouting, places[i]);
        struct dpc_route *routes =
            rerouting->routes + doc * rerouting->pieces + places[i].window * window_pieces;
        for (size_t piece = 0; piece < window_pieces; piece++)
            routes[piece] = best_of(logits + (i * window_pieces + piece) * vocab, rerouting->paths,
                                    own[piece].path);
    }
    return report(rerouting, count, 1, err);
}

static int
choose_all(struct rerouting *rerouting, struct place *places, float *logits, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    uint32_t count = 0, batch = rerouting->engine->batch_max;
    int code = DPC_OK;
    for (uint32_t doc = lease->from; code == DPC_OK && doc < lease->to; doc++) {
        uint32_t windows = windows_of(rerouting, doc);
        for (uint32_t window = 0; code == DPC_OK && window < windows; window++) {
            places[count] = (struct place){doc, window};
            count += take_window(rerouting, places[count], count);
            if (count < batch)
                continue;
            code = choose_batch(rerouting, places, count, logits, err);
            count = 0;
        }
    }
    return code == DPC_OK && count ? choose_batch(rerouting, places, count, logits, err) : code;
}

static int
choose(struct rerouting *rerouting, struct dpc_error *err)
{
    size_t batch = rerouting->engine->batch_max;
    size_t floats = batch * rerouting->window_pieces * rerouting->engine->experiment.model.vocab;
    struct place *places = dpc_try_alloc(batch, sizeof *places);
    float *logits = dpc_try_alloc_vector(floats, sizeof *logits);
    int code = places && logits ? choose_all(rerouting, places, logits, err)
                                : dpc_error_set(err, DPC_ENOMEM,
                                                "no memory for %zu outputs of "
                                                "the router network",
                                                floats);
    dpc_free(logits);
    dpc_free(places);
    return code;
}

/* --- The task. */

static int
learn_and_choose(struct rerouting *rerouting, struct dpc_error *err)
{
    struct dpc_engine *engine = rerouting->engine;
    list_places(rerouting);
    if (rerouting->places_count == 0)
        return DPC_OK;
    int code = dpc_engine_become_router(engine, rerouting->network, err);
    for (uint32_t step = 0; code == DPC_OK && step < engine->experiment.reroute.steps; step++)
        code = learn_step(rerouting, step, err);
    return code == DPC_OK ? choose(rerouting, err) : code;
}

static int
read_given(struct rerouting *rerouting, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    uint8_t *bytes;
    int code = dpc_cache_load(rerouting->task->cache, &lease->state, &bytes, err);
    if (code != DPC_OK)
        return code;
    code = dpc_routes_read(bytes, lease->state.bytes, lease->to * rerouting->pieces,
                           rerouting->paths, &rerouting->given, err);
    dpc_free(bytes);
    return code == DPC_ECORRUPT ? DPC_EPROTO : code; /* as its hash says, and yet none */
}

static int
lay_out(struct rerouting *rerouting, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    size_t count = (lease->to - lease->from) * rerouting->pieces;
    size_t windows = lease->from * (size_t)rerouting->engine->experiment.evaluation.windows;
    if (count > DPC_ROUTES_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %zu pieces to route", count);
    rerouting->routes = dpc_try_alloc(count + 1, sizeof *rerouting->routes);
    rerouting->places = dpc_try_alloc(windows + 1, sizeof *rerouting->places);
    if (!rerouting->routes || !rerouting->places)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu routes", count);
    for (size_t i = 0; i < count; i++)
        rerouting->routes[i].path = DPC_ROUTE_NONE;
    return DPC_OK;
}

static int
put_routes(struct rerouting *rerouting, struct dpc_msg_submit *submit, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = rerouting->task->lease;
    struct dpc_buf *blob = &rerouting->engine->blob;
    submit->steps_count = lease->to - lease->from;
    submit->tokens = rerouting->tokens_done;
    dpc_buf_reset(blob);
    dpc_routes_write(blob, rerouting->routes, submit->steps_count * rerouting->pieces);
    return dpc_engine_put(rerouting->engine, rerouting->task, &submit->result, err);
}

static int
run(struct rerouting *rerouting, struct dpc_msg_submit *submit, struct dpc_error *err)
{
    int code = dpc_engine_load(rerouting->engine, rerouting->task, err);
    if (code == DPC_OK)
        code = dpc_engine_open_tokens(rerouting->engine, rerouting->task, &rerouting->tokens, err);
    if (code == DPC_OK)
        code = read_given(rerouting, err);
    if (code == DPC_OK)
        code = lay_out(rerouting, err);
    if (code == DPC_OK)
        code = learn_and_choose(rerouting, err);
    return code == DPC_OK ? put_routes(rerouting, submit, err) : code;
}

int
dpc_reroute_run(struct dpc_engine *engine, const struct dpc_task *task,
                struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &engine->experiment;
    struct dpc_msg_submit submit = {0};
    struct rerouting rerouting = {
        .engine = engine,
        .task = task,
        .paths = engine->topology.routed_paths,
        .pieces = (size_t)dpc_experiment_pieces(experiment),
        .window_pieces = experiment->model.context / DPC_PIECE_TOKENS,
        .start_ns = dpc_clock_ns(),
    };
    if (experiment->reroute.every_count == 0 ||
        task->lease->path != dpc_topology_dense_path(&engine->topology))
        return dpc_error_set(err, DPC_EPROTO,
                             "the lease is for new routes, of path %u, which the "
                             "experiment has not",
                             task->lease->path);
    rerouting.network = dpc_alloc(1, sizeof *rerouting.network);
    describe_network(&rerouting);
    int code = run(&rerouting, &submit, err);
    dpc_free(rerouting.places);
    dpc_free(rerouting.routes);
    dpc_free(rerouting.given);
    dpc_free(rerouting.network);
    if (code != DPC_OK)
        return code;
    submit.seconds = dpc_progress_seconds(task->progress, rerouting.start_ns);
    *ret_submit = submit;
    return DPC_OK;
}
