/* SPDX-License-Identifier: Apache-2.0
 * Files are read one after the other in the scan's order; each gives documents to the builder,
 * which knows duplicates and puts the corpus in place at the end. A vocabulary that is to be
 * trained takes a pass of its own before. */
#include "data/import.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "base/vfs.h"
#include "data/builder.h"
#include "data/import_batch.h"
#include "data/json_fields.h"
#include "data/manpage.h"
#include "data/metadata.h"
#include "data/scan.h"
#include "data/sentencepiece.h"
#include "data/source.h"
#include "data/tokens.h"
#include "data/vocabulary_sample.h"

enum { PROGRESS_LINES = 4096 };

/* Second names, of files that are written before the token file is in its place. */
#define NEW_TOKENIZER DPC_TOKENIZER_FILE ".new"
#define NEW_METADATA  DPC_METADATA_FILE ".new"

struct import {
    const struct dpc_import_options *options;
    struct dpc_import_stats stats;
    struct dpc_vocabulary_sample *sample; /* while one is gathered, instead of the builder */
    const struct dpc_tokenizer *tokenizer;
    struct dpc_buf model; /* of DPC_TOKENIZER_FILE */
    struct dpc_builder *builder;
    struct dpc_import_batch *batch;
    struct dpc_buf input; /* a file or a line as it is */
    struct dpc_buf text;  /* a manual page's text */
    struct dpc_buf names; /* of DPC_IMPORT_NAMES_FILE */
    struct dpc_json_fields fields;
    const char *path; /* being read */
    int lock_fd;      /* the corpus folder; -1: not locked */
    bool folder_is_new;
};

static int
report_progress(struct import *import, struct dpc_error *err)
{
    const struct dpc_import_options *options = import->options;
    if (!options->progress || options->progress(options->progress_context, &import->stats))
        return DPC_OK;
    return dpc_error_set(err, DPC_ECANCELLED, "the import was stopped; nothing was changed");
}

/* --- One document. */

/* Where it comes from: a line of its file, and what that holds; all 0: a whole file. */
struct origin {
    uint64_t line;
    const struct dpc_json *object;
};

/* Names may hold anything; the list for people holds one line a document. */
static void
put_name(const struct import *import, uint64_t line, struct dpc_buf *out)
{
    for (const char *at = import->path; *at; at++)
        dpc_buf_put_u8(out, iscntrl((unsigned char)*at) ? '?' : (uint8_t)*at);
    if (line)
        dpc_buf_printf(out, ":%" PRIu64, line);
}

/* What the batch has made of it. */
static int
take_document(struct import *import, struct dpc_import_document *document, struct dpc_error *err)
{
    struct dpc_import_stats *stats = &import->stats;
    uint32_t tokens;
    if (document->code == DPC_EINVAL) { /* empty for the tokenizer */
        stats->empty++;
        return DPC_OK;
    }
    if (document->code != DPC_OK)
        return dpc_error_set(err, document->code, "could not import \"%s\": %s",
                             dpc_buf_text(&document->name), document->err.text);
    int code =
        dpc_builder_add_tokens(import->builder, &document->key, &document->tokens, &tokens, err);
    if (code != DPC_OK)
        return code;
    dpc_buf_printf(&import->names, "%" PRIu64 "\t%" PRIu32 "\t", stats->documents, tokens);
    dpc_buf_put(&import->names, document->name.data, document->name.len);
    dpc_buf_put_u8(&import->names, '\n');
    dpc_json_fields_add(&import->fields, stats->documents, &document->cells);
    stats->documents++;
    stats->tokens += tokens;
    stats->bytes += document->text.len;
    stats->invalid_utf8 += !dpc_utf8_valid(document->text.data, document->text.len);
    ++*document->kind_count;
    return DPC_OK;
}

static int
take_batch(struct import *import, struct dpc_error *err)
{
    int code = DPC_OK;
    dpc_import_batch_encode(import->batch);
    for (size_t i = 0; code == DPC_OK && i < dpc_import_batch_count(import->batch); i++)
        code = take_document(import, dpc_import_batch_at(import->batch, i), err);
    dpc_import_batch_reset(import->batch);
    return code;
}

static int
add_document(struct import *import, const uint8_t *text, size_t len, struct origin origin,
             uint64_t *kind_count, struct dpc_error *err)
{
    struct dpc_import_stats *stats = &import->stats;
    struct dpc_hash key;
    if (len == 0 || memchr(text, 0, len)) {
        stats->empty += len == 0;
        stats->binary += len != 0;
        return DPC_OK;
    }
    if (import->sample) {
        stats->documents++;
        return dpc_vocabulary_sample_add(import->sample, text, len, err);
    }
    int code = dpc_builder_claim(import->builder, text, len, &key, err);
    if (code == DPC_EEXIST) {
        stats->duplicates++;
        return DPC_OK;
    }
    if (code != DPC_OK)
        return code;
    struct dpc_import_document *document = dpc_import_batch_add(import->batch);
    document->key = key;
    document->kind_count = kind_count;
    dpc_buf_put(&document->text, text, len);
    put_name(import, origin.line, &document->name);
    dpc_json_fields_read(&import->fields, origin.object, &document->cells);
    if (document->text.failed || document->name.failed || document->cells.failed)
        return dpc_error_set(err, DPC_ENOMEM, "could not import \"%s\": %s", import->path,
                             dpc_error_words(DPC_ENOMEM));
    return dpc_import_batch_is_full(import->batch) ? take_batch(import, err) : DPC_OK;
}

/* --- One file. */

/* What the lines of one file were. */
struct json_lines {
    uint64_t objects;
    uint64_t no_json;
    struct dpc_error no_json_first;
};

/* Of millions of lines from elsewhere one may be broken, and the others are worth having. */
static void
leave_out_line(struct json_lines *lines, const struct dpc_error *reason)
{
    if (lines->no_json == 0)
        lines->no_json_first = *reason;
    lines->no_json++;
}

/* A file with lines that are no JSON and none that is an object is no file of JSON lines: leaving
 * all of it out would import it as nothing. */
static int
count_lines(struct import *import, const struct json_lines *lines, struct dpc_error *err)
{
    struct dpc_import_stats *stats = &import->stats;
    if (lines->no_json == 0)
        return DPC_OK;
    if (lines->objects == 0)
        return dpc_error_set(err, lines->no_json_first.code, "could not import %s",
                             lines->no_json_first.text);
    if (stats->no_json == 0)
        stats->no_json_first = lines->no_json_first;
    stats->no_json += lines->no_json;
    return DPC_OK;
}

/* The document that a line is; NULL: it has no text. */
static const char *
text_of(const struct import *import, const struct dpc_json *root, size_t *ret_len)
{
    const char *field = import->options->text_field ? import->options->text_field : "text";
    return dpc_json_text_bytes(dpc_json_field(root, field), ret_len);
}

static int
add_json_line(struct import *import, uint64_t line, struct json_lines *lines, struct dpc_error *err)
{
    struct dpc_json *root;
    struct dpc_error reason;
    size_t len;
    int code =
        dpc_json_parse_reals(dpc_buf_text(&import->input), import->input.len, &root, &reason);
    if (code != DPC_OK)
        (void)dpc_error_prefix(&reason, code, "\"%s\", line %" PRIu64, import->path, line);
    if (code == DPC_EPARSE) {
        leave_out_line(lines, &reason);
        return DPC_OK;
    }
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not import %s", reason.text);
    lines->objects += dpc_json_is_object(root);
    const char *text = text_of(import, root, &len);
    if (text)
        code = add_document(import, (const uint8_t *)text, len, (struct origin){line, root},
                            &import->stats.json_lines, err);
    else
        import->stats.without_text++;
    dpc_json_destroy(root);
    return code;
}

static bool
is_blank(const struct dpc_buf *line)
{
    for (size_t i = 0; i < line->len; i++) {
        if (!isspace(line->data[i]))
            return false;
    }
    return true;
}

/* It is no part of the text, whose first tokens decide about its route. */
static void
drop_byte_order_mark(struct dpc_buf *input)
{
    size_t mark = dpc_utf8_mark(input->data, input->len);
    if (mark == 0)
        return;
    input->len -= mark;
    memmove(input->data, input->data + mark, input->len);
}

static int
add_json_lines(struct import *import, struct dpc_source *source, struct dpc_error *err)
{
    struct json_lines lines = {0};
    bool more = true;
    for (uint64_t line = 1;; line++) {
        int code = dpc_source_read_line(source, DPC_DOCUMENT_BYTES_MAX, &import->input, &more, err);
        if (code != DPC_OK)
            return code;
        if (!more)
            return count_lines(import, &lines, err);
        if (line == 1)
            drop_byte_order_mark(&import->input);
        if (is_blank(&import->input))
            continue;
        code = add_json_line(import, line, &lines, err);
        if (code == DPC_OK && line % PROGRESS_LINES == 0)
            code = report_progress(import, err);
        if (code != DPC_OK)
            return code;
    }
}

static int
add_manpage(struct import *import, struct dpc_error *err)
{
    const char *page = dpc_buf_text(&import->input);
    if (dpc_manpage_is_redirect(page, import->input.len)) {
        import->stats.redirects++;
        return DPC_OK;
    }
    dpc_buf_reset(&import->text);
    dpc_manpage_text(page, import->input.len, &import->text);
    if (import->text.failed)
        return dpc_error_set(err, DPC_ENOMEM, "could not import \"%s\": %s", import->path,
                             dpc_error_words(DPC_ENOMEM));
    return add_document(import, import->text.data, import->text.len, (struct origin){0},
                        &import->stats.manpages, err);
}

static bool
ends_with(const char *name, size_t len, const char *end)
{
    size_t end_len = strlen(end);
    return len >= end_len && strncasecmp(name + len - end_len, end, end_len) == 0;
}

/* A section at the end: ".1" to ".8", with letters behind it as in ".3type". */
static bool
has_section(const char *name, size_t len)
{
    while (len && islower((unsigned char)name[len - 1]))
        len--;
    return len > 2 && name[len - 2] == '.' && name[len - 1] >= '1' && name[len - 1] <= '8';
}

/* The first line that says anything is an object with a text. Of a pipe nobody can know without
 * taking it away. */
static bool
begins_as_json_lines(struct import *import)
{
    struct dpc_source *source;
    struct dpc_json *root;
    struct stat facts;
    bool more = true, has_text = false;
    size_t len;
    if (stat(import->path, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        dpc_source_open(import->path, &source, NULL) != DPC_OK)
        return false;
    dpc_buf_reset(&import->input);
    while (more && is_blank(&import->input) &&
           dpc_source_read_line(source, DPC_DOCUMENT_BYTES_MAX, &import->input, &more, NULL) ==
               DPC_OK)
        drop_byte_order_mark(&import->input);
    if (dpc_json_parse_reals(dpc_buf_text(&import->input), import->input.len, &root, NULL) ==
        DPC_OK) {
        has_text = text_of(import, root, &len) != NULL;
        dpc_json_destroy(root);
    }
    dpc_source_close(source);
    return has_text;
}

/* Corpora of JSON lines are often named .json; any other .json is a text like other texts. */
static enum dpc_import_kind
guess_kind(struct import *import)
{
    const char *path = import->path;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t len = dpc_source_plain_name(name);
    if (ends_with(name, len, ".jsonl") || ends_with(name, len, ".ndjson") ||
        (ends_with(name, len, ".json") && begins_as_json_lines(import)))
        return DPC_IMPORT_JSON_LINES;
    return has_section(name, len) ? DPC_IMPORT_MANPAGE : DPC_IMPORT_TEXT;
}

static int
add_open_file(struct import *import, struct dpc_source *source, struct dpc_error *err)
{
    bool guess = import->options->kind == DPC_IMPORT_AUTO;
    enum dpc_import_kind kind = guess ? guess_kind(import) : import->options->kind;
    if (kind == DPC_IMPORT_JSON_LINES)
        return add_json_lines(import, source, err);
    dpc_buf_reset(&import->input);
    int code = dpc_source_read_all(source, DPC_DOCUMENT_BYTES_MAX, &import->input, err);
    if (code != DPC_OK)
        return code;
    drop_byte_order_mark(&import->input);
    if (kind == DPC_IMPORT_MANPAGE &&
        (!guess || dpc_manpage_is(dpc_buf_text(&import->input), import->input.len)))
        return add_manpage(import, err);
    return add_document(import, import->input.data, import->input.len, (struct origin){0},
                        &import->stats.texts, err);
}

static int
add_file(struct import *import, const char *path, struct dpc_error *err)
{
    struct dpc_source *source;
    int code = dpc_source_open(path, &source, err);
    if (code != DPC_OK)
        return code;
    import->path = path;
    code = add_open_file(import, source, err);
    dpc_source_close(source);
    if (code != DPC_OK)
        return code;
    import->stats.files++;
    return report_progress(import, err);
}

/* --- Files. */

/* The corpus may lie below its own source: an earlier one is no text of it, nor what a crash left
 * of one, nor what its owner said of its documents. Any of them would shift the ids that metadata
 * stands for. The tokenizer's second place is written by way of a file of its own. */
static void
leave_out_corpus(const struct import *import, struct dpc_scan *scan)
{
    static const char *const names[] = {DPC_TOKENS_FILE,       DPC_TOKENS_FILE ".new",
                                        DPC_IMPORT_NAMES_FILE, DPC_IMPORT_NAMES_FILE ".new",
                                        DPC_TOKENIZER_FILE,    NEW_TOKENIZER,
                                        NEW_TOKENIZER ".new",  DPC_METADATA_FILE,
                                        NEW_METADATA};
    _Static_assert(sizeof names / sizeof *names <= DPC_SCAN_EXCEPT_MAX, "all can be left out");
    char path[DPC_PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (dpc_path_join(import->options->out, names[i], path, sizeof path) == DPC_OK)
            dpc_scan_except(scan, path);
    }
}

static int
find_files(struct import *import, struct dpc_scan *scan, struct dpc_error *err)
{
    const struct dpc_import_options *options = import->options;
    leave_out_corpus(import, scan);
    for (size_t i = 0; i < options->sources_count; i++) {
        int code = dpc_scan_add(scan, options->sources[i], err);
        if (code != DPC_OK)
            return code;
    }
    import->stats.files_total = scan->count;
    import->stats.links = scan->links;
    return DPC_OK;
}

static int
nothing_found(const struct import *import, struct dpc_error *err)
{
    const struct dpc_import_stats *stats = &import->stats;
    return dpc_error_set(
        err, DPC_EINVAL,
        "could not import \"%s\": no text in it (%" PRIu64 " files, of them %" PRIu64
        " binary and %" PRIu64 " empty; %" PRIu64 " JSON lines without \"text\", and %" PRIu64
        " that are no JSON); name a folder or file with text",
        import->options->sources_count ? import->options->sources[0] : "", stats->files,
        stats->binary, stats->empty, stats->without_text, stats->no_json);
}

/* --- Files beside the token file. */

static int
path_in(const struct import *import, const char *name, char ret_path[static DPC_PATH_MAX],
        struct dpc_error *err)
{
    int code = dpc_path_join(import->options->out, name, ret_path, DPC_PATH_MAX);
    return code == DPC_OK
               ? DPC_OK
               : dpc_error_set(err, code, "the name of the corpus folder \"%s\" is too long",
                               import->options->out);
}

/* Onto the disk under its second name `new_name`, before anything there is replaced; nothing when
 * the import has no such file. */
static int
write_beside(const struct import *import, const char *new_name, const struct dpc_buf *bytes,
             struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    if (bytes->len == 0 && !bytes->failed)
        return DPC_OK;
    int code = path_in(import, new_name, path, err);
    if (code == DPC_OK && bytes->failed)
        code = dpc_error_set(err, DPC_ENOMEM, "could not write \"%s\": %s", path,
                             dpc_error_words(DPC_ENOMEM));
    return code == DPC_OK ? dpc_vfs_write_file(&dpc_vfs_posix, path, bytes->data, bytes->len, err)
                          : code;
}

static int
put_beside(const struct import *import, const char *new_name, const char *name,
           const struct dpc_buf *bytes, struct dpc_error *err)
{
    char path[DPC_PATH_MAX], from[DPC_PATH_MAX];
    if (bytes->len == 0 && !bytes->failed)
        return DPC_OK;
    int code = path_in(import, name, path, err);
    if (code == DPC_OK)
        code = path_in(import, new_name, from, err);
    return code == DPC_OK ? dpc_vfs_put_in_place(&dpc_vfs_posix, from, path, err) : code;
}

/* --- The tokenizer. */

static int
read_files(struct import *import, const struct dpc_scan *scan, struct dpc_error *err)
{
    int code = DPC_OK;
    for (size_t i = 0; code == DPC_OK && i < scan->count; i++)
        code = add_file(import, scan->paths[i], err);
    return code;
}

static int
train(struct import *import, struct dpc_error *err)
{
    const struct dpc_import_tokenizer *chosen = &import->options->tokenizer;
    import->stats.stage = DPC_IMPORT_TRAINING;
    import->stats.sampled_bytes = dpc_vocabulary_sample_bytes(import->sample);
    if (import->stats.sampled_bytes == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "all %" PRIu64 " documents are held out, and a vocabulary is trained "
                             "on others: import more text, or lower data.test and data.early_stop",
                             import->stats.documents);
    int code = report_progress(import, err);
    if (code == DPC_OK)
        code = dpc_sentencepiece_train(
            chosen->kind == DPC_IMPORT_BPE ? DPC_SENTENCEPIECE_BPE : DPC_SENTENCEPIECE_UNIGRAM,
            chosen->vocab, dpc_vocabulary_sample_next, import->sample, &import->model, err);
    return code;
}

/* A pipe is empty the second time. */
static int
check_rereadable(const struct dpc_scan *scan, struct dpc_error *err)
{
    struct stat facts;
    for (size_t i = 0; i < scan->count; i++) {
        if (stat(scan->paths[i], &facts) == 0 && !S_ISREG(facts.st_mode))
            return dpc_error_set(
                err, DPC_EINVAL,
                "\"%s\" is no plain file: to train a vocabulary texts are read "
                "twice; save it as a file, or import it with a --tokenizer that is "
                "there",
                scan->paths[i]);
    }
    return DPC_OK;
}

/* Counts of the first pass are forgotten. */
static int
make_model(struct import *import, const struct dpc_scan *scan, struct dpc_error *err)
{
    struct dpc_import_stats counted = import->stats;
    import->stats.stage = DPC_IMPORT_SAMPLING;
    import->sample = dpc_vocabulary_sample_create(import->options->tokenizer.experiment,
                                                  DPC_VOCABULARY_TEXT_BYTES_MAX);
    int code = check_rereadable(scan, err);
    if (code == DPC_OK)
        code = read_files(import, scan, err);
    if (code == DPC_OK && import->stats.documents == 0)
        code = nothing_found(import, err);
    if (code == DPC_OK)
        code = train(import, err);
    counted.sampled_bytes = import->stats.sampled_bytes;
    import->sample = dpc_vocabulary_sample_destroy(import->sample);
    import->stats = counted;
    return code;
}

static int
read_model(struct import *import, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, import->options->tokenizer.file,
                                 DPC_TOKENIZER_FILE_BYTES_MAX, &bytes, &len, err);
    if (code == DPC_OK)
        dpc_buf_put(&import->model, bytes, len);
    dpc_free(bytes);
    return code == DPC_OK
               ? DPC_OK
               : dpc_error_prefix(err, code, "a tokenizer is bytes, unigram, bpe or a file");
}

static int
choose_tokenizer(struct import *import, const struct dpc_scan *scan, struct dpc_error *err)
{
    const struct dpc_import_tokenizer *chosen = &import->options->tokenizer;
    struct dpc_tokenizer *tokenizer = NULL;
    import->tokenizer = dpc_tokenizer_bytes();
    if (chosen->kind == DPC_IMPORT_BYTES)
        return DPC_OK;
    int code = chosen->kind == DPC_IMPORT_TOKENIZER_FILE ? read_model(import, err)
                                                         : make_model(import, scan, err);
    if (code == DPC_OK)
        code = dpc_sentencepiece_read(chosen->file ? chosen->file : DPC_TOKENIZER_FILE,
                                      import->model.data, import->model.len, &tokenizer, err);
    if (code == DPC_OK)
        import->tokenizer = tokenizer;
    return code;
}

/* --- The whole. */

/* Where a line of DPC_IMPORT_NAMES_FILE says that its document comes from, without the folder,
 * which may have moved; `*at` goes on to the next line. Its tokens are another tokenizer's to
 * change. */
static void
next_name(const uint8_t **at, const uint8_t *end, const uint8_t **ret_name, size_t *ret_len)
{
    const uint8_t *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop)
        stop = end;
    const uint8_t *name = stop;
    while (name > line && name[-1] != '/' && name[-1] != '\t')
        name--;
    *ret_name = name;
    *ret_len = (size_t)(stop - name);
    *at = stop < end ? stop + 1 : end;
}

static bool
names_are(const struct dpc_buf *names, const uint8_t *before, size_t before_len)
{
    const uint8_t *now = names->data, *now_end = now + names->len;
    const uint8_t *then = before, *then_end = before + before_len;
    while (now < now_end && then < then_end) {
        const uint8_t *name, *old_name;
        size_t len, old_len;
        next_name(&now, now_end, &name, &len);
        next_name(&then, then_end, &old_name, &old_len);
        if (len != old_len || memcmp(name, old_name, len) != 0)
            return false;
    }
    return now == now_end && then == then_end;
}

/* Whose owner wrote it knows documents by their ids, and would route others by it without a word.
 * `path` is that of the names, which are still those of the corpus before. */
static void
look_at_metadata(struct import *import, const char *path)
{
    char metadata[DPC_PATH_MAX];
    uint8_t *before = NULL;
    size_t len = 0;
    if (import->fields.count ||
        dpc_path_join(import->options->out, DPC_METADATA_FILE, metadata, sizeof metadata) !=
            DPC_OK ||
        !dpc_vfs_exists(&dpc_vfs_posix, metadata))
        return;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, SIZE_MAX, &before, &len, NULL);
    import->stats.metadata_is_stale = code != DPC_OK || !names_are(&import->names, before, len);
    dpc_free(before);
}

static int
put_names(struct import *import, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = dpc_path_join(import->options->out, DPC_IMPORT_NAMES_FILE, path, sizeof path);
    if (code == DPC_OK && import->names.failed)
        code = DPC_ENOMEM;
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not write the documents' names: %s",
                             dpc_error_words(code));
    look_at_metadata(import, path);
    return dpc_vfs_write_file(&dpc_vfs_posix, path, import->names.data, import->names.len, err);
}

static int
finish(struct import *import, struct dpc_error *err)
{
    const struct dpc_buf *rows = &import->fields.rows;
    if (import->stats.documents == 0)
        return nothing_found(import, err);
    /* Readers of a tokenizer look for its second name, too (data/tokens_tokenizer.c). */
    int code = write_beside(import, NEW_TOKENIZER, &import->model, err);
    if (code == DPC_OK)
        code = write_beside(import, NEW_METADATA, rows, err);
    if (code == DPC_OK)
        code = dpc_builder_finish(import->builder, err);
    if (code == DPC_OK)
        code = put_beside(import, NEW_TOKENIZER, DPC_TOKENIZER_FILE, &import->model, err);
    if (code == DPC_OK)
        code = put_beside(import, NEW_METADATA, DPC_METADATA_FILE, rows, err);
    return code == DPC_OK ? put_names(import, err) : code;
}

static int
make_folder(struct import *import, struct dpc_error *err)
{
    const char *out = import->options->out;
    import->folder_is_new = !dpc_vfs_exists(&dpc_vfs_posix, out);
    int code = dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, out);
    return code == DPC_OK ? DPC_OK
                          : dpc_error_set(err, code, "could not make the corpus folder \"%s\": %s",
                                          out, dpc_error_words(code));
}

/* Two imports would write the same files at once. A file system that knows no locks is no reason
 * against one. */
static int
lock_folder(struct import *import, struct dpc_error *err)
{
    const char *out = import->options->out;
    import->lock_fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (import->lock_fd < 0 || flock(import->lock_fd, LOCK_EX | LOCK_NB) == 0 ||
        errno != EWOULDBLOCK)
        return DPC_OK;
    return dpc_error_set(err, DPC_EBUSY,
                         "another import into \"%s\" is under way: wait for it, or name another "
                         "folder",
                         out);
}

static void
unlock_folder(struct import *import)
{
    if (import->lock_fd >= 0)
        (void)close(import->lock_fd);
}

static int
open_builder(struct import *import, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = path_in(import, DPC_TOKENS_FILE, path, err);
    if (code != DPC_OK)
        return code;
    import->stats.stage = DPC_IMPORT_ENCODING;
    import->stats.vocab = import->tokenizer->vocabulary.size;
    /* Bytes are tokens as they are: there is nothing to share. */
    bool pieces = import->options->tokenizer.kind != DPC_IMPORT_BYTES;
    import->batch =
        dpc_import_batch_create(import->tokenizer, pieces ? import->options->threads : 1);
    return dpc_builder_open(&dpc_vfs_posix, path, import->tokenizer, &import->builder, err);
}

static int
check_metadata(const struct import *import, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = path_in(import, DPC_METADATA_FILE, path, err);
    return code == DPC_OK ? dpc_json_fields_check(&import->fields, path, err) : code;
}

static int
import_all(struct import *import, struct dpc_scan *scan, struct dpc_error *err)
{
    int code = dpc_json_fields_init(&import->fields, import->options->metadata, err);
    if (code == DPC_OK)
        code = make_folder(import, err);
    if (code == DPC_OK)
        code = lock_folder(import, err);
    if (code == DPC_OK)
        code = check_metadata(import, err);
    if (code == DPC_OK)
        code = find_files(import, scan, err);
    if (code == DPC_OK)
        code = choose_tokenizer(import, scan, err);
    if (code == DPC_OK)
        code = open_builder(import, err);
    if (code == DPC_OK)
        code = read_files(import, scan, err);
    if (code == DPC_OK)
        code = take_batch(import, err);
    return code == DPC_OK ? finish(import, err) : code;
}

int
dpc_import(const struct dpc_import_options *options, struct dpc_import_stats *ret_stats,
           struct dpc_error *err)
{
    struct import import = {.options = options, .lock_fd = -1};
    struct dpc_scan scan;
    dpc_scan_init(&scan);
    dpc_buf_init(&import.model, 0);
    dpc_buf_init(&import.input, 0);
    dpc_buf_init(&import.text, 0);
    dpc_buf_init(&import.names, 0);
    int code = import_all(&import, &scan, err);
    if (code == DPC_OK)
        *ret_stats = import.stats;
    dpc_import_batch_destroy(import.batch);
    dpc_builder_close(import.builder);
    if (code != DPC_OK && import.folder_is_new) /* which fails where something is in it */
        (void)dpc_vfs_posix.ops->remove(&dpc_vfs_posix, options->out);
    unlock_folder(&import);
    dpc_tokenizer_destroy(import.tokenizer);
    dpc_buf_done(&import.model);
    dpc_buf_done(&import.input);
    dpc_buf_done(&import.text);
    dpc_buf_done(&import.names);
    dpc_json_fields_done(&import.fields);
    dpc_scan_done(&scan);
    return code;
}

const char *const dpc_import_kind_names[] = {
    [DPC_IMPORT_AUTO] = "auto",        [DPC_IMPORT_TEXT] = "text",
    [DPC_IMPORT_JSON_LINES] = "jsonl", [DPC_IMPORT_MANPAGE] = "man",
    [DPC_IMPORT_MANPAGE + 1] = NULL,
};
