/* SPDX-License-Identifier: Apache-2.0
 * Encoding and decoding of a token file's header and table, through base/buf.h. */
#include "data/tokens_format.h"

#include <assert.h>
#include <string.h>

static const char magic[8] = {'D', 'P', 'C', 'T', 'O', 'K', 'N', '1'};

enum { ALIGN = 8 };

/* In whole eights. */
static uint64_t
lengths_bytes(const struct dpc_tokens_header *header)
{
    if (header->format == DPC_TOKENS_FORMAT_BYTES)
        return 0;
    return ((uint64_t)header->vocab + ALIGN - 1) / ALIGN * ALIGN;
}

bool
dpc_tokens_header_place(struct dpc_tokens_header *header)
{
    uint64_t at, table;
    if (__builtin_mul_overflow(header->tokens, header->width, &at) ||
        __builtin_add_overflow(at, DPC_TOKENS_HEADER_BYTES + ALIGN - 1, &at) ||
        __builtin_mul_overflow(header->documents, DPC_TOKENS_ENTRY_BYTES, &table) ||
        __builtin_add_overflow(at / ALIGN * ALIGN, lengths_bytes(header), &header->table_offset))
        return false;
    return !__builtin_add_overflow(header->table_offset, table, &header->file_bytes);
}

uint64_t
dpc_tokens_header_tail(const struct dpc_tokens_header *header)
{
    return header->table_offset - lengths_bytes(header);
}

void
dpc_tokens_header_check(const struct dpc_tokens_header *header, const uint8_t *tail,
                        size_t tail_bytes, struct dpc_hash *ret_check)
{
    struct dpc_tokens_header blank = *header;
    struct dpc_hasher hasher;
    struct dpc_buf bytes;
    blank.check = dpc_hash_none;
    dpc_buf_init(&bytes, 0);
    dpc_tokens_header_encode(&blank, &bytes);
    dpc_hasher_start(&hasher);
    dpc_hasher_add(&hasher, bytes.data, bytes.len);
    dpc_hasher_add(&hasher, tail, tail_bytes);
    dpc_hasher_finish(&hasher, ret_check);
    dpc_buf_done(&bytes);
}

void
dpc_tokens_header_encode(const struct dpc_tokens_header *header, struct dpc_buf *out)
{
    static const uint8_t zeros[DPC_TOKENS_HEADER_BYTES];
    size_t start = out->len;
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, header->format);
    dpc_buf_put_u32(out, header->width);
    dpc_buf_put_u32(out, header->vocab);
    dpc_buf_put_u32(out, header->reserved);
    dpc_buf_put_u64(out, header->documents);
    dpc_buf_put_u64(out, header->tokens);
    dpc_buf_put_u64(out, header->table_offset);
    dpc_buf_put_u64(out, header->file_bytes);
    dpc_buf_put(out, header->tokens_hash.bytes, DPC_HASH_BYTES);
    dpc_buf_put(out, header->check.bytes, DPC_HASH_BYTES);
    dpc_buf_put(out, header->tokenizer.bytes, DPC_HASH_BYTES);
    if (!out->failed)
        dpc_buf_put(out, zeros, DPC_TOKENS_HEADER_BYTES - (out->len - start));
}

static bool
all_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

bool
dpc_tokens_header_decode(const uint8_t *bytes, struct dpc_tokens_header *ret_header)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, DPC_TOKENS_HEADER_BYTES);
    if (memcmp(dpc_reader_bytes(&reader, sizeof magic), magic, sizeof magic) != 0)
        return false;
    ret_header->format = dpc_reader_u32(&reader);
    ret_header->width = dpc_reader_u32(&reader);
    ret_header->vocab = dpc_reader_u32(&reader);
    ret_header->reserved = dpc_reader_u32(&reader);
    ret_header->documents = dpc_reader_u64(&reader);
    ret_header->tokens = dpc_reader_u64(&reader);
    ret_header->table_offset = dpc_reader_u64(&reader);
    ret_header->file_bytes = dpc_reader_u64(&reader);
    memcpy(ret_header->tokens_hash.bytes, dpc_reader_bytes(&reader, DPC_HASH_BYTES),
           DPC_HASH_BYTES);
    memcpy(ret_header->check.bytes, dpc_reader_bytes(&reader, DPC_HASH_BYTES), DPC_HASH_BYTES);
    memcpy(ret_header->tokenizer.bytes, dpc_reader_bytes(&reader, DPC_HASH_BYTES), DPC_HASH_BYTES);
    assert(!reader.failed);
    return all_zero(reader.at, (size_t)(reader.end - reader.at));
}

void
dpc_tokens_lengths_encode(const uint8_t *lengths, uint32_t vocab, struct dpc_buf *out)
{
    static const uint8_t zeros[ALIGN];
    dpc_buf_put(out, lengths, vocab);
    dpc_buf_put(out, zeros, -(size_t)vocab % ALIGN);
}

void
dpc_tokens_entry_encode(const struct dpc_tokens_entry *entry, struct dpc_buf *out)
{
    dpc_buf_put_u64(out, entry->first);
    dpc_buf_put_u32(out, entry->count);
    dpc_buf_put(out, entry->key, DPC_CONTENT_KEY_BYTES);
    dpc_buf_put_u32(out, entry->id);
}

void
dpc_tokens_entry_decode(const uint8_t *bytes, struct dpc_tokens_entry *ret_entry)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, DPC_TOKENS_ENTRY_BYTES);
    ret_entry->first = dpc_reader_u64(&reader);
    ret_entry->count = dpc_reader_u32(&reader);
    memcpy(ret_entry->key, dpc_reader_bytes(&reader, DPC_CONTENT_KEY_BYTES), DPC_CONTENT_KEY_BYTES);
    ret_entry->id = dpc_reader_u32(&reader);
}
