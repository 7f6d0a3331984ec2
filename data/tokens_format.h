/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a token file, for the two who write and read them (tokens.c, tokens_writer.c).
 *
 *     header    192 bytes, below
 *     tokens    `tokens` times `width` bytes, document after document; zeros up to 8 bytes
 *     table     32 bytes a document: u64 first token, u32 count, 16 bytes content key, u32 id
 *
 * All little endian. `check` is SHA-256 over the header (with `check` zero) and the table, so any
 * changed bit outside the tokens is seen at open; `tokens_hash` covers the tokens and is compared
 * on demand. The table stands last: an import streams tokens without knowing how many there will
 * be.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_DATA_TOKENS_FORMAT_H
#define DPC_DATA_TOKENS_FORMAT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "data/split.h"

enum { DPC_TOKENS_FORMAT = 1, DPC_TOKENS_HEADER_BYTES = 192, DPC_TOKENS_ENTRY_BYTES = 32 };

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
};

struct dpc_tokens_entry {
    uint64_t first;
    uint32_t count;
    uint32_t id;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
};

/* Sets table_offset and file_bytes from documents, tokens and width. False on overflow. */
bool dpc_tokens_header_place(struct dpc_tokens_header *header);

/* `check` of a header whose other fields stand, over `table_bytes` bytes of table. */
void dpc_tokens_header_check(const struct dpc_tokens_header *header, const uint8_t *table,
                             size_t table_bytes, struct dpc_hash *ret_check);

/* Appends exactly DPC_TOKENS_HEADER_BYTES. */
void dpc_tokens_header_encode(const struct dpc_tokens_header *header, struct dpc_buf *out);
/* Reads as many; false when magic or padding differ. */
bool dpc_tokens_header_decode(const uint8_t *bytes, struct dpc_tokens_header *ret_header);

void dpc_tokens_entry_encode(const struct dpc_tokens_entry *entry, struct dpc_buf *out);
void dpc_tokens_entry_decode(const uint8_t *bytes, struct dpc_tokens_entry *ret_entry);

#endif
