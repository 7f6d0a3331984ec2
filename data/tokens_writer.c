/* SPDX-License-Identifier: Apache-2.0
 * Tokens gather in a chunk, so that many small documents are few writes. Lengths and table stay in
 * memory (32 bytes a document) until the end. */
#include "data/tokens_writer.h"

#include <string.h>

#include "base/limits.h"

#define CHUNK_BYTES (1 * DPC_MIB)

static void
put(struct dpc_tokens_writer *writer, const void *bytes, size_t len)
{
    if (writer->code == DPC_OK)
        writer->code = writer->sink.write(writer->sink.context, bytes, len, writer->offset);
    writer->offset += len;
}

static void
flush(struct dpc_tokens_writer *writer)
{
    if (writer->chunk.failed && writer->code == DPC_OK)
        writer->code = DPC_ENOMEM;
    put(writer, writer->chunk.data, writer->chunk.len);
    dpc_buf_reset(&writer->chunk);
}

static void
add(struct dpc_tokens_writer *writer, const void *bytes, size_t len)
{
    dpc_buf_put(&writer->chunk, bytes, len);
    if (writer->chunk.len >= CHUNK_BYTES || writer->chunk.failed)
        flush(writer);
}

void
dpc_tokens_writer_init(struct dpc_tokens_writer *writer, struct dpc_tokens_sink sink,
                       const struct dpc_vocabulary *vocabulary)
{
    static const uint8_t blank[DPC_TOKENS_HEADER_BYTES];
    *writer = (struct dpc_tokens_writer){
        .sink = sink,
        .header = {.format =
                       vocabulary->lengths ? DPC_TOKENS_FORMAT_PIECES : DPC_TOKENS_FORMAT_BYTES,
                   .width = vocabulary->width,
                   .vocab = vocabulary->size,
                   .tokenizer = vocabulary->model},
    };
    dpc_hasher_start(&writer->hasher);
    dpc_buf_init(&writer->chunk, 0);
    dpc_buf_init(&writer->tail, 0);
    if (vocabulary->lengths)
        dpc_tokens_lengths_encode(vocabulary->lengths, vocabulary->size, &writer->tail);
    add(writer, blank, sizeof blank);
}

void
dpc_tokens_writer_done(struct dpc_tokens_writer *writer)
{
    dpc_hasher_abandon(&writer->hasher);
    dpc_buf_done(&writer->chunk);
    dpc_buf_done(&writer->tail);
}

void
dpc_tokens_writer_document(struct dpc_tokens_writer *writer, uint32_t id,
                           const uint8_t key[DPC_CONTENT_KEY_BYTES], uint32_t count)
{
    struct dpc_tokens_entry entry = {.first = writer->header.tokens, .count = count, .id = id};
    if (writer->header.documents == DPC_DOCUMENTS_MAX && writer->code == DPC_OK)
        writer->code = DPC_ELIMIT;
    if (writer->code != DPC_OK)
        return;
    memcpy(entry.key, key, DPC_CONTENT_KEY_BYTES);
    dpc_tokens_entry_encode(&entry, &writer->tail);
    writer->header.documents++;
    writer->header.tokens += count;
}

void
dpc_tokens_writer_tokens(struct dpc_tokens_writer *writer, const uint8_t *tokens, size_t len)
{
    dpc_hasher_add(&writer->hasher, tokens, len);
    add(writer, tokens, len);
}

int
dpc_tokens_writer_finish(struct dpc_tokens_writer *writer)
{
    static const uint8_t zeros[8];
    struct dpc_tokens_header *header = &writer->header;
    struct dpc_buf bytes;

    dpc_hasher_finish(&writer->hasher, &header->tokens_hash);
    if (writer->tail.failed && writer->code == DPC_OK)
        writer->code = DPC_ENOMEM;
    if (!dpc_tokens_header_place(header) && writer->code == DPC_OK)
        writer->code = DPC_ELIMIT;
    flush(writer);
    if (writer->code != DPC_OK)
        return writer->code;
    put(writer, zeros, (size_t)(dpc_tokens_header_tail(header) - writer->offset));
    put(writer, writer->tail.data, writer->tail.len);
    dpc_tokens_header_check(header, writer->tail.data, writer->tail.len, &header->check);
    dpc_buf_init(&bytes, 0);
    dpc_tokens_header_encode(header, &bytes);
    writer->offset = 0;
    put(writer, bytes.data, bytes.len);
    dpc_buf_done(&bytes);
    return writer->code;
}
