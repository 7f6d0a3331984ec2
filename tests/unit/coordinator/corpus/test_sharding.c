/* SPDX-License-Identifier: Apache-2.0
 * Sharding before training and between rounds, over a small corpus of two kinds of documents. The
 * features say a document's kind, and the scores say which path is good at it. */
#include "coordinator/corpus/corpus.h"

#include <string.h>

#include "base/alloc.h"
#include "base/imported.h"
#include "base/layout.h"
#include "base/rng.h"
#include "base/tensor_blob.h"
#include "coordinator/core/asked.h"
#include "coordinator/corpus/corpus_parts.h"
#include "data/routes.h"
#include "data/scores.h"
#include "storage/blob/blob.h"
#include "tests/unit/base/llama_folder.h"
#include "tests/unit/coordinator/put_result.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/data/corpus.h"
#include "tests/unit/data/pairs.h"
#include "tests/unit/harness.h"

enum { DOCUMENTS = 400, DIM = 16, PATHS = 4 };

#define YAML(routing)                                                                              \
    "experiment: test\n"                                                                           \
    "data: {corpus: corpus, test: 0.2, router: 0.3}\n"                                             \
    "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n" LEVELS_2X2                                \
    "routing: {prefix: 8, " routing "}\n"                                                          \
    "outer: {rounds: 3}\n"

struct rig {
    struct temp temp;
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_world world;
    struct dpc_phase_record phase;
    struct dpc_sharded sharded;
    struct dpc_shard *shards;
    struct dpc_error err;
};

static bool most_are_of_kind_0; /* five of eight, an eighth of each other; else as many of each */

static uint32_t
kind_of(uint32_t doc)
{
    if (!most_are_of_kind_0)
        return doc % PATHS;
    return doc % 8 < 5 ? 0 : doc % 8 - 4;
}

/* For n-grams prefixes, too, are of a kind. */
static void
build(struct rig *rig)
{
    static const char *const beginnings[PATHS] = {"abababab", "cdcdcdcd", "efefefef", "ghghghgh"};
    bool ngrams = rig->experiment.routing.features == DPC_FEATURES_NGRAMS;
    char *texts[DOCUMENTS];
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        texts[i] = dpc_format("%sdocument number %u, which is longer than its prefix",
                              ngrams ? beginnings[kind_of(i)] : "", i);
    corpus_build(&rig->temp, "corpus", (const char *const *)texts, DOCUMENTS);
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        dpc_free(texts[i]);
}

static void
begin(struct rig *rig, const char *yaml)
{
    *rig = (struct rig){0};
    temp_make(&rig->temp);
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("t.yaml", yaml, strlen(yaml), &rig->experiment, &rig->err), DPC_OK);
    build(rig);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&rig->topology, &rig->experiment, &rig->err), DPC_OK);
    rig->world.experiment = &rig->experiment;
    rig->world.topology = &rig->topology;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&rig->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_blobs_open(&dpc_vfs_posix, temp_path(&rig->temp, "blobs"), &rig->blobs, &rig->err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(rig->kv, rig->blobs, &rig->world.store, &rig->err),
                          DPC_OK);
    (void)snprintf(rig->world.corpus, sizeof rig->world.corpus, "%s",
                   temp_path(&rig->temp, "corpus"));
}

static void
end(struct rig *rig)
{
    dpc_free(rig->shards);
    dpc_store_close(rig->world.store);
    dpc_blobs_close(rig->blobs);
    dpc_kv_close(rig->kv);
    temp_remove(&rig->temp);
}

/* A direction of its own for each kind, and noise. */
static void
put_features(struct rig *rig)
{
    static float features[DOCUMENTS][DIM];
    struct dpc_result_record result = {.kind = DPC_TASK_FEATURIZE, .to = DOCUMENTS};
    struct dpc_rng rng;
    struct dpc_buf blob;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        for (uint32_t k = 0; k < DIM; k++)
            features[i][k] = (float)(0.2 * dpc_rng_normal(&rng) + 2 * (k == kind_of(i)));
    }
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, &features[0][0], DOCUMENTS * DIM);
    put_result(rig->world.store, &result, &blob);
}

/* What a path found for a block of the scored documents. */
static void
put_block(struct rig *rig, const struct dpc_score *scores, uint32_t phase, uint32_t path,
          uint32_t from)
{
    uint32_t left = rig->phase.scored_documents - from;
    struct dpc_result_record result = {
        .kind = DPC_TASK_SCORE,
        .path = path,
        .from = from,
        .to = from + (left < DPC_ASKED_DOCUMENTS ? left : DPC_ASKED_DOCUMENTS),
        .phase = phase};
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_scores_write(&blob, scores + from, result.to - from);
    put_result(rig->world.store, &result, &blob);
}

/* Of the paths that are asked. */
static void
put_blocks(struct rig *rig, const struct dpc_score *scores, uint32_t phase, uint32_t path)
{
    struct dpc_asked asked;
    uint32_t count = dpc_experiment_score_paths(&rig->experiment);
    dpc_asked_init(&asked, rig->experiment.seed, phase, PATHS, count);
    for (uint32_t from = 0; from < rig->phase.scored_documents; from += DPC_ASKED_DOCUMENTS) {
        const uint32_t *paths = dpc_asked_next(&asked);
        for (uint32_t i = 0; i < count; i++) {
            if (paths[i] == path)
                put_block(rig, scores, phase, path, from);
        }
    }
    dpc_asked_done(&asked);
}

/* About 4 nats more than the best path loses, so that of two others now the one and now the other
 * is better. */
static double
loss_of_others(uint32_t doc, uint32_t path)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 2, doc, path);
    return 8.5 + dpc_rng_unit(&rng);
}

/* `best` of a kind is the path that loses least on it. */
static void
put_scores(struct rig *rig, uint32_t phase, const uint32_t best[PATHS])
{
    uint32_t count = rig->phase.scored_documents, scored = 0;
    struct dpc_score *scores = dpc_alloc(count, sizeof *scores);
    for (uint32_t path = 0; path < PATHS; path++) {
        struct dpc_tokens *tokens = corpus_open(&rig->temp, "corpus");
        scored = 0;
        for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
            if (dpc_tokens_split(tokens, doc, &rig->experiment) == DPC_SPLIT_ROUTER)
                scores[scored++] = (struct dpc_score){
                    .id = doc,
                    .targets = 10,
                    .nats = best[kind_of(doc)] == path ? 5 : loss_of_others(doc, path)};
        }
        CU_ASSERT_EQUAL_FATAL(scored, count);
        dpc_tokens_close(tokens);
        put_blocks(rig, scores, phase, path);
    }
    dpc_free(scores);
}

static void
shard(struct rig *rig, enum dpc_phase phase)
{
    rig->phase.phase = phase;
    dpc_free(rig->shards);
    rig->shards = NULL;
    int code = dpc_corpus_shard(&rig->world, &rig->phase, &rig->sharded, &rig->shards, &rig->err);
    if (code != DPC_OK)
        fprintf(stderr, "%s\n", rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    rig->phase.router = rig->sharded.router;
    rig->phase.scored = rig->sharded.scored.hash;
    rig->phase.scored_documents = rig->sharded.scored_documents;
}

static void
begin_prepared(struct rig *rig, const char *yaml)
{
    struct dpc_prepared prepared;
    begin(rig, yaml);
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_prepare(&rig->world, &prepared, &rig->err), DPC_OK);
    rig->phase.corpus = prepared.corpus;
    rig->phase.documents = prepared.documents;
}

static void
begin_sharded(struct rig *rig, const char *yaml)
{
    begin_prepared(rig, yaml);
    put_features(rig);
    shard(rig, DPC_PHASE_SHARD);
}

/* Counts each document of a token file in `seen` [DOCUMENTS]; those of `path` by kind. */
static void
mark(struct rig *rig, const struct dpc_blob_ref *file, uint32_t *seen, uint32_t kinds[PATHS])
{
    uint8_t *bytes;
    size_t len;
    struct dpc_tokens *tokens;
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_load(rig->world.store, &file->hash, &bytes, &len, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("shard", bytes, len, &tokens, &rig->err), DPC_OK);
    for (uint32_t i = 0; i < dpc_tokens_documents(tokens); i++) {
        seen[dpc_tokens_id(tokens, i)]++;
        kinds[kind_of(dpc_tokens_id(tokens, i))]++;
    }
    dpc_tokens_close(tokens);
    dpc_free(bytes);
}

/* Each document is in the files of the one split that is its own: for training on as many paths as
 * overlap says, held out in one. */
static void
check_splits(struct rig *rig)
{
    uint32_t overlap = rig->experiment.routing.overlap;
    uint32_t train[DOCUMENTS] = {0}, test[DOCUMENTS] = {0}, early[DOCUMENTS] = {0};
    uint32_t scored[DOCUMENTS] = {0}, kinds[PATHS] = {0};
    for (uint32_t path = 0; path < PATHS; path++) {
        mark(rig, &rig->shards[path].train, train, kinds);
        if (rig->shards[path].test_documents)
            mark(rig, &rig->shards[path].test, test, kinds);
        if (rig->shards[path].early_stop_documents)
            mark(rig, &rig->shards[path].early_stop, early, kinds);
    }
    mark(rig, &rig->sharded.scored, scored, kinds);
    struct dpc_tokens *tokens = corpus_open(&rig->temp, "corpus");
    for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
        enum dpc_split split = dpc_tokens_split(tokens, doc, &rig->experiment);
        CU_ASSERT_EQUAL(train[doc], split == DPC_SPLIT_TRAIN ? overlap : 0);
        CU_ASSERT_EQUAL(test[doc], split == DPC_SPLIT_TEST);
        CU_ASSERT_EQUAL(early[doc], split == DPC_SPLIT_EARLY_STOP);
        CU_ASSERT_EQUAL(scored[doc], split == DPC_SPLIT_ROUTER);
    }
    dpc_tokens_close(tokens);
}

/* Documents of a path that are of the kind. */
static uint32_t
count_kind(struct rig *rig, uint32_t path, uint32_t kind)
{
    uint32_t seen[DOCUMENTS] = {0}, kinds[PATHS] = {0};
    mark(rig, &rig->shards[path].train, seen, kinds);
    if (rig->shards[path].test_documents)
        mark(rig, &rig->shards[path].test, seen, kinds);
    return kinds[kind];
}

static uint64_t
count_stayed(const struct rig *rig)
{
    uint64_t routed = 0, stayed = 0;
    for (uint32_t path = 0; path < PATHS; path++) {
        routed += rig->shards[path].routed;
        stayed += rig->shards[path].stayed;
    }
    CU_ASSERT_EQUAL(routed, DOCUMENTS);
    return stayed;
}

/* Each path has one kind, nobody having said a feature; and another one after a phase. */
static void
ngrams_are_counted_from_the_corpus_alone(void)
{
    static const uint32_t best[PATHS] = {2, 0, 3, 1};
    struct rig rig;
    begin_prepared(&rig, YAML("documents_min: 2, phases: 1, features: ngrams"));
    shard(&rig, DPC_PHASE_SHARD);
    check_splits(&rig);
    for (uint32_t kind = 0; kind < PATHS; kind++) {
        uint32_t paths = 0;
        for (uint32_t path = 0; path < PATHS; path++)
            paths += count_kind(&rig, path, kind) > 0;
        CU_ASSERT_EQUAL(paths, 1);
    }
    put_scores(&rig, 1, best);
    shard(&rig, DPC_PHASE_FIT);
    check_splits(&rig);
    for (uint32_t kind = 0; kind < PATHS; kind++)
        CU_ASSERT(count_kind(&rig, best[kind], kind) >= 50);
    end(&rig);
}

/* Two permutations of the kinds, one a phase: the last phase's scores decide, but for the few
 * documents that the bias moves to meet the labels' shares. */
static void
documents_go_where_the_scores_are_best(void)
{
    static const uint32_t best[][PATHS] = {{2, 0, 3, 1}, {1, 3, 0, 2}};
    struct rig rig;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 2"));
    check_splits(&rig);
    CU_ASSERT_EQUAL(count_stayed(&rig), 0);
    for (uint32_t phase = 0; phase < 2; phase++) {
        put_scores(&rig, phase + 1, best[phase]);
        rig.phase.routing_phases = phase;
        shard(&rig, DPC_PHASE_FIT);
        check_splits(&rig);
        CU_ASSERT(phase == 0 || count_stayed(&rig) < DOCUMENTS / 10);
        for (uint32_t kind = 0; kind < PATHS; kind++) {
            for (uint32_t path = 0; path < PATHS; path++) {
                uint32_t count = count_kind(&rig, path, kind);
                CU_ASSERT(path == best[phase][kind] ? count >= 50 : count <= 5);
            }
        }
    }
    shard(&rig, DPC_PHASE_FIT); /* of the same scores */
    CU_ASSERT_EQUAL(count_stayed(&rig), DOCUMENTS);
    end(&rig);
}

/* Whatever the scores say, however many paths train on a document and under a capacity. */
static void
no_document_is_ever_in_two_splits(void)
{
    static const char *const yamls[] = {
        YAML("documents_min: 2, phases: 2, overlap: 2"),
        YAML("documents_min: 2, phases: 2, overlap: 4"),
        YAML("documents_min: 2, phases: 2, overlap: 3, balance: capacity, capacity: 1.2"),
        YAML("documents_min: 2, phases: 2, overlap: 2, init: spherical, features: whitened"),
        YAML("documents_min: 2, phases: 2, overlap: 2, init: product"),
    };
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 1, 0, 0);
    for (size_t i = 0; i < sizeof yamls / sizeof *yamls; i++) {
        struct rig rig;
        begin_sharded(&rig, yamls[i]);
        check_splits(&rig);
        for (uint32_t phase = 0; phase < 2; phase++) {
            uint32_t best[PATHS];
            for (uint32_t kind = 0; kind < PATHS; kind++)
                best[kind] = (uint32_t)dpc_rng_below(&rng, PATHS);
            put_scores(&rig, phase + 1, best);
            rig.phase.routing_phases = phase;
            shard(&rig, DPC_PHASE_FIT);
            check_splits(&rig);
        }
        end(&rig);
    }
}

/* One path is the best for all: without a capacity it would take every document. */
static void
the_capacity_holds_in_a_phase(void)
{
    static const uint32_t best[PATHS] = {1, 1, 1, 1};
    struct rig rig;
    uint64_t all = 0;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 1, balance: capacity, capacity: 1.2"));
    put_scores(&rig, 1, best);
    shard(&rig, DPC_PHASE_FIT);
    check_splits(&rig);
    for (uint32_t path = 0; path < PATHS; path++)
        all += rig.shards[path].train_documents;
    for (uint32_t path = 0; path < PATHS; path++)
        CU_ASSERT((double)rig.shards[path].train_documents < 1.5 * (double)all / PATHS);
    end(&rig);
}

/* It once took them all, and the others had too few to train on. */
static void
no_path_starves_in_a_phase(void)
{
    static const uint32_t best[PATHS] = {1, 1, 1, 1};
    struct rig rig;
    begin_sharded(&rig, YAML("documents_min: 20, phases: 1"));
    put_scores(&rig, 1, best);
    shard(&rig, DPC_PHASE_FIT);
    check_splits(&rig);
    for (uint32_t path = 0; path < PATHS; path++)
        CU_ASSERT(rig.shards[path].train_documents >= 20);
    end(&rig);
}

/* Where one would take them all, paths keep about as many as they had, however uneven that is. */
static void
shares_stay_where_a_path_would_starve(void)
{
    static const uint32_t best[PATHS] = {1, 1, 1, 1};
    uint64_t before[PATHS];
    struct rig rig;
    most_are_of_kind_0 = true;
    begin_sharded(&rig, YAML("documents_min: 10, phases: 1"));
    for (uint32_t path = 0; path < PATHS; path++)
        before[path] = rig.shards[path].train_documents;
    put_scores(&rig, 1, best);
    shard(&rig, DPC_PHASE_FIT);
    check_splits(&rig);
    for (uint32_t path = 0; path < PATHS; path++)
        CU_ASSERT_DOUBLE_EQUAL((double)rig.shards[path].train_documents / (double)before[path], 1,
                               0.5);
    end(&rig);
    most_are_of_kind_0 = false;
}

/* Half of them say of each document which is the better one, and the classifier puts together which
 * is the best. */
static void
some_paths_scores_find_the_best_of_all(void)
{
    static const uint32_t best[PATHS] = {2, 0, 3, 1};
    struct rig rig;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 1, score_paths: 2"));
    put_scores(&rig, 1, best);
    shard(&rig, DPC_PHASE_FIT);
    check_splits(&rig);
    for (uint32_t kind = 0; kind < PATHS; kind++)
        CU_ASSERT(count_kind(&rig, best[kind], kind) >= 50);
    end(&rig);
}

static void
scores_of_all_asked_are_those_of_all(void)
{
    static const char *const yamls[] = {YAML("documents_min: 2, phases: 1"),
                                        YAML("documents_min: 2, phases: 1, score_paths: 4")};
    static const uint32_t best[PATHS] = {2, 0, 3, 1};
    struct dpc_hash routers[2];
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        begin_sharded(&rig, yamls[i]);
        put_scores(&rig, 1, best);
        shard(&rig, DPC_PHASE_FIT);
        routers[i] = rig.sharded.router;
        end(&rig);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&routers[0], &routers[1]));
}

/* One path is the best wherever it is asked; the others still get what they need. */
static void
no_path_starves_where_some_are_asked(void)
{
    static const uint32_t best[PATHS] = {1, 1, 1, 1};
    static const char *const yamls[] = {
        YAML("documents_min: 20, phases: 1, score_paths: 2"),
        YAML("documents_min: 20, phases: 1, score_paths: 3, balance: capacity")};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        begin_sharded(&rig, yamls[i]);
        put_scores(&rig, 1, best);
        shard(&rig, DPC_PHASE_FIT);
        check_splits(&rig);
        for (uint32_t path = 0; path < PATHS; path++)
            CU_ASSERT(rig.shards[path].train_documents >= 10); /* 20 with those of router */
        end(&rig);
    }
}

static void
a_path_that_nobody_would_ask_is_refused_before_training(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    begin(&rig, YAML("documents_min: 2, phases: 1, score_paths: 2, score_documents: 30"));
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(rig.err.text, "asks 2 paths for each of 1 blocks of 32 documents, so that some of "
                             "the 4 paths would score nothing: raise it"));
    end(&rig);
}

/* 4,096 paths. Where leases were too many the coordinator aborted for want of memory when the phase
 * began, and after each restart. */
static void
more_leases_than_fit_the_core_are_refused_before_training(void)
{
    enum { MANY = 140000 };
    static const char yaml[] = "experiment: test\n"
                               "data: {corpus: corpus, test: 0.2, router: 0.3}\n"
                               "levels:\n"
                               "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 64}\n"
                               "  - {name: upper, parts: [{blocks: 1}, head], modules: 64}\n"
                               "routing: {prefix: 8, documents_min: 2, phases: 1}\n";
    struct rig rig;
    struct dpc_corpus corpus;
    begin(&rig, yaml);
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_open(&rig.world, &corpus, &rig.err), DPC_OK);
    uint32_t *many = dpc_alloc(MANY, sizeof *many), scored = 0;
    while (dpc_tokens_split(corpus.tokens, scored, &rig.experiment) != DPC_SPLIT_ROUTER)
        scored++;
    for (uint32_t i = 0; i < MANY; i++)
        many[i] = scored;
    dpc_free(corpus.docs);
    corpus.docs = many;
    corpus.docs_count = MANY;
    CU_ASSERT_EQUAL(dpc_corpus_check_scored(&corpus, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "by 4096 paths each in 17920000 leases"));
    rig.experiment.routing.score_paths = 1000;
    CU_ASSERT_EQUAL(dpc_corpus_check_scored(&corpus, &rig.err), DPC_OK);
    dpc_corpus_close(&corpus);
    end(&rig);
}

/* The warm start of a fork was prepared for another experiment. */
static void
what_nobody_prepared_for_is_refused_before_training(void)
{
    struct rig rig;
    struct dpc_shard *shards = NULL;
    begin_sharded(&rig, YAML("documents_min: 2"));
    rig.phase.phase = DPC_PHASE_SHARD;
    rig.experiment.routing.phases = 1;
    rig.experiment.routing.score_paths = 2;
    rig.experiment.routing.score_documents = 30;
    CU_ASSERT_EQUAL(dpc_corpus_shard(&rig.world, &rig.phase, &rig.sharded, &shards, &rig.err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "the 4 paths would score nothing"));
    rig.experiment.routing.phases = 0;
    rig.experiment.reroute.every[0] = 16;
    rig.experiment.reroute.every_count = 1;
    rig.experiment.evaluation.windows = DPC_ROUTES_MAX / 200;
    CU_ASSERT_EQUAL(dpc_corpus_shard(&rig.world, &rig.phase, &rig.sharded, &shards, &rig.err),
                    DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "lower that, data.test or data.router"));
    CU_ASSERT_PTR_NULL(shards);
    end(&rig);
}

static void
scores_of_others_than_were_asked_are_refused(void)
{
    static const uint32_t best[PATHS] = {0, 1, 2, 3};
    struct rig rig;
    struct dpc_shard *shards = NULL;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 1, score_paths: 2"));
    rig.experiment.routing.score_paths = 3;
    put_scores(&rig, 1, best);
    rig.experiment.routing.score_paths = 2;
    rig.phase.phase = DPC_PHASE_FIT;
    CU_ASSERT_EQUAL(dpc_corpus_shard(&rig.world, &rig.phase, &rig.sharded, &shards, &rig.err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "the store has "));
    end(&rig);
}

static void
scores_of_another_phase_do_not_count(void)
{
    static const uint32_t best[PATHS] = {0, 1, 2, 3};
    struct rig rig;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 2"));
    put_scores(&rig, 1, best);
    rig.phase.routing_phases = 1;
    rig.phase.phase = DPC_PHASE_FIT;
    struct dpc_shard *shards = NULL;
    CU_ASSERT_EQUAL(dpc_corpus_shard(&rig.world, &rig.phase, &rig.sharded, &shards, &rig.err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "the store has 0 scores"));
    end(&rig);
}

static void
a_sample_of_the_router_split_is_scored(void)
{
    struct rig rig;
    uint32_t seen[DOCUMENTS] = {0}, kinds[PATHS] = {0}, first = 0, count = 0;
    begin_sharded(&rig, YAML("documents_min: 2, phases: 1, score_documents: 20"));
    CU_ASSERT_EQUAL(rig.sharded.scored_documents, 20);
    mark(&rig, &rig.sharded.scored, seen, kinds);
    for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
        count += seen[doc];
        first += doc < DOCUMENTS / 2 && seen[doc];
    }
    CU_ASSERT_EQUAL(count, 20);
    CU_ASSERT(first > 5 && first < 15);
    end(&rig);
}

/* What is learned from, set by and routed, each with the path that has it. */
static void
new_routes_have_documents_of_three_splits(void)
{
    struct rig rig;
    uint32_t of[DOCUMENTS], count = 0;
    begin_sharded(&rig, "reroute: {every: [16], steps: 5}\ninner: {batch: 4}\n" YAML(
                            "documents_min: 2, overlap: 2"));
    for (uint32_t path = 0; path < PATHS; path++) {
        uint32_t seen[DOCUMENTS] = {0}, kinds[PATHS] = {0};
        if (rig.shards[path].test_documents)
            mark(&rig, &rig.shards[path].test, seen, kinds);
        for (uint32_t doc = 0; doc < DOCUMENTS; doc++)
            of[doc] = seen[doc] ? path : of[doc];
    }
    uint8_t *bytes, *table;
    size_t len, table_len;
    struct dpc_tokens *tokens;
    struct dpc_route *routes;
    const struct dpc_sharded *sharded = &rig.sharded;
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_load(rig.world.store, &sharded->traced.hash, &bytes, &len, &rig.err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("traced", bytes, len, &tokens, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_load(rig.world.store, &sharded->routes.hash, &table, &table_len, &rig.err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_routes_read(table, table_len, sharded->traced_documents, PATHS, &routes, &rig.err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_documents(tokens), sharded->traced_documents);
    CU_ASSERT_EQUAL(sharded->traced_train, 5 * 4);
    for (uint32_t i = 0; i < sharded->traced_documents; i++) {
        enum dpc_split split = i < sharded->traced_train    ? DPC_SPLIT_TRAIN
                               : i < sharded->traced_router ? DPC_SPLIT_ROUTER
                                                            : DPC_SPLIT_TEST;
        CU_ASSERT_EQUAL(dpc_tokens_split(tokens, i, &rig.experiment), split);
        CU_ASSERT(split != DPC_SPLIT_TEST || routes[i].path == of[dpc_tokens_id(tokens, i)]);
        count += split == DPC_SPLIT_ROUTER;
    }
    uint32_t first = sharded->traced_learned - sharded->traced_train;
    CU_ASSERT(first == count / 2 || first == count / 2 + 1);
    dpc_free(routes);
    dpc_free(table);
    dpc_tokens_close(tokens);
    dpc_free(bytes);
    end(&rig);
}

static void
more_to_route_than_a_table_holds_is_refused_before_training(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    begin(&rig, "reroute: {every: [16]}\nevaluation: {windows: 4096}\n" YAML("documents_min: 2"));
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_OK);
    rig.experiment.evaluation.windows = DPC_ROUTES_MAX / 200;
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "lower that, data.test or data.router"));
    rig.experiment.data.router = 0;
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "raise data.router"));
    end(&rig);
}

/* One file a path, beside those of its other documents; the dense path reads all of them. */
static void
check_early_stop(const char *text)
{
    struct rig rig;
    struct dpc_prepared prepared;
    uint32_t early[DOCUMENTS] = {0}, all[DOCUMENTS] = {0}, kinds[PATHS] = {0};
    begin_sharded(&rig, text);
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_OK);
    mark(&rig, &prepared.early_stop, all, kinds);
    for (uint32_t path = 0; path < PATHS; path++) {
        if (rig.shards[path].early_stop_documents)
            mark(&rig, &rig.shards[path].early_stop, early, kinds);
    }
    struct dpc_tokens *tokens = corpus_open(&rig.temp, "corpus");
    for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
        bool expected = dpc_tokens_split(tokens, doc, &rig.experiment) == DPC_SPLIT_EARLY_STOP;
        CU_ASSERT_EQUAL(early[doc], expected);
        CU_ASSERT_EQUAL(all[doc], expected);
    }
    dpc_tokens_close(tokens);
    end(&rig);
}

static void
early_stop_documents_are_routed_as_held_out_ones_are(void)
{
    check_early_stop("early_stopping: true\n" YAML("documents_min: 2"));
}

/* A fork may read them. */
static void
without_early_stopping_they_are_put_aside_too(void)
{
    check_early_stop(YAML("documents_min: 2"));
}

static void
too_few_documents_to_score_are_refused_before_training(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    begin(&rig, YAML("documents_min: 40, phases: 1"));
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "and needs 160, 40 a path: raise data.router"));
    end(&rig);
}

static void
put_file(struct rig *rig, const char *name, const void *bytes, size_t len)
{
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_write_file(&dpc_vfs_posix, temp_path(&rig->temp, name), bytes, len, &rig->err),
        DPC_OK);
}

/* The dense modules are those of the folder to the bit, and a function of nothing else. */
static void
the_dense_model_begins_as_the_imported_one(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    struct llama_folder folder;
    struct dpc_imported *imported = NULL;
    begin(&rig, YAML("documents_min: 2") "warm_start: {steps: 0, from: .}\n");
    llama_folder_make(&folder, &rig.experiment, 1, DPC_SAFETENSORS_F32);
    put_file(&rig, "config.json", folder.config, strlen(folder.config));
    put_file(&rig, "model.safetensors", folder.weights[0].data, folder.weights[0].len);
    (void)snprintf(rig.world.imported, sizeof rig.world.imported, "%s", rig.temp.folder);
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_imported_open(&folder.vfs, "m", &rig.experiment, &imported, &rig.err),
                          DPC_OK);
    for (uint32_t level = 0; level < 2; level++) {
        size_t count = dpc_layout_module_floats(&rig.experiment, level);
        float *values = dpc_alloc(count, sizeof *values);
        struct dpc_buf blob;
        struct dpc_hash hash;
        CU_ASSERT_EQUAL(dpc_imported_read(imported, level, values, &rig.err), DPC_OK);
        dpc_buf_init(&blob, 0);
        dpc_tensor_blob_write(&blob, values, count);
        dpc_hash_of(blob.data, blob.len, &hash);
        CU_ASSERT_TRUE(dpc_hash_equal(&prepared.modules[level], &hash));
        dpc_buf_done(&blob);
        dpc_free(values);
    }
    folder.weights[0].data[folder.weights[0].len - 1] = 0xFF; /* the last value: no number */
    folder.weights[0].data[folder.weights[0].len - 2] = 0xFF;
    put_file(&rig, "model.safetensors", folder.weights[0].data, folder.weights[0].len);
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_ENOTFINITE);
    dpc_imported_close(imported);
    llama_folder_done(&folder);
    end(&rig);
}

/* A corpus of pieces in a folder of its own, beside the file that its tokenizer was made of. */
static void
build_pieces(struct rig *rig, const char *model_file)
{
    static const char *const beginnings[PATHS] = {"one ", "the other ", "error ", "there "};
    struct dpc_tokenizer tokenizer = *pairs_tokenizer();
    char *texts[DOCUMENTS];
    dpc_hash_of("the model", 9, &tokenizer.vocabulary.model);
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        texts[i] =
            dpc_format("%snumber %u, and something more behind it", beginnings[i % PATHS], i);
    temp_write_text(&rig->temp, "pieces/" DPC_TOKENIZER_FILE, model_file);
    corpus_build_with(&rig->temp, "pieces/" DPC_TOKENS_FILE, &tokenizer, (const char *const *)texts,
                      DOCUMENTS);
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        dpc_free(texts[i]);
    (void)snprintf(rig->world.corpus, sizeof rig->world.corpus, "%s",
                   temp_path(&rig->temp, "pieces"));
}

#define PIECES_YAML                                                                                \
    "experiment: test\n"                                                                           \
    "data: {corpus: corpus, tokenizer: {kind: sentencepiece, vocab: 260}, test: 0.2, router: "     \
    "0.3}\n"                                                                                       \
    "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n" LEVELS_2X2                                \
    "routing: {prefix: 8, documents_min: 2, features: ngrams}\n"

static void
a_corpus_of_pieces_brings_its_tokenizer(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    struct dpc_tokens *train;
    uint8_t *bytes;
    size_t len;
    begin(&rig, PIECES_YAML);
    build_pieces(&rig, "the model");
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_load(rig.world.store, &prepared.tokenizer, &bytes, &len, &rig.err), DPC_OK);
    CU_ASSERT(len == 9 && memcmp(bytes, "the model", 9) == 0);
    dpc_free(bytes);
    CU_ASSERT_EQUAL_FATAL(
        dpc_store_blob_load(rig.world.store, &prepared.train.hash, &bytes, &len, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("train", bytes, len, &train, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_vocabulary(train)->size, PAIRS_VOCAB);
    CU_ASSERT_PTR_NOT_NULL(dpc_tokens_vocabulary(train)->lengths);
    dpc_tokens_close(train);
    dpc_free(bytes);
    end(&rig);
}

static void
a_tokenizer_of_another_corpus_is_refused_before_training(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    begin(&rig, PIECES_YAML);
    build_pieces(&rig, "another model");
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_ESTALE);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "is not the tokenizer that the corpus was made"));
    CU_ASSERT_EQUAL(remove(temp_path(&rig.temp, "pieces/" DPC_TOKENIZER_FILE)), 0);
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, DPC_TOKENIZER_FILE));
    (void)snprintf(rig.world.corpus, sizeof rig.world.corpus, "%s",
                   temp_path(&rig.temp, "corpus")); /* of bytes */
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "{kind: bytes, vocab: 256}"));
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a corpus of pieces brings its tokenizer", a_corpus_of_pieces_brings_its_tokenizer},
    {"a tokenizer of another corpus is refused before training",
     a_tokenizer_of_another_corpus_is_refused_before_training},
    {"the dense model begins as the imported one", the_dense_model_begins_as_the_imported_one},
    {"n-grams are counted from the corpus alone", ngrams_are_counted_from_the_corpus_alone},
    {"documents go where the scores are best", documents_go_where_the_scores_are_best},
    {"no document is ever in two splits", no_document_is_ever_in_two_splits},
    {"the capacity holds in a phase", the_capacity_holds_in_a_phase},
    {"no path starves in a phase", no_path_starves_in_a_phase},
    {"shares stay where a path would starve", shares_stay_where_a_path_would_starve},
    {"some paths' scores find the best of all", some_paths_scores_find_the_best_of_all},
    {"scores of all asked are those of all", scores_of_all_asked_are_those_of_all},
    {"no path starves where some are asked", no_path_starves_where_some_are_asked},
    {"a path that nobody would ask is refused before training",
     a_path_that_nobody_would_ask_is_refused_before_training},
    {"more leases than fit the core are refused before training",
     more_leases_than_fit_the_core_are_refused_before_training},
    {"what nobody prepared for is refused before training",
     what_nobody_prepared_for_is_refused_before_training},
    {"scores of others than were asked are refused", scores_of_others_than_were_asked_are_refused},
    {"scores of another phase do not count", scores_of_another_phase_do_not_count},
    {"a sample of the router split is scored", a_sample_of_the_router_split_is_scored},
    {"new routes have documents of three splits", new_routes_have_documents_of_three_splits},
    {"more to route than a table holds is refused before training",
     more_to_route_than_a_table_holds_is_refused_before_training},
    {"early-stop documents are routed as held-out ones are",
     early_stop_documents_are_routed_as_held_out_ones_are},
    {"without early stopping they are put aside, too",
     without_early_stopping_they_are_put_aside_too},
    {"too few documents to score are refused before training",
     too_few_documents_to_score_are_refused_before_training},
};

DPC_TEST_MAIN("coordinator/sharding", tests)
