/* SPDX-License-Identifier: Apache-2.0
 * The library tells pieces alone; how a model was made stands in two messages of its file, in the
 * wire format of protocol buffers (sentencepiece_model.proto): ModelProto has trainer_spec = 2,
 * with model_type = 3 and treat_whitespace_as_suffix = 24, and normalizer_spec = 3, with
 * precompiled_charsmap = 2, add_dummy_prefix = 3 and remove_extra_whitespaces = 4. Everything else
 * is passed over. */
#include "data/sentencepiece.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { PIECES = 1, TRAINER_SPEC = 2, NORMALIZER_SPEC = 3 };
enum {
    PIECE_TYPE = 3,
    MODEL_TYPE = 3,
    WHITESPACE_AS_SUFFIX = 24,
    CHARSMAP = 2,
    ADD_DUMMY_PREFIX = 3,
    REMOVE_EXTRA_WHITESPACES = 4
};

struct field {
    uint64_t number, value; /* value: of a varint */
    const uint8_t *bytes;   /* of a message or text */
    size_t len;
};

static uint64_t
read_varint(struct dpc_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = dpc_reader_u8(reader);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

/* False at the end, and where there is none. Where a tag is longer than 32 bits, the library drops
 * the others, and would find a field that was passed over here. */
static bool
next_field(struct dpc_reader *reader, struct field *ret_field)
{
    if (reader->failed || reader->at == reader->end)
        return false;
    uint64_t tag = read_varint(reader);
    if (tag > UINT32_MAX)
        reader->failed = true;
    *ret_field = (struct field){.number = tag >> 3};
    switch (tag & 7) {
    case WIRE_VARINT:
        ret_field->value = read_varint(reader);
        break;
    case WIRE_64:
        (void)dpc_reader_u64(reader);
        break;
    case WIRE_32:
        (void)dpc_reader_u32(reader);
        break;
    case WIRE_BYTES:
        ret_field->len = (size_t)read_varint(reader);
        ret_field->bytes = dpc_reader_bytes(reader, ret_field->len);
        break;
    default:
        reader->failed = true;
    }
    return !reader->failed;
}

/* Marks, pieces of the user's own and unused ones. */
enum { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

static bool
look_at_piece(const struct field *message, struct dpc_sentencepiece_facts *facts)
{
    struct dpc_reader reader;
    struct field field;
    dpc_reader_init(&reader, message->bytes, message->len);
    while (next_field(&reader, &field)) {
        if (field.number != PIECE_TYPE)
            continue;
        facts->marks |= field.value == TYPE_CONTROL;
        facts->special |= field.value == TYPE_USER_DEFINED || field.value == TYPE_UNUSED;
    }
    return !reader.failed;
}

static bool
look_at_trainer(const struct field *message, struct dpc_sentencepiece_facts *facts)
{
    struct dpc_reader reader;
    struct field field;
    dpc_reader_init(&reader, message->bytes, message->len);
    while (next_field(&reader, &field)) {
        if (field.number == MODEL_TYPE)
            facts->kind = field.value == 1   ? DPC_SENTENCEPIECE_UNIGRAM
                          : field.value == 2 ? DPC_SENTENCEPIECE_BPE
                                             : DPC_SENTENCEPIECE_OTHER;
        else if (field.number == WHITESPACE_AS_SUFFIX)
            facts->suffix = field.value != 0;
    }
    return !reader.failed;
}

enum { UNIT_BYTES = 4, BLOCK_UNITS = 256 };

static uint32_t
unit_at(const uint8_t *trie, uint32_t index)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, trie + (size_t)index * UNIT_BYTES, UNIT_BYTES);
    return dpc_reader_u32(&reader);
}

/* A unit with the highest bit set is a value, at which no walk goes on. Any other has a block of
 * children, one of which is its value when bit 8 says so: where in the texts its own begins. */
static bool
unit_is_sound(const uint8_t *trie, uint32_t units, uint32_t index, size_t texts_len)
{
    uint32_t unit = unit_at(trie, index), offset = (unit >> 10) << ((unit & (1u << 9)) >> 6);
    if (unit >> 31)
        return true;
    if (((index ^ offset) | (BLOCK_UNITS - 1)) >= units)
        return false;
    uint32_t value = unit_at(trie, index ^ offset);
    return !(unit & (1u << 8)) || (value >> 31 && (value & ~(1u << 31)) < texts_len);
}

static bool
charsmap_is_sound(const uint8_t *bytes, size_t len)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    uint32_t trie_bytes = dpc_reader_u32(&reader);
    const uint8_t *trie = dpc_reader_bytes(&reader, trie_bytes);
    size_t texts_len = (size_t)(reader.end - reader.at);
    uint32_t units = trie_bytes / UNIT_BYTES;
    if (reader.failed || trie_bytes % UNIT_BYTES || units < BLOCK_UNITS || texts_len == 0 ||
        reader.at[texts_len - 1] != 0)
        return false;
    for (uint32_t i = 0; i < units; i++) {
        if (!unit_is_sound(trie, units, i, texts_len))
            return false;
    }
    return true;
}

static bool
look_at_normalizer(const struct field *message, struct dpc_sentencepiece_facts *facts)
{
    struct dpc_reader reader;
    struct field field;
    bool maps = false, removes = true;
    dpc_reader_init(&reader, message->bytes, message->len);
    while (next_field(&reader, &field)) {
        if (field.number == CHARSMAP && field.len > 0) {
            maps = true;
            if (!charsmap_is_sound(field.bytes, field.len))
                return false;
        } else if (field.number == ADD_DUMMY_PREFIX) {
            facts->add_prefix = field.value != 0;
        } else if (field.number == REMOVE_EXTRA_WHITESPACES) {
            removes = field.value != 0;
        }
    }
    facts->as_is = !maps && !removes;
    return !reader.failed;
}

int
dpc_sentencepiece_look(const void *bytes, size_t len, struct dpc_sentencepiece_facts *ret_facts,
                       struct dpc_error *err)
{
    struct dpc_sentencepiece_facts facts = {.add_prefix = true}; /* the format's defaults */
    struct dpc_reader reader;
    struct field field;
    bool fine = true;
    dpc_reader_init(&reader, bytes, len);
    while (fine && next_field(&reader, &field)) {
        if (field.number == PIECES)
            fine = look_at_piece(&field, &facts);
        else if (field.number == TRAINER_SPEC)
            fine = look_at_trainer(&field, &facts);
        else if (field.number == NORMALIZER_SPEC)
            fine = look_at_normalizer(&field, &facts);
    }
    if (!fine || reader.failed)
        return dpc_error_set(err, DPC_ECORRUPT,
                             "it is no model file of SentencePiece, or a damaged one");
    *ret_facts = facts;
    return DPC_OK;
}
