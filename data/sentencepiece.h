/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers of SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226): a model file as that
 * library writes it, trained here or anywhere else, such as the `tokenizer.model` of a LLaMA, with
 * a piece for each of the 256 bytes. Those trained here keep every text as it is (spaces, line
 * ends, what is no UTF-8). Others may normalise it, and put a space before it and behind bytes that
 * are no UTF-8: a loss by the byte is then one by the byte of that text.
 *
 * Owns: the loaded model. Threads: any, once it is made.
 * Limits: DPC_VOCAB_MAX pieces of at most DPC_PIECE_BYTES_MAX bytes; DPC_TOKENIZER_FILE_BYTES_MAX;
 * a text of DPC_TOKENIZER_TEXT_BYTES_MAX where a model must see it whole.
 * Not here: which documents a vocabulary may be trained on (data/vocabulary_sample.h).
 */
#ifndef DPC_DATA_SENTENCEPIECE_H
#define DPC_DATA_SENTENCEPIECE_H

#include "base/buf.h"
#include "base/error.h"
#include "data/tokenizer.h"

enum { DPC_PIECE_BYTES_MAX = 255 }; /* of text that it stands for */

/* Of the bytes of a model file; `name` stands in errors. No marks of a text's begin or end are set
 * by it. DPC_ECORRUPT, DPC_ELIMIT. */
int dpc_sentencepiece_read(const char *name, const void *bytes, size_t len,
                           struct dpc_tokenizer **ret_tokenizer,
                           struct dpc_error *err) DPC_MUST_CHECK;

enum dpc_sentencepiece_kind {
    DPC_SENTENCEPIECE_UNIGRAM, /* Kudo 2018, arXiv 1804.10959 */
    DPC_SENTENCEPIECE_BPE,     /* Sennrich et al. 2015, arXiv 1508.07909 */
    DPC_SENTENCEPIECE_OTHER,
};

/* What a model file says of itself. */
struct dpc_sentencepiece_facts {
    enum dpc_sentencepiece_kind kind;
    bool as_is;      /* texts are not normalised */
    bool add_prefix; /* a space is put before a text, or with `suffix` behind it */
    bool suffix;     /* pieces end with spaces instead of beginning with them */
    bool marks;      /* some pieces stand for no text: ends of one, padding */
    bool special;    /* it has pieces of its user's own, or unused ones */
};
/* DPC_ECORRUPT when it is no message of protocol buffers, or has a map of characters that leads out
 * of itself. */
int dpc_sentencepiece_look(const void *bytes, size_t len, struct dpc_sentencepiece_facts *ret_facts,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* How a piece writes a space: U+2581. */
#define DPC_SENTENCEPIECE_SPACE "\xE2\x96\x81"

/* A token of the vocabulary as the file has it. */
struct dpc_sentencepiece_entry {
    const char *piece; /* a byte as <0x0A>; it stays the tokenizer's */
    double score;      /* log probability, or in a BPE model the negative rank */
    enum dpc_sentencepiece_role {
        DPC_PIECE_TEXT,
        DPC_PIECE_BYTE,
        DPC_PIECE_UNKNOWN, /* stands for what has no piece */
        DPC_PIECE_MARK,    /* stands for no text */
    } role;
};
struct dpc_sentencepiece_entry dpc_sentencepiece_entry_of(const struct dpc_tokenizer *tokenizer,
                                                          uint32_t token);

/* Trains a vocabulary of `vocab` pieces, all 256 bytes among them, on the sentences that `next`
 * gives until it gives NULL, and appends the model file. The same sentences in the same order give
 * the same file on every machine with the same release of the library. DPC_EINVAL, with the way
 * out, when the sentences have too few or too many characters for so many pieces. */
int dpc_sentencepiece_train(enum dpc_sentencepiece_kind kind, uint32_t vocab,
                            const char *(*next)(void *context, size_t *ret_len), void *context,
                            struct dpc_buf *out, struct dpc_error *err) DPC_MUST_CHECK;

#endif
