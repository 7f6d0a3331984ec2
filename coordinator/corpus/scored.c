/* SPDX-License-Identifier: Apache-2.0
 * Discriminative phases (DiPaCo, section 2.4.2). Every path scores the same documents of the router
 * split, on which none has trained; with routing.score_paths each document is scored by some of
 * them (core/asked.h). The path of the least loss is a document's label. A linear classifier learns
 * the labels from the features of the prefixes alone, since that is all that is known of a document
 * when it has to be routed. */
#include "coordinator/corpus/corpus_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "coordinator/core/asked.h"
#include "data/scores.h"
#include "routing/assign.h"

/* --- Which documents. */

/* Numbers in corpus->docs of those that are scored, `ret_indices` [docs_count]: of the router split
 * all, or routing.score_documents of them in even distances. Gives how many; `ret_found` is the
 * split's size. */
static uint32_t
choose(const struct dpc_corpus *corpus, uint32_t *ret_indices, uint32_t *ret_found)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    uint32_t found = 0, count = 0, most = experiment->routing.score_documents;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        if (dpc_tokens_split(corpus->tokens, corpus->docs[i], experiment) == DPC_SPLIT_ROUTER)
            ret_indices[found++] = i;
    }
    *ret_found = found;
    if (most == 0 || most >= found)
        return found;
    for (; count < most; count++)
        ret_indices[count] = ret_indices[(uint64_t)count * found / most];
    return count;
}

/* Each path must be asked for a block at least, else it has no label; and all leases of a phase
 * stand in the core's memory: found out when it begins, no restart would end it. */
static int
check_asked(const struct dpc_world *world, uint32_t documents, struct dpc_error *err)
{
    uint32_t asked = dpc_experiment_score_paths(world->experiment);
    uint32_t paths = world->topology->routed_paths, blocks = dpc_asked_blocks(documents);
    uint64_t leases = (uint64_t)blocks * asked;
    if (leases > DPC_CHUNKS_MAX)
        return dpc_error_set(err, DPC_EINVAL,
                             "routing.phases would score %u documents by %u paths each in %llu "
                             "leases, and at most %d are possible: lower routing.score_documents "
                             "(now %u) or routing.score_paths (now %u)",
                             documents, asked, (unsigned long long)leases, DPC_CHUNKS_MAX,
                             world->experiment->routing.score_documents,
                             world->experiment->routing.score_paths);
    if (leases >= paths)
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "routing.score_paths: %u asks %u paths for each of %u blocks of %d "
                         "documents, so that some of the %u paths would score nothing: raise it, "
                         "or data.router (now %g)",
                         asked, asked, blocks, DPC_ASKED_DOCUMENTS, paths,
                         world->experiment->data.router);
}

int
dpc_corpus_check_scored(const struct dpc_corpus *corpus, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    uint64_t needed =
        (uint64_t)experiment->routing.documents_min * corpus->world->topology->routed_paths;
    uint32_t found, *indices;
    if (experiment->routing.phases == 0)
        return DPC_OK;
    indices = dpc_alloc(corpus->docs_count + 1, sizeof *indices);
    uint32_t count = choose(corpus, indices, &found);
    dpc_free(indices);
    if (count >= needed)
        return check_asked(corpus->world, count, err);
    return dpc_error_set(err, DPC_EINVAL,
                         "routing.phases would score %u documents of the router split, which has "
                         "%u, and needs %llu, %u a path: raise data.router (now %g) or "
                         "routing.score_documents (now %u), give more documents, or lower "
                         "routing.documents_min",
                         count, found, (unsigned long long)needed,
                         experiment->routing.documents_min, experiment->data.router,
                         experiment->routing.score_documents);
}

int
dpc_corpus_put_scored(const struct dpc_corpus *corpus, struct dpc_sharded *sharded,
                      struct dpc_error *err)
{
    uint32_t found, *docs;
    int code = dpc_corpus_check_scored(corpus, err);
    if (code != DPC_OK || corpus->world->experiment->routing.phases == 0)
        return code;
    docs = dpc_alloc(corpus->docs_count + 1, sizeof *docs);
    sharded->scored_documents = choose(corpus, docs, &found);
    for (uint32_t i = 0; i < sharded->scored_documents; i++)
        docs[i] = corpus->docs[docs[i]];
    code =
        dpc_corpus_put_documents(corpus, docs, sharded->scored_documents, 0, &sharded->scored, err);
    dpc_free(docs);
    return code;
}

/* --- Their losses: the score results, put together. */

struct losses {
    struct dpc_store *store;
    float *values; /* [documents, paths] nats; INFINITY: the path was not asked */
    uint32_t documents, paths;
    uint32_t asked; /* paths, for each document */
    uint32_t phase; /* discriminative one whose scores these are */
    uint64_t found; /* losses */
    struct dpc_error *err;
    int code;
};

static int
load_losses(struct losses *losses, const struct dpc_result_record *record)
{
    uint8_t *blob;
    struct dpc_score *scores = NULL;
    size_t len, count = 0;
    int code = dpc_store_blob_load_named(losses->store, &record->result, &blob, &len, losses->err);
    if (code != DPC_OK)
        return code;
    code = dpc_scores_read(blob, len, &scores, &count, losses->err);
    dpc_free(blob);
    if (code == DPC_OK && count != record->to - record->from)
        code = dpc_error_set(losses->err, DPC_ECORRUPT, "%zu scores stand for %u documents", count,
                             record->to - record->from);
    for (size_t i = 0; code == DPC_OK && i < count; i++) {
        losses->values[(record->from + i) * losses->paths + record->path] =
            (float)fmin(scores[i].nats, (double)FLT_MAX);
        losses->found++;
    }
    dpc_free(scores);
    return code;
}

static bool
gather_losses(void *context, const struct dpc_result_record *record)
{
    struct losses *losses = context;
    if (record->kind == DPC_TASK_SCORE && record->phase == losses->phase &&
        record->path < losses->paths && record->to <= losses->documents)
        losses->code = load_losses(losses, record);
    return losses->code == DPC_OK;
}

/* dpc_free(losses->values), also when this fails. */
static int
losses_load(const struct dpc_corpus *corpus, const struct dpc_phase_record *phase,
            struct losses *losses, struct dpc_error *err)
{
    struct dpc_store *store = corpus->world->store;
    *losses = (struct losses){.store = store,
                              .documents = phase->scored_documents,
                              .paths = corpus->world->topology->routed_paths,
                              .asked = dpc_experiment_score_paths(corpus->world->experiment),
                              .phase = phase->routing_phases + 1,
                              .err = err};
    uint64_t needed = (uint64_t)losses->documents * losses->asked;
    size_t size = (size_t)losses->documents * losses->paths;
    losses->values = dpc_try_alloc(size, sizeof *losses->values);
    if (!losses->values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the scores of %u documents",
                             losses->documents);
    for (size_t i = 0; i < size; i++)
        losses->values[i] = INFINITY;
    int code = dpc_scan_results(dpc_store_kv(store), gather_losses, losses, err);
    if (code == DPC_OK)
        code = losses->code;
    if (code == DPC_OK && losses->found != needed)
        code = dpc_error_set(err, DPC_ECORRUPT, "the store has %llu scores, not %llu",
                             (unsigned long long)losses->found, (unsigned long long)needed);
    return code;
}

/* The paths that scored each document, `ret_asked` [documents, asked] in rising order; NULL where
 * all did. dpc_free it. */
static int
list_asked(const struct losses *losses, uint32_t **ret_asked, struct dpc_error *err)
{
    *ret_asked = NULL;
    if (losses->asked == losses->paths)
        return DPC_OK;
    uint32_t *asked = dpc_try_alloc((size_t)losses->documents * losses->asked + 1, sizeof *asked);
    if (!asked)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for who scored %u documents",
                             losses->documents);
    for (uint32_t i = 0; i < losses->documents; i++) {
        const float *values = losses->values + (size_t)i * losses->paths;
        uint32_t found = 0;
        for (uint32_t path = 0; path < losses->paths; path++) {
            if (values[path] < INFINITY && found++ < losses->asked)
                asked[(size_t)i * losses->asked + found - 1] = path;
        }
        if (found != losses->asked) {
            dpc_free(asked);
            return dpc_error_set(err, DPC_ECORRUPT,
                                 "the store has scores of %u paths for document %u, not of %u",
                                 found, i, losses->asked);
        }
    }
    *ret_asked = asked;
    return DPC_OK;
}

/* --- The router. */

/* The features of the scored documents, `ret_values` [documents, dim]; dpc_free it. */
static int
copy_features(const struct dpc_corpus *corpus, const struct dpc_features *features,
              uint32_t documents, float **ret_values, struct dpc_error *err)
{
    size_t dim = features->dim;
    uint32_t found, *indices = dpc_alloc(corpus->docs_count + 1, sizeof *indices);
    uint32_t count = choose(corpus, indices, &found);
    float *values = dpc_try_alloc(count * dim + 1, sizeof *values);
    for (uint32_t i = 0; values && i < count; i++)
        memcpy(values + i * dim, features->values + indices[i] * dim, dim * sizeof *values);
    dpc_free(indices);
    if (!values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the features of %u documents", count);
    if (count != documents) {
        dpc_free(values);
        return dpc_error_set(err, DPC_ECORRUPT, "%u documents were scored, not %u", documents,
                             count);
    }
    *ret_values = values;
    return DPC_OK;
}

/* Labels that each path must have, so that at the labels' shares of `seen` documents it gets those
 * that it needs, twice over: the bias meets shares about, not exactly. */
static uint32_t
labels_needed(const struct dpc_experiment *experiment, uint32_t documents, uint32_t seen)
{
    uint64_t wanted = 2 * (uint64_t)experiment->routing.documents_min * documents;
    return (uint32_t)((wanted + seen - 1) / seen);
}

static bool
labels_suffice(const struct losses *losses, const uint32_t *labels, uint32_t needed)
{
    uint32_t *counts = dpc_alloc(losses->paths, sizeof *counts);
    bool suffice = true;
    for (uint32_t i = 0; i < losses->documents; i++)
        counts[labels[i]]++;
    for (uint32_t path = 0; path < losses->paths; path++)
        suffice &= counts[path] >= needed;
    dpc_free(counts);
    return suffice;
}

/* Of the scored documents those that each path has, or those that it needs, if more. */
static void
count_rooms(const struct dpc_corpus *corpus, const uint32_t *before, uint32_t needed,
            uint32_t *ret_rooms)
{
    uint32_t found, *indices = dpc_alloc(corpus->docs_count + 1, sizeof *indices);
    uint32_t count = choose(corpus, indices, &found);
    for (uint32_t i = 0; i < count; i++)
        ret_rooms[before[indices[i]]]++;
    for (uint32_t path = 0; path < corpus->world->topology->routed_paths; path++)
        ret_rooms[path] = ret_rooms[path] < needed ? needed : ret_rooms[path];
    dpc_free(indices);
}

/* Labels are the paths of the least loss, under the capacity where there is one. A path that is the
 * best for few documents learns from few and falls further behind; before one starves all keep the
 * shares that they have, each of the documents for which it is the best by most. */
static void
label(const struct dpc_corpus *corpus, const struct losses *losses, const uint32_t *before,
      uint32_t seen, uint32_t *ret_labels)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    bool balanced = experiment->routing.balance == DPC_BALANCE_CAPACITY;
    uint32_t needed = labels_needed(experiment, losses->documents, seen);
    struct dpc_assign_options options = {.choices = 1,
                                         .capacity = balanced ? experiment->routing.capacity : 0};
    dpc_assign(losses->values, losses->documents, losses->paths, &options, ret_labels);
    if (labels_suffice(losses, ret_labels, needed))
        return;
    uint32_t *rooms = dpc_alloc(losses->paths, sizeof *rooms);
    count_rooms(corpus, before, needed, rooms);
    options.rooms = rooms;
    dpc_assign(losses->values, losses->documents, losses->paths, &options, ret_labels);
    dpc_free(rooms);
}

/* The router of the labels. Where some paths were asked, shares are not the labels' (they are
 * flatter); so what labels_needed holds those against is then asked of the router itself. */
static int
fit(const struct dpc_experiment *experiment, const struct losses *losses, const uint32_t *labels,
    const struct dpc_features *of_scored, const struct dpc_router_sample *seen,
    struct dpc_router **ret_router, struct dpc_error *err)
{
    uint32_t *asked;
    int code = list_asked(losses, &asked, err);
    if (code == DPC_OK) {
        struct dpc_router_sample sample = {.features = of_scored->values,
                                           .count = losses->documents,
                                           .dim = of_scored->dim,
                                           .labels = labels,
                                           .asked = asked,
                                           .asked_count = losses->asked,
                                           .least = 2 * experiment->routing.documents_min};
        code = dpc_router_fit_linear(losses->paths, experiment->routing.features, &sample, seen,
                                     ret_router, err);
    }
    dpc_free(asked);
    return code;
}

int
dpc_corpus_fit_to_scores(const struct dpc_corpus *corpus, const struct dpc_features *features,
                         const struct dpc_phase_record *phase, const uint32_t *before,
                         const struct dpc_router_sample *seen, struct dpc_router **ret_router,
                         struct dpc_error *err)
{
    struct losses losses;
    struct dpc_features of_scored = {.dim = features->dim};
    uint32_t *labels = NULL;
    int code = losses_load(corpus, phase, &losses, err);
    if (code == DPC_OK)
        code = copy_features(corpus, features, losses.documents, &of_scored.values, err);
    if (code == DPC_OK) {
        labels = dpc_alloc(losses.documents + 1, sizeof *labels);
        label(corpus, &losses, before, seen->count, labels);
        code = fit(corpus->world->experiment, &losses, labels, &of_scored, seen, ret_router, err);
    }
    dpc_free(labels);
    dpc_free(of_scored.values);
    dpc_free(losses.values);
    return code;
}
