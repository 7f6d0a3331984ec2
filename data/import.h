/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a corpus out of files: a folder of texts (each a document), JSON lines (each line a
 * document, the field that holds its text), manual pages (as the text that a reader sees). All may
 * be packed as .gz or .zst. Equal texts are kept once. A line that is no JSON is left out and told
 * of, unless no line of its file is an object of JSON: that file is something else. The result
 * depends on the files' names and content only.
 *
 * The corpus is a folder: DPC_TOKENS_FILE (data/tokens.h), DPC_IMPORT_NAMES_FILE, a line a document
 * for people: id, tokens, where it came from, separated by tabs; where tokens are pieces the
 * tokenizer that made them, DPC_TOKENIZER_FILE; and where fields of JSON lines are asked for these,
 * DPC_METADATA_FILE.
 *
 * Owns: nothing. Threads: one import a folder. Limits: DPC_DOCUMENT_BYTES_MAX a document.
 * Nothing is half done: the old corpus, if any, stays until the new one is whole and on disk.
 */
#ifndef DPC_DATA_IMPORT_H
#define DPC_DATA_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"

#define DPC_IMPORT_NAMES_FILE "documents.tsv"

enum dpc_import_kind {
    /* By each file's name and content: .jsonl and .ndjson are JSON lines, and .json where its first
     * line is an object; a name that ends like a manual page (.1 to .8, also .3type) is one when it
     * has a page's title; the rest is text. */
    DPC_IMPORT_AUTO,
    DPC_IMPORT_TEXT,
    DPC_IMPORT_JSON_LINES,
    DPC_IMPORT_MANPAGE,
};

/* What text becomes tokens with. */
enum dpc_import_tokenizer_kind {
    DPC_IMPORT_BYTES,
    DPC_IMPORT_UNIGRAM, /* a vocabulary that is trained on the texts, which are read twice then */
    DPC_IMPORT_BPE,
    DPC_IMPORT_TOKENIZER_FILE,
};
struct dpc_import_tokenizer {
    enum dpc_import_tokenizer_kind kind;
    const char *file;                        /* DPC_IMPORT_TOKENIZER_FILE: of SentencePiece */
    uint32_t vocab;                          /* trained: pieces */
    const struct dpc_experiment *experiment; /* trained: on none of its held-out documents */
};

enum dpc_import_stage {
    DPC_IMPORT_SAMPLING, /* reading what a vocabulary is trained on */
    DPC_IMPORT_TRAINING, /* training it, which takes a minute of 32 MiB */
    DPC_IMPORT_ENCODING,
};

struct dpc_import_stats {
    enum dpc_import_stage stage;
    uint64_t sampled_bytes; /* that a vocabulary is or was trained on */
    uint32_t vocab;
    uint64_t files_total, files; /* found, and read so far in this stage */
    uint64_t documents, tokens;
    uint64_t bytes;                       /* of the documents' texts */
    uint64_t texts, json_lines, manpages; /* documents by kind */
    /* Left out. */
    uint64_t duplicates;            /* equal to an earlier text */
    uint64_t links;                 /* symbolic links */
    uint64_t redirects;             /* manual pages that only name another */
    uint64_t binary;                /* with a zero byte */
    uint64_t empty;                 /* without text; a manual page without a word */
    uint64_t without_text;          /* JSON lines without a text in its field */
    uint64_t no_json;               /* lines of JSON lines that do not parse */
    struct dpc_error no_json_first; /* file, line and reason of the first of them, if any */
    /* Kept. */
    uint64_t invalid_utf8; /* documents that are not UTF-8 throughout: bytes pass as they are */
    /* DPC_METADATA_FILE is there, was not written by this import, and documents have other ids than
     * in the corpus before. */
    bool metadata_is_stale;
};

struct dpc_import_options {
    const char *const *sources; /* files and folders, in this order */
    size_t sources_count;
    const char *out; /* the corpus folder; made where it is missing */
    enum dpc_import_kind kind;
    const char *text_field; /* of JSON lines; NULL: "text" */
    const char *metadata;   /* fields for DPC_METADATA_FILE, as in data/json_fields.h; NULL: none */
    struct dpc_import_tokenizer tokenizer;
    uint32_t threads; /* that cut text into pieces; 0: one */
    /* Called after each file and every few thousand lines (may be NULL); false stops the import. */
    bool (*progress)(void *context, const struct dpc_import_stats *stats);
    void *progress_context;
};

/* DPC_EBUSY while another import into the folder is under way; DPC_ENOTFOUND, DPC_EPERM, DPC_EIO;
 * DPC_ECORRUPT for a damaged packed file; DPC_EPARSE for a file of JSON lines without one;
 * DPC_EINVAL when nothing is left to import, when the texts do not give the vocabulary that was
 * asked for, or for fields that cannot be columns; DPC_EEXIST when DPC_METADATA_FILE is somebody
 * else's; DPC_ELIMIT; DPC_ENOSPACE; DPC_ECANCELLED when `progress` said so. */
int dpc_import(const struct dpc_import_options *options, struct dpc_import_stats *ret_stats,
               struct dpc_error *err) DPC_MUST_CHECK;

/* "auto", "text", "jsonl" and "man" at the place of their kind, then NULL. */
extern const char *const dpc_import_kind_names[];

#endif
