/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever somebody's `tokenizer.model` holds: what is accepted gives tokens of its vocabulary, and
 * texts that it keeps as they are come back.
 */
#include "base/limits.h"
#include "data/sentencepiece.h"
#include "tests/fuzz/fuzz.h"

static void
encode(const struct dpc_tokenizer *tokenizer, bool as_is, const char *text)
{
    int32_t *tokens;
    uint32_t count;
    struct dpc_buf back;
    struct dpc_error err;
    size_t len = strlen(text);
    if (dpc_tokenizer_encode_wide(tokenizer, (const uint8_t *)text, len, &tokens, &count, &err) !=
        DPC_OK)
        return;
    for (uint32_t i = 0; i < count; i++)
        fuzz_require((uint32_t)tokens[i] < tokenizer->vocabulary.size, "a token is one");
    dpc_buf_init(&back, 0);
    dpc_tokenizer_decode(tokenizer, tokens, count, &back);
    fuzz_require(dpc_vocabulary_text_bytes(&tokenizer->vocabulary, tokens, count) == back.len,
                 "a token's text is as long as it says");
    fuzz_require(!as_is || (back.len == len && memcmp(back.data, text, len) == 0),
                 "a text comes back as it was");
    dpc_buf_done(&back);
    dpc_free(tokens);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {
        "ba con de", " two  spaces ", "\xC3\xB6\xE2\x82\xAC \xF0\x9F\x98\x80\n\nfi\tgu",
        "\xFF\x80 \xE2\x96\x81 no text", "A\xCC\x81\xEF\xBC\xA1\xE3\x8E\x8F"};
    struct dpc_sentencepiece_facts facts;
    struct dpc_tokenizer *tokenizer;
    struct dpc_error err;
    if (dpc_sentencepiece_read("t", data, size, &tokenizer, &err) != DPC_OK)
        return 0;
    fuzz_accepted++;
    fuzz_require(dpc_sentencepiece_look(data, size, &facts, &err) == DPC_OK, "a model is one");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        encode(tokenizer, facts.as_is && !facts.add_prefix && !facts.marks && !facts.special,
               texts[i]);
    for (uint32_t token = 0; token < tokenizer->vocabulary.size; token++)
        (void)dpc_sentencepiece_entry_of(tokenizer, token);
    dpc_tokenizer_destroy(tokenizer);
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { VOCAB = 282, LINES = 100, UNITS_BYTES = 1024, SPEC_BYTES = 4 + UNITS_BYTES + 1 };

static const char *
next_line(void *context, size_t *ret_len)
{
    static const char *const lines[] = {"ba con de fi gu lo", "mer ni or pa sto ti un ver za",
                                        "\xC3\xB6"
                                        "ba con ni pa fi",
                                        "de or sto za ba gu mer"};
    uint32_t *at = context;
    if (*at == LINES)
        return NULL;
    const char *line = lines[(*at)++ % (sizeof lines / sizeof *lines)];
    *ret_len = strlen(line);
    return line;
}

/* A map of characters that maps none, in a message before the model's own, which is read into the
 * same: normalizer_spec = 3 with precompiled_charsmap = 2. */
static void
put_charsmap(struct dpc_buf *out)
{
    static const uint8_t zeros[UNITS_BYTES + 1];
    enum { TAG_SPEC = 3 << 3 | 2, TAG_MAP = 2 << 3 | 2, HEAD = 3 };
    dpc_buf_put_u8(out, TAG_SPEC);
    dpc_buf_put_u8(out, 0x80 | ((HEAD + SPEC_BYTES) & 0x7f));
    dpc_buf_put_u8(out, (HEAD + SPEC_BYTES) >> 7);
    dpc_buf_put_u8(out, TAG_MAP);
    dpc_buf_put_u8(out, 0x80 | (SPEC_BYTES & 0x7f));
    dpc_buf_put_u8(out, SPEC_BYTES >> 7);
    dpc_buf_put_u32(out, UNITS_BYTES);
    dpc_buf_put(out, zeros, sizeof zeros);
}

static void
add_model(struct fuzz *fuzz, enum dpc_sentencepiece_kind kind, bool maps)
{
    struct dpc_buf out;
    struct dpc_error err = {0};
    uint32_t at = 0;
    dpc_buf_init(&out, 0);
    if (maps)
        put_charsmap(&out);
    size_t head = maps ? out.len : 0;
    fuzz_require(dpc_sentencepiece_train(kind, VOCAB, next_line, &at, &out, &err) == DPC_OK,
                 err.text);
    fuzz_valid(fuzz, out.data, out.len, head);
    dpc_buf_done(&out);
}

static void
add_inputs(struct fuzz *fuzz)
{
    add_model(fuzz, DPC_SENTENCEPIECE_UNIGRAM, false);
    add_model(fuzz, DPC_SENTENCEPIECE_BPE, false);
    add_model(fuzz, DPC_SENTENCEPIECE_UNIGRAM, true);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 3000, add_inputs);
}

#endif
