/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in the store under a key: a record that is accepted has the bytes that writing it
 * would give, a ledger entry and the ledger's head as well.
 *
 * The first byte of an input says which kind of record it is; the key is the one that the record
 * says, since any other is refused.
 */
#include "storage/db/promise.h"
#include "storage/db/record_types.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/base/memory_vfs.h"

static const struct dpc_record_type *const types[] = {
    &dpc_type_store,     &dpc_type_phase,  &dpc_type_origin, &dpc_type_module,
    &dpc_type_version,   &dpc_type_path,   &dpc_type_lease,  &dpc_type_contribution,
    &dpc_type_worker,    &dpc_type_void,   &dpc_type_member, &dpc_type_invitation,
    &dpc_type_conduct,   &dpc_type_result, &dpc_type_shard,  &dpc_type_best,
    &dpc_type_candidate,
};
enum { TYPES = sizeof types / sizeof *types, LEDGER = TYPES, PROMISE, KINDS };
enum { RECORD_BYTES_MAX = 4096 };

struct value {
    const uint8_t *bytes;
    size_t len;
};

/* What a batch of one put holds. */
static void
compare(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
        const uint8_t *bytes, size_t len)
{
    const struct value *value = context;
    (void)family, (void)key, (void)key_len;
    fuzz_require(len == value->len && memcmp(bytes, value->bytes, len) == 0,
                 "a record is written as it was read");
}

static void
read_record(const struct dpc_record_type *type, struct value value)
{
    _Alignas(16) uint8_t record[RECORD_BYTES_MAX] = {0};
    struct dpc_key key = {.len = 0};
    struct dpc_kv_batch batch;
    struct dpc_error err;
    fuzz_require(type->bytes <= sizeof record, "a record has room");
    /* All but the key is read before that is compared. */
    if (dpc_record_decode(type, "", 0, value.bytes, value.len, record, &err) != DPC_ECORRUPT)
        return;
    dpc_record_key(type, record, &key);
    if (dpc_record_decode(type, key.bytes, key.len, value.bytes, value.len, record, &err) != DPC_OK)
        return;
    fuzz_accepted++;
    if (value.bytes[0] != type->format)
        return;
    dpc_kv_batch_init(&batch);
    dpc_record_put(&batch, type, record);
    fuzz_require(dpc_kv_batch_each(&batch, compare, &value) == DPC_OK, "a record is written");
    dpc_kv_batch_done(&batch);
}

static void
read_ledger(struct value value)
{
    struct dpc_kv *kv;
    struct dpc_kv_batch batch;
    struct dpc_key key;
    struct dpc_ledger_record record;
    struct dpc_hash hash;
    struct dpc_error err;
    struct dpc_reader reader;
    dpc_reader_init(&reader, value.bytes, value.len);
    (void)dpc_reader_u8(&reader);
    record = (struct dpc_ledger_record){.sequence = dpc_reader_u64(&reader)};
    dpc_record_key(&dpc_type_ledger, &record, &key);
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, dpc_type_ledger.family, key.bytes, key.len, value.bytes, value.len);
    fuzz_require(dpc_kv_open_memory(&kv) == DPC_OK && kv->ops->write(kv, &batch, &err) == DPC_OK,
                 "an entry is put");
    dpc_kv_batch_reset(&batch);
    if (dpc_load_ledger(kv, record.sequence, &record, &err) == DPC_OK) {
        fuzz_accepted++;
        dpc_put_ledger(&batch, &record, &hash);
        if (value.bytes[0] == dpc_type_ledger.format)
            fuzz_require(dpc_kv_batch_each(&batch, compare, &value) == DPC_OK, "and put again");
        dpc_free(record.entries);
    }
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
read_promise(struct value value)
{
    struct memory_files files = {.count = 0};
    struct dpc_promise promise;
    struct dpc_error err;
    memory_add(&files, "p", value.bytes, value.len);
    struct dpc_vfs vfs = memory_vfs(&files);
    fuzz_accepted += dpc_promise_read(&vfs, "p", &promise, &err) == DPC_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t kind = data[0] % KINDS;
    struct value value = {data + 1, size - 1};
    if (kind == PROMISE)
        read_promise(value);
    else if (kind == LEDGER)
        read_ledger(value);
    else
        read_record(types[kind], value);
    return 0;
}

#ifndef DPC_LIBFUZZER

struct input {
    struct fuzz *fuzz;
    uint8_t kind;
};

static void
add_value(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
          const uint8_t *bytes, size_t len)
{
    struct input *input = context;
    struct dpc_buf out;
    (void)family, (void)key, (void)key_len;
    dpc_buf_init(&out, 0);
    dpc_buf_put_u8(&out, input->kind);
    dpc_buf_put(&out, bytes, len);
    fuzz_valid(input->fuzz, out.data, out.len, 0);
    dpc_buf_done(&out);
}

static void
add_batch(struct input *input, struct dpc_kv_batch *batch)
{
    fuzz_require(dpc_kv_batch_each(batch, add_value, input) == DPC_OK, "a batch is walked");
    dpc_kv_batch_done(batch);
}

static void
add_ledger(struct fuzz *fuzz)
{
    struct dpc_ledger_entry entries[2] = {{.path = 1, .scale = 1}, {.path = 2, .scale = 0.5}};
    struct dpc_ledger_record record = {.sequence = 3, .entries = entries, .entries_count = 2};
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &record, &hash);
    add_batch(&(struct input){fuzz, LEDGER}, &batch);
}

static void
add_record(struct fuzz *fuzz, uint8_t kind, const void *record)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_record_put(&batch, types[kind], record);
    add_batch(&(struct input){fuzz, kind}, &batch);
}

static void
add_inputs(struct fuzz *fuzz)
{
    static const struct dpc_version_record version = {.cause = DPC_CAUSE_INITIAL};
    static const struct dpc_invitation_record invitation = {.asks = 1, .note = "of Ann"};
    static const struct dpc_member_record member = {.state = DPC_MEMBER_PENDING, .name = "m"};
    static const uint8_t zeros[RECORD_BYTES_MAX];
    for (uint8_t kind = 0; kind < TYPES; kind++)
        add_record(fuzz, kind,
                   types[kind] == &dpc_type_version      ? (const void *)&version
                   : types[kind] == &dpc_type_invitation ? (const void *)&invitation
                   : types[kind] == &dpc_type_member     ? (const void *)&member
                                                         : zeros);
    add_ledger(fuzz);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 5000, add_inputs);
}

#endif
