/* SPDX-License-Identifier: Apache-2.0 */
#include "data/tokens.h"

#include <stdlib.h>

#include "tests/unit/data/corpus.h"
#include "tests/unit/data/memory_sink.h"
#include "tests/unit/data/pairs.h"

static const char *const texts[] = {"first text", "a", "the third one is longer than the others",
                                    "\xFF\x80 bytes"};
enum { COUNT = sizeof texts / sizeof *texts };

/* --- Reading. */

static void
what_goes_in_comes_out(void)
{
    struct temp temp;
    int32_t tokens[64];
    temp_make(&temp);
    corpus_build(&temp, DPC_TOKENS_FILE, texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "."); /* the folder stands for the file in it */
    uint64_t total = 0;
    CU_ASSERT_EQUAL(dpc_tokens_documents(corpus), COUNT);
    CU_ASSERT(dpc_vocabulary_equal(dpc_tokens_vocabulary(corpus), &DPC_VOCABULARY_BYTES));
    for (uint32_t doc = 0; doc < COUNT; doc++) {
        uint32_t len = (uint32_t)strlen(texts[doc]);
        total += len;
        CU_ASSERT_EQUAL(dpc_tokens_count(corpus, doc), len);
        CU_ASSERT_EQUAL(dpc_tokens_id(corpus, doc), doc);
        CU_ASSERT_EQUAL_FATAL(dpc_tokens_copy(corpus, doc, 0, 64, tokens), len);
        for (uint32_t i = 0; i < len; i++)
            CU_ASSERT_EQUAL(tokens[i], (uint8_t)texts[doc][i]);
    }
    CU_ASSERT_EQUAL(dpc_tokens_total(corpus), total);
    CU_ASSERT_EQUAL(dpc_tokens_verify(corpus, NULL), DPC_OK);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
copies_stop_at_the_document(void)
{
    struct temp temp;
    int32_t tokens[8] = {-7, -7, -7, -7, -7, -7, -7, -7};
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL(dpc_tokens_copy(corpus, 0, 6, 8, tokens), 4);
    CU_ASSERT(tokens[0] == 't' && tokens[3] == 't' && tokens[4] == -7);
    CU_ASSERT_EQUAL(dpc_tokens_copy(corpus, 0, 10, 8, tokens), 0);
    CU_ASSERT_EQUAL(dpc_tokens_copy(corpus, 0, UINT32_MAX, 8, tokens), 0);
    CU_ASSERT_EQUAL(dpc_tokens_copy(corpus, COUNT - 1, 1, UINT32_MAX, tokens), 7);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
short_documents_are_left_out_and_counted(void)
{
    struct temp temp;
    struct dpc_error err;
    uint32_t *docs, docs_count;
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_longer_than(corpus, 8, &docs, &docs_count, &err), DPC_OK);
    CU_ASSERT_EQUAL(docs_count, 2); /* without "a" and the last, which has exactly 8 */
    CU_ASSERT(docs[0] == 0 && docs[1] == 2);
    dpc_free(docs);
    CU_ASSERT_EQUAL(dpc_tokens_longer_than(corpus, 64, &docs, &docs_count, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "prefix of 64"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "routing.prefix"));
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* --- Subsets. */

static int
write_subset(const struct dpc_tokens *tokens, const uint32_t *docs, uint32_t count,
             uint32_t tokens_max, struct dpc_buf *out)
{
    struct dpc_tokens_sink sink = memory_sink(out);
    return dpc_tokens_write_subset(tokens, docs, count, tokens_max, &sink, NULL);
}

static void
a_subset_keeps_ids_keys_and_order(void)
{
    static const uint32_t docs[] = {2, 0};
    struct temp temp;
    struct dpc_buf bytes, again;
    struct dpc_tokens *shard;
    uint8_t key[DPC_CONTENT_KEY_BYTES], want[DPC_CONTENT_KEY_BYTES];
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    dpc_buf_init(&bytes, 0);
    dpc_buf_init(&again, 0);
    CU_ASSERT_EQUAL_FATAL(write_subset(corpus, docs, 2, 0, &bytes), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(write_subset(corpus, docs, 2, 0, &again), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(bytes.len, again.len);
    CU_ASSERT_EQUAL(memcmp(bytes.data, again.data, bytes.len), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("shard", bytes.data, bytes.len, &shard, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_documents(shard), 2);
    for (uint32_t doc = 0; doc < 2; doc++) {
        CU_ASSERT_EQUAL(dpc_tokens_id(shard, doc), docs[doc]);
        CU_ASSERT_EQUAL(dpc_tokens_count(shard, doc), strlen(texts[docs[doc]]));
        dpc_tokens_key(shard, doc, key);
        dpc_tokens_key(corpus, docs[doc], want);
        CU_ASSERT_EQUAL(memcmp(key, want, sizeof key), 0);
    }
    CU_ASSERT_EQUAL(dpc_tokens_verify(shard, NULL), DPC_OK);
    dpc_tokens_close(shard);
    dpc_tokens_close(corpus);
    dpc_buf_done(&bytes);
    dpc_buf_done(&again);
    temp_remove(&temp);
}

static void
a_subset_of_a_subset_keeps_the_corpus_ids(void)
{
    static const uint32_t first[] = {1, 3}, second[] = {1};
    struct temp temp;
    struct dpc_buf bytes, part;
    struct dpc_tokens *shard, *shard_part;
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    dpc_buf_init(&bytes, 0);
    dpc_buf_init(&part, 0);
    CU_ASSERT_EQUAL_FATAL(write_subset(corpus, first, 2, 0, &bytes), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("s", bytes.data, bytes.len, &shard, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(write_subset(shard, second, 1, 3, &part), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("p", part.data, part.len, &shard_part, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_id(shard_part, 0), 3);
    CU_ASSERT_EQUAL(dpc_tokens_count(shard_part, 0), 3); /* cut: a prefix file */
    dpc_tokens_close(shard_part);
    dpc_tokens_close(shard);
    dpc_tokens_close(corpus);
    dpc_buf_done(&bytes);
    dpc_buf_done(&part);
    temp_remove(&temp);
}

static void
a_subset_of_nothing_or_without_room_is_refused(void)
{
    static const uint32_t docs[] = {0};
    struct temp temp;
    struct dpc_buf bytes;
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    dpc_buf_init(&bytes, 64);
    CU_ASSERT_EQUAL(write_subset(corpus, docs, 0, 0, &bytes), DPC_EINVAL);
    CU_ASSERT_EQUAL(write_subset(corpus, docs, 1, 0, &bytes), DPC_ELIMIT);
    dpc_buf_done(&bytes);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* --- Pieces. */

static void
pieces_and_what_they_stand_for_come_out(void)
{
    struct temp temp;
    int32_t copy[64];
    temp_make(&temp);
    corpus_build_with(&temp, "c", pairs_tokenizer(), texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    const struct dpc_vocabulary *vocabulary = dpc_tokens_vocabulary(corpus);
    CU_ASSERT(dpc_vocabulary_equal(vocabulary, &pairs_tokenizer()->vocabulary));
    CU_ASSERT_EQUAL(dpc_tokens_verify(corpus, NULL), DPC_OK);
    for (uint32_t doc = 0; doc < COUNT; doc++) {
        struct dpc_buf text;
        uint32_t count = dpc_tokens_copy(corpus, doc, 0, 64, copy);
        CU_ASSERT_EQUAL(count, dpc_tokens_count(corpus, doc));
        CU_ASSERT_EQUAL(dpc_vocabulary_text_bytes(vocabulary, copy, count), strlen(texts[doc]));
        dpc_buf_init(&text, 0);
        dpc_tokenizer_decode(pairs_tokenizer(), copy, count, &text);
        CU_ASSERT_STRING_EQUAL(dpc_buf_text(&text), texts[doc]);
        dpc_buf_done(&text);
    }
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* Splits do not depend on the tokenizer, since keys do not. */
static void
a_subset_of_pieces_keeps_tokens_keys_and_vocabulary(void)
{
    static const uint32_t docs[] = {3, 2};
    struct temp temp;
    struct dpc_buf bytes;
    struct dpc_tokens *part = NULL;
    int32_t want[64], got[64];
    uint8_t key[DPC_CONTENT_KEY_BYTES], plain_key[DPC_CONTENT_KEY_BYTES];
    temp_make(&temp);
    corpus_build_with(&temp, "c", pairs_tokenizer(), texts, COUNT);
    corpus_build(&temp, "plain", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c"), *plain = corpus_open(&temp, "plain");
    dpc_buf_init(&bytes, 0);
    CU_ASSERT_EQUAL_FATAL(write_subset(corpus, docs, 2, 0, &bytes), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open_bytes("part", bytes.data, bytes.len, &part, NULL),
                          DPC_OK);
    CU_ASSERT(dpc_vocabulary_equal(dpc_tokens_vocabulary(part), &pairs_tokenizer()->vocabulary));
    CU_ASSERT_EQUAL(memcmp(dpc_tokens_vocabulary(part)->lengths,
                           pairs_tokenizer()->vocabulary.lengths, PAIRS_VOCAB),
                    0);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t count = dpc_tokens_copy(corpus, docs[i], 0, 64, want);
        CU_ASSERT_EQUAL_FATAL(dpc_tokens_copy(part, i, 0, 64, got), count);
        CU_ASSERT_EQUAL(memcmp(got, want, count * sizeof *got), 0);
        dpc_tokens_key(part, i, key);
        dpc_tokens_key(plain, docs[i], plain_key);
        CU_ASSERT_EQUAL(memcmp(key, plain_key, sizeof key), 0);
    }
    dpc_tokens_close(part);
    dpc_tokens_close(plain);
    dpc_tokens_close(corpus);
    dpc_buf_done(&bytes);
    temp_remove(&temp);
}

static void
a_corpus_of_another_kind_than_the_experiment_is_named(void)
{
    struct dpc_experiment bytes = {.data.tokenizer = DPC_TOKENIZER_BYTES, .model.vocab = 256};
    struct dpc_experiment pieces = {.data.tokenizer = DPC_TOKENIZER_SENTENCEPIECE,
                                    .model.vocab = PAIRS_VOCAB};
    struct dpc_error err = {0};
    struct temp temp;
    temp_make(&temp);
    corpus_build(&temp, "plain", texts, COUNT);
    corpus_build_with(&temp, "c", pairs_tokenizer(), texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c"), *plain = corpus_open(&temp, "plain");
    CU_ASSERT_EQUAL(dpc_tokens_check_vocabulary(plain, &bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_check_vocabulary(corpus, &pieces, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_check_vocabulary(plain, &pieces, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "{kind: bytes, vocab: 256}"));
    CU_ASSERT_EQUAL(dpc_tokens_check_vocabulary(corpus, &bytes, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "{kind: sentencepiece, vocab: 260}"));
    pieces.model.vocab++;
    CU_ASSERT_EQUAL(dpc_tokens_check_vocabulary(corpus, &pieces, &err), DPC_EINVAL);
    dpc_tokens_close(plain);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static int
encode_beyond(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
              struct dpc_buf *out, struct dpc_error *err)
{
    (void)tokenizer, (void)text, (void)len, (void)err;
    dpc_buf_put_u16(out, PAIRS_VOCAB);
    return DPC_OK;
}

static void
a_token_beyond_the_vocabulary_is_damage(void)
{
    struct dpc_tokenizer wrong = *pairs_tokenizer();
    struct dpc_tokenizer_ops ops = {.encode = encode_beyond};
    struct dpc_error err = {0};
    struct temp temp;
    wrong.ops = &ops;
    temp_make(&temp);
    corpus_build_with(&temp, "c", &wrong, texts, 1);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL(dpc_tokens_verify(corpus, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "token 0 is none of its vocabulary"));
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* --- Damage. */

static void
read_corpus(struct temp *temp, uint8_t **ret_bytes, size_t *ret_len)
{
    corpus_build(temp, "c", texts, COUNT);
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, temp_path(temp, "c"), DPC_MIB, ret_bytes, ret_len, NULL),
        DPC_OK);
}

/* `tokens_bytes`: of all its tokens; what stands behind them is covered by the header's check. */
static void
flip_every_bit(uint8_t *bytes, size_t len, size_t tokens_bytes)
{
    struct dpc_tokens *corpus;
    struct dpc_error err;
    size_t tokens_end = 192 + tokens_bytes, tail = (tokens_end + 7) / 8 * 8;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        size_t at = bit / 8;
        bytes[at] ^= (uint8_t)(1u << bit % 8);
        int code = dpc_tokens_open_bytes("c", bytes, len, &corpus, &err);
        if (at < 192 || at >= tail) {
            CU_ASSERT(code == DPC_ECORRUPT || code == DPC_EVERSION);
        } else if (code == DPC_OK) { /* the tokens have their own hash */
            CU_ASSERT_EQUAL(dpc_tokens_verify(corpus, &err),
                            at < tokens_end ? DPC_ECORRUPT : DPC_OK);
        }
        if (code == DPC_OK)
            dpc_tokens_close(corpus);
        bytes[at] ^= (uint8_t)(1u << bit % 8);
    }
}

static void
every_flipped_bit_is_found(void)
{
    struct temp temp;
    uint8_t *bytes;
    size_t len, tokens = 0;
    temp_make(&temp);
    read_corpus(&temp, &bytes, &len);
    for (size_t i = 0; i < COUNT; i++)
        tokens += strlen(texts[i]);
    flip_every_bit(bytes, len, tokens);
    dpc_free(bytes);
    temp_remove(&temp);
}

static void
every_flipped_bit_of_pieces_is_found(void)
{
    struct temp temp;
    uint8_t *bytes;
    size_t len;
    temp_make(&temp);
    corpus_build_with(&temp, "c", pairs_tokenizer(), texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    size_t tokens_bytes = 2 * (size_t)dpc_tokens_total(corpus);
    dpc_tokens_close(corpus);
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, temp_path(&temp, "c"), DPC_MIB, &bytes, &len, NULL),
        DPC_OK);
    flip_every_bit(bytes, len, tokens_bytes);
    dpc_free(bytes);
    temp_remove(&temp);
}

static void
every_cut_is_found(void)
{
    struct temp temp;
    uint8_t *bytes;
    size_t len;
    struct dpc_tokens *corpus;
    struct dpc_error err;
    temp_make(&temp);
    read_corpus(&temp, &bytes, &len);
    for (size_t cut = 0; cut < len; cut++) {
        CU_ASSERT_EQUAL(dpc_tokens_open_bytes("c", bytes, cut, &corpus, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "corpus \"c\" is damaged: "));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "import it again"));
    }
    dpc_free(bytes);
    temp_remove(&temp);
}

static void
a_missing_empty_or_foreign_file_is_named(void)
{
    struct temp temp;
    struct dpc_tokens *corpus;
    struct dpc_error err;
    temp_make(&temp);
    CU_ASSERT_EQUAL(dpc_tokens_open(temp_path(&temp, "none"), &corpus, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "dipaco data import"));
    CU_ASSERT_EQUAL(dpc_tokens_open(temp_path(&temp, "."), &corpus, &err), DPC_ENOTFOUND);
    temp_write_text(&temp, "empty", "");
    CU_ASSERT_EQUAL(dpc_tokens_open(temp_path(&temp, "empty"), &corpus, &err), DPC_ECORRUPT);
    char text[512];
    memset(text, 'x', sizeof text);
    temp_write(&temp, "text", text, sizeof text);
    CU_ASSERT_EQUAL(dpc_tokens_open(temp_path(&temp, "text"), &corpus, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not begin like a token file"));
    temp_remove(&temp);
}

/* --- The builder. */

static void
a_text_is_kept_once(void)
{
    struct temp temp;
    struct dpc_builder *builder;
    temp_make(&temp);
    CU_ASSERT_EQUAL_FATAL(dpc_builder_open(&dpc_vfs_posix, temp_path(&temp, "c"),
                                           dpc_tokenizer_bytes(), &builder, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"one", 3, NULL, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"one", 3, NULL, NULL), DPC_EEXIST);
    CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"", 0, NULL, NULL), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"two", 3, NULL, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_builder_finish(builder, NULL), DPC_OK);
    dpc_builder_close(builder);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL(dpc_tokens_documents(corpus), 2);
    CU_ASSERT_EQUAL(dpc_tokens_id(corpus, 1), 1);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
an_unfinished_build_leaves_the_old_corpus(void)
{
    static const char *const old[] = {"the old corpus"};
    struct temp temp;
    struct dpc_builder *builder;
    struct dpc_error err;
    temp_make(&temp);
    corpus_build(&temp, "c", old, 1);
    CU_ASSERT_EQUAL_FATAL(dpc_builder_open(&dpc_vfs_posix, temp_path(&temp, "c"),
                                           dpc_tokenizer_bytes(), &builder, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_builder_finish(builder, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "would be empty"));
    CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"new", 3, NULL, NULL), DPC_OK);
    dpc_builder_close(builder);
    CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "c.new")));
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL(dpc_tokens_total(corpus), strlen(old[0]));
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* A disk that is full after some bytes. */
struct small_disk {
    struct dpc_vfs vfs;
    struct dpc_vfs_ops ops;
};
static uint64_t disk_bytes;

static int
small_write(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset)
{
    if (offset + len > disk_bytes)
        return DPC_ENOSPACE;
    return dpc_vfs_posix.ops->write(file, bytes, len, offset);
}

static void
a_full_disk_is_said_and_leaves_nothing(void)
{
    struct small_disk disk = {.ops = *dpc_vfs_posix.ops};
    struct temp temp;
    struct dpc_builder *builder;
    struct dpc_error err;
    disk.vfs = (struct dpc_vfs){.ops = &disk.ops};
    disk.ops.write = small_write;
    temp_make(&temp);
    for (disk_bytes = 0; disk_bytes < 230; disk_bytes += 10) {
        CU_ASSERT_EQUAL_FATAL(dpc_builder_open(&disk.vfs, temp_path(&temp, "c"),
                                               dpc_tokenizer_bytes(), &builder, &err),
                              DPC_OK);
        CU_ASSERT_EQUAL(dpc_builder_add(builder, (const uint8_t *)"text", 4, NULL, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_builder_finish(builder, &err), DPC_ENOSPACE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no space left"));
        dpc_builder_close(builder);
        CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "c")));
        CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "c.new")));
    }
    temp_remove(&temp);
}

/* Four texts, of which two are longer than the prefix and none is held out. */
static void
more_paths_than_documents_are_refused(void)
{
    static const char yaml[] = "experiment: e\n"
                               "data: {corpus: c, test: 0, early_stop: 0, router: 0.5}\n"
                               "model: {dim: 16, heads: 2, context: 32}\n"
                               "levels: [{name: a, parts: [embedding, {blocks: 1}, head], modules: "
                               "2}]\n"
                               "routing: {prefix: 8, documents_min: 1}\n";
    struct dpc_experiment experiment;
    struct dpc_error err = {0};
    struct temp temp;
    temp_make(&temp);
    corpus_build(&temp, "c", texts, COUNT);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    CU_ASSERT_EQUAL_FATAL(dpc_experiment_parse("e", yaml, sizeof yaml - 1, &experiment, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_check_paths(corpus, &experiment, &err), DPC_OK);
    experiment.levels[0].modules = 3;
    CU_ASSERT_EQUAL(dpc_tokens_check_paths(corpus, &experiment, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has 2 documents to train on"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "3 paths of at least 1 need 3"));
    experiment.routing.overlap = 2; /* copies are no documents of a path's own */
    CU_ASSERT_EQUAL(dpc_tokens_check_paths(corpus, &experiment, &err), DPC_EINVAL);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"what goes in comes out", what_goes_in_comes_out},
    {"copies stop at the document", copies_stop_at_the_document},
    {"short documents are left out and counted", short_documents_are_left_out_and_counted},
    {"more paths than documents are refused", more_paths_than_documents_are_refused},
    {"a subset keeps ids, keys and order", a_subset_keeps_ids_keys_and_order},
    {"a subset of a subset keeps the corpus' ids", a_subset_of_a_subset_keeps_the_corpus_ids},
    {"a subset of nothing or without room is refused",
     a_subset_of_nothing_or_without_room_is_refused},
    {"every flipped bit is found", every_flipped_bit_is_found},
    {"pieces and what they stand for come out", pieces_and_what_they_stand_for_come_out},
    {"a subset of pieces keeps tokens, keys and vocabulary",
     a_subset_of_pieces_keeps_tokens_keys_and_vocabulary},
    {"a corpus of another kind than the experiment is named",
     a_corpus_of_another_kind_than_the_experiment_is_named},
    {"a token beyond the vocabulary is damage", a_token_beyond_the_vocabulary_is_damage},
    {"every flipped bit of pieces is found", every_flipped_bit_of_pieces_is_found},
    {"every cut is found", every_cut_is_found},
    {"a missing, empty or foreign file is named", a_missing_empty_or_foreign_file_is_named},
    {"a text is kept once", a_text_is_kept_once},
    {"an unfinished build leaves the old corpus", an_unfinished_build_leaves_the_old_corpus},
    {"a full disk is said and leaves nothing", a_full_disk_is_said_and_leaves_nothing},
};
DPC_TEST_MAIN("data/tokens", tests)
