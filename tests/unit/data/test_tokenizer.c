/* SPDX-License-Identifier: Apache-2.0 */
#include "data/tokenizer.h"

#include "tests/unit/harness.h"

static void
every_byte_survives(void)
{
    const struct dpc_tokenizer *bytes = dpc_tokenizer_get(DPC_TOKENIZER_BYTES);
    uint8_t text[256], back[DPC_TOKEN_BYTES_MAX];
    uint16_t tokens[256];
    for (int i = 0; i < 256; i++)
        text[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(bytes->vocab, 256);
    CU_ASSERT(bytes->tokens_max(sizeof text) <= 256);
    CU_ASSERT_EQUAL(bytes->encode(text, sizeof text, tokens), 256);
    for (int i = 0; i < 256; i++) {
        CU_ASSERT(tokens[i] < bytes->vocab);
        CU_ASSERT_EQUAL(bytes->decode(tokens[i], back), 1);
        CU_ASSERT_EQUAL(back[0], text[i]);
    }
}

static void
a_token_outside_the_vocabulary_gives_nothing(void)
{
    const struct dpc_tokenizer *bytes = dpc_tokenizer_get(DPC_TOKENIZER_BYTES);
    uint8_t back[DPC_TOKEN_BYTES_MAX];
    CU_ASSERT_EQUAL(bytes->decode(-1, back), 0);
    CU_ASSERT_EQUAL(bytes->decode(256, back), 0);
}

static const struct dpc_test tests[] = {
    {"every byte survives", every_byte_survives},
    {"a token outside the vocabulary gives nothing", a_token_outside_the_vocabulary_gives_nothing},
};
DPC_TEST_MAIN("data/tokenizer", tests)
