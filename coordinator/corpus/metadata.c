/* SPDX-License-Identifier: Apache-2.0
 * Values share paths, the largest first, each to the emptiest path: as even as whole values allow.
 */
#include "coordinator/corpus/metadata.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "data/metadata.h"

struct value {
    uint32_t number, documents;
};

static int
larger_first(const void *a, const void *b)
{
    const struct value *left = a, *right = b;
    if (left->documents != right->documents)
        return left->documents > right->documents ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

/* Documents of train and router that have each value. */
static int
count_values(const struct dpc_corpus *corpus, const struct dpc_metadata *metadata,
             struct value *values, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        uint32_t id = dpc_tokens_id(corpus->tokens, corpus->docs[i]);
        uint32_t value = dpc_metadata_value(metadata, id);
        enum dpc_split split = dpc_tokens_split(corpus->tokens, corpus->docs[i], experiment);
        if (value == DPC_METADATA_MISSING)
            return dpc_error_set(err, DPC_EINVAL,
                                 "document %u has no \"%s\" in " DPC_METADATA_FILE
                                 ": give it one, or choose another routing.init",
                                 id, experiment->routing.field);
        values[value].documents += split == DPC_SPLIT_TRAIN || split == DPC_SPLIT_ROUTER;
    }
    return DPC_OK;
}

/* `ret_path` [values_count] by number. */
static void
share_paths(struct value *values, uint32_t values_count, uint32_t paths, uint32_t *ret_path)
{
    uint64_t *filled = dpc_alloc(paths, sizeof *filled);
    qsort(values, values_count, sizeof *values, larger_first);
    for (uint32_t i = 0; i < values_count; i++) {
        uint32_t emptiest = 0;
        for (uint32_t path = 1; path < paths; path++) {
            if (filled[path] < filled[emptiest])
                emptiest = path;
        }
        ret_path[values[i].number] = emptiest;
        filled[emptiest] += values[i].documents;
    }
    dpc_free(filled);
}

static int
route(const struct dpc_corpus *corpus, const struct dpc_metadata *metadata, uint32_t *ret_paths,
      struct dpc_error *err)
{
    uint32_t count = dpc_metadata_values(metadata), paths = corpus->world->topology->routed_paths;
    if (count < paths)
        return dpc_error_set(err, DPC_EINVAL,
                             "\"%s\" has %u values in " DPC_METADATA_FILE
                             ", and there are %u paths: use fewer modules, name a field of more "
                             "values in routing.field, or choose another routing.init",
                             corpus->world->experiment->routing.field, count, paths);
    struct value *values = dpc_alloc(count + 1, sizeof *values);
    uint32_t *path = dpc_alloc(count + 1, sizeof *path);
    for (uint32_t i = 0; i < count; i++)
        values[i].number = i;
    int code = count_values(corpus, metadata, values, err);
    if (code == DPC_OK)
        share_paths(values, count, paths, path);
    for (uint32_t i = 0; code == DPC_OK && i < corpus->docs_count; i++)
        ret_paths[i] =
            path[dpc_metadata_value(metadata, dpc_tokens_id(corpus->tokens, corpus->docs[i]))];
    dpc_free(values);
    dpc_free(path);
    return code;
}

int
dpc_corpus_route_by_field(const struct dpc_corpus *corpus, uint32_t *ret_paths,
                          struct dpc_error *err)
{
    struct dpc_metadata *metadata = NULL;
    int code = dpc_metadata_load(corpus->world->corpus, corpus->world->experiment->routing.field,
                                 dpc_tokens_documents(corpus->tokens), &metadata, err);
    if (code == DPC_OK)
        code = route(corpus, metadata, ret_paths, err);
    dpc_metadata_destroy(metadata);
    return code;
}
