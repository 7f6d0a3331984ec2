/* SPDX-License-Identifier: Apache-2.0
 * The key is made again from what was read and must equal the key under which it stood: a record in
 * the wrong place is damage, too. */
#include "storage/db/codec.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

static void
put_field(struct dpc_buf *out, enum dpc_field_kind kind, const void *at)
{
    uint32_t u32;
    uint64_t u64;
    double f64;
    switch (kind) {
    case DPC_FIELD_U32:
        memcpy(&u32, at, sizeof u32);
        dpc_buf_put_u32(out, u32);
        break;
    case DPC_FIELD_U64:
        memcpy(&u64, at, sizeof u64);
        dpc_buf_put_u64(out, u64);
        break;
    case DPC_FIELD_F64:
        memcpy(&f64, at, sizeof f64);
        dpc_buf_put_f64(out, f64);
        break;
    case DPC_FIELD_BYTES32:
        dpc_buf_put(out, at, DPC_HASH_BYTES);
        break;
    case DPC_FIELD_NAME:
        dpc_buf_put_block(out, at, strnlen(at, DPC_NAME_MAX - 1));
        break;
    }
}

static void
get_field(struct dpc_reader *in, enum dpc_field_kind kind, void *at)
{
    uint32_t u32;
    uint64_t u64;
    double f64;
    const uint8_t *bytes;
    switch (kind) {
    case DPC_FIELD_U32:
        u32 = dpc_reader_u32(in);
        memcpy(at, &u32, sizeof u32);
        break;
    case DPC_FIELD_U64:
        u64 = dpc_reader_u64(in);
        memcpy(at, &u64, sizeof u64);
        break;
    case DPC_FIELD_F64:
        f64 = dpc_reader_f64(in);
        memcpy(at, &f64, sizeof f64);
        break;
    case DPC_FIELD_BYTES32:
        bytes = dpc_reader_bytes(in, DPC_HASH_BYTES);
        if (bytes)
            memcpy(at, bytes, DPC_HASH_BYTES);
        break;
    case DPC_FIELD_NAME:
        dpc_reader_text(in, at, DPC_NAME_MAX);
        break;
    }
}

void
dpc_fields_put(struct dpc_buf *out, const struct dpc_field *fields, size_t count,
               const void *record)
{
    for (size_t i = 0; i < count; i++)
        put_field(out, fields[i].kind, (const uint8_t *)record + fields[i].offset);
}

size_t
dpc_fields_bytes_min(const struct dpc_field *fields, size_t count)
{
    static const size_t bytes[] = {
        [DPC_FIELD_U32] = 4,  [DPC_FIELD_U64] = 8,
        [DPC_FIELD_F64] = 8,  [DPC_FIELD_BYTES32] = DPC_HASH_BYTES,
        [DPC_FIELD_NAME] = 4, /* an empty one */
    };
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += bytes[fields[i].kind];
    return sum;
}

void
dpc_fields_get(struct dpc_reader *in, const struct dpc_field *fields, size_t count,
               void *ret_record)
{
    for (size_t i = 0; i < count; i++)
        get_field(in, fields[i].kind, (uint8_t *)ret_record + fields[i].offset);
}

void
dpc_key_start(struct dpc_key *key, char letter)
{
    key->bytes[0] = (uint8_t)letter;
    key->len = 1;
}

static void
add_big_endian(struct dpc_key *key, uint64_t value, size_t width)
{
    assert(key->len + width <= sizeof key->bytes);
    for (size_t i = 0; i < width; i++)
        key->bytes[key->len++] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

void
dpc_key_add_u32(struct dpc_key *key, uint32_t value)
{
    add_big_endian(key, value, 4);
}

void
dpc_key_add_u64(struct dpc_key *key, uint64_t value)
{
    add_big_endian(key, value, 8);
}

void
dpc_key_add_bytes32(struct dpc_key *key, const void *bytes)
{
    assert(key->len + DPC_HASH_BYTES <= sizeof key->bytes);
    memcpy(key->bytes + key->len, bytes, DPC_HASH_BYTES);
    key->len += DPC_HASH_BYTES;
}

void
dpc_record_key(const struct dpc_record_type *type, const void *record, struct dpc_key *ret_key)
{
    dpc_key_start(ret_key, type->letter);
    if (type->key)
        type->key(ret_key, record);
}

void
dpc_record_put(struct dpc_kv_batch *batch, const struct dpc_record_type *type, const void *record)
{
    assert(!type->valid || type->valid(record));
    struct dpc_key key;
    struct dpc_buf value;
    dpc_buf_init(&value, 0);
    dpc_buf_put_u8(&value, type->format);
    dpc_fields_put(&value, type->fields, type->fields_count, record);
    dpc_record_key(type, record, &key);
    dpc_kv_batch_put(batch, type->family, key.bytes, key.len, value.data, value.len);
    batch->operations.failed |= value.failed;
    dpc_buf_done(&value);
}

int
dpc_record_damaged(const struct dpc_record_type *type, const char *why, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ECORRUPT,
                         "a %s record of the store is damaged (%s): restore the store from a "
                         "backup, or begin anew with another one",
                         type->name, why);
}

/* Of a record of an older format; 0: there is no such format. */
static size_t
older_fields_count(const struct dpc_record_type *type, uint8_t format)
{
    return format == 1   ? type->fields_count_format_1
           : format == 2 ? type->fields_count_format_2
           : format == 3 ? type->fields_count_format_3
                         : 0;
}

int
dpc_record_begin(const struct dpc_record_type *type, struct dpc_reader *reader, const void *value,
                 size_t len, struct dpc_error *err)
{
    dpc_reader_init(reader, value, len);
    uint8_t format = dpc_reader_u8(reader);
    if (format > type->format)
        return dpc_error_set(err, DPC_EVERSION,
                             "a %s record of the store was written by a newer version (format %u, "
                             "this program knows %u): install a newer dipaco",
                             type->name, format, type->format);
    bool known = format == type->format || older_fields_count(type, format);
    return known ? DPC_OK : dpc_record_damaged(type, "unknown format", err);
}

int
dpc_record_decode(const struct dpc_record_type *type, const void *key, size_t key_len,
                  const void *value, size_t len, void *ret_record, struct dpc_error *err)
{
    struct dpc_reader reader;
    struct dpc_key expected;
    int code = dpc_record_begin(type, &reader, value, len, err);
    if (code != DPC_OK)
        return code;
    uint8_t format = *(const uint8_t *)value;
    memset(ret_record, 0, type->bytes);
    dpc_fields_get(&reader, type->fields,
                   format < type->format ? older_fields_count(type, format) : type->fields_count,
                   ret_record);
    if (dpc_reader_finish(&reader) != DPC_OK)
        return dpc_record_damaged(type, "wrong length", err);
    if (type->valid && !type->valid(ret_record))
        return dpc_record_damaged(type, "impossible value", err);
    dpc_record_key(type, ret_record, &expected);
    if (expected.len != key_len || memcmp(expected.bytes, key, key_len) != 0)
        return dpc_record_damaged(type, "it stands under another record's key", err);
    return DPC_OK;
}

int
dpc_record_load(struct dpc_kv *kv, const struct dpc_record_type *type, const struct dpc_key *key,
                void *ret_record, struct dpc_error *err)
{
    uint8_t *value;
    size_t len;
    int code = kv->ops->get(kv, type->family, key->bytes, key->len, &value, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code, "the store has no such %s record", type->name);
    if (code != DPC_OK)
        return code;
    code = dpc_record_decode(type, key->bytes, key->len, value, len, ret_record, err);
    dpc_free(value);
    return code;
}

struct scan {
    const struct dpc_record_type *type;
    void *record;
    bool (*visit)(void *, const void *);
    void *visitor;
    struct dpc_error *err;
    int code;
};

static bool
decode_and_visit(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                 size_t len)
{
    struct scan *scan = context;
    scan->code = dpc_record_decode(scan->type, key, key_len, value, len, scan->record, scan->err);
    return scan->code == DPC_OK && scan->visit(scan->visitor, scan->record);
}

int
dpc_record_scan(struct dpc_kv *kv, const struct dpc_record_type *type, void *record,
                bool (*visit)(void *visitor, const void *record), void *visitor,
                struct dpc_error *err)
{
    struct dpc_key all;
    dpc_key_start(&all, type->letter);
    return dpc_record_scan_part(kv, type, &all, NULL, record, visit, visitor, err);
}

int
dpc_record_scan_part(struct dpc_kv *kv, const struct dpc_record_type *type,
                     const struct dpc_key *prefix, const struct dpc_key *after, void *record,
                     bool (*visit)(void *visitor, const void *record), void *visitor,
                     struct dpc_error *err)
{
    struct scan scan = {type, record, visit, visitor, err, DPC_OK};
    int code =
        kv->ops->scan(kv, type->family, prefix->bytes, prefix->len, after ? after->bytes : NULL,
                      after ? after->len : 0, decode_and_visit, &scan, err);
    return code == DPC_OK ? scan.code : code;
}
