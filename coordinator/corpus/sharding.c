/* SPDX-License-Identifier: Apache-2.0
 * From features to shards. The router and the balance see the documents of the train and router
 * splits alone; all others go where the router finds it cheapest. */
#include "coordinator/corpus/corpus.h"
#include "coordinator/corpus/corpus_parts.h"

#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "coordinator/corpus/metadata.h"
#include "routing/assign.h"
#include "routing/ngrams.h"
#include "routing/router.h"
#include "routing/shards.h"

/* The featurize results, put together, or counted here. */
struct features {
    struct dpc_store *store;
    struct dpc_features of;
    uint32_t found; /* documents */
    struct dpc_error *err;
    int code;
};

static int
load_features(struct features *features, const struct dpc_result_record *record)
{
    uint8_t *blob;
    const float *values;
    size_t len, count = (size_t)(record->to - record->from) * features->of.dim;
    int code =
        dpc_store_blob_load_named(features->store, &record->result, &blob, &len, features->err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_read(blob, len, count, &values, features->err);
    if (code == DPC_OK) {
        memcpy(features->of.values + (size_t)record->from * features->of.dim, values,
               count * sizeof *values);
        features->found += record->to - record->from;
    }
    dpc_free(blob);
    return code;
}

static bool
gather_features(void *context, const struct dpc_result_record *record)
{
    struct features *features = context;
    if (record->kind == DPC_TASK_FEATURIZE && record->to <= features->of.documents)
        features->code = load_features(features, record);
    return features->code == DPC_OK;
}

/* Without a model nobody else is needed. */
static void
count_ngrams(const struct dpc_corpus *corpus, struct dpc_features *features)
{
    uint32_t prefix = corpus->world->experiment->routing.prefix;
    int32_t *tokens = dpc_alloc(prefix, sizeof *tokens);
    for (uint32_t i = 0; i < features->documents; i++) {
        uint32_t count = dpc_tokens_copy(corpus->tokens, corpus->docs[i], 0, prefix, tokens);
        dpc_ngrams_features(tokens, count, features->values + (size_t)i * features->dim);
    }
    dpc_free(tokens);
}

static int
features_load(const struct dpc_corpus *corpus, struct features *features, struct dpc_error *err)
{
    const struct dpc_world *world = corpus->world;
    *features = (struct features){
        .store = world->store,
        .of = {.documents = corpus->docs_count,
               .dim = dpc_experiment_feature_dim(world->experiment)},
        .err = err,
    };
    features->of.values =
        dpc_try_alloc((size_t)features->of.documents * features->of.dim, sizeof(float));
    if (!features->of.values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the features of %u documents",
                             features->of.documents);
    if (world->experiment->routing.features == DPC_FEATURES_NGRAMS) {
        count_ngrams(corpus, &features->of);
        return DPC_OK;
    }
    int code = dpc_scan_results(dpc_store_kv(world->store), gather_features, features, err);
    if (code == DPC_OK)
        code = features->code;
    if (code == DPC_OK && features->found != features->of.documents)
        code = dpc_error_set(err, DPC_ECORRUPT, "the store has features of %u documents, not of %u",
                             features->found, features->of.documents);
    return code;
}

/* --- Documents that the router may see. */

static enum dpc_split
split_of(const struct dpc_corpus *corpus, uint32_t index)
{
    return dpc_tokens_split(corpus->tokens, corpus->docs[index], corpus->world->experiment);
}

static bool
is_seen(const struct dpc_corpus *corpus, uint32_t index)
{
    enum dpc_split split = split_of(corpus, index);
    return split == DPC_SPLIT_TRAIN || split == DPC_SPLIT_ROUTER;
}

/* Where the features of those that are seen stand, and their labels where `labels` [docs_count] has
 * any. The features themselves, of millions of documents, are not copied. */
static void
gather_sample(const struct dpc_corpus *corpus, const struct dpc_features *features,
              const uint32_t *labels, struct dpc_router_sample *ret_sample)
{
    uint32_t count = 0;
    uint32_t *rows = dpc_alloc(corpus->docs_count, sizeof *rows);
    uint32_t *seen_labels = dpc_alloc(corpus->docs_count, sizeof *seen_labels);
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        if (!is_seen(corpus, i))
            continue;
        rows[count] = i;
        seen_labels[count++] = labels ? labels[i] : 0;
    }
    *ret_sample = (struct dpc_router_sample){
        .features = features->values,
        .count = count,
        .dim = features->dim,
        .rows = rows,
        .labels = seen_labels,
    };
}

static void
drop_sample(struct dpc_router_sample *sample)
{
    dpc_free((void *)(uintptr_t)sample->rows);
    dpc_free((void *)(uintptr_t)sample->labels);
}

/* `*ret_router` is NULL when there was none. */
static int
load_router(const struct dpc_world *world, const struct dpc_hash *hash,
            struct dpc_router **ret_router, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    *ret_router = NULL;
    if (dpc_hash_is_none(hash))
        return DPC_OK;
    int code = dpc_store_blob_load_named(world->store, hash, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_router_read(bytes, len, ret_router, err);
    dpc_free(bytes);
    return code;
}

static uint32_t
path_of(const struct dpc_corpus *corpus, const struct dpc_features *features,
        const struct dpc_router *router, uint32_t index)
{
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    dpc_tokens_key(corpus->tokens, corpus->docs[index], key);
    return dpc_router_path(router, features->values + (size_t)index * features->dim, key);
}

/* The path of each usable document by the router of the sharding before, `ret_paths` [docs_count];
 * DPC_ASSIGN_NONE where there was none. */
static int
route_as_before(const struct dpc_corpus *corpus, const struct dpc_features *features,
                const struct dpc_phase_record *phase, uint32_t *ret_paths, struct dpc_error *err)
{
    struct dpc_router *before;
    int code = load_router(corpus->world, &phase->router, &before, err);
    for (uint32_t i = 0; code == DPC_OK && i < corpus->docs_count; i++)
        ret_paths[i] = before ? path_of(corpus, features, before, i) : DPC_ASSIGN_NONE;
    dpc_router_destroy(before);
    return code;
}

static int
fit_router(const struct dpc_corpus *corpus, const struct dpc_features *features,
           const uint32_t *labels, struct dpc_router **ret_router, struct dpc_error *err)
{
    struct dpc_router_sample sample = {0};
    gather_sample(corpus, features, labels, &sample);
    int code = dpc_router_fit(corpus->world->topology, &sample, ret_router, err);
    drop_sample(&sample);
    return code;
}

static int
fit_to_scores(const struct dpc_corpus *corpus, const struct dpc_features *features,
              const struct dpc_phase_record *phase, const uint32_t *before,
              struct dpc_router **ret_router, struct dpc_error *err)
{
    struct dpc_router_sample seen = {0};
    if (dpc_hash_is_none(&phase->router))
        return dpc_error_set(err, DPC_ECORRUPT, "the store has no router from before this phase");
    gather_sample(corpus, features, before, &seen);
    int code = dpc_corpus_fit_to_scores(corpus, features, phase, before, &seen, ret_router, err);
    drop_sample(&seen);
    return code;
}

/* --- Assignment. */

/* A document of the corpus, and what each path costs for it. */
static void
cost_of(const struct dpc_corpus *corpus, const struct dpc_features *features,
        const struct dpc_router *router, uint32_t index, float *ret_costs)
{
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    dpc_tokens_key(corpus->tokens, corpus->docs[index], key);
    dpc_router_costs(router, features->values + (size_t)index * features->dim, key, ret_costs);
}

/* The nearest paths of some documents. */
static int
assign_block(const struct dpc_corpus *corpus, const struct dpc_features *features,
             const struct dpc_router *router, const uint32_t *docs, uint32_t count,
             const struct dpc_assign_options *options, struct dpc_assignment *assignment,
             struct dpc_error *err)
{
    uint32_t paths = dpc_router_paths(router), choices = assignment->choices;
    float *costs = dpc_try_alloc((size_t)count * paths + 1, sizeof *costs);
    if (!costs)
        return dpc_error_set(err, DPC_ENOMEM,
                             "no memory to rank %u paths for %u documents at once, as "
                             "routing.balance: capacity asks: write none, or use fewer paths",
                             paths, count);
    uint32_t *chosen = dpc_alloc((size_t)count * choices + 1, sizeof *chosen);
    for (uint32_t i = 0; i < count; i++)
        cost_of(corpus, features, router, docs[i], costs + (size_t)i * paths);
    dpc_assign(costs, count, paths, options, chosen);
    for (uint32_t i = 0; i < count; i++)
        memcpy(assignment->paths + (size_t)docs[i] * choices, chosen + (size_t)i * choices,
               choices * sizeof *chosen);
    dpc_free(costs);
    dpc_free(chosen);
    return DPC_OK;
}

/* Those documents for which is_seen() equals `seen`. A capacity looks at all of them at once,
 * without one each chooses for itself. */
static int
assign_some(const struct dpc_corpus *corpus, const struct dpc_features *features,
            const struct dpc_router *router, bool seen, const struct dpc_assign_options *options,
            struct dpc_assignment *assignment, struct dpc_error *err)
{
    enum { COSTS_MAX = 1 << 20 };
    uint32_t count = 0, at_once = COSTS_MAX / dpc_router_paths(router) + 1;
    uint32_t *docs = dpc_alloc(corpus->docs_count, sizeof *docs);
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        if (is_seen(corpus, i) == seen)
            docs[count++] = i;
    }
    if (options->capacity > 0 || at_once > count)
        at_once = count;
    int code = DPC_OK;
    for (uint32_t from = 0; code == DPC_OK && from < count; from += at_once) {
        uint32_t left = count - from;
        code = assign_block(corpus, features, router, docs + from, left < at_once ? left : at_once,
                            options, assignment, err);
    }
    dpc_free(docs);
    return code;
}

static int
assign(const struct dpc_corpus *corpus, const struct dpc_features *features,
       const struct dpc_router *router, struct dpc_assignment *assignment, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    bool balanced = experiment->routing.balance == DPC_BALANCE_CAPACITY;
    struct dpc_assign_options seen = {.choices = assignment->choices,
                                      .capacity = balanced ? experiment->routing.capacity : 0};
    struct dpc_assign_options held_out = {.choices = assignment->choices};
    int code = assign_some(corpus, features, router, true, &seen, assignment, err);
    if (code == DPC_OK)
        code = assign_some(corpus, features, router, false, &held_out, assignment, err);
    return code;
}

/* Refused when a path gets too little; copies that overlap makes do not count. */
static int
check_counts(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
             struct dpc_error *err)
{
    const struct dpc_topology *topology = corpus->world->topology;
    struct dpc_shard_counts *counts = dpc_alloc(topology->routed_paths, sizeof *counts);
    for (uint32_t i = 0; i < corpus->docs_count; i++)
        counts[assignment->paths[(size_t)i * assignment->choices]].documents[split_of(corpus, i)]++;
    int code = dpc_shards_check(topology, counts, err);
    dpc_free(counts);
    return code;
}

static int
put_router(const struct dpc_world *world, const struct dpc_router *router,
           struct dpc_hash *ret_hash, struct dpc_error *err)
{
    struct dpc_buf bytes;
    dpc_buf_init(&bytes, 0);
    dpc_router_write(router, &bytes);
    int code = dpc_store_blob_put(world->store, bytes.data, bytes.len, ret_hash, err);
    dpc_buf_done(&bytes);
    return code;
}

/* Which documents the router sends where, and which of them stay where they were. */
static void
count_routed(const struct dpc_corpus *corpus, const struct dpc_features *features,
             const uint32_t *before, const struct dpc_router *router, struct dpc_shard *shards)
{
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        uint32_t path = path_of(corpus, features, router, i);
        shards[path].routed++;
        shards[path].stayed += before[i] == path;
    }
}

static int
put_shards(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
           struct dpc_shard *shards, struct dpc_error *err)
{
    int code = check_counts(corpus, assignment, err);
    return code == DPC_OK ? dpc_corpus_put_shards(corpus, assignment, shards, err) : code;
}

/* The router, and the assignment where the router does not make it. */
static int
route(const struct dpc_corpus *corpus, const struct dpc_features *features,
      const struct dpc_phase_record *phase, const uint32_t *before, uint32_t *paths,
      struct dpc_router **ret_router, bool *ret_assigned, struct dpc_error *err)
{
    *ret_assigned = false;
    if (phase->phase == DPC_PHASE_FIT)
        return fit_to_scores(corpus, features, phase, before, ret_router, err);
    if (corpus->world->experiment->routing.init != DPC_ROUTING_METADATA)
        return fit_router(corpus, features, NULL, ret_router, err);
    *ret_assigned = true;
    int code = dpc_corpus_route_by_field(corpus, paths, err);
    return code == DPC_OK ? fit_router(corpus, features, paths, ret_router, err) : code;
}

static int
shard(const struct dpc_corpus *corpus, const struct dpc_features *features,
      const struct dpc_phase_record *phase, struct dpc_sharded *sharded, struct dpc_shard *shards,
      struct dpc_error *err)
{
    bool assigned;
    struct dpc_router *router = NULL;
    struct dpc_assignment assignment = {.choices = corpus->world->experiment->routing.overlap};
    assignment.paths = dpc_alloc((size_t)corpus->docs_count * assignment.choices, sizeof(uint32_t));
    uint32_t *before = dpc_alloc(corpus->docs_count, sizeof *before);
    int code = route_as_before(corpus, features, phase, before, err);
    if (code == DPC_OK)
        code = route(corpus, features, phase, before, assignment.paths, &router, &assigned, err);
    if (code == DPC_OK && !assigned)
        code = assign(corpus, features, router, &assignment, err);
    if (code == DPC_OK)
        code = put_shards(corpus, &assignment, shards, err);
    if (code == DPC_OK) {
        count_routed(corpus, features, before, router, shards);
        code = dpc_corpus_put_scored(corpus, sharded, err);
    }
    if (code == DPC_OK)
        code = dpc_corpus_put_traced(corpus, &assignment, sharded, err);
    if (code == DPC_OK)
        code = put_router(corpus->world, router, &sharded->router, err);
    dpc_router_destroy(router);
    dpc_free(before);
    dpc_free(assignment.paths);
    return code;
}

/* The corpus lies outside the store; it must still be what the prefixes were taken from. */
static int
check_same_corpus(const struct dpc_corpus *corpus, const struct dpc_phase_record *phase,
                  struct dpc_error *err)
{
    struct dpc_hash hash;
    dpc_tokens_hash(corpus->tokens, &hash);
    if (dpc_hash_equal(&hash, &phase->corpus) && corpus->docs_count == phase->documents)
        return DPC_OK;
    return dpc_error_set(err, DPC_ESTALE,
                         "the corpus \"%s\" is not the one that this experiment began with: put "
                         "that one back, or begin anew in another folder",
                         corpus->world->corpus);
}

int
dpc_corpus_shard(const struct dpc_world *world, const struct dpc_phase_record *phase,
                 struct dpc_sharded *ret_sharded, struct dpc_shard **ret_shards,
                 struct dpc_error *err)
{
    struct dpc_corpus corpus;
    struct features features = {0};
    struct dpc_sharded sharded = {.paths_count = world->topology->routed_paths};
    struct dpc_shard *shards = dpc_alloc(sharded.paths_count, sizeof *shards);
    int code = dpc_corpus_open(world, &corpus, err);
    if (code == DPC_OK)
        code = check_same_corpus(&corpus, phase, err);
    if (code == DPC_OK)
        code = dpc_tokens_verify(corpus.tokens, err);
    if (code == DPC_OK)
        code = features_load(&corpus, &features, err);
    if (code == DPC_OK)
        code = shard(&corpus, &features.of, phase, &sharded, shards, err);
    dpc_free(features.of.values);
    dpc_corpus_close(&corpus);
    if (code != DPC_OK) {
        dpc_free(shards);
        return code;
    }
    sharded.paths = *ret_shards = shards;
    *ret_sharded = sharded;
    return DPC_OK;
}
