/* SPDX-License-Identifier: Apache-2.0
 * Documents are chosen by the corpus's own numbers; token files are made in memory and named by
 * their content. */
#include "coordinator/corpus.h"
#include "coordinator/corpus_parts.h"
#include "coordinator/metadata.h"

#include <string.h>

#include "base/alloc.h"
#include "base/imported.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "base/vfs.h"
#include "data/tokens.h"

int
dpc_corpus_open(const struct dpc_world *world, struct dpc_corpus *corpus, struct dpc_error *err)
{
    uint32_t too_short;
    *corpus = (struct dpc_corpus){.world = world};
    int code = dpc_tokens_open(world->corpus, &corpus->tokens, err);
    if (code == DPC_OK)
        code = dpc_tokens_longer_than(corpus->tokens, world->experiment->routing.prefix,
                                      &corpus->docs, &corpus->docs_count, &too_short, err);
    return code;
}

void
dpc_corpus_close(struct dpc_corpus *corpus)
{
    dpc_tokens_close(corpus->tokens);
    dpc_free(corpus->docs);
}

int
dpc_corpus_put_documents(const struct dpc_corpus *corpus, const uint32_t *docs, uint32_t count,
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

/* Does document number `index` of the corpus belong to the path? Training may read it on several,
 * everything else reads it on the first. */
static bool
goes_to(const struct dpc_assignment *assignment, enum dpc_split split, uint32_t index,
        uint32_t path)
{
    if (!assignment)
        return true;
    const uint32_t *paths = assignment->paths + (size_t)index * assignment->choices;
    for (uint32_t i = 0; i < (split == DPC_SPLIT_TRAIN ? assignment->choices : 1); i++) {
        if (paths[i] == path)
            return true;
    }
    return false;
}

/* Those of a split that go to `path`; `assignment` NULL: all of them. `*ret_docs` has room for all.
 */
static uint32_t
choose(const struct dpc_corpus *corpus, enum dpc_split split,
       const struct dpc_assignment *assignment, uint32_t path, uint32_t *ret_docs,
       uint64_t *ret_tokens)
{
    uint32_t count = 0;
    *ret_tokens = 0;
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        uint32_t doc = corpus->docs[i];
        if (dpc_tokens_split(corpus->tokens, doc, corpus->world->experiment) != split ||
            !goes_to(assignment, split, i, path))
            continue;
        ret_docs[count++] = doc;
        *ret_tokens += dpc_tokens_count(corpus->tokens, doc);
    }
    return count;
}

/* A path may have no document of a split; there is then nothing to put. `docs` is room for all. */
static int
put_split(const struct dpc_corpus *corpus, enum dpc_split split,
          const struct dpc_assignment *assignment, uint32_t path, uint32_t *docs,
          struct dpc_blob_ref *ret_blob, uint32_t *ret_count, struct dpc_error *err)
{
    uint64_t tokens;
    *ret_count = choose(corpus, split, assignment, path, docs, &tokens);
    return *ret_count ? dpc_corpus_put_documents(corpus, docs, *ret_count, 0, ret_blob, err)
                      : DPC_OK;
}

int
dpc_corpus_put_shard(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                     uint32_t path, struct dpc_shard *ret_shard, struct dpc_error *err)
{
    struct dpc_shard shard = {0};
    uint32_t *docs = dpc_alloc(corpus->docs_count, sizeof *docs);
    uint32_t count = choose(corpus, DPC_SPLIT_TRAIN, assignment, path, docs, &shard.train_tokens);
    shard.train_documents = count;
    int code = dpc_corpus_put_documents(corpus, docs, count, 0, &shard.train, err);
    if (code == DPC_OK)
        code = put_split(corpus, DPC_SPLIT_TEST, assignment, path, docs, &shard.test,
                         &shard.test_documents, err);
    if (code == DPC_OK)
        code = put_split(corpus, DPC_SPLIT_EARLY_STOP, assignment, path, docs, &shard.early_stop,
                         &shard.early_stop_documents, err);
    dpc_free(docs);
    if (code == DPC_OK)
        *ret_shard = shard;
    return code;
}

/* `imported` NULL: random weights. */
static int
put_initial_module(const struct dpc_world *world, const struct dpc_imported *imported,
                   uint32_t level, struct dpc_hash *ret_hash, struct dpc_error *err)
{
    int code = DPC_OK;
    size_t count = dpc_layout_module_floats(world->experiment, level);
    float *values = dpc_try_alloc_vector(count, sizeof *values);
    if (!values)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    if (imported)
        code = dpc_imported_read(imported, level, values, err);
    else
        dpc_layout_fill_initial(world->experiment, level, values);
    if (code == DPC_OK)
        dpc_tensor_blob_write(&blob, values, count);
    if (blob.failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    if (code == DPC_OK)
        code = dpc_store_blob_put(world->store, blob.data, blob.len, ret_hash, err);
    dpc_buf_done(&blob);
    dpc_free(values);
    return code;
}

static int
put_initial_modules(const struct dpc_world *world, struct dpc_hash *ret_hashes,
                    struct dpc_error *err)
{
    struct dpc_imported *imported = NULL;
    int code = DPC_OK;
    if (*world->imported)
        code =
            dpc_imported_open(&dpc_vfs_posix, world->imported, world->experiment, &imported, err);
    for (uint32_t level = 0; code == DPC_OK && level < world->experiment->levels_count; level++)
        code = put_initial_module(world, imported, level, &ret_hashes[level], err);
    dpc_imported_close(imported);
    return code;
}

/* Before anything is trained for a field that documents do not have. */
static int
check_field(const struct dpc_corpus *corpus, struct dpc_error *err)
{
    if (corpus->world->experiment->routing.init != DPC_ROUTING_METADATA)
        return DPC_OK;
    uint32_t *paths = dpc_alloc(corpus->docs_count, sizeof *paths);
    int code = dpc_corpus_route_by_field(corpus, paths, err);
    dpc_free(paths);
    return code;
}

static int
prepare(const struct dpc_corpus *corpus, struct dpc_prepared *prepared, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    struct dpc_shard all;
    dpc_tokens_hash(corpus->tokens, &prepared->corpus);
    prepared->documents = corpus->docs_count;
    int code = dpc_corpus_put_documents(corpus, corpus->docs, corpus->docs_count,
                                        experiment->routing.prefix, &prepared->prefixes, err);
    if (code == DPC_OK)
        code = dpc_corpus_put_shard(corpus, NULL, 0, &all, err);
    if (code == DPC_OK && all.test_documents == 0)
        code = dpc_error_set(err, DPC_EINVAL,
                             "none of the %u documents of \"%s\" is held out: raise data.test (now "
                             "%g) or give more documents",
                             corpus->docs_count, corpus->world->corpus, experiment->data.test);
    if (code == DPC_OK)
        code = dpc_tokens_check_paths(corpus->tokens, experiment, err);
    if (code == DPC_OK)
        code = check_field(corpus, err);
    if (code == DPC_OK)
        code = dpc_corpus_check_scored(corpus, err);
    if (code == DPC_OK)
        code = dpc_corpus_check_traced(corpus, err);
    if (code == DPC_OK)
        code = put_initial_modules(corpus->world, prepared->modules, err);
    if (code != DPC_OK)
        return code;
    prepared->train = all.train;
    prepared->train_documents = all.train_documents;
    prepared->train_tokens = all.train_tokens;
    prepared->test = all.test;
    prepared->test_documents = all.test_documents;
    prepared->early_stop = all.early_stop;
    prepared->early_stop_documents = all.early_stop_documents;
    return DPC_OK;
}

int
dpc_corpus_prepare(const struct dpc_world *world, struct dpc_prepared *ret_prepared,
                   struct dpc_error *err)
{
    struct dpc_corpus corpus;
    struct dpc_prepared prepared = {0};
    int code = dpc_corpus_open(world, &corpus, err);
    if (code == DPC_OK)
        code = dpc_tokens_verify(corpus.tokens, err);
    if (code == DPC_OK)
        code = prepare(&corpus, &prepared, err);
    dpc_corpus_close(&corpus);
    if (code == DPC_OK)
        *ret_prepared = prepared;
    return code;
}
