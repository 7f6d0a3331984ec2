/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in a token file, which a worker gets from a coordinator: every call is safe once
 * it was opened, and its documents survive being written again.
 *
 * A file's hash, offsets and table would stop all but one mutation in many, so that an input is
 * read as it is, with the hash put right, and with the others as well.
 */
#include "data/batch.h"
#include "data/tokens.h"
#include "data/tokens_format.h"
#include "data/tokens_writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/data/memory_sink.h"

enum { CONTEXT = 16, BATCH = 4, PREFIX = 3, DOCS_MAX = 64 };
enum { TOKENS_MORE = 512, VOCAB_MORE = 600 }; /* that a mended file may have */

static void
draw_batches(const struct dpc_tokens *tokens)
{
    int32_t inputs[BATCH * CONTEXT], targets[BATCH * CONTEXT];
    struct dpc_batch_sampler *sampler;
    if (dpc_batch_sampler_create(tokens, BATCH, CONTEXT, PREFIX, &sampler, NULL) == DPC_OK) {
        for (uint32_t step = 0; step < 4; step++)
            fuzz_require(dpc_batch_fill(sampler, 1, 0, 0, step, inputs, targets) >= BATCH,
                         "each sequence has a target");
        dpc_batch_sampler_destroy(sampler);
    }
    for (uint32_t doc = 0; doc < dpc_tokens_documents(tokens) && doc < DOCS_MAX; doc++) {
        uint32_t windows = dpc_batch_windows(tokens, doc, CONTEXT, 8);
        for (uint32_t window = 0; window <= windows; window++)
            (void)dpc_batch_window(tokens, doc, window, CONTEXT, PREFIX, inputs, targets);
        (void)dpc_vocabulary_text_bytes(dpc_tokens_vocabulary(tokens), targets, CONTEXT);
    }
}

static void
write_again(const struct dpc_tokens *tokens)
{
    uint32_t docs[DOCS_MAX], count = dpc_tokens_documents(tokens);
    struct dpc_tokens *subset;
    struct dpc_buf out;
    count = count < DOCS_MAX ? count : DOCS_MAX;
    for (uint32_t i = 0; i < count; i++)
        docs[i] = count - 1 - i;
    dpc_buf_init(&out, 0);
    struct dpc_tokens_sink sink = memory_sink(&out);
    fuzz_require(dpc_tokens_write_subset(tokens, docs, count, 0, &sink, NULL) == DPC_OK,
                 "documents can be written");
    fuzz_require(dpc_tokens_open_bytes("s", out.data, out.len, &subset, NULL) == DPC_OK,
                 "what was written can be read");
    fuzz_require(dpc_tokens_documents(subset) == count, "no document is lost");
    for (uint32_t i = 0; i < count; i++) {
        int32_t is[CONTEXT] = {0}, was[CONTEXT] = {0};
        fuzz_require(dpc_tokens_count(subset, i) == dpc_tokens_count(tokens, docs[i]) &&
                         dpc_tokens_id(subset, i) == dpc_tokens_id(tokens, docs[i]) &&
                         dpc_tokens_copy(subset, i, 0, CONTEXT, is) ==
                             dpc_tokens_copy(tokens, docs[i], 0, CONTEXT, was) &&
                         memcmp(is, was, sizeof is) == 0,
                     "a document is as it was");
    }
    dpc_tokens_close(subset);
    dpc_buf_done(&out);
}

static void
read_file(const uint8_t *bytes, size_t len)
{
    struct dpc_tokens *tokens;
    uint32_t *docs, docs_count;
    if (dpc_tokens_open_bytes("t", bytes, len, &tokens, NULL) != DPC_OK)
        return;
    fuzz_accepted++;
    (void)!dpc_tokens_verify(tokens, NULL);
    if (dpc_tokens_longer_than(tokens, PREFIX, &docs, &docs_count, NULL) == DPC_OK) {
        (void)dpc_batch_window_tokens(tokens, docs, docs_count, CONTEXT);
        dpc_free(docs);
    }
    draw_batches(tokens);
    write_again(tokens);
    dpc_tokens_close(tokens);
}

/* The header's hash as it should be, where there is a header and a tail to take it of. */
static void
seal(struct dpc_buf *file)
{
    struct dpc_tokens_header header;
    struct dpc_buf out;
    if (file->len < DPC_TOKENS_HEADER_BYTES || !dpc_tokens_header_decode(file->data, &header))
        return;
    uint64_t tail = dpc_tokens_header_tail(&header);
    if (tail > file->len)
        return;
    dpc_tokens_header_check(&header, file->data + tail, file->len - (size_t)tail, &header.check);
    dpc_buf_init(&out, 0);
    dpc_tokens_header_encode(&header, &out);
    memcpy(file->data, out.data, out.len);
    dpc_buf_done(&out);
}

/* Documents one behind the other, none of them empty, to the last token. */
static void
place_documents(struct dpc_buf *file, const struct dpc_tokens_header *header)
{
    uint64_t at = 0;
    for (uint64_t doc = 0; doc < header->documents; doc++) {
        uint8_t *place = file->data + header->table_offset + doc * DPC_TOKENS_ENTRY_BYTES;
        uint64_t left = header->tokens - at, behind = header->documents - 1 - doc;
        struct dpc_tokens_entry entry;
        struct dpc_buf out;
        dpc_tokens_entry_decode(place, &entry);
        entry.first = at;
        entry.count = (uint32_t)(behind ? 1 + entry.count % (left - behind) : left);
        at += entry.count;
        dpc_buf_init(&out, 0);
        dpc_tokens_entry_encode(&entry, &out);
        memcpy(place, out.data, out.len);
        dpc_buf_done(&out);
    }
}

/* All sizes and offsets as `documents`, `tokens` and `vocab` want them. */
static void
mend(struct dpc_buf *file)
{
    struct dpc_tokens_header header;
    struct dpc_buf out;
    if (file->len < DPC_TOKENS_HEADER_BYTES || !dpc_tokens_header_decode(file->data, &header))
        return;
    header.documents = 1 + header.documents % DOCS_MAX;
    header.tokens = header.documents + header.tokens % TOKENS_MORE;
    header.format = 1 + header.format % 2;
    header.width = header.format;
    header.vocab = header.format == DPC_TOKENS_FORMAT_BYTES ? DPC_VOCABULARY_BYTES.size
                                                            : 2 + header.vocab % VOCAB_MORE;
    header.reserved = 0;
    if (header.format == DPC_TOKENS_FORMAT_BYTES)
        header.tokenizer = dpc_hash_none;
    fuzz_require(dpc_tokens_header_place(&header), "a small file has its place");
    size_t had = file->len, more = header.file_bytes > had ? (size_t)header.file_bytes - had : 0;
    if (more)
        memset(dpc_buf_extend(file, more), 0x5a, more);
    file->len = (size_t)header.file_bytes;
    place_documents(file, &header);
    dpc_buf_init(&out, 0);
    dpc_tokens_header_encode(&header, &out);
    memcpy(file->data, out.data, out.len);
    dpc_buf_done(&out);
    seal(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_buf file;
    dpc_buf_init(&file, 0);
    dpc_buf_put(&file, data, size);
    read_file(data, size);
    seal(&file);
    read_file(file.data, file.len);
    mend(&file);
    read_file(file.data, file.len);
    dpc_buf_done(&file);
    return 0;
}

#ifndef DPC_LIBFUZZER

static void
add_file(struct fuzz *fuzz, const struct dpc_vocabulary *vocabulary)
{
    static const uint32_t counts[] = {5, 1, 40, 17};
    static const uint8_t tokens[2 * 40] = {1, 0, 2, 1, 3};
    struct dpc_tokens_writer writer;
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_tokens_writer_init(&writer, memory_sink(&out), vocabulary);
    for (uint32_t i = 0; i < 4; i++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)i};
        dpc_tokens_writer_document(&writer, 3 * i, key, counts[i]);
        dpc_tokens_writer_tokens(&writer, tokens, (size_t)counts[i] * vocabulary->width);
    }
    fuzz_require(dpc_tokens_writer_finish(&writer) == DPC_OK, "a token file is written");
    dpc_tokens_writer_done(&writer);
    fuzz_valid(fuzz, out.data, out.len, 0);
    dpc_buf_done(&out);
}

static void
add_inputs(struct fuzz *fuzz)
{
    static const uint8_t lengths[300] = {1, 2, 3};
    add_file(fuzz, &DPC_VOCABULARY_BYTES);
    add_file(fuzz, &(struct dpc_vocabulary){
                       .size = 300, .width = 2, .lengths = lengths, .model.bytes = {9}});
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 40000, add_inputs);
}

#endif
