/* SPDX-License-Identifier: Apache-2.0 */
#include "data/tokenizer.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/data/pairs.h"
#include "tests/unit/harness.h"

static void
every_byte_survives(void)
{
    const struct dpc_tokenizer *bytes = dpc_tokenizer_bytes();
    uint8_t text[256];
    int32_t *tokens;
    uint32_t count;
    struct dpc_buf back;
    for (int i = 0; i < 256; i++)
        text[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(bytes->vocabulary.size, 256);
    CU_ASSERT_EQUAL(bytes->vocabulary.width, 1);
    CU_ASSERT_EQUAL_FATAL(dpc_tokenizer_encode_wide(bytes, text, 256, &tokens, &count, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(count, 256);
    for (int i = 0; i < 256; i++)
        CU_ASSERT_EQUAL(tokens[i], i);
    dpc_buf_init(&back, 0);
    dpc_tokenizer_decode(bytes, tokens, count, &back);
    CU_ASSERT_EQUAL_FATAL(back.len, 256);
    CU_ASSERT_EQUAL(memcmp(back.data, text, 256), 0);
    CU_ASSERT_EQUAL(dpc_vocabulary_text_bytes(&bytes->vocabulary, tokens, count), 256);
    dpc_buf_done(&back);
    dpc_free(tokens);
}

static void
a_token_outside_the_vocabulary_gives_nothing(void)
{
    static const int32_t strange[] = {-1, 256, INT32_MIN, INT32_MAX};
    struct dpc_buf back;
    dpc_buf_init(&back, 0);
    dpc_tokenizer_decode(dpc_tokenizer_bytes(), strange, 4, &back);
    CU_ASSERT_EQUAL(back.len, 0);
    CU_ASSERT_EQUAL(dpc_vocabulary_text_bytes(&dpc_tokenizer_bytes()->vocabulary, strange, 4), 0);
    dpc_tokenizer_decode(pairs_tokenizer(), (const int32_t[]){PAIRS_VOCAB, -5}, 2, &back);
    CU_ASSERT_EQUAL(back.len, 0);
    dpc_buf_done(&back);
}

static void
pieces_are_two_bytes_wide_and_tell_their_lengths(void)
{
    static const char text[] = "on the other";
    static const int32_t want[] = {258, ' ', 256, 257, 'o', 256, 259};
    int32_t *tokens;
    uint32_t count;
    CU_ASSERT_EQUAL_FATAL(dpc_tokenizer_encode_wide(pairs_tokenizer(), (const uint8_t *)text,
                                                    strlen(text), &tokens, &count, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(count, 7);
    CU_ASSERT_EQUAL(memcmp(tokens, want, sizeof want), 0);
    CU_ASSERT_EQUAL(dpc_vocabulary_text_bytes(&pairs_tokenizer()->vocabulary, tokens, count),
                    strlen(text));
    dpc_free(tokens);
}

static void
an_empty_text_and_a_full_buffer_are_told(void)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 5);
    CU_ASSERT_EQUAL(dpc_tokenizer_encode(dpc_tokenizer_bytes(), NULL, 0, &out, NULL), DPC_EINVAL);
    CU_ASSERT_EQUAL(
        dpc_tokenizer_encode(dpc_tokenizer_bytes(), (const uint8_t *)"123456", 6, &out, NULL),
        DPC_ELIMIT);
    dpc_buf_done(&out);
}

static const struct dpc_test tests[] = {
    {"every byte survives", every_byte_survives},
    {"a token outside the vocabulary gives nothing", a_token_outside_the_vocabulary_gives_nothing},
    {"pieces are two bytes wide and tell their lengths",
     pieces_are_two_bytes_wide_and_tell_their_lengths},
    {"an empty text and a full buffer are told", an_empty_text_and_a_full_buffer_are_told},
};
DPC_TEST_MAIN("data/tokenizer", tests)
