/* SPDX-License-Identifier: Apache-2.0
 * Documents are chosen by the corpus's own numbers; token files go straight into the store, since
 * the train documents of a dense path are about as large as the corpus. */
#include "coordinator/corpus/corpus_parts.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "data/batch.h"
#include "data/tokens_format.h"
#include "data/tokens_writer.h"
#include "routing/assign.h"

int
dpc_corpus_open(const struct dpc_world *world, struct dpc_corpus *corpus, struct dpc_error *err)
{
    *corpus = (struct dpc_corpus){.world = world};
    int code = dpc_tokens_open(world->corpus, &corpus->tokens, err);
    if (code == DPC_OK)
        code = dpc_tokens_check_vocabulary(corpus->tokens, world->experiment, err);
    if (code == DPC_OK)
        code = dpc_tokens_longer_than(corpus->tokens, world->experiment->routing.prefix,
                                      &corpus->docs, &corpus->docs_count, err);
    return code;
}

void
dpc_corpus_close(struct dpc_corpus *corpus)
{
    dpc_tokens_close(corpus->tokens);
    dpc_free(corpus->docs);
}

/* Where a token file goes, and what the store said when it could not. */
struct token_file {
    struct dpc_store_draft *draft;
    struct dpc_error err;
};

static int
write_token_file(void *context, const void *bytes, size_t len, uint64_t offset)
{
    struct token_file *file = context;
    return dpc_store_draft_write(file->draft, bytes, len, offset, &file->err);
}

/* Of some documents, as a token file. */
static uint64_t
bytes_of(const struct dpc_corpus *corpus, const uint32_t *docs, uint32_t count, uint32_t tokens_max)
{
    uint64_t bytes = (uint64_t)count * DPC_TOKENS_ENTRY_BYTES, tokens = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t its = dpc_tokens_count(corpus->tokens, docs[i]);
        tokens += tokens_max && tokens_max < its ? tokens_max : its;
    }
    return bytes + tokens * dpc_tokens_vocabulary(corpus->tokens)->width;
}

/* Before a disk is filled with what cannot be kept: the corpus is at fault, whoever starts again
 * finds it so. */
static int
check_size(const struct dpc_corpus *corpus, const uint32_t *docs, uint32_t count,
           uint32_t tokens_max, struct dpc_error *err)
{
    enum { REST_BYTES = DPC_TOKENS_HEADER_BYTES + DPC_VOCAB_MAX + 16 };
    uint64_t bytes = bytes_of(corpus, docs, count, tokens_max) + REST_BYTES;
    if (bytes <= DPC_BLOB_BYTES_MAX)
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "%u documents of \"%s\" are %llu bytes, and those of a path are one file "
                         "of at most %zu: import fewer texts, or lower data.dense if they are the "
                         "dense path's",
                         count, corpus->world->corpus, (unsigned long long)bytes,
                         DPC_BLOB_BYTES_MAX);
}

int
dpc_corpus_put_documents(const struct dpc_corpus *corpus, const uint32_t *docs, uint32_t count,
                         uint32_t tokens_max, struct dpc_blob_ref *ret_blob, struct dpc_error *err)
{
    int code = check_size(corpus, docs, count, tokens_max, err);
    if (code != DPC_OK)
        return code;
    struct token_file file = {.draft = dpc_store_draft_create(corpus->world->store)};
    struct dpc_tokens_sink sink = {.write = write_token_file, .context = &file};
    code = dpc_tokens_write_subset(corpus->tokens, docs, count, tokens_max, &sink, err);
    if (code == DPC_OK)
        code = dpc_store_draft_put(file.draft, &ret_blob->hash, &ret_blob->bytes, err);
    else if (file.err.code != DPC_OK && err)
        *err = file.err; /* which knows the folder and the way out */
    dpc_store_draft_destroy(file.draft);
    return code;
}

/* --- Shards. */

/* Documents of one split, those of a path together and in the corpus's order. */
struct lists {
    uint32_t *docs;
    uint32_t *ends; /* [paths], the end of each path's in `docs` */
};

/* The paths that read a document: training may have several, everything else has the first. */
static uint32_t
paths_of(const struct dpc_assignment *assignment, enum dpc_split split, uint32_t index,
         const uint32_t **ret_paths)
{
    static const uint32_t only = 0;
    *ret_paths = assignment ? assignment->paths + (size_t)index * assignment->choices : &only;
    return assignment && split == DPC_SPLIT_TRAIN ? assignment->choices : 1;
}

/* The dense path may do with a part of the documents (data.dense). */
static bool
is_read(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
        enum dpc_split split, uint32_t doc)
{
    const struct dpc_experiment *experiment = corpus->world->experiment;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    if (assignment || split != DPC_SPLIT_TRAIN || experiment->data.dense >= 1)
        return true;
    dpc_tokens_key(corpus->tokens, doc, key);
    return dpc_split_is_dense(key, experiment);
}

/* One pass over the documents: counts those of each path, or puts them in their places. `lists`
 * [DPC_SPLITS_COUNT]. */
static void
pass(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment, struct lists *lists)
{
    for (uint32_t i = 0; i < corpus->docs_count; i++) {
        uint32_t doc = corpus->docs[i];
        enum dpc_split split = dpc_tokens_split(corpus->tokens, doc, corpus->world->experiment);
        struct lists *its = &lists[split];
        const uint32_t *paths;
        if (!is_read(corpus, assignment, split, doc))
            continue;
        uint32_t count = paths_of(assignment, split, i, &paths);
        for (uint32_t k = 0; k < count; k++) {
            if (paths[k] != DPC_ASSIGN_NONE && its->docs)
                its->docs[its->ends[paths[k]]++] = doc;
            else if (paths[k] != DPC_ASSIGN_NONE)
                its->ends[paths[k] + 1]++;
        }
    }
}

static void
list_documents(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
               uint32_t paths, struct lists *lists)
{
    for (int split = 0; split < DPC_SPLITS_COUNT; split++)
        lists[split] = (struct lists){.ends = dpc_alloc((size_t)paths + 1, sizeof(uint32_t))};
    pass(corpus, assignment, lists);
    for (int split = 0; split < DPC_SPLITS_COUNT; split++) {
        uint32_t *ends = lists[split].ends;
        for (uint32_t path = 0; path < paths; path++)
            ends[path + 1] += ends[path];
        lists[split].docs = dpc_alloc((size_t)ends[paths] + 1, sizeof *lists[split].docs);
    }
    pass(corpus, assignment, lists);
}

static uint32_t
docs_of(const struct lists *lists, uint32_t path, const uint32_t **ret_docs)
{
    uint32_t from = path ? lists->ends[path - 1] : 0;
    *ret_docs = lists->docs + from;
    return lists->ends[path] - from;
}

/* A path may have no document of a split that is held out; there is then nothing to put. */
static int
put_held_out(const struct dpc_corpus *corpus, const struct lists *lists, uint32_t path,
             struct dpc_blob_ref *ret_blob, uint32_t *ret_count, struct dpc_error *err)
{
    const uint32_t *docs;
    *ret_count = docs_of(lists, path, &docs);
    return *ret_count ? dpc_corpus_put_documents(corpus, docs, *ret_count, 0, ret_blob, err)
                      : DPC_OK;
}

static int
put_train(const struct dpc_corpus *corpus, const struct lists *lists, uint32_t path,
          struct dpc_shard *shard, struct dpc_error *err)
{
    const uint32_t *docs;
    uint32_t count = docs_of(lists, path, &docs);
    if (count == 0)
        return dpc_error_set(
            err, DPC_EINVAL,
            "none of the %u documents of \"%s\" is one that path %u trains on: give "
            "more documents, or, where it is the dense path, raise data.dense (now "
            "%g)",
            corpus->docs_count, corpus->world->corpus, path, corpus->world->experiment->data.dense);
    shard->train_documents = count;
    for (uint32_t i = 0; i < count; i++)
        shard->train_tokens += dpc_tokens_count(corpus->tokens, docs[i]);
    shard->window_tokens = dpc_batch_window_tokens(corpus->tokens, docs, count,
                                                   corpus->world->experiment->model.context);
    return dpc_corpus_put_documents(corpus, docs, count, 0, &shard->train, err);
}

int
dpc_corpus_put_shards(const struct dpc_corpus *corpus, const struct dpc_assignment *assignment,
                      struct dpc_shard *ret_shards, struct dpc_error *err)
{
    uint32_t paths = assignment ? corpus->world->topology->routed_paths : 1;
    struct lists lists[DPC_SPLITS_COUNT];
    int code = DPC_OK;
    list_documents(corpus, assignment, paths, lists);
    for (uint32_t path = 0; code == DPC_OK && path < paths; path++) {
        struct dpc_shard shard = {0};
        code = put_train(corpus, &lists[DPC_SPLIT_TRAIN], path, &shard, err);
        if (code == DPC_OK)
            code = put_held_out(corpus, &lists[DPC_SPLIT_TEST], path, &shard.test,
                                &shard.test_documents, err);
        if (code == DPC_OK)
            code = put_held_out(corpus, &lists[DPC_SPLIT_EARLY_STOP], path, &shard.early_stop,
                                &shard.early_stop_documents, err);
        ret_shards[path] = shard;
    }
    for (int split = 0; split < DPC_SPLITS_COUNT; split++) {
        dpc_free(lists[split].docs);
        dpc_free(lists[split].ends);
    }
    return code;
}
