/* SPDX-License-Identifier: Apache-2.0
 * What the tokenizers library does with a tokenizer.json, done plainly here: it must make the
 * tokens that we make. */
#include "cli/export_tokenizer.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

enum { VOCAB = 420, LINES = 500, SYMBOLS_MAX = 512 };

struct symbol {
    char text[SYMBOLS_MAX];
};

static void
append(struct symbol *symbol, const char *text)
{
    size_t len = strlen(symbol->text);
    (void)snprintf(symbol->text + len, SYMBOLS_MAX - len, "%s", text);
}

struct lines {
    struct dpc_rng rng;
    int left;
    char line[SYMBOLS_MAX];
};

static const char *
next_line(void *context, size_t *ret_len)
{
    static const char *const parts[] = {"ab", "ba", "bab", "ca", "na", "nab", "o", "on", "co", " "};
    struct lines *lines = context;
    if (lines->left-- == 0)
        return NULL;
    struct symbol line = {.text = ""};
    for (int i = 0; i < 30; i++)
        append(&line, parts[dpc_rng_below(&lines->rng, 10)]);
    memcpy(lines->line, line.text, sizeof lines->line);
    *ret_len = strlen(lines->line);
    return lines->line;
}

struct exported {
    struct dpc_tokenizer *tokenizer;
    struct dpc_json *root;
    const struct dpc_json *model;
};

/* What a model from elsewhere has: a mark, and a space before each text. What stands behind a
 * file's messages is merged with them. */
static const uint8_t mark_and_prefix[] = {
    1 << 3 | 2, 7, 1 << 3 | 2, 3, '<',    's', '>', 3 << 3, 3, /* a piece of the type of marks */
    3 << 3 | 2, 4, 3 << 3,     1, 4 << 3, 0, /* add_dummy_prefix, and no remove_extra_whitespaces */
};

static void
export_with(enum dpc_sentencepiece_kind kind, const uint8_t *more, size_t more_len,
            struct exported *ret_exported)
{
    struct lines lines = {.left = LINES};
    struct dpc_sentencepiece_facts facts;
    struct dpc_buf file;
    struct dpc_error err = {0};
    dpc_rng_init(&lines.rng, 5, DPC_RNG_TEST, 0, 0, 0);
    dpc_buf_init(&file, 0);
    if (dpc_sentencepiece_train(kind, VOCAB, next_line, &lines, &file, &err) != DPC_OK)
        CU_FAIL_FATAL(err.text);
    dpc_buf_put(&file, more, more_len);
    CU_ASSERT_EQUAL_FATAL(
        dpc_sentencepiece_read("m", file.data, file.len, &ret_exported->tokenizer, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_sentencepiece_look(file.data, file.len, &facts, &err), DPC_OK);
    ret_exported->root = dpc_export_piece_tokenizer(ret_exported->tokenizer, &facts);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ret_exported->root);
    ret_exported->model = dpc_json_get(ret_exported->root, "model");
    dpc_buf_done(&file);
}

static void export(enum dpc_sentencepiece_kind kind, struct exported *ret_exported)
{
    export_with(kind, NULL, 0, ret_exported);
}

static void
exported_done(struct exported *exported)
{
    dpc_json_destroy(exported->root);
    dpc_tokenizer_destroy(exported->tokenizer);
}

/* The text with U+2581 for spaces, as the normalizer makes it, in characters. */
static size_t
split(const char *text, struct symbol symbols[SYMBOLS_MAX])
{
    size_t count = 0;
    for (; *text; text++)
        (void)snprintf(symbols[count++].text, SYMBOLS_MAX, "%s",
                       *text == ' ' ? DPC_SENTENCEPIECE_SPACE : (const char[]){*text, 0});
    return count;
}

/* --- BPE: the pair of the lowest rank is merged until there is none. */

static size_t
rank_of(const struct dpc_json *merges, const char *left, const char *right)
{
    char *pair = dpc_format("%s %s", left, right);
    size_t rank = 0, count = dpc_json_count(merges);
    while (rank < count && strcmp(dpc_json_text(dpc_json_at(merges, rank), ""), pair) != 0)
        rank++;
    dpc_free(pair);
    return rank;
}

static size_t
merge_all(const struct dpc_json *merges, struct symbol symbols[SYMBOLS_MAX], size_t count)
{
    for (;;) {
        size_t best = dpc_json_count(merges), place = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            size_t rank = rank_of(merges, symbols[i].text, symbols[i + 1].text);
            if (rank < best) {
                best = rank;
                place = i;
            }
        }
        if (best == dpc_json_count(merges))
            return count;
        struct symbol right = symbols[place + 1];
        append(&symbols[place], right.text);
        memmove(&symbols[place + 1], &symbols[place + 2], (count - place - 2) * sizeof *symbols);
        count--;
    }
}

/* `normalised`: the line as the normalizer makes it, but for how spaces are written. */
static void
check_merges(const struct exported *exported, const char *line, const char *normalised)
{
    static struct symbol symbols[SYMBOLS_MAX];
    const struct dpc_json *merges = dpc_json_get(exported->model, "merges"),
                          *vocabulary = dpc_json_get(exported->model, "vocab");
    int32_t *tokens;
    uint32_t count;
    CU_ASSERT_EQUAL_FATAL(dpc_tokenizer_encode_wide(exported->tokenizer, (const uint8_t *)line,
                                                    strlen(line), &tokens, &count, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(merge_all(merges, symbols, split(normalised, symbols)), count);
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(vocabulary, symbols[i].text), -1), tokens[i]);
    dpc_free(tokens);
}

static void
merges_make_the_tokens_that_we_make(void)
{
    struct exported exported;
    struct lines lines = {.left = 12};
    size_t len;
    export(DPC_SENTENCEPIECE_BPE, &exported);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(exported.model, "type"), ""), "BPE");
    CU_ASSERT_EQUAL(dpc_json_count(dpc_json_get(exported.model, "vocab")), VOCAB);
    CU_ASSERT(dpc_json_count(dpc_json_get(exported.model, "merges")) > 50);
    dpc_rng_init(&lines.rng, 6, DPC_RNG_TEST, 0, 0, 0);
    for (const char *line; (line = next_line(&lines, &len));)
        check_merges(&exported, line, line);
    exported_done(&exported);
}

/* As those of LLaMA's tokenizer.model, which AutoTokenizer alone would read otherwise. */
static void
marks_and_a_prefix_make_the_tokens_that_we_make(void)
{
    static const char *const texts[] = {"ab", " ab", "  ", "nab o con "};
    struct exported exported;
    export_with(DPC_SENTENCEPIECE_BPE, mark_and_prefix, sizeof mark_and_prefix, &exported);
    const struct dpc_json *normalizers =
        dpc_json_get(dpc_json_get(exported.root, "normalizer"), "normalizers");
    const struct dpc_json *decoders =
        dpc_json_get(dpc_json_get(exported.root, "decoder"), "decoders");
    CU_ASSERT_EQUAL(dpc_json_count(dpc_json_get(exported.model, "vocab")), VOCAB + 1);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(dpc_json_at(normalizers, 0), "prepend"), ""),
                           DPC_SENTENCEPIECE_SPACE);
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(dpc_json_at(decoders, 3), "start"), 0), 1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *normalised = dpc_format(" %s", texts[i]);
        check_merges(&exported, texts[i], normalised);
        dpc_free(normalised);
    }
    exported_done(&exported);
}

/* Lengths of the runs of spaces in the vocabulary of LLaMA and Mistral, in its order; all are as
 * good. */
static const uint8_t runs[] = {2, 4, 8, 5, 16, 6, 12, 13, 10, 14, 3, 9, 7, 11, 1};
enum { RUNS = sizeof runs, RUN_MAX = 16 };

/* A piece, and a score of -1e9, which is of the type of text where nothing is said. */
static void
put_run(struct dpc_buf *out, uint8_t len)
{
    static const uint8_t score[] = {2 << 3 | 5, 0x28, 0x6B, 0x6E, 0xCE};
    const uint8_t head[] = {1 << 3 | 2, (uint8_t)(2 + len + sizeof score), 1 << 3 | 2, len};
    dpc_buf_put(out, head, sizeof head);
    dpc_buf_put(out, "zzzzzzzzzzzzzzzz", len);
    dpc_buf_put(out, score, sizeof score);
}

static void
runs_as_good_as_each_other_are_merged_from_the_left(void)
{
    char text[3 * RUN_MAX + 1] = "";
    struct exported exported;
    struct dpc_buf more;
    dpc_buf_init(&more, 0);
    for (size_t i = 0; i < RUNS; i++)
        put_run(&more, runs[i]);
    export_with(DPC_SENTENCEPIECE_BPE, more.data, more.len, &exported);
    CU_ASSERT_EQUAL(dpc_json_count(dpc_json_get(exported.model, "vocab")), VOCAB + RUNS);
    for (size_t len = 1; len < sizeof text; len++) {
        text[len - 1] = 'z';
        check_merges(&exported, text, text);
    }
    exported_done(&exported);
    dpc_buf_done(&more);
}

/* --- Unigram: the cut of the largest sum of scores. */

static double
score_of(const struct dpc_json *vocabulary, const char *piece)
{
    for (size_t i = 0; i < dpc_json_count(vocabulary); i++) {
        const struct dpc_json *pair = dpc_json_at(vocabulary, i);
        if (strcmp(dpc_json_text(dpc_json_at(pair, 0), ""), piece) == 0)
            return dpc_json_number(dpc_json_at(pair, 1), 0);
    }
    return -INFINITY;
}

static double
best_score(const struct dpc_json *vocabulary, struct symbol symbols[SYMBOLS_MAX], size_t count)
{
    double best[SYMBOLS_MAX + 1] = {0};
    for (size_t end = 1; end <= count; end++) {
        best[end] = -INFINITY;
        for (size_t start = end > 16 ? end - 16 : 0; start < end; start++) {
            struct symbol piece = {.text = ""};
            for (size_t i = start; i < end; i++)
                append(&piece, symbols[i].text);
            best[end] = fmax(best[end], best[start] + score_of(vocabulary, piece.text));
        }
    }
    return best[count];
}

static void
scores_choose_the_tokens_that_we_make(void)
{
    static struct symbol symbols[SYMBOLS_MAX];
    struct exported exported;
    struct lines lines = {.left = 12};
    size_t len;
    export(DPC_SENTENCEPIECE_UNIGRAM, &exported);
    const struct dpc_json *vocabulary = dpc_json_get(exported.model, "vocab");
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(exported.model, "type"), ""), "Unigram");
    CU_ASSERT_EQUAL(dpc_json_count(vocabulary), VOCAB);
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(exported.model, "unk_id"), -1), 0);
    dpc_rng_init(&lines.rng, 6, DPC_RNG_TEST, 0, 0, 0);
    for (const char *line; (line = next_line(&lines, &len));) {
        int32_t *tokens;
        uint32_t count;
        double ours = 0;
        CU_ASSERT_EQUAL_FATAL(dpc_tokenizer_encode_wide(exported.tokenizer, (const uint8_t *)line,
                                                        len, &tokens, &count, NULL),
                              DPC_OK);
        for (uint32_t i = 0; i < count; i++)
            ours +=
                dpc_json_number(dpc_json_at(dpc_json_at(vocabulary, (size_t)tokens[i]), 1), NAN);
        CU_ASSERT_DOUBLE_EQUAL(best_score(vocabulary, symbols, split(line, symbols)), ours, 1e-4);
        dpc_free(tokens);
    }
    exported_done(&exported);
}

/* A text may read like a byte's piece, the one of what is unknown, or a mark. */
static void
no_text_is_worth_a_byte_the_unknown_or_a_mark(void)
{
    struct exported exported;
    double least = 0, most = -INFINITY;
    export_with(DPC_SENTENCEPIECE_UNIGRAM, mark_and_prefix, sizeof mark_and_prefix, &exported);
    const struct dpc_json *vocabulary = dpc_json_get(exported.model, "vocab");
    CU_ASSERT_EQUAL_FATAL(dpc_json_count(vocabulary), VOCAB + 1);
    for (uint32_t token = 0; token < VOCAB + 1; token++) {
        double score = dpc_json_number(dpc_json_at(dpc_json_at(vocabulary, token), 1), NAN);
        if (dpc_sentencepiece_entry_of(exported.tokenizer, token).role == DPC_PIECE_TEXT)
            least = fmin(least, score);
        else
            most = fmax(most, score);
    }
    CU_ASSERT(most < 255 * least); /* than all its characters one by one */
    exported_done(&exported);
}

/* --- What is not written. */

static void
what_others_would_read_otherwise_is_not_written(void)
{
    struct exported exported;
    struct dpc_sentencepiece_facts plain = {.kind = DPC_SENTENCEPIECE_UNIGRAM, .as_is = true};
    struct dpc_sentencepiece_facts behind = plain, maps = plain, word = plain, special = plain;
    export(DPC_SENTENCEPIECE_UNIGRAM, &exported);
    behind.add_prefix = behind.suffix = true;
    maps.as_is = false;
    word.kind = DPC_SENTENCEPIECE_OTHER;
    CU_ASSERT_PTR_NULL(dpc_export_piece_tokenizer(exported.tokenizer, &behind));
    CU_ASSERT_PTR_NULL(dpc_export_piece_tokenizer(exported.tokenizer, &maps));
    CU_ASSERT_PTR_NULL(dpc_export_piece_tokenizer(exported.tokenizer, &word));
    special.special = true;
    CU_ASSERT_PTR_NULL(dpc_export_piece_tokenizer(exported.tokenizer, &special));
    exported_done(&exported);
}

static const struct dpc_test tests[] = {
    {"merges make the tokens that we make", merges_make_the_tokens_that_we_make},
    {"scores choose the tokens that we make", scores_choose_the_tokens_that_we_make},
    {"marks and a prefix make the tokens that we make",
     marks_and_a_prefix_make_the_tokens_that_we_make},
    {"runs as good as each other are merged from the left",
     runs_as_good_as_each_other_are_merged_from_the_left},
    {"no text is worth a byte, the unknown or a mark",
     no_text_is_worth_a_byte_the_unknown_or_a_mark},
    {"what others would read otherwise is not written",
     what_others_would_read_otherwise_is_not_written},
};
DPC_TEST_MAIN("cli/export_tokenizer", tests)
