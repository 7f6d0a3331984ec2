/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a token file, for the two who write and read them (tokens.c, tokens_writer.c).
 *
 *     header    192 bytes, below
 *     tokens    `tokens` times `width` bytes, document after document; zeros up to 8 bytes
 *     lengths   format 2: `vocab` bytes, text that each token stands for; zeros up to 8 bytes
 *     table     32 bytes a document: u64 first token, u32 count, 16 bytes content key, u32 id
 *
 * All little endian. Format 1 is that of bytes, which need neither lengths nor a `tokenizer`.
 * `check` is SHA-256 over the header (with `check` zero), lengths and table, so any changed bit
 * outside the tokens is seen at open; `tokens_hash` covers the tokens and is compared on demand.
 * The table stands last: an import streams tokens without knowing how many there will be.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_DATA_TOKENS_FORMAT_H
#define DPC_DATA_TOKENS_FORMAT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "data/split.h"
#include "data/vocabulary.h"

enum {
    DPC_TOKENS_FORMAT_BYTES = 1,
    DPC_TOKENS_FORMAT_PIECES = 2,
    DPC_TOKENS_HEADER_BYTES = 192,
    DPC_TOKENS_ENTRY_BYTES = 32,
};

struct dpc_tokens_header {
    uint32_t format;
    uint32_t width; /* bytes of a token */
    uint32_t vocab;
    uint32_t reserved; /* zero */
    uint64_t documents;
    uint64_t tokens;
    uint64_t table_offset;
    uint64_t file_bytes;
    struct dpc_hash tokens_hash;
    struct dpc_hash check;
    struct dpc_hash tokenizer; /* of its file; none in format 1 */
};

struct dpc_tokens_entry {
    uint64_t first;
    uint32_t count;
    uint32_t id;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
};

/* Sets table_offset and file_bytes from format, documents, tokens, width and vocab. False on
 * overflow. */
bool dpc_tokens_header_place(struct dpc_tokens_header *header);
/* Where the tokens and the zeros behind them end: at the lengths, or in format 1 at the table. */
uint64_t dpc_tokens_header_tail(const struct dpc_tokens_header *header);

/* `check` of a header whose other fields stand, over the `tail_bytes` from the tail on. */
void dpc_tokens_header_check(const struct dpc_tokens_header *header, const uint8_t *tail,
                             size_t tail_bytes, struct dpc_hash *ret_check);

/* Appends exactly DPC_TOKENS_HEADER_BYTES. */
void dpc_tokens_header_encode(const struct dpc_tokens_header *header, struct dpc_buf *out);
/* Reads as many; false when magic or padding differ. */
bool dpc_tokens_header_decode(const uint8_t *bytes, struct dpc_tokens_header *ret_header);

/* With the zeros behind them. */
void dpc_tokens_lengths_encode(const uint8_t *lengths, uint32_t vocab, struct dpc_buf *out);
void dpc_tokens_entry_encode(const struct dpc_tokens_entry *entry, struct dpc_buf *out);
void dpc_tokens_entry_decode(const uint8_t *bytes, struct dpc_tokens_entry *ret_entry);

#endif
