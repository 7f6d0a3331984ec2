/* SPDX-License-Identifier: Apache-2.0
 * What is common to all kinds, and the simplest of them: a token of the byte tokenizer is the byte
 * itself. */
#include "data/tokenizer.h"

#include "base/alloc.h"

/* --- Bytes. */

static int
bytes_encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
             struct dpc_buf *out, struct dpc_error *err)
{
    (void)tokenizer;
    (void)err;
    dpc_buf_put(out, text, len);
    return DPC_OK;
}

static void
bytes_decode(const struct dpc_tokenizer *tokenizer, int32_t token, struct dpc_buf *out)
{
    (void)tokenizer;
    dpc_buf_put_u8(out, (uint8_t)token);
}

const struct dpc_tokenizer *
dpc_tokenizer_bytes(void)
{
    static const struct dpc_tokenizer_ops ops = {.encode = bytes_encode, .decode = bytes_decode};
    static const struct dpc_tokenizer bytes = {.ops = &ops, .vocabulary = DPC_VOCABULARY_BYTES};
    return &bytes;
}

/* --- All kinds. */

struct dpc_tokenizer *
dpc_tokenizer_destroy(const struct dpc_tokenizer *tokenizer)
{
    if (tokenizer && tokenizer->ops->destroy)
        tokenizer->ops->destroy((struct dpc_tokenizer *)tokenizer);
    return NULL;
}

int
dpc_tokenizer_encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
                     struct dpc_buf *out, struct dpc_error *err)
{
    size_t before = out->len;
    int code = tokenizer->ops->encode(tokenizer, text, len, out, err);
    if (code != DPC_OK)
        return code;
    if (out->failed)
        return dpc_error_set(err, DPC_ELIMIT, "there is no room for the tokens of %zu bytes", len);
    if (out->len == before)
        return dpc_error_set(err, DPC_EINVAL, "the tokenizer finds nothing in the text");
    return DPC_OK;
}

int
dpc_tokenizer_encode_wide(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len,
                          int32_t **ret_tokens, uint32_t *ret_count, struct dpc_error *err)
{
    struct dpc_buf narrow;
    dpc_buf_init(&narrow, 0);
    int code = dpc_tokenizer_encode(tokenizer, text, len, &narrow, err);
    if (code == DPC_OK) {
        struct dpc_reader reader;
        uint32_t width = tokenizer->vocabulary.width;
        *ret_count = (uint32_t)(narrow.len / width);
        *ret_tokens = dpc_alloc(*ret_count, sizeof **ret_tokens);
        dpc_reader_init(&reader, narrow.data, narrow.len);
        for (uint32_t i = 0; i < *ret_count; i++)
            (*ret_tokens)[i] = width == 1 ? dpc_reader_u8(&reader) : dpc_reader_u16(&reader);
    }
    dpc_buf_done(&narrow);
    return code;
}

void
dpc_tokenizer_decode(const struct dpc_tokenizer *tokenizer, const int32_t *tokens, size_t count,
                     struct dpc_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] >= 0 && (uint32_t)tokens[i] < tokenizer->vocabulary.size)
            tokenizer->ops->decode(tokenizer, tokens[i], out);
    }
}
