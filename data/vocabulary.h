/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tokens of a token file are: how many there are, how wide each stands in the file, and
 * how much text each stands for, so that losses compare across tokenizers by the byte.
 *
 * Owns: nothing; `lengths` belongs to whoever made it (a tokenizer, or the token file). Threads:
 * any.
 */
#ifndef DPC_DATA_VOCABULARY_H
#define DPC_DATA_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

struct dpc_vocabulary {
    uint32_t size;          /* tokens are below it */
    uint32_t width;         /* bytes of one token in a token file, little endian: 1 or 2 */
    struct dpc_hash model;  /* of the file that the tokenizer was made of; none: tokens are bytes */
    const uint8_t *lengths; /* [size] bytes of text that each stands for; NULL: one each */
};

/* Tokens are bytes. */
#define DPC_VOCABULARY_BYTES ((struct dpc_vocabulary){.size = 256, .width = 1})

bool dpc_vocabulary_equal(const struct dpc_vocabulary *a, const struct dpc_vocabulary *b);

/* Bytes of text that these tokens stand for; what is no token of the vocabulary (a masked target)
 * stands for none. */
uint64_t dpc_vocabulary_text_bytes(const struct dpc_vocabulary *vocabulary, const int32_t *tokens,
                                   size_t count);

#endif
