/* SPDX-License-Identifier: Apache-2.0
 * Opening checks the header field by field, then the table entry by entry (documents lie one behind
 * the other without gaps), then the check hash over both. What follows can index without fear. */
#include "data/tokens.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "data/tokens_format.h"

struct dpc_tokens {
    char *name;
    const uint8_t *bytes;
    size_t len;
    void *map; /* NULL when the bytes are the caller's */
    struct dpc_tokens_header header;
    struct dpc_vocabulary vocabulary;
};

static int __attribute__((format(printf, 3, 4)))
damaged(const char *name, struct dpc_error *err, const char *format, ...)
{
    char reason[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return dpc_error_set(err, DPC_ECORRUPT, "corpus \"%s\" is damaged: %s; import it again", name,
                         reason);
}

static void
entry_at(const struct dpc_tokens *tokens, uint32_t doc, struct dpc_tokens_entry *ret_entry)
{
    assert(doc < tokens->header.documents);
    dpc_tokens_entry_decode(tokens->bytes + tokens->header.table_offset +
                                (size_t)doc * DPC_TOKENS_ENTRY_BYTES,
                            ret_entry);
}

/* The fields that say how to read the rest. */
static int
check_kind(const char *name, const struct dpc_tokens_header *header, struct dpc_error *err)
{
    bool bytes = header->format == DPC_TOKENS_FORMAT_BYTES;
    if (!bytes && header->format != DPC_TOKENS_FORMAT_PIECES)
        return dpc_error_set(err, DPC_EVERSION,
                             "could not open corpus \"%s\": its format is %" PRIu32
                             " and this release reads %d and %d; import it again with this release",
                             name, header->format, DPC_TOKENS_FORMAT_BYTES,
                             DPC_TOKENS_FORMAT_PIECES);
    if (header->width != (bytes ? 1 : 2) || header->vocab < 2 || header->vocab > DPC_VOCAB_MAX ||
        (bytes && header->vocab != DPC_VOCABULARY_BYTES.size) ||
        bytes != dpc_hash_is_none(&header->tokenizer))
        return damaged(name, err,
                       "%" PRIu32 "-byte tokens of a vocabulary of %" PRIu32
                       " do not go with format %" PRIu32,
                       header->width, header->vocab, header->format);
    if (header->reserved)
        return damaged(name, err, "a reserved field is set");
    return DPC_OK;
}

static int
check_sizes(const char *name, const struct dpc_tokens_header *header, size_t len,
            struct dpc_error *err)
{
    struct dpc_tokens_header placed = *header;
    if (header->documents == 0 && header->tokens == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "corpus \"%s\" is empty: it holds no documents; import some text",
                             name);
    if (header->documents > DPC_DOCUMENTS_MAX)
        return damaged(name, err, "it claims %" PRIu64 " documents, and %d is the most",
                       header->documents, DPC_DOCUMENTS_MAX);
    if (header->documents == 0 || !dpc_tokens_header_place(&placed) ||
        placed.table_offset != header->table_offset || placed.file_bytes != header->file_bytes)
        return damaged(name, err, "its header contradicts itself");
    if (header->file_bytes != len)
        return damaged(name, err, "it has %zu bytes and should have %" PRIu64, len,
                       header->file_bytes);
    return DPC_OK;
}

static int
check_table(const struct dpc_tokens *tokens, struct dpc_error *err)
{
    const struct dpc_tokens_header *header = &tokens->header;
    struct dpc_tokens_entry entry;
    struct dpc_hash check;
    uint64_t at = 0;
    for (uint32_t doc = 0; doc < header->documents; doc++) {
        entry_at(tokens, doc, &entry);
        if (entry.first != at || entry.count == 0 || entry.count > header->tokens - at ||
            entry.count > DPC_DOCUMENT_BYTES_MAX)
            return damaged(tokens->name, err, "document %" PRIu32 " lies outside its tokens", doc);
        at += entry.count;
    }
    if (at != header->tokens)
        return damaged(tokens->name, err,
                       "its documents have %" PRIu64 " tokens and it has %" PRIu64, at,
                       header->tokens);
    size_t tail = (size_t)dpc_tokens_header_tail(header);
    dpc_tokens_header_check(header, tokens->bytes + tail, tokens->len - tail, &check);
    if (!dpc_hash_equal(&check, &header->check))
        return damaged(tokens->name, err, "the check of its header and table fails");
    return DPC_OK;
}

static void
name_vocabulary(struct dpc_tokens *tokens)
{
    const struct dpc_tokens_header *header = &tokens->header;
    tokens->vocabulary = (struct dpc_vocabulary){
        .size = header->vocab, .width = header->width, .model = header->tokenizer};
    if (header->format == DPC_TOKENS_FORMAT_PIECES)
        tokens->vocabulary.lengths = tokens->bytes + dpc_tokens_header_tail(header);
}

static int
check_all(struct dpc_tokens *tokens, struct dpc_error *err)
{
    if (tokens->len < DPC_TOKENS_HEADER_BYTES)
        return damaged(tokens->name, err, "it is too short for a header");
    if (!dpc_tokens_header_decode(tokens->bytes, &tokens->header))
        return damaged(tokens->name, err, "it does not begin like a token file");
    int code = check_kind(tokens->name, &tokens->header, err);
    if (code == DPC_OK)
        code = check_sizes(tokens->name, &tokens->header, tokens->len, err);
    if (code == DPC_OK)
        code = check_table(tokens, err);
    if (code == DPC_OK)
        name_vocabulary(tokens);
    return code;
}

int
dpc_tokens_open_bytes(const char *name, const void *bytes, size_t len,
                      struct dpc_tokens **ret_tokens, struct dpc_error *err)
{
    struct dpc_tokens *tokens = dpc_alloc(1, sizeof *tokens);
    *tokens = (struct dpc_tokens){.name = dpc_strdup(name), .bytes = bytes, .len = len};
    int code = check_all(tokens, err);
    if (code != DPC_OK) {
        dpc_tokens_close(tokens);
        return code;
    }
    *ret_tokens = tokens;
    return DPC_OK;
}

static int
could_not_open(const char *path, int errnum, struct dpc_error *err)
{
    if (errnum == ENOENT || errnum == ENOTDIR)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "could not open corpus \"%s\": it does not exist; make it with "
                             "\"dipaco data import\"",
                             path);
    return dpc_error_set_errno(err, errnum, "could not open corpus \"%s\"", path);
}

static int
open_file(const char *path, int *ret_fd, size_t *ret_len, struct dpc_error *err)
{
    char inside[DPC_PATH_MAX];
    struct stat facts;
    if (stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        if (dpc_path_join(path, DPC_TOKENS_FILE, inside, sizeof inside) != DPC_OK)
            return dpc_error_set(err, DPC_ELIMIT, "could not open corpus \"%s\": name too long",
                                 path);
        path = inside;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return could_not_open(path, errno, err);
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        close(fd);
        return dpc_error_set(err, DPC_EINVAL, "could not open corpus \"%s\": not a plain file",
                             path);
    }
    *ret_fd = fd;
    *ret_len = (size_t)facts.st_size;
    return DPC_OK;
}

int
dpc_tokens_open(const char *path, struct dpc_tokens **ret_tokens, struct dpc_error *err)
{
    int fd;
    size_t len;
    int code = open_file(path, &fd, &len, err);
    if (code != DPC_OK)
        return code;
    void *map = len ? mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    int errnum = errno;
    close(fd);
    if (map == MAP_FAILED)
        return could_not_open(path, errnum, err);
    struct dpc_tokens *tokens;
    code = dpc_tokens_open_bytes(path, map, len, &tokens, err);
    if (code != DPC_OK) {
        if (map)
            munmap(map, len);
        return code;
    }
    tokens->map = map;
    *ret_tokens = tokens;
    return DPC_OK;
}

struct dpc_tokens *
dpc_tokens_close(struct dpc_tokens *tokens)
{
    if (!tokens)
        return NULL;
    if (tokens->map)
        munmap(tokens->map, tokens->len);
    dpc_free(tokens->name);
    return dpc_free(tokens);
}

static uint32_t
token_at(const struct dpc_tokens *tokens, uint64_t index)
{
    const uint8_t *at =
        tokens->bytes + DPC_TOKENS_HEADER_BYTES + (size_t)index * tokens->header.width;
    return tokens->header.width == 1 ? at[0] : (uint32_t)(at[0] | at[1] << 8);
}

int
dpc_tokens_verify(const struct dpc_tokens *tokens, struct dpc_error *err)
{
    struct dpc_hash hash;
    dpc_hash_of(tokens->bytes + DPC_TOKENS_HEADER_BYTES,
                (size_t)tokens->header.tokens * tokens->header.width, &hash);
    if (!dpc_hash_equal(&hash, &tokens->header.tokens_hash))
        return damaged(tokens->name, err, "its tokens do not match their hash");
    if (!tokens->vocabulary.lengths)
        return DPC_OK; /* every byte is a token */
    for (uint64_t i = 0; i < tokens->header.tokens; i++) {
        if (token_at(tokens, i) >= tokens->header.vocab)
            return damaged(tokens->name, err, "token %" PRIu64 " is none of its vocabulary", i);
    }
    return DPC_OK;
}

const char *
dpc_tokens_name(const struct dpc_tokens *tokens)
{
    return tokens->name;
}

uint32_t
dpc_tokens_documents(const struct dpc_tokens *tokens)
{
    return (uint32_t)tokens->header.documents;
}

uint64_t
dpc_tokens_total(const struct dpc_tokens *tokens)
{
    return tokens->header.tokens;
}

const struct dpc_vocabulary *
dpc_tokens_vocabulary(const struct dpc_tokens *tokens)
{
    return &tokens->vocabulary;
}

void
dpc_tokens_hash(const struct dpc_tokens *tokens, struct dpc_hash *ret_hash)
{
    *ret_hash = tokens->header.check;
}

uint32_t
dpc_tokens_count(const struct dpc_tokens *tokens, uint32_t doc)
{
    struct dpc_tokens_entry entry;
    entry_at(tokens, doc, &entry);
    return entry.count;
}

uint32_t
dpc_tokens_id(const struct dpc_tokens *tokens, uint32_t doc)
{
    struct dpc_tokens_entry entry;
    entry_at(tokens, doc, &entry);
    return entry.id;
}

void
dpc_tokens_key(const struct dpc_tokens *tokens, uint32_t doc,
               uint8_t ret_key[DPC_CONTENT_KEY_BYTES])
{
    struct dpc_tokens_entry entry;
    entry_at(tokens, doc, &entry);
    memcpy(ret_key, entry.key, DPC_CONTENT_KEY_BYTES);
}

enum dpc_split
dpc_tokens_split(const struct dpc_tokens *tokens, uint32_t doc,
                 const struct dpc_experiment *experiment)
{
    struct dpc_tokens_entry entry;
    entry_at(tokens, doc, &entry);
    return dpc_split_of_key(entry.key, experiment);
}

uint32_t
dpc_tokens_copy(const struct dpc_tokens *tokens, uint32_t doc, uint32_t from, uint32_t count,
                int32_t *ret_tokens)
{
    struct dpc_tokens_entry entry;
    entry_at(tokens, doc, &entry);
    if (from >= entry.count)
        return 0;
    if (count > entry.count - from)
        count = entry.count - from;
    for (uint32_t i = 0; i < count; i++)
        ret_tokens[i] = (int32_t)token_at(tokens, entry.first + from + i);
    return count;
}

int
dpc_tokens_longer_than(const struct dpc_tokens *tokens, uint32_t prefix, uint32_t **ret_docs,
                       uint32_t *ret_docs_count, struct dpc_error *err)
{
    uint32_t documents = dpc_tokens_documents(tokens), count = 0;
    uint32_t *docs = dpc_try_alloc(documents, sizeof *docs);
    if (!docs)
        return dpc_error_set(err, DPC_ENOMEM, "could not list the documents of corpus \"%s\": %s",
                             tokens->name, dpc_error_words(DPC_ENOMEM));
    for (uint32_t doc = 0; doc < documents; doc++) {
        if (dpc_tokens_count(tokens, doc) > prefix)
            docs[count++] = doc;
    }
    if (!count) {
        dpc_free(docs);
        return dpc_error_set(err, DPC_EINVAL,
                             "corpus \"%s\" has no document longer than the routing prefix of "
                             "%" PRIu32 " tokens (it has %" PRIu32
                             " shorter ones): import longer documents, or lower routing.prefix",
                             tokens->name, prefix, documents);
    }
    *ret_docs = docs;
    *ret_docs_count = count;
    return DPC_OK;
}

int
dpc_tokens_check_vocabulary(const struct dpc_tokens *tokens,
                            const struct dpc_experiment *experiment, struct dpc_error *err)
{
    bool bytes = tokens->vocabulary.lengths == NULL;
    if (bytes == (experiment->data.tokenizer == DPC_TOKENIZER_BYTES) &&
        tokens->vocabulary.size == experiment->model.vocab)
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "corpus \"%s\" has tokens of another kind than the experiment: write "
                         "data.tokenizer: {kind: %s, vocab: %" PRIu32
                         "}, or import its texts again, with another --tokenizer",
                         tokens->name, bytes ? "bytes" : "sentencepiece", tokens->vocabulary.size);
}

int
dpc_tokens_check_paths(const struct dpc_tokens *tokens, const struct dpc_experiment *experiment,
                       struct dpc_error *err)
{
    uint32_t paths = dpc_experiment_paths(experiment), count = 0;
    for (uint32_t doc = 0; doc < dpc_tokens_documents(tokens); doc++) {
        enum dpc_split split = dpc_tokens_split(tokens, doc, experiment);
        if (dpc_tokens_count(tokens, doc) > experiment->routing.prefix)
            count += split == DPC_SPLIT_TRAIN || split == DPC_SPLIT_ROUTER;
    }
    uint64_t needed = (uint64_t)paths * experiment->routing.documents_min;
    if (count >= needed)
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "corpus \"%s\" has %" PRIu32
                         " documents to train on (of train and router, "
                         "longer than routing.prefix), and %" PRIu32 " paths of at least %" PRIu32
                         " need %" PRIu64 ": use fewer modules, import more documents, or lower "
                         "routing.documents_min",
                         tokens->name, count, paths, experiment->routing.documents_min, needed);
}
