/* SPDX-License-Identifier: Apache-2.0
 * The ledger: each entry names the hash of the one before it, over all its bytes. An entry that is
 * changed, taken out or put in breaks the chain at the next; the last one is held by the phase
 * record, which is written in the same batch. */
#include "storage/db/ledger.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "storage/db/record_types.h"

#define F(member) DPC_FIELD(struct dpc_ledger_entry, member)
static const struct dpc_field entry_fields[] = {
    F(path), F(lease), F(delta), F(weight), F(worker), F(steps), F(late), F(scale),
};
#undef F

enum {
    ENTRY_FIELDS = sizeof entry_fields / sizeof *entry_fields,
    ENTRY_FIELDS_FORMAT_1 = ENTRY_FIELDS - 3, /* all whole rounds, in time, as they came */
};

static void
make_key(uint64_t sequence, struct dpc_key *ret_key)
{
    dpc_record_key(&dpc_type_ledger, &(struct dpc_ledger_record){.sequence = sequence}, ret_key);
}

void
dpc_put_ledger(struct dpc_kv_batch *batch, const struct dpc_ledger_record *record,
               struct dpc_hash *ret_hash)
{
    const struct dpc_record_type *type = &dpc_type_ledger;
    assert(record->entries_count <= DPC_CONTRIBUTION_ENTRIES_MAX);
    struct dpc_key key;
    struct dpc_buf value;
    dpc_buf_init(&value, 0);
    dpc_buf_put_u8(&value, type->format);
    dpc_fields_put(&value, type->fields, type->fields_count, record);
    dpc_buf_put_u32(&value, record->entries_count);
    for (uint32_t i = 0; i < record->entries_count; i++)
        dpc_fields_put(&value, entry_fields, ENTRY_FIELDS, &record->entries[i]);
    make_key(record->sequence, &key);
    dpc_kv_batch_put(batch, type->family, key.bytes, key.len, value.data, value.len);
    batch->operations.failed |= value.failed;
    dpc_hash_of(value.data, value.len, ret_hash);
    dpc_buf_done(&value);
}

static size_t
entry_fields_count(uint8_t format)
{
    return format == 1 ? ENTRY_FIELDS_FORMAT_1 : ENTRY_FIELDS;
}

/* No more than there are bytes for, so that no damage asks for memory that nothing fills. */
static bool
is_possible(const struct dpc_reader *reader, uint8_t format, uint32_t entries_count)
{
    size_t left = (size_t)(reader->end - reader->at);
    return !reader->failed && entries_count <= DPC_CONTRIBUTION_ENTRIES_MAX &&
           entries_count <= left / dpc_fields_bytes_min(entry_fields, entry_fields_count(format));
}

static void
get_entry(struct dpc_reader *reader, uint8_t format, struct dpc_ledger_entry *ret_entry)
{
    *ret_entry = (struct dpc_ledger_entry){.scale = 1};
    dpc_fields_get(reader, entry_fields, entry_fields_count(format), ret_entry);
}

/* On DPC_OK the record's entries are the caller's to free. */
static int
decode(const void *value, size_t len, struct dpc_ledger_record *ret_record, struct dpc_error *err)
{
    const struct dpc_record_type *type = &dpc_type_ledger;
    struct dpc_ledger_record record = {0};
    struct dpc_reader reader;
    int code = dpc_record_begin(type, &reader, value, len, err);
    if (code != DPC_OK)
        return code;
    dpc_fields_get(&reader, type->fields, type->fields_count, &record);
    record.entries_count = dpc_reader_u32(&reader);
    uint8_t format = *(const uint8_t *)value;
    if (!is_possible(&reader, format, record.entries_count))
        return dpc_record_damaged(type, "impossible number of entries", err);
    record.entries = dpc_try_alloc(record.entries_count, sizeof *record.entries);
    if (!record.entries)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for a ledger entry");
    for (uint32_t i = 0; i < record.entries_count; i++)
        get_entry(&reader, format, &record.entries[i]);
    if (dpc_reader_finish(&reader) != DPC_OK) {
        dpc_free(record.entries);
        return dpc_record_damaged(type, "wrong length", err);
    }
    *ret_record = record;
    return DPC_OK;
}

int
dpc_load_ledger(struct dpc_kv *kv, uint64_t sequence, struct dpc_ledger_record *ret,
                struct dpc_error *err)
{
    struct dpc_key key;
    struct dpc_ledger_record record;
    uint8_t *value;
    size_t len;
    make_key(sequence, &key);
    int code = kv->ops->get(kv, dpc_type_ledger.family, key.bytes, key.len, &value, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code, "the ledger has no entry %llu",
                             (unsigned long long)sequence);
    if (code != DPC_OK)
        return code;
    code = decode(value, len, &record, err);
    dpc_free(value);
    if (code == DPC_OK && record.sequence != sequence) {
        dpc_free(record.entries);
        code = dpc_record_damaged(&dpc_type_ledger, "it stands under another record's key", err);
    }
    if (code == DPC_OK)
        *ret = record;
    return code;
}

int
dpc_ledger_hash(struct dpc_kv *kv, uint64_t sequence, struct dpc_hash *ret_hash,
                struct dpc_error *err)
{
    struct dpc_key key;
    uint8_t *value;
    size_t len;
    make_key(sequence, &key);
    int code = kv->ops->get(kv, dpc_type_ledger.family, key.bytes, key.len, &value, &len, err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(value, len, ret_hash);
    dpc_free(value);
    return DPC_OK;
}

struct head {
    bool found;
    uint64_t sequence;
    struct dpc_hash hash;
};

static void
look_for_head(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
              const uint8_t *value, size_t value_len)
{
    struct head *head = context;
    if (family != dpc_type_ledger.family || key[0] != (uint8_t)dpc_type_ledger.letter || !value)
        return;
    assert(key_len == 9);
    uint64_t sequence = 0;
    for (size_t i = 1; i < key_len; i++)
        sequence = sequence << 8 | key[i];
    head->found = true;
    head->sequence = sequence;
    dpc_hash_of(value, value_len, &head->hash);
}

bool
dpc_ledger_in_batch(const struct dpc_kv_batch *batch, uint64_t *ret_sequence,
                    struct dpc_hash *ret_hash)
{
    struct head head = {0};
    if (dpc_kv_batch_each(batch, look_for_head, &head) != DPC_OK || !head.found)
        return false;
    *ret_sequence = head.sequence;
    *ret_hash = head.hash;
    return true;
}

struct walk {
    bool (*visit)(void *, const struct dpc_ledger_record *);
    void *context;
    bool begun;   /* an entry was read */
    bool stopped; /* the visitor had enough */
    uint64_t next;
    struct dpc_hash previous; /* hash of the entry before `next` */
    struct dpc_error *err;
    int code;
};

static int
check_link(const struct walk *walk, const struct dpc_ledger_record *record)
{
    bool start = !walk->begun && dpc_hash_is_none(&walk->previous);
    if (record->sequence != walk->next && !start)
        return dpc_error_set(walk->err, DPC_ECORRUPT,
                             "the store's ledger is damaged (entry %llu is missing): restore the "
                             "store from a backup, or begin anew with another one",
                             (unsigned long long)walk->next);
    if (!dpc_hash_equal(&record->previous, &walk->previous))
        return dpc_error_set(walk->err, DPC_ECORRUPT,
                             "the store's ledger is damaged (entry %llu does not follow from the "
                             "one before it): restore the store from a backup, or begin anew with "
                             "another one",
                             (unsigned long long)record->sequence);
    return DPC_OK;
}

static bool
check_and_visit(void *context, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
    struct walk *walk = context;
    struct dpc_ledger_record record;
    struct dpc_key expected;
    walk->code = decode(value, len, &record, walk->err);
    if (walk->code != DPC_OK)
        return false;
    make_key(record.sequence, &expected);
    if (expected.len != key_len || memcmp(expected.bytes, key, key_len) != 0)
        walk->code = dpc_record_damaged(&dpc_type_ledger, "it stands under another key", walk->err);
    else
        walk->code = check_link(walk, &record);
    if (walk->code == DPC_OK) {
        walk->begun = true;
        walk->next = record.sequence + 1;
        dpc_hash_of(value, len, &walk->previous);
        walk->stopped = !walk->visit(walk->context, &record);
    }
    dpc_free(record.entries);
    return walk->code == DPC_OK && !walk->stopped;
}

/* The end of the chain against what the phase record promises, where there is one. */
static int
check_end(struct dpc_kv *kv, const struct walk *walk)
{
    struct dpc_phase_record phase;
    int code = dpc_load_phase(kv, &phase, walk->err);
    if (code == DPC_ENOTFOUND)
        return DPC_OK;
    if (code != DPC_OK)
        return code;
    bool nothing_promised = dpc_hash_is_none(&phase.ledger_head) || phase.ledger_next <= walk->next;
    if (!walk->begun && nothing_promised)
        return DPC_OK;
    if (phase.ledger_next == walk->next && dpc_hash_equal(&phase.ledger_head, &walk->previous))
        return DPC_OK;
    return dpc_error_set(walk->err, DPC_ECORRUPT,
                         "the store's ledger is damaged (it ends before entry %llu, and entries up "
                         "to %llu were promised): restore the store from a backup, or begin anew "
                         "with another one",
                         (unsigned long long)walk->next, (unsigned long long)phase.ledger_next);
}

int
dpc_scan_ledger(struct dpc_kv *kv, uint64_t sequence_first,
                bool (*visit)(void *, const struct dpc_ledger_record *), void *context,
                struct dpc_error *err)
{
    struct walk walk = {.visit = visit, .context = context, .next = sequence_first, .err = err};
    struct dpc_key before;
    int code = DPC_ENOTFOUND;
    if (sequence_first > 0)
        code = dpc_ledger_hash(kv, sequence_first - 1, &walk.previous, err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return code;
    make_key(sequence_first ? sequence_first - 1 : 0, &before);
    code = kv->ops->scan(kv, dpc_type_ledger.family, &dpc_type_ledger.letter, 1,
                         sequence_first ? before.bytes : NULL, sequence_first ? before.len : 0,
                         check_and_visit, &walk, err);
    if (code == DPC_OK)
        code = walk.code;
    return code == DPC_OK && !walk.stopped ? check_end(kv, &walk) : code;
}
