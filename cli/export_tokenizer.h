/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer as `tokenizer.json` of Hugging Face's tokenizers library, which makes the same tokens
 * of every text.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_CLI_EXPORT_TOKENIZER_H
#define DPC_CLI_EXPORT_TOKENIZER_H

#include "base/json.h"
#include "data/sentencepiece.h"

/* Token N is byte N. */
struct dpc_json *dpc_export_byte_tokenizer(void);

/* Pieces of SentencePiece, `facts` being those of its file. NULL for one that normalises texts,
 * lacks bytes or is neither unigram nor BPE: others read its file then. */
struct dpc_json *dpc_export_piece_tokenizer(const struct dpc_tokenizer *tokenizer,
                                            const struct dpc_sentencepiece_facts *facts);

#endif
