/* SPDX-License-Identifier: Apache-2.0
 * Preparing: what there is before any document has a path. */
#include "coordinator/corpus/corpus.h"
#include "coordinator/corpus/corpus_parts.h"
#include "coordinator/corpus/metadata.h"

#include "base/alloc.h"
#include "base/imported.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "base/vfs.h"
#include "data/tokens.h"

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

/* Whoever opens a run later, to write text or to export it, finds the tokenizer in the store. */
static int
put_tokenizer(const struct dpc_corpus *corpus, struct dpc_hash *ret_hash, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = dpc_tokens_load_tokenizer(corpus->tokens, &bytes, &len, err);
    if (code == DPC_OK && bytes)
        code = dpc_store_blob_put(corpus->world->store, bytes, len, ret_hash, err);
    dpc_free(bytes);
    return code;
}

/* A path may be without such documents; where all are, nothing is measured. */
static int
check_held_out(const struct dpc_corpus *corpus, const struct dpc_shard *all, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    if (all->test_documents == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "none of the %u documents of \"%s\" is held out: raise data.test (now "
                             "%g) or give more documents",
                             corpus->docs_count, corpus->world->corpus, experiment->data.test);
    if (experiment->early_stopping && all->early_stop_documents == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "none of the %u documents of \"%s\" is one that early_stopping could "
                             "choose by: raise data.early_stop (now %g), give more documents, or "
                             "leave early_stopping out",
                             corpus->docs_count, corpus->world->corpus,
                             experiment->data.early_stop);
    return DPC_OK;
}

static int
prepare(const struct dpc_corpus *corpus, struct dpc_prepared *prepared, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    struct dpc_shard all;
    dpc_tokens_hash(corpus->tokens, &prepared->corpus);
    prepared->documents = corpus->docs_count;
    int code = put_tokenizer(corpus, &prepared->tokenizer, err);
    if (code == DPC_OK && *corpus->world->imported)
        code = dpc_tokens_check_imported(corpus->tokens, corpus->world->imported, err);
    if (code == DPC_OK)
        code = dpc_corpus_put_documents(corpus, corpus->docs, corpus->docs_count,
                                        experiment->routing.prefix, &prepared->prefixes, err);
    if (code == DPC_OK)
        code = dpc_corpus_put_shards(corpus, NULL, &all, err);
    if (code == DPC_OK)
        code = check_held_out(corpus, &all, err);
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
