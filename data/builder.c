/* SPDX-License-Identifier: Apache-2.0
 * A document's content key is SHA-256 of its text, not of its tokens, so that splits do not depend
 * on the tokenizer. */
#include "data/builder.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "data/keyset.h"
#include "data/tokens_writer.h"

struct dpc_builder {
    const struct dpc_vfs *vfs;
    const struct dpc_tokenizer *tokenizer;
    struct dpc_vfs_file *file;
    struct dpc_tokens_writer writer;
    struct dpc_keyset keys;
    struct dpc_buf tokens; /* of one document */
    char path[DPC_PATH_MAX];
    char temp[DPC_PATH_MAX];
    bool renamed;
};

static int
failed(const struct dpc_builder *builder, int code, struct dpc_error *err)
{
    return dpc_error_set(err, code, "could not write corpus \"%s\": %s", builder->path,
                         code == DPC_ENOSPACE
                             ? "no space left on the disk; free some and import again"
                             : dpc_error_words(code));
}

static int
write_file(void *context, const void *bytes, size_t len, uint64_t offset)
{
    const struct dpc_builder *builder = context;
    return builder->vfs->ops->write(builder->file, bytes, len, offset);
}

int
dpc_builder_open(const struct dpc_vfs *vfs, const char *path, const struct dpc_tokenizer *tokenizer,
                 struct dpc_builder **ret_builder, struct dpc_error *err)
{
    struct dpc_builder *builder = dpc_alloc(1, sizeof *builder);
    *builder = (struct dpc_builder){.vfs = vfs, .tokenizer = tokenizer};
    struct dpc_tokens_sink sink = {.write = write_file, .context = builder};
    dpc_tokens_writer_init(&builder->writer, sink, &tokenizer->vocabulary);
    dpc_buf_init(&builder->tokens, DPC_DOCUMENT_BYTES_MAX * tokenizer->vocabulary.width);
    dpc_keyset_init(&builder->keys);
    int code = DPC_ELIMIT;
    if ((size_t)snprintf(builder->path, sizeof builder->path, "%s", path) < sizeof builder->path &&
        (size_t)snprintf(builder->temp, sizeof builder->temp, "%s.new", path) <
            sizeof builder->temp)
        code = vfs->ops->open(vfs, builder->temp, DPC_VFS_WRITE | DPC_VFS_CREATE, &builder->file);
    if (code == DPC_OK)
        code = vfs->ops->truncate(builder->file, 0);
    if (code != DPC_OK) {
        code = failed(builder, code, err);
        dpc_builder_close(builder);
        return code;
    }
    *ret_builder = builder;
    return DPC_OK;
}

int
dpc_builder_claim(struct dpc_builder *builder, const uint8_t *text, size_t len,
                  struct dpc_hash *ret_key, struct dpc_error *err)
{
    if (len == 0)
        return dpc_error_set(err, DPC_EINVAL, "could not add a document: it is empty");
    dpc_hash_of(text, len, ret_key);
    if (dpc_keyset_has(&builder->keys, ret_key->bytes))
        return dpc_error_set(err, DPC_EEXIST, "could not add a document: it is there already");
    return dpc_keyset_add(&builder->keys, ret_key->bytes) ? DPC_OK
                                                          : failed(builder, DPC_ENOMEM, err);
}

int
dpc_builder_add_tokens(struct dpc_builder *builder, const struct dpc_hash *key,
                       const struct dpc_buf *tokens, uint32_t *ret_tokens, struct dpc_error *err)
{
    uint32_t count = (uint32_t)(tokens->len / builder->tokenizer->vocabulary.width);
    dpc_tokens_writer_document(&builder->writer, (uint32_t)builder->writer.header.documents,
                               key->bytes, count);
    dpc_tokens_writer_tokens(&builder->writer, tokens->data, tokens->len);
    if (ret_tokens)
        *ret_tokens = count;
    return builder->writer.code == DPC_OK ? DPC_OK : failed(builder, builder->writer.code, err);
}

int
dpc_builder_add(struct dpc_builder *builder, const uint8_t *text, size_t len, uint32_t *ret_tokens,
                struct dpc_error *err)
{
    struct dpc_hash key;
    int code = dpc_builder_claim(builder, text, len, &key, err);
    if (code != DPC_OK)
        return code;
    dpc_buf_reset(&builder->tokens);
    code = dpc_tokenizer_encode(builder->tokenizer, text, len, &builder->tokens, err);
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "could not add a document");
    return dpc_builder_add_tokens(builder, &key, &builder->tokens, ret_tokens, err);
}

static int
put_in_place(struct dpc_builder *builder)
{
    int code = builder->vfs->ops->sync(builder->file);
    if (code == DPC_OK)
        code = dpc_vfs_put_in_place(builder->vfs, builder->temp, builder->path, NULL);
    builder->renamed = code == DPC_OK;
    return code;
}

int
dpc_builder_finish(struct dpc_builder *builder, struct dpc_error *err)
{
    if (builder->writer.header.documents == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "could not write corpus \"%s\": it would be empty; name a folder or "
                             "file with text in it",
                             builder->path);
    int code = dpc_tokens_writer_finish(&builder->writer);
    if (code == DPC_OK)
        code = put_in_place(builder);
    return code == DPC_OK ? DPC_OK : failed(builder, code, err);
}

struct dpc_builder *
dpc_builder_close(struct dpc_builder *builder)
{
    if (!builder)
        return NULL;
    if (builder->file) {
        builder->vfs->ops->close(builder->file);
        if (!builder->renamed)
            (void)builder->vfs->ops->remove(builder->vfs, builder->temp);
    }
    dpc_tokens_writer_done(&builder->writer);
    dpc_keyset_done(&builder->keys);
    dpc_buf_done(&builder->tokens);
    return dpc_free(builder);
}
