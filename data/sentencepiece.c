/* SPDX-License-Identifier: Apache-2.0
 * The pieces are written out once, spaces as spaces and bytes as bytes, so that decoding is copying
 * and a token's length is known. What is no UTF-8 would become U+FFFD in the library, and U+2581 a
 * space: such bytes are taken one by one instead.
 *
 * Where no piece goes over the end of a line, lines go in one by one, and very long ones in parts:
 * the library adds up log probabilities in fp32 from a text's beginning on, so that in a long one
 * close calls would depend on what stands before, and it takes 190 bytes of memory a byte. */
#include "data/sentencepiece.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "data/sentencepiece_cxx.h"

struct sentencepiece {
    struct dpc_tokenizer tokenizer;
    struct spm_model *model;
    struct dpc_buf texts; /* of all pieces, one after the other */
    uint32_t *starts;     /* [size + 1] in `texts` */
    uint8_t *lengths;     /* [size] */
    bool as_is;           /* texts are not normalised */
    bool by_lines;        /* nor begin with a prefix, and no piece has the end of a line in it */
    uint16_t bytes[256];  /* their tokens */
};

static struct sentencepiece *
of(const struct dpc_tokenizer *tokenizer)
{
    return (struct sentencepiece *)tokenizer;
}

/* What the library says, without the place in its source that it says it at. */
static const char *
words_of(const char *reason)
{
    const char *words = strrchr(reason, ']');
    words = words ? words + 1 : reason;
    return words + strspn(words, " ");
}

/* --- Encoding and decoding. */

static void
put_tokens(void *context, const int *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dpc_buf_put_u16(context, (uint16_t)ids[i]);
}

static int
encode_run(const struct sentencepiece *pieces, const uint8_t *text, size_t len, struct dpc_buf *out,
           struct dpc_error *err)
{
    char reason[DPC_ERROR_TEXT_MAX / 2] = "";
    if (spm_encode(pieces->model, (const char *)text, len, put_tokens, out, reason, sizeof reason))
        return DPC_OK;
    return dpc_error_set(err, DPC_EPARSE, "the tokenizer refused the text: %s", reason);
}

static const char space[] = DPC_SENTENCEPIECE_SPACE;

/* The length of the character at `text` when the library may see it; 0: its bytes are taken alone.
 */
static size_t
seen_bytes(const struct sentencepiece *pieces, const uint8_t *text, size_t len)
{
    bool written_space = pieces->as_is && len >= 3 && memcmp(text, space, 3) == 0;
    bool line_end = pieces->by_lines && *text == '\n';
    return written_space || line_end ? 0 : dpc_utf8_sequence(text, len);
}

/* Bytes from `text` on that the library sees at once. A part of a long line ends before its last
 * space, where there is one. */
static size_t
run_bytes(const struct sentencepiece *pieces, const uint8_t *text, size_t len)
{
    size_t at = 0, cut = 0, step;
    while (at < len && (step = seen_bytes(pieces, text + at, len - at))) {
        if (pieces->by_lines && at + step > DPC_TOKENIZER_RUN_BYTES_MAX)
            return cut ? cut : at;
        if (text[at] == ' ' && at)
            cut = at;
        at += step;
    }
    return at;
}

static int
encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len, struct dpc_buf *out,
       struct dpc_error *err)
{
    const struct sentencepiece *pieces = of(tokenizer);
    int code = DPC_OK;
    if (!pieces->by_lines && len > DPC_TOKENIZER_TEXT_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "the text has %zu bytes, and the tokenizer, which must see it whole, "
                             "takes %zu: cut it, or train a vocabulary on the texts",
                             len, (size_t)DPC_TOKENIZER_TEXT_BYTES_MAX);
    for (size_t at = 0; at < len && code == DPC_OK;) {
        size_t run = run_bytes(pieces, text + at, len - at);
        if (run)
            code = encode_run(pieces, text + at, run, out, err);
        else
            dpc_buf_put_u16(out, pieces->bytes[text[at]]);
        at += run ? run : 1;
    }
    return code;
}

static void
decode(const struct dpc_tokenizer *tokenizer, int32_t token, struct dpc_buf *out)
{
    const struct sentencepiece *pieces = of(tokenizer);
    uint32_t start = pieces->starts[token];
    dpc_buf_put(out, pieces->texts.data + start, pieces->starts[token + 1] - start);
}

/* --- A model. */

static void
destroy(struct dpc_tokenizer *tokenizer)
{
    struct sentencepiece *pieces = of(tokenizer);
    spm_close(pieces->model);
    dpc_buf_done(&pieces->texts);
    dpc_free(pieces->starts);
    dpc_free(pieces->lengths);
    dpc_free(pieces);
}

/* A byte's piece reads "<0x0A>". */
static void
put_byte(struct sentencepiece *pieces, uint32_t token, const char *piece, bool *seen)
{
    unsigned long byte = strncmp(piece, "<0x", 3) == 0 ? strtoul(piece + 3, NULL, 16) : 256;
    if (byte > 255)
        return;
    dpc_buf_put_u8(&pieces->texts, (uint8_t)byte);
    pieces->bytes[byte] = (uint16_t)token;
    seen[byte] = true;
}

static void
put_text(struct sentencepiece *pieces, const char *piece)
{
    while (*piece) {
        pieces->by_lines &= *piece != '\n';
        bool is_space = strncmp(piece, space, sizeof space - 1) == 0;
        dpc_buf_put_u8(&pieces->texts, is_space ? ' ' : (uint8_t)*piece);
        piece += is_space ? sizeof space - 1 : 1;
    }
}

/* What a vocabulary must have for texts to be written whole: all bytes and, as the library would
 * write a space by the bytes of U+2581, that one. */
enum { BYTES = 256, SPACE = BYTES, NEEDED };

/* Neither an unknown piece nor a mark stands for text: what has no piece is written in bytes. False
 * when the piece is no UTF-8, which the library does not ask for. */
static bool
put_piece(struct sentencepiece *pieces, uint32_t token, bool *seen)
{
    enum spm_kind kind;
    const char *piece = spm_piece(pieces->model, (int)token, &kind);
    if (kind == SPM_BYTE)
        put_byte(pieces, token, piece, seen);
    else if (kind == SPM_NORMAL)
        put_text(pieces, piece);
    seen[SPACE] |= kind == SPM_NORMAL && strcmp(piece, space) == 0;
    return dpc_utf8_valid((const uint8_t *)piece, strlen(piece));
}

static int __attribute__((format(printf, 4, 5)))
refuse(const char *name, int code, struct dpc_error *err, const char *format, ...)
{
    char reason[DPC_ERROR_TEXT_MAX / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return dpc_error_set(err, code, "could not use tokenizer \"%s\": %s", name, reason);
}

static int
check_needed(const char *name, const bool seen[NEEDED], struct dpc_error *err)
{
    for (unsigned byte = 0; byte < BYTES; byte++) {
        if (!seen[byte])
            return refuse(name, DPC_EINVAL, err,
                          "it has no piece for the byte 0x%02X, so that texts could not be written "
                          "whole; take one with byte_fallback, or train one with --tokenizer "
                          "unigram",
                          byte);
    }
    if (!seen[SPACE])
        return refuse(name, DPC_EINVAL, err,
                      "it has no piece for a space, so that texts could not be written whole; "
                      "train one with --tokenizer unigram");
    return DPC_OK;
}

static int
write_pieces(const char *name, struct sentencepiece *pieces, uint32_t count, struct dpc_error *err)
{
    bool seen[NEEDED] = {0};
    pieces->starts = dpc_alloc(count + 1u, sizeof *pieces->starts);
    pieces->lengths = dpc_alloc(count, sizeof *pieces->lengths);
    for (uint32_t token = 0; token < count; token++) {
        if (!put_piece(pieces, token, seen))
            return refuse(name, DPC_ECORRUPT, err, "piece %u is no UTF-8", token);
        size_t len = pieces->texts.len - pieces->starts[token];
        if (len > DPC_PIECE_BYTES_MAX)
            return refuse(name, DPC_ELIMIT, err,
                          "piece %u stands for %zu bytes of text, and %d are the most", token, len,
                          DPC_PIECE_BYTES_MAX);
        pieces->lengths[token] = (uint8_t)len;
        pieces->starts[token + 1] = (uint32_t)pieces->texts.len;
    }
    int code = check_needed(name, seen, err);
    if (code != DPC_OK)
        return code;
    return pieces->texts.failed ? refuse(name, DPC_ENOMEM, err, "there is no memory for it")
                                : DPC_OK;
}

static int
check_count(const char *name, int count, struct dpc_error *err)
{
    if (count >= 2 && count <= DPC_VOCAB_MAX)
        return DPC_OK;
    return refuse(name, DPC_ELIMIT, err, "it has %d pieces, and 2 to %d can be used", count,
                  DPC_VOCAB_MAX);
}

int
dpc_sentencepiece_read(const char *name, const void *bytes, size_t len,
                       struct dpc_tokenizer **ret_tokenizer, struct dpc_error *err)
{
    static const struct dpc_tokenizer_ops ops = {encode, decode, destroy};
    char reason[DPC_ERROR_TEXT_MAX / 2] = "";
    struct dpc_sentencepiece_facts facts = {0};
    struct dpc_error fault = {0};
    int code = dpc_sentencepiece_look(bytes, len, &facts, &fault);
    if (code != DPC_OK)
        return refuse(name, code, err, "%s", fault.text);
    struct spm_model *model = spm_open(bytes, len, reason, sizeof reason);
    if (!model)
        return refuse(name, DPC_ECORRUPT, err, "it is no model file of SentencePiece: %s",
                      words_of(reason));
    struct sentencepiece *pieces = dpc_alloc(1, sizeof *pieces);
    int count = spm_count(model);
    pieces->model = model;
    pieces->as_is = facts.as_is;
    pieces->by_lines = facts.as_is && !facts.add_prefix;
    dpc_buf_init(&pieces->texts, 0);
    code = check_count(name, count, err);
    if (code == DPC_OK)
        code = write_pieces(name, pieces, (uint32_t)count, err);
    if (code != DPC_OK) {
        destroy(&pieces->tokenizer);
        return code;
    }
    pieces->tokenizer = (struct dpc_tokenizer){
        .ops = &ops,
        .vocabulary = {.size = (uint32_t)count, .width = 2, .lengths = pieces->lengths}};
    dpc_hash_of(bytes, len, &pieces->tokenizer.vocabulary.model);
    *ret_tokenizer = &pieces->tokenizer;
    return DPC_OK;
}

struct dpc_sentencepiece_entry
dpc_sentencepiece_entry_of(const struct dpc_tokenizer *tokenizer, uint32_t token)
{
    const struct spm_model *model = of(tokenizer)->model;
    enum spm_kind kind;
    assert(token < tokenizer->vocabulary.size);
    const char *piece = spm_piece(model, (int)token, &kind);
    return (struct dpc_sentencepiece_entry){.piece = piece,
                                            .score = spm_score(model, (int)token),
                                            .role = kind == SPM_UNKNOWN   ? DPC_PIECE_UNKNOWN
                                                    : kind == SPM_CONTROL ? DPC_PIECE_MARK
                                                    : kind == SPM_BYTE    ? DPC_PIECE_BYTE
                                                                          : DPC_PIECE_TEXT};
}

/* --- Training. */

/* A text comes back as it was: nothing is normalised, and what has no piece is written in bytes.
 * The number of threads counts for the result (sums of doubles), so it is not the machine's. Digits
 * are pieces of their own. No text has marks. */
static const struct spm_setting settings_of_all[] = {
    {"normalization_rule_name", "identity"},
    {"remove_extra_whitespaces", "false"},
    {"add_dummy_prefix", "false"},
    {"allow_whitespace_only_pieces", "true"},
    {"split_digits", "true"},
    {"byte_fallback", "true"},
    {"character_coverage", "0.9995"},
    {"unk_id", "0"},
    {"bos_id", "-1"},
    {"eos_id", "-1"},
    {"pad_id", "-1"},
    {"num_threads", "4"},
    {"max_sentence_length", "65536"},
    {"minloglevel", "3"},
};

/* Of texts in which fewer than one byte in so many is a space, such as Japanese ones, it may be
 * beyond the coverage. It needs a piece: the library would write the bytes of U+2581 instead. */
enum { SPACE_RARE = 1000 };

struct training {
    struct dpc_buf sentences; /* each behind its length */
    struct dpc_reader reader; /* of them */
    size_t bytes, spaces;     /* in those that the library looks at */
    struct dpc_buf *out;
};

static void
add_sentence(struct training *training, const char *text, size_t len)
{
    dpc_buf_put_u32(&training->sentences, (uint32_t)len);
    dpc_buf_put(&training->sentences, text, len);
    if (memmem(text, len, "\xE2\x96\x85", 3)) /* its own sign for the unknown: it leaves them out */
        return;
    training->bytes += len;
    for (size_t i = 0; i < len; i++)
        training->spaces += text[i] == ' ';
}

/* Whether a piece for the space must be asked for. Without any a last sentence is one: a character
 * that is asked for and never met ends the library, and with it this program. */
static bool
gather(struct training *training, const char *(*next)(void *context, size_t *ret_len),
       void *context)
{
    size_t len;
    for (const char *text; (text = next(context, &len));)
        add_sentence(training, text, len);
    bool rare = training->spaces * SPACE_RARE <= training->bytes && training->sentences.len;
    if (rare && training->spaces == 0)
        add_sentence(training, " ", 1);
    dpc_reader_init(&training->reader, training->sentences.data, training->sentences.len);
    return rare;
}

static const char *
next_sentence(void *context, size_t *ret_len)
{
    struct dpc_reader *reader = &((struct training *)context)->reader;
    if (reader->at == reader->end)
        return NULL;
    *ret_len = dpc_reader_u32(reader);
    return (const char *)dpc_reader_bytes(reader, *ret_len);
}

static void
put_trained(void *context, const void *bytes, size_t len)
{
    dpc_buf_put(((struct training *)context)->out, bytes, len);
}

static int
refused(uint32_t vocab, const char *reason, struct dpc_error *err)
{
    const char *words = words_of(reason);
    if (strncmp(words, "Vocabulary size too high", 24) == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "the texts have too few pieces for a vocabulary of %u: %s Ask for "
                             "fewer, or import more text",
                             vocab, strstr(words, "Please") ? strstr(words, "Please") : "");
    if (strncmp(words, "Vocabulary size is smaller", 26) == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "a vocabulary of %u has no room for the 256 bytes and the characters "
                             "of the texts: ask for more",
                             vocab);
    return dpc_error_set(err, DPC_EINVAL, "could not train a vocabulary of %u: %s", vocab, words);
}

int
dpc_sentencepiece_train(enum dpc_sentencepiece_kind kind, uint32_t vocab,
                        const char *(*next)(void *context, size_t *ret_len), void *context,
                        struct dpc_buf *out, struct dpc_error *err)
{
    enum { COMMON = sizeof settings_of_all / sizeof *settings_of_all };
    struct spm_setting settings[COMMON + 3];
    struct training training = {.out = out};
    char size[16], reason[DPC_ERROR_TEXT_MAX / 2] = "";
    size_t count = COMMON;
    int code = DPC_OK;
    dpc_buf_init(&training.sentences, 0);
    memcpy(settings, settings_of_all, sizeof settings_of_all);
    (void)snprintf(size, sizeof size, "%u", vocab);
    settings[count++] = (struct spm_setting){"vocab_size", size};
    settings[count++] =
        (struct spm_setting){"model_type", kind == DPC_SENTENCEPIECE_BPE ? "bpe" : "unigram"};
    if (gather(&training, next, context))
        settings[count++] = (struct spm_setting){"required_chars", DPC_SENTENCEPIECE_SPACE};
    if (training.sentences.failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for the texts of a vocabulary");
    else if (training.sentences.len == 0)
        code = dpc_error_set(err, DPC_EINVAL, "there is no text to train a vocabulary on");
    else if (!spm_train(settings, count, next_sentence, &training, put_trained, reason,
                        sizeof reason))
        code = refused(vocab, reason, err);
    else if (out->failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for the tokenizer");
    dpc_buf_done(&training.sentences);
    return code;
}
