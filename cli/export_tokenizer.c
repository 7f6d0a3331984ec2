/* SPDX-License-Identifier: Apache-2.0
 * SentencePiece merges whatever neighbours make a piece together, the best piece first; the
 * tokenizers library wants every such pair listed. */
#include "cli/export_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Takes its parts; NULL: none. */
static struct dpc_json *
whole(struct dpc_json *model, struct dpc_json *normalizer, struct dpc_json *pre_tokenizer,
      struct dpc_json *decoder)
{
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_text(root, "version", "1.0");
    dpc_json_set(root, "added_tokens", dpc_json_array());
    dpc_json_set(root, "normalizer", normalizer);
    dpc_json_set(root, "pre_tokenizer", pre_tokenizer);
    dpc_json_set(root, "post_processor", NULL);
    dpc_json_set(root, "decoder", decoder);
    dpc_json_set(root, "model", model);
    return root;
}

/* --- Bytes: byte-pair encoding without pairs. */

/* The letter that the tokenizers library's ByteLevel writes for a byte: itself where it can be
 * seen, else one of those from U+0100 on, in order (GPT-2's bytes_to_unicode). */
static void
put_letter(uint32_t byte, uint32_t *hidden, char ret_letter[3])
{
    bool seen = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    uint32_t letter = seen ? byte : 0x100 + (*hidden)++;
    ret_letter[0] = (char)letter;
    ret_letter[1] = ret_letter[2] = 0;
    if (letter < 0x80)
        return;
    ret_letter[0] = (char)(0xC0 | letter >> 6);
    ret_letter[1] = (char)(0x80 | (letter & 0x3F));
}

static struct dpc_json *
byte_level(void)
{
    struct dpc_json *level = dpc_json_object();
    dpc_json_set_text(level, "type", "ByteLevel");
    dpc_json_set_bool(level, "add_prefix_space", false);
    dpc_json_set_bool(level, "trim_offsets", false);
    dpc_json_set_bool(level, "use_regex", false);
    return level;
}

struct dpc_json *
dpc_export_byte_tokenizer(void)
{
    struct dpc_json *model = dpc_json_object(), *vocabulary = dpc_json_object();
    uint32_t hidden = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        char letter[3];
        put_letter(byte, &hidden, letter);
        dpc_json_set_integer(vocabulary, letter, byte);
    }
    dpc_json_set_text(model, "type", "BPE");
    dpc_json_set(model, "vocab", vocabulary);
    dpc_json_set(model, "merges", dpc_json_array());
    return whole(model, NULL, byte_level(), byte_level());
}

/* --- Pieces. */

struct vocabulary {
    uint32_t count;
    uint32_t unknown;                        /* token of what has no piece */
    struct dpc_sentencepiece_entry *entries; /* [count] */
    uint32_t *sorted;                        /* [count] tokens by their pieces */
};

static int
by_piece(const void *a, const void *b, void *context)
{
    const struct dpc_sentencepiece_entry *entries = context;
    return strcmp(entries[*(const uint32_t *)a].piece, entries[*(const uint32_t *)b].piece);
}

static void
vocabulary_init(struct vocabulary *vocabulary, const struct dpc_tokenizer *tokenizer)
{
    uint32_t count = tokenizer->vocabulary.size;
    *vocabulary = (struct vocabulary){.count = count,
                                      .entries = dpc_alloc(count, sizeof *vocabulary->entries),
                                      .sorted = dpc_alloc(count, sizeof *vocabulary->sorted)};
    for (uint32_t token = 0; token < count; token++) {
        vocabulary->entries[token] = dpc_sentencepiece_entry_of(tokenizer, token);
        vocabulary->sorted[token] = token;
        if (vocabulary->entries[token].role == DPC_PIECE_UNKNOWN)
            vocabulary->unknown = token;
    }
    qsort_r(vocabulary->sorted, count, sizeof *vocabulary->sorted, by_piece, vocabulary->entries);
}

static void
vocabulary_done(struct vocabulary *vocabulary)
{
    dpc_free(vocabulary->entries);
    dpc_free(vocabulary->sorted);
}

/* Whether a text is the piece of a token. */
static bool
find(const struct vocabulary *vocabulary, const char *text, size_t len, uint32_t *ret_token)
{
    uint32_t from = 0, to = vocabulary->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2, token = vocabulary->sorted[middle];
        const char *piece = vocabulary->entries[token].piece;
        int order = strncmp(piece, text, len);
        if (order == 0 && piece[len])
            order = 1;
        if (order == 0) {
            *ret_token = token;
            return vocabulary->entries[token].role == DPC_PIECE_TEXT;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

/* Two pieces that make a third, whose rank is that of the merge. */
struct merge {
    uint32_t left, right;
    size_t left_len, right_len; /* bytes of these pieces */
    double score;
};

struct merges {
    struct merge *items;
    size_t count, capacity;
};

/* The best piece first. Among pieces as good, such as the runs of spaces of LLaMA's vocabulary,
 * SentencePiece merges from the left, so that what stands there grows: the longer left piece, then
 * the longer right one goes first. */
static int
by_score(const void *a, const void *b)
{
    const struct merge *one = a, *other = b;
    if (one->score != other->score)
        return one->score > other->score ? -1 : 1;
    if (one->left_len != other->left_len)
        return one->left_len > other->left_len ? -1 : 1;
    if (one->right_len != other->right_len)
        return one->right_len > other->right_len ? -1 : 1;
    if (one->left != other->left)
        return one->left < other->left ? -1 : 1;
    return one->right < other->right ? -1 : one->right > other->right;
}

static void
add_merges(const struct vocabulary *vocabulary, uint32_t token, struct merges *merges)
{
    const struct dpc_sentencepiece_entry *entry = &vocabulary->entries[token];
    size_t len = entry->role == DPC_PIECE_TEXT ? strlen(entry->piece) : 0;
    for (size_t cut = 1; cut < len; cut++) {
        struct merge merge = {.left_len = cut, .right_len = len - cut, .score = entry->score};
        if (!find(vocabulary, entry->piece, cut, &merge.left) ||
            !find(vocabulary, entry->piece + cut, len - cut, &merge.right))
            continue;
        if (merges->count == merges->capacity) {
            merges->capacity = 2 * merges->capacity + 1024;
            merges->items = dpc_grow(merges->items, merges->capacity, sizeof *merges->items);
        }
        merges->items[merges->count++] = merge;
    }
}

static struct dpc_json *
merges_of(const struct vocabulary *vocabulary)
{
    struct dpc_json *list = dpc_json_array();
    struct merges merges = {0};
    for (uint32_t token = 0; token < vocabulary->count; token++)
        add_merges(vocabulary, token, &merges);
    if (merges.count)
        qsort(merges.items, merges.count, sizeof *merges.items, by_score);
    for (size_t i = 0; i < merges.count; i++) {
        char *text = dpc_format("%s %s", vocabulary->entries[merges.items[i].left].piece,
                                vocabulary->entries[merges.items[i].right].piece);
        dpc_json_append_text(list, text);
        dpc_free(text);
    }
    dpc_free(merges.items);
    return list;
}

static struct dpc_json *
bpe_model(const struct vocabulary *vocabulary)
{
    struct dpc_json *model = dpc_json_object(), *pieces = dpc_json_object();
    for (uint32_t token = 0; token < vocabulary->count; token++)
        dpc_json_set_integer(pieces, vocabulary->entries[token].piece, token);
    dpc_json_set_text(model, "type", "BPE");
    dpc_json_set_text(model, "unk_token", vocabulary->entries[vocabulary->unknown].piece);
    dpc_json_set_bool(model, "fuse_unk", true);
    dpc_json_set_bool(model, "byte_fallback", true);
    dpc_json_set(model, "vocab", pieces);
    dpc_json_set(model, "merges", merges_of(vocabulary));
    return model;
}

/* The library would take a text that reads "<0x0A>" for that byte's piece, whose score in the file
 * is 0, the best of all: with this one it is not worth it. */
#define NEVER -1e6

static struct dpc_json *
unigram_model(const struct vocabulary *vocabulary)
{
    struct dpc_json *model = dpc_json_object(), *pieces = dpc_json_array();
    for (uint32_t token = 0; token < vocabulary->count; token++) {
        struct dpc_json *pair = dpc_json_array();
        const struct dpc_sentencepiece_entry *entry = &vocabulary->entries[token];
        dpc_json_append_text(pair, entry->piece);
        dpc_json_append_number(pair, entry->role == DPC_PIECE_TEXT ? entry->score : NEVER);
        dpc_json_append(pieces, pair);
    }
    dpc_json_set_text(model, "type", "Unigram");
    dpc_json_set_integer(model, "unk_id", vocabulary->unknown);
    dpc_json_set_bool(model, "byte_fallback", true);
    dpc_json_set(model, "vocab", pieces);
    return model;
}

static struct dpc_json *
step(const char *type)
{
    struct dpc_json *object = dpc_json_object();
    dpc_json_set_text(object, "type", type);
    return object;
}

/* Replaces one text by another. */
static struct dpc_json *
replacement(const char *from, const char *to)
{
    struct dpc_json *object = step("Replace"), *pattern = dpc_json_object();
    dpc_json_set_text(pattern, "String", from);
    dpc_json_set(object, "pattern", pattern);
    dpc_json_set_text(object, "content", to);
    return object;
}

/* Takes the steps. */
static struct dpc_json *
sequence(const char *key, struct dpc_json *steps)
{
    struct dpc_json *object = step("Sequence");
    dpc_json_set(object, key, steps);
    return object;
}

/* A space before a text, whether it begins with one or not, and spaces as pieces write them. */
static struct dpc_json *
piece_normalizer(bool add_prefix)
{
    struct dpc_json *spaces = replacement(" ", DPC_SENTENCEPIECE_SPACE);
    if (!add_prefix)
        return spaces;
    struct dpc_json *prefix = step("Prepend"), *steps = dpc_json_array();
    dpc_json_set_text(prefix, "prepend", DPC_SENTENCEPIECE_SPACE);
    dpc_json_append(steps, prefix);
    dpc_json_append(steps, spaces);
    return sequence("normalizers", steps);
}

static struct dpc_json *
piece_decoder(bool add_prefix)
{
    struct dpc_json *steps = dpc_json_array();
    dpc_json_append(steps, replacement(DPC_SENTENCEPIECE_SPACE, " "));
    dpc_json_append(steps, step("ByteFallback"));
    dpc_json_append(steps, step("Fuse"));
    if (add_prefix) {
        struct dpc_json *strip = step("Strip");
        dpc_json_set_text(strip, "content", " ");
        dpc_json_set_integer(strip, "start", 1);
        dpc_json_set_integer(strip, "stop", 0);
        dpc_json_append(steps, strip);
    }
    return sequence("decoders", steps);
}

/* Marks are no hindrance: nothing is merged to one, and no text is worth one. */
struct dpc_json *
dpc_export_piece_tokenizer(const struct dpc_tokenizer *tokenizer,
                           const struct dpc_sentencepiece_facts *facts)
{
    struct vocabulary vocabulary;
    if (!facts->as_is || facts->special || (facts->add_prefix && facts->suffix) ||
        facts->kind == DPC_SENTENCEPIECE_OTHER)
        return NULL;
    vocabulary_init(&vocabulary, tokenizer);
    struct dpc_json *model =
        facts->kind == DPC_SENTENCEPIECE_BPE ? bpe_model(&vocabulary) : unigram_model(&vocabulary);
    vocabulary_done(&vocabulary);
    return whole(model, piece_normalizer(facts->add_prefix), NULL,
                 piece_decoder(facts->add_prefix));
}
