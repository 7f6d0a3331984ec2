/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sentencepiece.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "tests/unit/harness.h"

/* --- Texts to train on: lines of words that are made of few syllables. (Where each word is another
 * one, SentencePiece 0.2.0 gives up all pieces but characters.) */

enum { LINES = 600, LINE_MAX = 256, VOCAB = 400, WORDS = 400 };

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
    for (int i = 0; i < 14; i++) {
        uint32_t word = (uint32_t)dpc_rng_below(&lines->rng, WORDS);
        len += (size_t)snprintf(lines->line + len, LINE_MAX - len, "%s%s%s ", syllables[word % 16],
                                syllables[word / 16 % 16],
                                word % 3 ? syllables[(5 * word + word / 7) % 16] : "");
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
        "\xE2\x96\x81 is no space \xE2\x96\x81\xE2\x96\x81\xE2\x96",
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

/* As Japanese and Chinese ones: the line's words without what is between them, but for the spaces
 * of its first line, where there are some. */
struct dense_lines {
    struct lines lines;
    bool spaces_first;
};

static const char *
next_dense_line(void *context, size_t *ret_len)
{
    struct dense_lines *dense = context;
    const char *line = next_line(&dense->lines, ret_len);
    size_t kept = 0;
    if (!line || (dense->spaces_first && dense->lines.left == LINES - 1))
        return line;
    for (size_t i = 0; i < *ret_len; i++) {
        if (line[i] != ' ')
            dense->lines.line[kept++] = line[i];
    }
    *ret_len = kept;
    return line;
}

static void
texts_without_spaces_make_a_vocabulary(void)
{
    for (size_t k = 0; k < 4; k++) {
        struct dense_lines dense = {.spaces_first = k >= 2};
        struct dpc_error err = {0};
        struct dpc_buf model;
        lines_init(&dense.lines);
        dpc_buf_init(&model, 0);
        if (dpc_sentencepiece_train(kinds[k % 2], VOCAB, next_dense_line, &dense, &model, &err) !=
            DPC_OK)
            CU_FAIL_FATAL(err.text);
        struct dpc_tokenizer *tokenizer = read_model(&model);
        check_survives(tokenizer, " conde figu ", 12);
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
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    struct dpc_tokenizer *tokenizer = read_model(&model);
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
        CU_ASSERT(facts.as_is && !facts.add_prefix && !facts.suffix && !facts.marks &&
                  !facts.special);
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

/* The head of a field of bytes. */
static void
put_field(struct dpc_buf *out, uint8_t number, size_t len)
{
    dpc_buf_put_u8(out, (uint8_t)(number << 3 | 2));
    for (; len >= 0x80; len >>= 7)
        dpc_buf_put_u8(out, (uint8_t)(len | 0x80));
    dpc_buf_put_u8(out, (uint8_t)len);
}

/* A map of characters with one rule, A to a, as a trie of darts-clone. */
static void
put_charsmap(struct dpc_buf *out)
{
    enum { UNITS = 512, ROOT_BLOCK = 256 };
    uint32_t trie[UNITS] = {0};
    trie[0] = ROOT_BLOCK << 10;                          /* the root's children */
    trie[ROOT_BLOCK ^ 'A'] = 'A' | 1u << 8 | (1u << 10); /* has a value, in the block of */
    trie[ROOT_BLOCK ^ 'A' ^ 1] = 1u << 31;               /* its own: text 0 */
    dpc_buf_put_u32(out, sizeof trie);
    for (int i = 0; i < UNITS; i++)
        dpc_buf_put_u32(out, trie[i]);
    dpc_buf_put(out, "a", 2);
}

/* A model that normalises its texts: one of ours with one more message behind it. */
static void
normalise(const struct dpc_buf *model, struct dpc_buf *out)
{
    static const uint8_t as_they_are[] = {3 << 3, 0, 4 << 3, 0}; /* no prefix, all spaces stay */
    struct dpc_buf map, message;
    dpc_buf_init(&map, 0);
    dpc_buf_init(&message, 0);
    put_charsmap(&map);
    put_field(&message, 2, map.len);
    dpc_buf_put(&message, map.data, map.len);
    dpc_buf_put(&message, as_they_are, sizeof as_they_are);
    dpc_buf_put(out, model->data, model->len);
    put_field(out, 3, message.len); /* what comes again is merged over what was there */
    dpc_buf_put(out, message.data, message.len);
    dpc_buf_done(&map);
    dpc_buf_done(&message);
}

static void
a_file_that_normalises_is_told(void)
{
    struct dpc_buf model, file;
    struct dpc_sentencepiece_facts facts;
    struct dpc_tokenizer *tokenizer;
    int32_t *tokens;
    uint32_t count;
    struct dpc_buf back;
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    dpc_buf_init(&file, 0);
    dpc_buf_init(&back, 0);
    normalise(&model, &file);
    CU_ASSERT_EQUAL_FATAL(dpc_sentencepiece_look(file.data, file.len, &facts, NULL), DPC_OK);
    CU_ASSERT(!facts.as_is && !facts.add_prefix);
    tokenizer = read_model(&file);
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokenizer_encode_wide(tokenizer, (const uint8_t *)"AbA x", 5, &tokens, &count, NULL),
        DPC_OK);
    dpc_tokenizer_decode(tokenizer, tokens, count, &back);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&back), "aba x");
    dpc_free(tokens);
    dpc_tokenizer_destroy(tokenizer);
    dpc_buf_done(&back);
    dpc_buf_done(&file);
    dpc_buf_done(&model);
}

/* The library drops what a tag has beyond 32 bits: its map of characters would be read that was
 * never looked at here. */
static void
a_tag_of_more_than_32_bits_is_refused(void)
{
    static const uint8_t tag[] = {3 << 3 | 2 | 0x80, 0x80, 0x80, 0x80, 0x10};
    struct dpc_buf model;
    struct dpc_sentencepiece_facts facts;
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    dpc_buf_put(&model, tag, sizeof tag);
    dpc_buf_put_u8(&model, 0);
    CU_ASSERT_EQUAL(dpc_sentencepiece_look(model.data, model.len, &facts, NULL), DPC_ECORRUPT);
    dpc_buf_done(&model);
}

/* It would be written as the bytes of U+2581, and come back as that. */
static void
a_file_without_a_space_is_refused(void)
{
    static const uint8_t piece[] = {1 << 3 | 2, 3, 0xE2, 0x96, 0x81};
    for (size_t i = 0; i < 2; i++) {
        struct dpc_buf model;
        struct dpc_tokenizer *tokenizer;
        struct dpc_error err = {0};
        train(kinds[i], VOCAB, &model);
        uint8_t *at = memmem(model.data, model.len, piece, sizeof piece);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        at[3] = 0x9E; /* U+2781 */
        CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", model.data, model.len, &tokenizer, &err),
                        DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no piece for a space"));
        dpc_buf_done(&model);
    }
}

/* Some bytes are others; what is not refused must be harmless. Returns whether it was. */
static bool
try_damaged(const struct dpc_buf *file, size_t from, struct dpc_rng *rng)
{
    static const char text[] = "condeABA \xFF fi\xC3\xB6gu\n AAA \xE6\xBC\xA2";
    struct dpc_tokenizer *tokenizer;
    struct dpc_error err = {0};
    uint8_t *bytes = dpc_alloc(file->len, 1);
    memcpy(bytes, file->data, file->len);
    for (uint32_t k = 0, changes = 1 + (uint32_t)dpc_rng_below(rng, 6); k < changes; k++)
        bytes[from + dpc_rng_below(rng, file->len - from)] = (uint8_t)dpc_rng_below(rng, 256);
    int code = dpc_sentencepiece_read("m", bytes, file->len, &tokenizer, &err);
    if (code == DPC_OK) {
        int32_t *tokens;
        uint32_t count;
        struct dpc_buf out;
        dpc_buf_init(&out, 0);
        if (dpc_tokenizer_encode_wide(tokenizer, (const uint8_t *)text, sizeof text - 1, &tokens,
                                      &count, NULL) == DPC_OK) {
            dpc_tokenizer_decode(tokenizer, tokens, count, &out);
            dpc_free(tokens);
        }
        dpc_buf_done(&out);
        dpc_tokenizer_destroy(tokenizer);
    } else {
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "tokenizer \"m\": "));
    }
    dpc_free(bytes);
    return code == DPC_OK;
}

static void
damaged_files_are_refused_or_harmless(void)
{
    struct dpc_buf model, file;
    struct dpc_rng rng;
    struct dpc_error err = {0};
    struct dpc_tokenizer *tokenizer;
    uint32_t harmless[2] = {0};
    train(DPC_SENTENCEPIECE_UNIGRAM, 300, &model);
    dpc_buf_init(&file, 0);
    normalise(&model, &file);
    dpc_rng_init(&rng, 11, DPC_RNG_TEST, 0, 0, 0);
    for (size_t cut = 0; cut < model.len; cut += 97) {
        if (dpc_sentencepiece_read("m", model.data, cut, &tokenizer, &err) == DPC_OK)
            dpc_tokenizer_destroy(tokenizer);
    }
    for (int i = 0; i < 1000; i++) {
        harmless[0] += try_damaged(&file, 0, &rng);
        harmless[1] += try_damaged(&file, model.len, &rng); /* in the map of characters */
    }
    CU_ASSERT(harmless[0] > 0 && harmless[0] < 1000);
    CU_ASSERT(harmless[1] > 0 && harmless[1] < 1000);
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", "text", 4, &tokenizer, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", "", 0, &tokenizer, &err), DPC_ECORRUPT);
    dpc_buf_done(&file);
    dpc_buf_done(&model);
}

/* --- Long texts. */

static void
a_long_line_is_cut_and_comes_back(void)
{
    enum { LEN = 300000 };
    struct dpc_buf model;
    uint8_t *text = dpc_alloc(LEN, 1);
    train(DPC_SENTENCEPIECE_BPE, VOCAB, &model);
    struct dpc_tokenizer *tokenizer = read_model(&model);
    for (size_t i = 0; i < LEN; i++)
        text[i] = (uint8_t)(i % 11 == 10 && i < LEN / 2 ? ' ' : 'a' + i % 7);
    check_survives(tokenizer, text, LEN);
    for (size_t i = 0; i + 2 < LEN; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    check_survives(tokenizer, text, LEN);
    dpc_tokenizer_destroy(tokenizer);
    dpc_buf_done(&model);
    dpc_free(text);
}

static void
a_text_that_must_be_seen_whole_has_a_limit(void)
{
    struct dpc_buf model, file, out;
    struct dpc_error err = {0};
    uint8_t *text = dpc_alloc(DPC_TOKENIZER_TEXT_BYTES_MAX + 1, 1);
    memset(text, 'a', DPC_TOKENIZER_TEXT_BYTES_MAX + 1);
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    dpc_buf_init(&file, 0);
    dpc_buf_init(&out, 0);
    normalise(&model, &file);
    struct dpc_tokenizer *tokenizer = read_model(&file);
    CU_ASSERT_EQUAL(
        dpc_tokenizer_encode(tokenizer, text, DPC_TOKENIZER_TEXT_BYTES_MAX + 1, &out, &err),
        DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "train a vocabulary on the texts"));
    dpc_tokenizer_destroy(tokenizer);
    dpc_buf_done(&out);
    dpc_buf_done(&file);
    dpc_buf_done(&model);
    dpc_free(text);
}

/* Where a byte's piece stands in a file: string piece = 1, float score = 2, type = 3. */
static uint8_t *
find_byte_piece(const struct dpc_buf *model, unsigned byte)
{
    char text[8];
    (void)snprintf(text, sizeof text, "<0x%02X>", byte);
    uint8_t *piece = memmem(model->data, model->len, text, 6);
    CU_ASSERT_PTR_NOT_NULL_FATAL(piece);
    return piece;
}

/* Bytes are no way out (byte_fallback = 35 is false), and their pieces (type 6) ones like any other
 * (1).
 */
static void
a_vocabulary_without_bytes_is_refused(void)
{
    struct dpc_buf model;
    struct dpc_error err = {0};
    struct dpc_tokenizer *tokenizer;
    train(DPC_SENTENCEPIECE_UNIGRAM, VOCAB, &model);
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t *type = find_byte_piece(&model, byte) + 6 + 5;
        CU_ASSERT_FATAL(type[0] == 3 << 3 && type[1] == 6);
        type[1] = 1;
    }
    uint8_t *fallback = memmem(model.data, model.len, "\x98\x02\x01", 3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fallback);
    fallback[2] = 0;
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", model.data, model.len, &tokenizer, &err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no piece for the byte 0x00"));
    *find_byte_piece(&model, 9) = 0xFF;
    CU_ASSERT_EQUAL(dpc_sentencepiece_read("m", model.data, model.len, &tokenizer, &err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is no UTF-8"));
    dpc_buf_done(&model);
}

static const struct dpc_test tests[] = {
    {"every text comes back as it was", every_text_comes_back_as_it_was},
    {"texts without spaces make a vocabulary", texts_without_spaces_make_a_vocabulary},
    {"words that were seen take few tokens", words_that_were_seen_take_few_tokens},
    {"tokens of a line do not depend on what stands before",
     tokens_of_a_line_do_not_depend_on_what_stands_before},
    {"the same sentences give the same file", the_same_sentences_give_the_same_file},
    {"a vocabulary that texts do not give is refused with the way out",
     a_vocabulary_that_texts_do_not_give_is_refused_with_the_way_out},
    {"a file says how it was made", a_file_says_how_it_was_made},
    {"a file that normalises is told", a_file_that_normalises_is_told},
    {"a tag of more than 32 bits is refused", a_tag_of_more_than_32_bits_is_refused},
    {"a file without a space is refused", a_file_without_a_space_is_refused},
    {"damaged files are refused or harmless", damaged_files_are_refused_or_harmless},
    {"a long line is cut and comes back", a_long_line_is_cut_and_comes_back},
    {"a text that must be seen whole has a limit", a_text_that_must_be_seen_whole_has_a_limit},
    {"a vocabulary without bytes is refused", a_vocabulary_without_bytes_is_refused},
};
DPC_TEST_MAIN("data/sentencepiece", tests)
