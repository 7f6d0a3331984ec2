/* SPDX-License-Identifier: Apache-2.0
 * Subsets of a token file: shards, evaluation documents, prefixes. The writer is an import's; where
 * bytes go is the caller's, as a subset may be all but the whole of a large corpus. */
#include "data/tokens.h"
#include "data/tokens_writer.h"

enum { COPY_TOKENS = 4096, TOKEN_BYTES_MAX = 2 };

static void
write_document(struct dpc_tokens_writer *writer, const struct dpc_tokens *tokens, uint32_t doc,
               uint32_t count)
{
    int32_t wide[COPY_TOKENS];
    uint8_t narrow[COPY_TOKENS * TOKEN_BYTES_MAX];
    uint32_t width = dpc_tokens_vocabulary(tokens)->width;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    dpc_tokens_key(tokens, doc, key);
    dpc_tokens_writer_document(writer, dpc_tokens_id(tokens, doc), key, count);
    for (uint32_t from = 0; from < count; from += COPY_TOKENS) {
        uint32_t len = count - from < COPY_TOKENS ? count - from : COPY_TOKENS;
        dpc_tokens_copy(tokens, doc, from, len, wide);
        for (uint32_t i = 0; i < len; i++) {
            for (uint32_t byte = 0; byte < width; byte++)
                narrow[i * width + byte] = (uint8_t)(wide[i] >> (8 * byte));
        }
        dpc_tokens_writer_tokens(writer, narrow, (size_t)len * width);
    }
}

static int
write_documents(const struct dpc_tokens *tokens, const uint32_t *docs, uint32_t docs_count,
                uint32_t tokens_max, struct dpc_tokens_sink sink)
{
    struct dpc_tokens_writer writer;
    dpc_tokens_writer_init(&writer, sink, dpc_tokens_vocabulary(tokens));
    for (uint32_t i = 0; i < docs_count && writer.code == DPC_OK; i++) {
        uint32_t count = dpc_tokens_count(tokens, docs[i]);
        write_document(&writer, tokens, docs[i],
                       tokens_max && tokens_max < count ? tokens_max : count);
    }
    int code = dpc_tokens_writer_finish(&writer);
    dpc_tokens_writer_done(&writer);
    return code;
}

int
dpc_tokens_write_subset(const struct dpc_tokens *tokens, const uint32_t *docs, uint32_t docs_count,
                        uint32_t tokens_max, const struct dpc_tokens_sink *sink,
                        struct dpc_error *err)
{
    if (docs_count == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "could not take a part of corpus \"%s\": no documents",
                             dpc_tokens_name(tokens));
    int code = write_documents(tokens, docs, docs_count, tokens_max, *sink);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not take a part of corpus \"%s\": %s",
                             dpc_tokens_name(tokens), dpc_error_words(code));
    return DPC_OK;
}
