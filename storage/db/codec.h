/* SPDX-License-Identifier: Apache-2.0
 *
 * Records to bytes and back, by tables of fields: one table serves both ways, so that they cannot
 * differ. A value is the format byte of its record type, then the fields in table order, little
 * endian. Reading is strict: too few bytes, too many or an unknown format are errors.
 *
 * Owns: nothing. Threads: any. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_CODEC_H
#define DPC_STORAGE_DB_CODEC_H

#include <stddef.h>

#include "base/buf.h"
#include "base/hash.h"
#include "storage/db/records.h"

_Static_assert((int)DPC_WORKER_KEY_BYTES == (int)DPC_HASH_BYTES, "one kind of field serves both");

enum dpc_field_kind {
    DPC_FIELD_U32,
    DPC_FIELD_U64,
    DPC_FIELD_F64,
    DPC_FIELD_BYTES32, /* a hash or a worker's key */
    DPC_FIELD_NAME,    /* char[DPC_NAME_MAX] */
};

struct dpc_field {
    enum dpc_field_kind kind;
    size_t offset; /* in the struct */
};

/* Rows of a table. The kind follows from the member's type; a type without a row here does not
 * compile. */
#define DPC_FIELD(type, member)                                                                      \
    {                                                                                                \
        _Generic(((type *)0)->member,                                                              \
            uint32_t: DPC_FIELD_U32,                                                               \
            uint64_t: DPC_FIELD_U64,                                                               \
            double: DPC_FIELD_F64,                                                                 \
            struct dpc_hash: DPC_FIELD_BYTES32,                                                    \
            uint8_t *: DPC_FIELD_BYTES32,                                                          \
            char *: DPC_FIELD_NAME),                                                               \
            offsetof(type, member) \
    }

void dpc_fields_put(struct dpc_buf *out, const struct dpc_field *fields, size_t count,
                    const void *record);
/* The fewest bytes that they take. */
size_t dpc_fields_bytes_min(const struct dpc_field *fields, size_t count);
/* Fills `ret_record`; the reader's `failed` tells. */
void dpc_fields_get(struct dpc_reader *in, const struct dpc_field *fields, size_t count,
                    void *ret_record);

/* Keys: a letter for the kind of record, then numbers in big endian, so that order of bytes is
 * order of numbers. */
struct dpc_key {
    uint8_t bytes[48];
    size_t len;
};
void dpc_key_start(struct dpc_key *key, char letter);
void dpc_key_add_u32(struct dpc_key *key, uint32_t value);
void dpc_key_add_u64(struct dpc_key *key, uint64_t value);
void dpc_key_add_bytes32(struct dpc_key *key, const void *bytes);

/* One kind of record. */
struct dpc_record_type {
    const char *name; /* for people: "module" */
    char letter;
    uint8_t format;
    enum dpc_kv_family family;
    const struct dpc_field *fields;
    size_t fields_count;
    size_t fields_count_format_1; /* that a record of format 1 has, the others are zero; 0: all */
    size_t fields_count_format_2; /* likewise */
    size_t fields_count_format_3;
    size_t bytes; /* of the struct */
    /* Adds what stands behind the letter; NULL when there is only one of its kind. */
    void (*key)(struct dpc_key *key, const void *record);
    /* Values that fields alone cannot refuse; may be NULL. */
    bool (*valid)(const void *record);
};

void dpc_record_key(const struct dpc_record_type *type, const void *record,
                    struct dpc_key *ret_key);
void dpc_record_put(struct dpc_kv_batch *batch, const struct dpc_record_type *type,
                    const void *record);
/* Starts reading a value: its format byte. DPC_EVERSION when it is newer than ours. */
int dpc_record_begin(const struct dpc_record_type *type, struct dpc_reader *reader,
                     const void *value, size_t len, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_record_decode(const struct dpc_record_type *type, const void *key, size_t key_len,
                      const void *value, size_t len, void *ret_record,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Fills `err` with what to do about a damaged record. Returns DPC_ECORRUPT. */
int dpc_record_damaged(const struct dpc_record_type *type, const char *why, struct dpc_error *err);

/* The one record under `key`. */
int dpc_record_load(struct dpc_kv *kv, const struct dpc_record_type *type,
                    const struct dpc_key *key, void *ret_record,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* All of a kind; `record` is the caller's room for one, given to `visit` each time. */
int dpc_record_scan(struct dpc_kv *kv, const struct dpc_record_type *type, void *record,
                    bool (*visit)(void *visitor, const void *record), void *visitor,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* Those of them whose keys begin with `prefix` and stand behind `after` (NULL: from the first). */
int dpc_record_scan_part(struct dpc_kv *kv, const struct dpc_record_type *type,
                         const struct dpc_key *prefix, const struct dpc_key *after, void *record,
                         bool (*visit)(void *visitor, const void *record), void *visitor,
                         struct dpc_error *err) DPC_MUST_CHECK;

#endif
