/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer of pieces that needs no file: bytes, and a few pairs of them.
 *
 * Owns: nothing; it is a constant. Threads: one.
 */
#ifndef DPC_TESTS_DATA_PAIRS_H
#define DPC_TESTS_DATA_PAIRS_H

#include <string.h>

#include "data/tokenizer.h"

enum { PAIRS = 4, PAIRS_VOCAB = 256 + PAIRS };
static const char pairs[PAIRS][3] = {"th", "e ", "on", "er"};

static inline int
pairs_encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
             struct dpc_buf *out, struct dpc_error *err)
{
    (void)tokenizer;
    (void)err;
    for (size_t at = 0; at < len; at++) {
        uint16_t token = text[at];
        for (uint16_t i = 0; i < PAIRS && token < 256; i++) {
            if (at + 1 < len && memcmp(text + at, pairs[i], 2) == 0)
                token = (uint16_t)(256 + i);
        }
        dpc_buf_put_u16(out, token);
        at += token >= 256;
    }
    return DPC_OK;
}

static inline void
pairs_decode(const struct dpc_tokenizer *tokenizer, int32_t token, struct dpc_buf *out)
{
    (void)tokenizer;
    if (token < 256)
        dpc_buf_put_u8(out, (uint8_t)token);
    else
        dpc_buf_put(out, pairs[token - 256], 2);
}

static inline const struct dpc_tokenizer *
pairs_tokenizer(void)
{
    static const struct dpc_tokenizer_ops ops = {.encode = pairs_encode, .decode = pairs_decode};
    static uint8_t lengths[PAIRS_VOCAB];
    static struct dpc_tokenizer tokenizer = {.ops = &ops};
    for (int i = 0; i < PAIRS_VOCAB; i++)
        lengths[i] = i < 256 ? 1 : 2;
    tokenizer.vocabulary = (struct dpc_vocabulary){
        .size = PAIRS_VOCAB, .width = 2, .model = {.bytes = {1, 2, 3}}, .lengths = lengths};
    return &tokenizer;
}

#endif
