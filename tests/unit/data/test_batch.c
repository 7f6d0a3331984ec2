/* SPDX-License-Identifier: Apache-2.0 */
#include "data/batch.h"

#include "tests/unit/data/corpus.h"

enum { CONTEXT = 16, PREFIX = 6, BATCH = 8, CELLS = BATCH * CONTEXT };

/* Documents in which every byte says its document (high half) and position (low half, mod 16). */
enum { SHORT_DOC, ONE_WINDOW, EXACT, TWO, LONG_DOC, COUNT };
static const uint32_t lengths[COUNT] = {5, 10, 17, 18, 160};

static struct dpc_tokens *
build(struct temp *temp)
{
    struct dpc_builder *builder;
    uint8_t text[160];
    temp_make(temp);
    CU_ASSERT_EQUAL_FATAL(dpc_builder_open(&dpc_vfs_posix, temp_path(temp, "c"),
                                           dpc_tokenizer_bytes(), &builder, NULL),
                          DPC_OK);
    for (uint32_t doc = 0; doc < COUNT; doc++) {
        for (uint32_t i = 0; i < lengths[doc]; i++)
            text[i] = (uint8_t)((doc + 1) << 4 | i % 16);
        CU_ASSERT_EQUAL(dpc_builder_add(builder, text, lengths[doc], NULL, NULL), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_builder_finish(builder, NULL), DPC_OK);
    dpc_builder_close(builder);
    return corpus_open(temp, "c");
}

static struct dpc_batch_sampler *
sampler_of(const struct dpc_tokens *corpus)
{
    struct dpc_batch_sampler *sampler = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_batch_sampler_create(corpus, BATCH, CONTEXT, PREFIX, &sampler, NULL),
                          DPC_OK);
    return sampler;
}

static void
a_batch_is_a_pure_function(void)
{
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    struct dpc_batch_sampler *a = sampler_of(corpus), *b = sampler_of(corpus);
    int32_t first[2][CELLS], again[2][CELLS], other[2][CELLS];
    static const uint32_t others[][4] = {{8, 1, 2, 3}, {7, 0, 2, 3}, {7, 1, 0, 3}, {7, 1, 2, 0}};
    dpc_batch_fill(a, 7, 1, 2, 3, first[0], first[1]);
    for (uint32_t step = 0; step < 5; step++) /* what came before does not matter */
        dpc_batch_fill(b, 9, 1, 2, step, other[0], other[1]);
    dpc_batch_fill(b, 7, 1, 2, 3, again[0], again[1]);
    CU_ASSERT_EQUAL(memcmp(first, again, sizeof first), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        dpc_batch_fill(a, others[i][0], others[i][1], others[i][2], others[i][3], other[0],
                       other[1]);
        CU_ASSERT_NOT_EQUAL(memcmp(first, other, sizeof first), 0);
    }
    dpc_batch_sampler_destroy(a);
    dpc_batch_sampler_destroy(b);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* The position in its document where a sequence starts: found by comparing with every start. */
static uint32_t
find_start(const struct dpc_tokens *corpus, uint32_t doc, const int32_t *sequence)
{
    int32_t text[CONTEXT];
    uint32_t count = dpc_tokens_count(corpus, doc);
    for (uint32_t start = 0; start < count; start++) {
        uint32_t len = dpc_tokens_copy(corpus, doc, start, CONTEXT, text);
        if (memcmp(text, sequence, len * sizeof *text) == 0 && (len == CONTEXT || start == 0))
            return start;
    }
    return UINT32_MAX;
}

/* One sequence: one document; each target is the next token; nothing of the prefix, nothing past
 * the end. Starts repeat every 16 tokens in the long document, so its prefix is known by the low
 * ones. */
static uint32_t
check_sequence(const struct dpc_tokens *corpus, const int32_t *tokens, const int32_t *targets)
{
    uint32_t doc = (uint32_t)(tokens[0] >> 4) - 1, counted = 0;
    CU_ASSERT_FATAL(doc < COUNT);
    uint32_t start = find_start(corpus, doc, tokens);
    CU_ASSERT_NOT_EQUAL_FATAL(start, UINT32_MAX);
    for (uint32_t t = 0; t < CONTEXT; t++) {
        if (start + t >= lengths[doc])
            CU_ASSERT_EQUAL(tokens[t], 0);
        if (targets[t] == DPC_TARGET_NONE)
            continue;
        counted++;
        CU_ASSERT_EQUAL(targets[t] >> 4, (int32_t)doc + 1);
        CU_ASSERT(start + t + 1 < lengths[doc]);
        CU_ASSERT_EQUAL(targets[t], (int32_t)((doc + 1) << 4 | (start + t + 1) % 16));
        CU_ASSERT(start + t + 1 >= PREFIX || doc == LONG_DOC);
    }
    return counted;
}

static void
a_sequence_is_of_one_document_and_never_counts_the_prefix(void)
{
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    struct dpc_batch_sampler *sampler = sampler_of(corpus);
    int32_t tokens[CELLS], targets[CELLS];
    for (uint32_t step = 0; step < 200; step++) {
        uint64_t counted = dpc_batch_fill(sampler, 1, 0, 0, step, tokens, targets), sum = 0;
        for (uint32_t b = 0; b < BATCH; b++)
            sum += check_sequence(corpus, tokens + b * CONTEXT, targets + b * CONTEXT);
        CU_ASSERT_EQUAL(sum, counted);
        CU_ASSERT(counted >= BATCH);
    }
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
documents_are_drawn_by_their_windows(void)
{
    /* ceil((n - 1) / 16): 10 -> 1, 17 -> 1, 18 -> 2, 160 -> 10; the one of 5 is never drawn. */
    static const double want[COUNT] = {0, 1 / 14.0, 1 / 14.0, 2 / 14.0, 10 / 14.0};
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    struct dpc_batch_sampler *sampler = sampler_of(corpus);
    int32_t tokens[CELLS], targets[CELLS];
    double counts[COUNT] = {0};
    enum { STEPS = 2000 };
    for (uint32_t step = 0; step < STEPS; step++) {
        dpc_batch_fill(sampler, 5, 0, 0, step, tokens, targets);
        for (uint32_t b = 0; b < BATCH; b++)
            counts[(tokens[b * CONTEXT] >> 4) - 1] += 1.0 / (STEPS * BATCH);
    }
    for (int doc = 0; doc < COUNT; doc++)
        CU_ASSERT_DOUBLE_EQUAL(counts[doc], want[doc], 0.015);
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

/* A document of 10 tokens gives 9 of a window's 16 a next one, longer ones all. */
static void
windows_of_short_documents_are_not_full(void)
{
    static const uint32_t docs[] = {1, 2, 3, 4};
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    CU_ASSERT_DOUBLE_EQUAL(dpc_batch_window_tokens(corpus, docs, 4, CONTEXT),
                           (9 + 16 + 2 * 16 + 10 * 16) / 14.0, 1e-12);
    CU_ASSERT_EQUAL(dpc_batch_window_tokens(corpus, docs, 1, CONTEXT), 9);
    CU_ASSERT_EQUAL(dpc_batch_window_tokens(corpus, docs, 0, CONTEXT), 0);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
every_start_of_a_document_comes_up(void)
{
    struct temp temp;
    temp_make(&temp);
    static const char *const texts[] = {"abcdefghijklmnopqrst"}; /* 20: starts 0 to 3 */
    corpus_build(&temp, "c", texts, 1);
    struct dpc_tokens *corpus = corpus_open(&temp, "c");
    struct dpc_batch_sampler *sampler = sampler_of(corpus);
    int32_t tokens[CELLS], targets[CELLS];
    unsigned counts[20] = {0};
    for (uint32_t step = 0; step < 100; step++) {
        dpc_batch_fill(sampler, 5, 0, 0, step, tokens, targets);
        for (uint32_t b = 0; b < BATCH; b++)
            counts[tokens[b * CONTEXT] - 'a']++;
    }
    for (int start = 0; start < 20; start++)
        CU_ASSERT_EQUAL(counts[start] > 120, start < 4);
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
windows_cover_a_document_once(void)
{
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    int32_t tokens[CONTEXT], targets[CONTEXT];
    CU_ASSERT_EQUAL(dpc_batch_windows(corpus, ONE_WINDOW, CONTEXT, 8), 1);
    CU_ASSERT_EQUAL(dpc_batch_windows(corpus, EXACT, CONTEXT, 8), 1);
    CU_ASSERT_EQUAL(dpc_batch_windows(corpus, TWO, CONTEXT, 8), 2);
    CU_ASSERT_EQUAL(dpc_batch_windows(corpus, LONG_DOC, CONTEXT, 8), 8);
    CU_ASSERT_EQUAL(dpc_batch_windows(corpus, LONG_DOC, CONTEXT, 100), 10);
    for (uint32_t doc = 0; doc < COUNT; doc++) {
        uint32_t windows = dpc_batch_windows(corpus, doc, CONTEXT, 100), sum = 0;
        for (uint32_t w = 0; w < windows; w++) {
            uint32_t counted = dpc_batch_window(corpus, doc, w, CONTEXT, PREFIX, tokens, targets),
                     seen = 0;
            CU_ASSERT_EQUAL(tokens[0] & 15, 0);
            for (uint32_t t = 0; t < CONTEXT; t++)
                seen += targets[t] != DPC_TARGET_NONE;
            CU_ASSERT_EQUAL(seen, counted);
            sum += counted;
        }
        /* Every token behind the prefix exactly once. */
        CU_ASSERT_EQUAL(sum, lengths[doc] > PREFIX ? lengths[doc] - PREFIX : 0);
        CU_ASSERT_EQUAL(dpc_batch_window(corpus, doc, windows, CONTEXT, PREFIX, tokens, targets),
                        0);
        CU_ASSERT_EQUAL(dpc_batch_window(corpus, doc, UINT32_MAX, CONTEXT, PREFIX, tokens, targets),
                        0);
    }
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
the_first_window_masks_exactly_the_prefix(void)
{
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    int32_t tokens[CONTEXT], targets[CONTEXT];
    CU_ASSERT_EQUAL(dpc_batch_window(corpus, LONG_DOC, 0, CONTEXT, PREFIX, tokens, targets),
                    CONTEXT - PREFIX + 1);
    for (uint32_t t = 0; t < CONTEXT; t++)
        CU_ASSERT_EQUAL(targets[t] == DPC_TARGET_NONE, t + 1 < PREFIX);
    CU_ASSERT_EQUAL(dpc_batch_window(corpus, LONG_DOC, 1, CONTEXT, PREFIX, tokens, targets),
                    CONTEXT);
    /* A prefix of several windows masks the first whole. */
    CU_ASSERT_EQUAL(dpc_batch_window(corpus, LONG_DOC, 0, CONTEXT, 40, tokens, targets), 0);
    CU_ASSERT_EQUAL(dpc_batch_window(corpus, LONG_DOC, 2, CONTEXT, 40, tokens, targets), 9);
    CU_ASSERT_EQUAL(targets[6], DPC_TARGET_NONE);
    CU_ASSERT_NOT_EQUAL(targets[7], DPC_TARGET_NONE);
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static void
a_shard_of_short_documents_is_refused(void)
{
    struct temp temp;
    struct dpc_tokens *corpus = build(&temp);
    struct dpc_batch_sampler *sampler;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_batch_sampler_create(corpus, BATCH, CONTEXT, 160, &sampler, &err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "routing.prefix"));
    dpc_tokens_close(corpus);
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"a batch is a pure function", a_batch_is_a_pure_function},
    {"a sequence is of one document and never counts the prefix",
     a_sequence_is_of_one_document_and_never_counts_the_prefix},
    {"documents are drawn by their windows", documents_are_drawn_by_their_windows},
    {"windows of short documents are not full", windows_of_short_documents_are_not_full},
    {"every start of a document comes up", every_start_of_a_document_comes_up},
    {"windows cover a document once", windows_cover_a_document_once},
    {"the first window masks exactly the prefix", the_first_window_masks_exactly_the_prefix},
    {"a shard of short documents is refused", a_shard_of_short_documents_is_refused},
};
DPC_TEST_MAIN("data/batch", tests)
