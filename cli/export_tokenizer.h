/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer as `tokenizer.json` of Hugging Face's tokenizers library, which makes the same tokens
 * of a text, but for ways of cutting it that are as likely to a rounding, and where it writes
 * U+2581.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_CLI_EXPORT_TOKENIZER_H
#define DPC_CLI_EXPORT_TOKENIZER_H

#include "base/json.h"
#include "data/sentencepiece.h"

/* Token N is byte N. */
struct dpc_json *dpc_export_byte_tokenizer(void);

/* Pieces of SentencePiece, `facts` being those of its file. NULL for one that normalises texts, has
 * pieces of its user's own or unused ones, puts a space behind a text, or is neither unigram nor
 * BPE: others read its file then. */
struct dpc_json *dpc_export_piece_tokenizer(const struct dpc_tokenizer *tokenizer,
                                            const struct dpc_sentencepiece_facts *facts);

#endif
