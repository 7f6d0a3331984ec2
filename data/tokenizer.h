/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens and back. The byte tokenizer has one token per byte: vocabulary 256, nothing to
 * train, and every text (or damaged text) survives the way there and back.
 *
 * Owns: nothing; a tokenizer is a constant table. Threads: any.
 * Limits: tokens are below DPC_VOCAB_MAX.
 */
#ifndef DPC_DATA_TOKENIZER_H
#define DPC_DATA_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/experiment.h"

struct dpc_tokenizer {
    const char *name;
    uint32_t vocab;
    uint32_t width; /* bytes of one token in a token file */
    /* Tokens that `len` bytes of text take at most. */
    size_t (*tokens_max)(size_t len);
    /* Writes the tokens of `text` and returns how many; room for tokens_max(len) is the caller's.
     */
    size_t (*encode)(const uint8_t *text, size_t len, uint16_t *ret_tokens);
    /* Writes the bytes of one token and returns how many; at most DPC_TOKEN_BYTES_MAX. A token
     * outside the vocabulary gives none. */
    size_t (*decode)(int32_t token, uint8_t *ret_bytes);
};

enum { DPC_TOKEN_BYTES_MAX = 64 };

/* Never NULL: every kind that an experiment file can name has its tokenizer. */
const struct dpc_tokenizer *dpc_tokenizer_get(enum dpc_tokenizer_kind kind)
    __attribute__((returns_nonnull));

#endif
