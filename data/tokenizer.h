/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens and back. The byte tokenizer has one token per byte: vocabulary 256, nothing to
 * train, and every text (or damaged text) survives the way there and back. Others are made of a
 * file (data/sentencepiece.h).
 *
 * Owns: as each kind says. Threads: any.
 * Limits: tokens are below DPC_VOCAB_MAX.
 */
#ifndef DPC_DATA_TOKENIZER_H
#define DPC_DATA_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "data/vocabulary.h"

struct dpc_tokenizer;

struct dpc_tokenizer_ops {
    int (*encode)(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
                  struct dpc_buf *out, struct dpc_error *err);
    /* Of a token of the vocabulary. */
    void (*decode)(const struct dpc_tokenizer *tokenizer, int32_t token, struct dpc_buf *out);
    void (*destroy)(struct dpc_tokenizer *tokenizer);
};

/* The head of each kind's own struct. */
struct dpc_tokenizer {
    const struct dpc_tokenizer_ops *ops;
    struct dpc_vocabulary vocabulary;
};

/* A constant; destroying it does nothing. */
const struct dpc_tokenizer *dpc_tokenizer_bytes(void) __attribute__((returns_nonnull));

/* Takes NULL; returns NULL. */
struct dpc_tokenizer *dpc_tokenizer_destroy(const struct dpc_tokenizer *tokenizer);

/* Appends the tokens of a text, each as `vocabulary.width` bytes, as a token file holds them.
 * DPC_ELIMIT when `out` or memory has no room for them or the tokenizer takes no text of that
 * length, DPC_EINVAL when the text has no tokens in it, DPC_EPARSE when the tokenizer refuses it. */
int dpc_tokenizer_encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
                         struct dpc_buf *out, struct dpc_error *err) DPC_MUST_CHECK;

/* The same as numbers, in fresh memory (dpc_free it). */
int dpc_tokenizer_encode_wide(const struct dpc_tokenizer *tokenizer, const uint8_t *text,
                              size_t len, int32_t **ret_tokens, uint32_t *ret_count,
                              struct dpc_error *err) DPC_MUST_CHECK;

/* Appends the text of tokens; those outside the vocabulary give none. */
void dpc_tokenizer_decode(const struct dpc_tokenizer *tokenizer, const int32_t *tokens,
                          size_t count, struct dpc_buf *out);

#endif
