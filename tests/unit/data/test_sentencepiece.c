/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sentencepiece.h"

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

/* --- Texts to train on: lines of words that are made of few syllables. */

enum { LINES = 600, LINE_MAX = 256, VOCAB = 400 };

struct lines {
    struct dpc_rng rng;
    int left;
    char line[LINE_MAX];
};

static void
lines_init(struct lines *lines)
{
    lines->left = LINES;
    dpc_rng_init(&lines->rng, 7, DPC_RNG_TEST, 0, 0, 0);
}

static const char *
next_line(void *context, size_t *ret_len)
{
    static const char *const syllables[] = {"ba",  "con", "de", "fi",      "gu",  "lo",
                                            "mer", "ni",  "or", "pa",      "sto", "ti",
                                            "un",  "ver", "za", "\xC3\xB6"};
    struct lines *lines = context;
    if (lines->left-- == 0)
        return NULL;
    size_t len = 0;
    for (int i = 0; i < 40; i++) {
        uint32_t which = (uint32_t)dpc_rng_below(&lines->rng, 20);
        len += (size_t)snprintf(lines->line + len, LINE_MAX - len, "%s",
                                which < 16 ? syllables[which] : " ");
    }
    *ret_len = len;
    return lines->line;
}

static void
train(enum dpc_sentencepiece_kind kind, uint32_t vocab, struct dpc_buf *out)
{
    struct lines lines;
    struct dpc_error err = {0};
    lines_init(&lines);
    dpc_buf_init(out, 0);
    int code = dpc_sentencepiece_train(kind, vocab, next_line, &lines, out, &err);
    if (code != DPC_OK)
        CU_FAIL_FATAL(err.text);
}

static struct dpc_tokenizer *
read_model(const struct dpc_buf *model)
{
    struct dpc_tokenizer *tokenizer = NULL;
    struct dpc_error err = {0};
    if (dpc_sentencepiece_read("m", model->data, model->len, &tokenizer, &err) != DPC_OK)
        CU_FAIL_FATAL(err.text);
    return tokenizer;
}

static const enum dpc_sentencepiece_kind kinds[] = {DPC_SENTENCEPIECE_UNIGRAM,
                                                    DPC_SENTENCEPIECE_BPE};

/* --- There and back. */

static void
check_survives(const struct dpc_tokenizer *tokenizer, const void *text, size_t len)
{
    int32_t *tokens;
    uint32_t count;
    struct dpc_buf back;
    struct dpc_error err = {0};
    if (dpc_tokenizer_encode_wide(tokenizer, text, len, &tokens, &count, &err) != DPC_OK)
        CU_FAIL_FATAL(err.text);
    dpc_buf_init(&back, 0);
    dpc_tokenizer_decode(tokenizer, tokens, count, &back);
    CU_ASSERT_EQUAL_FATAL(back.len, len);
    CU_ASSERT_EQUAL(memcmp(back.data, text, len), 0);
    CU_ASSERT_EQUAL(dpc_vocabulary_text_bytes(&tokenizer->vocabulary, tokens, count), len);
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT(tokens[i] >= 0 && (uint32_t)tokens[i] < tokenizer->vocabulary.size);
    dpc_buf_done(&back);
    dpc_free(tokens);
}

/* U+2581 is the exception: the library takes it for a space. */
static void
every_text_comes_back_as_it_was(void)
{
    static const char *const texts[] = {
        "condefigulo merniorpa",
        "  two  spaces, and some behind   ",
        "\n\n\tlines\r\n of \n",
        "12345 0.5e-7",
        "\xE6\xBC\xA2\xE5\xAD\x97 never seen \xF0\x9F\x98\x80",
        "\xFF\x80 no UTF-8 \xC3",
        "a\xEF\xBF\xBD"
        "b",
        "<0x0A> and <unk>",
        "\x01\x7F",
    };
    for (size_t k = 0; k < 2; k++) {
        struct dpc_buf model;
        uint8_t all[256];
        train(kinds[k], VOCAB, &model);
        struct dpc_tokenizer *tokenizer = read_model(&model);
        CU_ASSERT_EQUAL(tokenizer->vocabulary.size, VOCAB);
        CU_ASSERT_EQUAL(tokenizer->vocabulary.width, 2);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            check_survives(tokenizer, texts[i], strlen(texts[i]));
        for (int i = 0; i < 256; i++)
            all[i] = (uint8_t)i;
        check_survives(tokenizer, all, sizeof all);
        dpc_tokenizer_destroy(tokenizer);
        dpc_buf_done(&model);
    }
}

static void
words_that_were_seen_take_few_tokens(void)
{
    static const char text[] = "condefigulo merniorpa stotiunver";
    for (size_t k = 0; k < 2; k++) {
        struct dpc_buf model;
        int32_t *tokens;
        uint32_t count;
        train(kinds[k], VOCAB, &model);
        struct dpc_tokenizer *tokenizer = read_model(&model);
        CU_ASSERT_EQUAL_FATAL(dpc_tokenizer_encode_wide(tokenizer, (const uint8_t *)text,
                                                        strlen(text), &tokens, &count, NULL),
                              DPC_OK);
        CU_ASSERT(count < strlen(text) / 2);
        dpc_free(tokens);
        dpc_tokenizer_destroy(tokenizer);
        dpc_buf_done(&model);
    }
}

/* Else a prompt could have other tokens than the same words in a document. */
static void
tokens_of_a_line_do_not_depend_on_what_stands_before(void)
{
    struct dpc_buf model, alone, behind, before;
    struct dpc_rng rng;
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    struct dpc_tokenizer *tokenizer = read_model(&model);
    dpc_rng_init(&rng, 9, DPC_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 50; i++) {
        struct lines lines;
        size_t len;
        dpc_buf_init(&before, 0);
        dpc_buf_init(&behind, 0);
        dpc_buf_init(&alone, 0);
        lines_init(&lines);
        for (int k = 0; k < 10 * i; k++) {
            const char *line = next_line(&lines, &len);
            dpc_buf_put(&before, line, len);
            dpc_buf_put_u8(&before, '\n');
        }
        const char *last = next_line(&lines, &len);
        dpc_buf_put(&before, last, len);
        CU_ASSERT_EQUAL_FATAL(
            dpc_tokenizer_encode(tokenizer, before.data, before.len, &behind, NULL), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(
            dpc_tokenizer_encode(tokenizer, (const uint8_t *)last, len, &alone, NULL), DPC_OK);
        CU_ASSERT_FATAL(behind.len >= alone.len);
        CU_ASSERT_EQUAL(memcmp(behind.data + behind.len - alone.len, alone.data, alone.len), 0);
        dpc_buf_done(&before);
        dpc_buf_done(&behind);
        dpc_buf_done(&alone);
    }
    dpc_tokenizer_destroy(tokenizer);
    dpc_buf_done(&model);
}

/* --- Training. */

static void
the_same_sentences_give_the_same_file(void)
{
    for (size_t k = 0; k < 2; k++) {
        struct dpc_buf first, second;
        train(kinds[k], VOCAB, &first);
        train(kinds[k], VOCAB, &second);
        CU_ASSERT_EQUAL_FATAL(first.len, second.len);
        CU_ASSERT_EQUAL(memcmp(first.data, second.data, first.len), 0);
        dpc_buf_done(&first);
        dpc_buf_done(&second);
    }
}

static void
a_vocabulary_that_texts_do_not_give_is_refused_with_the_way_out(void)
{
    struct lines lines;
    struct dpc_buf out;
    struct dpc_error err = {0};
    dpc_buf_init(&out, 0);
    for (size_t k = 0; k < 2; k++) {
        lines_init(&lines);
        CU_ASSERT_EQUAL(dpc_sentencepiece_train(kinds[k], 60000, next_line, &lines, &out, &err),
                        DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "a vocabulary of 60000"));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "Please set it to a value <= "));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "import more text"));
        lines_init(&lines);
        CU_ASSERT_EQUAL(dpc_sentencepiece_train(kinds[k], 100, next_line, &lines, &out, &err),
                        DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no room for the 256 bytes"));
        lines.left = 0;
        CU_ASSERT_EQUAL(dpc_sentencepiece_train(kinds[k], VOCAB, next_line, &lines, &out, &err),
                        DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "there is no text"));
    }
    CU_ASSERT_EQUAL(out.len, 0);
    dpc_buf_done(&out);
}

/* --- Files. */

static void
a_file_says_how_it_was_made(void)
{
    for (size_t k = 0; k < 2; k++) {
        struct dpc_buf model;
        struct dpc_sentencepiece_facts facts;
        int roles[4] = {0};
        train(kinds[k], VOCAB, &model);
        CU_ASSERT_EQUAL_FATAL(dpc_sentencepiece_look(model.data, model.len, &facts, NULL), DPC_OK);
        CU_ASSERT_EQUAL(facts.kind, kinds[k]);
        CU_ASSERT(facts.as_is && !facts.add_prefix);
        struct dpc_tokenizer *tokenizer = read_model(&model);
        for (uint32_t token = 0; token < VOCAB; token++)
            roles[dpc_sentencepiece_entry_of(tokenizer, token).role]++;
        CU_ASSERT_EQUAL(roles[DPC_PIECE_BYTE], 256);
        CU_ASSERT_EQUAL(roles[DPC_PIECE_UNKNOWN], 1);
        CU_ASSERT_EQUAL(roles[DPC_PIECE_MARK], 0);
        CU_ASSERT_EQUAL(roles[DPC_PIECE_TEXT], VOCAB - 257);
        dpc_tokenizer_destroy(tokenizer);
        dpc_buf_done(&model);
    }
}

/* What the library says of such files, it says on standard error. */
static void
damaged_files_are_refused_or_harmless(void)
{
    struct dpc_buf model;
    struct dpc_rng rng;
    struct dpc_error err;
    struct dpc_tokenizer *tokenizer;
    uint32_t refused = 0;
    train(DPC_SENTENCEPIECE_UNIGRAM, 300, &model);
    dpc_rng_init(&rng, 11, DPC_RNG_TEST, 0, 0, 0);
    for (size_t cut = 0; cut < model.len; cut += 97) {
        err = (struct dpc_error){0};
        if (dpc_sentencepiece_read("m", model.data, cut, &tokenizer, &err) == DPC_OK)
            dpc_tokenizer_destroy(tokenizer);
        else
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "tokenizer \"m\""));
    }
    for (int i = 0; i < 2000; i++) {
        uint8_t *bytes = dpc_alloc(model.len, 1);
        memcpy(bytes, model.data, model.len);
        for (uint32_t k = 0, changes = 1 + (uint32_t)dpc_rng_below(&rng, 4); k < changes; k++)
            bytes[dpc_rng_below(&rng, model.len)] = (uint8_t)dpc_rng_below(&rng, 256);
        if (dpc_sentencepiece_read("m", bytes, model.len, &tokenizer, &err) == DPC_OK) {
            struct dpc_buf out;
            dpc_buf_init(&out, 0);
            (void)!dpc_tokenizer_encode(tokenizer, (const uint8_t *)"conde \xFF figu", 12, &out,
                                        NULL);
            dpc_buf_done(&out);
            dpc_tokenizer_destroy(tokenizer);
        } else {
            refused++;
        }
        dpc_free(bytes);
    }
    CU_ASSERT(refused > 0);
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", "text", 4, &tokenizer, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", "", 0, &tokenizer, &err), DPC_ECORRUPT);
    dpc_buf_done(&model);
}

static const struct dpc_test tests[] = {
    {"every text comes back as it was", every_text_comes_back_as_it_was},
    {"words that were seen take few tokens", words_that_were_seen_take_few_tokens},
    {"tokens of a line do not depend on what stands before",
     tokens_of_a_line_do_not_depend_on_what_stands_before},
    {"the same sentences give the same file", the_same_sentences_give_the_same_file},
    {"a vocabulary that texts do not give is refused with the way out",
     a_vocabulary_that_texts_do_not_give_is_refused_with_the_way_out},
    {"a file says how it was made", a_file_says_how_it_was_made},
    {"damaged files are refused or harmless", damaged_files_are_refused_or_harmless},
};
DPC_TEST_MAIN("data/sentencepiece", tests)
