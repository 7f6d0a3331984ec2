/* SPDX-License-Identifier: Apache-2.0
 * Which documents are there for new routes at evaluation. The router split alone would be too few
 * to learn from; of a train document losses tell nothing, since a path has seen it, but where it
 * was sent does. */
#include "coordinator/corpus/corpus_parts.h"

#include "base/alloc.h"
#include "coordinator/corpus/reroute.h"

struct traced {
    const struct dpc_corpus *corpus;
    const struct dpc_assignment *assignment;
    uint32_t *docs;           /* [docs_count] in the corpus */
    struct dpc_route *routes; /* [docs_count] to the paths that they are on */
    uint32_t count;
};

static uint32_t
count_split(const struct dpc_corpus *corpus, enum dpc_split split)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < corpus->docs_count; i++)
        count +=
            dpc_tokens_split(corpus->tokens, corpus->docs[i], corpus->world->experiment) == split;
    return count;
}

/* Documents whose pieces fit into a table of routes. */
static uint64_t
most_documents(const struct dpc_experiment *experiment)
{
    return DPC_ROUTES_MAX / dpc_experiment_pieces(experiment);
}

int
dpc_corpus_check_traced(const struct dpc_corpus *corpus, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    if (experiment->reroute.every_count == 0)
        return DPC_OK;
    uint32_t router = count_split(corpus, DPC_SPLIT_ROUTER);
    uint64_t needed = (uint64_t)router + count_split(corpus, DPC_SPLIT_TEST);
    if (router < 2)
        return dpc_error_set(err, DPC_EINVAL,
                             "reroute.every learns from the router split, which has %u documents: "
                             "raise data.router (now %g) or give more documents",
                             router, experiment->data.router);
    if (needed > most_documents(experiment))
        return dpc_error_set(err, DPC_ELIMIT,
                             "reroute.every would route %llu documents of the router and test "
                             "splits, and with evaluation.windows %u at most %llu are possible: "
                             "lower that, data.test or data.router",
                             (unsigned long long)needed, experiment->evaluation.windows,
                             (unsigned long long)most_documents(experiment));
    return DPC_OK;
}

static void
add(struct traced *traced, uint32_t index)
{
    const struct dpc_assignment *assignment = traced->assignment;
    uint32_t path = assignment->paths[(size_t)index * assignment->choices];
    traced->routes[traced->count].path = (uint16_t)path;
    traced->docs[traced->count++] = traced->corpus->docs[index];
}

/* At most `most` of a split, in even distances. */
static void
add_split(struct traced *traced, enum dpc_split split, uint64_t most)
{
    const struct dpc_corpus *corpus = traced->corpus;
    uint64_t of = count_split(corpus, split), seen = 0;
    uint64_t wanted = most < of ? most : of;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        if (dpc_tokens_split(corpus->tokens, corpus->docs[i], corpus->world->experiment) != split)
            continue;
        if ((seen + 1) * wanted / of > seen * wanted / of)
            add(traced, i);
        seen++;
    }
}

/* Two halves of a split that are alike, whatever order its documents are in. */
static void
add_every_second(struct traced *traced, enum dpc_split split, uint32_t first)
{
    const struct dpc_corpus *corpus = traced->corpus;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        bool of_split =
            dpc_tokens_split(corpus->tokens, corpus->docs[i], corpus->world->experiment) == split;
        if (of_split && seen % 2 == first)
            add(traced, i);
        seen += of_split;
    }
}

/* More than one for each sequence would not be read, and the others take their room first. */
static uint64_t
most_of_train(const struct dpc_corpus *corpus)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    uint64_t read = (uint64_t)experiment->reroute.steps * experiment->inner.batch;
    uint64_t room = most_documents(experiment) - count_split(corpus, DPC_SPLIT_ROUTER) -
                    count_split(corpus, DPC_SPLIT_TEST);
    return read < room ? read : room;
}

int
dpc_corpus_put_traced(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                      struct dpc_sharded *sharded, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    struct traced traced = {.corpus = corpus, .assignment = assignment};
    int code = dpc_corpus_check_traced(corpus, err);
    if (code != DPC_OK || experiment->reroute.every_count == 0)
        return code;
    traced.docs = dpc_alloc(corpus->docs_count, sizeof *traced.docs);
    traced.routes = dpc_alloc(corpus->docs_count, sizeof *traced.routes);
    add_split(&traced, DPC_SPLIT_TRAIN, most_of_train(corpus));
    sharded->traced_train = traced.count;
    add_every_second(&traced, DPC_SPLIT_ROUTER, 0);
    sharded->traced_learned = traced.count;
    add_every_second(&traced, DPC_SPLIT_ROUTER, 1);
    sharded->traced_router = traced.count;
    add_split(&traced, DPC_SPLIT_TEST, UINT64_MAX);
    sharded->traced_documents = traced.count;
    code = dpc_corpus_put_documents(corpus, traced.docs, traced.count, 0, &sharded->traced, err);
    if (code == DPC_OK)
        code = dpc_reroute_put(corpus->world->store, traced.routes, traced.count, &sharded->routes,
                               err);
    dpc_free(traced.docs);
    dpc_free(traced.routes);
    return code;
}
