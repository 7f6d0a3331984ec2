/* SPDX-License-Identifier: Apache-2.0
 * A token of the byte tokenizer is the byte itself. */
#include "data/tokenizer.h"

#include <assert.h>

static size_t
bytes_tokens_max(size_t len)
{
    return len;
}

static size_t
bytes_encode(const uint8_t *text, size_t len, uint16_t *ret_tokens)
{
    for (size_t i = 0; i < len; i++)
        ret_tokens[i] = text[i];
    return len;
}

static size_t
bytes_decode(int32_t token, uint8_t *ret_bytes)
{
    if (token < 0 || token > UINT8_MAX)
        return 0;
    ret_bytes[0] = (uint8_t)token;
    return 1;
}

static const struct dpc_tokenizer tokenizers[] = {
    [DPC_TOKENIZER_BYTES] = {.name = "bytes",
                             .vocab = 256,
                             .width = 1,
                             .tokens_max = bytes_tokens_max,
                             .encode = bytes_encode,
                             .decode = bytes_decode},
};

const struct dpc_tokenizer *
dpc_tokenizer_get(enum dpc_tokenizer_kind kind)
{
    assert((size_t)kind < sizeof tokenizers / sizeof *tokenizers);
    return &tokenizers[kind];
}
