/* SPDX-License-Identifier: Apache-2.0
 * Documents are chosen by the corpus's own numbers; token files are made in memory and named by
 * their content. */
#include "coordinator/corpus.h"

#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "data/tokens.h"
#include "routing/router.h"
#include "routing/shards.h"

/* The usable documents of a corpus, in its order. */
struct corpus {
    const struct dpc_world *world;
    struct dpc_tokens *tokens;
    uint32_t *docs;
    uint32_t docs_count;
};

static int
corpus_open(const struct dpc_world *world, struct corpus *corpus, struct dpc_error *err)
{
    uint32_t too_short;
    *corpus = (struct corpus){.world = world};
    int code = dpc_tokens_open(world->corpus, &corpus->tokens, err);
    if (code == DPC_OK)
        code = dpc_tokens_longer_than(corpus->tokens, world->experiment->routing.prefix,
                                      &corpus->docs, &corpus->docs_count, &too_short, err);
    return code;
}

static void
corpus_close(struct corpus *corpus)
{
    dpc_tokens_close(corpus->tokens);
    dpc_free(corpus->docs);
}

/* Puts the token file of some documents, each cut at `tokens_max` (0: whole). */
static int
put_documents(const struct corpus *corpus, const uint32_t *docs, uint32_t count,
              uint32_t tokens_max, struct dpc_blob_ref *ret_blob, struct dpc_error *err)
{
    struct dpc_buf file;
    dpc_buf_init(&file, 0);
    int code = dpc_tokens_write_subset(corpus->tokens, docs, count, tokens_max, &file, err);
    if (code == DPC_OK) {
        ret_blob->bytes = file.len;
        code = dpc_store_blob_put(corpus->world->store, file.data, file.len, &ret_blob->hash, err);
    }
    dpc_buf_done(&file);
    return code;
}

/* Those of a split that go to `path`; `assignment` NULL: all of them. `*ret_docs` has room for all.
 */
static uint32_t
choose(const struct corpus *corpus, enum dpc_split split, const uint32_t *assignment, uint32_t path,
       uint32_t *ret_docs, uint64_t *ret_tokens)
{
    uint32_t count = 0;
    *ret_tokens = 0;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        uint32_t doc = corpus->docs[i];
        if (dpc_tokens_split(corpus->tokens, doc, corpus->world->experiment) != split ||
            (assignment && assignment[i] != path))
            continue;
        ret_docs[count++] = doc;
        *ret_tokens += dpc_tokens_count(corpus->tokens, doc);
    }
    return count;
}

/* Train and test files of one path. */
static int
put_shard(const struct corpus *corpus, const uint32_t *assignment, uint32_t path,
          struct dpc_shard *ret_shard, struct dpc_error *err)
{
    uint64_t tokens;
    struct dpc_shard shard = {0};
    uint32_t *docs = dpc_alloc(corpus->docs_count, sizeof *docs);
    uint32_t count = choose(corpus, DPC_SPLIT_TRAIN, assignment, path, docs, &shard.train_tokens);
    shard.train_documents = count;
    int code = put_documents(corpus, docs, count, 0, &shard.train, err);
    if (code == DPC_OK) {
        shard.test_documents = choose(corpus, DPC_SPLIT_TEST, assignment, path, docs, &tokens);
        /* A path may have no held-out document of its own; it then has nothing to evaluate. */
        if (shard.test_documents)
            code = put_documents(corpus, docs, shard.test_documents, 0, &shard.test, err);
    }
    dpc_free(docs);
    if (code == DPC_OK)
        *ret_shard = shard;
    return code;
}

static int
put_initial_module(const struct dpc_world *world, uint32_t level, struct dpc_hash *ret_hash,
                   struct dpc_error *err)
{
    size_t count = dpc_layout_module_floats(world->experiment, level);
    float *values = dpc_try_alloc_vector(count, sizeof *values);
    if (!values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_layout_fill_initial(world->experiment, level, values);
    dpc_tensor_blob_write(&blob, values, count);
    int code = blob.failed
                   ? dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count)
                   : dpc_store_blob_put(world->store, blob.data, blob.len, ret_hash, err);
    dpc_buf_done(&blob);
    dpc_free(values);
    return code;
}

static int
prepare(const struct corpus *corpus, struct dpc_prepared *prepared, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    struct dpc_shard all;
    dpc_tokens_hash(corpus->tokens, &prepared->corpus);
    prepared->documents = corpus->docs_count;
    int code = put_documents(corpus, corpus->docs, corpus->docs_count, experiment->routing.prefix,
                             &prepared->prefixes, err);
    if (code == DPC_OK)
        code = put_shard(corpus, NULL, 0, &all, err);
    if (code == DPC_OK && all.test_documents == 0)
        code = dpc_error_set(err, DPC_EINVAL,
                             "none of the %u documents of \"%s\" is held out: raise data.test (now "
                             "%g) or give more documents",
                             corpus->docs_count, corpus->world->corpus, experiment->data.test);
    for (uint32_t level = 0; code == DPC_OK && level < experiment->levels_count; level++)
        code = put_initial_module(corpus->world, level, &prepared->modules[level], err);
    if (code != DPC_OK)
        return code;
    prepared->train = all.train;
    prepared->train_documents = all.train_documents;
    prepared->train_tokens = all.train_tokens;
    prepared->test = all.test;
    prepared->test_documents = all.test_documents;
    return DPC_OK;
}

int
dpc_corpus_prepare(const struct dpc_world *world, struct dpc_prepared *ret_prepared,
                   struct dpc_error *err)
{
    struct corpus corpus;
    struct dpc_prepared prepared = {0};
    int code = corpus_open(world, &corpus, err);
    if (code == DPC_OK)
        code = dpc_tokens_verify(corpus.tokens, err);
    if (code == DPC_OK)
        code = prepare(&corpus, &prepared, err);
    corpus_close(&corpus);
    if (code == DPC_OK)
        *ret_prepared = prepared;
    return code;
}

/* --- Sharding. */

/* Features of all usable documents, in the corpus's order: the featurize results, put together. */
struct features {
    struct dpc_store *store;
    float *values; /* [documents, dim] */
    uint32_t documents, dim;
    uint32_t found; /* documents */
    struct dpc_error *err;
    int code;
};

static int
load_features(struct features *features, const struct dpc_result_record *record)
{
    uint8_t *blob;
    const float *values;
    size_t len, count = (size_t)(record->to - record->from) * features->dim;
    int code = dpc_store_blob_load(features->store, &record->result, &blob, &len, features->err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_read(blob, len, count, &values, features->err);
    if (code == DPC_OK) {
        memcpy(features->values + (size_t)record->from * features->dim, values,
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
    if (record->kind == DPC_TASK_FEATURIZE && record->to <= features->documents)
        features->code = load_features(features, record);
    return features->code == DPC_OK;
}

static int
features_load(const struct corpus *corpus, struct features *features, struct dpc_error *err)
{
    const struct dpc_world *world = corpus->world;
    *features = (struct features){
        .store = world->store,
        .documents = corpus->docs_count,
        .dim = world->experiment->model.dim,
        .err = err,
    };
    features->values = dpc_try_alloc((size_t)features->documents * features->dim, sizeof(float));
    if (!features->values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the features of %u documents",
                             features->documents);
    int code = dpc_scan_results(dpc_store_kv(world->store), gather_features, features, err);
    if (code == DPC_OK)
        code = features->code;
    if (code == DPC_OK && features->found != features->documents)
        code = dpc_error_set(err, DPC_ECORRUPT, "the store has features of %u documents, not of %u",
                             features->found, features->documents);
    return code;
}

/* The router sees what training may see: documents of the train and router splits. */
static int
fit_router(const struct corpus *corpus, const struct features *features,
           struct dpc_router **ret_router, struct dpc_error *err)
{
    uint32_t count = 0, dim = features->dim;
    float *seen = dpc_try_alloc((size_t)features->documents * dim, sizeof *seen);
    if (!seen)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the features of %u documents",
                             features->documents);
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        enum dpc_split split =
            dpc_tokens_split(corpus->tokens, corpus->docs[i], corpus->world->experiment);
        if (split == DPC_SPLIT_TRAIN || split == DPC_SPLIT_ROUTER)
            memcpy(seen + (size_t)count++ * dim, features->values + (size_t)i * dim,
                   dim * sizeof *seen);
    }
    int code = dpc_router_fit(seen, count, dim, corpus->world->topology->routed_paths,
                              corpus->world->experiment->seed, ret_router, err);
    dpc_free(seen);
    return code;
}

/* The path of every usable document; refused when a path gets too little. */
static int
assign(const struct corpus *corpus, const struct features *features,
       const struct dpc_router *router, uint32_t *ret_assignment, struct dpc_error *err)
{
    const struct dpc_topology *topology = corpus->world->topology;
    struct dpc_shard_counts *counts = dpc_alloc(topology->routed_paths, sizeof *counts);
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        ret_assignment[i] = dpc_router_path(router, features->values + (size_t)i * features->dim);
        enum dpc_split split =
            dpc_tokens_split(corpus->tokens, corpus->docs[i], corpus->world->experiment);
        counts[ret_assignment[i]].documents[split]++;
    }
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

static int
shard(const struct corpus *corpus, const struct features *features, struct dpc_hash *ret_router,
      struct dpc_shard *shards, struct dpc_error *err)
{
    struct dpc_router *router = NULL;
    uint32_t *assignment = dpc_alloc(corpus->docs_count, sizeof *assignment);
    int code = fit_router(corpus, features, &router, err);
    if (code == DPC_OK)
        code = assign(corpus, features, router, assignment, err);
    for (uint32_t path = 0; code == DPC_OK && path < corpus->world->topology->routed_paths; path++)
        code = put_shard(corpus, assignment, path, &shards[path], err);
    if (code == DPC_OK)
        code = put_router(corpus->world, router, ret_router, err);
    dpc_router_destroy(router);
    dpc_free(assignment);
    return code;
}

/* The corpus lies outside the store; it must still be what the prefixes were taken from. */
static int
check_same_corpus(const struct corpus *corpus, const struct dpc_phase_record *phase,
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
                 struct dpc_hash *ret_router, struct dpc_shard **ret_shards, struct dpc_error *err)
{
    struct corpus corpus;
    struct features features = {0};
    struct dpc_shard *shards = dpc_alloc(world->topology->routed_paths, sizeof *shards);
    int code = corpus_open(world, &corpus, err);
    if (code == DPC_OK)
        code = check_same_corpus(&corpus, phase, err);
    if (code == DPC_OK)
        code = dpc_tokens_verify(corpus.tokens, err);
    if (code == DPC_OK)
        code = features_load(&corpus, &features, err);
    if (code == DPC_OK)
        code = shard(&corpus, &features, ret_router, shards, err);
    dpc_free(features.values);
    corpus_close(&corpus);
    if (code == DPC_OK)
        *ret_shards = shards;
    else
        dpc_free(shards);
    return code;
}
