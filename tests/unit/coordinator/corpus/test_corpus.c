/* SPDX-License-Identifier: Apache-2.0
 * Token files of a corpus in the store: the bytes that a subset has in memory, in memory that the
 * size of the corpus does not tell. */
#include "coordinator/corpus/corpus_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "coordinator/corpus/corpus.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/data/corpus.h"
#include "tests/unit/data/memory_sink.h"
#include "tests/unit/harness.h"

enum { DOCUMENTS = 64, DOCUMENT_BYTES = 1 << 20 };

struct rig {
    struct temp temp;
    struct dpc_experiment experiment;
    struct dpc_kv *kv;
    struct dpc_blobs *blobs;
    struct dpc_world world;
    struct dpc_corpus corpus;
    struct dpc_error err;
};

/* Documents that differ in their first byte. */
static void
build(struct rig *rig)
{
    struct dpc_builder *builder;
    uint8_t *text = dpc_alloc(DOCUMENT_BYTES, 1);
    CU_ASSERT_EQUAL_FATAL(dpc_builder_open(&dpc_vfs_posix, temp_path(&rig->temp, "corpus"),
                                           dpc_tokenizer_bytes(), &builder, &rig->err),
                          DPC_OK);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        text[0] = (uint8_t)i;
        CU_ASSERT_EQUAL(dpc_builder_add(builder, text, DOCUMENT_BYTES, NULL, &rig->err), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_builder_finish(builder, &rig->err), DPC_OK);
    dpc_builder_close(builder);
    dpc_free(text);
}

static void
begin(struct rig *rig)
{
    static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n";
    *rig = (struct rig){0};
    temp_make(&rig->temp);
    CU_ASSERT_EQUAL_FATAL(
        dpc_experiment_parse("test", yaml, sizeof yaml - 1, &rig->experiment, &rig->err), DPC_OK);
    build(rig);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&rig->kv), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_blobs_open(&dpc_vfs_posix, temp_path(&rig->temp, "blobs"), &rig->blobs, &rig->err),
        DPC_OK);
    rig->world.experiment = &rig->experiment;
    CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(rig->kv, rig->blobs, &rig->world.store, &rig->err),
                          DPC_OK);
    (void)snprintf(rig->world.corpus, sizeof rig->world.corpus, "%s",
                   temp_path(&rig->temp, "corpus"));
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_open(&rig->world, &rig->corpus, &rig->err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(rig->corpus.docs_count, DOCUMENTS);
}

static void
end(struct rig *rig)
{
    dpc_corpus_close(&rig->corpus);
    dpc_store_close(rig->world.store);
    dpc_blobs_close(rig->blobs);
    dpc_kv_close(rig->kv);
    temp_remove(&rig->temp);
}

/* What a subset is, by its bytes in memory. */
static struct dpc_blob_ref
subset(struct rig *rig, uint32_t count, uint32_t tokens_max)
{
    struct dpc_buf bytes;
    struct dpc_blob_ref ref;
    struct dpc_tokens_sink sink = memory_sink(&bytes);
    dpc_buf_init(&bytes, 0);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_write_subset(rig->corpus.tokens, rig->corpus.docs, count,
                                                  tokens_max, &sink, &rig->err),
                          DPC_OK);
    ref.bytes = bytes.len;
    dpc_hash_of(bytes.data, bytes.len, &ref.hash);
    dpc_buf_done(&bytes);
    return ref;
}

static int
put(struct rig *rig, uint32_t count, uint32_t tokens_max, struct dpc_blob_ref *ret_ref)
{
    return dpc_corpus_put_documents(&rig->corpus, rig->corpus.docs, count, tokens_max, ret_ref,
                                    &rig->err);
}

/* Small ones in the database, large ones in a file. */
static void
documents_are_put_as_their_bytes(void)
{
    static const struct {
        uint32_t count, tokens_max;
        bool in_file;
    } cases[] = {{DOCUMENTS, 16, false}, {1, 60000, false}, {DOCUMENTS, 2000, true}, {3, 0, true}};
    struct rig rig;
    begin(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dpc_blob_ref want = subset(&rig, cases[i].count, cases[i].tokens_max), ref;
        uint64_t bytes;
        CU_ASSERT_EQUAL_FATAL(put(&rig, cases[i].count, cases[i].tokens_max, &ref), DPC_OK);
        CU_ASSERT(dpc_hash_equal(&ref.hash, &want.hash));
        CU_ASSERT_EQUAL(ref.bytes, want.bytes);
        CU_ASSERT_EQUAL(dpc_store_blob_verify(rig.world.store, &ref.hash, &bytes, &rig.err),
                        DPC_OK);
        CU_ASSERT_EQUAL(bytes, want.bytes);
        CU_ASSERT_EQUAL(dpc_blobs_size(rig.blobs, &ref.hash, &bytes),
                        cases[i].in_file ? DPC_OK : DPC_ENOTFOUND);
    }
    end(&rig);
}

/* Bytes of private memory of this process; 0 where nobody says. */
static size_t
memory_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;
    while (file && !kib && fgets(line, sizeof line, file))
        (void)sscanf(line, "VmData: %zu", &kib);
    if (file)
        (void)fclose(file);
    return 1024 * kib;
}

/* A quarter of the corpus is more than enough for it. */
static void
the_whole_corpus_is_put_in_little_memory(void)
{
    struct rig rig;
    struct dpc_blob_ref ref;
    struct rlimit before, little;
    size_t taken = memory_bytes();
    if (taken == 0)
        return; /* nobody says */
    begin(&rig);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_DATA, &before), 0);
    little = before;
    little.rlim_cur = taken + (size_t)DOCUMENTS * DOCUMENT_BYTES / 4;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_DATA, &little), 0);
    int code = put(&rig, DOCUMENTS, 0, &ref);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_DATA, &before), 0);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    CU_ASSERT(ref.bytes > (uint64_t)DOCUMENTS * DOCUMENT_BYTES);
    end(&rig);
}

/* Every path would have taken its newest round without a word. */
static void
early_stopping_needs_documents_to_choose_by(void)
{
    struct rig rig;
    struct dpc_prepared prepared;
    begin(&rig);
    rig.experiment.early_stopping = true;
    rig.experiment.data.early_stop = 1e-9;
    CU_ASSERT_EQUAL(dpc_corpus_prepare(&rig.world, &prepared, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "raise data.early_stop (now 1e-09)"));
    end(&rig);
}

/* It once was found out when so much of it was on the disk, as "limit exceeded", and a supervisor
 * began again and again. */
static void
documents_of_more_than_a_blob_are_refused_before_they_are_written(void)
{
    enum { COUNT = 64 << 10 }; /* of 1 MiB: with the table it is more than 64 GiB */
    static uint32_t docs[COUNT];
    struct rig rig;
    struct dpc_blob_ref ref;
    begin(&rig);
    CU_ASSERT_EQUAL(dpc_corpus_put_documents(&rig.corpus, docs, COUNT, 0, &ref, &rig.err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "65536 documents of"));
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "import fewer texts"));
    CU_ASSERT_EQUAL(dpc_corpus_put_documents(&rig.corpus, docs, COUNT, 8, &ref, &rig.err), DPC_OK);
    end(&rig);
}

/* Routed paths have all documents among them, whatever the dense one does with. */
static void
the_dense_path_may_do_with_a_part_of_the_documents(void)
{
    static const double shares[] = {1, 0.5, 0.1};
    struct rig rig;
    struct dpc_shard whole, part, routed[4];
    struct dpc_topology topology;
    uint32_t *paths = dpc_alloc(DOCUMENTS, sizeof *paths);
    struct dpc_assignment assignment = {.choices = 1, .paths = paths};
    uint64_t before = UINT64_MAX;
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        paths[i] = i % 4;
    begin(&rig);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &rig.experiment, &rig.err), DPC_OK);
    rig.world.topology = &topology;
    CU_ASSERT_EQUAL_FATAL(dpc_corpus_put_shards(&rig.corpus, NULL, &whole, &rig.err), DPC_OK);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        rig.experiment.data.dense = shares[i];
        CU_ASSERT_EQUAL_FATAL(dpc_corpus_put_shards(&rig.corpus, NULL, &part, &rig.err), DPC_OK);
        CU_ASSERT(part.train_documents < before);
        CU_ASSERT_EQUAL(part.train_tokens, (uint64_t)part.train_documents * DOCUMENT_BYTES);
        CU_ASSERT_EQUAL(part.test_documents, whole.test_documents);
        CU_ASSERT(dpc_hash_equal(&part.test.hash, &whole.test.hash));
        CU_ASSERT_EQUAL(dpc_hash_equal(&part.train.hash, &whole.train.hash), i == 0);
        CU_ASSERT_EQUAL_FATAL(dpc_corpus_put_shards(&rig.corpus, &assignment, routed, &rig.err),
                              DPC_OK);
        CU_ASSERT_EQUAL(routed[0].train_documents + routed[1].train_documents +
                            routed[2].train_documents + routed[3].train_documents,
                        whole.train_documents);
        before = part.train_documents;
    }
    rig.experiment.data.dense = 1e-6;
    CU_ASSERT_EQUAL(dpc_corpus_put_shards(&rig.corpus, NULL, &part, &rig.err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "raise data.dense (now 1e-06)"));
    dpc_topology_done(&topology);
    dpc_free(paths);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"documents are put as their bytes", documents_are_put_as_their_bytes},
    {"the whole corpus is put in little memory", the_whole_corpus_is_put_in_little_memory},
    {"documents of more than a blob are refused before they are written",
     documents_of_more_than_a_blob_are_refused_before_they_are_written},
    {"early stopping needs documents to choose by", early_stopping_needs_documents_to_choose_by},
    {"the dense path may do with a part of the documents",
     the_dense_path_may_do_with_a_part_of_the_documents},
};
DPC_TEST_MAIN("coordinator/corpus", tests)
