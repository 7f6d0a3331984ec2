/* SPDX-License-Identifier: Apache-2.0
 * A document's content key is a point, as good as drawn; those below a threshold are in. Whenever
 * there is too much the threshold is halved, so that what stays does not depend on what came first.
 */
#include "data/vocabulary_sample.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "data/keyset.h"
#include "data/split.h"

enum { SENTENCE_BYTES_MAX = 4096 };

struct text {
    uint64_t point;
    char *bytes;
    size_t len;
};

struct dpc_vocabulary_sample {
    const struct dpc_experiment *experiment;
    struct dpc_keyset seen;
    struct text *texts;
    size_t texts_count, texts_capacity;
    size_t bytes, bytes_max;
    uint64_t points_max; /* texts with larger ones are out */
    size_t at, from;     /* the next sentence: text, and byte in it */
};

struct dpc_vocabulary_sample *
dpc_vocabulary_sample_create(const struct dpc_experiment *experiment, size_t bytes_max)
{
    struct dpc_vocabulary_sample *sample = dpc_alloc(1, sizeof *sample);
    sample->experiment = experiment;
    sample->bytes_max = bytes_max;
    sample->points_max = UINT64_MAX;
    dpc_keyset_init(&sample->seen);
    return sample;
}

struct dpc_vocabulary_sample *
dpc_vocabulary_sample_destroy(struct dpc_vocabulary_sample *sample)
{
    if (!sample)
        return NULL;
    for (size_t i = 0; i < sample->texts_count; i++)
        dpc_free(sample->texts[i].bytes);
    dpc_free(sample->texts);
    dpc_keyset_done(&sample->seen);
    return dpc_free(sample);
}

static void
thin_out(struct dpc_vocabulary_sample *sample)
{
    size_t kept = 0;
    sample->points_max /= 2;
    for (size_t i = 0; i < sample->texts_count; i++) {
        struct text *text = &sample->texts[i];
        if (text->point <= sample->points_max) {
            sample->texts[kept++] = *text;
        } else {
            sample->bytes -= text->len;
            dpc_free(text->bytes);
        }
    }
    sample->texts_count = kept;
}

static int
keep(struct dpc_vocabulary_sample *sample, uint64_t point, const uint8_t *text, size_t len,
     struct dpc_error *err)
{
    if (sample->texts_count == sample->texts_capacity) {
        sample->texts_capacity = 2 * sample->texts_capacity + 64;
        sample->texts = dpc_grow(sample->texts, sample->texts_capacity, sizeof *sample->texts);
    }
    char *bytes = dpc_try_alloc(len, 1);
    if (!bytes)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu bytes of text", len);
    memcpy(bytes, text, len);
    sample->texts[sample->texts_count++] = (struct text){point, bytes, len};
    sample->bytes += len;
    while (sample->bytes > sample->bytes_max && sample->texts_count > 1)
        thin_out(sample);
    return DPC_OK;
}

int
dpc_vocabulary_sample_add(struct dpc_vocabulary_sample *sample, const uint8_t *text, size_t len,
                          struct dpc_error *err)
{
    struct dpc_hash hash;
    uint64_t point = 0;
    dpc_hash_of(text, len, &hash);
    enum dpc_split split = dpc_split_of_key(hash.bytes, sample->experiment);
    if (len == 0 || (split != DPC_SPLIT_TRAIN && split != DPC_SPLIT_ROUTER))
        return DPC_OK;
    if (dpc_keyset_has(&sample->seen, hash.bytes))
        return DPC_OK;
    if (!dpc_keyset_add(&sample->seen, hash.bytes))
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the keys of the documents");
    for (int i = 0; i < 8; i++)
        point = point << 8 | hash.bytes[i];
    if (point > sample->points_max)
        return DPC_OK;
    return keep(sample, point, text,
                len < DPC_VOCABULARY_DOCUMENT_BYTES_MAX ? len : DPC_VOCABULARY_DOCUMENT_BYTES_MAX,
                err);
}

size_t
dpc_vocabulary_sample_bytes(const struct dpc_vocabulary_sample *sample)
{
    return sample->bytes;
}

/* Up to the end of the line, or where the line is long to that of a character. A tab means
 * something else to the library; it separates as a line's end does. */
static size_t
sentence_len(const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && at < SENTENCE_BYTES_MAX && bytes[at] != '\n' && bytes[at] != '\t')
        at++;
    if (at < SENTENCE_BYTES_MAX)
        return at;
    while (at < len && at > SENTENCE_BYTES_MAX - 4 && (bytes[at] & 0xC0) == 0x80)
        at--;
    return at;
}

const char *
dpc_vocabulary_sample_next(void *context, size_t *ret_len)
{
    struct dpc_vocabulary_sample *sample = context;
    while (sample->at < sample->texts_count) {
        const struct text *text = &sample->texts[sample->at];
        if (sample->from >= text->len) {
            sample->at++;
            sample->from = 0;
            continue;
        }
        const char *sentence = text->bytes + sample->from;
        size_t len = sentence_len(sentence, text->len - sample->from);
        sample->from += len > 0 ? len : 1;
        if (len > 0) {
            *ret_len = len;
            return sentence;
        }
    }
    return NULL;
}
